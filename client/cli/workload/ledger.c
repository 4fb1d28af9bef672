#include "client/cli/workload/ledger.h"

#include <stdlib.h>
#include <string.h>

static void *zeroed(uint64_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);
    if (p == NULL) {
        abort();
    }
    return p;
}

void ledger_init(struct ledger *l, uint64_t count)
{
    memset(l, 0, sizeof(*l));
    l->count = count;
    l->offset = zeroed(count, sizeof(*l->offset));
    l->partition = zeroed(count, sizeof(*l->partition));
    for (uint64_t i = 0; i < count; i++) {
        l->offset[i] = -1;
    }
}

void ledger_close(struct ledger *l)
{
    free(l->offset);
    free(l->partition);
}

void ledger_header(unsigned char bytes[LEDGER_HEADER_SIZE], uint64_t number, struct flotilla_header *header)
{
    for (int i = 0; i < LEDGER_HEADER_SIZE; i++) {
        bytes[i] = (unsigned char)(number >> (56 - 8 * i));
    }
    *header = (struct flotilla_header){"n", 1, bytes, LEDGER_HEADER_SIZE};
}

static bool record_number(const struct flotilla_record *r, uint64_t *number)
{
    for (size_t i = 0; i < r->header_count; i++) {
        const struct flotilla_header *h = &r->headers[i];
        if (h->key_size == 1 && h->key[0] == 'n' && h->value_size == LEDGER_HEADER_SIZE) {
            const unsigned char *bytes = h->value;
            *number = 0;
            for (int k = 0; k < LEDGER_HEADER_SIZE; k++) {
                *number = *number << 8 | bytes[k];
            }
            return true;
        }
    }
    return false;
}

void ledger_acknowledge(struct ledger *l, uint64_t number, const struct flotilla_delivery *delivery)
{
    if (delivery->status != 0) {
        atomic_fetch_add(&l->failed, 1);
        return;
    }
    l->offset[number] = delivery->offset;
    l->partition[number] = (int16_t)delivery->partition;
    atomic_fetch_add(&l->acknowledged, 1);
}

void ledger_reader_init(struct ledger_reader *r, const char *name, uint64_t count)
{
    memset(r, 0, sizeof(*r));
    r->name = name;
    r->count = count;
    r->seen = zeroed(count, sizeof(*r->seen));
    r->offset = zeroed(count, sizeof(*r->offset));
    for (int i = 0; i < LEDGER_PARTITIONS_MAX; i++) {
        r->last_number[i] = -1;
        r->last_offset[i] = -1;
    }
}

void ledger_reader_close(struct ledger_reader *r)
{
    free(r->seen);
    free(r->offset);
}

void ledger_read(struct ledger_reader *r, const struct flotilla_record *record,
                 const void *(*expected)(void *data, uint64_t number, size_t *size), void *data)
{
    uint64_t number;
    size_t size = 0;
    int32_t p = record->partition;
    if (!record_number(record, &number) || number >= r->count || p < 0 || p >= LEDGER_PARTITIONS_MAX) {
        atomic_fetch_add(&r->altered, 1);
        return;
    }
    const void *value = expected(data, number, &size);
    if (record->value_size != size || (size > 0 && memcmp(record->value, value, size) != 0)) {
        atomic_fetch_add(&r->altered, 1);
    }
    if ((int64_t)number < r->last_number[p] || record->offset <= r->last_offset[p]) {
        atomic_fetch_add(&r->out_of_order, 1);
    }
    r->last_number[p] = (int64_t)number;
    r->last_offset[p] = record->offset;
    r->offset[number] = record->offset;
    if (r->seen[number]++ > 0) {
        atomic_fetch_add(&r->duplicated, 1);
        r->seen[number] = 2;
    } else {
        atomic_fetch_add(&r->distinct, 1);
    }
}

struct ledger_verdict ledger_judge(const struct ledger *l, const struct ledger_reader *r)
{
    struct ledger_verdict v = {
        .acknowledged = l->acknowledged,
        .read = r->distinct,
        .duplicated = r->duplicated,
        .out_of_order = r->out_of_order,
        .altered = r->altered,
    };
    for (uint64_t i = 0; i < l->count; i++) {
        if (l->offset[i] >= 0 && (r->seen[i] == 0 || r->offset[i] != l->offset[i])) {
            v.lost++;
        }
    }
    return v;
}

bool ledger_clean(const struct ledger_verdict *v)
{
    return v->lost == 0 && v->duplicated == 0 && v->out_of_order == 0 && v->altered == 0;
}
