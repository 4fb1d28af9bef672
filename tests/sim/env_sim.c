/* The simulated environment's heart: virtual time, the event heap, hosts and their processes. */
#include "tests/sim/env_sim.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "tests/sim/env_sim_internal.h"
#include <stdlib.h>
#include <string.h>

/* Every turn of a loop takes some time, so that a timer without delay that restarts itself cannot stop the
 * clock. */
static const uint64_t TURN_NS = 200;
/* A job of many syncs on a slow disk is not slow for longer: the disk may have been mended since it began. */
static const uint64_t JOB_MAX_NS = UINT64_C(10000000000);
static const uint64_t WALL_START_MS = UINT64_C(1767225600000); /* 2026-01-01 */

static const struct env_ops process_ops;

/* ---- hash and randomness ---- */

void sim_note(struct sim *sim, uint64_t value)
{
    uint64_t h = (sim->hash ^ value) * 0x9fb21c651e98df25u;
    sim->hash = h ^ (h >> 29);
}

static uint64_t word_at(const unsigned char *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return word;
}

/* Each step can be undone, so that no byte is lost. */
static uint64_t fold(uint64_t state, uint64_t word)
{
    uint64_t h = (state ^ word) * UINT64_C(0x9fb21c651e98df25);
    return h << 32 | h >> 32;
}

/* Most are short: a CRC that is unrolled for long ones would push a run's own code out of the cache. */
void sim_note_bytes(struct sim *sim, const void *data, size_t size)
{
    const unsigned char *at = data;
    unsigned char rest[16] = {0};
    uint64_t odd = size, even = 0;
    for (; size >= sizeof(rest); at += sizeof(rest), size -= sizeof(rest)) {
        even = fold(even, word_at(at));
        odd = fold(odd, word_at(at + 8));
    }
    memcpy(rest, at, size);
    sim_note(sim, fold(even, word_at(rest)));
    sim_note(sim, fold(odd, word_at(rest + 8)));
}

uint64_t sim_hash(const struct sim *sim)
{
    return sim->hash;
}

uint64_t sim_random(struct sim *sim, uint64_t bound)
{
    return prng_below(&sim->prng, bound);
}

uint64_t sim_random_between(struct sim *sim, uint64_t min, uint64_t max)
{
    return min + prng_below(&sim->prng, max - min + 1);
}

/* ---- the event heap ---- */

/* Without branches: which of two is the sooner nobody can predict. */
static bool before(const struct sim_due *a, const struct sim_due *b)
{
    bool same = a->at_ns == b->at_ns, sooner = a->at_ns < b->at_ns, older = a->sequence < b->sequence;
    return sooner | (same & older);
}

static void heap_push(struct sim *sim, struct sim_due due)
{
    if (sim->event_count == sim->event_capacity) {
        sim->event_capacity = sim->event_capacity == 0 ? 256 : 2 * sim->event_capacity;
        sim->events = memory_realloc(sim->events, sim->event_capacity * sizeof(*sim->events));
    }
    size_t i = sim->event_count++;
    for (; i > 0 && before(&due, &sim->events[(i - 1) / 2]); i = (i - 1) / 2)
        sim->events[i] = sim->events[(i - 1) / 2];
    sim->events[i] = due;
}

static struct sim_event *heap_pop(struct sim *sim)
{
    struct sim_event *first = sim->events[0].event;
    const struct sim_due last = sim->events[--sim->event_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= sim->event_count)
            break;
        if (child + 1 < sim->event_count)
            child += before(&sim->events[child + 1], &sim->events[child]);
        if (!before(&sim->events[child], &last))
            break;
        sim->events[i] = sim->events[child];
        i = child;
    }
    sim->events[i] = last;
    return first;
}

static void ring_grow(struct sim *sim)
{
    size_t capacity = sim->at_once.capacity == 0 ? 256 : 2 * sim->at_once.capacity;
    struct sim_due *ring = memory_alloc(capacity * sizeof(*ring));
    for (size_t i = 0; i < sim->at_once.count; i++)
        ring[i] = sim->at_once.ring[(sim->at_once.first + i) % sim->at_once.capacity];
    free(sim->at_once.ring);
    sim->at_once.ring = ring;
    sim->at_once.first = 0;
    sim->at_once.capacity = capacity;
}

