/* The reader: what it accepts, what it refuses with which words, and what a kill may leave behind. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/suite.h"
#include "tests/unit/trace_builder.h"
#include "trace/reader.h"
#include "trace/replay.h"

static struct builder *builder;

static void setup(void) {
    builder = builder_new();
}

static void teardown(void) {
    builder_free(builder);
}

static struct trace_file *open_it(void) {
    struct trace_error error;
    struct trace_file *file = trace_file_open(builder_write(builder), &error);
    ck_assert_msg(file != NULL, "%s", error.text);
    return file;
}

/* It must be refused, at this offset, with a line that has these words. */
static void refuse(const char *path, uint64_t offset, const char *words) {
    struct trace_error error = {.text = ""};
    struct trace_file *file = trace_file_open(path, &error);
    ck_assert_ptr_null(file);
    ck_assert_msg(strstr(error.text, words) != NULL, "'%s' has not '%s'", error.text, words);
    ck_assert_msg(strncmp(error.text, path, strlen(path)) == 0, "'%s' names no file", error.text);
    ck_assert_uint_eq(error.offset, offset);
    ck_assert_ptr_null(strchr(error.text, '\n'));
}

START_TEST(reads_what_was_written) {
    struct trace_connection *written = builder_connection(builder), connection;
    struct trace_body body;
    builder_body(builder, written);
    struct trace_file *file = open_it();
    ck_assert_uint_eq(trace_file_count(file, TRACE_REGION_CONNECTION), 1);
    ck_assert(trace_file_connection(file, 0, &connection));
    ck_assert_int_eq(memcmp(&connection, written, sizeof connection), 0);
    ck_assert(!trace_file_connection(file, 1, &connection));
    ck_assert(trace_file_body(file, 0, &body));
    ck_assert_uint_eq(body.connection_id, connection.id);
    ck_assert_str_eq(trace_file_string(file, body.path, NULL), "/items");
    const struct trace_stack *stack = trace_file_stack(file, body.request_stack);
    ck_assert_ptr_nonnull(stack);
    ck_assert_uint_eq(stack->count, 3);
    ck_assert_ptr_eq(trace_file_stack(file, body.request_stack), stack);
    ck_assert_str_eq(trace_file_string(file, 0, NULL), "");
    ck_assert_ptr_null(trace_file_stack(file, 0));
    ck_assert_ptr_null(trace_file_error(file));
    trace_file_close(file);
}
END_TEST

START_TEST(refuses_what_is_no_trace) {
    const char *path = builder_write(builder);
    refuse("/nonexistent/trace", 0, "No such file");
    refuse("/tmp", 0, "regular file");
    builder_write_part(builder, 0);
    refuse(path, 0, "empty");
    builder_write_part(builder, 100);
    refuse(path, 100, "truncated");
    builder->header->magic[0] = 'X';
    builder_write(builder);
    refuse(path, 0, "expected a httpleak trace");
}
END_TEST

START_TEST(refuses_other_versions_and_byte_orders) {
    builder->header->version = TRACE_VERSION + 1;
    refuse(builder_write(builder), offsetof(struct trace_header, version), "newer");
    builder->header->version = TRACE_VERSION;
    builder->header->byte_order = 0x04030201;
    refuse(builder_write(builder), offsetof(struct trace_header, byte_order), "byte order");
}
END_TEST

START_TEST(refuses_regions_that_do_not_fit) {
    static const struct {
        uint64_t offset, size, record;
    } wrong[] = {{0, 0, 8},
                 {4095, 0, 8},
                 {UINT64_MAX - 4095, 4096, 8},
                 {4096, UINT64_MAX, 8},
                 {4096, 0, 8},
                 {4096, 4096, 0},
                 {1 << 30, 4096, 8},
                 {4096, 4096, 16},
                 {8192, 7, 8},
                 {4096, UINT64_MAX - 4096, 8}};
    struct trace_region *region = &builder->header->regions[TRACE_REGION_STRING];
    const struct trace_region good = *region;
    const uint64_t at =
        offsetof(struct trace_header, regions) + TRACE_REGION_STRING * sizeof *region;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        *region = good;
        region->offset = wrong[i].offset;
        region->size = wrong[i].size;
        region->record_size = wrong[i].record;
        refuse(builder_write(builder), at, "string");
    }
    *region = good;
    region->populated = region->size + 1;
    refuse(builder_write(builder), at, "populated");
}
END_TEST

