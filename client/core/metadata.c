#include "client/core/internal.h"

enum { MAX_PARTITIONS = 1000000, CONNECT_AT_ONCE = 8 };
static const char offsets_topic[] = "__consumer_offsets";

static void metadata_tick(struct core *core, struct core_timer *timer);

void core_metadata_init(struct core *core)
{
    TAILQ_INIT(&core->metadata.topics);
    core->metadata.timer.cb = metadata_tick;
}

void core_metadata_close(struct core *core)
{
    struct core_topic *topic;

    core_timer_clear(&core->timers, &core->metadata.timer);
    while ((topic = TAILQ_FIRST(&core->metadata.topics)) != NULL) {
        TAILQ_REMOVE(&core->metadata.topics, topic, link);
        free(topic->leaders);
        free(topic);
    }
}

static struct core_topic *topic_find(struct core *core, const char *name)
{
    struct core_topic *topic = TAILQ_FIRST(&core->metadata.topics);

    while (topic != NULL && strcmp(topic->name, name) != 0)
        topic = TAILQ_NEXT(topic, link);
    return topic;
}

struct core_topic *core_topic_by_id(struct core *core, const uint8_t *id)
{
    struct core_topic *topic = TAILQ_FIRST(&core->metadata.topics);

    while (topic != NULL && (!topic->known || memcmp(topic->id, id, CORE_TOPIC_ID_SIZE) != 0))
        topic = TAILQ_NEXT(topic, link);
    return topic;
}

void core_metadata_need_all(struct core *core)
{
    core->metadata.all_needed = true;
    core->metadata.question++;
    core_metadata_need(core);
}

struct core_topic *core_topic_get(struct core *core, const char *name)
{
    struct core_topic *topic = topic_find(core, name);

    if (topic != NULL)
        return topic;
    topic = core_alloc(sizeof(*topic));
    snprintf(topic->name, sizeof(topic->name), "%s", name);
    TAILQ_INSERT_TAIL(&core->metadata.topics, topic, link);
    core->metadata.topic_count++;
    core_metadata_renew(core);
    return topic;
}

int core_topic_missing(const struct core *core, const struct core_topic *topic)
{
    return topic->missing_since_ns != 0 &&
                   core->now - topic->missing_since_ns >= CORE_TOPIC_GRACE_MS * CORE_MS
               ? ERR_UNKNOWN_TOPIC
               : 0;
}

int core_partition_missing(struct core *core, const struct core_topic *topic, uint32_t index,
                           uint64_t since_ns)
{
    if (index < topic->partition_count)
        return 0;
    if (topic->told_ns >= since_ns + CORE_TOPIC_GRACE_MS * CORE_MS)
        return ERR_UNKNOWN_PARTITION;
    core_metadata_need(core);
    return ERR_INTERRUPTED;
}

/* ---- asking ---- */

static void on_metadata(struct core *core, struct core_request *request, int status,
                        const struct core_frame *frame);

static void metadata_ask(struct core *core, struct core_endpoint *e)
{
    Flotilla__MetadataRequest m = FLOTILLA__METADATA_REQUEST__INIT;
    char **names = core_alloc((core->metadata.topic_count + 1) * sizeof(char *));

    for (struct core_topic *t = TAILQ_FIRST(&core->metadata.topics); t != NULL; t = TAILQ_NEXT(t, link))
        names[m.n_topics++] = t->name;
    m.topics = names;
    m.all_topics = core->metadata.all_needed;
    if (e->question != core->metadata.question)
        e->view = 0;
    e->question = core->metadata.question;
    m.known_view = e->view;
    core->totals.metadata_requests++;
    e->metadata.done = on_metadata;
    core_endpoint_request(e, &e->metadata, FRAME_METADATA, &m.base, NULL);
    free(names);
}

/* Asks every connection that is not being asked already; opens more, since the next leader may be behind any.
 */
static void metadata_ask_all(struct core *core)
{
    unsigned connecting = 0;
    uint32_t first = core->endpoint_count > 0 ? core->turn++ % core->endpoint_count : 0;

    for (uint32_t i = 0; i < core->endpoint_count; i++) {
        struct core_endpoint *e = core->endpoints[(first + i) % core->endpoint_count];
        if (e->state == ENDPOINT_READY && e->metadata.endpoint == NULL) {
            metadata_ask(core, e);
        } else if (e->state == ENDPOINT_CONNECTING || e->state == ENDPOINT_GREETING) {
            connecting++;
        } else if (e->state == ENDPOINT_IDLE && e->listed && connecting < CONNECT_AT_ONCE) {
            core_endpoint_want(e);
            connecting++;
        }
    }
}

