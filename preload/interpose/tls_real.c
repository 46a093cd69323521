/* Finds what a TLS call would have been bound to without us, from the caller's own bindings, and
 * remembers it per call site. */
#include <stddef.h>
#include <string.h>

#include "interpose/carried.h"
#include "interpose/loaded.h"
#include "interpose/tls_real.h"
#include "record/gate.h"
#include "record/sys.h"

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

static void *function_of(const struct loaded *module, const char *name) {
    return image_find(&module->image, name, image_hash(name));
}

/* A library whose addresses another one has now is gone, and so is everybody who could have used
 * its record. */
static const struct tls_module *module_for(const struct loaded *image,
                                           const struct tls_flavor *flavor) {
    struct tls_module fresh = {
        .library = flavor->library, .flavor = flavor, .start = image->start, .end = image->end};
    for (int i = 0; i < TLS_GETTERS && flavor->getters[i]; i++)
        fresh.getters[i] = function_of(image, flavor->getters[i]);
    for (unsigned i = 0; i < MODULES; i++) {
        struct tls_module *m = &modules[i];
        uint32_t state = __atomic_load_n(&m->state, __ATOMIC_ACQUIRE);
        if (state == MODULE_READY && same_module(m, &fresh)) return m;
        if (state == MODULE_READY &&
            (m->flavor != flavor || m->start >= fresh.end || fresh.start >= m->end))
            continue;
        if (state == MODULE_BUSY) continue;
        if (!__atomic_compare_exchange_n(&m->state, &state, MODULE_BUSY, false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED))
            continue;
        memcpy(m, &fresh, offsetof(struct tls_module, state));
        __atomic_store_n(&m->state, MODULE_READY, __ATOMIC_RELEASE);
        return m;
    }
    return NULL;
}

/*
 * The library of this thread's last call. Who calls from inside the recorder is that library: it
 * left the function that we had called by a jump into another one (gnutls_record_send does), so the
 * return address is still ours.
 */
static __thread const struct tls_module *last_module __attribute__((tls_model("initial-exec")));

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static const void *true_caller(const void *caller) {
    const bool recorder = (const char *)caller >= __ehdr_start && (const char *)caller < _end;
    return __builtin_expect(recorder, 0) && last_module ? (const void *)last_module->start : caller;
}

/* ---- search ---- */

#define CANDIDATES 8u
struct search {
    const struct tls_flavor *flavor;
    const char *name;
    uint32_t hash;
    uintptr_t caller;
    struct loaded caller_image, candidates[CANDIDATES];
    void *functions[CANDIDATES];
    unsigned count;
    unsigned preload; /* index of the first candidate that is another preload; CANDIDATES: none */
    bool caller_known, past_recorder;
};

static int consider(struct dl_phdr_info *info, size_t size, void *context) {
    struct search *s = context;
    struct loaded image;
    (void)size;
    if (!loaded_read(&image, info)) return 0;
    if (loaded_holds(&image, s->caller)) {
        s->caller_image = image;
        s->caller_known = true;
    }
    if (loaded_holds(&image, (uintptr_t)modules)) {
        s->past_recorder = true;
        return 0;
    }
    void *function = s->count < CANDIDATES ? image_find(&image.image, s->name, s->hash) : NULL;
    if (!function) return 0;
    if (!function_of(&image, s->flavor->marker)) {
        /* Another preload: those before us have been called already, and one that calls on means
         * what comes after it. */
        if (!s->past_recorder || loaded_holds(&image, s->caller)) return 0;
        if (s->preload == CANDIDATES) s->preload = s->count;
    }
    s->functions[s->count] = function;
    s->candidates[s->count++] = image;
    return 0;
}

/*
 * Several libraries define the name. Another preload comes first, as it would have without us. Then
 * the caller's own bindings decide: its references to names that we do not interpose were bound by
 * the rules that we would otherwise have to rebuild (scopes, symbol versions). Only a caller that
 * is bound to none of them yet is judged by what it names as needed.
 */
