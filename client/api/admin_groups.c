/* Administration of groups: their offsets and members. */
#include "client/api/client.h"

enum { MAX_GROUP_SIZE = 249, NODE_TIMEOUT_MS = 2000 };

static int check_group(const char *group, char *error, size_t error_size)
{
    if (group == NULL || group[0] == '\0' || strlen(group) > MAX_GROUP_SIZE)
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "a group's name has 1 to 249 characters");
    return 0;
}

/* Names the group in the message of a failure. */
static int group_result(const char *group, int rc, char *error, size_t error_size)
{
    char why[2 * CORE_MESSAGE_SIZE];

    if (rc == 0 || error == NULL || error_size == 0)
        return rc;
    snprintf(why, sizeof(why), "%s", error[0] != '\0' ? error : error_text(rc));
    return client_error(error, error_size, rc, "group %s: %s", group, why);
}

static const char *topic_name_of(const struct flotilla_topics *topics, const ProtobufCBinaryData *id)
{
    for (size_t i = 0; i < topics->count; i++)
        if (id->len == 16 && memcmp(topics->topics[i]->id, id->data, 16) == 0)
            return topics->topics[i]->name;
    return "";
}

static const char *copy_name(void *result, const struct flotilla_topics *topics,
                             const ProtobufCBinaryData *id)
{
    const char *name = topic_name_of(topics, id);
    const char *copy = arena_strndup(client_result_arena(result), name, strlen(name));

    return copy != NULL ? copy : "";
}

static int compare_offsets(const void *a, const void *b)
{
    const struct flotilla_group_offset *left = *(const struct flotilla_group_offset *const *)a;
    const struct flotilla_group_offset *right = *(const struct flotilla_group_offset *const *)b;
    int order = strcmp(left->topic, right->topic);

    return order != 0 ? order : (left->partition > right->partition) - (left->partition < right->partition);
}

/* In memory of `result`. */
static const struct flotilla_group_offset **offsets_fill(void *result, Flotilla__CommitOffset *const *from,
                                                         size_t count, const struct flotilla_topics *topics)
{
    const struct flotilla_group_offset **offsets =
        client_result_alloc(result, (count + 1) * sizeof(*offsets));

    for (size_t i = 0; i < count; i++) {
        struct flotilla_group_offset *o = client_result_alloc(result, sizeof(*o));
        o->topic = copy_name(result, topics, &from[i]->topic_id);
        o->partition = from[i]->partition;
        o->offset = from[i]->offset;
        o->metadata = from[i]->metadata;
        o->commit_time_ms = from[i]->commit_time_ms;
        offsets[i] = o;
    }
    qsort(offsets, count, sizeof(*offsets), compare_offsets);
    return offsets;
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
        list->offsets = offsets_fill(list, answer->offsets, answer->n_offsets, topics);
        list->count = answer->n_offsets;
        *out = list;
    } else {
        flotilla_result_free(list);
    }
    flotilla_result_free(topics);
    return rc;
}

/* ---- committing for a group ---- */

static const struct flotilla_topic_info *topic_of(const struct flotilla_topics *topics, const char *name)
{
    for (size_t i = 0; i < topics->count; i++)
        if (strcmp(topics->topics[i]->name, name) == 0)
            return topics->topics[i];
    return NULL;
}

static int entry_fill(Flotilla__CommitOffset *entry, const struct flotilla_group_offset *o,
                      const struct flotilla_topics *topics, char *error, size_t error_size)
{
    const struct flotilla_topic_info *topic = topic_of(topics, o->topic);

    if (topic == NULL)
        return client_error(error, error_size, ERR_UNKNOWN_TOPIC, "unknown topic %s", o->topic);
    if (o->partition >= topic->partition_count || o->offset < 0)
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "%s/%u: no such partition, or a negative offset", o->topic, o->partition);
    flotilla__commit_offset__init(entry);
    entry->topic_id.data = (uint8_t *)(uintptr_t)topic->id;
    entry->topic_id.len = sizeof(topic->id);
    entry->partition = o->partition;
    entry->offset = o->offset;
    entry->leader_epoch = -1;
    if (o->metadata != NULL)
        entry->metadata = (char *)(uintptr_t)o->metadata;
    return 0;
}

