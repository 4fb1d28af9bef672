#include "tests/sim/producer.h"
#include "client/core/producer/accumulator.h"
#include "node/base/memory.h"

enum { MS = 1000000 };

struct sim_producer {
    struct sim_client *client;
    struct history *history;
    struct sim_producer_options options;
    struct client_settings settings;
    struct accumulator *accumulator;
    struct core_producer *core;
    struct env_timer timer;
    unsigned number;
    bool woken;
    bool paused;
    bool broken;
};

static void wake(void *data)
{
    struct sim_producer *p = data;
    p->woken = true;
    client_wake(p->client);
}

static uint64_t now_ns(void *data)
{
    return env_now_ns(((struct sim_producer *)data)->client->env);
}

static void on_turn(void *data)
{
    struct sim_producer *p = data;
    if (p->woken) {
        p->woken = false;
        core_producer_wake(p->core);
    }
    accumulator_poll(p->accumulator, 0);
}

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct sim_producer *p = data;
    uint32_t sequence = (uint32_t)((uintptr_t)d->opaque - 1);
    history_delivered(p->history, p->number, sequence, d->status, d->offset);
}

static bool produce_one(struct sim_producer *p)
{
    unsigned char value[HISTORY_VALUE_MAX];
    char topic[16];
    size_t limit = client_random(p->client, 300) == 0 ? 16 * 1024 : p->options.value_bytes;
    unsigned partition = (unsigned)client_random(p->client, p->options.partitions);
    history_topic_name(p->options.topic, topic);
    size_t size = history_next_value(p->history, p->number, client_random(p->client, limit), value);
    int64_t now_ms = env_wall_ms(p->client->env);
    uint32_t sequence = history_sent(p->history, p->number, p->options.topic, partition, now_ms);
    const struct accumulator_record record = {.topic = topic,
                                              .partition = (int32_t)partition,
                                              .timestamp_ms = now_ms,
                                              .value = value,
                                              .value_size = size,
                                              .opaque = (void *)(uintptr_t)(sequence + 1)};
    int rv = accumulator_append(p->accumulator, &record);
    if (rv == 0)
        return true;
    history_delivered(p->history, p->number, sequence, rv, -1);
    if (error_class_of(rv) == ERROR_FATAL || error_class_of(rv) == ERROR_FENCED)
        p->broken = true;
    return false;
}

static void on_timer(struct env_timer *timer)
{
    struct sim_producer *p = container_of(timer, struct sim_producer, timer);
    if (p->paused)
        return;
    uint64_t n = 1 + client_random(p->client, p->options.burst);
    while (n > 0 && produce_one(p))
        n--;
    env_timer_start(p->client->env, &p->timer, client_random(p->client, 2 * p->options.pause_ns) + 1,
                    on_timer);
    client_wake(p->client);
}

struct sim_producer *producer_create(struct sim_client *client, struct history *history,
                                     const struct sim_producer_options *options)
{
    struct sim_producer *p = memory_zalloc(sizeof(*p));
    const struct accumulator_hooks hooks = {.data = p, .wake = wake, .now_ns = now_ns};
    p->client = client;
    p->history = history;
    p->options = *options;
    p->settings = client->settings;
    p->settings.acks = options->acks < 0    ? ACKS_OPTION_ALL
                       : options->acks == 0 ? ACKS_OPTION_NONE
                                            : ACKS_OPTION_LEADER;
    p->settings.idempotence = options->idempotent;
    p->settings.block_ms = 0; /* nobody else runs while an application waits */
    p->number = history_add_producer(history, options->acks, options->idempotent);
    p->accumulator =
        accumulator_create(&p->settings, &hooks, on_delivery, p, client_random(client, UINT64_MAX));
    client_advance(client);
    p->core = core_producer_create(client->core, &p->settings, p->accumulator);
    client_add_user(client, on_turn, p);
    env_timer_start(client->env, &p->timer, client_random(client, 10 * MS), on_timer);
    client_wake(client);
    return p;
}

const struct sim_producer_options *producer_options(const struct sim_producer *p)
{
    return &p->options;
}

void producer_pause(struct sim_producer *p)
{
    p->paused = true;
}

uint64_t producer_pending(const struct sim_producer *p)
{
    return accumulator_pending(p->accumulator);
}

bool producer_is_broken(const struct sim_producer *p)
{
    return p->broken;
}
