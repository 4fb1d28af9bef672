#include "tests/sim/members.h"
#include "client/core/internal.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

/* The members of the second group want every topic there is. */
enum { GROUP_BY_PATTERN = 1 };
enum { MS = 1000000, SESSION_MS = 1500, POLL_INTERVAL_MS = 2000, GHOST_CALL_MS = 3000 };

static const char *const member_options[] = {"metadata.refresh.ms",
                                             "1000",
                                             "request.timeout.ms",
                                             "500",
                                             "connect.timeout.ms",
                                             "300",
                                             "prefetch.bytes",
                                             "65536",
                                             "session.timeout.ms",
                                             "1500",
                                             "grace.ms",
                                             "300",
                                             "revocation.timeout.ms",
                                             "1000",
                                             "max.poll.interval.ms",
                                             "2000",
                                             "group.instance.id",
                                             "",
                                             NULL};

static void count(struct members *m, const char *name)
{
    counters_add(m->history->counters, name, 1);
}

static uint64_t now_ns(const struct members *m)
{
    return sim_now_ns(m->sim);
}

/* ---- coming ---- */

static void slot_start(struct members *m, struct member_slot *slot)
{
    const char *options[sizeof(member_options) / sizeof(member_options[0])];
    memcpy(options, member_options, sizeof(options));
    if (slot->is_static) /* its machine's name is its instance's */
        options[sizeof(options) / sizeof(options[0]) - 2] = sim_host_name(slot->host);
    if (sim_host_env(slot->host) == NULL)
        sim_host_restart(slot->host);
    slot->client = client_create(m->sim, slot->host, m->nodes, options);
    bool by_pattern = slot->group == GROUP_BY_PATTERN;
    slot->member =
        member_create(slot->client, &m->groups[slot->group], sim_host_name(slot->host), by_pattern);
    slot->state = SLOT_RUNS;
    count(m, by_pattern ? "member_joins_by_pattern" : "member_joins_by_list");
    count(m, slot->is_static ? "member_joins_static" : "member_joins");
}

void members_start(struct members *m)
{
    if (m->count == 0)
        return;
    m->started = true;
    m->ghost_client = client_create(m->sim, sim_host_create(m->sim, "ghost"), m->nodes, member_options);
    for (unsigned i = 0; i < m->count; i++) /* not all at once */
        m->slots[i].until_ns = now_ns(m) + sim_random(m->sim, 1500) * MS;
}

/* ---- dead members' commits ---- */

static void on_ghost_answered(void *data, int status, const uint8_t *header, size_t size, bool maybe_applied)
{
    struct late_commit *late = data;
    struct members *m = late->members;
    const struct member_ghost *g = &late->ghost;
    (void)header, (void)size, (void)maybe_applied;
    late->members = NULL;
    if (status == 0)
        history_fail(m->history,
                     "group %s: a commit of topic%u/%u by the dead member %s (epoch %lld) was accepted when "
                     "a later owner had committed already",
                     g->group, g->topic, g->partition, g->member_id, (long long)g->epoch);
    bool is_fenced = status == ERR_FENCED_MEMBER || status == ERR_UNKNOWN_MEMBER;
    count(m, is_fenced ? "member_commits_fenced" : "member_commits_late_unanswered");
}

static void ghost_commit(struct members *m, struct late_commit *late)
{
    struct member_ghost *g = &late->ghost;
    Flotilla__CommitOffsetsRequest request = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    Flotilla__CommitOffset offset = FLOTILLA__COMMIT_OFFSET__INIT;
    Flotilla__CommitOffset *offsets[] = {&offset};
    offset.topic_id.data = g->topic_id;
    offset.topic_id.len = sizeof(g->topic_id);
    offset.partition = g->partition;
    offset.offset = g->offset;
    offset.leader_epoch = -1;
    request.group = g->group;
    request.member_id = g->member_id;
    request.member_epoch = g->epoch;
    request.offsets = offsets;
    request.n_offsets = 1;
    const struct client_call call = {.target = CORE_COORDINATOR,
                                     .group = g->group,
                                     .type = FRAME_COMMIT_OFFSETS,
                                     .timeout_ns = GHOST_CALL_MS * (uint64_t)MS,
                                     .message = &request.base,
                                     .cb = on_ghost_answered,
                                     .data = late};
    late->is_waiting = false;
    client_call(m->ghost_client, &call);
}

