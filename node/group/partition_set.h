/* A set of partitions of topics, in order of topic id and number. Pure. */
#ifndef GROUP_PARTITION_SET_H
#define GROUP_PARTITION_SET_H

#include "node/cluster/metadata.h"
#include "proto/client.pb-c.h"

struct topic_partition {
    uint8_t topic_id[TOPIC_ID_SIZE];
    uint32_t partition;
};

/* Zeroed: empty. */
struct partition_set {
    struct topic_partition *items;
    size_t count;
    size_t capacity;
};

enum { PARTITION_SET_MAX = 200000 };

void partition_set_close(struct partition_set *s); /* leaves it empty */
void partition_set_copy(struct partition_set *to, const struct partition_set *from);
/* Gives what `from` has to `to`, whose own goes; `from` is empty afterwards. */
void partition_set_move(struct partition_set *to, struct partition_set *from);
/* At the end; partition_set_sort once all are in. */
void partition_set_append(struct partition_set *s, const uint8_t topic_id[TOPIC_ID_SIZE], uint32_t partition);
void partition_set_sort(struct partition_set *s); /* and drops repeats */
bool partition_set_has(const struct partition_set *s, const struct topic_partition *p);
bool partition_set_equal(const struct partition_set *a, const struct partition_set *b);
/* Into the empty `out`. */
void partition_set_minus(const struct partition_set *a, const struct partition_set *b,
                         struct partition_set *out);
void partition_set_common(const struct partition_set *a, const struct partition_set *b,
                          struct partition_set *out);
/* Adds b to a. */
void partition_set_add(struct partition_set *a, const struct partition_set *b);

/* From a message: into the empty `out`. ERR_INVALID_ARGUMENT (a topic id that is none), ERR_TOO_LARGE. */
int partition_set_unpack(Flotilla__GroupPartitions *const *from, size_t count, struct partition_set *out);

/* As a list of messages, which reference the set. */
struct packed_partitions {
    Flotilla__GroupPartitions *messages;
    Flotilla__GroupPartitions **pointers;
    uint32_t *numbers;
    size_t count;
};
void partition_set_pack(const struct partition_set *s, struct packed_partitions *out);
void packed_partitions_close(struct packed_partitions *p);

#endif
