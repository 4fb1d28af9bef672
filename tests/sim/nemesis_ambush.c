/* A disk fails when it hurts most: see struct ambush. */
#include "node/consensus/group_internal.h"
#include "node/storage/journal_internal.h"
#include "tests/sim/nemesis_internal.h"
#include "tests/sim/nemesis_pair.h"
#include <inttypes.h>

enum { WHOLE_AGAIN_MS = 3000, PAIR_PATIENCE_MS = 3500 };

static void look_for_any_leader(void *data, struct sim_node *n, struct group *g, struct partition *p)
{
    (void)n, (void)p;
    if (group_role(g) == GROUP_LEADER)
        *(bool *)data = true;
}

static bool is_lagging(const struct nemesis *n, unsigned i)
{
    return (n->ambush.lagging >> i & 1) != 0;
}

/* A damaged replica still knows its term, but counts for a leader that cannot know that it is deposed, and
 * lacks what the others have acknowledged meanwhile. */
static bool lagging_lead(const struct nemesis *n)
{
    bool leads = false;
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (is_lagging(n, i) && cluster_node_works(&n->cluster->nodes[i]))
            cluster_each_group(&n->cluster->nodes[i], look_for_any_leader, &leads);
    return leads;
}

bool nemesis_all_work(const struct nemesis *n)
{
    for (unsigned i = 0; i < n->cluster->count; i++)
        if (!cluster_node_works(&n->cluster->nodes[i]))
            return false;
    return true;
}

/* Fewer than a majority are left behind. One that stands still may believe afterwards that it leads. */
static void leave_behind(struct nemesis *n, const struct sim_node *victim)
{
    bool freezes = n->ambush.kind == AMBUSH_WIPES && nemesis_draw(n, 2) == 0;
    unsigned left = (n->cluster->count - 1) / 2, first = (unsigned)nemesis_draw(n, n->cluster->count);
    for (unsigned i = 0; left > 0; i++) {
        struct sim_node *node = &n->cluster->nodes[(first + i) % n->cluster->count];
        if (node == victim)
            continue;
        n->ambush.lagging |= 1u << (node->id - 1);
        sim_host_isolate(node->host);
        if (freezes)
            cluster_freeze(node);
        left--;
    }
}

struct damage_search {
    const struct journal *journal;
    bool found;
};

static void look_into_journal(void *data, uint64_t group_id)
{
    struct damage_search *search = data;
    struct journal_group state = {0};
    journal_get(search->journal, group_id, &state);
    search->found |= state.damaged;
}

static void look_for_recent_repair(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    struct damage_search *search = data;
    (void)node, (void)p;
    search->found |= journal_durable(search->journal) < g->damaged_sequence;
}

/* As the journals on the disks say, also of replicas that are not open yet.
 * A replica counts as damaged while it starts over, because retention has overtaken it, too: with a second
 * one harmed only the third has everything, and an ambush leaves that behind. */
static bool all_whole(const struct nemesis *n)
{
    bool damaged = false;
    for (unsigned i = 0; i < n->cluster->count && !damaged; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        if (!cluster_node_works(node))
            continue;
        struct damage_search search = {.journal = node->node->journal};
        journal_each(search.journal, look_into_journal, &search);
        cluster_each_group(node, look_for_recent_repair, &search);
        damaged = search.found;
    }
    return !damaged;
}

static bool begin_ambush(struct nemesis *n, struct sim_node *victim, enum ambush_kind kind)
{
    if (n->swapped[0] != NULL || n->rolling > 0 || !nemesis_all_work(n) || !all_whole(n))
        return false;
    nemesis_mend(n);
    n->faulty_disk = victim;
    n->ambush = (struct ambush){.node = victim, .kind = kind};
    if (kind == AMBUSH_DAMAGES) { /* a little later more logs are old, and the journal must say so again */
        nemesis_note_floored(n, victim->node->journal);
        n->old.journal_sequence = victim->node->journal->sequence;
    }
    leave_behind(n, victim);
    uint64_t leads_at_most_ms = 3 * victim->config.election_timeout_ms;
    n->ambush.due_ns = sim_now_ns(n->sim) + (leads_at_most_ms + nemesis_draw(n, 400)) * MS;
    return true;
}

static void wipe_now(struct nemesis *n)
{
    sim_disk_wipe(n->ambush.node->host);
    n->ambush.node->disks++;
    nemesis_heal_disk(n, n->ambush.node);
    counters_add(n->counters, "disks_wiped", 1);
}

static void damage_now(struct nemesis *n)
{
    if (n->ambush.kind == AMBUSH_FAILS_SYNCS) {
        nemesis_heal_disk(n, n->ambush.node);
    } else if (n->ambush.kind == AMBUSH_WIPES) {
        if (!n->ambush.wiped)
            wipe_now(n);
    } else if (n->old.damage == SIM_CUT_FILE) {
        nemesis_cut_logs(n);
    } else {
        nemesis_damage_file(n);
    }
}