/* After the slow pause, or a short one as long as somebody is stuck. */
static void metadata_tick(struct core *core, struct core_timer *timer)
{
    struct core_metadata *m = &core->metadata;

    if (core->stopping)
        return;
    m->needed = false;
    m->asked_ns = core->now;
    core_timer_set(&core->timers, timer, core->now + (uint64_t)core->settings.metadata_refresh_ms * CORE_MS);
    metadata_ask_all(core);
}

static void metadata_schedule(struct core *core)
{
    struct core_metadata *m = &core->metadata;
    uint64_t due = m->asked_ns != 0 ? m->asked_ns + core_pause(core, m->since_ns) : 0;

    core_timer_set(&core->timers, &m->timer, due > core->now ? due : core->now);
}

/* Trouble that comes back within the longest pause between attempts has not been over. */
static bool metadata_is_troubled(const struct core *core)
{
    return core->metadata.needed_ns != 0 &&
           core->now - core->metadata.needed_ns < 2 * CORE_BACKOFF_MAX_MS * CORE_MS;
}

void core_metadata_need(struct core *core)
{
    struct core_metadata *m = &core->metadata;

    if (!metadata_is_troubled(core))
        m->since_ns = core->now;
    m->needed_ns = core->now;
    if (m->needed)
        return;
    m->needed = true;
    metadata_schedule(core);
}

void core_metadata_renew(struct core *core)
{
    core->metadata.question++;
    core->metadata.since_ns = core->now;
    if (core->metadata.needed)
        metadata_schedule(core);
}

void core_metadata_on_ready(struct core *core, struct core_endpoint *e)
{
    if (metadata_is_troubled(core) && e->metadata.endpoint == NULL)
        metadata_ask(core, e);
}

/* ---- answers ---- */

static void topic_forget(struct core *core, struct core_topic *topic)
{
    topic->known = false;
    if (topic->missing_since_ns == 0)
        topic->missing_since_ns = core->now;
}

static void topic_resize(struct core_topic *topic, uint32_t count)
{
    if (count <= topic->partition_count)
        return;
    topic->leaders = realloc(topic->leaders, count * sizeof(struct core_leader));
    if (topic->leaders == NULL)
        abort();
    memset(topic->leaders + topic->partition_count, 0,
           (count - topic->partition_count) * sizeof(struct core_leader));
    topic->partition_count = count;
}

static void leader_apply(struct core_leader *leader, uint32_t node_id, int32_t epoch)
{
    if (epoch < leader->epoch || (epoch == leader->epoch && node_id == 0))
        return;
    leader->node_id = node_id;
    leader->epoch = epoch;
    leader->doubted = false;
}

static void topic_apply(struct core *core, struct core_topic *topic, const Flotilla__TopicInfo *info)
{
    if (info->id.len != CORE_TOPIC_ID_SIZE || info->n_partitions > MAX_PARTITIONS)
        return;
    if (memcmp(topic->id, info->id.data, CORE_TOPIC_ID_SIZE) != 0) {
        memcpy(topic->id, info->id.data, CORE_TOPIC_ID_SIZE);
        topic->partition_count = 0;
    }
    topic_resize(topic, (uint32_t)info->n_partitions);
    for (size_t i = 0; i < info->n_partitions; i++) {
        const Flotilla__PartitionInfo *p = info->partitions[i];
        if (p->index >= topic->partition_count)
            continue;
        uint32_t before = topic->leaders[p->index].node_id;
        leader_apply(&topic->leaders[p->index], p->leader_id, p->leader_epoch);
        core->totals.leader_changes += before != 0 && before != topic->leaders[p->index].node_id;
    }
    topic->known = topic->partition_count > 0;
    topic->missing_since_ns = 0;
    core_producer_on_topic(core, topic);
}

/* A node that is behind must not take anybody back to what a topic was before it was deleted and made anew.
 */
