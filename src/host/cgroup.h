/* cgroup.h: control groups, versions 1 and 2 behind one interface.
 *
 * A node opens the machine's hierarchies once and gets a folder of its own in each,
 * OWN/wardmote/PREFIX, where OWN is the group that the node itself was started in: what the
 * operator allows the node (a systemd unit's MemoryMax, say) binds its tenants too. Below it lies
 * one group per tenant. Several nodes on one machine live side by side under different prefixes.
 *
 * Each limit is taken from where the machine offers it: a version 1 hierarchy, else version 2. With
 * version 2 a group that gives controllers to its children may hold no processes, so a node that is
 * not in the root group moves itself to OWN/wardmote-node first; that needs a group delegated to
 * it (systemd: Delegate=yes) with nobody else inside.
 *
 * What a machine does not allow is no error of host_cgroups_open: host_cgroups_line tells it in
 * words, with what to do about it, and host_cgroup.missing says what a group had to do without.
 *
 * Inputs: tenants' names are checked; the kernel's files are trusted in content, not in length.
 * Threads: functions on different groups may run at the same time; open and close may not run
 * beside others. Memory: none is taken. Errors: 0, a negative errno or WM_E_*, with a sentence. */
#ifndef WM_HOST_CGROUP_H
#define WM_HOST_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/diag.h"

/* What groups can do. The order is that of the report. */
enum host_cgroup_part {
    HOST_CGROUP_WEIGHT,
    HOST_CGROUP_QUOTA,
    HOST_CGROUP_MEMORY,
    HOST_CGROUP_PIDS,
    HOST_CGROUP_ACCOUNT, /* processor time used */
    HOST_CGROUP_PARTS
};

#define HOST_CGROUP_NAME_MAX 64
#define HOST_CGROUP_PATH_MAX 512
#define HOST_CGROUP_DIRS_MAX 5

struct host_cgroups {
    unsigned dir_count; /* the hierarchies in use; two parts may share one */
    struct {
        int version; /* 1 or 2 */
        int fd;      /* of OWN/wardmote/PREFIX */
        char path[HOST_CGROUP_PATH_MAX];
    } dir[HOST_CGROUP_DIRS_MAX];
    struct {
        int dir; /* index, or negative: not available, and why */
        char why[WM_DIAG_TEXT_BYTES];
    } part[HOST_CGROUP_PARTS];
};

struct host_cgroup_options {
    const char *prefix; /* 1 to 64 of A-Z a-z 0-9 . _ - ; another one for each node */
    /* Ends the processes in groups that a dead node of this prefix left: workers that outlived it.
     * Only for who knows that no other node with this prefix lives (a lock on its folder). */
    bool kill_leftovers;
    /* Tests put copies here; NULL: /proc/self/mountinfo and /proc/self/cgroup. */
    const char *mountinfo_path, *membership_path;
};

/* Finds out what there is and makes the folders. Groups that a dead node of the same prefix left
 * are removed where no process is in them any more. Fails only for a bad prefix. */
WM_MUST_CHECK int host_cgroups_open(const struct host_cgroup_options *options,
                                    struct host_cgroups *out, struct wm_diag *diag);
/* Removes the folders, where they are empty. All groups have been removed before. */
void host_cgroups_close(struct host_cgroups *cgroups);

bool host_cgroups_has(const struct host_cgroups *cgroups, enum host_cgroup_part part);
/* "cpu weight: cgroup v1" or "memory limit: not available: why: what to do". Returns line. */
const char *host_cgroups_line(const struct host_cgroups *cgroups, enum host_cgroup_part part,
                              char *line, size_t line_bytes);
/* "cpu weight". Static. */
const char *host_cgroup_part_name(enum host_cgroup_part part);

struct host_cgroup_limits {
    uint32_t cpu_weight;   /* 1 to 10,000; 0: 100, everybody's default. Shares are in proportion */
    uint32_t cpu_percent;  /* of one processor, so 200 is two of them; 0: no quota */
    uint64_t memory_bytes; /* with the kernel's memory for the group, swap included; 0: no limit */
    uint32_t pids;         /* processes and threads; 0: no limit */
};

struct host_cgroup {
    unsigned dir_count;
    int fd[HOST_CGROUP_DIRS_MAX]; /* of the group, by hierarchy */
    unsigned missing;             /* bits 1 << part: asked for and not available here */
    char name[HOST_CGROUP_NAME_MAX + 1];
};

struct host_cgroup_usage { /* 0 where the machine does not tell */
    uint64_t cpu_ns;
    uint64_t memory_bytes, memory_kills;    /* kills: processes that the limit ended */
    uint64_t throttled_ns, throttled_count; /* by the quota */
    uint32_t processes;
};

/* A group for `name` (as a prefix is), with these limits. A group of that name that is left over
 * and empty is taken; WM_E_BUSY when it has processes. */
WM_MUST_CHECK int host_cgroup_make(const struct host_cgroups *cgroups, const char *name,
                                   const struct host_cgroup_limits *limits, struct host_cgroup *out,
                                   struct wm_diag *diag);
/* Changes all limits. Lowering memory below what is in use reclaims, and fails with -EBUSY when
 * that does not suffice; the limits that come after it are not set then. */
WM_MUST_CHECK int host_cgroup_set(const struct host_cgroups *cgroups, struct host_cgroup *group,
                                  const struct host_cgroup_limits *limits, struct wm_diag *diag);
/* Puts a process with all its threads into the group; its later children are born there. ~50 us
 * for each hierarchy: do it when the process starts, not for each call. */
WM_MUST_CHECK int host_cgroup_attach(const struct host_cgroups *cgroups,
                                     const struct host_cgroup *group, pid_t pid,
                                     struct wm_diag *diag);
WM_MUST_CHECK int host_cgroup_usage(const struct host_cgroups *cgroups,
                                    const struct host_cgroup *group, struct host_cgroup_usage *out);
/* SIGKILL for all processes in the group, also those that are being born meanwhile. 0, or -EBUSY
 * when there are still some after a second. Their parent reaps them. */
WM_MUST_CHECK int host_cgroup_kill(const struct host_cgroup *group);
/* Removes the group. The kernel refuses while processes that just ended are being buried, so this
 * tries again for up to a second; then WM_E_BUSY: end the processes and remove it again. */
WM_MUST_CHECK int host_cgroup_remove(const struct host_cgroups *cgroups, struct host_cgroup *group,
                                     struct wm_diag *diag);

#endif
