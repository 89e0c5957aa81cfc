/* The client puts a request's pieces into one gathered write; the server lets the tier read from
 * the request's own bytes and write into the reply's, so that a byte is copied once at each end. */
#include "faaslet/tier_rpc.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/error.h"
#include "faaslet/tier_check.h"
#include "faaslet/tier_msg.h"

/* A page of entries is sent when it has this many bytes. */
#define PAGE_BYTES (UINT32_C(1) << 20)

/* --- Server --- */

struct job {
    const struct tier_rpc_server *server;
    struct rpc_request *rpc;
    struct tier_request request;
    struct tier_key key;
    struct tier_reply reply;
    struct wm_diag diag;

    struct tier_range *ranges; /* of a read or write */
    struct tier_region **used; /* the regions that they lie in; NULL for others */
    size_t page_bytes;
    int emit_err;
};

/* Where the bytes of a range without a region are: the next `len` of the request or reply. */
static int resolve_ranges(struct job *job, uint8_t *bytes, size_t len)
{
    const struct tier_request *request = &job->request;
    size_t at = 0;
    for (uint32_t i = 0; i < request->range_count; i++) {
        struct tier_msg_range range = tier_range_decode(request, i);
        job->ranges[i] = (struct tier_range){range.offset, range.len, NULL};
        if (range.region != 0) {
            job->used[i] =
                job->server->regions
                    ? tier_regions_get(job->server->regions, range.region, range.region_offset,
                                       range.len, &job->ranges[i].bytes)
                    : NULL;
            if (!job->used[i]) {
                return wm_diag_set(&job->diag, WM_E_INVALID,
                                   "state: a range names shared region %u, which is not known or "
                                   "smaller",
                                   range.region);
            }
        } else if (range.len > len - at) {
            return wm_diag_set(&job->diag, WM_E_INVALID,
                               "state: a request's ranges and bytes do not fit each other");
        } else {
            job->ranges[i].bytes = bytes + at;
            at += range.len;
        }
    }
    return at == len ? 0
                     : wm_diag_set(&job->diag, WM_E_INVALID,
                                   "state: a request has more bytes than its ranges");
}

static int alloc_ranges(struct job *job)
{
    size_t count = job->request.range_count;
    job->ranges = wm_alloc_zero(count + 1, sizeof *job->ranges);
    job->used = wm_alloc_zero(count + 1, sizeof(struct tier_region *));
    return job->ranges && job->used ? 0 : wm_diag_default(&job->diag, -ENOMEM, "state");
}

static void free_ranges(struct job *job)
{
    for (uint32_t i = 0; job->used && i < job->request.range_count; i++) {
        if (job->used[i]) {
            tier_regions_put(job->server->regions, job->used[i]);
        }
    }
    wm_free(job->used);
    wm_free(job->ranges);
}

static int serve_read(struct job *job)
{
    const struct tier *tier = job->server->tier;
    uint64_t inline_bytes = 0;
    uint8_t *room = NULL;
    for (uint32_t i = 0; i < job->request.range_count; i++) {
        struct tier_msg_range range = tier_range_decode(&job->request, i);
        if (range.region == 0) {
            if (range.len > RPC_BODY_BYTES_MAX - TIER_REPLY_BYTES - inline_bytes) {
                return wm_diag_set(&job->diag, WM_E_LIMIT,
                                   "state: a read of more bytes than a reply may have");
            }
            inline_bytes += range.len;
        }
    }
    int err = alloc_ranges(job);
    err = err ? err : rpc_reply_room(job->rpc, inline_bytes, &room);
    err = err ? err : resolve_ranges(job, room, inline_bytes);
    return err ? err
               : tier->ops->read(tier->self, job->key, job->ranges, job->request.range_count,
                                 &job->diag);
}

static int serve_write(struct job *job)
{
    const struct tier *tier = job->server->tier;
    int err = alloc_ranges(job);
    err = err ? err
              : resolve_ranges(job, (uint8_t *)(uintptr_t)job->request.bytes.ptr,
                               job->request.bytes.len);
    return err ? err
               : tier->ops->write(tier->self, job->key, job->request.a, job->ranges,
                                  job->request.range_count, job->request.b, &job->diag);
}

