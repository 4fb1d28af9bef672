#include "node/storage/journal.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/bounds.h"
#include "node/storage/journal_internal.h"
#include "node/storage/transient.h"
#include <stdlib.h>
#include <string.h>

enum {
    COMPACT_LEAST = 1024 * 1024,
    SMALL_COMPACT_LEAST = 4096,
    COMPACT_FACTOR = 4,
    ALLOCATE_STEP = 256 * 1024,
};
static const uint64_t lazy_ns = 1000 * 1000000u;
static const uint64_t retry_ns = 200 * 1000000u;

/* ---- the worker's part ---- */

static int journal_reserve(struct journal *j, uint64_t end)
{
    if (end <= j->allocated)
        return 0;
    uint64_t wanted = (end / ALLOCATE_STEP + 1) * ALLOCATE_STEP;
    int status = env_file_allocate(j->file, j->allocated, wanted - j->allocated);
    if (status == 0)
        j->allocated = wanted;
    return status;
}

static int journal_append_round(struct journal *j)
{
    struct env_iovec iov = {j->round.image.data, j->round.image.size};
    int status = journal_reserve(j, j->round.position + j->round.image.size);

    if (status == 0)
        status = env_file_write(j->file, &iov, 1, j->round.position);
    if (status != 0)
        return status;
    status = env_file_sync(j->file);
    return status == ERR_NO_SPACE ? ERR_IO : status; /* a failed sync is final, whatever its reason */
}

static int journal_compact_round(struct journal *j)
{
    struct env_file *file;
    int status = journal_write_new(j, &j->round.image, &file);

    if (status != 0)
        return status;
    env_file_close(j->options.env, j->file);
    j->file = file;
    j->allocated = j->round.image.size;
    return 0;
}

static void journal_work(struct env_work *job)
{
    struct journal *j = container_of(job, struct journal, job);

    j->round.status = j->round.compacts ? journal_compact_round(j) : journal_append_round(j);
}

/* ---- rounds ---- */

static void journal_round_done(struct env_work *job);
static void journal_flush(struct env_task *task);

static void journal_plan_compaction(struct journal *j)
{
    uint64_t size = j->live_bytes * COMPACT_FACTOR;

    size_t least = env_bound(j->options.env, BOUND_JOURNAL, COMPACT_LEAST, SMALL_COMPACT_LEAST);
    j->compact_at = size > least ? size : least;
}

static void journal_encode_round(struct journal *j)
{
    struct bytes body;

    if (!j->round.compacts) {
        journal_frame_encode(&j->round.image, j->next_round, &j->taken);
        return;
    }
    struct bytes frame;
    bytes_init(&body);
    bytes_init(&frame);
    journal_encode_state(j, &body); /* has what is taken already */
    journal_frame_encode(&frame, j->next_round, &body);
    bytes_clear(&j->round.image);
    journal_header_encode(&j->round.image, j->next_round);
    bytes_append(&j->round.image, frame.data, frame.size);
    bytes_close(&frame);
    bytes_close(&body);
}

static void journal_start_round(struct journal *j)
{
    struct bytes empty = j->taken;

    j->taken = j->pending;
    j->pending = empty;
    bytes_clear(&j->pending);
    j->round.compacts =
        j->outdated || (j->position + j->taken.size > j->compact_at && j->live_bytes * 2 < j->compact_at);
    j->round.position = j->position;
    j->round.sequence = j->sequence;
    journal_encode_round(j);
    j->round_runs = true;
    j->urgent = false;
    env_timer_stop(j->options.env, &j->timer);
    env_work(j->options.env, &j->job, journal_work, journal_round_done);
}

static void journal_lazy_due(struct env_timer *timer)
{
    struct journal *j = container_of(timer, struct journal, timer);

    j->retry_waits = false;
    env_defer(j->options.env, &j->task, journal_flush);
}

