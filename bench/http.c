/* http.c: calls over HTTP: what a server spends on one, next to the least that answers by the same
 * library (peers/mhd.c).
 *
 * A node with one tenant, a token, and a function that does nothing and is warm; wrk posts to it
 * and to the peer in turn, with 64 connections and with one. Compared are requests for each second
 * of the server's processor time: of the node and its workers, which the peer has not. wrk shares
 * the machine with both, so what passes in a second of wall time says little here. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define SECONDS "2s"

struct server {
    pid_t pid;
    char url[128];
    char header[160]; /* "Authorization: ..." */
};

static pid_t start(char *const argv[], const char *out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600) !=
            0 ||
        posix_spawn_file_actions_adddup2(&actions, 1, 2) != 0 ||
        posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0) {
        bench_die("%s: cannot start", argv[0]);
    }
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void end(pid_t pid)
{
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
}

static int64_t cpu_of_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec now;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &now) != 0) {
        bench_die("process %d: its processor time cannot be read", (int)pid);
    }
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Of the process and its children, which all live as long as the bench does. */
static int64_t tree_cpu_ns(pid_t pid)
{
    int64_t sum_ns = cpu_of_ns(pid);
    struct dirent *entry;
    DIR *processes = opendir("/proc");
    while (processes && (entry = readdir(processes))) {
        char path[300];
        int child = atoi(entry->d_name), parent = 0;
        snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *file = child > 0 ? fopen(path, "re") : NULL;
        if (file) {
            if (fscanf(file, "%*d (%*[^)]) %*c %d", &parent) == 1 && parent == (int)pid) {
                sum_ns += cpu_of_ns(child);
            }
            fclose(file);
        }
    }
    if (processes) {
        closedir(processes);
    }
    return sum_ns;
}

/* --- The servers --- */

/* The first line of a file that a starting server writes. */
static void first_line(const char *path, char *line, int room)
{
    for (int i = 0; i < 500; i++) {
        FILE *file = fopen(path, "re");
        char *got = file ? fgets(line, room, file) : NULL;
        if (file) {
            fclose(file);
        }
        if (got && strchr(line, '\n')) {
            line[strcspn(line, "\n")] = 0;
            return;
        }
        usleep(20000);
    }
    bench_die("%s: the server says nothing", path);
}

static void start_node(const struct bench_config *config, struct server *server)
{
    char *data = bench_path(config, "http/data"), *out = bench_path(config, "http/node.out");
    char *token = bench_path(config, "http/token"), line[256], node[600];
    struct bench_process process;
    char *clean[] = {"rm", "-rf", data, token, out, NULL};
    bench_process_must(clean, &process);
    char *argv[] = {
        bench_path(config, "../wardmote-node"), "--data", data, "--listen", "127.0.0.1:0", NULL};
    server->pid = start(argv, out);
    first_line(out, line, sizeof line);
    char *url = strstr(line, "http://");
    if (!url) {
        bench_die("%s: %s", argv[0], line);
    }
    char absolute[512];
    if (!realpath(data, absolute)) {
        bench_die("%s: is not there", data);
    }
    snprintf(node, sizeof node, "unix:%s/node.sock", absolute);
    char *wardmote = (char *)config->wardmote;
    char *add[] = {wardmote, "tenant", "add", "--node", node, "bench", NULL};
    char *make[] = {wardmote, "tenant", "token", "--node", node, "--role",
                    "invoke", "-o",     token,   "bench",  NULL};
    char *put[] = {wardmote, "fn",       "put",   "--node",
                   node,     "--tenant", "bench", bench_path(config, "faaslet/guest.wasm"),
                   "noop",   NULL};
    bench_process_must(add, &process);
    bench_process_must(make, &process);
    bench_process_must(put, &process);
    snprintf(server->url, sizeof server->url, "%s/v1/call/noop", url);
    first_line(token, line, sizeof line);
    snprintf(server->header, sizeof server->header, "Authorization: Bearer %.120s", line);
}

/* A port that nobody listens on, most probably also a moment later. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        bench_die("no port is free");
    }
    close(fd);
    return ntohs(address.sin_port);
}

static void start_mhd(const struct bench_config *config, struct server *server)
{
    char port[16];
    snprintf(port, sizeof port, "%d", free_port());
    char *argv[] = {bench_path(config, "http/mhd"), port, NULL};
    server->pid = start(argv, "/dev/null");
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%s/v1/call/noop", port);
    snprintf(server->header, sizeof server->header, "Authorization: Bearer none");
    usleep(200000);
}

/* --- The load --- */

