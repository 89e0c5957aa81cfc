/* cbor_test.c: the vectors of RFC 8949 appendix A (those under its section 4.2.1, and those that
 * are not: refused), every form that is not deterministic, random items against libcbor. */
#include "wire/cbor.h"

#include <stdio.h>
#include <string.h>

#include "base/diag.h"
#include "base/test.h"
#include "wire/cbor_test_oracle.h"

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return len;
}

/* Set where libcbor 0.8 is known to be wrong: it refuses the tags 6 to 20. */
static bool has_small_tag;

/* Reads one item of any type and writes it again. */
static bool copy_item(struct cbor_reader *reader, struct cbor_writer *writer)
{
    uint64_t number, count;
    struct wm_view string;
    struct cbor_map map;
    bool truth;
    switch (cbor_peek(reader)) {
    case CBOR_UINT:
        if (!cbor_uint(reader, &number)) {
            return false;
        }
        cbor_put_uint(writer, number);
        return true;
    case CBOR_NINT:
        if (!cbor_skip(reader, &string)) { /* may be below INT64_MIN */
            return false;
        }
        cbor_put_raw(writer, string);
        return true;
    case CBOR_BYTES:
        if (!cbor_bytes(reader, &string)) {
            return false;
        }
        cbor_put_bytes(writer, string);
        return true;
    case CBOR_TEXT:
        if (!cbor_text(reader, &string)) {
            return false;
        }
        cbor_put_text(writer, string);
        return true;
    case CBOR_ARRAY:
        if (!cbor_array(reader, &count)) {
            return false;
        }
        cbor_put_array(writer, count);
        for (uint64_t i = 0; i < count; i++) {
            if (!copy_item(reader, writer)) {
                return false;
            }
        }
        return true;
    case CBOR_MAP:
        if (!cbor_map(reader, &map)) {
            return false;
        }
        cbor_put_map(writer, map.left);
        while (cbor_map_next(reader, &map)) {
            if (!copy_item(reader, writer) || !copy_item(reader, writer)) {
                return false;
            }
        }
        return reader->why == NULL;
    case CBOR_TAG:
        if (!cbor_tag(reader, &number)) {
            return false;
        }
        has_small_tag |= number >= 6 && number <= 20;
        cbor_put_tag(writer, number);
        return copy_item(reader, writer);
    case CBOR_SIMPLE: {
        struct cbor_reader before = *reader;
        if (cbor_bool(reader, &truth)) {
            cbor_put_bool(writer, truth);
            return true;
        }
        *reader = before;
        if (!cbor_null(reader)) {
            return false;
        }
        cbor_put_null(writer);
        return true;
    }
    default: return cbor_skip(reader, NULL);
    }
}

/* Both ways to read must agree, and what is accepted must come out as it went in. */
static bool accepted(const uint8_t *bytes, size_t len)
{
    uint8_t again[4096];
    struct cbor_reader skipper = cbor_reader_of(wm_view_of(bytes, len)), reader = skipper;
    struct cbor_writer writer = cbor_writer_of(again, sizeof again);
    has_small_tag = false;
    bool skipped = cbor_skip(&skipper, NULL) && cbor_end(&skipper);
    bool copied = copy_item(&reader, &writer) && cbor_end(&reader);
    CHECK(skipped == copied);
    CHECK(skipped == (skipper.why == NULL));
    if (copied) {
        CHECK_INT(writer.len, ==, len);
        CHECK(cbor_fits(&writer) && memcmp(again, bytes, len) == 0);
    }
    return copied;
}

static bool hex_accepted(const char *hex)
{
    uint8_t bytes[256] = {0};
    size_t len = from_hex(hex, bytes);
    bool ok = accepted(bytes, len);
    /* No beginning of an item is one. */
    for (size_t cut = 0; ok && cut < len; cut++) {
        CHECK(!accepted(bytes, cut));
    }
    bytes[len] = 0;
    CHECK(!accepted(bytes, len + 1));
    return ok;
}

