/* The thread that checks clients' signatures, as many at once as wait. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"
#include "crypto/sign_batch.h"
#include "node/replica_internal.h"
#include "proof/statement.h"

#define GROUP 64u

struct item_queue {
    struct check_item *first, **last;
};

struct checker {
    struct replica *replica;
    uv_thread_t thread;
    uv_async_t wake;
    uv_mutex_t mutex;
    uv_cond_t cond;
    struct item_queue waiting, done; /* under the mutex, and: */
    bool ending;
    struct statement_signed covered[GROUP]; /* the thread's */
};

static void push(struct item_queue *queue, struct check_item *item)
{
    item->next = NULL;
    *queue->last = item;
    queue->last = &item->next;
}

static struct check_item *pop(struct item_queue *queue)
{
    struct check_item *item = queue->first;
    if (item) {
        queue->first = item->next;
        if (!queue->first) {
            queue->last = &queue->first;
        }
    }
    return item;
}

static void check_group(struct checker *checker, struct check_item *const *items, uint32_t count)
{
    struct sign_item signatures[GROUP];
    struct request requests[GROUP];
    for (uint32_t i = 0; i < count; i++) {
        struct check_item *item = items[i];
        ledger_hash arguments;
        /* It was read before it came here. */
        int rc = request_get(wm_view_of(item->bytes, item->request_len), &requests[i], NULL);
        WM_ASSERT(rc == 0);
        const struct cose_statement *statement = &requests[i].statement;
        wm_sha256_once(wm_view_of(item->bytes, item->request_len), item->hash);
        wm_sha256_once(wm_view_of(item->bytes + item->request_len, item->arguments_len), arguments);
        item->valid = memcmp(arguments, statement->payload, sizeof arguments) == 0;
        statement_signed_bytes(statement->protected_header, statement->payload,
                               &checker->covered[i]);
        signatures[i] = (struct sign_item){
            .public_key = statement->key,
            .bytes = wm_view_of(checker->covered[i].bytes, checker->covered[i].len),
            .signature = statement->signature,
        };
    }
    sign_verify_batch(signatures, count);
    for (uint32_t i = 0; i < count; i++) {
        items[i]->valid = items[i]->valid && signatures[i].valid;
    }
}

static void run(void *self)
{
    struct checker *checker = self;
    uv_mutex_lock(&checker->mutex);
    while (!checker->ending) {
        struct check_item *items[GROUP];
        uint32_t count = 0;
        while (count < GROUP && (items[count] = pop(&checker->waiting))) {
            count++;
        }
        if (count == 0) {
            uv_cond_wait(&checker->cond, &checker->mutex);
            continue;
        }
        uv_mutex_unlock(&checker->mutex);
        check_group(checker, items, count);
        uv_mutex_lock(&checker->mutex);
        for (uint32_t i = 0; i < count; i++) {
            push(&checker->done, items[i]);
        }
        (void)uv_async_send(&checker->wake);
    }
    uv_mutex_unlock(&checker->mutex);
}

static void on_wake(uv_async_t *wake)
{
    struct checker *checker = wake->data;
    for (;;) {
        uv_mutex_lock(&checker->mutex);
        struct check_item *item = pop(&checker->done);
        uv_mutex_unlock(&checker->mutex);
        if (!item) {
            return;
        }
        replica_checked(checker->replica, item);
        wm_free(item);
    }
}

void replica_check(struct replica *replica, struct check_item *item)
{
    struct checker *checker = replica->checker;
    uv_mutex_lock(&checker->mutex);
    push(&checker->waiting, item);
    uv_cond_signal(&checker->cond);
    uv_mutex_unlock(&checker->mutex);
}

int replica_check_open(struct replica *replica, struct wm_diag *diag)
{
    struct checker *checker = wm_alloc_zero(1, sizeof *checker);
    if (!checker) {
        return wm_diag_default(diag, -ENOMEM, "signature thread");
    }
    checker->replica = replica;
    checker->waiting.last = &checker->waiting.first;
    checker->done.last = &checker->done.first;
    checker->wake.data = checker;
    int rc = uv_mutex_init(&checker->mutex);
    rc = rc ? rc : uv_cond_init(&checker->cond);
    rc = rc ? rc : uv_async_init(&replica->loop, &checker->wake, on_wake);
    WM_ASSERT(rc == 0);
    rc = uv_thread_create(&checker->thread, run, checker);
    if (rc != 0) {
        uv_close((uv_handle_t *)&checker->wake, NULL);
        checker->ending = true;
    }
    replica->checker = checker;
    return rc ? wm_diag_default(diag, rc, "signature thread") : 0;
}

void replica_check_shut(struct replica *replica)
{
    struct checker *checker = replica->checker;
    if (checker && !checker->ending) {
        uv_mutex_lock(&checker->mutex);
        checker->ending = true;
        uv_cond_signal(&checker->cond);
        uv_mutex_unlock(&checker->mutex);
        (void)uv_thread_join(&checker->thread);
        uv_close((uv_handle_t *)&checker->wake, NULL);
    }
}

void replica_check_free(struct replica *replica)
{
    struct checker *checker = replica->checker;
    if (!checker) {
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct check_item *item;
        while ((item = pop(i == 0 ? &checker->waiting : &checker->done))) {
            wm_free(item);
        }
    }
    uv_cond_destroy(&checker->cond);
    uv_mutex_destroy(&checker->mutex);
    wm_free(checker);
}