static void ring_push(struct sim *sim, struct sim_due due)
{
    if (sim->at_once.count == sim->at_once.capacity)
        ring_grow(sim);
    sim->at_once.ring[(sim->at_once.first + sim->at_once.count++) & (sim->at_once.capacity - 1)] = due;
}

static struct sim_event *ring_pop(struct sim *sim)
{
    struct sim_event *first = sim->at_once.ring[sim->at_once.first].event;
    sim->at_once.first = (sim->at_once.first + 1) & (sim->at_once.capacity - 1);
    sim->at_once.count--;
    return first;
}

void sim_event_schedule(struct sim *sim, struct sim_event *event, uint64_t at_ns, struct sim_process *process,
                        void (*fire)(struct sim_event *event), void (*drop)(struct sim_event *event))
{
    const struct sim_due due = {at_ns, sim->next_sequence++, event};
    event->process = process;
    event->fire = fire;
    event->drop = drop;
    if (at_ns == sim->now_ns)
        ring_push(sim, due);
    else
        heap_push(sim, due);
}

static bool ring_is_next(const struct sim *sim)
{
    return sim->at_once.count > 0 &&
           (sim->event_count == 0 || before(&sim->at_once.ring[sim->at_once.first], &sim->events[0]));
}

/* UINT64_MAX: there is none. */
static uint64_t next_event_ns(const struct sim *sim)
{
    if (ring_is_next(sim))
        return sim->at_once.ring[sim->at_once.first].at_ns;
    return sim->event_count > 0 ? sim->events[0].at_ns : UINT64_MAX;
}

static struct sim_event *event_pop(struct sim *sim)
{
    return ring_is_next(sim) ? ring_pop(sim) : heap_pop(sim);
}

/* ---- running ---- */

uint64_t sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

static void turn_end(struct sim_process *p)
{
    p->host->sim->now_ns += TURN_NS;
    p->host->turns++;
    if (!p->dead)
        env_run_deferred(&p->env);
}

/* Tasks that the test itself has caused, or that were too many for one turn. */
static void run_deferred(struct sim *sim)
{
    for (unsigned i = 0; i < sim->host_count; i++) {
        struct sim_process *p = sim->hosts[i]->process;
        if (p != NULL && !p->frozen && env_has_deferred(&p->env))
            turn_end(p);
    }
}

enum { RATE_ONE = 1000000 };

static uint64_t local_ns(const struct sim_process *p)
{
    uint64_t passed_ns = p->host->sim->now_ns - p->clock.since_ns;
    if (p->clock.rate != RATE_ONE)
        passed_ns = passed_ns * p->clock.rate / RATE_ONE;
    return p->clock.local_ns + passed_ns;
}

/* When the process's clock will show `deadline_ns`. */
static uint64_t true_ns(const struct sim_process *p, uint64_t deadline_ns)
{
    if (deadline_ns <= p->clock.local_ns)
        return p->clock.since_ns;
    uint64_t left = deadline_ns - p->clock.local_ns;
    if (left > UINT64_MAX / RATE_ONE / 2)
        return UINT64_MAX; /* never, within a run */
    if (p->clock.rate != RATE_ONE)
        left = (left * RATE_ONE + p->clock.rate - 1) / p->clock.rate;
    return p->clock.since_ns + left;
}

static void find_soonest(struct sim *sim)
{
    unsigned first = 0;
    for (unsigned i = 1; i < sim->host_count; i++)
        if (sim->next.due_ns[i] < sim->next.due_ns[first])
            first = i;
    sim->next.soonest = first;
}

/* Most turns leave the host's soonest timer as it is, or as one that is not the soonest of all. */
static void set_due(struct sim *sim, unsigned host, uint64_t due_ns)
{
    uint64_t before_ns = sim->next.due_ns[host], first_ns = sim->next.due_ns[sim->next.soonest];
    if (due_ns == before_ns)
        return;
    sim->next.due_ns[host] = due_ns;
    if (host == sim->next.soonest ? due_ns > before_ns : due_ns <= first_ns)
        find_soonest(sim);
}

