/* From the exec of a static program to its first instruction. */
#include "launch/inject.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "httpleak/launcher.h"
#include "launch/blob.h"

#define INJECT_SYSCALL UINT64_C(0x0b0f050f) /* syscall; ud2 */
#define INJECT_USER_CODE 0x33               /* the code segment of 64 bit programs */

struct injection {
    struct tracee *tracee;
    struct user_regs_struct before; /* what the program begins with */
    uint64_t mask, word;            /* its signal mask, and the bytes at its entry */
    uint64_t base;                  /* of the image, 0: not mapped */
    int held;                       /* a stop signal that came meanwhile */
    bool ended;
    char *why; /* sizeof inject.why */
};

static bool inject_no(struct injection *i, const char *what) {
    if (!i->why[0])
        snprintf(i->why, sizeof((struct inject *)0)->why, "%s: %s", what, strerror(errno));
    return false;
}

/*
 * On to the next stop: at a system call, or at SIGTRAP. Of other signals SIGSTOP alone can come, all others are blocked; it is
 * handed over at the end. What a fault in the image would send is the end of the attempt.
 */
static bool inject_on(struct injection *i, bool to_trap) {
    for (;;) {
        if (!(to_trap ? tracee_continue : tracee_to_syscall)(i->tracee, 0))
            return inject_no(i, "cannot be continued");
        switch (tracee_wait(i->tracee)) {
        case TRACEE_SYSCALL:
            if (!to_trap) return true;
            break;
        case TRACEE_ENDED:
        case TRACEE_LOST: i->ended = true; return inject_no(i, "it ended");
        case TRACEE_SIGNAL:
            if (to_trap && i->tracee->signal == SIGTRAP) return true;
            if (i->tracee->signal != SIGSTOP) {
                errno = EFAULT;
                return inject_no(i, "the recorder's start failed");
            }
            i->held = SIGSTOP;
            break;
        default: break;
        }
    }
}

static bool inject_step(struct injection *i) {
    return inject_on(i, false);
}

/* Puts a syscall instruction where the program begins, or puts back what was there. */
static bool inject_entry(struct injection *i, bool on) {
    const uint64_t with = (i->word & ~UINT64_C(0xffffffff)) | INJECT_SYSCALL;
    if (i->ended) return false;
    return tracee_poke(i->tracee, i->before.rip, on ? with : i->word) ||
           inject_no(i, "its code cannot be changed");
}

/* A system call made by the process, at its entry, where a syscall instruction stands for the moment. */
static bool inject_call(struct injection *i, long number, const uint64_t arguments[6],
                        uint64_t *result) {
    struct user_regs_struct r = i->before;
    r.rax = (uint64_t)number;
    r.orig_rax = UINT64_MAX;
    r.rdi = arguments[0];
    r.rsi = arguments[1];
    r.rdx = arguments[2];
    r.r10 = arguments[3];
    r.r8 = arguments[4];
    r.r9 = arguments[5];
    if (!tracee_set_registers(i->tracee, &r)) return inject_no(i, "registers cannot be set");
    if (!inject_step(i)) return false; /* its beginning */
    if (!inject_step(i)) return false; /* its end */
    if (!tracee_registers(i->tracee, &r)) return inject_no(i, "registers cannot be read");
    if (r.rax > UINT64_MAX - 4096) {
        errno = (int)-(int64_t)r.rax;
        return false;
    }
    *result = r.rax;
    return true;
}

static bool inject_map(struct injection *i, const struct blob *blob) {
    uint64_t ignored;
    const uint64_t map[6] = {0,  blob->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                             -1, 0};
    if (!inject_call(i, SYS_mmap, map, &i->base)) return inject_no(i, "no memory can be mapped");
    uint8_t *memory = calloc(1, blob->size);
    if (!memory) return inject_no(i, "no memory here");
    blob_fill(blob, memory, i->base);
    bool ok = true;
    for (size_t k = 0; ok && k < blob->segment_count; k++) {
        const struct blob_segment *s = &blob->segments[k];
        ok = tracee_write(i->tracee, i->base + s->bytes_at, memory + s->bytes_at, s->file_size);
    }
    free(memory);
    if (!ok) return inject_no(i, "its memory cannot be written");
    for (size_t k = 0; k < blob->segment_count; k++) {
        const struct blob_segment *s = &blob->segments[k];
        const uint64_t protect[6] = {i->base + s->at, s->size, (uint64_t)s->protection};
        if (!inject_call(i, SYS_mprotect, protect, &ignored))
            return inject_no(i, "memory cannot be made executable");
    }
    return true;
}

