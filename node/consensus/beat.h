/* Most messages between nodes are the heartbeats of idle groups and their answers: nothing but a few small
 * numbers. What goes to one peer in one turn shares a frame of this form, instead of one protobuf message and
 * one frame each.
 *
 *   u8 kind, then varints: group, term, and
 *   append without entries (0)   previous index, previous term, leader_commit, the sender's commit index
 *   append result (1)            rejected, last index */
#ifndef CONSENSUS_BEAT_H
#define CONSENSUS_BEAT_H

#include "node/consensus/message.h"
#include "proto/bytes.h"

enum { BEAT_MAX_SIZE = 1 + 6 * VARINT_MAX_SIZE };

/* Whether the message can be sent in this form. */
bool beat_is(const struct message *message);
/* Returns the size, at most BEAT_MAX_SIZE. */
size_t beat_encode(const struct message *message, unsigned char *out);
/* Reads the next one; `from` is its sender. Returns 0, or ERR_PROTOCOL. The message owns nothing. */
int beat_decode(struct reader *r, uint32_t from, struct message *message);

#endif
