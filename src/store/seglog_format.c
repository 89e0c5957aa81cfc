/* The bytes of a log's files. Numbers are little-endian; each structure that can be torn or rot
 * ends in a CRC-32C of what is before it. A record's CRC begins with the record's number, which is
 * not stored: a record that lies where another one belongs is not taken for it. */
#include "store/seglog_format.h"

#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"

#define HEADER_USED_BYTES 76u
#define BY_CUT 1u
#define HEX64_CHARS 16u

static const uint8_t header_magic[8] = "WMLOG\r\n\x1a";
static const uint8_t footer_magic[8] = "WMSEAL\r\n";

static void put_u32(uint8_t *out, uint32_t value)
{
    memcpy(out, &value, sizeof value);
}

static void put_u64(uint8_t *out, uint64_t value)
{
    memcpy(out, &value, sizeof value);
}

static uint32_t get_u32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint64_t get_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they are");

/* The CRC of all but the last four bytes lies in those. */
static void put_crc(uint8_t *bytes, size_t len)
{
    put_u32(bytes + len - 4, wm_crc32c(0, wm_view_of(bytes, len - 4)));
}

static bool good_crc(struct wm_view bytes)
{
    return get_u32(bytes.ptr + bytes.len - 4) == wm_crc32c(0, wm_view_of(bytes.ptr, bytes.len - 4));
}

