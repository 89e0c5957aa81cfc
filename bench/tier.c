/* tier.c: what the global tier costs on top of what carries it, for a value of 1 MiB.
 *
 *   redis     push and pull by tier_redis against SET and GET of the same bytes by bare hiredis, on
 *             one redis-server of the bench's own, on a unix socket in a temporary folder, with
 *             appendonly no and yes (everysec)
 *   embedded  push and pull by tier_rpc over a socketpair to a thread that serves the embedded
 * tier: with the bytes in a shared region and in the request; against one memcpy of 1 MiB. The
 *             store syncs, except where a figure says otherwise.
 *
 * One round runs each variant once, in turn; wall time. A figure is the median of the ratios. */
#include <hiredis/hiredis.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "faaslet/tier_embedded.h"
#include "faaslet/tier_redis.h"
#include "faaslet/tier_rpc.h"

#define BYTES ((uint64_t)1 << 20)
#define SERVER "/usr/bin/redis-server"

static char root[] = "/tmp/wm-bench-tier-XXXXXX";
static pid_t server;
static uint8_t *data, *back; /* of BYTES; in a memfd, for sharing */
static int data_fd;

static const struct tier_key key = {{(const uint8_t *)"bench", 5}, {(const uint8_t *)"value", 5}};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void clean(void)
{
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
        server = 0;
    }
    (void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static double us_since(int64_t start)
{
    return (double)(bench_now_ns(BENCH_WALL) - start) / 1e3;
}

static double push_us(const struct tier *tier)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct tier_range range = {0, BYTES, data};
    data[0]++;
    int64_t start = bench_now_ns(BENCH_WALL);
    if (tier->ops->write(tier->self, key, BYTES, &range, 1, 0, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    return us_since(start);
}

static double pull_us(const struct tier *tier)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct tier_range range = {0, BYTES, back};
    int64_t start = bench_now_ns(BENCH_WALL);
    if (tier->ops->read(tier->self, key, &range, 1, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    double us = us_since(start);
    if (memcmp(data, back, BYTES) != 0) {
        bench_die("what was pulled is not what was pushed");
    }
    return us;
}

static void figure(const struct bench_config *config, const char *name, double *values,
                   const char *unit, double goal, const char *peer, double peer_value)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    struct bench_figure line = {.name = name,
                                .value = stat.median,
                                .unit = unit,
                                .goal = goal,
                                .goal_at_least = true,
                                .peer = peer,
                                .peer_value = peer_value,
                                .spread = stat.q3 - stat.q1,
                                .runs = stat.count};
    bench_figure_write(config, &line);
}

/* --- Redis --- */

static double raw_us(redisContext *raw, bool push)
{
    int64_t start = bench_now_ns(BENCH_WALL);
    redisReply *reply =
        push ? redisCommand(raw, "SET raw %b", data, (size_t)BYTES) : redisCommand(raw, "GET raw");
    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        bench_die("redis: %s", raw->errstr);
    }
    if (!push) { /* to where it is wanted, as a pull must */
        memcpy(back, reply->str, reply->len == BYTES ? BYTES : 0);
    }
    freeReplyObject(reply);
    return us_since(start);
}

static void start_server(const char *append, char *address, size_t room)
{
    char folder[64];
    snprintf(folder, sizeof folder, "%s/%s", root, append);
    if (mkdir(folder, 0700) != 0) {
        bench_die("%s: %s", folder, strerror(errno));
    }
    snprintf(address, room, "unix:%s/socket", folder);
    server = fork();
    if (server == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        dup2(null, 2);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(SERVER, SERVER, "--port", "0", "--unixsocket", address + 5, "--dir", folder,
              "--appendonly", append, "--save", "", (char *)NULL);
        _exit(127);
    }
}

static void redis_figures(const struct bench_config *config, const char *append)
{
    static double raw[2][BENCH_ROUNDS_MAX], ratios[2][BENCH_ROUNDS_MAX], both[BENCH_ROUNDS_MAX];
    char address[96], name[64];
    struct tier tier;
    struct wm_diag diag = WM_DIAG_INIT;
    start_server(append, address, sizeof address);
    struct redis_config redis = {.address = address};
    for (int i = 0; tier_redis_open(&redis, &tier, NULL, &diag) != 0; i++) {
        if (i == 200) {
            bench_die("%s", wm_diag_text(&diag));
        }
        usleep(20000);
    }
    redisContext *context = redisConnectUnix(address + 5);
    if (!context || context->err) {
        bench_die("redis: no connection");
    }
    for (int i = -5; i < config->rounds; i++) {
        double raw_us_of[2], own_us_of[2];
        for (int turn = 0; turn < 2; turn++) { /* who comes first changes from round to round */
            if (turn == (i & 1)) {
                raw_us_of[0] = raw_us(context, true);
                raw_us_of[1] = raw_us(context, false);
            } else {
                own_us_of[0] = push_us(&tier);
                own_us_of[1] = pull_us(&tier);
            }
        }
        for (int way = 0; i >= 0 && way < 2; way++) {
            raw[way][i] = raw_us_of[way];
            ratios[way][i] = raw_us_of[way] / own_us_of[way];
        }
        if (i >= 0) {
            both[i] = (raw_us_of[0] + raw_us_of[1]) / (own_us_of[0] + own_us_of[1]);
        }
    }
    bool persistent = strcmp(append, "yes") == 0;
    snprintf(name, sizeof name, "faaslet.redis_vs_raw%s", persistent ? "_aof" : "");
    figure(config, name, both, "ratio", 0.9, NULL, 0);
    const char *const ways[] = {"push", "pull"};
    for (int way = 0; way < 2; way++) {
        struct bench_stat stat = bench_stat(raw[way], (size_t)config->rounds);
        snprintf(name, sizeof name, "faaslet.redis_vs_raw%s.%s", persistent ? "_aof" : "",
                 ways[way]);
        figure(config, name, ratios[way], "ratio", 0.9, "hiredis, us", stat.median);
    }
    redisFree(context);
    tier.ops->close(tier.self);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = 0;
}

/* --- Embedded --- */

struct node {
    struct tier_rpc_server server;
    int fd;
};

static int handle(void *self, struct rpc_request *request)
{
    return tier_rpc_handle(&((struct node *)self)->server, request);
}

static void *serve(void *self)
{
    struct node *node = self;
    struct rpc_transport transport;
    if (rpc_socket_transport(node->fd, &transport) == 0) {
        (void)!rpc_serve(&transport, handle, node, NULL);
    }
    return NULL;
}

static void embedded_figures(const struct bench_config *config, bool sync)
{
    static double push[2][BENCH_ROUNDS_MAX], pull[2][BENCH_ROUNDS_MAX], copy[BENCH_ROUNDS_MAX];
    char path[64], name[64];
    int fds[2];
    struct kv *kv;
    struct tier embedded, tiers[2];
    struct tier_regions *regions;
    struct tier_shares *shares;
    struct rpc_transport transport;
    struct rpc_client *rpc;
    struct tier_rpc_client clients[2]; /* one that shares and one that does not */
    pthread_t thread;
    struct wm_diag diag = WM_DIAG_INIT;
    snprintf(path, sizeof path, "%s/store%d", root, sync);
    struct kv_config kv_config = {path, 0, !sync};
    if (kv_open(&kv_config, &kv, NULL) != 0 ||
        tier_embedded_new(&(struct tier_embedded_config){.kv = kv}, &embedded, NULL) != 0 ||
        tier_regions_new(16, UINT64_C(1) << 30, &regions) != 0 || tier_shares_new(&shares) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0 ||
        rpc_socket_transport(fds[0], &transport) != 0 ||
        rpc_client_new(&transport, &rpc, NULL) != 0) {
        bench_die("the embedded tier does not start");
    }
    struct node node = {{&embedded, NULL, NULL, regions}, fds[1]};
    if (pthread_create(&thread, NULL, serve, &node) != 0) {
        bench_die("no thread");
    }
    tier_rpc_client_init(&clients[0], rpc, NULL, &tiers[0]);
    tier_rpc_client_init(&clients[1], rpc, shares, &tiers[1]);
    if (tier_rpc_share(&clients[1], 1, data_fd, data, 2 * BYTES, &diag) != 0) {
        bench_die("%s", wm_diag_text(&diag));
    }
    for (int i = -3; i < config->rounds; i++) {
        double us[2][2];
        for (int shared = 0; shared < 2; shared++) {
            us[shared][0] = push_us(&tiers[shared]);
            us[shared][1] = pull_us(&tiers[shared]);
        }
        int64_t start = bench_now_ns(BENCH_WALL);
        memcpy(back, data, BYTES);
        __asm__ volatile("" : : "r"(back) : "memory");
        double copy_us = us_since(start);
        if (i >= 0) {
            copy[i] = copy_us;
            for (int shared = 0; shared < 2; shared++) {
                push[shared][i] = us[shared][0];
                pull[shared][i] = us[shared][1];
            }
        }
    }
    double memcpy_us = bench_stat(copy, (size_t)config->rounds).median;
    for (int shared = 0; shared < 2; shared++) {
        const char *how = shared ? "shared" : "inline";
        snprintf(name, sizeof name, "faaslet.embedded_%s_us.push%s", how, sync ? "" : "_nosync");
        figure(config, name, push[shared], "us", 0, "memcpy", memcpy_us);
        if (sync) {
            snprintf(name, sizeof name, "faaslet.embedded_%s_us.pull", how);
            figure(config, name, pull[shared], "us", 0, "memcpy", memcpy_us);
        }
    }
    rpc_client_free(rpc);
    pthread_join(thread, NULL);
    tier_shares_free(shares);
    tier_regions_free(regions);
    embedded.ops->close(embedded.self);
    kv_close(kv);
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 201);
    data_fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (!mkdtemp(root) || data_fd < 0 || ftruncate(data_fd, (off_t)(2 * BYTES)) != 0 ||
        fcntl(data_fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
        (data = mmap(NULL, 2 * BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, data_fd, 0)) ==
            MAP_FAILED) {
        bench_die("no memory to push: %s", strerror(errno));
    }
    atexit(clean);
    back = data + BYTES;
    for (uint64_t i = 0; i < BYTES; i++) {
        data[i] = (uint8_t)(i * 167 + (i >> 11));
    }
    memset(back, 0, BYTES);
    if (access(SERVER, X_OK) == 0) {
        redis_figures(&config, "no");
        redis_figures(&config, "yes");
    } else {
        printf("tier: redis-server is not installed: its figures are left out\n");
    }
    embedded_figures(&config, true);
    embedded_figures(&config, false);
    return 0;
}
