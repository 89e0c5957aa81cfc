/* function.c: from two open files and a message to something that can be called. */
#include "faaslet/function.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "faaslet/code.h"
#include "host/file.h"
#include "port/machine.h"
#include "wasm/module.h"
#include "wasm/suspend.h"

uint32_t function_export(const struct wasm_object *object, const char *name, const char *results)
{
    const struct wasm_object_export *export = wasm_object_export_find(object, wm_view_str(name));
    if (!export || export->kind != WASM_EXTERN_FUNC) {
        return UINT32_MAX;
    }
    const struct wasm_object_type *type = &object->at.TYPES[object->at.FUNCS[export->idx].type_idx];
    size_t wanted = strlen(results);
    bool fits = type->params.len == 0 && type->results.len == wanted &&
                (wanted == 0 || object->at.STRINGS[type->results.offset] == WASM_I32);
    return fits ? export->idx : UINT32_MAX;
}

static int copy_text(struct wm_view from, char **out)
{
    char *copy = wm_alloc(from.len + 1);
    if (!copy || memchr(from.ptr ? from.ptr : (const uint8_t *)"", 0, from.len)) {
        wm_free(copy);
        return copy ? WM_E_INVALID : -ENOMEM;
    }
    if (from.len != 0) {
        memcpy(copy, from.ptr, from.len);
    }
    copy[from.len] = 0;
    *out = copy;
    return 0;
}

static void wipe_text(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        wm_free(text);
    }
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++) {
        wipe_text(texts[i]);
    }
    wm_free(texts);
}

/* NULL-terminated copies; `first` goes before them where it is not NULL, `more` behind them. */
static int copy_texts(const char *first, const struct control_strings *from,
                      const struct control_strings *more, char ***out)
{
    char **texts = wm_alloc_zero(from->count + (more ? more->count : 0u) + 2, sizeof *texts);
    size_t count = 0;
    int rc = texts ? 0 : -ENOMEM;
    if (rc == 0 && first) {
        texts[count] = wm_strdup(first);
        rc = texts[count++] ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; rc == 0 && i < from->count; i++) {
        rc = copy_text(from->items[i], &texts[count]);
        count += rc == 0;
    }
    for (uint32_t i = 0; rc == 0 && more && i < more->count; i++) {
        rc = copy_text(more->items[i], &texts[count]);
        count += rc == 0;
    }
    if (rc != 0) {
        free_texts(texts);
        return rc;
    }
    *out = texts;
    return 0;
}

static int make_strings(struct function *function, const char *first,
                        const struct control_strings *from, const struct control_strings *more,
                        struct wasi_strings **out)
{
    char **texts;
    int rc = copy_texts(first, from, more, &texts);
    if (rc != 0) {
        return rc;
    }
    rc = wasi_strings_new(&function->os, (const char *const *)texts,
                          from->count + (first ? 1u : 0u) + (more ? more->count : 0u), out);
    free_texts(texts);
    return rc;
}

static const char *kind_name(enum function_kind kind)
{
    switch (kind) {
    case FUNCTION_COMMAND: return "command";
    case FUNCTION_FAASLET: return "faaslet";
    case FUNCTION_SUSPENDED: return "suspended";
    case FUNCTION_LIBRARY: return "library";
    case FUNCTION_KINDS: break;
    }
    return "unknown";
}

/* What the module says of itself for being loaded; the object does not keep it. */
static int read_dylink(struct function *function, int module_fd, struct wm_diag *diag)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = lseek(module_fd, 0, SEEK_SET) < 0
                 ? -errno
                 : host_file_read_all(module_fd, WASM_MODULE_BYTES_MAX, &bytes, &len);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "%s: its module: %s", function->name, wm_error_text(rc));
    }
    rc = dylink_parse(wm_view_of(bytes, len), &function->dylink, diag);
    wm_free(bytes);
    return rc;
}

