#include "node/server/group_front.h"

#include "node/base/memory.h"
#include "node/server/kafka/groups.h"
#include "node/server/native/groups.h"
#include <stdlib.h>
#include <string.h>

/* Of members that speak the Kafka protocol. */
enum { CLASSIC_SESSION_MIN_MS = 6000, CLASSIC_SESSION_MAX_MS = 30 * 60 * 1000 };

struct group_front {
    struct server *server;
    struct groups *groups;
    /* The view of the metadata that coordinators have, of this version; 0: none yet. */
    uint64_t version;
    struct engine_topic *topics;
    size_t capacity;
    struct engine_topics view;
};

/* ---- topics ---- */

static void add_topic(void *data, const struct topic_meta *topic)
{
    struct group_front *f = data;
    f->topics[f->view.count++] = (struct engine_topic){.name = topic->name,
                                                       .id = topic->id,
                                                       .partition_count = topic->partition_count,
                                                       .internal = topic->internal};
}

static void look_at_metadata(struct group_front *f, const struct metadata *m)
{
    size_t count = metadata_topic_count(m);
    if (count > f->capacity) {
        f->capacity = count;
        f->topics = memory_realloc(f->topics, count * sizeof(f->topics[0]));
    }
    f->view.count = 0;
    metadata_each_topic(m, add_topic, f);
    f->view.items = f->topics;
    f->version = metadata_version(m);
}

/* Until this node knows what the cluster knows, a topic that is missing here says nothing. Later the tables
 * only move on. */
static const struct engine_topics *topics(void *data, uint64_t *version)
{
    struct group_front *f = data;
    const struct cluster *cluster = f->server->cluster;
    if (cluster == NULL || (f->version == 0 && !cluster_tables_current(cluster)))
        return NULL;
    const struct metadata *m = cluster_metadata(cluster);
    if (f->version != metadata_version(m))
        look_at_metadata(f, m);
    *version = f->version;
    return &f->view;
}

static bool in_rack(void *data, const struct engine_topic *topic, uint32_t partition, const char *rack)
{
    const struct group_front *f = data;
    const struct metadata *m = cluster_metadata(f->server->cluster);
    const struct topic_meta *meta = metadata_topic_by_id(m, topic->id);
    if (meta == NULL || partition >= meta->partition_count)
        return false;
    const struct partition_meta *p = &meta->partitions[partition];
    for (unsigned i = 0; i < p->replica_count; i++) {
        const struct node_meta *node = metadata_node(m, p->replicas[i]);
        if (node != NULL && node->rack != NULL && strcmp(node->rack, rack) == 0)
            return true;
    }
    return false;
}

static bool topic_exists(void *data, const uint8_t topic_id[TOPIC_ID_SIZE])
{
    const struct group_front *f = data;
    return metadata_topic_by_id(cluster_metadata(f->server->cluster), topic_id) != NULL;
}

/* ---- create, destroy ---- */

struct group_front *group_front_create(struct server *s)
{
    struct group_front *f = memory_zalloc(sizeof(*f));
    const struct node_config *c = s->config;
    f->server = s;
    f->view.in_rack = in_rack;
    f->view.data = f;
    const struct groups_options options = {
        .env = s->env,
        .logger = s->logger,
        .metrics = s->metrics,
        .engine = {.session_timeout_ms = (uint32_t)c->group_session_timeout_ms,
                   .grace_ms = (uint32_t)c->group_grace_ms,
                   .revocation_timeout_ms = (uint32_t)c->group_revocation_timeout_ms,
                   .members_max = c->group_max_members,
                   .groups_max = c->max_groups},
        .offsets_retention_ms = c->offsets_retention_ms,
        .expiry_check_ms = c->retention_check_ms,
        .topics = topics,
        .topic_exists = topic_exists,
        .push = native_push_assignment,
        .answer = native_answer_member,
        .classic = {.settings = {.initial_delay_ms = (uint32_t)c->group_initial_delay_ms,
                                 .session_min_ms = CLASSIC_SESSION_MIN_MS,
                                 .session_max_ms = CLASSIC_SESSION_MAX_MS,
                                 .members_max = c->group_max_members,
                                 .groups_max = c->max_groups},
                    .joined = kafka_answer_join,
                    .synced = kafka_answer_sync},
        .data = f,
    };
    f->groups = groups_create(&options);
    return f;
}

void group_front_destroy(struct group_front *f)
{
    if (f == NULL)
        return;
    groups_destroy(f->groups);
    free(f->topics);
    free(f);
}

struct groups *group_front_groups(struct group_front *f)
{
    return f->groups;
}
