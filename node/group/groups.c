/* What all of a node's coordinators share: metrics, the log, and answers about groups. */
#include "node/base/memory.h"
#include "node/group/coordinator_internal.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Lines about members per second; a thousand members that come at once fill no disk. */
enum { LOG_LINES_PER_S = 50 };

/* ---- metrics ---- */

static double read_groups(void *data)
{
    const struct groups *g = data;
    size_t count = 0;
    QUEUE_FOREACH (node, &g->coordinators) {
        const struct coordinator *c = QUEUE_ENTRY(node, struct coordinator, node);
        count += HASH_COUNT(c->state->groups.groups);
    }
    return (double)count;
}

static double read_members(void *data)
{
    const struct groups *g = data;
    size_t count = 0;
    QUEUE_FOREACH (node, &g->coordinators) {
        const struct coordinator *c = QUEUE_ENTRY(node, struct coordinator, node);
        count += engine_member_count(c->engine);
    }
    return (double)count;
}

static double read_reconciling(void *data)
{
    const struct groups *g = data;
    size_t count = 0;
    QUEUE_FOREACH (node, &g->coordinators) {
        const struct coordinator *c = QUEUE_ENTRY(node, struct coordinator, node);
        for (const struct consumer_group *of = c->state->groups.groups; of != NULL; of = of->hh.next)
            count += !consumer_group_is_stable(of);
    }
    return (double)count;
}

static void add_metrics(struct groups *g)
{
    const struct groups_stats *s = &g->stats;
    const struct {
        const char *name, *help, *labels;
        const uint64_t *value;
    } counters[GROUPS_METRICS] = {
        {"flotilla_group_changes_total", "Changes of groups' members.", "change=\"joined\"", &s->joined},
        {"flotilla_group_changes_total", "Changes of groups' members.", "change=\"returned\"", &s->returned},
        {"flotilla_group_changes_total", "Changes of groups' members.", "change=\"replaced\"", &s->replaced},
        {"flotilla_group_changes_total", "Changes of groups' members.", "change=\"left\"", &s->left},
        {"flotilla_group_changes_total", "Changes of groups' members.", "change=\"died\"", &s->died},
        {"flotilla_group_steps_total", "Committed changes of groups' states, as their coordinator.", "",
         &s->steps},
        {"flotilla_group_offsets_expired_total", "Committed offsets that were forgotten after their time.",
         "", &s->expired_offsets},
    };
    for (unsigned i = 0; i < GROUPS_METRICS; i++)
        metrics_add_counter(g->options.metrics, &g->counters[i], counters[i].name, counters[i].help,
                            counters[i].labels, counters[i].value);
    metrics_add_gauge(g->options.metrics, &g->gauges[0], "flotilla_groups",
                      "Groups with members, or with a past, that this node coordinates.", "", read_groups, g);
    metrics_add_gauge(g->options.metrics, &g->gauges[1], "flotilla_group_members",
                      "Members of the groups that this node coordinates.", "", read_members, g);
    metrics_add_gauge(g->options.metrics, &g->gauges[2], "flotilla_groups_reconciling",
                      "Groups whose partitions are not all where they should be.", "", read_reconciling, g);
}

static void remove_metrics(struct groups *g)
{
    for (unsigned i = 0; i < GROUPS_METRICS; i++)
        metrics_remove(&g->counters[i]);
    for (unsigned i = 0; i < GROUPS_GAUGES; i++)
        metrics_remove(&g->gauges[i]);
}

/* ---- create, destroy ---- */

struct groups *groups_create(const struct groups_options *options)
{
    struct groups *g = memory_zalloc(sizeof(*g));
    g->options = *options;
    g->machine = offsets_state_machine;
    g->machine.data = g;
    queue_init(&g->coordinators);
    add_metrics(g);
    return g;
}

void groups_destroy(struct groups *g)
{
    remove_metrics(g);
    free(g);
}

const struct partition_state_machine *groups_state_machine(const struct groups *g)
{
    return &g->machine;
}

const struct groups_stats *groups_stats(const struct groups *g)
{
    return &g->stats;
}

/* ---- what happens to members ---- */

static const char *const changes[] = {
    [MEMBER_JOINED] = "a member joined",
    [MEMBER_RETURNED] = "a member is back",
    [MEMBER_REPLACED] = "a member was replaced by its successor",
    [MEMBER_LEFT] = "a member left",
    [MEMBER_DIED] = "a member is given up",
};

