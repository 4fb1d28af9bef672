/* Offsets of partitions and of groups. */
#include "client/client_internal.h"

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

/* ---- groups ---- */

static int check_group(const char *group, char *error, size_t error_size)
{
    if (group == NULL || group[0] == '\0' || strlen(group) > 249)
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "a group's name has 1 to 249 characters");
    return 0;
}

static const char *topic_name_of(const struct flotilla_topics *topics, const ProtobufCBinaryData *id)
{
    for (size_t i = 0; i < topics->count; i++)
        if (id->len == 16 && memcmp(topics->topics[i]->id, id->data, 16) == 0)
            return topics->topics[i]->name;
    return "";
}

static int compare_offsets(const void *a, const void *b)
{
    const struct flotilla_group_offset *left = *(const struct flotilla_group_offset *const *)a;
    const struct flotilla_group_offset *right = *(const struct flotilla_group_offset *const *)b;
    int order = strcmp(left->topic, right->topic);

    return order != 0 ? order : (left->partition > right->partition) - (left->partition < right->partition);
}

static void offsets_fill(struct flotilla_offsets *list, const Flotilla__FetchOffsetsResponse *m,
                         const struct flotilla_topics *topics)
{
    const struct flotilla_group_offset **offsets =
        client_result_alloc(list, (m->n_offsets + 1) * sizeof(*offsets));

    for (size_t i = 0; i < m->n_offsets; i++) {
        struct flotilla_group_offset *o = client_result_alloc(list, sizeof(*o));
        const char *name = topic_name_of(topics, &m->offsets[i]->topic_id);
        o->topic = arena_strndup(client_result_arena(list), name, strlen(name));
        if (o->topic == NULL)
            continue;
        o->partition = m->offsets[i]->partition;
        o->offset = m->offsets[i]->offset;
        o->metadata = m->offsets[i]->metadata;
        offsets[list->count++] = o;
    }
    qsort(offsets, list->count, sizeof(*offsets), compare_offsets);
    list->offsets = offsets;
}

static int offsets_ask(struct flotilla_client *client, const char *group, const char *topic, int timeout_ms,
                       struct flotilla_offsets *list, Flotilla__FetchOffsetsResponse **answer, char *error,
                       size_t error_size)
{
    Flotilla__FetchOffsetsRequest m = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;
    struct client_request request = {
        .call = {.target = CORE_COORDINATOR,
                 .topic = topic,
                 .group = group,
                 .type = FRAME_FETCH_OFFSETS,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
        .topic_id = topic != NULL ? &m.topic_id : NULL,
    };

    m.group = (char *)group;
    return client_request_run(client, &request, client_result_arena(list),
                              &flotilla__fetch_offsets_response__descriptor, answer, NULL, error, error_size);
}

int flotilla_group_offsets(struct flotilla_client *client, const char *group, const char *topic,
                           int timeout_ms, const struct flotilla_offsets **out, char *error,
                           size_t error_size)
{
    Flotilla__FetchOffsetsResponse *answer = NULL;
    const struct flotilla_topics *topics = NULL;
    int rc = check_group(group, error, error_size);

    *out = NULL;
    if (rc == 0 && topic != NULL)
        rc = client_check_topic(topic, error, error_size);
    if (rc != 0)
        return rc;
    struct flotilla_offsets *list = client_result_create(sizeof(*list));
    if (list == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    rc = offsets_ask(client, group, topic, timeout_ms, list, &answer, error, error_size);
    if (rc == 0)
        rc = flotilla_topic_list(client, timeout_ms, &topics, error, error_size); /* names for the ids */
    if (rc == 0) {
        offsets_fill(list, answer, topics);
        *out = list;
    } else {
        flotilla_result_free(list);
    }
    flotilla_result_free(topics);
    return rc;
}

int flotilla_group_commit(struct flotilla_client *client, const char *group, const char *topic,
                          int32_t partition, int64_t offset, int timeout_ms, char *error, size_t error_size)
{
    Flotilla__CommitOffsetsRequest m = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    Flotilla__CommitOffset entry = FLOTILLA__COMMIT_OFFSET__INIT;
    Flotilla__CommitOffset *entries = &entry;
    struct client_request request = {
        .call = {.target = CORE_COORDINATOR,
                 .topic = topic,
                 .group = group,
                 .type = FRAME_COMMIT_OFFSETS,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
        .topic_id = &entry.topic_id,
    };
    int rc = check_group(group, error, error_size);

    if (rc == 0)
        rc = client_check_topic(topic, error, error_size);
    if (rc == 0 && (partition < 0 || offset < 0))
        rc = client_error(error, error_size, ERR_INVALID_ARGUMENT, "%s: a negative partition or offset",
                          topic);
    if (rc != 0)
        return rc;
    entry.partition = (uint32_t)partition;
    entry.offset = offset;
    entry.leader_epoch = -1;
    m.group = (char *)group;
    m.offsets = &entries;
    m.n_offsets = 1;
    return client_request_run(client, &request, NULL, NULL, NULL, NULL, error, error_size);
}
