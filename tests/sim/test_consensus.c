/* Seeded fault runs of one Raft group on three or five simulated nodes: kills, power loss of one or all,
 * partitions (one-way too), slow disks, frozen processes, reset links, transfers. An oracle outside of the
 * nodes compares everything that anybody applies; after healing, everything converges and goes on.
 *
 * Sabotage: with a guard off, some seed must be caught, or the simulator proves nothing.
 *
 *     sim_consensus [runs] [first seed] [guards]      VERBOSE=1 shows the nodes' log lines
 *     sim_consensus sabotage */
#include "env_sim.h"
#include "helper_cluster.h"
#include "probe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MS = 1000000, PORT = 9292, FAULTS_MS = 10000, HEAL_MS = 30000 };

struct profile;

struct run {
    struct sim *sim;
    struct test_cluster cluster;
    struct sim_host *hosts[MAX_NODES];
    uint64_t restart_at_ms[MAX_NODES]; /* of a node that is down */
    bool frozen[MAX_NODES];
    uint64_t acked_before;
    uint64_t newest_term; /* that has had a leader */
    uint64_t newest_ready_term;
    uint64_t judged_term; /* the newest whose votes were counted */
    struct {
        uint64_t term; /* 0: none */
        uint32_t vote;
    } counted[MAX_NODES]; /* of each node, what it must remember */
    unsigned isolated;    /* by the last rotation */
    bool trims;
    const struct profile *profile;
};

static uint64_t now_ms(const struct run *r)
{
    return sim_now_ns(r->sim) / MS;
}

/* ---- nodes ---- */

static void start(struct run *r, unsigned i)
{
    struct test_node *node = &r->cluster.nodes[i];
    node->env = sim_host_env(r->hosts[i]);
    if (!node->env)
        node->env = sim_host_restart(r->hosts[i]);
    node_start(node);
}

static void bring_down(struct run *r, unsigned i, bool power)
{
    struct test_node *node = &r->cluster.nodes[i];
    if (!node->up)
        return;
    if (power)
        sim_host_crash(r->hosts[i]);
    else
        sim_host_kill(r->hosts[i]);
    node_forget(node);
    node->logger = NULL;
    r->frozen[i] = false;
    r->restart_at_ms[i] = now_ms(r) + sim_random(r->sim, sim_random(r->sim, 2) ? 50 : 800);
}

static void power_loss(struct run *r)
{
    sim_crash_all(r->sim);
    for (unsigned i = 0; i < r->cluster.n; i++) {
        if (!r->cluster.nodes[i].up)
            continue;
        node_forget(&r->cluster.nodes[i]);
        r->cluster.nodes[i].logger = NULL;
        r->frozen[i] = false;
        r->restart_at_ms[i] = now_ms(r) + sim_random(r->sim, 300);
    }
}

/* ---- faults ---- */

static void on_transferred(void *data, int status)
{
    (void)data;
    (void)status;
}

static void heal(struct run *r)
{
    sim_heal_all(r->sim);
    for (unsigned i = 0; i < r->cluster.n; i++) {
        if (r->frozen[i])
            sim_host_thaw(r->hosts[i]);
        r->frozen[i] = false;
    }
}

static void calm(struct run *r)
{
    heal(r);
    sim_network_latency(r->sim, 30000, 150000);
    for (unsigned i = 0; i < r->cluster.n; i++)
        sim_disk_latency(r->hosts[i], 200000, 600000);
}

static void transfer(struct run *r)
{
    struct test_node *leader = cluster_leader(&r->cluster, 0);
    if (leader)
        group_transfer(leader->groups[0].group, 0, on_transferred, NULL);
}

/* Leaders, also those that are not ready yet, are where faults hurt. */
static unsigned victim(struct run *r)
{
    unsigned a = (unsigned)sim_random(r->sim, r->cluster.n);
    uint64_t term = 0;
    if (sim_random(r->sim, 3) == 0)
        return a;
    for (unsigned i = 0; i < r->cluster.n; i++) {
        const struct test_node *node = &r->cluster.nodes[i];
        if (node->up && node->groups[0].role == GROUP_LEADER && node->groups[0].term > term) {
            term = node->groups[0].term;
            a = i;
        }
    }
    return a;
}

static void freeze(struct run *r, unsigned a)
{
    if (!r->cluster.nodes[a].up || r->frozen[a])
        return;
    sim_host_freeze(r->hosts[a]);
    r->frozen[a] = true;
}

