#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include "node/storage/recovery.h"
#include <stdlib.h>
#include <string.h>

struct opening {
    struct log_options options;
    char *directory;
    struct recovery recovery;
    struct journal_wait wait;
    struct env_task blank_task;
    struct log_open_req *req;
    void (*cb)(struct log_open_req *req, int status, struct log *log, const struct log_recovery *recovery);
};

static size_t log_max_batch(const struct log_options *options)
{
    return options->max_batch_bytes > FORMAT_BATCH_MAX_FLOOR ? options->max_batch_bytes
                                                             : FORMAT_BATCH_MAX_FLOOR;
}

static struct log *log_create(struct opening *o)
{
    struct log *log = memory_zalloc(sizeof(*log));
    const struct segment *oldest;

    log->options = o->options;
    log->directory = o->directory;
    log->options.directory = log->directory;
    log->max_batch_bytes = log_max_batch(&o->options);
    queue_init(&log->operations);
    queue_init(&log->rejected);
    queue_init(&log->waiting);
    queue_move(&o->recovery.segments, &log->segments);
    tail_init(&log->tail);
    log_round_init(log);
    log->end = o->recovery.end;
    oldest = log_oldest(log);
    log->start_offset = oldest == NULL ? log->end.offset : oldest->header.base_offset;
    log->durable_index = log->end.index - 1;
    log->marker_holds = o->recovery.marker_valid;
    log->directory_missing = o->recovery.directory_missing;
    log->floor_index = o->recovery.floor_index;
    return log;
}

static void opening_finish(struct opening *o)
{
    struct log_recovery report = o->recovery.report;
    struct log *log = NULL;
    int status = o->recovery.status;

    if (status == 0) {
        log = log_create(o);
        /* What it has is on the disk, and noted at once: a node that dies again and again within a second
         * would never get to it. */
        log_put_floor(log);
    } else {
        free(o->directory);
    }
    recovery_close(&o->recovery);
    struct log_open_req *req = o->req;
    void (*cb)(struct log_open_req *, int, struct log *, const struct log_recovery *) = o->cb;
    free(o);
    req->private_ = NULL;
    cb(req, status, log, &report);
}

/* ---- what the journal says of the log, before it may be appended to ---- */

static void opening_noted(struct journal_wait *wait, int status)
{
    struct opening *o = container_of(wait, struct opening, wait);

    if (status != 0)
        o->recovery.status = status;
    opening_finish(o);
}

/* The loss has been recorded, and the log now ends where it ends. Only once that is durable may anything be
 * appended: what is missing from then on is missed. */
static void opening_note(struct opening *o)
{
    struct journal *journal = o->options.journal;
    uint64_t last_index = o->recovery.end.index - 1;
    uint64_t sequence = 0;
    struct journal_group state;

    if (o->recovery.status != 0 || journal == NULL) {
        opening_finish(o);
        return;
    }
    journal_get(journal, o->options.group_id, &state);
    if (state.floor_index > last_index) {
        o->recovery.floor_index = last_index;
        sequence = journal_put_floor(journal, o->options.group_id, last_index);
    }
    if (state.at_rest)
        sequence = journal_put_damaged_before(journal, o->options.group_id, state.known_end_term,
                                              state.known_end_index);
    journal_wait(journal, &o->wait, sequence, opening_noted);
}

/* ---- finding and cutting ---- */

static void opening_repair_work(struct env_work *job)
{
    struct opening *o = container_of(job, struct log_open_req, job)->private_;

    recovery_repair(&o->recovery);
}

static void opening_done(struct env_work *job)
{
    opening_note(container_of(job, struct log_open_req, job)->private_);
}

static void opening_damage_recorded(struct journal_wait *wait, int status)
{
    struct opening *o = container_of(wait, struct opening, wait);

    if (status != 0) {
        o->recovery.status = status;
        opening_finish(o);
        return;
    }
    env_work(o->options.env, &o->req->job, opening_repair_work, opening_done);
}

static void opening_inspect_work(struct env_work *job)
{
    struct opening *o = container_of(job, struct log_open_req, job)->private_;

    recovery_inspect(&o->recovery);
    if (o->recovery.status == 0 && !o->recovery.report.damaged)
        recovery_repair(&o->recovery);
}

static void opening_inspected(struct env_work *job)
{
    struct opening *o = container_of(job, struct log_open_req, job)->private_;
    struct journal *journal = o->options.journal;

    if (o->recovery.status != 0 || !o->recovery.report.damaged) {
        opening_note(o);
        return;
    }
    LOG(o->options.logger, LOG_ERROR, "log is damaged: this replica must be repaired from the others",
        "group=%016llx index=%llu", (unsigned long long)o->options.group_id,
        (unsigned long long)o->recovery.report.damaged_index);
    if (journal == NULL) {
        env_work(o->options.env, job, opening_repair_work, opening_done);
        return;
    }
    /* On record before anything is cut: a crash in between must not turn the loss into a shorter,
     * healthy-looking log, nor, by what is cut already, the known end into an unknown one. */
    uint64_t sequence = journal_put_damaged_at_rest(
        journal, o->options.group_id, o->recovery.report.known_end_term, o->recovery.report.known_end_index);
    journal_wait(journal, &o->wait, sequence, opening_damage_recorded);
}

static void opening_is_blank(struct env_task *task)
{
    opening_finish(container_of(task, struct opening, blank_task));
}

int log_open(const struct log_options *options, struct log_open_req *req,
             void (*cb)(struct log_open_req *req, int status, struct log *log,
                        const struct log_recovery *recovery))
{
    struct journal_group state = {0};

    if (strlen(options->directory) > FORMAT_DIRECTORY_MAX)
        return ERR_INVALID_ARGUMENT;
    struct opening *o = memory_zalloc(sizeof(*o));
    o->options = *options;
    o->directory = memory_strdup(options->directory);
    o->req = req;
    o->cb = cb;
    if (options->journal != NULL)
        journal_get(options->journal, options->group_id, &state);
    recovery_init(&o->recovery, options->env, o->directory, log_max_batch(options), state.floor_index);
    o->recovery.group_id = options->group_id;
    o->recovery.distrust = state.damaged;
    req->private_ = o;
    if (options->is_blank && state.floor_index == 0 && !state.damaged)
        env_defer(options->env, &o->blank_task, opening_is_blank);
    else
        env_work(options->env, &req->job, opening_inspect_work, opening_inspected);
    return 0;
}
