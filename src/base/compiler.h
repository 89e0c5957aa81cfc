/* compiler.h: the compiler features this code relies on, under their C23 meanings.
 *
 * Everything that is not C17 is named here once, so that a later compiler or language version
 * is a change of this file. Freestanding: includes nothing. */
#ifndef WM_BASE_COMPILER_H
#define WM_BASE_COMPILER_H

/* The result carries an error code or owns something: ignoring it is a bug. */
#define WM_MUST_CHECK __attribute__((warn_unused_result))
#define WM_NORETURN __attribute__((noreturn))
#define WM_PRINTF(format_idx, args_idx) __attribute__((format(printf, format_idx, args_idx)))
#define WM_UNUSED __attribute__((unused))
#define WM_ALIGNED(bytes) __attribute__((aligned(bytes)))
#define WM_PACKED __attribute__((packed))
#define WM_NOINLINE __attribute__((noinline))
#define WM_COLD __attribute__((cold))
/* Reads memory that AddressSanitizer cannot know: the frames of guests. */
#define WM_NO_SANITIZE_ADDRESS __attribute__((no_sanitize_address))
#define WM_FALLTHROUGH __attribute__((fallthrough))
/* Part of libwardmote's exported symbol list (src/api/libwardmote.syms). */
#define WM_EXPORT __attribute__((visibility("default")))
/* Runs `function(&variable)` when the variable leaves its scope. */
#define WM_CLEANUP(function) __attribute__((cleanup(function)))

#define WM_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define WM_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define WM_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WM_CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