static bool add_entry(void *self, struct wm_view name, uint64_t number)
{
    struct job *job = self;
    uint8_t *room;
    if (rpc_reply_bytes(job->rpc) >= job->page_bytes) {
        job->reply.more = true;
        return false;
    }
    job->emit_err = rpc_reply_room(job->rpc, TIER_ENTRY_BYTES + name.len, &room);
    if (job->emit_err) {
        return false;
    }
    tier_entry_encode(number, name.len, room);
    if (name.len > 0) {
        memcpy(room + TIER_ENTRY_BYTES, name.ptr, name.len);
    }
    return true;
}

static int serve_entries(struct job *job)
{
    const struct tier *tier = job->server->tier;
    const struct tier_request *request = &job->request;
    int err;
    job->page_bytes = PAGE_BYTES;
    if (request->op == TIER_OP_LIST) {
        err = tier->ops->list(tier->self, job->key.tenant, job->key.key, request->text, add_entry,
                              job, &job->diag);
    } else if (request->op == TIER_OP_APPENDED) {
        err = tier->ops->appended(tier->self, job->key, request->a, request->b, add_entry, job,
                                  &job->diag);
    } else {
        job->page_bytes = RPC_BODY_BYTES_MAX; /* in one piece; a set is small */
        err = tier->ops->set_members(tier->self, job->key, add_entry, job, &job->diag);
    }
    return err ? err : job->emit_err;
}

static int serve_lock(struct job *job)
{
    const struct tier *tier = job->server->tier;
    const struct tier_request *request = &job->request;
    struct tier_lock lock = {.token = request->a, .mode = request->mode};
    memcpy(lock.owner, request->owner, sizeof lock.owner);
    if (request->op == TIER_OP_RENEW) {
        return tier->ops->renew(tier->self, job->key, &lock, request->ttl_ms, &job->diag);
    }
    if (request->op == TIER_OP_UNLOCK) {
        return tier->ops->unlock(tier->self, job->key, &lock, &job->diag);
    }
    uint32_t wait_ms = request->wait_ms < TIER_RPC_WAIT_MS ? request->wait_ms : TIER_RPC_WAIT_MS;
    int err = tier->ops->lock(tier->self, job->key, &lock, request->ttl_ms, wait_ms, &job->diag);
    job->reply.a = lock.token;
    return err;
}

static int serve_region(struct job *job)
{
    struct tier_regions *regions = job->server->regions;
    if (!regions || job->request.a == 0 || job->request.a > UINT32_MAX) {
        return wm_diag_set(&job->diag, WM_E_DENIED, "state: no regions can be shared here");
    }
    uint32_t id = (uint32_t)job->request.a;
    if (job->request.op == TIER_OP_UNSHARE) {
        return tier_regions_remove(regions, id);
    }
    return job->rpc->fd < 0
               ? wm_diag_set(&job->diag, WM_E_INVALID,
                             "state: sharing a region without a descriptor")
               : tier_regions_add(regions, id, job->rpc->fd, job->request.b, &job->diag);
}

