#include "node/cluster/group0.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "proto/error.h"
#include <inttypes.h>
#include <string.h>

enum {
    SEGMENT_BYTES = 16 << 20,
    CACHE_BYTES = 1 << 20,
    COMMAND_MAX_BYTES = 16 << 20,
};
static const uint64_t segment_ms = UINT64_C(7) * 24 * 3600 * 1000;
static const uint64_t reopen_pause_ns = UINT64_C(500) * 1000 * 1000;

/* ---- the state machine ---- */

/* The proposal of this node that made this entry, if it was one. Another leader's entry can take the index of
 * a proposal that was lost with its term. */
static struct group0_proposal *proposal_at(struct group0 *g, uint64_t index, int32_t leader_epoch)
{
    QUEUE_FOREACH (node, &g->proposals) {
        struct group0_proposal *p = QUEUE_ENTRY(node, struct group0_proposal, node);
        if (p->proposal.index == index) {
            return (int32_t)p->term == leader_epoch ? p : NULL;
        }
    }
    return NULL;
}

static void apply_command(struct group0 *g, uint64_t index, const struct batch_header *header,
                          const struct record *record)
{
    int64_t first_producer_id = metadata_next_producer_id(g->metadata);
    int result = metadata_apply(g->metadata, record->value, record->value_size);
    if (result == ERR_CORRUPT || result == ERR_UNSUPPORTED) {
        LOG(g->options.logger, LOG_WARN,
            "metadata command not understood: is a newer version in the cluster?",
            "index=%" PRIu64 " error=%s", index, error_name(result));
    }
    struct group0_proposal *p = proposal_at(g, index, header->leader_epoch);
    if (p != NULL) {
        p->applied = true;
        p->result = result;
        p->version = metadata_version(g->metadata);
        p->first_producer_id = first_producer_id;
    }
}

bool group0_joined(struct group0 *g)
{
    if (g->group != NULL) {
        g->is_joined = group_joined(g->group);
    }
    return g->is_joined;
}

static void on_joined(void *data)
{
    struct group0 *g = data;
    g->options.joined(g->options.data);
    g->options.changed(g->options.data);
}

static void on_apply(void *data, uint64_t index, const struct batch_header *header, const struct slice *bytes)
{
    struct group0 *g = data;
    struct batch_reader reader;
    struct record record;
    int rc = batch_reader_init(&reader, bytes->data, bytes->size, COMMAND_MAX_BYTES);
    if (rc != 0) {
        LOG(g->options.logger, LOG_ERROR, "unreadable batch in the metadata log",
            "index=%" PRIu64 " error=%s", index, error_name(rc));
        return;
    }
    while (batch_reader_next(&reader, &record) == 1) {
        apply_command(g, index, header, &record);
    }
    batch_reader_close(&reader);
    g->options.changed(g->options.data);
}

static void on_role_changed(void *data, enum group_role role, uint64_t term, bool ready)
{
    struct group0 *g = data;
    bool was_ready = g->is_ready;
    g->is_ready = role == GROUP_LEADER && ready;
    if (g->is_ready != was_ready) {
        LOG(g->options.logger, LOG_INFO, g->is_ready ? "became controller" : "no longer controller",
            "term=%" PRIu64, term);
    }
    g->options.changed(g->options.data);
}

static void on_snapshot(void *data, struct bytes *out)
{
    struct group0 *g = data;
    metadata_snapshot(g->metadata, out);
}

static int on_restore(void *data, const void *state, size_t size, int64_t next_offset)
{
    (void)next_offset;
    struct group0 *g = data;
    int rc = metadata_restore(g->metadata, state, size);
    g->options.changed(g->options.data);
    return rc;
}

static void on_timer(struct env_timer *timer);

/* Files that turn out to be damaged are repaired by opening them again. After a failed write or sync nobody
 * knows what is on the disk, and that is for a person to look at. */
