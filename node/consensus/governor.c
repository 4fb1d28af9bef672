#include "node/consensus/governor.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <string.h>

#define NS_PER_S ((uint64_t)1000000000)

/* A loop that comes late makes up for no more than this. */
static const uint64_t burst_ns = 2 * 1000000u;
/* Whoever waits for long is let go when the limit ends. */
static const uint64_t look_ns = 50 * 1000000u;
/* A turn costs something however little is done in it. */
enum { TURN_LEAST_BYTES = 8 * 1024 };

/* ---- metrics ---- */

static double read_limit(void *data)
{
    const struct governor *g = data;
    uint64_t rate = bulk_rate_now(&g->rate, env_now_ns(g->env));
    return rate == BULK_UNLIMITED ? 0 : (double)rate;
}

static void add_metrics(struct governor *g)
{
    metrics_add_counter(g->registry, &g->metrics[0], "flotilla_bulk_bytes_total",
                        "Old data read for consumers, other replicas and the scrubber", "", &g->bytes);
    metrics_add_histogram(g->registry, &g->metrics[1], "flotilla_bulk_wait_seconds",
                          "How long such a read gave way to what is being appended", "", &g->wait_ns);
    metrics_add_gauge(g->registry, &g->metrics[2], "flotilla_bulk_limit_bytes_per_second",
                      "What such reads may take now; 0: there is no limit, since nothing is being appended",
                      "", read_limit, g);
    metrics_add_counter(g->registry, &g->metrics[3], "flotilla_bulk_limit_lowered_total",
                        "Times that appends took too long, so that the limit was halved", "",
                        &g->rate.times_lowered);
}

void governor_init(struct governor *g, struct env *env, struct metrics *metrics)
{
    memset(g, 0, sizeof *g);
    g->env = env;
    g->registry = metrics;
    bulk_rate_init(&g->rate);
    queue_init(&g->waiting);
    if (metrics != NULL)
        add_metrics(g);
}

void governor_close(struct governor *g)
{
    ASSERT(queue_empty(&g->waiting));
    for (unsigned i = 0; g->registry != NULL && i < GOVERNOR_METRICS; i++)
        metrics_remove(&g->metrics[i]);
}

void governor_note_append(struct governor *g, uint64_t took_ns, size_t bytes)
{
    bulk_rate_note(&g->rate, env_now_ns(g->env), took_ns, bytes);
}

/* ---- when the next turn is due ---- */

static uint64_t cost_ns(const struct governor *g, size_t bytes)
{
    uint64_t rate = bulk_rate_now(&g->rate, env_now_ns(g->env));
    return rate == BULK_UNLIMITED ? 0 : bytes * NS_PER_S / rate;
}

size_t governor_piece(const struct governor *g, size_t bytes, uint64_t took_ns)
{
    uint64_t rate = bulk_rate_now(&g->rate, env_now_ns(g->env));
    if (rate == BULK_UNLIMITED)
        return bytes;
    double meanwhile = (double)rate * (double)took_ns / (double)NS_PER_S;
    double piece = meanwhile > GOVERNOR_PIECE_BYTES ? meanwhile : GOVERNOR_PIECE_BYTES;
    return piece < (double)bytes ? (size_t)piece : bytes;
}

/* Of a piece it is known only afterwards how large it was. */
static void begin_turn(struct governor *g)
{
    uint64_t now_ns = env_now_ns(g->env);
    uint64_t earliest = now_ns > burst_ns ? now_ns - burst_ns : 0;
    g->next_ns = (g->next_ns > earliest ? g->next_ns : earliest) + cost_ns(g, GOVERNOR_PIECE_BYTES);
}

static uint64_t due_in_ns(const struct governor *g)
{
    uint64_t now_ns = env_now_ns(g->env);
    bool limited = bulk_rate_now(&g->rate, now_ns) != BULK_UNLIMITED;
    return limited && g->next_ns > now_ns ? g->next_ns - now_ns : 0;
}

/* ---- turns ---- */

static void on_due(struct env_timer *timer);

static void schedule(struct governor *g)
{
    uint64_t due_ns = due_in_ns(g);
    if (queue_empty(&g->waiting))
        env_timer_stop(g->env, &g->timer);
    else
        env_timer_start(g->env, &g->timer, due_ns < look_ns ? due_ns : look_ns, on_due);
}

static void on_due(struct env_timer *timer)
{
    struct governor *g = container_of(timer, struct governor, timer);
    if (due_in_ns(g) == 0) {
        struct governor_turn *turn = QUEUE_ENTRY(queue_first(&g->waiting), struct governor_turn, node);
        queue_remove(&turn->node);
        histogram_record(&g->wait_ns, env_now_ns(g->env) - turn->asked_ns);
        begin_turn(g);
        turn->cb(turn);
    }
    schedule(g);
}

void governor_turn_init(struct governor_turn *turn)
{
    memset(turn, 0, sizeof *turn);
    queue_init(&turn->node);
}

static void wait_for(struct governor *g, struct governor_turn *turn, void (*cb)(struct governor_turn *turn))
{
    turn->cb = cb;
    turn->asked_ns = env_now_ns(g->env);
    if (!env_timer_running(&g->timer))
        schedule(g);
}

bool governor_take(struct governor *g, struct governor_turn *turn, void (*cb)(struct governor_turn *turn))
{
    if (queue_empty(&g->waiting) && due_in_ns(g) == 0) {
        begin_turn(g);
        return true;
    }
    queue_push(&g->waiting, &turn->node);
    wait_for(g, turn, cb);
    return false;
}

bool governor_take_first(struct governor *g, struct governor_turn *turn,
                         void (*cb)(struct governor_turn *turn))
{
    if (due_in_ns(g) == 0) {
        begin_turn(g);
        return true;
    }
    queue_push_front(&g->waiting, &turn->node);
    wait_for(g, turn, cb);
    return false;
}

void governor_withdraw(struct governor *g, struct governor_turn *turn)
{
    queue_remove(&turn->node);
    if (queue_empty(&g->waiting))
        env_timer_stop(g->env, &g->timer);
}

void governor_spent(struct governor *g, size_t bytes)
{
    uint64_t assumed_ns = cost_ns(g, GOVERNOR_PIECE_BYTES);
    uint64_t cost = cost_ns(g, bytes > TURN_LEAST_BYTES ? bytes : TURN_LEAST_BYTES);
    g->bytes += bytes;
    g->next_ns = g->next_ns > assumed_ns ? g->next_ns - assumed_ns + cost : cost;
    if (env_timer_running(&g->timer))
        schedule(g);
}
