/* Control groups.
 *
 * Which file does what:
 *
 *     part      version 1                            version 2
 *     weight    cpu.shares (1024 is normal)          cpu.weight (100 is normal)
 *     quota     cpu.cfs_quota_us, cpu.cfs_period_us  cpu.max "QUOTA PERIOD"
 *     memory    memory.limit_in_bytes, .memsw        memory.max, memory.swap.max
 *     pids      pids.max                             pids.max
 *     account   cpuacct.usage                        cpu.stat usage_usec
 *
 * A hybrid machine mounts version 1 hierarchies and a version 2 one without (useful) controllers.
 * Even that one counts processor time. */
#include "host/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arith.h"
#include "base/assert.h"
#include "base/fault.h"

#define FILE_BYTES 65536 /* of the files that we read: mountinfo is the longest */
#define PERIOD_US 100000u
#define WEIGHT_MAX 10000u
#define REMOVE_TRIES 200
#define REMOVE_WAIT_NS 5000000
#define FOLDER "wardmote"
#define NODE_LEAF "wardmote-node"

static const struct part {
    const char *name, *controller, *v1_file, *v2_file;
} parts[HOST_CGROUP_PARTS] = {
    [HOST_CGROUP_WEIGHT] = {"cpu weight", "cpu", "cpu.shares", "cpu.weight"},
    [HOST_CGROUP_QUOTA] = {"cpu quota", "cpu", "cpu.cfs_quota_us", "cpu.max"},
    [HOST_CGROUP_MEMORY] = {"memory limit", "memory", "memory.limit_in_bytes", "memory.max"},
    [HOST_CGROUP_PIDS] = {"process limit", "pids", "pids.max", "pids.max"},
    [HOST_CGROUP_ACCOUNT] = {"cpu accounting", "cpuacct", "cpuacct.usage", "cpu.stat"},
};

const char *host_cgroup_part_name(enum host_cgroup_part part)
{
    WM_ASSERT(part < HOST_CGROUP_PARTS);
    return parts[part].name;
}

/* --- the kernel's files --- */

static int write_text(int dir_fd, const char *file, const char *text)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(dir_fd, file, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return -errno;
    }
    ssize_t done;
    do {
        done = write(fd, text, strlen(text));
    } while (done < 0 && errno == EINTR);
    int err = done < 0 ? -errno : 0;
    close(fd);
    return err;
}

static int write_number(int dir_fd, const char *file, int64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)number);
    return write_text(dir_fd, file, text);
}

/* Always terminates `out`; longer files are cut. */
static int read_text(int dir_fd, const char *file, char *out, size_t out_bytes)
{
    out[0] = '\0';
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t len = 0;
    ssize_t got;
    do {
        got = read(fd, out + len, out_bytes - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && len < out_bytes - 1) || (got < 0 && errno == EINTR));
    int err = got < 0 ? -errno : 0;
    out[len] = '\0';
    close(fd);
    return err;
}

static uint64_t read_number(int dir_fd, const char *file)
{
    char text[64];
    return read_text(dir_fd, file, text, sizeof text) ? 0 : strtoull(text, NULL, 10);
}

/* The number after `key ` at the start of a line. */
static uint64_t read_keyed(int dir_fd, const char *file, const char *key)
{
    char text[4096];
    size_t key_len = strlen(key);
    if (read_text(dir_fd, file, text, sizeof text)) {
        return 0;
    }
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ') {
            return strtoull(line + key_len, NULL, 10);
        }
    }
    return 0;
}

static uint32_t count_processes(int dir_fd)
{
    char text[4096];
    uint32_t count = 0;
    if (read_text(dir_fd, "cgroup.procs", text, sizeof text) == 0) {
        for (const char *c = text; *c; c++) {
            count += *c == '\n';
        }
    }
    return count;
}

static bool has_word(const char *text, const char *word, const char *separators)
{
    size_t len = strlen(word);
    while (*text) {
        size_t span = strcspn(text, separators);
        if (span == len && memcmp(text, word, len) == 0) {
            return true;
        }
        text += span + (text[span] != '\0');
    }
    return false;
}

/* --- where the hierarchies are --- */

