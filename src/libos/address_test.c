/* Internet addresses, against the C library's reading of them. */
#include "libos/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/test.h"

static bool agrees(const char *text)
{
    struct libos_address found;
    uint8_t v4[16] = {0}, v6[16] = {0};
    bool is_v4 = inet_pton(AF_INET, text, v4) == 1;
    bool is_v6 = inet_pton(AF_INET6, text, v6) == 1;
    bool ok = libos_address_parse(wm_view_str(text), &found);
    return ok == (is_v4 || is_v6) && (!ok || (found.family == (is_v4 ? LIBOS_INET : LIBOS_INET6) &&
                                              memcmp(found.ip, is_v4 ? v4 : v6, 16) == 0));
}

TEST(text)
{
    static const char *const texts[] = {"127.0.0.1",
                                        "0.0.0.0",
                                        "255.255.255.255",
                                        "256.1.1.1",
                                        "1.2.3",
                                        "1.2.3.4.",
                                        "1.2.3.4.5",
                                        "01.2.3.4",
                                        "1..2.3",
                                        "",
                                        "::",
                                        "::1",
                                        "1::",
                                        "1:2:3:4:5:6:7:8",
                                        "1:2:3:4:5:6:7",
                                        "1:2::7:8:",
                                        "1::2::3",
                                        ":::",
                                        ":1",
                                        "1:",
                                        "fe80::1%lo",
                                        "::ffff:1.2.3.4",
                                        "::1.2.3.4",
                                        "1:2:3:4:5:6:1.2.3.4",
                                        "1:2:3:4:5:6:7:1.2.3.4",
                                        "1:2:3:4:5:6:7::",
                                        "::2:3:4:5:6:7:8",
                                        "1::3:4:5:6:7:8",
                                        "1::2:3:4:5:6:7:8",
                                        "12345::",
                                        "ABCD:ef01::",
                                        "g::",
                                        "[::1]",
                                        "::1 ",
                                        " ::1",
                                        "1.2.3.4 ",
                                        "::1.2.3.4:5",
                                        "::1.2.3.400"};
    for (size_t i = 0; i < WM_COUNT_OF(texts); i++) {
        if (!agrees(texts[i])) {
            wm_test_note("%s", texts[i]);
            CHECK(false);
        }
    }
    /* Random ones from the letters that matter. */
    uint64_t state = 1;
    unsigned good = 0;
    for (int i = 0; i < 300000; i++) {
        char one[24];
        struct libos_address found;
        size_t len;
        state = state * UINT64_C(6364136223846793005) + 1;
        size_t wanted = 1 + (state >> 40) % 20;
        for (len = 0; len < wanted; len++) {
            state = state * UINT64_C(6364136223846793005) + 1;
            one[len] = "::::...0125ac"[(state >> 40) % 13];
        }
        one[len] = 0;
        good += libos_address_parse(wm_view_str(one), &found);
        if (!agrees(one)) {
            wm_test_note("%s", one);
            CHECK(false);
            break;
        }
    }
    CHECK_INT(good, >, 1000);
}

static const char *plain(const char *text)
{
    static char out[64];
    struct libos_address address;
    if (!libos_address_parse(wm_view_str(text), &address)) {
        return "?";
    }
    address.port = 80;
    address = libos_address_plain(&address);
    return address.port == 80 && inet_ntop(address.family == LIBOS_INET ? AF_INET : AF_INET6,
                                           address.ip, out, sizeof out)
               ? out
               : "?";
}

TEST(what_is_reached)
{
    CHECK_STR(plain("1.2.3.4"), "1.2.3.4");
    CHECK_STR(plain("::ffff:1.2.3.4"), "1.2.3.4");
    CHECK_STR(plain("::ffff:0.0.0.0"), "127.0.0.1");
    CHECK_STR(plain("0.0.0.0"), "127.0.0.1");
    CHECK_STR(plain("::"), "::1");
    CHECK_STR(plain("fe80::1"), "fe80::1");
    CHECK_STR(plain("1::ffff:1.2.3.4"), "1::ffff:102:304");
}

TEST_MAIN(TEST_CASE(text), TEST_CASE(what_is_reached))