static int serve(struct job *job)
{
    const struct tier *tier = job->server->tier;
    const struct tier_request *request = &job->request;
    struct tier_key key = job->key;
    struct wm_diag *diag = &job->diag;
    int64_t now = 0;
    int err;
    if (request->op == TIER_OP_SHARE || request->op == TIER_OP_UNSHARE) {
        return serve_region(job);
    }
    if (job->server->serves && !job->server->serves(job->server->self, key.tenant)) {
        return wm_diag_set(diag, WM_E_DENIED, "state: the tenant that was named is another one");
    }
    switch (request->op) {
    case TIER_OP_SIZE: return tier->ops->size(tier->self, key, &job->reply.a, diag);
    case TIER_OP_CREATE: return tier->ops->create(tier->self, key, request->a, diag);
    case TIER_OP_READ: return serve_read(job);
    case TIER_OP_WRITE: return serve_write(job);
    case TIER_OP_REMOVE: return tier->ops->remove(tier->self, key, diag);
    case TIER_OP_LIST:
    case TIER_OP_APPENDED:
    case TIER_OP_SET_MEMBERS: return serve_entries(job);
    case TIER_OP_APPEND:
        return tier->ops->append(tier->self, key, request->text, &job->reply.a, diag);
    case TIER_OP_COUNT: return tier->ops->appended_count(tier->self, key, &job->reply.a, diag);
    case TIER_OP_CLEAR: return tier->ops->clear_appended(tier->self, key, diag);
    case TIER_OP_ADD:
        err = tier->ops->add(tier->self, key, (int64_t)request->a, &now, diag);
        job->reply.a = (uint64_t)now;
        return err;
    case TIER_OP_LOCK:
    case TIER_OP_RENEW:
    case TIER_OP_UNLOCK: return serve_lock(job);
    case TIER_OP_SET_ADD:
        return tier->ops->set_add(tier->self, key, request->text, request->ttl_ms, diag);
    case TIER_OP_SET_REMOVE: return tier->ops->set_remove(tier->self, key, request->text, diag);
    case TIER_OP_SHARE:
    case TIER_OP_UNSHARE:
    case TIER_OPS: break;
    }
    return WM_E_UNSUPPORTED;
}

int tier_rpc_handle(const struct tier_rpc_server *server, struct rpc_request *rpc)
{
    struct job job = {.server = server, .rpc = rpc};
    uint8_t *head;
    if (!tier_request_decode(rpc->body, &job.request)) {
        return WM_E_MALFORMED;
    }
    job.key = (struct tier_key){job.request.tenant, job.request.key};
    int err = rpc_reply_room(rpc, TIER_REPLY_BYTES, &head);
    if (err) {
        return err;
    }
    job.reply.code = serve(&job);
    free_ranges(&job);
    if (job.reply.code) {
        wm_diag_default(&job.diag, job.reply.code, "state");
        job.reply.text = wm_view_str(job.diag.text);
        job.reply.more = false;
        rpc_reply_cut(rpc, TIER_REPLY_BYTES);
        err = rpc_reply_add(rpc, job.reply.text);
    }
    tier_reply_encode(&job.reply, rpc_reply_start(rpc));
    return err;
}

/* --- Client --- */

/* Sends a request whose ranges stand in `table` and whose bytes are `parts`; takes the reply. */
static int ask(struct tier_rpc_client *client, struct tier_request *request,
               const struct iovec *parts, size_t part_count, int pass_fd, struct tier_reply *reply,
               struct wm_diag *diag)
{
    uint8_t head[TIER_REQUEST_BYTES];
    struct iovec few[8], *all = few;
    struct rpc_reply answer;
    if (part_count + 5 > WM_COUNT_OF(few)) {
        all = wm_alloc_zero(part_count + 5, sizeof *all);
        if (!all) {
            return wm_diag_default(diag, -ENOMEM, "state");
        }
    }
    tier_request_encode(request, head);
    const struct wm_view views[] = {wm_view_of(head, sizeof head), request->tenant, request->key,
                                    request->text, request->ranges};
    for (size_t i = 0; i < 5; i++) {
        all[i] = (struct iovec){(void *)(uintptr_t)views[i].ptr, views[i].len};
    }
    if (part_count > 0) {
        memcpy(all + 5, parts, part_count * sizeof *parts);
    }
    int err = rpc_call(client->rpc, RPC_TIER, all, (int)(part_count + 5), pass_fd, &answer, diag);
    if (all != few) {
        wm_free(all);
    }
    if (err) {
        client->stats.errors++;
        return err;
    }
    if (answer.fd >= 0 || !tier_reply_decode(answer.body, reply)) {
        client->stats.errors++;
        return wm_diag_set(diag, WM_E_MALFORMED, "state: the node's reply is out of form");
    }
    if (reply->code && diag) {
        /* It was made printable where untrusted text went into it; this is about the node. */
        diag->code = reply->code;
        for (size_t i = 0; i < reply->text.len; i++) {
            uint8_t byte = reply->text.ptr[i];
            diag->text[i] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
        }
        diag->text[reply->text.len] = 0; /* tier_reply_decode: it fits */
    }
    client->stats.errors += reply->code && reply->code != WM_E_NOT_FOUND;
    return reply->code;
}