/* Looks again what the host's loop would do next. */
static void look_at(struct sim *sim, const struct sim_host *host)
{
    struct sim_process *p = host->process;
    bool runs = p != NULL && !p->frozen;
    bool has_timer = runs && p->env.timers.size > 0;
    set_due(sim, host->index, has_timer ? true_ns(p, timer_heap_next(&p->env.timers)) : UINT64_MAX);
    sim->next.deferred |= runs && env_has_deferred(&p->env);
}

static void look_at_all(struct sim *sim)
{
    sim->next.deferred = sim->next.stale = false;
    for (unsigned i = 0; i < sim->host_count; i++)
        look_at(sim, sim->hosts[i]);
}

/* The host whose loop it ran on; NULL: none. */
static struct sim_host *event_fire(struct sim *sim, struct sim_event *event)
{
    struct sim_process *p = event->process;
    if (p != NULL && p->dead) {
        event->drop(event);
        return NULL;
    }
    if (p != NULL && p->frozen) {
        queue_push(&p->held, &event->held);
        return NULL;
    }
    sim_note(sim, sim->now_ns);
    sim_note(sim, p == NULL ? SIM_MAX_HOSTS : p->host->index);
    event->fire(event);
    if (p == NULL)
        return NULL;
    turn_end(p);
    return p->host;
}

static void timers_fire(struct sim_process *p)
{
    sim_note(p->host->sim, p->host->sim->now_ns);
    sim_note(p->host->sim, p->host->index);
    timer_heap_run(&p->env.timers, local_ns(p));
    turn_end(p);
}

/* Lets the next thing happen, if it does by `limit_ns`. */
static bool step(struct sim *sim, uint64_t limit_ns)
{
    if (sim->next.stale)
        look_at_all(sim);
    if (sim->next.deferred) {
        run_deferred(sim);
        sim->next.stale = true;
        return true;
    }
    unsigned soonest_host = sim->next.soonest;
    uint64_t timer_ns = sim->next.due_ns[soonest_host];
    uint64_t event_ns = next_event_ns(sim);
    uint64_t at_ns = event_ns <= timer_ns ? event_ns : timer_ns;
    if (at_ns > limit_ns || at_ns == UINT64_MAX)
        return false;
    if (at_ns > sim->now_ns)
        sim->now_ns = at_ns;
    struct sim_host *host = sim->hosts[soonest_host];
    if (event_ns <= timer_ns)
        host = event_fire(sim, event_pop(sim));
    else
        timers_fire(host->process);
    if (host != NULL)
        look_at(sim, host);
    return true;
}

bool sim_run_until(struct sim *sim, uint64_t duration_ns, bool (*done)(void *data), void *data)
{
    uint64_t end_ns = sim->now_ns + duration_ns;
    sim->next.stale = true;
    do {
        if (done != NULL && done(data))
            return true;
        sim->next.stale |= done != NULL;
    } while (sim->now_ns <= end_ns && step(sim, end_ns));
    if (sim->now_ns < end_ns)
        sim->now_ns = end_ns;
    return false;
}

void sim_run_for(struct sim *sim, uint64_t duration_ns)
{
    sim_run_until(sim, duration_ns, NULL, NULL);
}

/* ---- what a process sees ---- */

static struct sim *sim_of(struct env *env)
{
    return sim_process_of(env)->host->sim;
}

static uint64_t now_ns(struct env *env)
{
    return local_ns(sim_process_of(env));
}

static int64_t wall_ms(struct env *env)
{
    return (int64_t)(WALL_START_MS + sim_of(env)->now_ns / 1000000) + sim_process_of(env)->host->wall_step_ms;
}

static uint64_t random_number(struct env *env)
{
    return prng_next(&sim_process_of(env)->prng);
}

static void random_bytes(struct env *env, void *out, size_t size)
{
    unsigned char *at = out;
    for (size_t i = 0; i < size; i++)
        at[i] = (unsigned char)random_number(env);
}

/* ---- worker jobs ---- */

struct sim_work {
    struct sim_event event;
    struct queue node; /* in process->works until it has run */
    struct sim_syncs syncs;
    struct sim_process *process;
    struct env_work *job;
};

