/* enter.S: the instructions that C cannot express: switching stacks, and stubs that need no stack.
 *
 * wasm_enter saves what the System V ABI makes a callee preserve (six registers and the SSE control
 * word) on the host's stack, notes that stack's pointer in the activation and calls the entry thunk
 * on the guest's. wasm_leave undoes it from anywhere. The guest always runs with the default control
 * word: WebAssembly knows one rounding mode and no flush to zero (core specification 4.3.3). */
#include "wasm/activation.h"

    .text

    .globl wasm_enter
    .hidden wasm_enter
    .type wasm_enter, @function
/* rdi activation, rsi stack or 0, rdx ctx, rcx code, r8 values, r9 entry thunk */
wasm_enter:
    .cfi_startproc
    push %rbp
    .cfi_adjust_cfa_offset 8
    push %rbx
    .cfi_adjust_cfa_offset 8
    push %r12
    .cfi_adjust_cfa_offset 8
    push %r13
    .cfi_adjust_cfa_offset 8
    push %r14
    .cfi_adjust_cfa_offset 8
    push %r15
    .cfi_adjust_cfa_offset 8
    sub $8, %rsp
    .cfi_adjust_cfa_offset 8
    stmxcsr (%rsp)
    ldmxcsr default_mxcsr(%rip)
    mov %rsp, (%rdi)
    test %rsi, %rsi
    cmovnz %rsi, %rsp
    and $-16, %rsp
    push %rdi /* twice: the entry thunk wants 16-byte alignment at its call */
    push %rdi
    mov %rdx, %rdi
    mov %rcx, %rsi
    mov %r8, %rdx
    xor %ebp, %ebp /* ends a chain of frame pointers */
    call *%r9
    pop %rdi
    xor %esi, %esi
    jmp wasm_leave
    .cfi_endproc
    .size wasm_enter, . - wasm_enter

    .globl wasm_leave
    .hidden wasm_leave
    .type wasm_leave, @function
/* rdi activation, esi trap. Signal handlers jump here, so any register may hold anything. */
wasm_leave:
    .cfi_startproc
    .cfi_undefined rip
    cld
    mov (%rdi), %rsp
    mov %esi, %eax
    ldmxcsr (%rsp)
    add $8, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
    .cfi_endproc
    .size wasm_leave, . - wasm_leave

/* rax: struct wasm_running. Notes where the guest stands: its return address and registers. */
    .macro NOTE_GUEST
    mov (%rsp), %r10
    lea 8(%rsp), %r11
    mov %r10, WASM_RUNNING_PC(%rax)
    mov %r11, WASM_RUNNING_SP(%rax)
    mov %rbp, WASM_RUNNING_FP(%rax)
    .endm

    .macro STUB name, running_at, limit, target
    .p2align 4
    .type \name, @function
\name:
    mov \running_at(%rdi), %rax
    cmpl $0, WASM_RUNNING_PENDING(%rax)
    jne leave_pending
    cmp \limit(%rax), %rsp
    jb leave_exhausted
    NOTE_GUEST
    jmp \target
    .size \name, . - \name
    .endm

    .globl wasm_host_stub
    .hidden wasm_host_stub
    STUB wasm_host_stub, WASM_BINDING_RUNNING, WASM_RUNNING_HOST_LIMIT, wasm_host_call

leave_pending:
    NOTE_GUEST
    mov WASM_RUNNING_PENDING(%rax), %esi
    mov WASM_RUNNING_ACT(%rax), %rdi
    jmp wasm_leave
leave_exhausted:
    NOTE_GUEST
    mov $10, %esi /* WASM_TRAP_STACK_EXHAUSTED; services.c asserts the number */
    mov WASM_RUNNING_ACT(%rax), %rdi
    jmp wasm_leave

/* One stub and one word of the table for each service, in the order of struct wasm_services. */
    .macro SERVICE name
    STUB stub_\name, WASM_CTX_RUNNING, WASM_RUNNING_SERVICE_LIMIT, wasm_service_\name
    .pushsection .data.rel.ro, "aw", @progbits
    .quad stub_\name
    .popsection
    .endm

    .pushsection .data.rel.ro, "aw", @progbits
    .p2align 4
    .globl wasm_services
    .hidden wasm_services
    .type wasm_services, @object
wasm_services:
    .popsection
    SERVICE memory_grow
    SERVICE memory_init
    SERVICE memory_copy
    SERVICE memory_fill
    SERVICE data_drop
    SERVICE table_get
    SERVICE table_set
    SERVICE table_grow
    SERVICE table_fill
    SERVICE table_copy
    SERVICE table_init
    SERVICE elem_drop
    SERVICE ref_func
    .pushsection .data.rel.ro, "aw", @progbits
    .size wasm_services, . - wasm_services
    .popsection

    .section .rodata.cst4, "aM", @progbits, 4
    .p2align 2
default_mxcsr:
    .long 0x1f80

    .section .note.GNU-stack, "", @progbits
