/* Answers that name leaders wait for leaders that can be named.
 *
 *   roll call --> look --> answer
 *                  |  ^
 *                  v  |    a leader changes, at most 250 ms
 *                 parked
 *
 * A client that has lost a node asks at once who leads instead, often before this node has heard of the
 * death. Sent back to the dead node, or told "nobody", it asks again after a pause that is far longer than an
 * election, of a second with some clients. So the peers are called first, and elections are waited for.
 * Internal to this room. */
#ifndef SERVER_KAFKA_LEADER_WAIT_H
#define SERVER_KAFKA_LEADER_WAIT_H

#include "node/server/kafka/kafka_request.h"
#include "node/server/parking.h"

/* The request's state begins with it. */
struct leader_wait {
    struct kafka_request *request; /* private */
    struct roll_call_req roll_call;
    struct parked parked;
    bool (*settled)(struct kafka_request *r, uint64_t *group_id);
    void (*answer)(struct kafka_request *r);
};

/* Calls `answer`, later and exactly once. `settled` says whether everything that the answer will name is
 * there; of what is not, `group_id` may be a partition that nobody leads. */
void kafka_await_leaders(struct kafka_request *r,
                         bool (*settled)(struct kafka_request *r, uint64_t *group_id),
                         void (*answer)(struct kafka_request *r));
/* Whether some live node leads the partition, as far as this one knows. */
bool kafka_is_led(const struct server *s, uint64_t group_id);

#endif
