/* Many sockets that do to a node what no client of ours would, kept up while a test measures how the node's
 * other clients fare. */
#ifndef TESTS_CLUSTER_CROWD_H
#define TESTS_CLUSTER_CROWD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct crowd {
    int *sockets; /* -1: closed */
    size_t count;
    uint16_t port;
};

/* Opens up to `wanted` connections, fewer when no more files may be opened. */
void crowd_open(struct crowd *c, uint16_t port, size_t wanted);
void crowd_close(struct crowd *c);
/* How many the node has not closed. */
size_t crowd_left(struct crowd *c);
/* Each sends the same bytes, as far as the socket takes them at once. */
void crowd_send(struct crowd *c, const void *data, size_t size);
/* HELLO; the answers are read. */
bool crowd_hello(struct crowd *c);

/* One record after the other to one partition, acks=all, on a connection of its own: what an innocent client
 * sees. Latencies in milliseconds. */
struct innocent {
    uint16_t port; /* of the partition's leader */
    uint8_t topic_id[16];
    uint32_t partition;
    unsigned failed;
    double p50_ms, p99_ms, most_ms;
};
/* Produces `count` records. */
void innocent_measure(struct innocent *i, unsigned count);

/* Resident memory of a process. */
uint64_t process_rss(pid_t pid);

#endif
