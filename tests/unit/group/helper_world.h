/* An engine without a node: a log whose commits come when the test says so, connections with messages under
 * way, and clients that keep the protocol of members. */
#ifndef TESTS_GROUP_HELPER_WORLD_H
#define TESTS_GROUP_HELPER_WORLD_H

#include "node/group/engine.h"

enum { WORLD_CLIENTS = 24, WORLD_TOPICS = 8, WORLD_GROUPS = 2 };

struct world;

struct message {
    struct queue node;
    bool is_push;
    int status;
    int64_t epoch;
    bool stable;
    struct partition_set assigned;
};

/* One member, from the application's side. */
struct client {
    struct world *world;
    unsigned number;
    char id[32];
    const char *group;
    const char *instance_id, *rack, *pattern, *assignor;
    const char *topics[WORLD_TOPICS];
    size_t topic_count;
    struct engine_connection connection;
    unsigned generation;    /* of the connection */
    bool connected, joined; /* joined: the last join was answered with 0 */
    bool joining;
    int status; /* of the last answer */
    int64_t epoch;
    struct partition_set assigned; /* as pushed last */
    struct partition_set reading;
    bool stable;
    bool unreported;              /* let something go since the last report */
    struct queue inbox;           /* on its connection, not read yet */
    unsigned lost;                /* times that it was told it is no member any more */
    bool replaced;                /* by another with its instance id: it does not fight for its place */
    unsigned moved_in, moved_out; /* partitions since the test set them to 0 */
};

struct world {
    struct group_table table;
    struct engine *engine;
    struct engine_time time;
    struct engine_topic topics[WORLD_TOPICS];
    uint8_t ids[WORLD_TOPICS][TOPIC_ID_SIZE];
    size_t topic_count;
    bool (*in_rack)(void *data, const struct engine_topic *topic, uint32_t partition, const char *rack);
    struct engine_step *steps[WORLD_GROUPS * 4]; /* replicated, not committed */
    size_t step_count;
    unsigned steps_made;
    struct client clients[WORLD_CLIENTS];
    size_t record_count;
    unsigned deaths;
    int last_answer;
    struct engine_settings settings;
};

void world_open(struct world *w);
void world_close(struct world *w);
void world_add_topic(struct world *w, const char *name, uint32_t partitions);
/* Lets the engine do what is due. */
void world_run(struct world *w);
/* Time goes by, in which the engine does what is due; steps wait. */
void world_pass(struct world *w, uint64_t ms);
/* The oldest step is committed (0) or fails. */
void world_commit(struct world *w, int status);
/* Everything is delivered and committed until nothing happens any more, `ms` going by in small steps. */
void world_settle(struct world *w, uint64_t ms);
/* The coordinator is gone and a new one is there. Of steps under way the first `committed` made it. */
void world_fail_over(struct world *w, size_t committed);

struct client *world_client(struct world *w, unsigned number, const char *group);
void client_subscribe(struct client *c, const char *topic);
void client_join(struct client *c);
void client_leave(struct client *c);
void client_disconnect(struct client *c); /* what is under way to it is lost */
void client_heartbeat(struct client *c);
/* It was lost track of, and would join again by itself. */
bool client_must_return(const struct client *c);
/* Reads one message; lets go of what is revoked and, with `report`, says so. */
void client_read(struct client *c, bool report);

const struct consumer_member *world_member(const struct world *w, const struct client *c);
/* No partition is owned twice, and nobody that is a member reads what is not its own. */
void world_check_owners(const struct world *w);
/* Everything subscribed to is read by exactly one, evenly in each topic. */
void world_check_stable(const struct world *w, const char *group);
/* The table as bytes, in a fixed order. */
void world_print_table(const struct group_table *t, struct bytes *out);

#endif
