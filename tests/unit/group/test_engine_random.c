/* Random events against the engine, with messages and commits under way for any time, failing commits and
 * failing coordinators. After each: no partition has two owners and nobody reads what is not its own. When
 * all is quiet: everything is read once, evenly. The table is what its records and its snapshot say. Members
 * never leave by accident. */
#include "node/base/prng.h"
#include "proto/error.h"
#include "tests/unit/group/helper_world.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { RUNS = 60, EVENTS = 400 };

static const char *const groups[WORLD_GROUPS] = {"email", "audit"};
static const char *const topic_names[] = {"orders", "clicks", "returns", "audit", "__internal"};

static struct client *random_client(struct world *w, struct prng *random)
{
    return &w->clients[prng_below(random, WORLD_CLIENTS)];
}

static void subscribe_at_random(struct client *c, struct prng *random)
{
    c->topic_count = 0;
    c->pattern = prng_below(random, 4) == 0 ? "*" : "";
    for (unsigned i = 0; i < 3; i++)
        if (prng_below(random, 2) == 0)
            client_subscribe(c, topic_names[i]);
    if (c->topic_count == 0)
        client_subscribe(c, "orders");
}

static void come(struct world *w, struct client *c, struct prng *random)
{
    if (c->world == NULL) {
        unsigned number = (unsigned)(c - w->clients);
        world_client(w, number, groups[number % WORLD_GROUPS]);
        if (number % 7 == 0)
            c->instance_id = number % 2 == 0 ? "first" : "second";
    }
    if (!c->joined && !c->joining) {
        c->replaced = false;
        if (c->epoch == 0)
            subscribe_at_random(c, random);
        client_join(c);
    }
}

static void advance(struct world *w, uint64_t ms)
{
    w->time.now_ms += ms;
    w->time.wall_ms += (int64_t)ms;
}

static void grow_topics(struct world *w, struct prng *random)
{
    size_t n = w->topic_count;
    if (n < sizeof(topic_names) / sizeof(topic_names[0]) && prng_below(random, 2) == 0)
        world_add_topic(w, topic_names[n], 1 + (uint32_t)prng_below(random, 12));
    else
        w->topics[prng_below(random, n)].partition_count += (uint32_t)prng_below(random, 3);
    engine_topics_changed(w->engine);
}

/* A member that was lost track of joins again, as its library would. */
static void come_back(struct client *c)
{
    if (client_must_return(c))
        client_join(c);
}

static void one_event(struct world *w, struct prng *random)
{
    struct client *c = random_client(w, random);
    unsigned what = (unsigned)prng_below(random, 100);
    if (what < 12) {
        come(w, c, random);
    } else if (c->world == NULL) {
        return;
    } else if (what < 15 && c->joined) {
        client_leave(c);
        c->lost = 0;
    } else if (what < 19 && c->connected) {
        client_disconnect(c);
    } else if (what < 50) {
        client_read(c, prng_below(random, 3) > 0);
        come_back(c);
    } else if (what < 70 && c->joined) {
        client_heartbeat(c);
        come_back(c);
    } else if (what < 95) {
        advance(w, prng_below(random, 3) == 0 ? prng_below(random, 400) : prng_below(random, 5));
    } else if (what < 97) {
        grow_topics(w, random);
    } else if (c->joined) { /* with pushes under way that its owned partitions do not reflect */
        subscribe_at_random(c, random);
        client_join(c);
    }
}

static void on_wait_over(struct engine_waiter *waiter)
{
    (void)waiter;
}

