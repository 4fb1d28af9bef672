/* Offsets by time and by name. */
#include "node/broker/internal.h"

#include "node/base/memory.h"
#include <string.h>

static void on_done(struct env_task *task)
{
    struct list_offset_req *req = container_of(task, struct list_offset_req, task);
    req->cb(req, req->status);
}

static void finish(struct list_offset_req *req, int status)
{
    req->status = status;
    env_defer(req->partition->broker->env, &req->task, on_done);
}

/* The log cancels its searches when it closes. */
static int translate(const struct partition *p, int status)
{
    return partition_is_running(p) ? partition_read_error(status) : ERR_NOT_LEADER;
}

static void on_end_confirmed(struct read_index_req *read_index, int status)
{
    struct list_offset_req *req = container_of(read_index, struct list_offset_req, read_index);
    struct partition *p = req->partition;
    status = translate(p, status);
    if (status == 0)
        req->offset = req->end_offset = p->high_watermark;
    finish(req, status);
    partition_unref(p);
}

/* What was deleted on request is still in the log until its segment goes. */
static void take_found(const struct partition *p, struct list_offset_req *req,
                       const struct log_find_req *find)
{
    int64_t start = partition_start_offset(p);
    bool deleted = find->offset >= 0 && find->offset < start;
    req->offset = deleted ? start : find->offset;
    req->timestamp_ms = find->timestamp_ms;
    if (deleted && (start >= p->high_watermark || find->target_ms == OFFSET_MAX_TIMESTAMP))
        req->offset = req->timestamp_ms = -1;
}

static void on_found_confirmed(struct read_index_req *read_index, int status)
{
    struct list_offset_req *req = container_of(read_index, struct list_offset_req, read_index);
    struct partition *p = req->partition;
    finish(req, translate(p, status));
    partition_unref(p);
}

/* The first of its time is that for every leader. That there is none, or none that is younger, one that has
 * been deposed cannot say. */
static bool must_be_confirmed(const struct list_offset_req *req)
{
    return req->offset < 0 || req->find.target_ms == OFFSET_MAX_TIMESTAMP;
}

static void on_found(struct log_find_req *find, int status)
{
    struct list_offset_req *req = container_of(find, struct list_offset_req, find);
    struct partition *p = req->partition;
    status = translate(p, status);
    if (status == 0)
        take_found(p, req, find);
    if (status == 0 && must_be_confirmed(req)) {
        status = group_read_index(p->group, &req->read_index, on_found_confirmed);
        if (status == 0)
            return;
    }
    finish(req, status);
    partition_unref(p);
}

/* 0: a callback is on its way; 1: answered. */
static int look_up(struct partition *p, struct list_offset_req *req, int64_t timestamp_ms)
{
    if (timestamp_ms < OFFSET_MAX_TIMESTAMP)
        return ERR_INVALID_ARGUMENT;
    switch (timestamp_ms) {
    case OFFSET_START:
        req->offset = partition_start_offset(p);
        req->end_offset = p->high_watermark;
        return 1;
    case OFFSET_END:
        return group_read_index(p->group, &req->read_index, on_end_confirmed);
    default:
        req->end_offset = p->high_watermark;
        return log_find_timestamp(group_log(p->group), &req->find, timestamp_ms, p->high_watermark, on_found);
    }
}

void partition_list_offset(struct partition *p, struct list_offset_req *req, int64_t timestamp_ms,
                           void (*cb)(struct list_offset_req *req, int status))
{
    req->offset = -1;
    req->timestamp_ms = -1;
    req->end_offset = -1;
    req->cb = cb;
    memset(&req->task, 0, sizeof req->task);
    req->partition = p;

    uint32_t leader_id;
    int status = partition_check_leader(p, &leader_id, &req->leader_epoch);
    if (status == 0)
        status = look_up(p, req, timestamp_ms);
    if (status == 0)
        partition_ref(p);
    else
        finish(req, status == 1 ? 0 : status);
}
