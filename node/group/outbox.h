/* What a coordinator has to replicate. The records of one loop turn become one batch, in the order in which
 * they were added, and are proposed with acks=all at the turn's end: a hundred members' commits cost one
 * sync. */
#ifndef GROUP_OUTBOX_H
#define GROUP_OUTBOX_H

#include "node/broker/partition.h"
#include "node/group/records.h"

struct outbox {
    struct partition *partition; /* private from here */
    struct env *env;
    struct batch_builder builder;
    struct queue waiting; /* outbox_req of the batch in the making */
    struct env_task flush;
};

struct outbox_req {
    void *data;
    struct queue node; /* private from here */
    int status;
    const char *message;
    void (*cb)(struct outbox_req *req, int status, const char *message);
};

void outbox_init(struct outbox *o, struct partition *p);
/* Proposes what is gathered. The partition does not have to outlive the callbacks that are still due. */
void outbox_close(struct outbox *o);
/* All of `records` go into the same batch. Calls back exactly once, never from inside: 0 once they are
 * committed and applied, or partition_produce's error. */
void outbox_add(struct outbox *o, const struct group_records *records, struct outbox_req *req,
                void (*cb)(struct outbox_req *req, int status, const char *message));

#endif
