/* guest_object.S: "compiled" functions written by hand, for guest_object.c.
 *
 * They follow abi.h: ctx or binding in rdi, the i32 argument in esi, the result in eax. With one
 * imported function, one table and one global the context has the import at 64, the table's pointer
 * at 80 and the global at 96. */
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

FUNC guest_set_global
    mov %esi, 96(%rdi)
    mov %esi, %eax
    ret

FUNC guest_get_global
    mov 96(%rdi), %eax
    ret

FUNC guest_set_table /* table.set(0, n, ref.func 1) */
    push %rbx
    push %rbp
    sub $8, %rsp
    mov %rdi, %rbx
    mov %esi, %ebp
    mov 16(%rdi), %rax
    mov $1, %esi
    call *96(%rax)
    mov %rbx, %rdi
    xor %esi, %esi
    mov %ebp, %edx
    mov %rax, %rcx
    mov 16(%rbx), %rax
    call *48(%rax)
    xor %eax, %eax
    add $8, %rsp
    pop %rbp
    pop %rbx
    ret

FUNC guest_get_table /* 1: not null */
    sub $8, %rsp
    mov 16(%rdi), %rax
    mov %esi, %edx
    xor %esi, %esi
    call *40(%rax)
    test %rax, %rax
    setne %al
    movzbl %al, %eax
    add $8, %rsp
    ret

FUNC guest_grow_table /* table.grow(0, ref.null, n) */
    sub $8, %rsp
    mov 16(%rdi), %rax
    mov %esi, %ecx
    xor %esi, %esi
    xor %edx, %edx
    call *56(%rax)
    add $8, %rsp
    ret

FUNC guest_drop /* data.drop 0 */
    sub $8, %rsp
    mov 16(%rdi), %rax
    xor %esi, %esi
    call *32(%rax)
    xor %eax, %eax
    add $8, %rsp
    ret

FUNC guest_init /* memory.init 0 (n, 0, 4) */
    sub $8, %rsp
    mov 16(%rdi), %rax
    mov %esi, %edx
    xor %esi, %esi
    xor %ecx, %ecx
    mov $4, %r8d
    call *8(%rax)
    xor %eax, %eax
    add $8, %rsp
    ret

    .globl guest_text_end
    .hidden guest_text_end
guest_text_end:
    .section .note.GNU-stack, "", @progbits
