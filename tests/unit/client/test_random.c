/* Random faults against a model that deduplicates like a leader: every record is acknowledged, stands in the
 * log exactly once, in the order in which it was produced, and is read so. The seed is printed; the first
 * argument replays one. */
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

enum { PARTITIONS = 4, RECORDS = 4000, ROUNDS = 20 };

static uint64_t base_seed;

struct run {
    struct network n;
    uint64_t random;
    int acked;
    int64_t offset[RECORDS];
    int consumed[BROKER_MAX_PARTITIONS];
};

static uint32_t random_below(struct run *r, uint32_t bound)
{
    r->random = r->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((r->random >> 33) % bound);
}

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct run *r = data;
    int number = (int)(intptr_t)d->opaque;

    if (d->status != 0)
        fail_msg("record %d: %s", number, d->message);
    assert_int_equal(r->offset[number], -1);
    r->offset[number] = d->offset;
    r->acked++;
}

static int on_produce(struct broker *b, uint32_t partition, const struct batch_header *h)
{
    static const int errors[] = {ERR_OVERLOADED,      ERR_OUTCOME_UNKNOWN, ERR_LEADER_NOT_AVAILABLE,
                                 BROKER_LOSE_REQUEST, BROKER_LOSE_ANSWER,  ERR_NOT_ENOUGH_REPLICAS};
    struct run *r = b->data;

    (void)partition, (void)h;
    return random_below(r, 20) == 0 ? errors[random_below(r, 6)] : 0;
}

static void make_trouble(struct run *r)
{
    uint32_t node = 1 + random_below(r, BROKER_NODES);
    uint32_t partition = random_below(r, PARTITIONS);

    switch (random_below(r, 12)) {
    case 0:
        network_cut(&r->n, node);
        break;
    case 1:
        network_kill(&r->n, node);
        break;
    case 2:
        r->n.frozen[node] = !r->n.frozen[node] && random_below(r, 4) == 0;
        break;
    case 3:
    case 4:
        broker_move_leader(&r->n.broker, partition, random_below(r, 4));
        break;
    case 5:
        r->n.broker.gives_hints = !r->n.broker.gives_hints;
        break;
    case 6:
        broker_move_leader(&r->n.broker, partition, node);
        r->n.down[node] = false;
        break;
    default:
        break;
    }
}

static void heal(struct run *r)
{
    for (uint32_t i = 1; i <= BROKER_NODES; i++)
        r->n.down[i] = r->n.frozen[i] = false;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (r->n.broker.partitions[i].leader == 0)
            broker_move_leader(&r->n.broker, i, 1 + i % BROKER_NODES);
    r->n.broker.on_produce = NULL;
}

static int number_of(const struct flotilla_record *record)
{
    char text[16] = "";

    memcpy(text, record->value, record->value_size);
    return atoi(text);
}

static void consume(struct run *r)
{
    struct flotilla_batch *batch;
    const struct flotilla_record *record;

    while ((batch = inbox_poll(r->n.inbox, 0)) != NULL) {
        assert_int_equal(flotilla_batch_kind(batch), FLOTILLA_BATCH_RECORDS);
        while ((record = flotilla_batch_next(batch)) != NULL) {
            int *count = &r->consumed[record->partition];
            assert_int_equal(record->offset, *count);
            assert_int_equal(number_of(record), *count * PARTITIONS + record->partition);
            (*count)++;
        }
        flotilla_batch_release(batch);
    }
}

static int total_consumed(const struct run *r)
{
    int total = 0;

    for (int i = 0; i < PARTITIONS; i++)
        total += r->consumed[i];
    return total;
}

static bool is_done(struct network *n, void *data)
{
    struct run *r = data;

    accumulator_poll(n->accumulator, 0);
    consume(r);
    return r->acked == RECORDS && total_consumed(r) == RECORDS;
}

static void run_once(uint64_t seed)
{
    static const char *const options[] = {"batch.bytes", "1k", "prefetch.bytes", "64k", NULL};
    struct run *r = calloc(1, sizeof(*r));
    int produced = 0;

    r->random = seed;
    memset(r->offset, -1, sizeof(r->offset));
    network_init(&r->n, PARTITIONS, options);
    network_open_producer(&r->n, on_delivery, r);
    network_open_consumer(&r->n);
    core_consumer_subscribe(r->n.consumer, "orders", FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0);
    r->n.broker.is_careless = seed % 2 == 0; /* then order and uniqueness rest on the client alone */
    r->n.broker.on_produce = on_produce;
    r->n.broker.data = r;
    while (produced < RECORDS) {
        for (uint32_t burst = random_below(r, 60); burst > 0 && produced < RECORDS; burst--, produced++)
            assert_int_equal(network_produce(&r->n, produced % PARTITIONS, produced), 0);
        network_run(&r->n, (1 + random_below(r, 3000)) * MS / 1000);
        accumulator_poll(r->n.accumulator, 0);
        consume(r);
        make_trouble(r);
    }
    heal(r);
    network_run_until(&r->n, is_done, r, 20000 * MS);
    for (int i = PARTITIONS; i < RECORDS; i++)
        assert_int_equal(r->offset[i], r->offset[i - PARTITIONS] + 1);
    network_close(&r->n);
    free(r);
}

static void every_record_once_and_in_order(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < ROUNDS; i++) {
        print_message("seed %llu\n", (unsigned long long)(base_seed + i));
        run_once(base_seed + i);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_record_once_and_in_order)};

    base_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
    return cmocka_run_group_tests_name("client/random", tests, NULL, NULL);
}
