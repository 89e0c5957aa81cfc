/* pool.h: requests that a replica knows and that are not committed yet.
 *
 * Found by hash; taken in turn among clients, so that one with many waits behind himself only. Each
 * client has at most `requests_of_client` here, all together at most `requests` and
 * `request_bytes`; what does not fit is refused. Those that were in a batch which was taken back
 * wait again. The hashes of the newest requests that were committed are remembered, so that a late
 * copy does not wait for ever (the application refuses older ones by the client's number).
 *
 * Hashes are SHA-256 of what others wrote, so buckets are chosen by its bytes: who wants to fill
 * one has to search for it, and is bounded by his share.
 *
 * Memory: wm_alloc, within the limits. One thread. */
#ifndef WM_BFT_POOL_H
#define WM_BFT_POOL_H

#include "bft/bft.h"

#define POOL_DONE 16384u /* hashes of committed requests that are remembered */

struct pool_client;

struct pool_request {
    struct pool_request *hash_next;
    struct pool_request *next, *previous; /* of its client's queue, while it waits */
    struct pool_request *newer, *older;   /* of all, by arrival */
    struct pool_client *client;
    ledger_hash hash;
    struct wm_view request, arguments; /* in the same block of memory */
    uint64_t minimum_index;
    uint64_t arrived_ns, forwarded_ns; /* 0: not forwarded */
    uint32_t batches;                  /* slots that hold it */
    bool checked;
    bool waits; /* in its client's queue */
};

struct pool_client {
    struct pool_client *hash_next;
    struct pool_client *next, *previous; /* of those who have requests that wait */
    ledger_key key;
    uint32_t count; /* in the pool */
    struct pool_request *first, *last;
};

struct pool {
    struct bft_limits limits;
    uint32_t count, waiting;
    uint64_t bytes;
    struct pool_request **by_hash;
    struct pool_client **by_key;
    uint32_t buckets;         /* a power of two */
    struct pool_client *turn; /* ring of those who wait; whose turn it is */
    struct pool_request *oldest, *newest;
    uint64_t waits_since_ns; /* since when something waits without a batch having been made */
    uint8_t *done;           /* POOL_DONE hashes, a ring; found by done_set */
    uint32_t *done_set;
    uint32_t done_next;
};

WM_MUST_CHECK bool pool_init(struct pool *pool, const struct bft_limits *limits);
void pool_fini(struct pool *pool);

/* Adds a request, or gives the one that is here; `checked` is kept once it is true. NULL: it is no
 * request of this service, it may not have an index up to index_max, it does not fit, it is done,
 * or no memory. `wanted`: a pre-prepare names it, so the client's share is no reason. */
struct pool_request *pool_add(struct pool *pool, const ledger_hash service,
                              const struct bft_request *request, uint64_t now_ns,
                              uint64_t index_max, bool wanted);
struct pool_request *pool_find(const struct pool *pool, const ledger_hash hash);
bool pool_was_done(const struct pool *pool, const ledger_hash hash);

/* The next in turn that may have this index or a smaller one, taken out of its queue; NULL: none.
 */
struct pool_request *pool_take(struct pool *pool, uint64_t index);
/* Is there one to take? */
bool pool_has(const struct pool *pool, uint64_t index);
/* It is in a batch (one more), so it does not wait. */
void pool_hold(struct pool *pool, struct pool_request *request);
/* One batch less has it: it waits again when no other does, or is forgotten where it was committed
 * in one. */
void pool_release(struct pool *pool, struct pool_request *request);
/* It is committed in one batch: forgotten, but for its hash, when no other has it. */
void pool_done(struct pool *pool, struct pool_request *request);

/* Forgets it, whatever it is waiting for; it must be in no batch. */
void pool_drop(struct pool *pool, struct pool_request *request);

#endif
