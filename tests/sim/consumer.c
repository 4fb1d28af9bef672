#include "tests/sim/consumer.h"
#include "client/core/consumer/inbox.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <inttypes.h>

enum { MS = 1000000, COMMIT_TIMEOUT_MS = 5000, BATCHES_AT_A_TIME = 16 };

struct sim_consumer {
    struct sim_client *client;
    struct history *history;
    struct consumer_group *group;
    struct client_settings settings;
    struct inbox *inbox;
    struct core_consumer *core;
    struct env_timer commit_timer;
    uint64_t commit_ns;
    unsigned topic;
    char name[48];
    bool woken;
    bool committing;
    int64_t expected[HISTORY_PARTITIONS];
    enum flotilla_start start;
    int64_t start_value;
    unsigned partitions;               /* of which start_value was chosen */
    int64_t floor[HISTORY_PARTITIONS]; /* acknowledged commits when it began, or the ends */
};

static void wake(void *data)
{
    struct sim_consumer *c = data;
    c->woken = true;
    client_wake(c->client);
}

static void subscribe(struct sim_consumer *c)
{
    char topic[16];
    history_topic_name(c->topic, topic);
    for (unsigned i = 0; i < HISTORY_PARTITIONS; i++) {
        c->expected[i] = -1;
        c->floor[i] = c->group != NULL ? c->group->partitions[i].acked : history_end(c->history, c->topic, i);
    }
    core_consumer_subscribe(c->core, topic, -1, c->start, c->start_value);
}

/* ---- records ---- */

static void check_group_start(struct sim_consumer *c, unsigned partition, int64_t offset)
{
    counters_add(c->history->counters, "group_resumed", offset > 0);
    if (offset < c->floor[partition])
        history_fail(c->history,
                     "group %s goes on at offset %" PRId64 " of topic%u/%u, but had committed %" PRId64,
                     c->group->name, offset, c->topic, partition, c->floor[partition]);
    if (offset > c->group->partitions[partition].read && c->topic != HISTORY_RETAINED)
        history_fail(c->history,
                     "group %s goes on at offset %" PRId64 " of topic%u/%u, but had read to %" PRId64,
                     c->group->name, offset, c->topic, partition, c->group->partitions[partition].read);
}

static void check_first(struct sim_consumer *c, unsigned partition, const struct flotilla_record *r)
{
    bool exact = c->topic != HISTORY_RETAINED;
    switch (c->start) {
    case FLOTILLA_START_COMMITTED:
        check_group_start(c, partition, r->offset);
        break;
    case FLOTILLA_START_BEGINNING:
    case FLOTILLA_START_OFFSET:
        exact = exact && (c->start == FLOTILLA_START_BEGINNING || partition < c->partitions);
        if (exact && r->offset != c->start_value)
            history_fail(c->history, "%s reads topic%u/%u from offset %" PRId64 " on, but begins at %" PRId64,
                         c->name, c->topic, partition, c->start_value, r->offset);
        break;
    case FLOTILLA_START_END:
        if (r->offset < c->floor[partition])
            history_fail(c->history,
                         "%s reads topic%u/%u from the end on, which was %" PRId64
                         " at least, but begins at %" PRId64,
                         c->name, c->topic, partition, c->floor[partition], r->offset);
        break;
    case FLOTILLA_START_TIME:
        /* Where nothing was that young, it begins at the end, and older ones may still come there. */
        if (r->timestamp_ms < c->start_value && r->offset < c->floor[partition])
            history_fail(c->history, "%s reads topic%u/%u from time %" PRId64 " on, but begins with %" PRId64,
                         c->name, c->topic, partition, c->start_value, r->timestamp_ms);
        if (exact)
            history_first_from_time(c->history, c->name, c->topic, partition, r->offset, c->start_value);
        break;
    default:
        break;
    }
}

static void take_record(struct sim_consumer *c, const struct flotilla_record *r)
{
    unsigned partition = (unsigned)r->partition;
    int64_t *expected = &c->expected[partition];
    bool may_skip = c->topic == HISTORY_RETAINED && r->offset > *expected;
    if (*expected < 0)
        check_first(c, partition, r);
    else if (r->offset != *expected && !may_skip)
        history_fail(c->history, "%s: offset %" PRId64 " of topic%u/%u comes where %" PRId64 " should",
                     c->name, r->offset, c->topic, partition, *expected);
    *expected = r->offset + 1;
    history_read(c->history, c->name, c->topic, partition, r->offset, r->value, r->value_size);
    if (c->group != NULL && c->group->partitions[partition].read < *expected)
        c->group->partitions[partition].read = *expected;
}

