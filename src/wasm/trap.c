/* trap.c: the texts of traps. */
#include "wasm/trap.h"

#define TRAP_CASE(name, number, text) \
    case WASM_TRAP_##name: return text;

const char *wasm_trap_text(enum wasm_trap trap)
{
    switch (trap) {
        WASM_TRAP_TABLE(TRAP_CASE)
    case WASM_TRAP_NONE: break;
    }
    return "unknown trap";
}
