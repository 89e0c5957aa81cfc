# elf_test_code.S: what the translator's output looks like, small enough to know every number. Assembled,
# not linked; elf_test.c reads the result. FIRST and SECOND are the two halves of the whole; the other
# variants break one rule each.
    .file 1 "module.wasm"
    .text
#ifndef SECOND
    .p2align 4
    .globl f1
    .type f1, @function
f1:                             # 40 + konst, through f2 and a table in the constants
    .cfi_startproc
    .loc 1 100
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    sub $32, %rsp
    .cfi_def_cfa_offset 48
    .loc 1 107
    call f2@PLT
    .loc 1 109
    lea table(%rip), %rcx
    movslq 4(%rcx), %rdx
    add %rdx, %rcx
    jmp *%rcx
0:  add konst(%rip), %eax
    .cfi_remember_state
    add $32, %rsp
    .cfi_def_cfa_offset 16
    pop %rbp
    .cfi_def_cfa_offset 8
    .cfi_restore %rbp
    ret
1:  .cfi_restore_state
    ud2
    .cfi_endproc
    .size f1, .-f1
#endif

#ifndef FIRST
    .p2align 4
    .globl f2
    .type f2, @function
f2:                             # a realigned frame, counted from rbp
    .cfi_startproc
    .loc 1 200
    push %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    mov %rsp, %rbp
    .cfi_def_cfa_register %rbp
    and $-32, %rsp
    sub $1024, %rsp
    mov forty(%rip), %eax
    mov %rbp, %rsp
    pop %rbp
    .cfi_def_cfa %rsp, 8
    .loc 1 210
    ret
    .cfi_endproc
    .size f2, .-f2

    .p2align 4
    .globl e0
    .type e0, @function
e0:
    .cfi_startproc
    .cfi_escape 0x0f, 0x03, 0x77, 0x08, 0x06 # an expression: DW_OP_breg7 8, DW_OP_deref
    ret
    .cfi_endproc
    .size e0, .-e0
    .globl a0
    .type a0, @function
a0:
    .cfi_startproc
#ifdef UNDEFINED
    call memcpy@PLT
#endif
    ret
    .cfi_endproc
    .size a0, .-a0
#endif
#ifdef NUMBER
    .type f9, @function
f9: ret
    .size f9, .-f9
#endif

    .section .rodata.cst4, "aM", @progbits, 4
#ifndef SECOND
konst:
    .long 2
    .section .rodata, "a", @progbits
    .p2align 3
table:
    .long 1b-table
    .long 0b-table
#endif
#ifndef FIRST
    .section .rodata.cst4
forty:
    .long 40
#endif
#ifdef ABSOLUTE
    .quad f1
#endif
#ifdef DATA
    .data
    .quad 5
#endif
#ifdef ZEROES
    .bss
    .zero 8
#endif
    .section .note.GNU-stack, "", @progbits
