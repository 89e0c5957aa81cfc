/* options.c: what this machine can run, and the names of modes and tiers.
 *
 * The levels are those of the x86-64 psABI: an object for level N runs on every machine that has N.
 * Level 2 is not looked for: a machine without it cannot run Wardmote at all, and says so at start.
 * __builtin_cpu_supports also asks the operating system whether it saves the wide registers. */
#include "wasm/options.h"

#include "base/assert.h"

enum wasm_cpu wasm_cpu_of_this_machine(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("lzcnt") || !__builtin_cpu_supports("f16c") ||
        !__builtin_cpu_supports("movbe")) {
        return WASM_CPU_V2;
    }
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl")) {
        return WASM_CPU_V3;
    }
    return WASM_CPU_V4;
}

const char *wasm_mode_name(enum wasm_mode mode)
{
    switch (mode) {
    case WASM_MODE_GUARD: return "guard";
    case WASM_MODE_CHECK: return "check";
    case WASM_MODE_DET: return "det";
    }
    WM_UNREACHABLE();
}

const char *wasm_tier_name(enum wasm_tier tier)
{
    switch (tier) {
    case WASM_TIER_O0: return "O0";
    case WASM_TIER_OPTIMISED: return "optimised";
    }
    WM_UNREACHABLE();
}
