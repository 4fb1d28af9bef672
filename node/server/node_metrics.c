/* Metrics of what the rooms below count but do not register: the flusher, the guards, the node itself. */
#include "node/base/memory.h"
#include "node/server/node_internal.h"
#include <stdio.h>
#include <stdlib.h>

struct node_metrics {
    struct metric build;
    struct metric uptime;
    struct metric write, sync;
    struct metric rounds, bytes, failures;
    struct metric guards[CONSENSUS_GUARDS];
};

static const char *const guard_names[CONSENSUS_GUARDS] = {"ack_cap",
                                                          "own_term_commit",
                                                          "term_hold",
                                                          "tick_gate",
                                                          "release_step",
                                                          "backoff_hint",
                                                          "one_vote",
                                                          "install",
                                                          "configuration",
                                                          "prevote_term",
                                                          "single_voter",
                                                          "retry_at_once",
                                                          "hold_until_durable",
                                                          "log_start"};

static double read_one(void *data)
{
    (void)data;
    return 1;
}

static double read_uptime(void *data)
{
    const struct node *n = data;
    return (double)(env_now_ns(n->env) - n->server.started_ns) / 1e9;
}

static void add_flusher(struct node *n, struct node_metrics *m)
{
    const struct flusher_stats *stats = flusher_stats(n->flusher);
    metrics_add_histogram(&n->metrics, &m->write, "flotilla_log_write_seconds",
                          "Writing one log's round to its file.", "", &stats->write_ns);
    metrics_add_histogram(&n->metrics, &m->sync, "flotilla_log_sync_seconds", "fdatasync of one log's round.",
                          "", &stats->sync_ns);
    metrics_add_counter(&n->metrics, &m->rounds, "flotilla_log_rounds_total",
                        "Group commits: writes with their sync.", "", &stats->rounds);
    metrics_add_counter(&n->metrics, &m->bytes, "flotilla_log_written_bytes_total", "Bytes written to logs.",
                        "", &stats->bytes);
    metrics_add_counter(&n->metrics, &m->failures, "flotilla_log_sync_failures_total",
                        "Syncs that failed; each has stopped a replica.", "", &stats->sync_failures);
}

static void add_guards(struct node *n, struct node_metrics *m)
{
    const uint64_t *counts = consensus_guard_counts(n->consensus);
    for (unsigned i = 0; i < CONSENSUS_GUARDS; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "guard=\"%s\"", guard_names[i]);
        metrics_add_counter(&n->metrics, &m->guards[i], "flotilla_raft_guard_total",
                            "Times that a guard around the consensus core stepped in.", labels, &counts[i]);
    }
}

void node_metrics_add(struct node *n)
{
    struct node_metrics *m = memory_zalloc(sizeof(*m));
    char labels[96];
    snprintf(labels, sizeof(labels), "version=\"%s\",node=\"%u\"", FLOTILLA_VERSION, n->config.node_id);
    metrics_add_gauge(&n->metrics, &m->build, "flotilla_build_info", "1; the version is in the labels.",
                      labels, read_one, NULL);
    metrics_add_gauge(&n->metrics, &m->uptime, "flotilla_uptime_seconds", "Since this node started.", "",
                      read_uptime, n);
    add_flusher(n, m);
    add_guards(n, m);
    n->registered = m;
}

void node_metrics_remove(struct node *n)
{
    struct node_metrics *m = n->registered;
    if (m == NULL)
        return;
    struct metric *all[] = {&m->build, &m->uptime, &m->write, &m->sync, &m->rounds, &m->bytes, &m->failures};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        metrics_remove(all[i]);
    for (unsigned i = 0; i < CONSENSUS_GUARDS; i++)
        metrics_remove(&m->guards[i]);
    free(m);
    n->registered = NULL;
}
