/* The public consumer: subscriptions, polling, commits. Batches are in consumer_batch.c. */
#include "client/client_internal.h"
#include "client/inbox.h"

enum { CLOSE_COMMIT_MS = 3000, ASYNC_COMMIT_MS = 60000 };

struct flotilla_consumer {
    struct flotilla_client *client;
    struct client_settings settings;
    struct inbox *inbox;
    struct core_consumer *core; /* on the background thread */
    struct driver_source source;
    atomic_ullong next_commit_ns;
};

static void wake(void *data)
{
    struct flotilla_consumer *consumer = data;

    driver_wake(consumer->client->driver, &consumer->source);
}

static void on_woken(void *data)
{
    struct flotilla_consumer *consumer = data;

    core_consumer_wake(consumer->core);
}

static void start(struct core *core, void *data)
{
    struct flotilla_consumer *consumer = data;

    consumer->core = core_consumer_create(core, &consumer->settings, consumer->inbox);
}

static void stop(struct core *core, void *data)
{
    struct flotilla_consumer *consumer = data;

    (void)core;
    driver_forget(consumer->client->driver, &consumer->source);
    core_consumer_destroy(consumer->core);
}

int flotilla_consumer_create(struct flotilla_consumer **out, struct flotilla_client *client,
                             const struct flotilla_options *options, char *error, size_t error_size)
{
    struct flotilla_consumer *consumer = calloc(1, sizeof(*consumer));
    struct inbox_hooks hooks = {.data = consumer, .wake = wake};

    *out = NULL;
    if (consumer == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    consumer->client = client;
    consumer->settings = client->settings;
    if (options != NULL)
        client_settings_from(&consumer->settings, options);
    consumer->source.run = on_woken;
    consumer->source.data = consumer;
    consumer->inbox = inbox_create(&hooks);
    driver_call(client->driver, start, consumer);
    *out = consumer;
    return client_error(error, error_size, 0, "%s", "");
}

static bool commits_by_itself(const struct flotilla_consumer *consumer)
{
    return consumer->settings.group[0] != '\0' && consumer->settings.commit_interval_ms > 0;
}

void flotilla_consumer_destroy(struct flotilla_consumer *consumer)
{
    if (consumer == NULL)
        return;
    if (commits_by_itself(consumer) && inbox_has_finished(consumer->inbox))
        flotilla_consumer_commit(consumer, CLOSE_COMMIT_MS, NULL, 0);
    driver_call(consumer->client->driver, stop, consumer);
    inbox_destroy(consumer->inbox);
    free(consumer);
}

/* ---- subscriptions ---- */

struct subscription {
    struct flotilla_consumer *consumer;
    const char *topic;
    int32_t partition;
    enum flotilla_start start;
    int64_t value;
};

static void subscribe(struct core *core, void *data)
{
    const struct subscription *s = data;

    (void)core;
    core_consumer_subscribe(s->consumer->core, s->topic, s->partition, s->start, s->value);
}

static void unsubscribe(struct core *core, void *data)
{
    const struct subscription *s = data;

    (void)core;
    core_consumer_unsubscribe(s->consumer->core, s->topic, s->partition);
}

int flotilla_consumer_subscribe(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                                enum flotilla_start start_at, int64_t value, char *error, size_t error_size)
{
    struct subscription s = {consumer, topic, partition, start_at, value};
    int rc = client_check_topic(topic, error, error_size);

    if (rc != 0)
        return rc;
    if (partition < FLOTILLA_PARTITION_ALL)
        return client_error(error, error_size, ERR_UNKNOWN_PARTITION, "%s has no partition %d", topic,
                            partition);
    if ((start_at == FLOTILLA_START_OFFSET || start_at == FLOTILLA_START_TIME) && value < 0)
        return client_error(error, error_size, ERR_INVALID_ARGUMENT, "%s: a negative start", topic);
    if (start_at == FLOTILLA_START_COMMITTED && consumer->settings.group[0] == '\0')
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "%s: to begin at the committed offset, set group", topic);
    driver_call(consumer->client->driver, subscribe, &s);
    return client_error(error, error_size, 0, "%s", "");
}

int flotilla_consumer_unsubscribe(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    struct subscription s = {.consumer = consumer, .topic = topic, .partition = partition};
    int rc = client_check_topic(topic, NULL, 0);

    if (rc == 0)
        driver_call(consumer->client->driver, unsubscribe, &s);
    return rc;
}

int flotilla_consumer_pause(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    return inbox_pause(consumer->inbox, topic, partition, true) ? 0 : ERR_NOT_FOUND;
}

int flotilla_consumer_resume(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    return inbox_pause(consumer->inbox, topic, partition, false) ? 0 : ERR_NOT_FOUND;
}

/* ---- polling ---- */

/* Commits what is finished when it is time; returns how many ms until it is time again, -1: never. */
static int commit_when_due(struct flotilla_consumer *consumer)
{
    unsigned long long now = client_now_ns();
    unsigned long long next = atomic_load(&consumer->next_commit_ns);
    unsigned long long interval = (unsigned long long)consumer->settings.commit_interval_ms * 1000000;

    if (!commits_by_itself(consumer))
        return -1;
    if (now < next)
        return (int)((next - now) / 1000000) + 1;
    if (atomic_compare_exchange_strong(&consumer->next_commit_ns, &next, now + interval) && next != 0 &&
        inbox_has_finished(consumer->inbox))
        flotilla_consumer_commit_async(consumer, NULL, NULL);
    return (int)consumer->settings.commit_interval_ms;
}

