/* A commit of offsets, as one record batch with acks=all. */
#include "node/group/offsets.h"

#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include "node/group/coordinator_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One commit's batch; the topic's max.message.bytes may say less, which produce checks. */
enum { COMMIT_BYTES_MAX = 1024 * 1024 };

static int check_offset(const struct offset_commit *commit, char *message, size_t message_size)
{
    if (commit->offset < 0) {
        snprintf(message, message_size, "partition %u: offset %lld is negative", commit->partition,
                 (long long)commit->offset);
        return ERR_INVALID_ARGUMENT;
    }
    if (commit->metadata != NULL && strlen(commit->metadata) > OFFSETS_METADATA_MAX) {
        snprintf(message, message_size, "partition %u: metadata is over %d bytes", commit->partition,
                 OFFSETS_METADATA_MAX);
        return ERR_INVALID_ARGUMENT;
    }
    return 0;
}

static int check(const char *group, const struct offset_commit *commits, size_t count, char *message,
                 size_t message_size)
{
    size_t group_size = strlen(group);
    if (group_size == 0 || group_size > OFFSETS_GROUP_MAX) {
        snprintf(message, message_size, "a group's name has 1 to %d bytes, this one %zu", OFFSETS_GROUP_MAX,
                 group_size);
        return ERR_INVALID_GROUP;
    }
    if (count == 0 || count > OFFSETS_COMMIT_MAX) {
        snprintf(message, message_size, "a commit has 1 to %d offsets, this one %zu", OFFSETS_COMMIT_MAX,
                 count);
        return ERR_INVALID_ARGUMENT;
    }
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++)
        status = check_offset(&commits[i], message, message_size);
    return status;
}

/* A name that has no offsets yet is one more. */
static int check_room(const struct group_state *state, const char *group, char *message, size_t message_size)
{
    uint32_t max = state->service != NULL ? state->service->options.engine.groups_max : 0;
    if (max == 0 || offsets_table_group_count(state->offsets) < max ||
        offsets_table_has_group(state->offsets, group))
        return 0;
    snprintf(message, message_size, "%s", GROUPS_FULL_MESSAGE);
    return ERR_INVALID_GROUP;
}

/* ---- its records ---- */

static void add_record(struct group_records *records, const char *group, const struct offset_commit *commit,
                       int64_t now_ms)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)(uintptr_t)group;
    key.topic_id = (ProtobufCBinaryData){TOPIC_ID_SIZE, (uint8_t *)(uintptr_t)commit->topic_id};
    key.partition = commit->partition;
    Flotilla__OffsetValue value = FLOTILLA__OFFSET_VALUE__INIT;
    value.offset = commit->offset;
    value.leader_epoch = commit->leader_epoch;
    value.commit_time_ms = now_ms;
    if (commit->metadata != NULL)
        value.metadata = (char *)(uintptr_t)commit->metadata;
    group_records_add(records, &key, &value.base);
}

static int encode(struct offsets_commit_req *req, const char *group, const struct offset_commit *commits,
                  size_t count)
{
    int64_t now_ms = env_wall_ms(partition_env(req->partition));
    for (size_t i = 0; i < count; i++) {
        add_record(&req->records, group, &commits[i], now_ms);
        partition_set_append(&req->partitions, commits[i].topic_id, commits[i].partition);
        if (req->records.bytes.size > COMMIT_BYTES_MAX)
            return ERR_TOO_LARGE;
    }
    return 0;
}

/* ---- the request ---- */

static void finish(struct offsets_commit_req *req, int status)
{
    group_records_close(&req->records);
    partition_set_close(&req->partitions);
    free(req->group);
    free(req->member_id);
    req->cb(req, status);
}

static void on_refused(struct env_task *task)
{
    struct offsets_commit_req *req = container_of(task, struct offsets_commit_req, task);
    finish(req, req->status);
}

static void refuse(struct offsets_commit_req *req, int status)
{
    req->status = status;
    memset(&req->task, 0, sizeof(req->task));
    env_defer(req->env, &req->task, on_refused);
}

static void on_replicated(struct outbox_req *outbox, int status, const char *message)
{
    struct offsets_commit_req *req = container_of(outbox, struct offsets_commit_req, outbox);
    snprintf(req->message, sizeof(req->message), "%s", message != NULL ? message : "");
    finish(req, status);
}

static void on_turn(struct engine_waiter *waiter);

/* Who owns the partitions is looked up when the commit takes its place in the log, and not before: what comes
 * behind it there, a change of owner too, comes later. */
static int check_owner(struct group_state *state, struct offsets_commit_req *req)
{
    if (state->service == NULL || env_sabotaged(req->env, SABOTAGE_OWNER_IGNORED))
        return 0;
    if (state->coordinator == NULL) {
        uint32_t leader_id;
        int32_t leader_epoch;
        int status = partition_check_leader(req->partition, &leader_id, &leader_epoch);
        return status != 0 ? status : ERR_COORDINATOR_LOADING;
    }
    return engine_check_commit(coordinator_engine(state->coordinator), req->group, req->member_id,
                               req->member_epoch, req->partitions.items, req->partitions.count,
                               coordinator_time(state->coordinator), &req->waiter, on_turn);
}

static void submit(struct offsets_commit_req *req)
{
    struct group_state *state = partition_state(req->partition);
    int status = check_owner(state, req);
    if (status == ENGINE_WAIT)
        return;
    if (status == 0)
        outbox_add(&state->outbox, &req->records, &req->outbox, on_replicated);
    else
        refuse(req, status);
}

static void on_turn(struct engine_waiter *waiter)
{
    submit(container_of(waiter, struct offsets_commit_req, waiter));
}

void offsets_commit_as(struct partition *coordinator, struct offsets_commit_req *req, const char *group,
                       const char *member_id, int64_t member_epoch, const struct offset_commit *commits,
                       size_t count, void (*cb)(struct offsets_commit_req *req, int status))
{
    req->cb = cb;
    req->partition = coordinator;
    req->env = partition_env(coordinator);
    req->message[0] = '\0';
    group_records_init(&req->records);
    req->partitions = (struct partition_set){0};
    req->group = memory_strdup(group);
    req->member_id = memory_strdup(member_id);
    req->member_epoch = member_epoch;
    int status = check(group, commits, count, req->message, sizeof(req->message));
    if (status == 0)
        status = check_room(partition_state(coordinator), group, req->message, sizeof(req->message));
    if (status == 0)
        status = encode(req, group, commits, count);
    if (status != 0)
        refuse(req, status);
    else
        submit(req);
}

void offsets_commit(struct partition *coordinator, struct offsets_commit_req *req, const char *group,
                    const struct offset_commit *commits, size_t count,
                    void (*cb)(struct offsets_commit_req *req, int status))
{
    offsets_commit_as(coordinator, req, group, "", 0, commits, count, cb);
}
