/* wasmc.h: what wardmote-wasmc and the process that runs it agree on.
 *
 *     wardmote-wasmc VERSION MODE TIER CPU FUEL LINES MEMORY-BYTES CPU-SECONDS
 *                    WORKER WORKERS PARTITION-BYTES                                 all decimal
 *
 * with these files open and no others. The module is read with pread from its start and the object
 * written from its start, so positions that the caller shares with other children do not matter.
 *
 * Several workers compile one module. Each reads and validates it for itself, and then translates
 * partitions: runs of functions, which depend on the module alone (wasmc_partitions), so that the
 * object is the same however many workers there are. Who translates which is decided by a pipe that
 * holds the numbers of all partitions: a worker reads one byte and has the next. When it is empty,
 * workers 1... have written what they made to files of their own and end; worker 0, told of that by
 * the end of the pipe that the others hold open, links all and writes the object.
 *
 * So no process here starts, signals or waits for another, and the filter (host/confine.h) that
 * they all have set before they look at the module need not allow it.
 *
 * Not a public interface: both sides are always from one build (WASM_COMPILER_VERSION is compared).
 */
#ifndef WM_WASM_WASMC_H
#define WM_WASM_WASMC_H

#include <stdint.h>

#include "base/diag.h"
#include "wasm/object.h"

enum wasmc_fd {
    WASMC_FD_MODULE,
    WASMC_FD_OBJECT, /* of workers 1...: their own file, struct wasmc_part_head and ELF file in turn
                      */
    WASMC_FD_STDERR, /* a memory file: what LLVM says when it aborts */
    WASMC_FD_REPORT, /* a pipe: struct wasmc_message */
    WASMC_FD_COUNT,  /* for a single worker */
    WASMC_FD_TURNS = WASMC_FD_COUNT, /* a pipe: the numbers of partitions, one byte each */
    WASMC_FD_DONE,         /* a pipe without content: worker 0 reads, the others hold it */
    WASMC_FD_WORKER_COUNT, /* for workers 1... */
    WASMC_FD_PARTS = WASMC_FD_WORKER_COUNT, /* worker 0: the files of workers 1... */
};

#define WASMC_WORKERS_MAX 8
#define WASMC_PARTITIONS_MAX 64
#define WASMC_PARTITION_BYTES (UINT64_C(256) << 10)

/* In so many partitions are `code_bytes` of function bodies compiled; 1 for a small module. */
static inline uint32_t wasmc_partitions(uint64_t code_bytes, uint64_t partition_bytes)
{
    uint64_t count = code_bytes / partition_bytes;
    return count < 1 ? 1 : count > WASMC_PARTITIONS_MAX ? WASMC_PARTITIONS_MAX : (uint32_t)count;
}

struct wasmc_part_head {
    uint64_t partition, bytes; /* the ELF file follows */
};

/* Worker 0, when the others ended without having done their part: the reason is theirs to give. */
#define WASMC_EXIT_LACKS 9

#define WASMC_ARGS 11 /* after the program's name; the first is WASM_COMPILER_VERSION */

enum wasmc_kind { WASMC_PROGRESS = 1, WASMC_RESULT = 2 };

/* Smaller than PIPE_BUF: arrives whole or not at all. */
struct wasmc_message {
    uint32_t kind;
    int32_t code; /* RESULT */
    uint32_t worker;
    uint32_t done, total;          /* PROGRESS: functions by this worker, and in the module */
    char text[WM_DIAG_TEXT_BYTES]; /* RESULT */
};

/* Largest object, and so largest file that the compiler may write. */
#define WASMC_OBJECT_BYTES_MAX (UINT64_C(8) << 30)

#endif
