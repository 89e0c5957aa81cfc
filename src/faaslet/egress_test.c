#include "faaslet/egress.h"

#include <string.h>

#include "base/test.h"

static struct egress egress;

static bool reaches(const char *ip, uint16_t port)
{
    struct libos_address address;
    if (!libos_address_parse(wm_view_str(ip), &address)) {
        return false;
    }
    address.port = port;
    address = libos_address_plain(&address);
    return egress_allows(&egress, &address, false);
}

TEST(only_addresses_are_rules)
{
    egress.count = 0;
    static const char *const wrong[] = {"",
                                        ":",
                                        ":80",
                                        "example.org:443",
                                        "192.0.2.1",
                                        "192.0.2.1:",
                                        "192.0.2.1:0",
                                        "192.0.2.1:65536",
                                        "192.0.2.1:8x",
                                        "*:80",
                                        "192.0.2.256:80",
                                        "2001:db8::1",
                                        "[192.0.2.1:80"};
    for (size_t i = 0; i < WM_COUNT_OF(wrong); i++) {
        if (egress_add(&egress, wm_view_str(wrong[i]))) {
            wm_test_note("taken: %s", wrong[i]);
            CHECK(false);
        }
    }
    CHECK_INT(egress.count, ==, 0);
}

TEST(what_is_listed_is_reached_and_nothing_else)
{
    egress.count = 0;
    CHECK(egress_add(&egress, wm_view_str("192.0.2.1:80")));
    CHECK(egress_add(&egress, wm_view_str("[2001:db8::1]:443")));
    CHECK(egress_add(&egress, wm_view_str("192.0.2.9:*")));
    CHECK(reaches("192.0.2.1", 80));
    CHECK(!reaches("192.0.2.1", 81));
    CHECK(!reaches("192.0.2.2", 80));
    CHECK(reaches("2001:db8::1", 443));
    CHECK(reaches("192.0.2.9", 1));
    /* The same host, written as IPv6. */
    CHECK(reaches("::ffff:192.0.2.1", 80));
    CHECK(!reaches("::ffff:192.0.2.1", 81));
    CHECK(!reaches("0.0.0.0", 80));
}

TEST(there_is_an_end_of_rules)
{
    egress.count = 0;
    for (uint32_t i = 0; i < EGRESS_RULES_MAX; i++) {
        CHECK(egress_add(&egress, wm_view_str("192.0.2.1:80")));
    }
    CHECK(!egress_add(&egress, wm_view_str("192.0.2.1:80")));
}

TEST_MAIN(TEST_CASE(only_addresses_are_rules),
          TEST_CASE(what_is_listed_is_reached_and_nothing_else),
          TEST_CASE(there_is_an_end_of_rules))