static void slow_network(struct run *r)
{
    uint64_t worst = 1 + sim_random(r->sim, 40);
    sim_network_latency(r->sim, 30000, worst * MS);
}

static void slow_disk(struct run *r, unsigned a)
{
    uint64_t worst = 1 + sim_random(r->sim, 300);
    sim_disk_latency(r->hosts[a], 200000, worst * MS);
}

enum fault {
    FAULT_KILL,
    FAULT_POWER,
    FAULT_POWER_ALL,
    FAULT_ISOLATE,
    FAULT_CUT,
    FAULT_DISK,
    FAULT_NETWORK,
    FAULT_RESET,
    FAULT_FREEZE,
    FAULT_TRANSFER,
    FAULT_CALM,
    FAULT_HEAL,
    FAULT_ROTATE,
    FAULT_SPLIT,
    FAULTS
};

/* Faults at the worst moment: who has just voted a leader in loses power; or all do when a leader has just
 * committed its first entry, and it is the last one to be back. */
enum betrayal { NO_BETRAYAL, BETRAY_THE_ELECTED, BETRAY_THE_COMMITTED };

/* What happens how often, and how far apart. */
struct profile {
    unsigned weights[FAULTS];
    unsigned gap_ms;
    unsigned disk_ms;    /* worst, from the start */
    unsigned network_ms; /* likewise */
    enum betrayal betrayal;
    bool uneven; /* half of the disks are fast */
};
static const struct profile profiles[] = {
    /* a bit of everything */
    {{1, 3, 1, 3, 2, 1, 1, 1, 1, 1, 1, 4, 0, 0}, 120, 0, 0, NO_BETRAYAL, false},
    /* elections on slow disks */
    {{1, 8, 2, 2, 1, 3, 0, 1, 0, 1, 0, 4, 1, 1}, 60, 150, 2, NO_BETRAYAL, false},
    /* leaders cut off on a slow network */
    {{0, 2, 0, 6, 4, 1, 3, 1, 1, 2, 0, 8, 2, 0}, 60, 5, 25, NO_BETRAYAL, false},
    /* one node after the other cut off */
    {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 12, 0}, 300, 20, 10, BETRAY_THE_COMMITTED, false},
    /* two nodes that do not see each other, and a third one that both need */
    {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 6}, 200, 120, 1, BETRAY_THE_ELECTED, false},
    /* old leaders that come back with a stale suffix, on disks of which half are slow */
    {{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 12, 0}, 400, 150, 1, BETRAY_THE_COMMITTED, true},
};
enum { PROFILES = sizeof profiles / sizeof profiles[0] };

static enum fault draw_fault(struct run *r)
{
    unsigned total = 0;
    for (unsigned f = 0; f < FAULTS; f++)
        total += r->profile->weights[f];
    uint64_t at = sim_random(r->sim, total);
    unsigned f = 0;
    while (at >= r->profile->weights[f])
        at -= r->profile->weights[f++];
    return (enum fault)f;
}

static void cut(struct run *r, unsigned a)
{
    unsigned b = (unsigned)sim_random(r->sim, r->cluster.n);
    if (a == b)
        return;
    if (sim_random(r->sim, 2))
        sim_link_cut(r->hosts[a], r->hosts[b]);
    else
        sim_link_cut(r->hosts[b], r->hosts[a]);
}

static void reset_links(struct run *r, unsigned a)
{
    for (unsigned b = 0; b < r->cluster.n; b++)
        if (a != b)
            sim_link_reset(r->hosts[a], r->hosts[b]);
}

/* Who was cut off is back at the moment when another one is cut off. */
static void rotate(struct run *r, unsigned a)
{
    heal(r);
    sim_host_isolate(r->hosts[a]);
    r->isolated = a;
}

/* Two candidates that don't hear of each other, and a voter that may lose its memory in between. */
static void split(struct run *r)
{
    unsigned voter = (unsigned)sim_random(r->sim, r->cluster.n);
    heal(r);
    for (unsigned i = 0; i < r->cluster.n; i++)
        for (unsigned k = 0; k < r->cluster.n; k++)
            if (i != k && i != voter && k != voter)
                sim_link_cut(r->hosts[i], r->hosts[k]);
    if (sim_random(r->sim, 2))
        bring_down(r, voter, true);
}

