/* Producer ids and sequences: see producer.c for the rules. */
#include "client/core/producer/producer.h"
#include "proto/crc32c.h"

enum {
    PRODUCER_ID_OFFSET = 43, /* in a record batch; see proto/batch.h */
    PRODUCER_EPOCH_OFFSET = 51,
    BASE_SEQUENCE_OFFSET = 53,
    CRC_OFFSET = 17,
    CRC_BEGIN = 21,
};

/* Outlives the producer when that is destroyed while the call is under way. */
struct producer_id_box {
    struct core_producer *producer;
};

static void pack_init(void *data, const uint8_t *topic_id, struct bytes *out)
{
    (void)data, (void)topic_id, (void)out; /* InitProducerRequest has no fields */
}

static void on_init(void *data, int status, const char *message, const uint8_t *header, size_t size,
                    bool maybe_applied)
{
    struct producer_id_box *box = data;
    struct core_producer *producer = box->producer;
    Flotilla__InitProducerResponse *m;

    (void)maybe_applied;
    free(box);
    if (producer == NULL)
        return;
    producer->id_box = NULL;
    producer->id_asked = false;
    if (status == 0) {
        m = flotilla__init_producer_response__unpack(arena_allocator(&producer->core->arena), size, header);
        if (m == NULL || m->producer_id < 0 || m->producer_epoch < 0 || m->producer_epoch > INT16_MAX) {
            core_producer_fail(producer, ERR_PROTOCOL, "malformed producer id");
            return;
        }
        producer->producer_id = m->producer_id;
        producer->producer_epoch = (int16_t)m->producer_epoch;
        producer->id_known = true;
    } else if (!core_error_is_retriable(status)) {
        core_producer_fail(producer, status, message);
        return;
    }
    core_producers_wake(producer->core);
}

void core_producer_ask_id(struct core_producer *producer)
{
    struct core_call_options call = {
        .target = CORE_ANY,
        .type = FRAME_INIT_PRODUCER,
        .timeout_ns = (uint64_t)producer->settings.delivery_timeout_ms * CORE_MS,
        .pack = pack_init,
        .cb = on_init,
    };

    if (producer->id_asked || producer->core->stopping)
        return;
    producer->id_asked = true;
    producer->id_box = core_alloc(sizeof(*producer->id_box));
    producer->id_box->producer = producer;
    call.data = producer->id_box;
    core_call_start(producer->core, &call);
}

void core_producer_forget_id(struct core_producer *producer)
{
    if (producer->id_box != NULL)
        producer->id_box->producer = NULL;
}

/* Numbers the unacknowledged batches anew. Those that may have been written under the old id must not be. */
static void partition_begin_sequence(struct core *core, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;
    struct core_batch *next;

    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL; batch = next) {
        next = TAILQ_NEXT(batch, link);
        if (batch->is_unknown)
            core_producer_batch_fail(core, p, batch, ERR_OUTCOME_UNKNOWN,
                                     "an earlier batch of this partition was lost");
    }
    p->producer_id = producer->producer_id;
    p->producer_epoch = producer->producer_epoch;
    p->next_sequence = 0;
    p->proven_on = 0;
    p->renew = false;
    p->strikes = 0;
    memcpy(p->topic_id, p->topic->id, CORE_TOPIC_ID_SIZE);
    for (struct core_batch *batch = TAILQ_FIRST(&p->in_flight); batch != NULL;
         batch = TAILQ_NEXT(batch, link)) {
        batch->sequence = p->next_sequence;
        p->next_sequence =
            (int32_t)(((uint32_t)p->next_sequence + (uint32_t)batch->builder.count) & INT32_MAX);
    }
}

/* Whether the partition has a producer id to number its batches with. */
bool core_producer_partition_has_id(struct core *core, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;

    if (!producer->idempotent)
        return true;
    if (memcmp(p->topic_id, p->topic->id, CORE_TOPIC_ID_SIZE) != 0 && p->producer_id >= 0)
        p->renew = true; /* the topic was deleted and made again */
    if (p->producer_id >= 0 && !p->renew)
        return true;
    if (p->sent > 0)
        return false;
    /* An id that this partition used before is spent for it. */
    if (producer->id_known && producer->producer_id != p->producer_id) {
        partition_begin_sequence(core, p);
        return true;
    }
    core_producer_ask_id(producer);
    return false;
}

/* ---- numbering ---- */

static void batch_stamp_sequence(struct core_batch *batch, struct core_producer_partition *p)
{
    struct core_wire *wire = batch->wire;

    if (batch->producer_id == p->producer_id)
        return;
    if (wire->references > 1) { /* a dying connection still shows these bytes to the kernel */
        batch->wire = core_wire_create();
        bytes_append(&batch->wire->bytes, wire->bytes.data, wire->bytes.size);
        core_wire_unref(wire);
    }
    unsigned char *data = batch->wire->bytes.data;
    store_be64(data + PRODUCER_ID_OFFSET, (uint64_t)p->producer_id);
    store_be16(data + PRODUCER_EPOCH_OFFSET, (uint16_t)p->producer_epoch);
    store_be32(data + BASE_SEQUENCE_OFFSET, (uint32_t)batch->sequence);
    store_be32(data + CRC_OFFSET, crc32c(0, data + CRC_BEGIN, batch->wire->bytes.size - CRC_BEGIN));
    batch->producer_id = p->producer_id;
}

int core_producer_batch_finish(struct core_batch *batch, struct core_producer_partition *p)
{
    struct core_producer *producer = p->producer;
    struct batch_options options = {
        .codec = (enum batch_codec)producer->settings.compression,
        .producer_id = producer->idempotent ? p->producer_id : -1,
        .producer_epoch = producer->idempotent ? p->producer_epoch : (int16_t)-1,
        .base_sequence = producer->idempotent ? batch->sequence : -1,
    };

    if (batch->wire != NULL) {
        if (producer->idempotent)
            batch_stamp_sequence(batch, p);
        return 0;
    }
    batch->wire = core_wire_create();
    batch->producer_id = options.producer_id;
    return batch_builder_finish_into(&batch->builder, &options, &batch->wire->bytes);
}
