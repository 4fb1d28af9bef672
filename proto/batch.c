#include "proto/batch.h"
#include "proto/batch_internal.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "proto/record.h"
#include <stdio.h>

enum {
    LENGTH_AT = 8,
    LEADER_EPOCH_AT = 12,
    MAGIC_AT = 16,
    CRC_AT = 17,
    ATTRIBUTES_AT = 21, /* the CRC covers all from here */
    LAST_OFFSET_DELTA_AT = 23,
    BASE_TIMESTAMP_AT = 27,
    MAX_TIMESTAMP_AT = 35,
    PRODUCER_ID_AT = 43,
    PRODUCER_EPOCH_AT = 51,
    BASE_SEQUENCE_AT = 53,
    RECORD_COUNT_AT = 57,
    MAGIC = 2,
    ATTRIBUTE_LOG_APPEND_TIME = 0x08,
    ATTRIBUTE_CONTROL = 0x20,
};

int batch_header_decode(const void *data, size_t available, size_t max_size, struct batch_header *header)
{
    const unsigned char *p = data;

    if (available < BATCH_HEADER_SIZE)
        return ERR_CORRUPT;
    uint32_t length = load_be32(p + LENGTH_AT);
    if (p[MAGIC_AT] != MAGIC || length < BATCH_HEADER_SIZE - BATCH_LENGTH_OFFSET || length > INT32_MAX ||
        length + BATCH_LENGTH_OFFSET > max_size)
        return ERR_CORRUPT;

    header->base_offset = (int64_t)load_be64(p);
    header->size = length + BATCH_LENGTH_OFFSET;
    header->leader_epoch = (int32_t)load_be32(p + LEADER_EPOCH_AT);
    header->magic = MAGIC;
    header->crc = load_be32(p + CRC_AT);
    header->attributes = load_be16(p + ATTRIBUTES_AT);
    header->last_offset_delta = (int32_t)load_be32(p + LAST_OFFSET_DELTA_AT);
    header->base_timestamp_ms = (int64_t)load_be64(p + BASE_TIMESTAMP_AT);
    header->max_timestamp_ms = (int64_t)load_be64(p + MAX_TIMESTAMP_AT);
    header->producer_id = (int64_t)load_be64(p + PRODUCER_ID_AT);
    header->producer_epoch = (int16_t)load_be16(p + PRODUCER_EPOCH_AT);
    header->base_sequence = (int32_t)load_be32(p + BASE_SEQUENCE_AT);
    header->record_count = (int32_t)load_be32(p + RECORD_COUNT_AT);
    return 0;
}

/* Writes all but the CRC; batch_seal follows once the records stand behind it. */
static void batch_header_encode(unsigned char *p, const struct batch_header *header)
{
    store_be64(p, (uint64_t)header->base_offset);
    store_be32(p + LENGTH_AT, header->size - BATCH_LENGTH_OFFSET);
    store_be32(p + LEADER_EPOCH_AT, (uint32_t)header->leader_epoch);
    p[MAGIC_AT] = MAGIC;
    store_be16(p + ATTRIBUTES_AT, header->attributes);
    store_be32(p + LAST_OFFSET_DELTA_AT, (uint32_t)header->last_offset_delta);
    store_be64(p + BASE_TIMESTAMP_AT, (uint64_t)header->base_timestamp_ms);
    store_be64(p + MAX_TIMESTAMP_AT, (uint64_t)header->max_timestamp_ms);
    store_be64(p + PRODUCER_ID_AT, (uint64_t)header->producer_id);
    store_be16(p + PRODUCER_EPOCH_AT, (uint16_t)header->producer_epoch);
    store_be32(p + BASE_SEQUENCE_AT, (uint32_t)header->base_sequence);
    store_be32(p + RECORD_COUNT_AT, (uint32_t)header->record_count);
}

static uint32_t batch_crc(const unsigned char *p, size_t size)
{
    return crc32c(0, p + ATTRIBUTES_AT, size - ATTRIBUTES_AT);
}

void batch_seal(void *data, const struct batch_header *header)
{
    unsigned char *p = data;

    batch_header_encode(p, header);
    store_be32(p + CRC_AT, batch_crc(p, header->size));
}

bool batch_crc_ok(const void *data, const struct batch_header *header)
{
    return batch_crc(data, header->size) == header->crc;
}

void batch_stamp(void *data, int64_t base_offset, int32_t leader_epoch)
{
    unsigned char *p = data;

    store_be64(p, (uint64_t)base_offset);
    store_be32(p + LEADER_EPOCH_AT, (uint32_t)leader_epoch);
}

void batch_set_log_append_time(void *data, size_t size, int64_t timestamp_ms)
{
    unsigned char *p = data;

    store_be16(p + ATTRIBUTES_AT, load_be16(p + ATTRIBUTES_AT) | ATTRIBUTE_LOG_APPEND_TIME);
    store_be64(p + MAX_TIMESTAMP_AT, (uint64_t)timestamp_ms);
    store_be32(p + CRC_AT, batch_crc(p, size));
}

/* ---- validation ---- */

static const char *batch_check_bytes(const void *data, size_t size, struct batch_header *header)
{
    if (size < BATCH_HEADER_SIZE)
        return "shorter than a record batch's header";
    if (((const unsigned char *)data)[MAGIC_AT] != MAGIC)
        return "message format version is not 2";
    if (batch_header_decode(data, size, size, header) != 0)
        return "batch length is out of bounds";
    if (header->size != size)
        return "not exactly one record batch";
    if (!batch_crc_ok(data, header))
        return "CRC-32C mismatch";
    return NULL;
}

