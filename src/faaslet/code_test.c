/* Objects that functions share: one mapping for each file, as long as somebody uses it. */
#include "faaslet/code.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "wasm/object_sample.h"

static int sample(unsigned variant)
{
    int fd = memfd_create("object", MFD_CLOEXEC);
    return fd >= 0 && wasm_sample_object(fd, variant) == 0 ? fd : -1;
}

TEST(a_file_is_mapped_once)
{
    int one = sample(0), two = sample(0);
    int again = dup(one);
    struct wasm_object *a, *b, *c;
    REQUIRE(one >= 0 && two >= 0 && again >= 0);
    REQUIRE(code_open(one, &a, NULL) == 0 && code_open(again, &b, NULL) == 0);
    CHECK(a == b);
    REQUIRE(code_open(two, &c, NULL) == 0);
    CHECK(c != a); /* equal, and another file */
    close(one);
    code_close(a);
    CHECK(b->header->version == WASM_OBJECT_VERSION); /* still mapped */
    REQUIRE(code_open(again, &a, NULL) == 0);
    CHECK(a == b);
    code_close(a);
    code_close(b);
    code_close(c);
    code_close(NULL);
    close(two);
    close(again);
}

TEST(a_file_that_has_changed_is_another)
{
    int fd = sample(0);
    struct wasm_object *before, *after;
    REQUIRE(fd >= 0 && code_open(fd, &before, NULL) == 0);
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
    usleep(20000); /* the clock of files ticks */
    REQUIRE(wasm_sample_object(fd, 1) == 0);
    REQUIRE(code_open(fd, &after, NULL) == 0);
    CHECK(before != after);
    code_close(before);
    code_close(after);
    close(fd);
}

TEST(what_is_no_object_is_not_kept)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_object *object;
    int fd = memfd_create("object", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_INT(code_open(fd, &object, &diag), ==, WM_E_MALFORMED);
    CHECK(code_open(-1, &object, &diag) < 0);
    REQUIRE(wasm_sample_object(fd, 0) == 0);
    CHECK_INT(code_open(fd, &object, &diag), ==, 0);
    code_close(object);
    close(fd);
}

TEST(every_step_may_fail)
{
    int fd = sample(0);
    struct wasm_object *object;
    REQUIRE(fd >= 0);
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            if (code_open(fd, &object, NULL) == 0) {
                code_close(object);
            }
        }
    }
    CHECK_INT(code_open(fd, &object, NULL), ==, 0);
    code_close(object);
    close(fd);
}

TEST_MAIN(TEST_CASE(a_file_is_mapped_once), TEST_CASE(a_file_that_has_changed_is_another),
          TEST_CASE(what_is_no_object_is_not_kept), TEST_CASE(every_step_may_fail))
