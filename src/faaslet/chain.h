/* chain.h: chained calls: started by one call, run as calls of their own, awaited.
 *
 * A chained call is an object that its parent and the worker's queue hold. While it waits in the
 * queue, its parent's await takes it out and runs it on the parent's own thread: a chain of calls
 * needs no hand-over between threads, and a tree of them that is deeper than there are threads
 * comes to its end all the same. Otherwise an idle executor takes it. Where this worker is busy and
 * the node knows better places, it is the node's (Faasm section 5.1: the scheduler).
 *
 * Only the call that started it may await it, and reads its output; when that call ends, those that
 * it left run on, and what they give is dropped. None has longer than the call that started it: a
 * tree of calls, however large, is over when its root's time is.
 *
 * Threads: any; each object is guarded by its state word and by counted references. */
#ifndef WM_FAASLET_CHAIN_H
#define WM_FAASLET_CHAIN_H

#include <stdatomic.h>

#include "faaslet/faaslet.h"

enum chained_state {
    CHAINED_QUEUED,
    CHAINED_RUNNING,
    CHAINED_DONE,
    CHAINED_REMOTE, /* the node has it; its result is fetched by await */
};

struct chained {
    uint64_t id, parent;
    uint64_t remote_id;     /* of REMOTE: the node's name for it */
    _Atomic uint32_t state; /* a futex word */
    _Atomic uint32_t refs;
    struct function *function; /* a reference; NULL: REMOTE */
    uint32_t func_idx, depth;
    int64_t deadline_ns; /* its parent's */
    uint8_t *input, *output;
    uint32_t input_len, output_len, output_room;
    enum call_end end;
    int32_t return_code;
    struct chained *sibling;       /* in its parent's list */
    struct chained *next, *before; /* in the worker's queue */
};

struct chained *chained_find(struct faaslet_call *call, int64_t id);
void chained_put(struct chained *chained);
/* At a call's end: its list is let go. */
void chained_drop_all(struct faaslet_call *call);

#endif
