/* One producer and several readers of numbered messages, on threads of their own, with a ledger that judges
 * them: what the demo shows and the fault tests use. */
#ifndef CLI_WORKLOAD_FLEET_H
#define CLI_WORKLOAD_FLEET_H

#include "client/cli/workload/ledger.h"
#include <pthread.h>

enum { FLEET_READERS_MAX = 8, FLEET_ERROR_SIZE = 512 };

/* Where the messages come from: number -> key and value, the same each time it is asked; any thread. */
struct fleet_source {
    void (*message)(void *data, uint64_t number, const void **key, size_t *key_size, const void **value,
                    size_t *value_size, char *scratch, size_t scratch_size);
    void *data;
};

struct fleet_reader {
    struct fleet *fleet;
    struct ledger_reader ledger;
    pthread_t thread;
    _Atomic bool done;
    char error[FLEET_ERROR_SIZE];
};

struct fleet {
    const char *bootstrap; /* set before fleet_start */
    const char *topic;
    _Atomic uint64_t count; /* less in the end after fleet_enough */
    uint64_t rate;          /* messages a second; 0: as fast as they are taken */
    struct fleet_source source;
    const char *const *readers; /* group names */
    unsigned reader_count;
    uint64_t patience_ms; /* how long readers wait for what is missing after the last acknowledgement */

    struct ledger ledger; /* read-only from here */
    struct fleet_reader reader[FLEET_READERS_MAX];
    pthread_t producer_thread;
    _Atomic uint64_t sent;
    _Atomic bool producing;
    _Atomic bool enough;
    _Atomic bool stop;
    char error[FLEET_ERROR_SIZE];

    /* The kill: set by fleet_mark_fault; then the first acknowledgement of a record sent afterwards to each
     * affected partition. */
    _Atomic uint64_t fault_ns;
    uint64_t fault_number;
    bool affected[LEDGER_PARTITIONS_MAX];
    _Atomic uint64_t recovered_ns[LEDGER_PARTITIONS_MAX];
};

bool fleet_start(struct fleet *f);
/* `affected`: partitions whose leader has just been taken away. Call right after the fault. */
void fleet_mark_fault(struct fleet *f, const bool affected[LEDGER_PARTITIONS_MAX]);
/* Milliseconds from the fault to the next acknowledgement: of the first affected partition, and of the last;
 * -1: not yet. */
double fleet_first_recovery_ms(const struct fleet *f);
double fleet_last_recovery_ms(const struct fleet *f);
/* What has been sent by now is all there is: from here on `count` says so, as soon as the producer has seen
 * it. */
void fleet_enough(struct fleet *f);
bool fleet_finished(const struct fleet *f);
/* Waits for all threads. */
void fleet_join(struct fleet *f);
void fleet_close(struct fleet *f);

#endif
