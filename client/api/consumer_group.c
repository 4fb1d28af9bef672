/* The public consumer as a member of a group. */
#include "client/api/consumer.h"

enum { TELL_MS = 5, ARENA_NAMES = 16 };

/* ---- rebalances ---- */

static void tell(struct flotilla_consumer *consumer, const struct inbox_rebalance *r)
{
    struct flotilla_partition *partitions = core_alloc((r->count + 1) * sizeof(*partitions));
    const struct flotilla_partition **pointers = core_alloc((r->count + 1) * sizeof(*pointers));

    for (size_t i = 0; i < r->count; i++) {
        partitions[i].topic = inbox_partition_topic(r->partitions[i]);
        partitions[i].partition = inbox_partition_index(r->partitions[i]);
        pointers[i] = &partitions[i];
    }
    consumer->rebalance_cb(consumer->rebalance_data, consumer, r->event, pointers, r->count);
    free(pointers);
    free(partitions);
}

bool consumer_tell_rebalances(struct flotilla_consumer *consumer, int timeout_ms)
{
    struct inbox_rebalance *r;
    bool any = false;

    if (consumer->rebalance_cb == NULL)
        return false;
    while ((r = inbox_take_rebalance(consumer->inbox, any ? 0 : timeout_ms)) != NULL) {
        tell(consumer, r);
        inbox_end_rebalance(consumer->inbox, r);
        any = true;
    }
    return any;
}

/* ---- joining ---- */

struct join {
    struct flotilla_consumer *consumer;
    struct core_join join;
};

static void start_join(struct core *core, void *data)
{
    struct join *j = data;

    (void)core;
    core_consumer_join(j->consumer->core, &j->join);
}

static int check_join(const struct flotilla_consumer *consumer, const struct core_join *join, char *error,
                      size_t error_size)
{
    int rc = consumer_check_group(consumer, error, error_size);

    for (size_t i = 0; rc == 0 && i < join->topic_count; i++)
        rc = client_check_topic(join->topics[i], error, error_size);
    if (rc == 0 && join->topic_count == 0 && (join->pattern == NULL || join->pattern[0] == '\0'))
        rc = client_error(error, error_size, ERR_INVALID_ARGUMENT,
                          "to join a group, give topics or a pattern of topic names");
    return rc;
}

int flotilla_consumer_join(struct flotilla_consumer *consumer, const char *const *topics, size_t topic_count,
                           const char *pattern, flotilla_rebalance_cb cb, void *data, char *error,
                           size_t error_size)
{
    struct join j = {consumer, {topics, topic_count, pattern, cb != NULL}};
    int rc = check_join(consumer, &j.join, error, error_size);

    if (rc != 0)
        return rc;
    consumer->rebalance_cb = cb;
    consumer->rebalance_data = data;
    atomic_store(&consumer->is_member, true);
    driver_call(consumer->client->driver, start_join, &j);
    return client_error(error, error_size, 0, "%s", "");
}

/* ---- leaving ---- */

struct departure {
    struct flotilla_consumer *consumer;
    struct core_leave leave;
};

static void start_leave(struct core *core, void *data)
{
    struct departure *d = data;

    (void)core;
    core_consumer_leave(d->consumer->core, &d->leave);
}

static void on_left(void *data, int status, const char *message)
{
    client_waiter_done(data, status, message);
}

int consumer_leave(struct flotilla_consumer *consumer, bool keeps_place, int timeout_ms, char *error,
                   size_t error_size)
{
    struct client_waiter waiter;
    struct departure d = {consumer, {client_timeout_ns(timeout_ms), keeps_place, on_left, &waiter}};

    client_waiter_init(&waiter);
    driver_call(consumer->client->driver, start_leave, &d);
    while (consumer->rebalance_cb != NULL && !client_waiter_is_done(&waiter))
        consumer_tell_rebalances(consumer, TELL_MS);
    int rc = client_waiter_wait(&waiter, error, error_size);
    client_waiter_close(&waiter);
    consumer_tell_rebalances(consumer, 0);
    atomic_store(&consumer->is_member, false);
    return rc;
}

int flotilla_consumer_leave(struct flotilla_consumer *consumer, int timeout_ms, char *error,
                            size_t error_size)
{
    int forked = client_check_process(consumer->client, error, error_size);

    if (forked != 0)
        return forked;
    if (driver_is_own_thread(consumer->client->driver))
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "a callback must not wait for the cluster");
    return consumer_leave(consumer, false, timeout_ms, error, error_size);
}

/* ---- membership ---- */

struct membership {
    struct flotilla_consumer *consumer;
    struct flotilla_membership *result;
    struct flotilla_partition **partitions;
    size_t capacity;
};

static char *copy_into(void *result, const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(client_result_alloc(result, size), text, size);
}

static void add_partition(void *data, const char *topic, uint32_t partition)
{
    struct membership *m = data;
    size_t count = m->result->partition_count;

    if (count == m->capacity) {
        struct flotilla_partition **old = m->partitions;
        m->capacity = 2 * m->capacity + ARENA_NAMES;
        m->partitions = client_result_alloc(m->result, m->capacity * sizeof(*m->partitions));
        if (count > 0)
            memcpy(m->partitions, old, count * sizeof(*old));
    }
    struct flotilla_partition *p = client_result_alloc(m->result, sizeof(*p));
    p->topic = copy_into(m->result, topic);
    p->partition = (int32_t)partition;
    m->partitions[m->result->partition_count++] = p;
}

static void collect_membership(struct core *core, void *data)
{
    struct membership *m = data;
    struct core_membership of = {.partition = add_partition, .data = m};

    (void)core;
    core_consumer_membership(m->consumer->core, &of);
    m->result->member_id = copy_into(m->result, of.member_id);
    m->result->epoch = of.epoch;
    m->result->is_stable = of.is_stable;
    m->result->partitions = (const struct flotilla_partition *const *)m->partitions;
}

int flotilla_consumer_membership(struct flotilla_consumer *consumer, const struct flotilla_membership **out)
{
    struct membership m = {.consumer = consumer};
    int forked = client_check_process(consumer->client, NULL, 0);

    *out = NULL;
    if (forked != 0)
        return forked;
    *out = m.result = client_result_create(sizeof(struct flotilla_membership));
    if (m.result == NULL)
        return ERR_OUT_OF_MEMORY;
    driver_call(consumer->client->driver, collect_membership, &m);
    return 0;
}
