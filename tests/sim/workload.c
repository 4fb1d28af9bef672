#include "tests/sim/workload.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000000, CALL_MS = 8000 };

static const char *const client_options[] = {"batch.bytes",
                                             "16384",
                                             "metadata.refresh.ms",
                                             "1000",
                                             "delivery.timeout.ms",
                                             "8000",
                                             "request.timeout.ms",
                                             "500",
                                             "connect.timeout.ms",
                                             "300",
                                             NULL};

/* ---- the administrator ---- */

struct admin_call {
    struct workload *workload;
    unsigned topic;
    unsigned partition;
    unsigned partitions;
    unsigned slot;
    int64_t asked_at;
};

static struct admin_call *admin_call(struct workload *w)
{
    struct admin_call *a = memory_zalloc(sizeof(*a));
    a->workload = w;
    return a;
}

static void on_topic_made(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied)
{
    struct admin_call *a = data;
    struct workload *w = a->workload;
    (void)header, (void)size, (void)maybe_applied;
    free(a);
    w->making_topic = false;
    if (status == 0 || status == ERR_TOPIC_EXISTS)
        w->topics_made++;
}

static void make_topic(struct workload *w)
{
    Flotilla__CreateTopicRequest m = FLOTILLA__CREATE_TOPIC_REQUEST__INIT;
    Flotilla__ConfigEntry segment = FLOTILLA__CONFIG_ENTRY__INIT;
    Flotilla__ConfigEntry retention = FLOTILLA__CONFIG_ENTRY__INIT;
    Flotilla__ConfigEntry *config[] = {&segment, &retention};
    char retention_bytes[16];
    char name[16];
    w->making_topic = true;
    history_topic_name(w->topics_made, name);
    segment.name = (char *)(uintptr_t) "segment.bytes";
    bool small = w->topics_made == HISTORY_RETAINED || sim_random(w->sim, 2) == 0;
    segment.value = (char *)(uintptr_t)(small ? "65536" : "1048576");
    snprintf(retention_bytes, sizeof(retention_bytes), "%d", HISTORY_RETENTION_BYTES);
    retention.name = (char *)(uintptr_t) "retention.bytes";
    retention.value = retention_bytes;
    m.name = name;
    m.partitions = w->partitions[w->topics_made];
    m.replicas = w->replicas;
    m.config = config;
    m.n_config = w->topics_made == HISTORY_RETAINED ? 2 : 1;
    m.timeout_ms = CALL_MS;
    const struct client_call call = {.target = CORE_ANY,
                                     .type = FRAME_CREATE_TOPIC,
                                     .timeout_ns = CALL_MS * (uint64_t)MS,
                                     .message = &m.base,
                                     .cb = on_topic_made,
                                     .data = admin_call(w)};
    client_call(w->admin, &call);
}

static void on_end_told(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied)
{
    struct admin_call *a = data;
    struct workload *w = a->workload;
    (void)maybe_applied;
    Flotilla__ListOffsetResponse *m =
        status == 0 ? flotilla__list_offset_response__unpack(NULL, size, header) : NULL;
    if (m != NULL) {
        history_end_told(w->history, a->topic, a->partition, a->asked_at, m->offset);
        if (w->audit_client != NULL)
            w->ends[a->topic][a->partition] = m->offset;
        flotilla__list_offset_response__free_unpacked(m, NULL);
    }
    free(a);
}

static void ask_end(struct workload *w, struct sim_client *client, unsigned topic, unsigned partition)
{
    Flotilla__ListOffsetRequest m = FLOTILLA__LIST_OFFSET_REQUEST__INIT;
    char name[16];
    history_topic_name(topic, name);
    m.partition = partition;
    m.timestamp_ms = -1;
    struct admin_call *a = admin_call(w);
    a->topic = topic;
    a->partition = partition;
    a->asked_at = history_end(w->history, topic, partition);
    const struct client_call call = {.target = CORE_LEADER,
                                     .type = FRAME_LIST_OFFSET,
                                     .topic = name,
                                     .partition = partition,
                                     .timeout_ns = CALL_MS * (uint64_t)MS,
                                     .message = &m.base,
                                     .needs_topic_id = true,
                                     .cb = on_end_told,
                                     .data = a};
    client_call(client, &call);
}