struct mounted {
    bool found;
    char root[HOST_CGROUP_PATH_MAX], point[HOST_CGROUP_PATH_MAX];
};

/* mountinfo writes blanks and backslashes as \ooo. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
            in[3] >= '0' && in[3] <= '7') {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* ID PARENT DEV ROOT POINT OPTIONS [FIELD...] - TYPE SOURCE SUPER-OPTIONS */
static bool parse_mount(char *line, const char *controller, struct mounted *out)
{
    char *field[6], *rest = line;
    for (size_t i = 0; i < WM_COUNT_OF(field); i++) {
        field[i] = strsep(&rest, " ");
        if (!rest) {
            return false;
        }
    }
    char *tail = strncmp(rest, "- ", 2) == 0 ? rest : strstr(rest, " - ");
    if (!tail) {
        return false;
    }
    tail += *tail == ' ' ? 3 : 2;
    const char *type = strsep(&tail, " "), *source = tail ? strsep(&tail, " ") : NULL;
    if (!source || !tail) {
        return false;
    }
    bool match = controller ? strcmp(type, "cgroup") == 0 && has_word(tail, controller, ",")
                            : strcmp(type, "cgroup2") == 0;
    if (!match || strlen(field[3]) >= sizeof out->root || strlen(field[4]) >= sizeof out->point) {
        return false;
    }
    unescape(field[3]);
    unescape(field[4]);
    out->found = true;
    snprintf(out->root, sizeof out->root, "%s", field[3]);
    snprintf(out->point, sizeof out->point, "%s", field[4]);
    return true;
}

/* The hierarchy of a version 1 controller, or version 2's (controller NULL). */
static void find_mount(const char *mountinfo, const char *controller, struct mounted *out)
{
    char line[4096];
    out->found = false;
    for (const char *at = mountinfo; *at && !out->found;) {
        size_t len = strcspn(at, "\n");
        if (len < sizeof line) {
            memcpy(line, at, len);
            line[len] = '\0';
            parse_mount(line, controller, out);
        }
        at += len + (at[len] != '\0');
    }
}

/* Our own group in a hierarchy: ID:CONTROLLERS:PATH. "" where it is not told. */
static void find_membership(const char *membership, const char *controller, char *out,
                            size_t out_bytes)
{
    char line[4096];
    out[0] = '\0';
    for (const char *at = membership; *at;) {
        size_t len = strcspn(at, "\n");
        if (len < sizeof line) {
            memcpy(line, at, len);
            line[len] = '\0';
            char *rest = line;
            const char *id = strsep(&rest, ":"), *names = rest ? strsep(&rest, ":") : NULL;
            bool match = names && rest &&
                         (controller ? has_word(names, controller, ",")
                                     : strcmp(id, "0") == 0 && names[0] == '\0');
            if (match && strlen(rest) < out_bytes) {
                snprintf(out, out_bytes, "%s", rest);
                return;
            }
        }
        at += len + (at[len] != '\0');
    }
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), tail_len = strlen(tail);
    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

/* The folder of our own group. Inside a container the mount shows only a part of the tree, and the
 * membership may be told from the host's point of view; what is not there is taken as the top. */
static void own_folder(const struct mounted *mounted, char *own, char *out, size_t out_bytes)
{
    struct stat st;
    size_t root_len = strlen(mounted->root);
    if (ends_with(own, "/" NODE_LEAF)) { /* where an earlier start of ours moved to */
        own[strlen(own) - strlen("/" NODE_LEAF)] = '\0';
    }
    if (root_len > 1 && strncmp(own, mounted->root, root_len) == 0) {
        own += root_len;
    }
    if (strcmp(own, "/") == 0 || strstr(own, "..")) {
        own = "";
    }
    if ((size_t)snprintf(out, out_bytes, "%s%s", mounted->point, own) >= out_bytes ||
        stat(out, &st) != 0) {
        snprintf(out, out_bytes, "%s", mounted->point);
    }
}

/* --- opening --- */

