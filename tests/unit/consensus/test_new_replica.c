/* A thousand of them may be made at once: what one costs until somebody votes. On simulated disks. */
#include "helper_simulated.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NODES = 3 };

static struct simulated simulated;
static struct test_node *const first = &simulated.cluster.nodes[0];

static int set_up(void **state)
{
    *state = &simulated;
    simulated_init(&simulated, NODES, 1);
    simulated_start(&simulated, 0);
    return 0;
}

static bool first_is_open(void *data)
{
    (void)data;
    return node_is_open(first);
}

static bool first_is_on_record(void *data)
{
    (void)data;
    return journal_durable(first->journal) > 0;
}

/* The term that all begin with is nobody's vote: it goes to the disk with the first one. */
static void test_it_opens_without_a_sync_of_the_journal(void **state)
{
    (void)state;
    assert_true(simulated_run_until(&simulated, 500, first_is_open, NULL));
    assert_false(first_is_on_record(NULL));
    assert_true(simulated_run_until(&simulated, 2000, first_is_on_record, NULL));
}

/* As it was: a power loss before that finds a replica without a term, which begins with the same one. */
static void test_the_power_may_go_before_that(void **state)
{
    (void)state;
    assert_true(simulated_run_until(&simulated, 500, first_is_open, NULL));
    assert_false(first_is_on_record(NULL));
    simulated_crash(&simulated, 0);
    simulated_start_all(&simulated);
    simulated_settle(&simulated);
    simulated_propose(&simulated, 10, 100);
    assert_false(simulated_is_damaged(&simulated, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_opens_without_a_sync_of_the_journal, set_up,
                                        simulated_tear_down),
        cmocka_unit_test_setup_teardown(test_the_power_may_go_before_that, set_up, simulated_tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
