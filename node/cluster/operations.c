/* The public operations: each asks the controller and then waits until this node's own tables show the
 * change, so that who was told "done" can use it here at once. Creating a topic waits for its leaders,
 * draining until nothing is led. */
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum operation_kind {
    OPERATION_CREATE,
    OPERATION_ALTER,
    OPERATION_DELETE,
    OPERATION_DELETE_RECORDS,
    OPERATION_DRAIN
};

struct operation {
    struct queue node;
    struct cluster *cluster;
    struct cluster_op *op;
    enum operation_kind kind;
    bool is_answered; /* by the controller; now this node waits for the effect */
    bool is_due;      /* scratch of operations_step */
    bool drain;
    uint32_t node_id;
    uint64_t version;    /* of the tables in which the change stands */
    uint32_t leaderless; /* the partition that was found without a leader the last time */
    uint64_t deadline_ns;
    struct env_timer timer;
    char name[TOPIC_NAME_MAX + 1];
};

void topic_id_generate(struct env *env, uint8_t id[TOPIC_ID_SIZE])
{
    env_random_bytes(env, id, TOPIC_ID_SIZE);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

/* ---- finishing ---- */

__attribute__((format(printf, 3, 4))) static void finish(struct operation *o, int status, const char *format,
                                                         ...)
{
    struct cluster_op *op = o->op;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(op->message, sizeof op->message, format, arguments);
    va_end(arguments);
    op->status = status;
    queue_remove(&o->node);
    env_timer_stop(o->cluster->env, &o->timer);
    free(o);
    op->cb(op);
}

/* ---- waiting for the effect ---- */

struct leadership_count {
    const struct cluster *cluster;
    uint32_t node_id;
    uint32_t led;       /* by the node */
    uint32_t immovable; /* of these, without another replica */
};

static void count_led(void *data, const struct topic_meta *topic)
{
    struct leadership_count *count = data;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        const struct partition_meta *partition = &topic->partitions[i];
        if (cluster_leader(count->cluster, partition->group_id, NULL) == count->node_id) {
            count->led++;
            count->immovable += partition->replica_count == 1 ? 1 : 0;
        }
    }
}

static struct leadership_count leadership_of(const struct cluster *c, uint32_t node_id)
{
    struct leadership_count count = {.cluster = c, .node_id = node_id};
    metadata_each_topic(c->group0.metadata, count_led, &count);
    if (cluster_controller(c) == node_id) {
        count.led++;
        count.immovable += c->peer_count == 1 ? 1 : 0;
    }
    return count;
}

static void check_drained(struct operation *o, bool is_late)
{
    struct leadership_count count = leadership_of(o->cluster, o->node_id);
    o->op->still_leads = count.led;
    if (!o->drain) {
        finish(o, 0, "%s", "");
    } else if (count.led == 0) {
        finish(o, 0, "node %" PRIu32 " leads nothing", o->node_id);
    } else if (count.led == count.immovable) {
        finish(o, 0, "node %" PRIu32 " still leads %" PRIu32 " groups that have no other replica", o->node_id,
               count.led);
    } else if (is_late) {
        finish(o, ERR_TIMED_OUT, "node %" PRIu32 " is draining and still leads %" PRIu32 " groups",
               o->node_id, count.led);
    }
}

static uint32_t count_leaderless(const struct cluster *c, const struct topic_meta *topic)
{
    uint32_t leaderless = 0;
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        leaderless += cluster_leader(c, topic->partitions[i].group_id, NULL) == 0 ? 1 : 0;
    }
    return leaderless;
}

/* Asked whenever one of a thousand has got its leader, so it looks first at the one that had none. */
static bool have_leaders(struct operation *o, const struct topic_meta *topic)
{
    for (uint32_t i = 0; i < topic->partition_count; i++) {
        uint32_t at = (o->leaderless + i) % topic->partition_count;
        if (cluster_leader(o->cluster, topic->partitions[at].group_id, NULL) == 0) {
            o->leaderless = at;
            return false;
        }
    }
    return true;
}

static void check_leaders(struct operation *o, bool is_late)
{
    const struct topic_meta *topic = metadata_topic_by_id(o->cluster->group0.metadata, o->op->topic_id);
    if (topic == NULL) {
        finish(o, ERR_UNKNOWN_TOPIC, "topic %s was deleted meanwhile", o->name);
        return;
    }
    if (have_leaders(o, topic)) {
        finish(o, 0, "%s", "");
    } else if (is_late) {
        finish(o, ERR_TIMED_OUT,
               "topic %s stands, but %" PRIu32 " of its %" PRIu32 " partitions have no leader yet", o->name,
               count_leaderless(o->cluster, topic), topic->partition_count);
    }
}