struct load {
    double per_cpu_second;
    double p50_us;
};

static struct load run_wrk(const struct bench_config *config, const struct server *server,
                           const char *connections)
{
    struct bench_process process;
    char *argv[] = {"wrk",
                    "-t1",
                    "-c",
                    (char *)connections,
                    "-d",
                    SECONDS,
                    "--latency",
                    "-s",
                    bench_path(config, "http/post.lua"),
                    "-H",
                    (char *)server->header,
                    (char *)server->url,
                    NULL};
    int64_t before_ns = tree_cpu_ns(server->pid);
    bench_process_must(argv, &process);
    int64_t used_ns = tree_cpu_ns(server->pid) - before_ns;
    double requests = 0, p50 = 0;
    char unit[8] = "";
    const char *median = strstr(process.out, "50%"), *total = strstr(process.out, " requests in ");
    while (total && total > process.out && total[-1] != '\n') {
        total--;
    }
    if (!total || sscanf(total, " %lf", &requests) != 1 || !median ||
        sscanf(median, "50%% %lf%7s", &p50, unit) != 2 || strstr(process.out, "Non-2xx") ||
        strstr(process.out, "Socket errors")) {
        bench_die("wrk on %s:\n%s", server->url, process.out);
    }
    p50 *= strcmp(unit, "us") == 0 ? 1 : strcmp(unit, "ms") == 0 ? 1e3 : 1e6;
    return (struct load){requests * 1e9 / (double)used_ns, p50};
}

static void figure(const struct bench_config *config, const char *name, double *values, double goal,
                   const char *unit, double *peer)
{
    struct bench_stat stat = bench_stat(values, (size_t)config->rounds);
    struct bench_figure line = {.name = name,
                                .value = stat.median,
                                .unit = unit,
                                .goal = goal,
                                .goal_at_least = true,
                                .peer = peer ? "libmicrohttpd" : NULL,
                                .peer_value =
                                    peer ? bench_stat(peer, (size_t)config->rounds).median : 0,
                                .spread = stat.q3 - stat.q1,
                                .runs = stat.count};
    bench_figure_write(config, &line);
}

int main(int argc, char **argv)
{
    struct bench_config config = bench_start(argc, argv, 9);
    static const char *const connections[] = {"64", "1"};
    static double ratio[2][BENCH_ROUNDS_MAX], ours[2][BENCH_ROUNDS_MAX];
    static double theirs[2][BENCH_ROUNDS_MAX], p50[2][BENCH_ROUNDS_MAX];
    static double their_p50[2][BENCH_ROUNDS_MAX];
    struct server node, mhd;
    if (config.wardmote == NULL) {
        bench_die("%s/wardmote: not built", config.build);
    }
    start_node(&config, &node);
    start_mhd(&config, &mhd);
    (void)run_wrk(&config, &node, "64"); /* warms up */
    (void)run_wrk(&config, &mhd, "64");
    for (int r = 0; r < config.rounds; r++) {
        for (int c = 0; c < 2; c++) {
            /* Each is first in every other round. */
            struct load first = run_wrk(&config, r % 2 ? &mhd : &node, connections[c]);
            struct load second = run_wrk(&config, r % 2 ? &node : &mhd, connections[c]);
            struct load us = r % 2 ? second : first, them = r % 2 ? first : second;
            ratio[c][r] = us.per_cpu_second / them.per_cpu_second;
            ours[c][r] = us.per_cpu_second;
            theirs[c][r] = them.per_cpu_second;
            p50[c][r] = us.p50_us;
            their_p50[c][r] = them.p50_us;
        }
    }
    end(node.pid);
    end(mhd.pid);
    figure(&config, "faaslet.http_vs_mhd", ratio[0], 0.6, "ratio", NULL);
    figure(&config, "faaslet.http_per_cpu_s", ours[0], 0, "1/s", theirs[0]);
    figure(&config, "faaslet.http_vs_mhd_one", ratio[1], 0, "ratio", NULL);
    figure(&config, "faaslet.http_per_cpu_s_one", ours[1], 0, "1/s", theirs[1]);
    figure(&config, "faaslet.http_p50_us_one", p50[1], 0, "us", their_p50[1]);
    return 0;
}
