#include "node/base/memory.h"
#include "node/storage/log_internal.h"
#include <inttypes.h>

/* ---- waiting for bytes to be in the file ---- */

static void log_wake(struct env_task *task)
{
    log_wake_waiting(container_of(task, struct log, wake_task));
}

void log_wait_written(struct log *log, struct log_wait *wait, uint64_t index)
{
    wait->index = index;
    queue_push(&log->waiting, &wait->node);
    env_defer(log->options.env, &log->wake_task, log_wake);
}

static int log_wait_status(const struct log *log, const struct log_wait *wait)
{
    if (log->closing)
        return ERR_CANCELED;
    return wait->index <= log->durable_index ? 0 : log->status;
}

void log_wake_waiting(struct log *log)
{
    struct queue all;

    queue_move(&log->waiting, &all);
    while (!queue_empty(&all)) {
        struct log_wait *wait = QUEUE_ENTRY(queue_first(&all), struct log_wait, node);
        int status = log_wait_status(log, wait);
        /* An entry that was cut off meanwhile will never come: the read has to look again. */
        bool ready = status != 0 || wait->index <= log->durable_index || wait->index >= log->end.index;
        queue_remove(&wait->node);
        if (ready)
            wait->ready(wait, status);
        else
            queue_push(&log->waiting, &wait->node);
    }
}

/* ---- jobs ---- */

void log_read_begun(struct log *log)
{
    log->reads++;
}

void log_read_ended(struct log *log)
{
    log->reads--;
    log_close_progress(log);
}

/* Sealed segments are read rarely: only a few keep their descriptor. */
void log_trim_read_files(struct log *log)
{
    unsigned open = 0;

    for (struct queue *node = log->segments.prev; node != &log->segments; node = node->prev) {
        struct segment *s = QUEUE_ENTRY(node, struct segment, node);
        if (s->read_file == NULL || ++open <= LOG_OPEN_READ_FILES || s->readers > 0)
            continue;
        env_file_close(log->options.env, s->read_file);
        s->read_file = NULL;
    }
}

static void log_report_damage(struct log *log, const struct segment *s, const struct place *at)
{
    LOG(log->options.logger, LOG_ERROR, "damaged segment: its bytes fail their check",
        "group=%016" PRIx64 " segment=%020" PRIu64 " position=%" PRIu64 " index=%" PRIu64,
        log->options.group_id, s->header.base_index, at->position, at->index);
    if (log->options.journal != NULL)
        (void)journal_put_damaged_at_rest(log->options.journal, log->options.group_id, log->end.term,
                                          log_last_index(log));
    log_fail(log, ERR_CORRUPT, "read");
}

bool log_read_again(struct log *log, uint64_t generation, const struct segment *s, const struct place *at,
                    int status)
{
    if (status == 0 || log->closing)
        return false;
    if (log->generation != generation)
        return true;
    if (status == ERR_CORRUPT || status == ERR_NOT_FOUND)
        log_report_damage(log, s, at);
    else if (status == ERR_IO)
        log_fail(log, status, "read");
    return false;
}
