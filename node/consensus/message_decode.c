#include "node/consensus/configuration.h"
#include "node/consensus/message.h"
#include "proto/batch.h"
#include "proto/error.h"
#include <string.h>

enum {
    MAX_ENTRIES = 65536,          /* of one message */
    MAX_CORE_BYTES = 8192,        /* of a barrier or a configuration */
    MAX_SNAPSHOT_BYTES = 8 << 20, /* state above the log: small by contract */
    COPY_BELOW_BYTES = 4096, /* a smaller batch is copied, so that it doesn't pin the whole receive buffer */
};

uint64_t message_term(const struct message *message)
{
    switch (message->m.type) {
    case RAFT_IO_APPEND_ENTRIES:
        return message->m.append_entries.term;
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        return message->m.append_entries_result.term;
    case RAFT_IO_REQUEST_VOTE:
        return message->m.request_vote.term;
    case RAFT_IO_REQUEST_VOTE_RESULT:
        return message->m.request_vote_result.term;
    case RAFT_IO_INSTALL_SNAPSHOT:
        return message->m.install_snapshot.term;
    case RAFT_IO_TIMEOUT_NOW:
        return message->m.timeout_now.term;
    default:
        return message->read_term;
    }
}

void message_clear(struct message *message)
{
    if (message->m.type == RAFT_IO_APPEND_ENTRIES && message->m.append_entries.entries) {
        raft_free(message->m.append_entries.entries[0].batch);
        raft_free(message->m.append_entries.entries);
        message->m.append_entries.entries = NULL;
    } else if (message->m.type == RAFT_IO_INSTALL_SNAPSHOT && message->m.install_snapshot.data.base) {
        raft_configuration_close(&message->m.install_snapshot.conf);
        raft_free(message->m.install_snapshot.data.base);
        message->m.install_snapshot.data.base = NULL;
    }
}

/* ---- entries ---- */

struct entries_decoder {
    struct raft_entry *entries;
    struct entry_ref *refs;
    unsigned char *core_bytes; /* behind the references, for entries of the core's own */
    int64_t next_offset;       /* -1: no batch seen yet */
    uint64_t index;            /* of the entry being decoded */
    uint32_t max_batch_bytes;
    const char *reason;
};

/* Sizes and kinds first, so that nothing is allocated for a message that contradicts itself. */
static int check_metas(const Flotilla__RaftMessage *h, size_t payload_size, size_t *core_bytes,
                       const char **reason)
{
    size_t total = 0;
    *core_bytes = 0;
    *reason = "entry sizes contradict the payload";
    if (h->n_entries > MAX_ENTRIES)
        return ERR_PROTOCOL;
    for (size_t i = 0; i < h->n_entries; i++) {
        const Flotilla__RaftEntryMeta *meta = h->entries[i];
        total += meta->size;
        if (meta->kind == RAFT_COMMAND)
            continue;
        if ((meta->kind != RAFT_BARRIER && meta->kind != RAFT_CHANGE) || meta->size > MAX_CORE_BYTES)
            return ERR_PROTOCOL;
        *core_bytes += meta->size;
    }
    return total == payload_size ? 0 : ERR_PROTOCOL;
}

/* Of the control batches only this kind is proposed as a command; the others are made of the core's entries.
 */
static bool moves_start(const struct entries_decoder *d, const Flotilla__RaftEntryMeta *meta,
                        struct slice bytes)
{
    struct batch_control control;
    return batch_control_decode(bytes.data, bytes.size, &control) == 0 &&
           control.type == BATCH_CONTROL_START && control.index == d->index && control.term == meta->term;
}

