/* What a connection has gathered goes out in order, and a bounded part of it in each turn of the loop. */
#include "node/base/memory.h"
#include "node/env/env_ops.h"
#include "node/server/connection.h"
#include "node/server/server.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KIB = 1024, TURN_BYTES = 256 * KIB, OUTPUT_MAX = 2 * 1024 * KIB };

/* A stream that takes what it gets at once. */
static struct {
    struct env_stream base;
    unsigned writes;
    size_t last_size;
    size_t size;
    unsigned char bytes[OUTPUT_MAX];
} taken;

static struct env *env;
static struct server server;
static struct connection connection;
static unsigned char next_byte;

static int take(struct env_stream *stream, struct env_write *req, const struct slice *slices, unsigned n,
                void (*cb)(struct env_write *req, int status))
{
    (void)stream;
    taken.writes++;
    taken.last_size = 0;
    for (unsigned i = 0; i < n; i++) {
        struct slice mine = slices[i];
        memcpy(taken.bytes + taken.size, mine.data, mine.size);
        taken.size += mine.size;
        taken.last_size += mine.size;
        slice_unref(&mine);
    }
    cb(req, 0);
    return 0;
}

static void nothing_to_do(struct connection *c)
{
    (void)c;
}

static const struct env_stream_ops stream_ops = {.write = take};
static const struct connection_protocol protocol = {.output_ready = nothing_to_do};

static int set_up(void **state)
{
    (void)state;
    env = env_uv_create(1);
    memset(&server, 0, sizeof(server));
    memset(&connection, 0, sizeof(connection));
    memset(&taken, 0, sizeof(taken));
    next_byte = 0;
    taken.base.ops = &stream_ops;
    server.env = env;
    connection.protocol = &protocol;
    connection.server = &server;
    connection.stream = &taken.base;
    connection.state = CONNECTION_OPEN;
    queue_init(&connection.writes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    connection_drop_output(&connection);
    assert_int_equal(server.unsent_bytes, 0);
    free(connection.out);
    env_destroy(env);
    return 0;
}

static void gather(size_t size)
{
    struct buf *b = buf_create(size);
    for (size_t i = 0; i < size; i++)
        b->data[i] = next_byte++;
    connection_gather(&connection, slice_of(b, b->data, size));
    buf_unref(b);
    connection_flush_later(&connection);
}

static void check_taken(size_t size)
{
    assert_int_equal(taken.size, size);
    assert_int_equal(connection.unsent_bytes, 0);
    for (size_t i = 0; i < size; i++)
        if (taken.bytes[i] != (unsigned char)i)
            fail_msg("byte %zu is not in its place", i);
}

/* Every turn sends something, and none too much. */
static void run_to_the_end(size_t size)
{
    while (taken.size < size) {
        size_t before = taken.size;
        env_run_once(env, false);
        assert_true(taken.size > before);
        assert_true(taken.size - before <= 2 * TURN_BYTES); /* deferred work runs at both ends of a turn */
        assert_true(taken.last_size <= TURN_BYTES);
    }
    check_taken(size);
}

static void little_goes_out_at_once(void **state)
{
    (void)state;
    gather(10);
    gather(100 * KIB);
    env_run_once(env, false);
    assert_int_equal(taken.writes, 1);
    check_taken(10 + 100 * KIB);
}

static void much_goes_out_in_turns(void **state)
{
    (void)state;
    gather(100 * KIB);
    gather(900 * KIB);
    gather(1);
    run_to_the_end(1000 * KIB + 1);
    assert_int_equal(taken.writes, 4);
}

static void what_comes_meanwhile_goes_behind(void **state)
{
    (void)state;
    gather(700 * KIB);
    env_run_once(env, false);
    gather(300 * KIB);
    run_to_the_end(1000 * KIB);
}

static void a_closed_connection_forgets_the_rest(void **state)
{
    (void)state;
    gather(700 * KIB);
    env_run_once(env, false);
    size_t sent = taken.size;
    connection_drop_output(&connection);
    env_run_once(env, false);
    assert_int_equal(taken.size, sent);
    assert_int_equal(connection.unsent_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(little_goes_out_at_once),
        TEST(much_goes_out_in_turns),
        TEST(what_comes_meanwhile_goes_behind),
        TEST(a_closed_connection_forgets_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
