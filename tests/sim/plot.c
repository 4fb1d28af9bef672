#include "tests/sim/plot.h"
#include "node/broker/internal.h"
#include "tests/sim/nemesis.h"
#include <stdio.h>
#include <string.h>

enum { MS = 1000000, FIRST_GAP_MS = 300, GAP_MS = 1000 };

static const struct {
    const char *name;
    unsigned faults; /* all of which a run must be allowed to have */
} table[PLOTS] = {
    [PLOT_OF_SEED] = {"seed", 0},
    [NO_PLOT] = {"none", 0},
    [PLOT_DEPOSED] = {"deposed", 1u << FAULT_ISOLATE},
    [PLOT_AMNESIA] = {"amnesia", 1u << FAULT_CUT | 1u << FAULT_KILL},
    [PLOT_BETRAYED] = {"betrayed", 1u << FAULT_CRASH | 1u << FAULT_SPLIT},
};

const char *plot_name(enum plot_kind kind)
{
    return table[kind].name;
}

bool plot_parse(const char *text, unsigned *kind)
{
    for (unsigned k = 0; k < PLOTS; k++) {
        if (strcmp(text, table[k].name) != 0)
            continue;
        *kind = k;
        return true;
    }
    for (unsigned k = 0; k < PLOTS; k++)
        printf("  %s\n", table[k].name);
    return false;
}

enum plot_kind plot_choose(struct sim *sim, unsigned faults, enum plot_kind wanted)
{
    enum { NONE_OF = 2 }; /* as many runs have none as have two of the kinds */
    unsigned drawn = NO_PLOT + 1 + (unsigned)sim_random(sim, PLOTS - NO_PLOT - 1 + NONE_OF);
    enum plot_kind kind = wanted != PLOT_OF_SEED ? wanted : drawn < PLOTS ? (enum plot_kind)drawn : NO_PLOT;
    return (table[kind].faults & ~faults) == 0 ? kind : NO_PLOT;
}

static uint64_t draw(struct nemesis *n, uint64_t bound)
{
    return sim_random(n->sim, bound);
}

static uint64_t now_ns(const struct nemesis *n)
{
    return sim_now_ns(n->sim);
}

static void wait_ms(struct nemesis *n, uint64_t ms)
{
    n->plot.next_ns = now_ns(n) + ms * MS;
}

static void next_phase(struct nemesis *n, uint64_t at_most_ms)
{
    n->plot.phase++;
    n->plot.deadline_ns = now_ns(n) + at_most_ms * MS;
}

static bool is_overdue(const struct nemesis *n)
{
    return now_ns(n) >= n->plot.deadline_ns;
}

static void end(struct nemesis *n)
{
    nemesis_mend(n);
    n->plot.phase = 0;
    wait_ms(n, 1 + draw(n, GAP_MS));
}

static uint64_t election_timeout_ms(const struct nemesis *n)
{
    return n->cluster->nodes[0].config.election_timeout_ms;
}

static void count(struct nemesis *n)
{
    char name[COUNTER_NAME_SIZE];
    snprintf(name, sizeof(name), "plot %s", plot_name(n->plot.kind));
    counters_add(n->counters, name, 1);
    if (n->verbose)
        fprintf(stderr, "[%7llu ms] plot %s, node %u\n", (unsigned long long)(now_ns(n) / MS),
                plot_name(n->plot.kind), n->plot.node != NULL ? n->plot.node->id : 0);
}

static void cut_both_ways(struct sim_host *a, struct sim_host *b)
{
    sim_link_cut(a, b);
    sim_link_cut(b, a);
    sim_link_reset(a, b);
}

/* ---- deposed ---- */

static void note_led(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct nemesis *n = data;
    int topic = p != NULL ? history_topic_index(partition_topic(p)) : -1;
    (void)node;
    if (topic < 0 || !group_is_ready_leader(g))
        return;
    unsigned i = (unsigned)partition_index(p);
    n->plot.ends[topic][i] = history_end(n->workload->history, (unsigned)topic, i);
}

static struct sim_node *who_leads(struct nemesis *n)
{
    struct plot *p = &n->plot;
    struct sim_node *node = &n->cluster->nodes[draw(n, n->cluster->count)];
    memset(p->ends, -1, sizeof(p->ends));
    cluster_each_group(node, note_led, n);
    for (unsigned t = 0; t < HISTORY_TOPICS; t++)
        for (unsigned i = 0; i < HISTORY_PARTITIONS; i++)
            if (p->ends[t][i] >= 0)
                return node;
    return NULL;
}

static void cut_client(struct nemesis *n, struct sim_host *client, bool believes)
{
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        if ((node == n->plot.node) != believes)
            cut_both_ways(client, node->host);
    }
}

/* Its clock goes as slowly as clocks do, and the others' as fast; or it stands still until it has been
 * replaced. */
