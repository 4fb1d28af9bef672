#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/buf.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

static void slices_hold_their_buffer(void **state)
{
    (void)state;
    struct buf *b = buf_create(16);
    memcpy(b->data, "0123456789abcdef", 16);
    struct slice all = slice_of(b, b->data, 16);
    struct slice part = slice_sub(all, 4, 6);
    assert_int_equal(b->references, 3);

    buf_unref(b);
    slice_unref(&all);
    assert_int_equal(all.size, 0);
    assert_null(all.owner);
    assert_int_equal(part.owner->references, 1);
    assert_memory_equal(part.data, "456789", 6);
    slice_unref(&part);
}

static void sub_of_a_whole_slice_and_of_nothing(void **state)
{
    (void)state;
    struct slice s = slice_copy("abc", 3);
    struct slice whole = slice_sub(s, 0, 3);
    struct slice none = slice_sub(s, 3, 0);
    assert_int_equal(whole.size, 3);
    assert_int_equal(none.size, 0);
    slice_unref(&whole);
    slice_unref(&none);
    assert_int_equal(s.owner->references, 1);
    slice_unref(&s);
}

static void static_bytes_need_no_owner(void **state)
{
    (void)state;
    unsigned char bytes[] = "static";
    struct slice s = {NULL, bytes, 6};
    struct slice again = slice_ref(s);
    struct slice part = slice_sub(again, 3, 3);
    assert_memory_equal(part.data, "tic", 3);
    slice_unref(&part);
    slice_unref(&again);
    buf_unref(NULL);
}

static void a_copy_is_independent(void **state)
{
    (void)state;
    char text[] = "before";
    struct slice s = slice_copy(text, 6);
    text[0] = 'X';
    assert_memory_equal(s.data, "before", 6);
    slice_unref(&s);
    struct slice empty = slice_copy(NULL, 0);
    assert_int_equal(empty.size, 0);
    slice_unref(&empty);
}

static void memory_of_size_zero_is_memory(void **state)
{
    (void)state;
    void *p = memory_alloc(0);
    assert_non_null(p);
    p = memory_realloc(p, 0);
    assert_non_null(p);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_hold_their_buffer),
        cmocka_unit_test(sub_of_a_whole_slice_and_of_nothing),
        cmocka_unit_test(static_bytes_need_no_owner),
        cmocka_unit_test(a_copy_is_independent),
        cmocka_unit_test(memory_of_size_zero_is_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
