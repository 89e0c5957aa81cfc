/* Deterministic CBOR (RFC 8949 section 4.2.1).
 *
 * The reader has one way into an item, take_head, which refuses every head that a writer under
 * these rules would not have written; the rest is types. cbor_skip walks an item with a stack of
 * its own instead of recursion, so that the input cannot choose how deep ours grows. */
#include "wire/cbor.h"

#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE 21u
#define SIMPLE_NULL 22u

/* --- Writing --- */

static void put(struct cbor_writer *writer, const void *bytes, size_t len)
{
    if (writer->len <= writer->room && len <= writer->room - writer->len && len != 0) {
        __builtin_memcpy(writer->out + writer->len, bytes, len);
    }
    /* A sum beyond SIZE_MAX is of no buffer that could exist; stay too large instead of wrapping.
     */
    if (__builtin_add_overflow(writer->len, len, &writer->len)) {
        writer->len = SIZE_MAX;
    }
}

void cbor_put_head(struct cbor_writer *writer, enum cbor_type type, uint64_t argument)
{
    uint8_t head[CBOR_HEAD_BYTES_MAX] = {0};
    unsigned bytes = argument < 24            ? 0
                     : argument <= UINT8_MAX  ? 1
                     : argument <= UINT16_MAX ? 2
                     : argument <= UINT32_MAX ? 4
                                              : 8;
    if (bytes == 0) {
        head[0] = (uint8_t)((unsigned)type << 5 | (unsigned)argument);
    } else {
        uint64_t big = __builtin_bswap64(argument << (64 - 8 * bytes));
        head[0] = (uint8_t)((unsigned)type << 5 | (24u + (unsigned)__builtin_ctz(bytes)));
        __builtin_memcpy(head + 1, &big, sizeof big);
    }
    /* A copy of fixed size is two instructions, one of any size a call. What it writes past the
     * head is the place of the next item. */
    if (writer->len <= writer->room && writer->room - writer->len >= sizeof head) {
        __builtin_memcpy(writer->out + writer->len, head, sizeof head);
        writer->len += 1 + bytes;
        return;
    }
    put(writer, head, 1 + bytes);
}

void cbor_put_uint(struct cbor_writer *writer, uint64_t value)
{
    cbor_put_head(writer, CBOR_UINT, value);
}

void cbor_put_int(struct cbor_writer *writer, int64_t value)
{
    /* -1 - n is the complement of n. */
    cbor_put_head(writer, value < 0 ? CBOR_NINT : CBOR_UINT,
                  value < 0 ? ~(uint64_t)value : (uint64_t)value);
}

void cbor_put_bytes(struct cbor_writer *writer, struct wm_view bytes)
{
    cbor_put_head(writer, CBOR_BYTES, bytes.len);
    put(writer, bytes.ptr, bytes.len);
}

void cbor_put_text(struct cbor_writer *writer, struct wm_view text)
{
    cbor_put_head(writer, CBOR_TEXT, text.len);
    put(writer, text.ptr, text.len);
}