void workload_ask_end(struct workload *w, unsigned topic, unsigned partition)
{
    ask_end(w, w->admin, topic, partition);
}

static void on_ask_timer(struct env_timer *timer)
{
    struct workload *w = container_of(timer, struct workload, ask_timer);
    if (w->ended)
        return;
    if (workload_has_topics(w)) {
        unsigned topic = (unsigned)sim_random(w->sim, w->topics);
        ask_end(w, w->admin, topic, (unsigned)sim_random(w->sim, w->partitions[topic]));
    } else if (!w->making_topic) {
        make_topic(w);
    }
    env_timer_start(w->admin->env, timer, (1 + sim_random(w->sim, 100)) * MS, on_ask_timer);
}

bool workload_has_topics(const struct workload *w)
{
    return w->topics_made == w->topics;
}

/* ---- what the nemesis asks for ---- */

static void on_grown(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied)
{
    struct admin_call *a = data;
    (void)header, (void)size, (void)maybe_applied;
    if (status == 0) {
        a->workload->partitions[a->topic] = a->partitions;
        counters_add(a->workload->history->counters, "topics_grown", 1);
    }
    a->workload->growing[a->topic] = false;
    free(a);
}

void workload_grow_topic(struct workload *w)
{
    Flotilla__AlterTopicRequest m = FLOTILLA__ALTER_TOPIC_REQUEST__INIT;
    unsigned topic = (unsigned)sim_random(w->sim, w->topics);
    char name[16];
    if (w->growing[topic] || w->partitions[topic] + 1 >= HISTORY_PARTITIONS)
        return;
    struct admin_call *a = admin_call(w);
    a->topic = topic;
    a->partitions = w->partitions[topic] + 1;
    w->partitions_max[topic] = a->partitions;
    w->growing[topic] = true;
    history_topic_name(topic, name);
    m.name = name;
    m.partitions = a->partitions;
    m.timeout_ms = CALL_MS;
    const struct client_call call = {.target = CORE_ANY,
                                     .type = FRAME_ALTER_TOPIC,
                                     .timeout_ns = CALL_MS * (uint64_t)MS,
                                     .message = &m.base,
                                     .cb = on_grown,
                                     .data = a};
    client_call(w->admin, &call);
}

static void on_churned(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied)
{
    struct admin_call *a = data;
    struct workload *w = a->workload;
    (void)header, (void)size, (void)maybe_applied;
    w->churning[a->slot] = false;
    if (a->partitions == 0) { /* a deletion */
        if (status == 0 || status == ERR_UNKNOWN_TOPIC)
            w->churn[a->slot][0] = '\0';
        counters_add(w->history->counters, "topics_deleted", status == 0);
    } else {
        counters_add(w->history->counters, "topics_created", status == 0);
    }
    free(a);
}

static void churn_create(struct workload *w, unsigned slot, struct admin_call *a)
{
    Flotilla__CreateTopicRequest m = FLOTILLA__CREATE_TOPIC_REQUEST__INIT;
    snprintf(w->churn[slot], sizeof(w->churn[slot]), "churn%u", w->next_churn++);
    m.name = w->churn[slot];
    m.partitions = a->partitions = 1 + (uint32_t)sim_random(w->sim, 3);
    m.replicas = 1 + (uint32_t)sim_random(w->sim, w->replicas);
    if (w->no_pairs && m.replicas == 2)
        m.replicas = w->replicas;
    m.timeout_ms = CALL_MS;
    const struct client_call call = {.target = CORE_ANY,
                                     .type = FRAME_CREATE_TOPIC,
                                     .timeout_ns = CALL_MS * (uint64_t)MS,
                                     .message = &m.base,
                                     .cb = on_churned,
                                     .data = a};
    client_call(w->admin, &call);
}

