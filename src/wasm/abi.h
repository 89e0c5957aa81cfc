/* abi.h: what compiled code and the runtime agree on.
 *
 * Compiled code is position-independent text that refers to nothing outside itself: all it knows of
 * the world is the context pointer in its first argument. Any change here is a new
 * WASM_ABI_VERSION, which is part of every object's key, so that old objects are not loaded but
 * compiled again.
 *
 * Calls. Every wasm function, imported or defined, has the C type
 *
 *     R0 code(ctx, P0, P1, ..., Pn-1 [, more_params] [, more_results])
 *
 * with i32, i64, float, double, v128 (two 64-bit lanes in one vector register), ptr (funcref) and
 * i64 (externref), and is called by the C convention of x86-64 with all arguments in registers:
 * what does not fit in them (wasm_abi_places) is passed in memory at more_params, 16 bytes (union
 * wasm_value) each, in order. The first result is returned; where a function has several,
 * results 1... are written to more_results, in the same form. Both lie in the caller's frame.
 *
 * So a function never has stack arguments, and any function can jump to any other that gives the
 * same result: return_call is a jump. The jumping function's frame is gone by then, so it passes
 * more_params in budget->tail_params; a function reads all its parameters before it does anything
 * else. There is no other convention inside wasm, across modules and for host imports alike.
 *
 * (LLVM has a convention for tail calls, tailcc. Its callees pop at least 8 bytes, which costs 25 %
 * on call-bound code and 5 % on SQLite; this one costs nothing.)
 *
 * Two thunks per function type join this to C (both compiled into each object, per canonical type):
 *     void entry(ptr ctx, ptr code, ptr values)     C convention; values: arguments in, results out
 *                                                   (max(params, results) union wasm_value)
 *     R0 adapter(ptr binding, P0..., [more...])     looks like a wasm function whose ctx is a
 *                                                   struct wasm_host_binding; stores the arguments
 * to a values array, calls binding->call(binding, values) with the C convention, loads the results
 *
 * Traps are `ud1` instructions (trap.h). Loads and stores that leave the memory fault in its guard
 * region (guard, det) or are checked (check). Stack overflow faults in the guest stack's guard;
 * frames over a page probe it page by page ("probe-stack"="inline-asm").
 *
 * Layout of the context: the struct below, then WASM_CTX_FIXED_BYTES on: imported functions (struct
 * wasm_import_func each), tables (pointer to struct wasm_table_cells each), globals (16 bytes each:
 * the value of a defined global, or the address of an imported one in its first 8 bytes).
 * wasm_abi_layout gives the offsets to both sides. */
#ifndef WM_WASM_ABI_H
#define WM_WASM_ABI_H

#include <stddef.h>
#include <stdint.h>

#include "wasm/module.h"
#include "wasm/types.h"

#define WASM_ABI_VERSION 1u

/* Reserved for a memory, from base: index (32 bits) + offset (32 bits) + the widest access. */
#define WASM_MEMORY_RESERVE_BYTES ((UINT64_C(8) << 30) + WASM_PAGE_BYTES)

struct wasm_memory_cell {
    uint64_t size_bytes; /* a multiple of WASM_PAGE_BYTES; changes on memory.grow */
    uint8_t *base;       /* never changes while an instance lives */
};

/* What a call may use up; one per store, shared by all instances in it. */
struct wasm_budget {
    int64_t fuel;       /* left; compiled code subtracts, and traps when it would become negative */
    int64_t frame_left; /* det: bytes of counted frames left (see wasm_frame_cost) */
    union wasm_value tail_params[WASM_PARAMS_MAX]; /* see "Calls"; content is of no interest */
};

struct wasm_func { /* a function instance: what a funcref points to. 32 bytes */
    void *code;
    void *ctx;        /* struct wasm_ctx, or struct wasm_host_binding behind an adapter */
    uint32_t type_id; /* process-wide canonical id of its type; never 0 */
    uint32_t reserved;
    void (*entry)(void *ctx, void *code, union wasm_value *values);
};

/* A table element, kept inline so that call_indirect needs no second load. 32 bytes. An empty
 * funcref element is all zeroes: its type id matches no type, so the one comparison also finds
 * null. externref tables use `code` as the token and nothing else. */
struct wasm_table_elem {
    void *code;
    void *ctx;
    uint32_t type_id;
    uint32_t reserved;
    const struct wasm_func *func;
};

struct wasm_table_cells {
    struct wasm_table_elem *elems; /* never moves while an instance lives */
    uint64_t size;                 /* in elements */
};

struct wasm_import_func { /* in the context. 16 bytes */
    void *code;
    void *ctx;
};

struct wasm_ctx;

struct wasm_host_binding {
    /* Called by the adapter thunk with the C convention. Returns only when the guest may go on. */
    void (*call)(struct wasm_host_binding *binding, union wasm_value *values);
    /* The runtime's own fields follow; compiled code does not know them. */
};

/* Services of the runtime, called with the C convention. They trap by leaving the guest's frames,
 * so they may not return; `uint32_t` operands are the wasm operands in their order. */
