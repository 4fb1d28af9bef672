/* Walking the records of a received batch without copying them. */
#include "client/core/consumer/inbox.h"

/* A compressed batch may grow to so much: beyond any batch that a node accepts uncompressed. */
enum { MAX_UNCOMPRESSED = 1 << 30 };

enum flotilla_batch_kind flotilla_batch_kind(const struct flotilla_batch *batch)
{
    return batch->kind;
}

int flotilla_batch_status(const struct flotilla_batch *batch)
{
    return batch->status;
}

const char *flotilla_batch_message(const struct flotilla_batch *batch)
{
    return batch->message != NULL ? batch->message : "";
}

const char *flotilla_batch_topic(const struct flotilla_batch *batch)
{
    return inbox_partition_topic(batch->partition);
}

int32_t flotilla_batch_partition(const struct flotilla_batch *batch)
{
    return inbox_partition_index(batch->partition);
}

int64_t flotilla_batch_offset(const struct flotilla_batch *batch)
{
    return batch->first_offset;
}

int64_t flotilla_batch_high_watermark(const struct flotilla_batch *batch)
{
    return batch->high_watermark;
}

int32_t flotilla_batch_leader_epoch(const struct flotilla_batch *batch)
{
    return batch->leader_epoch;
}

void flotilla_batch_release(struct flotilla_batch *batch)
{
    if (batch != NULL)
        inbox_release(batch);
}

static void batch_damaged(struct flotilla_batch *batch, int status)
{
    char message[CORE_MESSAGE_SIZE];

    if (batch->message != NULL)
        return;
    snprintf(message, sizeof(message), "%s/%d: batch at offset %lld: %s", flotilla_batch_topic(batch),
             flotilla_batch_partition(batch), (long long)batch->first_offset, error_text(status));
    batch->status = status;
    batch->message = strdup(message);
}

static void use_headers(struct flotilla_batch *batch, const struct record *from)
{
    if (from->header_count > batch->header_capacity) {
        batch->headers = realloc(batch->headers, from->header_count * sizeof(*batch->headers));
        if (batch->headers == NULL)
            abort();
        batch->header_capacity = from->header_count;
    }
    for (size_t i = 0; i < from->header_count; i++) {
        const struct record_header *h = &from->headers[i];
        batch->headers[i] = (struct flotilla_header){h->key, h->key_size, h->value, h->value_size};
    }
    batch->record.headers = batch->headers;
    batch->record.header_count = from->header_count;
}

static const struct flotilla_record *use_record(struct flotilla_batch *batch, const struct record *from)
{
    struct flotilla_record *record = &batch->record;

    record->topic = flotilla_batch_topic(batch);
    record->partition = flotilla_batch_partition(batch);
    record->offset = from->offset;
    record->timestamp_ms = from->timestamp_ms;
    record->is_append_time = batch_is_log_append_time(&batch->reader.header);
    record->key = from->key;
    record->key_size = from->key_size;
    record->value = from->value;
    record->value_size = from->value_size;
    use_headers(batch, from);
    return record;
}

static bool start_reading(struct flotilla_batch *batch)
{
    int rc = batch_reader_init(&batch->reader, batch->data, batch->size, MAX_UNCOMPRESSED);

    if (rc != 0)
        batch_damaged(batch, rc);
    batch->is_reading = rc == 0;
    return batch->is_reading;
}

const struct flotilla_record *flotilla_batch_next(struct flotilla_batch *batch)
{
    struct record record;
    int rc;

    if (batch->kind != FLOTILLA_BATCH_RECORDS || batch->status != 0 ||
        (!batch->is_reading && !start_reading(batch)))
        return NULL;
    if (batch->record.topic != NULL)
        atomic_store(&batch->finished, batch->record.offset + 1);
    do {
        rc = batch_reader_next(&batch->reader, &record);
    } while (rc > 0 && record.offset < batch->first_offset); /* before what was asked for */
    if (rc > 0)
        return use_record(batch, &record);
    batch->record.topic = NULL;
    if (rc < 0)
        batch_damaged(batch, rc);
    else
        atomic_store(&batch->finished, batch->next_offset);
    return NULL;
}
