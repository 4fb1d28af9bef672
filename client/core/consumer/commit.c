/* Commits of a consumer, one after the other: an older one that is repeated must not undo a newer one. */
#include "client/core/consumer/consumer.h"
#include "client/core/consumer/member.h"

struct core_commit_entry {
    uint8_t topic_id[CORE_TOPIC_ID_SIZE];
    struct inbox_partition *shared; /* NULL: not read here */
    uint32_t partition;
    int64_t offset;
};

/* A commit under way; may outlive its consumer. */
struct core_commit_run {
    struct core_commit commit;
    char *metadata; /* of the explicit one, or NULL */
    char group[OPTION_TEXT_SIZE];
    char member_id[CORE_MEMBER_ID_SIZE]; /* "": no member */
    int64_t member_epoch; /* of the life in which it was read: in a later one the commit is refused */
    struct core_commit_entry *entries;
    size_t count;
    bool is_explicit; /* one entry, whose topic id comes with the call */
};

static void commits_next(struct core_consumer *consumer);

static void pack_commit(void *data, const uint8_t *topic_id, struct bytes *out)
{
    struct core_commit_run *run = data;
    Flotilla__CommitOffsetsRequest m = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    Flotilla__CommitOffset *offsets = core_alloc(run->count * sizeof(*offsets));
    Flotilla__CommitOffset **pointers = core_alloc(run->count * sizeof(*pointers));

    for (size_t i = 0; i < run->count; i++) {
        struct core_commit_entry *entry = &run->entries[i];
        flotilla__commit_offset__init(&offsets[i]);
        if (run->is_explicit)
            memcpy(entry->topic_id, topic_id, CORE_TOPIC_ID_SIZE);
        offsets[i].topic_id.data = entry->topic_id;
        offsets[i].topic_id.len = CORE_TOPIC_ID_SIZE;
        offsets[i].partition = entry->partition;
        offsets[i].offset = entry->offset;
        offsets[i].leader_epoch = -1;
        if (run->metadata != NULL)
            offsets[i].metadata = run->metadata;
        pointers[i] = &offsets[i];
    }
    m.group = run->group;
    m.member_id = run->member_id;
    m.member_epoch = run->member_epoch;
    m.offsets = pointers;
    m.n_offsets = run->count;
    protobuf_c_message_pack(&m.base, bytes_extend(out, protobuf_c_message_get_packed_size(&m.base)));
    free(pointers);
    free(offsets);
}

static void run_tell(struct core_commit_run *run, int status, const char *message)
{
    if (run->commit.cb != NULL)
        run->commit.cb(run->commit.data, status, message);
    run->commit.cb = NULL;
}

static void run_end(struct core_commit_run *run, int status, const char *message)
{
    run_tell(run, status, message);
    free(run->entries);
    free(run->metadata);
    free(run);
}

static void on_commit(void *data, int status, const char *message, const uint8_t *header, size_t size,
                      bool maybe_applied)
{
    struct core_commit_run *run = data;
    struct core_consumer *consumer = run->commit.consumer;

    (void)header, (void)size, (void)maybe_applied;
    if (consumer != NULL) {
        consumer->committing = NULL;
        for (size_t i = 0; status == 0 && i < run->count; i++)
            if (run->entries[i].shared != NULL)
                inbox_set_committed(consumer->inbox, run->entries[i].shared, run->entries[i].offset);
        if (status != 0) {
            inbox_untake_finished(consumer->inbox);
            core_log(consumer->core, FLOTILLA_LOG_WARNING,
                     "msg=\"commit failed\" group=%s error=%s reason=\"%s\"", run->group, error_name(status),
                     message);
        }
    }
    run_end(run, status, message);
    if (consumer != NULL)
        commits_next(consumer);
}

static struct core_commit_entry *add_entry(struct core_commit_run *run)
{
    run->entries = realloc(run->entries, (run->count + 1) * sizeof(*run->entries));
    if (run->entries == NULL)
        abort();
    memset(&run->entries[run->count], 0, sizeof(*run->entries));
    return &run->entries[run->count++];
}

