#include "node/consensus/group_map.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { IDS = 3000, STEPS = 200000 };

static struct group *value_of(uint64_t id)
{
    return (struct group *)(uintptr_t)(id * 16 + 16); /* never looked into */
}

static void test_an_empty_table(void **state)
{
    (void)state;
    struct group_map t = {.slots = NULL};
    assert_null(group_map_find(&t, 1));
    group_map_add(&t, 1, value_of(1));
    assert_ptr_equal(group_map_find(&t, 1), value_of(1));
    group_map_remove(&t, 1);
    assert_null(group_map_find(&t, 1));
    group_map_close(&t);
}

/* Against an array of what must be in it. */
static void test_random_changes(void **state)
{
    static bool present[IDS];
    struct group_map t = {.slots = NULL};
    unsigned seed = (unsigned)time(NULL);
    size_t count = 0;
    (void)state;
    printf("seed %u\n", seed);
    srand(seed);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t id = (uint64_t)rand() % IDS;
        if (present[id])
            group_map_remove(&t, id << 20);
        else
            group_map_add(&t, id << 20, value_of(id));
        present[id] = !present[id];
        count += present[id] ? 1 : (size_t)-1;
        assert_int_equal(t.count, count);
        uint64_t other = (uint64_t)rand() % IDS;
        assert_ptr_equal(group_map_find(&t, other << 20), present[other] ? value_of(other) : NULL);
    }
    for (uint64_t id = 0; id < IDS; id++)
        assert_ptr_equal(group_map_find(&t, id << 20), present[id] ? value_of(id) : NULL);
    group_map_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_table),
        cmocka_unit_test(test_random_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