/* Cut off anywhere: either it says truncated, or nothing that is in use was cut off. */
START_TEST(a_truncated_trace_is_told) {
    builder_connection(builder);
    for (int i = 0; i < 70; i++)
        builder_event(builder, (struct trace_event){.type = TRACE_EVENT_FORK});
    const struct trace_region *journal = &builder->header->regions[TRACE_REGION_JOURNAL];
    size_t needed = journal->offset + journal->size;
    for (size_t size = 8; size < builder->size; size += 997) {
        struct trace_error error;
        struct trace_file *file = trace_file_open(builder_write_part(builder, size), &error);
        if (file) {
            ck_assert_uint_ge(size, needed);
            trace_file_close(file);
        } else {
            ck_assert_msg(strstr(error.text, "truncated") != NULL, "%s", error.text);
            ck_assert_uint_eq(error.offset, size);
        }
    }
    builder_write_part(builder, needed);
    trace_file_close(open_it());
}
END_TEST

/* Killed while it made the file: zeros for a header and holes behind, or a header without its magic. */
START_TEST(a_trace_that_was_never_begun_is_empty) {
    struct trace_connection connection;
    builder_connection(builder);
    memset(builder->header->magic, 0, sizeof builder->header->magic);
    struct trace_file *file = open_it();
    ck_assert(trace_file_is_unborn(file));
    ck_assert_uint_eq(trace_file_count(file, TRACE_REGION_CONNECTION), 0);
    ck_assert(!trace_file_connection(file, 0, &connection));
    ck_assert_int_eq(trace_replay_check(file, 0, NULL), REPLAY_EQUAL);
    trace_file_close(file);

    const char *path = builder_write_part(builder, 0);
    ck_assert_int_eq(truncate(path, 1 << 20), 0);
    struct trace_error error;
    file = trace_file_open(path, &error);
    ck_assert_msg(file != NULL, "%s", error.text);
    ck_assert(trace_file_is_unborn(file));
    trace_file_close(file);

    memset(builder->image, 0, builder->size);
    builder_write(builder); /* written zeros are no holes: a foreign file */
    refuse(path, 0, "expected a httpleak trace");
}
END_TEST

START_TEST(odd_parts_of_a_dead_process_are_torn) {
    struct trace_connection *written = builder_connection(builder), connection;
    written->read_seq = 7;
    written->wait_seq = 9;
    written->write_seq = 8;
    struct trace_file *file = open_it();
    ck_assert(trace_file_connection(file, 0, &connection));
    ck_assert_uint_eq(trace_file_torn(file), 2);
    trace_file_close(file);
}
END_TEST

START_TEST(a_live_trace_is_read_part_by_part) {
    struct trace_connection *written = builder_connection(builder), connection;
    builder_running(builder);
    written->read_seq = 8;
    written->write_seq = 9; /* never gets even: its writer is stopped */
    struct trace_file *file = open_it();
    ck_assert(trace_file_connection(file, 0, &connection));
    ck_assert_uint_eq(connection.read_bytes, 1200);
    ck_assert_uint_eq(connection.id, 1);
    ck_assert_uint_eq(trace_file_torn(file), 1);
    ck_assert_ptr_null(trace_file_error(file));
    trace_file_close(file);
}
END_TEST

START_TEST(unfinished_strings_and_stacks_are_torn) {
    uint32_t text = builder_string(builder, "half"), calls = builder_stack(builder, 1, 2);
    ((struct trace_string *)((uint64_t *)builder_region(builder, TRACE_REGION_STRING) + text))
        ->hash = 0;
    ((struct trace_stack *)((uint64_t *)builder_region(builder, TRACE_REGION_STACK) + calls))
        ->hash = 0;
    struct trace_file *file = open_it();
    ck_assert_str_eq(trace_file_string(file, text, NULL), "");
    ck_assert_ptr_null(trace_file_stack(file, calls));
    ck_assert_uint_eq(trace_file_torn(file), 2);
    ck_assert_ptr_null(trace_file_error(file));
    trace_file_close(file);
}
END_TEST

static void expect_error(struct trace_file *file, uint64_t offset, const char *words) {
    const struct trace_error *error = trace_file_error(file);
    ck_assert_ptr_nonnull(error);
    ck_assert_uint_eq(error->offset, offset);
    ck_assert_msg(strstr(error->text, words) != NULL, "'%s' has not '%s'", error->text, words);
}

