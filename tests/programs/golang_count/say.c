/* How golang_start went, as JSON. */
#include <stdio.h>

#include "count.h"

void count_say(struct count_page *page, long nanoseconds) {
    size_t n = (size_t)snprintf(page->said, sizeof page->said,
                                "{\"state\": %d, \"minor\": %u, \"version\": \"%s\", \"reason\": "
                                "\"%s\", \"ns\": %ld, \"sites\": {",
                                golang_program.state, golang_program.minor, golang_program.version,
                                golang_program.blind_reason, nanoseconds);
#define GOLANG_HOOK(id, ...)                                                                       \
    n += (size_t)snprintf(page->said + n, sizeof page->said - n, "\"" #id "\": %d, ",              \
                          golang_hook_sites[GOLANG_HOOK_##id]);
#include "golang/hooks.def"
#undef GOLANG_HOOK
    snprintf(page->said + n - 2, sizeof page->said - n + 2, "}}");
}