static const char *batch_check_header(const struct batch_header *header)
{
    if (batch_codec_of(header) > BATCH_ZSTD)
        return "unknown compression codec";
    if (batch_is_control(header))
        return "control batches are not for clients";
    if (header->record_count < 1)
        return "no records";
    if (header->last_offset_delta != header->record_count - 1)
        return "record count and last offset delta disagree";
    if (header->max_timestamp_ms < header->base_timestamp_ms && !batch_is_log_append_time(header))
        return "max timestamp is before base timestamp";
    return NULL;
}

static bool record_headers_ok(struct record_fields *f)
{
    struct record_header h;

    for (size_t i = 0; i < f->header_count; i++)
        if (!record_header_read(&f->headers, &h))
            return false;
    return reader_left(&f->headers) == 0;
}

static const char *batch_check_records(const unsigned char *data, const struct batch_header *header)
{
    struct record_fields f;
    struct reader r;

    reader_init(&r, data + BATCH_HEADER_SIZE, header->size - BATCH_HEADER_SIZE);
    for (int32_t i = 0; i < header->record_count; i++) {
        if (!record_read(&r, &f) || (f.header_count > 0 && !record_headers_ok(&f)))
            return "malformed record";
        if (f.offset_delta != i)
            return "offset deltas do not count up from 0";
    }
    return reader_left(&r) == 0 ? NULL : "bytes after the last record";
}

int batch_validate(const void *data, size_t size, struct batch_header *header, char *reason,
                   size_t reason_size)
{
    int rc = ERR_CORRUPT;
    const char *problem = batch_check_bytes(data, size, header);

    if (problem == NULL) {
        rc = ERR_INVALID_ARGUMENT;
        problem = batch_check_header(header);
    }
    if (problem == NULL && batch_codec_of(header) == BATCH_NONE)
        problem = batch_check_records(data, header);
    if (problem == NULL)
        return 0;
    snprintf(reason, reason_size, "%s", problem);
    return rc;
}

/* ---- control batches ---- */

void batch_control_encode(struct bytes *out, const struct batch_control *control)
{
    struct batch_header header = {
        .base_offset = control->next_offset,
        .size = (uint32_t)(BATCH_HEADER_SIZE + BATCH_CONTROL_BODY_SIZE + control->payload_size),
        .leader_epoch = (int32_t)control->term,
        .attributes = ATTRIBUTE_CONTROL,
        .last_offset_delta = -1,
        .base_timestamp_ms = -1,
        .max_timestamp_ms = -1,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
    };
    size_t start = out->size;

    bytes_extend(out, BATCH_HEADER_SIZE);
    bytes_put_u16(out, (uint16_t)control->type);
    bytes_put_u16(out, 0);
    bytes_put_u64(out, control->index);
    bytes_put_u64(out, control->term);
    bytes_put_u64(out, (uint64_t)control->next_offset);
    bytes_append(out, control->payload, control->payload_size);
    batch_seal(out->data + start, &header);
}

void batch_start_encode(struct bytes *out, uint64_t index, uint64_t term, int64_t next_offset,
                        int64_t start_offset)
{
    unsigned char payload[8];
    store_be64(payload, (uint64_t)start_offset);
    const struct batch_control control = {.type = BATCH_CONTROL_START,
                                          .index = index,
                                          .term = term,
                                          .next_offset = next_offset,
                                          .payload = payload,
                                          .payload_size = sizeof payload};
    batch_control_encode(out, &control);
}

static bool batch_control_header_ok(const struct batch_header *h)
{
    return batch_is_control(h) && batch_codec_of(h) == BATCH_NONE && h->last_offset_delta == -1 &&
           h->record_count == 0 && h->size >= BATCH_HEADER_SIZE + BATCH_CONTROL_BODY_SIZE;
}

static bool batch_control_payload_ok(struct batch_control *control)
{
    switch (control->type) {
    case BATCH_CONTROL_BARRIER:
    case BATCH_CONTROL_CHANGE:
        return true;
    case BATCH_CONTROL_START:
        if (control->payload_size != sizeof control->start_offset)
            return false;
        control->start_offset = (int64_t)load_be64(control->payload);
        return control->start_offset >= 0 && control->start_offset <= control->next_offset;
    default:
        return false;
    }
}

int batch_control_decode(const void *data, size_t size, struct batch_control *control)
{
    struct batch_header header;
    struct reader r;

    if (batch_header_decode(data, size, size, &header) != 0 || header.size != size ||
        !batch_control_header_ok(&header))
        return ERR_CORRUPT;

    reader_init(&r, data, size);
    reader_bytes(&r, BATCH_HEADER_SIZE);
    uint16_t type = reader_u16(&r);
    uint16_t version = reader_u16(&r);
    control->type = (enum batch_control_type)type;
    control->index = reader_u64(&r);
    control->term = reader_u64(&r);
    control->next_offset = (int64_t)reader_u64(&r);
    control->payload_size = reader_left(&r);
    control->payload = reader_bytes(&r, control->payload_size);

    /* The header's offset and epoch are not covered by the CRC; their copies in the body are. */
    bool ok = version == 0 && header.base_offset == control->next_offset &&
              header.leader_epoch == (int32_t)control->term && batch_control_payload_ok(control);
    return ok ? 0 : ERR_CORRUPT;
}