static bool journal_can_start(const struct journal *j)
{
    return !j->round_runs && !j->retry_waits && j->status == 0 && j->pending.size > 0;
}

static void journal_finish_close(struct journal *j)
{
    void (*closed)(void *data) = j->closed;
    void *data = j->closed_data;

    env_timer_stop(j->options.env, &j->timer);
    env_task_cancel(j->options.env, &j->task);
    env_file_close(j->options.env, j->file);
    journal_free_state(j);
    bytes_close(&j->pending);
    bytes_close(&j->taken);
    bytes_close(&j->round.image);
    free(j->path);
    free(j->new_path);
    free(j->directory);
    free(j);
    if (closed != NULL)
        closed(data);
}

static void journal_flush(struct env_task *task)
{
    struct journal *j = container_of(task, struct journal, task);

    if (journal_can_start(j))
        journal_start_round(j);
    else if (j->closing && !j->round_runs)
        journal_finish_close(j);
}

/* ---- completing ---- */

static void journal_wake(struct journal *j)
{
    while (!queue_empty(&j->waiting)) {
        struct journal_wait *wait = QUEUE_ENTRY(queue_first(&j->waiting), struct journal_wait, node);
        if (wait->sequence > j->durable && j->status == 0)
            return;
        queue_remove(&wait->node);
        wait->cb(wait, wait->sequence <= j->durable ? 0 : j->status);
    }
}

static void journal_round_succeeded(struct journal *j)
{
    j->durable = j->round.sequence;
    j->next_round++;
    if (j->round.compacts) {
        j->outdated = false;
        j->position = j->round.image.size;
        env_bound_passed(j->options.env, BOUND_JOURNAL);
        journal_plan_compaction(j);
    } else {
        j->position += j->round.image.size;
    }
    journal_wake(j);
    if (j->options.durable != NULL)
        j->options.durable(j->options.data, j->durable);
}

/* A full disk: the records go back in front, and wait. */
static void journal_round_waits(struct journal *j)
{
    const char *what = j->round.status == ERR_NO_SPACE
                           ? "disk full: the journal waits for room"
                           : "too many open files: the journal waits; raise the limit (ulimit -n)";

    LOG(j->options.logger, LOG_ERROR, what, "bytes=%zu", j->round.image.size);
    if (j->round.compacts)
        j->compact_at *= 2;
    bytes_append(&j->taken, j->pending.data, j->pending.size);
    struct bytes both = j->taken;
    j->taken = j->pending;
    j->pending = both;
    bytes_clear(&j->taken);
    j->retry_waits = !j->closing;
    if (j->retry_waits)
        env_timer_start(j->options.env, &j->timer, retry_ns, journal_lazy_due);
    else
        bytes_clear(&j->pending); /* closing: nobody waits for it any more */
}

static void journal_start_lazy_timer(struct journal *j)
{
    if (j->pending.size > 0 && !j->round_runs && j->status == 0 && !env_timer_running(&j->timer))
        env_timer_start(j->options.env, &j->timer, lazy_ns, journal_lazy_due);
}

static void journal_round_done(struct env_work *job)
{
    struct journal *j = container_of(job, struct journal, job);

    j->round_runs = false;
    if (j->round.status == 0) {
        journal_round_succeeded(j);
    } else if (error_is_transient(j->round.status)) {
        journal_round_waits(j);
    } else {
        j->status = j->round.status;
        LOG(j->options.logger, LOG_ERROR, "journal failed: this node stops", "error=%s",
            error_name(j->status));
        journal_wake(j);
        if (j->options.failed != NULL)
            j->options.failed(j->options.data, j->status);
    }
    if (j->urgent || j->closing)
        env_defer(j->options.env, &j->task, journal_flush);
    else
        journal_start_lazy_timer(j);
}

/* ---- open and close ---- */

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = memory_strdup(slash == NULL ? "." : path);

    if (slash != NULL)
        directory[slash == path ? 1 : slash - path] = '\0';
    return directory;
}