static void work_drop(struct sim_event *event)
{
    struct sim_work *w = container_of(event, struct sim_work, event);
    queue_remove(&w->node);
    free(w);
}

static void work_done(struct sim_event *event)
{
    struct sim_work *w = container_of(event, struct sim_work, event);
    struct env_work *job = w->job;
    w->process->works_pending--;
    sim_syncs_close(&w->syncs, w->syncs.count);
    free(w);
    job->done(job);
}

/* The job runs as a whole at one moment; what it waited for the disk delays the end that the loop sees, and
 * its syncs until then. */
static void work_run(struct sim_event *event)
{
    struct sim_work *w = container_of(event, struct sim_work, event);
    struct sim_process *p = w->process;
    struct sim *sim = p->host->sim;
    queue_remove(&w->node);
    p->job_cost_ns = 0;
    p->job_syncs = &w->syncs;
    queue_push(&p->syncing, &w->syncs.node);
    w->job->work(w->job);
    p->job_syncs = NULL;
    sim_syncs_end(&w->syncs);
    uint64_t wake_ns = sim_random_between(sim, 2000, 10000);
    uint64_t cost_ns = p->job_cost_ns < JOB_MAX_NS ? p->job_cost_ns : JOB_MAX_NS;
    sim_event_schedule(sim, event, sim->now_ns + cost_ns + wake_ns, p, work_done, work_drop);
}

static void work(struct env *env, struct env_work *job)
{
    struct sim_process *p = sim_process_of(env);
    if (p->dead)
        return;
    struct sim *sim = p->host->sim;
    struct sim_work *w = memory_zalloc(sizeof(*w));
    w->process = p;
    w->job = job;
    sim_syncs_init(&w->syncs, p->host->disk);
    queue_push(&p->works, &w->node);
    p->works_pending++;
    sim_event_schedule(sim, &w->event, sim->now_ns + sim_random_between(sim, 2000, 20000), p, work_run,
                       work_drop);
}

/* A job that has not run when the power goes may have come to any point: it runs, but nothing that it syncs
 * is. */
static void works_lose_power(struct sim_process *p)
{
    p->losing_power = true;
    QUEUE_FOREACH (node, &p->works) {
        struct sim_work *w = QUEUE_ENTRY(node, struct sim_work, node);
        if (sim_random(p->host->sim, 2) == 0)
            w->job->work(w->job);
    }
}

/* ---- posts: here they come from the one thread that there is ---- */

struct sim_post {
    struct sim_event event;
    struct env_post *post;
};

static void post_drop(struct sim_event *event)
{
    free(container_of(event, struct sim_post, event));
}

static void post_fire(struct sim_event *event)
{
    struct env_post *request = container_of(event, struct sim_post, event)->post;
    post_drop(event);
    request->cb(request);
}

static void post(struct env *env, struct env_post *request)
{
    struct sim_process *p = sim_process_of(env);
    if (p->dead)
        return;
    struct sim_post *s = memory_zalloc(sizeof(*s));
    s->post = request;
    sim_event_schedule(p->host->sim, &s->event, p->host->sim->now_ns, p, post_fire, post_drop);
}

/* ---- processes ---- */

static struct sim_process *process_create(struct sim_host *host)
{
    struct sim_process *p = memory_zalloc(sizeof(*p));
    struct sim *sim = host->sim;
    env_init(&p->env, &process_ops);
    p->host = host;
    prng_init(&p->prng, prng_next(&sim->prng));
    p->clock.local_ns = sim_random_between(sim, 1, UINT64_C(1000000000000));
    p->clock.since_ns = sim->now_ns;
    p->clock.rate = (uint64_t)(RATE_ONE + host->drift_ppm);
    queue_init(&p->held);
    queue_init(&p->works);
    queue_init(&p->syncing);
    queue_init(&p->files);
    queue_init(&p->streams);
    queue_init(&p->listeners);
    queue_push(&host->processes, &p->node);
    host->process = p;
    host->turns++;
    sim->next.stale = true;
    return p;
}

/* Of the syncs under way some are complete when the power goes, in their order; a kernel that lives completes
 * them all. */