static bool name_is_good(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= HOST_CGROUP_NAME_MAX && name[0] != '.' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static const char *advice(int err, int version)
{
    switch (err) {
    case -EACCES:
    case -EPERM:
        return version == 2 ? "run the node as root, or in a systemd unit with Delegate=yes"
                            : "run the node as root, or give its user this folder";
    case -EROFS: return "mount the cgroup file system read-write (containers: --cgroupns=private)";
    case -EBUSY: return "other processes are in that group: start the node in one of its own";
    case -ENOSPC: return "the kernel's limit of groups is reached: remove groups that nobody uses";
    default: return "see the kernel's log";
    }
}

static int make_folder(int dir_fd, const char *name, int *fd)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    if (mkdirat(dir_fd, name, 0755) != 0 && errno != EEXIST) {
        return -errno;
    }
    *fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return *fd < 0 ? -errno : 0;
}

/* Rounds, since processes may fork while their list is read. The numbers cannot have been taken by
 * strangers: a process in this list is in this group, and the list is used at once. */
static int kill_all(int dir_fd)
{
    const struct timespec wait = {0, REMOVE_WAIT_NS};
    for (unsigned tries = 0; tries < REMOVE_TRIES; tries++) {
        char text[4096];
        if (read_text(dir_fd, "cgroup.procs", text, sizeof text) != 0) {
            return -EIO;
        }
        unsigned killed = 0;
        for (char *at = text, *end; *at; at = end + (*end == '\n')) {
            long pid = strtol(at, &end, 10);
            if (end == at) {
                break;
            }
            /* A number cut off at the end of the buffer is another process's. 0 is one of another
             * pid namespace; 1 and we ourselves are not workers. */
            if (*end == '\n' && pid > 1 && pid != getpid()) {
                kill((pid_t)pid, SIGKILL);
                killed++;
            }
        }
        if (killed == 0) {
            return 0;
        }
        nanosleep(&wait, NULL);
    }
    return -EBUSY;
}

static int remove_folder(int dir_fd, const char *name)
{
    const struct timespec wait = {0, REMOVE_WAIT_NS};
    for (unsigned tries = 0;; tries++) {
        int err = wm_fault_here(WM_FAULT_IO)                  ? -EIO
                  : unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 ? 0
                                                              : -errno;
        if (err != -EBUSY || tries == REMOVE_TRIES) {
            return err == -ENOENT ? 0 : err;
        }
        nanosleep(&wait, NULL);
    }
}

/* Removes the groups in a folder that are empty, or that can be emptied. */
static void sweep(int dir_fd, bool kill_leftovers)
{
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0) {
            close(copy);
        }
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
            unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR) == 0 || !kill_leftovers) {
            continue;
        }
        int fd = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0) {
            if (kill_all(fd) == 0) {
                int ignored = remove_folder(dir_fd, entry->d_name); /* told when it is made again */
                (void)ignored;
            }
            close(fd);
        }
    }
    closedir(dir);
}

/* Gives a version 2 group's children the controllers that it has itself. */
static int enable(int fd, const char *controller)
{
    char text[64], enabled[1024];
    if (read_text(fd, "cgroup.subtree_control", enabled, sizeof enabled) == 0 &&
        has_word(enabled, controller, " \n")) {
        return 0;
    }
    snprintf(text, sizeof text, "+%s", controller);
    return write_text(fd, "cgroup.subtree_control", text);
}

static int leave_own_group(int own_fd)
{
    int leaf = -1;
    int err = make_folder(own_fd, NODE_LEAF, &leaf);
    if (!err) {
        err = write_number(leaf, "cgroup.procs", getpid());
        close(leaf);
    }
    return err;
}

/* A controller for the groups in OWN/wardmote/PREFIX. */
static int enable_path(int own_fd, int folder_fd, int prefix_fd, const char *controller)
{
    int err = enable(own_fd, controller);
    if (err == -EBUSY) {
        err = leave_own_group(own_fd);
        err = err ? err : enable(own_fd, controller);
    }
    err = err ? err : enable(folder_fd, controller);
    return err ? err : enable(prefix_fd, controller);
}

struct opening {
    struct host_cgroups *out;
    const char *prefix, *mountinfo, *membership;
    bool kill_leftovers;
};