START_TEST(bad_ids_lengths_and_hashes_are_errors) {
    uint32_t text = builder_string(builder, "spoilt"), calls = builder_stack(builder, 1, 2);
    const uint64_t strings = builder->header->regions[TRACE_REGION_STRING].offset;
    const uint64_t stacks = builder->header->regions[TRACE_REGION_STACK].offset;
    struct trace_string *string =
        (void *)((uint64_t *)builder_region(builder, TRACE_REGION_STRING) + text);
    struct trace_stack *stack =
        (void *)((uint64_t *)builder_region(builder, TRACE_REGION_STACK) + calls);

    struct trace_file *file = open_it();
    ck_assert_str_eq(trace_file_string(file, 1000000, NULL), "");
    expect_error(file, strings + 8000000, "id 1000000");
    ck_assert_str_eq(trace_file_string(file, text, NULL),
                     ""); /* sticky: nothing is believed after it */
    trace_file_close(file);

    string->bytes[0] = 'S';
    file = open_it();
    trace_file_string(file, text, NULL);
    expect_error(file, strings + text * 8, "hash");
    trace_file_close(file);

    string->length = UINT32_MAX;
    file = open_it();
    trace_file_string(file, text, NULL);
    expect_error(file, strings + text * 8, "at most 1024");
    trace_file_close(file);

    stack->count = TRACE_STACK_DEPTH_MAX + 1;
    file = open_it();
    ck_assert_ptr_null(trace_file_stack(file, calls));
    expect_error(file, stacks + calls * 8, "frames");
    trace_file_close(file);

    stack->count = 2;
    stack->frames[1].language = TRACE_LANGUAGE_LUA + 1;
    file = open_it();
    ck_assert_ptr_null(trace_file_stack(file, calls));
    expect_error(file, stacks + calls * 8 + sizeof *stack + sizeof *stack->frames, "language");
    trace_file_close(file);

    stack->count = 100; /* allowed, but beyond what is in use */
    file = open_it();
    ck_assert_ptr_null(trace_file_stack(file, calls));
    expect_error(file, stacks + calls * 8, "frames");
    trace_file_close(file);
}
END_TEST

START_TEST(bad_states_and_build_ids_are_errors) {
    struct trace_connection *written = builder_connection(builder), connection;
    struct trace_module module, *modules = builder_region(builder, TRACE_REGION_MODULE);
    written->state = 77;
    struct trace_file *file = open_it();
    ck_assert(!trace_file_connection(file, 0, &connection));
    expect_error(file, trace_file_offset(file, TRACE_REGION_CONNECTION, 0), "found 77");
    trace_file_close(file);
    modules[1].build_id_size = 33;
    file = open_it();
    ck_assert(!trace_file_module(file, 1, &module));
    expect_error(file, trace_file_offset(file, TRACE_REGION_MODULE, 1), "build id");
    trace_file_close(file);
}
END_TEST

START_TEST(the_journal_is_walked_in_order) {
    struct trace_journal journal;
    struct trace_event event, *ring = builder_region(builder, TRACE_REGION_JOURNAL);
    const uint64_t total = BUILDER_JOURNAL_PLACES * 2 + 10;
    for (uint64_t i = 0; i < total; i++)
        builder_event(builder, (struct trace_event){.type = TRACE_EVENT_FORK, .a = i});
    ring[(total - 3) % BUILDER_JOURNAL_PLACES].a = 12345; /* its checksum does not fit any more */
    ring[(total - 5) % BUILDER_JOURNAL_PLACES].seq -=
        BUILDER_JOURNAL_PLACES; /* of the lap before */
    struct trace_file *file = open_it();
    trace_journal_begin(&journal, file);
    ck_assert_uint_eq(journal.first_place, total - BUILDER_JOURNAL_PLACES);
    uint64_t expected = journal.first_place, count = 0;
    while (trace_journal_next(&journal, &event)) {
        while (expected == total - 3 || expected == total - 5)
            expected++;
        ck_assert_uint_eq(event.a, expected);
        ck_assert_uint_eq(event.seq, expected + 1);
        expected++;
        count++;
    }
    ck_assert_uint_eq(count, BUILDER_JOURNAL_PLACES - 2);
    ck_assert_uint_eq(journal.skipped, 2);
    trace_file_close(file);
}
END_TEST

static uint64_t moment(void) {
    struct trace_file *file = open_it();
    const uint64_t moment = trace_journal_moment(file);
    trace_file_close(file);
    return moment;
}

