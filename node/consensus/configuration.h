/* The core's encoding of a configuration: it offers a public encoder only, so that the decoder stands here,
 * and is strict because the bytes come from the network and the disk.
 *
 *   u8 format (1), u64 count, then per server: u64 id, address with a terminating zero, u8 role; padded to 8;
 * little-endian */
#ifndef CONSENSUS_CONFIGURATION_H
#define CONSENSUS_CONFIGURATION_H

#include <raft.h>
#include <stdint.h>

enum { CONFIGURATION_MAX_SERVERS = 64, CONFIGURATION_MAX_BYTES = 8192 };

/* Initialises `configuration`. Returns 0, or ERR_CORRUPT, after which there is nothing to close. */
int configuration_decode(const void *data, size_t size, struct raft_configuration *configuration);
/* The core's encoder leaves its padding uninitialised; here it is zero, so that the same configuration gives the same bytes on
 * every node. The caller frees with raft_free. */
struct raft_buffer configuration_encode(const struct raft_configuration *configuration);
/* All given nodes as voters, in this order. */
void configuration_of_voters(struct raft_configuration *configuration, const uint32_t *node_ids, unsigned n);

#endif