TEST(appendix_a_deterministic_examples_are_accepted)
{
    static const char *const good[] = {
        "00",
        "01",
        "0a",
        "17",
        "1818",
        "1819",
        "1864",
        "1903e8",
        "1a000f4240",
        "1b000000e8d4a51000",
        "1bffffffffffffffff",
        "c249010000000000000000",
        "20",
        "29",
        "3863",
        "3903e7",
        "c349010000000000000000",
        "f4",
        "f5",
        "f6",
        "c074323031332d30332d32315432303a30343a30305a",
        "c11a514b67b0",
        "d74401020304",
        "d818456449455446",
        "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
        "40",
        "4401020304",
        "60",
        "6161",
        "6449455446",
        "62225c",
        "62c3bc",
        "63e6b0b4",
        "64f0908591",
        "80",
        "83010203",
        "8301820203820405",
        "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
        "a0",
        "a201020304",
        "a26161016162820203",
        "826161a161626163",
        "a56161614161626142616361436164614461656145",
    };
    for (size_t i = 0; i < WM_COUNT_OF(good); i++) {
        if (!hex_accepted(good[i])) {
            CHECK(false);
            wm_test_note("refused: %s", good[i]);
        }
    }
}

TEST(appendix_a_other_examples_are_refused)
{
    static const char *const bad[] = {
        /* floats */
        "f90000",
        "f98000",
        "f93c00",
        "fb3ff199999999999a",
        "f93e00",
        "f97bff",
        "fa47c35000",
        "fa7f7fffff",
        "fb7e37e43c8800759c",
        "f90001",
        "f90400",
        "f9c400",
        "fbc010666666666666",
        "f97c00",
        "f97e00",
        "f9fc00",
        "fa7f800000",
        "fa7fc00000",
        "faff800000",
        "fb7ff0000000000000",
        "fb7ff8000000000000",
        "fbfff0000000000000",
        /* simple values */
        "f7",
        "f0",
        "f8ff",
        "c1fb41d452d9e8200000",
        /* indefinite lengths */
        "5f42010243030405ff",
        "7f657374726561646d696e67ff",
        "9fff",
        "9f018202039f0405ffff",
        "9f01820203820405ff",
        "83018202039f0405ff",
        "83019f0203ff820405",
        "bf61610161629f0203ffff",
        "826161bf61626163ff",
        "bf6346756ef563416d7421ff",
    };
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        if (hex_accepted(bad[i])) {
            CHECK(false);
            wm_test_note("accepted: %s", bad[i]);
        }
    }
}

TEST(what_is_not_in_its_one_form_is_refused)
{
    static const char *const bad[] = {
        "1800",
        "1817",
        "190000",
        "1900ff",
        "1a00000000",
        "1a0000ffff",
        "1b0000000000000000",
        "1b00000000ffffffff",
        "3800",
        "5800",
        "580161",
        "7800",
        "9800",
        "980100",
        "b800",
        "d800f6",
        "d9000100",
        "f800",
        "f814",
        "f818",
        "f820", /* heads that are not the shortest */
        "1c",
        "1d",
        "1e",
        "1f",
        "3f",
        "dc",
        "df",
        "fc",
        "fd",
        "fe",
        "ff", /* reserved */
        "a201000100",
        "a202000100",
        "a2200000f6",
        "a2616200616100",
        "a2626161006162f6",
        "a2f500f400",
        "a240004000",
        "a281010081000", /* keys out of order, or twice */
        "a1a2020001000",
        "82a20100010000", /* inside */
        "61ff",
        "62c0af",
        "61c3",
        "63eda080",
        "63e08080",
        "64f0808080",
        "64f4908080",
        "6180",
        "62c32e",
        "64f8888080", /* not UTF-8 */
        "9bffffffffffffffff",
        "bbffffffffffffffff",
        "5bffffffffffffffff",
        "7bffffffffffffffff",
        "bb8000000000000000",
        "9a00010000", /* longer than the input */
    };
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        if (hex_accepted(bad[i])) {
            CHECK(false);
            wm_test_note("accepted: %s", bad[i]);
        }
    }
    CHECK(hex_accepted("a3010020f66161f5")); /* and in order */
    CHECK(hex_accepted("63ed9fbf") && hex_accepted("64f48fbfbf") && hex_accepted("63e0a080"));
}

