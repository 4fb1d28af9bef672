#include "node/base/memory.h"
#include "node/consensus/configuration.h"
#include "node/consensus/message.h"
#include <stdlib.h>

size_t entry_size(const struct raft_entry *entry)
{
    return entry->type == RAFT_COMMAND ? entry_bytes(entry).size : entry->buf.len;
}

void message_encoder_init(struct message_encoder *e)
{
    *e = (struct message_encoder){.payload = NULL};
}

static void configuration_drop(struct message_encoder *e)
{
    if (e->configuration.base)
        raft_free(e->configuration.base);
    e->configuration.base = NULL;
}

void message_encoder_close(struct message_encoder *e)
{
    configuration_drop(e);
    free(e->payload);
    free(e->metas);
    free(e->pointers);
}

static void encoder_reserve(struct message_encoder *e, unsigned n)
{
    if (n <= e->capacity)
        return;
    e->capacity = n * 2;
    e->payload = memory_realloc(e->payload, e->capacity * sizeof *e->payload);
    e->metas = memory_realloc(e->metas, e->capacity * sizeof *e->metas);
    e->pointers = memory_realloc(e->pointers, e->capacity * sizeof *e->pointers);
}

static void encode_append(struct message_encoder *e, const struct message *message)
{
    const struct raft_append_entries *a = &message->m.append_entries;
    Flotilla__RaftMessage *h = &e->header;
    h->term = a->term;
    h->prev_log_index = a->prev_log_index;
    h->prev_log_term = a->prev_log_term;
    h->leader_commit = a->leader_commit;
    h->last_log_index = message->commit;
    h->founding = message->founding;
    h->incarnation = message->incarnation;
    encoder_reserve(e, a->n_entries);
    for (unsigned i = 0; i < a->n_entries; i++) {
        const struct raft_entry *entry = &a->entries[i];
        flotilla__raft_entry_meta__init(&e->metas[i]);
        e->metas[i].term = entry->term;
        e->metas[i].kind = entry->type;
        e->metas[i].size = (uint32_t)entry_size(entry);
        e->pointers[i] = &e->metas[i];
        e->payload[i] = entry->type == RAFT_COMMAND ? slice_ref(entry_bytes(entry))
                                                    : slice_copy(entry->buf.base, entry->buf.len);
    }
    h->n_entries = a->n_entries;
    h->entries = e->pointers;
    e->n_payload = a->n_entries;
}

static void encode_install(struct message_encoder *e, const struct message *message)
{
    const struct raft_install_snapshot *s = &message->m.install_snapshot;
    Flotilla__RaftMessage *h = &e->header;
    e->configuration = configuration_encode(&s->conf);
    h->term = s->term;
    h->last_log_index = s->last_index;
    h->last_log_term = s->last_term;
    h->configuration = (ProtobufCBinaryData){e->configuration.len, e->configuration.base};
    h->configuration_index = s->conf_index;
    h->snapshot = (ProtobufCBinaryData){s->data.len, s->data.base};
    h->founding = message->founding;
}

static void encode_vote(Flotilla__RaftMessage *h, const struct raft_request_vote *v)
{
    h->term = v->term;
    h->candidate_id = (uint32_t)v->candidate_id;
    h->last_log_index = v->last_log_index;
    h->last_log_term = v->last_log_term;
    h->disrupt_leader = v->disrupt_leader;
    h->pre_vote = v->pre_vote;
}

static void encode_vote_result(Flotilla__RaftMessage *h, const struct raft_request_vote_result *v)
{
    h->term = v->term;
    h->vote_granted = v->vote_granted;
    h->pre_vote_result = (uint32_t)v->pre_vote;
}

static void encode_append_result(Flotilla__RaftMessage *h, const struct raft_append_entries_result *r)
{
    h->term = r->term;
    h->rejected = r->rejected;
    h->last_log_index = r->last_log_index;
}

static void encode_timeout_now(Flotilla__RaftMessage *h, const struct raft_timeout_now *t)
{
    h->term = t->term;
    h->last_log_index = t->last_log_index;
    h->last_log_term = t->last_log_term;
}

static void encode_read_index(Flotilla__RaftMessage *h, const struct message *message)
{
    h->term = message->read_term;
    h->last_log_index = message->read_round;
}

void message_encode(struct message_encoder *e, const struct message *message)
{
    configuration_drop(e);
    flotilla__raft_message__init(&e->header);
    e->header.group_id = message->group_id;
    e->header.type = message->m.type;
    e->n_payload = 0;
    switch (message->m.type) {
    case RAFT_IO_APPEND_ENTRIES:
        encode_append(e, message);
        break;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        encode_append_result(&e->header, &message->m.append_entries_result);
        e->header.incarnation = message->incarnation;
        break;
    case RAFT_IO_REQUEST_VOTE:
        encode_vote(&e->header, &message->m.request_vote);
        break;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        encode_vote_result(&e->header, &message->m.request_vote_result);
        break;
    case RAFT_IO_INSTALL_SNAPSHOT:
        encode_install(e, message);
        break;
    case RAFT_IO_TIMEOUT_NOW:
        encode_timeout_now(&e->header, &message->m.timeout_now);
        break;
    default:
        encode_read_index(&e->header, message);
    }
}