static int commit_entries(struct flotilla_client *client, const char *group, Flotilla__CommitOffset *entries,
                          size_t count, int timeout_ms, char *error, size_t error_size)
{
    Flotilla__CommitOffsetsRequest m = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    struct client_request request = {
        .call = {.target = CORE_COORDINATOR,
                 .group = group,
                 .type = FRAME_COMMIT_OFFSETS,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };

    m.group = (char *)(uintptr_t)group;
    m.n_offsets = count;
    m.offsets = core_alloc((count + 1) * sizeof(*m.offsets));
    for (size_t i = 0; i < count; i++)
        m.offsets[i] = &entries[i];
    int rc = client_request_run(client, &request, NULL, NULL, NULL, NULL, error, error_size);
    free(m.offsets);
    return group_result(group, rc, error, error_size);
}

int flotilla_group_commit_all(struct flotilla_client *client, const char *group,
                              const struct flotilla_group_offset *const *offsets, size_t count,
                              int timeout_ms, char *error, size_t error_size)
{
    const struct flotilla_topics *topics = NULL;
    int rc = check_group(group, error, error_size);

    if (rc == 0)
        rc = flotilla_topic_list(client, timeout_ms, &topics, error, error_size); /* ids for the names */
    if (rc != 0)
        return rc;
    Flotilla__CommitOffset *entries = core_alloc((count + 1) * sizeof(*entries));
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = entry_fill(&entries[i], offsets[i], topics, error, error_size);
    if (rc == 0 && count > 0)
        rc = commit_entries(client, group, entries, count, timeout_ms, error, error_size);
    free(entries);
    flotilla_result_free(topics);
    return rc;
}

int flotilla_group_commit(struct flotilla_client *client, const char *group, const char *topic,
                          int32_t partition, int64_t offset, int timeout_ms, char *error, size_t error_size)
{
    struct flotilla_group_offset o = {.topic = topic, .partition = (uint32_t)partition, .offset = offset};
    const struct flotilla_group_offset *offsets = &o;
    int rc = client_check_topic(topic, error, error_size);

    return rc != 0 ? rc
                   : flotilla_group_commit_all(client, group, &offsets, 1, timeout_ms, error, error_size);
}

/* ---- what there is ---- */

static void info_fill(struct flotilla_group_info *info, const Flotilla__GroupInfo *from)
{
    info->group = from->group;
    info->state = from->state;
    info->protocol = from->protocol;
    info->assignor = from->assignor;
    info->epoch = from->epoch;
    info->members = from->members;
}

/* While a coordinator moves, two nodes may tell of its groups: the later epoch counts. */
static void groups_add(struct flotilla_groups *list, struct flotilla_group_info **groups,
                       const Flotilla__GroupInfo *from)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(groups[i]->group, from->group) != 0)
            continue;
        if (from->epoch > groups[i]->epoch)
            info_fill(groups[i], from);
        return;
    }
    groups[list->count] = client_result_alloc(list, sizeof(**groups));
    info_fill(groups[list->count++], from);
}

static int compare_groups(const void *a, const void *b)
{
    return strcmp((*(const struct flotilla_group_info *const *)a)->group,
                  (*(const struct flotilla_group_info *const *)b)->group);
}

