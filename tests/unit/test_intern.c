/*
 * Interning: the same thing gets the same id, from any thread; what finds no place is counted;
 * modules come and go.
 */
#include <check.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "record/intern.h"
#include "record/options.h"
#include "tests/unit/suite.h"
#include "trace_place.h"

static const struct trace_string *string_of(uint32_t id) {
    return (const struct trace_string *)(trace->strings + (uint64_t)id * 8);
}

static const struct trace_stack *stack_of(uint32_t id) {
    return (const struct trace_stack *)(trace->stacks + (uint64_t)id * 8);
}

static uint64_t used(enum trace_region_kind kind) {
    return trace->header->regions[kind].used;
}

START_TEST(strings_come_once) {
    trace_place_open("");
    const uint32_t a = intern_string("api.example", 11), b = intern_string("api.example2", 12);
    ck_assert_uint_ne(a, 0);
    ck_assert_uint_ne(b, 0);
    ck_assert_uint_ne(a, b);
    const uint64_t before = used(TRACE_REGION_STRING);
    ck_assert_uint_eq(intern_string("api.example2", 11), a);
    ck_assert_uint_eq(used(TRACE_REGION_STRING), before);
    const struct trace_string *s = string_of(a);
    ck_assert_uint_eq(s->length, 11);
    ck_assert_uint_eq(s->hash, trace_string_hash("api.example", 11));
    ck_assert_mem_eq(s->bytes, "api.example", 12);
    ck_assert_uint_eq(intern_string("", 0), 0);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_STRINGS], 0);
}
END_TEST

START_TEST(strings_hold_any_byte_and_have_an_end) {
    trace_place_open("");
    const char zero[] = {'a', 0, 'b', '\n', (char)0xff};
    const uint32_t id = intern_string(zero, sizeof zero);
    ck_assert_uint_ne(id, intern_string("a", 1));
    ck_assert_uint_eq(string_of(id)->length, sizeof zero);
    ck_assert_mem_eq(string_of(id)->bytes, zero, sizeof zero);
    static char text[5000];
    memset(text, 'x', sizeof text);
    const uint32_t cut = intern_string(text, sizeof text);
    ck_assert_uint_eq(string_of(cut)->length, TRACE_STRING_MAX);
    ck_assert_int_eq(string_of(cut)->bytes[TRACE_STRING_MAX], 0);
    ck_assert_uint_eq(intern_string(text, TRACE_STRING_MAX), cut);
    ck_assert_uint_ne(intern_string(text, TRACE_STRING_MAX - 1), cut);
}
END_TEST

START_TEST(nothing_without_a_trace) {
    void *pcs[] = {(void *)(uintptr_t)0x1234};
    ck_assert_uint_eq(intern_string("x", 1), 0);
    ck_assert_uint_eq(intern_stack(pcs, 1), 0);
    ck_assert_uint_eq(intern_host(8, 80, TRACE_SCHEME_HTTP, 0), 0);
    ck_assert_uint_eq(intern_site(1, 1), 0);
    ck_assert_uint_eq(stack_here(), 0);
    uint64_t base;
    ck_assert_uint_eq(module_of((uintptr_t)&strlen, &base), 0);
    module_scan();
    intern_forget_stacks();
}
END_TEST

START_TEST(hosts_are_name_port_and_scheme) {
    trace_place_open("");
    const uint32_t name = intern_string("a.example", 9), other = intern_string("b.example", 9);
    const uint32_t id = intern_host(name, 443, TRACE_SCHEME_HTTPS, 0);
    ck_assert_uint_ne(id, 0);
    ck_assert_uint_eq(intern_host(name, 443, TRACE_SCHEME_HTTPS, 0), id);
    ck_assert_uint_ne(intern_host(name, 444, TRACE_SCHEME_HTTPS, 0), id);
    ck_assert_uint_ne(intern_host(name, 443, TRACE_SCHEME_HTTP, 0), id);
    ck_assert_uint_ne(intern_host(other, 443, TRACE_SCHEME_HTTPS, 0), id);
    ck_assert_uint_eq(intern_host(0, 443, TRACE_SCHEME_HTTPS, 0), 0);
    const struct trace_host *h = &trace->hosts[id];
    ck_assert_uint_eq(h->name, name);
    ck_assert_uint_eq(h->port, 443);
    ck_assert_uint_eq(h->scheme, TRACE_SCHEME_HTTPS);
    ck_assert_uint_eq(h->ready, 1);
    ck_assert_uint_eq(h->peer_count, 0);
}
END_TEST

