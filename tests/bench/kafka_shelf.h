/* Something that looks like three Kafka brokers to a consumer and has nothing to do: no disk, no replicas, no
 * check; every answer is there before it is asked for. What a client reads from it is as fast as this client
 * reads on this machine, whoever the broker is. */
#ifndef TESTS_BENCH_KAFKA_SHELF_H
#define TESTS_BENCH_KAFKA_SHELF_H

#include <stdint.h>
#include <sys/types.h>

enum { SHELF_BROKERS = 3, SHELF_BOOTSTRAP_SIZE = 128 };

struct shelf {
    pid_t pid; /* of the process that is all three */
    char bootstrap[SHELF_BOOTSTRAP_SIZE];
};

/* Starts it: any topic that it is asked for has `partitions` with `records` of 1 KiB each, in batches of up
 * to 256 KiB. To be called before the process has other threads. Errors end the program. */
void shelf_start(struct shelf *s, int32_t partitions, int64_t records);
void shelf_stop(struct shelf *s);

#endif
