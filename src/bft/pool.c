/* The pool: two hash tables with chains, a ring of clients who wait, a queue each. */
#include "bft/pool.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crypto/hash.h"

#define NO_DONE UINT32_MAX

static uint32_t bucket(const struct pool *pool, const uint8_t *hash)
{
    uint32_t number;
    memcpy(&number, hash, sizeof number);
    return number & (pool->buckets - 1);
}

bool pool_init(struct pool *pool, const struct bft_limits *limits)
{
    memset(pool, 0, sizeof *pool);
    pool->limits = *limits;
    pool->buckets = 64;
    while (pool->buckets < limits->requests) {
        pool->buckets *= 2;
    }
    pool->by_hash = wm_alloc_zero(pool->buckets, sizeof *pool->by_hash);
    pool->by_key = wm_alloc_zero(pool->buckets, sizeof *pool->by_key);
    pool->done = wm_alloc_zero(POOL_DONE, LEDGER_HASH_BYTES);
    pool->done_set = wm_alloc(2 * POOL_DONE * sizeof *pool->done_set);
    if (!pool->by_hash || !pool->by_key || !pool->done || !pool->done_set) {
        pool_fini(pool);
        return false;
    }
    memset(pool->done_set, 0xff, 2 * POOL_DONE * sizeof *pool->done_set);
    return true;
}

void pool_fini(struct pool *pool)
{
    for (struct pool_request *request = pool->oldest, *newer; request; request = newer) {
        newer = request->newer;
        wm_free(request);
    }
    for (uint32_t i = 0; pool->by_key && i < pool->buckets; i++) {
        for (struct pool_client *client = pool->by_key[i], *next; client; client = next) {
            next = client->hash_next;
            wm_free(client);
        }
    }
    wm_free(pool->by_hash);
    wm_free(pool->by_key);
    wm_free(pool->done);
    wm_free(pool->done_set);
    memset(pool, 0, sizeof *pool);
}

/* --- Hashes of what is done: a ring, and an open table of places in it --- */

static uint32_t *done_place(const struct pool *pool, const ledger_hash hash)
{
    uint32_t at;
    memcpy(&at, hash, sizeof at);
    for (at &= 2 * POOL_DONE - 1;; at = (at + 1) & (2 * POOL_DONE - 1)) {
        uint32_t which = pool->done_set[at];
        if (which == NO_DONE ||
            memcmp(pool->done + (size_t)which * LEDGER_HASH_BYTES, hash, LEDGER_HASH_BYTES) == 0) {
            return &pool->done_set[at];
        }
    }
}

bool pool_was_done(const struct pool *pool, const ledger_hash hash)
{
    return *done_place(pool, hash) != NO_DONE;
}

static uint32_t done_home(const struct pool *pool, uint32_t which)
{
    uint32_t at;
    memcpy(&at, pool->done + (size_t)which * LEDGER_HASH_BYTES, sizeof at);
    return at & (2 * POOL_DONE - 1);
}

/* Removes a place of an open table with linear probing: what follows moves up. */
static void done_remove(struct pool *pool, uint32_t hole)
{
    const uint32_t mask = 2 * POOL_DONE - 1;
    for (uint32_t at = (hole + 1) & mask; pool->done_set[at] != NO_DONE; at = (at + 1) & mask) {
        uint32_t home = done_home(pool, pool->done_set[at]);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            pool->done_set[hole] = pool->done_set[at];
            hole = at;
        }
    }
    pool->done_set[hole] = NO_DONE;
}

static void remember_done(struct pool *pool, const ledger_hash hash)
{
    static const ledger_hash none;
    uint8_t *oldest = pool->done + (size_t)pool->done_next * LEDGER_HASH_BYTES;
    if (pool_was_done(pool, hash)) {
        return;
    }
    if (memcmp(oldest, none, sizeof none) != 0) {
        uint32_t *place = done_place(pool, oldest);
        done_remove(pool, (uint32_t)(place - pool->done_set));
    }
    memcpy(oldest, hash, LEDGER_HASH_BYTES);
    *done_place(pool, hash) = pool->done_next;
    pool->done_next = (pool->done_next + 1) % POOL_DONE;
}

