/* sandbox.h: what this machine offers to keep tenants apart, in words.
 *
 * A node asks once at its start, prints what is missing and, with --require-isolation, refuses to
 * run without it. The answers come from trying, not from version numbers.
 *
 * Threads: any, but no other may change its namespaces or groups meanwhile. No memory is taken.
 * Takes some milliseconds. */
#ifndef WM_HOST_SANDBOX_H
#define WM_HOST_SANDBOX_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/diag.h"
#include "host/cgroup.h"

enum host_sandbox_item {
    HOST_SANDBOX_ROOT, /* workers can become another user */
    HOST_SANDBOX_WEIGHT,
    HOST_SANDBOX_QUOTA,
    HOST_SANDBOX_MEMORY,
    HOST_SANDBOX_PIDS,
    HOST_SANDBOX_ACCOUNT,
    HOST_SANDBOX_NETWORK,
    HOST_SANDBOX_SECCOMP,
    HOST_SANDBOX_LANDLOCK,
    HOST_SANDBOX_ITEMS
};

struct host_sandbox {
    struct {
        const char *name; /* static */
        bool available;
        bool required;                   /* by --require-isolation */
        char reason[WM_DIAG_TEXT_BYTES]; /* how it is done, or why it is not available */
        char advice[WM_DIAG_TEXT_BYTES]; /* what to do about that; "" when it is available */
    } item[HOST_SANDBOX_ITEMS];
};

/* `cgroups`, opened by the caller; or NULL, then they are looked at under a name of its own. */
void host_sandbox_probe(const struct host_cgroups *cgroups, struct host_sandbox *out);
/* "memory limit: cgroup v1" or "memory limit: not available: REASON: ADVICE". Returns line. */
const char *host_sandbox_line(const struct host_sandbox *sandbox, enum host_sandbox_item item,
                              char *line, size_t line_bytes);
/* 0 when everything that is required is available, else WM_E_MISSING and a sentence that names all
 * that is missing. */
WM_MUST_CHECK int host_sandbox_require(const struct host_sandbox *sandbox, struct wm_diag *diag);

#endif