static void ghosts_step(struct members *m)
{
    for (unsigned i = 0; i < MEMBERS_GHOSTS; i++) {
        struct late_commit *late = &m->ghosts[i];
        const struct member_ghost *g = &late->ghost;
        for (unsigned k = 0; k < MEMBERS_GROUPS && late->is_waiting; k++)
            if (strcmp(m->groups[k].name, g->group) == 0 &&
                group_history_is_superseded(&m->groups[k], g->topic, g->partition, g->tenure))
                ghost_commit(m, late);
    }
}

static void ghost_keep(struct members *m, struct sim_member *member)
{
    for (unsigned i = 0; i < MEMBERS_GHOSTS; i++) {
        struct late_commit *late = &m->ghosts[i];
        if (late->members != NULL || !member_ghost(member, &late->ghost))
            continue;
        late->members = m;
        late->is_waiting = true;
        return;
    }
}

/* ---- going ---- */

static void slot_end(struct members *m, struct member_slot *slot, uint64_t down_ms)
{
    sim_host_kill(slot->host);
    slot->state = SLOT_DOWN;
    slot->until_ns = now_ns(m) + down_ms * MS;
}

static void slot_kill(struct members *m, struct member_slot *slot)
{
    ghost_keep(m, slot->member);
    slot_end(m, slot, sim_random(m->sim, 1500));
    count(m, "member_kills");
}

static void slot_leave(struct members *m, struct member_slot *slot)
{
    bool keeps_place = slot->is_static && sim_random(m->sim, 2) == 0;
    slot->state = SLOT_LEAVES;
    member_leave(slot->member, keeps_place);
    count(m, keeps_place ? "member_pauses" : "member_leaves");
}

/* Half of the time for longer than its session. */
static void slot_freeze(struct members *m, struct member_slot *slot)
{
    slot->state = SLOT_FROZEN;
    slot->until_ns = now_ns(m) + (100 + sim_random(m->sim, 2 * SESSION_MS)) * MS;
    sim_host_freeze(slot->host);
    count(m, "member_freezes");
}

static void slot_hang(struct members *m, struct member_slot *slot)
{
    member_hang(slot->member, (POLL_INTERVAL_MS / 2 + sim_random(m->sim, POLL_INTERVAL_MS)) * MS);
    count(m, "member_hangs");
}

static void make_trouble(struct members *m)
{
    static void (*const troubles[])(struct members * m, struct member_slot * slot) = {
        slot_kill, slot_kill, slot_leave, slot_leave, slot_freeze, slot_hang};
    struct member_slot *slot = &m->slots[sim_random(m->sim, m->count)];
    uint64_t trouble = sim_random(m->sim, sizeof(troubles) / sizeof(troubles[0]));
    if (slot->state == SLOT_RUNS)
        troubles[trouble](m, slot);
    m->next_ns = now_ns(m) + sim_random(m->sim, 2 * m->gap_ms) * MS;
}

static void slot_step(struct members *m, struct member_slot *slot)
{
    bool is_due = now_ns(m) >= slot->until_ns || m->ended;
    if (slot->state == SLOT_DOWN && is_due) {
        slot_start(m, slot);
    } else if (slot->state == SLOT_FROZEN && is_due) {
        sim_host_thaw(slot->host);
        slot->state = SLOT_RUNS;
    } else if (slot->state == SLOT_LEAVES && member_has_left(slot->member)) {
        slot_end(m, slot, sim_random(m->sim, 1000));
    } else if (slot->state == SLOT_RUNS && member_is_broken(slot->member)) {
        slot_end(m, slot, sim_random(m->sim, 100));
        count(m, "member_restarts");
    }
}

void members_step(struct members *m)
{
    if (!m->started)
        return;
    for (unsigned i = 0; i < m->count; i++)
        slot_step(m, &m->slots[i]);
    ghosts_step(m);
    if (!m->ended && now_ns(m) >= m->next_ns)
        make_trouble(m);
}

void members_end(struct members *m)
{
    m->ended = true;
    for (unsigned i = 0; i < m->count; i++)
        if (m->slots[i].state == SLOT_RUNS)
            member_hang(m->slots[i].member, 0);
}

/* ---- rest ---- */

