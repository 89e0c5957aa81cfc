/* Any bytes as requests to a node's state service, as replies to its client, and as the record of a
 * lock on disk.
 *
 * Input: a byte that chooses among the three, then the bytes. A request goes to a tier that keeps
 * nothing but touches every byte of every range it is given; region 1 is shared. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "faaslet/tier_check.h"
#include "faaslet/tier_leases.h"
#include "faaslet/tier_rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- A tier that touches what it gets --- */

static volatile uint64_t sum;

static int check(struct tier_key key)
{
    return tier_check_key(key, NULL);
}

static int op_size(void *self, struct tier_key key, uint64_t *bytes, struct wm_diag *diag)
{
    (void)self, (void)diag;
    *bytes = key.key.len;
    return check(key);
}

static int op_create(void *self, struct tier_key key, uint64_t bytes, struct wm_diag *diag)
{
    (void)self;
    return check(key) ? check(key) : tier_check_size(key, bytes, diag);
}

static int op_read(void *self, struct tier_key key, const struct tier_range *ranges, uint32_t count,
                   struct wm_diag *diag)
{
    uint64_t total;
    (void)self;
    int err = tier_check_ranges(key, 1u << 20, ranges, count, &total, diag);
    for (uint32_t i = 0; !err && i < count; i++) {
        if (ranges[i].len > 0) {
            memset(ranges[i].bytes, 7, ranges[i].len);
        }
    }
    return err;
}

static int op_write(void *self, struct tier_key key, uint64_t bytes,
                    const struct tier_range *ranges, uint32_t count, uint64_t token,
                    struct wm_diag *diag)
{
    uint64_t total;
    (void)self, (void)token;
    int err = tier_check_ranges(key, bytes, ranges, count, &total, diag);
    for (uint32_t i = 0; !err && i < count; i++) {
        for (uint64_t k = 0; k < ranges[i].len; k++) {
            sum += ranges[i].bytes[k];
        }
    }
    return err;
}

static int op_key(void *self, struct tier_key key, struct wm_diag *diag)
{
    (void)self, (void)diag;
    return check(key);
}

static int op_list(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                   tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    (void)self, (void)diag;
    (void)(emit(emit_self, tenant, 1) && emit(emit_self, prefix, 2) && emit(emit_self, after, 3));
    return 0;
}

static int op_append(void *self, struct tier_key key, struct wm_view element, uint64_t *index,
                     struct wm_diag *diag)
{
    (void)self, (void)key, (void)diag;
    *index = element.len;
    return 0;
}

static int op_appended(void *self, struct tier_key key, uint64_t first, uint64_t count,
                       tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    static const uint8_t element[200000];
    (void)self, (void)key, (void)diag;
    for (uint64_t i = 0; i < count && i < 10; i++) {
        if (!emit(emit_self, wm_view_of(element, sizeof element), first + i)) {
            break;
        }
    }
    return 0;
}

static int op_count(void *self, struct tier_key key, uint64_t *count, struct wm_diag *diag)
{
    return op_size(self, key, count, diag);
}

static int op_add(void *self, struct tier_key key, int64_t delta, int64_t *now,
                  struct wm_diag *diag)
{
    (void)self, (void)diag;
    *now = delta;
    return check(key);
}

static int op_lock(void *self, struct tier_key key, struct tier_lock *lock, uint32_t ttl_ms,
                   uint32_t wait_ms, struct wm_diag *diag)
{
    (void)self, (void)diag;
    WM_ASSERT(wait_ms <= TIER_RPC_WAIT_MS);
    lock->token = ttl_ms;
    return check(key);
}

static int op_renew(void *self, struct tier_key key, const struct tier_lock *lock, uint32_t ttl_ms,
                    struct wm_diag *diag)
{
    (void)self, (void)diag, (void)ttl_ms;
    return lock->token ? check(key) : WM_E_STALE;
}

static int op_unlock(void *self, struct tier_key key, const struct tier_lock *lock,
                     struct wm_diag *diag)
{
    return op_renew(self, key, lock, 0, diag);
}

static int op_set_add(void *self, struct tier_key key, struct wm_view member, uint32_t ttl_ms,
                      struct wm_diag *diag)
{
    (void)self, (void)ttl_ms;
    return tier_check_member(key, member, diag);
}

static int op_set_remove(void *self, struct tier_key key, struct wm_view member,
                         struct wm_diag *diag)
{
    return op_set_add(self, key, member, 1, diag);
}

static int op_members(void *self, struct tier_key key, tier_emit_fn *emit, void *emit_self,
                      struct wm_diag *diag)
{
    return op_list(self, key.tenant, key.key, key.key, emit, emit_self, diag);
}

static const struct tier_ops ops = {op_size,       op_create,  op_read,     op_write,  op_key,
                                    op_list,       op_append,  op_appended, op_count,  op_key,
                                    op_add,        op_lock,    op_renew,    op_unlock, op_set_add,
                                    op_set_remove, op_members, NULL};
static const struct tier touching = {&ops, NULL};

/* --- The three --- */

struct stream {
    const uint8_t *bytes;
    size_t left;
    uint64_t sequence;
    bool in_body;
    uint16_t flags;
    uint32_t body_bytes;
};

