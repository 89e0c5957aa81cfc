/* wasmc.h: what wardmote-wasmc and the process that runs it agree on.
 *
 *     wardmote-wasmc VERSION MODE TIER CPU FUEL LINES MEMORY-BYTES CPU-SECONDS      all decimal
 *
 * with these files open and no others. The module is read with pread from its start and the object
 * written from its start, so positions that the caller shares with other children do not matter.
 * Not a public interface: both sides are always from one build (WASM_COMPILER_VERSION is compared).
 */
#ifndef WM_WASM_WASMC_H
#define WM_WASM_WASMC_H

#include <stdint.h>

#include "base/diag.h"
#include "wasm/object.h"

enum wasmc_fd {
    WASMC_FD_MODULE,
    WASMC_FD_OBJECT,
    WASMC_FD_STDERR, /* a memory file: what LLVM says when it aborts */
    WASMC_FD_REPORT, /* a pipe: struct wasmc_message */
    WASMC_FD_COUNT,
};

#define WASMC_ARGS 8 /* after the program's name; the first is WASM_COMPILER_VERSION */

enum wasmc_kind { WASMC_PROGRESS = 1, WASMC_RESULT = 2 };

/* Smaller than PIPE_BUF: arrives whole or not at all. */
struct wasmc_message {
    uint32_t kind;
    int32_t code;                  /* RESULT */
    uint32_t done, total;          /* PROGRESS: functions */
    char text[WM_DIAG_TEXT_BYTES]; /* RESULT */
};

/* Largest object, and so largest file that the compiler may write. */
#define WASMC_OBJECT_BYTES_MAX (UINT64_C(8) << 30)

#endif