static void syncs_end(struct sim_process *p, bool power_loss)
{
    while (!queue_empty(&p->syncing)) {
        struct sim_syncs *syncs = QUEUE_ENTRY(queue_first(&p->syncing), struct sim_syncs, node);
        unsigned n = syncs->count;
        sim_syncs_close(syncs, power_loss ? (unsigned)sim_random(p->host->sim, n + 1) : n);
    }
}

/* From here on nothing that belongs to the code under test is touched. */
static void process_end(struct sim_process *p, bool silent)
{
    p->dead = true;
    p->host->process = NULL;
    p->host->sim->next.stale = true;
    syncs_end(p, silent);
    timer_heap_close(&p->env.timers);
    while (!queue_empty(&p->env.deferred))
        queue_remove(queue_first(&p->env.deferred));
    while (!queue_empty(&p->held)) {
        struct sim_event *event = QUEUE_ENTRY(queue_first(&p->held), struct sim_event, held);
        queue_remove(&event->held);
        event->drop(event);
    }
    sim_net_release(p, silent);
    sim_files_release(p);
}

static void process_free(struct sim_process *p)
{
    p->env.timers.size = 0; /* a timer started after the death has gone with its owner */
    env_close(&p->env);
    sim_net_free(p);
    sim_files_free(p);
    free(p);
}

static void process_run(struct env *env)
{
    struct sim_process *p = sim_process_of(env);
    p->stopping = false;
    p->host->sim->next.stale = true;
    while (!p->dead && !p->stopping && step(p->host->sim, UINT64_MAX - 1))
        ;
}

static void process_run_once(struct env *env, bool wait)
{
    struct sim *sim = sim_of(env);
    sim->next.stale = true;
    step(sim, wait ? UINT64_MAX - 1 : sim->now_ns);
}

static void process_stop(struct env *env)
{
    sim_process_of(env)->stopping = true;
}

static int process_on_signal(struct env *env, int signal, void (*cb)(void *data, int signal), void *data)
{
    struct sim_process *p = sim_process_of(env);
    if (p->signal_count == SIM_MAX_SIGNALS)
        return ERR_INVALID_ARGUMENT;
    p->signals[p->signal_count++] = (struct sim_signal){signal, cb, data};
    return 0;
}

static void process_destroy(struct env *env)
{
    struct sim_process *p = sim_process_of(env);
    struct sim *sim = p->host->sim;
    if (p->dead)
        return;
    ASSERT(queue_empty(&p->listeners));
    uint64_t end_ns = sim->now_ns + UINT64_C(60000000000);
    sim->next.stale = true;
    while (p->open_streams > 0 || p->works_pending > 0 || env_has_deferred(env)) {
        bool more = step(sim, end_ns);
        ASSERT(more); /* else a stream was left open */
    }
    process_end(p, false);
}

static const struct env_ops process_ops = {
    .now_ns = now_ns,
    .clock_ns = now_ns,
    .wall_ms = wall_ms,
    .random = random_number,
    .random_bytes = random_bytes,
    .work = work,
    .post = post,
    .file_open = sim_file_open,
    .dir_create = sim_dir_create,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .rename = sim_rename,
    .remove = sim_remove,
    .dir_remove = sim_dir_remove,
    .free_space = sim_free_space,
    .connect = sim_connect,
    .listen = sim_listen,
    .run = process_run,
    .run_once = process_run_once,
    .stop = process_stop,
    .on_signal = process_on_signal,
    .destroy = process_destroy,
};

/* ---- hosts ---- */

struct sim_host *sim_host_create(struct sim *sim, const char *name)
{
    ASSERT(sim->host_count < SIM_MAX_HOSTS);
    struct sim_host *host = memory_zalloc(sizeof(*host));
    host->sim = sim;
    host->name = memory_strdup(name);
    host->index = sim->host_count;
    host->disk = sim_disk_create(sim);
    host->next_port = 40000;
    queue_init(&host->processes);
    sim->hosts[sim->host_count++] = host;
    process_create(host);
    return host;
}

const char *sim_host_name(const struct sim_host *host)
{
    return host->name;
}

uint64_t sim_host_turns(const struct sim_host *host)
{
    return host->turns;
}