/* Whatever a client believes, it commits for what the table says is its own, and for nothing else. */
static void commit_at_random(struct world *w, struct prng *random)
{
    static struct engine_waiter waiter;
    struct client *c = random_client(w, random);
    const struct engine_topic *topic = &w->topics[prng_below(random, w->topic_count)];
    struct topic_partition p = {.partition = (uint32_t)prng_below(random, topic->partition_count)};
    memcpy(p.topic_id, topic->id, TOPIC_ID_SIZE);
    if (c->world == NULL || w->step_count > 0)
        return;
    const struct consumer_member *m = world_member(w, c);
    bool owns =
        m != NULL && (partition_set_has(&m->share.assigned, &p) || partition_set_has(&m->share.revoking, &p));
    bool lives = m != NULL && c->epoch >= m->value->joined_epoch;
    int expected = owns && lives ? 0 : m != NULL ? ERR_FENCED_MEMBER : ERR_UNKNOWN_MEMBER;
    assert_int_equal(
        engine_check_commit(w->engine, c->group, c->id, c->epoch, &p, 1, w->time, &waiter, on_wait_over),
        expected);
}

static void after_event(struct world *w, struct prng *random)
{
    if (prng_below(random, 2) == 0)
        world_run(w);
    if (prng_below(random, 3) == 0)
        world_commit(w, prng_below(random, 12) == 0 ? ERR_OVERLOADED : 0);
    if (prng_below(random, 120) == 0)
        world_fail_over(w, prng_below(random, w->step_count + 1));
    commit_at_random(w, random);
    world_check_owners(w);
}

static void check_snapshot(const struct world *w)
{
    struct packed_groups packed;
    group_table_pack(&w->table, &packed);
    Flotilla__OffsetTable message = FLOTILLA__OFFSET_TABLE__INIT;
    message.groups = packed.entries;
    message.n_groups = packed.count;
    size_t size = flotilla__offset_table__get_packed_size(&message);
    unsigned char *bytes = malloc(size + 1);
    flotilla__offset_table__pack(&message, bytes);
    packed_groups_close(&packed);

    Flotilla__OffsetTable *read = flotilla__offset_table__unpack(NULL, size, bytes);
    assert_non_null(read);
    struct group_table copy = {0};
    assert_int_equal(group_table_unpack(&copy, read->groups, read->n_groups), 0);
    struct bytes original, restored;
    bytes_init(&original);
    bytes_init(&restored);
    world_print_table(&w->table, &original);
    world_print_table(&copy, &restored);
    assert_int_equal(original.size, restored.size);
    assert_memory_equal(original.data != NULL ? original.data : (void *)"",
                        restored.data != NULL ? restored.data : (void *)"", original.size);
    bytes_close(&original);
    bytes_close(&restored);
    group_table_clear(&copy);
    flotilla__offset_table__free_unpacked(read, NULL);
    free(bytes);
}

/* A new coordinator, asked to think everything over, finds nothing to change. */
static void check_idempotent(struct world *w)
{
    size_t records = w->record_count;
    engine_topics_changed(w->engine);
    world_run(w);
    assert_int_equal(w->step_count, 0);
    assert_int_equal(w->record_count, records);
}

static void run(uint64_t seed)
{
    struct prng random;
    struct world *w = malloc(sizeof(*w));
    prng_init(&random, seed);
    world_open(w);
    for (unsigned i = 0; i < 3; i++)
        world_add_topic(w, topic_names[i], 1 + (uint32_t)prng_below(&random, 12));
    for (unsigned i = 0; i < EVENTS; i++) {
        one_event(w, &random);
        after_event(w, &random);
    }
    for (unsigned i = 0; i < WORLD_CLIENTS; i++) /* who hung up stays away */
        if (w->clients[i].world != NULL && !w->clients[i].connected)
            w->clients[i].lost = 0;
    world_settle(w, 25000);
    for (unsigned g = 0; g < WORLD_GROUPS; g++)
        if (group_table_find(&w->table, groups[g]) != NULL)
            world_check_stable(w, groups[g]);
    check_snapshot(w);
    check_idempotent(w);
    world_close(w);
    free(w);
}

static void test_random_events(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    uint64_t first = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000;
    printf("seeds from %llu\n", (unsigned long long)first);
    unsigned runs = given != NULL ? 1 : RUNS;
    for (unsigned i = 0; i < runs; i++) {
        fprintf(stderr, "\rSEED=%llu ", (unsigned long long)(first + i));
        run(first + i);
    }
    fprintf(stderr, "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_events)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
