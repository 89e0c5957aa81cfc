/* The memory file system against the kernel: the same calls, chosen at random, on an empty host
 * directory and on an empty memory file system, must give the same answers and leave the same
 * trees. The seed is printed; a failure names the call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/test.h"
#include "libos/memfs.h"
#include "port/hostfs.h"
#include "port/machine.h"

static struct libos os;
static uint64_t state;

static unsigned pick(unsigned count)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % count;
}

static const char *pick_path(void)
{
    static const char *const paths[] = {
        "a",     "b",  "c",    "a/a",  "a/b",    "b/a",     "b/b", "a/a/a",    "a/a/b",
        "a/",    "b/", "a/b/", "a/.",  "a/../b", "a/b/..",  "c/a", "a//b",     "./a",
        "b/./c", ".",  "..",   "a/..", "../a",   "a/../..", "./",  "c/../c/a", "a/b/../../c"};
    return paths[pick(WM_COUNT_OF(paths))];
}

static const char *pick_target(void)
{
    static const char *const targets[] = {"a",    "b",   "c", "a/b", "../b", "../a",
                                          "a/..", "c/c", ".", "..",  "b/",   "../../a"};
    return targets[pick(WM_COUNT_OF(targets))];
}

/* One answer of either side, as text. */
struct answer {
    int64_t rc;
    char text[400];
};

static void add_name(const char *name, size_t len, struct answer *out)
{
    size_t used = strlen(out->text);
    snprintf(out->text + used, sizeof out->text - used, " %.*s", (int)len, name);
}

struct names {
    char list[64][40];
    unsigned count;
};