static int groups_ask(struct flotilla_client *client, uint32_t node_id, int timeout_ms,
                      struct flotilla_groups *list, Flotilla__ListGroupsResponse **answer, char *error,
                      size_t error_size)
{
    Flotilla__ListGroupsRequest m = FLOTILLA__LIST_GROUPS_REQUEST__INIT;
    struct client_request request = {
        .call = {.target = CORE_NODE,
                 .node_id = node_id,
                 .type = FRAME_LIST_GROUPS,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };

    return client_request_run(client, &request, client_result_arena(list),
                              &flotilla__list_groups_response__descriptor, answer, NULL, error, error_size);
}

/* Every live node's answer. A node that has just died tells nothing: its groups are with others by then. */
static int groups_ask_all(struct flotilla_client *client, const struct flotilla_cluster_info *cluster,
                          int timeout_ms, struct flotilla_groups *list, char *error, size_t error_size)
{
    Flotilla__ListGroupsResponse **answers = core_alloc((cluster->node_count + 1) * sizeof(*answers));
    size_t total = 0, answered = 0;
    int rc = 0;

    for (size_t i = 0; i < cluster->node_count; i++) {
        if (!cluster->nodes[i]->alive)
            continue;
        int limit = timeout_ms >= 0 && timeout_ms < NODE_TIMEOUT_MS ? timeout_ms : NODE_TIMEOUT_MS;
        int asked =
            groups_ask(client, cluster->nodes[i]->id, limit, list, &answers[answered], error, error_size);
        if (asked == 0)
            total += answers[answered++]->n_groups;
        else
            rc = asked;
    }
    struct flotilla_group_info **groups = client_result_alloc(list, (total + 1) * sizeof(*groups));
    for (size_t i = 0; i < answered; i++)
        for (size_t j = 0; j < answers[i]->n_groups; j++)
            groups_add(list, groups, answers[i]->groups[j]);
    qsort(groups, list->count, sizeof(*groups), compare_groups);
    list->groups = (const struct flotilla_group_info *const *)groups;
    free(answers);
    return answered > 0 ? 0 : rc != 0 ? rc : ERR_UNREACHABLE;
}

int flotilla_group_list(struct flotilla_client *client, int timeout_ms, const struct flotilla_groups **out,
                        char *error, size_t error_size)
{
    const struct flotilla_cluster_info *cluster = NULL;
    int rc = flotilla_cluster_status(client, timeout_ms, &cluster, error, error_size);

    *out = NULL;
    if (rc != 0)
        return rc;
    struct flotilla_groups *list = client_result_create(sizeof(*list));
    if (list == NULL)
        rc = client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    else
        rc = groups_ask_all(client, cluster, timeout_ms, list, error, error_size);
    flotilla_result_free(cluster);
    if (rc == 0)
        *out = list;
    else
        flotilla_result_free(list);
    return rc;
}

static const struct flotilla_partition **partitions_fill(void *result, Flotilla__GroupPartitions *const *from,
                                                         size_t lists, const struct flotilla_topics *topics,
                                                         size_t *count)
{
    size_t total = 0;

    for (size_t i = 0; i < lists; i++)
        total += from[i]->n_partitions;
    const struct flotilla_partition **out = client_result_alloc(result, (total + 1) * sizeof(*out));
    *count = 0;
    for (size_t i = 0; i < lists; i++) {
        const char *name = copy_name(result, topics, &from[i]->topic_id);
        for (size_t j = 0; j < from[i]->n_partitions; j++) {
            struct flotilla_partition *p = client_result_alloc(result, sizeof(*p));
            p->topic = name;
            p->partition = (int32_t)from[i]->partitions[j];
            out[(*count)++] = p;
        }
    }
    return out;
}

static const struct flotilla_group_member *member_fill(void *result, const Flotilla__GroupMember *from,
                                                       const struct flotilla_topics *topics)
{
    struct flotilla_group_member *member = client_result_alloc(result, sizeof(*member));

    member->member_id = from->member_id;
    member->instance_id = from->instance_id;
    member->client_id = from->client_id;
    member->host = from->host;
    member->rack = from->rack;
    member->epoch = from->epoch;
    member->topics = (const char *const *)from->topics;
    member->topic_count = from->n_topics;
    member->pattern = from->pattern;
    member->assigned =
        partitions_fill(result, from->assigned, from->n_assigned, topics, &member->assigned_count);
    member->target = partitions_fill(result, from->target, from->n_target, topics, &member->target_count);
    member->heartbeat_age_ms = from->heartbeat_age_ms;
    return member;
}

static void description_fill(struct flotilla_group_description *d, const Flotilla__DescribeGroupResponse *m,
                             const struct flotilla_topics *topics)
{
    static const Flotilla__GroupInfo nothing = FLOTILLA__GROUP_INFO__INIT;
    struct flotilla_group_info *info = client_result_alloc(d, sizeof(*info));
    const struct flotilla_group_member **members =
        client_result_alloc(d, (m->n_members + 1) * sizeof(*members));

    info_fill(info, m->info != NULL ? m->info : &nothing);
    for (size_t i = 0; i < m->n_members; i++)
        members[i] = member_fill(d, m->members[i], topics);
    d->info = info;
    d->members = members;
    d->member_count = m->n_members;
    d->offsets = offsets_fill(d, m->offsets, m->n_offsets, topics);
    d->offset_count = m->n_offsets;
}

int flotilla_group_describe(struct flotilla_client *client, const char *group, int timeout_ms,
                            const struct flotilla_group_description **out, char *error, size_t error_size)
{
    Flotilla__DescribeGroupRequest m = FLOTILLA__DESCRIBE_GROUP_REQUEST__INIT;
    Flotilla__DescribeGroupResponse *answer = NULL;
    struct client_request request = {
        .call = {.target = CORE_COORDINATOR,
                 .group = group,
                 .type = FRAME_DESCRIBE_GROUP,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    const struct flotilla_topics *topics = NULL;
    int rc = check_group(group, error, error_size);

    *out = NULL;
    if (rc != 0)
        return rc;
    struct flotilla_group_description *d = client_result_create(sizeof(*d));
    if (d == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    m.group = (char *)(uintptr_t)group;
    rc = client_request_run(client, &request, client_result_arena(d),
                            &flotilla__describe_group_response__descriptor, &answer, NULL, error, error_size);
    rc = group_result(group, rc, error, error_size);
    if (rc == 0)
        rc = flotilla_topic_list(client, timeout_ms, &topics, error, error_size);
    if (rc == 0) {
        description_fill(d, answer, topics);
        *out = d;
    } else {
        flotilla_result_free(d);
    }
    flotilla_result_free(topics);
    return rc;
}

/* ---- deleting ---- */

/* All partitions of a topic, in memory that the caller frees. */
static Flotilla__GroupPartitions *partitions_of(const struct flotilla_topic_info *topic)
{
    Flotilla__GroupPartitions *list =
        core_alloc(sizeof(*list) + topic->partition_count * sizeof(*list->partitions));

    flotilla__group_partitions__init(list);
    list->topic_id.data = (uint8_t *)(uintptr_t)topic->id;
    list->topic_id.len = sizeof(topic->id);
    list->partitions = (uint32_t *)(void *)(list + 1);
    list->n_partitions = topic->partition_count;
    for (uint32_t i = 0; i < topic->partition_count; i++)
        list->partitions[i] = i;
    return list;
}

static int delete_run(struct flotilla_client *client, const char *group, Flotilla__GroupPartitions *only,
                      int timeout_ms, char *error, size_t error_size)
{
    Flotilla__DeleteGroupRequest m = FLOTILLA__DELETE_GROUP_REQUEST__INIT;
    struct client_request request = {
        .call = {.target = CORE_COORDINATOR,
                 .group = group,
                 .type = FRAME_DELETE_GROUP,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    bool maybe_applied = false;

    m.group = (char *)(uintptr_t)group;
    m.offsets = &only;
    m.n_offsets = only != NULL;
    int rc = client_request_run(client, &request, NULL, NULL, NULL, &maybe_applied, error, error_size);
    /* An attempt whose answer was lost has deleted it. */
    if (rc == ERR_UNKNOWN_GROUP && maybe_applied)
        return client_error(error, error_size, 0, "%s", "");
    return group_result(group, rc, error, error_size);
}

int flotilla_group_delete(struct flotilla_client *client, const char *group, const char *topic,
                          int timeout_ms, char *error, size_t error_size)
{
    const struct flotilla_topics *topics = NULL;
    int rc = check_group(group, error, error_size);

    if (rc != 0 || topic == NULL)
        return rc != 0 ? rc : delete_run(client, group, NULL, timeout_ms, error, error_size);
    rc = flotilla_topic_list(client, timeout_ms, &topics, error, error_size);
    if (rc != 0)
        return rc;
    const struct flotilla_topic_info *info = topic_of(topics, topic);
    if (info == NULL) {
        rc = client_error(error, error_size, ERR_UNKNOWN_TOPIC, "unknown topic %s", topic);
    } else {
        Flotilla__GroupPartitions *only = partitions_of(info);
        rc = delete_run(client, group, only, timeout_ms, error, error_size);
        free(only);
    }
    flotilla_result_free(topics);
    return rc;
}