/* A request without ranges. */
static int ask_plain(struct tier_rpc_client *client, struct tier_key key,
                     struct tier_request *request, struct tier_reply *reply, struct wm_diag *diag)
{
    int err = tier_check_key(key, diag);
    request->tenant = key.tenant;
    request->key = key.key;
    return err ? err : ask(client, request, NULL, 0, -1, reply, diag);
}

static int op_size(void *self, struct tier_key key, uint64_t *bytes, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_SIZE};
    struct tier_reply reply;
    int err = ask_plain(self, key, &request, &reply, diag);
    if (!err) {
        *bytes = reply.a;
    }
    return err;
}

static int op_create(void *self, struct tier_key key, uint64_t bytes, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_CREATE, .a = bytes};
    struct tier_reply reply;
    return ask_plain(self, key, &request, &reply, diag);
}

/* What is left of a read or write to be sent, and the batch that is next. */
struct batch {
    struct tier_rpc_client *client;
    const struct tier_range *ranges;
    uint32_t count, at; /* ranges, and those that are done */
    uint64_t done;      /* bytes of ranges[at] */

    uint8_t *table;
    struct iovec *parts;
    uint32_t table_count, part_count;
};

static int batch_init(struct batch *batch, struct tier_rpc_client *client,
                      const struct tier_range *ranges, uint32_t count, struct tier_key key,
                      struct wm_diag *diag)
{
    *batch = (struct batch){.client = client, .ranges = ranges, .count = count};
    if (count > TIER_RANGES_MAX) {
        return tier_fail(diag, WM_E_LIMIT, key, "more ranges than one request may have (65,536)");
    }
    batch->table = wm_alloc_zero(count + 1u, TIER_RANGE_BYTES);
    batch->parts = wm_alloc_zero(count + 1u, sizeof *batch->parts);
    return batch->table && batch->parts ? 0 : tier_fail(diag, -ENOMEM, key, "no memory");
}

static void batch_fini(struct batch *batch)
{
    wm_free(batch->table);
    wm_free(batch->parts);
}

static void batch_next(struct batch *batch)
{
    uint64_t inline_bytes = 0;
    batch->table_count = batch->part_count = 0;
    while (batch->at < batch->count && batch->table_count < batch->count &&
           inline_bytes < TIER_RPC_INLINE_BYTES) {
        const struct tier_range *range = &batch->ranges[batch->at];
        struct tier_msg_range sent = {.offset = range->offset + batch->done,
                                      .len = range->len - batch->done};
        uint8_t *bytes = range->bytes + batch->done;
        if (sent.len > 0 && batch->client->shares &&
            tier_shares_find(batch->client->shares, bytes, sent.len, &sent.region,
                             &sent.region_offset)) {
            batch->done = range->len;
        } else {
            sent.region = 0;
            sent.region_offset = 0;
            sent.len = wm_min_u64(sent.len, TIER_RPC_INLINE_BYTES - inline_bytes);
            batch->parts[batch->part_count++] = (struct iovec){bytes, sent.len};
            inline_bytes += sent.len;
            batch->done += sent.len;
        }
        tier_range_encode(&sent, batch->table + (size_t)batch->table_count++ * TIER_RANGE_BYTES);
        if (batch->done == range->len) {
            batch->at++;
            batch->done = 0;
        }
    }
}

/* Puts a read's bytes where they are wanted. */
static int scatter(const struct batch *batch, struct wm_view bytes, struct tier_key key,
                   struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    for (uint32_t i = 0; i < batch->part_count; i++) {
        struct wm_view part;
        if (!wm_cursor_bytes(&cursor, batch->parts[i].iov_len, &part)) {
            return tier_fail(diag, WM_E_MALFORMED, key, "the node's reply is too short");
        }
        if (part.len > 0) {
            memcpy(batch->parts[i].iov_base, part.ptr, part.len);
        }
    }
    return wm_cursor_done(&cursor)
               ? 0
               : tier_fail(diag, WM_E_MALFORMED, key, "the node's reply is too long");
}

