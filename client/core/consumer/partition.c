/* One partition that is read: it finds where to begin, subscribes at its leader, and does so again after
 * every change of leader. */
#include "client/core/consumer/consumer.h"

enum { FIND_TIMEOUT_MS = 60000 };

static void partition_run(struct core *core, struct core_work *work);

static struct core *core_of(const struct core_consumer_partition *p)
{
    return p->consumer->core;
}

/* ---- events for the application ---- */

static void push_error(struct core_consumer *consumer, struct inbox_partition *shared, int status,
                       const char *why)
{
    char message[2 * CORE_MESSAGE_SIZE];
    struct flotilla_batch *batch = inbox_batch_create(FLOTILLA_BATCH_ERROR, NULL);

    if (inbox_partition_topic(shared)[0] == '\0')
        snprintf(message, sizeof(message), "%s", why);
    else if (inbox_partition_index(shared) >= 0)
        snprintf(message, sizeof(message), "%s/%d: %s", inbox_partition_topic(shared),
                 inbox_partition_index(shared), why);
    else
        snprintf(message, sizeof(message), "%s: %s", inbox_partition_topic(shared), why);
    batch->status = status;
    batch->message = strdup(message);
    inbox_push(consumer->inbox, shared, batch);
}

/* The partition is not read any more until the application subscribes again. */
void core_consumer_partition_stop(struct core_consumer_partition *p, int status, const char *why)
{
    core_consumer_stream_end(p, true);
    p->state = CONSUMER_STOPPED;
    core_timer_clear(&core_of(p)->timers, &p->timer);
    core_log(core_of(p), FLOTILLA_LOG_ERROR, "msg=\"reading stopped\" partition=%s/%u error=%s reason=\"%s\"",
             p->topic->name, p->index, error_name(status), why);
    push_error(p->consumer, p->shared, status, why);
}

/* ---- retries ---- */

static void partition_back_off(struct core_consumer_partition *p, bool at_once)
{
    struct core *core = core_of(p);

    if (p->failing_since_ns == 0)
        p->failing_since_ns = core->now;
    p->retry_ns = at_once ? core->now : core->now + core_pause(core, p->failing_since_ns);
    core_work_queue(core, &p->work);
}

/* Where a partition goes on whose position the log does not have. */
static void partition_reset_position(struct core_consumer_partition *p, const char *why)
{
    if (p->consumer->settings.reset == RESET_ERROR) {
        core_consumer_partition_stop(p, ERR_OFFSET_OUT_OF_RANGE, why);
        return;
    }
    bool to_end = p->consumer->settings.reset == RESET_LATEST;
    core_log(core_of(p), FLOTILLA_LOG_WARNING, "msg=\"offset reset\" partition=%s/%u to=%s reason=\"%s\"",
             p->topic->name, p->index, to_end ? "latest" : "earliest", why);
    p->state = CONSUMER_FINDING;
    p->start = to_end ? FLOTILLA_START_END : FLOTILLA_START_BEGINNING;
    core_work_queue(core_of(p), &p->work);
}

void core_consumer_partition_on_error(struct core_consumer_partition *p, uint32_t from_node,
                                      const Flotilla__Status *status, int64_t log_start_offset)
{
    const char *message = status->message[0] != '\0' ? status->message : error_text(status->error);
    bool moved = false;

    core_log(core_of(p), FLOTILLA_LOG_DEBUG,
             "msg=\"subscription ended\" partition=%s/%u error=%s reason=\"%s\"", p->topic->name, p->index,
             error_name(status->error), message);
    if (status->error == ERR_OFFSET_OUT_OF_RANGE) {
        p->is_overtaken = p->position < log_start_offset;
        partition_reset_position(p, message);
        return;
    }
    if (!core_error_is_retriable(status->error)) {
        core_consumer_partition_stop(p, status->error, message);
        return;
    }
    if (status->error == ERR_UNKNOWN_TOPIC || status->error == ERR_LEADER_NOT_AVAILABLE)
        core_metadata_need(core_of(p));
    else
        moved = core_leader_learn(core_of(p), p->topic, p->index, from_node, status);
    partition_back_off(p, moved);
}

/* ---- finding the first offset ---- */

static void find_box_close(struct core_consumer_partition *p)
{
    if (p->find != NULL)
        p->find->partition = NULL;
    p->find = NULL;
}

static void partition_found(struct core_consumer_partition *p, int64_t offset)
{
    /* A leader with a full disk may have gone ahead with retention, and the next one have everything still:
     * nobody is taken back. */
    if (p->is_overtaken && offset < p->position)
        offset = p->position;
    p->is_overtaken = false;
    /* After a reset in mid-stream, what was received before is still good. */
    if (p->position < 0)
        inbox_partition_reset(p->consumer->inbox, p->shared, offset);
    p->position = offset;
    p->state = CONSUMER_SUBSCRIBING;
    core_work_queue(core_of(p), &p->work);
}

