/* trap.h: why a guest ended against its will.
 *
 * A trap is a value, never an error of ours and never an exit of the process (WebAssembly core
 * specification 4.2.1, "Traps"; the texts of the first group are those the official test suite
 * expects). The number is part of the object format: compiled code raises trap N with the
 * instruction `ud1 N(%eax),%eax` (llvm.ubsantrap), and the signal handler reads N back from its
 * last byte. */
#ifndef WM_WASM_TRAP_H
#define WM_WASM_TRAP_H

/* X(NAME, number, text) */
#define WASM_TRAP_TABLE(X)                                                                   \
    X(UNREACHABLE, 1, "unreachable")                                                         \
    X(DIVIDE_BY_ZERO, 2, "integer divide by zero")                                           \
    X(INTEGER_OVERFLOW, 3, "integer overflow")                                               \
    X(INVALID_CONVERSION, 4, "invalid conversion to integer")                                \
    X(MEMORY_BOUNDS, 5, "out of bounds memory access")                                       \
    X(TABLE_BOUNDS, 6, "out of bounds table access")                                         \
    X(UNDEFINED_ELEMENT, 7, "undefined element")                                             \
    X(UNINITIALIZED_ELEMENT, 8, "uninitialized element")                                     \
    X(TYPE_MISMATCH, 9, "indirect call type mismatch")                                       \
    X(STACK_EXHAUSTED, 10, "call stack exhausted")                                           \
    /* ours */                                                                               \
    X(OUT_OF_FUEL, 16, "out of fuel")                                                        \
    X(DEADLINE, 17, "deadline passed")                                                       \
    X(KILLED, 18, "killed")                                                                  \
    X(HOST, 19, "a host function failed")                                                    \
    X(EXIT, 20, "the program ended itself") /* proc_exit: carries a status, not a failure */ \
    X(SUSPENDED, 21, "suspended at a host call")                                             \
    X(OUT_OF_MEMORY, 22, "the machine has no memory for this guest")

#define WASM_TRAP_ENUM(name, number, text) WASM_TRAP_##name = number,
enum wasm_trap { WASM_TRAP_NONE = 0, WASM_TRAP_TABLE(WASM_TRAP_ENUM) };
#undef WASM_TRAP_ENUM

/* The text of the table; "unknown trap" otherwise. Borrowed, static. */
const char *wasm_trap_text(enum wasm_trap trap);

#endif
