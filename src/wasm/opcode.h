/* opcode.h: every instruction, in one table.
 *
 * Core specification 2.0 (chapter 5.4 and the index in appendix 7.6) with the tail-call proposal;
 * 439 instructions, 236 of them on vectors. Reader, validator, translator and messages all go by
 * this table, so a new instruction is a line here and its meaning in validate.c and the translator.
 * Pure data; freestanding. */
#ifndef WM_WASM_OPCODE_H
#define WM_WASM_OPCODE_H

#include <stddef.h>
#include <stdint.h>

/* X(NAME, code, text, IMMEDIATES, params, results, bytes)
 *
 * code        the byte; behind a prefix byte 0xFC: 0x100 + n, 0xFD: 0x200 + n
 * IMMEDIATES  what follows it: enum wasm_imm
 * params      popped, the last one first; one letter per value: i i32, I i64, f f32, F f64, v v128
 * results     pushed
 *             "*" in both: depends on more than the opcode; validate.c has a case for it
 * bytes       width of the memory access; of one lane for instructions with a lane and no memory */
/* clang-format off */
#define WASM_OPCODE_TABLE(X)                                                                       \
    /* Control (5.4.1). */                                                                         \
    X(UNREACHABLE, 0x00, "unreachable", NONE, "*", "*", 0)                                         \
    X(NOP, 0x01, "nop", NONE, "", "", 0)                                                           \
    X(BLOCK, 0x02, "block", BLOCK, "*", "*", 0)                                                    \
    X(LOOP, 0x03, "loop", BLOCK, "*", "*", 0)                                                      \
    X(IF, 0x04, "if", BLOCK, "*", "*", 0)                                                          \
    X(ELSE, 0x05, "else", NONE, "*", "*", 0)                                                       \
    X(END, 0x0b, "end", NONE, "*", "*", 0)                                                         \
    X(BR, 0x0c, "br", LABEL, "*", "*", 0)                                                          \
    X(BR_IF, 0x0d, "br_if", LABEL, "*", "*", 0)                                                    \
    X(BR_TABLE, 0x0e, "br_table", BR_TABLE, "*", "*", 0)                                           \
    X(RETURN, 0x0f, "return", NONE, "*", "*", 0)                                                   \
    X(CALL, 0x10, "call", FUNC, "*", "*", 0)                                                       \
    X(CALL_INDIRECT, 0x11, "call_indirect", CALL_INDIRECT, "*", "*", 0)                            \
    /* Tail calls (the tail-call proposal). */                                                     \
    X(RETURN_CALL, 0x12, "return_call", FUNC, "*", "*", 0)                                         \
    X(RETURN_CALL_INDIRECT, 0x13, "return_call_indirect", CALL_INDIRECT, "*", "*", 0)              \
    /* Parametric (5.4.3). */                                                                      \
    X(DROP, 0x1a, "drop", NONE, "*", "*", 0)                                                       \
    X(SELECT, 0x1b, "select", NONE, "*", "*", 0)                                                   \
    X(SELECT_TYPED, 0x1c, "select", SELECT, "*", "*", 0)                                           \
    /* Variables and tables (5.4.4, 5.4.5). */                                                     \
    X(LOCAL_GET, 0x20, "local.get", LOCAL, "*", "*", 0)                                            \
    X(LOCAL_SET, 0x21, "local.set", LOCAL, "*", "*", 0)                                            \
    X(LOCAL_TEE, 0x22, "local.tee", LOCAL, "*", "*", 0)                                            \
    X(GLOBAL_GET, 0x23, "global.get", GLOBAL, "*", "*", 0)                                         \
    X(GLOBAL_SET, 0x24, "global.set", GLOBAL, "*", "*", 0)                                         \
    X(TABLE_GET, 0x25, "table.get", TABLE, "*", "*", 0)                                            \
    X(TABLE_SET, 0x26, "table.set", TABLE, "*", "*", 0)                                            \
    /* Memory (5.4.6). Last column: width of the access. */                                        \
    X(I32_LOAD, 0x28, "i32.load", MEM, "i", "i", 4)                                                \
    X(I64_LOAD, 0x29, "i64.load", MEM, "i", "I", 8)                                                \
    X(F32_LOAD, 0x2a, "f32.load", MEM, "i", "f", 4)                                                \
    X(F64_LOAD, 0x2b, "f64.load", MEM, "i", "F", 8)                                                \
    X(I32_LOAD8_S, 0x2c, "i32.load8_s", MEM, "i", "i", 1)                                          \
    X(I32_LOAD8_U, 0x2d, "i32.load8_u", MEM, "i", "i", 1)                                          \
    X(I32_LOAD16_S, 0x2e, "i32.load16_s", MEM, "i", "i", 2)                                        \
    X(I32_LOAD16_U, 0x2f, "i32.load16_u", MEM, "i", "i", 2)                                        \
    X(I64_LOAD8_S, 0x30, "i64.load8_s", MEM, "i", "I", 1)                                          \
    X(I64_LOAD8_U, 0x31, "i64.load8_u", MEM, "i", "I", 1)                                          \
    X(I64_LOAD16_S, 0x32, "i64.load16_s", MEM, "i", "I", 2)                                        \
    X(I64_LOAD16_U, 0x33, "i64.load16_u", MEM, "i", "I", 2)                                        \
    X(I64_LOAD32_S, 0x34, "i64.load32_s", MEM, "i", "I", 4)                                        \
    X(I64_LOAD32_U, 0x35, "i64.load32_u", MEM, "i", "I", 4)                                        \
    X(I32_STORE, 0x36, "i32.store", MEM, "ii", "", 4)                                              \
    X(I64_STORE, 0x37, "i64.store", MEM, "iI", "", 8)                                              \
    X(F32_STORE, 0x38, "f32.store", MEM, "if", "", 4)                                              \
    X(F64_STORE, 0x39, "f64.store", MEM, "iF", "", 8)                                              \
    X(I32_STORE8, 0x3a, "i32.store8", MEM, "ii", "", 1)                                            \
    X(I32_STORE16, 0x3b, "i32.store16", MEM, "ii", "", 2)                                          \
    X(I64_STORE8, 0x3c, "i64.store8", MEM, "iI", "", 1)                                            \
    X(I64_STORE16, 0x3d, "i64.store16", MEM, "iI", "", 2)                                          \
    X(I64_STORE32, 0x3e, "i64.store32", MEM, "iI", "", 4)                                          \
    X(MEMORY_SIZE, 0x3f, "memory.size", MEMORY, "", "i", 0)                                        \
    X(MEMORY_GROW, 0x40, "memory.grow", MEMORY, "i", "i", 0)                                       \
    /* Numeric (5.4.7). */                                                                         \
    X(I32_CONST, 0x41, "i32.const", I32, "", "i", 0)                                               \
    X(I64_CONST, 0x42, "i64.const", I64, "", "I", 0)                                               \
    X(F32_CONST, 0x43, "f32.const", F32, "", "f", 0)                                               \
    X(F64_CONST, 0x44, "f64.const", F64, "", "F", 0)                                               \
    X(I32_EQZ, 0x45, "i32.eqz", NONE, "i", "i", 0)                                                 \
    X(I32_EQ, 0x46, "i32.eq", NONE, "ii", "i", 0)                                                  \
    X(I32_NE, 0x47, "i32.ne", NONE, "ii", "i", 0)                                                  \
    X(I32_LT_S, 0x48, "i32.lt_s", NONE, "ii", "i", 0)                                              \
    X(I32_LT_U, 0x49, "i32.lt_u", NONE, "ii", "i", 0)                                              \
    X(I32_GT_S, 0x4a, "i32.gt_s", NONE, "ii", "i", 0)                                              \
    X(I32_GT_U, 0x4b, "i32.gt_u", NONE, "ii", "i", 0)                                              \
    X(I32_LE_S, 0x4c, "i32.le_s", NONE, "ii", "i", 0)                                              \
    X(I32_LE_U, 0x4d, "i32.le_u", NONE, "ii", "i", 0)                                              \
    X(I32_GE_S, 0x4e, "i32.ge_s", NONE, "ii", "i", 0)                                              \
    X(I32_GE_U, 0x4f, "i32.ge_u", NONE, "ii", "i", 0)                                              \
    X(I64_EQZ, 0x50, "i64.eqz", NONE, "I", "i", 0)                                                 \
    X(I64_EQ, 0x51, "i64.eq", NONE, "II", "i", 0)                                                  \
    X(I64_NE, 0x52, "i64.ne", NONE, "II", "i", 0)                                                  \
    X(I64_LT_S, 0x53, "i64.lt_s", NONE, "II", "i", 0)                                              \
    X(I64_LT_U, 0x54, "i64.lt_u", NONE, "II", "i", 0)                                              \
    X(I64_GT_S, 0x55, "i64.gt_s", NONE, "II", "i", 0)                                              \
    X(I64_GT_U, 0x56, "i64.gt_u", NONE, "II", "i", 0)                                              \
    X(I64_LE_S, 0x57, "i64.le_s", NONE, "II", "i", 0)                                              \
    X(I64_LE_U, 0x58, "i64.le_u", NONE, "II", "i", 0)                                              \
    X(I64_GE_S, 0x59, "i64.ge_s", NONE, "II", "i", 0)                                              \
    X(I64_GE_U, 0x5a, "i64.ge_u", NONE, "II", "i", 0)                                              \
    X(F32_EQ, 0x5b, "f32.eq", NONE, "ff", "i", 0)                                                  \
    X(F32_NE, 0x5c, "f32.ne", NONE, "ff", "i", 0)                                                  \
    X(F32_LT, 0x5d, "f32.lt", NONE, "ff", "i", 0)                                                  \
    X(F32_GT, 0x5e, "f32.gt", NONE, "ff", "i", 0)                                                  \
    X(F32_LE, 0x5f, "f32.le", NONE, "ff", "i", 0)                                                  \
    X(F32_GE, 0x60, "f32.ge", NONE, "ff", "i", 0)                                                  \
    X(F64_EQ, 0x61, "f64.eq", NONE, "FF", "i", 0)                                                  \
    X(F64_NE, 0x62, "f64.ne", NONE, "FF", "i", 0)                                                  \
    X(F64_LT, 0x63, "f64.lt", NONE, "FF", "i", 0)                                                  \
    X(F64_GT, 0x64, "f64.gt", NONE, "FF", "i", 0)                                                  \
    X(F64_LE, 0x65, "f64.le", NONE, "FF", "i", 0)                                                  \
    X(F64_GE, 0x66, "f64.ge", NONE, "FF", "i", 0)                                                  \
    X(I32_CLZ, 0x67, "i32.clz", NONE, "i", "i", 0)                                                 \
    X(I32_CTZ, 0x68, "i32.ctz", NONE, "i", "i", 0)                                                 \
    X(I32_POPCNT, 0x69, "i32.popcnt", NONE, "i", "i", 0)                                           \
    X(I32_ADD, 0x6a, "i32.add", NONE, "ii", "i", 0)                                                \
    X(I32_SUB, 0x6b, "i32.sub", NONE, "ii", "i", 0)                                                \
    X(I32_MUL, 0x6c, "i32.mul", NONE, "ii", "i", 0)                                                \
    X(I32_DIV_S, 0x6d, "i32.div_s", NONE, "ii", "i", 0)                                            \
    X(I32_DIV_U, 0x6e, "i32.div_u", NONE, "ii", "i", 0)                                            \
    X(I32_REM_S, 0x6f, "i32.rem_s", NONE, "ii", "i", 0)                                            \
    X(I32_REM_U, 0x70, "i32.rem_u", NONE, "ii", "i", 0)                                            \
    X(I32_AND, 0x71, "i32.and", NONE, "ii", "i", 0)                                                \
    X(I32_OR, 0x72, "i32.or", NONE, "ii", "i", 0)                                                  \
    X(I32_XOR, 0x73, "i32.xor", NONE, "ii", "i", 0)                                                \
    X(I32_SHL, 0x74, "i32.shl", NONE, "ii", "i", 0)                                                \
    X(I32_SHR_S, 0x75, "i32.shr_s", NONE, "ii", "i", 0)                                            \
    X(I32_SHR_U, 0x76, "i32.shr_u", NONE, "ii", "i", 0)                                            \
    X(I32_ROTL, 0x77, "i32.rotl", NONE, "ii", "i", 0)                                              \
    X(I32_ROTR, 0x78, "i32.rotr", NONE, "ii", "i", 0)                                              \
    X(I64_CLZ, 0x79, "i64.clz", NONE, "I", "I", 0)                                                 \
    X(I64_CTZ, 0x7a, "i64.ctz", NONE, "I", "I", 0)                                                 \
    X(I64_POPCNT, 0x7b, "i64.popcnt", NONE, "I", "I", 0)                                           \
    X(I64_ADD, 0x7c, "i64.add", NONE, "II", "I", 0)                                                \
    X(I64_SUB, 0x7d, "i64.sub", NONE, "II", "I", 0)                                                \
    X(I64_MUL, 0x7e, "i64.mul", NONE, "II", "I", 0)                                                \
    X(I64_DIV_S, 0x7f, "i64.div_s", NONE, "II", "I", 0)                                            \
    X(I64_DIV_U, 0x80, "i64.div_u", NONE, "II", "I", 0)                                            \
    X(I64_REM_S, 0x81, "i64.rem_s", NONE, "II", "I", 0)                                            \
    X(I64_REM_U, 0x82, "i64.rem_u", NONE, "II", "I", 0)                                            \
    X(I64_AND, 0x83, "i64.and", NONE, "II", "I", 0)                                                \
    X(I64_OR, 0x84, "i64.or", NONE, "II", "I", 0)                                                  \
    X(I64_XOR, 0x85, "i64.xor", NONE, "II", "I", 0)                                                \
    X(I64_SHL, 0x86, "i64.shl", NONE, "II", "I", 0)                                                \
    X(I64_SHR_S, 0x87, "i64.shr_s", NONE, "II", "I", 0)                                            \
    X(I64_SHR_U, 0x88, "i64.shr_u", NONE, "II", "I", 0)                                            \
    X(I64_ROTL, 0x89, "i64.rotl", NONE, "II", "I", 0)                                              \
    X(I64_ROTR, 0x8a, "i64.rotr", NONE, "II", "I", 0)                                              \
    X(F32_ABS, 0x8b, "f32.abs", NONE, "f", "f", 0)                                                 \
    X(F32_NEG, 0x8c, "f32.neg", NONE, "f", "f", 0)                                                 \
    X(F32_CEIL, 0x8d, "f32.ceil", NONE, "f", "f", 0)                                               \
    X(F32_FLOOR, 0x8e, "f32.floor", NONE, "f", "f", 0)                                             \
    X(F32_TRUNC, 0x8f, "f32.trunc", NONE, "f", "f", 0)                                             \
    X(F32_NEAREST, 0x90, "f32.nearest", NONE, "f", "f", 0)                                         \
    X(F32_SQRT, 0x91, "f32.sqrt", NONE, "f", "f", 0)                                               \
    X(F32_ADD, 0x92, "f32.add", NONE, "ff", "f", 0)                                                \
    X(F32_SUB, 0x93, "f32.sub", NONE, "ff", "f", 0)                                                \
    X(F32_MUL, 0x94, "f32.mul", NONE, "ff", "f", 0)                                                \
    X(F32_DIV, 0x95, "f32.div", NONE, "ff", "f", 0)                                                \
    X(F32_MIN, 0x96, "f32.min", NONE, "ff", "f", 0)                                                \
    X(F32_MAX, 0x97, "f32.max", NONE, "ff", "f", 0)                                                \
    X(F32_COPYSIGN, 0x98, "f32.copysign", NONE, "ff", "f", 0)                                      \
    X(F64_ABS, 0x99, "f64.abs", NONE, "F", "F", 0)                                                 \
    X(F64_NEG, 0x9a, "f64.neg", NONE, "F", "F", 0)                                                 \
    X(F64_CEIL, 0x9b, "f64.ceil", NONE, "F", "F", 0)                                               \
    X(F64_FLOOR, 0x9c, "f64.floor", NONE, "F", "F", 0)                                             \
    X(F64_TRUNC, 0x9d, "f64.trunc", NONE, "F", "F", 0)                                             \
    X(F64_NEAREST, 0x9e, "f64.nearest", NONE, "F", "F", 0)                                         \
    X(F64_SQRT, 0x9f, "f64.sqrt", NONE, "F", "F", 0)                                               \
    X(F64_ADD, 0xa0, "f64.add", NONE, "FF", "F", 0)                                                \
    X(F64_SUB, 0xa1, "f64.sub", NONE, "FF", "F", 0)                                                \
    X(F64_MUL, 0xa2, "f64.mul", NONE, "FF", "F", 0)                                                \
    X(F64_DIV, 0xa3, "f64.div", NONE, "FF", "F", 0)                                                \
    X(F64_MIN, 0xa4, "f64.min", NONE, "FF", "F", 0)                                                \
    X(F64_MAX, 0xa5, "f64.max", NONE, "FF", "F", 0)                                                \
    X(F64_COPYSIGN, 0xa6, "f64.copysign", NONE, "FF", "F", 0)                                      \
    X(I32_WRAP_I64, 0xa7, "i32.wrap_i64", NONE, "I", "i", 0)                                       \
    X(I32_TRUNC_F32_S, 0xa8, "i32.trunc_f32_s", NONE, "f", "i", 0)                                 \
    X(I32_TRUNC_F32_U, 0xa9, "i32.trunc_f32_u", NONE, "f", "i", 0)                                 \
    X(I32_TRUNC_F64_S, 0xaa, "i32.trunc_f64_s", NONE, "F", "i", 0)                                 \
    X(I32_TRUNC_F64_U, 0xab, "i32.trunc_f64_u", NONE, "F", "i", 0)                                 \
    X(I64_EXTEND_I32_S, 0xac, "i64.extend_i32_s", NONE, "i", "I", 0)                               \
    X(I64_EXTEND_I32_U, 0xad, "i64.extend_i32_u", NONE, "i", "I", 0)                               \
    X(I64_TRUNC_F32_S, 0xae, "i64.trunc_f32_s", NONE, "f", "I", 0)                                 \
    X(I64_TRUNC_F32_U, 0xaf, "i64.trunc_f32_u", NONE, "f", "I", 0)                                 \
    X(I64_TRUNC_F64_S, 0xb0, "i64.trunc_f64_s", NONE, "F", "I", 0)                                 \
    X(I64_TRUNC_F64_U, 0xb1, "i64.trunc_f64_u", NONE, "F", "I", 0)                                 \
    X(F32_CONVERT_I32_S, 0xb2, "f32.convert_i32_s", NONE, "i", "f", 0)                             \
    X(F32_CONVERT_I32_U, 0xb3, "f32.convert_i32_u", NONE, "i", "f", 0)                             \
    X(F32_CONVERT_I64_S, 0xb4, "f32.convert_i64_s", NONE, "I", "f", 0)                             \
    X(F32_CONVERT_I64_U, 0xb5, "f32.convert_i64_u", NONE, "I", "f", 0)                             \
    X(F32_DEMOTE_F64, 0xb6, "f32.demote_f64", NONE, "F", "f", 0)                                   \
    X(F64_CONVERT_I32_S, 0xb7, "f64.convert_i32_s", NONE, "i", "F", 0)                             \
    X(F64_CONVERT_I32_U, 0xb8, "f64.convert_i32_u", NONE, "i", "F", 0)                             \
    X(F64_CONVERT_I64_S, 0xb9, "f64.convert_i64_s", NONE, "I", "F", 0)                             \
    X(F64_CONVERT_I64_U, 0xba, "f64.convert_i64_u", NONE, "I", "F", 0)                             \
    X(F64_PROMOTE_F32, 0xbb, "f64.promote_f32", NONE, "f", "F", 0)                                 \
    X(I32_REINTERPRET_F32, 0xbc, "i32.reinterpret_f32", NONE, "f", "i", 0)                         \
    X(I64_REINTERPRET_F64, 0xbd, "i64.reinterpret_f64", NONE, "F", "I", 0)                         \
    X(F32_REINTERPRET_I32, 0xbe, "f32.reinterpret_i32", NONE, "i", "f", 0)                         \
    X(F64_REINTERPRET_I64, 0xbf, "f64.reinterpret_i64", NONE, "I", "F", 0)                         \
    X(I32_EXTEND8_S, 0xc0, "i32.extend8_s", NONE, "i", "i", 0)                                     \
    X(I32_EXTEND16_S, 0xc1, "i32.extend16_s", NONE, "i", "i", 0)                                   \
    X(I64_EXTEND8_S, 0xc2, "i64.extend8_s", NONE, "I", "I", 0)                                     \
    X(I64_EXTEND16_S, 0xc3, "i64.extend16_s", NONE, "I", "I", 0)                                   \
    X(I64_EXTEND32_S, 0xc4, "i64.extend32_s", NONE, "I", "I", 0)                                   \
    /* References (5.4.2). */                                                                      \
    X(REF_NULL, 0xd0, "ref.null", REF_TYPE, "*", "*", 0)                                           \
    X(REF_IS_NULL, 0xd1, "ref.is_null", NONE, "*", "*", 0)                                         \
    X(REF_FUNC, 0xd2, "ref.func", FUNC, "*", "*", 0)                                               \
    /* 0xFC n is 0x100 + n. */                                                                     \
    X(I32_TRUNC_SAT_F32_S, 0x100, "i32.trunc_sat_f32_s", NONE, "f", "i", 0)                        \
    X(I32_TRUNC_SAT_F32_U, 0x101, "i32.trunc_sat_f32_u", NONE, "f", "i", 0)                        \
    X(I32_TRUNC_SAT_F64_S, 0x102, "i32.trunc_sat_f64_s", NONE, "F", "i", 0)                        \
    X(I32_TRUNC_SAT_F64_U, 0x103, "i32.trunc_sat_f64_u", NONE, "F", "i", 0)                        \
    X(I64_TRUNC_SAT_F32_S, 0x104, "i64.trunc_sat_f32_s", NONE, "f", "I", 0)                        \
    X(I64_TRUNC_SAT_F32_U, 0x105, "i64.trunc_sat_f32_u", NONE, "f", "I", 0)                        \
    X(I64_TRUNC_SAT_F64_S, 0x106, "i64.trunc_sat_f64_s", NONE, "F", "I", 0)                        \
    X(I64_TRUNC_SAT_F64_U, 0x107, "i64.trunc_sat_f64_u", NONE, "F", "I", 0)                        \
    X(MEMORY_INIT, 0x108, "memory.init", MEMORY_INIT, "iii", "", 0)                                \
    X(DATA_DROP, 0x109, "data.drop", DATA, "", "", 0)                                              \
    X(MEMORY_COPY, 0x10a, "memory.copy", MEMORY_COPY, "iii", "", 0)                                \
    X(MEMORY_FILL, 0x10b, "memory.fill", MEMORY, "iii", "", 0)                                     \
    X(TABLE_INIT, 0x10c, "table.init", TABLE_INIT, "iii", "", 0)                                   \
    X(ELEM_DROP, 0x10d, "elem.drop", ELEM, "", "", 0)                                              \
    X(TABLE_COPY, 0x10e, "table.copy", TABLE_COPY, "iii", "", 0)                                   \
    X(TABLE_GROW, 0x10f, "table.grow", TABLE, "*", "*", 0)                                         \
    X(TABLE_SIZE, 0x110, "table.size", TABLE, "", "i", 0)                                          \
    X(TABLE_FILL, 0x111, "table.fill", TABLE, "*", "*", 0)                                         \
    /* Vectors (5.4.8): 0xFD n is 0x200 + n. Last column: width of access or lane. */              \
    X(V128_LOAD, 0x200, "v128.load", MEM, "i", "v", 16)                                            \
    X(V128_LOAD8X8_S, 0x201, "v128.load8x8_s", MEM, "i", "v", 8)                                   \
    X(V128_LOAD8X8_U, 0x202, "v128.load8x8_u", MEM, "i", "v", 8)                                   \
    X(V128_LOAD16X4_S, 0x203, "v128.load16x4_s", MEM, "i", "v", 8)                                 \
    X(V128_LOAD16X4_U, 0x204, "v128.load16x4_u", MEM, "i", "v", 8)                                 \
    X(V128_LOAD32X2_S, 0x205, "v128.load32x2_s", MEM, "i", "v", 8)                                 \
    X(V128_LOAD32X2_U, 0x206, "v128.load32x2_u", MEM, "i", "v", 8)                                 \
    X(V128_LOAD8_SPLAT, 0x207, "v128.load8_splat", MEM, "i", "v", 1)                               \
    X(V128_LOAD16_SPLAT, 0x208, "v128.load16_splat", MEM, "i", "v", 2)                             \
    X(V128_LOAD32_SPLAT, 0x209, "v128.load32_splat", MEM, "i", "v", 4)                             \
    X(V128_LOAD64_SPLAT, 0x20a, "v128.load64_splat", MEM, "i", "v", 8)                             \
    X(V128_STORE, 0x20b, "v128.store", MEM, "iv", "", 16)                                          \
    X(V128_CONST, 0x20c, "v128.const", V128, "", "v", 0)                                           \
    X(I8X16_SHUFFLE, 0x20d, "i8x16.shuffle", SHUFFLE, "vv", "v", 0)                                \
    X(I8X16_SWIZZLE, 0x20e, "i8x16.swizzle", NONE, "vv", "v", 0)                                   \
    X(I8X16_SPLAT, 0x20f, "i8x16.splat", NONE, "i", "v", 0)                                        \
    X(I16X8_SPLAT, 0x210, "i16x8.splat", NONE, "i", "v", 0)                                        \
    X(I32X4_SPLAT, 0x211, "i32x4.splat", NONE, "i", "v", 0)                                        \
    X(I64X2_SPLAT, 0x212, "i64x2.splat", NONE, "I", "v", 0)                                        \
    X(F32X4_SPLAT, 0x213, "f32x4.splat", NONE, "f", "v", 0)                                        \
    X(F64X2_SPLAT, 0x214, "f64x2.splat", NONE, "F", "v", 0)                                        \
    X(I8X16_EXTRACT_LANE_S, 0x215, "i8x16.extract_lane_s", LANE, "v", "i", 1)                      \
    X(I8X16_EXTRACT_LANE_U, 0x216, "i8x16.extract_lane_u", LANE, "v", "i", 1)                      \
    X(I8X16_REPLACE_LANE, 0x217, "i8x16.replace_lane", LANE, "vi", "v", 1)                         \
    X(I16X8_EXTRACT_LANE_S, 0x218, "i16x8.extract_lane_s", LANE, "v", "i", 2)                      \
    X(I16X8_EXTRACT_LANE_U, 0x219, "i16x8.extract_lane_u", LANE, "v", "i", 2)                      \
    X(I16X8_REPLACE_LANE, 0x21a, "i16x8.replace_lane", LANE, "vi", "v", 2)                         \
    X(I32X4_EXTRACT_LANE, 0x21b, "i32x4.extract_lane", LANE, "v", "i", 4)                          \
    X(I32X4_REPLACE_LANE, 0x21c, "i32x4.replace_lane", LANE, "vi", "v", 4)                         \
    X(I64X2_EXTRACT_LANE, 0x21d, "i64x2.extract_lane", LANE, "v", "I", 8)                          \
    X(I64X2_REPLACE_LANE, 0x21e, "i64x2.replace_lane", LANE, "vI", "v", 8)                         \
    X(F32X4_EXTRACT_LANE, 0x21f, "f32x4.extract_lane", LANE, "v", "f", 4)                          \
    X(F32X4_REPLACE_LANE, 0x220, "f32x4.replace_lane", LANE, "vf", "v", 4)                         \
    X(F64X2_EXTRACT_LANE, 0x221, "f64x2.extract_lane", LANE, "v", "F", 8)                          \
    X(F64X2_REPLACE_LANE, 0x222, "f64x2.replace_lane", LANE, "vF", "v", 8)                         \
    X(I8X16_EQ, 0x223, "i8x16.eq", NONE, "vv", "v", 0)                                             \
    X(I8X16_NE, 0x224, "i8x16.ne", NONE, "vv", "v", 0)                                             \
    X(I8X16_LT_S, 0x225, "i8x16.lt_s", NONE, "vv", "v", 0)                                         \
    X(I8X16_LT_U, 0x226, "i8x16.lt_u", NONE, "vv", "v", 0)                                         \
    X(I8X16_GT_S, 0x227, "i8x16.gt_s", NONE, "vv", "v", 0)                                         \
    X(I8X16_GT_U, 0x228, "i8x16.gt_u", NONE, "vv", "v", 0)                                         \
    X(I8X16_LE_S, 0x229, "i8x16.le_s", NONE, "vv", "v", 0)                                         \
    X(I8X16_LE_U, 0x22a, "i8x16.le_u", NONE, "vv", "v", 0)                                         \
    X(I8X16_GE_S, 0x22b, "i8x16.ge_s", NONE, "vv", "v", 0)                                         \
    X(I8X16_GE_U, 0x22c, "i8x16.ge_u", NONE, "vv", "v", 0)                                         \
    X(I16X8_EQ, 0x22d, "i16x8.eq", NONE, "vv", "v", 0)                                             \
    X(I16X8_NE, 0x22e, "i16x8.ne", NONE, "vv", "v", 0)                                             \
    X(I16X8_LT_S, 0x22f, "i16x8.lt_s", NONE, "vv", "v", 0)                                         \
    X(I16X8_LT_U, 0x230, "i16x8.lt_u", NONE, "vv", "v", 0)                                         \
    X(I16X8_GT_S, 0x231, "i16x8.gt_s", NONE, "vv", "v", 0)                                         \
    X(I16X8_GT_U, 0x232, "i16x8.gt_u", NONE, "vv", "v", 0)                                         \
    X(I16X8_LE_S, 0x233, "i16x8.le_s", NONE, "vv", "v", 0)                                         \
    X(I16X8_LE_U, 0x234, "i16x8.le_u", NONE, "vv", "v", 0)                                         \
    X(I16X8_GE_S, 0x235, "i16x8.ge_s", NONE, "vv", "v", 0)                                         \
    X(I16X8_GE_U, 0x236, "i16x8.ge_u", NONE, "vv", "v", 0)                                         \
    X(I32X4_EQ, 0x237, "i32x4.eq", NONE, "vv", "v", 0)                                             \
    X(I32X4_NE, 0x238, "i32x4.ne", NONE, "vv", "v", 0)                                             \
    X(I32X4_LT_S, 0x239, "i32x4.lt_s", NONE, "vv", "v", 0)                                         \
    X(I32X4_LT_U, 0x23a, "i32x4.lt_u", NONE, "vv", "v", 0)                                         \
    X(I32X4_GT_S, 0x23b, "i32x4.gt_s", NONE, "vv", "v", 0)                                         \
    X(I32X4_GT_U, 0x23c, "i32x4.gt_u", NONE, "vv", "v", 0)                                         \
    X(I32X4_LE_S, 0x23d, "i32x4.le_s", NONE, "vv", "v", 0)                                         \
    X(I32X4_LE_U, 0x23e, "i32x4.le_u", NONE, "vv", "v", 0)                                         \
    X(I32X4_GE_S, 0x23f, "i32x4.ge_s", NONE, "vv", "v", 0)                                         \
    X(I32X4_GE_U, 0x240, "i32x4.ge_u", NONE, "vv", "v", 0)                                         \
    X(F32X4_EQ, 0x241, "f32x4.eq", NONE, "vv", "v", 0)                                             \
    X(F32X4_NE, 0x242, "f32x4.ne", NONE, "vv", "v", 0)                                             \
    X(F32X4_LT, 0x243, "f32x4.lt", NONE, "vv", "v", 0)                                             \
    X(F32X4_GT, 0x244, "f32x4.gt", NONE, "vv", "v", 0)                                             \
    X(F32X4_LE, 0x245, "f32x4.le", NONE, "vv", "v", 0)                                             \
    X(F32X4_GE, 0x246, "f32x4.ge", NONE, "vv", "v", 0)                                             \
    X(F64X2_EQ, 0x247, "f64x2.eq", NONE, "vv", "v", 0)                                             \
    X(F64X2_NE, 0x248, "f64x2.ne", NONE, "vv", "v", 0)                                             \
    X(F64X2_LT, 0x249, "f64x2.lt", NONE, "vv", "v", 0)                                             \
    X(F64X2_GT, 0x24a, "f64x2.gt", NONE, "vv", "v", 0)                                             \
    X(F64X2_LE, 0x24b, "f64x2.le", NONE, "vv", "v", 0)                                             \
    X(F64X2_GE, 0x24c, "f64x2.ge", NONE, "vv", "v", 0)                                             \
    X(V128_NOT, 0x24d, "v128.not", NONE, "v", "v", 0)                                              \
    X(V128_AND, 0x24e, "v128.and", NONE, "vv", "v", 0)                                             \
    X(V128_ANDNOT, 0x24f, "v128.andnot", NONE, "vv", "v", 0)                                       \
    X(V128_OR, 0x250, "v128.or", NONE, "vv", "v", 0)                                               \
    X(V128_XOR, 0x251, "v128.xor", NONE, "vv", "v", 0)                                             \
    X(V128_BITSELECT, 0x252, "v128.bitselect", NONE, "vvv", "v", 0)                                \
    X(V128_ANY_TRUE, 0x253, "v128.any_true", NONE, "v", "i", 0)                                    \
    X(V128_LOAD8_LANE, 0x254, "v128.load8_lane", MEM_LANE, "iv", "v", 1)                           \
    X(V128_LOAD16_LANE, 0x255, "v128.load16_lane", MEM_LANE, "iv", "v", 2)                         \
    X(V128_LOAD32_LANE, 0x256, "v128.load32_lane", MEM_LANE, "iv", "v", 4)                         \
    X(V128_LOAD64_LANE, 0x257, "v128.load64_lane", MEM_LANE, "iv", "v", 8)                         \
    X(V128_STORE8_LANE, 0x258, "v128.store8_lane", MEM_LANE, "iv", "", 1)                          \
    X(V128_STORE16_LANE, 0x259, "v128.store16_lane", MEM_LANE, "iv", "", 2)                        \
    X(V128_STORE32_LANE, 0x25a, "v128.store32_lane", MEM_LANE, "iv", "", 4)                        \
    X(V128_STORE64_LANE, 0x25b, "v128.store64_lane", MEM_LANE, "iv", "", 8)                        \
    X(V128_LOAD32_ZERO, 0x25c, "v128.load32_zero", MEM, "i", "v", 4)                               \
    X(V128_LOAD64_ZERO, 0x25d, "v128.load64_zero", MEM, "i", "v", 8)                               \
    X(F32X4_DEMOTE_F64X2_ZERO, 0x25e, "f32x4.demote_f64x2_zero", NONE, "v", "v", 0)                \
    X(F64X2_PROMOTE_LOW_F32X4, 0x25f, "f64x2.promote_low_f32x4", NONE, "v", "v", 0)                \
    X(I8X16_ABS, 0x260, "i8x16.abs", NONE, "v", "v", 0)                                            \
    X(I8X16_NEG, 0x261, "i8x16.neg", NONE, "v", "v", 0)                                            \
    X(I8X16_POPCNT, 0x262, "i8x16.popcnt", NONE, "v", "v", 0)                                      \
    X(I8X16_ALL_TRUE, 0x263, "i8x16.all_true", NONE, "v", "i", 0)                                  \
    X(I8X16_BITMASK, 0x264, "i8x16.bitmask", NONE, "v", "i", 0)                                    \
    X(I8X16_NARROW_I16X8_S, 0x265, "i8x16.narrow_i16x8_s", NONE, "vv", "v", 0)                     \
    X(I8X16_NARROW_I16X8_U, 0x266, "i8x16.narrow_i16x8_u", NONE, "vv", "v", 0)                     \
    X(F32X4_CEIL, 0x267, "f32x4.ceil", NONE, "v", "v", 0)                                          \
    X(F32X4_FLOOR, 0x268, "f32x4.floor", NONE, "v", "v", 0)                                        \
    X(F32X4_TRUNC, 0x269, "f32x4.trunc", NONE, "v", "v", 0)                                        \
    X(F32X4_NEAREST, 0x26a, "f32x4.nearest", NONE, "v", "v", 0)                                    \
    X(I8X16_SHL, 0x26b, "i8x16.shl", NONE, "vi", "v", 0)                                           \
    X(I8X16_SHR_S, 0x26c, "i8x16.shr_s", NONE, "vi", "v", 0)                                       \
    X(I8X16_SHR_U, 0x26d, "i8x16.shr_u", NONE, "vi", "v", 0)                                       \
    X(I8X16_ADD, 0x26e, "i8x16.add", NONE, "vv", "v", 0)                                           \
    X(I8X16_ADD_SAT_S, 0x26f, "i8x16.add_sat_s", NONE, "vv", "v", 0)                               \
    X(I8X16_ADD_SAT_U, 0x270, "i8x16.add_sat_u", NONE, "vv", "v", 0)                               \
    X(I8X16_SUB, 0x271, "i8x16.sub", NONE, "vv", "v", 0)                                           \
    X(I8X16_SUB_SAT_S, 0x272, "i8x16.sub_sat_s", NONE, "vv", "v", 0)                               \
    X(I8X16_SUB_SAT_U, 0x273, "i8x16.sub_sat_u", NONE, "vv", "v", 0)                               \
    X(F64X2_CEIL, 0x274, "f64x2.ceil", NONE, "v", "v", 0)                                          \
    X(F64X2_FLOOR, 0x275, "f64x2.floor", NONE, "v", "v", 0)                                        \
    X(I8X16_MIN_S, 0x276, "i8x16.min_s", NONE, "vv", "v", 0)                                       \
    X(I8X16_MIN_U, 0x277, "i8x16.min_u", NONE, "vv", "v", 0)                                       \
    X(I8X16_MAX_S, 0x278, "i8x16.max_s", NONE, "vv", "v", 0)                                       \
    X(I8X16_MAX_U, 0x279, "i8x16.max_u", NONE, "vv", "v", 0)                                       \
    X(F64X2_TRUNC, 0x27a, "f64x2.trunc", NONE, "v", "v", 0)                                        \
    X(I8X16_AVGR_U, 0x27b, "i8x16.avgr_u", NONE, "vv", "v", 0)                                     \
    X(I16X8_EXTADD_PAIRWISE_I8X16_S, 0x27c, "i16x8.extadd_pairwise_i8x16_s", NONE, "v", "v", 0)    \
    X(I16X8_EXTADD_PAIRWISE_I8X16_U, 0x27d, "i16x8.extadd_pairwise_i8x16_u", NONE, "v", "v", 0)    \
    X(I32X4_EXTADD_PAIRWISE_I16X8_S, 0x27e, "i32x4.extadd_pairwise_i16x8_s", NONE, "v", "v", 0)    \
    X(I32X4_EXTADD_PAIRWISE_I16X8_U, 0x27f, "i32x4.extadd_pairwise_i16x8_u", NONE, "v", "v", 0)    \
    X(I16X8_ABS, 0x280, "i16x8.abs", NONE, "v", "v", 0)                                            \
    X(I16X8_NEG, 0x281, "i16x8.neg", NONE, "v", "v", 0)                                            \
    X(I16X8_Q15MULR_SAT_S, 0x282, "i16x8.q15mulr_sat_s", NONE, "vv", "v", 0)                       \
    X(I16X8_ALL_TRUE, 0x283, "i16x8.all_true", NONE, "v", "i", 0)                                  \
    X(I16X8_BITMASK, 0x284, "i16x8.bitmask", NONE, "v", "i", 0)                                    \
    X(I16X8_NARROW_I32X4_S, 0x285, "i16x8.narrow_i32x4_s", NONE, "vv", "v", 0)                     \
    X(I16X8_NARROW_I32X4_U, 0x286, "i16x8.narrow_i32x4_u", NONE, "vv", "v", 0)                     \
    X(I16X8_EXTEND_LOW_I8X16_S, 0x287, "i16x8.extend_low_i8x16_s", NONE, "v", "v", 0)              \
    X(I16X8_EXTEND_HIGH_I8X16_S, 0x288, "i16x8.extend_high_i8x16_s", NONE, "v", "v", 0)            \
    X(I16X8_EXTEND_LOW_I8X16_U, 0x289, "i16x8.extend_low_i8x16_u", NONE, "v", "v", 0)              \
    X(I16X8_EXTEND_HIGH_I8X16_U, 0x28a, "i16x8.extend_high_i8x16_u", NONE, "v", "v", 0)            \
    X(I16X8_SHL, 0x28b, "i16x8.shl", NONE, "vi", "v", 0)                                           \
    X(I16X8_SHR_S, 0x28c, "i16x8.shr_s", NONE, "vi", "v", 0)                                       \
    X(I16X8_SHR_U, 0x28d, "i16x8.shr_u", NONE, "vi", "v", 0)                                       \
    X(I16X8_ADD, 0x28e, "i16x8.add", NONE, "vv", "v", 0)                                           \
    X(I16X8_ADD_SAT_S, 0x28f, "i16x8.add_sat_s", NONE, "vv", "v", 0)                               \
    X(I16X8_ADD_SAT_U, 0x290, "i16x8.add_sat_u", NONE, "vv", "v", 0)                               \
    X(I16X8_SUB, 0x291, "i16x8.sub", NONE, "vv", "v", 0)                                           \
    X(I16X8_SUB_SAT_S, 0x292, "i16x8.sub_sat_s", NONE, "vv", "v", 0)                               \
    X(I16X8_SUB_SAT_U, 0x293, "i16x8.sub_sat_u", NONE, "vv", "v", 0)                               \
    X(F64X2_NEAREST, 0x294, "f64x2.nearest", NONE, "v", "v", 0)                                    \
    X(I16X8_MUL, 0x295, "i16x8.mul", NONE, "vv", "v", 0)                                           \
    X(I16X8_MIN_S, 0x296, "i16x8.min_s", NONE, "vv", "v", 0)                                       \
    X(I16X8_MIN_U, 0x297, "i16x8.min_u", NONE, "vv", "v", 0)                                       \
    X(I16X8_MAX_S, 0x298, "i16x8.max_s", NONE, "vv", "v", 0)                                       \
    X(I16X8_MAX_U, 0x299, "i16x8.max_u", NONE, "vv", "v", 0)                                       \
    X(I16X8_AVGR_U, 0x29b, "i16x8.avgr_u", NONE, "vv", "v", 0)                                     \
    X(I16X8_EXTMUL_LOW_I8X16_S, 0x29c, "i16x8.extmul_low_i8x16_s", NONE, "vv", "v", 0)             \
    X(I16X8_EXTMUL_HIGH_I8X16_S, 0x29d, "i16x8.extmul_high_i8x16_s", NONE, "vv", "v", 0)           \
    X(I16X8_EXTMUL_LOW_I8X16_U, 0x29e, "i16x8.extmul_low_i8x16_u", NONE, "vv", "v", 0)             \
    X(I16X8_EXTMUL_HIGH_I8X16_U, 0x29f, "i16x8.extmul_high_i8x16_u", NONE, "vv", "v", 0)           \
    X(I32X4_ABS, 0x2a0, "i32x4.abs", NONE, "v", "v", 0)                                            \
    X(I32X4_NEG, 0x2a1, "i32x4.neg", NONE, "v", "v", 0)                                            \
    X(I32X4_ALL_TRUE, 0x2a3, "i32x4.all_true", NONE, "v", "i", 0)                                  \
    X(I32X4_BITMASK, 0x2a4, "i32x4.bitmask", NONE, "v", "i", 0)                                    \
    X(I32X4_EXTEND_LOW_I16X8_S, 0x2a7, "i32x4.extend_low_i16x8_s", NONE, "v", "v", 0)              \
    X(I32X4_EXTEND_HIGH_I16X8_S, 0x2a8, "i32x4.extend_high_i16x8_s", NONE, "v", "v", 0)            \
    X(I32X4_EXTEND_LOW_I16X8_U, 0x2a9, "i32x4.extend_low_i16x8_u", NONE, "v", "v", 0)              \
    X(I32X4_EXTEND_HIGH_I16X8_U, 0x2aa, "i32x4.extend_high_i16x8_u", NONE, "v", "v", 0)            \
    X(I32X4_SHL, 0x2ab, "i32x4.shl", NONE, "vi", "v", 0)                                           \
    X(I32X4_SHR_S, 0x2ac, "i32x4.shr_s", NONE, "vi", "v", 0)                                       \
    X(I32X4_SHR_U, 0x2ad, "i32x4.shr_u", NONE, "vi", "v", 0)                                       \
    X(I32X4_ADD, 0x2ae, "i32x4.add", NONE, "vv", "v", 0)                                           \
    X(I32X4_SUB, 0x2b1, "i32x4.sub", NONE, "vv", "v", 0)                                           \
    X(I32X4_MUL, 0x2b5, "i32x4.mul", NONE, "vv", "v", 0)                                           \
    X(I32X4_MIN_S, 0x2b6, "i32x4.min_s", NONE, "vv", "v", 0)                                       \
    X(I32X4_MIN_U, 0x2b7, "i32x4.min_u", NONE, "vv", "v", 0)                                       \
    X(I32X4_MAX_S, 0x2b8, "i32x4.max_s", NONE, "vv", "v", 0)                                       \
    X(I32X4_MAX_U, 0x2b9, "i32x4.max_u", NONE, "vv", "v", 0)                                       \
    X(I32X4_DOT_I16X8_S, 0x2ba, "i32x4.dot_i16x8_s", NONE, "vv", "v", 0)                           \
    X(I32X4_EXTMUL_LOW_I16X8_S, 0x2bc, "i32x4.extmul_low_i16x8_s", NONE, "vv", "v", 0)             \
    X(I32X4_EXTMUL_HIGH_I16X8_S, 0x2bd, "i32x4.extmul_high_i16x8_s", NONE, "vv", "v", 0)           \
    X(I32X4_EXTMUL_LOW_I16X8_U, 0x2be, "i32x4.extmul_low_i16x8_u", NONE, "vv", "v", 0)             \
    X(I32X4_EXTMUL_HIGH_I16X8_U, 0x2bf, "i32x4.extmul_high_i16x8_u", NONE, "vv", "v", 0)           \
    X(I64X2_ABS, 0x2c0, "i64x2.abs", NONE, "v", "v", 0)                                            \
    X(I64X2_NEG, 0x2c1, "i64x2.neg", NONE, "v", "v", 0)                                            \
    X(I64X2_ALL_TRUE, 0x2c3, "i64x2.all_true", NONE, "v", "i", 0)                                  \
    X(I64X2_BITMASK, 0x2c4, "i64x2.bitmask", NONE, "v", "i", 0)                                    \
    X(I64X2_EXTEND_LOW_I32X4_S, 0x2c7, "i64x2.extend_low_i32x4_s", NONE, "v", "v", 0)              \
    X(I64X2_EXTEND_HIGH_I32X4_S, 0x2c8, "i64x2.extend_high_i32x4_s", NONE, "v", "v", 0)            \
    X(I64X2_EXTEND_LOW_I32X4_U, 0x2c9, "i64x2.extend_low_i32x4_u", NONE, "v", "v", 0)              \
    X(I64X2_EXTEND_HIGH_I32X4_U, 0x2ca, "i64x2.extend_high_i32x4_u", NONE, "v", "v", 0)            \
    X(I64X2_SHL, 0x2cb, "i64x2.shl", NONE, "vi", "v", 0)                                           \
    X(I64X2_SHR_S, 0x2cc, "i64x2.shr_s", NONE, "vi", "v", 0)                                       \
    X(I64X2_SHR_U, 0x2cd, "i64x2.shr_u", NONE, "vi", "v", 0)                                       \
    X(I64X2_ADD, 0x2ce, "i64x2.add", NONE, "vv", "v", 0)                                           \
    X(I64X2_SUB, 0x2d1, "i64x2.sub", NONE, "vv", "v", 0)                                           \
    X(I64X2_MUL, 0x2d5, "i64x2.mul", NONE, "vv", "v", 0)                                           \
    X(I64X2_EQ, 0x2d6, "i64x2.eq", NONE, "vv", "v", 0)                                             \
    X(I64X2_NE, 0x2d7, "i64x2.ne", NONE, "vv", "v", 0)                                             \
    X(I64X2_LT_S, 0x2d8, "i64x2.lt_s", NONE, "vv", "v", 0)                                         \
    X(I64X2_GT_S, 0x2d9, "i64x2.gt_s", NONE, "vv", "v", 0)                                         \
    X(I64X2_LE_S, 0x2da, "i64x2.le_s", NONE, "vv", "v", 0)                                         \
    X(I64X2_GE_S, 0x2db, "i64x2.ge_s", NONE, "vv", "v", 0)                                         \
    X(I64X2_EXTMUL_LOW_I32X4_S, 0x2dc, "i64x2.extmul_low_i32x4_s", NONE, "vv", "v", 0)             \
    X(I64X2_EXTMUL_HIGH_I32X4_S, 0x2dd, "i64x2.extmul_high_i32x4_s", NONE, "vv", "v", 0)           \
    X(I64X2_EXTMUL_LOW_I32X4_U, 0x2de, "i64x2.extmul_low_i32x4_u", NONE, "vv", "v", 0)             \
    X(I64X2_EXTMUL_HIGH_I32X4_U, 0x2df, "i64x2.extmul_high_i32x4_u", NONE, "vv", "v", 0)           \
    X(F32X4_ABS, 0x2e0, "f32x4.abs", NONE, "v", "v", 0)                                            \
    X(F32X4_NEG, 0x2e1, "f32x4.neg", NONE, "v", "v", 0)                                            \
    X(F32X4_SQRT, 0x2e3, "f32x4.sqrt", NONE, "v", "v", 0)                                          \
    X(F32X4_ADD, 0x2e4, "f32x4.add", NONE, "vv", "v", 0)                                           \
    X(F32X4_SUB, 0x2e5, "f32x4.sub", NONE, "vv", "v", 0)                                           \
    X(F32X4_MUL, 0x2e6, "f32x4.mul", NONE, "vv", "v", 0)                                           \
    X(F32X4_DIV, 0x2e7, "f32x4.div", NONE, "vv", "v", 0)                                           \
    X(F32X4_MIN, 0x2e8, "f32x4.min", NONE, "vv", "v", 0)                                           \
    X(F32X4_MAX, 0x2e9, "f32x4.max", NONE, "vv", "v", 0)                                           \
    X(F32X4_PMIN, 0x2ea, "f32x4.pmin", NONE, "vv", "v", 0)                                         \
    X(F32X4_PMAX, 0x2eb, "f32x4.pmax", NONE, "vv", "v", 0)                                         \
    X(F64X2_ABS, 0x2ec, "f64x2.abs", NONE, "v", "v", 0)                                            \
    X(F64X2_NEG, 0x2ed, "f64x2.neg", NONE, "v", "v", 0)                                            \
    X(F64X2_SQRT, 0x2ef, "f64x2.sqrt", NONE, "v", "v", 0)                                          \
    X(F64X2_ADD, 0x2f0, "f64x2.add", NONE, "vv", "v", 0)                                           \
    X(F64X2_SUB, 0x2f1, "f64x2.sub", NONE, "vv", "v", 0)                                           \
    X(F64X2_MUL, 0x2f2, "f64x2.mul", NONE, "vv", "v", 0)                                           \
    X(F64X2_DIV, 0x2f3, "f64x2.div", NONE, "vv", "v", 0)                                           \
    X(F64X2_MIN, 0x2f4, "f64x2.min", NONE, "vv", "v", 0)                                           \
    X(F64X2_MAX, 0x2f5, "f64x2.max", NONE, "vv", "v", 0)                                           \
    X(F64X2_PMIN, 0x2f6, "f64x2.pmin", NONE, "vv", "v", 0)                                         \
    X(F64X2_PMAX, 0x2f7, "f64x2.pmax", NONE, "vv", "v", 0)                                         \
    X(I32X4_TRUNC_SAT_F32X4_S, 0x2f8, "i32x4.trunc_sat_f32x4_s", NONE, "v", "v", 0)                \
    X(I32X4_TRUNC_SAT_F32X4_U, 0x2f9, "i32x4.trunc_sat_f32x4_u", NONE, "v", "v", 0)                \
    X(F32X4_CONVERT_I32X4_S, 0x2fa, "f32x4.convert_i32x4_s", NONE, "v", "v", 0)                    \
    X(F32X4_CONVERT_I32X4_U, 0x2fb, "f32x4.convert_i32x4_u", NONE, "v", "v", 0)                    \
    X(I32X4_TRUNC_SAT_F64X2_S_ZERO, 0x2fc, "i32x4.trunc_sat_f64x2_s_zero", NONE, "v", "v", 0)      \
    X(I32X4_TRUNC_SAT_F64X2_U_ZERO, 0x2fd, "i32x4.trunc_sat_f64x2_u_zero", NONE, "v", "v", 0)      \
    X(F64X2_CONVERT_LOW_I32X4_S, 0x2fe, "f64x2.convert_low_i32x4_s", NONE, "v", "v", 0)            \
    X(F64X2_CONVERT_LOW_I32X4_U, 0x2ff, "f64x2.convert_low_i32x4_u", NONE, "v", "v", 0)
