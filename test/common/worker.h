/* worker.h: for tests and benches: a worker process with functions in it, and calls made to it.
 *
 * Plays the node's part in the simplest way: compiles modules, has their Proto-Faaslets made, loads
 * them, submits calls and waits. What fails ends the program. */
#ifndef WM_TEST_COMMON_WORKER_H
#define WM_TEST_COMMON_WORKER_H

#include "faaslet/link.h"

struct test_function {
    const char *module; /* path of a .wasm file */
    const char *cache;  /* folder that keeps its compiled code; NULL: compiled each time */
    const char *tenant, *name;
    enum function_kind kind;
    uint32_t handle;
    struct call_limits limits;
    const char *secret; /* "NAME=value" or NULL */
    const char *args[8];
};

struct test_result {
    struct channel_result result;
    uint32_t slot;
    char output[4096]; /* its start, NUL-terminated */
    char message[512];
};

struct link *test_worker_start(const struct link_config *config);
/* Compiles the module and has its Proto-Faaslet made: fds are given, of the object and the image.
 * 0, or the worker's code with diag. */
WM_MUST_CHECK int test_worker_prepare(struct link *link, const struct test_function *function,
                                      int fds[2], struct wm_diag *diag);
/* Loads what was prepared, here or in another worker, as often as wanted; fds are borrowed. */
WM_MUST_CHECK int test_worker_add(struct link *link, const struct test_function *function,
                                  const int fds[2], struct wm_diag *diag);
/* Both. */
WM_MUST_CHECK int test_worker_load(struct link *link, const struct test_function *function,
                                   struct wm_diag *diag);
/* Submits; the result comes by test_worker_wait. */
uint32_t test_worker_submit(struct link *link, uint32_t handle, struct wm_view input,
                            uint32_t timeout_ms);
void test_worker_wait(struct link *link, struct test_result *out);
/* One call: its end. */
enum call_end test_worker_call(struct link *link, uint32_t handle, const char *input,
                               struct test_result *out);

#endif
