/* mailbox.h: functions given to the loop thread by other threads.
 *
 * What serves workers and peers runs in threads of its own and may not touch what is the loop's; it
 * posts a function, which the loop runs in its next turn, in the order of posting.
 *
 * Threads: mailbox_post and mailbox_call from any but the loop's own; the rest the loop's. */
#ifndef WM_NODE_MAILBOX_H
#define WM_NODE_MAILBOX_H

#include <stdbool.h>
#include <uv.h>

#include "base/compiler.h"

struct mailbox;

typedef void mailbox_fn(void *self);

WM_MUST_CHECK int mailbox_open(uv_loop_t *loop, struct mailbox **out);
/* What was posted and not run yet is run first. The memory goes with the loop's next turn. */
void mailbox_close(struct mailbox *mailbox);

/* One letter lies in its sender's memory until it was run. */
struct mailbox_letter {
    struct mailbox_letter *next;
    mailbox_fn *run;
    void *self;
};
/* False: the mailbox is closed, nothing will be run. */
bool mailbox_post(struct mailbox *mailbox, struct mailbox_letter *letter);

/* Runs `run` on the loop and waits until somebody has called mailbox_done. For answers that come
 * later: `run` starts something, whose end calls mailbox_done. */
struct mailbox_call {
    struct mailbox_letter letter;
    uv_sem_t done;
};
bool mailbox_call(struct mailbox *mailbox, struct mailbox_call *call, mailbox_fn *run, void *self);
void mailbox_done(struct mailbox_call *call);

#endif