static void fault(struct run *r)
{
    unsigned a = victim(r);
    switch (draw_fault(r)) {
    case FAULT_KILL:
        bring_down(r, a, false);
        break;
    case FAULT_POWER:
        bring_down(r, a, true);
        break;
    case FAULT_POWER_ALL:
        power_loss(r);
        break;
    case FAULT_ISOLATE:
        sim_host_isolate(r->hosts[a]);
        break;
    case FAULT_CUT:
        cut(r, a);
        break;
    case FAULT_DISK:
        slow_disk(r, a);
        break;
    case FAULT_NETWORK:
        slow_network(r);
        break;
    case FAULT_RESET:
        reset_links(r, a);
        break;
    case FAULT_FREEZE:
        freeze(r, a);
        break;
    case FAULT_TRANSFER:
        transfer(r);
        break;
    case FAULT_CALM:
        calm(r);
        break;
    case FAULT_ROTATE:
        rotate(r, a);
        break;
    case FAULT_SPLIT:
        split(r);
        break;
    default:
        heal(r);
    }
}

/* ---- load ---- */

/* Retention: what a replica that was away needs may be gone. */
static void trim(struct run *r)
{
    unsigned i = (unsigned)sim_random(r->sim, r->cluster.n);
    struct test_node *node = &r->cluster.nodes[i];
    if (node->up && !r->frozen[i] && node->groups[0].open && !node->groups[0].failed)
        group_trim(node->groups[0].group, node->groups[0].next_offset);
}

static void propose(struct run *r)
{
    for (unsigned i = 0; i < r->cluster.n; i++) {
        struct test_node *node = &r->cluster.nodes[i];
        if (!node->up || r->frozen[i] || !node->groups[0].open ||
            !group_is_ready_leader(node->groups[0].group))
            continue;
        if (group_inflight_bytes(node->groups[0].group) < 200000)
            cluster_propose(&r->cluster, node, 0, sim_random(r->sim, 10) ? 50 : 20000);
    }
}

static void restart_due(struct run *r, bool all)
{
    for (unsigned i = 0; i < r->cluster.n; i++)
        if (!r->cluster.nodes[i].up && (all || now_ms(r) >= r->restart_at_ms[i]))
            start(r, i);
}

static void step(struct run *r, uint64_t ns)
{
    sim_run_for(r->sim, ns);
}

static void betray_elected(struct run *r, unsigned leader)
{
    for (unsigned k = 0; k < r->cluster.n; k++)
        if (k != leader && sim_random(r->sim, 2))
            bring_down(r, k, true);
}

/* Whoever was cut off comes back with its stale suffix just as a leader is elected, and the follower that has
 * voted for it is cut off instead. */
static void swap_followers(struct run *r, unsigned leader)
{
    unsigned voter = (unsigned)sim_random(r->sim, r->cluster.n);
    if (voter != leader && voter != r->isolated)
        rotate(r, voter);
}

static void betray_committed(struct run *r, unsigned leader)
{
    if (sim_random(r->sim, 2))
        return;
    if (r->profile->uneven && sim_random(r->sim, 2)) {
        heal(r);
        bring_down(r, leader, true);
    } else {
        power_loss(r);
    }
    r->restart_at_ms[leader] = now_ms(r) + 1000;
}

static void betray(struct run *r)
{
    for (unsigned i = 0; i < r->cluster.n; i++) {
        const struct test_group *t = &r->cluster.nodes[i].groups[0];
        if (!r->cluster.nodes[i].up || t->role != GROUP_LEADER)
            continue;
        if (t->term > r->newest_term && r->profile->betrayal == BETRAY_THE_ELECTED)
            betray_elected(r, i);
        else if (t->term > r->newest_term)
            swap_followers(r, i);
        else if (t->ready && t->term > r->newest_ready_term && r->profile->betrayal == BETRAY_THE_COMMITTED) {
            r->newest_ready_term = t->term;
            betray_committed(r, i);
        }
        if (t->term > r->newest_term)
            r->newest_term = t->term;
    }
}

/* ---- votes ---- */

static bool look_at_vote(const struct run *r, unsigned i, struct probed_vote *v)
{
    const struct test_node *node = &r->cluster.nodes[i];
    return node->up && node->groups[0].open && probe_vote(node->groups[0].group, v);
}

/* A leader has a majority's votes. Where only so many can have given theirs, each of them has; who can't be
 * looked at may have, and who has gone on to a newer term. */
