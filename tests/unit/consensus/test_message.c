#include "helper_message.h"
#include "node/base/prng.h"
#include "node/consensus/configuration.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    (void)state;
    heap_install();
    return 0;
}

static struct message append_message(struct raft_entry *entries, unsigned n)
{
    struct message message = {.group_id = 77, .commit = 1234};
    message.m.type = RAFT_IO_APPEND_ENTRIES;
    message.m.append_entries = (struct raft_append_entries){.term = 5,
                                                            .prev_log_index = 9,
                                                            .prev_log_term = 4,
                                                            .leader_commit = 8,
                                                            .entries = entries,
                                                            .n_entries = n};
    return message;
}

static void round_trip(const struct message *message, struct message *decoded)
{
    struct bytes header;
    struct slice payload;
    bytes_init(&header);
    helper_pack(message, &header, &payload);
    assert_int_equal(helper_unpack(&header, &payload, decoded), 0);
    assert_int_equal(decoded->m.type, message->m.type);
    assert_int_equal(decoded->group_id, message->group_id);
    assert_int_equal(decoded->m.server_id, 2);
    assert_int_equal(message_term(decoded), message_term(message));
    slice_unref(&payload);
    bytes_close(&header);
}

static void test_append_round_trip(void **state)
{
    (void)state;
    size_t live = heap_live_blocks();
    struct raft_entry *entries = helper_entries(3, 5, 100, 5000);
    /* One of the core's own in the middle: takes no offset. */
    raft_free(entries[1].buf.base);
    entries[1].type = RAFT_BARRIER;
    entries[1].buf = (struct raft_buffer){raft_malloc(8), 8};
    memcpy(entries[1].buf.base, "barrier!", 8);
    batch_stamp(entry_bytes(&entries[2]).data, 101, 5);
    struct message message = append_message(entries, 3), decoded;
    round_trip(&message, &decoded);
    const struct raft_append_entries *a = &decoded.m.append_entries;
    assert_int_equal(a->prev_log_index, 9);
    assert_int_equal(a->prev_log_term, 4);
    assert_int_equal(a->leader_commit, 8);
    assert_int_equal(decoded.commit, 1234);
    assert_int_equal(a->n_entries, 3);
    assert_memory_equal(a->entries[1].buf.base, "barrier!", 8);
    for (unsigned i = 0; i < 3; i += 2) {
        assert_int_equal(a->entries[i].term, 5);
        assert_int_equal(entry_bytes(&a->entries[i]).size, entry_bytes(&entries[i]).size);
        assert_memory_equal(entry_bytes(&a->entries[i]).data, entry_bytes(&entries[i]).data,
                            entry_bytes(&entries[i]).size);
    }
    message_clear(&decoded);
    helper_entries_free(entries, 3);
    assert_int_equal(heap_live_blocks(), live);
}

static void test_small_messages_round_trip(void **state)
{
    (void)state;
    struct message message = {.group_id = 1}, decoded;
    message.m.type = RAFT_IO_REQUEST_VOTE;
    message.m.request_vote = (struct raft_request_vote){.term = 3,
                                                        .candidate_id = 2,
                                                        .last_log_index = 10,
                                                        .last_log_term = 2,
                                                        .disrupt_leader = true,
                                                        .pre_vote = true};
    round_trip(&message, &decoded);
    assert_int_equal(decoded.m.request_vote.candidate_id, 2);
    assert_int_equal(decoded.m.request_vote.last_log_index, 10);
    assert_int_equal(decoded.m.request_vote.last_log_term, 2);
    assert_true(decoded.m.request_vote.disrupt_leader && decoded.m.request_vote.pre_vote);

    message.m.type = RAFT_IO_REQUEST_VOTE_RESULT;
    message.m.request_vote_result =
        (struct raft_request_vote_result){.term = 3, .vote_granted = true, .pre_vote = raft_tribool_false};
    round_trip(&message, &decoded);
    assert_true(decoded.m.request_vote_result.vote_granted);
    assert_int_equal(decoded.m.request_vote_result.pre_vote, raft_tribool_false);

    message.m.type = RAFT_IO_APPEND_ENTRIES_RESULT;
    message.m.append_entries_result =
        (struct raft_append_entries_result){.term = 3, .rejected = 7, .last_log_index = 6};
    round_trip(&message, &decoded);
    assert_int_equal(decoded.m.append_entries_result.rejected, 7);
    assert_int_equal(decoded.m.append_entries_result.last_log_index, 6);

    message.m.type = RAFT_IO_TIMEOUT_NOW;
    message.m.timeout_now = (struct raft_timeout_now){.term = 3, .last_log_index = 7, .last_log_term = 2};
    round_trip(&message, &decoded);
    assert_int_equal(decoded.m.timeout_now.last_log_index, 7);
    assert_int_equal(decoded.m.timeout_now.last_log_term, 2);

    message.m.type = MESSAGE_READ_INDEX_RESULT;
    message.read_term = 9;
    message.read_round = 4;
    round_trip(&message, &decoded);
    assert_int_equal(decoded.read_term, 9);
    assert_int_equal(decoded.read_round, 4);
}

