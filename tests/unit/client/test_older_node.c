/* A node of an older build does not know each request of this client: whoever asked hears that at once, and
 * everything else goes on over the same connection. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <string.h>

enum { SOON_MS = 500 };

struct fixture {
    struct network n;
    int ends;
    int status;
    char message[CORE_MESSAGE_SIZE];
};

static struct fixture *setup(uint16_t unknown_type)
{
    static const char *const options[] = {"group", "g1", NULL};
    struct fixture *f = calloc(1, sizeof(*f));

    network_init(&f->n, 1, options);
    f->n.broker.unknown_type = unknown_type;
    network_open_consumer(&f->n);
    return f;
}

static void teardown(struct fixture *f)
{
    network_close(&f->n);
    free(f);
}

static void ended(struct fixture *f, int status, const char *message)
{
    f->ends++;
    f->status = status;
    snprintf(f->message, sizeof(f->message), "%s", message);
}

static bool has_ended(struct network *n, void *data)
{
    struct fixture *f = data;
    struct flotilla_batch *batch = inbox_poll(n->inbox, 0);

    if (n->accumulator != NULL)
        accumulator_poll(n->accumulator, 0);
    if (batch != NULL) {
        if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR)
            ended(f, flotilla_batch_status(batch), flotilla_batch_message(batch));
        flotilla_batch_release(batch);
    }
    return f->ends > 0;
}

static void expect_refusal(struct fixture *f, const char *request)
{
    network_run_until(&f->n, has_ended, f, SOON_MS * MS);
    assert_int_equal(f->status, ERR_UNSUPPORTED);
    if (strstr(f->message, request) == NULL || strstr(f->message, "older") == NULL)
        fail_msg("\"%s\" does not say that %s is not known to an older node", f->message, request);
}

static void join(struct fixture *f)
{
    static const char *const topics[] = {"orders"};
    const struct core_join join = {.topics = topics, .topic_count = 1};

    core_consumer_join(f->n.consumer, &join);
}

static void a_member_is_told(void **state)
{
    struct fixture *f = setup(FRAME_JOIN_GROUP);

    (void)state;
    join(f);
    expect_refusal(f, "join_group");
    teardown(f);
}

static void a_member_that_cannot_be_heard_is_told(void **state)
{
    struct fixture *f = setup(FRAME_GROUP_HEARTBEAT);

    (void)state;
    join(f);
    expect_refusal(f, "group_heartbeat");
    teardown(f);
}

static void on_committed(void *data, int status, const char *message)
{
    ended(data, status, message);
}

static void a_commit_ends(void **state)
{
    struct fixture *f = setup(FRAME_COMMIT_OFFSETS);
    struct core_commit commit = {.topic = "orders", .timeout_ns = 60000 * MS, .cb = on_committed, .data = f};

    (void)state;
    core_consumer_commit(f->n.consumer, &commit);
    expect_refusal(f, "commit_offsets");
    teardown(f);
}

static void a_reader_is_told(void **state)
{
    struct fixture *f = setup(FRAME_SUBSCRIBE);

    (void)state;
    core_consumer_subscribe(f->n.consumer, "orders", 0, FLOTILLA_START_BEGINNING, 0);
    expect_refusal(f, "subscribe");
    teardown(f);
}

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    ended(data, d->status, d->message);
}

static void a_record_is_reported(void **state)
{
    struct fixture *f = setup(FRAME_PRODUCE);

    (void)state;
    network_open_producer(&f->n, on_delivery, f);
    assert_int_equal(network_produce(&f->n, 0, 1), 0);
    expect_refusal(f, "produce");
    teardown(f);
}

/* The connection stays, and with it all that the node does know. */
static void everything_else_goes_on(void **state)
{
    struct fixture *f = setup(FRAME_JOIN_GROUP);

    (void)state;
    join(f);
    expect_refusal(f, "join_group");
    unsigned connects = f->n.connects;
    f->ends = 0;
    network_open_producer(&f->n, on_delivery, f);
    assert_int_equal(network_produce(&f->n, 0, 1), 0);
    network_run_until(&f->n, has_ended, f, SOON_MS * MS);
    assert_int_equal(f->status, 0);
    assert_int_equal(f->n.connects, connects);
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_is_told),     cmocka_unit_test(a_member_that_cannot_be_heard_is_told),
        cmocka_unit_test(a_commit_ends),        cmocka_unit_test(a_reader_is_told),
        cmocka_unit_test(a_record_is_reported), cmocka_unit_test(everything_else_goes_on),
    };
    return cmocka_run_group_tests_name("client/older_node", tests, NULL, NULL);
}
