/* What a connection does with bytes that no node of ours would send, and with silence. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <string.h>

struct logged {
    char text[20000];
    size_t size;
};

static void on_log(void *data, enum flotilla_log_level level, const char *message)
{
    struct logged *l = data;

    (void)level;
    if (l->size + strlen(message) + 2 < sizeof(l->text))
        l->size += (size_t)sprintf(l->text + l->size, "%s\n", message);
}

struct fixture {
    struct network n;
    struct logged log;
    int delivered;
    int failed;
};

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct fixture *f = data;

    f->delivered++;
    f->failed += d->status != 0;
}

static struct fixture *setup(void)
{
    struct fixture *f = calloc(1, sizeof(*f));

    network_init(&f->n, 1, NULL);
    /* The core copied its settings; a test may look over its shoulder. */
    struct client_settings *settings = (struct client_settings *)(uintptr_t)core_settings(f->n.core);
    settings->log_cb = on_log;
    settings->log_data = &f->log;
    network_open_producer(&f->n, on_delivery, f);
    return f;
}

static void teardown(struct fixture *f)
{
    network_close(&f->n);
    free(f);
}

static bool all_delivered(struct network *n, void *data)
{
    struct fixture *f = data;

    accumulator_poll(n->accumulator, 0);
    return f->delivered == 1;
}

/* Garbage closes the connection with a reason, and the client goes on over a new one. */
static void inject(const void *data, size_t size, const char *reason)
{
    struct fixture *f = setup();

    assert_true(network_inject(&f->n, data, size));
    network_run(&f->n, 10 * MS);
    if (strstr(f->log.text, reason) == NULL)
        fail_msg("'%s' is not in: %s", reason, f->log.text);
    assert_int_equal(network_produce(&f->n, 0, 0), 0);
    network_run_until(&f->n, all_delivered, f, 1000 * MS);
    assert_int_equal(f->failed, 0);
    teardown(f);
}

static size_t frame(unsigned char *out, uint16_t type, uint16_t flags, uint64_t correlation, size_t header,
                    size_t payload)
{
    memset(out, 0xff, FRAME_HEAD_SIZE + header + payload);
    frame_head_encode(out, type, flags, correlation, header, payload);
    return FRAME_HEAD_SIZE + header + payload;
}

static void garbage_closes_the_connection(void **state)
{
    unsigned char data[1000];
    char zeros[100] = {0};

    (void)state;
    memset(data, 0xff, sizeof(data));
    inject(data, sizeof(data), "bad frame: too large");
    inject(zeros, sizeof(zeros), "bad frame");
    inject(data, frame(data, FRAME_PRODUCE, FRAME_RESPONSE, 1000000, 3, 0), "never made");
    inject(data, frame(data, FRAME_PRODUCE, 0, 1, 3, 0), "unexpected produce frame");
    inject(data, frame(data, FRAME_PUSH, 0, 0, 30, 10), "malformed push");
    inject(data, frame(data, 999, 0, 0, 0, 0), "unexpected");
    inject(data, frame(data, FRAME_ERROR, 0, 0, 5, 0), "malformed answer");
}

static void an_error_frame_gives_its_reason(void **state)
{
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    Flotilla__PingResponse error = FLOTILLA__PING_RESPONSE__INIT;
    struct broker_session session;
    struct broker broker;

    (void)state;
    status.error = ERR_OVERLOADED;
    status.message = "too many connections here";
    broker_init(&broker, 1);
    broker_session_init(&session, &broker, 1);
    error.status = &status;
    broker_session_send(&session, FRAME_ERROR, FRAME_RESPONSE, 0, &error.base, NULL, 0);
    inject(session.output.data, session.output.size, "too many connections here");
    broker_session_close(&session);
    broker_close(&broker);
}

/* Any bytes whatever, in any pieces, must do no harm (this test earns its keep under the sanitizers). */
static void random_bytes_do_no_harm(void **state)
{
    uint64_t random = 20240607;
    unsigned char data[300];

    (void)state;
    for (int round = 0; round < 300; round++) {
        struct fixture *f = setup();
        for (int i = 0; i < 5; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            size_t size = frame(data, (uint16_t)(random >> 40) % 24, (random >> 33) & 1, (random >> 50) % 8,
                                (random >> 20) % 100, (random >> 27) % 100);
            for (size_t at = FRAME_HEAD_SIZE; at < size; at++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                data[at] = (unsigned char)(random >> 56) % 40;
            }
            network_inject(&f->n, data, size);
            network_run(&f->n, 20 * MS);
        }
        assert_int_equal(network_produce(&f->n, 0, 0), 0);
        network_run_until(&f->n, all_delivered, f, 2000 * MS);
        teardown(f);
    }
}

static void an_idle_connection_is_left_in_peace(void **state)
{
    struct fixture *f = setup();

    (void)state;
    unsigned connects = f->n.connects;
    network_run(&f->n, 20000 * MS);
    assert_int_equal(f->n.broker.pings, 0);
    assert_int_equal(f->n.connects, connects);
    teardown(f);
}

static void a_node_that_owes_an_answer_is_pinged_and_given_up(void **state)
{
    struct fixture *f = setup();

    (void)state;
    f->n.frozen[1] = true;
    network_produce(&f->n, 0, 0);
    network_run(&f->n, 900 * MS);
    assert_null(strstr(f->log.text, "silent"));
    network_run(&f->n, 200 * MS);
    if (strstr(f->log.text, "silent for") == NULL)
        fail_msg("not given up: %s", f->log.text);
    f->n.frozen[1] = false;
    network_run_until(&f->n, all_delivered, f, 3000 * MS);
    teardown(f);
}

/* A process that was stopped itself must not take its nodes for dead. */
static void its_own_sleep_proves_nothing(void **state)
{
    struct fixture *f = setup();

    (void)state;
    f->n.latency_ns = 50 * MS;
    network_produce(&f->n, 0, 0);
    network_step(&f->n, f->n.now);
    f->n.now += 60000 * MS;
    core_advance(f->n.core, f->n.now);
    assert_null(strstr(f->log.text, "silent"));
    network_run_until(&f->n, all_delivered, f, 1000 * MS);
    teardown(f);
}

static void dead_nodes_are_tried_at_a_bounded_rate(void **state)
{
    struct fixture *f = setup();

    (void)state;
    for (uint32_t i = 1; i <= BROKER_NODES; i++)
        network_kill(&f->n, i);
    network_produce(&f->n, 0, 0);
    network_run(&f->n, 1000 * MS);
    unsigned connects = f->n.connects;
    network_run(&f->n, 10000 * MS);
    assert_in_range(f->n.connects - connects, 3 * 90, 3 * 125); /* every 100 ms or so each */
    teardown(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_closes_the_connection),
        cmocka_unit_test(an_error_frame_gives_its_reason),
        cmocka_unit_test(random_bytes_do_no_harm),
        cmocka_unit_test(an_idle_connection_is_left_in_peace),
        cmocka_unit_test(a_node_that_owes_an_answer_is_pinged_and_given_up),
        cmocka_unit_test(its_own_sleep_proves_nothing),
        cmocka_unit_test(dead_nodes_are_tried_at_a_bounded_rate),
    };
    return cmocka_run_group_tests_name("client/connection", tests, NULL, NULL);
}
