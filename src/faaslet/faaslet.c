/* faaslet.c: the host's half of a slot, and one call in it. */
#include "faaslet/faaslet.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "faaslet/chain.h"
#include "faaslet/dl.h"
#include "faaslet/egress.h"
#include "faaslet/executor.h"
#include "faaslet/http_session.h"
#include "faaslet/state.h"
#include "faaslet/streams.h"
#include "host/file.h"
#include "libos/overlay.h"
#include "port/file.h"
#include "port/hostfs.h"
#include "port/machine.h"
#include "wasm/store.h"
#include "wasm/suspend.h"

#define CALL_NAME_BYTES 256u
#define LAST_WORDS_BYTES 160u
#define SECRETS_FOLDER "run"
#define SECRETS_PATH "run/secrets"

bool faaslet_call_output(struct faaslet_call *call, const void *bytes, uint32_t len)
{
    uint64_t wanted = (uint64_t)call->output_len + len;
    if (call->initialising) {
        return true; /* nobody reads what a Proto-Faaslet prints */
    }
    if (wanted > call->function->limits.output_bytes ||
        (wanted > call->output_room && (!call->more || !call->more(call, (uint32_t)wanted)))) {
        call->output_over = true;
        return false;
    }
    if (len != 0) {
        memcpy(call->output + call->output_len, bytes, len);
    }
    call->output_len = (uint32_t)wanted;
    return true;
}

/* --- Making --- */

int faaslet_thread_init(struct faaslet_thread *thread, const char *files_path, struct wm_diag *diag)
{
    *thread = (struct faaslet_thread){0};
    libos_init(&thread->os, port_machine());
    int rc = wasi_scratch_new(&thread->os, &thread->scratch);
    if (rc == 0 && files_path) {
        rc = port_hostfs_open(&thread->os, files_path, PORT_READ_ONLY, &thread->files, diag);
    } else if (rc == 0) {
        rc = libos_memfs_new(&thread->os, NULL, &thread->files);
        if (rc == 0) {
            libos_memfs_seal(thread->files);
        }
    }
    if (rc != 0) {
        faaslet_thread_fini(thread);
        return wm_diag_default(diag, rc, "Faaslet");
    }
    return 0;
}

void faaslet_thread_fini(struct faaslet_thread *thread)
{
    libos_file_put(thread->files);
    wasi_scratch_free(&thread->os, thread->scratch);
}

/* A library of the tenant, by the name that it was uploaded under. */
static int find_library(void *self, struct wm_view path, struct dl_library *out)
{
    struct faaslet *faaslet = self;
    struct faaslet_call *call = faaslet->guest.call;
    char name[CALL_NAME_BYTES];
    if (!call || !call->executor || path.len == 0 || path.len >= sizeof name) {
        return -ENOENT;
    }
    memcpy(name, path.ptr, path.len);
    name[path.len] = 0;
    const struct function *library;
    int rc = executor_library(call, name, &library);
    if (rc == 0) {
        *out = (struct dl_library){library->object, library->dylink};
    }
    return rc;
}

int faaslet_new(struct faaslet_thread *thread, uint64_t files_bytes, struct faaslet **out,
                struct wm_diag *diag)
{
    struct faaslet *faaslet = wm_alloc_zero(1, sizeof *faaslet);
    if (!faaslet) {
        return wm_diag_set(diag, -ENOMEM, "Faaslet: %s", wm_error_text(-ENOMEM));
    }
    faaslet->thread = thread;
    faaslet->files_bytes = files_bytes;
    int rc = faaslet_streams_new(thread, &faaslet->streams);
    if (rc == 0) {
        struct libos_overlay_config config = {
            .lowers = &thread->files, .lower_count = 1, .upper = {.bytes = files_bytes}};
        rc = libos_overlay_new(&thread->os, &config, &faaslet->root);
    }
    rc = rc ? rc : http_session_new(&faaslet->guest.http);
    if (rc == 0) {
        struct dl_config config = {.self = faaslet,
                                   .lookup = find_library,
                                   .resolve = faaslet_resolve,
                                   .resolve_self = faaslet};
        rc = dl_session_new(&config, &faaslet->guest.dl);
    }
    if (rc == 0 && thread->local) {
        rc = state_session_new(thread->local, &faaslet->guest.state, diag);
    }
    if (rc == 0) {
        struct wasi_preopen root = {"/", faaslet->root};
        struct wasi_net net = {
            .self = thread->egress, .socket = port_socket_new, .allow = egress_allows};
        struct wasi_config config = {
            .os = &thread->os,
            .stdio = {faaslet_streams_file(faaslet->streams, 0),
                      faaslet_streams_file(faaslet->streams, 1),
                      faaslet_streams_file(faaslet->streams, 2)},
            .preopens = &root,
            .preopen_count = 1,
            .net = thread->egress ? &net : NULL,
            .scratch = thread->scratch,
            .suspend_on_input = true, /* only programs that are prepared for it stop there */
        };
        rc = wasi_new(&config, &faaslet->wasi, diag);
    }
    if (rc != 0) {
        faaslet_free(faaslet);
        return wm_diag_default(diag, rc, "Faaslet");
    }
    *out = faaslet;
    return 0;
}