/* clang-format on */

enum wasm_imm {
    WASM_IMM_NONE,
    WASM_IMM_BLOCK,         /* block type */
    WASM_IMM_LABEL,         /* idx */
    WASM_IMM_BR_TABLE,      /* count, labels */
    WASM_IMM_FUNC,          /* idx */
    WASM_IMM_CALL_INDIRECT, /* idx: type, idx2: table */
    WASM_IMM_SELECT,        /* select_count, select_type */
    WASM_IMM_LOCAL,         /* idx */
    WASM_IMM_GLOBAL,        /* idx */
    WASM_IMM_TABLE,         /* idx */
    WASM_IMM_TABLE_INIT,    /* idx: element segment, idx2: table */
    WASM_IMM_TABLE_COPY,    /* idx: destination, idx2: source */
    WASM_IMM_ELEM,          /* idx */
    WASM_IMM_DATA,          /* idx */
    WASM_IMM_MEMORY,        /* a zero byte */
    WASM_IMM_MEMORY_INIT,   /* idx: data segment; a zero byte */
    WASM_IMM_MEMORY_COPY,   /* two zero bytes */
    WASM_IMM_MEM,           /* align_log2, mem_offset */
    WASM_IMM_MEM_LANE,      /* align_log2, mem_offset, mem_lane */
    WASM_IMM_LANE,          /* lane */
    WASM_IMM_SHUFFLE,       /* v128: 16 lanes, each below 32 */
    WASM_IMM_V128,          /* v128 */
    WASM_IMM_I32,           /* i32 */
    WASM_IMM_I64,           /* i64 */
    WASM_IMM_F32,           /* f32_bits */
    WASM_IMM_F64,           /* f64_bits */
    WASM_IMM_REF_TYPE,      /* ref_type */
};

#define WASM_OPCODE_ENUM(name, code, text, imm, params, results, bytes) WASM_OP_##name = (code),
enum wasm_opcode { WASM_OPCODE_TABLE(WASM_OPCODE_ENUM) };
#undef WASM_OPCODE_ENUM

#define WASM_OPCODE_END 0x300u /* every code is below it */

struct wasm_opcode_info {
    const char *name; /* as in the text format; NULL: no instruction */
    char params[4];
    char results[2];
    uint8_t imm; /* enum wasm_imm */
    uint8_t bytes;
};

extern const struct wasm_opcode_info wasm_opcode_table[WASM_OPCODE_END];

/* NULL where there is no such instruction; any number may be asked for. */
static inline const struct wasm_opcode_info *wasm_opcode_info(enum wasm_opcode op)
{
    uint32_t code = (uint32_t)op;
    return code < WASM_OPCODE_END && wasm_opcode_table[code].name ? &wasm_opcode_table[code] : NULL;
}

#endif