/* Another node that ends just now may remove the outer folder between the two steps. */
static int make_folders(int own_fd, const char *prefix, int *folder_fd, int *prefix_fd)
{
    int err = 0;
    for (unsigned tries = 0; tries < REMOVE_TRIES; tries++) {
        err = make_folder(own_fd, FOLDER, folder_fd);
        err = err ? err : make_folder(*folder_fd, prefix, prefix_fd);
        if (err != -ENOENT) {
            break;
        }
        if (*folder_fd >= 0) {
            close(*folder_fd);
            *folder_fd = -1;
        }
    }
    return err;
}

/* The index of the hierarchy that is mounted there, opened when it is new; or negative. */
static int open_dir(struct opening *opening, const struct mounted *mounted, const char *controller,
                    int version, const char *enabled, char *why)
{
    struct host_cgroups *out = opening->out;
    char own[HOST_CGROUP_PATH_MAX], own_path[HOST_CGROUP_PATH_MAX], path[HOST_CGROUP_PATH_MAX];
    find_membership(opening->membership, version == 2 ? NULL : controller, own, sizeof own);
    own_folder(mounted, own, own_path, sizeof own_path);
    if ((size_t)snprintf(path, sizeof path, "%s/" FOLDER "/%s", own_path, opening->prefix) >=
        sizeof path) {
        snprintf(why, WM_DIAG_TEXT_BYTES, "the path of our own group is too long");
        return -1;
    }
    int own_fd = open(own_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), folder_fd = -1, fd = -1;
    int err = own_fd < 0 ? -errno : make_folders(own_fd, opening->prefix, &folder_fd, &fd);
    if (!err && enabled) {
        err = enable_path(own_fd, folder_fd, fd, enabled);
    }
    unsigned found = 0;
    while (found < out->dir_count && strcmp(out->dir[found].path, path) != 0) {
        found++;
    }
    if (!err && found == out->dir_count) {
        WM_ASSERT(found < HOST_CGROUP_DIRS_MAX);
        sweep(fd, opening->kill_leftovers);
        out->dir[found].version = version;
        out->dir[found].fd = fd;
        snprintf(out->dir[found].path, sizeof out->dir[found].path, "%s", path);
        out->dir_count++;
        fd = -1;
    } else if (err) {
        snprintf(why, WM_DIAG_TEXT_BYTES, "cgroup v%d: %.100s: %s: %s", version, path,
                 wm_error_text(err), advice(err, version));
    }
    if (err && folder_fd >= 0) {
        /* Of use to nobody; the kernel keeps what another hierarchy's part or node uses. */
        unlinkat(folder_fd, opening->prefix, AT_REMOVEDIR);
        unlinkat(own_fd, FOLDER, AT_REMOVEDIR);
    }
    for (unsigned i = 0; i < 3; i++) {
        int used = i == 0 ? own_fd : i == 1 ? folder_fd : fd;
        if (used >= 0) {
            close(used);
        }
    }
    return err ? -1 : (int)found;
}

static void open_part(struct opening *opening, enum host_cgroup_part part)
{
    struct mounted mounted;
    const char *controller = parts[part].controller;
    bool is_account = part == HOST_CGROUP_ACCOUNT;
    char *why = opening->out->part[part].why, controllers[1024], own[HOST_CGROUP_PATH_MAX],
         path[HOST_CGROUP_PATH_MAX];
    why[0] = '\0';
    opening->out->part[part].dir = -1;
    find_mount(opening->mountinfo, controller, &mounted);
    if (mounted.found) {
        opening->out->part[part].dir = open_dir(opening, &mounted, controller, 1, NULL, why);
    }
    if (opening->out->part[part].dir >= 0) {
        return;
    }
    find_mount(opening->mountinfo, NULL, &mounted);
    if (mounted.found) {
        find_membership(opening->membership, NULL, own, sizeof own);
        own_folder(&mounted, own, path, sizeof path);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool has =
            is_account ||
            (fd >= 0 && read_text(fd, "cgroup.controllers", controllers, sizeof controllers) == 0 &&
             has_word(controllers, controller, " \n"));
        if (fd >= 0) {
            close(fd);
        }
        if (has) {
            why[0] = '\0';
            opening->out->part[part].dir =
                open_dir(opening, &mounted, controller, 2, is_account ? NULL : controller, why);
        } else if (!why[0]) {
            snprintf(
                why, WM_DIAG_TEXT_BYTES,
                "the controller '%s' is neither mounted as cgroup v1 nor in "
                "cgroup.controllers of %.80s: enable it in the parent's cgroup.subtree_control "
                "(systemd: Delegate=%s)",
                controller, path, controller);
        }
    } else if (!why[0]) {
        snprintf(why, WM_DIAG_TEXT_BYTES,
                 "no cgroup file system with '%s' is mounted: mount cgroup2 on /sys/fs/cgroup",
                 controller);
    }
}

