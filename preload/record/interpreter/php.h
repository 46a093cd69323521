/*
 * The PHP stack, PHP 7.4 to 8.x without thread safety (ZTS keeps its state where nothing exported leads to).
 *
 * Read out of Zend's own frames (Zend/zend_compile.h, zend_types.h); what differs between versions, where executor_globals has
 * the innermost frame and an op_array its file, is found by what the engine's own zend_get_executed_filename and _lineno answer,
 * once a process. Nothing else is believed: every pointer is checked (memory.h).
 */
#ifndef INTERPRETER_PHP_H
#define INTERPRETER_PHP_H

#include "record/image.h"
#include "record/interpreter/frame.h"

struct php {
    uintptr_t globals;             /* executor_globals */
    const char *(*filename)(void); /* zend_get_executed_filename: reads only */
    uint32_t (*lineno)(void);      /* zend_get_executed_lineno: reads only */
};

bool php_find(struct php *, const struct image *module);
/* As python_frames. Only in the thread that runs PHP: one whose native stack leads through it. */
uint32_t php_frames(const struct php *, void **counters, uint32_t most);

#endif
