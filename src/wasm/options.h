/* options.h: how a module is to be compiled; part of an object's identity. */
#ifndef WM_WASM_OPTIONS_H
#define WM_WASM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum wasm_mode {
    WASM_MODE_GUARD, /* out-of-bounds accesses fault in a guard region */
    WASM_MODE_CHECK, /* explicit comparison before every access */
    WASM_MODE_DET,   /* guard, plus everything that makes results, traps and fuel a function of the
                        wasm code alone: canonical NaNs, counted frames, fuel always on */
};

enum wasm_tier {
    WASM_TIER_O0,        /* compiles fast */
    WASM_TIER_OPTIMISED, /* runs fast */
};

/* Instruction-set level: the psABI's x86-64-v2, -v3, -v4. The best that this machine has is the
 * default; v2 is the least that Wardmote runs on (SSE4.1 rounding, popcnt). */
enum wasm_cpu { WASM_CPU_V2 = 2, WASM_CPU_V3 = 3, WASM_CPU_V4 = 4 };

struct wasm_options {
    enum wasm_mode mode;
    enum wasm_tier tier;
    enum wasm_cpu cpu;
    bool fuel;  /* an axis of its own; WASM_MODE_DET implies it */
    bool lines; /* keep wasm offsets of instructions, for traps with file and line (needs DWARF) */
};

/* The best level of the machine that we run on. */
enum wasm_cpu wasm_cpu_of_this_machine(void);
const char *wasm_mode_name(enum wasm_mode mode); /* "guard", "check", "det" */
const char *wasm_tier_name(enum wasm_tier tier); /* "O0", "optimised" */

#endif
