/*
 * Whose code a module is: the one table of libraries that are not the user's code, matched by path
 * patterns.
 */
#include <fnmatch.h>
#include <string.h>

#include "httpleak/trace.h"
#include "symbol/symbol.h"

/*
 * A pattern with a slash is matched against the whole path, any other one against the base name.
 * First match wins.
 */
static const struct {
    const char *pattern;
    enum symbol_kind kind;
} kind_table[] = {
    {"libhttpleak*.so*", SYMBOL_RECORDER},

    /*
     * the C library and loaders: glibc before and after 2.34, musl, bionic, sanitizers and other
     * preloads that wrap it
     */
    {"libc.so*", SYMBOL_SYSTEM},
    {"libc-2.*.so", SYMBOL_SYSTEM},
    {"libc.musl-*", SYMBOL_SYSTEM},
    {"ld-linux*", SYMBOL_SYSTEM},
    {"ld-2.*.so", SYMBOL_SYSTEM},
    {"ld-musl-*", SYMBOL_SYSTEM},
    {"ld64.so*", SYMBOL_SYSTEM},
    {"ld.so*", SYMBOL_SYSTEM},
    {"libm.so*", SYMBOL_SYSTEM},
    {"libm-2.*.so", SYMBOL_SYSTEM},
    {"libpthread[.-]*", SYMBOL_SYSTEM},
    {"libdl[.-]*", SYMBOL_SYSTEM},
    {"librt[.-]*", SYMBOL_SYSTEM},
    {"libresolv[.-]*", SYMBOL_SYSTEM},
    {"libanl[.-]*", SYMBOL_SYSTEM},
    {"libnss_*", SYMBOL_SYSTEM},
    {"libstdc++.so*", SYMBOL_SYSTEM},
    {"libc++.so*", SYMBOL_SYSTEM},
    {"libc++abi.so*", SYMBOL_SYSTEM},
    {"libgcc_s*.so*", SYMBOL_SYSTEM},
    {"libgomp.so*", SYMBOL_SYSTEM},
    {"libunwind.so*", SYMBOL_SYSTEM},
    {"libasan.so*", SYMBOL_SYSTEM},
    {"libtsan.so*", SYMBOL_SYSTEM},
    {"libubsan.so*", SYMBOL_SYSTEM},
    {"libjemalloc.so*", SYMBOL_SYSTEM},
    {"libtcmalloc*.so*", SYMBOL_SYSTEM},
    {"libmimalloc.so*", SYMBOL_SYSTEM},
    {"libfakeroot*.so*", SYMBOL_SYSTEM},
    {"libtsocks.so*", SYMBOL_SYSTEM},
    {"libproxychains*.so*", SYMBOL_SYSTEM},
    {"linux-vdso.so*", SYMBOL_SYSTEM},
    {"linux-gate.so*", SYMBOL_SYSTEM},
    {"[[]vdso]", SYMBOL_SYSTEM},
    {"libuv.so*", SYMBOL_SYSTEM},
    {"libuv1.so*", SYMBOL_SYSTEM},
    {"libev.so*", SYMBOL_SYSTEM},
    {"libev-*", SYMBOL_SYSTEM},
    {"libevent[.-]*", SYMBOL_SYSTEM},
    {"libevent_*", SYMBOL_SYSTEM},

    /* TLS */
    {"libssl.so*", SYMBOL_CLIENT},
    {"libssl3.so*", SYMBOL_CLIENT},
    {"libcrypto.so*", SYMBOL_CLIENT},
    {"libgnutls*.so*", SYMBOL_CLIENT},
    {"libnss3.so*", SYMBOL_CLIENT},
    {"libnspr4.so*", SYMBOL_CLIENT},
    {"libmbedtls.so*", SYMBOL_CLIENT},
    {"libwolfssl.so*", SYMBOL_CLIENT},
    {"libtls.so*", SYMBOL_CLIENT},

    /* HTTP clients and what they stand on */
    {"libcurl*.so*", SYMBOL_CLIENT},
    {"libnghttp[23].so*", SYMBOL_CLIENT},
    {"libngtcp2*.so*", SYMBOL_CLIENT},
    {"libneon*.so*", SYMBOL_CLIENT},
    {"libserf-*.so*", SYMBOL_CLIENT},
    {"libsoup-*.so*", SYMBOL_CLIENT},
    {"libgio-*.so*", SYMBOL_CLIENT},
    {"libgiognutls.so", SYMBOL_CLIENT},
    {"libgioopenssl.so", SYMBOL_CLIENT},
    {"libglib-*.so*", SYMBOL_CLIENT},
    {"libgobject-*.so*", SYMBOL_CLIENT},
    {"libQt[56]Network.so*", SYMBOL_CLIENT},
    {"libQt[56]Core.so*", SYMBOL_CLIENT},
    {"libcpprest.so*", SYMBOL_CLIENT},
    {"libPocoNet*.so*", SYMBOL_CLIENT},
    {"libPocoFoundation.so*", SYMBOL_CLIENT},
    {"libaws-c-*.so*", SYMBOL_CLIENT},
    {"libaws-cpp-sdk-core.so*", SYMBOL_CLIENT},
    {"libhiredis*.so*", SYMBOL_CLIENT},
    {"libcares.so*", SYMBOL_CLIENT},

    /* interpreters, their libraries and the native half of their own standard libraries */
    {"libpython[23]*.so*", SYMBOL_INTERPRETER},
    {"*/lib-dynload/*", SYMBOL_INTERPRETER},
    {"*/uvloop/*.so", SYMBOL_INTERPRETER},
    {"*/aiohttp/*.so", SYMBOL_INTERPRETER},
    {"*/pycurl*.so", SYMBOL_INTERPRETER},
    {"*/_cffi_backend*.so", SYMBOL_INTERPRETER},
    {"*/gevent/*.so", SYMBOL_INTERPRETER},
    {"*/greenlet/*.so", SYMBOL_INTERPRETER},
    {"python", SYMBOL_INTERPRETER},
    {"python[23]*", SYMBOL_INTERPRETER},
    {"pypy*", SYMBOL_INTERPRETER},
    {"libpypy*.so*", SYMBOL_INTERPRETER},
    {"libperl.so*", SYMBOL_INTERPRETER},
    {"perl", SYMBOL_INTERPRETER},
    {"perl5*", SYMBOL_INTERPRETER},
    {"*/perl*/auto/*.so", SYMBOL_INTERPRETER},
    {"libruby*.so*", SYMBOL_INTERPRETER},
    {"ruby", SYMBOL_INTERPRETER},
    {"ruby[0-9]*", SYMBOL_INTERPRETER},
    {"*/ruby/*/socket.so", SYMBOL_INTERPRETER},
    {"*/ruby/*/openssl.so", SYMBOL_INTERPRETER},
    {"libphp*.so*", SYMBOL_INTERPRETER},
    {"php", SYMBOL_INTERPRETER},
    {"php[0-9]*", SYMBOL_INTERPRETER},
    {"php-fpm*", SYMBOL_INTERPRETER},
    {"*/php/*/curl.so", SYMBOL_INTERPRETER},
    {"*/php/*/openssl.so", SYMBOL_INTERPRETER},
    {"libnode.so*", SYMBOL_INTERPRETER},
    {"node", SYMBOL_INTERPRETER},
    {"nodejs", SYMBOL_INTERPRETER},
    {"deno", SYMBOL_INTERPRETER},
    {"bun", SYMBOL_INTERPRETER},
    {"java", SYMBOL_INTERPRETER},
    {"libjvm.so", SYMBOL_INTERPRETER},
    {"libjava.so", SYMBOL_INTERPRETER},
    {"libnet.so", SYMBOL_INTERPRETER},
    {"libnio.so", SYMBOL_INTERPRETER},
    {"libjli.so", SYMBOL_INTERPRETER},
    {"libcoreclr.so", SYMBOL_INTERPRETER},
    {"libSystem.Native.so", SYMBOL_INTERPRETER},
    {"dotnet", SYMBOL_INTERPRETER},
    {"mono", SYMBOL_INTERPRETER},
    {"mono-sgen", SYMBOL_INTERPRETER},
    {"lua", SYMBOL_INTERPRETER},
    {"lua5*", SYMBOL_INTERPRETER},
    {"luajit*", SYMBOL_INTERPRETER},
    {"liblua*.so*", SYMBOL_INTERPRETER},
    {"*/lua/*/socket/*.so", SYMBOL_INTERPRETER},
    {"guile*", SYMBOL_INTERPRETER},
    {"libguile*.so*", SYMBOL_INTERPRETER},
    {"tclsh*", SYMBOL_INTERPRETER},
    {"libtcl*.so*", SYMBOL_INTERPRETER},
    {"Rscript", SYMBOL_INTERPRETER},
    {"libR.so", SYMBOL_INTERPRETER},
    {"beam.smp", SYMBOL_INTERPRETER},
    {"bash", SYMBOL_INTERPRETER},
    {"dash", SYMBOL_INTERPRETER},
};

