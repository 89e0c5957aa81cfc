/* One program's view of the library OS: set-up, linking, and the entry common to all functions. */
#include "wasi/wasi.h"

#include "base/assert.h"
#include "base/error.h"
#include "libos/pipe.h"
#include "wasi/call.h"

typedef int wasi_fn(struct wasi_call *call, const union wasm_value *args);

static bool store_interrupted(void *self)
{
    const struct wasi *wasi = self;
    return wasi->store && wasm_store_interrupted(wasi->store) != WASM_TRAP_NONE;
}

/* Translates between the engine's calling form and ours. values[0] holds the first argument before
 * and the result after. */
static enum wasm_trap enter(struct wasm_caller *caller, union wasm_value *values, wasi_fn *function)
{
    struct wasi *wasi = caller->env;
    struct libos *os = wasi->os;
    struct wasi_call call = {
        .wasi = wasi,
        .caller = caller,
        .memory = wasm_instance_memory(caller->instance),
    };
    wasi->store = caller->store;
    /* A library OS that has its own idea of interruption (libos/sim.h) keeps it. */
    if (!os->interrupted || os->interrupted == store_interrupted) {
        os->interrupted = store_interrupted;
        os->interrupted_arg = wasi;
    }
    int rc = function(&call, values);
    if (call.trap != WASM_TRAP_NONE) {
        return call.trap;
    }
    if (rc == -LIBOS_EINTR) {
        enum wasm_trap trap = wasm_store_interrupted(caller->store);
        if (trap != WASM_TRAP_NONE) {
            return trap;
        }
    }
    values[0].i64 = (uint64_t)(rc < 0 ? wasi_errno_of(-rc) : (enum wasi_errno)rc);
    return WASM_TRAP_NONE;
}

#define WASI_ENTRY(name, signature)                                                          \
    static enum wasm_trap enter_##name(struct wasm_caller *caller, union wasm_value *values) \
    {                                                                                        \
        return enter(caller, values, wasi_##name);                                           \
    }
WASI_FUNC_TABLE(WASI_ENTRY)
#undef WASI_ENTRY

#define WASI_NET_ENTRY(name, signature)                                                          \
    static enum wasm_trap enter_net_##name(struct wasm_caller *caller, union wasm_value *values) \
    {                                                                                            \
        return enter(caller, values, wasi_net_##name);                                           \
    }
WASI_NET_FUNC_TABLE(WASI_NET_ENTRY)
#undef WASI_NET_ENTRY

#define WASI_HOST_FUNC(name, signature) {WASI_MODULE, #name, signature, enter_##name},
static const struct wasm_host_func host_funcs[] = {WASI_FUNC_TABLE(WASI_HOST_FUNC)};
#undef WASI_HOST_FUNC
_Static_assert(WM_COUNT_OF(host_funcs) == WASI_FUNC_COUNT, "all functions of preview 1");

#define WASI_NET_HOST_FUNC(name, signature) {WASI_NET_MODULE, #name, signature, enter_net_##name},
static const struct wasm_host_func net_funcs[] = {WASI_NET_FUNC_TABLE(WASI_NET_HOST_FUNC)};
#undef WASI_NET_HOST_FUNC

int wasi_resolve(void *self, struct wm_view module, struct wm_view name, enum wasm_extern_kind kind,
                 struct wasm_extern *out)
{
    const struct wasm_host_func *funcs = host_funcs;
    size_t count = WM_COUNT_OF(host_funcs);
    if (wm_view_eq_str(module, WASI_NET_MODULE)) {
        funcs = net_funcs;
        count = WM_COUNT_OF(net_funcs);
    } else if (!wm_view_eq_str(module, WASI_MODULE)) {
        return WM_E_NOT_FOUND;
    }
    for (size_t i = 0; kind == WASM_EXTERN_FUNC && i < count; i++) {
        if (wm_view_eq_str(name, funcs[i].name)) {
            *out =
                (struct wasm_extern){.kind = WASM_EXTERN_FUNC, .host = &funcs[i], .host_env = self};
            return 0;
        }
    }
    return WM_E_NOT_FOUND;
}

static bool has_prefix(struct wm_view text, const char *prefix)
{
    struct wm_view front;
    return wm_view_slice(text, 0, __builtin_strlen(prefix), &front) &&
           wm_view_eq_str(front, prefix);
}

const char *wasi_hint(struct wm_view module, struct wm_view name)
{
    if (wm_view_eq_str(module, "wasi_unstable")) {
        return "wasi_unstable is the first draft of WASI, in which fd_seek and fd_filestat_get "
               "differ: compile it again for wasi_snapshot_preview1 (any toolchain since 2020)";
    }
    if (wm_view_eq_str(module, WASI_MODULE)) {
        return has_prefix(name, "sock_") ? "preview 1 of WASI has sock_accept, sock_recv, "
                                           "sock_send and sock_shutdown only, "
                                           "on listeners given with --listen"
                                         : "preview 1 of WASI has no such function";
    }
    if (has_prefix(module, "wasi:")) {
        return "this is an interface of WASI 0.2: compile for wasm32-wasip1 (wasm32-wasi) instead";
    }
    if (wm_view_eq_str(module, "wasi") && has_prefix(name, "thread")) {
        return "threads are not supported: compile without -pthread";
    }
    if (wm_view_eq_str(module, "env")) {
        return "no library linked into the module defines it: link the one that does, or remove "
               "the "
               "use (`wardmote build` reports such names)";
    }
    return NULL;
}

/* Set-up. */

int wasi_strings_new(struct libos *os, const char *const *from, size_t count,
                     struct wasi_strings **out)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += __builtin_strlen(from[i]) + 1;
        if (bytes > WASI_STRINGS_BYTES_MAX) {
            return WM_E_LIMIT;
        }
    }
    struct wasi_strings *strings = libos_alloc(os, sizeof *strings);
    char *text = libos_alloc(os, bytes);
    uint32_t *starts = libos_alloc(os, count * sizeof *starts);
    if (!strings || !text || !starts) {
        libos_free(os, strings, sizeof *strings);
        libos_free(os, text, bytes);
        libos_free(os, starts, count * sizeof *starts);
        return -LIBOS_ENOMEM;
    }
    uint32_t at = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t len = (uint32_t)__builtin_strlen(from[i]) + 1;
        starts[i] = at;
        __builtin_memcpy(text + at, from[i], len);
        at += len;
    }
    *strings = (struct wasi_strings){(uint32_t)count, (uint32_t)bytes, text, starts};
    *out = strings;
    return 0;
}

