/* module.c: from a module's bytes to mapped code: which tier, and who compiles it when.
 *
 *     in the cache, optimised        map it                                    (microseconds)
 *     in the cache, O0               map it; optimised in the background, unless that has failed
 *     nowhere, small                 compile optimised, map it                 (a second or two)
 *     nowhere, large                 compile O0, map it; optimised in the background
 *
 * The content decides, never the name or the time: the key is the SHA-256 of the module and the
 * options. A file that changes between being hashed and being compiled gives an object with
 * another hash in its key, which the cache refuses; the load is then tried once more. */
#include "api/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/diag.h"
#include "crypto/hash.h"
#include "wasm/compile.h"
#include "wasm/perfmap.h"

/* Up to here the optimised tier is ready about as soon as a person expects an answer. */
#define SMALL_MODULE_BYTES (UINT64_C(256) << 10)

_Static_assert((int)WM_MODE_GUARD == (int)WASM_MODE_GUARD &&
                   (int)WM_MODE_CHECK == (int)WASM_MODE_CHECK &&
                   (int)WM_MODE_DET == (int)WASM_MODE_DET,
               "the public enum is the engine's");
_Static_assert((int)WM_TIER_O0 == (int)WASM_TIER_O0 &&
                   (int)WM_TIER_OPTIMISED == (int)WASM_TIER_OPTIMISED,
               "the public enum is the engine's");

/* The object straight from the compiler, for a machine without a cache: checked in full, as the
 * cache would. */
static int open_uncached(int object_fd, struct wasm_object **out, struct wm_diag *diag)
{
    struct stat st;
    if (fstat(object_fd, &st) < 0) {
        return wm_diag_set(diag, -errno, "object: %s", wm_error_text(-errno));
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, object_fd, 0);
    if (map == MAP_FAILED) {
        return wm_diag_set(diag, -errno, "object: cannot be mapped: %s", wm_error_text(-errno));
    }
    int error = wasm_object_check(wm_view_of(map, (size_t)st.st_size), true, diag);
    munmap(map, (size_t)st.st_size);
    return error ? error : wasm_object_open(object_fd, out, diag);
}

int api_compile(struct wasm_cache *cache, const struct api_source *source,
                const struct wasm_options *options, bool must_keep, wm_progress *progress,
                void *progress_self, struct wasm_object **out, struct wm_diag *diag)
{
    int object_fd = memfd_create("wardmote-object", MFD_CLOEXEC);
    if (object_fd < 0) {
        return wm_diag_set(diag, -errno, "object: no memory file: %s", wm_error_text(-errno));
    }
    struct wasm_compile_job job = {
        .module_fd = source->fd,
        .object_fd = object_fd,
        .options = *options,
        .progress = progress,
        .progress_self = progress_self,
    };
    int error = wasm_compile(&job, diag);
    bool kept = false;
    if (cache && (error == WM_E_LIMIT || error == WM_E_COMPILER)) {
        /* Where this cannot be kept, the next run tries in vain again; nothing else is lost. */
        (void)!wasm_cache_set_failed(cache, source->sha256, options);
    }
    if (!error && cache) {
        error = wasm_cache_put(cache, object_fd, source->sha256, options, diag);
        kept = error == 0;
        if (api_no_room_to_cache(error) && !must_keep) {
            /* A full disk keeps nobody from running a program. */
            error = 0;
            if (diag) {
                *diag = (struct wm_diag)WM_DIAG_INIT;
            }
        }
    }
    if (!error) {
        error = kept ? wasm_cache_find(cache, source->sha256, options, out, diag)
                     : open_uncached(object_fd, out, diag);
    }
    close(object_fd);
    return error;
}

/* One look into the cache. A forged object has been removed by it, and is as good as none. */
static bool find(struct wm_engine *engine, const struct api_source *source,
                 struct wasm_options *options, enum wasm_tier tier, struct wasm_object **out)
{
    options->tier = tier;
    return engine->cache && wasm_cache_find(engine->cache, source->sha256, options, out, NULL) == 0;
}

