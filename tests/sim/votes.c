#include "tests/sim/votes.h"
#include "node/base/memory.h"
#include "node/broker/internal.h"
#include "node/cluster/cluster.h"
#include "tests/sim/probe.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

struct voted_group {
    uint64_t id;
    char name[TOPIC_NAME_MAX + 16];
    bool is_judged;
    uint64_t led_term; /* the newest that had a leader */
    struct {
        uint64_t step; /* when it was seen last */
        uint64_t term;
        uint32_t vote;       /* 0: none */
        bool pending;        /* its journal is not on disk yet */
        uint64_t heard_term; /* the newest in which its vote was counted; 0: none */
        uint32_t heard_vote; /* for whom */
    } nodes[CLUSTER_MAX_NODES];
    UT_hash_handle hh;
};

/* One look at everything. */
struct round {
    struct votes *votes;
    const struct sim_node *excused;
    struct elected {
        struct voted_group *group;
        uint32_t leader;
        uint32_t voters; /* a mask of 1 << (id - 1) */
    } elected[64];
    unsigned elections;
};

void votes_init(struct votes *v, struct sim_cluster *cluster, struct history *history)
{
    *v = (struct votes){.cluster = cluster, .history = history};
}

/* A node that has deleted a replica and starts again before it knows that the topic is gone makes a blank
 * one. */
static bool is_there_for_good(const struct partition *p)
{
    return p == NULL || strncmp(partition_topic(p), "churn", 5) != 0;
}

static struct voted_group *group_add(struct votes *v, const struct group *g, const struct partition *p)
{
    struct voted_group *k = memory_zalloc(sizeof(*k));
    k->id = group_id(g);
    k->is_judged = is_there_for_good(p);
    if (p == NULL)
        snprintf(k->name, sizeof(k->name), "group 0");
    else
        snprintf(k->name, sizeof(k->name), "%s/%u", partition_topic(p), partition_index(p));
    HASH_ADD(hh, v->groups, id, sizeof(k->id), k);
    return k;
}

static struct voted_group *group_of(struct votes *v, const struct group *g, const struct partition *p)
{
    uint64_t id = group_id(g);
    struct voted_group **recent = &v->recent[id % VOTES_RECENT];
    if (*recent == NULL || (*recent)->id != id)
        HASH_FIND(hh, v->groups, &id, sizeof(id), *recent);
    if (*recent == NULL)
        *recent = group_add(v, g, p);
    return *recent;
}

static void check_memory(struct votes *v, const struct voted_group *k, unsigned i)
{
    uint64_t term = k->nodes[i].term, heard = k->nodes[i].heard_term;
    if (term > heard || (term == heard && k->nodes[i].vote == k->nodes[i].heard_vote))
        return;
    history_fail(v->history,
                 "%s: node %u has voted for node %u in term %" PRIu64
                 ", which was counted, and has forgotten it: now it is in term %" PRIu64
                 " with a vote for %u",
                 k->name, i + 1, k->nodes[i].heard_vote, heard, term, k->nodes[i].vote);
}

static void look_at(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    struct round *r = data;
    struct probed_vote now;
    struct voted_group *k = group_of(r->votes, g, p);
    if (!k->is_judged || !probe_vote(g, &now))
        return;
    unsigned i = n->id - 1;
    k->nodes[i].step = r->votes->steps;
    k->nodes[i].term = now.term;
    k->nodes[i].vote = now.vote;
    k->nodes[i].pending = now.pending;
    if (n != r->excused && !now.damaged)
        check_memory(r->votes, k, i);
    if (!now.leads || now.term <= k->led_term || r->elections == sizeof(r->elected) / sizeof(r->elected[0]))
        return;
    k->led_term = now.term;
    r->elected[r->elections++] = (struct elected){k, n->id, now.voters};
}

/* Who can't be looked at may have voted, too, and who has gone on to a newer term since. */
static void count_votes(struct votes *v, const struct elected *e)
{
    struct voted_group *k = e->group;
    unsigned voters = (unsigned)__builtin_popcount(e->voters), possible = 0;
    uint32_t given = 0;
    for (unsigned i = 0; i < CLUSTER_MAX_NODES; i++) {
        if ((e->voters >> i & 1) == 0)
            continue;
        bool seen = v->looked[i] != 0 && k->nodes[i].step == v->looked[i];
        bool voted = seen && k->nodes[i].term == k->led_term && k->nodes[i].vote == e->leader;
        bool gone_on = seen && k->nodes[i].term > k->led_term;
        given |= (uint32_t)voted << i;
        possible += voted || gone_on || !seen;
    }
    if (voters < 2 || possible != voters / 2 + 1)
        return;
    for (unsigned i = 0; i < CLUSTER_MAX_NODES; i++) {
        if ((given >> i & 1) == 0)
            continue;
        k->nodes[i].heard_term = k->led_term;
        k->nodes[i].heard_vote = e->leader;
        counters_add(v->history->counters, "votes_counted", 1);
        if (k->nodes[i].pending && i + 1 != e->leader)
            v->unsure = &v->cluster->nodes[i];
    }
}

void votes_step(struct votes *v, const struct sim_node *excused)
{
    struct round r; /* not cleared: it is large, and hardly ever has more than a few */
    r.votes = v;
    r.excused = excused;
    r.elections = 0;
    v->steps++;
    v->unsure = NULL;
    for (unsigned i = 0; i < v->cluster->count; i++) {
        struct sim_node *n = &v->cluster->nodes[i];
        if (n->node == NULL || n->stopping || n->disk_of != n->id) {
            v->looked[i] = 0;
            continue;
        }
        if (v->looked[i] != 0 && !n->has_run)
            continue;
        v->looked[i] = v->steps;
        cluster_each_group(n, look_at, &r);
    }
    for (unsigned i = 0; i < r.elections; i++)
        count_votes(v, &r.elected[i]);
}
