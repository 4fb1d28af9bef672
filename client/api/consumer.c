/* The public consumer: subscriptions and polling. */
#include "client/api/consumer.h"

enum { CLOSE_MS = 3000, COMMIT_FIRST_MS = 1000 };

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
    int forked = client_check_process(client, error, error_size);
    if (forked != 0) {
        free(consumer);
        return forked;
    }
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

void flotilla_consumer_destroy(struct flotilla_consumer *consumer)
{
    if (consumer == NULL || client_check_process(consumer->client, NULL, 0) != 0)
        return;
    flotilla_batch_release(atomic_exchange(&consumer->waiting, NULL));
    if (atomic_load(&consumer->is_member))
        consumer_leave(consumer, consumer->settings.instance_id[0] != '\0', CLOSE_MS, NULL, 0);
    else if (client_settings_commit_by_themselves(&consumer->settings) && inbox_has_finished(consumer->inbox))
        flotilla_consumer_commit(consumer, CLOSE_MS, NULL, 0);
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
    bool found;
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

static int check_start(const struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                       enum flotilla_start start_at, int64_t value, char *error, size_t error_size)
{
    int rc = client_check_process(consumer->client, error, error_size);

    if (rc == 0)
        rc = client_check_topic(topic, error, error_size);

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
    return 0;
}

static int check_alone(const struct flotilla_consumer *consumer, char *error, size_t error_size)
{
    if (!atomic_load(&consumer->is_member))
        return 0;
    return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                        "a member of a group reads what it is assigned: use flotilla_consumer_join, _seek");
}

int flotilla_consumer_subscribe(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                                enum flotilla_start start_at, int64_t value, char *error, size_t error_size)
{
    struct subscription s = {consumer, topic, partition, start_at, value, false};
    int rc = check_start(consumer, topic, partition, start_at, value, error, error_size);

    if (rc == 0)
        rc = check_alone(consumer, error, error_size);
    if (rc != 0)
        return rc;
    driver_call(consumer->client->driver, subscribe, &s);
    return client_error(error, error_size, 0, "%s", "");
}

static void seek(struct core *core, void *data)
{
    struct subscription *s = data;

    s->found = core_consumer_owns(s->consumer->core, s->topic, (uint32_t)s->partition);
    if (s->found)
        subscribe(core, s);
}

int flotilla_consumer_seek(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                           enum flotilla_start start_at, int64_t value, char *error, size_t error_size)
{
    struct subscription s = {consumer, topic, partition, start_at, value, false};
    int rc = check_start(consumer, topic, partition, start_at, value, error, error_size);

    if (rc != 0)
        return rc;
    if (partition >= 0)
        driver_call(consumer->client->driver, seek, &s);
    if (!s.found)
        return client_error(error, error_size, ERR_NOT_FOUND, "%s/%d is not being read here", topic,
                            partition);
    return client_error(error, error_size, 0, "%s", "");
}

int flotilla_consumer_unsubscribe(struct flotilla_consumer *consumer, const char *topic, int32_t partition)
{
    struct subscription s = {.consumer = consumer, .topic = topic, .partition = partition};
    int rc = client_check_process(consumer->client, NULL, 0);

    if (rc == 0)
        rc = client_check_topic(topic, NULL, 0);
    if (rc == 0)
        rc = check_alone(consumer, NULL, 0);
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

    if (!client_settings_commit_by_themselves(&consumer->settings))
        return -1;
    if (now < next)
        return (int)((next - now) / 1000000) + 1;
    if (atomic_compare_exchange_strong(&consumer->next_commit_ns, &next, now + interval) && next != 0 &&
        inbox_has_finished(consumer->inbox))
        flotilla_consumer_commit_async(consumer, NULL, NULL);
    return (int)consumer->settings.commit_interval_ms;
}

static int left_ms(uint64_t end)
{
    uint64_t now = client_now_ns();

    return now < end ? (int)((end - now + 999999) / 1000000) : 0;
}

/* Until `end`, or somewhat longer when there are things to tell; NULL: nothing came. */
static struct flotilla_batch *next_batch(struct flotilla_consumer *consumer, uint64_t end, bool forever)
{
    struct flotilla_batch *batch = atomic_exchange(&consumer->waiting, NULL);

    while (batch == NULL) {
        int until_commit = commit_when_due(consumer);
        int left = left_ms(end);
        bool is_last = until_commit < 0 || until_commit >= left;
        bool told = consumer_tell_rebalances(consumer, 0);
        batch = inbox_poll(consumer->inbox, is_last ? left : until_commit);
        if (batch == NULL && is_last && !forever && !told && !consumer_tell_rebalances(consumer, 0))
            break;
    }
    return batch;
}

/* With at-most-once. False: not now; it is kept for the next poll unless it belongs to another member by now.
 */
static bool is_committed_first(struct flotilla_consumer *consumer, struct flotilla_batch *batch, int wait_ms)
{
    if (consumer->settings.processing != AT_MOST_ONCE || consumer->settings.group[0] == '\0' ||
        batch->kind != FLOTILLA_BATCH_RECORDS)
        return true;
    int rc = flotilla_consumer_commit_offset(consumer, flotilla_batch_topic(batch),
                                             flotilla_batch_partition(batch), batch->next_offset, NULL,
                                             wait_ms > COMMIT_FIRST_MS ? wait_ms : COMMIT_FIRST_MS, NULL, 0);
    if (rc == 0)
        return true;
    if (rc == ERR_FENCED_MEMBER || rc == ERR_UNKNOWN_MEMBER ||
        (batch = atomic_exchange(&consumer->waiting, batch)) != NULL)
        flotilla_batch_release(batch);
    return false;
}

struct flotilla_batch *flotilla_consumer_poll(struct flotilla_consumer *consumer, int timeout_ms)
{
    uint64_t end = client_now_ns() + client_timeout_ns(timeout_ms);
    struct flotilla_batch *batch;

    if (client_check_process(consumer->client, NULL, 0) != 0)
        return NULL;
    do {
        batch = next_batch(consumer, end, timeout_ms < 0);
        if (batch == NULL || is_committed_first(consumer, batch, left_ms(end)))
            return batch;
    } while (timeout_ms < 0 || client_now_ns() < end);
    return NULL;
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

int flotilla_consumer_wait(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                           int64_t offset, int timeout_ms)
{
    return inbox_wait_finished(consumer->inbox, topic, partition, offset, timeout_ms) ? 0 : ERR_TIMED_OUT;
}

int flotilla_consumer_fd(struct flotilla_consumer *consumer)
{
    return inbox_fd(consumer->inbox);
}