static void test_install_round_trip(void **state)
{
    (void)state;
    size_t live = heap_live_blocks();
    const uint32_t ids[] = {1, 2, 3};
    struct message message = {.group_id = 1}, decoded;
    message.m.type = RAFT_IO_INSTALL_SNAPSHOT;
    struct raft_install_snapshot *s = &message.m.install_snapshot;
    *s = (struct raft_install_snapshot){.term = 6, .last_index = 50, .last_term = 5, .conf_index = 1};
    configuration_of_voters(&s->conf, ids, 3);
    s->data = (struct raft_buffer){raft_malloc(5), 5};
    memcpy(s->data.base, "state", 5);
    round_trip(&message, &decoded);
    assert_int_equal(decoded.m.install_snapshot.last_index, 50);
    assert_int_equal(decoded.m.install_snapshot.last_term, 5);
    assert_int_equal(decoded.m.install_snapshot.conf.n, 3);
    assert_memory_equal(decoded.m.install_snapshot.data.base, "state", 5);
    message_clear(&decoded);
    message_clear(&message);
    assert_int_equal(heap_live_blocks(), live);
}

/* Each way in which a batch can be wrong is refused. */
static int decode_damaged(void (*damage)(struct slice *payload, size_t first))
{
    struct raft_entry *entries = helper_entries(2, 5, 100, 100);
    struct message message = append_message(entries, 2), decoded;
    struct bytes header;
    struct slice payload;
    bytes_init(&header);
    helper_pack(&message, &header, &payload);
    damage(&payload, entry_size(&entries[0]));
    int rv = helper_unpack(&header, &payload, &decoded);
    if (rv == 0)
        message_clear(&decoded);
    slice_unref(&payload);
    bytes_close(&header);
    helper_entries_free(entries, 2);
    return rv;
}

static void damage_nothing(struct slice *payload, size_t first)
{
    (void)payload;
    (void)first;
}
static void damage_record(struct slice *payload, size_t first)
{
    payload->data[first - 1] ^= 1;
}
static void damage_epoch(struct slice *payload, size_t first)
{
    batch_stamp(payload->data + first, 101, 4);
}
static void damage_offset(struct slice *payload, size_t first)
{
    batch_stamp(payload->data + first, 102, 5);
}
static void damage_magic(struct slice *payload, size_t first)
{
    payload->data[first + 16] = 1;
}
static void damage_length(struct slice *payload, size_t first)
{
    payload->data[first + 11] ^= 1;
}
static void damage_payload_size(struct slice *payload, size_t first)
{
    (void)first;
    payload->size--;
}

