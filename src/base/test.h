/* test.h: the harness of every test program; prints TAP (Test Anything Protocol 12).
 *
 *     TEST(view_slice_refuses_overflow)
 *     {
 *         CHECK(!wm_view_slice(view, SIZE_MAX, 2, &out));
 *         CHECK_INT(out.len, ==, 0);
 *     }
 *     TEST_MAIN(TEST_CASE(view_slice_refuses_overflow), ...)
 *
 * A test with a failed CHECK goes on to its end and counts once as failed. REQUIRE leaves the test.
 * A test that makes no check fails. `PROGRAM NAME...` runs the named tests only. */
#ifndef WM_BASE_TEST_H
#define WM_BASE_TEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct wm_test {
    const char *name;
    void (*run)(void);
};

#define TEST(name) static void test_##name(void)
#define TEST_CASE(name)    \
    {                      \
#name, test_##name \
    }
#define TEST_MAIN(...)                                              \
    int main(int argc, char **argv)                                 \
    {                                                               \
        static const struct wm_test tests[] = {__VA_ARGS__};        \
        return wm_test_main(tests, WM_COUNT_OF(tests), argc, argv); \
    }

#define CHECK(condition) ((void)wm_test_check((condition), __FILE__, __LINE__, #condition))
#define REQUIRE(condition)                                                 \
    do {                                                                   \
        if (!wm_test_check((condition), __FILE__, __LINE__, #condition)) { \
            return;                                                        \
        }                                                                  \
    } while (0)
/* Compares integers and prints both on failure. */
#define CHECK_INT(a, relation, b)                                                              \
    do {                                                                                       \
        long long wm_a = (long long)(a), wm_b = (long long)(b);                                \
        if (!wm_test_check(wm_a relation wm_b, __FILE__, __LINE__, #a " " #relation " " #b)) { \
            wm_test_note("left %lld, right %lld", wm_a, wm_b);                                 \
        }                                                                                      \
    } while (0)
#define CHECK_STR(a, b) wm_test_check_str((a), (b), __FILE__, __LINE__, #a " is " #b)
/* Leaves the test as skipped; the reason is printed and counted. */
#define SKIP(...)                  \
    do {                           \
        wm_test_skip(__VA_ARGS__); \
        return;                    \
    } while (0)

int wm_test_main(const struct wm_test *tests, size_t count, int argc, char **argv);
bool wm_test_check(bool ok, const char *file, int line, const char *text);
bool wm_test_check_str(const char *a, const char *b, const char *file, int line, const char *text);
void wm_test_note(const char *format, ...) WM_PRINTF(1, 2); /* a TAP comment line */
void wm_test_skip(const char *format, ...) WM_PRINTF(1, 2);

#endif
