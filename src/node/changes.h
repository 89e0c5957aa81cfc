/* changes.h: changes of the catalogue that no HTTP request makes, and what follows from any change.
 *
 * Only one change may be open at a time (catalogue.h). Requests queue in api.c; everything else,
 * such as entries that come from other nodes, queues here; the two queues take turns.
 *
 * Loop thread. */
#ifndef WM_NODE_CHANGES_H
#define WM_NODE_CHANGES_H

#include <uv.h>

#include "base/diag.h"
#include "node/catalogue.h"
#include "node/node.h"

struct change_turn { /* the caller's memory until `done` */
    struct change_turn *next;
    /* When it is its turn. *out NULL: there is nothing to change. */
    int (*make)(struct change_turn *turn, struct catalogue_change **out, struct wm_diag *diag);
    /* It was committed and applied, or not (err). */
    void (*done)(struct change_turn *turn, int err);
    struct node *node;
    struct catalogue_change *change;
    uv_work_t work;
    int err;
    struct wm_diag diag;
};

/* May call `done` before it returns. */
void changes_take(struct node *node, struct change_turn *turn);
/* Starts the next one of this queue unless one is at work. True: one is. */
bool changes_start(struct node *node);
/* From here on cron triggers, workers and other nodes learn of each change. */
void changes_open(struct node *node);

#endif