TEST(nesting_is_limited)
{
    uint8_t bytes[CBOR_DEPTH_MAX + 2];
    static const uint8_t heads[] = {0x81, 0xc1};
    for (size_t kind = 0; kind < sizeof heads; kind++) {
        struct cbor_reader reader;
        memset(bytes, heads[kind], sizeof bytes);
        bytes[CBOR_DEPTH_MAX] = 0;
        reader = cbor_reader_of(wm_view_of(bytes, CBOR_DEPTH_MAX + 1));
        CHECK(cbor_skip(&reader, NULL) && cbor_end(&reader));
        bytes[CBOR_DEPTH_MAX] = heads[kind];
        bytes[CBOR_DEPTH_MAX + 1] = 0;
        reader = cbor_reader_of(wm_view_of(bytes, CBOR_DEPTH_MAX + 2));
        CHECK(!cbor_skip(&reader, NULL));
        CHECK_STR(reader.why, "nested too deeply");
    }
}

TEST(integers_keep_their_value)
{
    static const int64_t values[] = {
        0,         1,  23,  24,  255,  256,  65535,  65536,  UINT32_MAX, (int64_t)UINT32_MAX + 1,
        INT64_MAX, -1, -24, -25, -256, -257, -65536, -65537, INT64_MIN};
    for (size_t i = 0; i < WM_COUNT_OF(values); i++) {
        uint8_t bytes[CBOR_HEAD_BYTES_MAX];
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        int64_t back = 42;
        cbor_put_int(&writer, values[i]);
        struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, writer.len));
        CHECK(cbor_fits(&writer) && cbor_int(&reader, &back) && cbor_end(&reader));
        CHECK(back == values[i]);
        CHECK(accepted(bytes, writer.len));
    }
    /* One beyond either end. */
    uint8_t bytes[9];
    int64_t back = 42;
    struct cbor_reader reader =
        cbor_reader_of(wm_view_of(bytes, from_hex("1b8000000000000000", bytes)));
    CHECK(!cbor_int(&reader, &back));
    reader = cbor_reader_of(wm_view_of(bytes, from_hex("3b8000000000000000", bytes)));
    CHECK(!cbor_int(&reader, &back));
    CHECK_INT(back, ==, 42);
    uint32_t small;
    reader = cbor_reader_of(wm_view_of(bytes, from_hex("1b0000000100000000", bytes)));
    CHECK(!cbor_uint32(&reader, &small));
}

TEST(the_writer_counts_what_does_not_fit)
{
    uint8_t bytes[8] = {0};
    struct cbor_writer counter = cbor_writer_of(NULL, 0), writer = cbor_writer_of(bytes, 4);
    cbor_put_text(&counter, wm_view_str("abcdef"));
    CHECK_INT(counter.len, ==, 7);
    CHECK(!cbor_fits(&counter));
    cbor_put_text(&writer, wm_view_str("abcdef"));
    cbor_put_uint(&writer, 1);
    CHECK_INT(writer.len, ==, 8);
    CHECK(!cbor_fits(&writer));
    CHECK_INT(bytes[4], ==, 0);
    CHECK_INT(bytes[1], ==, 0); /* no half strings */
    writer = cbor_writer_of(bytes, 7);
    cbor_put_text(&writer, wm_view_str("abcdef"));
    CHECK(cbor_fits(&writer) && memcmp(bytes, "fabcdef", 7) == 0);
}

TEST(the_first_failure_is_told_and_stays)
{
    uint8_t bytes[8];
    struct wm_diag diag = WM_DIAG_INIT;
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, from_hex("0161ff02", bytes)));
    uint64_t number = 7;
    struct wm_view text = wm_view_str("untouched");
    CHECK(cbor_uint(&reader, &number) && number == 1);
    CHECK(!cbor_text(&reader, &text));
    CHECK(wm_view_eq_str(text, "untouched"));
    CHECK(!cbor_uint(&reader, &number) && number == 1);
    CHECK(!cbor_end(&reader));
    CHECK_INT(cbor_peek(&reader), ==, -1);
    CHECK_INT(cbor_diag(&reader, "thing", &diag), ==, WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "thing: offset 1: a text is not UTF-8");
    reader = cbor_reader_of(wm_view_of(bytes, 1));
    CHECK(!cbor_uint_is(&reader, 2, "not two"));
    CHECK_STR(reader.why, "not two");
    reader = cbor_reader_of(wm_view_of(NULL, 0));
    CHECK(!cbor_skip(&reader, NULL));
}

/* --- Random items --- */

static uint64_t seed = 1;
static uint32_t roll(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % below;
}

