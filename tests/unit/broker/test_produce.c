/* Produce: what is refused, who is answered when, repeats, overload, leader changes. */
#include "tests/unit/broker/helper_fake_group.h"

#include "node/base/prng.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct batch_spec idempotent(int32_t sequence, int32_t count)
{
    return (struct batch_spec){.producer_id = 9, .epoch = 0, .sequence = sequence, .count = count};
}

static void assert_answer(const struct produce *p, int status, int64_t base_offset)
{
    assert_int_equal(p->answers, 1);
    assert_int_equal(p->status, status);
    assert_int_equal(p->req.base_offset, base_offset);
}

/* ---- acks ---- */

static void test_acks_all_waits_for_the_commit(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    produce_plain(f, &p, 5, ACKS_ALL);
    fixture_turn(f);
    fake_group_store(f->group, 1);
    fixture_turn(f);
    assert_int_equal(p.answers, 0); /* on one disk only */
    assert_int_equal(partition_high_watermark(f->partition), 0);
    fake_group_commit(f->group, 1);
    assert_int_equal(p.answers, 0); /* not inside the group's callback */
    fixture_turn(f);
    assert_answer(&p, 0, 0);
    assert_int_equal(p.req.durability, ACKS_ALL);
    assert_false(p.req.duplicate);
    assert_int_equal(p.req.log_append_time_ms, -1);
    assert_int_equal(partition_high_watermark(f->partition), 5);
}

static void test_acks_leader_waits_for_the_own_disk(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    produce_plain(f, &p, 5, ACKS_LEADER);
    fixture_turn(f);
    assert_int_equal(p.answers, 0);
    fake_group_store(f->group, 1);
    fixture_turn(f);
    assert_answer(&p, 0, 0);
    assert_int_equal(p.req.durability, ACKS_LEADER);
    assert_int_equal(partition_high_watermark(f->partition), 0); /* readers don't see it yet */
    fake_group_commit(f->group, 1);                              /* the request is long gone */
    fixture_turn(f);
    assert_int_equal(p.answers, 1);
    assert_int_equal(partition_high_watermark(f->partition), 5);
}

static void test_acks_none_answers_once_proposed(void **state)
{
    struct fixture *f = *state;
    struct produce *p = malloc(sizeof *p);
    produce_plain(f, p, 5, ACKS_NONE);
    fixture_turn(f);
    assert_answer(p, 0, 0);
    assert_int_equal(p->req.durability, ACKS_NONE);
    free(p);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_int_equal(partition_high_watermark(f->partition), 5);
}

static void test_offsets_follow_one_another(void **state)
{
    struct fixture *f = *state;
    struct produce p[3];
    for (int i = 0; i < 3; i++)
        produce_plain(f, &p[i], 10, ACKS_ALL);
    fake_group_commit(f->group, 3);
    fixture_turn(f);
    for (int i = 0; i < 3; i++)
        assert_answer(&p[i], 0, 10 * i);
}

/* ---- refusals ---- */

static void on_sent(struct produce_req *req, int status)
{
    struct produce *p = (struct produce *)req;
    p->answers++;
    p->status = status;
}

static void send(struct fixture *f, struct produce *p, const struct slice *batch, int acks)
{
    p->answers = 0;
    partition_produce(f->partition, &p->req, batch, acks, on_sent);
    assert_int_equal(p->answers, 0);
    fixture_turn(f);
}

static void assert_refused(struct fixture *f, const struct produce *p, int status)
{
    assert_answer(p, status, -1);
    assert_int_equal(f->group->count, 0);
}