static const struct member_slot *owner_of(const struct members *m, unsigned group, unsigned topic,
                                          unsigned partition, unsigned *owners)
{
    const struct member_slot *owner = NULL;
    *owners = 0;
    for (unsigned i = 0; i < m->count; i++) {
        const struct member_slot *slot = &m->slots[i];
        if (slot->group != group || !member_owns(slot->member, topic, partition))
            continue;
        owner = slot;
        ++*owners;
    }
    return owner;
}

static bool topic_is_settled(const struct members *m, unsigned group, unsigned topic, char *why, size_t size)
{
    const char *name = m->groups[group].name;
    unsigned shares[MEMBERS_MAX] = {0}, low = UINT32_MAX, high = 0;
    for (unsigned p = 0; p < HISTORY_PARTITIONS; p++) {
        unsigned owners;
        const struct member_slot *owner = owner_of(m, group, topic, p, &owners);
        int64_t at = group_history_prefix(&m->groups[group], topic, p),
                end = history_end(m->history, topic, p);
        if (owners > 1 || (owners == 0 && p < m->workload->partitions[topic])) {
            snprintf(why, size, "group %s: %u members own topic%u/%u", name, owners, topic, p);
            return false;
        }
        if (at < end) {
            snprintf(why, size, "group %s has processed topic%u/%u up to %lld of %lld", name, topic, p,
                     (long long)at, (long long)end);
            return false;
        }
        if (owner != NULL)
            shares[owner - m->slots]++;
    }
    for (unsigned i = 0; i < m->count; i++) {
        if (m->slots[i].group != group)
            continue;
        low = shares[i] < low ? shares[i] : low;
        high = shares[i] > high ? shares[i] : high;
    }
    if (low != UINT32_MAX && high > low + 1) {
        snprintf(why, size, "group %s: one member has %u partitions of topic%u, another %u", name, high,
                 topic, low);
        return false;
    }
    return true;
}

static bool has_members(const struct members *m, unsigned group)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->slots[i].group == group)
            return true;
    return false;
}

bool members_are_settled(const struct members *m, char *why, size_t why_size)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct member_slot *slot = &m->slots[i];
        if (slot->state == SLOT_RUNS && member_is_stable(slot->member))
            continue;
        snprintf(why, why_size, "member %s of group %s is not stable", sim_host_name(slot->host),
                 m->groups[slot->group].name);
        return false;
    }
    for (unsigned g = 0; g < MEMBERS_GROUPS; g++)
        for (unsigned t = 0; t < GROUP_TOPICS && has_members(m, g); t++)
            if (!topic_is_settled(m, g, t, why, why_size))
                return false;
    return true;
}

bool members_have_processed(const struct members *m, int64_t ends[HISTORY_TOPICS][HISTORY_PARTITIONS])
{
    for (unsigned g = 0; g < MEMBERS_GROUPS; g++)
        for (unsigned t = 0; t < GROUP_TOPICS && has_members(m, g); t++)
            for (unsigned p = 0; p < m->workload->partitions[t]; p++)
                if (group_history_prefix(&m->groups[g], t, p) < ends[t][p])
                    return false;
    return true;
}

/* ---- the beginning ---- */

unsigned members_of_seed(uint64_t seed)
{
    return seed % 3 == 1 ? 2 + (unsigned)(seed / 3 % (MEMBERS_MAX - 1)) : 0;
}

void members_init(struct members *m, struct workload *workload, unsigned count)
{
    memset(m, 0, sizeof(*m));
    m->sim = workload->sim;
    m->history = workload->history;
    m->workload = workload;
    m->nodes = workload->nodes;
    m->count = count;
    for (unsigned g = 0; g < MEMBERS_GROUPS; g++) {
        char name[16];
        snprintf(name, sizeof(name), "crew%u", g + 1);
        group_history_init(&m->groups[g], name, m->history);
    }
    if (count == 0)
        return;
    m->gap_ms = 100 + (unsigned)sim_random(m->sim, 1000);
    unsigned groups = 1 + (unsigned)sim_random(m->sim, count > 3 ? MEMBERS_GROUPS : 1);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%u", i + 1);
        m->slots[i].host = sim_host_create(m->sim, name);
        m->slots[i].group = i % groups;
        m->slots[i].is_static = sim_random(m->sim, 3) == 0;
    }
}
