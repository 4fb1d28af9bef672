#include "node/cluster/metadata.h"
#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "node/server/native/node_info.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

/* The answer is built in the request's arena; `full` when its bound is reached. */
struct metadata_answer {
    struct request *request;
    Flotilla__TopicInfo **topics;
    size_t count, capacity;
    bool full;
    bool passing; /* says of a topic that it is not there, which may be so for reasons that no view counts */
};

static Flotilla__PartitionInfo *partition_info(struct request *r, const struct partition_meta *p)
{
    Flotilla__PartitionInfo *info = request_array(r, 1, sizeof(*info));
    uint32_t *replicas = request_array(r, p->replica_count, sizeof(*replicas));
    if (info == NULL || replicas == NULL)
        return NULL;
    flotilla__partition_info__init(info);
    info->index = p->index;
    info->group_id = p->group_id;
    info->leader_id = cluster_leader(r->server->cluster, p->group_id, &info->leader_epoch);
    memcpy(replicas, p->replicas, p->replica_count * sizeof(*replicas));
    info->replicas = replicas;
    info->n_replicas = p->replica_count;
    return info;
}

static bool fill_partitions(struct request *r, Flotilla__TopicInfo *info, const struct topic_meta *topic)
{
    info->partitions = request_array(r, topic->partition_count, sizeof(info->partitions[0]));
    if (info->partitions == NULL)
        return false;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        info->partitions[i] = partition_info(r, &topic->partitions[i]);
        if (info->partitions[i] == NULL)
            return false;
    }
    info->n_partitions = topic->partition_count;
    return true;
}

static Flotilla__TopicInfo *add_topic(struct metadata_answer *a, const char *name, int error)
{
    struct request *r = a->request;
    Flotilla__TopicInfo *info = request_array(r, 1, sizeof(*info));
    Flotilla__Status *status = request_array(r, 1, sizeof(*status));
    char *copy = arena_strndup(&r->arena, name, strlen(name));
    if (info == NULL || status == NULL || copy == NULL || a->count == a->capacity) {
        a->full = true;
        return NULL;
    }
    a->passing |= error != 0;
    *status = status_make(error, NULL);
    flotilla__topic_info__init(info);
    info->status = status;
    info->name = copy;
    a->topics[a->count++] = info;
    return info;
}

static void add_known_topic(void *data, const struct topic_meta *topic)
{
    struct metadata_answer *a = data;
    Flotilla__TopicInfo *info = a->full ? NULL : add_topic(a, topic->name, 0);
    if (info == NULL)
        return;
    info->id.data = (uint8_t *)(uintptr_t)topic->id;
    info->id.len = TOPIC_ID_SIZE;
    info->internal = topic->internal;
    if (!fill_partitions(a->request, info, topic))
        a->full = true;
}

static void add_topics(struct metadata_answer *a, const Flotilla__MetadataRequest *m,
                       const struct metadata *tables)
{
    a->capacity = m->all_topics ? metadata_topic_count(tables) : m->n_topics;
    a->topics = request_array(a->request, a->capacity, sizeof(a->topics[0]));
    a->full = a->topics == NULL;
    if (m->all_topics) {
        metadata_each_topic(tables, add_known_topic, a);
        return;
    }
    for (size_t i = 0; i < m->n_topics && !a->full; i++) {
        const struct topic_meta *topic = metadata_topic(tables, m->topics[i]);
        if (topic != NULL)
            add_known_topic(a, topic);
        else
            add_topic(a, m->topics[i],
                      topic_name_check(m->topics[i]) != 0
                          ? ERR_INVALID_TOPIC
                          : lookup_missing(a->request->server, ERR_UNKNOWN_TOPIC));
    }
}

void native_metadata(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__MetadataRequest *m = (const Flotilla__MetadataRequest *)message;
    struct cluster *cluster = r->server->cluster;
    const struct metadata *tables = cluster_metadata(cluster);
    struct metadata_answer a = {.request = r};
    if (m->all_topics && lookup_missing(r->server, 0) != 0) {
        request_fail(r, ERR_LEADER_NOT_AVAILABLE, "the list of topics may be incomplete: no controller yet");
        return;
    }
    Flotilla__Status status = status_make(0, NULL);
    Flotilla__MetadataResponse response = FLOTILLA__METADATA_RESPONSE__INIT;
    response.status = &status;
    response.version = metadata_version(tables);
    response.view = server_view(r->server);
    response.unchanged = m->known_view == response.view;
    if (response.unchanged) {
        request_respond(r, &response.base);
        return;
    }
    add_topics(&a, m, tables);
    response.nodes = node_info_all(r, &response.n_nodes);
    if (a.full || response.nodes == NULL) {
        request_fail(r, ERR_TOO_LARGE, "the answer is too large; ask for fewer topics at a time");
        return;
    }
    response.cluster_id = (char *)(uintptr_t)cluster_id(cluster);
    response.controller_id = cluster_controller(cluster);
    if (a.passing)
        response.view = 0;
    response.n_topics = a.count;
    response.topics = a.topics;
    request_respond(r, &response.base);
}
