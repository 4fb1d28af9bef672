/* The assignors: everything has one owner, shares are even, and sticky moves no more than it must. */
#include "node/base/prng.h"
#include "node/group/assignor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { MEMBERS = 120, TOPICS = 1000, PARTITIONS = 4000 };

struct group {
    struct assign_topic topics[TOPICS];
    struct assign_member members[MEMBERS];
    uint32_t subscriptions[MEMBERS][TOPICS];
    char names[MEMBERS][16];
    int32_t owner[PARTITIONS];
    struct assign_problem problem;
};

static struct group *group_create(size_t topics, const uint32_t *counts)
{
    struct group *g = calloc(1, sizeof(*g));
    g->problem.topics = g->topics;
    g->problem.members = g->members;
    g->problem.owner = g->owner;
    g->problem.topic_count = topics;
    for (size_t i = 0; i < topics; i++) {
        g->topics[i] = (struct assign_topic){g->problem.partition_count, counts[i]};
        g->problem.partition_count += counts[i];
    }
    memset(g->owner, 0xff, sizeof(g->owner));
    return g;
}

static void add_member(struct group *g, const char *rack)
{
    size_t n = g->problem.member_count++;
    snprintf(g->names[n], sizeof(g->names[n]), "m%03zu", n);
    g->members[n] = (struct assign_member){g->names[n], rack, g->subscriptions[n], g->problem.topic_count};
    for (uint32_t t = 0; t < g->problem.topic_count; t++)
        g->subscriptions[n][t] = t;
}

/* The last member takes the place of the one that goes. */
static void remove_member(struct group *g, size_t n)
{
    size_t last = --g->problem.member_count;
    for (uint32_t i = 0; i < g->problem.partition_count; i++) {
        if (g->owner[i] == (int32_t)n)
            g->owner[i] = ASSIGN_NOBODY;
        else if (g->owner[i] == (int32_t)last)
            g->owner[i] = (int32_t)n;
    }
}

static uint32_t load_of(const struct group *g, size_t member, const struct assign_topic *topic)
{
    uint32_t load = 0;
    for (uint32_t i = topic->first; i < topic->first + topic->count; i++)
        load += g->owner[i] == (int32_t)member;
    return load;
}

static void check_even(const struct group *g, const struct assign_topic *topic)
{
    uint32_t least = UINT32_MAX, most = 0, total = 0;
    for (size_t m = 0; m < g->problem.member_count; m++) {
        uint32_t load = load_of(g, m, topic);
        least = load < least ? load : least;
        most = load > most ? load : most;
        total += load;
    }
    assert_int_equal(total, topic->count);
    assert_true(most - least <= 1);
}

static void check_balanced(const struct group *g)
{
    const struct assign_topic all = {0, g->problem.partition_count};
    for (size_t t = 0; t < g->problem.topic_count; t++)
        check_even(g, &g->topics[t]);
    check_even(g, &all);
}

/* Partitions that have another owner than in `before`, and were not nobody's. */
static uint32_t moved(const struct group *g, const int32_t *before)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->problem.partition_count; i++)
        n += before[i] != ASSIGN_NOBODY && before[i] != g->owner[i];
    return n;
}

