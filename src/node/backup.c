/* Copying a data folder, with a manifest; see the header. */
#include "node/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "node/jsonx.h"
#include "node/node.h"
#include "node/text.h"
#include "node/uri.h"
#include "store/kv.h"

#define DEPTH_MAX 32
#define CHUNK 65536u
#define MANIFEST_BYTES_MAX (UINT64_C(1) << 30)

static const char *const copied[] = {NODE_MODULES, NODE_IMAGES, NODE_FILES};

static int fail(int err, const char *what, const char *path, struct wm_diag *diag)
{
    return wm_diag_set(diag, err, "%s: %s: %s", what, path, wm_error_text(err));
}

/* Copies one file, hashing; to_fd -1: only hashes. */
static int copy_bytes(int from_fd, int to_fd, uint8_t sha256[32], uint64_t *bytes)
{
    struct wm_sha256 hash;
    uint8_t *chunk = wm_alloc(CHUNK);
    ssize_t got = 0;
    int err = chunk ? 0 : -ENOMEM;
    wm_sha256_init(&hash);
    *bytes = 0;
    while (!err && (got = read(from_fd, chunk, CHUNK)) != 0) {
        if (got < 0) {
            err = errno == EINTR ? 0 : -errno;
            continue;
        }
        struct wm_view part = wm_view_of(chunk, (size_t)got);
        wm_sha256_add(&hash, part);
        *bytes += (uint64_t)got;
        err = to_fd < 0 ? 0 : host_file_write_all(to_fd, part);
    }
    wm_sha256_end(&hash, sha256);
    wm_free(chunk);
    if (!err && to_fd >= 0 && fsync(to_fd) != 0) {
        err = -errno;
    }
    return err;
}

static void add_line(struct text *manifest, const uint8_t sha256[32], uint64_t bytes,
                     const char *path)
{
    char hex[65];
    jsonx_hex(hex, sha256, 32);
    text_format(manifest, "%s %llu %s\n", hex, (unsigned long long)bytes, path);
}

static int copy_file(int from_dir, int to_dir, const char *path, struct text *manifest,
                     struct wm_diag *diag)
{
    uint8_t sha256[32];
    uint64_t bytes;
    int from = host_file_open(from_dir, path);
    if (from < 0) {
        return from == -ENOENT ? 0 : fail(from, "reading", path, diag); /* removed meanwhile */
    }
    int to = openat(to_dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err = to < 0 ? -errno : copy_bytes(from, to, sha256, &bytes);
    host_file_close(from);
    host_file_close(to);
    if (err) {
        return fail(err, "copying", path, diag);
    }
    add_line(manifest, sha256, bytes, path);
    return 0;
}

/* Copies a folder's files and folders; `to_dir` -1: only adds what is there to the manifest. */
static int copy_folder(int from_dir, int to_dir, const char *path, int depth, struct text *manifest,
                       struct wm_diag *diag)
{
    if (depth > DEPTH_MAX) {
        return fail(-ELOOP, "copying", path, diag);
    }
    if (to_dir >= 0 && mkdirat(to_dir, path, 0700) != 0 && errno != EEXIST) {
        return fail(-errno, "making", path, diag);
    }
    int fd = openat(from_dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int err = -errno;
        host_file_close(fd);
        return err == -ENOENT ? 0 : fail(err, "reading", path, diag);
    }
    int err = 0;
    for (struct dirent *entry; !err && (entry = readdir(dir));) {
        char inner[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strchr(entry->d_name, '\n') ||
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        if (S_ISDIR(st.st_mode)) {
            err = copy_folder(from_dir, to_dir, inner, depth + 1, manifest, diag);
        } else if (S_ISREG(st.st_mode) && to_dir >= 0) {
            err = copy_file(from_dir, to_dir, inner, manifest, diag);
        } else if (S_ISREG(st.st_mode)) {
            uint8_t sha256[32];
            uint64_t bytes;
            int file = host_file_open(from_dir, inner);
            err = file < 0 ? file : copy_bytes(file, -1, sha256, &bytes);
            host_file_close(file);
            if (err) {
                err = fail(err, "reading", inner, diag);
            } else {
                add_line(manifest, sha256, bytes, inner);
            }
        }
    }
    (void)closedir(dir);
    return err;
}

/* Makes an empty folder, or finds it empty. */
static int open_empty(const char *path, struct wm_diag *diag)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return fail(-errno, "making", path, diag);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int err = -errno;
        host_file_close(copy);
        host_file_close(fd);
        return fail(err, "opening", path, diag);
    }
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(dir));) {
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    (void)closedir(dir);
    if (!empty) {
        (void)close(fd);
        return wm_diag_set(diag, WM_E_BUSY, "%s: is not empty; name a folder that is, or none",
                           path);
    }
    return fd;
}

