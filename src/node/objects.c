/* objects.c: the cache in the data folder, and the compiler where it has nothing. */
#include "node/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "node/calls_internal.h"
#include "node/fetch.h"
#include "wasm/cache.h"
#include "wasm/compile.h"

void objects_options(bool fuel, struct wasm_options *out)
{
    *out = (struct wasm_options){.mode = WASM_MODE_GUARD,
                                 .tier = WASM_TIER_OPTIMISED,
                                 .cpu = wasm_cpu_of_this_machine(),
                                 .fuel = fuel,
                                 .lines = true};
}

int objects_open_module(const struct node *node, const uint8_t module_sha256[32], int *fd,
                        struct wm_diag *diag)
{
    char name[NODE_FILE_NAME_BYTES];
    node_file_name(name, NODE_MODULES, module_sha256);
    *fd = openat(node->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && errno == ENOENT && node->calls->cluster) {
        /* Uploaded on another node. */
        int rc = fetch_module(node->calls->cluster, module_sha256, diag);
        if (rc != 0) {
            wm_diag_prefix(diag, "module");
            return rc;
        }
        *fd = openat(node->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (*fd < 0) {
        int rc = -errno;
        return wm_diag_set(diag, rc, "module: its file is gone from the data folder: %s",
                           wm_error_text(rc));
    }
    return 0;
}

static int compile(const struct node *node, struct wasm_cache *cache, const uint8_t sha256[32],
                   const struct wasm_options *options, struct wm_diag *diag)
{
    int module;
    int rc = objects_open_module(node, sha256, &module, diag);
    if (rc != 0) {
        return rc;
    }
    int object = memfd_create("object", MFD_CLOEXEC);
    rc = object < 0 ? wm_diag_set(diag, -errno, "object: %s", wm_error_text(-errno)) : 0;
    if (rc == 0) {
        struct wasm_compile_job job = {
            .module_fd = module, .object_fd = object, .options = *options};
        rc = wasm_compile(&job, diag);
    }
    if (rc == 0) {
        rc = wasm_cache_put(cache, object, sha256, options, diag);
    }
    close(module);
    if (object >= 0) {
        close(object);
    }
    return rc;
}

int objects_open(const struct node *node, const uint8_t module_sha256[32], bool fuel,
                 bool only_cached, int *fd, struct wm_diag *diag)
{
    char path[64];
    struct wasm_cache *cache;
    struct wasm_options options;
    objects_options(fuel, &options);
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", node->dir_fd, NODE_CACHE);
    int rc = wasm_cache_open(path, &cache, diag);
    if (rc != 0) {
        return rc;
    }
    rc = wasm_cache_find_file(cache, module_sha256, &options, fd, diag);
    if ((rc == WM_E_NOT_FOUND || rc == WM_E_FORGED) && !only_cached) {
        rc = compile(node, cache, module_sha256, &options, diag);
        rc = rc ? rc : wasm_cache_find_file(cache, module_sha256, &options, fd, diag);
    }
    wasm_cache_close(cache);
    return rc;
}
