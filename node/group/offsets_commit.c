/* A commit of offsets, as one record batch with acks=all. */
#include "node/group/offsets.h"

#include "node/base/memory.h"
#include <stdio.h>
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
        return ERR_INVALID_ARGUMENT;
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

/* ---- the batch ---- */

struct encoder {
    struct batch_builder builder;
    struct bytes key;
    struct bytes value;
    int64_t now_ms;
};

static void encode_commit(struct encoder *e, const char *group, const struct offset_commit *commit)
{
    Flotilla__GroupKey key = FLOTILLA__GROUP_KEY__INIT;
    key.group = (char *)group;
    key.topic_id.data = (uint8_t *)commit->topic_id;
    key.topic_id.len = TOPIC_ID_SIZE;
    key.partition = commit->partition;
    Flotilla__OffsetValue value = FLOTILLA__OFFSET_VALUE__INIT;
    value.offset = commit->offset;
    value.leader_epoch = commit->leader_epoch;
    value.commit_time_ms = e->now_ms;
    if (commit->metadata != NULL)
        value.metadata = (char *)commit->metadata;

    bytes_clear(&e->key);
    bytes_clear(&e->value);
    flotilla__group_key__pack(&key, bytes_extend(&e->key, flotilla__group_key__get_packed_size(&key)));
    flotilla__offset_value__pack(&value,
                                 bytes_extend(&e->value, flotilla__offset_value__get_packed_size(&value)));
    batch_builder_add(&e->builder, e->now_ms, e->key.data, e->key.size, e->value.data, e->value.size, NULL,
                      0);
}

static int encode(struct encoder *e, const char *group, const struct offset_commit *commits, size_t count,
                  struct bytes *out)
{
    for (size_t i = 0; i < count; i++) {
        encode_commit(e, group, &commits[i]);
        if (batch_builder_size(&e->builder) > COMMIT_BYTES_MAX)
            return ERR_TOO_LARGE;
    }
    struct batch_options options = {
        .codec = BATCH_NONE, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    return batch_builder_finish(&e->builder, &options, out);
}

static int build(struct env *env, const char *group, const struct offset_commit *commits, size_t count,
                 struct slice *batch)
{
    struct encoder e = {.now_ms = env_wall_ms(env)};
    batch_builder_init(&e.builder);
    bytes_init(&e.key);
    bytes_init(&e.value);
    bytes_reserve(&e.value, 1); /* a value of nothing but defaults is empty, not null */
    struct bytes out;
    bytes_init(&out);
    int status = encode(&e, group, commits, count, &out);
    if (status == 0)
        *batch = slice_copy(out.data, out.size);
    bytes_close(&out);
    bytes_close(&e.value);
    bytes_close(&e.key);
    batch_builder_close(&e.builder);
    return status;
}

/* ---- the request ---- */

static void on_refused(struct env_task *task)
{
    struct offsets_commit_req *req = container_of(task, struct offsets_commit_req, task);
    req->cb(req, req->status);
}

static void on_produced(struct produce_req *produce, int status)
{
    struct offsets_commit_req *req = container_of(produce, struct offsets_commit_req, produce);
    req->cb(req, status);
}

void offsets_commit(struct partition *coordinator, struct offsets_commit_req *req, const char *group,
                    const struct offset_commit *commits, size_t count,
                    void (*cb)(struct offsets_commit_req *req, int status))
{
    struct env *env = partition_env(coordinator);
    req->cb = cb;
    req->produce.message[0] = '\0';
    memset(&req->task, 0, sizeof req->task);
    struct slice batch;
    req->status = check(group, commits, count, req->produce.message, sizeof req->produce.message);
    if (req->status == 0)
        req->status = build(env, group, commits, count, &batch);
    if (req->status != 0) {
        env_defer(env, &req->task, on_refused);
        return;
    }
    partition_produce(coordinator, &req->produce, &batch, ACKS_ALL, on_produced);
    slice_unref(&batch);
}
