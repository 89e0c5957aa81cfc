/* types.h: WebAssembly types and values as every part of the engine writes them.
 *
 * Numbers are the binary format's own (WebAssembly core specification 2.0, 5.3). Freestanding. */
#ifndef WM_WASM_TYPES_H
#define WM_WASM_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#define WASM_PAGE_BYTES UINT64_C(65536)
#define WASM_PAGES_MAX UINT32_C(65536) /* 4 GiB exactly */

enum wasm_valtype {
    WASM_I32 = 0x7f,
    WASM_I64 = 0x7e,
    WASM_F32 = 0x7d,
    WASM_F64 = 0x7c,
    WASM_V128 = 0x7b,
    WASM_FUNCREF = 0x70,
    WASM_EXTERNREF = 0x6f,
};

static inline bool wasm_is_ref(uint8_t valtype)
{
    return valtype == WASM_FUNCREF || valtype == WASM_EXTERNREF;
}

struct wasm_functype {
    uint32_t param_count;
    uint32_t result_count;
    const uint8_t *params; /* enum wasm_valtype, one byte each */
    const uint8_t *results;
};

struct wasm_limits {
    uint32_t min;
    uint32_t max; /* UINT32_MAX where the module names none */
    bool has_max;
};

struct wasm_tabletype {
    uint8_t elem;              /* WASM_FUNCREF or WASM_EXTERNREF */
    struct wasm_limits limits; /* in elements */
};

struct wasm_globaltype {
    uint8_t valtype;
    bool is_mutable;
};

enum wasm_extern_kind {
    WASM_EXTERN_FUNC,
    WASM_EXTERN_TABLE,
    WASM_EXTERN_MEMORY,
    WASM_EXTERN_GLOBAL
};

struct wasm_func; /* a function instance (abi.h); funcref values point to one */

/* One value in a place of its own: arguments and results of host calls, globals. 16 bytes. */
union wasm_value {
    uint32_t i32;
    uint64_t i64;
    uint32_t f32_bits;
    uint64_t f64_bits;
    float f32;
    double f64;
    const struct wasm_func *funcref; /* NULL: ref.null */
    uint64_t externref;              /* a host's own token; 0: ref.null */
    uint64_t v128[2];
};

#endif
