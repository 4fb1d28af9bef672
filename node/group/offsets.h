/* Committed offsets of named groups: the state machine of __consumer_offsets' partitions. A commit is a record batch with
 * one record per offset (key OffsetKey, value OffsetValue) produced to partition crc32c(group) % partitions of that topic;
 * its leader is the group's coordinator. */
#ifndef GROUP_OFFSETS_H
#define GROUP_OFFSETS_H

#include "node/broker/partition.h"
#include "proto/group.pb-c.h"

extern const struct partition_state_machine offsets_state_machine;

struct offset_commit {
    uint8_t topic_id[TOPIC_ID_SIZE];
    uint32_t partition;
    int64_t offset;
    int32_t leader_epoch;
    const char *metadata; /* at most 4096 bytes */
};

struct offsets_commit_req {
    void *data;
    struct produce_req produce; /* private */
    void (*cb)(struct offsets_commit_req *req, int status);
};
/* `coordinator` is the replica of the group's partition on this node. 0 after the commit is on a quorum's disks and in the
 * table. Errors: ERR_NOT_LEADER, ERR_INVALID_ARGUMENT (empty group name, over 255 bytes, too much metadata), and produce's. */
void offsets_commit(struct partition *coordinator, struct offsets_commit_req *req, const char *group,
                    const struct offset_commit *commits, size_t count,
                    void (*cb)(struct offsets_commit_req *req, int status));
/* Reads the table; the caller has confirmed leadership (group_read_index). `topic_id` NULL: all topics. */
int offsets_each(struct partition *coordinator, const char *group, const uint8_t *topic_id,
                 void (*each)(void *data, const struct offset_commit *commit), void *data);
/* Partition of OFFSETS_TOPIC that coordinates the group. */
uint32_t offsets_partition_for(const char *group, uint32_t partition_count);

#endif
