/* One replica as a process: signals are waited for in the main thread. */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "node/log.h"
#include "node/replica.h"

static void on_log(void *self, const char *line)
{
    (void)self;
    log_line(LOG_INFO, "ledger", "%s", line);
}

struct waiter {
    struct replica *replica;
    struct wm_diag diag;
    int code;
    pthread_t main;
};

/* Ends the main thread's wait when the replica has stopped by itself. */
static void *wait_for(void *self)
{
    struct waiter *waiter = self;
    waiter->code = replica_wait(waiter->replica, &waiter->diag);
    (void)pthread_kill(waiter->main, SIGTERM);
    return NULL;
}

static int status_of(int code, const struct wm_diag *diag)
{
    if (code != 0) {
        fprintf(stderr, "wardmote-replica: %s\n", wm_diag_text(diag));
    }
    return code == 0 ? 0 : code == WM_E_STALE ? 3 : code == WM_E_USAGE ? 2 : 1;
}

int main(int argc, char **argv)
{
    struct replica_config config = {.log = on_log};
    struct waiter waiter = {.diag = WM_DIAG_INIT, .main = pthread_self()};
    struct rlimit limit;
    sigset_t set;
    pthread_t thread;
    int number;
    for (int i = 1; i < argc; i += 2) {
        const char **to = strcmp(argv[i], "--ledger") == 0          ? &config.folder
                          : strcmp(argv[i], "--peer-listen") == 0   ? &config.peer_listen
                          : strcmp(argv[i], "--client-listen") == 0 ? &config.client_listen
                                                                    : NULL;
        if (!to || i + 1 == argc) {
            fprintf(stderr, "usage: wardmote-node --ledger FOLDER [--peer-listen ADDRESS:PORT] "
                            "[--client-listen ADDRESS:PORT]\n");
            return 2;
        }
        *to = argv[i + 1];
    }
    /* A connection is a descriptor: as many as this process may have. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    int code = replica_start(&config, &waiter.replica, &waiter.diag);
    if (code != 0) {
        return status_of(code, &waiter.diag);
    }
    if (pthread_create(&thread, NULL, wait_for, &waiter) != 0) {
        fprintf(stderr, "wardmote-node: no thread\n");
        return 1;
    }
    (void)sigwait(&set, &number);
    replica_stop(waiter.replica);
    (void)pthread_join(thread, NULL);
    replica_dispose(waiter.replica);
    return status_of(waiter.code, &waiter.diag);
}
