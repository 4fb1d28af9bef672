/* Turns a topic request into a command: the checks whose failure deserves a sentence, and the placement. */
#include "node/cluster/controller_request.h"
#include "node/cluster/placement.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- placement over the nodes as they are ---- */

struct candidates {
    const struct cluster *cluster;
    struct placement_node *nodes;
    unsigned count;
};

static void add_candidate(void *data, const struct node_meta *node)
{
    struct candidates *candidates = data;
    const struct cluster *c = candidates->cluster;
    candidates->nodes[candidates->count] = (struct placement_node){
        .id = node->id,
        .rack = node->rack,
        .reserve = node->draining || !cluster_node_alive(c, node->id),
    };
    candidates->count++;
}

static struct placement_node *find_candidate(struct candidates *candidates, uint32_t id)
{
    for (unsigned i = 0; i < candidates->count; i++) {
        if (candidates->nodes[i].id == id) {
            return &candidates->nodes[i];
        }
    }
    return NULL;
}

static void count_topic(void *data, const struct topic_meta *topic)
{
    struct candidates *candidates = data;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        const struct partition_meta *partition = &topic->partitions[i];
        for (unsigned k = 0; k < partition->replica_count; k++) {
            struct placement_node *node = find_candidate(candidates, partition->replicas[k]);
            if (node != NULL) {
                node->replicas++;
                node->leaders += k == 0 ? 1 : 0;
            }
        }
    }
}

/* Fills the plan's partition records, with `first_index` on and fresh group ids. */
static int place(const struct cluster *c, struct plan *plan, uint32_t first_index, uint32_t count,
                 uint32_t replicas)
{
    const struct metadata *m = c->group0.metadata;
    struct candidates candidates = {
        .cluster = c,
        .nodes = memory_zalloc((metadata_node_count(m) + 1) * sizeof *candidates.nodes),
    };
    metadata_each_node(m, add_candidate, &candidates);
    metadata_each_topic(m, count_topic, &candidates);
    plan->partitions = memory_zalloc(count * sizeof *plan->partitions);
    int rc = placement_assign(candidates.nodes, candidates.count, replicas, plan->partitions, count);
    free(candidates.nodes);
    if (rc != 0) {
        return rc;
    }
    plan->records = memory_zalloc(count * sizeof *plan->records);
    plan->record_list = memory_zalloc(count * sizeof *plan->record_list);
    for (uint32_t i = 0; i < count; i++) {
        Flotilla__PartitionRecord *record = &plan->records[i];
        flotilla__partition_record__init(record);
        record->index = first_index + i;
        record->group_id = metadata_next_group_id(m) + i;
        record->replicas = plan->partitions[i].replicas;
        record->n_replicas = plan->partitions[i].replica_count;
        plan->record_list[i] = record;
    }
    return 0;
}

void plan_free(struct plan *plan)
{
    free(plan->partitions);
    free(plan->records);
    free(plan->record_list);
}

/* ---- checks ---- */

static int check_settings(struct controller_request *r, Flotilla__TopicConfigRecord *const *settings,
                          size_t count)
{
    struct topic_config config;
    char reason[200];
    topic_config_defaults(&config);
    for (size_t i = 0; i < count; i++) {
        int rc = topic_config_set(&config, settings[i]->name, settings[i]->value, reason, sizeof reason);
        if (rc != 0) {
            return controller_refuse(r, rc, "%s", reason);
        }
    }
    return 0;
}

static int check_partition_count(struct controller_request *r, uint32_t partitions, uint32_t added)
{
    size_t total = metadata_partition_count(r->cluster->group0.metadata);
    if (partitions < 1 || partitions > TOPIC_PARTITIONS_MAX) {
        return controller_refuse(r, ERR_INVALID_PARTITIONS, "%" PRIu32 " partitions: a topic has 1 to %d",
                                 partitions, TOPIC_PARTITIONS_MAX);
    }
    if (total + added > CLUSTER_PARTITIONS_MAX) {
        return controller_refuse(r, ERR_INVALID_PARTITIONS,
                                 "the cluster has %zu partitions and holds at most %d", total,
                                 CLUSTER_PARTITIONS_MAX);
    }
    return 0;
}

static int check_replica_count(struct controller_request *r, uint32_t replicas)
{
    size_t nodes = metadata_node_count(r->cluster->group0.metadata);
    size_t most = nodes < PARTITION_REPLICAS_MAX ? nodes : PARTITION_REPLICAS_MAX;
    if (replicas < 1 || replicas > most) {
        return controller_refuse(r, ERR_INVALID_REPLICATION,
                                 "%" PRIu32 " replicas: with %zu nodes, 1 to %zu are possible", replicas,
                                 nodes, most);
    }
    return 0;
}