/* The reason that stands at an address there, as far as it is text. */
static void inject_reason(struct injection *i, uint64_t address) {
    const size_t room = sizeof((struct inject *)0)->why - 1;
    size_t n = 0;
    uint64_t word;
    while (n + sizeof word <= room && tracee_peek(i->tracee, address + n, &word)) {
        memcpy(i->why + n, &word, sizeof word);
        n += sizeof word;
        if (memchr(&word, 0, sizeof word)) break;
    }
    i->why[n] = '\0';
    for (char *c = i->why; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
}

/*
 * To the breakpoint at the image's end. The kernel forces its SIGTRAP upon the process, which undoes nothing as long as that one
 * is not ignored; it is never delivered.
 */
static bool inject_run(struct injection *i) {
    return inject_on(i, true);
}

/* To the system call at the image's end, by way of all others: ten times as many stops, for a process that ignores SIGTRAP. */
static bool inject_creep(struct injection *i) {
    struct user_regs_struct r;
    for (;;) {
        if (!inject_step(i)) return false;
        if (!tracee_registers(i->tracee, &r)) return inject_no(i, "registers cannot be read");
        if (!inject_step(i)) return false;
        if (r.orig_rax == SYS_getpid && r.rdi == LAUNCHER_DONE) return true;
    }
}

/* Whether the process ignores SIGTRAP; also true if that cannot be told. */
static bool inject_ignores_traps(const struct injection *i) {
    char path[64], line[256];
    unsigned long long ignored = UINT64_MAX;
    snprintf(path, sizeof path, "/proc/%d/status", (int)i->tracee->pid);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in))
        if (sscanf(line, "SigIgn: %llx", &ignored) == 1) break;
    if (in) fclose(in);
    return ignored >> (SIGTRAP - 1) & 1;
}

/* Runs the image's entry; true when it came to its end, with its answer. */
static bool inject_enter(struct injection *i, const struct blob *blob, uint64_t *answer) {
    struct user_regs_struct r = i->before;
    r.rip = i->base + blob->entry;
    r.rdi = i->before.rsp;
    r.rsp = (i->before.rsp - 256) & ~UINT64_C(15);
    r.orig_rax = UINT64_MAX;
    r.rax = 0;
    if (!tracee_set_registers(i->tracee, &r)) return inject_no(i, "registers cannot be set");
    if (!(inject_ignores_traps(i) ? inject_creep(i) : inject_run(i))) return false;
    if (!tracee_registers(i->tracee, &r)) return inject_no(i, "registers cannot be read");
    if (r.rdi != LAUNCHER_DONE) {
        errno = EFAULT;
        return inject_no(i, "the recorder's start ended elsewhere");
    }
    *answer = r.rsi;
    if (*answer == LAUNCHER_BLIND) inject_reason(i, r.rdx);
    return true;
}

static void inject_unmap(struct injection *i, const struct blob *blob) {
    uint64_t ignored;
    const uint64_t unmap[6] = {i->base, blob->size};
    if (!i->base || !inject_entry(i, true)) return;
    inject_call(i, SYS_munmap, unmap, &ignored);
    inject_entry(i, false);
}

/* The process stands at the end of its execve, all of the new program before it. */
static enum inject_end inject_here(struct injection *i) {
    struct blob blob;
    const char *why = "";
    struct tracee *t = i->tracee;
    if (!blob_read(&blob, blob_bytes, blob_bytes_size, &why)) {
        errno = EINVAL;
        inject_no(i, why);
        tracee_detach(t, 0);
        return INJECT_FAILED;
    }
    if (!tracee_registers(t, &i->before) || i->before.cs != INJECT_USER_CODE ||
        !tracee_signal_mask(t, &i->mask) || !tracee_peek(t, i->before.rip, &i->word)) {
        inject_no(i, "its state cannot be read");
        tracee_detach(t, 0);
        return INJECT_FAILED;
    }
    uint64_t answer = 0;
    bool ok = tracee_bind(t) && tracee_set_signal_mask(t, UINT64_MAX) && inject_entry(i, true);
    ok = ok && inject_map(i, &blob);
    ok = inject_entry(i, false) && ok && inject_enter(i, &blob, &answer);
    if (!ok || answer != LAUNCHER_STAYS) inject_unmap(i, &blob);
    if (!i->ended) {
        tracee_set_registers(t, &i->before);
        tracee_set_signal_mask(t, i->mask);
        tracee_detach(t, i->held);
    }
    if (ok && answer == LAUNCHER_STAYS) return INJECT_PLACED;
    if (ok && answer == LAUNCHER_NOTHING) return INJECT_NOTHING;
    return ok && answer != LAUNCHER_BLIND ? INJECT_UNUSED : INJECT_FAILED;
}

/* At a stop at a system call before the exec. */
static bool inject_gave_up(struct tracee *t) {
    struct user_regs_struct r;
    return tracee_registers(t, &r) && r.orig_rax == SYS_getpid && r.rdi == LAUNCHER_GAVE_UP;
}

struct inject inject_at_exec(struct tracee *t, bool listens) {
    struct inject result = {.end = INJECT_ENDED};
    struct injection i = {.tracee = t, .why = result.why};
    bool executed = false, stepping = listens;
    for (bool going = true; going;) {
        int signal = 0;
        switch (tracee_wait(t)) {
        case TRACEE_EXEC: executed = stepping = true; break;
        case TRACEE_SYSCALL:
            if (executed) {
                result.end = inject_here(&i);
            } else if (inject_gave_up(t)) {
                result.end = INJECT_NO_EXEC;
                tracee_detach(t, 0);
            } else {
                break;
            }
            going = false;
            continue;
        case TRACEE_SIGNAL: signal = t->signal; break;
        case TRACEE_GROUP: going = tracee_listen(t); continue;
        case TRACEE_CHILD:
        case TRACEE_TRAP: break;
        case TRACEE_ENDED:
        case TRACEE_LOST:
            i.ended = true;
            going = false;
            continue;
        }
        going = stepping ? tracee_to_syscall(t, signal) : tracee_continue(t, signal);
    }
    if (i.ended) result.end = INJECT_ENDED;
    result.status = t->status;
    return result;
}