START_TEST(each_transition_is_another_moment) {
    uint64_t seen[5] = {moment()};
    builder_event(builder, (struct trace_event){.type = TRACE_EVENT_BODY_OPEN});
    struct trace_event *at = builder_region(builder, TRACE_REGION_JOURNAL);
    at += builder->header->regions[TRACE_REGION_JOURNAL].used - 1;
    seen[1] = moment();
    at->flags |= TRACE_EVENT_DRAINED;
    seen[2] = moment();
    at->flags |= TRACE_EVENT_MARKS;
    seen[3] = moment();
    at->flags &= (uint16_t)~TRACE_EVENT_MARKS;
    at->again++;
    seen[4] = moment();
    ck_assert_uint_eq(moment(), seen[4]);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < i; k++)
            ck_assert_uint_ne(seen[i], seen[k]);
}
END_TEST

/* Any byte may be wrong: the reader and everything behind it must survive, with or without an error. */
START_TEST(survives_any_flipped_byte) {
    struct trace_journal journal;
    struct trace_connection *connection = builder_connection(builder);
    builder_body(builder, connection);
    builder_worker(builder, connection, 7, true, false, TRACE_WAIT_COND);
    for (int i = 0; i < 10; i++)
        builder_event(builder, (struct trace_event){.type = TRACE_EVENT_REQUEST});
    srand(4711);
    for (int round = 0; round < 3000; round++) {
        struct trace_region *region = &builder->header->regions[rand() % TRACE_REGION_COUNT];
        uint8_t *at = round % 2 ? builder->image + rand() % (int)sizeof(struct trace_header)
                                : builder->image + region->offset + rand() % 1024;
        const uint8_t good = *at;
        *at = (uint8_t)(rand() % 256);
        struct trace_error error;
        struct trace_event event;
        struct trace_connection slot;
        struct trace_body body;
        struct trace_worker worker;
        struct trace_file *file = trace_file_open(builder_write(builder), &error);
        *at = good;
        if (!file) {
            ck_assert_uint_ne(strlen(error.text), 0);
            continue;
        }
        for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_CONNECTION) && i < 200; i++)
            if (trace_file_connection(file, i, &slot)) {
                trace_file_string(file, slot.peer, NULL);
                trace_file_stack(file, slot.connect_stack);
            }
        for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_BODY) && i < 200; i++)
            if (trace_file_body(file, i, &body)) trace_file_string(file, body.path, NULL);
        for (size_t i = 0; i < trace_file_count(file, TRACE_REGION_WORKER) && i < 200; i++)
            trace_file_worker(file, i, &worker);
        trace_journal_begin(&journal, file);
        for (int i = 0; i < 1000 && trace_journal_next(&journal, &event);)
            i++;
        trace_file_close(file);
    }
}
END_TEST

/* ---- replay ---- */

static void event(uint16_t type, uint64_t connection, uint64_t object, uint16_t arg, uint64_t b) {
    builder_event(
        builder, (struct trace_event){
                     .type = type, .connection = connection, .object = object, .arg = arg, .b = b});
}

/* One connection that was closed after two exchanges, one with an open body, one thread that ended and one that lives. */
static void write_history(void) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    event(TRACE_EVENT_CONNECTION_OPEN, 1, 0, TRACE_CONNECTION_CONNECTING, 0);
    event(TRACE_EVENT_WORKER_START, 0, 1, 0, 0);
    event(TRACE_EVENT_CONNECTION_ESTABLISHED, 1, 0, 0, 0);
    for (uint64_t i = 1; i <= 2; i++) {
        event(TRACE_EVENT_REQUEST, 1, i, 1, 0);
        event(TRACE_EVENT_BODY_OPEN, 1, i, TRACE_FRAMING_LENGTH, builder->site);
        if (i == 2) event(TRACE_EVENT_HANDLE_OPEN, 1, i, 0, 0);
        event(TRACE_EVENT_BODY_DRAINED, 1, i, 0, 0);
        event(TRACE_EVENT_RESPONSE_END, 1, i, 0, 0);
    }
    event(TRACE_EVENT_CONNECTION_CLOSE, 1, 0, 0, builder->site);
    event(TRACE_EVENT_WORKER_END, 0, 1, 0, builder->site);
    event(TRACE_EVENT_CONNECTION_OPEN, 2, 0, TRACE_CONNECTION_ESTABLISHED, 0);
    event(TRACE_EVENT_CONNECTION_FOREIGN, 2, 0, 0, 0);
    event(TRACE_EVENT_CONNECTION_OPEN, 3, 0, TRACE_CONNECTION_ESTABLISHED, 0);
    event(TRACE_EVENT_WORKER_START, 0, 2, 0, 0);
    event(TRACE_EVENT_REQUEST, 3, 1, 1, 0);
    event(TRACE_EVENT_BODY_OPEN, 3, 3, TRACE_FRAMING_LENGTH, builder->site);
    site->connections_closed = 1;
    site->exchanges = 3;
    site->exchanges_reused = 1;
    site->bodies_drained = 2;
    site->drained_unclosed = 1;
    site->workers_exited = 1;
    builder->header->connections_foreign = 1;
    builder->last_connection = builder->last_body = 2;
    builder->last_worker = 1;
    struct trace_connection *live = builder_connection(builder);
    builder_body(builder, live);
    builder_worker(builder, live, 8, true, true, TRACE_WAIT_NONE);
}

