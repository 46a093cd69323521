/* Asks V8 for its frames. */
#include "record/interpreter/javascript.h"

#include <string.h>

#include "record/interpreter/interpreter.h"
#include "record/interpreter/known.h"

#define VERSION_FIRST 9 /* Node 16 */
#define VERSION_LAST 13 /* Node 24 */
#define SCOPE_BYTES 64u /* v8::HandleScope has 24 */
#define OPTIONS 15      /* v8::StackTrace::kOverview */
#define WRITE_OPTIONS 2 /* v8::String::NO_NULL_TERMINATION */

static __thread uint32_t depth __attribute__((tls_model("initial-exec")));
/* A worker's isolate may lie where that of another lay, and call its scripts by the same numbers. */
static __thread uint32_t thread_number __attribute__((tls_model("initial-exec")));
static uint32_t threads;

void javascript_enter(void) {
    depth++;
}

void javascript_leave(void) {
    depth--;
}

static bool is_known_version(const struct image *module) {
    void *found =
        image_find(module, "_ZN2v82V810GetVersionEv", image_hash("_ZN2v82V810GetVersionEv"));
    const char *(*version)(void);
    int number = 0;
    if (!found) return false;
    memcpy(&version, &found, sizeof found);
    for (const char *c = version(); *c >= '0' && *c <= '9' && number < 1000; c++)
        number = number * 10 + (*c - '0');
    return number >= VERSION_FIRST && number <= VERSION_LAST;
}

bool javascript_find(struct javascript *javascript, const struct image *module) {
    static const struct {
        const char *name;
        size_t place;
        bool optional;
    } functions[] = {
#define PLACE(member) offsetof(struct javascript, member)
        {"_ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE",
         PLACE(trace), false},
        {"_ZN2v87Isolate13TryGetCurrentEv", PLACE(isolate), false},
        {"_ZN2v87Isolate9InContextEv", PLACE(in_context), false},
        {"_ZN2v811HandleScopeC1EPNS_7IsolateE", PLACE(scope_begin), false},
        {"_ZN2v811HandleScopeD1Ev", PLACE(scope_end), false},
        {"_ZNK2v810StackTrace13GetFrameCountEv", PLACE(count), false},
        {"_ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj", PLACE(frame), false},
        {"_ZNK2v810StackFrame11GetLocationEv", PLACE(location), true},
        {"_ZNK2v810StackFrame13GetLineNumberEv", PLACE(line), true},
        {"_ZNK2v810StackFrame9GetColumnEv", PLACE(column), true},
        {"_ZNK2v810StackFrame11GetScriptIdEv", PLACE(script_id), false},
        {"_ZNK2v810StackFrame13GetScriptNameEv", PLACE(script), false},
        {"_ZNK2v810StackFrame15GetFunctionNameEv", PLACE(function), false},
        {"_ZNK2v86String9WriteUtf8EPNS_7IsolateEPciPii", PLACE(write), false},
#undef PLACE
    };
    *javascript = (struct javascript){0};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *found = image_find(module, functions[i].name, image_hash(functions[i].name));
        if (!found && !functions[i].optional) return false;
        memcpy((uint8_t *)javascript + functions[i].place, &found, sizeof found);
    }
    return (javascript->location || (javascript->line && javascript->column)) &&
           is_known_version(module);
}

struct place { /* from 1 on; 0: not known */
    uint32_t line, column;
};

static struct place place_of(const struct javascript *js, uintptr_t frame) {
    if (!js->location) {
        const int line = js->line(frame), column = js->column(frame);
        return (struct place){line > 0 ? (uint32_t)line : 0, column > 0 ? (uint32_t)column : 0};
    }
    const uint64_t location = js->location(frame);
    const int32_t line = (int32_t)(uint32_t)location, column = (int32_t)(location >> 32);
    return (struct place){line >= 0 ? (uint32_t)line + 1 : 0,
                          column >= 0 ? (uint32_t)column + 1 : 0};
}

static struct frame_text text_of(const struct javascript *js, void *isolate, uintptr_t string,
                                 char buffer[FRAME_TEXT_MAX]) {
    static const char nameless[] = "<anonymous>", scheme[] = "file://";
    const int size =
        string ? js->write(string, isolate, buffer, FRAME_TEXT_MAX, NULL, WRITE_OPTIONS) : 0;
    if (size <= 0 || size > (int)FRAME_TEXT_MAX)
        return (struct frame_text){nameless, sizeof nameless - 1};
    struct frame_text text = {buffer, (size_t)size};
    if (text.size > sizeof scheme && memcmp(buffer, scheme, sizeof scheme - 1) == 0) {
        text.bytes += sizeof scheme - 1;
        text.size -= sizeof scheme - 1;
    }
    return text;
}

static void *counter_of(const struct javascript *js, void *isolate, uintptr_t frame) {
    char script_buffer[FRAME_TEXT_MAX], function_buffer[FRAME_TEXT_MAX];
    const struct place place = place_of(js, frame);
    if (thread_number == 0) thread_number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
    uint64_t hash = known_hash((uintptr_t)isolate,
                               (uint64_t)thread_number << 32 | (uint32_t)js->script_id(frame));
    hash = known_hash(hash, (uint64_t)place.line << 32 | place.column);
    const uint64_t known = known_find(hash);
    if (known) return (void *)(uintptr_t)known;
    void *pc = frame_counter(
        TRACE_LANGUAGE_JAVASCRIPT, text_of(js, isolate, js->script(frame), script_buffer),
        text_of(js, isolate, js->function(frame), function_buffer), place.line);
    if (pc) known_keep(hash, (uintptr_t)pc);
    return pc;
}

uint32_t javascript_frames(const struct javascript *js, void **counters, uint32_t most) {
    uint32_t count = 0;
    _Alignas(16) uint8_t scope[SCOPE_BYTES];
    if (depth == 0) return 0;
    void *isolate = js->isolate();
    if (!isolate || !js->in_context(isolate)) return 0;
    js->scope_begin(scope, isolate);
    const uintptr_t trace = js->trace(isolate, (int)most, OPTIONS);
    const int n = trace ? js->count(trace) : 0;
    for (int i = 0; i < n && count < most; i++) {
        const uintptr_t frame = js->frame(trace, isolate, (uint32_t)i);
        void *pc = frame ? counter_of(js, isolate, frame) : NULL;
        if (pc) counters[count++] = pc;
    }
    js->scope_end(scope);
    return count;
}

bool javascript_is_own(void *const *pcs, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (frame_is(pcs[i]) && frame_names(pcs[i]).language == TRACE_LANGUAGE_JAVASCRIPT &&
            !interpreter_is_platform(pcs[i]))
            return true;
    return false;
}

bool javascript_runs(void *const *pcs, uint32_t n, const char *script, const char *function) {
    const struct frame_text file = {script, strlen(script)}, name = {function, strlen(function)};
    for (uint32_t i = 0; i < n; i++)
        if (frame_is(pcs[i]) && frame_has_names(pcs[i], file, name)) return true;
    return false;
}
