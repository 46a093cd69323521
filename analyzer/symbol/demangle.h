/*
 * Names as the user wrote them: C++ and Rust symbols demangled, compilers' clone suffixes and
 * parameter lists cut off.
 */
#ifndef HTTPLEAK_DEMANGLE_H
#define HTTPLEAK_DEMANGLE_H

/*
 * The readable form of a symbol, malloc'ed; NULL when out of memory. A name that is not mangled (or
 * cannot be demangled) comes back without compiler suffixes (".constprop.0", ".cold", "@@VERSION"),
 * so that it stays the same across rebuilds.
 */
char *demangle_symbol(const char *symbol);

#endif
