/* wardmote/wasi.h: what a WASI program is given of the machine. Nothing else is reachable for it.
 *
 * All strings and arrays are borrowed for the length of the call that takes the struct. A zeroed
 * struct is a program with no arguments, no environment and no folders, on this process's standard
 * streams. */
#ifndef WARDMOTE_WASI_H
#define WARDMOTE_WASI_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A folder of the host that the guest sees under a name of its own. Confinement is the kernel's
 * (openat2 with RESOLVE_BENEATH): no "..", symbolic link or rename race leads out of it. */
struct wm_dir {
    const char *host;  /* a folder on this machine */
    const char *guest; /* its name for the guest; NULL: the same as host */
    bool read_only;    /* no write, create, rename or remove below it */
};

struct wm_wasi_config {
    const char *const *args; /* args[0] is the program's name */
    size_t arg_count;
    const char *const *env; /* "NAME=value" each; the host's own environment is never passed on */
    size_t env_count;
    const struct wm_dir *dirs;
    size_t dir_count;
    /* "ADDRESS:PORT" or "[ADDRESS]:PORT" each: bound and listening before the guest starts, then
     * given to it as descriptors after the folders. Preview 1 has no other sockets. */
    const char *const *listen;
    size_t listen_count;
    /* Told each address as it was given and as it was bound (port 0 picks a free one). NULL
     * allowed. */
    void (*listening)(void *self, const char *given, const char *bound);
    void *listening_self;
    /* Descriptors of this process for the guest's 0, 1 and 2; all zero: this process's own 0, 1, 2,
     * which must then be what they seem: a program that was started without one has a file of its
     * own choosing there. -1: closed for reading, discarded for writing. */
    int stdio[3];
};

#ifdef __cplusplus
}
#endif

#endif
