/* The memory of a log to which nothing is appended any more: most topics of a cluster, most of the time.
 * Their readers are served from the page cache as well. */
#include "node/base/memory.h"
#include "node/storage/log_internal.h"

enum { QUIET_CACHE_BYTES = 64 * 1024 };

static const uint64_t quiet_ns = UINT64_C(1000000000);

static void log_quiet_due(struct env_timer *timer)
{
    struct log *log = container_of(timer, struct log, quiet_timer);

    if (log->quiet_index == log->end.index)
        tail_evict(&log->tail, QUIET_CACHE_BYTES, log->durable_index);
    log_note_quiet(log);
}

void log_note_quiet(struct log *log)
{
    if (log->closing || env_timer_running(&log->quiet_timer) || log->tail.bytes <= QUIET_CACHE_BYTES)
        return;
    log->quiet_index = log->end.index;
    env_timer_start(log->options.env, &log->quiet_timer, quiet_ns, log_quiet_due);
}
