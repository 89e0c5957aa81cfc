/* sync_message.c: see the header, and doc/format/replication.md for the bytes. */
#include "node/sync_message.h"

#include <string.h>

#define RECORD_HEAD_BYTES 17u /* kind, removed, u16 key, u8 node, u64 time, u32 text */

size_t sync_record_bytes(const struct sync_record *record)
{
    return RECORD_HEAD_BYTES + record->key.len + strlen(record->revision.node) + record->text.len;
}

static void append(uint8_t **at, const void *bytes, size_t len)
{
    if (len) {
        memcpy(*at, bytes, len);
    }
    *at += len;
}

void sync_record_put(const struct sync_record *record, uint8_t *out)
{
    size_t node_len = strlen(record->revision.node);
    uint8_t head[RECORD_HEAD_BYTES] = {record->kind, record->revision.removed,
                                       (uint8_t)record->key.len, (uint8_t)(record->key.len >> 8),
                                       (uint8_t)node_len};
    uint32_t text_len = (uint32_t)record->text.len;
    memcpy(head + 5, &record->revision.time_ns, 8);
    memcpy(head + 13, &text_len, 4);
    append(&out, head, sizeof head);
    append(&out, record->key.ptr, record->key.len);
    append(&out, record->revision.node, node_len);
    append(&out, record->text.ptr, record->text.len);
}

static bool has_nul(struct wm_view text)
{
    return text.len != 0 && memchr(text.ptr, 0, text.len) != NULL;
}

bool sync_record_next(struct wm_cursor *cursor, struct sync_record *out)
{
    struct wm_view head, node;
    uint32_t text_len;
    *out = (struct sync_record){0};
    if (!wm_cursor_bytes(cursor, RECORD_HEAD_BYTES, &head)) {
        return false;
    }
    size_t key_len = (size_t)head.ptr[2] | (size_t)head.ptr[3] << 8;
    out->kind = head.ptr[0];
    out->revision.removed = head.ptr[1] == 1;
    memcpy(&out->revision.time_ns, head.ptr + 5, 8);
    memcpy(&text_len, head.ptr + 13, 4);
    if (out->kind >= ENTRY_KINDS || head.ptr[1] > 1 || key_len == 0 ||
        key_len > ENTRY_KEY_BYTES_MAX || head.ptr[4] == 0 ||
        head.ptr[4] > CATALOGUE_NAME_BYTES_MAX || text_len > ENTRY_TEXT_BYTES_MAX ||
        out->revision.time_ns == 0 || out->revision.time_ns > INT64_MAX ||
        !wm_cursor_bytes(cursor, key_len, &out->key) ||
        !wm_cursor_bytes(cursor, head.ptr[4], &node) || has_nul(node) ||
        !wm_cursor_bytes(cursor, text_len, &out->text)) {
        return false;
    }
    memcpy(out->revision.node, node.ptr, node.len);
    return true;
}

size_t sync_key_put(enum entry_kind kind, struct wm_view key, uint8_t out[SYNC_KEY_BYTES_MAX])
{
    out[0] = (uint8_t)kind;
    out[1] = (uint8_t)key.len;
    if (key.len) {
        memcpy(out + 2, key.ptr, key.len);
    }
    return 2 + key.len;
}
_Static_assert(ENTRY_KEY_BYTES_MAX < 256, "lengths of keys are bytes");

bool sync_key_next(struct wm_cursor *cursor, enum entry_kind *kind, struct wm_view *key)
{
    uint8_t number, len;
    if (!wm_cursor_u8(cursor, &number) || number >= ENTRY_KINDS || !wm_cursor_u8(cursor, &len) ||
        len > ENTRY_KEY_BYTES_MAX || !wm_cursor_bytes(cursor, len, key)) {
        return false;
    }
    *kind = (enum entry_kind)number;
    return true;
}

void sync_digest_add(struct sync_digest *digest, struct wm_view key,
                     const struct revision *revision)
{
    uint8_t bytes[REVISION_BYTES_MAX], hash[WM_SHA256_BYTES], len = (uint8_t)key.len;
    struct wm_sha256 state;
    wm_sha256_init(&state);
    wm_sha256_add(&state, wm_view_of(&len, 1));
    wm_sha256_add(&state, key);
    wm_sha256_add(&state, wm_view_of(bytes, revision_encode(revision, bytes)));
    wm_sha256_end(&state, hash);
    for (size_t i = 0; i < sizeof hash; i++) {
        digest->hash[i] ^= hash[i];
    }
    digest->count++;
}

void sync_digests_put(const struct sync_digest digests[ENTRY_KINDS],
                      uint8_t out[SYNC_DIGESTS_BYTES])
{
    for (unsigned i = 0; i < ENTRY_KINDS; i++) {
        append(&out, &digests[i].count, 4);
        append(&out, digests[i].hash, WM_SHA256_BYTES);
    }
}

bool sync_digests_get(struct wm_view bytes, struct sync_digest out[ENTRY_KINDS])
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    for (unsigned i = 0; i < ENTRY_KINDS; i++) {
        struct wm_view hash;
        if (!wm_cursor_u32(&cursor, &out[i].count) ||
            !wm_cursor_bytes(&cursor, WM_SHA256_BYTES, &hash)) {
            return false;
        }
        memcpy(out[i].hash, hash.ptr, hash.len);
    }
    return wm_cursor_done(&cursor);
}

void sync_file_request_put(const struct sync_file_request *request,
                           uint8_t out[SYNC_FILE_REQUEST_BYTES])
{
    uint8_t kind = (uint8_t)request->kind;
    append(&out, &kind, 1);
    append(&out, request->sha256, WM_SHA256_BYTES);
    append(&out, request->function_sha256, WM_SHA256_BYTES);
    append(&out, &request->offset, 8);
}

bool sync_file_request_get(struct wm_view bytes, struct sync_file_request *out)
{
    if (bytes.len != SYNC_FILE_REQUEST_BYTES || bytes.ptr[0] < SYNC_MODULE ||
        bytes.ptr[0] > SYNC_MANIFEST) {
        return false;
    }
    out->kind = (enum sync_file)bytes.ptr[0];
    memcpy(out->sha256, bytes.ptr + 1, WM_SHA256_BYTES);
    memcpy(out->function_sha256, bytes.ptr + 1 + WM_SHA256_BYTES, WM_SHA256_BYTES);
    memcpy(&out->offset, bytes.ptr + 1 + 2 * WM_SHA256_BYTES, 8);
    return true;
}

void sync_file_reply_put(bool found, uint64_t bytes, uint8_t out[SYNC_FILE_REPLY_BYTES])
{
    out[0] = found;
    memcpy(out + 1, &bytes, 8);
}

bool sync_file_reply_get(struct wm_view bytes, uint64_t offset, struct sync_file_reply *out)
{
    struct wm_cursor cursor = wm_cursor_of(bytes);
    uint8_t found;
    if (!wm_cursor_u8(&cursor, &found) || found > 1 || !wm_cursor_u64(&cursor, &out->bytes)) {
        return false;
    }
    out->found = found == 1;
    out->part = (struct wm_view){cursor.at, wm_cursor_left(&cursor)};
    if (!out->found) {
        return out->part.len == 0;
    }
    return offset <= out->bytes && out->part.len <= out->bytes - offset &&
           out->part.len <= SYNC_FILE_BYTES && (out->part.len != 0 || offset == out->bytes);
}
