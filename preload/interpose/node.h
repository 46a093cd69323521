/*
 * Node's event loop connects and sends when the code that asked has returned: so functions of libuv and of Node that are called
 * while it is still at work are patched in place, and its stack is kept for what comes later (track/asker.h).
 */
#ifndef INTERPOSE_NODE_H
#define INTERPOSE_NODE_H

#include <link.h>

/*
 * From the constructor, while there is one thread. Node's functions are looked for in the executable, or in libnode and libuv if
 * it needs these; all are patched, or none, and none where V8 is of a version that is not known.
 */
void node_init(const struct link_map *program);

#endif
