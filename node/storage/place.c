#include "node/storage/place.h"
#include "proto/error.h"

static void place_move(struct place *at, const struct batch_header *header)
{
    at->position += header->size;
    at->index++;
}

static int place_control(struct place *at, const unsigned char *data, const struct batch_header *header)
{
    struct batch_control control;

    if (batch_control_decode(data, header->size, &control) != 0 || control.index != at->index ||
        control.term < at->term || control.next_offset != at->offset)
        return ERR_CORRUPT;
    at->term = control.term;
    place_move(at, header);
    return PLACE_BATCH;
}

static int place_data(struct place *at, const struct batch_header *header)
{
    if (header->base_offset != at->offset || header->last_offset_delta < 0 || header->leader_epoch < 0)
        return ERR_CORRUPT;
    if (at->term == 0)
        at->term = (uint64_t)header->leader_epoch;
    if (header->leader_epoch != (int32_t)at->term)
        return ERR_CORRUPT;
    at->offset = batch_next_offset(header);
    if (header->max_timestamp_ms > at->max_timestamp_ms)
        at->max_timestamp_ms = header->max_timestamp_ms;
    place_move(at, header);
    return PLACE_BATCH;
}

int place_step(struct place *at, const unsigned char *data, size_t available, size_t max_batch_bytes,
               bool check_crc, struct batch_header *header)
{
    if (available < BATCH_HEADER_SIZE) {
        header->size = BATCH_HEADER_SIZE;
        return PLACE_MORE;
    }
    if (batch_header_decode(data, available, max_batch_bytes, header) != 0)
        return ERR_CORRUPT;
    bool is_control = batch_is_control(header);
    if ((check_crc || is_control) && available < header->size)
        return PLACE_MORE;
    if (check_crc && !batch_crc_ok(data, header))
        return ERR_CORRUPT;
    return is_control ? place_control(at, data, header) : place_data(at, header);
}
