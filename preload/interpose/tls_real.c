/* Finds what a TLS call would have been bound to without us, from the caller's own bindings, and remembers it per call site. */
#include <stddef.h>

#include "interpose/elf_image.h"
#include "interpose/tls_real.h"

/* ---- libraries ---- */

#define MODULES 16u
enum { MODULE_FREE, MODULE_BUSY, MODULE_READY };
static struct tls_module modules[MODULES];

static bool same_module(const struct tls_module *a, const struct tls_module *b) {
    if (a->flavor != b->flavor || a->start != b->start || a->end != b->end) return false;
    for (int i = 0; i < TLS_GETTERS; i++)
        if (a->getters[i] != b->getters[i]) return false;
    return true;
}

/* A library whose addresses another one has now is gone, and so is everybody who could have used its record. */
static const struct tls_module *module_for(const struct elf_image *image, const struct tls_flavor *flavor) {
    struct tls_module fresh = {.library = flavor->library, .flavor = flavor, .start = image->start, .end = image->end};
    for (int i = 0; i < TLS_GETTERS && flavor->getters[i]; i++) fresh.getters[i] = elf_image_function(image, flavor->getters[i]);
    for (unsigned i = 0; i < MODULES; i++) {
        struct tls_module *m = &modules[i];
        uint32_t state = __atomic_load_n(&m->state, __ATOMIC_ACQUIRE);
        if (state == MODULE_READY && same_module(m, &fresh)) return m;
        if (state == MODULE_READY && (m->flavor != flavor || m->start >= fresh.end || fresh.start >= m->end)) continue;
        if (state == MODULE_BUSY) continue;
        if (!__atomic_compare_exchange_n(&m->state, &state, MODULE_BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) continue;
        fresh.state = MODULE_BUSY;
        *m = fresh;
        __atomic_store_n(&m->state, MODULE_READY, __ATOMIC_RELEASE);
        return m;
    }
    return NULL;
}

/* The library of this thread's last call: who calls from inside the recorder is it, by a jump out of the function we called. */
static __thread const struct tls_module *last_module __attribute__((tls_model("initial-exec")));

/* ---- search ---- */

#define CANDIDATES 8u
struct search {
    const struct tls_flavor *flavor;
    const char *name;
    uintptr_t caller;
    struct elf_image caller_image, candidates[CANDIDATES];
    void *functions[CANDIDATES];
    unsigned count;
    bool caller_known, caller_is_recorder;
};

static int consider(struct dl_phdr_info *info, size_t size, void *context) {
    struct search *s = context;
    struct elf_image image;
    (void)size;
    if (!elf_image_read(&image, info)) return 0;
    const bool recorder = elf_image_holds(&image, (uintptr_t)modules);
    if (elf_image_holds(&image, s->caller)) {
        s->caller_image = image;
        s->caller_known = true;
        s->caller_is_recorder = recorder;
    }
    if (recorder || s->count == CANDIDATES) return 0;
    void *function = elf_image_function(&image, s->name);
    if (!function) return 0;
    s->functions[s->count] = function;
    s->candidates[s->count++] = image;
    return 0;
}

/*
 * Several libraries define the name. Another preload comes first, as it would have without us. Then the caller's own bindings
 * decide: its references to names that we do not interpose were bound by the rules that we would otherwise have to rebuild
 * (scopes, symbol versions). Only a caller that is bound to none of them yet is judged by what it names as needed.
 */
static unsigned choose(const struct search *s) {
    for (unsigned i = 0; i < s->count; i++)
        if (!elf_image_function(&s->candidates[i], s->flavor->marker) && !elf_image_holds(&s->candidates[i], s->caller)) return i;
    if (s->caller_is_recorder && last_module)
        for (unsigned i = 0; i < s->count; i++)
            if (s->candidates[i].start == last_module->start) return i;
    if (!s->caller_known) return 0;
    unsigned best = s->count, most = 0;
    for (unsigned i = 0; i < s->count; i++) {
        const unsigned bindings = elf_image_bindings(&s->caller_image, s->candidates[i].start, s->candidates[i].end);
        if (bindings > most) most = bindings, best = i;
    }
    for (unsigned i = 0; i < s->count && best == s->count; i++)
        if (s->candidates[i].start == s->caller_image.start) best = i;
    for (unsigned i = 0; i < s->count && best == s->count; i++)
        if (elf_image_needs(&s->caller_image, s->candidates[i].name)) best = i;
    return best == s->count ? 0 : best;
}

/* ---- call sites ---- */

#define SETS 128u
#define WAYS 4u
struct site { /* consistent while seq is even and the same before and after */
    uint32_t seq, generation;
    const void *caller;
    const char *name;
    struct tls_real real;
};
static struct site sites[SETS][WAYS];
static uint32_t generation = 1; /* sites of another one are stale */

static struct site *sites_of(const void *caller) {
    return sites[((uintptr_t)caller * UINT64_C(0x9e3779b97f4a7c15)) >> 57];
}

static bool recall(struct tls_real *real, const char *name, const void *caller) {
    struct site *set = sites_of(caller);
    const uint32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < WAYS; i++) {
        struct site *site = &set[i];
        if (__atomic_load_n(&site->caller, __ATOMIC_RELAXED) != caller) continue;
        const uint32_t seq = __atomic_load_n(&site->seq, __ATOMIC_ACQUIRE);
        const bool matches = site->caller == caller && site->name == name && site->generation == now;
        *real = site->real;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (!(seq & 1) && matches && __atomic_load_n(&site->seq, __ATOMIC_RELAXED) == seq) return true;
    }
    return false;
}

static void remember(const struct tls_real *real, const char *name, const void *caller, uint32_t since) {
    static uint32_t turn;
    struct site *set = sites_of(caller), *site = NULL;
    for (unsigned i = 0; i < WAYS && !site; i++)
        if (set[i].generation != since) site = &set[i];
    if (!site) site = &set[__atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % WAYS];
    uint32_t seq = __atomic_load_n(&site->seq, __ATOMIC_RELAXED);
    if ((seq & 1) || !__atomic_compare_exchange_n(&site->seq, &seq, seq + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
    site->generation = since;
    __atomic_store_n(&site->caller, caller, __ATOMIC_RELAXED);
    site->name = name;
    site->real = *real;
    __atomic_store_n(&site->seq, seq + 2, __ATOMIC_RELEASE);
}

bool tls_real_find(struct tls_real *real, const struct tls_flavor *flavor, const char *name, const void *caller) {
    if (__builtin_expect(recall(real, name, caller), 1)) {
        last_module = real->module;
        return true;
    }
    const uint32_t since = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
    struct search s = {.flavor = flavor, .name = name, .caller = (uintptr_t)caller};
    dl_iterate_phdr(consider, &s);
    if (s.count == 0) return false;
    const unsigned chosen = s.count == 1 ? 0 : choose(&s);
    real->function = s.functions[chosen];
    real->module = module_for(&s.candidates[chosen], flavor);
    real->from_library = s.caller_is_recorder || elf_image_holds(&s.candidates[chosen], s.caller);
    if (!s.caller_is_recorder) {
        last_module = real->module;
        remember(real, name, caller, since);
    } else if (s.count == 1) {
        remember(real, name, caller, since); /* whoever jumps from there, there is but one */
    }
    return true;
}

void tls_real_flush(void) {
    __atomic_fetch_add(&generation, 1, __ATOMIC_ACQ_REL);
}
