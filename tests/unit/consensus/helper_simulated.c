#include "helper_simulated.h"
#include "node/base/assert.h"
#include <stdio.h>
#include <string.h>

void simulated_init(struct simulated *s, unsigned n, unsigned n_groups)
{
    memset(s, 0, sizeof *s);
    s->sim = sim_create(42);
    cluster_init_bare(&s->cluster, n, n_groups);
    s->cluster.segment_bytes = 256 * 1024;
    for (unsigned i = 0; i < n; i++) {
        struct test_node *node = &s->cluster.nodes[i];
        snprintf(node->host, sizeof node->host, "n%u", i + 1);
        node->port = 9292;
        s->hosts[i] = sim_host_create(s->sim, node->host);
    }
}

void simulated_close(struct simulated *s)
{
    sim_destroy(s->sim);
    for (unsigned i = 0; i < s->cluster.n; i++)
        s->cluster.nodes[i].logger = NULL; /* gone with its process */
    if (s->cluster.violation[0])
        fprintf(stderr, "%s\n", s->cluster.violation);
    ASSERT(!s->cluster.violation[0]);
    cluster_close(&s->cluster);
}

int simulated_tear_down(void **state)
{
    simulated_close(*state);
    return 0;
}

void simulated_start(struct simulated *s, unsigned i)
{
    struct test_node *node = &s->cluster.nodes[i];
    struct env *env = sim_host_env(s->hosts[i]);
    node->env = env ? env : sim_host_restart(s->hosts[i]);
    node_start(node);
}

void simulated_start_all(struct simulated *s)
{
    for (unsigned i = 0; i < s->cluster.n; i++)
        simulated_start(s, i);
}

static void forget(struct simulated *s, unsigned i)
{
    node_forget(&s->cluster.nodes[i]);
    s->cluster.nodes[i].logger = NULL;
}

void simulated_kill(struct simulated *s, unsigned i)
{
    sim_host_kill(s->hosts[i]);
    forget(s, i);
}

void simulated_crash(struct simulated *s, unsigned i)
{
    sim_host_crash(s->hosts[i]);
    forget(s, i);
}

void simulated_kill_all(struct simulated *s)
{
    for (unsigned i = 0; i < s->cluster.n; i++)
        simulated_kill(s, i);
}

struct segments {
    char first[64];
    char last[64];
};

static void note_segment(void *data, const char *name)
{
    struct segments *s = data;
    size_t length = strlen(name);
    if (length < 5 || strcmp(name + length - 4, ".log") != 0)
        return;
    if (!s->first[0])
        snprintf(s->first, sizeof s->first, "%s", name);
    snprintf(s->last, sizeof s->last, "%s", name);
}

/* A process is needed to look at a disk. */
void simulated_damage(struct simulated *s, unsigned i, uint64_t position)
{
    struct segments segments = {"", ""};
    char directory[300], path[400];
    snprintf(directory, sizeof directory, "%s/g0", s->cluster.nodes[i].dir);
    bool runs = s->cluster.nodes[i].up;
    struct env *env = runs ? s->cluster.nodes[i].env : sim_host_restart(s->hosts[i]);
    int rv = env_dir_list(env, directory, note_segment, &segments);
    ASSERT(rv == 0 && segments.first[0]);
    if (!runs)
        sim_host_kill(s->hosts[i]);
    snprintf(path, sizeof path, "%s/%s", directory,
             s->cluster.entry_memory_bytes ? segments.last : segments.first);
    rv = sim_disk_flip(s->hosts[i], path, position);
    ASSERT(rv == 0);
}

void simulated_empty(struct simulated *s, unsigned i)
{
    struct test_node *node = &s->cluster.nodes[i];
    strncat(node->dir, "-replaced", sizeof node->dir - strlen(node->dir) - 1);
}

bool simulated_run_until(struct simulated *s, uint64_t ms, bool (*condition)(void *data), void *data)
{
    return sim_run_until(s->sim, ms * MS, condition, data);
}

bool simulated_is_settled(void *simulated)
{
    struct simulated *s = simulated;
    return all_open(&s->cluster, NULL) && has_leader(&s->cluster, NULL) && all_applied(&s->cluster, NULL) &&
           nothing_in_flight(&s->cluster, NULL);
}

void simulated_settle(struct simulated *s)
{
    bool settled = simulated_run_until(s, 5000, simulated_is_settled, s);
    ASSERT(settled);
}

void simulated_bring_up(struct simulated *s)
{
    simulated_start_all(s);
    simulated_settle(s);
}

void simulated_propose(struct simulated *s, uint64_t count, size_t payload)
{
    uint64_t target = s->cluster.acked + count;
    for (int i = 0; i < 20000 && s->cluster.acked < target; i++) {
        struct test_node *leader = cluster_leader(&s->cluster, 0);
        if (leader)
            cluster_propose(&s->cluster, leader, 0, payload);
        sim_run_for(s->sim, MS);
    }
    ASSERT(s->cluster.acked >= target);
}

bool simulated_is_damaged(const struct simulated *s, unsigned i)
{
    struct journal_group state;
    journal_get(s->cluster.nodes[i].journal, 1, &state);
    return state.damaged;
}