void cbor_put_bool(struct cbor_writer *writer, bool value)
{
    cbor_put_head(writer, CBOR_SIMPLE, value ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_null(struct cbor_writer *writer)
{
    cbor_put_head(writer, CBOR_SIMPLE, SIMPLE_NULL);
}

void cbor_put_array(struct cbor_writer *writer, uint64_t count)
{
    cbor_put_head(writer, CBOR_ARRAY, count);
}

void cbor_put_map(struct cbor_writer *writer, uint64_t count)
{
    cbor_put_head(writer, CBOR_MAP, count);
}

void cbor_put_tag(struct cbor_writer *writer, uint64_t tag)
{
    cbor_put_head(writer, CBOR_TAG, tag);
}

void cbor_put_raw(struct cbor_writer *writer, struct wm_view items)
{
    put(writer, items.ptr, items.len);
}

/* --- Reading --- */

bool cbor_fail(struct cbor_reader *reader, const char *why)
{
    if (!reader->why) {
        reader->why = why;
        reader->where = wm_cursor_offset(&reader->cursor);
    }
    return false;
}

/* The cursor goes back to `start`, so that `where` names the item and not its middle. */
static bool fail_at(struct cbor_reader *reader, const uint8_t *start, const char *why)
{
    reader->cursor.at = start;
    return cbor_fail(reader, why);
}

struct head {
    enum cbor_type type;
    uint64_t argument;
};

static bool take_head(struct cbor_reader *reader, struct head *out)
{
    const uint8_t *start = reader->cursor.at;
    uint8_t first;
    if (reader->why) {
        return false;
    }
    if (!wm_cursor_u8(&reader->cursor, &first)) {
        return cbor_fail(reader, "the input ends too early");
    }
    enum cbor_type type = (enum cbor_type)(first >> 5);
    unsigned low = first & 31;
    if (low >= 28) {
        return fail_at(reader, start,
                       low == 31 ? "an indefinite length" : "a reserved kind of head");
    }
    if (type == CBOR_SIMPLE && low != SIMPLE_FALSE && low != SIMPLE_TRUE && low != SIMPLE_NULL) {
        return fail_at(reader, start,
                       low >= 25 ? "a floating-point number"
                                 : "a simple value that is not false, true or null");
    }
    uint64_t argument = low;
    if (low >= 24) {
        size_t bytes = (size_t)1 << (low - 24);
        struct wm_view rest;
        if (!wm_cursor_bytes(&reader->cursor, bytes, &rest)) {
            return fail_at(reader, start, "the input ends too early");
        }
        argument = 0;
        for (size_t i = 0; i < bytes; i++) {
            argument = argument << 8 | rest.ptr[i];
        }
        /* One byte holds what did not fit into the head; n bytes what did not fit into n / 2. */
        if (bytes == 1 ? argument < 24 : argument >> 4 * bytes == 0) {
            return fail_at(reader, start, "a number or length that is not in its shortest form");
        }
    }
    *out = (struct head){type, argument};
    return true;
}

/* The Unicode standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8(struct wm_view text)
{
    size_t at = 0;
    while (at < text.len) {
        uint8_t first = text.ptr[at++];
        if (first < 0x80) {
            continue;
        }
        unsigned more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        uint8_t low = 0x80, high = 0xbf;
        if (first < 0xc2 || first > 0xf4 || more > text.len - at) {
            return false;
        }
        if (first == 0xe0) {
            low = 0xa0;
        } else if (first == 0xed) {
            high = 0x9f;
        } else if (first == 0xf0) {
            low = 0x90;
        } else if (first == 0xf4) {
            high = 0x8f;
        }
        for (unsigned i = 0; i < more; i++, low = 0x80, high = 0xbf) {
            uint8_t byte = text.ptr[at++];
            if (byte < low || byte > high) {
                return false;
            }
        }
    }
    return true;
}

static bool take_string(struct cbor_reader *reader, const uint8_t *start, struct head head,
                        struct wm_view *out)
{
    struct wm_view string;
    if (head.argument > wm_cursor_left(&reader->cursor) ||
        !wm_cursor_bytes(&reader->cursor, (size_t)head.argument, &string)) {
        return fail_at(reader, start, "a string is longer than the input");
    }
    if (head.type == CBOR_TEXT && !is_utf8(string)) {
        return fail_at(reader, start, "a text is not UTF-8");
    }
    *out = string;
    return true;
}

/* A container's items take at least a byte each: a larger count is a lie, and is refused before
 * anybody reserves room by it. */
static bool count_fits(struct cbor_reader *reader, const uint8_t *start, struct head head)
{
    uint64_t left = wm_cursor_left(&reader->cursor);
    if (head.argument > (head.type == CBOR_MAP ? left / 2 : left)) {
        return fail_at(reader, start, "an array or map is longer than the input");
    }
    return true;
}

int cbor_peek(const struct cbor_reader *reader)
{
    return reader->why || wm_cursor_done(&reader->cursor) ? -1 : *reader->cursor.at >> 5;
}

/* A head of this type. */
static bool take(struct cbor_reader *reader, enum cbor_type type, const char *wanted,
                 struct head *out)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    if (!take_head(reader, &head)) {
        return false;
    }
    if (head.type != type) {
        return fail_at(reader, start, wanted);
    }
    *out = head;
    return true;
}

bool cbor_uint(struct cbor_reader *reader, uint64_t *out)
{
    struct head head;
    if (!take(reader, CBOR_UINT, "not an unsigned integer, where one must be", &head)) {
        return false;
    }
    *out = head.argument;
    return true;
}

bool cbor_uint32(struct cbor_reader *reader, uint32_t *out)
{
    const uint8_t *start = reader->cursor.at;
    uint64_t value;
    if (!cbor_uint(reader, &value)) {
        return false;
    }
    if (value > UINT32_MAX) {
        return fail_at(reader, start, "a number is too large");
    }
    *out = (uint32_t)value;
    return true;
}

bool cbor_int(struct cbor_reader *reader, int64_t *out)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    if (!take_head(reader, &head)) {
        return false;
    }
    if (head.type != CBOR_UINT && head.type != CBOR_NINT) {
        return fail_at(reader, start, "not an integer, where one must be");
    }
    if (head.argument > INT64_MAX) {
        return fail_at(reader, start, "a number is too large");
    }
    *out = head.type == CBOR_NINT ? -1 - (int64_t)head.argument : (int64_t)head.argument;
    return true;
}

