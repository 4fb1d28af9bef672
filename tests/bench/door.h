/* One connection to a node's Kafka door or its native one, over which ready-made record batches are produced:
 * no client library, so that two doors can be compared by the very same bytes. acks=all; errors end the
 * program. */
#ifndef TESTS_BENCH_DOOR_H
#define TESTS_BENCH_DOOR_H

#include "proto/arena.h"
#include "proto/bytes.h"
#include <stdbool.h>

enum door_kind { DOOR_KAFKA, DOOR_NATIVE, DOOR_KINDS };
enum { DOOR_PARTITIONS_MAX = 64, DOOR_QUEUE = 1024 };

/* What is sent to one partition, again and again. */
struct door_lane {
    uint32_t partition;
    struct bytes head; /* the request before its batch; the partition is its correlation */
};

struct door {
    enum door_kind kind; /* read-only */
    int fd;              /* read-only, for poll */
    struct bytes batch;  /* private, borrowed */
    struct door_lane lanes[DOOR_PARTITIONS_MAX];
    unsigned lane_count;                 /* read-only */
    struct door_lane *queue[DOOR_QUEUE]; /* private: requests to be sent, a ring */
    unsigned first, queued;              /* private */
    size_t sent;                         /* private: bytes of the first of them */
    struct bytes input;                  /* private: of answers that are not whole */
    struct arena arena;                  /* private */
};

/* Connects to this machine. `batch` is borrowed for as long as the door is open. */
void door_open(struct door *d, enum door_kind kind, uint16_t port, const struct bytes *batch);
void door_close(struct door *d);
void door_add_partition(struct door *d, const char *topic, const uint8_t topic_id[16], uint32_t partition);
/* Queues one more batch for a lane; at most DOOR_QUEUE in all. */
void door_produce(struct door *d, struct door_lane *lane);
/* Whether there is something to be sent. */
bool door_wants_to_send(const struct door *d);
/* Sends what the socket takes. */
void door_send(struct door *d);
/* Reads what has come. Each acknowledged batch's lane is told of. */
typedef void (*door_acked_cb)(void *data, struct door *d, struct door_lane *lane);
void door_receive(struct door *d, door_acked_cb acked, void *data);

#endif
