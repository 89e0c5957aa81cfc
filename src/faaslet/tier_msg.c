#include "faaslet/tier_msg.h"

#include <string.h>

#include "base/assert.h"

static void put32(uint8_t *out, size_t at, uint64_t value)
{
    uint32_t narrow = (uint32_t)value;
    memcpy(out + at, &narrow, 4);
}

static void put64(uint8_t *out, size_t at, uint64_t value)
{
    memcpy(out + at, &value, 8);
}

void tier_request_encode(const struct tier_request *request, uint8_t out[TIER_REQUEST_BYTES])
{
    memset(out, 0, TIER_REQUEST_BYTES);
    out[0] = (uint8_t)request->op;
    out[1] = (uint8_t)request->mode;
    put32(out, 4, request->ttl_ms);
    put32(out, 8, request->wait_ms);
    put32(out, 12, request->range_count);
    put64(out, 16, request->a);
    put64(out, 24, request->b);
    memcpy(out + 32, request->owner, 16);
    put32(out, 48, request->tenant.len);
    put32(out, 52, request->key.len);
    put32(out, 56, request->text.len);
}

void tier_range_encode(const struct tier_msg_range *range, uint8_t out[TIER_RANGE_BYTES])
{
    put64(out, 0, range->offset);
    put64(out, 8, range->len);
    put32(out, 16, range->region);
    put32(out, 20, 0);
    put64(out, 24, range->region_offset);
}

bool tier_request_decode(struct wm_view body, struct tier_request *out)
{
    struct wm_cursor cursor = wm_cursor_of(body);
    struct wm_view owner;
    uint8_t op, mode, zero8[2];
    uint32_t tenant_len, key_len, text_len, zero;
    *out = (struct tier_request){0};
    if (!wm_cursor_u8(&cursor, &op) || !wm_cursor_u8(&cursor, &mode) ||
        !wm_cursor_u8(&cursor, &zero8[0]) || !wm_cursor_u8(&cursor, &zero8[1]) ||
        !wm_cursor_u32(&cursor, &out->ttl_ms) || !wm_cursor_u32(&cursor, &out->wait_ms) ||
        !wm_cursor_u32(&cursor, &out->range_count) || !wm_cursor_u64(&cursor, &out->a) ||
        !wm_cursor_u64(&cursor, &out->b) || !wm_cursor_bytes(&cursor, 16, &owner) ||
        !wm_cursor_u32(&cursor, &tenant_len) || !wm_cursor_u32(&cursor, &key_len) ||
        !wm_cursor_u32(&cursor, &text_len) || !wm_cursor_u32(&cursor, &zero)) {
        return false;
    }
    if (op == 0 || op >= TIER_OPS || mode > TIER_LOCK_WRITE || zero8[0] || zero8[1] || zero ||
        tenant_len > TIER_TENANT_BYTES_MAX || key_len > TIER_KEY_BYTES_MAX ||
        text_len > TIER_ELEMENT_BYTES_MAX || out->range_count > TIER_RANGES_MAX) {
        return false;
    }
    out->op = (enum tier_op)op;
    out->mode = (enum tier_lock_mode)mode;
    memcpy(out->owner, owner.ptr, 16);
    return wm_cursor_bytes(&cursor, tenant_len, &out->tenant) &&
           wm_cursor_bytes(&cursor, key_len, &out->key) &&
           wm_cursor_bytes(&cursor, text_len, &out->text) &&
           wm_cursor_bytes(&cursor, (size_t)out->range_count * TIER_RANGE_BYTES, &out->ranges) &&
           wm_cursor_bytes(&cursor, wm_cursor_left(&cursor), &out->bytes);
}

struct tier_msg_range tier_range_decode(const struct tier_request *request, uint32_t index)
{
    struct tier_msg_range range;
    WM_ASSERT(index < request->range_count);
    const uint8_t *at = request->ranges.ptr + (size_t)index * TIER_RANGE_BYTES;
    memcpy(&range.offset, at, 8);
    memcpy(&range.len, at + 8, 8);
    memcpy(&range.region, at + 16, 4);
    memcpy(&range.region_offset, at + 24, 8);
    return range;
}

void tier_reply_encode(const struct tier_reply *reply, uint8_t out[TIER_REPLY_BYTES])
{
    memset(out, 0, TIER_REPLY_BYTES);
    put32(out, 0, (uint32_t)reply->code);
    put32(out, 4, reply->text.len);
    put64(out, 8, reply->a);
    put32(out, 16, reply->more ? 1 : 0);
}

bool tier_reply_decode(struct wm_view body, struct tier_reply *out)
{
    struct wm_cursor cursor = wm_cursor_of(body);
    uint32_t code, text_len, more, zero;
    *out = (struct tier_reply){0};
    if (!wm_cursor_u32(&cursor, &code) || !wm_cursor_u32(&cursor, &text_len) ||
        !wm_cursor_u64(&cursor, &out->a) || !wm_cursor_u32(&cursor, &more) ||
        !wm_cursor_u32(&cursor, &zero) || more > 1 || zero || (int32_t)code > 0 ||
        text_len >= WM_DIAG_TEXT_BYTES || !wm_cursor_bytes(&cursor, text_len, &out->text)) {
        return false;
    }
    out->code = (int32_t)code;
    out->more = more;
    return wm_cursor_bytes(&cursor, wm_cursor_left(&cursor), &out->bytes);
}

void tier_entry_encode(uint64_t number, size_t name_bytes, uint8_t out[TIER_ENTRY_BYTES])
{
    put64(out, 0, number);
    put32(out, 8, name_bytes);
}

bool tier_entry_next(struct wm_cursor *cursor, struct wm_view *name, uint64_t *number, bool *bad)
{
    uint32_t len;
    *bad = false;
    if (wm_cursor_done(cursor)) {
        return false;
    }
    if (!wm_cursor_u64(cursor, number) || !wm_cursor_u32(cursor, &len) ||
        !wm_cursor_bytes(cursor, len, name)) {
        *bad = true;
        return false;
    }
    return true;
}
