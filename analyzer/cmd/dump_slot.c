/* The lines of what is live: connections, bodies, workers, handles. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/dump.h"
#include "model/model.h"

void dump_connections(struct trace_file *file) {
    static const char *const protocols[] = {"unknown", "http1", "http2", "tunnel"};
    static const char *const results[] = {"none", "data", "again", "eof", "error"};
    struct trace_connection c;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_CONNECTION); i++) {
        if (!trace_file_connection(file, i, &c)) continue;
        dump_stack(file, c.connect_stack);
        dump_stack(file, c.request_stack);
        dump_stack(file, c.pending_stack);
        printf("connection slot=%zu id=%" PRIu64 " state=%s", i, c.id,
               c.state == TRACE_CONNECTION_CONNECTING ? "connecting" : "established");
        dump_time(file, "opened", c.opened_ns);
        printf(" fd=%" PRId32 " fd_count=%" PRIu32, c.fd, c.fd_count);
        dump_number("host", c.host);
        dump_number("site", c.site);
        dump_string(file, "peer", c.peer);
        dump_hex("flags", c.flags);
        printf(" protocol=%s", c.protocol < 4 ? protocols[c.protocol] : "unknown");
        dump_number("blind", c.blind_reason);
        dump_number("opener_tid", c.opener_tid);
        dump_number("connect_stack", c.connect_stack);
        dump_number("reader_tid", c.reader_tid);
        dump_time(file, "read_attempt", c.read_attempt_ns);
        dump_time(file, "read_progress", c.read_progress_ns);
        dump_number("read_bytes", c.read_bytes);
        dump_number("read_app_bytes", c.read_app_bytes);
        dump_time(file, "eof", c.eof_ns);
        printf(" read_result=%s", c.read_result < 5 ? results[c.read_result] : "unknown");
        dump_number("responses", c.responses);
        dump_number("writer_tid", c.writer_tid);
        dump_time(file, "write_attempt", c.write_attempt_ns);
        dump_number("write_bytes", c.write_bytes);
        dump_number("write_app_bytes", c.write_app_bytes);
        dump_number("requests", c.requests);
        dump_time(file, "request", c.request_ns);
        dump_number("request_stack", c.request_stack);
        dump_number("request_tid", c.request_tid);
        dump_string(file, "method", c.request_method);
        dump_string(file, "path", c.request_path);
        dump_time(file, "pending", c.pending_ns);
        dump_number("pending_stack", c.pending_stack);
        dump_number("body_slot", c.body_slot);
        dump_time(file, "idle_since", c.idle_since_ns);
        dump_number("last_status", c.last_status);
        if (c.protocol == TRACE_PROTOCOL_HTTP2) {
            dump_number("window", c.window);
            dump_number("held", c.held);
        }
        dump_number("poll_tid", c.poll_tid);
        dump_time(file, "wait", c.wait_ns);
        dump_number("epoll_interest", c.epoll_interest);
        dump_number("epoll_edge", c.epoll_edge);
        dump_time(file, "epoll_wait", c.epoll_wait_ns);
        dump_time(file, "epoll_change", c.epoll_change_ns);
        dump_time(file, "sample", c.sample_ns);
        dump_number("tcp_state", c.tcp_state);
        dump_time(file, "exec", c.exec_ns);
        dump_number("exec_pid", c.exec_pid);
        dump_number("exec_held", c.exec_held);
        if (c.rx_known) dump_number("rx_queued", c.rx_queued);
        putchar('\n');
    }
}

void dump_bodies(struct trace_file *file) {
    static const char *const framings[] = {"unknown", "length", "chunked", "until-close", "stream"};
    struct trace_body b;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_BODY); i++) {
        if (!trace_file_body(file, i, &b)) continue;
        dump_stack(file, b.request_stack);
        printf("body slot=%zu id=%" PRIu64 " connection=%" PRIu64, i, b.id, b.connection_id);
        dump_number("site", b.site);
        dump_number("request_stack", b.request_stack);
        dump_hex("flags", b.flags);
        dump_string(file, "method", b.method);
        dump_string(file, "path", b.path);
        dump_number("status", b.status);
        printf(" framing=%s", b.framing < 5 ? framings[b.framing] : "unknown");
        dump_number("asker_tid", b.asker_tid);
        dump_time(file, "requested", b.requested_ns);
        dump_time(file, "opened", b.opened_ns);
        dump_size("expected", b.expected);
        dump_number("bytes_read", b.bytes_read);
        dump_number("reader_tid", b.reader_tid);
        dump_time(file, "progress", b.progress_ns);
        dump_number("max_stall_ns", b.max_stall_ns);
        dump_number("bursts", b.bursts);
        dump_number("reads", b.reads);
        if (b.flags & TRACE_BODY_STREAM) {
            dump_number("window", b.window);
            dump_number("held", b.held);
        }
        dump_hex("handle", b.handle);
        if (b.flags & TRACE_BODY_GO) dump_number("asker_goid", b.asker_goid);
        if (b.flags & TRACE_BODY_STREAM) dump_number("stream_id", b.stream_id);
        if (b.flags & (TRACE_BODY_GO | TRACE_BODY_STREAM)) {
            dump_time(file, "attempt", b.attempt_ns);
            dump_number("attempts_now", b.attempts_now);
        }
        putchar('\n');
    }
}

void dump_workers(struct trace_file *file) {
    static const char *const roles[] = {"undeclared", "reader", "writer", "both"};
    struct trace_worker w;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_WORKER); i++) {
        if (!trace_file_worker(file, i, &w)) continue;
        char name[sizeof w.name + 1] = {0};
        memcpy(name, w.name, sizeof w.name);
        dump_stack(file, w.created_stack);
        printf("worker slot=%zu id=%" PRIu64 " tid=%" PRIu32, i, w.id, w.tid);
        dump_text("name", name);
        dump_number("creator_tid", w.creator_tid);
        dump_time(file, "started", w.started_ns);
        dump_number("created_stack", w.created_stack);
        dump_hex("flags", w.flags);
        printf(" role=%s", w.declared_role < 4 ? roles[w.declared_role] : "unknown");
        dump_number("siblings", w.siblings);
        dump_number("connections_used", w.connections_used);
        dump_number("read_bytes", w.read_bytes);
        dump_number("write_bytes", w.write_bytes);
        dump_number("read_ops", w.read_ops);
        dump_number("write_ops", w.write_ops);
        dump_number("first_connection", w.first_connection);
        dump_number("last_connection", w.last_connection);
        dump_number("last_host", w.last_host);
        dump_time(file, "last_io", w.last_io_ns);
        printf(" wait=%s", model_wait_name(w.wait));
        dump_time(file, "wait_since", w.wait_since_ns);
        dump_number("wait_connection", w.wait_connection);
        dump_hex("wait_address", w.wait_address);
        if (w.flags & TRACE_WORKER_GOROUTINE) {
            dump_number("goid", w.goid);
            dump_number("dedicated", w.dedicated);
        }
        putchar('\n');
    }
}

void dump_handles(struct trace_file *file) {
    struct trace_handle h;
    for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_HANDLE); i++) {
        if (!trace_file_handle(file, i, &h)) continue;
        dump_stack(file, h.created_stack);
        printf("handle slot=%zu id=%" PRIu64 " kind=%s", i, h.id, model_handle_name(h.kind));
        dump_hex("handle", h.handle);
        dump_time(file, "created", h.created_ns);
        dump_number("created_stack", h.created_stack);
        dump_number("creator_tid", h.creator_tid);
        dump_time(file, "used", h.used_ns);
        dump_number("uses", h.uses);
        dump_number("user_tid", h.user_tid);
        dump_number("busy", h.busy);
        dump_number("connection", h.connection);
        dump_number("host", h.host);
        dump_number("parent", h.parent);
        dump_number("members", h.members);
        dump_hex("flags", h.flags);
        dump_time(file, "since", h.since_ns);
        putchar('\n');
    }
}