static bool topic_is_outdated(const struct core_topic *topic, const Flotilla__TopicInfo *info, bool is_old)
{
    return is_old && topic->known && info->id.len == CORE_TOPIC_ID_SIZE &&
           memcmp(topic->id, info->id.data, CORE_TOPIC_ID_SIZE) != 0;
}

static void topics_apply(struct core *core, const Flotilla__MetadataResponse *m, bool is_old)
{
    for (size_t i = 0; i < m->n_topics; i++) {
        const Flotilla__TopicInfo *info = m->topics[i];
        struct core_topic *topic = topic_find(core, info->name);
        if (topic == NULL && core_members_want_topic(core, &info->id) && strlen(info->name) < CORE_TOPIC_SIZE)
            topic = core_topic_get(core, info->name);
        if (topic == NULL)
            continue;
        int error = info->status != NULL ? info->status->error : 0;
        if (!is_old)
            topic->told_ns = core->now;
        if (error == 0 && !topic_is_outdated(topic, info, is_old))
            topic_apply(core, topic, info);
        else if (error == ERR_UNKNOWN_TOPIC && !is_old)
            topic_forget(core, topic);
    }
}

static void topics_told_again(struct core *core)
{
    for (struct core_topic *t = TAILQ_FIRST(&core->metadata.topics); t != NULL; t = TAILQ_NEXT(t, link))
        t->told_ns = core->now;
}

/* The endpoint of a node; a bootstrap address that turns out to be the node's own becomes it. */
static struct core_endpoint *node_find(struct core *core, const Flotilla__NodeInfo *info)
{
    struct core_endpoint *e = core_node_endpoint(core, info->id);

    for (uint32_t i = 0; e == NULL && i < core->endpoint_count; i++) {
        struct core_endpoint *b = core->endpoints[i];
        if (b->node_id != 0 || b->port != info->port || strcmp(b->host, info->host) != 0)
            continue;
        e = b;
        e->node_id = info->id;
    }
    return e;
}

static void node_apply(struct core *core, const Flotilla__NodeInfo *info)
{
    struct core_endpoint *e = node_find(core, info);

    if (info->id == 0 || info->port == 0 || info->port > UINT16_MAX || info->host[0] == '\0' ||
        strlen(info->host) >= sizeof(e->host))
        return;
    if (e == NULL) {
        if (core->endpoint_count == CORE_MAX_CONNECTIONS)
            return;
        e = core_alloc(sizeof(*e));
        core_endpoint_init(core, e, info->host, (uint16_t)info->port, info->id);
    } else if (strcmp(e->host, info->host) != 0 || e->port != info->port) {
        core_endpoint_fail(e, ERR_CONNECTION_LOST, "node %u moved to %s:%u", info->id, info->host,
                           info->port);
        snprintf(e->host, sizeof(e->host), "%s", info->host);
        e->port = (uint16_t)info->port;
    }
    e->listed = true;
    e->alive = info->alive;
}

static void nodes_apply(struct core *core, const Flotilla__MetadataResponse *m)
{
    for (uint32_t i = 0; i < core->endpoint_count; i++)
        if (core->endpoints[i]->node_id != 0)
            core->endpoints[i]->listed = false;
    for (size_t i = 0; i < m->n_nodes; i++)
        node_apply(core, m->nodes[i]);
}

/* All nodes of a client must be of one cluster: a bootstrap list that mixes two is refused here. */
static bool cluster_accepts(struct core *core, struct core_endpoint *e, const char *cluster_id)
{
    char *known = core->metadata.cluster_id;

    if (known[0] == '\0')
        snprintf(known, sizeof(core->metadata.cluster_id), "%s", cluster_id);
    if (strncmp(known, cluster_id, sizeof(core->metadata.cluster_id) - 1) == 0)
        return true;
    core_endpoint_fail(e, ERR_CLUSTER_MISMATCH, "belongs to cluster %.64s, the others to %.64s", cluster_id,
                       known);
    return false;
}

static void metadata_apply(struct core *core, struct core_endpoint *e, const Flotilla__MetadataResponse *m)
{
    bool is_old = m->version < core->metadata.version;

    if (m->unchanged) {
        if (!is_old)
            topics_told_again(core);
        return;
    }
    if (!cluster_accepts(core, e, m->cluster_id))
        return;
    if (!is_old && m->n_nodes > 0)
        nodes_apply(core, m);
    if (!is_old)
        core->metadata.version = m->version;
    topics_apply(core, m, is_old);
    core->metadata.all_needed = false;
    e->view = m->view;
}

