/*
 * The code between a patched place and its probe, a template that install.c copies near the program's text and fills in.
 *
 * Free to use there: r12, r13, the flags. Arguments or results are in rax rbx rcx rdi rsi r8..r11, the closure in rdx, g in r14;
 * vector registers are not touched, the probe is compiled without them. A user's goroutine has a small stack that must not be
 * written to: then we go over to m.g0's, as the runtime's own systemstack does. On g0 already, or in a signal handler, we stay:
 * what lies below the stack pointer there is in use by nobody.
 */
        .section .rodata
        .globl  golang_stub, golang_stub_end, golang_stub_holes
        .hidden golang_stub, golang_stub_end, golang_stub_holes
        .p2align 4
golang_stub:
        mov     0x12345678(%r14), %r12          /* g.m */
.Lg_m = . - 4
        test    %r12, %r12
        jz      .Lskip
        mov     %rsp, %r13
        cmp     %r14, 0x12345678(%r12)          /* m.curg */
.Lm_curg = . - 4
        jne     .Lstay
        mov     0x12345678(%r12), %r12          /* m.g0 */
.Lm_g0 = . - 4
        mov     0x12345678(%r12), %rsp          /* g0.sched.sp */
.Lg_sched_sp = . - 4
        mov     0x12345678(%r14), %r12
.Lg_m_again = . - 4
.Lstay:
        and     $-16, %rsp
        push    %r12                            /* struct golang_registers, from its end */
        push    %rbp
        push    %r13
        push    %r14
        push    %rdx
        push    %r11
        push    %r10
        push    %r9
        push    %r8
        push    %rsi
        push    %rdi
        push    %rcx
        push    %rbx
        push    %rax
        mov     %rsp, %rdi
        movabs  $0x123456789abcdef0, %rax       /* the probe */
.Lprobe = . - 8
        call    *%rax
        pop     %rax
        pop     %rbx
        pop     %rcx
        pop     %rdi
        pop     %rsi
        pop     %r8
        pop     %r9
        pop     %r10
        pop     %r11
        pop     %rdx
        mov     %r13, %rsp
.Lskip:
golang_stub_end:

        .p2align 2
golang_stub_holes:                              /* enum stub_hole */
        .long   .Lg_m - golang_stub
        .long   .Lm_curg - golang_stub
        .long   .Lm_g0 - golang_stub
        .long   .Lg_sched_sp - golang_stub
        .long   .Lg_m_again - golang_stub
        .long   .Lprobe - golang_stub

        .section .note.GNU-stack, "", @progbits
