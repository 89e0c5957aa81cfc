/* confine.h: a process gives up what it does not need.
 *
 * All functions act on the calling process, for good, and are meant to be called once, early,
 * before other threads exist. */
#ifndef WM_HOST_CONFINE_H
#define WM_HOST_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/diag.h"

struct host_limits {       /* 0: leave as it is */
    uint64_t memory_bytes; /* of address space */
    uint64_t stack_bytes;
    uint64_t file_bytes;  /* of any file written */
    uint32_t cpu_seconds; /* SIGXCPU when used up, SIGKILL two seconds later */
    uint32_t open_files;
};

/* Sets the limits (never above the present hard ones) and no core dumps. 0 or a negative errno. */
WM_MUST_CHECK int host_confine_limits(const struct host_limits *limits);

/* From here on the process may compute, take memory without execute permission, and read and write
 * the files that are open. It cannot open, create, name, connect, signal others, trace, start or
 * load anything. Calls that a C or C++ library makes by habit (opening a locale, asking whether a
 * file is a terminal) fail with an error; every other forbidden call ends the process with SIGSYS.
 * Also sets no_new_privs. 0 or a negative errno; WM_E_MISSING where the kernel has no seccomp
 * filters. */
WM_MUST_CHECK int host_confine_compute(void);

/* What a worker, the process in which guests run, is to keep. */
struct host_worker_profile {
    /* Folders of the host that guests were given, as descriptors; borrowed. What is not beneath
     * one of these cannot be opened, made, renamed or removed, on kernels with Landlock; on others
     * the rights of the user are the only limit (host_confine_has_landlock). None: no call that
     * takes a path is allowed at all but looking at what a descriptor is. */
    const int *read_dirs, *write_dirs;
    unsigned read_dir_count, write_dir_count;
    bool sockets; /* TCP and UDP as a client, in the network namespace where it is */
    /* The user and group to become, when root calls; 0: stay who it is. */
    uid_t uid;
    gid_t gid;
    struct host_limits limits;
};

/* From here on the process may do what running guests takes: threads, memory, timers and signals
 * of its own, what is open, and what the profile says. It has no capabilities and cannot get any,
 * is not readable by others of its user, and may map code only from files, never where it can
 * write. What a guest's call could lead to and is not allowed fails with EPERM (EACCES for
 * paths); what only somebody who has taken the process over would try (a new process, execute,
 * trace, mount, namespaces, keys, bpf, io_uring, signals to others, ...) ends it with SIGSYS.
 *
 * The order: the node puts the process into its control group; the process enters its network
 * namespace, opens what it needs (/proc/self/pagemap, folders, sockets to the node) and then calls
 * this, still with one thread. Do not limit memory_bytes, which counts reserved addresses; the
 * group limits memory. Cost: 1 ms once, some 10 to 40 ns for each system call. clone3 fails with
 * ENOSYS, so that the C library falls back on clone, whose flags a filter can see.
 *
 * 0; WM_E_MISSING without seccomp filters; or a negative errno, and the sentence. After a failure
 * the process is confined in part: it ends. */
WM_MUST_CHECK int host_confine_worker(const struct host_worker_profile *profile,
                                      struct wm_diag *diag);

/* Whether this kernel restricts paths (Landlock). */
bool host_confine_has_landlock(void);
/* Whether this kernel has seccomp filters that kill the process. */
bool host_confine_has_seccomp(void);

#endif
