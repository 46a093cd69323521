/* Handles of client libraries: what of them is live, and the connection that each worked on last. */
#include <stdlib.h>

#include "model/internal.h"

static int handle_compare(const void *a, const void *b) {
    const struct trace_handle *x = &((const struct model_handle *)a)->raw,
                              *y = &((const struct model_handle *)b)->raw;
    if (x->created_ns != y->created_ns) return x->created_ns < y->created_ns ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void process_load_handles(struct model_process *process) {
    struct trace_file *file = process->file;
    for (size_t i = 0, n = trace_file_count(file, TRACE_REGION_HANDLE); i < n; i++) {
        struct trace_handle raw;
        if (!trace_file_handle(file, i, &raw)) continue;
        struct model_connection *connection = process_connection(process, raw.connection);
        struct model_host *host = connection ? connection->host : NULL;
        if (!host && raw.host != 0 && raw.host < process->host_count)
            host = process->hosts[raw.host];
        process->handles =
            array_grow(process->handles, process->handle_count, sizeof *process->handles);
        process->handles[process->handle_count++] =
            (struct model_handle){raw, process, connection, host};
    }
    if (process->handle_count)
        qsort(process->handles, process->handle_count, sizeof *process->handles, handle_compare);
}

const char *model_handle_name(uint32_t kind) {
    static const char *const names[] = {"unknown", "curl-easy", "curl-multi", "curl-share", "ssl"};
    return kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
