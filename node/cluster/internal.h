/* What the files behind cluster.h share. Reading order: cluster.c (life and queries), group0.c, reconciler.c,
 * leadership.c, then the way of an operation: operations.c, forward.c, controller.c. */
#ifndef CLUSTER_INTERNAL_H
#define CLUSTER_INTERNAL_H

#include "node/base/memory.h"
#include "node/base/metrics.h"
#include "node/cluster/cluster.h"
#include "node/cluster/group0.h"
#include "node/cluster/pace.h"
#include "node/cluster/retry.h"
#include <uthash.h>

enum {
    STATIC_NODES_MAX = 7,
    NS_PER_MS = 1000000,
    OPERATION_TIMEOUT_MS = 15000, /* where the caller names none */
};

/* What the leadership policy remembers of a group that this node leads. */
struct led {
    uint64_t since_ns;          /* ready leader since; 0: it is not */
    uint32_t target;            /* who should lead instead; 0: nobody */
    uint64_t target_in_sync_ns; /* since when; 0: it is not */
    uint64_t not_before_ns;     /* after a transfer that failed */
    bool is_moving;
    bool was_moved; /* another node leads it because this one handed it over */
};

enum replica_state {
    REPLICA_WAITING, /* for its directory, or for its turn to start */
    REPLICA_MAKING,  /* its directory */
    REPLICA_STARTING,
    REPLICA_RUNNING,
    REPLICA_FAILED,  /* did not start; tried again later */
    REPLICA_LEAVING, /* waits for its turn to stop */
    REPLICA_STOPPING,
};

struct replica {
    uint64_t group_id;
    enum replica_state state;
    bool is_wanted; /* scratch of a reconciliation */
    /* Opened, not created: when this node had caught up with the tables; or it has caught up since. */
    bool was_there;
    bool is_blank;      /* its directory has been made for it */
    bool is_erased;     /* when it stops */
    bool is_reopened;   /* likewise */
    bool has_caught_up; /* since it runs: readiness.c */
    struct retry retry;
    uint64_t retry_ns;          /* when it is tried again, if it has failed */
    uint64_t begun_ns;          /* when its start began */
    struct topic_config config; /* what it runs with */
    int64_t start_offset;       /* likewise */
    struct led led;
    struct queue node; /* while waiting or leaving */
    UT_hash_handle hh;
};

struct reconciler {
    struct replica *replicas;
    struct queue created; /* without a directory yet */
    struct queue waiting;
    struct data_dir_make make;
    bool is_making;
    struct queue leaving;
    unsigned starting;
    unsigned stopping;
    struct pace pace; /* of creations */
    struct env_timer pace_timer;
    uint64_t retry_ns; /* when failed ones are tried again; 0: there are none */
    uint64_t version;  /* of the tables as last reconciled */
    bool has_run;
    bool orphans_checked;
};

struct hand_over {
    bool is_active;
    uint64_t deadline_ns;
    uint64_t settled_by_ns; /* how long it waits for the new leaders */
    void (*cb)(void *data, unsigned still_leads);
    void *data;
};

struct leadership {
    struct env_timer timer;
    struct env_timer hand_over_timer;
    struct queue transfers; /* under way */
    unsigned transfer_count;
    bool has_room; /* look for leaderships to move: a transfer is over, or it is time */
    bool was_draining;
    uint64_t transfers_total;
    uint64_t transfers_failed_total;
    struct led group0;
    struct hand_over hand_over;
};

struct controller {
    struct queue
        placing; /* requests that need a place for partitions: one at a time, so that each sees the last */
    bool is_placing;     /* the first of them is proposed */
    uint64_t since_ns;   /* controller since; 0: not */
    bool is_registering; /* a static node is on its way into the tables */
    bool is_creating_offsets;
};

struct membership {
    bool is_registering;
    uint64_t version;       /* of the tables in which the last registration stands */
    uint64_t not_before_ns; /* after a refusal */
};

struct readiness {
    bool was_ready;
    bool had_controller;
    bool tables_caught_up;
    uint64_t lost_ns; /* no controller since; 0: there is one */
};

struct id_range {
    int64_t next;
    int64_t end;
    bool is_asking;
    struct queue waiters;
};

struct peer_state {
    uint32_t id;
    char *host;
    uint16_t port;
    uint64_t up_since_ns; /* 0: down */
    uint64_t lost_ns;     /* when it went down; 0: it has never been up */
};

enum cluster_phase { CLUSTER_STARTING, CLUSTER_RUNNING, CLUSTER_STOPPED, CLUSTER_CLOSING, CLUSTER_CLOSED };

