/* Builds messages and batches for the unit tests of this room. */
#ifndef HELPER_MESSAGE_H
#define HELPER_MESSAGE_H

#include "node/consensus/message.h"
#include "proto/batch.h"
#include "proto/error.h"

/* A stamped batch of one record. */
struct slice helper_batch(int64_t base_offset, uint32_t epoch, size_t payload);
/* `n` command entries of one term, with consecutive offsets, each with an allocation of its own as the core
 * has them. */
struct raft_entry *helper_entries(unsigned n, uint64_t term, int64_t first_offset, size_t payload);
void helper_entries_free(struct raft_entry *entries, unsigned n);
/* Encodes and packs the message; `payload` becomes one contiguous slice. */
void helper_pack(const struct message *message, struct bytes *header, struct slice *payload);
/* Unpacks and decodes. */
int helper_unpack(const struct bytes *header, const struct slice *payload, struct message *message);

#endif
