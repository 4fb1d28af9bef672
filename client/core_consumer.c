/* Consumers: each partition finds where to begin, subscribes at its leader, and takes what is pushed, across
 * every change of leader. What the application may still be holding bounds what a leader may push (credit).
 */
#include "client/core_consumer.h"

enum {
    MAX_CORRUPT = 3, /* damaged answers in a row before the application is told */
    FIND_TIMEOUT_MS = 60000,
    MIN_WINDOW = 64 * 1024,
};

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

    if (inbox_partition_index(shared) >= 0)
        snprintf(message, sizeof(message), "%s/%d: %s", inbox_partition_topic(shared),
                 inbox_partition_index(shared), why);
    else
        snprintf(message, sizeof(message), "%s: %s", inbox_partition_topic(shared), why);
    batch->status = status;
    batch->message = strdup(message);
    inbox_push(consumer->inbox, shared, batch);
}

static void partition_end_stream(struct core_consumer_partition *p, bool tell_node);

/* The partition is not read any more until the application subscribes again. */
static void partition_stop(struct core_consumer_partition *p, int status, const char *why)
{
    partition_end_stream(p, true);
    p->state = CONSUMER_STOPPED;
    core_timer_clear(&core_of(p)->timers, &p->timer);
    core_log(core_of(p), FLOTILLA_LOG_ERROR, "msg=\"reading stopped\" partition=%s/%u error=%s reason=\"%s\"",
             p->topic->name, p->index, error_name(status), why);
    push_error(p->consumer, p->shared, status, why);
}

static void partition_report_end(struct core_consumer_partition *p)
{
    if (!p->consumer->settings.report_end || p->position < p->high_watermark ||
        p->end_reported_at == p->position)
        return;
    struct flotilla_batch *batch = inbox_batch_create(FLOTILLA_BATCH_END, NULL);
    batch->first_offset = batch->next_offset = p->position;
    batch->high_watermark = p->high_watermark;
    p->end_reported_at = p->position;
    inbox_push(p->consumer->inbox, p->shared, batch);
}

static void partition_set_high_watermark(struct core_consumer_partition *p, int64_t high_watermark)
{
    p->high_watermark = high_watermark;
    inbox_set_high_watermark(p->consumer->inbox, p->shared, high_watermark);
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
        partition_stop(p, ERR_OFFSET_OUT_OF_RANGE, why);
        return;
    }
    bool to_end = p->consumer->settings.reset == RESET_LATEST;
    core_log(core_of(p), FLOTILLA_LOG_WARNING, "msg=\"offset reset\" partition=%s/%u to=%s reason=\"%s\"",
             p->topic->name, p->index, to_end ? "latest" : "earliest", why);
    p->state = CONSUMER_FINDING;
    p->start = to_end ? FLOTILLA_START_END : FLOTILLA_START_BEGINNING;
    core_work_queue(core_of(p), &p->work);
}