START_TEST(hosts_know_their_first_peers) {
    trace_place_open("");
    const uint32_t name = intern_string("a.example", 9);
    uint32_t peers[12], id = 0;
    for (int round = 0; round < 2; round++)
        for (unsigned i = 0; i < 12; i++) {
            char text[32];
            snprintf(text, sizeof text, "10.0.0.%u:80", i);
            peers[i] = intern_string(text, strlen(text));
            id = intern_host(name, 80, TRACE_SCHEME_HTTP, peers[i]);
        }
    ck_assert_uint_eq(trace->hosts[id].peer_count, TRACE_HOST_PEERS);
    for (unsigned i = 0; i < TRACE_HOST_PEERS; i++)
        ck_assert_uint_eq(trace->hosts[id].peers[i], peers[i]);
}
END_TEST

START_TEST(sites_are_host_and_stack) {
    trace_place_open("");
    const uint32_t id = intern_site(3, 8);
    ck_assert_uint_ne(id, 0);
    ck_assert_uint_eq(intern_site(3, 8), id);
    ck_assert_uint_ne(intern_site(8, 3), id);
    ck_assert_uint_ne(intern_site(3, 0), id);
    ck_assert_uint_eq(intern_site(0, 0), 0);
    ck_assert_uint_eq(site_at(id)->host, 3);
    ck_assert_uint_eq(site_at(id)->stack, 8);
    ck_assert_ptr_eq(site_at(0), trace->sites);
}
END_TEST

START_TEST(full_tables_are_counted_as_lost) {
    trace_place_open("max_trace=128k");
    char text[900];
    memset(text, 'y', sizeof text);
    uint32_t ids[64], got = 0;
    for (unsigned i = 0; i < 64; i++) {
        text[0] = (char)('A' + i);
        ids[i] = intern_string(text, sizeof text);
        if (ids[i])
            got = i + 1;
        else
            break;
    }
    ck_assert_uint_ge(got, 1);
    ck_assert_uint_lt(got, 64);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_STRINGS], 1);
    for (unsigned i = 0; i < got; i++) { /* those that are there stay */
        text[0] = (char)('A' + i);
        ck_assert_uint_eq(intern_string(text, sizeof text), ids[i]);
    }
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_STRINGS], 1);

    const uint64_t sites =
        trace->header->regions[TRACE_REGION_SITE].size / sizeof(struct trace_site);
    for (uint64_t i = 1; i < sites; i++)
        ck_assert_uint_eq(intern_site(1, (uint32_t)i), i);
    ck_assert_uint_eq(intern_site(2, 2), 0);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_SITES], 1);
    ck_assert_uint_eq(intern_site(1, 1), 1);

    uint32_t stacks = 0;
    for (uintptr_t i = 1; i < 4000; i++) {
        void *pcs[] = {(void *)(i << 4), (void *)(uintptr_t)16};
        stacks += intern_stack(pcs, 2) != 0;
    }
    ck_assert_uint_gt(stacks, 50);
    ck_assert_uint_eq(trace->header->lost[TRACE_LOST_STACKS], 3999 - stacks);
}
END_TEST

/* ---- threads --------------------------------------------------------------------------------- */

#define THINGS 3000u
static uint32_t string_ids[4][THINGS], host_ids[4][THINGS], site_ids[4][THINGS],
    stack_ids[4][THINGS];

