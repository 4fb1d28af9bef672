#include "tests/sim/history.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum outcome { OUTCOME_OPEN, OUTCOME_WRITTEN, OUTCOME_UNKNOWN, OUTCOME_NOT_WRITTEN };

struct history_record {
    uint8_t topic, partition;
    uint8_t outcome;
    int64_t timestamp_ms;
    int64_t acked_offset; /* -1: none, likewise below */
    int64_t read_offset;
};

struct history_producer {
    int acks;
    bool idempotent;
    struct history_record *records;
    uint32_t count, capacity;
};

struct history_place {
    uint32_t producer, sequence; /* producer + 1; 0: nothing known */
    bool read;
};

struct history_partition {
    struct history_place *places; /* by offset */
    int64_t end, capacity;
};

/* The head of a record's value; padding follows that depends on it. */
struct value_head {
    uint32_t producer, sequence;
    uint64_t check;
};

void history_init(struct history *h, struct counters *counters)
{
    memset(h, 0, sizeof(*h));
    h->counters = counters;
    for (unsigned t = 0; t < HISTORY_TOPICS; t++)
        for (unsigned p = 0; p < HISTORY_PARTITIONS; p++)
            h->partitions[t][p] = memory_zalloc(sizeof(struct history_partition));
}

void history_close(struct history *h)
{
    for (unsigned t = 0; t < HISTORY_TOPICS; t++) {
        for (unsigned p = 0; p < HISTORY_PARTITIONS; p++) {
            free(h->partitions[t][p]->places);
            free(h->partitions[t][p]);
        }
    }
    for (unsigned i = 0; i < h->producer_count; i++) {
        free(h->producers[i]->records);
        free(h->producers[i]);
    }
}

_Static_assert(HISTORY_TOPICS <= 10, "a name ends in one digit");

void history_topic_name(unsigned topic, char out[16])
{
    memcpy(out, "topic0", sizeof("topic0"));
    out[5] = (char)('0' + topic);
}

int history_topic_index(const char *name)
{
    if (strncmp(name, "topic", 5) != 0 || name[5] < '0' || name[5] >= '0' + HISTORY_TOPICS || name[6] != '\0')
        return -1;
    return name[5] - '0';
}

