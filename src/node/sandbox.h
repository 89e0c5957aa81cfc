/* sandbox.h: where each worker is put: its control group and its network namespace.
 *
 * One place for each trust class: a control group with the quota of its tenant (weight, quota,
 * memory, pids), and a namespace: with a shaped link where the tenant may connect somewhere (its
 * allow-list), else with nothing in it. What this machine does not allow is said once at the start;
 * with require_isolation the node does not start without it.
 *
 * Isolation of resources is that of a class, not of a thread: the kernel counts memory by process,
 * and a thread that could move between namespaces could also leave them (doc/adr). Loop thread. */
#ifndef WM_NODE_SANDBOX_H
#define WM_NODE_SANDBOX_H

#include "base/diag.h"
#include "host/cgroup.h"
#include "host/sandbox.h"
#include "node/catalogue.h"
#include "node/config.h"

struct sandbox;
struct sandbox_place;

WM_MUST_CHECK int sandbox_open(const struct config *config, struct sandbox **out,
                               struct wm_diag *diag);
void sandbox_close(struct sandbox *sandbox);
/* A place for a new worker of this class. */
WM_MUST_CHECK int sandbox_take(struct sandbox *sandbox, const char *class,
                               const struct tenant *tenant, struct sandbox_place **out,
                               struct wm_diag *diag);
void sandbox_put(struct sandbox *sandbox, struct sandbox_place *place); /* NULL allowed */
/* Puts a process there; 0 where there are no control groups. */
WM_MUST_CHECK int sandbox_enter(struct sandbox_place *place, int pid, struct wm_diag *diag);
int sandbox_netns(const struct sandbox_place *place); /* 0: none here */
bool sandbox_connects(const struct sandbox_place *place);
/* The tenant's quota has changed. */
void sandbox_update(struct sandbox *sandbox, struct sandbox_place *place,
                    const struct tenant *tenant);
bool sandbox_usage(struct sandbox *sandbox, const struct sandbox_place *place,
                   struct host_cgroup_usage *out);
/* What is in force, a line each. */
const struct host_sandbox *sandbox_report(const struct sandbox *sandbox);

#endif