struct wasm_services {
    uint32_t (*memory_grow)(struct wasm_ctx *ctx,
                            uint32_t delta_pages); /* old size or UINT32_MAX */
    void (*memory_init)(struct wasm_ctx *ctx, uint32_t data_idx, uint32_t dst, uint32_t src,
                        uint32_t len);
    void (*memory_copy)(struct wasm_ctx *ctx, uint32_t dst, uint32_t src, uint32_t len);
    void (*memory_fill)(struct wasm_ctx *ctx, uint32_t dst, uint32_t byte, uint32_t len);
    void (*data_drop)(struct wasm_ctx *ctx, uint32_t data_idx);
    uint64_t (*table_get)(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx); /* ref bits */
    void (*table_set)(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx, uint64_t ref);
    uint32_t (*table_grow)(struct wasm_ctx *ctx, uint32_t table_idx, uint64_t ref, uint32_t delta);
    void (*table_fill)(struct wasm_ctx *ctx, uint32_t table_idx, uint32_t idx, uint64_t ref,
                       uint32_t len);
    void (*table_copy)(struct wasm_ctx *ctx, uint32_t dst_table, uint32_t src_table, uint32_t dst,
                       uint32_t src, uint32_t len);
    void (*table_init)(struct wasm_ctx *ctx, uint32_t elem_idx, uint32_t table_idx, uint32_t dst,
                       uint32_t src, uint32_t len);
    void (*elem_drop)(struct wasm_ctx *ctx, uint32_t elem_idx);
    uint64_t (*ref_func)(struct wasm_ctx *ctx, uint32_t func_idx); /* struct wasm_func address */
};

struct wasm_ctx {
    uint8_t *memory_base;                 /*  0: invariant; NULL without a memory */
    struct wasm_memory_cell *memory;      /*  8: invariant */
    const struct wasm_services *services; /* 16: invariant */
    const uint32_t *type_ids;             /* 24: invariant; process-wide id of each module type */
    struct wasm_budget *budget;           /* 32: invariant */
    struct wasm_instance *instance;       /* 40: the runtime's own */
    uint64_t reserved[2];                 /* 48 */
};
#define WASM_CTX_FIXED_BYTES 64u
_Static_assert(sizeof(struct wasm_ctx) == WASM_CTX_FIXED_BYTES, "abi");
_Static_assert(sizeof(struct wasm_func) == 32, "abi");
_Static_assert(sizeof(struct wasm_table_elem) == 32, "abi");
_Static_assert(sizeof(union wasm_value) == 16, "abi");

/* Byte offsets in the context, 16-aligned. */
struct wasm_layout {
    uint64_t imports; /* struct wasm_import_func [imported_funcs] */
    uint64_t tables;  /* struct wasm_table_cells * [table_count], imported ones first */
    uint64_t globals; /* 16 bytes each [global_count], imported ones first */
    uint64_t total_bytes;
};

static inline struct wasm_layout wasm_abi_layout(uint32_t imported_funcs, uint32_t table_count,
                                                 uint32_t global_count)
{
    struct wasm_layout layout;
    layout.imports = WASM_CTX_FIXED_BYTES;
    layout.tables = layout.imports + 16u * (uint64_t)imported_funcs;
    layout.globals = (layout.tables + 8u * (uint64_t)table_count + 15u) & ~UINT64_C(15);
    layout.total_bytes = layout.globals + 16u * (uint64_t)global_count;
    return layout;
}

/* Which parameters of a function travel in registers: six for integers and references, the
 * context's and those of the two pointers among them; eight for floats and vectors. */
struct wasm_places {
    unsigned ints_left, floats_left;
    bool more_params; /* some do not fit */
};

static inline bool wasm_is_float_class(uint8_t valtype)
{
    return valtype == WASM_F32 || valtype == WASM_F64 || valtype == WASM_V128;
}

static inline struct wasm_places wasm_abi_places(const struct wasm_functype *type)
{
    struct wasm_places places = {type->result_count > 1 ? 4u : 5u, 8u, false};
    uint32_t floats = 0;
    for (uint32_t i = 0; i < type->param_count; i++) {
        floats += wasm_is_float_class(type->params[i]);
    }
    if (floats > places.floats_left || type->param_count - floats > places.ints_left) {
        places.more_params = true;
        places.ints_left--;
    }
    return places;
}

/* Asked for each parameter in order: true when it is in a register. */
static inline bool wasm_abi_next(struct wasm_places *places, uint8_t valtype)
{
    unsigned *left = wasm_is_float_class(valtype) ? &places->floats_left : &places->ints_left;
    if (*left == 0) {
        return false;
    }
    --*left;
    return true;
}

/* Frame cost of a function in `det` mode, in bytes, counted on the wasm code alone (doc/format/
 * fuel.md): charged to budget->frame_left at entry, given back at return. The compiler refuses a
 * function whose native frame is larger than this, so counted depth always ends before the stack.
 */
static inline uint64_t wasm_frame_cost(const struct wasm_functype *type,
                                       const struct wasm_body *body)
{
    return 128 + 16 * ((uint64_t)type->param_count + type->result_count + body->local_count +
                       body->max_height + body->instr_count);
}

#endif