static char *path_with_suffix(const char *path, const char *suffix)
{
    size_t size = strlen(path);
    size_t suffix_size = strlen(suffix) + 1;
    char *joined = memory_alloc(size + suffix_size);

    memcpy(joined, path, size);
    memcpy(joined + size, suffix, suffix_size);
    return joined;
}

int journal_open(const struct journal_options *options, struct journal **journal, char *message,
                 size_t message_size)
{
    struct journal *j = memory_zalloc(sizeof(*j));

    j->options = *options;
    j->path = memory_strdup(options->path);
    j->new_path = path_with_suffix(options->path, ".new");
    j->directory = directory_of(options->path);
    j->next_round = 1;
    queue_init(&j->waiting);
    int status = journal_recover(j, message, message_size);
    if (status == 0) {
        journal_plan_compaction(j);
        *journal = j;
        return 0;
    }
    if (j->file != NULL)
        env_file_close(options->env, j->file);
    journal_free_state(j);
    free(j->path);
    free(j->new_path);
    free(j->directory);
    free(j);
    return status;
}

void journal_close(struct journal *j, void (*closed)(void *data), void *data)
{
    ASSERT(!j->closing);
    j->closing = true;
    j->closed = closed;
    j->closed_data = data;
    if (j->retry_waits) {
        j->retry_waits = false;
        bytes_clear(&j->pending);
    }
    env_defer(j->options.env, &j->task, journal_flush);
}

/* ---- puts ---- */

static uint64_t journal_put(struct journal *j, const struct journal_record *record, bool lazy)
{
    journal_record_encode(&j->pending, record->type, record->group_id, record->payload, record->payload_size);
    journal_apply(j, record);
    j->sequence++;
    if (lazy) {
        journal_start_lazy_timer(j);
    } else {
        j->urgent = true;
        env_defer(j->options.env, &j->task, journal_flush);
    }
    return j->sequence;
}

static uint64_t journal_put_numbers(struct journal *j, enum journal_record_type type, uint64_t group_id,
                                    uint64_t a, uint64_t b, size_t size, bool lazy)
{
    unsigned char payload[16];

    store_be64(payload, a);
    store_be64(payload + 8, b);
    struct journal_record record = {type, group_id, payload, size, {a, b, 0}};
    return journal_put(j, &record, lazy);
}

uint64_t journal_put_hard_state(struct journal *j, uint64_t group_id, uint64_t term, uint64_t vote)
{
    return journal_put_numbers(j, JOURNAL_HARD_STATE, group_id, term, vote, 16, false);
}

void journal_put_hard_state_lazy(struct journal *j, uint64_t group_id, uint64_t term, uint64_t vote)
{
    (void)journal_put_numbers(j, JOURNAL_HARD_STATE, group_id, term, vote, 16, true);
}

uint64_t journal_put_floor(struct journal *j, uint64_t group_id, uint64_t floor_index)
{
    return journal_put_numbers(j, JOURNAL_FLOOR, group_id, floor_index, 0, 8, false);
}

void journal_put_floor_lazy(struct journal *j, uint64_t group_id, uint64_t floor_index)
{
    (void)journal_put_numbers(j, JOURNAL_FLOOR, group_id, floor_index, 0, 8, true);
}

static uint64_t journal_put_flags(struct journal *j, uint64_t group_id, unsigned char flags)
{
    struct journal_record record = {JOURNAL_DAMAGED, group_id, &flags, JOURNAL_DAMAGED_SIZE, {flags, 0, 0}};

    return journal_put(j, &record, false);
}

uint64_t journal_put_damaged(struct journal *j, uint64_t group_id, bool damaged)
{
    struct journal_group on_record;

    journal_get(j, group_id, &on_record);
    if (damaged && on_record.emptied)
        return journal_put_emptied(j, group_id);
    return journal_put_flags(j, group_id, damaged ? JOURNAL_IS_DAMAGED : 0);
}

