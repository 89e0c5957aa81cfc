/* background.c: the optimised tier, compiled while its user is already running the quick one.
 *
 * A process of its own, so that it outlives the run: forked twice (nobody has to wait for it), in a
 * session of its own, with the lowest CPU priority that still makes progress, holding none of the
 * caller's files: a shell waiting for the end of our output must not wait for the compiler. A
 * lock per object in the cache folder lets one process compile it however many programs start.
 *
 * The fork happens in whatever program embeds us, perhaps one with threads; the child therefore
 * only does what glibc keeps usable after fork (its allocator), and leaves by _exit. */
#include "api/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wasm/compile.h"

/* Keeps the lock file's descriptor, and with it the lock, until the process ends. */
static bool take_lock(const struct wasm_cache *cache, const struct api_source *source,
                      const struct wasm_options *options, char *path, size_t path_bytes)
{
    int len =
        snprintf(path, path_bytes, "%s/lock-%02x%02x%02x%02x%02x%02x%02x%02x-%d%d%d",
                 wasm_cache_path(cache), source->sha256[0], source->sha256[1], source->sha256[2],
                 source->sha256[3], source->sha256[4], source->sha256[5], source->sha256[6],
                 source->sha256[7], (int)options->mode, (int)options->tier, (int)options->fuel);
    if (len < 0 || (size_t)len >= path_bytes) {
        return false;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static void drop_inherited_files(int keep)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2 && null_fd >= 0; fd++) {
        dup2(null_fd, fd);
    }
    if ((keep > 3 && close_range(3, (unsigned)keep - 1, 0) < 0) ||
        close_range((unsigned)keep + 1, ~0u, 0) < 0) {
        _exit(1); /* no such call here: better no background than somebody's pipe held open */
    }
}

static void compile_and_leave(const char *cache_path, struct api_source *source,
                              const struct wasm_options *options)
{
    setsid();
    /* Signals back to what a fresh program has; the caller may ignore SIGCHLD, and we wait for a
     * child. */
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setpriority(PRIO_PROCESS, 0, 19) < 0) {
        _exit(1); /* it must not compete with the program that somebody waits for */
    }
    /* Above the standard streams, whose numbers are about to be taken. */
    source->fd = fcntl(source->fd, F_DUPFD_CLOEXEC, 3);
    if (source->fd < 0) {
        _exit(1);
    }
    drop_inherited_files(source->fd);
    struct wasm_cache *cache;
    char lock[4096];
    if (wasm_cache_open(cache_path, &cache, NULL) ||
        !take_lock(cache, source, options, lock, sizeof lock)) {
        _exit(1);
    }
    struct wasm_object *object = NULL;
    /* Another process may have finished it between the caller's look and our lock. */
    int error = wasm_cache_find(cache, source->sha256, options, &object, NULL);
    if (error) {
        error = api_compile(cache, source, options, true, NULL, NULL, &object, NULL);
    }
    /* Who opened this file before it went finds the object in the cache once it has the lock. */
    unlink(lock);
    _exit(error ? 1 : 0);
}

bool api_compile_in_background(const struct wm_engine *engine, const struct api_source *source,
                               const struct wasm_options *options)
{
    struct api_source own = *source;
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            compile_and_leave(wasm_cache_path(engine->cache), &own, options);
        }
        _exit(0);
    }
    if (child < 0) {
        return false;
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    return true;
}
