/* A group without members, or some of its offsets, are removed because somebody asked for it. */
#include "node/base/memory.h"
#include "node/group/coordinator_internal.h"

static void end(struct group_forget_req *req, int status)
{
    req->cb(req, status);
}

static void on_refused(struct env_task *task)
{
    struct group_forget_req *req = container_of(task, struct group_forget_req, task);
    end(req, req->status);
}

static void on_replicated(struct outbox_req *outbox, int status, const char *message)
{
    struct group_forget_req *req = container_of(outbox, struct group_forget_req, outbox);
    (void)message;
    end(req, status);
}

static void forget_record(const char *group, Flotilla__GroupRecord kind, struct group_records *records)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)(uintptr_t)group;
    key.record = kind;
    group_records_add(records, &key, NULL);
}

static int collect(struct coordinator *c, const char *group, const struct partition_set *offsets,
                   struct group_records *records)
{
    struct group_state *state = c->state;
    const struct consumer_group *g = group_table_find(&state->groups, group);
    bool classic = classic_table_find(&state->classic, group) != NULL;
    if (classic_has_members(classic_coordinator_groups(c->classic), group) ||
        (g != NULL && g->members != NULL) || !engine_is_idle(c->engine, group))
        return ERR_GROUP_NOT_EMPTY;
    if (g == NULL && !classic && !offsets_table_has_group(state->offsets, group))
        return ERR_UNKNOWN_GROUP;
    offsets_forget(state, group, offsets, records);
    if (offsets != NULL)
        return 0;
    if (g != NULL)
        forget_record(group, FLOTILLA__GROUP_RECORD__GROUP_RECORD_GROUP, records);
    if (classic) {
        forget_record(group, FLOTILLA__GROUP_RECORD__GROUP_RECORD_CLASSIC, records);
        classic_coordinator_forget_group(c->classic, group);
    }
    return 0;
}

void coordinator_forget(struct coordinator *c, const char *group, const struct partition_set *offsets,
                        struct group_forget_req *req, void (*cb)(struct group_forget_req *req, int status))
{
    struct group_records records;
    group_records_init(&records);
    req->cb = cb;
    req->task = (struct env_task){0};
    req->status = collect(c, group, offsets, &records);
    if (req->status == 0 && records.count > 0)
        outbox_add(&c->state->outbox, &records, &req->outbox, on_replicated);
    else
        env_defer(c->service->options.env, &req->task, on_refused);
    group_records_close(&records);
}
