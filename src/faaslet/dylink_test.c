/* The section "dylink.0": good ones, and each way to be wrong. */
#include "faaslet/dylink.h"

#include <string.h>

#include "base/error.h"
#include "base/test.h"

#define HEAD "\0asm\1\0\0\0"
#define SECTION(len)     \
    HEAD "\0" len "\x08" \
         "dylink.0"

static int parse(const char *bytes, size_t len, struct dylink *out)
{
    struct wm_diag diag = WM_DIAG_INIT;
    int rc = dylink_parse(wm_view_of(bytes, len), out, &diag);
    if (rc != 0) {
        CHECK(strncmp(wm_diag_text(&diag), "library: ", 9) == 0);
    }
    return rc;
}
#define PARSE(text) parse(text, sizeof(text) - 1, &out)

TEST(good_ones)
{
    struct dylink out;
    CHECK_INT(PARSE(SECTION("\x10") "\1\5\xbc\1\4\3\0"), ==, 0);
    CHECK_INT(out.memory_bytes, ==, 188);
    CHECK_INT(out.table_elems, ==, 3);
    CHECK_INT(PARSE(SECTION("\x09")), ==, 0);
    CHECK_INT(out.memory_bytes, ==, 0);
    /* Parts that we do not know are skipped; other sections follow. */
    CHECK_INT(PARSE(SECTION("\x16") "\x04\2\1\1\2\1\0\1\4\7\x10\2\0\1\4"), ==, 0);
    CHECK_INT(out.memory_bytes, ==, 7);
}

TEST(wrong_ones)
{
    struct dylink out;
    CHECK_INT(PARSE(""), ==, WM_E_NOT_FOUND);
    CHECK_INT(PARSE(HEAD), ==, WM_E_NOT_FOUND);
    CHECK_INT(PARSE(HEAD "\1\4\1\x60\0\0"), ==, WM_E_NOT_FOUND);
    CHECK_INT(PARSE(HEAD "\0\5\4name"), ==, WM_E_NOT_FOUND);
    CHECK_INT(PARSE(HEAD "\0\x20\x08"
                         "dylink.0"),
              ==, WM_E_NOT_FOUND);                                      /* cut off */
    CHECK_INT(PARSE(SECTION("\x0a") "\1"), ==, WM_E_MALFORMED);         /* no length */
    CHECK_INT(PARSE(SECTION("\x0b") "\1\5"), ==, WM_E_MALFORMED);       /* longer than it is */
    CHECK_INT(PARSE(SECTION("\x0e") "\1\3\1\2\3"), ==, WM_E_MALFORMED); /* three of four numbers */
    CHECK_INT(PARSE(SECTION("\x10") "\1\5\1\2\3\0\0"), ==, WM_E_MALFORMED);           /* five */
    CHECK_INT(PARSE(SECTION("\x14") "\1\4\1\0\0\0\1\4\1\0\0\0"), ==, WM_E_MALFORMED); /* twice */
    CHECK_INT(PARSE(SECTION("\x13") "\1\x08\xff\xff\xff\xff\x7f\0\0\0"), ==,
              WM_E_MALFORMED); /* more than 32 bits */
    CHECK_INT(PARSE(SECTION("\x0f") "\1\4\1\x11\3\0"), ==, WM_E_UNSUPPORTED);
    CHECK_INT(PARSE(SECTION("\x0f") "\1\4\1\0\3\1"), ==, WM_E_UNSUPPORTED);
    CHECK_INT(PARSE(SECTION("\x0e") "\2\3\1\1x"), ==, WM_E_UNSUPPORTED);
    CHECK_INT(PARSE(SECTION("\x0b") "\2\0"), ==, WM_E_MALFORMED);
}

TEST_MAIN(TEST_CASE(good_ones), TEST_CASE(wrong_ones))
