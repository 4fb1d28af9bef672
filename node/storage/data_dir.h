/* The node's data directory: bound to one node and cluster identity, and locked for the life of the process.
 *
 *   <data>/identity            node id, cluster id, format version (text, CRC)
 *   <data>/lock
 *   <data>/journal
 *   <data>/groups/<16 hex digits of the group id>/   one partition replica's segments */
#ifndef STORAGE_DATA_DIR_H
#define STORAGE_DATA_DIR_H

#include "node/base/logger.h"
#include "node/env/env.h"

struct data_dir;

/* Blocking. Creates and binds an empty directory; checks and locks an existing one. Errors: ERR_LOCKED,
 * ERR_NODE_MISMATCH, ERR_CLUSTER_MISMATCH, ERR_PERMISSION, ERR_CORRUPT, ... with a message that says what
 * failed, why, and what to do. */
int data_dir_open(struct env *env, const char *path, uint32_t node_id, const char *cluster_id,
                  struct data_dir **dir, char *message, size_t message_size);
void data_dir_close(struct data_dir *dir);
/* "<data>/groups/<hex>" into `out`. */
void data_dir_group_path(const struct data_dir *dir, uint64_t group_id, char *out, size_t out_size);
const char *data_dir_journal_path(const struct data_dir *dir);
/* Makes the directories of new replicas ahead, on a worker: one sync serves all of them. `cb` on the loop;
 * `req` must live until then. What could not be made is left to the replica's first write. */
enum { DATA_DIR_MAKE_MAX = 64 };
struct data_dir_make {
    uint64_t ids[DATA_DIR_MAKE_MAX];
    bool is_blank[DATA_DIR_MAKE_MAX]; /* answer: there was no directory before; now there is, and it is empty
                                       */
    unsigned n;
    struct data_dir *dir; /* private, and what follows */
    struct env_work job;
    void (*cb)(struct data_dir_make *req);
};
void data_dir_make_groups(struct data_dir *dir, struct data_dir_make *req,
                          void (*cb)(struct data_dir_make *req));
/* The directories under groups/, for finding replicas that no longer belong here. */
int data_dir_each_group(struct data_dir *dir, void (*each)(void *data, uint64_t group_id), void *data);

#endif
