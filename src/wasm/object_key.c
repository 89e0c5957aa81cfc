/* object_key.c: what an object is asked for by. Shared by the cache and the writer. */
#include <string.h>

#include "wasm/cache.h"

void wasm_object_key_of(const uint8_t sha256[32], const struct wasm_options *options,
                        struct wasm_object_key *out)
{
    *out = (struct wasm_object_key){
        .compiler_version = WASM_COMPILER_VERSION,
        .abi_version = WASM_ABI_VERSION,
        .mode = (uint8_t)options->mode,
        .tier = (uint8_t)options->tier,
        .cpu = (uint8_t)options->cpu,
        /* det counts fuel whether asked to or not: one object, not two. */
        .fuel = options->fuel || options->mode == WASM_MODE_DET,
        .lines = options->lines,
    };
    memcpy(out->module_sha256, sha256, sizeof out->module_sha256);
}
