/* Where a consumer's group stands in a topic: asked once for all partitions that begin there. */
#include "client/core/consumer/consumer.h"

enum { GROUP_TIMEOUT_MS = 60000 };

static void pack_fetch(void *data, const uint8_t *topic_id, struct bytes *out)
{
    const struct core_consumer_fetch *fetch = data;
    Flotilla__FetchOffsetsRequest m = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;

    m.group = (char *)fetch->group;
    m.topic_id.data = (uint8_t *)topic_id;
    m.topic_id.len = CORE_TOPIC_ID_SIZE;
    protobuf_c_message_pack(&m.base, bytes_extend(out, protobuf_c_message_get_packed_size(&m.base)));
}

static int64_t fetched_offset(const Flotilla__FetchOffsetsResponse *m,
                              const struct core_consumer_partition *p)
{
    for (size_t i = 0; i < m->n_offsets; i++) {
        const Flotilla__CommitOffset *o = m->offsets[i];
        if (o->partition == p->index && o->topic_id.len == CORE_TOPIC_ID_SIZE &&
            memcmp(o->topic_id.data, p->topic->id, CORE_TOPIC_ID_SIZE) == 0)
            return o->offset;
    }
    return -1;
}

static void on_fetch(void *data, int status, const char *message, const uint8_t *header, size_t size,
                     bool maybe_applied)
{
    struct core_consumer_fetch *fetch = data;
    struct core_consumer *consumer = fetch->consumer;
    struct core_consumer_topic *t = fetch->topic;
    Flotilla__FetchOffsetsResponse *m = NULL;

    (void)maybe_applied;
    uint64_t number = fetch->number;
    free(fetch);
    if (consumer == NULL)
        return;
    t->fetch = NULL;
    if (status == 0)
        m = flotilla__fetch_offsets_response__unpack(arena_allocator(&consumer->core->arena), size, header);
    bool again = status != 0 && core_error_is_retriable(status) && status != ERR_UNKNOWN_TOPIC;
    for (uint64_t i = 0; i < consumer->partition_count; i++) {
        struct core_consumer_partition *p = consumer->partitions[i];
        if (p->topic != t->topic)
            continue;
        if (p->asked != number)
            core_work_queue(consumer->core, &p->work); /* began later: the answer may be too old for it */
        else if (m != NULL)
            core_consumer_committed_found(p, fetched_offset(m, p));
        else if (again)
            core_work_queue(consumer->core, &p->work);
        else
            core_consumer_stop_committed(p, status != 0 ? status : ERR_PROTOCOL, message);
    }
}

void core_consumer_find_committed(struct core_consumer *consumer, struct core_topic *topic)
{
    struct core_consumer_topic *t = core_consumer_topic_get(consumer, topic);
    struct core_call_options call = {
        .target = CORE_COORDINATOR,
        .topic = topic->name,
        .group = consumer->settings.group,
        .type = FRAME_FETCH_OFFSETS,
        .timeout_ns = GROUP_TIMEOUT_MS * CORE_MS,
        .pack = pack_fetch,
        .cb = on_fetch,
    };

    if (t->fetch != NULL || consumer->core->stopping)
        return;
    t->fetch = core_alloc(sizeof(*t->fetch));
    t->fetch->consumer = consumer;
    t->fetch->topic = t;
    t->fetch->number = ++consumer->fetches;
    for (uint64_t i = 0; i < consumer->partition_count; i++)
        if (consumer->partitions[i]->topic == topic)
            consumer->partitions[i]->asked = consumer->fetches;
    memcpy(t->fetch->group, consumer->settings.group, sizeof(t->fetch->group));
    call.data = t->fetch;
    core_call_start(consumer->core, &call);
}