static void begin_deposition(struct nemesis *n)
{
    struct plot *p = &n->plot;
    nemesis_mend(n);
    p->believers = (unsigned)draw(n, 1u << WORKLOAD_MACHINES);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        sim_host_drift(node->host, node == p->node ? -100000 : 100000);
        if (node != p->node)
            cut_both_ways(node->host, p->node->host);
    }
    cut_client(n, n->workload->admin_host, true);
    for (unsigned i = 0; i < WORKLOAD_MACHINES; i++)
        cut_client(n, n->workload->machines[i].host, (p->believers >> i & 1) != 0);
    if (draw(n, 2) == 0)
        cluster_freeze(p->node);
    count(n);
    next_phase(n, 3 * election_timeout_ms(n) + 1000);
}

/* Something of what it led has a new leader that has acknowledged something. */
static bool is_replaced(const struct nemesis *n)
{
    for (unsigned t = 0; t < HISTORY_TOPICS; t++)
        for (unsigned i = 0; i < HISTORY_PARTITIONS; i++)
            if (n->plot.ends[t][i] >= 0 && history_end(n->workload->history, t, i) > n->plot.ends[t][i])
                return true;
    return false;
}

static void ask_the_deposed(struct nemesis *n)
{
    unsigned topic = (unsigned)draw(n, HISTORY_TOPICS), partition = (unsigned)draw(n, HISTORY_PARTITIONS);
    if (n->plot.ends[topic][partition] >= 0)
        workload_ask_end(n->workload, topic, partition);
}

static void step_deposed(struct nemesis *n)
{
    enum { IDLE, WAITING, ASKING };
    struct plot *p = &n->plot;
    if (p->phase == IDLE) {
        p->node = who_leads(n);
        if (p->node != NULL)
            begin_deposition(n);
    } else if (p->phase == WAITING) {
        if (!p->node->frozen)
            ask_the_deposed(n);
        if (is_overdue(n) || (p->node->frozen && is_replaced(n))) {
            if (p->node->frozen)
                cluster_thaw(p->node);
            next_phase(n, 2 * election_timeout_ms(n));
        }
    } else if (!is_overdue(n)) {
        ask_the_deposed(n);
    } else {
        for (unsigned i = 0; i < n->workload->machine_count; i++)
            if ((p->believers >> i & 1) != 0 && draw(n, 2) == 0)
                workload_kill_machine(n->workload, i);
        end(n);
    }
}

/* ---- amnesia ---- */

static const struct sim_producer_options *producer_of(const struct nemesis *n, unsigned machine)
{
    const struct workload_machine *m = &n->workload->machines[machine];
    return m->client != NULL && m->producer != NULL ? producer_options(m->producer) : NULL;
}

static bool is_written_by_others(const struct nemesis *n, unsigned machine, unsigned topic)
{
    for (unsigned i = 0; i < n->workload->machine_count; i++) {
        const struct sim_producer_options *o = producer_of(n, i);
        if (i != machine && o != NULL && o->topic == topic)
            return true;
    }
    return false;
}

/* An idempotent one, whose partitions fill up without it. */
static bool choose_machine(struct nemesis *n)
{
    n->plot.machine = (unsigned)draw(n, n->workload->machine_count);
    const struct sim_producer_options *o = producer_of(n, n->plot.machine);
    return o != NULL && o->idempotent && is_written_by_others(n, n->plot.machine, o->topic);
}

struct look {
    struct nemesis *nemesis;
    int topic;
    bool forgotten; /* every replica has a snapshot behind what `ends` says */
};

static bool is_of_topic(const struct look *look, const struct partition *p)
{
    return p != NULL && history_topic_index(partition_topic(p)) == look->topic;
}

static void note_last(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct look *look = data;
    (void)node;
    if (!is_of_topic(look, p))
        return;
    int64_t *last = &look->nemesis->plot.ends[look->topic][partition_index(p)];
    if ((int64_t)log_last_index(group_log(g)) > *last)
        *last = (int64_t)log_last_index(group_log(g));
}

static void look_for_memory(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct look *look = data;
    (void)node;
    if (is_of_topic(look, p) &&
        (int64_t)group_snapshot_index(g) < look->nemesis->plot.ends[look->topic][partition_index(p)])
        look->forgotten = false;
}

static struct look look_at_all(struct nemesis *n, void (*each)(void *data, struct sim_node *node,
                                                               struct group *g, struct partition *p))
{
    struct look look = {.nemesis = n, .topic = -1, .forgotten = true};
    const struct sim_producer_options *o = producer_of(n, n->plot.machine);
    if (o != NULL)
        look.topic = (int)o->topic;
    for (unsigned i = 0; i < n->cluster->count && o != NULL; i++)
        if (cluster_node_works(&n->cluster->nodes[i]))
            cluster_each_group(&n->cluster->nodes[i], each, &look);
    return look;
}

