#include "node/consensus/catchup.h"
#include <stdlib.h>

struct parser {
    uint64_t index;
    int64_t next_offset;
    uint32_t max_batch_bytes;
};

static int parse_control(struct parser *p, const struct slice *whole, size_t at, size_t size,
                         struct log_entry *entry)
{
    struct batch_control control;
    if (batch_control_decode(whole->data + at, size, &control) != 0 || control.index != p->index)
        return ERR_CORRUPT;
    if (p->next_offset >= 0 && control.next_offset != p->next_offset)
        return ERR_CORRUPT;
    entry->term = control.term;
    if (control.type == BATCH_CONTROL_START) {
        entry->kind = LOG_DATA;
        entry->bytes = slice_sub(*whole, at, size);
        return 0;
    }
    entry->kind = control.type == BATCH_CONTROL_BARRIER ? LOG_BARRIER : LOG_CHANGE;
    entry->bytes = slice_copy(control.payload, control.payload_size);
    return 0;
}

static int parse_data(struct parser *p, const struct batch_header *header, const struct slice *whole,
                      size_t at, struct log_entry *entry)
{
    if (header->base_offset < 0 || header->last_offset_delta < 0 ||
        (p->next_offset >= 0 && header->base_offset != p->next_offset))
        return ERR_CORRUPT;
    p->next_offset = batch_next_offset(header);
    entry->kind = LOG_DATA;
    entry->term = (uint32_t)header->leader_epoch;
    entry->bytes = slice_sub(*whole, at, header->size);
    return 0;
}

static int parse_batch(struct parser *p, const struct slice *bytes, size_t at, struct log_entry *entry,
                       size_t *size)
{
    struct batch_header header;
    const unsigned char *data = bytes->data + at;
    size_t left = bytes->size - at;
    if (left < BATCH_HEADER_SIZE || batch_header_decode(data, left, p->max_batch_bytes, &header) != 0 ||
        header.size > left || !batch_crc_ok(data, &header))
        return ERR_CORRUPT;
    *size = header.size;
    entry->index = p->index;
    return batch_is_control(&header) ? parse_control(p, bytes, at, header.size, entry)
                                     : parse_data(p, &header, bytes, at, entry);
}

int catchup_parse(const struct slice *bytes, uint64_t first_index, int64_t next_offset,
                  uint32_t max_batch_bytes, struct log_entry **entries)
{
    struct parser p = {first_index, next_offset, max_batch_bytes};
    int n = 0;
    int capacity = 0;
    size_t size;
    *entries = NULL;
    for (size_t at = 0; at < bytes->size; at += size) {
        if (n == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            *entries = memory_realloc(*entries, (size_t)capacity * sizeof **entries);
        }
        if (parse_batch(&p, bytes, at, &(*entries)[n], &size) != 0) {
            for (int i = 0; i < n; i++)
                slice_unref(&(*entries)[i].bytes);
            free(*entries);
            *entries = NULL;
            return ERR_CORRUPT;
        }
        n++;
        p.index++;
    }
    return n;
}