static void test_every_truncation_and_flip_is_refused(void **state)
{
    struct fixture *f = *state;
    struct slice good = plain_batch(3);
    for (size_t size = 0; size < good.size; size++) {
        struct slice cut = slice_copy(good.data, size);
        struct produce p;
        send(f, &p, &cut, ACKS_ALL);
        assert_true(p.status == ERR_CORRUPT || p.status == ERR_INVALID_ARGUMENT);
        assert_refused(f, &p, p.status);
        slice_unref(&cut);
    }
    for (size_t at = 16; at < good.size; at++) { /* what is before is the leader's to write, or the length */
        struct slice bad = slice_copy(good.data, good.size);
        bad.data[at] ^= 0x41;
        struct produce p;
        send(f, &p, &bad, ACKS_ALL);
        assert_true(p.status == ERR_CORRUPT || p.status == ERR_INVALID_ARGUMENT);
        assert_refused(f, &p, p.status);
        slice_unref(&bad);
    }
    slice_unref(&good);
}

static void test_bad_acks(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    produce_plain(f, &p, 1, 2);
    fixture_turn(f);
    assert_refused(f, &p, ERR_INVALID_ARGUMENT);
    assert_string_equal(p.req.message, "acks=2 is none of -1 (all), 0, 1");
}

static void test_too_large(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    produce(f, &p, &(struct batch_spec){.producer_id = -1, .value_size = 64 * 1024}, ACKS_ALL);
    fixture_turn(f);
    assert_refused(f, &p, ERR_TOO_LARGE);
    assert_non_null(strstr(p.req.message, "max.message.bytes=65536"));
}

static void test_timestamps_from_the_far_future(void **state)
{
    struct fixture *f = *state;
    int64_t limit_ms = f->env.wall_ms + PRODUCE_TIMESTAMP_AHEAD_MAX_MS;
    struct produce p;
    produce(f, &p, &(struct batch_spec){.producer_id = -1, .timestamp_ms = limit_ms + 1}, ACKS_ALL);
    fixture_turn(f);
    assert_refused(f, &p, ERR_INVALID_TIMESTAMP);
    produce(f, &p, &(struct batch_spec){.producer_id = -1, .timestamp_ms = limit_ms}, ACKS_NONE);
    fixture_turn(f);
    assert_answer(&p, 0, 0);
}

static void test_transactional_batches(void **state)
{
    struct fixture *f = *state;
    struct slice batch = plain_batch(1);
    batch.data[22] |= 0x10;
    struct batch_header header;
    /* A valid batch with the bit: log append time recomputes the CRC, then the bit for that is of no matter.
     */
    batch_set_log_append_time(batch.data, batch.size, 1700000000000);
    assert_int_equal(batch_header_decode(batch.data, batch.size, batch.size, &header), 0);
    assert_true(batch_crc_ok(batch.data, &header));
    struct produce p;
    send(f, &p, &batch, ACKS_ALL);
    assert_refused(f, &p, ERR_UNSUPPORTED);
    slice_unref(&batch);
}

static void test_follower_refuses(void **state)
{
    struct fixture *f = *state;
    fake_group_lose(f->group, 2, 0);
    struct produce p;
    produce_plain(f, &p, 1, ACKS_ALL);
    fixture_turn(f);
    assert_refused(f, &p, ERR_NOT_LEADER);
    uint32_t leader;
    int32_t epoch;
    assert_int_equal(partition_check_leader(f->partition, &leader, &epoch), ERR_NOT_LEADER);
    assert_int_equal(leader, 2);
    f->group->leader = 0;
    assert_int_equal(partition_check_leader(f->partition, &leader, &epoch), ERR_LEADER_NOT_AVAILABLE);
    f->group->leader = FAKE_SELF; /* elected, barrier not committed yet */
    assert_int_equal(partition_check_leader(f->partition, &leader, &epoch), ERR_LEADER_NOT_AVAILABLE);
}

static void test_group_refusal_is_passed_on(void **state)
{
    struct fixture *f = *state;
    f->group->refuse = ERR_READ_ONLY;
    struct produce p;
    struct batch_spec spec = idempotent(0, 1);
    produce(f, &p, &spec, ACKS_ALL);
    fixture_turn(f);
    assert_refused(f, &p, ERR_READ_ONLY);
    f->group->refuse = 0;
    produce(f, &p, &spec, ACKS_ALL); /* it left no trace */
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&p, 0, 0);
    assert_false(p.req.duplicate);
}

