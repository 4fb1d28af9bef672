/* Administration of topics. */
#include "client/api/client.h"

/* A leader that does not answer at once leaves its offsets unknown. */
enum { NODE_TIMEOUT_MS = 1000 };

static uint32_t server_timeout_ms(int timeout_ms)
{
    /* Leaves the answer time to travel. */
    return timeout_ms < 0 ? INT32_MAX : (uint32_t)(timeout_ms - timeout_ms / 10);
}

/* Name, value, name, value, ... as messages, in memory that the caller frees. */
static Flotilla__ConfigEntry **config_pack(const char *const *config, size_t count)
{
    Flotilla__ConfigEntry **pointers = core_alloc((count + 1) * (sizeof(*pointers) + sizeof(**pointers)));
    Flotilla__ConfigEntry *entries = (Flotilla__ConfigEntry *)(void *)(pointers + count + 1);

    for (size_t i = 0; i < count; i++) {
        flotilla__config_entry__init(&entries[i]);
        entries[i].name = (char *)config[2 * i];
        entries[i].value = (char *)config[2 * i + 1];
        pointers[i] = &entries[i];
    }
    return pointers;
}

int flotilla_topic_create(struct flotilla_client *client, const char *topic, uint32_t partitions,
                          uint32_t replicas, const char *const *config, size_t config_count, int timeout_ms,
                          char *error, size_t error_size)
{
    Flotilla__CreateTopicRequest m = FLOTILLA__CREATE_TOPIC_REQUEST__INIT;
    struct client_request request = {
        .call = {.type = FRAME_CREATE_TOPIC, .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    bool maybe_applied = false;
    int rc = client_check_topic(topic, error, error_size);

    if (rc != 0)
        return rc;
    m.name = (char *)topic;
    m.partitions = partitions;
    m.replicas = replicas;
    m.timeout_ms = server_timeout_ms(timeout_ms);
    m.config = config_pack(config, config_count);
    m.n_config = config_count;
    rc = client_request_run(client, &request, NULL, NULL, NULL, &maybe_applied, error, error_size);
    free(m.config);
    /* An attempt whose answer was lost has made it. */
    return rc == ERR_TOPIC_EXISTS && maybe_applied ? client_error(error, error_size, 0, "%s", "") : rc;
}

int flotilla_topic_alter(struct flotilla_client *client, const char *topic, uint32_t partitions,
                         const char *const *config, size_t config_count, const char *const *reset,
                         size_t reset_count, int timeout_ms, char *error, size_t error_size)
{
    Flotilla__AlterTopicRequest m = FLOTILLA__ALTER_TOPIC_REQUEST__INIT;
    struct client_request request = {
        .call = {.type = FRAME_ALTER_TOPIC, .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    int rc = client_check_topic(topic, error, error_size);

    if (rc != 0)
        return rc;
    m.name = (char *)topic;
    m.partitions = partitions;
    m.timeout_ms = server_timeout_ms(timeout_ms);
    m.config = config_pack(config, config_count);
    m.n_config = config_count;
    m.reset = (char **)(uintptr_t)reset;
    m.n_reset = reset_count;
    rc = client_request_run(client, &request, NULL, NULL, NULL, NULL, error, error_size);
    free(m.config);
    return rc;
}

int flotilla_topic_delete(struct flotilla_client *client, const char *topic, int timeout_ms, char *error,
                          size_t error_size)
{
    Flotilla__DeleteTopicRequest m = FLOTILLA__DELETE_TOPIC_REQUEST__INIT;
    struct client_request request = {
        .call = {.type = FRAME_DELETE_TOPIC, .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    bool maybe_applied = false;
    int rc = client_check_topic(topic, error, error_size);

    if (rc != 0)
        return rc;
    m.name = (char *)topic;
    rc = client_request_run(client, &request, NULL, NULL, NULL, &maybe_applied, error, error_size);
    return rc == ERR_UNKNOWN_TOPIC && maybe_applied ? client_error(error, error_size, 0, "%s", "") : rc;
}

/* ---- list ---- */

static void copy_id(uint8_t id[16], const ProtobufCBinaryData *from)
{
    if (from->len == 16)
        memcpy(id, from->data, 16);
}

static const struct flotilla_partition_info *partition_from_metadata(void *result,
                                                                     const Flotilla__PartitionInfo *m)
{
    struct flotilla_partition_info *p = client_result_alloc(result, sizeof(*p));

    p->index = m->index;
    p->leader_id = m->leader_id;
    p->leader_epoch = m->leader_epoch;
    p->replicas = m->replicas;
    p->replica_count = m->n_replicas;
    p->log_start_offset = p->high_watermark = p->end_offset = p->size_bytes = -1;
    return p;
}

static const struct flotilla_topic_info *topic_from_metadata(void *result, const Flotilla__TopicInfo *m)
{
    struct flotilla_topic_info *topic = client_result_alloc(result, sizeof(*topic));
    const struct flotilla_partition_info **partitions =
        client_result_alloc(result, (m->n_partitions + 1) * sizeof(*partitions));

    for (size_t i = 0; i < m->n_partitions; i++)
        partitions[i] = partition_from_metadata(result, m->partitions[i]);
    topic->name = m->name;
    copy_id(topic->id, &m->id);
    topic->internal = m->internal;
    topic->partitions = partitions;
    topic->partition_count = m->n_partitions;
    return topic;
}

static int compare_topics(const void *a, const void *b)
{
    return strcmp((*(const struct flotilla_topic_info *const *)a)->name,
                  (*(const struct flotilla_topic_info *const *)b)->name);
}

static void list_fill(struct flotilla_topics *list, const Flotilla__MetadataResponse *m)
{
    const struct flotilla_topic_info **topics =
        client_result_alloc(list, (m->n_topics + 1) * sizeof(*topics));

    for (size_t i = 0; i < m->n_topics; i++)
        if (m->topics[i]->status == NULL || m->topics[i]->status->error == 0)
            topics[list->count++] = topic_from_metadata(list, m->topics[i]);
    qsort(topics, list->count, sizeof(*topics), compare_topics);
    list->topics = topics;
}

int flotilla_topic_list(struct flotilla_client *client, int timeout_ms, const struct flotilla_topics **out,
                        char *error, size_t error_size)
{
    Flotilla__MetadataRequest m = FLOTILLA__METADATA_REQUEST__INIT;
    Flotilla__MetadataResponse *answer = NULL;
    struct client_request request = {
        .call = {.type = FRAME_METADATA, .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    struct flotilla_topics *list = client_result_create(sizeof(*list));

    *out = NULL;
    if (list == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    m.all_topics = true;
    int rc = client_request_run(client, &request, client_result_arena(list),
                                &flotilla__metadata_response__descriptor, &answer, NULL, error, error_size);
    if (rc != 0) {
        flotilla_result_free(list);
        return rc;
    }
    list_fill(list, answer);
    *out = list;
    return 0;
}

/* ---- describe ---- */

static int describe_ask(struct flotilla_client *client, const char *topic, enum core_target target,
                        uint32_t node_id, uint64_t deadline_ns, void *result,
                        Flotilla__DescribeTopicResponse **answer, char *error, size_t error_size)
{
    Flotilla__DescribeTopicRequest m = FLOTILLA__DESCRIBE_TOPIC_REQUEST__INIT;
    uint64_t now = client_now_ns();
    struct client_request request = {
        .call = {.target = target,
                 .node_id = node_id,
                 .type = FRAME_DESCRIBE_TOPIC,
                 .timeout_ns = deadline_ns > now ? deadline_ns - now : 0},
        .message = &m.base,
    };

    m.name = (char *)topic;
    return client_request_run(client, &request, client_result_arena(result),
                              &flotilla__describe_topic_response__descriptor, answer, NULL, error,
                              error_size);
}

static void partition_from_status(struct flotilla_partition_info *p, const Flotilla__PartitionStatus *m)
{
    p->index = m->index;
    p->leader_id = m->leader_id;
    p->leader_epoch = m->leader_epoch;
    p->replicas = m->replicas;
    p->replica_count = m->n_replicas;
    p->in_sync = m->in_sync;
    p->in_sync_count = m->n_in_sync;
    p->log_start_offset = m->log_start_offset;
    p->high_watermark = m->high_watermark;
    p->end_offset = m->end_offset;
    p->size_bytes = m->log_start_offset >= 0 ? (int64_t)m->size_bytes : -1;
}

static struct flotilla_partition_info **describe_fill(struct flotilla_topic_info *topic,
                                                      const Flotilla__DescribeTopicResponse *m)
{
    struct flotilla_partition_info **partitions =
        client_result_alloc(topic, (m->n_partitions + 1) * sizeof(*partitions));
    struct flotilla_config_entry **config = client_result_alloc(topic, (m->n_config + 1) * sizeof(*config));

    for (size_t i = 0; i < m->n_partitions; i++) {
        partitions[i] = client_result_alloc(topic, sizeof(**partitions));
        partition_from_status(partitions[i], m->partitions[i]);
    }
    for (size_t i = 0; i < m->n_config; i++) {
        config[i] = client_result_alloc(topic, sizeof(**config));
        *config[i] =
            (struct flotilla_config_entry){m->config[i]->name, m->config[i]->value, m->config[i]->is_default};
    }
    topic->name = m->name;
    copy_id(topic->id, &m->id);
    topic->partitions = (const struct flotilla_partition_info *const *)partitions;
    topic->partition_count = m->n_partitions;
    topic->config = (const struct flotilla_config_entry *const *)config;
    topic->config_count = m->n_config;
    return partitions;
}

static bool is_asked_before(struct flotilla_partition_info *const *partitions, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (partitions[i]->leader_id == partitions[at]->leader_id)
            return true;
    return false;
}

/* Only a leader knows its partition's offsets: each is asked for its own. One that does not answer leaves -1.
 */
static void describe_ask_leaders(struct flotilla_client *client, struct flotilla_topic_info *topic,
                                 struct flotilla_partition_info **partitions, uint64_t deadline_ns)
{
    for (size_t i = 0; i < topic->partition_count; i++) {
        Flotilla__DescribeTopicResponse *m = NULL;
        uint32_t leader = partitions[i]->leader_id;
        uint64_t limit_ns = client_now_ns() + client_timeout_ns(NODE_TIMEOUT_MS);
        if (deadline_ns < limit_ns)
            limit_ns = deadline_ns;
        if (leader == 0 || is_asked_before(partitions, i) ||
            describe_ask(client, topic->name, CORE_NODE, leader, limit_ns, topic, &m, NULL, 0) != 0)
            continue;
        for (size_t j = 0; j < m->n_partitions && j < topic->partition_count; j++)
            if (m->partitions[j]->leader_id == leader && m->partitions[j]->log_start_offset >= 0 &&
                m->partitions[j]->index == partitions[j]->index)
                partition_from_status(partitions[j], m->partitions[j]);
    }
}

int flotilla_topic_describe(struct flotilla_client *client, const char *topic, int timeout_ms,
                            const struct flotilla_topic_info **out, char *error, size_t error_size)
{
    uint64_t deadline_ns = client_now_ns() + client_timeout_ns(timeout_ms);
    Flotilla__DescribeTopicResponse *answer = NULL;
    int rc = client_check_topic(topic, error, error_size);

    *out = NULL;
    if (rc != 0)
        return rc;
    struct flotilla_topic_info *info = client_result_create(sizeof(*info));
    if (info == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    rc = describe_ask(client, topic, CORE_ANY, 0, deadline_ns, info, &answer, error, error_size);
    if (rc != 0) {
        flotilla_result_free(info);
        return rc;
    }
    struct flotilla_partition_info **partitions = describe_fill(info, answer);
    describe_ask_leaders(client, info, partitions, deadline_ns);
    *out = info;
    return 0;
}
