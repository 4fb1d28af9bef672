#include "ground.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

void ground_step(struct ground *g)
{
    sim_run_for(g->sim, GROUND_MS);
    cluster_step(&g->cluster);
    workload_step(&g->workload);
    votes_step(&g->votes, NULL);
    if (g->with_nemesis)
        nemesis_step(&g->nemesis);
}

bool ground_run_until(struct ground *g, uint64_t ms, bool (*done)(struct ground *g))
{
    for (; ms > 0; ms--) {
        if (done(g))
            return true;
        ground_step(g);
    }
    return false;
}

static bool never(struct ground *g)
{
    (void)g;
    return false;
}

void ground_run(struct ground *g, uint64_t ms)
{
    ground_run_until(g, ms, never);
}

static bool has_topics(struct ground *g)
{
    return workload_has_topics(&g->workload);
}

void ground_begin(struct ground *g, uint64_t seed, unsigned sabotage, unsigned guards_off)
{
    const struct sim_cluster_options options = {.count = GROUND_NODES,
                                                .heartbeat_ms = 20,
                                                .election_timeout_ms = 100,
                                                .entry_memory_bytes = 16 * 1024,
                                                .cache_bytes = 64 * 1024,
                                                .inflight_bytes = 256 * 1024,
                                                .log_level = LOG_ERROR + 1,
                                                .guards_off = guards_off,
                                                .sabotage = sabotage};
    memset(g, 0, sizeof(*g));
    g->sim = sim_create(seed);
    history_init(&g->history, &g->counters);
    cluster_init(&g->cluster, g->sim, &options, &g->counters);
    votes_init(&g->votes, &g->cluster, &g->history);
    workload_init(&g->workload, g->sim, &g->history, GROUND_NODES);
    assert_true(ground_run_until(g, 20000, has_topics));
}

void ground_plot(struct ground *g, unsigned faults, enum plot_kind plot)
{
    nemesis_init(&g->nemesis, &g->cluster, &g->workload, faults, 1, plot);
    g->nemesis.next_ns = UINT64_MAX;
    g->with_nemesis = true;
}

static bool has_controller(struct ground *g)
{
    return cluster_controller_node(&g->cluster) != NULL;
}

struct sim_node *ground_controller(struct ground *g)
{
    assert_true(ground_run_until(g, 10000, has_controller));
    return cluster_controller_node(&g->cluster);
}

void ground_isolate_from_nodes(struct ground *g, struct sim_node *n)
{
    for (unsigned i = 0; i < GROUND_NODES; i++) {
        if (&g->cluster.nodes[i] == n)
            continue;
        sim_link_cut(n->host, g->cluster.nodes[i].host);
        sim_link_cut(g->cluster.nodes[i].host, n->host);
    }
}
