/* The record batch: Kafka's message format v2, byte for byte, with CRC-32C from the attributes to the end
 * (https://kafka.apache.org/documentation/#recordbatch). One batch is one Raft entry, one piece of a segment
 * file and one piece of a fetch. All integers are big-endian:
 *
 *   offset size field
 *        0    8 baseOffset            stamped by the leader; not covered by the CRC
 *        8    4 batchLength           bytes after this field
 *       12    4 partitionLeaderEpoch  the Raft term; stamped by the leader; not covered by the CRC
 *       16    1 magic                 2
 *       17    4 crc                   CRC-32C of everything from offset 21 on
 *       21    2 attributes            bits 0-2 codec, 3 log-append time, 4 transactional, 5 control
 *       23    4 lastOffsetDelta       records - 1; -1 in our control batches, which take no offset
 *       27    8 baseTimestamp         ms since the epoch
 *       35    8 maxTimestamp
 *       43    8 producerId            -1: not idempotent
 *       51    2 producerEpoch
 *       53    4 baseSequence
 *       57    4 recordCount
 *       61      records               compressed as a whole by the codec
 *
 * A *control batch* stores an entry of Raft's own (barrier, configuration), or says where the log begins from
 * now on. It is never served to a client.
 * Its record count is 0, its lastOffsetDelta -1, its producer id -1, and its body, big-endian, is:
 *
 *       61    2 type                  enum batch_control_type
 *       63    2 version               0
 *       65    8 index                 Raft index of this entry
 *       73    8 term                  Raft term of this entry
 *       81    8 nextOffset            offset that the next data batch will take (equals baseOffset)
 *       89      payload               opaque bytes of the consensus core; START: the offset (8) of the first
 *                                     record kept, at most nextOffset
 *
 * Every term begins with a control batch (the leader's barrier), so the fields that the CRC leaves out of the
 * data batches that follow it - epoch and base offset - are checked against a CRC-covered copy when a log is
 * read back. */
#ifndef PROTO_BATCH_H
#define PROTO_BATCH_H

#include "proto/bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BATCH_HEADER_SIZE = 61,
    BATCH_LENGTH_OFFSET = 12,     /* size of baseOffset and batchLength: batchLength counts what follows */
    BATCH_CONTROL_BODY_SIZE = 28, /* of a control batch, before its payload */
    BATCH_START_SIZE = BATCH_HEADER_SIZE + BATCH_CONTROL_BODY_SIZE + 8,
};

enum batch_codec { BATCH_NONE = 0, BATCH_GZIP = 1, BATCH_SNAPPY = 2, BATCH_LZ4 = 3, BATCH_ZSTD = 4 };
enum batch_control_type { BATCH_CONTROL_BARRIER = 1, BATCH_CONTROL_CHANGE = 2, BATCH_CONTROL_START = 3 };

