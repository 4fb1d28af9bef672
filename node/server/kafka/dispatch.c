#include "node/server/kafka/dispatch.h"
#include "proto/error.h"
#include "proto/frame.h"

typedef void handler(struct kafka_request *r);

static handler *const handlers[KAFKA_KEYS] = {
    [KAFKA_API_PRODUCE] = kafka_produce,
    [KAFKA_API_FETCH] = kafka_fetch,
    [KAFKA_API_LIST_OFFSETS] = kafka_list_offsets,
    [KAFKA_API_METADATA] = kafka_metadata,
    [KAFKA_API_OFFSET_COMMIT] = kafka_offset_commit,
    [KAFKA_API_OFFSET_FETCH] = kafka_offset_fetch,
    [KAFKA_API_FIND_COORDINATOR] = kafka_find_coordinator,
    [KAFKA_API_JOIN_GROUP] = kafka_join_group,
    [KAFKA_API_HEARTBEAT] = kafka_heartbeat,
    [KAFKA_API_LEAVE_GROUP] = kafka_leave_group,
    [KAFKA_API_SYNC_GROUP] = kafka_sync_group,
    [KAFKA_API_DESCRIBE_GROUPS] = kafka_describe_groups,
    [KAFKA_API_LIST_GROUPS] = kafka_list_groups,
    [KAFKA_API_DELETE_GROUPS] = kafka_delete_groups,
    [KAFKA_API_OFFSET_DELETE] = kafka_offset_delete,
    [KAFKA_API_API_VERSIONS] = kafka_api_versions,
    [KAFKA_API_CREATE_TOPICS] = kafka_create_topics,
    [KAFKA_API_DELETE_TOPICS] = kafka_delete_topics,
    [KAFKA_API_DELETE_RECORDS] = kafka_delete_records,
    [KAFKA_API_INIT_PRODUCER_ID] = kafka_init_producer_id,
    [KAFKA_API_OFFSET_FOR_LEADER_EPOCH] = kafka_offset_for_leader_epoch,
    [KAFKA_API_DESCRIBE_CONFIGS] = kafka_describe_configs,
    [KAFKA_API_ALTER_CONFIGS] = kafka_alter_configs,
    [KAFKA_API_DESCRIBE_LOG_DIRS] = kafka_describe_log_dirs,
    [KAFKA_API_CREATE_PARTITIONS] = kafka_create_partitions,
    [KAFKA_API_ELECT_LEADERS] = kafka_elect_leaders,
    [KAFKA_API_INCREMENTAL_ALTER_CONFIGS] = kafka_incremental_alter_configs,
    [KAFKA_API_DESCRIBE_CLUSTER] = kafka_describe_cluster,
    [KAFKA_API_DESCRIBE_TOPIC_PARTITIONS] = kafka_describe_topic_partitions,
};

static handler *find_handler(int16_t key)
{
    return key >= 0 && key < KAFKA_KEYS ? handlers[key] : NULL;
}

bool kafka_is_served(int16_t key)
{
    return find_handler(key) != NULL && kafka_api_find(key) != NULL;
}

static bool decode(struct kafka_request *r, size_t header_size)
{
    const struct kafka_request_header *h = &r->header;
    void *message = arena_alloc(&r->arena, kafka_message_size(KAFKA_REQUEST, h->api_key));
    if (message == NULL)
        return false;
    int rv = kafka_decode(KAFKA_REQUEST, h->api_key, h->api_version, r->frame.data + header_size,
                          r->frame.size - header_size, &r->arena, message);
    r->message = message;
    return rv == 0;
}

/* Without a client that speaks our versions there is no way to say more. */
static void refuse_unknown(struct kafka_request *r)
{
    kafka_refuse(r, kafka_is_served(r->header.api_key) ? "this version of the API is not served"
                                                       : "this API is not served");
}

void kafka_dispatch(struct kafka_request *r)
{
    size_t header_size;
    if (kafka_request_header_decode(r->frame.data, r->frame.size, &r->header, &header_size) != 0) {
        kafka_refuse(r, "the request header is malformed");
        return;
    }
    int16_t key = r->header.api_key;
    bool known = kafka_is_served(key) && header_size > 0;
    if (!known && key != KAFKA_API_API_VERSIONS) {
        refuse_unknown(r);
        return;
    }
    r->server->kafka->requests[key]++;
    if (known && !decode(r, header_size))
        kafka_refuse(r, "the request is malformed");
    else
        find_handler(key)(r);
}
