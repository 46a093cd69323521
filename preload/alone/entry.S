/*
 * Where the launcher lets a static program begin: the image's entry, and what tells it that the recorder is in place.
 *
 * In:  %rdi the stack pointer that the kernel gave the program (argc, argv, environment, auxiliary vector), %rsp below that,
 *      aligned to 16. Every other register is free: the launcher puts all of them back.
 * Out: getpid with LAUNCHER_DONE as its first argument (which getpid ignores), both halves of alone_start's answer behind it;
 *      then a breakpoint with the same three registers. The launcher stops at one or the other, and never lets it go on.
 */
#include "httpleak/launcher.h"

    .text
    .globl alone_entry
    .hidden alone_entry
    .type alone_entry, @function
alone_entry:
    xorl %ebp, %ebp
    cld
    call alone_start
    movl %eax, %esi
    movabsq $LAUNCHER_DONE, %rdi
    movl $39, %eax /* SYS_getpid */
    syscall
    int3
    .size alone_entry, . - alone_entry
    .section .note.GNU-stack, "", @progbits
