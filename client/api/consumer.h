/* Private to consumer*.c: the public consumer. */
#ifndef CLIENT_API_CONSUMER_H
#define CLIENT_API_CONSUMER_H

#include "client/api/client.h"
#include "client/core/consumer/inbox.h"

struct flotilla_consumer {
    struct flotilla_client *client;
    struct client_settings settings;
    struct inbox *inbox;
    struct core_consumer *core; /* on the background thread */
    struct driver_source source;
    atomic_ullong next_commit_ns;
    _Atomic(struct flotilla_batch *) waiting; /* with at-most-once: not committed yet */
    atomic_bool is_member;
    flotilla_rebalance_cb rebalance_cb;
    void *rebalance_data;
};

int consumer_check_group(const struct flotilla_consumer *consumer, char *error, size_t error_size);
/* Calls the application back with what it has to know, waiting for the first up to timeout_ms. Whether there
 * was something. */
bool consumer_tell_rebalances(struct flotilla_consumer *consumer, int timeout_ms);
int consumer_leave(struct flotilla_consumer *consumer, bool keeps_place, int timeout_ms, char *error,
                   size_t error_size);

#endif
