/* engine.h (api): the structures behind the public handles, for the files of this folder. */
#ifndef WM_API_ENGINE_H
#define WM_API_ENGINE_H

#include <stdint.h>
#include <time.h>

#include <wardmote/engine.h>

#include "wasm/cache.h"
#include "wasm/instance.h"
#include "wasm/object.h"
#include "wasm/options.h"

struct wm_engine {
    struct wasm_cache *cache; /* NULL: this machine has no place for one; objects live in memory */
    wm_progress *progress;
    void *progress_self;
};

struct wm_module {
    struct wasm_object *object;
    struct wm_module_info info;
};

static inline int64_t api_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* engine.c: whether a cache's error says that nothing can be kept here, and not that it is unsafe.
 */
bool api_no_room_to_cache(int error);

/* A module that is being looked for: where its bytes are, and what they hash to. */
struct api_source {
    const char *name; /* for messages */
    int fd;
    uint64_t bytes;
    uint8_t sha256[32];
};

/* background.c: compiles `source` with `options` into the engine's cache in a process of its own
 * that this one does not wait for. False when that could not be started; nothing depends on it. */
bool api_compile_in_background(const struct wm_engine *engine, const struct api_source *source,
                               const struct wasm_options *options);
/* module.c: compiles and returns the object, through the cache where there is one. must_keep: it
 * is an error when the cache has no room for it. */
WM_MUST_CHECK int api_compile(struct wasm_cache *cache, const struct api_source *source,
                              const struct wasm_options *options, bool must_keep,
                              wm_progress *progress, void *progress_self, struct wasm_object **out,
                              struct wm_diag *diag);

#endif