static void churn_delete(struct workload *w, unsigned slot, struct admin_call *a)
{
    Flotilla__DeleteTopicRequest m = FLOTILLA__DELETE_TOPIC_REQUEST__INIT;
    m.name = w->churn[slot];
    const struct client_call call = {.target = CORE_ANY,
                                     .type = FRAME_DELETE_TOPIC,
                                     .timeout_ns = CALL_MS * (uint64_t)MS,
                                     .message = &m.base,
                                     .cb = on_churned,
                                     .data = a};
    client_call(w->admin, &call);
}

void workload_churn_topic(struct workload *w)
{
    unsigned slot = (unsigned)sim_random(w->sim, WORKLOAD_CHURN);
    if (w->churning[slot])
        return;
    struct admin_call *a = admin_call(w);
    a->slot = slot;
    w->churning[slot] = true;
    if (w->churn[slot][0] == '\0')
        churn_create(w, slot, a);
    else
        churn_delete(w, slot, a);
}

static void on_drained(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied)
{
    struct admin_call *a = data;
    (void)header, (void)size, (void)maybe_applied;
    counters_add(a->workload->history->counters, "drains", status == 0);
    free(a);
}

void workload_drain(struct workload *w, uint32_t node, bool drain)
{
    Flotilla__DrainNodeRequest m = FLOTILLA__DRAIN_NODE_REQUEST__INIT;
    m.node_id = node;
    m.drain = drain;
    m.timeout_ms = 2000;
    const struct client_call call = {.target = CORE_ANY,
                                     .type = FRAME_DRAIN_NODE,
                                     .timeout_ns = CALL_MS * (uint64_t)MS,
                                     .message = &m.base,
                                     .cb = on_drained,
                                     .data = admin_call(w)};
    client_call(w->admin, &call);
}

/* ---- client machines ---- */

static struct sim_producer *add_producer(struct workload *w, unsigned machine)
{
    struct workload_machine *m = &w->machines[machine];
    /* The first machine's kind is what most users have; the others vary. */
    static const struct {
        int acks;
        bool idempotent;
    } kinds[] = {{-1, true}, {-1, false}, {1, true}, {1, false}, {0, false}};
    size_t kind = machine == 0 ? 0 : (size_t)sim_random(w->sim, sizeof(kinds) / sizeof(kinds[0]));
    unsigned topic = (unsigned)sim_random(w->sim, w->topics);
    const struct sim_producer_options options = {.acks = kinds[kind].acks,
                                                 .idempotent = kinds[kind].idempotent,
                                                 .topic = topic,
                                                 .partitions = w->partitions[topic],
                                                 .pause_ns = (2 + sim_random(w->sim, 50)) * MS,
                                                 .burst = 1 + (unsigned)sim_random(w->sim, 6),
                                                 .value_bytes =
                                                     topic == HISTORY_RETAINED ? 4000 : w->value_bytes};
    return producer_create(m->client, w->history, &options);
}

/* Most read everything; others from an offset, a time or the end on. */
static void choose_start(struct workload *w, struct sim_consumer_options *o)
{
    static const char *const names[] = {"reads_from_beginning", "reads_from_offset", "reads_from_time",
                                        "reads_from_end"};
    uint64_t kind = sim_random(w->sim, 2) == 0 ? 0 : sim_random(w->sim, 4);
    o->start = FLOTILLA_START_BEGINNING;
    o->partitions = w->partitions_max[o->topic];
    if (kind == 1) {
        int64_t end = INT64_MAX;
        for (unsigned p = 0; p < o->partitions; p++)
            end = history_end(w->history, o->topic, p) < end ? history_end(w->history, o->topic, p) : end;
        o->start = FLOTILLA_START_OFFSET;
        o->start_value = (int64_t)sim_random(w->sim, (uint64_t)end + 1);
    } else if (kind == 2) {
        o->start = FLOTILLA_START_TIME;
        o->start_value = env_wall_ms(w->admin->env) - (int64_t)sim_random(w->sim, 3000);
    } else if (kind == 3) {
        o->start = FLOTILLA_START_END;
    }
    counters_add(w->history->counters, names[kind], 1);
}

