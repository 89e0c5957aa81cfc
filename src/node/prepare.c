/* Store, compile, choose the kind, snapshot; see the header. */
#include "node/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "host/file.h"
#include "wasm/cache.h"
#include "wasm/compile.h"
#include "wasm/object.h"

void prepare_options(const struct function_version *version, struct wasm_options *out)
{
    *out = (struct wasm_options){
        .mode = WASM_MODE_GUARD,
        .tier = WASM_TIER_OPTIMISED,
        .cpu = wasm_cpu_of_this_machine(),
        .fuel = version->fuel,
        .lines = true,
    };
}

/* Gives the file its name, on the disk before it is in the catalogue. */
static int keep(struct node *node, int fd, const uint8_t sha256[32], struct wm_diag *diag)
{
    char from[40], name[NODE_FILE_NAME_BYTES];
    node_file_name(name, NODE_MODULES, sha256);
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    if (fsync(fd) != 0) {
        return wm_diag_default(diag, -errno, "module");
    }
    if (linkat(AT_FDCWD, from, node->dir_fd, name, AT_SYMLINK_FOLLOW) != 0 && errno != EEXIST) {
        return wm_diag_default(diag, -errno, "module");
    }
    int dir = openat(node->dir_fd, NODE_MODULES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = dir < 0 || fsync(dir) != 0 ? -errno : 0;
    host_file_close(dir);
    return wm_diag_default(diag, err, "module");
}

static int compile(struct wasm_cache *cache, int module_fd, const uint8_t sha256[32],
                   const struct wasm_options *options, struct wm_diag *diag)
{
    if (wasm_cache_has_failed(cache, sha256, options)) {
        return wm_diag_set(diag, WM_E_COMPILER, "module: the compiler failed on it before");
    }
    int object_fd = memfd_create("object", MFD_CLOEXEC);
    if (object_fd < 0) {
        return wm_diag_default(diag, -errno, "module");
    }
    int err = wasm_compile(&(struct wasm_compile_job){.module_fd = module_fd,
                                                      .object_fd = object_fd,
                                                      .options = *options},
                           diag);
    if (!err) {
        err = wasm_cache_put(cache, object_fd, sha256, options, diag);
    } else if (err == WM_E_COMPILER) {
        int ignored = wasm_cache_set_failed(cache, sha256, options);
        (void)ignored; /* then it is tried again */
    }
    (void)close(object_fd);
    return err;
}

static int choose_kind(const struct wasm_object *object, enum prepare_kind asked, bool library,
                       struct function_version *version, struct wm_diag *diag)
{
    bool faaslet = wasm_object_export_find(object, wm_view_str("faaslet_main")) != NULL;
    bool command = wasm_object_export_find(object, wm_view_str("_start")) != NULL;
    const char *missing = NULL;
    if (library) {
        version->kind = FUNCTION_LIBRARY;
        return 0;
    }
    switch (asked) {
    case PREPARE_AUTO:
        version->kind = faaslet ? FUNCTION_FAASLET : FUNCTION_COMMAND;
        missing = faaslet || command ? NULL : "neither faaslet_main nor _start";
        break;
    case PREPARE_FAASLET:
        version->kind = FUNCTION_FAASLET;
        missing = faaslet ? NULL : "no faaslet_main";
        break;
    case PREPARE_COMMAND:
    case PREPARE_SUSPENDED:
        version->kind = asked == PREPARE_COMMAND ? FUNCTION_COMMAND : FUNCTION_SUSPENDED;
        missing = command ? NULL : "no _start";
        break;
    default: break;
    }
    return missing
               ? wm_diag_set(diag, WM_E_INVALID,
                             "module: exports %s; build it with `wardmote build`, or declare it "
                             "a library",
                             missing)
               : 0;
}

int prepare_module(struct node *node, int module_fd, enum prepare_kind kind, bool library,
                   struct function_version *version, struct wm_diag *diag)
{
    char path[PATH_MAX];
    struct wasm_options options;
    struct wasm_cache *cache = NULL;
    struct wasm_object *object = NULL;
    prepare_options(version, &options);
    snprintf(path, sizeof path, "%s/" NODE_CACHE, node->config->data);
    int err = wasm_cache_open(path, &cache, diag);
    err = err ? err : keep(node, module_fd, version->module_sha256, diag);
    if (err) {
        goto out;
    }
    err = wasm_cache_find(cache, version->module_sha256, &options, &object, NULL);
    if (err == WM_E_NOT_FOUND || err == WM_E_FORGED) {
        err = compile(cache, module_fd, version->module_sha256, &options, diag);
        err = err ? err : wasm_cache_find(cache, version->module_sha256, &options, &object, diag);
    }
    err = err ? wm_diag_default(diag, err, "module") : 0;
    err = err ? err : choose_kind(object, kind, library, version, diag);
    if (!err && !library && node->hooks.snapshot) {
        err = node->hooks.snapshot(node->hooks.self, version, diag);
    }
out:
    if (object) {
        wasm_object_close(object);
    }
    wasm_cache_close(cache);
    return err;
}