static void on_failed(void *data, int status, const char *message)
{
    struct group0 *g = data;
    char quoted[256];
    bool is_reopened = status == ERR_CORRUPT;
    g->has_failed = true;
    g->is_ready = false;
    LOG(g->options.logger, LOG_ERROR,
        is_reopened ? "the metadata replica of this node failed and will be opened again"
                    : "the metadata replica of this node failed: repair its disk and restart the node",
        "error=%s reason=%s", error_name(status), logger_quote(quoted, sizeof quoted, message));
    if (is_reopened && g->reopening == GROUP0_STAYS) {
        g->reopening = GROUP0_FAILED;
        env_timer_start(g->options.env, &g->timer, 0, on_timer);
    }
    g->options.changed(g->options.data);
}

static const struct group_callbacks group_callbacks = {
    .apply = on_apply,
    .role_changed = on_role_changed,
    .snapshot = on_snapshot,
    .restore = on_restore,
    .joined = on_joined,
    .failed = on_failed,
};

/* ---- life ---- */

static void on_opened(void *data, struct group *group, int status, const char *message)
{
    struct group0 *g = data;
    (void)group;
    retry_note_success(&g->retry, env_now_ns(g->options.env));
    g->opened(g->options.data, status, message);
}

static int open_group(struct group0 *g, struct group **group,
                      void (*opened)(void *data, struct group *group, int status, const char *message))
{
    char directory[4096];
    data_dir_group_path(g->options.data_dir, METADATA_GROUP_ID, directory, sizeof directory);
    const struct group_options options = {
        .group_id = METADATA_GROUP_ID,
        .name = "metadata/0",
        .directory = directory,
        .replicas = g->voters,
        .replica_count = g->options.voter_count,
        .segment_bytes = SEGMENT_BYTES,
        .segment_ms = segment_ms,
        .cache_bytes = CACHE_BYTES,
        .campaign_at_once = g->options.campaign_at_once,
        .abstains_when_new = true,
        .callbacks = &group_callbacks,
        .data = g,
    };
    return group_open(g->options.consensus, &options, group, opened);
}

int group0_open(struct group0 *g, const struct group0_options *options,
                void (*opened)(void *data, int status, const char *message))
{
    *g = (struct group0){.metadata = metadata_create(), .options = *options, .opened = opened};
    memcpy(g->voters, options->voters, options->voter_count * sizeof g->voters[0]);
    queue_init(&g->proposals);
    int rc = open_group(g, &g->group, on_opened);
    g->is_open = rc == 0;
    return rc;
}

bool group0_is_open(const struct group0 *g)
{
    return g->is_open;
}

bool group0_caught_up(const struct group0 *g)
{
    return g->group != NULL && group_caught_up(g->group);
}

void group0_close(struct group0 *g, bool clean, void (*closed)(void *data), void *data)
{
    struct group *group = g->group != NULL ? g->group : g->reopened;
    g->is_open = false;
    g->group = NULL;
    g->is_ready = false;
    env_timer_stop(g->options.env, &g->timer);
    if (g->reopening == GROUP0_CLOSES) {
        g->closed = closed;
        g->closed_data = data;
    } else if (g->reopening == GROUP0_PAUSES) {
        closed(data);
    } else {
        group_close(group, clean, closed, data);
    }
}

void group0_release(struct group0 *g)
{
    ASSERT(g->group == NULL);
    metadata_destroy(g->metadata);
    g->metadata = NULL;
}

/* ---- opening again ---- */

static void pause_reopening(struct group0 *g)
{
    uint64_t pause_ns = retry_note_failure(&g->retry, env_now_ns(g->options.env), reopen_pause_ns);
    LOG(g->options.logger, LOG_WARN, "the metadata replica is opened again soon",
        "after_ms=%" PRIu64 " failures=%u", pause_ns / 1000000, g->retry.failures);
    g->reopening = GROUP0_PAUSES;
    env_timer_start(g->options.env, &g->timer, pause_ns, on_timer);
}