static void count_votes(struct run *r, const struct probed_vote *leader, uint32_t id)
{
    struct probed_vote v;
    unsigned possible = 0;
    r->judged_term = leader->term;
    for (unsigned i = 0; i < r->cluster.n; i++)
        possible +=
            !look_at_vote(r, i, &v) || v.term > leader->term || (v.term == leader->term && v.vote == id);
    if (possible != r->cluster.n / 2 + 1)
        return;
    for (unsigned i = 0; i < r->cluster.n; i++) {
        if (!look_at_vote(r, i, &v) || v.term != leader->term || v.vote != id)
            continue;
        r->counted[i].term = v.term;
        r->counted[i].vote = id;
    }
}

/* A vote that was counted is not forgotten, whatever happens to the voter's power. */
static void judge_votes(struct run *r)
{
    struct probed_vote v;
    for (unsigned i = 0; i < r->cluster.n; i++) {
        if (!look_at_vote(r, i, &v))
            continue;
        if (!v.damaged &&
            (v.term < r->counted[i].term || (v.term == r->counted[i].term && v.vote != r->counted[i].vote)))
            snprintf(r->cluster.violation, sizeof r->cluster.violation,
                     "node %u has forgotten its vote for node %u in term %llu", i + 1, r->counted[i].vote,
                     (unsigned long long)r->counted[i].term);
        if (v.leads && v.term > r->judged_term)
            count_votes(r, &v, i + 1);
    }
}

/* ---- one run ---- */

static bool converged(struct run *r)
{
    struct test_cluster *c = &r->cluster;
    return all_open(c, NULL) && has_leader(c, NULL) && all_applied(c, NULL) &&
           c->acked > r->acked_before + 20;
}

static void set_up(struct run *r, uint64_t seed, unsigned n, unsigned guards)
{
    memset(r, 0, sizeof *r);
    r->sim = sim_create(seed);
    cluster_init_bare(&r->cluster, n, 1);
    r->cluster.guards = guards;
    r->profile = &profiles[seed % PROFILES];
    if (r->profile->network_ms)
        sim_network_latency(r->sim, 30000, r->profile->network_ms * (uint64_t)MS);
    r->cluster.entry_memory_bytes = sim_random(r->sim, 2) ? 64 << 10 : 1 << 20;
    r->trims = sim_random(r->sim, 2);
    r->cluster.segment_bytes = r->trims ? 64 << 10 : 1 << 20;
    for (unsigned i = 0; i < n; i++) {
        struct test_node *node = &r->cluster.nodes[i];
        snprintf(node->host, sizeof node->host, "n%u", i + 1);
        node->port = PORT;
        r->hosts[i] = sim_host_create(r->sim, node->host);
        if (r->profile->disk_ms && (!r->profile->uneven || sim_random(r->sim, 2) == 0))
            sim_disk_latency(r->hosts[i], 200000, r->profile->disk_ms * (uint64_t)MS);
        start(r, i);
    }
}

static void tear_down(struct run *r)
{
    sim_destroy(r->sim);
    for (unsigned i = 0; i < r->cluster.n; i++)
        r->cluster.nodes[i].logger = NULL;
    cluster_close(&r->cluster);
}

static const char *run_faults(struct run *r)
{
    uint64_t next_fault_ms = 500;
    while (now_ms(r) < FAULTS_MS && !r->cluster.violation[0]) {
        step(r, sim_random(r->sim, 1000000));
        propose(r);
        restart_due(r, false);
        judge_votes(r);
        if (r->trims && sim_random(r->sim, 200) == 0)
            trim(r);
        if (r->profile->betrayal)
            betray(r);
        if (now_ms(r) >= next_fault_ms) {
            fault(r);
            next_fault_ms = now_ms(r) + 1 + sim_random(r->sim, 2 * r->profile->gap_ms);
        }
    }
    return r->cluster.violation[0] ? r->cluster.violation : NULL;
}

static const char *run_healing(struct run *r)
{
    calm(r);
    restart_due(r, true);
    r->acked_before = r->cluster.acked;
    uint64_t end_ms = now_ms(r) + HEAL_MS;
    uint64_t quiet_after_ms = now_ms(r) + HEAL_MS / 2;
    while (!r->cluster.violation[0] && now_ms(r) < end_ms) {
        step(r, MS);
        if (now_ms(r) < quiet_after_ms && r->cluster.acked < r->acked_before + 100)
            propose(r);
        if (converged(r))
            return NULL;
    }
    return r->cluster.violation[0] ? r->cluster.violation : "no convergence after healing";
}