struct batch_header {
    int64_t base_offset;
    uint32_t size; /* of the whole batch, header included */
    int32_t leader_epoch;
    int8_t magic;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp_ms;
    int64_t max_timestamp_ms;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

/* Reads the fixed header from at least BATCH_HEADER_SIZE bytes. Returns 0, or ERR_CORRUPT when magic is not 2
 * or the length is below the header's size or above `max_size`. Does not look at the CRC. */
int batch_header_decode(const void *data, size_t available, size_t max_size, struct batch_header *header);

static inline enum batch_codec batch_codec_of(const struct batch_header *h)
{
    return (enum batch_codec)(h->attributes & 7);
}
static inline bool batch_is_control(const struct batch_header *h)
{
    return (h->attributes & 0x20) != 0;
}
static inline bool batch_is_log_append_time(const struct batch_header *h)
{
    return (h->attributes & 0x08) != 0;
}
static inline bool batch_is_transactional(const struct batch_header *h)
{
    return (h->attributes & 0x10) != 0;
}
/* The offset after the batch's last record; base_offset itself for a control batch. */
static inline int64_t batch_next_offset(const struct batch_header *h)
{
    /* Unsigned: a client's base offset may be anything, and must not overflow a signed sum. */
    return (int64_t)((uint64_t)h->base_offset + (uint64_t)(int64_t)h->last_offset_delta + 1);
}

/* Whether `data` (whole batch, header->size bytes) matches its CRC. */
bool batch_crc_ok(const void *data, const struct batch_header *header);

/* Full check of a batch that a client sent: header, exact size, CRC, codec known, count = lastOffsetDelta + 1
 * >= 1, not control, max timestamp >= base; when uncompressed also that each record parses and that deltas
 * count up from 0. What is compressed stays so: its records are checked by who reads them. Returns 0;
 * ERR_CORRUPT when the bytes are not those of a batch or not those that were sent; ERR_INVALID_ARGUMENT when
 * they are, but may not be produced. An error comes with a reason of at most `reason_size` bytes, terminator
 * included; `header` is filled unless ERR_CORRUPT. */
int batch_validate(const void *data, size_t size, struct batch_header *header, char *reason,
                   size_t reason_size);

/* In-place patches. The first touches nothing that the CRC covers; the second sets the log-append-time bit
 * and recomputes the CRC. */
void batch_stamp(void *data, int64_t base_offset, int32_t leader_epoch);
void batch_set_log_append_time(void *data, size_t size, int64_t timestamp_ms);

/* Control batches. */
struct batch_control {
    enum batch_control_type type;
    uint64_t index;
    uint64_t term;
    int64_t next_offset;
    const unsigned char *payload; /* into the batch */
    size_t payload_size;
    int64_t start_offset; /* of a BATCH_CONTROL_START, when decoded */
};
/* Appends a whole control batch to `out`. */
void batch_control_encode(struct bytes *out, const struct batch_control *control);
/* A BATCH_CONTROL_START. */
void batch_start_encode(struct bytes *out, uint64_t index, uint64_t term, int64_t next_offset,
                        int64_t start_offset);
/* `data` is a whole batch whose CRC has been checked. Returns 0 or ERR_CORRUPT. */
int batch_control_decode(const void *data, size_t size, struct batch_control *control);

/* ---- records ---- */

struct record_header {
    const char *key; /* not terminated */
    size_t key_size;
    const unsigned char *value; /* NULL: null */
    size_t value_size;
};

struct record {
    int64_t offset;
    int64_t timestamp_ms;
    const unsigned char *key; /* NULL: null, which differs from empty */
    size_t key_size;
    const unsigned char *value; /* NULL: null (a tombstone) */
    size_t value_size;
    const struct record_header *headers;
    size_t header_count;
};

/* Builds one batch. Usage: init, add..., finish, close. A builder is reusable after batch_builder_reset, and
 * then keeps its memory and its codec's context: use one builder for many batches. */
struct codec_encoder;
struct batch_builder {
    struct bytes bytes;            /* private: room for the header, then the records */
    struct codec_encoder *encoder; /* private; created when first needed */
    int64_t base_timestamp_ms;     /* private */
    int64_t max_timestamp_ms;      /* private */
    int32_t count;                 /* read-only */
};

struct batch_options {
    enum batch_codec codec;
    int level; /* 0: the codec's default */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
};

void batch_builder_init(struct batch_builder *b);
void batch_builder_close(struct batch_builder *b);
void batch_builder_reset(struct batch_builder *b);
/* The records are not needed any more, and the next batch may be built in the memory of `memory`, which the
 * builder takes over when it is larger than its own. Only a reset or close may follow. */
void batch_builder_give(struct batch_builder *b, struct bytes *memory);
void batch_builder_add(struct batch_builder *b, int64_t timestamp_ms, const void *key, size_t key_size,
                       const void *value, size_t value_size, const struct record_header *headers,
                       size_t header_count);
/* Size of the finished batch if it were not compressed. */
size_t batch_builder_size(const struct batch_builder *b);
/* Upper bound of what one more such record adds. */
size_t batch_record_size_bound(size_t key_size, size_t value_size, const struct record_header *headers,
                               size_t header_count);
/* Appends the finished batch (base offset 0, epoch -1, CRC set) to `out`; falls back to no compression when
 * that is smaller. Returns 0, ERR_OUT_OF_MEMORY, or ERR_TOO_LARGE for more than a batch's length field can
 * say; `out` is then as it was. `count` must be >= 1. */
int batch_builder_finish(struct batch_builder *b, const struct batch_options *options, struct bytes *out);
/* The same into an empty `out`, which gets the builder's own memory instead of a copy when nothing is
 * compressed, and gives its memory to the builder. Only a reset or close may follow. */
int batch_builder_finish_into(struct batch_builder *b, const struct batch_options *options,
                              struct bytes *out);

/* Walks the records of a whole batch whose CRC has been checked; a control batch has none. Uncompressed
 * records are read where they stand, so the batch must outlive the reader; compressed ones are decompressed
 * at init into memory of the reader's own, at most `max_uncompressed` bytes. */
struct batch_reader {
    struct batch_header header;    /* read-only */
    struct bytes uncompressed;     /* private */
    struct reader at;              /* private */
    int32_t index;                 /* private */
    int64_t last_delta;            /* private */
    struct record_header *headers; /* private */
    size_t header_capacity;        /* private */
};

/* Returns 0, ERR_CORRUPT, ERR_TOO_LARGE (a decompression bomb), ERR_OUT_OF_MEMORY, or ERR_UNSUPPORTED for an
 * unknown codec. After an error nothing needs closing, but closing is harmless. */
int batch_reader_init(struct batch_reader *r, const void *data, size_t size, size_t max_uncompressed);
/* Like close and init, but keeps the memory: for one reader that walks many batches. */
int batch_reader_reset(struct batch_reader *r, const void *data, size_t size, size_t max_uncompressed);
/* 1: `record` filled. Its key and value are valid until reset or close, its headers until the next call. 0:
 * end; negative: ERR_CORRUPT. */
int batch_reader_next(struct batch_reader *r, struct record *record);
void batch_reader_close(struct batch_reader *r);

/* "gzip" <-> BATCH_GZIP; returns -1 for an unknown name. */
int batch_codec_parse(const char *name);
const char *batch_codec_name(enum batch_codec codec);

#endif