static int move_ranges(struct tier_rpc_client *client, enum tier_op op, struct tier_key key,
                       uint64_t bytes, const struct tier_range *ranges, uint32_t count,
                       uint64_t token, struct wm_diag *diag)
{
    struct batch batch = {0};
    int err = tier_check_key(key, diag);
    err = err ? err : batch_init(&batch, client, ranges, count, key, diag);
    do {
        struct tier_reply reply;
        if (err) {
            break;
        }
        batch_next(&batch);
        struct tier_request request = {
            .op = op,
            .a = bytes,
            .b = token,
            .tenant = key.tenant,
            .key = key.key,
            .range_count = batch.table_count,
            .ranges = wm_view_of(batch.table, (size_t)batch.table_count * TIER_RANGE_BYTES)};
        err = ask(client, &request, batch.parts, op == TIER_OP_WRITE ? batch.part_count : 0, -1,
                  &reply, diag);
        if (!err && op == TIER_OP_READ) {
            err = scatter(&batch, reply.bytes, key, diag);
        }
    } while (batch.at < count);
    batch_fini(&batch);
    return err;
}

static uint64_t total_of(const struct tier_range *ranges, uint32_t count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += ranges[i].len;
    }
    return total;
}

/* A request in several parts must not do a part of it and then find that the rest is not allowed.
 */
static int check_parts(struct tier_key key, uint64_t bytes, const struct tier_range *ranges,
                       uint32_t count, struct wm_diag *diag)
{
    uint64_t total;
    return tier_check_ranges(key, bytes, ranges, count, &total, diag);
}

static int op_read(void *self, struct tier_key key, const struct tier_range *ranges, uint32_t count,
                   struct wm_diag *diag)
{
    struct tier_rpc_client *client = self;
    int err = check_parts(key, UINT64_MAX, ranges, count, NULL);
    if (err == WM_E_LIMIT) {
        return tier_fail(diag, err, key, "a read of too many ranges or bytes");
    }
    err = err ? tier_fail(diag, err, key, "a range beyond the end of the value")
              : move_ranges(client, TIER_OP_READ, key, 0, ranges, count, 0, diag);
    if (!err) {
        client->stats.reads++;
        client->stats.bytes_read += total_of(ranges, count);
    }
    return err;
}

static int op_write(void *self, struct tier_key key, uint64_t bytes,
                    const struct tier_range *ranges, uint32_t count, uint64_t token,
                    struct wm_diag *diag)
{
    struct tier_rpc_client *client = self;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_size(key, bytes, diag);
    err = err ? err : check_parts(key, bytes, ranges, count, diag);
    err = err ? err : move_ranges(client, TIER_OP_WRITE, key, bytes, ranges, count, token, diag);
    if (!err) {
        client->stats.writes++;
        client->stats.bytes_written += total_of(ranges, count);
    }
    return err;
}

static int op_remove(void *self, struct tier_key key, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_REMOVE};
    struct tier_reply reply;
    return ask_plain(self, key, &request, &reply, diag);
}

/* Hands out the entries of a reply. *last: the last one's number, *count: how many; *stopped. */
static int emit_entries(const struct tier_reply *reply, tier_emit_fn *emit, void *emit_self,
                        struct wm_view *last, uint64_t *count, bool *stopped, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(reply->bytes);
    uint64_t number;
    bool bad = false;
    *count = 0;
    while (!*stopped && tier_entry_next(&cursor, last, &number, &bad)) {
        ++*count;
        *stopped = !emit(emit_self, *last, number);
    }
    if (bad || (reply->more && *count == 0)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "state: the node's reply is out of form");
    }
    return 0;
}