static void take_batch(struct sim_consumer *c, struct flotilla_batch *batch)
{
    const struct flotilla_record *r;
    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
        char name[COUNTER_NAME_SIZE];
        snprintf(name, sizeof(name), "consumer_error %s", error_name(flotilla_batch_status(batch)));
        counters_add(c->history->counters, name, 1);
        if (flotilla_batch_status(batch) == ERR_UNKNOWN_TOPIC)
            history_fail(c->history, "%s was told that topic%u does not exist", c->name, c->topic);
        flotilla_batch_release(batch);
        subscribe(c);
        return;
    }
    while ((r = flotilla_batch_next(batch)) != NULL)
        take_record(c, r);
    if (flotilla_batch_status(batch) != 0)
        history_fail(c->history, "%s got a damaged batch: %s", c->name, flotilla_batch_message(batch));
    flotilla_batch_release(batch);
}

static void on_turn(void *data)
{
    struct sim_consumer *c = data;
    struct flotilla_batch *batch = NULL;
    for (int i = 0; i < BATCHES_AT_A_TIME && (batch = inbox_poll(c->inbox, 0)) != NULL; i++)
        take_batch(c, batch);
    if (batch != NULL) /* more another time */
        client_wake(c->client);
    if (c->woken) {
        c->woken = false;
        core_consumer_wake(c->core);
    }
}

/* ---- commits ---- */

static void on_committed(void *data, int status, const char *message)
{
    struct sim_consumer *c = data;
    char topic[16];
    (void)message;
    c->committing = false;
    if (status != 0) {
        counters_add(c->history->counters, "commits_failed", 1);
        return;
    }
    counters_add(c->history->counters, "commits_acked", 1);
    history_topic_name(c->topic, topic);
    for (int32_t i = 0; i < HISTORY_PARTITIONS; i++) {
        struct inbox_progress progress;
        int64_t *acked = &c->group->partitions[i].acked;
        if (inbox_progress(c->inbox, topic, i, &progress) && progress.committed > *acked)
            *acked = progress.committed;
    }
}

static void on_commit_timer(struct env_timer *timer)
{
    struct sim_consumer *c = container_of(timer, struct sim_consumer, commit_timer);
    if (!c->committing && inbox_has_finished(c->inbox)) {
        const struct core_commit commit = {.consumer = c->core,
                                           .timeout_ns = COMMIT_TIMEOUT_MS * (uint64_t)MS,
                                           .cb = on_committed,
                                           .data = c};
        c->committing = true;
        client_advance(c->client);
        core_consumer_commit(c->core, &commit);
        client_wake(c->client);
    }
    env_timer_start(c->client->env, &c->commit_timer, 1 + client_random(c->client, 2 * c->commit_ns),
                    on_commit_timer);
}

/* ---- life ---- */

struct sim_consumer *consumer_create(struct sim_client *client, struct history *history,
                                     const struct sim_consumer_options *options)
{
    struct sim_consumer *c = memory_zalloc(sizeof(*c));
    const struct inbox_hooks hooks = {.data = c, .wake = wake};
    c->client = client;
    c->history = history;
    c->group = options->group;
    c->topic = options->topic;
    c->commit_ns = options->commit_ns;
    c->start = c->group != NULL ? FLOTILLA_START_COMMITTED : options->start;
    c->start_value = options->start_value;
    c->partitions = options->partitions;
    snprintf(c->name, sizeof(c->name), "%s", options->name);
    c->settings = client->settings;
    if (c->group != NULL)
        snprintf(c->settings.group, sizeof(c->settings.group), "%s", c->group->name);
    c->inbox = inbox_create(&hooks);
    client_advance(client);
    c->core = core_consumer_create(client->core, &c->settings, c->inbox);
    subscribe(c);
    client_add_user(client, on_turn, c);
    if (c->group != NULL)
        env_timer_start(client->env, &c->commit_timer, c->commit_ns, on_commit_timer);
    client_wake(client);
    return c;
}

int64_t consumer_position(const struct sim_consumer *c, unsigned partition)
{
    return c->expected[partition];
}
