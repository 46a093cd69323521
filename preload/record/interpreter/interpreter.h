/*
 * Interpreters in the process: found by what they export, asked for the frames of the code that they run, which take the place of
 * their own in a native stack.
 *
 * A process without one pays one comparison for each stack. Signal safe; no lock of the interpreter's is taken.
 */
#ifndef INTERPRETER_H
#define INTERPRETER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * pcs: n native return addresses, innermost first, without the recorder's own. Where they lead through an interpreter, everything
 * from its innermost to its outermost frame is replaced by the frames of the interpreted code (frame.h); what called it from
 * outside, and what it called, stays. Returns the new count, at most `most`, which is what pcs has room for.
 */
uint32_t interpreter_splice(void **pcs, uint32_t n, uint32_t most);
/* The last stack was taken without one, and none has come since: frames are what the native stack says. */
bool interpreter_is_absent(void);
/*
 * The frames of a thread whose native stack has nothing to add: in Node all of it is Node's own, and an unwinder takes long for code
 * that was compiled while it ran. 0: it has to be taken.
 */
uint32_t interpreter_stack(void **pcs, uint32_t most);
/* Whether a frame (frame_is) is the runtime's own code and not the program's: a script of Node's, a class of the JDK's. */
bool interpreter_is_platform(const void *pc);
/* Modules came or went: they are looked at again with the next stack. */
void interpreter_forget(void);

#endif