static int obtain(struct wm_engine *engine, const struct api_source *source, enum wm_when when,
                  struct wasm_options *options, struct wm_module *module, struct wm_diag *diag)
{
    if (when != WM_WHEN_O0 && find(engine, source, options, WASM_TIER_OPTIMISED, &module->object)) {
        module->info.cached = true;
        return 0;
    }
    if (when != WM_WHEN_OPTIMISED && find(engine, source, options, WASM_TIER_O0, &module->object)) {
        module->info.cached = true;
    } else {
        bool small = source->bytes < SMALL_MODULE_BYTES;
        options->tier = when == WM_WHEN_O0 || (when == WM_WHEN_SOON && !small)
                            ? WASM_TIER_O0
                            : WASM_TIER_OPTIMISED;
        int64_t start = api_now_ns();
        int error = api_compile(engine->cache, source, options, when != WM_WHEN_SOON,
                                engine->progress, engine->progress_self, &module->object, diag);
        module->info.compile_ns = (uint64_t)(api_now_ns() - start);
        if (error) {
            return error;
        }
    }
    if (when == WM_WHEN_SOON && options->tier == WASM_TIER_O0 && engine->cache) {
        struct wasm_options better = *options;
        better.tier = WASM_TIER_OPTIMISED;
        module->info.background = !wasm_cache_has_failed(engine->cache, source->sha256, &better) &&
                                  api_compile_in_background(engine, source, &better);
    }
    return 0;
}

static int load(struct wm_engine *engine, const struct api_source *source,
                const struct wm_module_options *wanted, struct wm_module **out,
                struct wm_diag *diag)
{
    static const struct wm_module_options defaults = {WM_MODE_GUARD, WM_WHEN_SOON, false};
    if (!wanted) {
        wanted = &defaults;
    }
    struct wasm_options options = {
        .mode = (enum wasm_mode)wanted->mode,
        .cpu = wasm_cpu_of_this_machine(),
        .fuel = wanted->fuel || wanted->mode == WM_MODE_DET,
        .lines = true,
    };
    struct wm_module *module = wm_alloc_zero(1, sizeof *module);
    if (!module) {
        return wm_diag_set(diag, -ENOMEM, "%s: out of memory", source->name);
    }
    int error = obtain(engine, source, wanted->when, &options, module, diag);
    if (error) {
        wm_free(module);
        wm_diag_default(diag, error, "compiling");
        wm_diag_prefix(diag, "%s", source->name);
        return error;
    }
    struct wm_module_info *info = &module->info;
    info->mode = wanted->mode;
    info->tier = (enum wm_tier)options.tier;
    info->fuel = options.fuel;
    info->wasm_bytes = module->object->header->module_bytes;
    info->code_bytes = module->object->header->text_code_bytes;
    memcpy(info->sha256, source->sha256, sizeof info->sha256);
    *out = module;
    return 0;
}

/* Hash of a file where there is no cache to remember it. */
static int hash_fd(int fd, uint64_t bytes, uint8_t out[32], struct wm_diag *diag)
{
    struct wm_view view = {NULL, 0};
    void *map = NULL;
    if (bytes > 0) {
        map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED) {
            return wm_diag_set(diag, -errno, "cannot be mapped: %s", wm_error_text(-errno));
        }
        view = wm_view_of(map, bytes);
    }
    wm_sha256_once(view, out);
    if (map) {
        munmap(map, bytes);
    }
    return 0;
}

static int open_source(struct wm_engine *engine, const char *path, struct api_source *source,
                       struct wm_diag *diag)
{
    struct stat st;
    source->name = path;
    source->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source->fd < 0 || fstat(source->fd, &st) < 0) {
        int error = -errno;
        return wm_diag_set(diag, error, "%s: cannot be opened: %s", path, wm_error_text(error));
    }
    if (!S_ISREG(st.st_mode)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "%s: not a file", path);
    }
    source->bytes = (uint64_t)st.st_size;
    int error = engine->cache ? wasm_cache_module_hash(engine->cache, path, source->sha256, diag)
                              : hash_fd(source->fd, source->bytes, source->sha256, diag);
    if (error) {
        wm_diag_default(diag, error, "reading");
        wm_diag_prefix(diag, "%s", path);
    }
    return error;
}

