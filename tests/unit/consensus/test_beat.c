#include "node/consensus/beat.h"
#include "proto/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct message append_of(uint64_t prev, uint64_t prev_term)
{
    struct message message = {.group_id = 4711, .commit = 1u << 20};
    message.m.type = RAFT_IO_APPEND_ENTRIES;
    message.m.append_entries = (struct raft_append_entries){
        .term = 3, .prev_log_index = prev, .prev_log_term = prev_term, .leader_commit = 300};
    return message;
}

static struct message result_of(uint64_t rejected, uint64_t last)
{
    struct message message = {.group_id = UINT64_MAX};
    message.m.type = RAFT_IO_APPEND_ENTRIES_RESULT;
    message.m.append_entries_result =
        (struct raft_append_entries_result){.term = 1, .rejected = rejected, .last_log_index = last};
    return message;
}

static void test_only_what_carries_nothing(void **state)
{
    (void)state;
    struct message message = append_of(1, 1);
    assert_true(beat_is(&message));
    message.m.append_entries.n_entries = 1;
    assert_false(beat_is(&message));
    message = result_of(0, 1);
    assert_true(beat_is(&message));
    message.m.type = RAFT_IO_REQUEST_VOTE;
    assert_false(beat_is(&message));
}

static void test_several_in_a_row(void **state)
{
    (void)state;
    const struct message messages[] = {append_of(1000, 2), result_of(0, UINT64_MAX), append_of(0, 0),
                                       result_of(7, 5)};
    enum { N = sizeof messages / sizeof messages[0] };
    unsigned char bytes[N * BEAT_MAX_SIZE];
    size_t size = 0;
    struct reader r;
    for (unsigned i = 0; i < N; i++)
        size += beat_encode(&messages[i], bytes + size);
    reader_init(&r, bytes, size);
    for (unsigned i = 0; i < N; i++) {
        struct message decoded;
        assert_int_equal(beat_decode(&r, 9, &decoded), 0);
        assert_int_equal(decoded.m.server_id, 9);
        assert_int_equal(decoded.m.type, messages[i].m.type);
        assert_int_equal(decoded.group_id, messages[i].group_id);
        assert_int_equal(decoded.commit, messages[i].commit);
        if (decoded.m.type == RAFT_IO_APPEND_ENTRIES)
            assert_memory_equal(&decoded.m.append_entries, &messages[i].m.append_entries,
                                sizeof decoded.m.append_entries);
        else
            assert_memory_equal(&decoded.m.append_entries_result, &messages[i].m.append_entries_result,
                                sizeof decoded.m.append_entries_result);
    }
    assert_int_equal(reader_left(&r), 0);
}

static int decode(const unsigned char *bytes, size_t size)
{
    struct message decoded;
    struct reader r;
    reader_init(&r, bytes, size);
    return beat_decode(&r, 1, &decoded);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    unsigned char bytes[BEAT_MAX_SIZE];
    const struct message good = append_of(1000, 2), no_previous_term = append_of(1000, 0);
    struct message no_term = result_of(0, 1);
    no_term.m.append_entries_result.term = 0;
    size_t size = beat_encode(&good, bytes);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(decode(bytes, i), ERR_PROTOCOL); /* cut short */
    bytes[0] = 2;
    assert_int_equal(decode(bytes, size), ERR_PROTOCOL);
    assert_int_equal(decode(bytes, beat_encode(&no_term, bytes)), ERR_PROTOCOL);
    assert_int_equal(decode(bytes, beat_encode(&no_previous_term, bytes)), ERR_PROTOCOL);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(decode(bytes, sizeof bytes), ERR_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_carries_nothing),
        cmocka_unit_test(test_several_in_a_row),
        cmocka_unit_test(test_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
