#include "helper_message.h"
#include "node/consensus/heap.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
    (void)state;
    heap_install();
    return 0;
}

static void test_entry_drops_its_slice(void **state)
{
    (void)state;
    size_t live = heap_live_blocks();
    struct slice bytes = slice_copy("batch", 5);
    struct entry_ref *ref = heap_entry_create(slice_ref(bytes));
    assert_int_equal(bytes.owner->references, 2);
    raft_free(ref);
    assert_int_equal(bytes.owner->references, 1);
    assert_int_equal(heap_live_blocks(), live);
    slice_unref(&bytes);
}

static void test_batch_drops_all(void **state)
{
    (void)state;
    struct slice bytes = slice_copy("batch", 5);
    struct entry_ref *refs = heap_batch_create(3, 16);
    refs[0].bytes = slice_ref(bytes);
    refs[2].bytes = slice_ref(bytes);
    memset(refs + 3, 0xff, 16);
    assert_int_equal(bytes.owner->references, 3);
    raft_free(refs);
    assert_int_equal(bytes.owner->references, 1);
    slice_unref(&bytes);
}

/* What the core does with received entries: a bytewise copy in a block of its own, then the batch goes. */
static void test_copies_are_adopted(void **state)
{
    (void)state;
    struct slice bytes = slice_copy("batch", 5);
    struct entry_ref *refs = heap_batch_create(1, 0);
    refs[0].bytes = slice_ref(bytes);
    struct entry_ref *copy = raft_malloc(sizeof *copy);
    memcpy(copy, &refs[0], sizeof *copy);
    heap_entry_adopt(copy);
    heap_entry_adopt(copy); /* once is enough */
    raft_free(refs);
    assert_int_equal(bytes.owner->references, 2);
    assert_memory_equal(copy->bytes.data, "batch", 5);
    raft_free(copy);
    assert_int_equal(bytes.owner->references, 1);
    slice_unref(&bytes);
}

static void test_plain_memory(void **state)
{
    (void)state;
    size_t live = heap_live_blocks();
    char *p = raft_malloc(10);
    memcpy(p, "123456789", 10);
    p = raft_realloc(p, 100000);
    assert_string_equal(p, "123456789");
    assert_int_equal((uintptr_t)p % 16, 0);
    raft_free(p);
    unsigned char *zeros = raft_calloc(7, 11);
    for (int i = 0; i < 77; i++)
        assert_int_equal(zeros[i], 0);
    raft_free(zeros);
    raft_free(NULL);
    assert_int_equal(heap_live_blocks(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_drops_its_slice),
        cmocka_unit_test(test_batch_drops_all),
        cmocka_unit_test(test_copies_are_adopted),
        cmocka_unit_test(test_plain_memory),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
