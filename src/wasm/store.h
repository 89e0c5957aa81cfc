/* store.h: the group of instances that may call each other, and what limits them together.
 *
 * A store (core specification 4.2.3) belongs to one thread at a time. Linked instances live in one
 * store, share its fuel, its deadline and its fate: after a trap that left an instance's state in
 * the middle of something the store's owner decides (reset the slot, or drop the store).
 *
 * Interruption reaches a guest in any loop, in every mode, at no cost to its code: a timer signal
 * arrives on the guest's thread, the handler sees that the interrupted instruction is compiled
 * code, and leaves the guest's frames. In a host function, the flag is seen when it returns (and
 * blocking host functions return early, with WASM_TRAP_DEADLINE or WASM_TRAP_KILLED). The signal
 * repeats every two milliseconds until it has been obeyed.
 *
 * Signals of the process. The first store installs handlers for SIGSEGV, SIGBUS and SIGILL, which
 * pass on whatever no guest caused to the handlers that were there before, and for SIGRTMIN + 12,
 * which is ours alone. A program that installs its own handlers later must pass such faults on to
 * the earlier ones. Each thread that calls into wasm gets an alternate signal stack (unless it has
 * a large enough one) and one POSIX timer, both until it ends. A forked child may go on using its
 * copies of stores. */
#ifndef WM_WASM_STORE_H
#define WM_WASM_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wasm/abi.h"
#include "wasm/trap.h"

struct wasm_store;

struct wasm_store_limits {
    uint64_t memory_bytes; /* most that one memory may grow to; 0: 4 GiB */
    uint64_t table_elems;  /* of one table; 0: WASM_TABLE_ELEMS_MAX */
    uint64_t
        stack_bytes; /* native guest stack; 0: 8 MiB; in det never less than frame_bytes needs */
    uint64_t frame_bytes; /* det: counted frames; 0: as stack_bytes where chosen, else 256 MiB */
};

WM_MUST_CHECK int wasm_store_new(const struct wasm_store_limits *limits, struct wasm_store **out,
                                 struct wm_diag *diag);
/* Frees all instances in it. */
void wasm_store_free(struct wasm_store *store);

struct wasm_budget *wasm_store_budget(struct wasm_store *store);
/* Fuel for the calls to come; counted only by objects compiled with it. INT64_MAX at first. */
void wasm_store_set_fuel(struct wasm_store *store, int64_t fuel);
int64_t wasm_store_fuel(const struct wasm_store *store); /* what is left, never negative */

/* Calls end with WASM_TRAP_DEADLINE when CLOCK_MONOTONIC passes deadline_ns; 0: never. Set while no
 * call runs. */
void wasm_store_set_deadline(struct wasm_store *store, int64_t deadline_ns);
/* From any thread: the running call (or the next one) ends with WASM_TRAP_KILLED. */
void wasm_store_kill(struct wasm_store *store);
/* For blocking host functions: WASM_TRAP_NONE while the guest may go on. */
enum wasm_trap wasm_store_interrupted(const struct wasm_store *store);
int64_t wasm_store_deadline(const struct wasm_store *store);

/* What happened at the last trap in this store. Names are borrowed from the objects. */
#define WASM_BACKTRACE_MAX 64
struct wasm_frame {
    const struct wasm_object *object;
    uint32_t func_idx;
    uint32_t code_offset; /* in the object's text */
};
struct wasm_trap_report {
    enum wasm_trap trap;
    uint64_t
        fault_addr; /* guest address of a MEMORY_BOUNDS fault found by the guard; else UINT64_MAX */
    uint32_t frame_count;
    bool truncated;
    struct wasm_frame frames[WASM_BACKTRACE_MAX]; /* innermost first */
};
const struct wasm_trap_report *wasm_store_report(const struct wasm_store *store);
/* One line per frame, "  at NAME (FILE:LINE)" or "  at NAME (wasm offset 0xN)", escaped. Returns
 * the length that the whole would have, as snprintf does. */
int wasm_report_format(const struct wasm_trap_report *report, char *out, size_t out_bytes);

#endif