static void test_min_insync_replicas(void **state)
{
    struct fixture *f = *state;
    f->topic.config.min_insync_replicas = 2;
    broker_replica_callbacks.configure(f->broker, &f->topic, &f->meta);
    f->group->in_sync = 1;
    struct produce p;
    produce_plain(f, &p, 1, ACKS_ALL);
    fixture_turn(f);
    assert_refused(f, &p, ERR_NOT_ENOUGH_REPLICAS);
    produce_plain(f, &p, 1, ACKS_LEADER); /* did not ask for them */
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&p, 0, 0);
    f->group->in_sync = 2;
    produce_plain(f, &p, 1, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&p, 0, 1);
}

static void test_overload_and_relief(void **state)
{
    struct fixture *f = *state;
    struct produce held[64];
    struct batch_spec spec = {.producer_id = -1, .value_size = 60 * 1024};
    int accepted = 0;
    for (;; accepted++) {
        assert_true(accepted < 64);
        produce(f, &held[accepted], &spec, ACKS_LEADER);
        fixture_turn(f);
        if (held[accepted].answers > 0)
            break;
    }
    assert_int_equal(held[accepted].status, ERR_OVERLOADED);
    assert_int_equal(accepted, (1 << 20) / (60 * 1024 + 80));
    fake_group_store(f->group, 64); /* answered, but the bytes are still held */
    fixture_turn(f);
    struct produce p;
    produce(f, &p, &spec, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&p, ERR_OVERLOADED, -1);
    fake_group_commit(f->group, 1);
    produce(f, &p, &spec, ACKS_ALL);
    fake_group_commit(f->group, 64);
    fixture_turn(f);
    assert_int_equal(p.status, 0);
}

/* ---- log append time ---- */

static void test_log_append_time(void **state)
{
    struct fixture *f = *state;
    f->topic.config.log_append_time = true;
    broker_replica_callbacks.configure(f->broker, &f->topic, &f->meta);
    f->env.wall_ms = 1700000123456;
    struct produce p;
    produce(f, &p, &(struct batch_spec){.producer_id = 9, .timestamp_ms = 2000000000000}, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&p, 0, 0);
    assert_int_equal(p.req.log_append_time_ms, 1700000123456);
    const struct batch_header *h = &f->group->batches[0].header;
    assert_true(batch_is_log_append_time(h));
    assert_int_equal(h->max_timestamp_ms, 1700000123456);

    f->env.wall_ms += 5000;
    produce(f, &p, &(struct batch_spec){.producer_id = 9, .timestamp_ms = 2000000000000}, ACKS_ALL);
    fixture_turn(f);
    assert_true(p.req.duplicate);
    assert_int_equal(p.req.log_append_time_ms, 1700000123456);
}

/* ---- idempotent producers ---- */

static void test_repeat_of_a_committed_batch(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 100);
    struct produce p;
    struct batch_spec spec = idempotent(0, 5);
    produce(f, &p, &spec, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&p, 0, 100);
    unsigned batches = f->group->count;

    struct produce again;
    produce(f, &again, &spec, ACKS_LEADER);
    fixture_turn(f);
    assert_answer(&again, 0, 100);
    assert_true(again.req.duplicate);
    assert_int_equal(again.req.durability, ACKS_ALL);
    assert_int_equal(f->group->count, batches);
}

static void test_repeat_of_a_batch_in_flight_waits_for_it(void **state)
{
    struct fixture *f = *state;
    struct batch_spec spec = idempotent(0, 5);
    struct produce first, all, leader, none, late_leader;
    produce(f, &first, &spec, ACKS_ALL);
    produce(f, &all, &spec, ACKS_ALL);
    produce(f, &leader, &spec, ACKS_LEADER);
    produce(f, &none, &spec, ACKS_NONE);
    fixture_turn(f);
    assert_int_equal(f->group->count, 1);
    assert_int_equal(all.answers + leader.answers, 0);
    assert_answer(&none, 0, 0);

    fake_group_store(f->group, 1);
    fixture_turn(f);
    assert_answer(&leader, 0, 0);
    assert_int_equal(all.answers, 0);
    produce(f, &late_leader, &spec, ACKS_LEADER);
    fixture_turn(f);
    assert_answer(&late_leader, 0, 0);
    assert_int_equal(late_leader.req.durability, ACKS_LEADER);

    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&first, 0, 0);
    assert_false(first.req.duplicate);
    assert_answer(&all, 0, 0);
    assert_true(all.req.duplicate);
}

