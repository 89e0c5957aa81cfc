/* async.h: asynchronous calls: accepted once they are on the disk, results kept until read.
 *
 * A call is accepted (`accepted` is called) when its request is in the store; its result is there
 * before its state becomes done; both survive the node. While the node is overloaded it waits for
 * its turn, as long as results are kept. After a restart calls that were pending run again when
 * their function is idempotent, else they end as node-died. Results expire keep_s after their end.
 * Writes of one moment share one commit (group commit).
 *
 * Limits: what a tenant has pending and unread, requests and outputs together, takes at most its
 * results_bytes; one more call is refused (WM_E_LIMIT); an output that does not fit makes the call
 * end as "limit".
 *
 * Ids are 128 random bits, 32 hexadecimal digits; an id of another tenant is not known.
 *
 * Threads: the loop thread, but for async_output. Format: doc/format/node.md. */
#ifndef WM_NODE_ASYNC_H
#define WM_NODE_ASYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"

#define ASYNC_ID_BYTES 16u
#define ASYNC_EXTRA_BYTES 512u /* what a call counts beside its input or output */

struct node;
struct async;
struct call_request;
struct json_t;

/* Reads what is in the store; async_resume then starts what was pending. */
WM_MUST_CHECK int async_open(struct node *node, struct async **out, struct wm_diag *diag);
void async_resume(struct async *async);
/* No call of ours is running; waits for the writes under way. */
void async_close(struct async *async);

typedef void async_accepted_fn(void *self, const char *id, int err, const struct wm_diag *diag);
/* `call`: tenant, function, input, timeout; all copied. `accepted` is called exactly once. */
void async_start(struct async *async, const struct call_request *call, async_accepted_fn *accepted,
                 void *self);

enum async_state { ASYNC_UNKNOWN, ASYNC_QUEUED, ASYNC_RUNNING, ASYNC_DONE };
bool async_id_parse(const char *text, uint8_t id[ASYNC_ID_BYTES]);
enum async_state async_state(struct async *async, const char *tenant,
                             const uint8_t id[ASYNC_ID_BYTES]);
struct json_t *async_show(struct async *async, const char *tenant,
                          const uint8_t id[ASYNC_ID_BYTES]);
/* The record of a call that is done. */
bool async_record(struct async *async, const uint8_t id[ASYNC_ID_BYTES], uint64_t *second,
                  uint32_t *index);
/* Calls `woken` once the call is done, or after wait_ms. 0 or -ENOMEM. */
WM_MUST_CHECK int async_wait(struct async *async, const uint8_t id[ASYNC_ID_BYTES],
                             uint32_t wait_ms, void (*woken)(void *self), void *self);
/* Wakes everybody who waits: the node is closing. */
void async_wake(struct async *async);
/* The output of a call that is done, from wm_alloc. Any thread. */
WM_MUST_CHECK int async_output(struct async *async, const uint8_t id[ASYNC_ID_BYTES], uint8_t **out,
                               size_t *len, struct wm_diag *diag);
/* The tenant is gone, and so are its results. */
void async_forget_tenant(struct async *async, const char *tenant);
/* The result was read. */
void async_forget(struct async *async, const uint8_t id[ASYNC_ID_BYTES]);

uint64_t async_pending(const struct async *async);
uint64_t async_kept(const struct async *async);

#endif
