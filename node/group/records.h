/* Records on their way into __consumer_offsets, encoded one after the other. */
#ifndef GROUP_RECORDS_H
#define GROUP_RECORDS_H

#include "node/group/group_table.h"

struct group_record {
    size_t at; /* in `bytes`: the key, then the value */
    size_t key_size;
    size_t value_size;
    bool removes; /* the value is null */
};
struct group_records {
    struct bytes bytes;
    struct group_record *items;
    size_t count, capacity;
};

void group_records_init(struct group_records *r);
void group_records_close(struct group_records *r);
/* `value` NULL: removes the key. */
void group_records_add(struct group_records *r, const Flotilla__GroupKey *key, const ProtobufCMessage *value);

#endif