bool cbor_bytes(struct cbor_reader *reader, struct wm_view *out)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    return take(reader, CBOR_BYTES, "not a byte string, where one must be", &head) &&
           take_string(reader, start, head, out);
}

bool cbor_text(struct cbor_reader *reader, struct wm_view *out)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    return take(reader, CBOR_TEXT, "not a text, where one must be", &head) &&
           take_string(reader, start, head, out);
}

bool cbor_bool(struct cbor_reader *reader, bool *out)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    if (!take(reader, CBOR_SIMPLE, "not true or false, where one must be", &head)) {
        return false;
    }
    if (head.argument == SIMPLE_NULL) {
        return fail_at(reader, start, "not true or false, where one must be");
    }
    *out = head.argument == SIMPLE_TRUE;
    return true;
}

bool cbor_null(struct cbor_reader *reader)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    if (!take(reader, CBOR_SIMPLE, "not null, where it must be", &head)) {
        return false;
    }
    return head.argument == SIMPLE_NULL || fail_at(reader, start, "not null, where it must be");
}

bool cbor_array(struct cbor_reader *reader, uint64_t *count)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    if (!take(reader, CBOR_ARRAY, "not an array, where one must be", &head) ||
        !count_fits(reader, start, head)) {
        return false;
    }
    *count = head.argument;
    return true;
}

bool cbor_tag(struct cbor_reader *reader, uint64_t *tag)
{
    struct head head;
    if (!take(reader, CBOR_TAG, "not a tag, where one must be", &head)) {
        return false;
    }
    *tag = head.argument;
    return true;
}

bool cbor_uint_is(struct cbor_reader *reader, uint64_t value, const char *why)
{
    const uint8_t *start = reader->cursor.at;
    uint64_t got;
    if (!cbor_uint(reader, &got)) {
        return false;
    }
    if (got != value) {
        reader->other = true;
        reader->found = got;
        reader->wanted = value;
        return fail_at(reader, start, why);
    }
    return true;
}

bool cbor_array_of(struct cbor_reader *reader, uint64_t count)
{
    const uint8_t *start = reader->cursor.at;
    uint64_t got;
    return cbor_array(reader, &got) &&
           (got == count || fail_at(reader, start, "an array of another length than it must have"));
}

bool cbor_bytes_of(struct cbor_reader *reader, uint8_t *out, size_t len)
{
    const uint8_t *start = reader->cursor.at;
    struct wm_view bytes;
    if (!cbor_bytes(reader, &bytes)) {
        return false;
    }
    if (bytes.len != len) {
        return fail_at(reader, start, "a byte string of another length than it must have");
    }
    __builtin_memcpy(out, bytes.ptr, len);
    return true;
}

/* RFC 8949 section 4.2.1: bytewise lexicographic order of the encodings. No encoding of an item is
 * the beginning of another one's, so the lengths never decide; comparing them last costs nothing.
 */
static bool comes_after(struct wm_view key, struct wm_view last)
{
    size_t common = key.len < last.len ? key.len : last.len;
    int order = common ? __builtin_memcmp(key.ptr, last.ptr, common) : 0;
    return order != 0 ? order > 0 : key.len > last.len;
}

#define KEY_ORDER "the keys of a map are not in order, or one is there twice"

bool cbor_map(struct cbor_reader *reader, struct cbor_map *map)
{
    const uint8_t *start = reader->cursor.at;
    struct head head;
    if (!take(reader, CBOR_MAP, "not a map, where one must be", &head) ||
        !count_fits(reader, start, head)) {
        return false;
    }
    *map = (struct cbor_map){head.argument, {NULL, 0}};
    return true;
}