static void test_damaged_batches_are_refused(void **state)
{
    (void)state;
    size_t live = heap_live_blocks();
    assert_int_equal(decode_damaged(damage_nothing), 0);
    assert_int_equal(decode_damaged(damage_record), ERR_CORRUPT);
    assert_int_equal(decode_damaged(damage_epoch), ERR_CORRUPT);
    assert_int_equal(decode_damaged(damage_offset), ERR_CORRUPT);
    assert_int_equal(decode_damaged(damage_magic), ERR_CORRUPT);
    assert_int_equal(decode_damaged(damage_length), ERR_CORRUPT);
    assert_int_equal(decode_damaged(damage_payload_size), ERR_PROTOCOL);
    assert_int_equal(heap_live_blocks(), live);
}

/* A start in the middle, which takes no offset; the entries begin at index 10. */
static int decode_start(struct batch_control control)
{
    struct raft_entry *entries = helper_entries(3, 5, 100, 500);
    struct message message = append_message(entries, 3), decoded;
    struct bytes header, start;
    struct slice payload;
    unsigned char offset[8] = {0};
    bytes_init(&header);
    bytes_init(&start);
    control.payload = offset;
    control.payload_size = sizeof offset;
    batch_control_encode(&start, &control);
    raft_free(entries[1].buf.base);
    entries[1].buf.base = heap_entry_create(slice_copy(start.data, start.size));
    batch_stamp(entry_bytes(&entries[2]).data, 101, 5);
    helper_pack(&message, &header, &payload);
    int rv = helper_unpack(&header, &payload, &decoded);
    if (rv == 0) {
        const struct raft_entry *entry = &decoded.m.append_entries.entries[1];
        assert_int_equal(entry->type, RAFT_COMMAND);
        assert_int_equal(entry_bytes(entry).size, start.size);
        assert_memory_equal(entry_bytes(entry).data, start.data, start.size);
        message_clear(&decoded);
    }
    slice_unref(&payload);
    bytes_close(&header);
    bytes_close(&start);
    helper_entries_free(entries, 3);
    return rv;
}

static void test_starts_are_checked(void **state)
{
    (void)state;
    size_t live = heap_live_blocks();
    const struct batch_control good = {
        .type = BATCH_CONTROL_START, .index = 11, .term = 5, .next_offset = 101};
    struct batch_control bad = good;
    assert_int_equal(decode_start(good), 0);
    bad.type = BATCH_CONTROL_BARRIER;
    assert_int_equal(decode_start(bad), ERR_CORRUPT);
    bad = good;
    bad.index = 12;
    assert_int_equal(decode_start(bad), ERR_CORRUPT);
    bad = good;
    bad.term = 6;
    assert_int_equal(decode_start(bad), ERR_CORRUPT);
    bad = good;
    bad.next_offset = 102;
    assert_int_equal(decode_start(bad), ERR_CORRUPT);
    assert_int_equal(heap_live_blocks(), live);
}

/* Random bytes in header and payload: an error or a message, never more. */
static void test_random_bytes(void **state)
{
    (void)state;
    uint64_t seed = 20240601;
    struct prng random;
    prng_init(&random, seed);
    size_t live = heap_live_blocks();
    for (int i = 0; i < 20000; i++) {
        struct raft_entry *entries = helper_entries(2, 5, 100, 20);
        struct message message = append_message(entries, 2), decoded;
        struct bytes header;
        struct slice payload;
        bytes_init(&header);
        helper_pack(&message, &header, &payload);
        for (uint64_t k = prng_below(&random, 4); k > 0; k--)
            header.data[prng_below(&random, header.size)] = (unsigned char)prng_next(&random);
        if (prng_below(&random, 2))
            payload.data[prng_below(&random, payload.size)] ^= (unsigned char)(1 + prng_below(&random, 255));
        if (helper_unpack(&header, &payload, &decoded) == 0)
            message_clear(&decoded);
        slice_unref(&payload);
        bytes_close(&header);
        helper_entries_free(entries, 2);
    }
    if (heap_live_blocks() != live)
        fail_msg("leak with seed %llu", (unsigned long long)seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_round_trip),  cmocka_unit_test(test_small_messages_round_trip),
        cmocka_unit_test(test_install_round_trip), cmocka_unit_test(test_damaged_batches_are_refused),
        cmocka_unit_test(test_starts_are_checked), cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
