/* An independent check of what a cluster did with numbered messages: what was acknowledged, and what each
 * reader saw. It knows nothing of the client library but records; the demo, the benchmarks and the fault
 * tests judge by it.
 *
 * Each record carries its number in a header "n" (8 bytes, big-endian); the value of number n is known in
 * advance, so that a changed byte is noticed. One producer sends the numbers in rising order, so within a
 * partition they must be read in rising order. */
#ifndef CLI_WORKLOAD_LEDGER_H
#define CLI_WORKLOAD_LEDGER_H

#include "flotilla.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { LEDGER_PARTITIONS_MAX = 64, LEDGER_HEADER_SIZE = 8 };

struct ledger {
    uint64_t count;
    /* By number; written on the thread that takes deliveries, read after it has stopped. */
    int64_t *offset; /* acknowledged at; -1: not */
    int16_t *partition;
    _Atomic uint64_t acknowledged;
    _Atomic uint64_t failed;
};

void ledger_init(struct ledger *l, uint64_t count);
void ledger_close(struct ledger *l);
void ledger_header(unsigned char bytes[LEDGER_HEADER_SIZE], uint64_t number, struct flotilla_header *header);
void ledger_acknowledge(struct ledger *l, uint64_t number, const struct flotilla_delivery *delivery);

/* What one reader saw. Its own thread writes; the totals may be watched from others. */
struct ledger_reader {
    const char *name;
    uint64_t count;
    uint8_t *seen;   /* times, by number, up to 255 */
    int64_t *offset; /* where last seen, by number */
    int64_t last_number[LEDGER_PARTITIONS_MAX];
    int64_t last_offset[LEDGER_PARTITIONS_MAX];
    _Atomic uint64_t distinct;
    _Atomic uint64_t duplicated;
    _Atomic uint64_t out_of_order;
    _Atomic uint64_t altered; /* wrong value, or a record that was never sent */
};

void ledger_reader_init(struct ledger_reader *r, const char *name, uint64_t count);
void ledger_reader_close(struct ledger_reader *r);
/* `expected(data, number, size)` gives the value that was sent. */
void ledger_read(struct ledger_reader *r, const struct flotilla_record *record,
                 const void *(*expected)(void *data, uint64_t number, size_t *size), void *data);

struct ledger_verdict {
    uint64_t acknowledged;
    uint64_t read; /* distinct */
    uint64_t lost; /* acknowledged and never read, or read at another offset than acknowledged */
    uint64_t duplicated;
    uint64_t out_of_order;
    uint64_t altered;
};
struct ledger_verdict ledger_judge(const struct ledger *l, const struct ledger_reader *r);
bool ledger_clean(const struct ledger_verdict *v);

#endif
