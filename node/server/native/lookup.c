#include "node/server/native/lookup.h"
#include "node/group/offsets.h"
#include "proto/error.h"

static bool concerns_leadership(int error)
{
    return error == ERR_NOT_LEADER || error == ERR_LEADER_NOT_AVAILABLE || error == ERR_NOT_REPLICA ||
           error == ERR_OUTCOME_UNKNOWN;
}

Flotilla__Status lookup_status(struct server *s, int error, const char *message, uint64_t group_id)
{
    Flotilla__Status status = status_make(error, message);
    if (concerns_leadership(error))
        status.leader_id = cluster_leader(s->cluster, group_id, &status.leader_epoch);
    return status;
}

int lookup_missing(const struct server *s, int error)
{
    return cluster_tables_current(s->cluster) ? error : ERR_LEADER_NOT_AVAILABLE;
}

void lookup_fail(struct request *r, int error, const char *message, uint64_t group_id)
{
    Flotilla__Status status = lookup_status(r->server, error, message, group_id);
    request_fail_status(r, &status);
}

bool lookup_may_wait(const struct request *r, int error, uint64_t group_id)
{
    return r->connection != NULL && parking_may_help(r->server, &r->parked, error, group_id);
}

static struct partition *find_leader(struct request *r, uint64_t group_id)
{
    uint32_t leader_id;
    int32_t epoch;
    struct partition *p = broker_partition(r->server->broker, group_id);
    int rv = p == NULL ? ERR_NOT_LEADER : partition_check_leader(p, &leader_id, &epoch);
    bool follow = parking_must_follow(r->server, &r->parked, group_id);
    if (rv == 0 && !follow)
        return p;
    if (p != NULL && (follow || lookup_may_wait(r, rv, group_id)))
        request_park(r, group_id);
    else
        lookup_fail(r, rv, NULL, group_id);
    return NULL;
}

struct partition *lookup_leader(struct request *r, const ProtobufCBinaryData *topic_id, uint32_t index)
{
    if (topic_id->len != TOPIC_ID_SIZE) {
        request_fail(r, ERR_INVALID_ARGUMENT, "a topic id has 16 bytes");
        return NULL;
    }
    const struct topic_meta *topic =
        metadata_topic_by_id(cluster_metadata(r->server->cluster), topic_id->data);
    if (topic == NULL || index >= topic->partition_count) {
        int error = topic == NULL ? ERR_UNKNOWN_TOPIC : ERR_UNKNOWN_PARTITION;
        request_fail(r, lookup_missing(r->server, error), NULL);
        return NULL;
    }
    return find_leader(r, topic->partitions[index].group_id);
}

struct partition *lookup_coordinator(struct request *r, const char *group)
{
    const struct topic_meta *topic = metadata_topic(cluster_metadata(r->server->cluster), OFFSETS_TOPIC);
    if (topic == NULL || topic->partition_count == 0) {
        request_fail(r, ERR_LEADER_NOT_AVAILABLE, "the cluster has not created " OFFSETS_TOPIC " yet");
        return NULL;
    }
    return find_leader(r, topic->partitions[offsets_partition_for(group, topic->partition_count)].group_id);
}