static void cut_machine(struct nemesis *n, bool hears, bool speaks)
{
    struct sim_host *host = n->workload->machines[n->plot.machine].host;
    for (unsigned i = 0; i < n->cluster->count; i++) {
        if (!hears)
            sim_link_cut(n->cluster->nodes[i].host, host);
        if (!speaks)
            sim_link_cut(host, n->cluster->nodes[i].host);
    }
}

static void kill_all(struct nemesis *n, uint64_t down_ms)
{
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (n->cluster->nodes[i].node != NULL)
            cluster_kill(&n->cluster->nodes[i], draw(n, down_ms) * MS);
}

static void step_amnesia(struct nemesis *n)
{
    enum { IDLE, DEAF, MUTE, FORGETTING, RETRYING, HEARS_MS = 100, SNAPSHOTS_MS = 5000, RETRIES_MS = 600 };
    struct plot *p = &n->plot;
    switch (p->phase) {
    case IDLE:
        if (!choose_machine(n))
            return;
        nemesis_mend(n);
        cut_machine(n, false, true);
        count(n);
        next_phase(n, 10 + draw(n, HEARS_MS));
        break;
    case DEAF:
        if (!is_overdue(n))
            return;
        cut_machine(n, false, false);
        next_phase(n, 50);
        break;
    case MUTE:
        if (!is_overdue(n))
            return;
        memset(p->ends, -1, sizeof(p->ends));
        look_at_all(n, note_last);
        next_phase(n, SNAPSHOTS_MS);
        break;
    case FORGETTING:
        if (!is_overdue(n) && !look_at_all(n, look_for_memory).forgotten)
            return;
        counters_add(n->counters, "plot amnesia complete", !is_overdue(n));
        kill_all(n, 50);
        next_phase(n, 50 + RETRIES_MS);
        break;
    default:
        if (is_overdue(n))
            end(n);
        else if (nemesis_all_work(n))
            sim_heal_all(n->sim);
    }
}

/* ---- betrayed ---- */

static void add_terms_led(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    (void)node, (void)p;
    if (group_role(g) == GROUP_LEADER)
        *(unsigned *)data += (unsigned)group_term(g);
}

static unsigned terms_led(const struct nemesis *n)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (cluster_node_works(&n->cluster->nodes[i]))
            cluster_each_group(&n->cluster->nodes[i], add_terms_led, &sum);
    return sum;
}

/* All others see only the voter, and begin anew. */
static void begin_betrayal(struct nemesis *n)
{
    struct sim_cluster *c = n->cluster;
    nemesis_mend(n);
    n->plot.node = &c->nodes[draw(n, c->count)];
    for (unsigned i = 0; i < c->count; i++) {
        uint64_t worst_ms = 40 + draw(n, 120);
        sim_disk_latency(c->nodes[i].host, 200000, worst_ms * MS);
        for (unsigned k = 0; k < c->count; k++)
            if (i != k && &c->nodes[i] != n->plot.node && &c->nodes[k] != n->plot.node)
                sim_link_cut(c->nodes[i].host, c->nodes[k].host);
    }
    kill_all(n, 20);
    n->plot.elections = 0;
    count(n);
    next_phase(n, 4 * election_timeout_ms(n));
}

/* Whom it has voted for does not reach it any more. */
static void betray(struct nemesis *n, struct sim_node *voter)
{
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        unsigned leads = 0;
        if (node != voter && cluster_node_works(node))
            cluster_each_group(node, add_terms_led, &leads);
        if (leads > 0)
            cut_both_ways(node->host, voter->host);
    }
    cluster_crash(voter, draw(n, 10) * MS);
    counters_add(n->counters, "voters_betrayed", 1);
}

static void step_betrayed(struct nemesis *n)
{
    struct plot *p = &n->plot;
    if (p->phase == 0) {
        begin_betrayal(n);
        return;
    }
    unsigned elections = terms_led(n);
    if (elections > p->elections && p->node->node != NULL && draw(n, 4) != 0)
        betray(n, p->node);
    p->elections = elections;
    if (is_overdue(n))
        end(n);
}

/* ---- all ---- */

void plot_init(struct nemesis *n, enum plot_kind kind)
{
    n->plot = (struct plot){.kind = kind};
    if (kind > NO_PLOT)
        wait_ms(n, 1 + draw(n, FIRST_GAP_MS));
}

bool plot_step(struct nemesis *n)
{
    struct plot *p = &n->plot;
    if (p->phase == 0 && (now_ns(n) < p->next_ns || n->rolling > 0 || !nemesis_all_work(n)))
        return false;
    switch (p->kind) {
    case PLOT_DEPOSED:
        step_deposed(n);
        break;
    case PLOT_AMNESIA:
        step_amnesia(n);
        break;
    case PLOT_BETRAYED:
        step_betrayed(n);
        break;
    default:
        break;
    }
    return p->phase != 0;
}
