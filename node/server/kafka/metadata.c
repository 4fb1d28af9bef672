/* Who is in the cluster, and who leads what. Topics that are asked for and missing are created first, where
 * both the client and the node's settings want that; elsewhere the controller is asked whether they exist, as
 * another node may have created them a moment ago. */
#include "node/cluster/metadata.h"
#include "node/base/memory.h"
#include "node/server/kafka/cluster_view.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/leader_wait.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"
#include <string.h>

#define SECOND ((uint64_t)1000000000)

enum {
    /* The client hears meanwhile that there is no leader yet, and asks again. */
    CREATE_TIMEOUT_MS = 5000,
    CHECK_TIMEOUT_MS = 1000,
    CREATE_MAX = 100, /* topics at a time for one request */
    /* Only for topics that are named, and not for long lists of them, is a change of leaders waited out. */
    AWAIT_MAX = 100,
    /* How long a lost node is still named. librdkafka (2.10 to 2.16) forgets a node that is not named, and
     * with it, when the answer also moves a partition away from there, who leads that: for up to a second. */
    LOST_NODE_S = 30,
};

struct creation {
    struct cluster_op op; /* only_check: it must not be created, but may exist */
    struct metadata_call *call;
    const char *name;
};

struct metadata_call {
    struct leader_wait wait; /* first */
    struct kafka_request *request;
    struct creation *creations; /* in the arena */
    unsigned creation_count;
    unsigned pending;
    bool full; /* the arena's bound is reached */
};

/* ---- nodes ---- */

struct brokers {
    struct metadata_call *call;
    struct kafka_metadata_response *response;
};

static bool is_named(struct cluster *cluster, const struct node_meta *node)
{
    return node->kafka_port != 0 && (cluster_node_alive(cluster, node->id) ||
                                     cluster_node_lost_lately(cluster, node->id, LOST_NODE_S * SECOND));
}

static void add_broker(void *data, const struct node_meta *node)
{
    struct brokers *b = data;
    struct kafka_request *r = b->call->request;
    if (!is_named(r->server->cluster, node))
        return;
    struct kafka_metadata_response_broker *broker = &b->response->brokers.items[b->response->brokers.count++];
    broker->node_id = (int32_t)node->id;
    broker->host = kafka_node_host(r, node);
    broker->port = node->kafka_port;
    if (node->rack != NULL && node->rack[0] != '\0')
        broker->rack = kafka_string_of(node->rack);
}

static bool fill_brokers(struct metadata_call *call, struct kafka_metadata_response *response)
{
    struct kafka_request *r = call->request;
    struct cluster *cluster = r->server->cluster;
    const struct metadata *tables = cluster_metadata(cluster);
    struct brokers b = {call, response};
    response->brokers.items = KAFKA_NEW(&r->arena, metadata_response_broker, metadata_node_count(tables));
    if (response->brokers.items == NULL)
        return false;
    metadata_each_node(tables, add_broker, &b);
    response->controller_id = kafka_controller_id(r->server);
    response->cluster_id = kafka_string_of(cluster_id(cluster));
    return true;
}

/* ---- topics ---- */

static bool fill_partition(struct metadata_call *call, const struct partition_meta *meta,
                           struct kafka_metadata_response_partition *p)
{
    struct kafka_partition_view view;
    if (!kafka_partition_view(call->request, meta, &view))
        return false;
    KAFKA_SHOW_PARTITION(p, meta, &view);
    return true;
}

static void fill_topic(struct metadata_call *call, const struct topic_meta *topic,
                       struct kafka_metadata_response_topic *t)
{
    t->name = kafka_string_of(topic->name);
    t->topic_id = kafka_topic_uuid(topic);
    t->is_internal = topic->internal;
    t->partitions.items =
        KAFKA_NEW(&call->request->arena, metadata_response_partition, topic->partition_count);
    if (t->partitions.items == NULL) {
        call->full = true;
        return;
    }
    t->partitions.count = (int32_t)topic->partition_count;
    for (uint32_t i = 0; i < topic->partition_count && !call->full; i++)
        call->full = !fill_partition(call, &topic->partitions[i], &t->partitions.items[i]);
}