static void intern_all(unsigned n) {
    for (unsigned i = 0; i < THINGS; i++) {
        char text[64];
        const int length = snprintf(text, sizeof text, "/path/%u/%.*s", i, (int)(i % 40),
                                    "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
        void *pcs[] = {(void *)(uintptr_t)(i + 4096), (void *)(uintptr_t)&strlen,
                       (void *)(uintptr_t)8192};
        string_ids[n][i] = intern_string(text, (size_t)length);
        host_ids[n][i] =
            intern_host(string_ids[n][i], (uint16_t)i, TRACE_SCHEME_HTTP, string_ids[n][i]);
        stack_ids[n][i] = intern_stack(pcs, 3);
        site_ids[n][i] = intern_site(host_ids[n][i], stack_ids[n][i]);
    }
}

static void ck_distinct(const uint32_t *ids) {
    static uint8_t seen[1 << 20];
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < THINGS; i++) {
        ck_assert_uint_ne(ids[i], 0);
        ck_assert_uint_lt(ids[i], sizeof seen);
        ck_assert_uint_eq(seen[ids[i]]++, 0);
    }
}

START_TEST(threads_agree) {
    trace_place_open("");
    trace_place_threads(4, intern_all);
    for (unsigned n = 1; n < 4; n++) {
        ck_assert_mem_eq(string_ids[n], string_ids[0], sizeof string_ids[0]);
        ck_assert_mem_eq(host_ids[n], host_ids[0], sizeof host_ids[0]);
        ck_assert_mem_eq(site_ids[n], site_ids[0], sizeof site_ids[0]);
        ck_assert_mem_eq(stack_ids[n], stack_ids[0], sizeof stack_ids[0]);
    }
    ck_distinct(string_ids[0]);
    ck_distinct(host_ids[0]);
    ck_distinct(site_ids[0]);
    ck_distinct(stack_ids[0]);
    for (unsigned i = 0; i < THINGS; i++) {
        const struct trace_host *h = &trace->hosts[host_ids[0][i]];
        ck_assert_uint_eq(h->ready, 1);
        ck_assert_uint_eq(h->peer_count, 1);
        ck_assert_uint_eq(h->peers[0], h->name);
        ck_assert_uint_eq(stack_of(stack_ids[0][i])->count, 3);
    }
    for (unsigned i = 0; i < TRACE_LOST_COUNT; i++)
        ck_assert_uint_eq(trace->header->lost[i], 0);
}
END_TEST

/* ---- modules and stacks ---------------------------------------------------------------------- */

static const struct trace_module *module_at(uintptr_t pc) {
    uint64_t base = 0;
    const uint32_t id = module_of(pc, &base);
    ck_assert_uint_ne(id, 0);
    ck_assert_uint_eq(trace->modules[id].base, base);
    ck_assert_uint_eq(trace->modules[id].ready, 1);
    return &trace->modules[id];
}

START_TEST(modules_are_told_apart) {
    trace_place_open("");
    const struct trace_module *libc = module_at((uintptr_t)dlsym(RTLD_DEFAULT, "strtod"));
    ck_assert_ptr_nonnull(strstr(string_of(libc->path)->bytes, "libc.so.6"));
    ck_assert_int_eq(string_of(libc->path)->bytes[0], '/');
    ck_assert_uint_eq(libc->flags, 0);
    ck_assert_uint_eq(libc->build_id_size, 20);
    const struct trace_module *self = module_at((uintptr_t)&module_at);
    ck_assert_uint_eq(self->flags, TRACE_MODULE_MAIN | TRACE_MODULE_RECORDER);
    char exe[512];
    exe[readlink("/proc/self/exe", exe, sizeof exe - 1)] = 0;
    ck_assert_int_eq(
        strncmp(string_of(self->path)->bytes, exe, strlen(string_of(self->path)->bytes)), 0);
    ck_assert(module_is_recorder((uintptr_t)&module_at));
    ck_assert(!module_is_recorder((uintptr_t)dlsym(RTLD_DEFAULT, "strtod")));
    uint64_t base;
    ck_assert_uint_eq(module_of(4096, &base), 0);
    ck_assert_uint_eq(module_of(UINTPTR_MAX, &base), 0);
    /* Scanning again finds nothing new. */
    const uint64_t modules = used(TRACE_REGION_MODULE), events = used(TRACE_REGION_JOURNAL);
    ck_assert_uint_ge(modules, 4);
    module_scan();
    ck_assert_uint_eq(used(TRACE_REGION_MODULE), modules);
    ck_assert_uint_eq(used(TRACE_REGION_JOURNAL), events);
}
END_TEST

