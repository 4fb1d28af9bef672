/* Partitions move at random between the member under test and another owner, while connections break, leaders
 * and the coordinator move, and the application takes its time: as long as the lease holds, every record is
 * processed exactly once, by one or the other. The seed is printed; the first argument replays one. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PARTITIONS = 4, RECORDS = 3000, ROUNDS = 20, ALL = (1 << PARTITIONS) - 1 };

static uint64_t base_seed;

struct run {
    struct network n;
    uint64_t random;
    int64_t produced[PARTITIONS];
    uint8_t processed[PARTITIONS][RECORDS];
    long total;
    uint32_t others; /* partitions that the other owner has, as bits */
    struct flotilla_batch *held;
};

static uint32_t random_below(struct run *r, uint32_t bound)
{
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((r->random >> 33) % bound);
}

static void process(struct run *r, int32_t partition, int64_t offset)
{
    if (r->processed[partition][offset]++ != 0)
        fail_msg("partition %d, offset %lld is processed twice", (int)partition, (long long)offset);
    r->total++;
}

static struct broker_member *member(struct run *r)
{
    return r->n.broker.member_count > 0 ? &r->n.broker.members[0] : NULL;
}

/* What the member has let go of goes to the other owner, who processes some and commits it. */
static void other_owner(struct run *r)
{
    struct broker_member *m = member(r);

    for (int32_t i = 0; m != NULL && i < PARTITIONS; i++) {
        bool is_free = (broker_member_holds(m) >> i & 1) == 0 && m->told_epoch >= m->epoch;
        r->others |= is_free ? 1u << i : 0;
        int64_t *committed = &r->n.broker.partitions[i].committed[1];
        for (uint32_t k = random_below(r, 10); (r->others >> i & 1) != 0 && k > 0; k--) {
            int64_t next = *committed < 0 ? 0 : *committed;
            if (next >= r->n.broker.partitions[i].next_offset)
                break;
            process(r, i, next);
            *committed = next + 1;
        }
    }
}

static void assign(struct run *r, uint32_t target)
{
    struct broker_member *m = member(r);

    if (m == NULL || !m->is_known || target == m->assigned)
        return;
    /* Only what the other owner has, or the member itself, can be given to it. */
    uint32_t given = target & (r->others | m->assigned);
    r->others &= ~given;
    broker_member_push(&r->n.broker, m, given);
}

static void finish(struct run *r, struct flotilla_batch *batch)
{
    const struct flotilla_record *record;

    assert_int_equal(flotilla_batch_kind(batch), FLOTILLA_BATCH_RECORDS);
    while ((record = flotilla_batch_next(batch)) != NULL)
        process(r, record->partition, record->offset);
    flotilla_batch_release(batch);
}

/* Sometimes a batch is held for a while. */
static void application(struct run *r)
{
    struct flotilla_batch *batch;

    if (r->held != NULL && random_below(r, 3) == 0) {
        finish(r, r->held);
        r->held = NULL;
    }
    while ((batch = inbox_poll(r->n.inbox, 0)) != NULL) {
        if (r->held == NULL && random_below(r, 4) == 0)
            r->held = batch;
        else
            finish(r, batch);
    }
}

static void make_trouble(struct run *r)
{
    struct broker *b = &r->n.broker;

    switch (random_below(r, 10)) {
    case 0:
        network_cut(&r->n, 1 + random_below(r, BROKER_NODES));
        break;
    case 1:
        broker_move_leader(b, random_below(r, PARTITIONS), 1 + random_below(r, BROKER_NODES));
        break;
    case 2:
        b->offsets.leader = 1 + random_below(r, BROKER_NODES);
        b->offsets.epoch++;
        break;
    case 3:
    case 4:
    case 5:
        assign(r, random_below(r, ALL + 1));
        break;
    default:
        break;
    }
}

static void produce(struct run *r)
{
    uint32_t partition = random_below(r, PARTITIONS);
    int64_t *count = &r->produced[partition];
    int some = 1 + (int)random_below(r, 8);

    if (*count + some > RECORDS / PARTITIONS)
        some = (int)(RECORDS / PARTITIONS - *count);
    if (some > 0)
        broker_append(&r->n.broker, partition, (int)*count, some, 0);
    *count += some;
}

static bool is_done(struct network *n, void *data)
{
    struct run *r = data;

    (void)n;
    other_owner(r);
    application(r);
    assign(r, ALL);
    return r->total == RECORDS;
}

static void run_once(uint64_t seed)
{
    static const char *const options[] = {"group", "g1", "commit.interval.ms", "50", NULL};
    static const char *const topics[] = {"orders"};
    struct core_join join = {.topics = topics, .topic_count = 1};
    struct run *r = calloc(1, sizeof(*r));

    r->random = seed;
    r->others = ALL;
    network_init(&r->n, PARTITIONS, options);
    network_open_consumer(&r->n);
    core_consumer_join(r->n.consumer, &join);
    for (int step = 0; step < 1500; step++) {
        produce(r);
        make_trouble(r);
        network_run(&r->n, (1 + random_below(r, 5000)) * MS / 1000);
        application(r);
        other_owner(r);
        if (random_below(r, 20) == 0) {
            struct core_commit commit = {.timeout_ns = 1000 * MS};
            core_consumer_commit(r->n.consumer, &commit);
        }
    }
    for (uint32_t i = 0; i < PARTITIONS; i++)
        while (r->produced[i] < RECORDS / PARTITIONS)
            broker_append(&r->n.broker, i, (int)r->produced[i]++, 1, 0);
    network_run_until(&r->n, is_done, r, 60000 * MS);
    assert_int_equal(r->n.broker.member_count, 1); /* never lost */
    assert_int_equal(r->n.broker.commits_refused, 0);
    if (r->held != NULL)
        flotilla_batch_release(r->held);
    network_close(&r->n);
    free(r);
}

static void every_record_is_processed_once(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        print_message("seed %llu\n", (unsigned long long)(base_seed + (uint64_t)i));
        run_once(base_seed + (uint64_t)i);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_record_is_processed_once)};

    base_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL) * 1000;
    return cmocka_run_group_tests_name("client/member_random", tests, NULL, NULL);
}
