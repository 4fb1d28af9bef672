/* The consensus core's memory. libraft asks for all of its memory through hooks, which are process-wide; ours
 * put a small prefix before each block that says what the block holds, so that freeing an entry's payload
 * drops a reference on the slice it stands for. That is what makes replication copy-free. Out of memory
 * aborts: several of the core's own out-of-memory paths are wrong. */
#ifndef CONSENSUS_HEAP_H
#define CONSENSUS_HEAP_H

#include "node/base/buf.h"
#include <stdbool.h>
#include <stddef.h>

/* What the core holds as the payload of a RAFT_COMMAND entry. */
struct entry_ref {
    struct slice bytes;
};

/* Installs the hooks; idempotent. Must happen before the first raft_* call of the process. */
void heap_install(void);

/* A block that the core frees with raft_free, which drops the slice. Takes the reference of `bytes` over. */
struct entry_ref *heap_entry_create(struct slice bytes);
/* One block of `n` entry references, followed by `extra` plain bytes. The references start empty; freeing the
 * block drops all of them. */
struct entry_ref *heap_batch_create(unsigned n, size_t extra);
/* The core copies the payload of received entries bytewise; this makes such a copy own a reference of its
 * own. The slice that it was copied from must still be alive. Harmless on a block that already owns one. */
void heap_entry_adopt(struct entry_ref *copy);
/* Live blocks of the process, for leak checks in tests. */
size_t heap_live_blocks(void);

#endif