struct topics {
    struct metadata_call *call;
    struct kafka_metadata_response *response;
};

static void add_topic(void *data, const struct topic_meta *topic)
{
    struct topics *t = data;
    if (!t->call->full)
        fill_topic(t->call, topic, &t->response->topics.items[t->response->topics.count++]);
}

/* What became of creating it: why there is nothing to tell yet. */
static int16_t creation_error(const struct metadata_call *call, struct kafka_string name)
{
    for (unsigned i = 0; i < call->creation_count; i++) {
        const struct creation *c = &call->creations[i];
        if (!kafka_string_is(name, c->name))
            continue;
        bool created = !c->op.only_check && (c->op.status == 0 || c->op.status == ERR_TIMED_OUT);
        if (created || c->op.status == ERR_TOPIC_EXISTS)
            return KAFKA_ERR_LEADER_NOT_AVAILABLE;
        return c->op.only_check ? KAFKA_ERR_NONE : kafka_error_from(c->op.status);
    }
    return KAFKA_ERR_NONE;
}

static int16_t missing_error(struct metadata_call *call, struct kafka_string name)
{
    int16_t error = kafka_missing_topic(call->request, name);
    int16_t creation = creation_error(call, name);
    return error != KAFKA_ERR_INVALID_TOPIC_EXCEPTION && creation != KAFKA_ERR_NONE ? creation : error;
}

static const struct topic_meta *find_topic(const struct server *s,
                                           const struct kafka_metadata_request_topic *asked)
{
    return kafka_uuid_is_zero(asked->topic_id) ? kafka_topic_by_name(s, asked->name)
                                               : kafka_topic_by_id(s, asked->topic_id);
}

static void answer_topic(struct metadata_call *call, const struct kafka_metadata_request_topic *asked,
                         struct kafka_metadata_response_topic *t)
{
    bool by_id = !kafka_uuid_is_zero(asked->topic_id);
    const struct topic_meta *topic = find_topic(call->request->server, asked);
    if (topic != NULL) {
        fill_topic(call, topic, t);
        return;
    }
    t->name = by_id ? kafka_string_null() : asked->name;
    t->topic_id = asked->topic_id;
    t->error_code = by_id ? KAFKA_ERR_UNKNOWN_TOPIC_ID : missing_error(call, asked->name);
}

static bool wants_all(const struct kafka_request *r, const struct kafka_metadata_request *m)
{
    return r->header.api_version == 0 ? m->topics.count <= 0 : m->topics.count < 0;
}

static void fill_topics(struct metadata_call *call, struct kafka_metadata_response *response)
{
    struct kafka_request *r = call->request;
    const struct kafka_metadata_request *m = r->message;
    const struct metadata *tables = cluster_metadata(r->server->cluster);
    size_t count = wants_all(r, m) ? metadata_topic_count(tables) : (size_t)m->topics.count;
    response->topics.items = KAFKA_NEW(&r->arena, metadata_response_topic, count);
    if (response->topics.items == NULL) {
        call->full = true;
        return;
    }
    if (wants_all(r, m)) {
        struct topics t = {call, response};
        metadata_each_topic(tables, add_topic, &t);
        return;
    }
    response->topics.count = m->topics.count;
    for (int32_t i = 0; i < m->topics.count && !call->full; i++)
        answer_topic(call, &m->topics.items[i], &response->topics.items[i]);
}

/* ---- what is on its way: leaders that are just changing, topics that are new ---- */