static void pack_list_offset(void *data, const uint8_t *topic_id, struct bytes *out)
{
    const struct core_consumer_find *find = data;
    Flotilla__ListOffsetRequest m = FLOTILLA__LIST_OFFSET_REQUEST__INIT;

    m.topic_id.data = (uint8_t *)topic_id;
    m.topic_id.len = CORE_TOPIC_ID_SIZE;
    m.partition = find->index;
    m.timestamp_ms = find->timestamp_ms;
    protobuf_c_message_pack(&m.base, bytes_extend(out, protobuf_c_message_get_packed_size(&m.base)));
}

static void on_list_offset(void *data, int status, const char *message, const uint8_t *header, size_t size,
                           bool maybe_applied)
{
    struct core_consumer_find *find = data;
    struct core_consumer_partition *p = find->partition;
    Flotilla__ListOffsetResponse *m = NULL;

    (void)maybe_applied;
    bool was_time = find->timestamp_ms >= 0;
    free(find);
    if (p == NULL)
        return;
    p->find = NULL;
    if (status == 0)
        m = flotilla__list_offset_response__unpack(arena_allocator(&core_of(p)->arena), size, header);
    if (m != NULL && m->offset >= 0) {
        partition_found(p, m->offset);
    } else if (m != NULL && was_time &&
               m->end_offset >= 0) { /* nothing so late yet: it comes behind what was looked through */
        partition_found(p, m->end_offset);
    } else if (status != 0 && core_error_is_retriable(status) && status != ERR_UNKNOWN_TOPIC) {
        partition_back_off(p, false);
    } else {
        core_consumer_partition_stop(p, status != 0 ? status : ERR_PROTOCOL,
                                     status != 0 ? message : "malformed offset");
    }
}

static void partition_list_offset(struct core_consumer_partition *p, int64_t timestamp_ms)
{
    struct core_consumer_find *find = core_alloc(sizeof(*find));
    struct core_call_options call = {
        .target = CORE_LEADER,
        .topic = p->topic->name,
        .partition = p->index,
        .type = FRAME_LIST_OFFSET,
        .timeout_ns = FIND_TIMEOUT_MS * CORE_MS,
        .pack = pack_list_offset,
        .cb = on_list_offset,
        .data = find,
    };

    find->partition = p;
    find->index = p->index;
    find->timestamp_ms = timestamp_ms;
    p->find = find;
    core_call_start(core_of(p), &call);
}

void core_consumer_committed_found(struct core_consumer_partition *p, int64_t offset)
{
    if (p->state != CONSUMER_FINDING || p->start != FLOTILLA_START_COMMITTED)
        return;
    if (offset < 0) {
        partition_reset_position(p, "the group has no committed offset here");
        return;
    }
    partition_found(p, offset);
    inbox_set_committed(p->consumer->inbox, p->shared, offset);
}

void core_consumer_stop_committed(struct core_consumer_partition *p, int status, const char *why)
{
    if (p->state == CONSUMER_FINDING && p->start == FLOTILLA_START_COMMITTED)
        core_consumer_partition_stop(p, status, why);
}

static void partition_find(struct core_consumer_partition *p)
{
    if (p->find != NULL)
        return;
    switch (p->start) {
    case FLOTILLA_START_OFFSET:
        partition_found(p, p->value);
        break;
    case FLOTILLA_START_BEGINNING:
        partition_list_offset(p, FLOTILLA_OFFSET_BEGINNING);
        break;
    case FLOTILLA_START_END:
        partition_list_offset(p, FLOTILLA_OFFSET_END);
        break;
    case FLOTILLA_START_TIME:
        partition_list_offset(p, p->value);
        break;
    case FLOTILLA_START_COMMITTED:
        core_consumer_find_committed(p->consumer, p->topic);
        break;
    }
}

/* ---- a partition's turn ---- */

static bool partition_topic_is_usable(struct core *core, struct core_consumer_partition *p)
{
    int missing = core_topic_missing(core, p->topic);

    if (missing != 0) {
        core_consumer_partition_stop(p, missing, "no such topic");
        return false;
    }
    /* Of partitions that were added, a group's coordinator may know earlier than the nodes that were asked.
     */
    bool is_new = p->index >= p->topic->partition_count && p->hold != HOLD_NONE;
    if (p->topic->missing_since_ns != 0 || !p->topic->known || is_new) {
        core_metadata_need(core);
        return false;
    }
    missing = core_partition_missing(core, p->topic, p->index, p->begun_ns);
    if (missing == ERR_UNKNOWN_PARTITION)
        core_consumer_partition_stop(p, missing, "no such partition");
    return missing == 0;
}