void wasi_strings_free(struct libos *os, struct wasi_strings *strings)
{
    if (strings) {
        libos_free(os, strings->text, strings->bytes);
        libos_free(os, strings->starts, strings->count * sizeof *strings->starts);
        libos_free(os, strings, sizeof *strings);
    }
}

static int copy_preopen_names(struct libos *os, const struct wasi_config *config,
                              struct wasi_strings **out)
{
    size_t bytes = config->preopen_count * sizeof(const char *);
    const char **names = libos_alloc(os, bytes);
    if (!names) {
        return -LIBOS_ENOMEM;
    }
    for (size_t i = 0; i < config->preopen_count; i++) {
        names[i] = config->preopens[i].guest_path;
    }
    int rc = wasi_strings_new(os, names, config->preopen_count, out);
    libos_free(os, names, bytes);
    return rc;
}

/* The next descriptor number, for `file`, with all rights of its kind. */
static int add_fd(struct wasi *wasi, struct libos_file *file, const char *label)
{
    struct libos_fd fd = {.file = file, .label = label};
    wasi_rights_of(file, &fd.words[0], &fd.words[1]);
    int64_t number = libos_fds_insert(&wasi->fds, &fd);
    if (number < 0) {
        return number == -LIBOS_EMFILE ? WM_E_LIMIT : (int)number;
    }
    libos_file_get(file);
    return 0;
}

static int add_stdio(struct wasi *wasi, const struct wasi_config *config)
{
    for (int i = 0; i < 3; i++) {
        struct libos_file *file = config->stdio[i];
        int rc = 0;
        if (file) {
            rc = add_fd(wasi, file, NULL);
        } else {
            rc = libos_null_new(wasi->os, &file);
            if (rc == 0) {
                rc = add_fd(wasi, file, NULL);
                libos_file_put(file);
            }
        }
        if (rc != 0) {
            return rc;
        }
    }
    if (config->suspend_on_input) {
        wasi->suspend_at = libos_file_get(libos_fds_at(&wasi->fds, 0)->file);
    }
    return 0;
}

/* The table as it is now, for wasi_reset. */
static int remember_fds(struct wasi *wasi)
{
    uint32_t count = wasi->fds.open_count; /* nothing was closed yet: these are the first */
    wasi->initial = libos_alloc(wasi->os, count * sizeof *wasi->initial);
    wasi->initial_flags = libos_alloc(wasi->os, count * sizeof *wasi->initial_flags);
    wasi->initial_count = count;
    if (!wasi->initial || !wasi->initial_flags) {
        return -LIBOS_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        wasi->initial[i] = *libos_fds_at(&wasi->fds, i);
        libos_file_get(wasi->initial[i].file);
        wasi->initial_flags[i] = wasi->initial[i].file->flags;
    }
    wasi->fds.changes = 0;
    return 0;
}

static void restore_fds(struct wasi *wasi)
{
    struct libos_fds *fds = &wasi->fds;
    for (uint32_t i = 0; i < fds->slot_count; i++) {
        if (fds->slots[i].file &&
            (i >= wasi->initial_count || fds->slots[i].file != wasi->initial[i].file)) {
            (void)!libos_fds_close(fds, i);
        }
    }
    for (uint32_t i = 0; i < wasi->initial_count; i++) {
        struct libos_file *file = wasi->initial[i].file;
        if (!fds->slots[i].file) {
            libos_file_get(file);
            fds->open_count++;
        }
        fds->slots[i] = wasi->initial[i];
        if (file->flags != wasi->initial_flags[i]) {
            (void)!libos_file_set_flags(file, wasi->initial_flags[i] & LIBOS_STATUS_FLAGS);
            file->flags = wasi->initial_flags[i];
        }
    }
    fds->lowest_free = wasi->initial_count;
    fds->changes = 0;
}