/* Of the topics that are named. */
static bool all_are_led(const struct kafka_request *r, uint64_t *leaderless)
{
    const struct kafka_metadata_request *m = r->message;
    for (int32_t i = 0; i < m->topics.count && m->topics.count <= AWAIT_MAX; i++) {
        const struct topic_meta *topic = find_topic(r->server, &m->topics.items[i]);
        for (uint32_t k = 0; topic != NULL && k < topic->partition_count; k++) {
            *leaderless = topic->partitions[k].group_id;
            if (!kafka_is_led(r->server, *leaderless))
                return false;
        }
    }
    return true;
}

/* The controller has it, this node will. */
static bool awaits_topic(const struct metadata_call *call)
{
    for (unsigned i = 0; i < call->creation_count; i++) {
        const struct creation *c = &call->creations[i];
        if (c->op.status == ERR_TOPIC_EXISTS &&
            metadata_topic(cluster_metadata(call->request->server->cluster), c->name) == NULL)
            return true;
    }
    return false;
}

static bool settled(struct kafka_request *r, uint64_t *group_id)
{
    return all_are_led(r, group_id) && !awaits_topic(r->state);
}

static void answer(struct kafka_request *r)
{
    struct metadata_call *call = r->state;
    struct kafka_metadata_response response = kafka_metadata_response_default;
    if (fill_brokers(call, &response))
        fill_topics(call, &response);
    else
        call->full = true;
    if (call->full)
        kafka_refuse_too_large(r);
    else
        kafka_respond(r, &response);
}

/* ---- creating what is missing ---- */

static void on_created(struct cluster_op *op)
{
    struct creation *creation = op->data;
    struct metadata_call *call = creation->call;
    call->pending--;
    if (call->pending > 0)
        return;
    if (call->request->connection != NULL)
        kafka_await_leaders(call->request, settled, answer);
    else
        answer(call->request);
}

static bool may_create(const struct kafka_request *r)
{
    const struct kafka_metadata_request *m = r->message;
    return m->allow_auto_topic_creation && r->server->config->auto_create_topics;
}

/* The controller knows all topics, and without one nobody can tell. */
static bool may_ask(const struct kafka_request *r)
{
    const struct cluster *cluster = r->server->cluster;
    return cluster_tables_current(cluster) &&
           (may_create(r) || cluster_controller(cluster) != cluster_self(cluster));
}

static const char *missing_name(struct kafka_request *r, const struct kafka_metadata_request_topic *asked)
{
    if (!kafka_uuid_is_zero(asked->topic_id) || kafka_topic_by_name(r->server, asked->name) != NULL)
        return NULL;
    const char *name = kafka_request_text(r, asked->name);
    return name != NULL && topic_name_check(name) == 0 ? name : NULL;
}

static void collect_missing(struct metadata_call *call)
{
    struct kafka_request *r = call->request;
    const struct kafka_metadata_request *m = r->message;
    int32_t most = m->topics.count < CREATE_MAX ? m->topics.count : CREATE_MAX;
    if (most <= 0 || !may_ask(r))
        return;
    call->creations = arena_alloc(&r->arena, (size_t)most * sizeof(*call->creations));
    for (int32_t i = 0; i < most && call->creations != NULL; i++) {
        const char *name = missing_name(r, &m->topics.items[i]);
        if (name != NULL)
            call->creations[call->creation_count++] =
                (struct creation){.op.only_check = !may_create(r), .call = call, .name = name};
    }
}

void kafka_metadata(struct kafka_request *r)
{
    struct metadata_call *call = kafka_request_state(r, sizeof(*call));
    call->request = r;
    collect_missing(call);
    call->pending = call->creation_count;
    if (call->pending == 0) {
        kafka_await_leaders(r, settled, answer);
        return;
    }
    for (unsigned i = 0; i < call->creation_count; i++) {
        struct creation *c = &call->creations[i];
        c->op.data = c;
        uint64_t timeout_ms = c->op.only_check ? CHECK_TIMEOUT_MS : CREATE_TIMEOUT_MS;
        cluster_create_topic(r->server->cluster, &c->op, c->name, 0, 0, NULL, 0, timeout_ms, on_created);
    }
}
