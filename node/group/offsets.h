/* Committed offsets of named groups. A commit is one record per offset (key GroupKey, value OffsetValue) in
 * partition crc32c(group) % partitions of __consumer_offsets; its leader is the group's coordinator
 * (coordinator.h).
 *
 * The table is fed by committed records only, on every replica, and travels in the partition's snapshot: a
 * new coordinator has it. Offsets change by commits alone; a commit may go back, when a consumer wants to
 * read again. Records that don't parse are skipped, a record with a null value removes its key. */
#ifndef GROUP_OFFSETS_H
#define GROUP_OFFSETS_H

#include "node/broker/partition.h"
#include "node/group/engine.h"
#include "node/group/outbox.h"
#include "proto/group.pb-c.h"

enum {
    OFFSETS_GROUP_MAX = GROUP_NAME_MAX,
    OFFSETS_METADATA_MAX = 4096, /* bytes of a commit's metadata */
    OFFSETS_COMMIT_MAX = 10000,  /* offsets in one commit */
};

/* Of __consumer_offsets. As it stands it knows offsets and members, but coordinates nobody:
 * groups_state_machine (coordinator.h) is the one with a coordinator. */
extern const struct partition_state_machine offsets_state_machine;

struct offset_commit {
    uint8_t topic_id[TOPIC_ID_SIZE];
    uint32_t partition;
    int64_t offset; /* >= 0: the next one to read */
    int32_t leader_epoch;
    const char *metadata;   /* NULL: "" */
    int64_t commit_time_ms; /* in answers */
};

struct offsets_commit_req {
    void *data;
    char message[160];    /* why, when the status is an error; or "" */
    struct env_task task; /* private from here */
    struct outbox_req outbox;
    struct engine_waiter waiter;
    struct group_records records;
    struct partition_set partitions;
    struct env *env;
    struct partition *partition;
    char *group;
    char *member_id;
    int64_t member_epoch;
    int status;
    void (*cb)(struct offsets_commit_req *req, int status);
};
/* `coordinator` is the replica of the group's partition on this node. Calls back exactly once, never from
 * inside: 0 after the commit is on a quorum's disks and in the table. Errors: ERR_INVALID_GROUP,
 * ERR_INVALID_ARGUMENT (no or too many offsets, a negative one, too much metadata), ERR_TOO_LARGE,
 * ERR_GROUP_NOT_EMPTY (only members may commit), and partition_produce's. Nothing of `commits` or `group` is
 * referenced after the call. */
void offsets_commit(struct partition *coordinator, struct offsets_commit_req *req, const char *group,
                    const struct offset_commit *commits, size_t count,
                    void (*cb)(struct offsets_commit_req *req, int status));
/* Of a member: ERR_FENCED_MEMBER for partitions that are not its own, or were given up since `member_epoch`;
 * ERR_UNKNOWN_MEMBER. */
void offsets_commit_as(struct partition *coordinator, struct offsets_commit_req *req, const char *group,
                       const char *member_id, int64_t member_epoch, const struct offset_commit *commits,
                       size_t count, void (*cb)(struct offsets_commit_req *req, int status));
/* Reads the table, in no particular order; the caller has confirmed leadership (group_read_index). `topic_id`
 * NULL: all topics. An unknown group has no offsets: 0. ERR_INVALID_ARGUMENT for a partition that is not a
 * coordinator's. */
int offsets_each(struct partition *coordinator, const char *group, const uint8_t *topic_id,
                 void (*each)(void *data, const struct offset_commit *commit), void *data);
/* Partition of OFFSETS_TOPIC that coordinates the group. */
uint32_t offsets_partition_for(const char *group, uint32_t partition_count);

#endif