/* Finishes the operation when its effect is there, or when it is late. */
static void check(struct operation *o, bool is_late)
{
    if (metadata_version(o->cluster->group0.metadata) < o->version) {
        if (is_late || o->cluster->group0.has_failed) { /* it will not catch up */
            finish(o, ERR_TIMED_OUT, "the change is committed, but this node has not caught up with it yet");
        }
        return;
    }
    switch (o->kind) {
    case OPERATION_CREATE:
    case OPERATION_ALTER:
        check_leaders(o, is_late);
        break;
    case OPERATION_DELETE:
    case OPERATION_DELETE_RECORDS:
        finish(o, 0, "%s", "");
        break;
    case OPERATION_DRAIN:
        check_drained(o, is_late);
        break;
    }
}

void operations_step(struct cluster *c)
{
    QUEUE_FOREACH (node, &c->operations) {
        QUEUE_ENTRY(node, struct operation, node)->is_due = true;
    }
    /* What is done goes to the back. A callback may begin operations, which are not due, or end any of them.
     */
    while (!queue_empty(&c->operations)) {
        struct operation *o = QUEUE_ENTRY(queue_first(&c->operations), struct operation, node);
        if (!o->is_due) {
            break;
        }
        o->is_due = false;
        queue_remove(&o->node);
        queue_push(&c->operations, &o->node);
        if (o->is_answered) {
            check(o, false);
        }
    }
}

static void on_deadline(struct env_timer *timer)
{
    check(container_of(timer, struct operation, timer), true);
}

/* ---- the controller's answer ---- */

/* Asked again after a lost answer, the controller finds that it has been done. */
static bool is_done_already(const struct operation *o, int error, bool uncertain)
{
    return uncertain && o->kind == OPERATION_DELETE && error == ERR_UNKNOWN_TOPIC;
}

static void explain_failure(struct operation *o, int status)
{
    switch (status) {
    case ERR_LEADER_NOT_AVAILABLE:
    case ERR_UNREACHABLE:
    case ERR_NOT_LEADER:
        finish(o, ERR_LEADER_NOT_AVAILABLE, "no controller answers: is a majority of the nodes in reach?");
        break;
    case ERR_TIMED_OUT:
        finish(o, status, "no answer from the controller: the change may or may not have been made");
        break;
    default:
        finish(o, status, "%s", error_text(status));
        break;
    }
}

static void on_answer(void *data, int status, const Flotilla__ControllerAnswer *answer, bool uncertain)
{
    struct operation *o = data;
    if (status != 0) {
        explain_failure(o, status);
        return;
    }
    if (answer->error != 0 && !is_done_already(o, answer->error, uncertain)) {
        finish(o, answer->error, "%s", answer->message);
        return;
    }
    if (answer->topic_id.len == TOPIC_ID_SIZE) {
        memcpy(o->op->topic_id, answer->topic_id.data, TOPIC_ID_SIZE);
    }
    o->op->partitions = answer->partitions;
    o->op->replicas = answer->replicas;
    if (o->op->only_check) {
        finish(o, 0, "%s", "");
        return;
    }
    o->version = answer->version;
    o->is_answered = true;
    uint64_t now = env_now_ns(o->cluster->env);
    env_timer_start(o->cluster->env, &o->timer, o->deadline_ns > now ? o->deadline_ns - now : 0, on_deadline);
    cluster_wake(o->cluster);
}

void operations_close(struct cluster *c)
{
    while (!queue_empty(&c->operations)) {
        finish(QUEUE_ENTRY(queue_first(&c->operations), struct operation, node), ERR_SHUTTING_DOWN, "%s",
               error_text(ERR_SHUTTING_DOWN));
    }
}

/* ---- starting ---- */

static void begin(struct cluster *c, struct cluster_op *op, enum operation_kind kind, const char *name,
                  const Flotilla__ControllerRequest *request, uint64_t timeout_ms,
                  void (*cb)(struct cluster_op *op), struct operation *o)
{
    timeout_ms = timeout_ms != 0 ? timeout_ms : OPERATION_TIMEOUT_MS;
    op->cb = cb;
    op->private_ = o;
    op->status = 0;
    op->message[0] = '\0';
    o->cluster = c;
    o->op = op;
    o->kind = kind;
    (void)snprintf(o->name, sizeof o->name, "%s", name);
    o->deadline_ns = env_now_ns(c->env) + timeout_ms * NS_PER_MS;
    queue_push(&c->operations, &o->node);
    request_send(c, request, timeout_ms, on_answer, o);
}

/* Settings and resets of a request, as message structs that point to the caller's texts. */
struct settings {
    Flotilla__TopicConfigRecord *records;
    Flotilla__TopicConfigRecord **set;
    char **reset;
    size_t set_count;
    size_t reset_count;
};