struct env *sim_host_env(struct sim_host *host)
{
    return host->process == NULL ? NULL : &host->process->env;
}

void sim_host_kill(struct sim_host *host)
{
    if (host->process != NULL)
        process_end(host->process, false);
}

void sim_host_crash(struct sim_host *host)
{
    if (host->process != NULL) {
        works_lose_power(host->process);
        process_end(host->process, true);
    }
    sim_disk_lose_power(host->disk);
}

void sim_crash_all(struct sim *sim)
{
    for (unsigned i = 0; i < sim->host_count; i++)
        sim_host_crash(sim->hosts[i]);
}

struct env *sim_host_restart(struct sim_host *host)
{
    ASSERT(host->process == NULL);
    return &process_create(host)->env;
}

void sim_host_freeze(struct sim_host *host)
{
    host->sim->next.stale = true;
    if (host->process != NULL)
        host->process->frozen = true;
}

void sim_host_thaw(struct sim_host *host)
{
    struct sim_process *p = host->process;
    if (p == NULL || !p->frozen)
        return;
    p->frozen = false;
    host->sim->next.stale = true;
    while (!queue_empty(&p->held)) {
        struct sim_event *event = QUEUE_ENTRY(queue_first(&p->held), struct sim_event, held);
        queue_remove(&event->held);
        sim_event_schedule(host->sim, event, host->sim->now_ns, p, event->fire, event->drop);
    }
}

void sim_host_step_wall_clock(struct sim_host *host, int64_t by_ms)
{
    host->wall_step_ms += by_ms;
}

void sim_host_drift(struct sim_host *host, int32_t ppm)
{
    struct sim_process *p = host->process;
    host->drift_ppm = ppm;
    if (p == NULL)
        return;
    p->clock.local_ns = local_ns(p);
    p->clock.since_ns = host->sim->now_ns;
    p->clock.rate = (uint64_t)(RATE_ONE + ppm);
    host->sim->next.stale = true;
}

struct sim_signal_event {
    struct sim_event event;
    int signal;
};

static void signal_drop(struct sim_event *event)
{
    free(container_of(event, struct sim_signal_event, event));
}

static void signal_fire(struct sim_event *event)
{
    struct sim_process *p = event->process;
    int signal = container_of(event, struct sim_signal_event, event)->signal;
    signal_drop(event);
    for (unsigned i = 0; i < p->signal_count; i++) {
        if (p->signals[i].signal == signal)
            p->signals[i].cb(p->signals[i].data, signal);
    }
}

void sim_host_signal(struct sim_host *host, int signal)
{
    if (host->process == NULL)
        return;
    struct sim_signal_event *s = memory_zalloc(sizeof(*s));
    s->signal = signal;
    sim_event_schedule(host->sim, &s->event, host->sim->now_ns, host->process, signal_fire, signal_drop);
}

/* ---- the whole ---- */

struct sim *sim_create(uint64_t seed)
{
    struct sim *sim = memory_zalloc(sizeof(*sim));
    prng_init(&sim->prng, seed);
    memset(sim->next.due_ns, 0xff, sizeof(sim->next.due_ns));
    sim->latency_min_ns = 30000;
    sim->latency_max_ns = 150000;
    queue_init(&sim->connections);
    return sim;
}

static void host_destroy(struct sim_host *host)
{
    while (!queue_empty(&host->processes)) {
        struct sim_process *p = QUEUE_ENTRY(queue_first(&host->processes), struct sim_process, node);
        queue_remove(&p->node);
        process_free(p);
    }
    sim_disk_destroy(host->disk);
    free(host->name);
    free(host);
}

void sim_destroy(struct sim *sim)
{
    for (unsigned i = 0; i < sim->host_count; i++)
        sim_host_kill(sim->hosts[i]);
    while (next_event_ns(sim) != UINT64_MAX) {
        struct sim_event *event = event_pop(sim);
        event->drop(event);
    }
    for (unsigned i = 0; i < sim->host_count; i++)
        host_destroy(sim->hosts[i]);
    ASSERT(queue_empty(&sim->connections));
    free(sim->events);
    free(sim->at_once.ring);
    free(sim);
}