/* --- Clients --- */

static struct pool_client *client_of(struct pool *pool, const ledger_key key)
{
    struct pool_client **place = &pool->by_key[bucket(pool, key)];
    for (struct pool_client *client = *place; client; client = client->hash_next) {
        if (memcmp(client->key, key, sizeof client->key) == 0) {
            return client;
        }
    }
    struct pool_client *client = wm_alloc_zero(1, sizeof *client);
    if (client) {
        memcpy(client->key, key, sizeof client->key);
        client->hash_next = *place;
        *place = client;
    }
    return client;
}

static void client_forget_if_empty(struct pool *pool, struct pool_client *client)
{
    struct pool_client **place = &pool->by_key[bucket(pool, client->key)];
    if (client->count > 0) {
        return;
    }
    while (*place != client) {
        place = &(*place)->hash_next;
    }
    *place = client->hash_next;
    wm_free(client);
}

static void queue_add(struct pool *pool, struct pool_request *request)
{
    struct pool_client *client = request->client;
    if (!client->first) { /* it joins the ring, behind all others */
        if (pool->turn) {
            client->next = pool->turn;
            client->previous = pool->turn->previous;
            client->previous->next = client;
            client->next->previous = client;
        } else {
            client->next = client->previous = pool->turn = client;
        }
    }
    request->previous = client->last;
    request->next = NULL;
    if (client->last) {
        client->last->next = request;
    } else {
        client->first = request;
    }
    client->last = request;
    request->waits = true;
    pool->waiting++;
}

static void queue_remove(struct pool *pool, struct pool_request *request)
{
    struct pool_client *client = request->client;
    *(request->previous ? &request->previous->next : &client->first) = request->next;
    *(request->next ? &request->next->previous : &client->last) = request->previous;
    request->next = request->previous = NULL;
    request->waits = false;
    pool->waiting--;
    if (!client->first) {
        if (client->next == client) {
            pool->turn = NULL;
        } else {
            client->previous->next = client->next;
            client->next->previous = client->previous;
            if (pool->turn == client) {
                pool->turn = client->next;
            }
        }
        client->next = client->previous = NULL;
    }
}

/* --- Requests --- */

struct pool_request *pool_find(const struct pool *pool, const ledger_hash hash)
{
    struct pool_request *request = pool->by_hash[bucket(pool, hash)];
    while (request && memcmp(request->hash, hash, sizeof request->hash) != 0) {
        request = request->hash_next;
    }
    return request;
}

static bool has_room(const struct pool *pool, size_t bytes)
{
    return pool->count < pool->limits.requests && bytes <= pool->limits.request_bytes &&
           pool->bytes <= pool->limits.request_bytes - bytes;
}

static size_t bytes_of(const struct pool_request *request)
{
    return sizeof *request + request->request.len + request->arguments.len;
}

/* Is it a request of this service whose arguments are these? */
static bool is_request(const ledger_hash service, const struct bft_request *given,
                       struct request *read)
{
    ledger_hash arguments;
    if (request_get(given->request, read, NULL) != 0 ||
        memcmp(read->claims.service, service, sizeof(ledger_hash)) != 0 ||
        read->claims.arguments_len != given->arguments.len) {
        return false;
    }
    wm_sha256_once(given->arguments, arguments);
    return memcmp(read->statement.payload, arguments, sizeof arguments) == 0;
}