void faaslet_free(struct faaslet *faaslet)
{
    if (faaslet) {
        wasi_free(faaslet->wasi);
        state_session_free(faaslet->guest.state);
        http_session_free(faaslet->guest.http);
        dl_session_free(faaslet->guest.dl);
        libos_file_put(faaslet->root);
        faaslet_streams_free(faaslet->streams);
        function_put(faaslet->function);
        wm_free(faaslet);
    }
}

static bool find_func(const struct faaslet_host_table *table, struct wm_view name,
                      struct wasm_extern *out)
{
    for (size_t i = 0; i < table->count; i++) {
        if (wm_view_eq_str(name, table->funcs[i].name)) {
            out->host = &table->funcs[i];
            return true;
        }
    }
    return false;
}

int faaslet_resolve(void *self, struct wm_view module, struct wm_view name,
                    enum wasm_extern_kind kind, struct wasm_extern *out)
{
    static const struct faaslet_host_table *const tables[] = {
        &faaslet_call_funcs, &faaslet_chain_funcs, &faaslet_state_funcs, &faaslet_dl_funcs,
        &faaslet_http_funcs};
    struct faaslet *faaslet = self;
    if (kind == WASM_EXTERN_FUNC && wm_view_eq_str(module, "faaslet")) {
        *out = (struct wasm_extern){.kind = kind, .host_env = &faaslet->guest};
        for (size_t i = 0; i < WM_COUNT_OF(tables); i++) {
            if (find_func(tables[i], name, out)) {
                return 0;
            }
        }
        return WM_E_NOT_FOUND;
    }
    return wasi_resolve(faaslet->wasi, module, name, kind, out);
}

/* --- A call --- */

static bool must_stop(void *self)
{
    return wasm_store_interrupted(self) != WASM_TRAP_NONE;
}

static int put_secret(struct libos_file *root, const char *secret)
{
    char path[sizeof SECRETS_PATH + FAASLET_NAME_BYTES_MAX + 2];
    const char *value = strchr(secret, '=');
    struct libos_file *file;
    if (!value || value - secret > (ptrdiff_t)FAASLET_NAME_BYTES_MAX) {
        return -LIBOS_EINVAL;
    }
    snprintf(path, sizeof path, SECRETS_PATH "/%.*s", (int)(value - secret), secret);
    int rc = libos_open(root, path, LIBOS_WRITE | LIBOS_CREATE | LIBOS_TRUNCATE, &file);
    if (rc != 0) {
        return rc;
    }
    struct libos_iov iov = {(uint8_t *)value + 1, strlen(value + 1)};
    int64_t done = iov.len != 0 ? libos_file_write(file, &iov, 1) : 0;
    libos_file_put(file);
    return done < 0 ? (int)done : (uint64_t)done == iov.len ? 0 : -LIBOS_ENOSPC;
}

/* A frozen program got its environment when it was frozen, and can import no host functions: it
 * finds its secrets in files, of which nothing is left after the call. */
static void put_secrets(struct faaslet *faaslet, struct faaslet_call *call)
{
    static const char failed[] = "secrets: no room for them in the files of this call";
    char *const *secrets = call->function->secrets;
    if (!secrets || !secrets[0] || call->function->kind != FUNCTION_SUSPENDED) {
        return;
    }
    int rc = libos_mkdir(faaslet->root, SECRETS_FOLDER);
    rc = rc == 0 || rc == -LIBOS_EEXIST ? libos_mkdir(faaslet->root, SECRETS_PATH) : rc;
    rc = rc == -LIBOS_EEXIST ? 0 : rc;
    for (size_t i = 0; rc == 0 && secrets[i]; i++) {
        rc = put_secret(faaslet->root, secrets[i]);
    }
    if (rc != 0 && faaslet->thread->log) {
        faaslet->thread->log(faaslet->thread->log_self, call, wm_view_str(failed));
    }
}

void faaslet_begin(struct faaslet *faaslet, struct faaslet_call *call, struct wasm_store *store)
{
    const struct function *function = call->function;
    faaslet->guest.call = call;
    wasi_reset(faaslet->wasi, function->args, function->env);
    faaslet_streams_begin(faaslet->streams, call);
    put_secrets(faaslet, call);
    if (faaslet->guest.state) {
        state_session_begin(faaslet->guest.state, faaslet->thread->tier,
                            wm_view_str(function->tenant), &call->usage, must_stop, store);
    }
}

