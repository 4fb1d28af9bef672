/* The stream of one partition: subscribing at its leader, credit, and what is pushed. What the application
 * may still be holding bounds what a leader may push (credit). */
#include "client/core/consumer/consumer.h"

enum {
    MAX_CORRUPT = 3, /* damaged answers in a row before the application is told */
    MIN_WINDOW = 64 * 1024
};

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

void core_consumer_stream_end(struct core_consumer_partition *p, bool tell_node)
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
    int64_t active = 0;

    for (uint64_t i = 0; i < p->consumer->partition_count; i++)
        active += p->consumer->partitions[i]->state != CONSUMER_STOPPED;
    int64_t share = s->prefetch_total_bytes / active;

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

void core_consumer_stream_begin(struct core_consumer_partition *p, struct core_endpoint *e)
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

void core_consumer_on_subscribe(struct core *core, struct core_request *request, int status,
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
        core_consumer_stream_end(p, false);
        p->state = CONSUMER_SUBSCRIBING;
        core_consumer_partition_on_error(p, e->node_id, m->status, m->log_start_offset);
        return;
    }
    p->failing_since_ns = 0;
    core_log(core, FLOTILLA_LOG_DEBUG, "msg=subscribed partition=%s/%u node=%u offset=%lld", p->topic->name,
             p->index, e->node_id, (long long)p->position);
    if (m->high_watermark >= p->high_watermark)
        partition_set_high_watermark(p, m->high_watermark);
    partition_report_end(p);
}

void core_consumer_give_credit(struct core_consumer_partition *p)
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

    p->consumer->core->totals.batches_received++;
    p->consumer->core->totals.records_received +=
        header->record_count > 0 ? (uint64_t)header->record_count : 0;
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
        core_consumer_partition_stop(p, ERR_CORRUPT, "the node sends a damaged batch again and again");
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
        core_consumer_stream_end(p, false);
        p->state = CONSUMER_SUBSCRIBING;
        core_consumer_partition_on_error(p, e->node_id, m->status, m->log_start_offset);
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
        core_consumer_give_credit(p);
    }
}
