#include "proto/arena.h"
#include "proto/client.pb-c.h"
#include "tests/unit/proto/helper_cmocka.h"
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 64 * 1024 };

static void allocations_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    unsigned char *pieces[200];

    arena_init(&a, LIMIT);
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = arena_alloc(&a, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(pieces[i][k], i);
    arena_close(&a);
}

static void the_limit_holds(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, LIMIT);
    assert_null(arena_alloc(&a, LIMIT));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 8));
    while (arena_alloc(&a, 1000) != NULL)
        assert_true(a.allocated_bytes <= LIMIT);
    assert_true(a.allocated_bytes > LIMIT / 2);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1000));
    arena_close(&a);
    assert_int_equal(a.allocated_bytes, 0);
}

static void a_reset_keeps_one_small_block(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, LIMIT);
    void *first = arena_alloc(&a, 100);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    assert_non_null(arena_alloc(&a, LIMIT / 2));
    arena_reset(&a);
    assert_true(a.allocated_bytes < LIMIT / 4);
    arena_close(&a);
}

static void strings_are_terminated(void **state)
{
    (void)state;
    struct arena a;

    arena_init(&a, LIMIT);
    assert_string_equal(arena_strndup(&a, "topic and more", 5), "topic");
    assert_string_equal(arena_strndup(&a, "", 0), "");
    assert_null(arena_strndup(&a, "x", SIZE_MAX));
    arena_close(&a);
}

static void messages_unpack_into_it(void **state)
{
    (void)state;
    struct arena a;
    char *names[] = {"orders", "payments"};
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    unsigned char packed[100];

    request.n_topics = 2;
    request.topics = names;
    size_t size = flotilla__metadata_request__pack(&request, packed);
    arena_init(&a, LIMIT);
    for (int i = 0; i < 1000; i++) {
        Flotilla__MetadataRequest *r = flotilla__metadata_request__unpack(arena_allocator(&a), size, packed);
        assert_non_null(r);
        assert_string_equal(r->topics[1], "payments");
        arena_reset(&a);
    }
    arena_close(&a);
}

/* 2 bytes on the wire, some 100 in memory, a million times. */
static void a_message_that_explodes_is_refused(void **state)
{
    (void)state;
    enum { SIZE = 2000000, OFFSETS_FIELD = 0x12 };
    struct arena a;
    unsigned char *bomb = calloc(1, SIZE);

    for (size_t i = 0; i < SIZE; i += 2)
        bomb[i] = OFFSETS_FIELD;
    arena_init(&a, 16 * 1024 * 1024);
    assert_null(flotilla__commit_offsets_request__unpack(arena_allocator(&a), SIZE, bomb));
    assert_true(a.allocated_bytes <= a.limit_bytes);
    arena_close(&a);
    free(bomb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(a_reset_keeps_one_small_block),
        cmocka_unit_test(strings_are_terminated),
        cmocka_unit_test(messages_unpack_into_it),
        cmocka_unit_test(a_message_that_explodes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