static struct sim_consumer *add_consumer(struct workload *w, unsigned machine)
{
    char name[40];
    struct consumer_group *group = &w->groups[machine];
    bool grouped = machine % 2 == 0;
    snprintf(name, sizeof(name), grouped ? "group %s" : "reader %s",
             grouped ? group->name : sim_host_name(w->machines[machine].host));
    struct sim_consumer_options options = {
        .name = name, .topic = machine % w->topics, .group = grouped ? group : NULL, .commit_ns = 20 * MS};
    if (!grouped)
        choose_start(w, &options);
    return consumer_create(w->machines[machine].client, w->history, &options);
}

static void machine_start(struct workload *w, unsigned machine)
{
    struct workload_machine *m = &w->machines[machine];
    if (sim_host_env(m->host) == NULL)
        sim_host_restart(m->host);
    m->client = client_create(w->sim, m->host, w->nodes, client_options);
    m->consumer = add_consumer(w, machine);
    if (!w->ended)
        m->producer = add_producer(w, machine);
}

void workload_start(struct workload *w)
{
    w->started = true;
    for (unsigned i = 0; i < w->machine_count; i++)
        machine_start(w, i);
}

void workload_kill_client(struct workload *w)
{
    workload_kill_machine(w, (unsigned)sim_random(w->sim, w->machine_count));
}

void workload_kill_machine(struct workload *w, unsigned machine)
{
    struct workload_machine *m = &w->machines[machine];
    if (m->client == NULL)
        return;
    sim_host_kill(m->host);
    m->client = NULL;
    m->producer = NULL;
    m->consumer = NULL;
    m->stopped = m->slow = false;
    m->restart_ns = sim_now_ns(w->sim) + sim_random(w->sim, 500) * MS;
    counters_add(w->history->counters, "client_kills", 1);
}

static struct workload_machine *any_client(struct workload *w)
{
    struct workload_machine *m = &w->machines[sim_random(w->sim, w->machine_count)];
    return m->client != NULL && !m->stopped && !m->slow ? m : NULL;
}

void workload_stop_client(struct workload *w)
{
    struct workload_machine *m = any_client(w);
    if (m == NULL)
        return;
    m->stopped = true;
    m->thaw_ns = sim_now_ns(w->sim) + (100 + sim_random(w->sim, 3000)) * MS;
    sim_host_freeze(m->host);
}

void workload_slow_client(struct workload *w)
{
    struct workload_machine *m = any_client(w);
    if (m == NULL)
        return;
    m->slow = true;
    m->thaw_ns = sim_now_ns(w->sim) + (500 + sim_random(w->sim, 3000)) * MS;
}

/* A slow one runs a tenth of the time. */
static void pace_machine(struct workload *w, struct workload_machine *m)
{
    if (!m->stopped && !m->slow)
        return;
    bool over = sim_now_ns(w->sim) >= m->thaw_ns;
    if (m->slow && !over && sim_random(w->sim, 10) != 0)
        sim_host_freeze(m->host);
    else if (m->slow || over)
        sim_host_thaw(m->host);
    if (over)
        m->stopped = m->slow = false;
}

void workload_calm_clients(struct workload *w)
{
    for (unsigned i = 0; i < w->machine_count; i++) {
        w->machines[i].thaw_ns = 0;
        pace_machine(w, &w->machines[i]);
    }
}

