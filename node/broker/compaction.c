#include "node/broker/compaction.h"

#include <stdint.h>

enum {
    COMPACTION_SEGMENT_BYTES = 1024 * 1024,
    COMPACTION_MESSAGE_BYTES = 16 * 1024 * 1024,
    /* A log up to this size is left alone. */
    COMPACTION_LOG_BYTES = 2 * 1024 * 1024,
};

void compaction_configure(struct topic_config *config)
{
    if (config->segment_bytes > COMPACTION_SEGMENT_BYTES)
        config->segment_bytes = COMPACTION_SEGMENT_BYTES;
    config->max_message_bytes = COMPACTION_MESSAGE_BYTES;
    config->retention_ms = -1;
    config->retention_bytes = -1;
}

void compaction_run(struct group *group)
{
    const struct log *log = group_log(group);
    if (log_size_bytes(log) > COMPACTION_LOG_BYTES && group_snapshot_index(group) > log_first_index(log))
        (void)group_trim(group, INT64_MAX); /* as far as the durable snapshot goes */
}
