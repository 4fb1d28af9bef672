/* Who is told when the high watermark moves. */
#include "node/broker/internal.h"

int partition_watch(struct partition *p, struct partition_watcher *w,
                    void (*cb)(struct partition_watcher *w, int status))
{
    w->cb = cb;
    queue_init(&w->node);
    uint32_t leader_id;
    int32_t leader_epoch;
    int status = partition_check_leader(p, &leader_id, &leader_epoch);
    if (status == 0)
        queue_push(&p->watchers, &w->node);
    return status;
}

void partition_unwatch(struct partition_watcher *w)
{
    queue_remove(&w->node);
}

/* A callback may unwatch any watcher, so those that are still to be told stand in a list of their own
 * meanwhile. */
void watch_wake(struct partition *p)
{
    struct queue told;
    queue_move(&p->watchers, &told);
    while (!queue_empty(&told)) {
        struct partition_watcher *w = QUEUE_ENTRY(queue_first(&told), struct partition_watcher, node);
        queue_remove(&w->node);
        queue_push(&p->watchers, &w->node);
        w->cb(w, 0);
    }
}

void watch_fail_all(struct partition *p)
{
    while (!queue_empty(&p->watchers)) {
        struct partition_watcher *w = QUEUE_ENTRY(queue_first(&p->watchers), struct partition_watcher, node);
        queue_remove(&w->node);
        w->cb(w, ERR_NOT_LEADER);
    }
}
