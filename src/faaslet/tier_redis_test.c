/* tier_redis_test.c: the contract on a redis-server of the test's own, on a unix socket in a
 * temporary folder; what its end and its silence do; and what is said about its persistence. */
#include "faaslet/tier_redis.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "faaslet/tier_contract.h"

#define V(text) wm_view_str(text)
#define KEY(text) ((struct tier_key){V("tenant"), V(text)})
#define SERVER "/usr/bin/redis-server"

struct server {
    char root[64], address[96];
    pid_t pid;
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void run(struct server *server, const char *append, const char *save)
{
    server->pid = fork();
    if (server->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        execl(SERVER, SERVER, "--port", "0", "--unixsocket", server->address + 5, "--dir",
              server->root, "--appendonly", append, "--save", save, "--appendfsync", "always",
              (char *)NULL);
        _exit(127);
    }
}

/* Waits until it answers. */
static bool open_tier(struct server *server, struct tier *tier, struct wm_diag *warning)
{
    struct redis_config config = {.address = server->address, .timeout_ms = 3000};
    for (int i = 0; i < 200; i++) {
        if (tier_redis_open(&config, tier, warning, NULL) == 0) {
            return true;
        }
        usleep(20000);
    }
    return false;
}

static bool enter(struct server *server, const char *append, const char *save)
{
    *server = (struct server){.root = "/tmp/wm-redis-XXXXXX"};
    if (!mkdtemp(server->root)) {
        return false;
    }
    snprintf(server->address, sizeof server->address, "unix:%s/socket", server->root);
    run(server, append, save);
    return server->pid > 0;
}

static void end(struct server *server)
{
    if (server->pid > 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

static void leave(struct server *server)
{
    end(server);
    (void)nftw(server->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct server common;
static struct tier common_tier;

static const struct tier *tier(void)
{
    if (!common.pid && (!enter(&common, "yes", "") || !open_tier(&common, &common_tier, NULL))) {
        leave(&common);
        fprintf(stderr, "redis-server does not start\n");
        exit(1);
    }
    return &common_tier;
}

TIER_CONTRACT(redis, tier())

TEST(redis_threads)
{
    struct tier tiers[6];
    for (unsigned i = 0; i < 6; i++) {
        tiers[i] = *tier();
    }
    tier_contract_threads(tiers, 6, "threads");
}

static int write_text(const struct tier *at, const char *key, uint64_t bytes, const void *text,
                      uint64_t len)
{
    struct tier_range range = {0, len, (uint8_t *)(uintptr_t)text};
    return at->ops->write(at->self, KEY(key), bytes, &range, 1, 0, NULL);
}

TEST(large_values_and_many_ranges)
{
    const struct tier *at = tier();
    const uint64_t bytes = 24u << 20;
    uint8_t *data = wm_alloc(bytes), *read = wm_alloc_zero(bytes, 1);
    struct tier_range *ranges = wm_alloc_zero(5000, sizeof *ranges);
    REQUIRE(data && read && ranges);
    for (uint64_t i = 0; i < bytes; i++) {
        data[i] = (uint8_t)(i * 31 + (i >> 13));
    }
    CHECK_INT(write_text(at, "large", bytes, data, bytes), ==, 0);
    struct tier_range whole = {0, bytes, read};
    CHECK_INT(at->ops->read(at->self, KEY("large"), &whole, 1, NULL), ==, 0);
    CHECK(memcmp(read, data, bytes) == 0);
    memset(read, 0, bytes);
    for (uint32_t i = 0; i < 5000; i++) { /* of all sizes around those where the way changes */
        uint64_t offset = (uint64_t)i * 4800;
        uint64_t len = i % 700 == 0 ? 70000 : i % 50 == 0 ? 16384 + i % 3 : i % 3 * 40;
        len = len < bytes - offset ? len : bytes - offset;
        ranges[i] = (struct tier_range){offset, len, read + offset};
    }
    CHECK_INT(at->ops->read(at->self, KEY("large"), ranges, 5000, NULL), ==, 0);
    bool same = true;
    for (uint32_t i = 0; i < 5000; i++) {
        same = same && memcmp(ranges[i].bytes, data + ranges[i].offset, ranges[i].len) == 0;
    }
    CHECK(same);
    for (uint32_t i = 0; i < 5000; i++) {
        ranges[i].bytes = data + bytes - 70000 - i;
    }
    CHECK_INT(at->ops->write(at->self, KEY("large"), bytes, ranges, 5000, 0, NULL), ==, 0);
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(read + ranges[i].offset, ranges[i].bytes, ranges[i].len);
    }
    for (uint32_t i = 0; i < 5000; i += 333) {
        uint8_t some[64];
        struct tier_range range = {ranges[i].offset, ranges[i].len < 64 ? ranges[i].len : 64, some};
        CHECK_INT(at->ops->read(at->self, KEY("large"), &range, 1, NULL), ==, 0);
        CHECK(memcmp(some, read + range.offset, range.len) == 0);
    }
    CHECK_INT(write_text(at, "too-large", TIER_REDIS_VALUE_BYTES_MAX + 1, "x", 1), ==, WM_E_LIMIT);
    wm_free(data);
    wm_free(read);
    wm_free(ranges);
}

static bool count_in_order(void *self, struct wm_view name, uint64_t bytes)
{
    char key[16];
    unsigned *next = self;
    snprintf(key, sizeof key, "many%04u", (*next)++);
    CHECK(wm_view_eq_str(name, key) && bytes > 0);
    return true;
}

TEST(many_keys_are_listed_in_order)
{
    const struct tier *at = tier();
    char key[16];
    for (unsigned i = 0; i < 600; i++) { /* more than are asked for at once */
        snprintf(key, sizeof key, "many%04u", (i * 7) % 600);
        REQUIRE(at->ops->create(at->self, (struct tier_key){V("lister"), V(key)}, i + 1, NULL) ==
                0);
    }
    struct tier_stats stats;
    tier_redis_stats(at, &stats);
    CHECK_INT(stats.writes, >=, 600);
    unsigned next = 0;
    CHECK_INT(at->ops->list(at->self, V("lister"), V("many"), V(""), count_in_order, &next, NULL),
              ==, 0);
    CHECK_INT(next, ==, 600);
}

TEST(a_waiting_writer_keeps_new_readers_out)
{
    const struct tier *at = tier();
    struct tier_lock first = {.owner = {1}, .mode = TIER_LOCK_READ};
    struct tier_lock second = {.owner = {2}, .mode = TIER_LOCK_READ};
    struct tier_lock writer = {.owner = {3}, .mode = TIER_LOCK_WRITE};
    CHECK_INT(at->ops->lock(at->self, KEY("q"), &first, 60000, 0, NULL), ==, 0);
    pid_t child = fork();
    if (child == 0) {
        struct tier own;
        int err = open_tier(&common, &own, NULL)
                      ? own.ops->lock(own.self, KEY("q"), &writer, 60000, 10000, NULL)
                      : -1;
        _exit(err ? 1 : 0);
    }
    int err = 0; /* a reader is let in until the writer has asked, and not after that */
    for (int i = 0; i < 1000 && !err; i++) {
        usleep(5000);
        err = at->ops->lock(at->self, KEY("q"), &second, 60000, 0, NULL);
        CHECK(err || at->ops->unlock(at->self, KEY("q"), &second, NULL) == 0);
    }
    CHECK_INT(err, ==, WM_E_BUSY);
    CHECK_INT(at->ops->unlock(at->self, KEY("q"), &first, NULL), ==, 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK_INT(at->ops->lock(at->self, KEY("q"), &second, 60000, 0, NULL), ==, WM_E_BUSY);
}

TEST(a_server_that_was_killed_has_kept_what_it_acknowledged)
{
    const struct tier *at = tier();
    uint64_t bytes = 0, index = 9;
    struct tier_lock lock = {.owner = {7}, .mode = TIER_LOCK_WRITE};
    struct tier_lock other = {.owner = {8}, .mode = TIER_LOCK_WRITE};
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(write_text(at, "kept", 5, "bytes", 5), ==, 0);
    CHECK_INT(at->ops->append(at->self, KEY("kept"), V("e"), &index, NULL), ==, 0);
    CHECK_INT(at->ops->lock(at->self, KEY("kept"), &lock, 60000, 0, NULL), ==, 0);
    end(&common);
    CHECK_INT(at->ops->size(at->self, KEY("kept"), &bytes, &diag), ==, -EHOSTUNREACH);
    CHECK(strstr(diag.text, common.address) != NULL);
    run(&common, "yes", "");
    for (int i = 0; i < 200 && at->ops->size(at->self, KEY("kept"), &bytes, NULL) != 0; i++) {
        usleep(20000);
    }
    CHECK_INT(bytes, ==, 5); /* and the tier found the server again by itself */
    CHECK_INT(at->ops->lock(at->self, KEY("kept"), &other, 60000, 0, NULL), ==, WM_E_BUSY);
    struct tier_range range = {0, 5, (uint8_t *)"BYTES"};
    CHECK_INT(at->ops->write(at->self, KEY("kept"), 5, &range, 1, lock.token, NULL), ==, 0);
    CHECK_INT(at->ops->appended_count(at->self, KEY("kept"), &bytes, NULL), ==, 0);
    CHECK_INT(bytes, ==, 1);
}

struct pusher {
    const struct tier *tier;
    uint64_t pushed, appended; /* last one that was acknowledged, and how many were */
};

static void *push_on(void *self)
{
    struct pusher *pusher = self;
    const struct tier *at = pusher->tier;
    uint64_t next = pusher->pushed + 1, index;
    while (write_text(at, "pushed", sizeof next, &next, sizeof next) == 0) {
        pusher->pushed = next++;
        if (at->ops->append(at->self, KEY("pushed"), V("element"), &index, NULL) != 0) {
            break;
        }
        pusher->appended++;
    }
    return NULL;
}

TEST(kills_at_any_time_lose_nothing_acknowledged)
{
    struct pusher pusher = {.tier = tier()};
    const struct tier *at = tier();
    for (int round = 0; round < 6; round++) {
        pthread_t thread;
        uint64_t value = 0, count = 0, pushed = pusher.pushed;
        struct tier_range range = {0, sizeof value, (uint8_t *)&value};
        REQUIRE(pthread_create(&thread, NULL, push_on, &pusher) == 0);
        usleep(100000 + 17000 * (unsigned)round);
        end(&common);
        pthread_join(thread, NULL);
        CHECK_INT(pusher.pushed, >, pushed);
        run(&common, "yes", "");
        for (int i = 0; i < 400 && at->ops->read(at->self, KEY("pushed"), &range, 1, NULL) != 0;
             i++) {
            usleep(10000);
        }
        CHECK(value == pusher.pushed || value == pusher.pushed + 1);
        CHECK_INT(at->ops->appended_count(at->self, KEY("pushed"), &count, NULL), ==, 0);
        CHECK_INT(count, >=, pusher.appended);
        CHECK_INT(count, <=, pusher.appended + 1);
        pusher.pushed = value; /* what was not acknowledged, but done, counts from here on */
        pusher.appended = count;
    }
}

TEST(says_what_is_wrong_with_the_persistence)
{
    static const struct {
        const char *append, *save, *expected;
    } cases[] = {
        {"yes", "", ""},
        {"no", "", "persistence switched off"},
        {"no", "3600 1", "snapshots only"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct server server;
        struct tier at;
        struct wm_diag warning = {1, "unset"};
        REQUIRE(enter(&server, cases[i].append, cases[i].save));
        if (!open_tier(&server, &at, &warning)) {
            leave(&server);
            REQUIRE(false);
        }
        CHECK(cases[i].expected[0] ? strstr(warning.text, cases[i].expected) != NULL
                                   : warning.code == 0 && !warning.text[0]);
        at.ops->close(at.self);
        leave(&server);
    }
}

/* --- A server that lies, or says nothing --- */

/* Listens where the tier will connect and answers every connection with `answer`. */
static pid_t liar(struct server *server, const char *answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *server = (struct server){.root = "/tmp/wm-redis-XXXXXX"};
    if (!mkdtemp(server->root)) {
        return -1;
    }
    snprintf(server->address, sizeof server->address, "unix:%s/socket", server->root);
    memcpy(address.sun_path, server->address + 5, strlen(server->address + 5));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0) {
        return -1;
    }
    server->pid = fork();
    if (server->pid == 0) {
        for (;;) {
            int peer = accept(fd, NULL, NULL);
            char bytes[4096];
            while (read(peer, bytes, sizeof bytes) > 0 &&
                   write(peer, answer, strlen(answer)) >= 0 && answer[0]) {
            }
            if (!answer[0]) {
                pause();
            }
            close(peer);
        }
    }
    close(fd);
    return server->pid;
}

TEST(answers_out_of_form_are_refused)
{
    static const char *const answers[] = {
        "nonsense\r\n",
        "$5\r\nabcdefgh",
        "*-1\r\n",
        ":1\r\n",
        "*1\r\n*1\r\n:1\r\n",
        "$99999999999\r\nab",
        "-OOM no\r\n",
        "+OK\r\n",
        "$40\r\n0123456789012345678901234567890123456789\r\n",
    };
    for (size_t i = 0; i < WM_COUNT_OF(answers); i++) {
        struct server server;
        struct tier at;
        struct redis_config config = {.timeout_ms = 300};
        REQUIRE(liar(&server, answers[i]) > 0);
        config.address = server.address;
        int err = tier_redis_open(&config, &at, NULL, NULL);
        if (!err) { /* the last one fits for scripts, and for nothing else */
            static uint8_t read[40000];
            uint64_t index;
            struct tier_range range = {0, sizeof read, read};
            CHECK_INT(at.ops->read(at.self, KEY("k"), &range, 1, NULL), !=, 0);
            CHECK_INT(at.ops->append(at.self, KEY("k"), V("x"), &index, NULL), !=, 0);
            struct tier_lock lock = {.mode = TIER_LOCK_WRITE};
            CHECK_INT(at.ops->lock(at.self, KEY("k"), &lock, 1000, 0, NULL), !=, 0);
            CHECK_INT(write_text(&at, "k", 3, "abc", 3), !=, 0);
            at.ops->close(at.self);
        } else {
            CHECK_INT(err, <, 0);
        }
        leave(&server);
    }
}

TEST(a_silent_server_does_not_hold_anybody_up)
{
    struct server server;
    struct tier at;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(liar(&server, "") > 0);
    struct redis_config config = {.address = server.address, .timeout_ms = 100};
    CHECK_INT(tier_redis_open(&config, &at, NULL, &diag), ==, -ETIMEDOUT);
    leave(&server);
    config.address = "unix:/nonexistent/socket";
    CHECK_INT(tier_redis_open(&config, &at, NULL, &diag), ==, -EHOSTUNREACH);
    config.address = "localhost:99999";
    CHECK_INT(tier_redis_open(&config, &at, NULL, &diag), ==, -EHOSTUNREACH);
}

TEST(failures_are_reported_and_pass)
{
    const struct tier *at = tier();
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        bool fired = true;
        for (uint64_t n = 1; fired; n++) {
            wm_fault_arm((enum wm_fault_kind)kind, n);
            int err = write_text(at, "faulty", 4, "data", 4);
            uint8_t read[4];
            struct tier_range range = {0, 4, read};
            int read_err = err ? err : at->ops->read(at->self, KEY("faulty"), &range, 1, NULL);
            fired = wm_fault_fired((enum wm_fault_kind)kind);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            CHECK_INT(read_err == 0, ==, !fired);
        }
    }
    tier(); /* the last test: ends the server */
    common_tier.ops->close(common_tier.self);
    leave(&common);
}

static void skipped(void)
{
    wm_test_skip("redis-server is not installed (tools/deps test)");
}

int main(int argc, char **argv)
{
    static const struct wm_test tests[] = {
        TIER_CONTRACT_CASES(redis),
        TEST_CASE(redis_threads),
        TEST_CASE(large_values_and_many_ranges),
        TEST_CASE(many_keys_are_listed_in_order),
        TEST_CASE(a_waiting_writer_keeps_new_readers_out),
        TEST_CASE(a_server_that_was_killed_has_kept_what_it_acknowledged),
        TEST_CASE(kills_at_any_time_lose_nothing_acknowledged),
        TEST_CASE(says_what_is_wrong_with_the_persistence),
        TEST_CASE(answers_out_of_form_are_refused),
        TEST_CASE(a_silent_server_does_not_hold_anybody_up),
        TEST_CASE(failures_are_reported_and_pass),
    };
    static const struct wm_test none[] = {{"redis", skipped}};
    return access(SERVER, X_OK) == 0 ? wm_test_main(tests, WM_COUNT_OF(tests), argc, argv)
                                     : wm_test_main(none, 1, argc, argv);
}
