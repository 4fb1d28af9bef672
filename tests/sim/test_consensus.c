/* Seeded fault runs of one Raft group on three or five simulated nodes: kills, power loss of one or all,
 * partitions (one-way too), slow disks, frozen processes, reset links, transfers. An oracle outside of the
 * nodes compares everything that anybody applies; after healing, everything converges and goes on.
 *
 * Sabotage: with a guard off, some seed must be caught, or the simulator proves nothing.
 *
 *     sim_consensus [runs] [first seed] [guards]      VERBOSE=1 shows the nodes' log lines */
#include "env_sim.h"
#include "helper_cluster.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MS = 1000000, PORT = 9292, FAULTS_MS = 6000, HEAL_MS = 30000 };

struct run {
    struct sim *sim;
    struct test_cluster cluster;
    struct sim_host *hosts[MAX_NODES];
    uint64_t restart_at_ms[MAX_NODES]; /* of a node that is down */
    bool frozen[MAX_NODES];
    uint64_t acked_before;
    bool transfers;
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
        sim_disk_latency(r->hosts[i], 200000, 600000);
        if (r->frozen[i])
            sim_host_thaw(r->hosts[i]);
        r->frozen[i] = false;
    }
}

static void transfer(struct run *r)
{
    struct test_node *leader = cluster_leader(&r->cluster, 0);
    if (leader)
        group_transfer(leader->groups[0].group, 0, on_transferred, NULL);
}

static void fault(struct run *r)
{
    unsigned a = (unsigned)sim_random(r->sim, r->cluster.n);
    unsigned b = (unsigned)sim_random(r->sim, r->cluster.n);
    switch (sim_random(r->sim, 12)) {
    case 0:
        bring_down(r, a, false);
        break;
    case 1:
    case 2:
        bring_down(r, a, true);
        break;
    case 3:
        power_loss(r);
        break;
    case 4:
        sim_host_isolate(r->hosts[a]);
        break;
    case 5:
        if (a != b)
            sim_link_cut(r->hosts[a], r->hosts[b]);
        break;
    case 6:
        sim_disk_latency(r->hosts[a], 5 * MS, 200ull * MS);
        break;
    case 7:
        if (a != b)
            sim_link_reset(r->hosts[a], r->hosts[b]);
        break;
    case 8:
        if (r->cluster.nodes[a].up && !r->frozen[a]) {
            sim_host_freeze(r->hosts[a]);
            r->frozen[a] = true;
        }
        break;
    case 9:
        transfer(r);
        break;
    default:
        heal(r);
    }
}

/* ---- load ---- */

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
    r->cluster.entry_memory_bytes = sim_random(r->sim, 2) ? 64 << 10 : 1 << 20;
    r->cluster.segment_bytes = 1 << 20;
    for (unsigned i = 0; i < n; i++) {
        struct test_node *node = &r->cluster.nodes[i];
        snprintf(node->host, sizeof node->host, "n%u", i + 1);
        node->port = PORT;
        r->hosts[i] = sim_host_create(r->sim, node->host);
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
        if (now_ms(r) >= next_fault_ms) {
            fault(r);
            next_fault_ms = now_ms(r) + 5 + sim_random(r->sim, 120);
        }
    }
    return r->cluster.violation[0] ? r->cluster.violation : NULL;
}

static const char *run_healing(struct run *r)
{
    heal(r);
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
    set_up(&r, seed, seed % 4 == 3 ? 5 : 3, guards);
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

int main(int argc, char **argv)
{
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
