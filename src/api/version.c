/* version.c: what this build is, and what it found on this machine. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <wardmote/version.h>

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

/* As cache.h says; asked without making the folder. */
static const char *default_cache(char *out, size_t out_bytes)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int len = -1;
    if (xdg && xdg[0] == '/') {
        len = snprintf(out, out_bytes, "%s/wardmote", xdg);
    } else if (home && home[0]) {
        len = snprintf(out, out_bytes, "%s/.cache/wardmote", home);
    }
    return len > 0 && (size_t)len < out_bytes ? out : NULL;
}

void wm_build_info(struct wm_build_info *out)
{
    static char compiler[PATH_MAX], cache[PATH_MAX];
    *out = (struct wm_build_info){
        .version = WARDMOTE_VERSION,
        .cpu = cpu_name(wasm_cpu_of_this_machine()),
        .compiler_path = wasm_compiler_path(compiler, NULL) == 0 ? compiler : NULL,
        .cache_path = default_cache(cache, sizeof cache),
        .abi = WASM_ABI_VERSION,
        .compiler = WASM_COMPILER_VERSION,
    };
}