static int find_entries(struct function *function, struct wm_diag *diag)
{
    const struct wasm_object *object = function->object;
    bool faaslet = function->kind == FUNCTION_FAASLET;
    function->main_idx = faaslet ? function_export(object, "faaslet_main", "i")
                                 : function_export(object, "_start", "");
    function->restored_idx = function_export(object, "faaslet_restored", "");
    if (function->main_idx == UINT32_MAX) {
        bool other = faaslet ? function_export(object, "_start", "") != UINT32_MAX
                             : function_export(object, "faaslet_main", "i") != UINT32_MAX;
        return wm_diag_set(diag, WM_E_INVALID, "%s: as kind %s it must export %s; %s",
                           function->name, kind_name(function->kind),
                           faaslet ? "faaslet_main, which takes nothing and returns an i32"
                                   : "_start, which takes and returns nothing",
                           !other    ? "it does not, nor what another kind needs"
                           : faaslet ? "it is a program: upload it with kind=command"
                                     : "it is a Faaslet: upload it with kind=faaslet");
    }
    if (function->kind == FUNCTION_SUSPENDED && !wasm_suspendable(object)) {
        return wm_diag_set(diag, WM_E_UNSUPPORTED,
                           "%s: not prepared for being suspended: make it so with `wardmote "
                           "compile --suspendable IN.wasm -o OUT.wasm` and upload that",
                           function->name);
    }
    return 0;
}

int function_new(const struct control_message *message, int object_fd, int image_fd,
                 struct function **out, struct wm_diag *diag)
{
    struct function *function = wm_alloc_zero(1, sizeof *function);
    if (!function) {
        return wm_diag_set(diag, -ENOMEM, "function: %s", wm_error_text(-ENOMEM));
    }
    atomic_init(&function->refs, 1);
    libos_init(&function->os, port_machine());
    function->handle = message->handle;
    function->kind = (enum function_kind)message->function_kind;
    function->version = message->function_version;
    function->limits = message->limits;
    call_limits_default(&function->limits);
    int rc = copy_text(message->tenant, &function->tenant);
    rc = rc ? rc : copy_text(message->name, &function->name);
    rc = rc ? rc : copy_texts(NULL, &message->secrets, NULL, &function->secrets);
    rc = rc ? rc : make_strings(function, function->name, &message->args, NULL, &function->args);
    /* Commands have no other way to their secrets, and start with every call, so that nothing of
     * them is in an image. */
    const struct control_strings *secrets =
        function->kind == FUNCTION_COMMAND ? &message->secrets : NULL;
    rc = rc ? rc : make_strings(function, NULL, &message->env, secrets, &function->env);
    if (rc != 0) {
        wm_diag_default(diag, rc, "function");
    }
    if (rc == 0) {
        rc = code_open(object_fd, &function->object, diag);
    }
    function->main_idx = function->restored_idx = UINT32_MAX;
    if (rc == 0 && function->kind == FUNCTION_LIBRARY) {
        rc = read_dylink(function, image_fd, diag);
    } else if (rc == 0) {
        rc = find_entries(function, diag);
    }
    if (rc == 0 && image_fd >= 0 && function->kind != FUNCTION_LIBRARY) {
        rc = wasm_image_read(image_fd, function->object, &function->image, diag);
        if (rc == 0) {
            wasm_image_limit_memory(function->image, function->limits.memory_bytes);
        } else {
            wm_diag_prefix(diag, "%s: its Proto-Faaslet", function->name);
        }
    }
    if (rc != 0) {
        function_put(function);
        return rc;
    }
    *out = function;
    return 0;
}

struct function *function_ref(struct function *function)
{
    atomic_fetch_add_explicit(&function->refs, 1, memory_order_relaxed);
    return function;
}

void function_put(struct function *function)
{
    if (!function || atomic_fetch_sub_explicit(&function->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    wasm_image_put(function->image);
    code_close(function->object);
    wasi_strings_free(&function->os, function->args);
    wasi_strings_free(&function->os, function->env);
    free_texts(function->secrets);
    wm_free(function->tenant);
    wm_free(function->name);
    wm_free(function);
}

const char *function_secret(const struct function *function, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; function->secrets && function->secrets[i]; i++) {
        const char *secret = function->secrets[i];
        if (strncmp(secret, name, len) == 0 && secret[len] == '=') {
            return secret + len + 1;
        }
    }
    return NULL;
}