bool cbor_map_next(struct cbor_reader *reader, struct cbor_map *map)
{
    struct wm_view key;
    if (reader->why || map->left == 0) {
        return false;
    }
    struct wm_cursor before = reader->cursor;
    if (!cbor_skip(reader, &key)) {
        return false;
    }
    reader->cursor = before;
    if (!comes_after(key, map->last)) {
        return cbor_fail(reader, KEY_ORDER);
    }
    map->last = key;
    map->left--;
    return true;
}

/* What cbor_skip is inside of. */
struct level {
    uint64_t left;       /* items still to come; keys and values both count */
    bool is_map;         /* an even number left: a key is next */
    struct wm_view last; /* the key before */
    const uint8_t *key;  /* where the present key starts */
};

/* An item that ended at the cursor was the next one of `level`. */
static bool count_item(struct cbor_reader *reader, struct level *level)
{
    level->left--;
    if (level->is_map && level->left % 2 == 1) {
        struct wm_view key = {level->key, (size_t)(reader->cursor.at - level->key)};
        if (!comes_after(key, level->last)) {
            return fail_at(reader, level->key, KEY_ORDER);
        }
        level->last = key;
    }
    return true;
}

static bool skip_container(struct cbor_reader *reader)
{
    struct level levels[CBOR_DEPTH_MAX + 1] = {{.left = 1}};
    unsigned depth = 0;
    for (;;) {
        const uint8_t *start = reader->cursor.at;
        struct head head;
        struct wm_view string;
        levels[depth].key =
            levels[depth].is_map && levels[depth].left % 2 == 0 ? start : levels[depth].key;
        if (!take_head(reader, &head)) {
            return false;
        }
        if (head.type == CBOR_BYTES || head.type == CBOR_TEXT) {
            if (!take_string(reader, start, head, &string)) {
                return false;
            }
        } else if (head.type == CBOR_ARRAY || head.type == CBOR_MAP || head.type == CBOR_TAG) {
            if (head.type != CBOR_TAG && !count_fits(reader, start, head)) {
                return false;
            }
            if (depth == CBOR_DEPTH_MAX) {
                return fail_at(reader, start, "nested too deeply");
            }
            bool is_map = head.type == CBOR_MAP;
            uint64_t left = head.type == CBOR_TAG ? 1 : is_map ? 2 * head.argument : head.argument;
            levels[++depth] = (struct level){.left = left, .is_map = is_map};
        }
        /* A scalar was an item of the container around it, and so is each container that is full
         * now; an empty one is full at once. */
        bool scalar = head.type != CBOR_ARRAY && head.type != CBOR_MAP && head.type != CBOR_TAG;
        if (scalar && !count_item(reader, &levels[depth])) {
            return false;
        }
        while (levels[depth].left == 0) {
            if (depth == 0) {
                return true;
            }
            depth--;
            if (!count_item(reader, &levels[depth])) {
                return false;
            }
        }
    }
}

bool cbor_skip(struct cbor_reader *reader, struct wm_view *item)
{
    const uint8_t *begin = reader->cursor.at;
    struct head head;
    struct wm_view string;
    if (!take_head(reader, &head)) {
        return false;
    }
    /* Most items, and the keys of maps, need no stack. */
    if (head.type == CBOR_BYTES || head.type == CBOR_TEXT) {
        if (!take_string(reader, begin, head, &string)) {
            return false;
        }
    } else if (head.type == CBOR_ARRAY || head.type == CBOR_MAP || head.type == CBOR_TAG) {
        reader->cursor.at = begin;
        if (!skip_container(reader)) {
            return false;
        }
    }
    if (item) {
        *item = (struct wm_view){begin, (size_t)(reader->cursor.at - begin)};
    }
    return true;
}

bool cbor_end(struct cbor_reader *reader)
{
    if (reader->why) {
        return false;
    }
    return wm_cursor_done(&reader->cursor) || cbor_fail(reader, "something follows the end");
}

struct cbor_reader cbor_inner(const struct cbor_reader *outer, struct wm_view content)
{
    struct cbor_reader inner = cbor_reader_of(content);
    inner.cursor.start = outer->cursor.start;
    return inner;
}

bool cbor_inner_end(struct cbor_reader *outer, struct cbor_reader *inner)
{
    if (cbor_end(inner)) {
        return true;
    }
    if (!outer->why) {
        struct wm_cursor at = outer->cursor;
        *outer = *inner;
        outer->cursor = at;
    }
    return false;
}
