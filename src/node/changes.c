/* changes.c: a second queue beside api.c's, and one place that tells everybody of a change. */
#include "node/changes.h"

#include "node/api.h"
#include "node/catalogue_sync.h"
#include "node/triggers.h"

static void commit(uv_work_t *work)
{
    struct change_turn *turn = work->data;
    turn->err = catalogue_change_commit(turn->change, &turn->diag);
}

static void committed(uv_work_t *work, int status)
{
    struct change_turn *turn = work->data;
    struct node *node = turn->node;
    (void)status; /* never cancelled */
    catalogue_change_apply(turn->change, turn->err == 0);
    node->turn_working = false;
    turn->done(turn, turn->err);
    /* Requests next, if there are any: each queue waits for at most one change of the other. */
    node->turn_was_ours = true;
    api_changes_go(node);
}

bool changes_start(struct node *node)
{
    while (!node->turn_working && node->turn_first) {
        struct change_turn *turn = node->turn_first;
        node->turn_first = turn->next;
        if (!node->turn_first) {
            node->turn_last = NULL;
        }
        turn->next = NULL;
        turn->change = NULL;
        turn->err = turn->make(turn, &turn->change, &turn->diag);
        if (turn->err == 0 && turn->change) {
            turn->work.data = turn;
            node->turn_working = true;
            if (uv_queue_work(node->loop, &turn->work, commit, committed) == 0) {
                break;
            }
            node->turn_working = false;
            catalogue_change_apply(turn->change, false);
            turn->err = wm_diag_set(&turn->diag, WM_E_BUSY, "catalogue: no thread to commit in");
        }
        turn->done(turn, turn->err);
    }
    return node->turn_working;
}

void changes_take(struct node *node, struct change_turn *turn)
{
    turn->node = node;
    turn->next = NULL;
    turn->diag = (struct wm_diag)WM_DIAG_INIT;
    if (node->turn_last) {
        node->turn_last->next = turn;
    } else {
        node->turn_first = turn;
    }
    node->turn_last = turn;
    if (!node->change_first) {
        (void)changes_start(node);
    }
}

static void changed(void *self, const struct catalogue_changed *what)
{
    struct node *node = self;
    /* One at a time is cheap; a removed tenant is one of each kind. */
    if (what->kind == ENTRY_CRONS && node->triggers) {
        triggers_changed(node->triggers);
    }
    if (node->hooks.changed) {
        node->hooks.changed(node->hooks.self, what);
    }
}

void changes_open(struct node *node)
{
    catalogue_on_change(node->catalogue, changed, node);
}
