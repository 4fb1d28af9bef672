/* Private to journal*.c. */
#ifndef STORAGE_JOURNAL_INTERNAL_H
#define STORAGE_JOURNAL_INTERNAL_H

#include "node/storage/journal.h"
#include "node/storage/journal_format.h"
#include <uthash.h>

struct journal_entry {
    uint64_t group_id;
    struct journal_group state; /* owns a reference of its snapshot */
    UT_hash_handle hh;
};

/* What a worker does for one sync. */
struct journal_round {
    bool compacts;      /* writes the whole state to a new file instead of appending */
    struct bytes image; /* what to write */
    uint64_t position;
    uint64_t sequence; /* durable when it is done */
    int status;
};

struct journal {
    struct journal_options options;
    char *path;
    char *new_path;
    char *directory;
    struct env_file *file; /* the worker's while a round runs */
    uint64_t allocated;    /* likewise */
    uint64_t position;     /* end of the valid frames */
    uint64_t next_round;
    struct journal_entry *groups;
    uint64_t live_bytes; /* what a rewritten file would need */
    uint64_t compact_at; /* file size */
    bool outdated;       /* its file is of an older version: the next round writes a new one */

    uint64_t sequence;
    uint64_t durable;
    struct bytes pending; /* records that no round has taken yet */
    struct bytes taken;   /* records of the running round */
    struct journal_round round;
    bool urgent; /* somebody waits for what is pending */
    bool round_runs;
    bool retry_waits;
    int status;           /* 0, or why it failed */
    struct queue waiting; /* struct journal_wait, by sequence */
    struct env_work job;
    struct env_task task;
    struct env_timer timer; /* lazy records, or a retry */

    bool closing;
    void (*closed)(void *data);
    void *closed_data;
};

/* journal_state.c: the table of groups. */
void journal_apply(struct journal *j, const struct journal_record *record);
void journal_encode_state(const struct journal *j, struct bytes *out);
void journal_free_state(struct journal *j);

/* journal_open.c */
int journal_recover(struct journal *j, char *message, size_t message_size);
int journal_write_new(struct journal *j, const struct bytes *image, struct env_file **file); /* [worker] */

#endif