static void test_gap_and_fence(void **state)
{
    struct fixture *f = *state;
    struct produce p, q, newer;
    struct batch_spec spec = idempotent(0, 5);
    produce(f, &p, &spec, ACKS_ALL);
    spec = idempotent(6, 1);
    produce(f, &q, &spec, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&q, ERR_OUT_OF_ORDER_SEQUENCE, -1);
    assert_string_equal(q.req.message, "producer 9: the next sequence is 5, this batch has 6");
    spec = idempotent(0, 1);
    spec.epoch = 1;
    produce(f, &newer, &spec, ACKS_NONE);
    spec = idempotent(5, 1);
    produce(f, &q, &spec, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&q, ERR_FENCED_PRODUCER, -1);
    settle(f);
}

/* ---- leader changes ---- */

static void test_lost_leadership_leaves_the_outcome_unknown(void **state)
{
    struct fixture *f = *state;
    struct produce first, repeat, waiting_leader;
    struct batch_spec spec = idempotent(0, 5), next = idempotent(5, 5);
    produce(f, &first, &spec, ACKS_ALL);
    produce(f, &repeat, &spec, ACKS_ALL);
    produce(f, &waiting_leader, &next, ACKS_LEADER);
    fixture_turn(f);
    fake_group_lose(f->group, 2, 1); /* the first batch survives in the log, the second is cut */
    fixture_turn(f);
    assert_answer(&first, ERR_OUTCOME_UNKNOWN, -1);
    assert_answer(&repeat, ERR_OUTCOME_UNKNOWN, -1);
    assert_answer(&waiting_leader, ERR_OUTCOME_UNKNOWN, -1);

    fake_group_lead(f->group); /* commits it */
    fixture_turn(f);
    assert_int_equal(partition_high_watermark(f->partition), 5);
    struct produce again;
    produce(f, &again, &spec, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&again, 0, 0);
    assert_true(again.req.duplicate);
    produce(f, &again, &next, ACKS_ALL);
    fake_group_commit(f->group, 1);
    fixture_turn(f);
    assert_answer(&again, 0, 5);
    assert_false(again.req.duplicate);
}

static void test_stop_answers_what_is_in_flight(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    produce_plain(f, &p, 5, ACKS_ALL);
    fixture_turn(f);
    broker_replica_callbacks.stop(f->broker, f->meta.group_id, false);
    struct produce late;
    produce_plain(f, &late, 1, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&p, ERR_OUTCOME_UNKNOWN, -1);
    assert_answer(&late, ERR_NOT_LEADER, -1);
    assert_int_equal(f->cluster.stopped, 1);
}

/* ---- snapshot ---- */

static void snapshot_and_restore(struct fixture *f)
{
    struct bytes state;
    bytes_init(&state);
    f->group->callbacks->snapshot(f->group->data, &state);
    int64_t next_offset = partition_high_watermark(f->partition);
    assert_int_equal(f->group->callbacks->restore(f->group->data, NULL, 0, 0), 0);
    assert_int_equal(f->group->callbacks->restore(f->group->data, state.data, state.size, next_offset), 0);
    assert_int_equal(partition_high_watermark(f->partition), next_offset);
    bytes_close(&state);
}

static void test_snapshot_keeps_the_producers(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    for (int i = 0; i < 7; i++) {
        struct batch_spec spec = idempotent(i * 5, 5);
        produce(f, &p, &spec, ACKS_ALL);
        fake_group_commit(f->group, 1);
        fixture_turn(f);
    }
    snapshot_and_restore(f);
    struct batch_spec repeat = idempotent(10, 5), gap = idempotent(36, 1), next = idempotent(35, 1);
    produce(f, &p, &repeat, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&p, 0, 10);
    produce(f, &p, &gap, ACKS_ALL);
    fixture_turn(f);
    assert_answer(&p, ERR_OUT_OF_ORDER_SEQUENCE, -1);
    produce(f, &p, &next, ACKS_NONE);
    fixture_turn(f);
    assert_answer(&p, 0, 35);
}

