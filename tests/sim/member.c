#include "tests/sim/member.h"
#include "client/core/consumer/consumer.h"
#include "client/core/consumer/member.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <inttypes.h>

enum { MS = 1000000, COMMIT_TIMEOUT_MS = 5000, LEAVE_TIMEOUT_MS = 3000, HELD_MAX = 4 };
enum { LOOP_MS = 8, COMMIT_EVERY_MS = 60, WORK_MS = 60 };

/* A partition as the application knows it. */
struct member_partition {
    unsigned tenure;  /* 0: not its own */
    int64_t expected; /* the next offset; -1: none seen yet */
    /* When the commit under way was sent: */
    unsigned commit_tenure;
    uint64_t commit_asked; /* the core's last question for the committed offset */
    int64_t committed;
    bool was_superseded;
};

struct sim_member {
    struct sim_client *client;
    struct group_history *group;
    char name[24];
    struct client_settings settings;
    struct inbox *inbox;
    struct core_consumer *core;
    struct env_timer loop;
    struct member_partition partitions[GROUP_TOPICS][HISTORY_PARTITIONS];
    struct held {
        struct flotilla_batch *batch; /* NULL: free */
        uint64_t finish_ns;
    } held[HELD_MAX];
    unsigned known_commits; /* of the group, when it last looked for news */
    uint64_t hangs_until_ns;
    uint64_t commit_ns;
    bool woken, committing, leaving, left, broken;
};

static struct counters *counters_of(struct sim_member *m)
{
    return m->group->history->counters;
}

/* NULL: none that the history knows. */
static struct member_partition *partition_of(struct sim_member *m, const char *topic, int32_t index)
{
    int t = history_topic_index(topic);
    return t >= 0 && t < GROUP_TOPICS && index >= 0 && index < HISTORY_PARTITIONS ? &m->partitions[t][index]
                                                                                  : NULL;
}

/* ---- rebalances ---- */

static void take_event(struct sim_member *m, enum flotilla_rebalance event, struct member_partition *p)
{
    if (event == FLOTILLA_REVOKED)
        return; /* its own until the batches are released */
    *p = (struct member_partition){.expected = -1};
    if (event == FLOTILLA_ASSIGNED)
        p->tenure = group_history_begin_tenure(m->group);
}

static void take_rebalances(struct sim_member *m)
{
    static const char *const names[] = {[FLOTILLA_ASSIGNED] = "member_partitions_assigned",
                                        [FLOTILLA_REVOKED] = "member_partitions_revoked",
                                        [FLOTILLA_LOST] = "member_partitions_lost"};
    struct inbox_rebalance *r;
    while ((r = inbox_take_rebalance(m->inbox, 0)) != NULL) {
        counters_add(counters_of(m), names[r->event], r->count);
        for (size_t i = 0; i < r->count; i++) {
            struct member_partition *p = partition_of(m, inbox_partition_topic(r->partitions[i]),
                                                      inbox_partition_index(r->partitions[i]));
            if (p != NULL)
                take_event(m, r->event, p);
        }
        inbox_end_rebalance(m->inbox, r);
    }
}

/* ---- records ---- */

static void process(struct sim_member *m, const struct flotilla_record *r)
{
    int topic = history_topic_index(r->topic);
    if (topic < 0 || topic >= GROUP_TOPICS)
        return;
    history_read(m->group->history, m->name, (unsigned)topic, (unsigned)r->partition, r->offset, r->value,
                 r->value_size);
    group_history_processed(m->group, (unsigned)topic, (unsigned)r->partition, r->offset);
}

static void finish(struct sim_member *m, struct flotilla_batch *batch)
{
    const struct flotilla_record *r;
    while ((r = flotilla_batch_next(batch)) != NULL)
        process(m, r);
    if (flotilla_batch_status(batch) != 0)
        history_fail(m->group->history, "member %s got a damaged batch: %s", m->name,
                     flotilla_batch_message(batch));
    flotilla_batch_release(batch);
}

static void finish_due(struct sim_member *m, uint64_t now)
{
    for (unsigned i = 0; i < HELD_MAX; i++) {
        if (m->held[i].batch == NULL || (now < m->held[i].finish_ns && !m->leaving))
            continue;
        struct flotilla_batch *batch = m->held[i].batch;
        m->held[i].batch = NULL;
        finish(m, batch);
    }
}

