/* instr.h: one instruction, read from a function body.
 *
 * The validator, the translator and constant expressions all read through wasm_instr_next, so there
 * is one place that knows how an instruction is laid out (core specification 5.4). What each
 * instruction is called, which immediates follow it and, where that is fixed, what it pops and
 * pushes stands in one table (opcode.h). */
#ifndef WM_WASM_INSTR_H
#define WM_WASM_INSTR_H

#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "wasm/opcode.h"

struct wasm_instr {
    enum wasm_opcode op;
    uint32_t offset; /* of its first byte in the cursor's whole input */
    union {
        struct { /* IMM_BLOCK: block, loop, if */
            bool has_type_idx;
            uint32_t type_idx;
            uint8_t valtype; /* when !has_type_idx; 0x40: no result */
        } block;
        struct { /* one or two indices: locals, functions, tables, segments, labels */
            uint32_t idx;
            uint32_t
                idx2; /* call_indirect: table; table.copy: source; X.init: the table or memory */
        };
        struct {
            uint32_t align_log2;
            uint32_t mem_offset;
            uint8_t mem_lane; /* v128.loadN_lane and storeN_lane */
        };
        struct { /* br_table: `count` labels, then the default; read with wasm_instr_label */
            uint32_t count;
            struct wm_view labels;
        };
        struct { /* select with types */
            uint32_t select_count;
            uint8_t select_type; /* the first */
        };
        int32_t i32;
        int64_t i64;
        uint32_t f32_bits;
        uint64_t f64_bits;
        uint8_t v128[16]; /* v128.const, i8x16.shuffle */
        uint8_t lane;
        uint8_t ref_type; /* ref.null */
    };
};

/* Reads one instruction. 0, or WM_E_MALFORMED with the offset in the diag. Does not check that
 * indices exist nor that lanes and alignments are in range: that is validation. */
WM_MUST_CHECK int wasm_instr_next(struct wm_cursor *cursor, struct wasm_instr *out,
                                  struct wm_diag *diag);
/* Takes the next label of a br_table off `labels`; `count` + 1 of them, already checked. */
uint32_t wasm_instr_label(struct wm_view *labels);

#endif
