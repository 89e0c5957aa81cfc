#include "common/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "wasm/cache.h"
#include "wasm/compile.h"

static WM_NORETURN void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

struct link *test_worker_start(const struct link_config *config)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct link *link;
    struct link_config alone = *config;
    alone.alone = true;
#ifdef __SANITIZE_ADDRESS__ /* its own system calls and address space are what confinement takes \
                             */
    alone.open = true;
#endif
    if (link_open(&alone, &link, &diag) != 0 || link_wait(link, CONTROL_READY, 10000, &diag) != 0) {
        die("worker", wm_diag_text(&diag));
    }
    return link;
}

static const struct wasm_options *options(void)
{
    static struct wasm_options made;
    made = (struct wasm_options){WASM_MODE_GUARD, WASM_TIER_OPTIMISED, wasm_cpu_of_this_machine(),
                                 false, true};
    return &made;
}

static int compile(const char *path, struct wm_diag *diag)
{
    int module = open(path, O_RDONLY | O_CLOEXEC);
    int object = memfd_create("object", MFD_CLOEXEC);
    if (module < 0 || object < 0) {
        die(path, "cannot be opened");
    }
    struct wasm_compile_job job = {.module_fd = module, .object_fd = object, .options = *options()};
    int rc = wasm_compile(&job, diag);
    close(module);
    if (rc != 0) {
        close(object);
        return rc;
    }
    return object;
}

static int compile_once(const char *path, const char *folder, struct wm_diag *diag)
{
    struct wasm_cache *cache;
    uint8_t sha256[32];
    int object;
    int rc = wasm_cache_open(folder, &cache, diag);
    if (rc != 0) {
        return rc;
    }
    rc = wasm_cache_module_hash(cache, path, sha256, diag);
    if (rc == 0 && wasm_cache_find_file(cache, sha256, options(), &object, NULL) != 0) {
        object = compile(path, diag);
        rc = object < 0 ? object : wasm_cache_put(cache, object, sha256, options(), diag);
    }
    wasm_cache_close(cache);
    return rc != 0 ? rc : object;
}

static void describe(const struct test_function *function, enum control_kind kind,
                     struct control_message *message)
{
    *message = (struct control_message){
        .kind = (uint16_t)kind,
        .handle = function->handle,
        .function_kind = function->kind,
        .function_version = 1,
        .limits = function->limits,
        .tenant = wm_view_str(function->tenant),
        .name = wm_view_str(function->name),
    };
    while (message->args.count < WM_COUNT_OF(function->args) &&
           function->args[message->args.count]) {
        message->args.items[message->args.count] = wm_view_str(function->args[message->args.count]);
        message->args.count++;
    }
}

int test_worker_prepare(struct link *link, const struct test_function *function, int fds[2],
                        struct wm_diag *diag)
{
    static struct control_message message;
    fds[0] = function->cache ? compile_once(function->module, function->cache, diag)
                             : compile(function->module, diag);
    if (fds[0] < 0) {
        return fds[0];
    }
    fds[1] = memfd_create("image", MFD_CLOEXEC);
    describe(function, CONTROL_SNAPSHOT, &message);
    int rc = link_send(link, &message, fds, 2);
    rc = rc ? rc : link_wait(link, CONTROL_DONE, 120000, diag);
    if (rc != 0) {
        close(fds[0]);
        close(fds[1]);
    }
    return rc;
}

int test_worker_add(struct link *link, const struct test_function *function, const int fds[2],
                    struct wm_diag *diag)
{
    static struct control_message message;
    describe(function, CONTROL_LOAD, &message);
    if (function->secret) {
        message.secrets.count = 1;
        message.secrets.items[0] = wm_view_str(function->secret);
    }
    lseek(fds[1], 0, SEEK_SET);
    int rc = link_send(link, &message, fds, 2);
    return rc ? rc : link_wait(link, CONTROL_DONE, 60000, diag);
}

int test_worker_load(struct link *link, const struct test_function *function, struct wm_diag *diag)
{
    int fds[2];
    int rc = test_worker_prepare(link, function, fds, diag);
    if (rc == 0) {
        rc = test_worker_add(link, function, fds, diag);
        close(fds[0]);
        close(fds[1]);
    }
    return rc;
}

uint32_t test_worker_submit(struct link *link, uint32_t handle, struct wm_view input,
                            uint32_t timeout_ms)
{
    static uint64_t id;
    struct channel *channel = link_channel(link);
    uint32_t slot = channel_take_slot(channel);
    if (slot == UINT32_MAX) {
        die("worker", "no free slot");
    }
    if (input.len != 0) {
        memcpy(channel_input(channel, slot), input.ptr, input.len);
    }
    struct channel_call call = {.id = ++id,
                                .function = handle,
                                .func_idx = UINT32_MAX,
                                .timeout_ms = timeout_ms,
                                .input_len = (uint32_t)input.len};
    channel_submit(channel, slot, &call);
    channel_ring(channel);
    return slot;
}

static void copy(char *out, size_t room, struct wm_view from)
{
    size_t len = from.len < room - 1 ? from.len : room - 1;
    if (len != 0) {
        memcpy(out, from.ptr, len);
    }
    out[len] = 0;
}

void test_worker_wait(struct link *link, struct test_result *out)
{
    struct channel *channel = link_channel(link);
    for (;;) {
        struct channel_views views;
        struct channel_report report;
        while (channel_next_report(channel, &report) == 1) {
        }
        int rc = channel_next_completion(channel, &out->slot, &out->result, &views);
        if (rc == 1) {
            copy(out->output, sizeof out->output, views.output);
            copy(out->message, sizeof out->message, views.message);
            channel_free_slot(channel, out->slot);
            return;
        }
        struct pollfd event = {.fd = link_event_fd(link), .events = POLLIN};
        if (rc < 0 || poll(&event, 1, 60000) != 1) {
            die("worker", rc < 0 ? wm_error_text(rc) : "no answer in a minute");
        }
        link_event_clear(link);
    }
}

enum call_end test_worker_call(struct link *link, uint32_t handle, const char *input,
                               struct test_result *out)
{
    test_worker_submit(link, handle, wm_view_str(input), 0);
    test_worker_wait(link, out);
    return (enum call_end)out->result.end;
}
