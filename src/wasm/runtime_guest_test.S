/* runtime_guest_test.S: "compiled" functions written by hand, as runtime_test.c's module.
 *
 * They follow abi.h: ctx or binding in rdi, the i32 argument in esi, the result in eax. The runtime is
 * tested on them alone, so that its tests need no compiler and reach each situation exactly. */
    .text
    .globl guest_text
    .hidden guest_text
guest_text:

    .macro FUNC name
    .p2align 4
    .globl \name
    .hidden \name
\name:
    .endm

/* void entry(ctx, code, values) for (i32) -> (i32) */
FUNC guest_entry
    push %rbx
    mov %rdx, %rbx
    mov %rsi, %rax
    mov (%rbx), %esi
    call *%rax
    mov %eax, (%rbx)
    pop %rbx
    ret

/* adapter(binding, i32) -> i32 */
FUNC guest_adapter
    sub $24, %rsp
    mov %esi, (%rsp)
    mov %rsp, %rsi
    call *(%rdi)
    mov (%rsp), %eax
    add $24, %rsp
    ret

FUNC guest_add_one
    lea 1(%rsi), %eax
    ret

FUNC guest_unreachable
    .byte 0x67, 0x0f, 0xb9, 0x40, 1
    ret

FUNC guest_loop
    jmp guest_loop

/* Counts down with a frame of 24 bytes; 0 returns. */
FUNC guest_recurse
    sub $24, %rsp
    test %esi, %esi
    jz 1f
    dec %esi
    call guest_recurse
1:  mov %esi, %eax
    add $24, %rsp
    ret

FUNC guest_load
    mov (%rdi), %rax
    mov (%rax,%rsi), %eax
    ret

FUNC guest_load_far /* index + 4 GiB - 1 */
    mov (%rdi), %rax
    mov $0xffffffff, %ecx
    add %rcx, %rax
    mov (%rax,%rsi), %eax
    ret

FUNC guest_store
    mov (%rdi), %rax
    movl $42, (%rax,%rsi)
    mov %esi, %eax
    ret

/* import 0 (at ctx + 64): code, ctx */
FUNC guest_call_host
    sub $8, %rsp
    mov 64(%rdi), %rax
    mov 72(%rdi), %rdi
    call *%rax
    add $8, %rsp
    ret

FUNC guest_call_host_forever
    push %rbx
    push %rbp
    sub $8, %rsp
    mov %rdi, %rbx
1:  mov 64(%rbx), %rax
    mov 72(%rbx), %rdi
    call *%rax
    jmp 1b

/* Uses up the stack with frames of 8 bytes, then calls the host. */
FUNC guest_deep_host
    test %esi, %esi
    jz 1f
    dec %esi
    call guest_deep_host
    ret
1:  sub $8, %rsp
    mov 64(%rdi), %rax
    mov 72(%rdi), %rdi
    call *%rax
    add $8, %rsp
    ret

/* services at ctx + 16 */
FUNC guest_grow
    sub $8, %rsp
    mov 16(%rdi), %rax
    call *(%rax)
    add $8, %rsp
    ret

FUNC guest_fill /* memory.fill(0, 7, n) */
    sub $8, %rsp
    mov 16(%rdi), %rax
    mov %esi, %ecx
    xor %esi, %esi
    mov $7, %edx
    call *24(%rax)
    xor %eax, %eax
    add $8, %rsp
    ret

FUNC guest_fill_forever
    push %rbx
    mov %rdi, %rbx
1:  mov 16(%rbx), %rax
    mov %rbx, %rdi
    xor %esi, %esi
    mov $7, %edx
    mov $0x4000000, %ecx
    call *24(%rax)
    jmp 1b

FUNC guest_null_call /* a bug of ours, as a compiler might make one */
    xor %eax, %eax
    call *%rax
    ret

    .globl guest_text_end
    .hidden guest_text_end
guest_text_end:
    .section .note.GNU-stack, "", @progbits
