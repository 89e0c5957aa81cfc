/* seglog_crash.c: the log on a real folder, in a process that is killed.
 *
 *     seglog_crash [--seed N] [--rounds N] [TEST...]
 *
 * A child opens the log and appends, syncs, cuts, truncates and removes by chance, and tells
 * through a pipe what it is about to do and what was done. Some milliseconds after its log is open
 * (one in four: after its start) it is killed. Then the log is opened here: what the child was told
 * to be durable is there, each record with its bytes, and nothing that it never appended or saw
 * truncated. The next child goes on with the same folder.
 *
 * The kernel lives on, so nothing is lost but what the process had not written: this tests real
 * files and every place where a process can end. What a disk loses is test/sim/seglog.c's. */
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/test.h"
#include "base/vec.h"
#include "store/seglog.h"

#define SEGMENT_BYTES ((uint64_t)65536)
#define RECORD_BYTES 3000u
#define LIFE_MS 20u /* at most */
#define OPENING_MS 5000
#define TEST_MS 5000 /* on a slow disk, fewer rounds */
#define ROUNDS_LEAST 5u
#define KEPT 300u
#define CHILD_FAILED 3

enum told { OPENED, APPENDING, DURABLE, TRUNCATING, TRUNCATED, REMOVING, REMOVED };

struct message {
    uint64_t what, number, content;
};

struct world {
    char root[64], path[80];
    bool seal, bad;
    WM_VEC(uint64_t) records; /* seeds of their content, by number */
    uint64_t acked, first, first_most, truncated;
    uint64_t heard; /* times that something was durable */
};

static uint64_t seed, rounds = 150;

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static struct wm_view content_of(uint64_t content, uint8_t *kind)
{
    static uint8_t bytes[RECORD_BYTES + 8];
    uint64_t state = content;
    size_t len = (size_t)(next_random(&state) % RECORD_BYTES);
    *kind = (uint8_t)next_random(&state);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = next_random(&state);
        memcpy(bytes + i, &word, 8);
    }
    return wm_view_of(bytes, len);
}

static int open_log(const struct world *world, struct seglog **log, struct seglog_opened *opened,
                    struct wm_diag *diag)
{
    struct seglog_config config = {
        .path = world->path, .segment_bytes = SEGMENT_BYTES, .label = {4}, .seal = world->seal};
    return seglog_open(&config, log, opened, diag);
}

/* --- The child --- */

struct child {
    int pipe;
    uint64_t random, next;
    struct seglog *log;
};

static void tell(const struct child *child, enum told what, uint64_t number, uint64_t content)
{
    struct message message = {what, number, content};
    if (write(child->pipe, &message, sizeof message) != sizeof message) {
        _exit(CHILD_FAILED);
    }
}

static void must(int err, const struct wm_diag *diag)
{
    if (err) {
        printf("# child: %s\n", wm_diag_text(diag));
        fflush(stdout);
        _exit(CHILD_FAILED);
    }
}

static void child_step(struct child *child)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint64_t what = next_random(&child->random) % 100;
    struct seglog_segment oldest;
    seglog_segment(child->log, 0, &oldest);
    if (what < 60) {
        for (uint64_t n = 1 + next_random(&child->random) % 10; n > 0; n--) {
            uint64_t content = next_random(&child->random), number;
            uint8_t kind;
            struct wm_view bytes = content_of(content, &kind);
            tell(child, APPENDING, child->next, content);
            must(seglog_append(child->log, kind, bytes, &number, &diag), &diag);
            if (number != child->next++) {
                _exit(CHILD_FAILED);
            }
        }
    } else if (what < 90) {
        must(seglog_sync(child->log, &diag), &diag);
        tell(child, DURABLE, child->next, 0);
    } else if (what < 93) {
        must(seglog_cut(child->log, &diag), &diag);
        tell(child, DURABLE, child->next, 0);
    } else if (what < 97) {
        uint64_t back = next_random(&child->random) % 40;
        uint64_t number = child->next - oldest.first < back ? oldest.first : child->next - back;
        tell(child, TRUNCATING, number, 0);
        must(seglog_truncate(child->log, number, &diag), &diag);
        tell(child, TRUNCATED, number, 0);
        child->next = number;
    } else if (child->next - oldest.first > KEPT) {
        tell(child, REMOVING, child->next - KEPT / 2, 0);
        must(seglog_remove_before(child->log, child->next - KEPT / 2, &diag), &diag);
        seglog_segment(child->log, 0, &oldest);
        tell(child, REMOVED, oldest.first, 0);
    }
}

static void run_child(const struct world *world, uint64_t random, int pipe_fd)
{
    struct child child = {.pipe = pipe_fd, .random = random};
    struct seglog_opened opened;
    struct wm_diag diag = WM_DIAG_INIT;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    must(open_log(world, &child.log, &opened, &diag), &diag);
    child.next = opened.next;
    tell(&child, OPENED, child.next, 0);
    for (;;) {
        child_step(&child);
    }
}

/* --- The parent --- */

