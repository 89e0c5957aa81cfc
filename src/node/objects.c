/* objects.c: the cache in the data folder, and the compiler where it has nothing. */
#include "node/objects.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "crypto/hash.h"
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

static int hash_file(int fd, uint8_t out[32])
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return -errno;
    }
    void *map = st.st_size > 0
                    ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0)
                    : NULL;
    if (map == MAP_FAILED) {
        return -errno;
    }
    wm_sha256_once(wm_view_of(map, (size_t)st.st_size), out);
    if (map) {
        munmap(map, (size_t)st.st_size);
    }
    return 0;
}

int objects_open_image(const struct node *node, const struct function_version *version, int *fd,
                       struct wm_diag *diag)
{
    static const uint8_t none[32];
    char name[NODE_FILE_NAME_BYTES];
    uint8_t sha256[32];
    if (memcmp(version->image_sha256, none, sizeof none) == 0) {
        return wm_diag_set(diag, WM_E_NOT_FOUND,
                           "%s version %u: has no Proto-Faaslet, since its init failed under the "
                           "present environment; change that, or upload the module again",
                           version->name, version->version);
    }
    node_file_name(name, NODE_IMAGES, version->image_sha256);
    int image = openat(node->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int rc = image < 0 ? -errno : hash_file(image, sha256);
    if (rc == 0 && !wm_bytes_equal(sha256, version->image_sha256, sizeof sha256)) {
        rc = WM_E_FORGED;
    }
    if (rc != 0) {
        if (image >= 0) {
            close(image);
        }
        return wm_diag_set(diag, rc,
                           "%s version %u: its Proto-Faaslet: %s; upload the module again",
                           version->name, version->version, wm_error_text(rc));
    }
    *fd = image;
    return 0;
}