static void settings_fill(struct settings *s, const struct cluster_config_entry *config, size_t count)
{
    *s = (struct settings){
        .records = memory_zalloc((count + 1) * sizeof *s->records),
        .set = memory_zalloc((count + 1) * sizeof *s->set),
        .reset = memory_zalloc((count + 1) * sizeof *s->reset),
    };
    for (size_t i = 0; i < count; i++) {
        if (config[i].value == NULL) {
            s->reset[s->reset_count] = (char *)config[i].name;
            s->reset_count++;
            continue;
        }
        Flotilla__TopicConfigRecord *record = &s->records[s->set_count];
        flotilla__topic_config_record__init(record);
        record->name = (char *)config[i].name;
        record->value = (char *)config[i].value;
        s->set[s->set_count] = record;
        s->set_count++;
    }
}

static void settings_free(struct settings *s)
{
    free(s->records);
    free(s->set);
    free(s->reset);
}

void cluster_create_topic(struct cluster *c, struct cluster_op *op, const char *name, uint32_t partitions,
                          uint32_t replicas, const struct cluster_config_entry *config, size_t config_count,
                          uint64_t timeout_ms, void (*cb)(struct cluster_op *op))
{
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    Flotilla__CreateTopicPlan plan = FLOTILLA__CREATE_TOPIC_PLAN__INIT;
    struct settings settings;
    settings_fill(&settings, config, config_count);
    topic_id_generate(c->env, op->topic_id);
    plan.name = (char *)name;
    plan.id = (ProtobufCBinaryData){TOPIC_ID_SIZE, op->topic_id};
    plan.partitions = partitions;
    plan.replicas = replicas;
    plan.only_check = op->only_check;
    plan.n_config = settings.set_count; /* a reset has nothing to reset in a new topic */
    plan.config = settings.set;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_CREATE_TOPIC;
    request.create_topic = &plan;
    begin(c, op, OPERATION_CREATE, name, &request, timeout_ms, cb, memory_zalloc(sizeof(struct operation)));
    settings_free(&settings);
}

void cluster_delete_topic(struct cluster *c, struct cluster_op *op, const char *name,
                          void (*cb)(struct cluster_op *op))
{
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_DELETE_TOPIC;
    request.delete_topic = (char *)name;
    begin(c, op, OPERATION_DELETE, name, &request, 0, cb, memory_zalloc(sizeof(struct operation)));
}

void cluster_alter_topic(struct cluster *c, struct cluster_op *op, const char *name, uint32_t partitions,
                         const struct cluster_config_entry *config, size_t config_count, uint64_t timeout_ms,
                         void (*cb)(struct cluster_op *op))
{
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    Flotilla__AlterTopicPlan plan = FLOTILLA__ALTER_TOPIC_PLAN__INIT;
    struct settings settings;
    settings_fill(&settings, config, config_count);
    plan.name = (char *)name;
    plan.partitions = partitions;
    plan.only_check = op->only_check;
    plan.n_set = settings.set_count;
    plan.set = settings.set;
    plan.n_reset = settings.reset_count;
    plan.reset = settings.reset;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_ALTER_TOPIC;
    request.alter_topic = &plan;
    begin(c, op, OPERATION_ALTER, name, &request, timeout_ms, cb, memory_zalloc(sizeof(struct operation)));
    settings_free(&settings);
}

void cluster_delete_records(struct cluster *c, struct cluster_op *op, const uint8_t topic_id[TOPIC_ID_SIZE],
                            const struct cluster_partition_start *starts, size_t count, uint64_t timeout_ms,
                            void (*cb)(struct cluster_op *op))
{
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    Flotilla__DeleteRecords body = FLOTILLA__DELETE_RECORDS__INIT;
    Flotilla__PartitionStart *records = memory_zalloc((count + 1) * sizeof *records);
    Flotilla__PartitionStart **list = memory_zalloc((count + 1) * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        flotilla__partition_start__init(&records[i]);
        records[i].index = starts[i].index;
        records[i].offset = starts[i].offset;
        list[i] = &records[i];
    }
    body.id = (ProtobufCBinaryData){TOPIC_ID_SIZE, (uint8_t *)topic_id};
    body.n_starts = count;
    body.starts = list;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_DELETE_RECORDS;
    request.delete_records = &body;
    begin(c, op, OPERATION_DELETE_RECORDS, "", &request, timeout_ms, cb,
          memory_zalloc(sizeof(struct operation)));
    free(list);
    free(records);
}

void cluster_drain_node(struct cluster *c, struct cluster_op *op, uint32_t node_id, bool drain,
                        uint64_t timeout_ms, void (*cb)(struct cluster_op *op))
{
    struct operation *o = memory_zalloc(sizeof *o);
    o->node_id = node_id;
    o->drain = drain;
    Flotilla__ControllerRequest request = FLOTILLA__CONTROLLER_REQUEST__INIT;
    Flotilla__DrainNode body = FLOTILLA__DRAIN_NODE__INIT;
    body.node_id = node_id;
    body.draining = drain;
    request.request_case = FLOTILLA__CONTROLLER_REQUEST__REQUEST_DRAIN_NODE;
    request.drain_node = &body;
    begin(c, op, OPERATION_DRAIN, "", &request, timeout_ms, cb, o);
}
