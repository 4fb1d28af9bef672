/* Push streams: one partition's committed batches sent as they come, within the credit that the client has
 * granted and the bound on what the connection may have unsent. Streams of one connection take turns.
 * Internal to this room. */
#ifndef SERVER_NATIVE_SUBSCRIPTION_H
#define SERVER_NATIVE_SUBSCRIPTION_H

#include "node/server/native/native_connection.h"

struct subscription;

enum {
    SUBSCRIPTIONS_MAX = 10000, /* per connection */
    /* Read and pushed at once. */
    PUSH_MAX_BYTES = 1024 * 1024,
    /* Pushes in preparation or unsent on one connection; more wait for the client to read. */
    PUSH_WINDOW_BYTES = 4 * 1024 * 1024,
    /* The same while the node as a whole has too much unsent. */
    PUSH_SMALL_WINDOW_BYTES = 256 * 1024,
};

struct subscription *subscription_find(const struct native_connection *c, uint64_t id);
/* Starts to push from `offset` on. Returns 0 or an error, also when the id is taken. */
int subscription_start(struct native_connection *c, uint64_t id, struct partition *partition, int64_t offset,
                       uint64_t credit_bytes);
void subscription_add_credit(struct subscription *s, uint64_t bytes);
/* Ends without a word (the client asked, or is gone). */
void subscription_close(struct subscription *s);
void subscription_close_all(struct native_connection *c);
/* Tells the client each stream's end. */
void subscription_end_all(struct native_connection *c, int error);
/* Output has gone out: streams that wait for room may go on. */
void subscription_output_ready(struct native_connection *c);

#endif