static void test_garbage_snapshot_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->group->callbacks->restore(f->group->data, "\x0a\xff\xff\xff", 4, 0), ERR_CORRUPT);
    /* producer 0 without batches */
    assert_int_equal(f->group->callbacks->restore(f->group->data, "\x0a\x00", 2, 0), ERR_CORRUPT);
}

/* Whatever a disk makes of a snapshot: an error or another table, never a crash. */
static void test_mutilated_snapshots(void **state)
{
    struct fixture *f = *state;
    struct produce p;
    for (int i = 0; i < 6; i++) {
        struct batch_spec spec = idempotent(i * 5, 5);
        produce(f, &p, &spec, ACKS_ALL);
        settle(f);
    }
    struct bytes good;
    bytes_init(&good);
    f->group->callbacks->snapshot(f->group->data, &good);
    unsigned refused = 0;
    for (size_t at = 0; at < good.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            good.data[at] ^= (unsigned char)(1u << bit);
            int status = f->group->callbacks->restore(f->group->data, good.data, good.size, 30);
            assert_true(status == 0 || status == ERR_CORRUPT);
            refused += status != 0;
            good.data[at] ^= (unsigned char)(1u << bit);
        }
    }
    assert_true(refused > 0);
    bytes_close(&good);
}

/* ---- random: producers that retry through lost answers and leader changes ---- */

enum { RANDOM_PRODUCERS = 4, RANDOM_PIPELINE = 5, RANDOM_STEPS = 8000 };

struct sender {
    struct produce sent[RANDOM_PIPELINE];
    int32_t sequences[RANDOM_PIPELINE];
    int32_t counts[RANDOM_PIPELINE];
    unsigned waiting; /* sent and not acknowledged: sequences[0] is the oldest */
    int32_t next_sequence;
};

static struct batch_spec sender_spec(int64_t id, int32_t sequence, int32_t count)
{
    return (struct batch_spec){.producer_id = id, .sequence = sequence, .count = count};
}

static bool all_answered(const struct sender *s)
{
    for (unsigned i = 0; i < s->waiting; i++)
        if (s->sent[i].answers == 0)
            return false;
    return true;
}

/* Drops what is acknowledged from the front; once all are answered sends the rest again, in order. */
static void sender_step(struct fixture *f, struct sender *s, int64_t id, struct prng *random)
{
    if (!all_answered(s))
        return;
    unsigned acknowledged = 0;
    while (acknowledged < s->waiting && s->sent[acknowledged].status == 0)
        acknowledged++;
    s->waiting -= acknowledged;
    memmove(s->sequences, s->sequences + acknowledged, s->waiting * sizeof s->sequences[0]);
    memmove(s->counts, s->counts + acknowledged, s->waiting * sizeof s->counts[0]);
    while (s->waiting < RANDOM_PIPELINE && prng_below(random, 3) > 0) {
        s->sequences[s->waiting] = s->next_sequence;
        s->counts[s->waiting] = 1 + (int32_t)prng_below(random, 3);
        s->next_sequence += s->counts[s->waiting];
        s->waiting++;
    }
    for (unsigned i = 0; i < s->waiting; i++) {
        struct batch_spec spec = sender_spec(id, s->sequences[i], s->counts[i]);
        produce(f, &s->sent[i], &spec, ACKS_ALL);
    }
}