int host_cgroups_open(const struct host_cgroup_options *options, struct host_cgroups *out,
                      struct wm_diag *diag)
{
    static const char mountinfo_path[] = "/proc/self/mountinfo", own_path[] = "/proc/self/cgroup";
    char membership[8192];
    *out = (struct host_cgroups){0};
    if (!name_is_good(options->prefix)) {
        return wm_diag_set(diag, WM_E_USAGE,
                           "control groups: the prefix '%.64s' is not 1 to %d letters, digits, "
                           "'.', '_' or '-'",
                           options->prefix, HOST_CGROUP_NAME_MAX);
    }
    char mountinfo[FILE_BYTES];
    struct opening opening = {out, options->prefix, mountinfo, membership, options->kill_leftovers};
    int err =
        read_text(AT_FDCWD, options->mountinfo_path ? options->mountinfo_path : mountinfo_path,
                  mountinfo, sizeof mountinfo);
    err = err ? err
              : read_text(AT_FDCWD, options->membership_path ? options->membership_path : own_path,
                          membership, sizeof membership);
    for (unsigned part = 0; part < HOST_CGROUP_PARTS; part++) {
        if (err) {
            out->part[part].dir = -1;
            snprintf(out->part[part].why, sizeof out->part[part].why, "reading %s: %s: mount /proc",
                     mountinfo_path, wm_error_text(err));
        } else {
            open_part(&opening, (enum host_cgroup_part)part);
        }
    }
    return 0;
}

void host_cgroups_close(struct host_cgroups *cgroups)
{
    for (unsigned i = 0; i < cgroups->dir_count; i++) {
        /* The second succeeds only when no other node is there. */
        rmdir(cgroups->dir[i].path);
        *strrchr(cgroups->dir[i].path, '/') = '\0';
        rmdir(cgroups->dir[i].path);
        close(cgroups->dir[i].fd);
    }
    cgroups->dir_count = 0;
}

bool host_cgroups_has(const struct host_cgroups *cgroups, enum host_cgroup_part part)
{
    return cgroups->part[part].dir >= 0;
}

const char *host_cgroups_line(const struct host_cgroups *cgroups, enum host_cgroup_part part,
                              char *line, size_t line_bytes)
{
    int dir = cgroups->part[part].dir;
    if (dir >= 0) {
        snprintf(line, line_bytes, "%s: cgroup v%d", parts[part].name, cgroups->dir[dir].version);
    } else {
        snprintf(line, line_bytes, "%s: not available: %s", parts[part].name,
                 cgroups->part[part].why);
    }
    return line;
}

/* --- groups --- */

static int say(struct wm_diag *diag, int err, const char *name, const char *what, int version)
{
    return wm_diag_set(diag, err, "control group %s: %s: %s: %s", name, what, wm_error_text(err),
                       advice(err, version));
}

static void close_group(struct host_cgroup *group)
{
    for (unsigned i = 0; i < group->dir_count; i++) {
        close(group->fd[i]);
    }
    group->dir_count = 0;
}

/* Where memory and swap are counted together (memsw), that limit must never be the lower one, so
 * the order depends on the direction of the change: the kernel refuses the wrong one. */
static int set_memory_v1(int fd, uint64_t bytes)
{
    int64_t value = bytes ? (int64_t)wm_min_u64(bytes, INT64_MAX) : -1;
    static const char file[] = "memory.limit_in_bytes", both[] = "memory.memsw.limit_in_bytes";
    bool has_both = faccessat(fd, both, W_OK, 0) == 0;
    int err = write_number(fd, file, value);
    if (has_both && err == -EINVAL) {
        err = write_number(fd, both, value);
        return err ? err : write_number(fd, file, value);
    }
    return err || !has_both ? err : write_number(fd, both, value);
}