const char *symbol_base_name(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash ? slash + 1 : path ? path : "";
}

enum symbol_kind symbol_module_kind(const char *path, uint32_t flags) {
    if (flags & TRACE_MODULE_RECORDER) return SYMBOL_RECORDER;
    if (flags & TRACE_MODULE_VDSO) return SYMBOL_SYSTEM;
    const char *base = symbol_base_name(path);
    for (size_t i = 0; i < sizeof kind_table / sizeof *kind_table; i++) {
        const char *pattern = kind_table[i].pattern;
        const char *subject = strchr(pattern, '/') ? (path ? path : "") : base;
        if (fnmatch(pattern, subject, 0) == 0) return kind_table[i].kind;
    }
    return SYMBOL_USER;
}

size_t symbol_first_user(const struct symbol_frame *frames, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (frames[i].kind == SYMBOL_USER && frames[i].module[0]) return i;
    for (size_t i = 0; i < count; i++)
        if (frames[i].interpreted) return i;
    for (size_t i = 0; i < count; i++)
        if (frames[i].kind == SYMBOL_INTERPRETER || frames[i].kind == SYMBOL_USER) return i;
    return 0;
}

/* rustc writes its own sources as /rustc/COMMIT/library/..., cargo leaves crates where it unpacked them. */
bool symbol_source_is_library(const char *file) {
    return strncmp(file, "/rustc/", 7) == 0 || strstr(file, "/rustlib/src/rust/library/") ||
           strstr(file, "/cargo/registry/src/") || strstr(file, "/.cargo/registry/src/");
}