static void partition_on_error(struct core_consumer_partition *p, uint32_t from_node,
                               const Flotilla__Status *status)
{
    const char *message = status->message[0] != '\0' ? status->message : error_text(status->error);
    bool moved = false;

    core_log(core_of(p), FLOTILLA_LOG_DEBUG,
             "msg=\"subscription ended\" partition=%s/%u error=%s reason=\"%s\"", p->topic->name, p->index,
             error_name(status->error), message);
    if (status->error == ERR_OFFSET_OUT_OF_RANGE) {
        partition_reset_position(p, message);
        return;
    }
    if (!core_error_is_retriable(status->error)) {
        partition_stop(p, status->error, message);
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
    } else if (m != NULL && was_time) { /* nothing so late: from the end on */
        p->start = FLOTILLA_START_END;
        core_work_queue(core_of(p), &p->work);
    } else if (status != 0 && core_error_is_retriable(status) && status != ERR_UNKNOWN_TOPIC) {
        partition_back_off(p, false);
    } else {
        partition_stop(p, status != 0 ? status : ERR_PROTOCOL, status != 0 ? message : "malformed offset");
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
        partition_stop(p, status, why);
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

/* ---- the stream ---- */

/* Subscription ids name a slot of the consumer partition and its use, so that a push for an older one is
 * recognised. */
static struct core_consumer_partition *subscription_find(struct core *core, struct core_endpoint *e,
                                                         uint64_t id)
{
    for (struct core_consumer *c = TAILQ_FIRST(&core->consumers); c != NULL; c = TAILQ_NEXT(c, link)) {
        uint64_t slot = (id >> 32) - c->first_slot;
        if ((id >> 32) < c->first_slot || slot >= c->partition_count)
            continue;
        struct core_consumer_partition *p = c->partitions[slot];
        return p->subscription == id && p->endpoint == e ? p : NULL;
    }
    return NULL;
}

static void ignore_answer(struct core *core, struct core_request *request, int status,
                          const struct core_frame *frame)
{
    (void)core, (void)request, (void)status, (void)frame;
}

static void partition_end_stream(struct core_consumer_partition *p, bool tell_node)
{
    struct core_endpoint *e = p->endpoint;

    core_request_abandon(&p->request);
    if (e == NULL)
        return;
    p->endpoint = NULL;
    if (e->state != ENDPOINT_READY)
        return;
    e->subscriptions--;
    if (!tell_node || p->farewell.endpoint != NULL)
        return;
    Flotilla__UnsubscribeRequest m = FLOTILLA__UNSUBSCRIBE_REQUEST__INIT;
    m.subscription = p->subscription;
    core_endpoint_request(e, &p->farewell, FRAME_UNSUBSCRIBE, &m.base, NULL);
}

static int64_t partition_window(const struct core_consumer_partition *p)
{
    const struct client_settings *s = &p->consumer->settings;
    int64_t share = s->prefetch_total_bytes / (int64_t)p->consumer->partition_count;

    if (share > s->prefetch_bytes)
        return s->prefetch_bytes;
    return share > MIN_WINDOW ? share : MIN_WINDOW;
}

/* What may be granted so that what the node can still push and what the application holds stay within the
 * window. */
static int64_t partition_free_credit(const struct core_consumer_partition *p)
{
    return p->window - p->credit - (int64_t)inbox_held(p->consumer->inbox, p->shared);
}

static void partition_subscribe(struct core_consumer_partition *p, struct core_endpoint *e)
{
    Flotilla__SubscribeRequest m = FLOTILLA__SUBSCRIBE_REQUEST__INIT;

    p->window = partition_window(p);
    inbox_partition_set_window(p->consumer->inbox, p->shared, (size_t)p->window);
    p->credit = 0;
    p->credit = partition_free_credit(p);
    if (p->credit < 0)
        p->credit = 0;
    p->use++;
    p->subscription = (p->consumer->first_slot + p->slot) << 32 | p->use;
    p->endpoint = e;
    e->subscriptions++;
    p->state = CONSUMER_STREAMING;
    m.subscription = p->subscription;
    m.topic_id.data = p->topic->id;
    m.topic_id.len = CORE_TOPIC_ID_SIZE;
    m.partition = p->index;
    m.offset = p->position;
    m.credit_bytes = (uint64_t)p->credit;
    core_endpoint_request(e, &p->request, FRAME_SUBSCRIBE, &m.base, NULL);
}

static void on_subscribe(struct core *core, struct core_request *request, int status,
                         const struct core_frame *frame)
{
    struct core_consumer_partition *p =
        (struct core_consumer_partition *)((char *)request -
                                           offsetof(struct core_consumer_partition, request));
    struct core_endpoint *e = p->endpoint;

    if (status != 0) { /* the connection went; partition_run sees it */
        core_work_queue(core, &p->work);
        return;
    }
    Flotilla__SubscribeResponse *m = flotilla__subscribe_response__unpack(
        arena_allocator(&core->arena), frame->head.header_length, frame->header);
    if (m == NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "malformed answer to a subscription");
        return;
    }
    if (m->status != NULL && m->status->error != 0) {
        partition_end_stream(p, false);
        p->state = CONSUMER_SUBSCRIBING;
        partition_on_error(p, e->node_id, m->status);
        return;
    }
    p->failing_since_ns = 0;
    core_log(core, FLOTILLA_LOG_DEBUG, "msg=subscribed partition=%s/%u node=%u offset=%lld", p->topic->name,
             p->index, e->node_id, (long long)p->position);
    if (m->high_watermark >= p->high_watermark)
        partition_set_high_watermark(p, m->high_watermark);
    partition_report_end(p);
}

static void partition_give_credit(struct core_consumer_partition *p)
{
    Flotilla__Credit m = FLOTILLA__CREDIT__INIT;
    int64_t free_credit;

    if (p->state != CONSUMER_STREAMING || p->endpoint == NULL || p->endpoint->state != ENDPOINT_READY)
        return;
    free_credit = partition_free_credit(p);
    if (free_credit <= 0 || (free_credit < p->window / 4 && p->credit > p->window / 2))
        return;
    p->credit += free_credit;
    m.subscription = p->subscription;
    m.bytes = (uint64_t)free_credit;
    core_endpoint_post(p->endpoint, FRAME_CREDIT, &m.base, NULL, NULL, NULL);
}

/* ---- pushed batches ---- */

static void partition_deliver(struct core_consumer_partition *p, const struct batch_header *header,
                              const uint8_t *data, struct core_buffer *buffer)
{
    struct flotilla_batch *batch = inbox_batch_create(FLOTILLA_BATCH_RECORDS, buffer);

    batch->data = data;
    batch->size = header->size;
    batch->first_offset = p->position > header->base_offset ? p->position : header->base_offset;
    batch->next_offset = batch_next_offset(header);
    batch->high_watermark = p->high_watermark;
    batch->leader_epoch = header->leader_epoch;
    p->position = batch->next_offset;
    inbox_push(p->consumer->inbox, p->shared, batch);
}

/* The first batch may begin before what was asked for; batches wholly before it are a repeat. */
static int partition_accept(struct core_consumer_partition *p, const uint8_t *data, size_t size,
                            struct core_buffer *buffer)
{
    struct batch_header header;

    while (size > 0) {
        if (size < BATCH_HEADER_SIZE || batch_header_decode(data, size, FRAME_MAX_SIZE, &header) != 0 ||
            header.size > size || header.base_offset < 0 || header.last_offset_delta < -1 ||
            header.base_offset > INT64_MAX - INT32_MAX || !batch_crc_ok(data, &header))
            return ERR_CORRUPT;
        if (!batch_is_control(&header) && batch_next_offset(&header) > p->position)
            partition_deliver(p, &header, data, buffer);
        data += header.size;
        size -= header.size;
    }
    return 0;
}

static void partition_on_corrupt(struct core_consumer_partition *p, struct core_endpoint *e)
{
    p->corrupt++;
    core_endpoint_fail(e, ERR_CORRUPT, "damaged batch in %s/%u behind offset %lld", p->topic->name, p->index,
                       (long long)p->position);
    if (p->corrupt >= MAX_CORRUPT)
        partition_stop(p, ERR_CORRUPT, "the node sends a damaged batch again and again");
}

/* The payload in memory that lives as long as the application needs it. */
static struct core_buffer *push_buffer(const struct core_frame *frame, const uint8_t **payload)
{
    *payload = frame->payload;
    if (frame->owner != NULL)
        return core_buffer_ref(frame->owner);
    struct core_buffer *copy = core_buffer_create(frame->payload_size);
    if (copy == NULL)
        return NULL;
    memcpy(copy->data, frame->payload, frame->payload_size);
    *payload = copy->data;
    return copy;
}

static void partition_on_data(struct core_consumer_partition *p, struct core_endpoint *e,
                              const struct core_frame *frame)
{
    const uint8_t *payload;
    int64_t excess = -p->credit;

    if (excess > FRAME_MAX_SIZE) { /* one batch may go over; a node that ignores credit is cut off */
        core_endpoint_fail(e, ERR_PROTOCOL, "pushes without credit");
        return;
    }
    p->credit -= (int64_t)frame->payload_size;
    struct core_buffer *buffer = push_buffer(frame, &payload);
    if (buffer == NULL) {
        core_endpoint_fail(e, ERR_OUT_OF_MEMORY, "no memory for a push of %zu bytes", frame->payload_size);
        return;
    }
    int rc = partition_accept(p, payload, frame->payload_size, buffer);
    core_buffer_unref(buffer);
    if (rc != 0) {
        partition_on_corrupt(p, e);
        return;
    }
    p->corrupt = 0;
}

void core_consumer_on_push(struct core_endpoint *e, const struct core_frame *frame)
{
    struct core *core = e->core;
    Flotilla__Push *m =
        flotilla__push__unpack(arena_allocator(&core->arena), frame->head.header_length, frame->header);

    if (m == NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "malformed push");
        return;
    }
    struct core_consumer_partition *p = subscription_find(core, e, m->subscription);
    if (p == NULL)
        return;
    if (m->status != NULL && m->status->error != 0) {
        partition_end_stream(p, false);
        p->state = CONSUMER_SUBSCRIBING;
        partition_on_error(p, e->node_id, m->status);
        return;
    }
    if (m->high_watermark > p->high_watermark)
        partition_set_high_watermark(p, m->high_watermark);
    if (frame->payload_size > 0)
        partition_on_data(p, e, frame);
    if (p->state == CONSUMER_STREAMING && e->state == ENDPOINT_READY) {
        /* Offsets up to there may be gone for good (compaction). */
        if (m->next_offset > p->position && m->next_offset <= p->high_watermark)
            p->position = m->next_offset;
        partition_report_end(p);
        partition_give_credit(p);
    }
}