static int set_memory_v2(int fd, uint64_t bytes)
{
    int err = bytes ? write_number(fd, "memory.max", (int64_t)wm_min_u64(bytes, INT64_MAX))
                    : write_text(fd, "memory.max", "max");
    if (!err && faccessat(fd, "memory.swap.max", W_OK, 0) == 0) {
        err = write_text(fd, "memory.swap.max", bytes ? "0" : "max");
    }
    return err;
}

static int set_quota(int fd, int version, uint32_t percent)
{
    char text[64];
    uint64_t quota_us = (uint64_t)percent * (PERIOD_US / 100);
    if (version == 1) {
        int err = write_number(fd, "cpu.cfs_period_us", PERIOD_US);
        return err ? err : write_number(fd, "cpu.cfs_quota_us", percent ? (int64_t)quota_us : -1);
    }
    if (percent) {
        snprintf(text, sizeof text, "%llu %u", (unsigned long long)quota_us, PERIOD_US);
    } else {
        snprintf(text, sizeof text, "max %u", PERIOD_US);
    }
    return write_text(fd, "cpu.max", text);
}

static int set_part(enum host_cgroup_part part, int fd, int version,
                    const struct host_cgroup_limits *limits)
{
    uint32_t weight = limits->cpu_weight ? limits->cpu_weight : 100;
    switch (part) {
    case HOST_CGROUP_WEIGHT:
        return version == 1
                   ? write_number(fd, "cpu.shares", (int64_t)wm_max_u64(weight * 1024ull / 100, 2))
                   : write_number(fd, "cpu.weight", weight);
    case HOST_CGROUP_QUOTA: return set_quota(fd, version, limits->cpu_percent);
    case HOST_CGROUP_MEMORY:
        return version == 1 ? set_memory_v1(fd, limits->memory_bytes)
                            : set_memory_v2(fd, limits->memory_bytes);
    case HOST_CGROUP_PIDS:
        return limits->pids ? write_number(fd, "pids.max", limits->pids)
                            : write_text(fd, "pids.max", "max");
    case HOST_CGROUP_ACCOUNT:
    case HOST_CGROUP_PARTS: break;
    }
    return 0;
}

static bool is_asked(enum host_cgroup_part part, const struct host_cgroup_limits *limits)
{
    switch (part) {
    case HOST_CGROUP_WEIGHT: return limits->cpu_weight != 0;
    case HOST_CGROUP_QUOTA: return limits->cpu_percent != 0;
    case HOST_CGROUP_MEMORY: return limits->memory_bytes != 0;
    case HOST_CGROUP_PIDS: return limits->pids != 0;
    case HOST_CGROUP_ACCOUNT:
    case HOST_CGROUP_PARTS: break;
    }
    return false;
}

int host_cgroup_set(const struct host_cgroups *cgroups, struct host_cgroup *group,
                    const struct host_cgroup_limits *limits, struct wm_diag *diag)
{
    if (limits->cpu_weight > WEIGHT_MAX) {
        return wm_diag_set(diag, WM_E_USAGE, "control group %s: a cpu weight is 1 to %u, not %u",
                           group->name, WEIGHT_MAX, limits->cpu_weight);
    }
    group->missing = 0;
    for (unsigned i = 0; i < HOST_CGROUP_PARTS; i++) {
        enum host_cgroup_part part = (enum host_cgroup_part)i;
        int dir = cgroups->part[part].dir;
        /* A kernel may have the controller without bandwidth control; a group's file tells. */
        if (dir < 0) {
            group->missing |= is_asked(part, limits) ? 1u << i : 0;
            continue;
        }
        int err = set_part(part, group->fd[dir], cgroups->dir[dir].version, limits);
        if (err == -ENOENT) {
            group->missing |= is_asked(part, limits) ? 1u << i : 0;
        } else if (err) {
            return say(diag, err, group->name, parts[part].name, cgroups->dir[dir].version);
        }
    }
    return 0;
}

