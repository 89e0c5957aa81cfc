/* wardmote-node: the daemon, and backup and restore of one that is not running.
 *
 * SIGTERM and SIGINT drain: no new calls, running ones get drain-s seconds, then it ends with 0. A
 * second signal ends it at once, with 1. Exit status 2: wrong usage or configuration; 1: it could
 * not start. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "host/file.h"
#include "node/backup.h"
#include "node/config.h"
#include "node/log.h"
#include "node/node.h"
#include "node/outbound.h"
#include "store/kv.h"

#define THREADPOOL "8" /* for what blocks: commits, compiling, the tier, files */

struct daemon {
    uv_loop_t loop;
    struct node *node;
    uv_signal_t term, intr;
    uv_timer_t limit;
    struct node_waiter waiter;
    bool stopping;
};

static void stop(struct daemon *daemon)
{
    uv_stop(&daemon->loop);
}

static void drained(struct node_waiter *waiter)
{
    stop(WM_CONTAINER_OF(waiter, struct daemon, waiter));
}

static void on_limit(uv_timer_t *timer)
{
    log_line(LOG_WARN, "node", "drain=late");
    stop(timer->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct daemon *daemon = handle->data;
    if (daemon->stopping) {
        log_line(LOG_WARN, "node", "signal=%d ending=at-once", number);
        _exit(1);
    }
    daemon->stopping = true;
    (void)uv_timer_start(&daemon->limit, on_limit, daemon->node->config->drain_s * 1000ull, 0);
    node_drain(daemon->node, &daemon->waiter);
}

static void close_signals(struct daemon *daemon)
{
    uv_close((uv_handle_t *)&daemon->term, NULL);
    uv_close((uv_handle_t *)&daemon->intr, NULL);
    uv_close((uv_handle_t *)&daemon->limit, NULL);
    (void)uv_run(&daemon->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&daemon->loop);
}

/* A connection is a descriptor: as many as this process may have. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run(const struct config *config)
{
    struct daemon daemon = {.stopping = false};
    struct wm_diag diag = WM_DIAG_INIT;
    enum log_level level;
    if (log_level_parse(config->log, &level)) {
        log_set_level(level);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setenv("UV_THREADPOOL_SIZE", THREADPOOL, 0);
    raise_files();
    if (uv_loop_init(&daemon.loop) != 0) {
        fprintf(stderr, "wardmote-node: no event loop\n");
        return 1;
    }
    (void)uv_signal_init(&daemon.loop, &daemon.term);
    (void)uv_signal_init(&daemon.loop, &daemon.intr);
    (void)uv_timer_init(&daemon.loop, &daemon.limit);
    daemon.term.data = daemon.intr.data = daemon.limit.data = &daemon;
    daemon.waiter.drained = drained;
    int err = outbound_init(&diag);
    err = err ? err : node_open(config, &daemon.loop, &daemon.node, &diag);
    if (err) {
        fprintf(stderr, "wardmote-node: %s\n", wm_diag_text(&diag));
        close_signals(&daemon);
        return err == WM_E_USAGE ? 2 : err == WM_E_MISSING ? 3 : 1;
    }
    (void)uv_signal_start(&daemon.term, on_signal, SIGTERM);
    (void)uv_signal_start(&daemon.intr, on_signal, SIGINT);
    node_print_addresses(daemon.node);
    (void)uv_run(&daemon.loop, UV_RUN_DEFAULT);
    node_close(daemon.node);
    close_signals(&daemon);
    return 0;
}

static int backup(const struct config *config, const char *path)
{
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t key[32];
    int dir_fd = -1;
    struct kv *kv = NULL;
    char store[4096];
    int err = node_folder_open(config->data, &dir_fd, key, &diag);
    if (err == -EBUSY) {
        wm_diag_prefix(&diag, "use POST /v1/node/backup");
    }
    explicit_bzero(key, sizeof key);
    if (!err &&
        snprintf(store, sizeof store, "%s/" NODE_STORE, config->data) >= (int)sizeof store) {
        err = wm_diag_default(&diag, -ENAMETOOLONG, "data");
    }
    err = err ? err : kv_open(&(struct kv_config){.path = store}, &kv, &diag);
    err = err ? err : backup_write(dir_fd, kv, path, &diag);
    if (kv) {
        kv_close(kv);
    }
    host_file_close(dir_fd);
    if (err) {
        fprintf(stderr, "wardmote-node: backup: %s\n", wm_diag_text(&diag));
    }
    return err ? 1 : 0;
}

static int restore(const struct config *config, const char *path)
{
    struct wm_diag diag = WM_DIAG_INIT;
    int err = backup_restore(path, config->data, &diag);
    if (err) {
        fprintf(stderr, "wardmote-node: restore: %s\n", wm_diag_text(&diag));
    }
    return err ? 1 : 0;
}

/* "backup" and "restore" with their folder are taken out of the arguments. */
static const char *take_verb(int *argc, char **argv, const char *verb)
{
    static const char none[] = "";
    if (*argc < 2 || strcmp(argv[1], verb) != 0) {
        return NULL;
    }
    const char *path = none;
    int to = 1;
    for (int i = 2; i < *argc; i++) {
        if (argv[i][0] != '-' && (i == 2 || strcmp(argv[i - 1], "--data") != 0) && !*path) {
            path = argv[i];
        } else {
            argv[to++] = argv[i];
        }
    }
    *argc = to;
    return path;
}

int main(int argc, char **argv)
{
    struct config config;
    struct wm_diag diag = WM_DIAG_INIT;
    enum config_action action;
    const char *out = take_verb(&argc, argv, "backup");
    const char *from = out ? NULL : take_verb(&argc, argv, "restore");
    config_init(&config);
    int err = config_args(&config, argc, argv, &action, &diag);
    if (!err && action == CONFIG_HELP) {
        config_help(stdout);
        config_fini(&config);
        return 0;
    }
    if (!err && action == CONFIG_VERSION) {
        printf("wardmote-node %s\n", WARDMOTE_VERSION);
        config_fini(&config);
        return 0;
    }
    err = err ? err : config_check(&config, &diag);
    if (!err && ((out && !*out) || (from && !*from))) {
        err = wm_diag_set(&diag, WM_E_USAGE, "%s: needs a folder", out ? "backup" : "restore");
    }
    int status = 2;
    if (err) {
        fprintf(stderr, "wardmote-node: %s\n", wm_diag_text(&diag));
    } else if (action == CONFIG_PRINT) {
        config_print(&config, stdout);
        status = 0;
    } else {
        status = out ? backup(&config, out) : from ? restore(&config, from) : run(&config);
    }
    config_fini(&config);
    return status;
}