/* ---- a partition's turn ---- */

static bool partition_topic_is_usable(struct core *core, struct core_consumer_partition *p)
{
    int missing = core_topic_missing(core, p->topic);

    if (missing != 0) {
        partition_stop(p, missing, "no such topic");
        return false;
    }
    if (p->topic->missing_since_ns != 0 || !p->topic->known) {
        core_metadata_need(core);
        return false;
    }
    if (p->index >= p->topic->partition_count) {
        partition_stop(p, ERR_UNKNOWN_PARTITION, "no such partition");
        return false;
    }
    return true;
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
    partition_end_stream(p, true);
    p->state = CONSUMER_SUBSCRIBING;
}

static void partition_run(struct core *core, struct core_work *work)
{
    struct core_consumer_partition *p =
        (struct core_consumer_partition *)((char *)work - offsetof(struct core_consumer_partition, work));

    if (p->state == CONSUMER_STREAMING)
        partition_check_stream(p);
    if (p->state == CONSUMER_STREAMING)
        partition_give_credit(p);
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
        partition_subscribe(p, e);
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
    p->request.done = on_subscribe;
    p->farewell.done = ignore_answer;
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
    p->state = CONSUMER_FINDING;
    p->position = -1;
    p->high_watermark = -1;
    p->end_reported_at = -1;
    p->corrupt = 0;
    p->failing_since_ns = 0;
    p->retry_ns = 0;
    inbox_partition_set_owner(p->consumer->inbox, p->shared, p);
    core_work_queue(core_of(p), &p->work);
}

void core_consumer_partition_end(struct core_consumer_partition *p)
{
    partition_end_stream(p, true);
    find_box_close(p);
    p->state = CONSUMER_STOPPED;
    core_timer_clear(&core_of(p)->timers, &p->timer);
    core_work_cancel(core_of(p), &p->work);
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