struct pool_request *pool_add(struct pool *pool, const ledger_hash service,
                              const struct bft_request *given, uint64_t now_ns, uint64_t index_max,
                              bool wanted)
{
    struct request read;
    ledger_hash hash;
    wm_sha256_once(given->request, hash);
    struct pool_request *request = pool_find(pool, hash);
    if (request) {
        request->checked |= given->checked;
        return request;
    }
    size_t bytes = sizeof *request + given->request.len + given->arguments.len;
    if ((pool_was_done(pool, hash) && !wanted) || !is_request(service, given, &read) ||
        read.claims.minimum_index > index_max || !has_room(pool, bytes)) {
        return NULL;
    }
    struct pool_client *client = client_of(pool, read.statement.key);
    if (!client) {
        return NULL;
    }
    request = client->count < pool->limits.requests_of_client || wanted ? wm_alloc(bytes) : NULL;
    if (!request) {
        client_forget_if_empty(pool, client);
        return NULL;
    }
    uint8_t *copy = (uint8_t *)(request + 1);
    memset(request, 0, sizeof *request);
    memcpy(request->hash, hash, sizeof hash);
    memcpy(copy, given->request.ptr, given->request.len);
    request->request = wm_view_of(copy, given->request.len);
    if (given->arguments.len > 0) {
        memcpy(copy + given->request.len, given->arguments.ptr, given->arguments.len);
    }
    request->arguments = wm_view_of(copy + given->request.len, given->arguments.len);
    request->minimum_index = read.claims.minimum_index;
    request->arrived_ns = now_ns;
    request->checked = given->checked;
    request->client = client;
    client->count++;
    struct pool_request **place = &pool->by_hash[bucket(pool, hash)];
    request->hash_next = *place;
    *place = request;
    request->older = pool->newest;
    *(pool->newest ? &pool->newest->newer : &pool->oldest) = request;
    pool->newest = request;
    if (pool->waiting == 0) {
        pool->waits_since_ns = now_ns;
    }
    pool->count++;
    pool->bytes += bytes;
    queue_add(pool, request);
    return request;
}

void pool_drop(struct pool *pool, struct pool_request *request)
{
    struct pool_client *client = request->client;
    struct pool_request **place = &pool->by_hash[bucket(pool, request->hash)];
    WM_ASSERT(request->batches == 0);
    if (request->waits) {
        queue_remove(pool, request);
    }
    while (*place != request) {
        place = &(*place)->hash_next;
    }
    *place = request->hash_next;
    *(request->older ? &request->older->newer : &pool->oldest) = request->newer;
    *(request->newer ? &request->newer->older : &pool->newest) = request->older;
    pool->count--;
    pool->bytes -= bytes_of(request);
    client->count--;
    wm_free(request);
    client_forget_if_empty(pool, client);
}

struct pool_request *pool_take(struct pool *pool, uint64_t index)
{
    /* Each client's first that may have this index; once round the ring. */
    struct pool_client *client = pool->turn;
    for (struct pool_client *end = NULL; client && client != end; client = client->next) {
        end = end ? end : pool->turn;
        for (struct pool_request *request = client->first; request; request = request->next) {
            if (request->minimum_index <= index) {
                pool->turn = client->next;
                queue_remove(pool, request);
                return request;
            }
        }
    }
    return NULL;
}

bool pool_has(const struct pool *pool, uint64_t index)
{
    const struct pool_client *client = pool->turn;
    for (const struct pool_client *end = NULL; client && client != end; client = client->next) {
        end = end ? end : pool->turn;
        for (const struct pool_request *request = client->first; request; request = request->next) {
            if (request->minimum_index <= index) {
                return true;
            }
        }
    }
    return false;
}

void pool_hold(struct pool *pool, struct pool_request *request)
{
    if (request->waits) {
        queue_remove(pool, request);
    }
    request->batches++;
}

void pool_release(struct pool *pool, struct pool_request *request)
{
    WM_ASSERT(request->batches > 0);
    if (--request->batches > 0 || request->waits) {
        return;
    }
    if (pool_was_done(pool, request->hash)) { /* in another batch, which was committed */
        pool_drop(pool, request);
    } else {
        queue_add(pool, request);
    }
}

void pool_done(struct pool *pool, struct pool_request *request)
{
    WM_ASSERT(request->batches > 0);
    remember_done(pool, request->hash);
    if (--request->batches == 0) { /* two batches may have it, and one may name it twice */
        pool_drop(pool, request);
    }
}