static int decode_batch(struct entries_decoder *d, const Flotilla__RaftEntryMeta *meta, struct slice bytes,
                        struct entry_ref *ref)
{
    struct batch_header header;
    d->reason = "malformed record batch";
    if (batch_header_decode(bytes.data, bytes.size, d->max_batch_bytes, &header) != 0 ||
        header.size != bytes.size ||
        (batch_is_control(&header) ? !moves_start(d, meta, bytes) : header.last_offset_delta < 0))
        return ERR_CORRUPT;
    d->reason = "record batch fails its checksum";
    if (!batch_crc_ok(bytes.data, &header))
        return ERR_CORRUPT;
    d->reason = "record batch carries another epoch than its entry";
    if ((uint32_t)header.leader_epoch != (uint32_t)meta->term)
        return ERR_CORRUPT;
    d->reason = "record batches do not continue each other";
    if (header.base_offset < 0 || (d->next_offset >= 0 && header.base_offset != d->next_offset))
        return ERR_CORRUPT;
    d->next_offset = batch_next_offset(&header);
    ref->bytes = bytes.size < COPY_BELOW_BYTES ? slice_copy(bytes.data, bytes.size) : slice_ref(bytes);
    return 0;
}

static int decode_core_entry(struct entries_decoder *d, const Flotilla__RaftEntryMeta *meta,
                             struct slice bytes, struct raft_entry *entry)
{
    if (meta->kind == RAFT_CHANGE) {
        struct raft_configuration configuration;
        d->reason = "malformed configuration entry";
        if (configuration_decode(bytes.data, bytes.size, &configuration) != 0)
            return ERR_CORRUPT;
        raft_configuration_close(&configuration);
    }
    memcpy(d->core_bytes, bytes.data, bytes.size);
    entry->buf = (struct raft_buffer){d->core_bytes, bytes.size};
    d->core_bytes += bytes.size;
    return 0;
}

static int decode_entry(struct entries_decoder *d, const Flotilla__RaftEntryMeta *meta, struct slice bytes,
                        size_t i)
{
    struct raft_entry *entry = &d->entries[i];
    entry->term = meta->term;
    entry->type = (unsigned short)meta->kind;
    entry->batch = d->refs;
    d->reason = "entry without a term";
    if (meta->term == 0)
        return ERR_PROTOCOL;
    if (meta->kind != RAFT_COMMAND)
        return decode_core_entry(d, meta, bytes, entry);
    entry->buf = (struct raft_buffer){&d->refs[i], sizeof d->refs[i]};
    return decode_batch(d, meta, bytes, &d->refs[i]);
}

static int decode_entries(const Flotilla__RaftMessage *h, const struct slice *payload,
                          uint32_t max_batch_bytes, struct raft_append_entries *a, const char **reason)
{
    size_t core_bytes;
    int rv = check_metas(h, payload->size, &core_bytes, reason);
    if (rv != 0 || h->n_entries == 0)
        return rv;
    struct entries_decoder d = {
        .next_offset = -1, .index = h->prev_log_index + 1, .max_batch_bytes = max_batch_bytes};
    d.refs = heap_batch_create((unsigned)h->n_entries, core_bytes);
    d.core_bytes = (unsigned char *)(d.refs + h->n_entries);
    d.entries = raft_calloc(h->n_entries, sizeof *d.entries);
    struct slice at = *payload;
    for (size_t i = 0; i < h->n_entries && rv == 0; i++) {
        at.size = h->entries[i]->size;
        rv = decode_entry(&d, h->entries[i], at, i);
        at.data += at.size;
        d.index++;
    }
    if (rv != 0) {
        *reason = d.reason;
        raft_free(d.refs);
        raft_free(d.entries);
        return rv;
    }
    a->entries = d.entries;
    a->n_entries = (unsigned)h->n_entries;
    return 0;
}

static int decode_append(const Flotilla__RaftMessage *h, const struct slice *payload,
                         uint32_t max_batch_bytes, struct raft_append_entries *a, const char **reason)
{
    a->term = h->term;
    a->prev_log_index = h->prev_log_index;
    a->prev_log_term = h->prev_log_term;
    a->leader_commit = h->leader_commit;
    *reason = "previous entry without a term";
    if ((h->prev_log_index == 0) != (h->prev_log_term == 0))
        return ERR_PROTOCOL;
    return decode_entries(h, payload, max_batch_bytes, a, reason);
}