static void check_log(const struct fixture *f, const struct sender *senders)
{
    int32_t next[RANDOM_PRODUCERS] = {0};
    int64_t offset = 0;
    for (unsigned i = 0; i < f->group->committed; i++) {
        const struct batch_header *h = &f->group->batches[i].header;
        assert_int_equal(h->base_offset, offset);
        assert_int_equal(h->base_sequence, next[h->producer_id]); /* once and in order */
        next[h->producer_id] += h->record_count;
        offset = batch_next_offset(h);
    }
    for (int id = 0; id < RANDOM_PRODUCERS; id++)
        for (unsigned i = 0; i < senders[id].waiting; i++)
            if (senders[id].sent[i].answers == 1 && senders[id].sent[i].status == 0)
                assert_true(next[id] >= senders[id].sequences[i] + senders[id].counts[i]);
}

static void test_random_retries_give_each_record_once(void **state)
{
    struct fixture *f = *state;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    struct prng random;
    prng_init(&random, seed);
    struct sender *senders = calloc(RANDOM_PRODUCERS, sizeof *senders);
    unsigned changes = 0;
    for (int step = 0; step < RANDOM_STEPS && f->group->count < FAKE_BATCHES_MAX - 100; step++) {
        int64_t id = (int64_t)prng_below(&random, RANDOM_PRODUCERS);
        if (prng_below(&random, 60) == 0) {
            unsigned uncommitted = f->group->count - f->group->committed;
            fake_group_lose(f->group, 2, (unsigned)prng_below(&random, uncommitted + 1));
            if (prng_below(&random, 2) == 0)
                snapshot_and_restore(f);
            changes++;
        } else if (!f->group->ready && prng_below(&random, 4) == 0) {
            fake_group_lead(f->group);
        } else if (prng_below(&random, 2) == 0) {
            if (f->group->ready)
                fake_group_commit(f->group, (unsigned)prng_below(&random, 4));
        } else {
            sender_step(f, &senders[id], id, &random);
        }
        fixture_turn(f);
    }
    check_log(f, senders);
    assert_true(f->group->committed > 200);
    assert_true(changes > 20);
    fake_group_lose(f->group, 2, 0);
    fixture_turn(f);
    free(senders);
}

/* ---- metrics ---- */

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    append_committed(f, 5);
    struct produce p;
    produce_plain(f, &p, 1, 7);
    fixture_turn(f);
    struct bytes text;
    bytes_init(&text);
    metrics_print(&f->metrics, &text);
    bytes_put_u8(&text, 0);
    const char *lines[] = {
        "flotilla_partition_records_in_total{topic=\"orders\",partition=\"3\"} 5",
        "flotilla_partition_high_watermark{topic=\"orders\",partition=\"3\"} 5",
        "flotilla_partition_leader{topic=\"orders\",partition=\"3\"} 1",
        "flotilla_produce_acks_total{durability=\"all\"} 1",
        "flotilla_produce_errors_total{error=\"invalid_argument\"} 1",
        "flotilla_produce_seconds_count{stage=\"commit\"} 1",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (strstr((const char *)text.data, lines[i]) == NULL)
            fail_msg("no %s in\n%s", lines[i], text.data);
    bytes_close(&text);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_acks_all_waits_for_the_commit),
        TEST(test_acks_leader_waits_for_the_own_disk),
        TEST(test_acks_none_answers_once_proposed),
        TEST(test_offsets_follow_one_another),
        TEST(test_every_truncation_and_flip_is_refused),
        TEST(test_bad_acks),
        TEST(test_too_large),
        TEST(test_timestamps_from_the_far_future),
        TEST(test_transactional_batches),
        TEST(test_follower_refuses),
        TEST(test_group_refusal_is_passed_on),
        TEST(test_min_insync_replicas),
        TEST(test_overload_and_relief),
        TEST(test_log_append_time),
        TEST(test_repeat_of_a_committed_batch),
        TEST(test_repeat_of_a_batch_in_flight_waits_for_it),
        TEST(test_gap_and_fence),
        TEST(test_lost_leadership_leaves_the_outcome_unknown),
        TEST(test_stop_answers_what_is_in_flight),
        TEST(test_snapshot_keeps_the_producers),
        TEST(test_garbage_snapshot_is_refused),
        TEST(test_mutilated_snapshots),
        TEST(test_random_retries_give_each_record_once),
        TEST(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
