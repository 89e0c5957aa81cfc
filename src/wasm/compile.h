/* compile.h: running the compiler process `wardmote-wasmc`, several of them for a large module.
 *
 * The compiler is the only program that maps LLVM. It is given the module and a place for the
 * object as open files, limits on memory and time, and nothing else: it confines itself (seccomp:
 * no new files, no network, no exec) before it reads a byte. LLVM aborting, hanging or exploding on
 * a module ends that process, and wasm_compile returns WM_E_COMPILER or WM_E_LIMIT with the reason.
 *
 * The object is the same, byte by byte, however many processes compiled it. */
#ifndef WM_WASM_COMPILE_H
#define WM_WASM_COMPILE_H

#include <limits.h>

#include "base/diag.h"
#include "wasm/options.h"

struct wasm_compile_limits {
    uint64_t memory_bytes; /* address space of one compiler process; 0: the default, 4 GiB */
    uint32_t cpu_seconds;  /* of all processes; 0: the default: 20 + 40 for each MiB of module */
    uint32_t processes;    /* at once; 0: the default: the processors that we may use, at most 8 */
};

/* Called from wasm_compile while it waits, about ten times a second: functions done and in all. */
typedef void wasm_compile_progress(void *self, uint32_t done, uint32_t total);

struct wasm_compile_job {
    int module_fd; /* a regular file, e.g. a memfd; read from its start, its position kept; borrowed
                    */
    int object_fd; /* empty, writable, e.g. a memfd or an unnamed file; borrowed */
    struct wasm_options options;
    struct wasm_compile_limits limits;
    wasm_compile_progress *progress; /* NULL allowed */
    void *progress_self;
};

/* 0; WM_E_MALFORMED, WM_E_INVALID, WM_E_UNSUPPORTED, WM_E_LIMIT of the module; WM_E_COMPILER;
 * WM_E_MISSING where wardmote-wasmc is not installed (looked for beside the running program, then
 * at the build's libexec folder; WARDMOTE_WASMC overrides, for tests).
 *
 * For tests, WARDMOTE_PARTITION_BYTES: how much code makes a partition (wasmc.h), so that small
 * modules too are compiled in parts. Objects made with it differ from others of the same key. */
WM_MUST_CHECK int wasm_compile(const struct wasm_compile_job *job, struct wm_diag *diag);

/* The program that wasm_compile would run: 0, or WM_E_MISSING and where it was looked for. */
WM_MUST_CHECK int wasm_compiler_path(char out[PATH_MAX], struct wm_diag *diag);

#endif