static void hear(struct world *world, const struct message *message)
{
    switch ((enum told)message->what) {
    case OPENED: break;
    case APPENDING:
        world->bad |= message->number > world->records.count;
        world->records.count = (size_t)message->number;
        world->bad |= wm_vec_push(&world->records, message->content) != 0;
        break;
    case DURABLE:
        world->acked = message->number;
        world->heard++;
        break;
    case TRUNCATING: world->truncated = message->number; break;
    case TRUNCATED:
        /* Where nothing was removed, nothing was synced. */
        world->acked = message->number < world->records.count ? message->number : world->acked;
        world->records.count = (size_t)message->number;
        world->truncated = UINT64_MAX;
        break;
    case REMOVING: world->first_most = message->number; break;
    case REMOVED: world->first = world->first_most = message->number; break;
    }
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Starts a child, hears it, kills it, hears the rest. */
static void one_life(struct world *world, uint64_t random)
{
    int fds[2];
    struct message message;
    uint64_t state = random;
    if (pipe(fds) != 0) {
        world->bad = true;
        return;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        run_child(world, random, fds[1]);
    }
    close(fds[1]);
    struct pollfd ready = {.fd = fds[0], .events = POLLIN};
    if (next_random(&state) % 4 != 0) {
        (void)poll(&ready, 1, OPENING_MS);
    }
    int64_t end = now_ms() + (int64_t)(next_random(&state) % (LIFE_MS + 1)), left;
    while ((left = end - now_ms()) > 0) {
        if (poll(&ready, 1, (int)left) > 0 &&
            read(fds[0], &message, sizeof message) == sizeof message) {
            hear(world, &message);
        }
    }
    kill(pid, SIGKILL);
    while (read(fds[0], &message, sizeof message) == sizeof message) {
        hear(world, &message);
    }
    close(fds[0]);
    int status = 0;
    world->bad |= waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status);
}

static void check(struct world *world, uint64_t round)
{
    struct seglog *log = NULL;
    struct seglog_opened opened;
    struct wm_diag diag = WM_DIAG_INIT;
    int err = open_log(world, &log, &opened, &diag);
    if (err) {
        wm_test_note("round %llu: %s", (unsigned long long)round, wm_diag_text(&diag));
        world->bad = true;
        return;
    }
    bool untouched = opened.next >= world->acked && opened.next <= world->records.count;
    world->bad |= !untouched && opened.next != world->truncated;
    world->bad |= opened.first < world->first || opened.first > world->first_most;
    for (uint64_t i = opened.first; i < opened.next && !world->bad; i++) {
        uint8_t kind, wanted_kind;
        struct wm_view bytes, wanted = content_of(world->records.items[i], &wanted_kind);
        world->bad |= seglog_read(log, i, &kind, &bytes, &diag) != 0 || kind != wanted_kind ||
                      !wm_view_eq(bytes, wanted);
    }
    for (uint64_t i = 0; i + 1 < seglog_segments(log); i++) {
        world->bad |= world->seal && seglog_check(log, i, &diag) != 0;
    }
    if (world->bad) {
        wm_test_note("round %llu: %llu to %llu are there; durable were %llu, appended %llu; %s",
                     (unsigned long long)round, (unsigned long long)opened.first,
                     (unsigned long long)opened.next, (unsigned long long)world->acked,
                     (unsigned long long)world->records.count, wm_diag_text(&diag));
    }
    seglog_close(log);
    world->records.count = (size_t)opened.next;
    world->acked = opened.next;
    world->first = world->first_most = opened.first;
    world->truncated = UINT64_MAX;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void run(bool seal)
{
    struct world world = {
        .root = "/tmp/wm-seglog-crash-XXXXXX", .seal = seal, .truncated = UINT64_MAX};
    uint64_t random = seed + seal;
    REQUIRE(mkdtemp(world.root) != NULL);
    snprintf(world.path, sizeof world.path, "%s/log", world.root);
    int64_t end = now_ms() + TEST_MS;
    uint64_t round = 0;
    while (round < rounds && !world.bad && (round < ROUNDS_LEAST || now_ms() < end)) {
        one_life(&world, next_random(&random));
        check(&world, round++);
    }
    CHECK(!world.bad);
    wm_test_note("%llu rounds; %llu times durable; %zu records, %llu removed",
                 (unsigned long long)round, (unsigned long long)world.heard, world.records.count,
                 (unsigned long long)world.first);
    CHECK(world.heard > 0);
    wm_vec_fini(&world.records);
    (void)nftw(world.root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TEST(a_killed_journal)
{
    run(false);
}

TEST(a_killed_sealed_log)
{
    run(true);
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {TEST_CASE(a_killed_journal),
                                           TEST_CASE(a_killed_sealed_log)};
    int left = 1;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
            rounds = strtoull(argv[++i], NULL, 0);
        } else {
            argv[left++] = argv[i];
        }
    }
    printf("# --seed %llu --rounds %llu\n", (unsigned long long)seed, (unsigned long long)rounds);
    return wm_test_main(tests, WM_COUNT_OF(tests), left, argv);
}
