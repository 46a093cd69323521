/*
 * Stacks that come again. A thread that sends one request after another mostly does so from the same place: then its stack need
 * not be walked, only looked at where the walk looked, word by word.
 *
 * Why that is right: what libunwind's cached walk returns follows from the registers of the frame it starts in and from the words
 * that it reads, in that order: return addresses, and saved frame pointers where a frame is found by one. If all those are what
 * they were, it would read the same words and return the same addresses. Walks that depend on more (signal frames, realigned
 * stacks, frames that are guessed, interpreted code) are not remembered, and none outlives a change of the loaded modules.
 *
 * Everything here is the calling thread's own, and signal safe.
 */
#ifndef RECORD_STACK_MEMO_H
#define RECORD_STACK_MEMO_H

#include <stdbool.h>
#include <stdint.h>

/* The frame in the program that called us: where it goes on, with which registers. pc 0: not known. */
struct stack_caller {
    uintptr_t pc, sp, fp;
};

/* In the function that the program called, none of ours around it; anywhere else it is of no use and does no harm. */
#if defined(__x86_64__)
#define STACK_CALLER()                                                                             \
    ({                                                                                             \
        const uintptr_t *const frame_ = __builtin_frame_address(0);                                \
        (struct stack_caller){frame_[1], (uintptr_t)(frame_ + 2), frame_[0]};                      \
    })
#else
#define STACK_CALLER() ((struct stack_caller){0, 0, 0})
#endif

/* The stack of that caller, captured and interned, or known from the last time. */
uint32_t stack_of(const struct stack_caller *);

/* ---- for stack.c ---- */

struct stack_memo;

/* The id that this caller's stack had, 0: not known. */
uint32_t stack_memo_find(const struct stack_caller *);
/*
 * Before a walk: what libunwind does is written down. NULL: it is not, because the caller is not known (NULL), there is no
 * memory, or we are a signal handler in the middle of another walk.
 */
struct stack_memo *stack_memo_begin(const struct stack_caller *);
/*
 * After it, if there is a memo: all n return addresses, our own included, of which the first `used` made the stack; whole: so did
 * the fact that there are no more.
 */
void stack_memo_walked(struct stack_memo *, void *const *pcs, uint32_t n, uint32_t used,
                       bool whole);
/* What it was interned as. */
void stack_memo_end(struct stack_memo *, uint32_t id);

/* ---- for others ---- */

/* Modules came or went, or there is another trace: nothing of before holds. */
void stack_memo_forget(void);
/* The thread ends: its memory is somebody else's from now on. */
void stack_memo_thread_over(void);
void stack_memo_after_fork(void);

#endif