int host_cgroup_make(const struct host_cgroups *cgroups, const char *name,
                     const struct host_cgroup_limits *limits, struct host_cgroup *out,
                     struct wm_diag *diag)
{
    *out = (struct host_cgroup){0};
    if (!name_is_good(name)) {
        char quoted[80];
        return wm_diag_set(diag, WM_E_USAGE,
                           "control group '%s': a name is 1 to %d letters, digits, '.', '_' or '-'",
                           wm_diag_quote(quoted, sizeof quoted, name, strnlen(name, 65)),
                           HOST_CGROUP_NAME_MAX);
    }
    snprintf(out->name, sizeof out->name, "%s", name);
    int err = 0;
    for (unsigned i = 0; i < cgroups->dir_count && !err; i++) {
        err = make_folder(cgroups->dir[i].fd, name, &out->fd[i]);
        if (err) {
            say(diag, err, name, cgroups->dir[i].path, cgroups->dir[i].version);
            break;
        }
        out->dir_count++;
        if (count_processes(out->fd[i]) > 0) {
            err = wm_diag_set(diag, WM_E_BUSY,
                              "control group %s: it exists and has processes: end them, or choose "
                              "another name",
                              name);
        }
    }
    err = err ? err : host_cgroup_set(cgroups, out, limits, diag);
    if (err) {
        /* A group with processes is not ours to remove, and the kernel would refuse. */
        for (unsigned i = 0; i < out->dir_count; i++) {
            unlinkat(cgroups->dir[i].fd, name, AT_REMOVEDIR);
        }
        close_group(out);
    }
    return err;
}

int host_cgroup_attach(const struct host_cgroups *cgroups, const struct host_cgroup *group,
                       pid_t pid, struct wm_diag *diag)
{
    for (unsigned i = 0; i < group->dir_count; i++) {
        int err = write_number(group->fd[i], "cgroup.procs", pid);
        if (err) {
            char what[64];
            snprintf(what, sizeof what, "taking process %d", (int)pid);
            return say(diag, err, group->name, what, cgroups->dir[i].version);
        }
    }
    return 0;
}

int host_cgroup_usage(const struct host_cgroups *cgroups, const struct host_cgroup *group,
                      struct host_cgroup_usage *out)
{
    *out = (struct host_cgroup_usage){0};
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    for (unsigned part = 0; part < HOST_CGROUP_PARTS; part++) {
        int dir = cgroups->part[part].dir;
        if (dir < 0) {
            continue;
        }
        int fd = group->fd[dir];
        bool v1 = cgroups->dir[dir].version == 1;
        if (part == HOST_CGROUP_ACCOUNT) {
            out->cpu_ns = v1 ? read_number(fd, "cpuacct.usage")
                             : read_keyed(fd, "cpu.stat", "usage_usec") * 1000;
        } else if (part == HOST_CGROUP_QUOTA) {
            out->throttled_count = read_keyed(fd, "cpu.stat", "nr_throttled");
            out->throttled_ns = v1 ? read_keyed(fd, "cpu.stat", "throttled_time")
                                   : read_keyed(fd, "cpu.stat", "throttled_usec") * 1000;
        } else if (part == HOST_CGROUP_MEMORY) {
            out->memory_bytes = read_number(fd, v1 ? "memory.usage_in_bytes" : "memory.current");
            out->memory_kills =
                read_keyed(fd, v1 ? "memory.oom_control" : "memory.events", "oom_kill");
        }
    }
    for (unsigned i = 0; i < group->dir_count && out->processes == 0; i++) {
        out->processes = count_processes(group->fd[i]);
    }
    return 0;
}

int host_cgroup_kill(const struct host_cgroup *group)
{
    for (unsigned i = 0; i < group->dir_count; i++) {
        int err = kill_all(group->fd[i]);
        if (err) {
            return err;
        }
    }
    return 0;
}

int host_cgroup_remove(const struct host_cgroups *cgroups, struct host_cgroup *group,
                       struct wm_diag *diag)
{
    for (unsigned i = 0; i < group->dir_count; i++) {
        int err = remove_folder(cgroups->dir[i].fd, group->name);
        if (err == -EBUSY) {
            return wm_diag_set(diag, WM_E_BUSY,
                               "control group %s: removing it: processes are still in it: end them",
                               group->name);
        }
        if (err) {
            return say(diag, err, group->name, "removing it", cgroups->dir[i].version);
        }
    }
    close_group(group);
    return 0;
}
