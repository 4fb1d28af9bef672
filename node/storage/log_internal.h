/* Private to log*.c. */
#ifndef STORAGE_LOG_INTERNAL_H
#define STORAGE_LOG_INTERNAL_H

#include "node/storage/flusher.h"
#include "node/storage/round.h"
#include "node/storage/tail.h"

enum { LOG_CURSORS = 4, LOG_OPEN_READ_FILES = 4 };

/* Where a reader will go on: makes a sequential read independent of how sparse the index is. */
struct log_cursor {
    struct segment *segment; /* one reference, or NULL */
    struct place at;
    uint64_t used; /* for replacing the least recently used */
};

struct log {
    struct log_options options;
    char *directory;
    size_t max_batch_bytes;

    /* What has been submitted. */
    struct queue segments; /* struct segment, ascending; one reference each */
    struct place end;      /* index, offset and term after the last entry; position unused */
    int64_t start_offset;
    struct tail tail;
    uint64_t quiet_index; /* where the end was when quiet_timer was started */
    struct env_timer quiet_timer;
    uint64_t generation; /* grows whenever bytes are taken away: reads that failed meanwhile look again */

    /* What is on its way. */
    struct queue operations;
    struct round round;
    bool round_runs;
    bool retry_waits;
    bool marker_holds; /* of a clean shutdown: nothing has been written since */
    bool directory_missing;
    uint64_t durable_index;
    struct flusher_client flush;
    struct env_work round_job;
    struct env_timer retry_timer;
    struct env_timer linger_timer; /* of what waits to be written together with something else */
    struct journal_wait journal_wait;
    bool journal_waits;

    /* The durability floor in the journal. */
    uint64_t floor_index;
    struct env_timer floor_timer;

    /* Failure. */
    int status; /* 0, or the error that failed the log */
    bool no_space;
    struct queue rejected; /* struct log_append_req submitted after the failure */
    struct env_task reject_task;
    struct env_task abandon_task;

    /* Reads. */
    unsigned reads;       /* jobs on workers */
    struct queue waiting; /* struct log_wait: for entries that are not written yet */
    struct env_task wake_task;
    struct log_cursor cursors[LOG_CURSORS];
    uint64_t cursor_clock;

    /* Closing. */
    bool closing;
    bool close_clean;
    struct env_work close_job;
    struct env_task close_task;
    void (*closed)(void *data);
    void *closed_data;
};

/* A read that waits for the entries up to `index` to be in the file. */
struct log_wait {
    struct queue node;
    uint64_t index;
    void (*ready)(struct log_wait *wait, int status);
};

/* log.c */
struct segment *log_active(const struct log *log); /* the last, or NULL */
struct segment *log_oldest(const struct log *log);
struct segment *log_segment_of_index(const struct log *log, uint64_t index);
struct segment *log_segment_of_offset(const struct log *log, int64_t offset);
void log_add_segment(struct log *log, struct segment *s); /* takes over the reference */
void log_drop_segment(struct log *log, struct segment *s);
void log_fail(struct log *log, int status, const char *what);
void log_close_progress(struct log *log);

/* log_append.c */
void log_start_segment(struct log *log); /* seals the active one and makes the next */

/* log_round.c */
void log_round_init(struct log *log);
void log_push_operation(struct log *log, struct operation *op);
void log_schedule(struct log *log);
void log_abandon_operations(struct log *log, int status); /* fails what is queued, in order */
void log_reject(struct log *log, struct log_append_req *req);
void log_put_floor(struct log *log);                       /* what is durable now */
void log_note_floor(struct log *log);                      /* soon */
uint64_t log_lower_floor(struct log *log, uint64_t index); /* returns the journal sequence to wait for */
uint64_t log_clear_floor(struct log *log); /* likewise; all that was put before is durable then, too */

/* log_file.c: what all jobs that read files share */
/* `ready` is called later, from the loop: with 0 once the entries up to `index` are in the file or cut off.
 */
void log_wait_written(struct log *log, struct log_wait *wait, uint64_t index);
void log_wake_waiting(struct log *log);
void log_read_begun(struct log *log);
/* Call last in a job's completion: the log may be gone after it. */
void log_read_ended(struct log *log);
void log_trim_read_files(struct log *log);
/* What to do with a failed read: true: the log changed under it, look again. Else damage and I/O errors have
 * been dealt with and `status` goes to the caller. */
bool log_read_again(struct log *log, uint64_t generation, const struct segment *s, const struct place *at,
                    int status);

/* log_quiet.c */
/* Something was appended or loaded: when nothing follows it for a while, little of the tail stays in memory.
 */
void log_note_quiet(struct log *log);

/* log_cut.c */
void log_forget_cursors(struct log *log);

/* log_read.c */
struct read_plan {
    struct log *log;
    struct segment_read read;
    struct place from; /* where to start walking */
    uint64_t end;      /* of what the file has */
    uint64_t generation;
    int status;
};
void log_plan_read(struct log *log, struct read_plan *plan, struct segment *s, const struct place *noted);

#endif
