#include "node/group/outbox.h"

#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include <stdlib.h>
#include <string.h>

/* A batch that has grown to this is proposed without waiting for the turn's end. */
enum { OUTBOX_BATCH_BYTES = 512 * 1024 };

struct outbox_batch {
    struct produce_req produce;
    struct queue waiting;
};

void outbox_init(struct outbox *o, struct partition *p)
{
    memset(o, 0, sizeof(*o));
    o->partition = p;
    o->env = partition_env(p);
    batch_builder_init(&o->builder);
    queue_init(&o->waiting);
}

static void complete(struct queue *waiting, int status, const char *message)
{
    while (!queue_empty(waiting)) {
        struct outbox_req *req = QUEUE_ENTRY(queue_first(waiting), struct outbox_req, node);
        queue_remove(&req->node);
        req->cb(req, status, message);
    }
}

static void on_produced(struct produce_req *produce, int status)
{
    struct outbox_batch *batch = container_of(produce, struct outbox_batch, produce);
    complete(&batch->waiting, status, produce->message);
    free(batch);
}

static int finish(struct outbox *o, struct slice *out)
{
    const struct batch_options options = {
        .codec = BATCH_NONE, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    struct bytes bytes;
    bytes_init(&bytes);
    int status = batch_builder_finish(&o->builder, &options, &bytes);
    if (status == 0)
        *out = slice_copy(bytes.data, bytes.size);
    bytes_close(&bytes);
    return status;
}

static void propose(struct outbox *o)
{
    struct slice bytes;
    if (o->builder.count == 0)
        return;
    int status = finish(o, &bytes);
    batch_builder_reset(&o->builder);
    if (status != 0) {
        complete(&o->waiting, status, NULL);
        return;
    }
    struct outbox_batch *batch = memory_zalloc(sizeof(*batch));
    queue_move(&o->waiting, &batch->waiting);
    int acks = env_sabotaged(o->env, SABOTAGE_COMMIT_IN_MEMORY) ? ACKS_NONE : ACKS_ALL;
    partition_produce(o->partition, &batch->produce, &bytes, acks, on_produced);
    slice_unref(&bytes);
}

static void on_flush(struct env_task *task)
{
    propose(container_of(task, struct outbox, flush));
}

void outbox_close(struct outbox *o)
{
    env_task_cancel(o->env, &o->flush);
    propose(o);
    batch_builder_close(&o->builder);
}

void outbox_add(struct outbox *o, const struct group_records *records, struct outbox_req *req,
                void (*cb)(struct outbox_req *req, int status, const char *message))
{
    if (o->builder.count > 0 && batch_builder_size(&o->builder) + records->bytes.size > OUTBOX_BATCH_BYTES)
        propose(o);
    int64_t now_ms = env_wall_ms(o->env);
    for (size_t i = 0; i < records->count; i++) {
        const struct group_record *r = &records->items[i];
        const unsigned char *key = records->bytes.data + r->at;
        batch_builder_add(&o->builder, now_ms, key, r->key_size, r->removes ? NULL : key + r->key_size,
                          r->value_size, NULL, 0);
    }
    req->cb = cb;
    queue_push(&o->waiting, &req->node);
    env_defer(o->env, &o->flush, on_flush);
}
