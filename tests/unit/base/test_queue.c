#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/queue.h"

struct item {
    int value;
    struct queue node;
};

static void assert_order(const struct queue *head, const int *values, int n)
{
    int i = 0;
    QUEUE_FOREACH (node, head) {
        assert_true(i < n);
        assert_int_equal(QUEUE_ENTRY(node, struct item, node)->value, values[i]);
        i++;
    }
    assert_int_equal(i, n);
}

static void keeps_order_at_both_ends(void **state)
{
    (void)state;
    struct queue head;
    struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    queue_init(&head);
    assert_true(queue_empty(&head));
    queue_push(&head, &items[1].node);
    queue_push(&head, &items[2].node);
    queue_push_front(&head, &items[0].node);
    assert_order(&head, (int[]){1, 2, 3}, 3);
    assert_ptr_equal(queue_first(&head), &items[0].node);
    assert_ptr_equal(queue_last(&head), &items[2].node);
}

static void removing_twice_is_harmless(void **state)
{
    (void)state;
    struct queue head;
    struct item items[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    queue_init(&head);
    for (int i = 0; i < 3; i++)
        queue_push(&head, &items[i].node);
    queue_remove(&items[1].node);
    queue_remove(&items[1].node);
    assert_order(&head, (int[]){1, 3}, 2);
}

static void moves_all_nodes(void **state)
{
    (void)state;
    struct queue from;
    struct queue to;
    struct item items[2] = {{.value = 1}, {.value = 2}};
    queue_init(&from);
    queue_init(&to);
    queue_move(&from, &to);
    assert_true(queue_empty(&to));
    queue_push(&from, &items[0].node);
    queue_push(&from, &items[1].node);
    queue_move(&from, &to);
    assert_true(queue_empty(&from));
    assert_order(&to, (int[]){1, 2}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_at_both_ends),
        cmocka_unit_test(removing_twice_is_harmless),
        cmocka_unit_test(moves_all_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