static void print_state(struct run *r)
{
    for (unsigned i = 0; i < r->cluster.n; i++) {
        struct test_node *node = &r->cluster.nodes[i];
        struct test_group *t = &node->groups[0];
        printf("   node %u up %d open %d failed %d role %d term %llu ready %d applied %llu", node->id,
               node->up, t->open, t->failed, t->role, (unsigned long long)t->term, t->ready,
               (unsigned long long)t->applied);
        if (node->up && t->open)
            printf(" commit %llu snapshot %llu last %llu leader %u caught up %d",
                   (unsigned long long)group_commit_index(t->group),
                   (unsigned long long)group_snapshot_index(t->group),
                   (unsigned long long)log_last_index(group_log(t->group)), group_leader(t->group),
                   group_caught_up(t->group));
        printf("\n");
    }
}

/* True: nothing wrong. */
static bool run_seed(uint64_t seed, unsigned guards, bool expect_trouble)
{
    static struct run r;
    set_up(&r, seed, seed % 8 >= 6 ? 5 : 3, guards);
    const char *what = run_faults(&r);
    if (!what)
        what = run_healing(&r);
    if (what && !expect_trouble) {
        printf("seed %llu guards 0x%x at %llu ms: %s\n", (unsigned long long)seed, guards,
               (unsigned long long)now_ms(&r), what);
        print_state(&r);
    } else if (!what && getenv("VERBOSE")) {
        printf("seed %llu ok: committed %llu acked %llu lost %llu refused %llu hash %016llx\n",
               (unsigned long long)seed, (unsigned long long)r.cluster.committed,
               (unsigned long long)r.cluster.acked, (unsigned long long)r.cluster.lost,
               (unsigned long long)r.cluster.refused, (unsigned long long)sim_hash(r.sim));
    }
    bool ok = !what;
    tear_down(&r);
    return ok;
}

/* ---- sabotage ---- */

/* In a process of its own: without its guards the core may die of an assertion, which is a way to be noticed
 * too. */
static bool is_caught(uint64_t seed, unsigned guards)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        if (freopen("/dev/null", "w", stderr) == NULL)
            abort();
        _exit(!run_seed(seed, guards, true));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    return status != 0;
}

/* Each guard, and the profile whose faults meet with what it prevents. */
static const struct sabotage {
    enum consensus_guard guard;
    const char *name;
    uint64_t profile;
} sabotages[] = {
    {GUARD_HOLD_UNTIL_DURABLE, "hold_until_durable", 4},
    {GUARD_ACK_CAP, "ack_cap (G1)", 5},
};

/* In how many seeds, at most `runs`; 0: not at all. */
static unsigned seeds_until_caught(unsigned guard, uint64_t profile, unsigned runs)
{
    for (unsigned i = 0; i < runs; i++)
        if (is_caught(i * PROFILES + profile, GUARD_ALL & ~guard))
            return i + 1;
    return 0;
}

static int sabotage_all(unsigned runs)
{
    unsigned missed = 0;
    for (size_t i = 0; i < sizeof sabotages / sizeof sabotages[0]; i++) {
        unsigned n = seeds_until_caught(sabotages[i].guard, sabotages[i].profile, runs);
        if (n > 0)
            printf("without %-22s caught in %u seeds\n", sabotages[i].name, n);
        else
            printf("without %-22s NOT caught in %u seeds\n", sabotages[i].name, runs);
        missed += n == 0;
        fflush(stdout);
    }
    return missed != 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "without") == 0) {
        printf("%s profile %s: %u\n", argv[2], argv[3],
               seeds_until_caught((unsigned)strtoul(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), 60));
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "sabotage") == 0)
        return sabotage_all(500);
    unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 20;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    unsigned guards = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : GUARD_ALL;
    unsigned bad = 0;
    printf("seeds %llu to %llu, guards 0x%x\n", (unsigned long long)first,
           (unsigned long long)(first + runs - 1), guards);
    for (unsigned i = 0; i < runs; i++)
        bad += !run_seed(first + i, guards, false);
    printf("%u of %u runs failed\n", bad, runs);
    return bad != 0;
}
