/* Create, delete and alter topics: the controller does the work, wherever it is. */
#include "node/server/native/dispatch.h"
#include "proto/error.h"

enum { DEFAULT_TIMEOUT_MS = 30000, MAX_TIMEOUT_MS = 10 * 60 * 1000 };

struct topic_call {
    struct cluster_op op;
    struct request *request;
};

static struct topic_call *topic_call(struct request *r)
{
    struct topic_call *call = request_state(r, sizeof(*call));
    call->request = r;
    call->op.data = call;
    return call;
}

static uint64_t bounded_timeout(uint32_t timeout_ms)
{
    if (timeout_ms == 0)
        return DEFAULT_TIMEOUT_MS;
    return timeout_ms < MAX_TIMEOUT_MS ? timeout_ms : MAX_TIMEOUT_MS;
}

/* The entries to set, then the ones to reset. */
static struct cluster_config_entry *config_entries(struct request *r, Flotilla__ConfigEntry **set,
                                                   size_t set_count, char **reset, size_t reset_count)
{
    struct cluster_config_entry *entries = request_array(r, set_count + reset_count, sizeof(*entries));
    if (entries == NULL)
        return NULL;
    for (size_t i = 0; i < set_count; i++)
        entries[i] = (struct cluster_config_entry){set[i]->name, set[i]->value};
    for (size_t i = 0; i < reset_count; i++)
        entries[set_count + i] = (struct cluster_config_entry){reset[i], NULL};
    return entries;
}

/* ---- create ---- */

static void on_created(struct cluster_op *op)
{
    struct topic_call *call = op->data;
    Flotilla__Status status = status_make(op->status, op->message);
    Flotilla__CreateTopicResponse response = FLOTILLA__CREATE_TOPIC_RESPONSE__INIT;
    response.status = &status;
    response.id.data = op->topic_id;
    response.id.len = op->status == 0 || op->status == ERR_TIMED_OUT ? TOPIC_ID_SIZE : 0;
    response.partitions = op->partitions;
    response.replicas = op->replicas;
    request_respond(call->request, &response.base);
}

void native_create_topic(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__CreateTopicRequest *m = (const Flotilla__CreateTopicRequest *)message;
    struct cluster_config_entry *config = config_entries(r, m->config, m->n_config, NULL, 0);
    if (config == NULL) {
        request_fail(r, ERR_TOO_LARGE, NULL);
        return;
    }
    cluster_create_topic(r->server->cluster, &topic_call(r)->op, m->name, m->partitions, m->replicas, config,
                         m->n_config, bounded_timeout(m->timeout_ms), on_created);
}

/* ---- delete and alter ---- */

static void on_done(struct cluster_op *op)
{
    struct topic_call *call = op->data;
    request_fail(call->request, op->status, op->message);
}

void native_delete_topic(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__DeleteTopicRequest *m = (const Flotilla__DeleteTopicRequest *)message;
    cluster_delete_topic(r->server->cluster, &topic_call(r)->op, m->name, on_done);
}

void native_alter_topic(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__AlterTopicRequest *m = (const Flotilla__AlterTopicRequest *)message;
    struct cluster_config_entry *config = config_entries(r, m->config, m->n_config, m->reset, m->n_reset);
    if (config == NULL) {
        request_fail(r, ERR_TOO_LARGE, NULL);
        return;
    }
    cluster_alter_topic(r->server->cluster, &topic_call(r)->op, m->name, m->partitions, config,
                        m->n_config + m->n_reset, bounded_timeout(m->timeout_ms), on_done);
}