static enum replay_result replay(uint64_t tolerance) {
    struct trace_file *file = open_it();
    enum replay_result result = trace_replay_check(file, tolerance, NULL);
    trace_file_close(file);
    return result;
}

START_TEST(replay_equals_slots_and_counters) {
    write_history();
    ck_assert_int_eq(replay(0), REPLAY_EQUAL);
}
END_TEST

START_TEST(replay_finds_each_difference) {
    struct trace_site *site = builder_site_at(builder, builder->site);
    write_history();
    uint64_t *counters[] = {
        &site->connections_closed,
        &site->exchanges,
        &site->exchanges_reused,
        &site->bodies_drained,
        &site->bodies_discarded,
        &site->bodies_failed,
        &site->drained_unclosed,
        &site->workers_exited,
        &builder->header->connections_foreign,
        &builder->header->connections_failed,
        &((struct trace_connection *)builder_region(builder, TRACE_REGION_CONNECTION))->requests,
        &((struct trace_connection *)builder_region(builder, TRACE_REGION_CONNECTION))->responses,
        &((struct trace_connection *)builder_region(builder, TRACE_REGION_CONNECTION))->id,
        &((struct trace_body *)builder_region(builder, TRACE_REGION_BODY))->id,
        &((struct trace_worker *)builder_region(builder, TRACE_REGION_WORKER))->id};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        ++*counters[i];
        ck_assert_msg(replay(0) == REPLAY_DIFFERENT, "counter %zu", i);
        ck_assert_msg(replay(1) == REPLAY_EQUAL, "counter %zu within tolerance", i);
        --*counters[i];
    }
    ck_assert_int_eq(replay(0), REPLAY_EQUAL);
}
END_TEST

START_TEST(replay_of_a_wrapped_journal_says_so) {
    write_history();
    for (int i = 0; i < BUILDER_JOURNAL_PLACES; i++)
        event(TRACE_EVENT_FORK, 0, 0, 0, 0);
    ck_assert_int_eq(replay(0), REPLAY_WRAPPED);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("reader");
    TCase *tests = tcase_create("reader");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, reads_what_was_written);
    tcase_add_test(tests, refuses_what_is_no_trace);
    tcase_add_test(tests, refuses_other_versions_and_byte_orders);
    tcase_add_test(tests, refuses_regions_that_do_not_fit);
    tcase_add_test(tests, a_truncated_trace_is_told);
    tcase_add_test(tests, a_trace_that_was_never_begun_is_empty);
    tcase_add_test(tests, odd_parts_of_a_dead_process_are_torn);
    tcase_add_test(tests, a_live_trace_is_read_part_by_part);
    tcase_add_test(tests, unfinished_strings_and_stacks_are_torn);
    tcase_add_test(tests, bad_ids_lengths_and_hashes_are_errors);
    tcase_add_test(tests, bad_states_and_build_ids_are_errors);
    tcase_add_test(tests, the_journal_is_walked_in_order);
    tcase_add_test(tests, each_transition_is_another_moment);
    tcase_add_test(tests, survives_any_flipped_byte);
    tcase_add_test(tests, replay_equals_slots_and_counters);
    tcase_add_test(tests, replay_finds_each_difference);
    tcase_add_test(tests, replay_of_a_wrapped_journal_says_so);
    return suite_run(suite);
}