void faaslet_end(struct faaslet *faaslet)
{
    if (faaslet->guest.state) {
        state_session_end(faaslet->guest.state);
    }
    http_session_end(faaslet->guest.http);
    faaslet_streams_end(faaslet->streams);
    /* What the call opened is closed here and not at the next call's start. */
    wasi_reset(faaslet->wasi, NULL, NULL);
    libos_overlay_reset(faaslet->root);
    faaslet->guest.call = NULL;
}

static void say(struct faaslet_call *call, enum call_end end, const char *text)
{
    call->end = end;
    snprintf(call->message, sizeof call->message, "%s", text);
}

static void take_trap(struct faaslet_call *call, struct wasm_store *store, enum wasm_trap trap)
{
    if (trap == WASM_TRAP_DEADLINE || trap == WASM_TRAP_KILLED) {
        say(call, CALL_END_TIMEOUT, "the call was not done within its time");
    } else if (trap == WASM_TRAP_OUT_OF_MEMORY) {
        say(call, CALL_END_LIMIT, "the machine has no memory for this call");
    } else if (trap == WASM_TRAP_OUT_OF_FUEL) {
        say(call, CALL_END_LIMIT, "the call used up its fuel");
    } else {
        say(call, CALL_END_TRAP, wasm_trap_text(trap));
    }
    if (call->backtrace && call->backtrace_room > 0) {
        int len =
            wasm_report_format(wasm_store_report(store), call->backtrace, call->backtrace_room);
        call->backtrace_len = len < 0                                ? 0
                              : (uint32_t)len < call->backtrace_room ? (uint32_t)len
                                                                     : call->backtrace_room - 1;
    }
}

static enum wasm_trap enter(struct faaslet *faaslet, struct wasm_instance *instance,
                            struct wasm_slot *slot, struct faaslet_call *call,
                            union wasm_value *value)
{
    const struct function *function = call->function;
    struct wasm_store *store = wasm_instance_store(instance);
    if (faaslet->slot != slot) {
        faaslet->slot = slot;
        faaslet->main = wasm_slot_func(slot, function->main_idx);
        faaslet->restored = function->restored_idx == UINT32_MAX
                                ? NULL
                                : wasm_slot_func(slot, function->restored_idx);
    }
    if (faaslet->restored) {
        enum wasm_trap trap = wasm_call(store, faaslet->restored, value);
        if (trap != WASM_TRAP_NONE) {
            return trap;
        }
    }
    if (call->func_idx != UINT32_MAX) {
        return wasm_call(store, wasm_slot_func(slot, call->func_idx), value);
    }
    if (function->kind == FUNCTION_SUSPENDED) {
        return wasm_suspend_continue(instance, "_start");
    }
    return wasm_call(store, faaslet->main, value);
}

void faaslet_run(struct faaslet *faaslet, struct wasm_instance *instance, struct wasm_slot *slot,
                 struct faaslet_call *call)
{
    union wasm_value value = {0};
    enum wasm_trap trap = enter(faaslet, instance, slot, call, &value);
    bool returns = call->function->kind == FUNCTION_FAASLET || call->func_idx != UINT32_MAX;
    call->end = CALL_END_OK;
    if (trap == WASM_TRAP_EXIT) {
        call->return_code = (int32_t)wasi_exit_status(faaslet->wasi);
    } else if (trap == WASM_TRAP_NONE) {
        call->return_code = returns ? (int32_t)value.i32 : 0;
    } else {
        take_trap(call, wasm_instance_store(instance), trap);
        return;
    }
    if (call->output_over) {
        say(call, CALL_END_LIMIT, "its output is over the limit of the function");
    } else if (call->return_code != 0) {
        call->end = CALL_END_FAILED;
    }
}

/* --- Proto-Faaslets --- */

/* What the program wrote to standard error last: where init fails, most often it says why. */
struct last_words {
    void (*log)(void *self, const struct faaslet_call *call, struct wm_view line);
    void *log_self;
    char text[LAST_WORDS_BYTES];
    size_t len;
};

static void keep_last_words(void *self, const struct faaslet_call *call, struct wm_view line)
{
    struct last_words *words = self;
    while (line.len > 0 && *line.ptr == ' ') {
        line = wm_view_of(line.ptr + 1, line.len - 1);
    }
    size_t len = wm_min_u64(line.len, sizeof words->text / 2);
    size_t gone =
        words->len + len + 2 > sizeof words->text ? words->len + len + 2 - sizeof words->text : 0;
    gone = wm_min_u64(gone, words->len);
    memmove(words->text, words->text + gone, words->len - gone);
    words->len -= gone;
    if (words->len != 0) {
        memcpy(words->text + words->len, "; ", 2);
        words->len += 2;
    }
    if (len != 0) {
        memcpy(words->text + words->len, line.ptr, len);
        words->len += len;
    }
    if (words->log) {
        words->log(words->log_self, call, line);
    }
}