static int decode_install(const Flotilla__RaftMessage *h, struct raft_install_snapshot *s,
                          const char **reason)
{
    *reason = "malformed snapshot";
    if (h->last_log_index == 0 || h->last_log_term == 0 || h->snapshot.len == 0 ||
        h->snapshot.len > MAX_SNAPSHOT_BYTES)
        return ERR_PROTOCOL;
    if (configuration_decode(h->configuration.data, h->configuration.len, &s->conf) != 0)
        return ERR_PROTOCOL;
    s->term = h->term;
    s->last_index = h->last_log_index;
    s->last_term = h->last_log_term;
    s->conf_index = h->configuration_index;
    s->data.len = h->snapshot.len;
    s->data.base = raft_malloc(h->snapshot.len);
    memcpy(s->data.base, h->snapshot.data, h->snapshot.len);
    return 0;
}

static int decode_vote(const Flotilla__RaftMessage *h, struct raft_request_vote *v)
{
    v->term = h->term;
    v->candidate_id = h->candidate_id;
    v->last_log_index = h->last_log_index;
    v->last_log_term = h->last_log_term;
    v->disrupt_leader = h->disrupt_leader;
    v->pre_vote = h->pre_vote;
    return h->candidate_id != 0 ? 0 : ERR_PROTOCOL;
}

static int decode_vote_result(const Flotilla__RaftMessage *h, struct raft_request_vote_result *v)
{
    v->term = h->term;
    v->vote_granted = h->vote_granted;
    v->pre_vote = (raft_tribool)h->pre_vote_result;
    return h->pre_vote_result <= raft_tribool_false ? 0 : ERR_PROTOCOL;
}

static void decode_append_result(const Flotilla__RaftMessage *h, struct raft_append_entries_result *r)
{
    r->term = h->term;
    r->rejected = h->rejected;
    r->last_log_index = h->last_log_index;
}

static void decode_timeout_now(const Flotilla__RaftMessage *h, struct raft_timeout_now *t)
{
    t->term = h->term;
    t->last_log_index = h->last_log_index;
    t->last_log_term = h->last_log_term;
}

int message_decode(const Flotilla__RaftMessage *h, const struct slice *payload, uint32_t from,
                   uint32_t max_batch_bytes, struct message *message, const char **reason)
{
    memset(message, 0, sizeof *message);
    queue_init(&message->node);
    message->group_id = h->group_id;
    message->m.type = (unsigned short)h->type;
    message->m.server_id = from;
    *reason = "malformed message";
    if (h->type > MESSAGE_READ_INDEX_RESULT || h->term == 0)
        return ERR_PROTOCOL;
    switch (h->type) {
    case RAFT_IO_APPEND_ENTRIES:
        message->commit = h->last_log_index;
        message->incarnation = h->incarnation;
        message->founding = h->founding;
        return decode_append(h, payload, max_batch_bytes, &message->m.append_entries, reason);
    case RAFT_IO_APPEND_ENTRIES_RESULT:
        message->incarnation = h->incarnation;
        decode_append_result(h, &message->m.append_entries_result);
        return 0;
    case RAFT_IO_REQUEST_VOTE:
        return decode_vote(h, &message->m.request_vote);
    case RAFT_IO_REQUEST_VOTE_RESULT:
        return decode_vote_result(h, &message->m.request_vote_result);
    case RAFT_IO_INSTALL_SNAPSHOT:
        message->founding = h->founding;
        return decode_install(h, &message->m.install_snapshot, reason);
    case RAFT_IO_TIMEOUT_NOW:
        decode_timeout_now(h, &message->m.timeout_now);
        return 0;
    case MESSAGE_READ_INDEX:
    case MESSAGE_READ_INDEX_RESULT:
        message->read_term = h->term;
        message->read_round = h->last_log_index;
        return 0;
    default:
        return ERR_PROTOCOL;
    }
}
