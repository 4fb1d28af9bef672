/* The messages of a group between the core's form and the frame's (proto/peer.proto). Entries are not copied:
 * the payload of a frame is made of the entries' own slices, and received entries are slices of what was
 * read.
 *
 * Everything that a peer controls is checked here, before the core sees it. */
#ifndef CONSENSUS_MESSAGE_H
#define CONSENSUS_MESSAGE_H

#include "node/base/queue.h"
#include "node/consensus/heap.h"
#include "proto/peer.pb-c.h"
#include <raft.h>

/* Beside the core's own types (RAFT_IO_*): the ReadIndex round (thesis 6.4). */
enum { MESSAGE_READ_INDEX = 7, MESSAGE_READ_INDEX_RESULT = 8 };

struct message {
    struct queue node; /* of the queue that holds it */
    uint64_t group_id;
    uint64_t read_term; /* of the two types above */
    uint64_t read_round;
    uint64_t commit; /* AppendEntries: the sender's commit index; the core's own field is capped by what it
                        proves */
    bool founding;   /* AppendEntries, InstallSnapshot: newcomer.c */
    uint64_t incarnation;  /* AppendEntries, and its result: likewise */
    struct raft_message m; /* m.server_id is the sender or destination; m.server_address is unset */
};

uint64_t message_term(const struct message *message);
/* Drops what the message owns (entries, configuration, snapshot). */
void message_clear(struct message *message);

/* ---- encoding ---- */

struct message_encoder {
    Flotilla__RaftMessage header; /* ready to be packed; points into what is below */
    struct slice *payload;        /* the caller takes the references of these over */
    unsigned n_payload;
    Flotilla__RaftEntryMeta *metas; /* private from here */
    Flotilla__RaftEntryMeta **pointers;
    unsigned capacity;
    struct raft_buffer configuration;
};

void message_encoder_init(struct message_encoder *e);
void message_encoder_close(struct message_encoder *e);
/* Any message of the core. For AppendEntries `message->m.append_entries` may be a piece of a longer one.
 * Valid until the next encode or close. */
void message_encode(struct message_encoder *e, const struct message *message);

/* ---- decoding ---- */

/* Fills `message` from a received header and payload, with `from` as its sender. Received data batches have
 * been checked: structure, CRC, epoch, and that base offsets continue within the message. Returns 0, or
 * ERR_CORRUPT / ERR_PROTOCOL with a static reason, and then nothing is owned. */
int message_decode(const Flotilla__RaftMessage *header, const struct slice *payload, uint32_t from,
                   uint32_t max_batch_bytes, struct message *message, const char **reason);

/* ---- entries ---- */

/* The record batch of a RAFT_COMMAND entry. */
static inline struct slice entry_bytes(const struct raft_entry *entry)
{
    return ((const struct entry_ref *)entry->buf.base)->bytes;
}
/* Bytes on the wire and on disk. */
size_t entry_size(const struct raft_entry *entry);

#endif