static void on_closed_to_reopen(void *data)
{
    struct group0 *g = data;
    g->reopened = NULL;
    if (g->closed != NULL) {
        g->closed(g->closed_data);
    } else {
        pause_reopening(g);
    }
}

static void close_to_reopen(struct group0 *g)
{
    struct group *group = g->group != NULL ? g->group : g->reopened;
    g->reopening = GROUP0_CLOSES;
    g->group = NULL;
    g->reopened = group;
    group_close(group, false, on_closed_to_reopen, g);
}

static void on_reopened(void *data, struct group *group, int status, const char *message)
{
    struct group0 *g = data;
    char quoted[256];
    if (!g->is_open) {
        return; /* is being closed */
    }
    if (status != 0) {
        LOG(g->options.logger, LOG_ERROR, "cannot open the metadata replica, will try again",
            "error=%s reason=%s", error_name(status), logger_quote(quoted, sizeof quoted, message));
        g->reopening = GROUP0_FAILED;
        env_timer_start(g->options.env, &g->timer, 0, on_timer);
        return;
    }
    LOG(g->options.logger, LOG_INFO, "the metadata replica runs again", "failures=%u", g->retry.failures);
    retry_note_success(&g->retry, env_now_ns(g->options.env));
    g->reopening = GROUP0_STAYS;
    g->reopened = NULL;
    g->group = group;
    g->has_failed = false;
    g->options.changed(g->options.data);
}

static void open_again(struct group0 *g)
{
    g->options.campaign_at_once = false;
    g->reopening = GROUP0_OPENS;
    if (open_group(g, &g->reopened, on_reopened) != 0) {
        g->reopened = NULL;
        pause_reopening(g);
    }
}

static void on_timer(struct env_timer *timer)
{
    struct group0 *g = container_of(timer, struct group0, timer);
    if (g->reopening == GROUP0_FAILED) {
        close_to_reopen(g);
    } else {
        open_again(g);
    }
}

/* ---- proposing ---- */

static void on_proposal_done(struct proposal *proposal, int status)
{
    struct group0_proposal *p = proposal->data;
    queue_remove(&p->node);
    ASSERT(status != 0 || p->applied);
    p->cb(p, status);
}

static struct slice command_batch(struct env *env, const Flotilla__MetadataCommand *command)
{
    struct bytes packed;
    struct bytes batch;
    struct batch_builder builder;
    const struct batch_options options = {
        .codec = BATCH_NONE, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    bytes_init(&packed);
    bytes_init(&batch);
    size_t size = flotilla__metadata_command__get_packed_size(command);
    flotilla__metadata_command__pack(command, bytes_extend(&packed, size));
    batch_builder_init(&builder);
    batch_builder_add(&builder, env_wall_ms(env), NULL, 0, packed.data, packed.size, NULL, 0);
    int rc = batch_builder_finish(&builder, &options, &batch);
    ASSERT(rc == 0);
    struct slice slice = slice_copy(batch.data, batch.size);
    batch_builder_close(&builder);
    bytes_close(&packed);
    bytes_close(&batch);
    return slice;
}

int group0_propose(struct group0 *g, struct group0_proposal *p, const Flotilla__MetadataCommand *command,
                   void (*cb)(struct group0_proposal *p, int status))
{
    if (g->group == NULL || !g->is_ready) {
        return ERR_NOT_LEADER;
    }
    p->cb = cb;
    p->applied = false;
    p->term = group_term(g->group);
    p->proposal.data = p;
    p->proposal.stored = NULL;
    struct slice batch = command_batch(g->options.env, command);
    int rc = group_propose(g->group, &p->proposal, &batch, on_proposal_done);
    slice_unref(&batch);
    if (rc == 0) {
        queue_push(&g->proposals, &p->node);
    }
    return rc;
}