int backup_write(int dir_fd, struct kv *kv, const char *path, struct wm_diag *diag)
{
    char store[PATH_MAX];
    struct text manifest = {0};
    int to = open_empty(path, diag);
    if (to < 0) {
        return to;
    }
    (void)snprintf(store, sizeof store, "%s/" NODE_STORE, path);
    int err = mkdirat(to, NODE_STORE, 0700) == 0 ? 0 : fail(-errno, "making", store, diag);
    err = err ? err : kv_backup(kv, store, diag);
    err = err ? err : copy_folder(to, -1, NODE_STORE, 0, &manifest, diag);
    for (unsigned i = 0; i < WM_COUNT_OF(copied) && !err; i++) {
        err = copy_folder(dir_fd, to, copied[i], 0, &manifest, diag);
    }
    err = err ? err : copy_file(dir_fd, to, NODE_KEY, &manifest, diag);
    err = err ? err : copy_file(dir_fd, to, NODE_IDENTITY, &manifest, diag);
    if (!err && manifest.failed) {
        err = wm_diag_default(diag, -ENOMEM, "backup");
    }
    /* Last: a folder without it is a backup that was not finished. */
    err = err ? err
              : wm_diag_default(diag,
                                host_file_replace(to, BACKUP_MANIFEST,
                                                  wm_view_of(manifest.at, manifest.len), 0600, true,
                                                  NULL),
                                "manifest");
    if (!err && fsync(to) != 0) {
        err = wm_diag_default(diag, -errno, "backup");
    }
    text_fini(&manifest);
    (void)close(to);
    return err;
}

/* Relative, without dots, so that a manifest cannot lead outside. */
static bool inside(const char *path)
{
    for (const char *at = path;;) {
        size_t len = strcspn(at, "/");
        if (len == 0 || (len == 1 && at[0] == '.') || (len == 2 && memcmp(at, "..", 2) == 0)) {
            return false;
        }
        if (!at[len]) {
            return true;
        }
        at += len + 1;
    }
}

static int make_folders(int dir, char *path)
{
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int err = mkdirat(dir, path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
        *slash = '/';
        if (err) {
            return err;
        }
    }
    return 0;
}

/* One line "HASH SIZE PATH": copies the file, or only checks it (to -1). */
static int take_line(int from, int to, char *line, struct wm_diag *diag)
{
    uint8_t wanted[32], sha256[32];
    uint64_t size, bytes = 0;
    char *size_text = strchr(line, ' ');
    char *path = size_text ? strchr(size_text + 1, ' ') : NULL;
    if (path) {
        *size_text++ = 0;
        *path++ = 0;
    }
    if (!path || !jsonx_unhex(line, strlen(line), wanted, 32) ||
        !uri_number(size_text, INT64_MAX, &size) || !inside(path)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "manifest: a line that is not HASH SIZE PATH");
    }
    int fd = host_file_open(from, path), out = -1;
    int err = fd < 0 ? fd : to >= 0 ? make_folders(to, path) : 0;
    if (!err && to >= 0) {
        out = openat(to, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        err = out < 0 ? -errno : 0;
    }
    err = err ? err : copy_bytes(fd, out, sha256, &bytes);
    host_file_close(fd);
    host_file_close(out);
    if (err) {
        return fail(err, "reading", path, diag);
    }
    if (bytes != size || memcmp(sha256, wanted, 32) != 0) {
        return wm_diag_set(diag, WM_E_FORGED, "%s: is not what the manifest says: damaged", path);
    }
    /* Back to one line, for the second walk. */
    size_text[-1] = ' ';
    path[-1] = ' ';
    return 0;
}

static int walk(int from, int to, char *manifest, struct wm_diag *diag)
{
    int err = 0;
    for (char *at = manifest; *at && !err;) {
        char *end = strchr(at, '\n');
        if (!end) {
            return wm_diag_set(diag, WM_E_MALFORMED, "manifest: its last line is cut off");
        }
        *end = 0;
        err = take_line(from, to, at, diag);
        *end = '\n';
        at = end + 1;
    }
    return err;
}

int backup_restore(const char *from_path, const char *data, struct wm_diag *diag)
{
    uint8_t *bytes = NULL;
    size_t len;
    int to = -1, fd = -1;
    int from = open(from_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = from < 0 ? fail(-errno, "opening", from_path, diag) : 0;
    if (!err) {
        fd = host_file_open(from, BACKUP_MANIFEST);
        err = fd < 0 ? fd : host_file_read_all(fd, MANIFEST_BYTES_MAX, &bytes, &len);
        if (err) {
            err = fail(err, "manifest", from_path, diag);
        }
    }
    char *text = err ? NULL : wm_realloc(bytes, len + 1, 1);
    if (text) {
        text[len] = 0;
        bytes = (uint8_t *)text;
        err =
            walk(from, -1, text, diag); /* everything is there and whole, before anything is made */
    } else if (!err) {
        err = wm_diag_default(diag, -ENOMEM, "restore");
    }
    if (!err) {
        to = open_empty(data, diag);
        err = to < 0 ? to : walk(from, to, text, diag);
    }
    if (!err && fsync(to) != 0) {
        err = wm_diag_default(diag, -errno, "restore");
    }
    host_file_close(from);
    host_file_close(to);
    host_file_close(fd);
    wm_free(bytes);
    return err;
}