int wm_module_load(struct wm_engine *engine, const char *path,
                   const struct wm_module_options *options, struct wm_module **out,
                   struct wm_diag *diag)
{
    int error = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        struct api_source source = {.fd = -1};
        error = open_source(engine, path, &source, diag);
        if (!error) {
            error = load(engine, &source, options, out, diag);
        }
        if (source.fd >= 0) {
            close(source.fd);
        }
        if (error != WM_E_STALE && error != WM_E_FORGED) {
            break;
        }
    }
    return error;
}

int wm_module_load_bytes(struct wm_engine *engine, const void *bytes, size_t len,
                         const struct wm_module_options *options, struct wm_module **out,
                         struct wm_diag *diag)
{
    struct api_source source = {
        .name = "module",
        .fd = memfd_create("wardmote-module", MFD_CLOEXEC),
        .bytes = len,
    };
    if (source.fd < 0) {
        return wm_diag_set(diag, -errno, "module: no memory file: %s", wm_error_text(-errno));
    }
    int error = 0;
    for (size_t done = 0; done < len && !error;) {
        ssize_t n = write(source.fd, (const char *)bytes + done, len - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            error = wm_diag_set(diag, n ? -errno : -EIO, "module: memory file: %s",
                                wm_error_text(n ? -errno : -EIO));
        }
    }
    if (!error) {
        /* What will be compiled is what lies in the file, so that is what is hashed. */
        error = hash_fd(source.fd, len, source.sha256, diag);
    }
    if (!error) {
        error = load(engine, &source, options, out, diag);
    }
    close(source.fd);
    return error;
}

int wm_module_perf_map(const struct wm_module *module, struct wm_diag *diag)
{
    return wasm_perfmap_add(module->object, diag);
}

void wm_module_free(struct wm_module *module)
{
    if (module) {
        wasm_object_close(module->object);
        wm_free(module);
    }
}

void wm_module_info(const struct wm_module *module, struct wm_module_info *out)
{
    *out = module->info;
}

static const struct wasm_object_export *find_export(const struct wasm_object *object,
                                                    const char *name)
{
    struct wm_view wanted = wm_view_str(name);
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, EXPORTS); i++) {
        const struct wasm_object_export *export = &object->at.EXPORTS[i];
        if (export->kind == WASM_EXTERN_FUNC &&
            wm_view_eq(wasm_object_view(object, export->name), wanted)) {
            return export;
        }
    }
    return NULL;
}

static char letter_of(uint8_t valtype)
{
    switch ((enum wasm_valtype)valtype) {
    case WASM_I32: return 'i';
    case WASM_I64: return 'I';
    case WASM_F32: return 'f';
    case WASM_F64: return 'F';
    case WASM_V128: return 'v';
    case WASM_FUNCREF: return 'r';
    case WASM_EXTERNREF: return 'e';
    }
    WM_UNREACHABLE();
}

int wm_module_signature(const struct wm_module *module, const char *name, char *out,
                        size_t out_bytes)
{
    const struct wasm_object *object = module->object;
    const struct wasm_object_export *export = find_export(object, name);
    if (!export) {
        return WM_E_NOT_FOUND;
    }
    const struct wasm_object_type *type = &object->at.TYPES[object->at.FUNCS[export->idx].type_idx];
    struct wm_view params = wasm_object_view(object, type->params);
    struct wm_view results = wasm_object_view(object, type->results);
    if (params.len + results.len + 2 > out_bytes) {
        return WM_E_LIMIT;
    }
    size_t at = 0;
    for (size_t i = 0; i < params.len; i++) {
        out[at++] = letter_of(params.ptr[i]);
    }
    out[at++] = ':';
    for (size_t i = 0; i < results.len; i++) {
        out[at++] = letter_of(results.ptr[i]);
    }
    out[at] = 0;
    return 0;
}
