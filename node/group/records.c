#include "node/group/records.h"

#include "node/base/memory.h"
#include <stdlib.h>

void group_records_init(struct group_records *r)
{
    *r = (struct group_records){0};
    bytes_init(&r->bytes);
}

void group_records_close(struct group_records *r)
{
    bytes_close(&r->bytes);
    free(r->items);
}

static void pack(struct bytes *out, const ProtobufCMessage *message, size_t *size)
{
    *size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, bytes_extend(out, *size));
}

void group_records_add(struct group_records *r, const Flotilla__GroupKey *key, const ProtobufCMessage *value)
{
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 8 : r->capacity * 2;
        r->items = memory_realloc(r->items, r->capacity * sizeof(r->items[0]));
    }
    struct group_record *item = &r->items[r->count++];
    *item = (struct group_record){.at = r->bytes.size, .removes = value == NULL};
    pack(&r->bytes, &key->base, &item->key_size);
    if (value != NULL)
        pack(&r->bytes, value, &item->value_size);
}