static void put_random(struct cbor_writer *writer, unsigned depth)
{
    static const uint8_t letters[300] = "abcdefghijklmnopqrstuvwxyz\xc3\xbc";
    switch (roll(depth < 4 ? 8 : 5)) {
    case 0: cbor_put_uint(writer, (uint64_t)roll(UINT32_MAX) << roll(32) >> roll(60)); break;
    case 1: cbor_put_int(writer, -((int64_t)roll(1u << 31) << roll(30)) >> roll(50)); break;
    case 2: cbor_put_bytes(writer, wm_view_of(letters, roll(300))); break;
    case 3: cbor_put_text(writer, wm_view_of(letters, roll(27))); break;
    case 4:
        if (roll(3)) {
            cbor_put_bool(writer, roll(2));
        } else {
            cbor_put_null(writer);
        }
        break;
    case 5: {
        uint32_t count = roll(5);
        cbor_put_array(writer, count);
        while (count--) {
            put_random(writer, depth + 1);
        }
        break;
    }
    case 6: {
        uint32_t count = roll(5);
        cbor_put_map(writer, count);
        for (uint32_t i = 0; i < count; i++) {
            cbor_put_uint(writer, i * 100 + roll(100));
            put_random(writer, depth + 1);
        }
        break;
    }
    default: cbor_put_tag(writer, roll(70000)); put_random(writer, depth + 1);
    }
}

TEST(random_items_come_back_and_libcbor_agrees)
{
    static uint8_t bytes[4096];
    unsigned refused = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct cbor_writer writer = cbor_writer_of(bytes, sizeof bytes);
        put_random(&writer, 0);
        if (!cbor_fits(&writer)) {
            continue;
        }
        bool ours = accepted(bytes, writer.len);
        CHECK(ours);
        if (round % 2) { /* one byte changed: whatever we still accept is well-formed */
            bytes[roll((uint32_t)writer.len)] = (uint8_t)roll(256);
            ours = accepted(bytes, writer.len);
            refused += !ours;
        }
#ifdef HAVE_LIBCBOR
        /* It reserves as much as a count says, so it is asked about what we accept only: that must
         * be well-formed, and come out unchanged, since it writes integers in the width that they
         * were read in. */
        if (ours && !has_small_tag) {
            uint8_t again[4096];
            size_t len = 0;
            CHECK(oracle_copy(bytes, writer.len, again, sizeof again, &len));
            CHECK(len == writer.len && memcmp(again, bytes, len) == 0);
        }
#endif
    }
    CHECK_INT(refused, >, 1000);
}

TEST(numbers_that_must_be_others_are_told)
{
    /* [<< 2 >>]: the inner reader counts from the start of the whole. */
    static const uint8_t bytes[] = {0x81, 0x41, 0x02};
    struct cbor_reader reader = cbor_reader_of(wm_view_of(bytes, sizeof bytes));
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_view content;
    REQUIRE(cbor_array_of(&reader, 1) && cbor_bytes(&reader, &content));
    struct cbor_reader inner = cbor_inner(&reader, content);
    CHECK(!cbor_uint_is(&inner, 1, "of an unknown version"));
    CHECK(!cbor_inner_end(&reader, &inner));
    CHECK_INT(cbor_diag(&reader, "thing", &diag), ==, WM_E_MALFORMED);
    CHECK_STR(wm_diag_text(&diag), "thing: offset 2: of an unknown version (2, not 1)");
    /* Not of what fails otherwise, and not of what is right. */
    reader = cbor_reader_of(wm_view_of(bytes, sizeof bytes));
    CHECK(!cbor_uint_is(&reader, 1, "of an unknown version"));
    (void)cbor_diag(&reader, "thing", &diag);
    CHECK_STR(wm_diag_text(&diag), "thing: offset 0: not an unsigned integer, where one must be");
    inner = cbor_inner(&reader, content);
    CHECK(cbor_uint_is(&inner, 2, "of an unknown version") && cbor_end(&inner));
}

TEST_MAIN(TEST_CASE(appendix_a_deterministic_examples_are_accepted),
          TEST_CASE(appendix_a_other_examples_are_refused),
          TEST_CASE(what_is_not_in_its_one_form_is_refused), TEST_CASE(nesting_is_limited),
          TEST_CASE(integers_keep_their_value), TEST_CASE(the_writer_counts_what_does_not_fit),
          TEST_CASE(the_first_failure_is_told_and_stays),
          TEST_CASE(numbers_that_must_be_others_are_told),
          TEST_CASE(random_items_come_back_and_libcbor_agrees))