static int op_list(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                   tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    uint8_t last[TIER_KEY_BYTES_MAX];
    struct tier_reply reply = {.more = true};
    bool stopped = false;
    int err = 0;
    if (tenant.len == 0 || tenant.len > TIER_TENANT_BYTES_MAX || prefix.len > TIER_KEY_BYTES_MAX ||
        after.len > TIER_KEY_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_INVALID, "state: listing: a name or prefix is too long");
    }
    while (!err && reply.more && !stopped) {
        struct tier_request request = {
            .op = TIER_OP_LIST, .tenant = tenant, .key = prefix, .text = after};
        struct wm_view name = {0};
        uint64_t count;
        err = ask(self, &request, NULL, 0, -1, &reply, diag);
        err = err ? err : emit_entries(&reply, emit, emit_self, &name, &count, &stopped, diag);
        if (!err && reply.more) {
            if (name.len > sizeof last) {
                return wm_diag_set(diag, WM_E_MALFORMED, "state: the node's reply is out of form");
            }
            memcpy(last, name.ptr, name.len);
            after = wm_view_of(last, name.len);
        }
    }
    return err;
}

static int op_append(void *self, struct tier_key key, struct wm_view element, uint64_t *index,
                     struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_APPEND, .text = element};
    struct tier_reply reply;
    if (element.len > TIER_ELEMENT_BYTES_MAX) {
        return tier_fail(diag, WM_E_LIMIT, key, "an element of a list has at most 1 MiB");
    }
    int err = ask_plain(self, key, &request, &reply, diag);
    if (!err) {
        *index = reply.a;
    }
    return err;
}

static int op_appended(void *self, struct tier_key key, uint64_t first, uint64_t count,
                       tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct tier_reply reply = {.more = true};
    bool stopped = false;
    int err = 0;
    while (!err && reply.more && !stopped) {
        struct tier_request request = {.op = TIER_OP_APPENDED, .a = first, .b = count};
        struct wm_view element;
        uint64_t got;
        err = ask_plain(self, key, &request, &reply, diag);
        err = err ? err : emit_entries(&reply, emit, emit_self, &element, &got, &stopped, diag);
        if (!err && reply.more) {
            if (got >= count) {
                break;
            }
            first += got;
            count -= got;
        }
    }
    return err;
}

static int op_appended_count(void *self, struct tier_key key, uint64_t *count, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_COUNT};
    struct tier_reply reply;
    int err = ask_plain(self, key, &request, &reply, diag);
    if (!err) {
        *count = reply.a;
    }
    return err;
}

static int op_clear_appended(void *self, struct tier_key key, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_CLEAR};
    struct tier_reply reply;
    return ask_plain(self, key, &request, &reply, diag);
}

static int op_add(void *self, struct tier_key key, int64_t delta, int64_t *now,
                  struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_ADD, .a = (uint64_t)delta};
    struct tier_reply reply;
    int err = ask_plain(self, key, &request, &reply, diag);
    if (!err) {
        *now = (int64_t)reply.a;
    }
    return err;
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int ask_lock(struct tier_rpc_client *client, enum tier_op op, struct tier_key key,
                    const struct tier_lock *lock, uint32_t ttl_ms, uint32_t wait_ms,
                    struct tier_reply *reply, struct wm_diag *diag)
{
    struct tier_request request = {
        .op = op, .mode = lock->mode, .ttl_ms = ttl_ms, .wait_ms = wait_ms, .a = lock->token};
    memcpy(request.owner, lock->owner, sizeof request.owner);
    if (lock->mode != TIER_LOCK_READ && lock->mode != TIER_LOCK_WRITE) {
        return tier_fail(diag, WM_E_INVALID, key, "a lock is for reading or for writing");
    }
    return ask_plain(client, key, &request, reply, diag);
}

static int op_lock(void *self, struct tier_key key, struct tier_lock *lock, uint32_t ttl_ms,
                   uint32_t wait_ms, struct wm_diag *diag)
{
    struct tier_rpc_client *client = self;
    int64_t deadline = monotonic_ms() + wait_ms;
    struct tier_reply reply;
    for (;;) {
        int64_t left = deadline - monotonic_ms();
        uint32_t wait = left < 0 ? 0 : left < TIER_RPC_WAIT_MS ? (uint32_t)left : TIER_RPC_WAIT_MS;
        int err = ask_lock(client, TIER_OP_LOCK, key, lock, ttl_ms, wait, &reply, diag);
        if (err == WM_E_BUSY && left > (int64_t)TIER_RPC_WAIT_MS) {
            continue; /* the node's own limit is what ended the wait */
        }
        if (!err && reply.a == 0) {
            err = tier_fail(diag, WM_E_MALFORMED, key, "the node granted a lock without a token");
        }
        if (!err) {
            lock->token = reply.a;
            client->stats.locks++;
        }
        return err;
    }
}

