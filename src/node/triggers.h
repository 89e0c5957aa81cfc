/* triggers.h: cron triggers of the catalogue, called by one timer.
 *
 * With other nodes, a trigger is called by one of those that live (cluster_owns).
 * A trigger that was due while the node was down, or while its last call still runs, is left out,
 * not made up for. Results go to the function's log and /metrics. The loop thread. */
#ifndef WM_NODE_TRIGGERS_H
#define WM_NODE_TRIGGERS_H

#include "base/diag.h"

struct node;
struct triggers;
WM_MUST_CHECK int triggers_check(const char *schedule, struct wm_diag *diag);
WM_MUST_CHECK int triggers_open(struct node *node, struct triggers **out, struct wm_diag *diag);
void triggers_changed(struct triggers *triggers); /* the catalogue's crons */
void triggers_close(struct triggers *triggers);   /* no call of a trigger runs */

#endif