static int init_failed(const struct function *function, struct wasm_store *store,
                       enum wasm_trap trap, const char *what, struct wm_diag *diag)
{
    char backtrace[160] = "";
    wasm_report_format(wasm_store_report(store), backtrace, sizeof backtrace);
    return wm_diag_set(diag, WM_E_TRAP, "%s: %s: %s\n%s", function->name, what,
                       wasm_trap_text(trap), backtrace);
}

/* Constructors and the user's own init. */
static int run_init(struct function *function, struct wasm_instance *instance, struct wm_diag *diag)
{
    struct wasm_store *store = wasm_instance_store(instance);
    static const char *const names[] = {"_initialize", "faaslet_init"};
    static const char *const results[] = {"", "i"};
    for (int i = 0; i < 2; i++) {
        struct wasm_extern found;
        union wasm_value value = {0};
        if (function_export(function->object, names[i], results[i]) == UINT32_MAX) {
            continue;
        }
        if (wasm_instance_export(instance, wm_view_str(names[i]), &found) != 0) {
            WM_UNREACHABLE();
        }
        enum wasm_trap trap = wasm_call(store, found.func, &value);
        if (trap != WASM_TRAP_NONE) {
            return init_failed(function, store, trap, names[i], diag);
        }
        if (i == 1 && value.i32 != 0) {
            return wm_diag_set(diag, WM_E_INVALID,
                               "%s: faaslet_init returned %d: it must return 0 for the function to "
                               "be usable",
                               function->name, (int)value.i32);
        }
    }
    return 0;
}

static int ended_early(const struct function *function, uint32_t status,
                       const struct last_words *words, struct wm_diag *diag)
{
    char shown[LAST_WORDS_BYTES + 32];
    return wm_diag_set(diag, WM_E_EXITED, "%s: ended with status %u before it read its input%s%s",
                       function->name, status, words->len ? ": " : "",
                       wm_diag_quote(shown, sizeof shown, words->text, words->len));
}

static int make_image(struct function *function, struct faaslet *faaslet, struct wasm_store *store,
                      struct wasm_image **out, struct wm_diag *diag)
{
    struct wasm_instance *instance;
    int rc = wasm_instance_new(store, function->object, faaslet_resolve, faaslet, &instance, diag);
    if (rc == WM_E_TRAP) {
        return init_failed(function, store, wasm_store_report(store)->trap, "its start function",
                           diag);
    }
    if (rc == 0 && function->kind == FUNCTION_FAASLET) {
        rc = run_init(function, instance, diag);
    }
    if (rc == 0) {
        rc = function->kind == FUNCTION_SUSPENDED ? wasm_suspend_run(instance, "_start", out, diag)
                                                  : wasm_image_take(instance, out, diag);
    }
    uint32_t number = 0;
    if (rc == 0 && wasi_extra_fds(faaslet->wasi, &number) != 0) {
        wasm_image_put(*out);
        *out = NULL;
        return wm_diag_set(
            diag, WM_E_INVALID,
            "%s: descriptor %u is open after init: a Proto-Faaslet keeps memory, not "
            "files; close it there, and open it in each call",
            function->name, number);
    }
    return rc;
}

int faaslet_snapshot(struct function *function, struct faaslet_thread *thread, int image_fd,
                     struct wm_diag *diag)
{
    struct faaslet_call call = {.function = function, .func_idx = UINT32_MAX, .initialising = true};
    struct wasm_store_limits limits = {.memory_bytes = function->limits.memory_bytes};
    struct faaslet *faaslet = NULL;
    struct wasm_store *store = NULL;
    struct wasm_image *image = NULL;
    struct last_words words = {.log = thread->log, .log_self = thread->log_self};
    int rc = faaslet_new(thread, function->limits.files_bytes, &faaslet, diag);
    if (rc == 0) {
        rc = wasm_store_new(&limits, &store, diag);
    }
    thread->log = keep_last_words;
    thread->log_self = &words;
    if (rc == 0) {
        faaslet_begin(faaslet, &call, store);
        wasm_store_set_deadline(store, host_monotonic_ns() +
                                           (int64_t)function->limits.timeout_ms * 1000000);
        rc = make_image(function, faaslet, store, &image, diag);
        wm_diag_default(diag, rc, function->name);
        if (rc == WM_E_EXITED) {
            rc = ended_early(function, wasi_exit_status(faaslet->wasi), &words, diag);
        }
        faaslet_end(faaslet);
    }
    thread->log = words.log;
    thread->log_self = words.log_self;
    if (rc == 0) {
        rc = wasm_image_write(image, image_fd, diag);
    }
    wasm_image_put(image);
    wasm_store_free(store);
    faaslet_free(faaslet);
    return rc;
}
