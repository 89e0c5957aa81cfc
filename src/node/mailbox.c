/* mailbox.c: a locked list and uv_async. */
#include "node/mailbox.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"

struct mailbox {
    uv_async_t async; /* first */
    uv_mutex_t lock;
    struct mailbox_letter *first, **last;
    bool closed;
};

static void empty(struct mailbox *mailbox)
{
    uv_mutex_lock(&mailbox->lock);
    struct mailbox_letter *letter = mailbox->first;
    mailbox->first = NULL;
    mailbox->last = &mailbox->first;
    uv_mutex_unlock(&mailbox->lock);
    while (letter) {
        struct mailbox_letter *next = letter->next; /* the letter may be gone afterwards */
        letter->run(letter->self);
        letter = next;
    }
}

static void on_async(uv_async_t *async)
{
    empty((struct mailbox *)async);
}

int mailbox_open(uv_loop_t *loop, struct mailbox **out)
{
    struct mailbox *mailbox = wm_alloc_zero(1, sizeof *mailbox);
    if (!mailbox) {
        return -ENOMEM;
    }
    int rc = uv_mutex_init(&mailbox->lock);
    rc = rc ? rc : uv_async_init(loop, &mailbox->async, on_async);
    if (rc != 0) {
        wm_free(mailbox);
        return rc;
    }
    uv_unref((uv_handle_t *)&mailbox->async);
    mailbox->last = &mailbox->first;
    *out = mailbox;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct mailbox *mailbox = (struct mailbox *)handle;
    uv_mutex_destroy(&mailbox->lock);
    wm_free(mailbox);
}

void mailbox_close(struct mailbox *mailbox)
{
    if (mailbox) {
        uv_mutex_lock(&mailbox->lock);
        mailbox->closed = true;
        uv_mutex_unlock(&mailbox->lock);
        empty(mailbox);
        uv_close((uv_handle_t *)&mailbox->async, on_closed);
    }
}

bool mailbox_post(struct mailbox *mailbox, struct mailbox_letter *letter)
{
    uv_mutex_lock(&mailbox->lock);
    bool open = !mailbox->closed;
    if (open) {
        letter->next = NULL;
        *mailbox->last = letter;
        mailbox->last = &letter->next;
        /* Under the lock, so that the handle is not closed meanwhile. */
        (void)uv_async_send(&mailbox->async);
    }
    uv_mutex_unlock(&mailbox->lock);
    return open;
}

bool mailbox_call(struct mailbox *mailbox, struct mailbox_call *call, mailbox_fn *run, void *self)
{
    call->letter = (struct mailbox_letter){.run = run, .self = self};
    int rc = uv_sem_init(&call->done, 0);
    WM_ASSERT(rc == 0);
    bool posted = mailbox_post(mailbox, &call->letter);
    if (posted) {
        uv_sem_wait(&call->done);
    }
    uv_sem_destroy(&call->done);
    return posted;
}

void mailbox_done(struct mailbox_call *call)
{
    uv_sem_post(&call->done);
}