struct flotilla_batch *flotilla_consumer_poll(struct flotilla_consumer *consumer, int timeout_ms)
{
    uint64_t end = client_now_ns() + client_timeout_ns(timeout_ms);
    struct flotilla_batch *batch;

    for (;;) {
        int until_commit = commit_when_due(consumer);
        uint64_t now = client_now_ns();
        int left = now < end ? (int)((end - now + 999999) / 1000000) : 0;
        bool is_last = until_commit < 0 || until_commit >= left;
        batch = inbox_poll(consumer->inbox, is_last ? left : until_commit);
        if (batch != NULL || (is_last && timeout_ms >= 0))
            return batch;
    }
}

/* ---- commits ---- */

static void start_commit(struct core *core, void *data)
{
    struct core_commit *commit = data;

    (void)core;
    core_consumer_commit(commit->consumer, commit);
}

static void on_commit_end(void *data, int status, const char *message)
{
    client_waiter_done(data, status, message);
}

static int check_group(const struct flotilla_consumer *consumer, char *error, size_t error_size)
{
    if (consumer->settings.group[0] == '\0')
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "to commit offsets, set the option group");
    return 0;
}

static int commit_and_wait(struct flotilla_consumer *consumer, struct core_commit *commit, int timeout_ms,
                           char *error, size_t error_size)
{
    struct client_waiter waiter;

    if (driver_is_own_thread(consumer->client->driver))
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "a callback must not wait for the cluster");
    client_waiter_init(&waiter);
    commit->consumer = consumer->core;
    commit->timeout_ns = client_timeout_ns(timeout_ms);
    commit->cb = on_commit_end;
    commit->data = &waiter;
    driver_call(consumer->client->driver, start_commit, commit);
    int rc = client_waiter_wait(&waiter, error, error_size);
    client_waiter_close(&waiter);
    return rc;
}

int flotilla_consumer_commit(struct flotilla_consumer *consumer, int timeout_ms, char *error,
                             size_t error_size)
{
    struct core_commit commit = {0};
    int rc = check_group(consumer, error, error_size);

    return rc != 0 ? rc : commit_and_wait(consumer, &commit, timeout_ms, error, error_size);
}

int flotilla_consumer_commit_offset(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                                    int64_t offset, int timeout_ms, char *error, size_t error_size)
{
    struct core_commit commit = {.partition = partition, .offset = offset};
    int rc = check_group(consumer, error, error_size);

    if (rc == 0)
        rc = client_check_topic(topic, error, error_size);
    if (rc == 0 && (partition < 0 || offset < 0))
        rc = client_error(error, error_size, ERR_INVALID_ARGUMENT, "%s: a negative partition or offset",
                          topic);
    if (rc != 0)
        return rc;
    snprintf(commit.topic, sizeof(commit.topic), "%s", topic);
    return commit_and_wait(consumer, &commit, timeout_ms, error, error_size);
}

struct async_commit {
    struct core_commit commit;
    flotilla_commit_cb cb;
    void *data;
};

static void on_async_end(void *data, int status, const char *message)
{
    struct async_commit *async = data;

    if (async->cb != NULL)
        async->cb(async->data, status, message);
    free(async);
}

static void start_async(struct core *core, void *data)
{
    struct async_commit *async = data;

    (void)core;
    core_consumer_commit(async->commit.consumer, &async->commit);
}

int flotilla_consumer_commit_async(struct flotilla_consumer *consumer, flotilla_commit_cb cb, void *data)
{
    int rc = check_group(consumer, NULL, 0);
    struct async_commit *async = rc == 0 ? calloc(1, sizeof(*async)) : NULL;

    if (async == NULL)
        return rc != 0 ? rc : ERR_OUT_OF_MEMORY;
    async->cb = cb;
    async->data = data;
    async->commit.consumer = consumer->core;
    async->commit.timeout_ns = client_timeout_ns(ASYNC_COMMIT_MS);
    async->commit.cb = on_async_end;
    async->commit.data = async;
    driver_post(consumer->client->driver, start_async, async);
    return 0;
}

/* ---- progress ---- */

static struct inbox_progress progress_of(struct flotilla_consumer *consumer, const char *topic,
                                         int32_t partition)
{
    struct inbox_progress progress = {-1, -1, -1};

    inbox_progress(consumer->inbox, topic, partition, &progress);
    return progress;
}

int64_t flotilla_consumer_position(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    return progress_of(consumer, topic, partition).position;
}

int64_t flotilla_consumer_high_watermark(struct flotilla_consumer *consumer, const char *topic,
                                         int32_t partition)
{
    return progress_of(consumer, topic, partition).high_watermark;
}

int64_t flotilla_consumer_lag(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    struct inbox_progress progress = progress_of(consumer, topic, partition);

    if (progress.position < 0 || progress.high_watermark < 0)
        return -1;
    return progress.high_watermark > progress.position ? progress.high_watermark - progress.position : 0;
}

int64_t flotilla_consumer_committed(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    return progress_of(consumer, topic, partition).committed;
}
