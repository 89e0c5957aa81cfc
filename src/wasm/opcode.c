/* opcode.c: the table of opcode.h as an array, indexed by code. Strings short enough to stand
 * inside the entry are stored there: the validator reads one cache line per instruction, not three.
 */
#include "wasm/opcode.h"

#define OPCODE_ENTRY(name_, code, text, imm_, params_, results_, bytes_) \
    [code] = {.name = (text),                                            \
              .params = params_,                                         \
              .results = results_,                                       \
              .imm = WASM_IMM_##imm_,                                    \
              .bytes = (bytes_)},

const struct wasm_opcode_info wasm_opcode_table[WASM_OPCODE_END] = {
    WASM_OPCODE_TABLE(OPCODE_ENTRY)};