static void spring_ambush(struct nemesis *n)
{
    if (n->verbose)
        fprintf(stderr, "[%7" PRIu64 " ms] ambush, node %u; left behind: 0x%x\n", sim_now_ns(n->sim) / MS,
                n->ambush.node->id, n->ambush.lagging);
    nemesis_calm_network(n);
    for (unsigned i = 0; i < n->cluster->count; i++) {
        struct sim_node *node = &n->cluster->nodes[i];
        uint64_t down_ns = node == n->ambush.node ? 20 * MS : 1000 * (uint64_t)MS + nemesis_draw_down_ns(n);
        if (!is_lagging(n, i) && node->node != NULL)
            cluster_crash(node, down_ns);
        if (is_lagging(n, i) && node->frozen)
            cluster_thaw(node);
    }
    damage_now(n);
    counters_add(n->counters, "ambushes", 1);
    n->ambush.sprung = true;
}

/* ---- an emptied disk that has begun to be filled ---- */

/* By whom leads the metadata group, and neither lags nor is the victim. */
static bool can_be_filled(const struct nemesis *n)
{
    const struct sim_node *controller = cluster_controller_node(n->cluster);
    return n->ambush.kind == AMBUSH_WIPES && controller != NULL && controller != n->ambush.node &&
           !is_lagging(n, controller->id - 1);
}

static void begin_to_fill(struct nemesis *n)
{
    enum { PATIENCE_MS = 2000 };
    struct ambush *a = &n->ambush;
    cluster_crash(a->node, 20 * MS);
    wipe_now(n);
    a->wiped = true;
    a->due_ns = sim_now_ns(n->sim) + PATIENCE_MS * (uint64_t)MS;
}

static void look_for_entries(void *data, struct sim_node *node, struct group *g, struct partition *p)
{
    (void)node, (void)p;
    if (group_id(g) == METADATA_GROUP_ID)
        *(bool *)data = log_last_index(group_log(g)) > FIRST_INDEX;
}

/* At once when the first entries are there, or in the middle of the rest. */
static void step_filling(struct nemesis *n)
{
    struct ambush *a = &n->ambush;
    if (a->filled || !cluster_node_works(a->node))
        return;
    cluster_each_group(a->node, look_for_entries, &a->filled);
    if (!a->filled)
        return;
    uint64_t now_ns = sim_now_ns(n->sim);
    a->due_ns = nemesis_draw(n, 2) == 0 ? now_ns : now_ns + nemesis_draw(n, 30) * MS;
    counters_add(n->counters, "newcomers_killed", 1);
}

void nemesis_step_ambush(struct nemesis *n)
{
    uint64_t now_ns = sim_now_ns(n->sim);
    struct ambush *a = &n->ambush;
    if (a->sprung && !nemesis_all_work(n))
        a->due_ns = now_ns + WHOLE_AGAIN_MS * (uint64_t)MS;
    if (!a->sprung && a->kind == AMBUSH_DAMAGES)
        nemesis_check_floored(n, a->node);
    if (a->wiped && !a->sprung)
        step_filling(n);
    if (now_ns < a->due_ns)
        return;
    if (a->sprung) {
        *a = (struct ambush){0};
    } else if (a->wiped) {
        spring_ambush(n);
        a->due_ns = now_ns + WHOLE_AGAIN_MS * (uint64_t)MS;
    } else if (!cluster_node_works(a->node) || !all_whole(n)) {
        nemesis_mend(n);
        *a = (struct ambush){0};
    } else if ((a->kind != AMBUSH_WIPES && lagging_lead(n)) ||
               (a->kind == AMBUSH_DAMAGES && !nemesis_old_bytes_are_old(n))) {
        a->due_ns = now_ns + 100 * MS;
    } else if (a->kind == AMBUSH_FAILS_SYNCS && !a->failing) {
        sim_disk_fail_syncs(a->node->host, 500000);
        a->failing = true;
        a->due_ns = now_ns + (50 + nemesis_draw(n, 200)) * MS;
    } else if (can_be_filled(n) && nemesis_draw(n, 3) != 0) {
        begin_to_fill(n);
    } else {
        spring_ambush(n);
        a->due_ns = now_ns + WHOLE_AGAIN_MS * (uint64_t)MS;
    }
}

/* A second faulty disk might be too much. */
void nemesis_wipe(struct nemesis *n, struct sim_node *v)
{
    if (n->faulty_disk == NULL || n->faulty_disk == v)
        begin_ambush(n, v, AMBUSH_WIPES);
}

/* With a second replica harmed, the third one's disk and what is under repair must be left alone. */
void nemesis_damage_old_bytes(struct nemesis *n)
{
    bool ends = n->old.damage == SIM_CUT_FILE;
    if (n->pair_harmed && (!nemesis_all_work(n) || !all_whole(n)))
        return;
    n->pair_harmed = false;
    if (n->old.in_pair && sim_now_ns(n->sim) < n->old.since_ns + PAIR_PATIENCE_MS * (uint64_t)MS) {
        n->pair_harmed = n->swapped[0] == NULL && all_whole(n) && nemesis_harm_pair(n->cluster, n->old.node);
        if (n->pair_harmed)
            n->old.node = NULL;
        return;
    }
    if (nemesis_draw(n, 4) < (ends ? 3 : 2) && begin_ambush(n, n->old.node, AMBUSH_DAMAGES))
        return;
    if (ends)
        cluster_kill(n->old.node, nemesis_draw_down_ns(n));
    nemesis_damage_file(n);
}

void nemesis_fail_syncs(struct nemesis *n, struct sim_node *v)
{
    if (nemesis_draw(n, 2) == 0 && begin_ambush(n, nemesis_faulty_disk(n, v), AMBUSH_FAILS_SYNCS))
        return;
    nemesis_break_syncs(n, v);
}
