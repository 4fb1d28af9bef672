/* The classic groups of a __consumer_offsets partition at their coordinator: classic.h with the node's clock
 * and log. It lives as long as the partition's coordinator (coordinator.h), to which coordinator_classic
 * leads. */
#ifndef GROUP_CLASSIC_COORDINATOR_H
#define GROUP_CLASSIC_COORDINATOR_H

#include "node/env/env.h"
#include "node/group/classic.h"

struct classic_coordinator;
struct coordinator;
struct group_state;

/* Of the server: answers to joins and syncs that waited. */
struct classic_options {
    struct classic_settings settings;
    void (*joined)(void *data, void *request, const struct classic_joined *answer);
    void (*synced)(void *data, void *request, const struct classic_synced *answer);
};

struct classic_coordinator *classic_coordinator_create(struct group_state *state);
void classic_coordinator_destroy(struct classic_coordinator *c);

/* See the functions of the same names in classic.h. A join of a group whose members speak the other protocol
 * is refused with INCONSISTENT_GROUP_PROTOCOL. */
void classic_coordinator_join(struct classic_coordinator *c, const struct classic_join *join);
void classic_coordinator_sync(struct classic_coordinator *c, const struct classic_sync *sync);
int16_t classic_coordinator_heartbeat(struct classic_coordinator *c, const char *group, const char *member_id,
                                      const char *instance_id, int32_t generation);
int16_t classic_coordinator_leave(struct classic_coordinator *c, const char *group, const char *member_id,
                                  const char *instance_id);
int16_t classic_coordinator_check_commit(struct classic_coordinator *c, const char *group,
                                         const char *member_id, const char *instance_id, int32_t generation);
void classic_coordinator_forget_request(struct classic_coordinator *c, const char *group, void *request);
/* The group, which has no members, is being deleted. */
void classic_coordinator_forget_group(struct classic_coordinator *c, const char *group);
const struct classic *classic_coordinator_groups(const struct classic_coordinator *c);

/* Whether the group has members, or had some after `since_ms` (of the wall clock): its offsets are kept. */
bool classic_coordinator_keeps(const struct classic_coordinator *c, const char *group, int64_t since_ms);

#endif