START_TEST(a_module_that_came_later_and_went) {
    trace_place_open("");
    void *library = dlopen("libutil.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return; /* a C library without it */
    struct link_map *map;
    ck_assert_int_eq(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
    const uintptr_t inside = (uintptr_t)map->l_addr + 64;
    const uint64_t before = used(TRACE_REGION_MODULE);
    void *pcs[] = {(void *)inside, (void *)(uintptr_t)16};
    const uint32_t stack = intern_stack(pcs, 2);
    ck_assert_uint_eq(used(TRACE_REGION_MODULE), before + 1);
    const struct trace_module *m = module_at(inside);
    const uint32_t id = (uint32_t)(m - trace->modules);
    ck_assert_ptr_nonnull(strstr(string_of(m->path)->bytes, "libutil"));
    ck_assert_uint_eq(stack_of(stack)->frames[0].module, id);
    ck_assert_uint_eq(stack_of(stack)->frames[0].address, inside - m->base);
    ck_assert_uint_eq(stack_of(stack)->frames[1].module, 0);
    ck_assert_uint_eq(stack_of(stack)->frames[1].address, 16);
    ck_assert_uint_eq(intern_stack(pcs, 2), stack);
    ck_assert_uint_eq(m->unloaded_ns, 0);
    const struct trace_event *e = &trace->journal[used(TRACE_REGION_JOURNAL) - 1];
    ck_assert(e->type == TRACE_EVENT_MODULE && e->a == id && e->arg == 1);

    ck_assert_int_eq(dlclose(library), 0);
    module_scan();
    intern_forget_stacks();
    ck_assert_uint_ne(m->unloaded_ns, 0);
    e = &trace->journal[used(TRACE_REGION_JOURNAL) - 1];
    ck_assert(e->type == TRACE_EVENT_MODULE && e->a == id && e->arg == 2);
    uint64_t base;
    ck_assert_uint_eq(module_of(inside, &base), 0);
    const uint32_t again = intern_stack(pcs, 2);
    ck_assert_uint_ne(again, stack);
    ck_assert_uint_eq(stack_of(again)->frames[0].module, 0);

    /* Back at its old place it is the old module; anywhere else a new one. */
    library = dlopen("libutil.so.1", RTLD_NOW | RTLD_LOCAL);
    ck_assert_ptr_nonnull(library);
    ck_assert_int_eq(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
    const uint64_t modules = used(TRACE_REGION_MODULE);
    const struct trace_module *back = module_at((uintptr_t)map->l_addr + 64);
    ck_assert_uint_eq(back->unloaded_ns, 0);
    if ((uintptr_t)map->l_addr == m->base)
        ck_assert_ptr_eq(back, m);
    else
        ck_assert_uint_eq(used(TRACE_REGION_MODULE), modules + 1);
}
END_TEST

/* A daemon that loads and unloads a plugin for weeks must not fill the trace with it. */
START_TEST(a_module_that_comes_and_goes) {
    trace_place_open("");
    uint64_t modules = 0, heap = 0;
    uint32_t first = 0;
    uintptr_t where = 0;
    for (int round = 0; round < 20; round++) {
        void *library = dlopen("libutil.so.1", RTLD_NOW | RTLD_LOCAL);
        if (!library) return; /* a C library without it */
        struct link_map *map;
        ck_assert_int_eq(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
        if (round && map->l_addr != where) return; /* the kernel put it elsewhere: another module */
        where = map->l_addr;
        void *pcs[] = {(void *)(where + 64), (void *)(uintptr_t)&strlen};
        const uint32_t stack = intern_stack(pcs, 2);
        if (round == 0)
            first = stack, modules = used(TRACE_REGION_MODULE), heap = used(TRACE_REGION_STACK);
        const struct trace_module *m = &trace->modules[stack_of(stack)->frames[0].module];
        ck_assert_uint_eq(stack, first);
        ck_assert_uint_eq(used(TRACE_REGION_MODULE), modules);
        ck_assert_uint_eq(used(TRACE_REGION_STACK), heap);
        ck_assert_uint_eq(m->unloaded_ns, 0);
        dlclose(library);
        module_scan();
        stack_flush();
        intern_forget_stacks();
        ck_assert_uint_ne(m->unloaded_ns, 0);
    }
}
END_TEST

static uint32_t here;
static uint32_t captured;
static void *captured_pcs[TRACE_STACK_DEPTH_MAX];

static int compare(const void *a, const void *b) {
    here = stack_here();
    captured = stack_capture(captured_pcs, options.stack_depth);
    return *(const int *)a - *(const int *)b;
}

/*
 * This whole program counts as the recorder here: what is left are the C library's frames around
 * it.
 */
START_TEST(the_recorder_is_in_no_stack) {
    trace_place_open("");
    int numbers[] = {2, 1};
    qsort(numbers, 2, sizeof *numbers, compare);
    ck_assert_uint_ge(captured, 2);
    ck_assert_uint_ne(here, 0);
    const struct trace_stack *s = stack_of(here);
    ck_assert_uint_eq(s->count, captured);
    ck_assert_uint_ne(s->hash, 0);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct trace_frame *f = &s->frames[i];
        ck_assert_uint_ne(f->module, 0);
        ck_assert_uint_eq(trace->modules[f->module].base + f->address, (uintptr_t)captured_pcs[i]);
        ck_assert(!(trace->modules[f->module].flags & TRACE_MODULE_RECORDER));
    }
    ck_assert_uint_eq(intern_stack(captured_pcs, captured), here);
    captured_pcs[captured] = (void *)(uintptr_t)&compare;
    ck_assert_uint_eq(intern_stack(captured_pcs, captured + 1), here);
}
END_TEST

static int deep;
static int nest(const void *a, const void *b) {
    int numbers[] = {1, 0};
    if (deep-- > 0)
        qsort(numbers, 2, sizeof *numbers, nest);
    else
        captured = stack_capture(captured_pcs, options.stack_depth);
    return *(const int *)a - *(const int *)b;
}

START_TEST(no_deeper_than_asked) {
    trace_place_open("stack_depth=5");
    int numbers[] = {1, 0};
    deep = 30;
    qsort(numbers, 2, sizeof *numbers, nest);
    ck_assert_uint_eq(captured, 5);
    for (uint32_t i = 0; i < captured; i++)
        ck_assert(!module_is_recorder((uintptr_t)captured_pcs[i]));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("intern");
    TCase *tests = tcase_create("intern");
    tcase_add_checked_fixture(tests, trace_place_enter, trace_place_leave);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, strings_come_once);
    tcase_add_test(tests, strings_hold_any_byte_and_have_an_end);
    tcase_add_test(tests, nothing_without_a_trace);
    tcase_add_test(tests, hosts_are_name_port_and_scheme);
    tcase_add_test(tests, hosts_know_their_first_peers);
    tcase_add_test(tests, sites_are_host_and_stack);
    tcase_add_test(tests, full_tables_are_counted_as_lost);
    tcase_add_test(tests, threads_agree);
    tcase_add_test(tests, modules_are_told_apart);
    tcase_add_test(tests, a_module_that_came_later_and_went);
    tcase_add_test(tests, a_module_that_comes_and_goes);
    tcase_add_test(tests, the_recorder_is_in_no_stack);
    tcase_add_test(tests, no_deeper_than_asked);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
