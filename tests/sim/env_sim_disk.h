/* The simulated file system: a tree of inodes, each in two states, what processes see and what a power loss
 * would leave.
 *
 *   write, truncate, allocate --> live           sync: the dirty list is applied to durable
 *                             \-> dirty list     power loss: parts of the dirty list are, and live = durable
 *
 * and likewise for the entries of directories, where the list of changes is one per disk. */
#ifndef SIM_ENV_SIM_DISK_H
#define SIM_ENV_SIM_DISK_H

#include "node/base/queue.h"
#include "tests/sim/env_sim_content.h"
#include "tests/sim/env_sim_internal.h"

struct sim_inode;

struct sim_entry {
    char *name;
    struct sim_inode *inode; /* one reference */
};

struct sim_entries {
    struct sim_entry *items; /* by name */
    size_t count;
};

struct sim_inode {
    struct sim_disk *disk;
    unsigned references; /* by entries, open files and changes not yet durable */
    bool directory;
    bool locked;
    bool diverged; /* a sync has failed or lied: without anything dirty, durable differs from live */

    struct content live; /* of a file */
    struct content durable;
    struct queue dirty; /* struct dirty, oldest first */
    uint64_t dirty_end; /* none of them has written further */

    struct sim_entries live_entries; /* of a directory */
    struct sim_entries durable_entries;
};

struct sim_disk {
    struct sim *sim;
    struct sim_inode *root;
    struct queue changes; /* struct change: of entries, oldest first */
    uint64_t last_change; /* of content or entries, counted */
    struct sim_range {
        uint64_t from, to;
    } * undone;
    unsigned undone_count;
    uint64_t capacity;
    uint64_t used; /* the live sizes of all files */
    uint64_t sync_min_ns;
    uint64_t sync_max_ns;
    uint64_t read_ns;
    unsigned failing_syncs; /* per million */
    unsigned failing_writes;
    unsigned failing_reads;
    unsigned rotting_reads;
    uint64_t rotten_reads; /* so far */
};

struct sim_inode *sim_inode_create(struct sim_disk *disk, bool directory);
struct sim_inode *sim_inode_ref(struct sim_inode *inode);
void sim_inode_unref(struct sim_inode *inode);
struct sim_inode *sim_entries_find(const struct sim_entries *entries, const char *name);

/* Content. The first three give ERR_NO_SPACE when the disk is full. */
int sim_inode_write(struct sim_inode *inode, const void *data, size_t size, uint64_t position);
int sim_inode_allocate(struct sim_inode *inode, uint64_t end);
int sim_inode_truncate(struct sim_inode *inode, uint64_t size);
/* The changes up to this one. */
void sim_inode_sync(struct sim_inode *inode, uint64_t change);
/* The dirty list is applied in parts and forgotten: power loss, or a sync that failed. */
void sim_inode_sync_torn(struct sim_inode *inode);
/* Other bytes stand there from now on, after a power loss too, though nobody has written them. */
void sim_inode_damage(struct sim_inode *inode, const void *data, size_t size, uint64_t position);

/* Entries. `inode` NULL: none any more. */
void sim_dir_set(struct sim_inode *directory, const char *name, struct sim_inode *inode);
void sim_dir_move(struct sim_inode *from, const char *from_name, struct sim_inode *to, const char *to_name);
void sim_dir_make_durable(struct sim_inode *directory, uint64_t change);

/* Changes after `from` up to `to` are dropped at the power loss that is about to come. */
void sim_disk_undo(struct sim_disk *disk, uint64_t from, uint64_t to);

bool sim_disk_fails(struct sim_disk *disk, unsigned per_million);

#endif