uint64_t journal_put_emptied(struct journal *j, uint64_t group_id)
{
    return journal_put_flags(j, group_id, JOURNAL_IS_DAMAGED | JOURNAL_IS_EMPTIED);
}

static bool is_before(uint64_t term, uint64_t index, uint64_t other_term, uint64_t other_index)
{
    return term < other_term || (term == other_term && index < other_index);
}

static uint64_t journal_put_end(struct journal *j, uint64_t group_id, uint64_t end_term, uint64_t end_index,
                                bool at_rest)
{
    unsigned char payload[JOURNAL_KNOWN_END_SIZE] = {JOURNAL_IS_DAMAGED | (at_rest ? JOURNAL_IS_AT_REST : 0)};
    struct journal_group on_record;

    journal_get(j, group_id, &on_record);
    bool unknown = end_index == 0 || (on_record.damaged && on_record.known_end_index == 0);
    if (unknown && !on_record.at_rest)
        return journal_put_damaged(j, group_id, true);
    if (unknown || (on_record.damaged &&
                    is_before(end_term, end_index, on_record.known_end_term, on_record.known_end_index))) {
        end_term = on_record.known_end_term;
        end_index = on_record.known_end_index;
    }
    store_be64(payload + 1, end_term);
    store_be64(payload + 9, end_index);
    struct journal_record record = {
        JOURNAL_DAMAGED, group_id, payload, sizeof(payload), {payload[0], end_term, end_index}};
    return journal_put(j, &record, false);
}

uint64_t journal_put_damaged_before(struct journal *j, uint64_t group_id, uint64_t end_term,
                                    uint64_t end_index)
{
    return journal_put_end(j, group_id, end_term, end_index, false);
}

uint64_t journal_put_damaged_at_rest(struct journal *j, uint64_t group_id, uint64_t end_term,
                                     uint64_t end_index)
{
    return journal_put_end(j, group_id, end_term, end_index, true);
}

static uint64_t journal_put_snapshot_record(struct journal *j, uint64_t group_id, struct slice snapshot,
                                            bool lazy)
{
    struct journal_record record = {JOURNAL_SNAPSHOT, group_id, snapshot.data, snapshot.size, {0}};

    return journal_put(j, &record, lazy);
}

uint64_t journal_put_snapshot(struct journal *j, uint64_t group_id, struct slice snapshot)
{
    return journal_put_snapshot_record(j, group_id, snapshot, false);
}

uint64_t journal_put_snapshot_lazy(struct journal *j, uint64_t group_id, struct slice snapshot)
{
    return journal_put_snapshot_record(j, group_id, snapshot, true);
}

uint64_t journal_put_fetched(struct journal *j, uint64_t group_id, uint64_t from, uint64_t after_term)
{
    return journal_put_numbers(j, JOURNAL_FETCHED, group_id, from, after_term, 16, false);
}

uint64_t journal_forget(struct journal *j, uint64_t group_id)
{
    struct journal_record record = {JOURNAL_FORGET, group_id, NULL, 0, {0}};

    return journal_put(j, &record, false);
}

uint64_t journal_durable(const struct journal *j)
{
    return j->durable;
}

/* ---- waiting ---- */

void journal_wait(struct journal *j, struct journal_wait *wait, uint64_t sequence,
                  void (*cb)(struct journal_wait *wait, int status))
{
    struct queue *before = j->waiting.prev;

    wait->cb = cb;
    wait->sequence = sequence;
    queue_init(&wait->node);
    if (sequence <= j->durable || j->status != 0) {
        cb(wait, sequence <= j->durable ? 0 : j->status);
        return;
    }
    while (before != &j->waiting && QUEUE_ENTRY(before, struct journal_wait, node)->sequence > sequence)
        before = before->prev;
    queue_push_front(before, &wait->node);
}

void journal_wait_cancel(struct journal_wait *wait)
{
    if (wait->node.next != NULL)
        queue_remove(&wait->node);
}
