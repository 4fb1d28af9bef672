#include "node/server/kafka/config_harmless.h"
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define NO_LIMIT "9223372036854775807"

static const struct harmless {
    const char *name;
    const char *only; /* the value it may have; NULL: any number or truth value */
    const char *why;  /* no other */
} all[] = {
    /* Every acknowledgement waits for the disks of a majority. */
    {"flush.messages", NULL, NULL},
    {"flush.ms", NULL, NULL},
    {"unclean.leader.election.enable", "false",
     "unclean.leader.election.enable can only be false: who does not have all acknowledged records never "
     "leads"},
    /* How files are kept is the storage's own business. */
    {"file.delete.delay.ms", NULL, NULL},
    {"index.interval.bytes", NULL, NULL},
    {"preallocate", NULL, NULL},
    {"segment.index.bytes", NULL, NULL},
    {"segment.jitter.ms", NULL, NULL},
    /* Only what cleanup.policy=compact would heed. */
    {"delete.retention.ms", NULL, NULL},
    {"max.compaction.lag.ms", NULL, NULL},
    {"min.cleanable.dirty.ratio", NULL, NULL},
    {"min.compaction.lag.ms", NULL, NULL},
    /* Records have format 2, and clients that cannot read it are not served. */
    {"message.downconversion.enable", NULL, NULL},
    {"message.format.version", NULL, NULL},
    {"message.timestamp.after.max.ms", NO_LIMIT,
     "message.timestamp.after.max.ms can only be " NO_LIMIT ": producers' timestamps are not limited"},
    {"message.timestamp.before.max.ms", NO_LIMIT,
     "message.timestamp.before.max.ms can only be " NO_LIMIT ": producers' timestamps are not limited"},
    {"message.timestamp.difference.max.ms", NO_LIMIT,
     "message.timestamp.difference.max.ms can only be " NO_LIMIT ": producers' timestamps are not limited"},
    {"remote.storage.enable", "false", "remote.storage.enable can only be false: there is no tiered storage"},
    {"follower.replication.throttled.replicas", "",
     "follower.replication.throttled.replicas can only be empty: see catchup-bytes-per-second of the nodes"},
    {"leader.replication.throttled.replicas", "",
     "leader.replication.throttled.replicas can only be empty: see catchup-bytes-per-second of the nodes"},
};

/* What Kafka itself would take for a number, a version or a truth value, roughly. */
static bool is_plausible(const char *value)
{
    size_t length = strlen(value);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)value[i]) && strchr("-.", value[i]) == NULL)
            return false;
    return length > 0 && length <= 24;
}

enum config_fit config_harmless(const char *name, const char *value, const char **why)
{
    const struct harmless *known = NULL;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && known == NULL; i++)
        if (strcmp(all[i].name, name) == 0)
            known = &all[i];
    if (known == NULL)
        return CONFIG_UNKNOWN;
    bool fits =
        value == NULL || (known->only != NULL ? strcmp(value, known->only) == 0 : is_plausible(value));
    *why =
        known->why != NULL ? known->why : "a setting without effect here has a value that it could not have";
    return fits ? CONFIG_HARMLESS : CONFIG_WRONG;
}
