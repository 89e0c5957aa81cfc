/* images.c: artefact.h over the data folder. */
#include "node/images.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "host/file.h"
#include "node/calls_internal.h"
#include "node/fetch.h"
#include "node/jsonx.h"
#include "wasm/abi.h"

#define IMAGE_FORMAT 1u /* doc/format/image.md */

void images_name(const uint8_t image_sha256[32], const uint8_t function_sha256[32],
                 char out[IMAGES_NAME_BYTES])
{
    jsonx_hex(out, image_sha256, 32);
    out[64] = '.';
    jsonx_hex(out + 65, function_sha256, 8);
    memcpy(out + 81, ".manifest", 10);
}

void images_use(const struct function_version *version, struct artefact_use *out)
{
    struct wm_sha256 hash;
    uint8_t kind = (uint8_t)version->kind;
    *out = (struct artefact_use){
        .kind = ARTEFACT_IMAGE, .format = IMAGE_FORMAT, .abi = WASM_ABI_VERSION};
    memcpy(out->module_sha256, version->module_sha256, sizeof out->module_sha256);
    wm_sha256_init(&hash);
    wm_sha256_add(&hash, wm_view_of(&kind, 1));
    wm_sha256_add(&hash, wm_view_of(version->tenant, strlen(version->tenant) + 1));
    wm_sha256_add(&hash, wm_view_of(version->name, strlen(version->name) + 1));
    for (size_t i = 0; version->args && version->args[i]; i++) {
        wm_sha256_add(&hash, wm_view_of(version->args[i], strlen(version->args[i]) + 1));
    }
    wm_sha256_end(&hash, out->function_sha256);
}

static int folder(const struct node *node)
{
    int fd = openat(node->dir_fd, NODE_IMAGES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
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

int images_keep(const struct node *node, int fd, struct function_version *version,
                struct wm_diag *diag)
{
    char name[IMAGES_NAME_BYTES];
    uint8_t sha256[32];
    struct artefact artefact = {.made_s = (uint64_t)(host_realtime_ns() / 1000000000)};
    snprintf(artefact.node, sizeof artefact.node, "%s", node->config->name);
    images_use(version, &artefact.use);
    int dir = folder(node);
    int rc = dir < 0 ? dir : hash_file(fd, sha256);
    if (rc == 0) {
        images_name(sha256, artefact.use.function_sha256, name);
        rc = artefact_put(dir, name, fd, &node->calls->key, &artefact, diag);
    }
    if (rc == 0) {
        memcpy(version->image_sha256, artefact.sha256, sizeof version->image_sha256);
        version->image_bytes = artefact.file_bytes;
    }
    host_file_close(dir);
    return rc == 0 ? 0 : wm_diag_default(diag, rc, "keeping the Proto-Faaslet");
}

static int open_kept(const struct node *node, int dir, const char *name,
                     const struct artefact_use *use, const uint8_t sha256[32], struct wm_diag *diag)
{
    struct artefact artefact;
    size_t count = 0;
    uint8_t(*keys)[SIGN_PUBLIC_BYTES] = trust_keys(node->calls->trust, &count);
    if (!keys) {
        return wm_diag_default(diag, -ENOMEM, "Proto-Faaslet");
    }
    struct artefact_trust trust = {(const uint8_t(*)[SIGN_PUBLIC_BYTES])keys, count};
    int fd = artefact_open(dir, name, use, &trust, &artefact, NULL, NULL, diag);
    wm_free(keys);
    if (fd >= 0 && !wm_bytes_equal(artefact.sha256, sha256, sizeof artefact.sha256)) {
        close(fd);
        fd = wm_diag_set(diag, WM_E_FORGED, "its manifest is of another image");
    }
    return fd;
}

int images_open(const struct node *node, const struct function_version *version, int *fd,
                struct wm_diag *diag)
{
    char name[IMAGES_NAME_BYTES];
    struct artefact_use use;
    struct wm_diag why = WM_DIAG_INIT;
    static const uint8_t none[32];
    if (memcmp(version->image_sha256, none, sizeof none) == 0) {
        return wm_diag_set(diag, WM_E_NOT_FOUND,
                           "%s version %u: has no Proto-Faaslet, since its init failed under the "
                           "present environment; change that, or upload the module again",
                           version->name, version->version);
    }
    images_use(version, &use);
    images_name(version->image_sha256, use.function_sha256, name);
    int dir = folder(node);
    int rc = dir < 0 ? dir : open_kept(node, dir, name, &use, version->image_sha256, &why);
    if ((rc == WM_E_NOT_FOUND || rc == WM_E_FORGED) && node->calls->cluster) {
        why = (struct wm_diag)WM_DIAG_INIT;
        rc = fetch_image(node->calls->cluster, dir, name, &use, version->image_sha256, &why);
        rc = rc ? rc : open_kept(node, dir, name, &use, version->image_sha256, &why);
    }
    host_file_close(dir);
    if (rc < 0) {
        return wm_diag_set(
            diag, rc, "%s version %u: its Proto-Faaslet: %s; upload the module again",
            version->name, version->version, why.text[0] ? why.text : wm_error_text(rc));
    }
    *fd = rc;
    return 0;
}
