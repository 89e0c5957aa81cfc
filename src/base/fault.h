/* fault.h: make the n-th allocation or the n-th I/O call fail.
 *
 * base/alloc.c and the folders that call the kernel (host/, port/) pass through wm_fault_here
 * before each operation. Outside tests nothing is armed and the cost is one load and one branch. A
 * test runs its body in a loop with n = 1, 2, 3... until the body succeeds without the fault having
 * fired, so every failure path is walked once (SQLite's method). Faults are armed for the calling
 * thread only. */
#ifndef WM_BASE_FAULT_H
#define WM_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum wm_fault_kind { WM_FAULT_ALLOC, WM_FAULT_IO, WM_FAULT_KINDS };

/* Lets the n-th operation of this kind from now on fail; n >= 1; 0 disarms. */
void wm_fault_arm(enum wm_fault_kind kind, uint64_t n);
/* True when the armed fault has fired. */
bool wm_fault_fired(enum wm_fault_kind kind);
/* Asked by the operation itself: should this one fail? */
bool wm_fault_here(enum wm_fault_kind kind);

/* for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) { body }
 * Arms n on entry to each round and ends after the first round in which it did not fire. Start
 * n at 0. */
bool wm_fault_next(enum wm_fault_kind kind, uint64_t *n);

#endif