static unsigned choose(const struct search *s) {
    if (s->preload < CANDIDATES) return s->preload;
    if (!s->caller_known) return 0;
    unsigned best = s->count, most = 0;
    for (unsigned i = 0; i < s->count; i++) {
        const unsigned bindings =
            loaded_bindings(&s->caller_image, s->candidates[i].start, s->candidates[i].end);
        if (bindings > most) most = bindings, best = i;
    }
    for (unsigned i = 0; i < s->count && best == s->count; i++)
        if (s->candidates[i].start == s->caller_image.start) best = i;
    for (unsigned i = 0; i < s->count && best == s->count; i++)
        if (loaded_needs(&s->caller_image, s->candidates[i].name)) best = i;
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
        const struct site *site = &set[i];
        if (__atomic_load_n(&site->caller, __ATOMIC_RELAXED) != caller) continue;
        const uint32_t seq = __atomic_load_n(&site->seq, __ATOMIC_ACQUIRE);
        const bool matches = __atomic_load_n(&site->caller, __ATOMIC_ACQUIRE) == caller &&
                             __atomic_load_n(&site->name, __ATOMIC_ACQUIRE) == name &&
                             __atomic_load_n(&site->generation, __ATOMIC_ACQUIRE) == now;
        real->function = __atomic_load_n(&site->real.function, __ATOMIC_ACQUIRE);
        real->module = __atomic_load_n(&site->real.module, __ATOMIC_ACQUIRE);
        real->from_library = __atomic_load_n(&site->real.from_library, __ATOMIC_ACQUIRE);
        real->carried = __atomic_load_n(&site->real.carried, __ATOMIC_ACQUIRE);
        if (!(seq & 1) && matches && __atomic_load_n(&site->seq, __ATOMIC_RELAXED) == seq)
            return true;
    }
    return false;
}

static void remember(const struct tls_real *real, const char *name, const void *caller,
                     uint32_t since) {
    static uint32_t turn;
    struct site *set = sites_of(caller), *site = NULL;
    for (unsigned i = 0; i < WAYS && !site; i++)
        if (__atomic_load_n(&set[i].generation, __ATOMIC_RELAXED) != since) site = &set[i];
    if (!site) site = &set[__atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED) % WAYS];
    uint32_t seq = __atomic_load_n(&site->seq, __ATOMIC_RELAXED);
    if ((seq & 1) || !__atomic_compare_exchange_n(&site->seq, &seq, seq + 1, false,
                                                  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&site->generation, since, __ATOMIC_RELAXED);
    __atomic_store_n(&site->caller, caller, __ATOMIC_RELAXED);
    __atomic_store_n(&site->name, name, __ATOMIC_RELAXED);
    __atomic_store_n(&site->real.function, real->function, __ATOMIC_RELAXED);
    __atomic_store_n(&site->real.module, real->module, __ATOMIC_RELAXED);
    __atomic_store_n(&site->real.from_library, real->from_library, __ATOMIC_RELAXED);
    __atomic_store_n(&site->real.carried, real->carried, __ATOMIC_RELAXED);
    __atomic_store_n(&site->seq, seq + 2, __ATOMIC_RELEASE);
}

static bool find(struct tls_real *real, const struct tls_flavor *flavor, const char *name,
                 const void *caller) {
    if (carried_find(real, flavor, name, (uintptr_t)caller)) return true;
    struct search s = {.flavor = flavor,
                       .name = name,
                       .preload = CANDIDATES,
                       .hash = image_hash(name),
                       .caller = (uintptr_t)caller};
    const uint64_t signals = sys_hold_signals();
    gate_enter();
    dl_iterate_phdr(consider, &s);
    gate_leave();
    sys_release_signals(signals);
    if (s.count == 0) return false;
    const unsigned chosen = s.count == 1 ? 0 : choose(&s);
    real->function = carried_original(s.functions[chosen]);
    real->module = module_for(&s.candidates[chosen], flavor);
    real->from_library = loaded_holds(&s.candidates[chosen], s.caller);
    real->carried = false;
    return true;
}

bool tls_real_find(struct tls_real *real, const struct tls_flavor *flavor, const char *name,
                   const void *return_address) {
    const void *caller = true_caller(return_address);
    if (__builtin_expect(!recall(real, name, caller), 0)) {
        const uint32_t since = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
        if (!find(real, flavor, name, caller)) return false;
        remember(real, name, caller, since);
    }
    last_module = real->module;
    return true;
}

void tls_real_flush(void) {
    __atomic_fetch_add(&generation, 1, __ATOMIC_ACQ_REL);
}
