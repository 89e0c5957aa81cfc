/* fuzz_cbor.c: what the reader accepts comes out of the writer as it went in, both ways to read an
 * item accept the same, and libcbor, where it is installed, reads and writes it likewise. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/cbor.h"
#ifdef HAVE_LIBCBOR
#include "wire/cbor_test_oracle.h"
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The input has a tag that libcbor 0.8 does not take: those of one byte that were unassigned. */
static bool libcbor_lacks;

static void copy(struct cbor_reader *reader, struct cbor_writer *writer, unsigned depth)
{
    uint64_t count;
    struct wm_view string;
    struct cbor_map map;
    bool truth;
    int type = cbor_peek(reader);
    if (depth == CBOR_DEPTH_MAX && (type == CBOR_ARRAY || type == CBOR_MAP || type == CBOR_TAG)) {
        cbor_fail(reader, "nested too deeply");
        return;
    }
    switch (type) {
    case CBOR_UINT:
        if (cbor_uint(reader, &count)) {
            cbor_put_uint(writer, count);
        }
        break;
    case CBOR_BYTES:
        if (cbor_bytes(reader, &string)) {
            cbor_put_bytes(writer, string);
        }
        break;
    case CBOR_TEXT:
        if (cbor_text(reader, &string)) {
            cbor_put_text(writer, string);
        }
        break;
    case CBOR_ARRAY:
        if (cbor_array(reader, &count)) {
            cbor_put_array(writer, count);
            while (count-- && !reader->why) {
                copy(reader, writer, depth + 1);
            }
        }
        break;
    case CBOR_MAP:
        if (cbor_map(reader, &map)) {
            cbor_put_map(writer, map.left);
            while (cbor_map_next(reader, &map)) {
                copy(reader, writer, depth + 1);
                copy(reader, writer, depth + 1);
            }
        }
        break;
    case CBOR_TAG:
        if (cbor_tag(reader, &count)) {
            cbor_put_tag(writer, count);
            libcbor_lacks |= count >= 6 && count <= 20;
            copy(reader, writer, depth + 1);
        }
        break;
    case CBOR_SIMPLE: {
        struct cbor_reader before = *reader;
        if (cbor_bool(reader, &truth)) {
            cbor_put_bool(writer, truth);
        } else {
            *reader = before;
            if (cbor_null(reader)) {
                cbor_put_null(writer);
            }
        }
        break;
    }
    default: /* a negative number may be below int64_t */
        if (cbor_skip(reader, &string)) {
            cbor_put_raw(writer, string);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct cbor_reader skipper = cbor_reader_of(wm_view_of(bytes, len)), reader = skipper;
    uint8_t *again = malloc(len + 1);
    struct cbor_writer writer = cbor_writer_of(again, len + 1);
    bool skipped = cbor_skip(&skipper, NULL) && cbor_end(&skipper);
    libcbor_lacks = false;
    copy(&reader, &writer, 0);
    bool copied = cbor_end(&reader);
    if (skipped != copied || (copied && (writer.len != len || memcmp(again, bytes, len) != 0))) {
        abort();
    }
#ifdef HAVE_LIBCBOR
    size_t other_len;
    if (copied && !libcbor_lacks &&
        !(oracle_copy(bytes, len, again, len, &other_len) && other_len == len &&
          memcmp(again, bytes, len) == 0)) {
        abort();
    }
#endif
    free(again);
    return 0;
}
