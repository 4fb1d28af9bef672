#include "node/broker/compaction.h"

#include "node/env/bounds.h"
#include <stdint.h>

enum {
    COMPACTION_SEGMENT_BYTES = 1024 * 1024,
    COMPACTION_MESSAGE_BYTES = 16 * 1024 * 1024,
    /* A log up to this size is left alone. */
    COMPACTION_LOG_BYTES = 2 * COMPACTION_SEGMENT_BYTES,
    SMALL_SEGMENT_BYTES = 4 * 1024,
    SMALL_LOG_BYTES = 2 * SMALL_SEGMENT_BYTES,
};

void compaction_configure(const struct env *env, struct topic_config *config)
{
    uint64_t most = env_bound(env, BOUND_COMPACTED_LOG, COMPACTION_SEGMENT_BYTES, SMALL_SEGMENT_BYTES);
    if (config->segment_bytes > most)
        config->segment_bytes = most;
    config->max_message_bytes = COMPACTION_MESSAGE_BYTES;
    config->retention_ms = -1;
    config->retention_bytes = -1;
}

void compaction_run(struct env *env, struct group *group)
{
    const struct log *log = group_log(group);
    uint64_t most = env_bound(env, BOUND_COMPACTED_LOG, COMPACTION_LOG_BYTES, SMALL_LOG_BYTES);
    if (log_size_bytes(log) <= most || group_snapshot_index(group) <= log_first_index(log))
        return;
    env_bound_passed(env, BOUND_COMPACTED_LOG);
    (void)group_trim(group, INT64_MAX); /* as far as the durable snapshot goes */
}