struct cluster {
    struct cluster_options options; /* `self`, `peers` and `cluster_id` point to copies */
    struct env *env;
    struct logger *logger;
    enum cluster_phase phase;
    bool is_opening; /* group 0 */
    struct node_meta self;
    char *id;
    struct peer_state peers[STATIC_NODES_MAX]; /* in id order, this node included */
    unsigned peer_count;
    struct group0 group0;
    struct reconciler reconciler;
    struct leadership leadership;
    struct controller controller;
    struct membership membership;
    struct readiness readiness;
    struct id_range ids;
    struct queue requests;   /* forward.c */
    struct queue operations; /* operations.c */
    struct env_task turn;
    struct cluster_metrics *metrics;
    int start_status;
    char start_message[256];
    void (*started)(void *data, int status, const char *message);
    bool close_clean;
    void (*closed)(void *data);
    void *closed_data;
};

/* Something changed: everything that waits for a change looks again at the end of this loop turn. */
void cluster_wake(struct cluster *c);

/* Notices when the controller goes and comes: readiness.c. */
void readiness_step(struct cluster *c);
/* Replicas that could not start, or that have stopped for good. */
unsigned readiness_failed(const struct cluster *c);
/* The replicas are gone: closes group 0. */
void cluster_replicas_closed(struct cluster *c);
/* The peer's record in the static list, or NULL. */
struct peer_state *cluster_peer_state(struct cluster *c, uint32_t node_id);
bool cluster_node_draining(const struct cluster *c, uint32_t node_id);

/* ---- reconciler.c ---- */

void reconciler_init(struct reconciler *r);
/* Compares the tables with what runs and does the next steps. While the cluster closes it stops everything
 * instead, and calls cluster_replicas_closed when nothing runs any more. */
void reconciler_run(struct cluster *c);
/* This node's disk was replaced, and the tables show what it had. */
void reconciler_distrust_all(struct cluster *c);

/* ---- leadership.c, hand_over.c ---- */

void leadership_start(struct cluster *c);
void leadership_stop(struct cluster *c);
void leadership_step(struct cluster *c);
/* Starts a transfer; false when the core refuses. `led` is the group's. */
bool leadership_move(struct cluster *c, struct group *group, struct led *led, uint32_t target);
void hand_over_step(struct cluster *c);

/* ---- controller.c ---- */

typedef void (*controller_answer_cb)(void *data, int status, const Flotilla__ControllerAnswer *answer);

/* Serves a packed ControllerRequest. Answers exactly once, perhaps from inside: `status` 0 with an answer
 * (valid during the call only), or ERR_NOT_LEADER (not done), ERR_OUTCOME_UNKNOWN, ... without. */
void controller_serve(struct cluster *c, const void *request, size_t size, controller_answer_cb answer,
                      void *data);
/* Goes on with requests that wait for their turn to place partitions. */
void controller_place_next(struct cluster *c);
/* Answers what waits; what is proposed is answered when group 0 closes. */
void controller_close(struct cluster *c);

/* ---- duties.c ---- */

void controller_step(struct cluster *c);

/* ---- forward.c ---- */

/* status 0 with the controller's answer, or the last error without one. `uncertain`: an earlier attempt may
 * have taken effect. Never from inside request_send. */
typedef void (*request_done_cb)(void *data, int status, const Flotilla__ControllerAnswer *answer,
                                bool uncertain);

/* The type under which a packed ControllerRequest travels through consensus_forward; its answer is a
 * ControllerAnswer. */
enum { FORWARD_CONTROLLER_REQUEST = 1 };

/* Takes a request to whoever is the controller, again and again while leadership moves, until it is answered
 * or the time is over. */
void request_send(struct cluster *c, const Flotilla__ControllerRequest *request, uint64_t timeout_ms,
                  request_done_cb done, void *data);
void requests_step(struct cluster *c);
void requests_close(struct cluster *c);

/* ---- operations.c, membership.c, ids.c, cluster_metrics.c ---- */

/* A random UUID (RFC 9562, version 4). */
void topic_id_generate(struct env *env, uint8_t id[TOPIC_ID_SIZE]);
void operations_step(struct cluster *c);
void operations_close(struct cluster *c);
void membership_step(struct cluster *c);
void ids_init(struct id_range *ids);
void ids_step(struct cluster *c);
void ids_close(struct cluster *c);
void cluster_metrics_add(struct cluster *c);
void cluster_metrics_remove(struct cluster *c);

#endif
