#include "tests/sim/consensus/one_group.h"
#include "node/env/env_ops.h"
#include <stdio.h>
#include <string.h>

enum { PORT = 9292, HEAL_MS = 30000 };

uint64_t one_group_now_ms(const struct one_group *r)
{
    return sim_now_ns(r->sim) / MS;
}

/* ---- nodes ---- */

void one_group_start(struct one_group *r, unsigned i)
{
    struct test_node *node = &r->cluster.nodes[i];
    node->env = sim_host_env(r->hosts[i]);
    if (!node->env)
        node->env = sim_host_restart(r->hosts[i]);
    node->env->small_bounds = r->small_bounds;
    node->env->sabotage = r->sabotage;
    node_start(node);
}

void one_group_start_due(struct one_group *r, bool all)
{
    for (unsigned i = 0; i < r->cluster.n; i++)
        if (!r->cluster.nodes[i].up && (all || one_group_now_ms(r) >= r->restart_at_ms[i]))
            one_group_start(r, i);
}

static void forget(struct one_group *r, unsigned i, uint64_t down_ms)
{
    node_forget(&r->cluster.nodes[i]);
    r->cluster.nodes[i].logger = NULL;
    r->frozen[i] = false;
    r->restart_at_ms[i] = down_ms == UINT64_MAX ? UINT64_MAX : one_group_now_ms(r) + down_ms;
    judge_forget(&r->judge, i);
}

void one_group_bring_down(struct one_group *r, unsigned i, bool power, uint64_t down_ms)
{
    if (!r->cluster.nodes[i].up)
        return;
    if (power)
        sim_host_crash(r->hosts[i]);
    else
        sim_host_kill(r->hosts[i]);
    forget(r, i, down_ms);
}

void one_group_power_loss(struct one_group *r)
{
    sim_crash_all(r->sim);
    for (unsigned i = 0; i < r->cluster.n; i++)
        if (r->cluster.nodes[i].up)
            forget(r, i, sim_random(r->sim, 300));
}

void one_group_freeze(struct one_group *r, unsigned i)
{
    if (!r->cluster.nodes[i].up || r->frozen[i])
        return;
    sim_host_freeze(r->hosts[i]);
    r->frozen[i] = true;
}

void one_group_heal(struct one_group *r)
{
    sim_heal_all(r->sim);
    for (unsigned i = 0; i < r->cluster.n; i++) {
        if (r->frozen[i])
            sim_host_thaw(r->hosts[i]);
        r->frozen[i] = false;
    }
}

void one_group_calm(struct one_group *r)
{
    one_group_heal(r);
    sim_network_latency(r->sim, 30000, 150000);
    for (unsigned i = 0; i < r->cluster.n; i++)
        sim_disk_latency(r->hosts[i], 200000, 600000);
}

void one_group_cut_both_ways(struct one_group *r, unsigned a, unsigned b)
{
    sim_link_cut(r->hosts[a], r->hosts[b]);
    sim_link_cut(r->hosts[b], r->hosts[a]);
}

bool one_group_step(struct one_group *r, uint64_t ns)
{
    sim_run_for(r->sim, ns);
    one_group_start_due(r, false);
    judge_step(&r->judge, &r->cluster);
    return r->cluster.violation[0] == '\0';
}

/* ---- load ---- */

bool one_group_propose_to(struct one_group *r, unsigned i, size_t payload)
{
    struct test_node *node = &r->cluster.nodes[i];
    if (!node->up || r->frozen[i] || !node->groups[0].open || !group_is_ready_leader(node->groups[0].group) ||
        group_inflight_bytes(node->groups[0].group) >= 200000)
        return false;
    return cluster_propose(&r->cluster, node, 0, payload);
}

void one_group_propose(struct one_group *r)
{
    for (unsigned i = 0; i < r->cluster.n; i++)
        one_group_propose_to(r, i, sim_random(r->sim, 10) ? 50 : 20000);
}

/* ---- begin and end ---- */

void one_group_init(struct one_group *r, uint64_t seed, unsigned nodes, unsigned guards)
{
    memset(r, 0, sizeof *r);
    r->sim = sim_create(seed);
    cluster_init_bare(&r->cluster, nodes, 1);
    judge_init(&r->judge);
    r->cluster.guards = guards;
    for (unsigned i = 0; i < nodes; i++) {
        struct test_node *node = &r->cluster.nodes[i];
        snprintf(node->host, sizeof node->host, "n%u", i + 1);
        node->port = PORT;
        r->hosts[i] = sim_host_create(r->sim, node->host);
    }
}

void one_group_close(struct one_group *r)
{
    sim_destroy(r->sim);
    for (unsigned i = 0; i < r->cluster.n; i++)
        r->cluster.nodes[i].logger = NULL;
    cluster_close(&r->cluster);
    judge_close(&r->judge);
}

static bool has_converged(struct one_group *r)
{
    struct test_cluster *c = &r->cluster;
    return all_open(c, NULL) && has_leader(c, NULL) && all_applied(c, NULL) &&
           c->acked > r->acked_before + 20;
}

const char *one_group_converge(struct one_group *r)
{
    one_group_calm(r);
    one_group_start_due(r, true);
    r->acked_before = r->cluster.acked;
    uint64_t end_ms = one_group_now_ms(r) + HEAL_MS;
    uint64_t quiet_after_ms = one_group_now_ms(r) + HEAL_MS / 2;
    while (one_group_now_ms(r) < end_ms && one_group_step(r, MS)) {
        if (one_group_now_ms(r) < quiet_after_ms && r->cluster.acked < r->acked_before + 100)
            one_group_propose(r);
        if (has_converged(r))
            return NULL;
    }
    return r->cluster.violation[0] ? r->cluster.violation : "no convergence after healing";
}
