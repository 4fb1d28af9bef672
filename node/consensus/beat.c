#include "node/consensus/beat.h"
#include "proto/error.h"

enum { BEAT_APPEND = 0, BEAT_RESULT = 1 };

bool beat_is(const struct message *message)
{
    return message->incarnation == 0 &&
           ((message->m.type == RAFT_IO_APPEND_ENTRIES && message->m.append_entries.n_entries == 0) ||
            message->m.type == RAFT_IO_APPEND_ENTRIES_RESULT);
}

static unsigned char *put(unsigned char *at, uint64_t value)
{
    return varint_store(at, (int64_t)value);
}

size_t beat_encode(const struct message *message, unsigned char *out)
{
    const struct raft_append_entries *a = &message->m.append_entries;
    const struct raft_append_entries_result *r = &message->m.append_entries_result;
    bool is_append = message->m.type == RAFT_IO_APPEND_ENTRIES;
    unsigned char *at = out;
    *at++ = is_append ? BEAT_APPEND : BEAT_RESULT;
    at = put(at, message->group_id);
    at = put(at, message_term(message));
    if (is_append) {
        at = put(at, a->prev_log_index);
        at = put(at, a->prev_log_term);
        at = put(at, a->leader_commit);
        at = put(at, message->commit);
    } else {
        at = put(at, r->rejected);
        at = put(at, r->last_log_index);
    }
    return (size_t)(at - out);
}

static uint64_t get(struct reader *r)
{
    return (uint64_t)reader_varint(r);
}

int beat_decode(struct reader *r, uint32_t from, struct message *message)
{
    struct raft_append_entries *a = &message->m.append_entries;
    unsigned kind = reader_u8(r);
    *message = (struct message){.group_id = get(r), .m = {.server_id = from}};
    queue_init(&message->node);
    uint64_t term = get(r);
    if (kind == BEAT_APPEND) {
        message->m.type = RAFT_IO_APPEND_ENTRIES;
        a->term = term;
        a->prev_log_index = get(r);
        a->prev_log_term = get(r);
        a->leader_commit = get(r);
        message->commit = get(r);
        if ((a->prev_log_index == 0) != (a->prev_log_term == 0))
            return ERR_PROTOCOL;
    } else {
        message->m.type = RAFT_IO_APPEND_ENTRIES_RESULT;
        message->m.append_entries_result.term = term;
        message->m.append_entries_result.rejected = get(r);
        message->m.append_entries_result.last_log_index = get(r);
    }
    return r->failed || term == 0 || kind > BEAT_RESULT ? ERR_PROTOCOL : 0;
}
