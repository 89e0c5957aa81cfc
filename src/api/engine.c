/* engine.c: the cache that an embedding program's modules go through.
 *
 * A machine without a place for a cache (no home folder, a read-only file system) still runs
 * modules: they are then compiled at each load. A cache that is there but unsafe is refused
 * instead: its owner asked for it, and would not notice that it is not used. */
#include "api/engine.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/diag.h"

bool api_no_room_to_cache(int error)
{
    return error == -EROFS || error == -EACCES || error == -EPERM || error == -ENOSPC ||
           error == -EDQUOT;
}

static bool nowhere_to_cache(const struct wm_engine_config *config, int error)
{
    if (config && config->cache_path) {
        return false;
    }
    return api_no_room_to_cache(error) || error == WM_E_MISSING || error == -ENOENT ||
           error == -ENOTDIR;
}

int wm_engine_new(const struct wm_engine_config *config, struct wm_engine **out,
                  struct wm_diag *diag)
{
    struct wm_engine *engine = wm_alloc_zero(1, sizeof *engine);
    if (!engine) {
        return wm_diag_set(diag, -ENOMEM, "engine: out of memory");
    }
    if (config) {
        engine->progress = config->progress;
        engine->progress_self = config->progress_self;
    }
    int error = wasm_cache_open(config ? config->cache_path : NULL, &engine->cache, diag);
    if (error && !nowhere_to_cache(config, error)) {
        wm_free(engine);
        return wm_diag_default(diag, error, "cache");
    }
    if (error) {
        engine->cache = NULL;
        if (diag) {
            *diag = (struct wm_diag)WM_DIAG_INIT;
        }
    }
    *out = engine;
    return 0;
}

void wm_engine_free(struct wm_engine *engine)
{
    if (engine) {
        if (engine->cache) {
            wasm_cache_close(engine->cache);
        }
        wm_free(engine);
    }
}