void wasi_reset(struct wasi *wasi, const struct wasi_strings *args, const struct wasi_strings *env)
{
    if (wasi->fds.changes != 0) {
        restore_fds(wasi);
    }
    wasi->exit_status = 0;
    wasi->args = args ? args : wasi->args;
    wasi->env = env ? env : wasi->env;
}

uint32_t wasi_extra_fds(const struct wasi *wasi, uint32_t *number)
{
    uint32_t extra = 0;
    for (uint32_t i = wasi->initial_count; i < wasi->fds.slot_count; i++) {
        if (wasi->fds.slots[i].file) {
            *number = i;
            extra++;
        }
    }
    return extra;
}

int wasi_scratch_new(struct libos *os, struct wasi_scratch **out)
{
    *out = libos_alloc(os, sizeof **out);
    return *out ? 0 : -LIBOS_ENOMEM;
}

void wasi_scratch_free(struct libos *os, struct wasi_scratch *scratch)
{
    libos_free(os, scratch, sizeof *scratch);
}

static int set_up(struct wasi *wasi, const struct wasi_config *config, struct wm_diag *diag)
{
    int rc = wasi_strings_new(wasi->os, config->args, config->arg_count, &wasi->own_args);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "arguments: %s", wm_error_text(rc));
    }
    rc = wasi_strings_new(wasi->os, config->env, config->env_count, &wasi->own_env);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "environment: %s", wm_error_text(rc));
    }
    rc = copy_preopen_names(wasi->os, config, &wasi->preopens);
    if (rc == 0) {
        rc = add_stdio(wasi, config);
    }
    for (size_t i = 0; rc == 0 && i < config->preopen_count; i++) {
        if (config->preopens[i].dir->kind != LIBOS_KIND_DIR) {
            return wm_diag_set(diag, WM_E_USAGE, "%s: not a directory",
                               config->preopens[i].guest_path);
        }
        rc =
            add_fd(wasi, config->preopens[i].dir, wasi->preopens->text + wasi->preopens->starts[i]);
    }
    for (size_t i = 0; rc == 0 && i < config->listener_count; i++) {
        rc = add_fd(wasi, config->listeners[i], NULL);
    }
    if (rc == 0) {
        rc = remember_fds(wasi);
    }
    wasi->args = wasi->own_args;
    wasi->env = wasi->own_env;
    return rc == 0 ? 0 : wm_diag_set(diag, rc, "descriptors: %s", wm_error_text(rc));
}

int wasi_new(const struct wasi_config *config, struct wasi **out, struct wm_diag *diag)
{
    struct wasi *wasi = libos_alloc(config->os, sizeof *wasi);
    if (!wasi) {
        return wm_diag_default(diag, -LIBOS_ENOMEM, "WASI");
    }
    wasi->os = config->os;
    if (config->net) {
        wasi->net = *config->net;
    }
    libos_fds_init(&wasi->fds, config->os, config->fd_limit);
    wasi->scratch = config->scratch;
    int rc = 0;
    if (!wasi->scratch) {
        rc = wasi_scratch_new(config->os, &wasi->scratch);
        wasi->own_scratch = rc == 0;
    }
    rc = rc == 0 ? set_up(wasi, config, diag) : wm_diag_default(diag, rc, "WASI");
    if (rc != 0) {
        wasi_free(wasi);
        return rc;
    }
    *out = wasi;
    return 0;
}

void wasi_free(struct wasi *wasi)
{
    if (!wasi) {
        return;
    }
    struct libos *os = wasi->os;
    libos_fds_fini(&wasi->fds);
    libos_file_put(wasi->suspend_at);
    for (uint32_t i = 0; wasi->initial && i < wasi->initial_count; i++) {
        libos_file_put(wasi->initial[i].file);
    }
    libos_free(os, wasi->initial, wasi->initial_count * sizeof *wasi->initial);
    libos_free(os, wasi->initial_flags, wasi->initial_count * sizeof *wasi->initial_flags);
    wasi_strings_free(os, wasi->own_args);
    wasi_strings_free(os, wasi->own_env);
    wasi_strings_free(os, wasi->preopens);
    if (wasi->own_scratch) {
        wasi_scratch_free(os, wasi->scratch);
    }
    if (os->interrupted == store_interrupted && os->interrupted_arg == wasi) {
        os->interrupted = NULL;
        os->interrupted_arg = NULL;
    }
    libos_free(os, wasi, sizeof *wasi);
}

uint32_t wasi_exit_status(const struct wasi *wasi)
{
    return wasi->exit_status;
}
