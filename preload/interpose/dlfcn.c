/* Wrappers of dlopen and dlclose. */
#include <errno.h>

#include "interpose/real.h"
#include "interpose/tls_real.h"
#include "record/intern.h"
#include "track/process.h"

/*
 * A module loaded with RTLD_DEEPBIND (8) would bind to libc past every preload, so the flag is
 * cleared. dlopen looks up who called it (for DT_RUNPATH and the namespace), so the caller's return
 * address must stay where it is: a jump, no call.
 */
void *dlfcn_real_dlopen(void);
void *dlfcn_real_dlopen(void) {
    return (void *)REAL(dlopen);
}
__asm__(".pushsection .text\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        ".cfi_startproc\n"
        "pushq %rdi\n"
        ".cfi_adjust_cfa_offset 8\n"
        "pushq %rsi\n"
        ".cfi_adjust_cfa_offset 8\n"
        "subq $8, %rsp\n"
        ".cfi_adjust_cfa_offset 8\n"
        "call dlfcn_real_dlopen\n"
        "addq $8, %rsp\n"
        ".cfi_adjust_cfa_offset -8\n"
        "popq %rsi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "popq %rdi\n"
        ".cfi_adjust_cfa_offset -8\n"
        "cmpb $0, process_active(%rip)\n"
        "je 1f\n"
        "andl $~8, %esi\n"
        "1: jmp *%rax\n"
        ".cfi_endproc\n"
        ".size dlopen, .-dlopen\n"
        ".popsection\n");

HTTPLEAK_EXPORT int dlclose(void *handle) {
    const int r = REAL(dlclose)(handle);
    if (r != 0 || !process_active) return r;
    const int error = errno;
    if (trace) {
        module_scan();
        intern_forget_stacks();
    }
    stack_flush();
    tls_real_flush();
    errno = error;
    return r;
}