static void add_finished(void *data, void *owner, int64_t offset)
{
    const struct core_consumer_partition *p = owner;
    struct core_commit_entry *entry = add_entry(data);

    memcpy(entry->topic_id, p->topic->id, CORE_TOPIC_ID_SIZE);
    entry->shared = p->shared;
    entry->partition = p->index;
    entry->offset = offset;
}

static void add_explicit(struct core_consumer *consumer, struct core_commit_run *run)
{
    struct core_topic *topic = core_topic_get(consumer->core, run->commit.topic);
    struct core_consumer_partition *p =
        core_consumer_partition_find(consumer, topic, (uint32_t)run->commit.partition);
    struct core_commit_entry *entry = add_entry(run);

    entry->shared = p != NULL ? p->shared : NULL;
    entry->partition = (uint32_t)run->commit.partition;
    entry->offset = run->commit.offset;
    run->is_explicit = true;
}

static struct core_commit *commits_pop(struct core_consumer *consumer)
{
    struct core_commit *commit = consumer->commits;

    if (commit == NULL)
        return NULL;
    consumer->commits = commit->next;
    if (consumer->commits == NULL)
        consumer->commits_end = &consumer->commits;
    return commit;
}

static struct core_commit_run *run_create(struct core_consumer *consumer, const struct core_commit *commit)
{
    struct core_commit_run *run = core_alloc(sizeof(*run));

    run->commit = *commit;
    run->commit.consumer = consumer;
    run->metadata = (char *)(uintptr_t)commit->metadata; /* the copy's is the run's from now on */
    memcpy(run->group, consumer->settings.group, sizeof(run->group));
    snprintf(run->member_id, sizeof(run->member_id), "%s", core_member_id(consumer->member));
    if (commit->topic[0] != '\0') {
        run->member_epoch = commit->member_epoch;
        add_explicit(consumer, run);
    } else {
        run->member_epoch = core_member_epoch(consumer->member);
        inbox_take_finished(consumer->inbox, add_finished, run);
    }
    return run;
}

static void commits_next(struct core_consumer *consumer)
{
    struct core_commit *commit;

    while (consumer->committing == NULL && (commit = commits_pop(consumer)) != NULL) {
        struct core_commit_run *run = run_create(consumer, commit);
        free(commit);
        if (run->count == 0) {
            run_end(run, 0, "");
            continue;
        }
        struct core_call_options call = {
            .target = CORE_COORDINATOR,
            .topic = run->is_explicit ? run->commit.topic : NULL,
            .group = run->group,
            .type = FRAME_COMMIT_OFFSETS,
            .timeout_ns = run->commit.timeout_ns,
            .pack = pack_commit,
            .cb = on_commit,
            .data = run,
        };
        consumer->committing = run;
        core_call_start(consumer->core, &call);
    }
}

void core_consumer_commit_start(struct core_consumer *consumer, const struct core_commit *commit)
{
    struct core_commit *copy = core_alloc(sizeof(*copy));

    *copy = *commit;
    copy->next = NULL;
    copy->member_epoch = core_member_epoch(consumer->member);
    copy->metadata = NULL;
    if (commit->metadata != NULL) {
        size_t size = strlen(commit->metadata) + 1;
        copy->metadata = memcpy(core_alloc(size), commit->metadata, size);
    }
    *consumer->commits_end = copy;
    consumer->commits_end = &copy->next;
    commits_next(consumer);
}

void core_consumer_commit(struct core_consumer *consumer, const struct core_commit *commit)
{
    core_consumer_commit_start(consumer, commit);
    core_run(consumer->core);
}

void core_consumer_commits_cancel(struct core_consumer *consumer)
{
    struct core_commit *commit;

    if (consumer->committing != NULL) {
        run_tell(consumer->committing, ERR_OUTCOME_UNKNOWN, "the consumer was destroyed meanwhile");
        consumer->committing->commit.consumer = NULL;
    }
    consumer->committing = NULL;
    while ((commit = commits_pop(consumer)) != NULL) {
        if (commit->cb != NULL)
            commit->cb(commit->data, ERR_CANCELED, "the consumer was destroyed");
        free((void *)(uintptr_t)commit->metadata);
        free(commit);
    }
}