void history_fail(struct history *h, const char *format, ...)
{
    va_list arguments;
    if (h->violation[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(h->violation, sizeof(h->violation), format, arguments);
    va_end(arguments);
}

/* ---- values ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x7fb5d329728ea185u;
    x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44du;
    return x ^ (x >> 33);
}

static uint64_t check_of(uint32_t producer, uint32_t sequence, size_t size)
{
    return mix(mix(((uint64_t)producer << 32) + sequence) + size);
}

static void fill(unsigned char *out, size_t size, uint64_t check)
{
    size_t at = sizeof(struct value_head);
    for (; at + sizeof(check) <= size; at += sizeof(check))
        memcpy(out + at, &check, sizeof(check));
    memcpy(out + at, &check, size - at);
}

size_t history_next_value(struct history *h, unsigned producer, size_t padding,
                          unsigned char out[HISTORY_VALUE_MAX])
{
    struct value_head head = {producer, h->producers[producer]->count, 0};
    size_t size = sizeof(head) + padding;
    ASSERT(size <= HISTORY_VALUE_MAX);
    head.check = check_of(head.producer, head.sequence, size);
    memcpy(out, &head, sizeof(head));
    fill(out, size, head.check);
    return size;
}

static bool value_is_intact(const struct value_head *head, const unsigned char *value, size_t size)
{
    unsigned char expected[HISTORY_VALUE_MAX];
    if (size > sizeof(expected) || head->check != check_of(head->producer, head->sequence, size))
        return false;
    memcpy(expected, head, sizeof(*head));
    fill(expected, size, head->check);
    return memcmp(expected, value, size) == 0;
}

/* ---- producers ---- */

unsigned history_add_producer(struct history *h, int acks, bool idempotent)
{
    ASSERT(h->producer_count < HISTORY_PRODUCERS);
    struct history_producer *p = memory_zalloc(sizeof(*p));
    p->acks = acks;
    p->idempotent = idempotent;
    h->producers[h->producer_count] = p;
    return h->producer_count++;
}

uint32_t history_sent(struct history *h, unsigned producer, unsigned topic, unsigned partition,
                      int64_t timestamp_ms)
{
    struct history_producer *p = h->producers[producer];
    if (p->count == p->capacity) {
        p->capacity = p->capacity == 0 ? 256 : 2 * p->capacity;
        p->records = memory_realloc(p->records, p->capacity * sizeof(*p->records));
    }
    p->records[p->count] = (struct history_record){.topic = (uint8_t)topic,
                                                   .partition = (uint8_t)partition,
                                                   .timestamp_ms = timestamp_ms,
                                                   .acked_offset = -1,
                                                   .read_offset = -1};
    counters_add(h->counters, "records_sent", 1);
    return p->count++;
}

/* ---- offsets ---- */

static struct history_place *place_at(struct history_partition *p, int64_t offset)
{
    if (offset >= p->capacity) {
        int64_t capacity = p->capacity == 0 ? 1024 : p->capacity;
        while (offset >= capacity)
            capacity *= 2;
        p->places = memory_realloc(p->places, (size_t)capacity * sizeof(*p->places));
        memset(p->places + p->capacity, 0, (size_t)(capacity - p->capacity) * sizeof(*p->places));
        p->capacity = capacity;
    }
    return &p->places[offset];
}

/* Somebody knows for certain that the record is committed at this offset. */
static struct history_place *claim(struct history *h, const char *who, unsigned topic, unsigned partition,
                                   int64_t offset, uint32_t producer, uint32_t sequence)
{
    struct history_partition *p = h->partitions[topic][partition];
    struct history_place *place = place_at(p, offset);
    if (place->producer == 0) {
        place->producer = producer + 1;
        place->sequence = sequence;
    } else if (place->producer != producer + 1 || place->sequence != sequence) {
        history_fail(h,
                     "%s: offset %" PRId64 " of topic%u/%u holds record %u of producer %u, but was record %u "
                     "of producer %u before",
                     who, offset, topic, partition, sequence, producer, place->sequence, place->producer - 1);
    }
    if (offset >= p->end)
        p->end = offset + 1;
    return place;
}

static void check_one_offset(struct history *h, const struct history_record *r, uint32_t producer,
                             uint32_t sequence)
{
    if (r->acked_offset >= 0 && r->read_offset >= 0 && r->acked_offset != r->read_offset)
        history_fail(h,
                     "record %u of producer %u was acknowledged at offset %" PRId64
                     " of topic%u/%u, but read at %" PRId64,
                     sequence, producer, r->acked_offset, r->topic, r->partition, r->read_offset);
    if (r->outcome == OUTCOME_NOT_WRITTEN && r->read_offset >= 0)
        history_fail(h,
                     "record %u of producer %u (acks %d) was reported as certainly not written, but was read "
                     "at offset %" PRId64 " of topic%u/%u",
                     sequence, producer, h->producers[producer]->acks, r->read_offset, r->topic,
                     r->partition);
}

static enum outcome outcome_of(int status)
{
    if (status == 0)
        return OUTCOME_WRITTEN;
    return error_class_of(status) == ERROR_OUTCOME_UNKNOWN ? OUTCOME_UNKNOWN : OUTCOME_NOT_WRITTEN;
}

static void count_delivery(struct history *h, const struct history_producer *p, enum outcome outcome)
{
    static const char *const acked[] = {"records_acked_all", "records_acked_none", "records_acked_leader"};
    if (outcome == OUTCOME_WRITTEN)
        counters_add(h->counters, acked[p->acks + 1], 1);
    else
        counters_add(h->counters, outcome == OUTCOME_UNKNOWN ? "records_unknown" : "records_refused", 1);
}

void history_delivered(struct history *h, unsigned producer, uint32_t sequence, int status, int64_t offset)
{
    struct history_producer *p = h->producers[producer];
    struct history_record *r = &p->records[sequence];
    if (r->outcome != OUTCOME_OPEN) {
        history_fail(h, "record %u of producer %u was reported twice", sequence, producer);
        return;
    }
    if (status == ERR_UNKNOWN_TOPIC || status == ERR_UNKNOWN_PARTITION)
        history_fail(h, "producer %u was told that topic%u/%u does not exist", producer, r->topic,
                     r->partition);
    r->outcome = (uint8_t)outcome_of(status);
    count_delivery(h, p, (enum outcome)r->outcome);
    if (status == 0 && p->acks != 0) {
        r->acked_offset = offset;
        if (p->acks < 0) {
            h->acked++;
            claim(h, "an acknowledgement", r->topic, r->partition, offset, producer, sequence);
        }
    }
    check_one_offset(h, r, producer, sequence);
}

/* ---- readers ---- */

static void read_record(struct history *h, const char *reader, unsigned topic, unsigned partition,
                        int64_t offset, const struct value_head *head)
{
    struct history_producer *p = h->producers[head->producer];
    struct history_record *r = &p->records[head->sequence];
    if (r->topic != topic || r->partition != partition) {
        history_fail(h, "%s: record %u of producer %u was sent to topic%u/%u, but read from topic%u/%u",
                     reader, head->sequence, head->producer, r->topic, r->partition, topic, partition);
        return;
    }
    claim(h, reader, topic, partition, offset, head->producer, head->sequence)->read = true;
    if (r->read_offset >= 0 && r->read_offset != offset)
        history_fail(h,
                     "%s: record %u of producer %u (acks %d, %s) stands twice in topic%u/%u: at %" PRId64
                     " and %" PRId64,
                     reader, head->sequence, head->producer, p->acks, p->idempotent ? "idempotent" : "plain",
                     topic, partition, r->read_offset, offset);
    r->read_offset = offset;
    check_one_offset(h, r, head->producer, head->sequence);
}

void history_read(struct history *h, const char *reader, unsigned topic, unsigned partition, int64_t offset,
                  const unsigned char *value, size_t size)
{
    struct value_head head = {0};
    counters_add(h->counters, "records_read", 1);
    if (size >= sizeof(head))
        memcpy(&head, value, sizeof(head));
    if (size < sizeof(head) || head.producer >= h->producer_count ||
        head.sequence >= h->producers[head.producer]->count || !value_is_intact(&head, value, size)) {
        history_fail(h, "%s: offset %" PRId64 " of topic%u/%u holds a record that nobody sent", reader,
                     offset, topic, partition);
        return;
    }
    read_record(h, reader, topic, partition, offset, &head);
}

void history_first_from_time(struct history *h, const char *reader, unsigned topic, unsigned partition,
                             int64_t offset, int64_t time_ms)
{
    const struct history_partition *p = h->partitions[topic][partition];
    for (int64_t at = 0; at < offset && at < p->capacity; at++) {
        const struct history_place *place = &p->places[at];
        if (place->producer == 0 ||
            h->producers[place->producer - 1]->records[place->sequence].timestamp_ms < time_ms)
            continue;
        history_fail(h,
                     "%s reads topic%u/%u from time %" PRId64 " on and begins at offset %" PRId64
                     ", but offset %" PRId64 " is as young",
                     reader, topic, partition, time_ms, offset, at);
        return;
    }
}

int64_t history_end(const struct history *h, unsigned topic, unsigned partition)
{
    return h->partitions[topic][partition]->end;
}

void history_end_told(struct history *h, unsigned topic, unsigned partition, int64_t asked_at, int64_t told)
{
    counters_add(h->counters, "ends_asked", 1);
    if (told < asked_at)
        history_fail(h,
                     "the end of topic%u/%u was said to be %" PRId64 ", but it was %" PRId64
                     " already when that was asked",
                     topic, partition, told, asked_at);
}

/* ---- the end ---- */

static void check_order(struct history *h, unsigned topic, unsigned partition, uint32_t *last,
                        const struct history_place *place, int64_t offset)
{
    uint32_t producer = place->producer - 1;
    if (!h->producers[producer]->idempotent)
        return;
    if (place->sequence + 1 <= last[producer])
        history_fail(h,
                     "idempotent producer %u made record %u after %u, but at offset %" PRId64
                     " of topic%u/%u it stands behind it",
                     producer, last[producer] - 1, place->sequence, offset, topic, partition);
    last[producer] = place->sequence + 1;
}

void history_check_complete(struct history *h, unsigned topic, unsigned partition, int64_t end)
{
    const struct history_partition *p = h->partitions[topic][partition];
    uint32_t last[HISTORY_PRODUCERS] = {0};
    if (end < p->end)
        history_fail(h, "topic%u/%u ends at %" PRId64 ", but offset %" PRId64 " was acknowledged or read",
                     topic, partition, end, p->end - 1);
    int64_t first = 0;
    while (topic == HISTORY_RETAINED && first < p->end && !p->places[first].read)
        first++;
    for (int64_t offset = first; offset < p->end; offset++) {
        const struct history_place *place = &p->places[offset];
        if (topic == HISTORY_RETAINED && !place->read)
            continue;
        if (!place->read)
            history_fail(h,
                         "lost: offset %" PRId64 " of topic%u/%u (record %u of producer %d) is not there any "
                         "more",
                         offset, topic, partition, place->sequence, (int)place->producer - 1);
        else
            check_order(h, topic, partition, last, place, offset);
    }
}
