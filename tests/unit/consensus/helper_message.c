#include "helper_message.h"
#include "helper_cluster.h"

struct slice helper_batch(int64_t base_offset, uint32_t epoch, size_t payload)
{
    struct slice batch = cluster_batch("key", 3, payload);
    batch_stamp(batch.data, base_offset, (int32_t)epoch);
    return batch;
}

struct raft_entry *helper_entries(unsigned n, uint64_t term, int64_t first_offset, size_t payload)
{
    struct raft_entry *entries = raft_calloc(n, sizeof *entries);
    for (unsigned i = 0; i < n; i++) {
        entries[i].term = term;
        entries[i].type = RAFT_COMMAND;
        entries[i].buf.base = heap_entry_create(helper_batch(first_offset + i, (uint32_t)term, payload));
        entries[i].buf.len = sizeof(struct entry_ref);
    }
    return entries;
}

void helper_entries_free(struct raft_entry *entries, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        raft_free(entries[i].buf.base);
    raft_free(entries);
}

void helper_pack(const struct message *message, struct bytes *header, struct slice *payload)
{
    struct message_encoder e;
    struct bytes joined;
    message_encoder_init(&e);
    bytes_init(&joined);
    message_encode(&e, message);
    bytes_clear(header);
    flotilla__raft_message__pack(&e.header,
                                 bytes_extend(header, flotilla__raft_message__get_packed_size(&e.header)));
    for (unsigned i = 0; i < e.n_payload; i++) {
        bytes_append(&joined, e.payload[i].data, e.payload[i].size);
        slice_unref(&e.payload[i]);
    }
    *payload = slice_copy(joined.data, joined.size);
    bytes_close(&joined);
    message_encoder_close(&e);
}

int helper_unpack(const struct bytes *header, const struct slice *payload, struct message *message)
{
    const char *reason;
    Flotilla__RaftMessage *h = flotilla__raft_message__unpack(NULL, header->size, header->data);
    if (!h)
        return ERR_PROTOCOL;
    int rv = message_decode(h, payload, 2, 8 << 20, message, &reason);
    flotilla__raft_message__free_unpacked(h, NULL);
    return rv;
}