void workload_step(struct workload *w)
{
    for (unsigned i = 0; i < w->machine_count && w->started; i++) {
        struct workload_machine *m = &w->machines[i];
        pace_machine(w, m);
        if (m->client == NULL && sim_now_ns(w->sim) >= m->restart_ns)
            machine_start(w, i);
        if (m->producer == NULL || !producer_is_broken(m->producer) || w->ended)
            continue;
        counters_add(w->history->counters, "producers_replaced", 1);
        if (m->client->user_count < CLIENT_USERS_MAX) {
            m->producer = add_producer(w, i);
            continue;
        }
        sim_host_kill(m->host);
        sim_host_restart(m->host);
        machine_start(w, i);
    }
}

void workload_end(struct workload *w)
{
    w->ended = true;
    for (unsigned i = 0; i < WORKLOAD_MACHINES; i++)
        if (w->machines[i].producer != NULL)
            producer_pause(w->machines[i].producer);
}

bool workload_is_idle(const struct workload *w)
{
    for (unsigned i = 0; i < WORKLOAD_MACHINES; i++)
        if (w->machines[i].producer != NULL && producer_pending(w->machines[i].producer) > 0)
            return false;
    for (unsigned i = 0; i < WORKLOAD_CHURN; i++)
        if (w->churning[i])
            return false;
    return true;
}

/* ---- the audit ---- */

void workload_start_audit(struct workload *w)
{
    w->audit_client = client_create(w->sim, sim_host_create(w->sim, "auditor"), w->nodes, client_options);
    for (unsigned t = 0; t < w->topics; t++) {
        const struct sim_consumer_options options = {.name = "the auditor", .topic = t};
        w->auditors[t] = consumer_create(w->audit_client, w->history, &options);
        for (unsigned p = 0; p < w->partitions[t]; p++) {
            w->ends[t][p] = -1;
            ask_end(w, w->audit_client, t, p);
        }
    }
}

bool workload_audit_is_complete(const struct workload *w)
{
    for (unsigned t = 0; t < w->topics; t++) {
        for (unsigned p = 0; p < w->partitions[t]; p++) {
            int64_t end = w->ends[t][p], at = consumer_position(w->auditors[t], p);
            if (end < 0 || (at < 0 ? 0 : at) < end)
                return false;
        }
    }
    return true;
}

void workload_check_complete(struct workload *w)
{
    for (unsigned t = 0; t < w->topics; t++)
        for (unsigned p = 0; p < w->partitions[t]; p++)
            history_check_complete(w->history, t, p, w->ends[t][p]);
}

/* ---- the beginning ---- */

void workload_init(struct workload *w, struct sim *sim, struct history *history, unsigned nodes)
{
    memset(w, 0, sizeof(*w));
    w->sim = sim;
    w->history = history;
    w->nodes = nodes;
    w->topics = HISTORY_TOPICS;
    w->machine_count = WORKLOAD_MACHINES;
    w->value_bytes = sim_random(sim, 8) == 0 ? 4000 : 1 + sim_random(sim, 300);
    w->replicas = nodes > 3 && sim_random(sim, 2) == 0 ? 5 : 3;
    if (w->replicas > nodes)
        w->replicas = nodes;
    for (unsigned t = 0; t < w->topics; t++)
        w->partitions_max[t] = w->partitions[t] = 1 + (unsigned)sim_random(sim, 3);
    for (unsigned i = 0; i < WORKLOAD_MACHINES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i + 1);
        w->machines[i].host = sim_host_create(sim, name);
        snprintf(w->groups[i].name, sizeof(w->groups[i].name), "g%u", i + 1);
    }
    w->admin_host = sim_host_create(sim, "admin");
    w->admin = client_create(sim, w->admin_host, nodes, client_options);
    env_timer_start(w->admin->env, &w->ask_timer, MS, on_ask_timer);
}