static bool see(void *arg, const struct libos_dirent *entry)
{
    struct names *names = arg;
    if (names->count < WM_COUNT_OF(names->list)) {
        snprintf(names->list[names->count++], sizeof names->list[0], "%.*s:%d",
                 (int)entry->name_len, entry->name, (int)entry->kind);
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* A call: chosen once, made on both. */
struct step {
    unsigned kind;
    const char *path, *other;
    uint32_t flags;
    bool follow;
};

static void open_and_use(struct libos_file *root, const struct step *step, struct answer *out)
{
    struct libos_file *file;
    char bytes[32];
    int rc = libos_open(root, step->path, step->flags, &file);
    snprintf(out->text, sizeof out->text, "open %d", rc);
    if (rc != 0) {
        return;
    }
    struct libos_iov text = {(void *)step->other, strlen(step->other)};
    struct libos_iov in = {bytes, sizeof bytes};
    char part[120];
    int64_t written = libos_file_write(file, &text, 1);
    int64_t got = libos_file_pread(file, &in, 1, 0);
    snprintf(part, sizeof part, "kind %d write %lld pread %lld seek %lld", (int)file->kind,
             (long long)written, (long long)got,
             (long long)libos_file_seek(file, -1, LIBOS_SEEK_END));
    add_name(part, strlen(part), out);
    if (got > 0) {
        add_name(bytes, (size_t)got, out);
    }
    libos_file_put(file);
}

static void list(struct libos_file *root, const char *path, struct answer *out)
{
    struct libos_file *dir;
    struct names names = {.count = 0};
    int rc = libos_open(root, path, LIBOS_READ | LIBOS_DIRECTORY, &dir);
    snprintf(out->text, sizeof out->text, "list %d", rc);
    if (rc != 0) {
        return;
    }
    rc = libos_readdir(dir, 0, see, &names);
    libos_file_put(dir);
    qsort(names.list, names.count, sizeof names.list[0], compare);
    for (unsigned i = 0; i < names.count; i++) {
        add_name(names.list[i], strlen(names.list[i]), out);
    }
}

static void make_call(struct libos_file *root, const struct step *step, struct answer *out)
{
    struct libos_stat stat = {0};
    struct libos_times times = {1000, LIBOS_TIME_OMIT};
    char target[64];
    int64_t rc = 0;
    *out = (struct answer){0};
    switch (step->kind) {
    case 0:
    case 1:
    case 2: open_and_use(root, step, out); return;
    case 3: list(root, step->path, out); return;
    case 4:
    case 5: rc = libos_mkdir(root, step->path); break;
    case 6: rc = libos_remove(root, step->path, true); break;
    case 7: rc = libos_remove(root, step->path, false); break;
    case 8: rc = libos_rename(root, step->path, root, step->other); break;
    case 9: rc = libos_link(root, step->path, root, step->other); break;
    case 10: rc = libos_symlink(root, step->other, step->path); break;
    case 11:
        rc = libos_readlink(root, step->path, target, sizeof target);
        if (rc > 0) {
            add_name(target, (size_t)rc, out);
        }
        break;
    case 12: rc = libos_set_times(root, step->path, step->follow, &times); break;
    default:
        rc = libos_stat(root, step->path, step->follow, &stat);
        /* How directories count links and bytes is each file system's own. */
        if (stat.kind == LIBOS_KIND_DIR) {
            stat.links = stat.bytes = 0;
        }
    }
    out->rc = rc;
    size_t used = strlen(out->text);
    snprintf(out->text + used, sizeof out->text - used, "%lld kind %d links %llu bytes %llu",
             (long long)rc, (int)stat.kind, (unsigned long long)stat.links,
             (unsigned long long)stat.bytes);
}

static struct step choose(void)
{
    static const uint32_t modes[] = {LIBOS_READ, LIBOS_WRITE, LIBOS_READ | LIBOS_WRITE};
    struct step step = {.kind = pick(14), .path = pick_path(), .other = pick_path()};
    step.flags = modes[pick(3)];
    step.flags |= pick(2) ? LIBOS_CREATE : 0;
    step.flags |= pick(4) ? 0 : LIBOS_EXCLUSIVE;
    step.flags |= pick(4) ? 0 : LIBOS_TRUNCATE;
    step.flags |= pick(4) ? 0 : LIBOS_NOFOLLOW;
    step.flags |= pick(4) ? 0 : LIBOS_APPEND;
    step.flags |= pick(8) ? 0 : LIBOS_DIRECTORY;
    step.follow = pick(2);
    if (step.kind == 10) {
        step.other = pick_target();
    }
    return step;
}

/* Where two paths are both wrong, which error comes first is nobody's promise; nor whether a `..`
 * at the end is refused for leading out or for being no name. That there is an error is. */
static bool same(const struct step *step, const struct answer *left, const struct answer *right)
{
    bool free_choice = step->kind == 8 || step->kind == 9 || left->rc == -LIBOS_EESCAPE ||
                       right->rc == -LIBOS_EESCAPE;
    return strcmp(left->text, right->text) == 0 || (free_choice && left->rc < 0 && right->rc < 0);
}

static bool rounds_agree(uint64_t seed, unsigned calls)
{
    char base[] = "/tmp/agree-test-XXXXXX";
    char command[64];
    struct libos_file *host = NULL, *memory = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    bool agree = mkdtemp(base) && port_hostfs_open(&os, base, 0, &host, &diag) == 0 &&
                 libos_memfs_new(&os, NULL, &memory) == 0;
    state = seed;
    for (unsigned i = 0; agree && i < calls; i++) {
        struct step step = choose();
        struct answer left, right;
        make_call(host, &step, &left);
        make_call(memory, &step, &right);
        if (!same(&step, &left, &right)) {
            wm_test_note("seed %llu call %u: kind %u (%s, %s) flags %x", (unsigned long long)seed,
                         i, step.kind, step.path, step.other, step.flags);
            wm_test_note("  kernel: %s", left.text);
            wm_test_note("  memfs:  %s", right.text);
            agree = false;
        }
    }
    libos_file_put(host);
    libos_file_put(memory);
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    return system(command) == 0 && agree;
}

TEST(memfs_behaves_as_the_kernel)
{
    const char *given = getenv("SEED");
    uint64_t first = given ? strtoull(given, NULL, 10) : 1;
    libos_init(&os, port_machine());
    wm_test_note("seeds from %llu", (unsigned long long)first);
    for (uint64_t seed = first; seed < first + 40; seed++) {
        REQUIRE(rounds_agree(seed, 500));
    }
}

TEST_MAIN(TEST_CASE(memfs_behaves_as_the_kernel))
