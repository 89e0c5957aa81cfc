/* crc32c_test.c: the values of RFC 3720, and the instruction against the table. */
#include "base/crc32c.h"

#include <string.h>

#include "base/test.h"

TEST(crc32c_of_the_standard)
{
    uint8_t bytes[32] = {0};
    CHECK_INT(wm_crc32c(0, wm_view_str("123456789")), ==, 0xe3069283);
    CHECK_INT(wm_crc32c(0, wm_view_of(bytes, 32)), ==, 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    CHECK_INT(wm_crc32c(0, wm_view_of(bytes, 32)), ==, 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    CHECK_INT(wm_crc32c(0, wm_view_of(bytes, 32)), ==, 0x46dd794e);
    CHECK_INT(wm_crc32c_table(0, wm_view_of(bytes, 32)), ==, 0x46dd794e);
    CHECK_INT(wm_crc32c(0, wm_view_of(NULL, 0)), ==, 0);
}

TEST(crc32c_in_pieces_and_by_the_table)
{
    uint8_t bytes[67];
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 167 + 13);
    }
    for (unsigned from = 0; from < 9; from++) {
        for (unsigned to = from; to <= sizeof bytes; to++) {
            struct wm_view whole = wm_view_of(bytes + from, to - from);
            uint32_t crc = wm_crc32c_table(0, whole);
            unsigned half = (to - from) / 3;
            uint32_t pieces = wm_crc32c(0, wm_view_of(bytes + from, half));
            pieces = wm_crc32c(pieces, wm_view_of(bytes + from + half, to - from - half));
            if (wm_crc32c(0, whole) != crc || pieces != crc) {
                CHECK_INT(wm_crc32c(0, whole), ==, crc);
                CHECK_INT(pieces, ==, crc);
            }
        }
    }
    CHECK_INT(wm_crc32c(0, wm_view_of(bytes, 1)), !=, wm_crc32c(0, wm_view_of(bytes + 1, 1)));
}

TEST_MAIN(TEST_CASE(crc32c_of_the_standard), TEST_CASE(crc32c_in_pieces_and_by_the_table))