/* Offsets of a tenure follow one another from where the group stood. */
static void check_sequence(struct sim_member *m, const struct flotilla_batch *batch)
{
    int topic = history_topic_index(flotilla_batch_topic(batch));
    unsigned partition = (unsigned)flotilla_batch_partition(batch);
    struct member_partition *p =
        partition_of(m, flotilla_batch_topic(batch), flotilla_batch_partition(batch));
    if (p == NULL)
        return;
    if (p->tenure == 0)
        history_fail(m->group->history, "member %s gets a batch of topic%d/%u, which it was not assigned",
                     m->name, topic, partition);
    if (p->expected < 0)
        group_history_first(m->group, m->name, (unsigned)topic, partition, batch->first_offset,
                            m->known_commits);
    else if (p->expected != batch->first_offset)
        history_fail(m->group->history,
                     "member %s: offset %" PRId64 " of topic%d/%u comes where %" PRId64 " should", m->name,
                     batch->first_offset, topic, partition, p->expected);
    p->expected = batch->next_offset;
}

static void take_error(struct sim_member *m, struct flotilla_batch *batch)
{
    char name[COUNTER_NAME_SIZE];
    snprintf(name, sizeof(name), "member_error %.30s", error_name(flotilla_batch_status(batch)));
    counters_add(counters_of(m), name, 1);
    m->broken = true;
    flotilla_batch_release(batch);
}

static struct held *free_place(struct sim_member *m)
{
    for (unsigned i = 0; i < HELD_MAX; i++)
        if (m->held[i].batch == NULL)
            return &m->held[i];
    return NULL;
}

static void take_batches(struct sim_member *m, uint64_t now)
{
    struct held *place;
    while ((place = free_place(m)) != NULL) {
        struct flotilla_batch *batch = inbox_poll(m->inbox, 0);
        if (batch == NULL)
            return;
        if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
            take_error(m, batch);
            continue;
        }
        check_sequence(m, batch);
        if (client_random(m->client, 4) != 0)
            finish(m, batch);
        else
            *place = (struct held){batch, now + client_random(m->client, WORK_MS) * MS};
    }
}

/* ---- commits ---- */

static struct core_consumer_partition *core_partition(const struct sim_member *m, unsigned topic,
                                                      unsigned index)
{
    char name[16];
    history_topic_name(topic, name);
    return core_consumer_partition_find(m->core, core_topic_get(m->client->core, name), index);
}

static int64_t committed_of(const struct sim_member *m, unsigned topic, unsigned index)
{
    struct inbox_progress progress = {.committed = -1};
    char name[16];
    history_topic_name(topic, name);
    inbox_progress(m->inbox, name, (int32_t)index, &progress);
    return progress.committed;
}

static void each_partition(struct sim_member *m,
                           void (*each)(struct sim_member *m, unsigned topic, unsigned index,
                                        struct member_partition *p, struct core_consumer_partition *core))
{
    for (unsigned t = 0; t < GROUP_TOPICS; t++) {
        for (unsigned i = 0; i < HISTORY_PARTITIONS; i++) {
            struct core_consumer_partition *core = core_partition(m, t, i);
            if (core != NULL)
                each(m, t, i, &m->partitions[t][i], core);
        }
    }
}

static void commit_begins(struct sim_member *m, unsigned topic, unsigned index, struct member_partition *p,
                          struct core_consumer_partition *core)
{
    p->commit_tenure = p->tenure;
    p->commit_asked = core->asked;
    p->committed = committed_of(m, topic, index);
    p->was_superseded = group_history_is_superseded(m->group, topic, index, p->tenure);
}

/* What is committed has changed, and not because the core has asked: then it was this commit. */
static void commit_ends(struct sim_member *m, unsigned topic, unsigned index, struct member_partition *p,
                        struct core_consumer_partition *core)
{
    int64_t committed = committed_of(m, topic, index);
    if (p->commit_tenure == 0 || p->commit_asked != core->asked || committed == p->committed)
        return;
    group_history_committed(m->group, m->name, topic, index, p->commit_tenure, committed, p->was_superseded);
}

static void on_committed(void *data, int status, const char *message)
{
    struct sim_member *m = data;
    char name[COUNTER_NAME_SIZE];
    (void)message;
    m->committing = false;
    if (status == 0) {
        each_partition(m, commit_ends);
        return;
    }
    snprintf(name, sizeof(name), "member_commit_failed %.25s", error_name(status));
    counters_add(counters_of(m), name, 1);
}

/* Only when the core has no other commit before it: then it takes at once what is finished now. */
static void commit_when_due(struct sim_member *m, uint64_t now)
{
    if (m->committing || m->leaving || now < m->commit_ns || !inbox_has_finished(m->inbox) ||
        m->core->committing != NULL || m->core->commits != NULL)
        return;
    const struct core_commit commit = {
        .consumer = m->core, .timeout_ns = COMMIT_TIMEOUT_MS * (uint64_t)MS, .cb = on_committed, .data = m};
    m->commit_ns = now + client_random(m->client, 2 * COMMIT_EVERY_MS) * MS;
    m->committing = true;
    each_partition(m, commit_begins);
    client_advance(m->client);
    core_consumer_commit(m->core, &commit);
}

