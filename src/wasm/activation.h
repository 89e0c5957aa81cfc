/* activation.h: crossing between our C code and compiled code (enter.S, activation.c).
 *
 * A call into wasm is an activation: the host's registers saved on the host's stack, the guest
 * running on its store's own stack. Control comes back in one of two ways: the entry thunk returns,
 * or somebody leaves: wasm_leave, jumped to with the activation and a trap from any depth of guest
 * frames (a service, the stubs below, or a signal handler that rewrote the interrupted registers).
 * Leaving restores the host's registers and abandons the guest's frames; nothing in them is run.
 *
 * Compiled code calls C only through stubs in enter.S. A stub needs no stack of its own; it refuses
 * to go on when an interrupt is pending or less stack is left than the C code behind it may need,
 * and notes where the guest stands, so that a trap raised in C has a backtrace. */
#ifndef WM_WASM_ACTIVATION_H
#define WM_WASM_ACTIVATION_H

/* Offsets in struct wasm_running, for enter.S. */
#define WASM_RUNNING_PENDING 0
#define WASM_RUNNING_SERVICE_LIMIT 8
#define WASM_RUNNING_HOST_LIMIT 16
#define WASM_RUNNING_ACT 24
#define WASM_RUNNING_PC 32
#define WASM_RUNNING_SP 40
#define WASM_RUNNING_FP 48
/* Of the pointer to it in struct wasm_ctx (reserved[0]) and in struct wasm_binding. */
#define WASM_CTX_RUNNING 48
#define WASM_BINDING_RUNNING 8

#ifndef __ASSEMBLER__

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "wasm/abi.h"
#include "wasm/trap.h"

struct wasm_store;

struct wasm_activation {
    void *host_sp;                 /* enter.S: the host's stack, with its registers on top */
    struct wasm_activation *outer; /* the one that this thread was in before, of any store */
    struct wasm_store *store;
};

/* What stubs and handlers need of a store, in one cache line. */
struct wasm_running {
    _Atomic uint32_t pending;    /* enum wasm_trap that is to end the call; WASM_TRAP_NONE */
    uint32_t exact;              /* pc is of the instruction itself, not a return address */
    uintptr_t service_limit;     /* services need their stack pointer above this */
    uintptr_t host_limit;        /* and host functions above this */
    struct wasm_activation *act; /* innermost in this store; NULL: no call runs */
    uintptr_t pc, sp, fp;        /* of the guest when it last left compiled code */
    uint64_t fault_addr;         /* for struct wasm_trap_report */
};
_Static_assert(offsetof(struct wasm_running, pending) == WASM_RUNNING_PENDING, "enter.S");
_Static_assert(offsetof(struct wasm_running, service_limit) == WASM_RUNNING_SERVICE_LIMIT,
               "enter.S");
_Static_assert(offsetof(struct wasm_running, host_limit) == WASM_RUNNING_HOST_LIMIT, "enter.S");
_Static_assert(offsetof(struct wasm_running, act) == WASM_RUNNING_ACT, "enter.S");
_Static_assert(offsetof(struct wasm_running, pc) == WASM_RUNNING_PC, "enter.S");
_Static_assert(offsetof(struct wasm_running, sp) == WASM_RUNNING_SP, "enter.S");
_Static_assert(offsetof(struct wasm_running, fp) == WASM_RUNNING_FP, "enter.S");
_Static_assert(offsetof(struct wasm_activation, host_sp) == 0, "enter.S");
_Static_assert(offsetof(struct wasm_ctx, reserved) == WASM_CTX_RUNNING, "enter.S");

typedef void wasm_entry_fn(void *ctx, void *code, union wasm_value *values);

/* Runs entry(ctx, code, values) with the stack pointer at `stack` (16-aligned), or further down the
 * current stack when it is NULL. Returns WASM_TRAP_NONE, or the trap given to wasm_leave. */
enum wasm_trap wasm_enter(struct wasm_activation *act, void *stack, void *ctx, void *code,
                          union wasm_value *values, wasm_entry_fn *entry);
WM_NORETURN void wasm_leave(struct wasm_activation *act, enum wasm_trap trap);

/* The table of stubs that every context points to. */
extern const struct wasm_services wasm_services;
/* struct wasm_host_binding.call of every binding. */
void wasm_host_stub(struct wasm_host_binding *binding, union wasm_value *values);

#endif
#endif
