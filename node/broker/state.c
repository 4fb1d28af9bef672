/* The partition's part of a snapshot: its producers and its state machine's state. */
#include "node/broker/internal.h"

#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include "proto/storage.pb-c.h"
#include <stdlib.h>

/* Backing of one packed PartitionState: the messages that its pointers lead to. */
struct encoder {
    Flotilla__ProducerRecord *producers;
    Flotilla__ProducerRecord **producer_pointers;
    Flotilla__ProducerBatch *batches;
    Flotilla__ProducerBatch **batch_pointers;
    size_t producer_count;
    size_t batch_count;
};

static void encode_producer(void *data, int64_t producer_id, int16_t epoch,
                            const struct producer_batch *batches, unsigned count)
{
    struct encoder *e = data;
    Flotilla__ProducerRecord *record = &e->producers[e->producer_count];
    flotilla__producer_record__init(record);
    record->producer_id = producer_id;
    record->producer_epoch = epoch;
    record->batches = &e->batch_pointers[e->batch_count];
    record->n_batches = count;
    for (unsigned i = 0; i < count; i++) {
        Flotilla__ProducerBatch *batch = &e->batches[e->batch_count];
        flotilla__producer_batch__init(batch);
        batch->base_sequence = batches[i].base_sequence;
        batch->last_sequence = batches[i].last_sequence;
        batch->base_offset = batches[i].base_offset;
        batch->timestamp_ms = batches[i].timestamp_ms;
        e->batch_pointers[e->batch_count++] = batch;
    }
    e->producer_pointers[e->producer_count++] = record;
}

static void encoder_init(struct encoder *e, size_t producers)
{
    size_t batches = producers * PRODUCER_BATCHES;
    *e = (struct encoder){
        .producers = memory_alloc((producers + 1) * sizeof *e->producers),
        .producer_pointers = memory_alloc((producers + 1) * sizeof *e->producer_pointers),
        .batches = memory_alloc((batches + 1) * sizeof *e->batches),
        .batch_pointers = memory_alloc((batches + 1) * sizeof *e->batch_pointers),
    };
}

static void encoder_close(struct encoder *e)
{
    free(e->producers);
    free(e->producer_pointers);
    free(e->batches);
    free(e->batch_pointers);
}

void partition_state_encode(const struct partition *p, struct bytes *out)
{
    struct encoder e;
    encoder_init(&e, producer_table_count(p->producers));
    producer_table_each(p->producers, encode_producer, &e);
    struct bytes application;
    bytes_init(&application);
    if (p->machine != NULL)
        p->machine->snapshot(p->state, &application);

    Flotilla__PartitionState state = FLOTILLA__PARTITION_STATE__INIT;
    state.producers = e.producer_pointers;
    state.n_producers = env_sabotaged(p->broker->env, SABOTAGE_PRODUCERS_FORGOTTEN) ? 0 : e.producer_count;
    state.log_start_offset = p->start_offset;
    state.application.data = application.data;
    state.application.len = application.size;
    size_t size = flotilla__partition_state__get_packed_size(&state);
    flotilla__partition_state__pack(&state, bytes_extend(out, size));

    bytes_close(&application);
    encoder_close(&e);
}

static int decode_producer(struct producer_table *t, const Flotilla__ProducerRecord *record)
{
    struct producer_batch batches[PRODUCER_BATCHES];
    if (record->n_batches > PRODUCER_BATCHES || record->producer_epoch > INT16_MAX ||
        record->producer_epoch < 0)
        return ERR_CORRUPT;
    for (size_t i = 0; i < record->n_batches; i++) {
        const Flotilla__ProducerBatch *batch = record->batches[i];
        batches[i] = (struct producer_batch){
            .base_sequence = batch->base_sequence,
            .last_sequence = batch->last_sequence,
            .base_offset = batch->base_offset,
            .timestamp_ms = batch->timestamp_ms,
        };
    }
    return producer_table_load(t, record->producer_id, (int16_t)record->producer_epoch, batches,
                               (unsigned)record->n_batches);
}

static int decode_producers(struct producer_table *t, const Flotilla__PartitionState *state)
{
    if (state->n_producers > PRODUCERS_MAX)
        return ERR_CORRUPT;
    int status = 0;
    for (size_t i = 0; i < state->n_producers && status == 0; i++)
        status = decode_producer(t, state->producers[i]);
    return status;
}

static void clear(struct partition *p)
{
    p->start_offset = 0;
    producer_table_clear(p->producers);
    if (p->machine != NULL)
        p->machine->restore(p->state, NULL, 0);
}

int partition_state_decode(struct partition *p, const void *data, size_t size)
{
    clear(p);
    if (size == 0)
        return 0;
    Flotilla__PartitionState *state = flotilla__partition_state__unpack(NULL, size, data);
    if (state == NULL)
        return ERR_CORRUPT;
    int status = state->log_start_offset >= 0 ? decode_producers(p->producers, state) : ERR_CORRUPT;
    p->start_offset = state->log_start_offset;
    if (status == 0 && p->machine != NULL)
        status = p->machine->restore(p->state, state->application.data, state->application.len);
    flotilla__partition_state__free_unpacked(state, NULL);
    if (status != 0)
        clear(p);
    return status;
}
