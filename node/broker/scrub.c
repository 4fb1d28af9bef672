#include "node/broker/scrub.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/broker/internal.h"
#include <stdlib.h>

enum { SCRUB_READ_BYTES = 512 * 1024, NS_PER_MS = 1000000, START_FRACTION = 10 };

static void on_timer(struct env_timer *timer);

static void scrub_wait(struct broker *b, uint64_t ns)
{
    env_timer_start(b->env, &b->scrub.timer, ns, on_timer);
}

/* ---- reading ---- */

static void next_partition(struct scrub *s)
{
    s->group_at++;
    s->next_index = 0;
}

static void on_read(struct log_range_req *read, int status)
{
    struct broker *b = read->data;
    struct scrub *s = &b->scrub;
    struct partition *p = s->partition;
    size_t size = status == 0 ? read->bytes.size : 0;

    s->partition = NULL;
    if (status == 0)
        s->next_index = read->last_index + 1;
    else if (status != ERR_NOT_FOUND) /* which is retention, and faster */
        next_partition(s);
    slice_unref(&read->bytes);
    s->bytes += size;
    governor_spent(broker_governor(b), size);
    scrub_wait(b, (uint64_t)size * 1000 * NS_PER_MS / b->options.scrub_bytes_per_s);
    partition_unref(p);
}

/* Begins a read of what is on disk from next_index on. False: there is nothing. */
static bool read_some(struct broker *b, struct partition *p)
{
    struct scrub *s = &b->scrub;
    struct log *log = group_log(p->group);
    uint64_t first = log_first_index(log);
    uint64_t from = s->next_index > first ? s->next_index : first;
    uint64_t durable = log_durable_index(log);

    if (s->next_index == 0 || s->last_index > durable)
        s->last_index = durable;
    s->read.data = b;
    if (from > s->last_index ||
        log_read_range(log, &s->read, from, s->last_index,
                       governor_piece(broker_governor(b), SCRUB_READ_BYTES, 0), on_read) != 0)
        return false;
    partition_ref(p);
    s->partition = p;
    return true;
}

/* ---- passes ---- */

static void note_group(void *data, struct partition *p)
{
    struct scrub *s = data;
    s->groups = memory_realloc(s->groups, (s->group_count + 1) * sizeof *s->groups);
    s->groups[s->group_count++] = p->group_id;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void begin_pass(struct broker *b)
{
    struct scrub *s = &b->scrub;
    s->group_count = 0;
    s->group_at = 0;
    s->next_index = 0;
    s->is_under_way = true;
    s->pass_began_ns = env_now_ns(b->env);
    broker_each_partition(b, note_group, s);
    if (s->group_count > 0)
        qsort(s->groups, s->group_count, sizeof *s->groups, by_id);
}

static void end_pass(struct broker *b)
{
    struct scrub *s = &b->scrub;
    uint64_t interval = b->options.scrub_interval_ms * NS_PER_MS;
    uint64_t took = env_now_ns(b->env) - s->pass_began_ns;

    s->passes++;
    s->is_under_way = false;
    LOG(b->options.logger, LOG_DEBUG, "everything stored was read and checked", "partitions=%zu took_ms=%llu",
        s->group_count, (unsigned long long)(took / NS_PER_MS));
    scrub_wait(b, took < interval ? interval - took : 0);
}

/* Reads a piece, of the partition that is next. False: there is none. */
static bool go_on(struct broker *b)
{
    struct scrub *s = &b->scrub;

    if (!s->is_under_way)
        begin_pass(b);
    for (; s->group_at < s->group_count; next_partition(s)) {
        struct partition *p = broker_partition(b, s->groups[s->group_at]);
        if (p != NULL && read_some(b, p))
            return true;
    }
    return false;
}

static void on_turn(struct governor_turn *turn)
{
    struct broker *b = container_of(turn, struct broker, scrub.turn);

    if (go_on(b))
        return;
    governor_spent(broker_governor(b), 0);
    end_pass(b);
}

static void on_timer(struct env_timer *timer)
{
    struct broker *b = container_of(timer, struct broker, scrub.timer);

    if (governor_take(broker_governor(b), &b->scrub.turn, on_turn))
        on_turn(&b->scrub.turn);
}

void scrub_start(struct broker *b)
{
    governor_turn_init(&b->scrub.turn);
    if (b->options.scrub_interval_ms > 0)
        scrub_wait(b, b->options.scrub_interval_ms * NS_PER_MS / START_FRACTION);
}

void scrub_stop(struct broker *b)
{
    ASSERT(b->scrub.partition == NULL);
    env_timer_stop(b->env, &b->scrub.timer);
    governor_withdraw(broker_governor(b), &b->scrub.turn);
    free(b->scrub.groups);
}