static void on_metadata(struct core *core, struct core_request *request, int status,
                        const struct core_frame *frame)
{
    struct core_endpoint *e =
        (struct core_endpoint *)((char *)request - offsetof(struct core_endpoint, metadata));

    if (status != 0)
        return;
    Flotilla__MetadataResponse *m = flotilla__metadata_response__unpack(
        arena_allocator(&core->arena), frame->head.header_length, frame->header);
    if (m == NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "malformed metadata");
        return;
    }
    if (m->status == NULL || m->status->error == 0)
        metadata_apply(core, e, m);
    core_wake_all(core);
}

/* ---- using it ---- */

struct core_endpoint *core_node_endpoint(struct core *core, uint32_t node_id)
{
    for (uint32_t i = 0; i < core->endpoint_count; i++)
        if (core->endpoints[i]->node_id == node_id)
            return core->endpoints[i];
    return NULL;
}

struct core_endpoint *core_leader_endpoint(struct core *core, struct core_topic *topic, uint32_t partition)
{
    struct core_endpoint *e = NULL;

    if (topic->known && partition < topic->partition_count) {
        const struct core_leader *leader = &topic->leaders[partition];
        if (leader->node_id != 0 && !leader->doubted)
            e = core_node_endpoint(core, leader->node_id);
    }
    if (e != NULL && e->state == ENDPOINT_READY)
        return e;
    if (e != NULL)
        core_endpoint_want(e);
    if (e == NULL || !core_endpoint_is_hopeful(e))
        core_metadata_need(core);
    return NULL;
}

struct core_endpoint *core_coordinator_endpoint(struct core *core, const char *group, unsigned turn,
                                                struct core_topic **topic, uint32_t *partition)
{
    struct core_topic *offsets = core_topic_get(core, offsets_topic);

    *topic = offsets->known ? offsets : NULL;
    if (offsets->known) {
        *partition = (uint32_t)flotilla_group_partition(group, (int32_t)offsets->partition_count);
        return core_leader_endpoint(core, offsets, *partition);
    }
    if (core_topic_missing(core, offsets) != 0)
        return core_any_endpoint(core, turn);
    core_metadata_need(core);
    return NULL;
}

bool core_leader_learn(struct core *core, struct core_topic *topic, uint32_t partition, uint32_t from_node,
                       const Flotilla__Status *status)
{
    if (partition >= topic->partition_count)
        return false;
    struct core_leader *leader = &topic->leaders[partition];
    if (status->leader_id != 0 && status->leader_id != from_node && status->leader_epoch >= leader->epoch &&
        (leader->node_id != status->leader_id || status->leader_epoch > leader->epoch)) {
        leader_apply(leader, status->leader_id, status->leader_epoch);
        core->totals.leader_changes++;
        core_log(core, FLOTILLA_LOG_INFO, "msg=\"leader moved\" partition=%s/%u leader=%u epoch=%d",
                 topic->name, partition, leader->node_id, leader->epoch);
        return true;
    }
    if (leader->node_id == from_node && !leader->doubted) {
        leader->doubted = true;
        core_metadata_renew(core);
    }
    core_metadata_need(core);
    return false;
}

struct core_endpoint *core_any_endpoint(struct core *core, unsigned turn)
{
    struct core_endpoint *ready[CORE_MAX_CONNECTIONS];
    unsigned count = 0;

    for (uint32_t i = 0; i < core->endpoint_count; i++)
        if (core->endpoints[i]->state == ENDPOINT_READY)
            ready[count++] = core->endpoints[i];
    if (count > 0)
        return ready[turn % count];
    core_metadata_need(core);
    return NULL;
}

const char *core_describe_partition(struct core *core, const struct core_topic *topic, uint32_t partition,
                                    char *out, size_t size)
{
    uint32_t leader = partition < topic->partition_count ? topic->leaders[partition].node_id : 0;
    const struct core_endpoint *e = leader != 0 ? core_node_endpoint(core, leader) : NULL;

    if (e != NULL)
        snprintf(out, size, "%s/%u at node %u (%s:%u)", topic->name, partition, leader, e->host, e->port);
    else
        snprintf(out, size, "%s/%u (no leader known)", topic->name, partition);
    return out;
}