/* ---- create ---- */

static uint32_t default_replicas(const struct cluster *c, uint32_t wanted)
{
    size_t nodes = metadata_node_count(c->group0.metadata);
    return wanted > nodes ? (uint32_t)nodes : wanted;
}

/* The same request once more, after its answer was lost. */
static bool is_repeat(const struct topic_meta *topic, const Flotilla__CreateTopicPlan *request)
{
    return request->id.len == TOPIC_ID_SIZE && memcmp(topic->id, request->id.data, TOPIC_ID_SIZE) == 0;
}

static int check_create(struct controller_request *r, const Flotilla__CreateTopicPlan *request)
{
    if (topic_name_check(request->name) != 0) {
        return controller_refuse(r, ERR_INVALID_TOPIC, "%s", error_text(ERR_INVALID_TOPIC));
    }
    if (strcmp(request->name, OFFSETS_TOPIC) == 0) {
        return controller_refuse(r, ERR_INVALID_TOPIC,
                                 OFFSETS_TOPIC " is internal: the cluster creates it by itself");
    }
    if (request->id.len != TOPIC_ID_SIZE) {
        return controller_refuse(r, ERR_PROTOCOL, "the topic's id has %zu bytes", request->id.len);
    }
    return check_settings(r, request->config, request->n_config);
}

static void fill_create(struct plan *plan, const char *name, const uint8_t id[TOPIC_ID_SIZE],
                        uint32_t partitions, Flotilla__MetadataCommand *command)
{
    flotilla__create_topic__init(&plan->create);
    flotilla__topic_record__init(&plan->topic);
    memcpy(plan->topic_id, id, TOPIC_ID_SIZE);
    plan->topic.name = (char *)name;
    plan->topic.id = (ProtobufCBinaryData){TOPIC_ID_SIZE, plan->topic_id};
    plan->topic.n_partitions = partitions;
    plan->topic.partitions = plan->record_list;
    plan->create.topic = &plan->topic;
    command->command_case = FLOTILLA__METADATA_COMMAND__COMMAND_CREATE_TOPIC;
    command->create_topic = &plan->create;
}

static void fill_reply(struct controller_request *r, const uint8_t id[TOPIC_ID_SIZE], uint32_t partitions,
                       uint32_t replicas)
{
    memcpy(r->topic_id, id, TOPIC_ID_SIZE);
    r->reply.topic_id = (ProtobufCBinaryData){TOPIC_ID_SIZE, r->topic_id};
    r->reply.partitions = partitions;
    r->reply.replicas = replicas;
}

static enum plan_result answer_existing(struct controller_request *r, const struct topic_meta *topic)
{
    if (is_repeat(topic, r->request->create_topic)) {
        fill_reply(r, topic->id, topic->partition_count, topic->partitions[0].replica_count);
    } else {
        (void)controller_refuse(r, ERR_TOPIC_EXISTS, "topic %s already exists", topic->name);
    }
    return PLAN_ANSWER;
}

enum plan_result plan_create(struct controller_request *r, struct plan *plan,
                             Flotilla__MetadataCommand *command)
{
    const struct cluster *c = r->cluster;
    const Flotilla__CreateTopicPlan *request = r->request->create_topic;
    if (check_create(r, request) != 0) {
        return PLAN_ANSWER;
    }
    const struct topic_meta *existing = metadata_topic(c->group0.metadata, request->name);
    if (existing != NULL) {
        return answer_existing(r, existing);
    }
    uint32_t partitions = request->partitions != 0 ? request->partitions : c->options.default_partitions;
    uint32_t replicas =
        request->replicas != 0 ? request->replicas : default_replicas(c, c->options.default_replicas);
    if (check_partition_count(r, partitions, partitions) != 0 || check_replica_count(r, replicas) != 0) {
        return PLAN_ANSWER;
    }
    if (request->only_check) {
        fill_reply(r, request->id.data, partitions, replicas);
        return PLAN_ANSWER;
    }
    int rc = place(c, plan, 0, partitions, replicas);
    if (rc != 0) {
        (void)controller_refuse(r, rc, "%s", error_text(rc));
        return PLAN_ANSWER;
    }
    fill_create(plan, request->name, request->id.data, partitions, command);
    plan->topic.n_config = request->n_config;
    plan->topic.config = request->config;
    fill_reply(r, request->id.data, partitions, replicas);
    (void)snprintf(r->summary, sizeof r->summary,
                   "change=create_topic topic=%s partitions=%" PRIu32 " replicas=%" PRIu32, request->name,
                   partitions, replicas);
    return PLAN_PROPOSE;
}

