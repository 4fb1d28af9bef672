/* The groups that this node coordinates: one coordinator per partition of __consumer_offsets that it leads,
 * which drives that partition's engine (engine.h) with the node's clock, and carries its effects to the log,
 * to requests and to connections. Loop only. */
#ifndef GROUP_COORDINATOR_H
#define GROUP_COORDINATOR_H

#include "node/base/logger.h"
#include "node/base/metrics.h"
#include "node/group/classic_coordinator.h"
#include "node/group/engine.h"
#include "node/group/offsets.h"

struct groups;
struct coordinator;

struct groups_options {
    struct env *env;
    struct logger *logger;
    struct metrics *metrics;
    struct engine_settings engine;
    uint64_t offsets_retention_ms; /* of a group without members */
    uint64_t expiry_check_ms;      /* 0: never */
    /* The cluster's topics, or NULL while they are not known; they stay in place until the next call.
     * `version` changes when they do. */
    const struct engine_topics *(*topics)(void *data, uint64_t *version);
    bool (*topic_exists)(void *data, const uint8_t topic_id[TOPIC_ID_SIZE]);
    bool (*push)(void *data, struct engine_connection *c, const struct engine_push *push);
    void (*answer)(void *data, void *request, int status, const char *message, int64_t epoch);
    struct classic_options classic;
    void *data;
};

struct groups_stats {
    uint64_t joined, returned, left, replaced, died;
    uint64_t steps;
    uint64_t expired_offsets;
};

struct groups *groups_create(const struct groups_options *options);
void groups_destroy(struct groups *g); /* no partition may have its state machine any more */
/* For broker_options.offsets. */
const struct partition_state_machine *groups_state_machine(const struct groups *g);
const struct groups_stats *groups_stats(const struct groups *g);

/* NULL: this replica does not coordinate, or not yet. */
struct coordinator *coordinator_of(struct partition *p);
/* Of the Kafka protocol's groups. */
struct classic_coordinator *coordinator_classic(struct coordinator *c);
struct engine_time coordinator_time(const struct coordinator *c);

/* See the functions of the same names in engine.h. */
void coordinator_join(struct coordinator *c, struct engine_join *join);
int coordinator_heartbeat(struct coordinator *c, const char *group, const char *member_id, int64_t epoch,
                          struct partition_set *owned);
void coordinator_leave(struct coordinator *c, const char *group, const char *member_id,
                       const char *instance_id, void *request);
/* The members behind the connection are without one from now on. */
void groups_connection_lost(struct groups *g, struct engine_connection *connection);

/* Removes what is known of a group without members: all of it, or only these offsets. Calls back exactly
 * once, never from inside, with 0 when that is committed; ERR_GROUP_NOT_EMPTY, ERR_UNKNOWN_GROUP. */
struct group_forget_req {
    void *data;
    void (*cb)(struct group_forget_req *req, int status); /* private from here */
    struct outbox_req outbox;
    struct env_task task;
    int status;
};
void coordinator_forget(struct coordinator *c, const char *group, const struct partition_set *offsets,
                        struct group_forget_req *req, void (*cb)(struct group_forget_req *req, int status));

/* ---- questions; the caller has confirmed leadership ---- */

enum { GROUP_STATE_EMPTY, GROUP_STATE_RECONCILING, GROUP_STATE_STABLE };
struct group_info {
    const char *name;
    int state;
    const char *protocol, *assignor; /* "" when only offsets are committed under the name */
    int64_t epoch;
    size_t members;
    const struct consumer_group *group; /* its members, or NULL */
};
const char *group_state_name(int state);
void coordinator_each_group(const struct coordinator *c,
                            void (*each)(void *data, const struct group_info *info), void *data);
/* False: there is no such group. */
bool coordinator_find_group(const struct coordinator *c, const char *name, struct group_info *info);
uint64_t coordinator_heartbeat_age_ms(const struct coordinator *c, const char *group, const char *member_id);

/* Forgets what has expired, besides the regular rounds. */
void coordinator_expire(struct coordinator *c);

#endif
