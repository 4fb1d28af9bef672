/* What the tests of the storage room share: a log in a fresh directory, batches to put into it, and a model
 * of what must be in it. */
#ifndef UNIT_STORAGE_HELPER_LOG_H
#define UNIT_STORAGE_HELPER_LOG_H

#include "node/base/prng.h"
#include "node/storage/log.h"
#include "proto/batch.h"
#include "tests/unit/storage/helper_faults.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

/* Runs the loop until `condition` holds; fails the test when that takes too long. */
#define RUN_UNTIL(env, condition)                                                                            \
    do {                                                                                                     \
        uint64_t run_until_end_ = env_clock_ns(env) + 60000 * MS;                                            \
        while (!(condition)) {                                                                               \
            assert_true(env_clock_ns(env) < run_until_end_);                                                 \
            helper_turn(env);                                                                                \
        }                                                                                                    \
    } while (0)

void helper_turn(struct env *env);

/* ---- the model ---- */

struct model_entry {
    struct log_entry entry; /* owns a reference */
    int64_t base_offset;
    int64_t next_offset;
    int64_t timestamp_ms; /* of all its records */
};

struct model {
    struct model_entry *entries;
    size_t n;
    uint64_t first_index;
    int64_t first_offset;
    uint64_t term;
};

/* ---- the fixture ---- */

enum { HELPER_PATH_MAX = 512 };

struct fixture {
    struct env *env;
    struct faults faults;
    char directory[HELPER_PATH_MAX]; /* a fresh one, removed at the end */
    char log_directory[HELPER_PATH_MAX];
    char journal_path[HELPER_PATH_MAX];
    struct journal *journal;
    struct flusher *flusher;
    struct log *log;
    struct log_options options;   /* of the next open */
    struct log_recovery recovery; /* of the last open */
    int open_status;
    int failures;          /* calls of options.failed */
    int failure;           /* its status */
    unsigned appended;     /* append callbacks so far */
    int append_status;     /* of the last one */
    uint64_t append_index; /* last_index of the last one; they must ascend */
    struct model model;
    struct prng prng;
    uint64_t seed;
};

int fixture_create(void **state); /* cmocka set-up; prints the seed */
int fixture_destroy(void **state);

void fixture_open(struct fixture *f);     /* must succeed */
void fixture_try_open(struct fixture *f); /* see open_status */
void fixture_close(struct fixture *f, bool clean);
void fixture_reopen(struct fixture *f, bool clean);
/* As after kill -9: the directory is copied while the log is open, and the copy is opened. */
void fixture_crash(struct fixture *f);
void fixture_open_journal(struct fixture *f);
void fixture_close_journal(struct fixture *f);

/* ---- entries ---- */

/* A stamped batch of `records` records with values of `value_size` bytes. */
struct slice helper_batch(struct fixture *f, int64_t base_offset, uint64_t term, unsigned records,
                          size_t value_size, int64_t timestamp_ms);
/* Appends to the model and the log; do not wait. */
void fixture_data(struct fixture *f, unsigned records, size_t value_size);
void fixture_data_at(struct fixture *f, unsigned records, size_t value_size, int64_t timestamp_ms);
void fixture_barrier(struct fixture *f, uint64_t term);
void fixture_start(struct fixture *f, int64_t start_offset); /* a BATCH_CONTROL_START */
void fixture_random(struct fixture *f, unsigned calls);      /* append calls of a few entries each */
void fixture_truncate(struct fixture *f, uint64_t index);
void fixture_reset(struct fixture *f, uint64_t next_index, uint64_t previous_term, int64_t next_offset);
/* Waits until all that was submitted is durable. */
void fixture_sync(struct fixture *f);
uint64_t model_last_index(const struct model *m);
int64_t model_end_offset(const struct model *m);
void model_truncate(struct model *m, uint64_t index);

/* ---- checks against the model ---- */

void fixture_check(struct fixture *f); /* all of the below, from the log's first index on */
void fixture_check_state(struct fixture *f);
void fixture_check_load(struct fixture *f);
void fixture_check_reads(struct fixture *f);
void fixture_check_ranges(struct fixture *f);
/* One read, waited for. The result's slices must be released with helper_read_close. */
int fixture_read(struct fixture *f, struct log_read_req *req, int64_t offset, int64_t limit,
                 size_t max_bytes);
void helper_read_close(struct log_read_req *req);

/* ---- files ---- */

/* "<log directory>/<base index><suffix>" */
void fixture_segment_path(const struct fixture *f, uint64_t base_index, const char *suffix, char *out);
uint64_t helper_file_size(const char *path);
bool helper_file_exists(const char *path);
void helper_flip(const char *path, uint64_t position, unsigned char mask);
void helper_fill(const char *path, uint64_t position, const void *data, size_t size);
void helper_truncate(const char *path, uint64_t size);
unsigned fixture_count_files(const struct fixture *f, const char *suffix);

#endif
