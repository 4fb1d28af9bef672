/* The public consumer's commits. */
#include "client/api/consumer.h"

enum { ASYNC_COMMIT_MS = 60000 };

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

int consumer_check_group(const struct flotilla_consumer *consumer, char *error, size_t error_size)
{
    int forked = client_check_process(consumer->client, error, error_size);

    if (forked != 0)
        return forked;
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
    driver_post(consumer->client->driver, start_commit, commit); /* one wait, not two */
    int rc = client_waiter_wait(&waiter, error, error_size);
    client_waiter_close(&waiter);
    return rc;
}

int flotilla_consumer_commit(struct flotilla_consumer *consumer, int timeout_ms, char *error,
                             size_t error_size)
{
    struct core_commit commit = {0};
    int rc = consumer_check_group(consumer, error, error_size);

    if (rc != 0 || consumer->settings.processing == AT_MOST_ONCE) /* then it is done already */
        return rc;
    return commit_and_wait(consumer, &commit, timeout_ms, error, error_size);
}

int flotilla_consumer_commit_offset(struct flotilla_consumer *consumer, const char *topic, int32_t partition,
                                    int64_t offset, const char *metadata, int timeout_ms, char *error,
                                    size_t error_size)
{
    struct core_commit commit = {.partition = partition, .offset = offset};
    int rc = consumer_check_group(consumer, error, error_size);

    if (rc == 0)
        rc = client_check_topic(topic, error, error_size);
    if (rc == 0 && (partition < 0 || offset < 0))
        rc = client_error(error, error_size, ERR_INVALID_ARGUMENT, "%s: a negative partition or offset",
                          topic);
    if (rc == 0 && metadata != NULL && strlen(metadata) >= CORE_METADATA_SIZE)
        rc = client_error(error, error_size, ERR_TOO_LARGE, "%s: metadata of more than %d bytes", topic,
                          CORE_METADATA_SIZE - 1);
    if (rc != 0)
        return rc;
    snprintf(commit.topic, sizeof(commit.topic), "%s", topic);
    commit.metadata = metadata;
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
    int rc = consumer_check_group(consumer, NULL, 0);
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