bool seglog_all_zero(const uint8_t *bytes, size_t len)
{
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

void seglog_header_put(const struct seglog_header *header, uint8_t out[SEGLOG_PAGE_BYTES])
{
    memset(out, 0, SEGLOG_PAGE_BYTES);
    memcpy(out, header_magic, 8);
    put_u32(out + 8, SEGLOG_VERSION);
    put_u32(out + 12, SEGLOG_PAGE_BYTES);
    memcpy(out + 16, header->label, SEGLOG_HASH_BYTES);
    put_u64(out + 48, header->segment_bytes);
    put_u64(out + 56, header->segment);
    put_u64(out + 64, header->first);
    put_u32(out + 72, header->by_cut ? BY_CUT : 0);
    put_crc(out, SEGLOG_PAGE_BYTES);
}

bool seglog_header_get(struct wm_view page, struct seglog_header *out, uint32_t *version)
{
    const uint8_t *bytes = page.ptr;
    *version = 0;
    if (page.len != SEGLOG_PAGE_BYTES || !good_crc(page) || memcmp(bytes, header_magic, 8) != 0) {
        return false;
    }
    if (get_u32(bytes + 8) != SEGLOG_VERSION) {
        *version = get_u32(bytes + 8);
        return false;
    }
    if (get_u32(bytes + 12) != SEGLOG_PAGE_BYTES || get_u32(bytes + 72) > BY_CUT ||
        !seglog_all_zero(bytes + HEADER_USED_BYTES, SEGLOG_PAGE_BYTES - 4 - HEADER_USED_BYTES)) {
        return false;
    }
    memcpy(out->label, bytes + 16, SEGLOG_HASH_BYTES);
    out->segment_bytes = get_u64(bytes + 48);
    out->segment = get_u64(bytes + 56);
    out->first = get_u64(bytes + 64);
    out->by_cut = get_u32(bytes + 72) == BY_CUT;
    return out->segment <= SEGLOG_NUMBER_MAX && out->first <= SEGLOG_NUMBER_MAX;
}

/* Over the number, the length, the kind, the bytes. */
static uint32_t record_crc(uint64_t number, const uint8_t frame[SEGLOG_FRAME_BYTES],
                           struct wm_view bytes)
{
    uint8_t head[13];
    put_u64(head, number);
    memcpy(head + 8, frame, 4);
    head[12] = frame[8];
    return wm_crc32c(wm_crc32c(0, wm_view_of(head, sizeof head)), bytes);
}

void seglog_frame_put(uint64_t number, uint8_t kind, struct wm_view bytes,
                      uint8_t out[SEGLOG_FRAME_BYTES])
{
    put_u32(out, (uint32_t)(1 + bytes.len));
    out[8] = kind;
    put_u32(out + 4, record_crc(number, out, bytes));
}

uint64_t seglog_frame_len(const uint8_t frame[SEGLOG_FRAME_BYTES])
{
    uint32_t len = get_u32(frame);
    return len == 0 ? 0 : SEGLOG_FRAME_BYTES - 1 + (uint64_t)len;
}

bool seglog_frame_get(uint64_t number, struct wm_view record, uint8_t *kind, struct wm_view *bytes)
{
    if (!wm_view_slice(record, SEGLOG_FRAME_BYTES, record.len - SEGLOG_FRAME_BYTES, bytes) ||
        get_u32(record.ptr + 4) != record_crc(number, record.ptr, *bytes)) {
        return false;
    }
    *kind = record.ptr[8];
    return true;
}

void seglog_mark_put(const struct seglog_mark *mark, uint64_t segment,
                     uint8_t out[SEGLOG_MARK_BYTES])
{
    put_u64(out, mark->end);
    put_u64(out + 8, mark->next);
    put_u64(out + 16, segment);
    put_u32(out + 24, 0);
    put_crc(out, SEGLOG_MARK_BYTES);
}

enum seglog_mark_state seglog_mark_get(struct wm_view bytes, uint64_t segment,
                                       struct seglog_mark *out)
{
    if (bytes.len != SEGLOG_MARK_BYTES) {
        return SEGLOG_MARK_DAMAGED;
    }
    if (seglog_all_zero(bytes.ptr, bytes.len)) { /* the CRC of zeroes is not zero */
        return SEGLOG_MARK_BLANK;
    }
    *out = (struct seglog_mark){get_u64(bytes.ptr), get_u64(bytes.ptr + 8)};
    return good_crc(bytes) && get_u64(bytes.ptr + 16) == segment &&
                   out->next <= SEGLOG_NUMBER_MAX && get_u32(bytes.ptr + 24) == 0
               ? SEGLOG_MARK_GOOD
               : SEGLOG_MARK_DAMAGED;
}

void seglog_footer_put(uint64_t first, uint64_t count, uint64_t offset,
                       uint8_t out[SEGLOG_FOOTER_BYTES])
{
    memset(out, 0, SEGLOG_FOOTER_BYTES);
    memcpy(out, footer_magic, 8);
    put_u64(out + 8, first);
    put_u64(out + 16, count);
    put_u64(out + 24, offset);
}

/* The holder's number is not stored but goes into the CRC, before the rest. */
static uint32_t truncation_crc(uint64_t holder, const uint8_t bytes[SEGLOG_TRUNCATION_BYTES])
{
    uint8_t number[8];
    put_u64(number, holder);
    return wm_crc32c(wm_crc32c(0, wm_view_of(number, 8)),
                     wm_view_of(bytes, SEGLOG_TRUNCATION_BYTES - 4));
}

void seglog_truncation_put(const struct seglog_truncation *truncation, uint64_t holder,
                           uint8_t out[SEGLOG_TRUNCATION_BYTES])
{
    put_u64(out, truncation->next);
    put_u64(out + 8, truncation->segment);
    put_u64(out + 16, truncation->zero_until);
    put_u32(out + 24, 0);
    put_u32(out + 28, truncation_crc(holder, out));
}

bool seglog_truncation_get(struct wm_view bytes, uint64_t holder, struct seglog_truncation *out)
{
    if (bytes.len != SEGLOG_TRUNCATION_BYTES || seglog_all_zero(bytes.ptr, bytes.len) ||
        get_u32(bytes.ptr + 28) != truncation_crc(holder, bytes.ptr) ||
        get_u32(bytes.ptr + 24) != 0) {
        return false;
    }
    *out = (struct seglog_truncation){get_u64(bytes.ptr), get_u64(bytes.ptr + 8),
                                      get_u64(bytes.ptr + 16)};
    return out->next <= SEGLOG_NUMBER_MAX && out->segment <= holder &&
           out->zero_until <= SEGLOG_SEGMENT_BYTES_MAX;
}

void seglog_name_put(const struct seglog_name *name, char out[SEGLOG_NAME_BYTES])
{
    if (!name->sealed) {
        snprintf(out, SEGLOG_NAME_BYTES, "%016llx.log", (unsigned long long)name->segment);
        return;
    }
    int len = snprintf(out, SEGLOG_NAME_BYTES, "%016llx-%016llx-",
                       (unsigned long long)name->segment, (unsigned long long)name->first);
    for (unsigned i = 0; i < SEGLOG_HASH_BYTES; i++) {
        len += snprintf(out + len, SEGLOG_NAME_BYTES - (size_t)len, "%02x", name->sha256[i]);
    }
    snprintf(out + len, SEGLOG_NAME_BYTES - (size_t)len, ".sealed");
}

/* One of the digits that snprintf makes above; 16: another character. */
static unsigned digit_of(char c)
{
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                  : 16;
}

static bool take_u64(const char **text, uint64_t *out)
{
    *out = 0;
    for (unsigned i = 0; i < HEX64_CHARS; i++) {
        unsigned digit = digit_of(**text);
        if (digit == 16) {
            return false;
        }
        *out = *out << 4 | digit;
        ++*text;
    }
    return *out <= SEGLOG_NUMBER_MAX;
}

static bool take_hash(const char **text, uint8_t out[SEGLOG_HASH_BYTES])
{
    for (unsigned i = 0; i < SEGLOG_HASH_BYTES; i++) {
        unsigned high = digit_of((*text)[0]);
        unsigned low = high == 16 ? 16 : digit_of((*text)[1]);
        if (low == 16) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    return true;
}

bool seglog_name_get(const char *text, struct seglog_name *out)
{
    *out = (struct seglog_name){0};
    if (!take_u64(&text, &out->segment)) {
        return false;
    }
    if (strcmp(text, ".log") == 0) {
        return true;
    }
    out->sealed = true;
    return *text++ == '-' && take_u64(&text, &out->first) && *text++ == '-' &&
           take_hash(&text, out->sha256) && strcmp(text, ".sealed") == 0;
}
