// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "tests/unit/client/helper_network.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_connect(void *data, uint32_t number, const char *host, uint16_t port)
{
    struct network *n = data;
    struct network_connection *c = &n->connections[number];

    (void)host;
    assert_false(c->used);
    memset(c, 0, sizeof(*c));
    c->used = true;
    c->node = (uint32_t)(port - BROKER_BASE_PORT);
    c->ready_ns = n->now + n->latency_ns;
    broker_session_init(&c->session, &n->broker, c->node);
    n->connects++;
}

static void on_output(void *data, uint32_t number)
{
    (void)data, (void)number; /* network_step looks at all */
}

static void end_connection(struct network *n, struct network_connection *c, int reason)
{
    if (c->ending)
        return;
    c->ending = true;
    c->reason = reason;
    c->ready_ns = n->now + n->latency_ns;
}

static void on_close(void *data, uint32_t number)
{
    struct network *n = data;

    assert_true(n->connections[number].used);
    n->connections[number].ending = false;
    end_connection(n, &n->connections[number], ERR_CLOSED);
}

static void set_options(struct network *n, const char *const *options)
{
    struct flotilla_options *o = flotilla_options_create();
    char error[200];

    for (; options != NULL && *options != NULL; options += 2)
        if (flotilla_options_set(o, options[0], options[1], error, sizeof(error)) != 0)
            fail_msg("%s", error);
    client_settings_from(&n->settings, o);
    flotilla_options_destroy(o);
}

void network_init(struct network *n, uint32_t partitions, const char *const *options)
{
    struct core_io io = {.data = n, .connect = on_connect, .output = on_output, .close = on_close};

    memset(n, 0, sizeof(*n));
    n->now = 1000 * MS;
    n->latency_ns = MS / 10;
    broker_init(&n->broker, partitions);
    set_options(n, options);
    n->core = core_create(&n->settings, &io, 1, n->now);
    for (uint16_t i = 1; i <= BROKER_NODES; i++)
        core_add_bootstrap(n->core, "127.0.0.1", (uint16_t)(BROKER_BASE_PORT + i));
}

/* ---- producer and consumer ---- */

static void wake_producer(void *data)
{
    ((struct network *)data)->producer_woken = true;
}

static void wake_consumer(void *data)
{
    ((struct network *)data)->consumer_woken = true;
}

static uint64_t now_ns(void *data)
{
    return ((struct network *)data)->now;
}

void network_open_producer(struct network *n, flotilla_delivery_cb cb, void *data)
{
    struct accumulator_hooks hooks = {.data = n, .wake = wake_producer, .now_ns = now_ns};

    n->settings.block_ms = 0; /* nobody else runs while the test thread waits */
    n->accumulator = accumulator_create(&n->settings, &hooks, cb, data, 1);
    n->producer = core_producer_create(n->core, &n->settings, n->accumulator);
    struct accumulator_record record = {.topic = n->broker.topic, .partition = FLOTILLA_PARTITION_ANY};
    if (!n->broker.topic_exists)
        return;
    /* The first record of a topic only asks for it. */
    assert_int_equal(accumulator_append(n->accumulator, &record), ERR_OVERLOADED);
    network_run(n, 50 * MS);
}

void network_close_producer(struct network *n)
{
    core_producer_destroy(n->producer);
    accumulator_poll(n->accumulator, 0);
    accumulator_destroy(n->accumulator);
    n->producer = NULL;
}

int network_produce(struct network *n, int32_t partition, int number)
{
    char value[16];
    struct accumulator_record record = {
        .topic = n->broker.topic,
        .partition = partition,
        .timestamp_ms = 1000,
        .value = value,
        .value_size = (size_t)sprintf(value, "%d", number),
        .opaque = (void *)(intptr_t)number,
    };

    return accumulator_append(n->accumulator, &record);
}

void network_open_consumer(struct network *n)
{
    struct inbox_hooks hooks = {.data = n, .wake = wake_consumer};

    n->inbox = inbox_create(&hooks);
    n->consumer = core_consumer_create(n->core, &n->settings, n->inbox);
}

void network_close_consumer(struct network *n)
{
    core_consumer_destroy(n->consumer);
    inbox_destroy(n->inbox);
    n->consumer = NULL;
}

void network_close(struct network *n)
{
    if (n->consumer != NULL)
        network_close_consumer(n);
    if (n->producer != NULL)
        network_close_producer(n);
    core_stop(n->core);
    core_destroy(n->core);
    for (int i = 0; i < CORE_MAX_CONNECTIONS; i++)
        if (n->connections[i].used)
            broker_session_close(&n->connections[i].session);
    broker_close(&n->broker);
}

/* ---- time and bytes ---- */