/* Frames around the input: a u16 length before each body. */
static int take(void *self, void *out, size_t len, int *passed_fd)
{
    struct stream *stream = self;
    (void)passed_fd;
    if (!stream->in_body) {
        WM_ASSERT(len == 16);
        if (stream->left < 2) {
            return -EPIPE;
        }
        uint32_t body = (uint32_t)stream->bytes[0] | (uint32_t)stream->bytes[1] << 8;
        uint16_t service = RPC_TIER;
        stream->bytes += 2;
        stream->left -= 2;
        stream->body_bytes = body < stream->left ? body : (uint32_t)stream->left;
        stream->sequence++;
        memcpy(out, &stream->body_bytes, 4);
        memcpy((uint8_t *)out + 4, &service, 2);
        memcpy((uint8_t *)out + 6, &stream->flags, 2);
        memcpy((uint8_t *)out + 8, &stream->sequence, 8);
        stream->in_body = stream->body_bytes > 0;
        return 0;
    }
    WM_ASSERT(len == stream->body_bytes);
    memcpy(out, stream->bytes, len);
    stream->bytes += len;
    stream->left -= len;
    stream->in_body = false;
    return 0;
}

static int drop(void *self, const struct iovec *parts, int count, int pass_fd)
{
    (void)self, (void)pass_fd;
    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < parts[i].iov_len; k += 64) {
            sum += ((const uint8_t *)parts[i].iov_base)[k];
        }
    }
    return 0;
}

static void no_close(void *self)
{
    (void)self;
}

static int handle(void *self, struct rpc_request *request)
{
    return tier_rpc_handle(self, request);
}

static bool serves(void *self, struct wm_view tenant)
{
    (void)self;
    return wm_view_eq(wm_view_str("t"), tenant);
}

static void requests(struct stream *stream, bool any_tenant)
{
    struct tier_regions *regions;
    struct rpc_transport transport = {stream, drop, take, no_close, NULL};
    int fd = memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (tier_regions_new(4, 1 << 20, &regions) != 0) {
        abort();
    }
    if (ftruncate(fd, 65536) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0 ||
        tier_regions_add(regions, 1, fd, 65536, NULL) != 0) {
        abort();
    }
    close(fd);
    struct tier_rpc_server server = {&touching, any_tenant ? NULL : serves, NULL, regions};
    (void)!rpc_serve(&transport, handle, &server, NULL);
    tier_regions_free(regions); /* asserts that nothing was left in use */
}

static bool emit_all(void *self, struct wm_view name, uint64_t number)
{
    unsigned *left = self;
    for (size_t i = 0; i < name.len; i++) {
        sum += name.ptr[i] + number;
    }
    return --*left > 0;
}

static void replies(struct stream *stream)
{
    static uint8_t buffer[300];
    struct rpc_transport transport = {stream, drop, take, no_close, NULL};
    struct rpc_client *rpc;
    struct tier_rpc_client client;
    struct tier tier;
    struct wm_diag diag = WM_DIAG_INIT;
    struct tier_key key = {wm_view_str("tenant"), wm_view_str("key")};
    stream->flags = 2;
    if (rpc_client_new(&transport, &rpc, NULL) != 0) {
        return;
    }
    tier_rpc_client_init(&client, rpc, NULL, &tier);
    for (unsigned i = 0; i < 12 && rpc_client_usable(rpc); i++) {
        struct tier_range ranges[] = {{0, 100, buffer}, {200, 50, buffer + 100}, {4, 0, buffer}};
        struct tier_lock lock = {.mode = TIER_LOCK_WRITE};
        uint64_t number = 0;
        unsigned most = 300;
        switch (i % 6) {
        case 0: (void)tier.ops->read(tier.self, key, ranges, 3, &diag); break;
        case 1: (void)tier.ops->size(tier.self, key, &number, &diag); break;
        case 2:
            (void)tier.ops->list(tier.self, key.tenant, key.key, key.key, emit_all, &most, &diag);
            break;
        case 3: (void)tier.ops->appended(tier.self, key, 0, 200, emit_all, &most, &diag); break;
        case 4: (void)tier.ops->lock(tier.self, key, &lock, 10, 0, &diag); break;
        default: (void)tier.ops->set_members(tier.self, key, emit_all, &most, &diag); break;
        }
        WM_ASSERT(memchr(diag.text, 0, sizeof diag.text));
    }
    rpc_client_free(rpc);
}

static void record(const uint8_t *data, size_t size)
{
    struct leases leases = {0}, again = {0};
    uint64_t boot = 0, boot_again = 0;
    uint8_t *bytes;
    size_t len;
    if (leases_decode(wm_view_of(data, size), 1000, &leases, &boot) != 0) {
        return;
    }
    WM_ASSERT(leases_encode(&leases, leases.token, boot, NULL, &bytes, &len) == 0);
    WM_ASSERT(len == size && memcmp(bytes, data, size) == 0);
    WM_ASSERT(leases_decode(wm_view_of(bytes, len), 1000, &again, &boot_again) == 0);
    leases_drop_expired(&leases, 1000 + 50);
    WM_ASSERT(leases.held.count <= again.held.count);
    wm_free(bytes);
    leases_fini(&leases);
    leases_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct stream stream = {.bytes = data + 1, .left = size - 1};
    switch (data[0] % 4) {
    case 0: requests(&stream, true); break;
    case 1: requests(&stream, false); break;
    case 2: replies(&stream); break;
    default: record(data + 1, size - 1); break;
    }
    return 0;
}