static void test_sticky_is_balanced_and_moves_little(void **state)
{
    (void)state;
    struct prng random;
    uint64_t seed = (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    prng_init(&random, seed);
    int32_t before[PARTITIONS];
    for (int run = 0; run < 40; run++) {
        uint32_t counts[8];
        size_t topics = 1 + prng_below(&random, 8);
        for (size_t i = 0; i < topics; i++)
            counts[i] = 1 + (uint32_t)prng_below(&random, 40);
        struct group *g = group_create(topics, counts);
        add_member(g, "");
        for (int step = 0; step < 30; step++) {
            bool join = g->problem.member_count == 1 || prng_below(&random, 2) == 0;
            if (join)
                add_member(g, "");
            else
                remove_member(g, prng_below(&random, g->problem.member_count));
            memcpy(before, g->owner, sizeof(before));
            assign_sticky(&g->problem);
            check_balanced(g);
            uint32_t share = g->problem.partition_count / (uint32_t)g->problem.member_count;
            /* A join takes the newcomer's share; beyond that only extra partitions may change hands. */
            if (join)
                assert_true(moved(g, before) <= share + topics + 1 + g->problem.member_count);
            memcpy(before, g->owner, sizeof(before));
            assign_sticky(&g->problem);
            assert_int_equal(moved(g, before), 0);
        }
        free(g);
    }
}

/* With one topic the least possible can be told exactly. */
static void test_sticky_moves_the_least_possible(void **state)
{
    (void)state;
    const uint32_t count = 100;
    int32_t before[PARTITIONS];
    struct group *g = group_create(1, &count);
    for (uint32_t members = 1; members <= MEMBERS; members++) {
        add_member(g, "");
        memcpy(before, g->owner, sizeof(before));
        assign_sticky(&g->problem);
        check_balanced(g);
        assert_int_equal(moved(g, before), members == 1 ? 0 : count / members);
    }
    while (g->problem.member_count > 1) {
        remove_member(g, g->problem.member_count / 2);
        memcpy(before, g->owner, sizeof(before));
        assign_sticky(&g->problem);
        check_balanced(g);
        assert_int_equal(moved(g, before), 0);
    }
    free(g);
}

static void test_sticky_with_other_subscriptions(void **state)
{
    (void)state;
    const uint32_t counts[] = {12, 12};
    struct group *g = group_create(2, counts);
    for (int i = 0; i < 4; i++)
        add_member(g, "");
    g->members[0].topic_count = 1; /* topic 0 only */
    g->members[1].topic_count = 1;
    g->members[1].topics = &g->subscriptions[1][1]; /* topic 1 only */
    assign_sticky(&g->problem);
    assert_int_equal(load_of(g, 0, &g->topics[0]), 4);
    assert_int_equal(load_of(g, 0, &g->topics[1]), 0);
    assert_int_equal(load_of(g, 1, &g->topics[1]), 4);
    for (uint32_t i = 0; i < 24; i++)
        assert_true(g->owner[i] != ASSIGN_NOBODY);
    g->members[0].topic_count = g->members[2].topic_count = g->members[3].topic_count = 0;
    assign_sticky(&g->problem);
    for (uint32_t i = 0; i < 24; i++)
        assert_int_equal(g->owner[i], i < 12 ? ASSIGN_NOBODY : 1);
    free(g);
}

static bool in_rack(void *data, uint32_t topic, uint32_t partition, const char *rack)
{
    (void)data;
    (void)topic;
    return rack[0] == (partition % 3 == 0 ? 'a' : partition % 3 == 1 ? 'b' : 'c');
}

static void test_sticky_prefers_the_own_rack(void **state)
{
    (void)state;
    const uint32_t count = 12;
    const char *const racks[] = {"c", "a", "b"};
    struct group *g = group_create(1, &count);
    g->problem.in_rack = in_rack;
    for (int i = 0; i < 3; i++)
        add_member(g, racks[i]);
    assign_sticky(&g->problem);
    check_balanced(g);
    for (uint32_t i = 0; i < count; i++)
        assert_true(in_rack(NULL, 0, i, racks[g->owner[i]]));
    add_member(g, "a"); /* balance comes before racks */
    assign_sticky(&g->problem);
    check_balanced(g);
    free(g);
}

static void test_range(void **state)
{
    (void)state;
    const uint32_t counts[] = {7, 3};
    const int32_t expected[] = {0, 0, 0, 1, 1, 2, 2, 0, 1, 2};
    struct group *g = group_create(2, counts);
    for (int i = 0; i < 3; i++)
        add_member(g, "");
    assign_range(&g->problem);
    assert_memory_equal(g->owner, expected, sizeof(expected));
    free(g);
}

static void test_round_robin(void **state)
{
    (void)state;
    const uint32_t counts[] = {4, 4};
    const int32_t expected[] = {0, 1, 2, 0, 1, 2, 1, 2};
    struct group *g = group_create(2, counts);
    for (int i = 0; i < 3; i++)
        add_member(g, "");
    g->members[0].topic_count = 1; /* not topic 1 */
    assign_round_robin(&g->problem);
    assert_memory_equal(g->owner, expected, sizeof(expected));
    free(g);
}

static void test_names(void **state)
{
    (void)state;
    assert_ptr_equal(assignor_find(""), assign_sticky);
    assert_ptr_equal(assignor_find("sticky"), assign_sticky);
    assert_ptr_equal(assignor_find("range"), assign_range);
    assert_ptr_equal(assignor_find("round-robin"), assign_round_robin);
    assert_null(assignor_find("fair"));
}

/* Processor time, which waiting for a processor is not. */
static double measure(struct group *g)
{
    struct timespec from, to;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    assign_sticky(&g->problem);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

/* 1,000 partitions and 100 members, as one topic and as 1,000; generous, because this may be a sanitizer's
 * build. */
static void test_takes_little_processor_time(void **state)
{
    (void)state;
    static uint32_t ones[TOPICS];
    const uint32_t one_topic = 1000;
    for (size_t i = 0; i < TOPICS; i++)
        ones[i] = 1;
    for (int many = 0; many < 2; many++) {
        struct group *g = many ? group_create(TOPICS, ones) : group_create(1, &one_topic);
        for (int i = 0; i < 99; i++)
            add_member(g, "");
        double first = measure(g);
        add_member(g, "");
        double next = measure(g);
        check_balanced(g);
        printf("%s: from nothing %.2f ms, one more member %.2f ms\n", many ? "1000 topics" : "1 topic", first,
               next);
        assert_true(first < 500 && next < 500);
        free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sticky_is_balanced_and_moves_little),
        cmocka_unit_test(test_sticky_moves_the_least_possible),
        cmocka_unit_test(test_sticky_with_other_subscriptions),
        cmocka_unit_test(test_sticky_prefers_the_own_rack),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_takes_little_processor_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