static bool collect_output(struct network *n, uint32_t number)
{
    struct network_connection *c = &n->connections[number];
    struct core_slice slices[8];
    size_t count;
    bool any = false;

    while (c->connected && !c->ending && (count = core_output(n->core, number, slices, 8)) > 0) {
        size_t size = 0;
        any = true;
        for (size_t i = 0; i < count; i++) {
            if (n->frozen[c->node]) /* its kernel still takes bytes */
                bytes_append(&c->session.input, slices[i].data, slices[i].size);
            else
                broker_session_input(&c->session, slices[i].data, slices[i].size);
            size += slices[i].size;
        }
        core_sent(n->core, number, size);
    }
    if (c->session.cut)
        end_connection(n, c, ERR_CONNECTION_LOST);
    if (any)
        c->deliver_ns = n->now + n->latency_ns;
    return any;
}

static void finish_connecting(struct network *n, uint32_t number)
{
    struct network_connection *c = &n->connections[number];

    c->ready_ns = UINT64_MAX;
    if (n->down[c->node]) {
        end_connection(n, c, ERR_CONNECTION_REFUSED);
        return;
    }
    c->connected = true;
    core_connected(n->core, number);
}

static void finish_ending(struct network *n, uint32_t number)
{
    struct network_connection *c = &n->connections[number];
    int reason = c->reason;

    broker_session_close(&c->session);
    c->used = false;
    c->connected = false;
    n->last_reason = reason;
    core_disconnected(n->core, number, reason);
}

static void deliver(struct network *n, uint32_t number)
{
    struct network_connection *c = &n->connections[number];
    struct bytes *out = &c->session.output;
    size_t at = 0;

    while (at < out->size && c->used && !c->ending) {
        unsigned char *data;
        size_t size;
        core_receive_buffer(n->core, number, &data, &size);
        size = size < out->size - at ? size : out->size - at;
        memcpy(data, out->data + at, size);
        at += size;
        core_received(n->core, number, size);
    }
    bytes_clear(out);
}

static void step_connection(struct network *n, uint32_t number)
{
    struct network_connection *c = &n->connections[number];

    if (c->used && c->ready_ns <= n->now) {
        if (c->ending)
            finish_ending(n, number);
        else
            finish_connecting(n, number);
    }
    if (!c->used || !c->connected || c->ending || n->frozen[c->node])
        return;
    broker_session_input(&c->session, NULL, 0);
    if (c->session.cut)
        end_connection(n, c, ERR_CONNECTION_LOST);
    if (c->session.output.size > 0 && c->deliver_ns <= n->now)
        deliver(n, number);
}

static uint64_t next_event(const struct network *n)
{
    uint64_t next = core_deadline(n->core);

    if (n->producer_woken || n->consumer_woken)
        return n->now;
    for (int i = 0; i < CORE_MAX_CONNECTIONS; i++) {
        const struct network_connection *c = &n->connections[i];
        if (c->used && (c->ending || !c->connected) && c->ready_ns < next)
            next = c->ready_ns;
        if (c->used && c->connected && !c->ending && c->session.output.size > 0 && !n->frozen[c->node] &&
            c->deliver_ns < next)
            next = c->deliver_ns;
    }
    return next;
}

static void collect_all_output(struct network *n)
{
    for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++)
        if (n->connections[i].used)
            collect_output(n, i);
}

void network_step(struct network *n, uint64_t until_ns)
{
    collect_all_output(n); /* of what the test itself asked for */
    uint64_t next = next_event(n);

    if (next > until_ns)
        next = until_ns;
    if (next > n->now)
        n->now = next;
    core_advance(n->core, n->now);
    if (n->producer_woken && n->producer != NULL) {
        n->producer_woken = false;
        core_producer_wake(n->producer);
    }
    if (n->consumer_woken && n->consumer != NULL) {
        n->consumer_woken = false;
        core_consumer_wake(n->consumer);
    }
    for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++)
        if (n->connections[i].used)
            step_connection(n, i);
    collect_all_output(n);
}

void network_run(struct network *n, uint64_t duration_ns)
{
    uint64_t until = n->now + duration_ns;

    while (n->now < until)
        network_step(n, until);
    network_step(n, until);
}

void network_run_until(struct network *n, bool (*done)(struct network *n, void *data), void *data,
                       uint64_t limit_ns)
{
    uint64_t until = n->now + limit_ns;

    while (!done(n, data)) {
        if (n->now >= until)
            fail_msg("not done after %llu simulated ms", (unsigned long long)(limit_ns / MS));
        network_step(n, until < n->now + MS ? until : n->now + MS);
    }
}

void network_cut(struct network *n, uint32_t node)
{
    for (int i = 0; i < CORE_MAX_CONNECTIONS; i++)
        if (n->connections[i].used && n->connections[i].connected && n->connections[i].node == node)
            end_connection(n, &n->connections[i], ERR_CONNECTION_LOST);
}

void network_kill(struct network *n, uint32_t node)
{
    n->down[node] = true;
    network_cut(n, node);
}

bool network_inject(struct network *n, const void *data, size_t size)
{
    for (int i = 0; i < CORE_MAX_CONNECTIONS; i++) {
        struct network_connection *c = &n->connections[i];
        if (!c->used || !c->connected || c->ending)
            continue;
        bytes_append(&c->session.output, data, size);
        c->deliver_ns = n->now;
        return true;
    }
    return false;
}
