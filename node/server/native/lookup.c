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

void lookup_fail(struct request *r, int error, const char *message, uint64_t group_id)
{
    Flotilla__Status status = lookup_status(r->server, error, message, group_id);
    request_fail_status(r, &status);
}

static int find_leader(struct server *s, uint64_t group_id, struct partition **partition,
                       Flotilla__Status *status)
{
    uint32_t leader_id = 0;
    int32_t epoch = 0;
    struct partition *p = broker_partition(s->broker, group_id);
    int rv = p == NULL ? ERR_NOT_LEADER : partition_check_leader(p, &leader_id, &epoch);
    if (rv != 0) {
        *status = lookup_status(s, rv, NULL, group_id);
        return rv;
    }
    *partition = p;
    return 0;
}

int lookup_leader(struct server *s, const ProtobufCBinaryData *topic_id, uint32_t index,
                  struct partition **partition, Flotilla__Status *status)
{
    const struct topic_meta *topic = NULL;
    if (topic_id->len != TOPIC_ID_SIZE) {
        *status = status_make(ERR_INVALID_ARGUMENT, "a topic id has 16 bytes");
        return ERR_INVALID_ARGUMENT;
    }
    topic = metadata_topic_by_id(cluster_metadata(s->cluster), topic_id->data);
    int rv = topic == NULL ? ERR_UNKNOWN_TOPIC : index >= topic->partition_count ? ERR_UNKNOWN_PARTITION : 0;
    if (rv != 0) {
        *status = status_make(rv, NULL);
        return rv;
    }
    return find_leader(s, topic->partitions[index].group_id, partition, status);
}

int lookup_coordinator(struct server *s, const char *group, struct partition **partition,
                       Flotilla__Status *status)
{
    const struct topic_meta *topic = metadata_topic(cluster_metadata(s->cluster), OFFSETS_TOPIC);
    if (topic == NULL || topic->partition_count == 0) {
        *status = status_make(ERR_LEADER_NOT_AVAILABLE, "the cluster has not created " OFFSETS_TOPIC " yet");
        return ERR_LEADER_NOT_AVAILABLE;
    }
    uint32_t index = offsets_partition_for(group, topic->partition_count);
    return find_leader(s, topic->partitions[index].group_id, partition, status);
}
