#include "proto/batch.h"
#include "proto/codec.h"
#include "proto/error.h"
#include "proto/record.h"
#include <stdlib.h>

int batch_reader_init(struct batch_reader *r, const void *data, size_t size, size_t max_uncompressed)
{
    *r = (struct batch_reader){0};
    int rc = batch_reader_reset(r, data, size, max_uncompressed);
    if (rc != 0)
        batch_reader_close(r);
    return rc;
}

int batch_reader_reset(struct batch_reader *r, const void *data, size_t size, size_t max_uncompressed)
{
    const unsigned char *records = (const unsigned char *)data + BATCH_HEADER_SIZE;

    r->index = 0;
    r->last_delta = -1;
    r->header.record_count = 0; /* so that a reader that failed to start has nothing to read */
    reader_init(&r->at, data, 0);
    bytes_clear(&r->uncompressed);

    struct batch_header header;
    if (batch_header_decode(data, size, size, &header) != 0 || header.size != size)
        return ERR_CORRUPT;
    if (!batch_is_control(&header) && batch_codec_of(&header) != BATCH_NONE) {
        int rc = codec_decompress(batch_codec_of(&header), records, size - BATCH_HEADER_SIZE,
                                  max_uncompressed, &r->uncompressed);
        if (rc != 0)
            return rc;
        reader_init(&r->at, r->uncompressed.data, r->uncompressed.size);
    } else {
        reader_init(&r->at, records, size - BATCH_HEADER_SIZE);
    }
    r->header = header;
    return 0;
}

void batch_reader_close(struct batch_reader *r)
{
    bytes_close(&r->uncompressed);
    free(r->headers);
    *r = (struct batch_reader){0};
}

/* Bounded by the record's size: each header takes at least RECORD_HEADER_MIN_SIZE bytes of it. */
static void batch_reader_reserve_headers(struct batch_reader *r, size_t count)
{
    if (count <= r->header_capacity)
        return;
    struct record_header *headers = realloc(r->headers, count * sizeof(*headers));
    if (headers == NULL)
        abort();
    r->headers = headers;
    r->header_capacity = count;
}

static bool batch_reader_read_headers(struct batch_reader *r, struct record_fields *f)
{
    batch_reader_reserve_headers(r, f->header_count);
    for (size_t i = 0; i < f->header_count; i++)
        if (!record_header_read(&f->headers, &r->headers[i]))
            return false;
    return reader_left(&f->headers) == 0;
}

/* Compaction leaves gaps between the deltas, and may leave none at the end, but never changes their order. */
static bool batch_reader_accept_delta(struct batch_reader *r, int64_t delta)
{
    if (delta <= r->last_delta || delta > r->header.last_offset_delta)
        return false;
    r->last_delta = delta;
    return true;
}

static int batch_reader_fail(struct batch_reader *r)
{
    r->index = r->header.record_count;
    r->at.failed = true;
    return ERR_CORRUPT;
}

int batch_reader_next(struct batch_reader *r, struct record *record)
{
    struct record_fields f;

    if (r->at.failed)
        return ERR_CORRUPT;
    if (r->index >= r->header.record_count)
        return batch_is_control(&r->header) || reader_left(&r->at) == 0 ? 0 : batch_reader_fail(r);
    if (!record_read(&r->at, &f) || !batch_reader_accept_delta(r, f.offset_delta))
        return batch_reader_fail(r);
    if (f.header_count > 0 && !batch_reader_read_headers(r, &f))
        return batch_reader_fail(r);

    r->index++;
    record->offset = (int64_t)((uint64_t)r->header.base_offset + (uint64_t)f.offset_delta);
    record->timestamp_ms =
        batch_is_log_append_time(&r->header)
            ? r->header.max_timestamp_ms
            : (int64_t)((uint64_t)r->header.base_timestamp_ms + (uint64_t)f.timestamp_delta);
    record->key = f.key;
    record->key_size = f.key_size;
    record->value = f.value;
    record->value_size = f.value_size;
    record->headers = r->headers;
    record->header_count = f.header_count;
    return 1;
}
