/* version.c: what this build is, and what it found on this machine. */
#include <limits.h>

#include <wardmote/version.h>

#include "wasm/cache.h"
#include "wasm/compile.h"
#include "wasm/object.h"
#include "wasm/options.h"

const char *wm_version(void)
{
    return WARDMOTE_VERSION;
}

static const char *cpu_name(enum wasm_cpu cpu)
{
    switch (cpu) {
    case WASM_CPU_V2: return "x86-64-v2";
    case WASM_CPU_V3: return "x86-64-v3";
    case WASM_CPU_V4: return "x86-64-v4";
    }
    return "unknown";
}

void wm_build_info(struct wm_build_info *out)
{
    static char compiler[PATH_MAX], cache[PATH_MAX];
    *out = (struct wm_build_info){
        .version = WARDMOTE_VERSION,
        .cpu = cpu_name(wasm_cpu_of_this_machine()),
        .compiler_path = wasm_compiler_path(compiler, NULL) == 0 ? compiler : NULL,
        .cache_path = wasm_cache_default_path(cache, NULL) == 0 ? cache : NULL,
        .abi = WASM_ABI_VERSION,
        .compiler = WASM_COMPILER_VERSION,
    };
}