static int op_renew(void *self, struct tier_key key, const struct tier_lock *lock, uint32_t ttl_ms,
                    struct wm_diag *diag)
{
    struct tier_reply reply;
    return ask_lock(self, TIER_OP_RENEW, key, lock, ttl_ms, 0, &reply, diag);
}

static int op_unlock(void *self, struct tier_key key, const struct tier_lock *lock,
                     struct wm_diag *diag)
{
    struct tier_reply reply;
    return ask_lock(self, TIER_OP_UNLOCK, key, lock, 0, 0, &reply, diag);
}

static int op_set_add(void *self, struct tier_key key, struct wm_view member, uint32_t ttl_ms,
                      struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_SET_ADD, .text = member, .ttl_ms = ttl_ms};
    struct tier_reply reply;
    int err = tier_check_member(key, member, diag);
    return err ? err : ask_plain(self, key, &request, &reply, diag);
}

static int op_set_remove(void *self, struct tier_key key, struct wm_view member,
                         struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_SET_REMOVE, .text = member};
    struct tier_reply reply;
    int err = tier_check_member(key, member, diag);
    return err ? err : ask_plain(self, key, &request, &reply, diag);
}

static int op_set_members(void *self, struct tier_key key, tier_emit_fn *emit, void *emit_self,
                          struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_SET_MEMBERS};
    struct tier_reply reply;
    struct wm_view last;
    uint64_t count;
    bool stopped = false;
    int err = ask_plain(self, key, &request, &reply, diag);
    return err ? err : emit_entries(&reply, emit, emit_self, &last, &count, &stopped, diag);
}

static void op_close(void *self)
{
    (void)self; /* the connection is its owner's */
}

static const struct tier_ops ops = {
    .size = op_size,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .remove = op_remove,
    .list = op_list,
    .append = op_append,
    .appended = op_appended,
    .appended_count = op_appended_count,
    .clear_appended = op_clear_appended,
    .add = op_add,
    .lock = op_lock,
    .renew = op_renew,
    .unlock = op_unlock,
    .set_add = op_set_add,
    .set_remove = op_set_remove,
    .set_members = op_set_members,
    .close = op_close,
};

void tier_rpc_client_init(struct tier_rpc_client *client, struct rpc_client *rpc,
                          struct tier_shares *shares, struct tier *out)
{
    *client = (struct tier_rpc_client){.rpc = rpc, .shares = shares};
    *out = (struct tier){&ops, client};
}

int tier_rpc_share(struct tier_rpc_client *client, uint32_t id, int memfd, const void *base,
                   uint64_t bytes, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_SHARE, .a = id, .b = bytes};
    struct tier_reply reply;
    if (!client->shares) {
        return wm_diag_set(diag, WM_E_UNSUPPORTED, "state: nothing can be shared this way");
    }
    int err = ask(client, &request, NULL, 0, memfd, &reply, diag);
    if (err) {
        return err;
    }
    err = tier_shares_add(client->shares, id, base, bytes);
    if (err) {
        struct wm_diag dropped;
        (void)!tier_rpc_unshare(client, id, &dropped);
        return wm_diag_default(diag, err, "state: sharing a region");
    }
    return 0;
}

int tier_rpc_unshare(struct tier_rpc_client *client, uint32_t id, struct wm_diag *diag)
{
    struct tier_request request = {.op = TIER_OP_UNSHARE, .a = id};
    struct tier_reply reply;
    if (client->shares) {
        tier_shares_remove(client->shares, id);
    }
    return ask(client, &request, NULL, 0, -1, &reply, diag);
}