/* ---- the application's loop ---- */

static void on_loop(struct env_timer *timer)
{
    struct sim_member *m = container_of(timer, struct sim_member, loop);
    uint64_t now = env_now_ns(m->client->env);
    if (now >= m->hangs_until_ns || m->leaving) {
        finish_due(m, now);
        take_rebalances(m);
        take_batches(m, now);
        commit_when_due(m, now);
        m->known_commits = m->group->commits;
    }
    env_timer_start(m->client->env, timer, (1 + client_random(m->client, LOOP_MS)) * MS, on_loop);
    client_wake(m->client);
}

static void wake(void *data)
{
    struct sim_member *m = data;
    m->woken = true;
    client_wake(m->client);
}

static void on_turn(void *data)
{
    struct sim_member *m = data;
    if (!m->woken)
        return;
    m->woken = false;
    core_consumer_wake(m->core);
}

/* ---- life ---- */

/* By pattern: every topic, also those that come and go. */
static void join(struct sim_member *m, bool by_pattern)
{
    static const char *const topics[GROUP_TOPICS] = {"topic0", "topic1"};
    const struct core_join by_list = {.topics = topics, .topic_count = GROUP_TOPICS, .tells = true};
    const struct core_join all = {.pattern = "*", .tells = true};
    core_consumer_join(m->core, by_pattern ? &all : &by_list);
}

struct sim_member *member_create(struct sim_client *client, struct group_history *group, const char *name,
                                 bool by_pattern)
{
    struct sim_member *m = memory_zalloc(sizeof(*m));
    const struct inbox_hooks hooks = {.data = m, .wake = wake};
    m->client = client;
    m->group = group;
    m->known_commits = group->commits;
    snprintf(m->name, sizeof(m->name), "%s", name);
    m->settings = client->settings;
    snprintf(m->settings.group, sizeof(m->settings.group), "%s", group->name);
    m->inbox = inbox_create(&hooks);
    client_advance(client);
    m->core = core_consumer_create(client->core, &m->settings, m->inbox);
    join(m, by_pattern);
    client_add_user(client, on_turn, m);
    env_timer_start(client->env, &m->loop, MS, on_loop);
    client_wake(client);
    return m;
}

void member_hang(struct sim_member *m, uint64_t duration_ns)
{
    m->hangs_until_ns = env_now_ns(m->client->env) + duration_ns;
}

static void on_left(void *data, int status, const char *message)
{
    struct sim_member *m = data;
    (void)status, (void)message;
    m->left = true;
}

void member_leave(struct sim_member *m, bool keeps_place)
{
    const struct core_leave leave = {
        .timeout_ns = LEAVE_TIMEOUT_MS * (uint64_t)MS, .keeps_place = keeps_place, .cb = on_left, .data = m};
    m->leaving = true;
    client_advance(m->client);
    core_consumer_leave(m->core, &leave);
    client_wake(m->client);
}

bool member_has_left(const struct sim_member *m)
{
    return m->left;
}

bool member_is_broken(const struct sim_member *m)
{
    return m->broken;
}

bool member_is_stable(const struct sim_member *m)
{
    return m->core->member->is_stable && core_member_epoch(m->core->member) > 0;
}

bool member_owns(const struct sim_member *m, unsigned topic, unsigned partition)
{
    const struct core_consumer_partition *p = core_partition(m, topic, partition);
    return p != NULL && p->hold == HOLD_OWNED;
}

bool member_ghost(struct sim_member *m, struct member_ghost *out)
{
    take_rebalances(m); /* or a tenure that is over would be taken for the one that the coordinator knows */
    for (unsigned t = 0; t < GROUP_TOPICS; t++) {
        for (unsigned i = 0; i < HISTORY_PARTITIONS; i++) {
            const struct member_partition *p = &m->partitions[t][i];
            if (p->tenure == 0 || p->expected < 0 || !member_owns(m, t, i))
                continue;
            *out = (struct member_ghost){.epoch = core_member_epoch(m->core->member),
                                         .topic = t,
                                         .partition = i,
                                         .tenure = p->tenure,
                                         .offset = p->expected};
            snprintf(out->group, sizeof(out->group), "%s", m->group->name);
            snprintf(out->member_id, sizeof(out->member_id), "%s", core_member_id(m->core->member));
            memcpy(out->topic_id, core_partition(m, t, i)->topic->id, sizeof(out->topic_id));
            return true;
        }
    }
    return false;
}
