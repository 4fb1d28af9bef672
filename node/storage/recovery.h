/* What is in a replica's directory, and what has to be done about it (docs/disk-format.md, "Recovery"). In
 * two steps, so that damage is in the journal before anything is changed: inspect only reads, repair cuts,
 * renames and rebuilds. */
#ifndef STORAGE_RECOVERY_H
#define STORAGE_RECOVERY_H

#include "node/storage/log.h"
#include "node/storage/segment.h"

struct recovery {
    /* Inputs. */
    struct env *env;
    const char *directory;
    uint64_t group_id;
    size_t max_batch_bytes;
    uint64_t floor_index;
    /* Known to be damaged somewhere: no finished index and no marker is believed, every batch is checked. */
    bool distrust;

    /* Results of inspect. */
    struct log_recovery report;
    int status;            /* with report.message */
    struct queue segments; /* struct segment: what stays, each up to its `end` */
    bool marker_valid;
    struct place end; /* of the log */
    bool directory_missing;

    /* What repair has to do; private. */
    struct recovery_file *files; /* the .log files, ascending */
    unsigned file_count;
    unsigned kept_count; /* the first of them stay, the rest is set aside */
    uint64_t *orphans;   /* .idx files without a .log */
    unsigned orphan_count;
    bool cut; /* the last kept file has bytes behind the log's end that must go */
    bool marker_found;
};

struct recovery_file {
    uint64_t base_index;
    bool nameless;      /* its index file does not tell where it begins */
    bool rewrite_index; /* its index file is missing, stale or broken */
};

void recovery_init(struct recovery *r, struct env *env, const char *directory, size_t max_batch_bytes,
                   uint64_t floor_index);
void recovery_close(struct recovery *r); /* drops the segments that are still in the list */
/* [worker] */
void recovery_inspect(struct recovery *r);
/* Carries out what inspect found, and makes what is kept durable: after a crash of the process alone, the
 * newest entries may be in the page cache only. [worker] */
void recovery_repair(struct recovery *r);

/* recovery_witness.c: whether the file is the one that a finished index was made for. Foreign: an intact
 * batch stands where the witness has another one. [worker] */
enum recovery_fit { RECOVERY_FITS, RECOVERY_DAMAGED, RECOVERY_FOREIGN };
enum recovery_fit recovery_judge_file(const struct recovery *r, struct env_file *file,
                                      const struct segment_witness *witness);
/* False: none that could be one. [worker] */
bool recovery_read_header(const struct recovery *r, struct env_file *file, uint64_t position,
                          struct batch_header *header);

/* recovery_end.c: fills in report.known_end_* when the end of a damaged log is certain. [worker] */
void recovery_find_end(struct recovery *r);

/* recovery_tail.c: what stands behind the last valid batch of the last segment. */
struct recovery_tail {
    uint64_t garbage;      /* bytes up to the last one that is not zero; 0: nothing there */
    bool valid_far_behind; /* a whole valid batch stands further behind than one round can reach */
    uint64_t valid_position;
};
/* [worker] */
int recovery_tail_inspect(struct env_file *file, const struct place *at, size_t max_batch_bytes,
                          struct recovery_tail *tail);
/* The first whole valid batch in [from, end) that could follow `at`. [worker] */
bool recovery_tail_search(struct env_file *file, const struct place *at, uint64_t from, uint64_t end,
                          size_t max_batch_bytes, uint64_t *position);

#endif