int plan_internal_topic(struct cluster *c, const char *name, uint32_t partitions, uint32_t replicas,
                        struct plan *plan, Flotilla__MetadataCommand *command)
{
    uint8_t id[TOPIC_ID_SIZE];
    int rc = place(c, plan, 0, partitions, default_replicas(c, replicas));
    if (rc != 0) {
        return rc;
    }
    topic_id_generate(c->env, id);
    fill_create(plan, name, id, partitions, command);
    plan->topic.internal = true;
    return 0;
}

/* ---- alter ---- */

static int check_reset(struct controller_request *r, char *const *names, size_t count)
{
    size_t key_count;
    const struct topic_config_key *keys = topic_config_keys(&key_count);
    struct topic_config scratch;
    char reason[200];
    topic_config_defaults(&scratch);
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < key_count && strcmp(keys[k].name, names[i]) != 0) {
            k++;
        }
        if (k == key_count) { /* refused with the nearest name */
            int rc = topic_config_set(&scratch, names[i], "", reason, sizeof reason);
            return controller_refuse(r, rc, "%s", reason);
        }
    }
    return 0;
}

static int check_alter(struct controller_request *r, const struct topic_meta *topic)
{
    const Flotilla__AlterTopicPlan *request = r->request->alter_topic;
    if (topic == NULL) {
        return controller_refuse(r, ERR_UNKNOWN_TOPIC, "there is no topic %.249s", request->name);
    }
    if (request->partitions != 0 && request->partitions < topic->partition_count) {
        return controller_refuse(r, ERR_INVALID_PARTITIONS,
                                 "%s has %" PRIu32 " partitions; their number can only grow", topic->name,
                                 topic->partition_count);
    }
    if (request->partitions > topic->partition_count && topic->internal) {
        return controller_refuse(r, ERR_INVALID_PARTITIONS,
                                 "%s is internal: groups are mapped to its partitions by their number",
                                 topic->name);
    }
    if (request->partitions > topic->partition_count) {
        int rc = check_partition_count(r, request->partitions, request->partitions - topic->partition_count);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = check_settings(r, request->set, request->n_set);
    return rc != 0 ? rc : check_reset(r, request->reset, request->n_reset);
}

enum plan_result plan_alter(struct controller_request *r, struct plan *plan,
                            Flotilla__MetadataCommand *command)
{
    const Flotilla__AlterTopicPlan *request = r->request->alter_topic;
    const struct topic_meta *topic = metadata_topic(r->cluster->group0.metadata, request->name);
    if (check_alter(r, topic) != 0) {
        return PLAN_ANSWER;
    }
    uint32_t before = topic->partition_count;
    uint32_t after = request->partitions != 0 ? request->partitions : before;
    uint32_t replicas = topic->partitions[0].replica_count;
    fill_reply(r, topic->id, after, replicas);
    if (request->only_check || (after == before && request->n_set == 0 && request->n_reset == 0)) {
        return PLAN_ANSWER;
    }
    if (after > before) {
        int rc = place(r->cluster, plan, before, after - before, replicas);
        if (rc != 0) {
            (void)controller_refuse(r, rc, "%s", error_text(rc));
            return PLAN_ANSWER;
        }
    }
    flotilla__alter_topic__init(&plan->alter);
    memcpy(plan->topic_id, topic->id, TOPIC_ID_SIZE);
    plan->alter.id = (ProtobufCBinaryData){TOPIC_ID_SIZE, plan->topic_id};
    plan->alter.n_set = request->n_set;
    plan->alter.set = request->set;
    plan->alter.n_reset = request->n_reset;
    plan->alter.reset = request->reset;
    plan->alter.n_add_partitions = after - before;
    plan->alter.add_partitions = plan->record_list;
    command->command_case = FLOTILLA__METADATA_COMMAND__COMMAND_ALTER_TOPIC;
    command->alter_topic = &plan->alter;
    (void)snprintf(r->summary, sizeof r->summary, "change=alter_topic topic=%s partitions=%" PRIu32,
                   topic->name, after);
    return PLAN_PROPOSE;
}
