/* confine.h: a process gives up what it does not need.
 *
 * Both functions act on the calling process, for good, and are meant to be called once, early,
 * before other threads exist. */
#ifndef WM_HOST_CONFINE_H
#define WM_HOST_CONFINE_H

#include <stdint.h>

#include "base/compiler.h"

struct host_limits {       /* 0: leave as it is */
    uint64_t memory_bytes; /* of address space */
    uint64_t stack_bytes;
    uint64_t file_bytes;  /* of any file written */
    uint32_t cpu_seconds; /* SIGXCPU when used up, SIGKILL two seconds later */
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

#endif