static void count_note(struct groups_stats *s, enum engine_change change)
{
    uint64_t *counters[] = {
        [MEMBER_JOINED] = &s->joined, [MEMBER_RETURNED] = &s->returned, [MEMBER_REPLACED] = &s->replaced,
        [MEMBER_LEFT] = &s->left,     [MEMBER_DIED] = &s->died,
    };
    (*counters[change])++;
}

static bool may_log(struct groups *g)
{
    uint64_t second = env_now_ms(g->options.env) / 1000;
    if (second != g->log_window_ms) {
        if (g->log_suppressed > 0)
            LOG(g->options.logger, LOG_INFO, "more changes of members than lines", "lines_left_out=%u",
                g->log_suppressed);
        g->log_window_ms = second;
        g->log_lines = g->log_suppressed = 0;
    }
    if (g->log_lines == LOG_LINES_PER_S) {
        g->log_suppressed++;
        return false;
    }
    g->log_lines++;
    return true;
}

void groups_note(struct groups *g, const struct engine_note *n)
{
    char group[GROUP_NAME_MAX * 4 + 3], member[GROUP_MEMBER_ID_MAX * 4 + 3], instance[GROUP_NAME_MAX * 4 + 3];
    char reason[96];
    count_note(&g->stats, n->change);
    if (!may_log(g))
        return;
    LOG(g->options.logger, LOG_INFO, changes[n->change],
        "consumer_group=%s member=%s instance=%s members=%zu epoch=%" PRId64 " reason=%s",
        logger_quote(group, sizeof(group), n->group), logger_quote(member, sizeof(member), n->member_id),
        logger_quote(instance, sizeof(instance), n->instance_id), n->members, n->epoch,
        logger_quote(reason, sizeof(reason), n->reason));
}

void groups_note_classic(struct groups *g, const char *group, const char *member_id, const char *what,
                         int32_t generation, size_t members)
{
    char name[GROUP_NAME_MAX * 4 + 3], member[512];
    if (!may_log(g))
        return;
    LOG(g->options.logger, LOG_INFO, what, "consumer_group=%s member=%s members=%zu generation=%" PRId32,
        logger_quote(name, sizeof(name), group), logger_quote(member, sizeof(member), member_id), members,
        generation);
}

/* ---- questions ---- */

const char *group_state_name(int state)
{
    return state == GROUP_STATE_EMPTY ? "empty" : state == GROUP_STATE_STABLE ? "stable" : "reconciling";
}

static struct group_info describe(const char *name, const struct consumer_group *g)
{
    struct group_info info = {.name = name, .protocol = "", .assignor = "", .group = g};
    if (g == NULL)
        return info;
    info.protocol = g->protocol;
    info.assignor = g->assignor;
    info.epoch = g->epoch;
    info.members = consumer_group_size(g);
    if (info.members > 0)
        info.state = consumer_group_is_stable(g) ? GROUP_STATE_STABLE : GROUP_STATE_RECONCILING;
    return info;
}

struct listing {
    const struct coordinator *coordinator;
    void (*each)(void *data, const struct group_info *info);
    void *data;
};

/* Those that have, or had, members come from their tables. */
static void list_named(void *data, const char *name)
{
    const struct listing *l = data;
    const struct group_state *state = l->coordinator->state;
    if (group_table_find(&state->groups, name) != NULL || classic_table_find(&state->classic, name) != NULL)
        return;
    struct group_info info = describe(name, NULL);
    l->each(l->data, &info);
}

void coordinator_each_group(const struct coordinator *c,
                            void (*each)(void *data, const struct group_info *info), void *data)
{
    struct listing l = {c, each, data};
    for (const struct consumer_group *g = c->state->groups.groups; g != NULL; g = g->hh.next) {
        struct group_info info = describe(g->name, g);
        each(data, &info);
    }
    offsets_table_each_group(c->state->offsets, list_named, &l);
}

bool coordinator_find_group(const struct coordinator *c, const char *name, struct group_info *info)
{
    const struct consumer_group *g = group_table_find(&c->state->groups, name);
    *info = describe(name, g);
    return g != NULL || offsets_table_has_group(c->state->offsets, name);
}

uint64_t coordinator_heartbeat_age_ms(const struct coordinator *c, const char *group, const char *member_id)
{
    return engine_heartbeat_age_ms(c->engine, group, member_id, coordinator_time(c));
}
