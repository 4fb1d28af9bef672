/* Who uses the cluster in a run: client machines that come and go, with producers and consumers, and an
 * administrator who makes the topics, asks for ends and (as the nemesis wants) changes things. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "tests/sim/cluster.h"
#include "tests/sim/consumer.h"
#include "tests/sim/producer.h"

enum { WORKLOAD_MACHINES = 4, WORKLOAD_CHURN = 4 };

struct workload_machine {
    struct sim_host *host;
    struct sim_client *client; /* NULL: it is down */
    struct sim_producer *producer;
    struct sim_consumer *consumer;
    uint64_t restart_ns;
    bool stopped, slow; /* until `thaw_ns` */
    uint64_t thaw_ns;
};

struct workload {
    struct sim *sim;
    struct history *history;
    unsigned nodes;
    unsigned replicas;
    /* A topic of two replicas that nobody has led yet does not outlive an emptied disk: decision 15. */
    bool no_pairs;
    size_t value_bytes; /* of most records, at most */
    unsigned machine_count;
    unsigned topics;
    unsigned partitions[HISTORY_TOPICS];     /* that exist for certain */
    unsigned partitions_max[HISTORY_TOPICS]; /* that may exist: asked for, without an answer perhaps */
    struct consumer_group groups[WORKLOAD_MACHINES];
    struct workload_machine machines[WORKLOAD_MACHINES];
    struct sim_host *admin_host;
    struct sim_client *admin;
    struct env_timer ask_timer;
    unsigned topics_made;
    bool making_topic;
    bool growing[HISTORY_TOPICS];
    unsigned next_churn;
    char churn[WORKLOAD_CHURN][16]; /* topics of no further use; "": none */
    bool churning[WORKLOAD_CHURN];
    bool started;
    bool ended;
    struct sim_client *audit_client;
    struct sim_consumer *auditors[HISTORY_TOPICS];
    int64_t ends[HISTORY_TOPICS][HISTORY_PARTITIONS]; /* told to the auditors; -1: not yet */
};

/* Starts the administrator, who makes the topics. */
void workload_init(struct workload *w, struct sim *sim, struct history *history, unsigned nodes);
bool workload_has_topics(const struct workload *w);
/* Starts all client machines. */
void workload_start(struct workload *w);
/* Between events: machines that are down come back, broken producers are replaced. */
void workload_step(struct workload *w);
/* No more new records, and no more questions. */
void workload_end(struct workload *w);
/* Everything accepted has been reported. */
bool workload_is_idle(const struct workload *w);

/* ---- for the nemesis ---- */

void workload_kill_client(struct workload *w);
void workload_kill_machine(struct workload *w, unsigned machine);
/* A question of the administrator. */
void workload_ask_end(struct workload *w, unsigned topic, unsigned partition);
void workload_stop_client(struct workload *w);
void workload_slow_client(struct workload *w);
void workload_calm_clients(struct workload *w);
void workload_grow_topic(struct workload *w);
void workload_churn_topic(struct workload *w);
void workload_drain(struct workload *w, uint32_t node, bool drain);

/* ---- the end ---- */

/* Somebody new reads everything from the beginning to the end. */
void workload_start_audit(struct workload *w);
bool workload_audit_is_complete(const struct workload *w);
void workload_check_complete(struct workload *w);

#endif
