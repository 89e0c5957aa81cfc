#include "faaslet/tier_leases.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/tier_check.h"

void leases_fini(struct leases *leases)
{
    wm_vec_fini(&leases->held);
}

void leases_drop_expired(struct leases *leases, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < leases->held.count; i++) {
        if (leases->held.items[i].expires_ms > now_ms) {
            leases->held.items[kept++] = leases->held.items[i];
        }
    }
    leases->held.count = kept;
}

bool leases_allow(const struct leases *leases, enum tier_lock_mode mode)
{
    if (leases->held.count == 0) {
        return true;
    }
    return mode == TIER_LOCK_READ && leases->held.items[0].mode == TIER_LOCK_READ &&
           leases->held.count < LEASES_MAX;
}

struct lease *leases_find(struct leases *leases, const uint8_t owner[16], uint64_t token,
                          int64_t now_ms)
{
    for (size_t i = 0; i < leases->held.count; i++) {
        struct lease *lease = &leases->held.items[i];
        if (lease->expires_ms > now_ms && memcmp(lease->owner, owner, 16) == 0 &&
            (token == 0 || lease->token == token)) {
            return lease;
        }
    }
    return NULL;
}

bool leases_may_write(const struct leases *leases, uint64_t token, int64_t now_ms)
{
    return token != 0 && token == leases->token && leases->held.count == 1 &&
           leases->held.items[0].token == token && leases->held.items[0].mode == TIER_LOCK_WRITE &&
           leases->held.items[0].expires_ms > now_ms;
}

bool leases_release(struct leases *leases, const uint8_t owner[16], uint64_t token)
{
    for (size_t i = 0; i < leases->held.count; i++) {
        if (leases->held.items[i].token == token &&
            memcmp(leases->held.items[i].owner, owner, 16) == 0) {
            leases->held.items[i] = leases->held.items[--leases->held.count];
            return true;
        }
    }
    return false;
}

int64_t leases_first_expiry_ms(const struct leases *leases)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < leases->held.count; i++) {
        if (leases->held.items[i].expires_ms < first) {
            first = leases->held.items[i].expires_ms;
        }
    }
    return first;
}

static uint8_t *put_lease(uint8_t *at, const struct lease *lease)
{
    memcpy(at, lease->owner, 16);
    memcpy(at + 16, &lease->token, 8);
    memcpy(at + 24, &lease->ttl_ms, 4);
    at[28] = lease->mode;
    return at + LEASE_BYTES;
}

int leases_encode(const struct leases *leases, uint64_t token, uint64_t boot,
                  const struct lease *extra, uint8_t **out, size_t *len)
{
    uint32_t count = (uint32_t)leases->held.count + (extra ? 1 : 0);
    *len = LEASES_HEADER_BYTES + (size_t)count * LEASE_BYTES;
    uint8_t *record = wm_alloc(*len), *at = record;
    if (!record) {
        return -ENOMEM;
    }
    memcpy(at, &token, 8);
    memcpy(at + 8, &boot, 8);
    memcpy(at + 16, &count, 4);
    at += LEASES_HEADER_BYTES;
    for (size_t i = 0; i < leases->held.count; i++) {
        at = put_lease(at, &leases->held.items[i]);
    }
    if (extra) {
        put_lease(at, extra);
    }
    *out = record;
    return 0;
}

int leases_decode(struct wm_view record, int64_t start_ms, struct leases *leases, uint64_t *boot)
{
    struct wm_cursor cursor = wm_cursor_of(record);
    struct leases read = {0};
    uint32_t count = 0;
    if (!wm_cursor_u64(&cursor, &read.token) || !wm_cursor_u64(&cursor, boot) ||
        !wm_cursor_u32(&cursor, &count) || count > LEASES_MAX ||
        wm_cursor_left(&cursor) != (size_t)count * LEASE_BYTES) {
        return WM_E_MALFORMED;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct lease lease = {0};
        struct wm_view owner;
        if (!wm_cursor_bytes(&cursor, 16, &owner) || !wm_cursor_u64(&cursor, &lease.token) ||
            !wm_cursor_u32(&cursor, &lease.ttl_ms) || !wm_cursor_u8(&cursor, &lease.mode) ||
            lease.mode > TIER_LOCK_WRITE || lease.ttl_ms > TIER_TTL_MS_MAX || lease.token == 0 ||
            lease.token > read.token || (count > 1 && lease.mode == TIER_LOCK_WRITE)) {
            leases_fini(&read);
            return WM_E_MALFORMED;
        }
        memcpy(lease.owner, owner.ptr, 16);
        lease.expires_ms = start_ms + lease.ttl_ms;
        if (wm_vec_push(&read.held, lease) != 0) {
            leases_fini(&read);
            return -ENOMEM;
        }
    }
    *leases = read;
    return 0;
}
