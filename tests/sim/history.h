/* What the clients did and saw, and the judgement over it: the checkers that stand outside the nodes.
 *
 * Every record carries who made it (a producer's number and that producer's sequence), so a record that is
 * read can be recognised:
 *   - a record that nobody sent, or whose bytes are not those that were sent, is never read;
 *   - an offset holds one record: all acknowledgements with acks=all and all readers agree for ever;
 *   - a record stands at one offset at most, which is the acknowledged one, also for weaker acks;
 *   - one whose failure was certain is never read;
 *   - an idempotent producer's records stand in the order in which they were made;
 *   - at the end, each record acknowledged with acks=all has been read by whoever reads from the beginning;
 *   - who reads from a time on misses nothing that is as young;
 *   - what readers are told to be the end never lies before what was acknowledged or read earlier;
 *   - committed offsets of a group never go back;
 *   - nobody is told that a topic is not there that is.
 * The first thing that is wrong is kept in words. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "tests/sim/counters.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The last topic has little retention: what was acknowledged there may go, from the beginning on. */
enum { HISTORY_TOPICS = 3, HISTORY_RETAINED = HISTORY_TOPICS - 1, HISTORY_RETENTION_BYTES = 64 * 1024 };
enum { HISTORY_PARTITIONS = 8, HISTORY_PRODUCERS = 256, HISTORY_VALUE_MAX = 20 * 1024 };

struct history_partition;
struct history_producer;

struct history {
    char violation[400]; /* "": none */
    struct counters *counters;
    struct history_partition *partitions[HISTORY_TOPICS][HISTORY_PARTITIONS];
    struct history_producer *producers[HISTORY_PRODUCERS];
    unsigned producer_count;
    uint64_t acked; /* with acks=all */
};

void history_init(struct history *h, struct counters *counters);
void history_close(struct history *h);
void history_topic_name(unsigned topic, char out[16]);
int history_topic_index(const char *name); /* -1: none of ours */

void history_fail(struct history *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- producers ---- */

/* Of a new producer. */
unsigned history_add_producer(struct history *h, int acks, bool idempotent);
/* The bytes of a producer's next record; returns their size. It counts only after history_sent. */
size_t history_next_value(struct history *h, unsigned producer, size_t padding,
                          unsigned char out[HISTORY_VALUE_MAX]);
/* It was accepted by the library; returns its sequence. */
uint32_t history_sent(struct history *h, unsigned producer, unsigned topic, unsigned partition,
                      int64_t timestamp_ms);
/* Its delivery report. `offset` -1: not told. */
void history_delivered(struct history *h, unsigned producer, uint32_t sequence, int status, int64_t offset);

/* ---- readers ---- */

/* `reader` names who, in words. */
void history_read(struct history *h, const char *reader, unsigned topic, unsigned partition, int64_t offset,
                  const unsigned char *value, size_t size);
/* Who asked to read from a time on has got this record first. */
void history_first_from_time(struct history *h, const char *reader, unsigned topic, unsigned partition,
                             int64_t offset, int64_t time_ms);
/* The end that is certain by now: behind everything that was acknowledged with acks=all or read. */
int64_t history_end(const struct history *h, unsigned topic, unsigned partition);
/* An answer to "where is the end?", asked when history_end was `asked_at`. */
void history_end_told(struct history *h, unsigned topic, unsigned partition, int64_t asked_at, int64_t told);

/* ---- the end ---- */

/* After a reader has read everything from the beginning to `end` (exclusive). */
void history_check_complete(struct history *h, unsigned topic, unsigned partition, int64_t end);

#endif