/* The connection went, or a newer leader is known: the stream goes on elsewhere. */
static void partition_check_stream(struct core_consumer_partition *p)
{
    bool lost = p->endpoint == NULL || p->endpoint->state != ENDPOINT_READY;
    struct core_leader none = {0};
    const struct core_leader *leader =
        p->index < p->topic->partition_count ? &p->topic->leaders[p->index] : &none;

    if (!lost && (leader->node_id == 0 || leader->doubted || leader->node_id == p->endpoint->node_id))
        return;
    core_consumer_stream_end(p, true);
    p->state = CONSUMER_SUBSCRIBING;
}

static void partition_run(struct core *core, struct core_work *work)
{
    struct core_consumer_partition *p =
        (struct core_consumer_partition *)((char *)work - offsetof(struct core_consumer_partition, work));

    if (p->state == CONSUMER_STREAMING)
        partition_check_stream(p);
    if (p->state == CONSUMER_STREAMING)
        core_consumer_give_credit(p);
    if (p->state == CONSUMER_STREAMING || p->state == CONSUMER_STOPPED || !partition_topic_is_usable(core, p))
        return;
    if (core->now < p->retry_ns) {
        core_timer_set(&core->timers, &p->timer, p->retry_ns);
        return;
    }
    if (p->state == CONSUMER_FINDING) {
        partition_find(p);
        return;
    }
    struct core_endpoint *e = core_leader_endpoint(core, p->topic, p->index);
    if (e != NULL)
        core_consumer_stream_begin(p, e);
}

static void partition_on_timer(struct core *core, struct core_timer *timer)
{
    struct core_consumer_partition *p =
        (struct core_consumer_partition *)((char *)timer - offsetof(struct core_consumer_partition, timer));

    core_work_queue(core, &p->work);
}

/* ---- subscribing ---- */

struct core_consumer_partition *core_consumer_partition_create(struct core_consumer *consumer,
                                                               struct core_topic *topic, uint32_t index)
{
    struct core_consumer_partition *p = core_alloc(sizeof(*p));

    p->work.run = partition_run;
    p->timer.cb = partition_on_timer;
    p->request.done = core_consumer_on_subscribe;
    p->farewell.done = core_request_ignore;
    p->consumer = consumer;
    p->topic = topic;
    p->index = index;
    p->state = CONSUMER_STOPPED;
    p->shared = inbox_partition_get(consumer->inbox, topic->name, (int32_t)index);
    return p;
}

void core_consumer_partition_begin(struct core_consumer_partition *p, enum flotilla_start start,
                                   int64_t value)
{
    core_consumer_partition_end(p);
    p->start = start;
    p->value = value;
    p->begun_ns = core_of(p)->now;
    p->state = CONSUMER_FINDING;
    p->position = -1;
    p->high_watermark = -1;
    p->end_reported_at = -1;
    p->asked = 0;
    p->corrupt = 0;
    p->is_overtaken = false;
    p->failing_since_ns = 0;
    p->retry_ns = 0;
    inbox_partition_set_owner(p->consumer->inbox, p->shared, p);
    core_work_queue(core_of(p), &p->work);
}

static void partition_halt(struct core_consumer_partition *p)
{
    core_consumer_stream_end(p, true);
    find_box_close(p);
    p->state = CONSUMER_STOPPED;
    core_timer_clear(&core_of(p)->timers, &p->timer);
    core_work_cancel(core_of(p), &p->work);
}

void core_consumer_partition_drain(struct core_consumer_partition *p)
{
    partition_halt(p);
    inbox_partition_drain(p->consumer->inbox, p->shared);
}

void core_consumer_partition_end(struct core_consumer_partition *p)
{
    partition_halt(p);
    inbox_partition_set_owner(p->consumer->inbox, p->shared, NULL);
    inbox_partition_reset(p->consumer->inbox, p->shared, -1);
}

void core_consumer_partition_destroy(struct core_consumer_partition *p)
{
    core_consumer_partition_end(p);
    core_request_abandon(&p->farewell);
    free(p);
}

void core_consumer_push_topic_error(struct core_consumer *consumer, const char *topic, int status,
                                    const char *why)
{
    push_error(consumer, inbox_partition_get(consumer->inbox, topic, -1), status, why);
}

void core_consumer_push_group_error(struct core_consumer *consumer, int status, const char *message)
{
    push_error(consumer, inbox_partition_get(consumer->inbox, "", -1), status, message);
}
