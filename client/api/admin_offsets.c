/* Offsets of partitions. */
#include "client/api/client.h"

int flotilla_offset_list(struct flotilla_client *client, const char *topic, int32_t partition,
                         int64_t timestamp_ms, int timeout_ms, int64_t *offset, char *error,
                         size_t error_size)
{
    Flotilla__ListOffsetRequest m = FLOTILLA__LIST_OFFSET_REQUEST__INIT;
    Flotilla__ListOffsetResponse *answer = NULL;
    struct client_request request = {
        .call = {.target = CORE_LEADER,
                 .topic = topic,
                 .partition = (uint32_t)partition,
                 .type = FRAME_LIST_OFFSET,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
        .topic_id = &m.topic_id,
    };
    struct arena arena;
    int rc = client_check_topic(topic, error, error_size);

    *offset = -1;
    if (rc != 0)
        return rc;
    if (partition < 0)
        return client_error(error, error_size, ERR_UNKNOWN_PARTITION, "%s has no partition %d", topic,
                            partition);
    m.partition = (uint32_t)partition;
    m.timestamp_ms = timestamp_ms;
    arena_init(&arena, 1024 * 1024);
    rc = client_request_run(client, &request, &arena, &flotilla__list_offset_response__descriptor, &answer,
                            NULL, error, error_size);
    if (rc == 0)
        *offset = answer->offset;
    arena_close(&arena);
    return rc;
}
