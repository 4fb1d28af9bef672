#include "node/consensus/group.h"
#include "node/consensus/configuration.h"
#include "node/consensus/entry_memory.h"
#include "node/consensus/group_internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- looking into the core ---- */

int group_replica_position(const struct group *g, uint32_t node_id)
{
    for (unsigned i = 0; i < g->replica_count; i++)
        if (g->replicas[i] == node_id)
            return (int)i;
    return -1;
}

const struct raft_entry *group_entry(const struct group *g, uint64_t index)
{
    const struct raft_log *l = &g->raft.log;
    size_t n = l->front <= l->back ? l->back - l->front : l->size - l->front + l->back;
    if (index <= l->offset || index > l->offset + n)
        return NULL;
    return &l->entries[(l->front + (size_t)(index - 1 - l->offset)) % l->size];
}

uint64_t group_term_of(const struct group *g, uint64_t index)
{
    if (index != 0 && index == g->raft.log.snapshot.last_index)
        return g->raft.log.snapshot.last_term;
    const struct raft_entry *entry = group_entry(g, index);
    return entry ? entry->term : 0;
}

struct raft_progress *group_progress(struct group *g, uint64_t node_id)
{
    if (!group_leads(g) || !g->raft.leader_state.progress)
        return NULL;
    for (unsigned i = 0; i < g->raft.configuration.n; i++)
        if (g->raft.configuration.servers[i].id == node_id)
            return &g->raft.leader_state.progress[i];
    return NULL;
}

/* ---- the core's life ---- */

static void core_settings(struct group *g)
{
    const struct consensus_options *o = &g->consensus->options;
    raft_set_heartbeat_timeout(&g->raft, (unsigned)o->heartbeat_ms);
    raft_set_election_timeout(&g->raft, (unsigned)o->election_timeout_ms);
    raft_set_install_snapshot_timeout(&g->raft, 1000);
    raft_set_snapshot_threshold(&g->raft, UINT_MAX);
    raft_set_snapshot_trailing(&g->raft, 1);
    raft_set_pre_vote(&g->raft, true);
}

static int core_error(int rv)
{
    return rv == RAFT_CORRUPT || rv == RAFT_MALFORMED ? ERR_CORRUPT : rv == RAFT_IOERR ? ERR_IO : ERR_UNKNOWN;
}

int group_start_core(struct group *g, char *message, size_t message_size)
{
    char address[16];
    uint32_t id = g->consensus->options.node_id;
    snprintf(address, sizeof address, "%u", id);
    raft_io_init(g);
    fsm_init(g);
    int rv = raft_init(&g->raft, &g->io, &g->fsm, id, address);
    ASSERT(rv == 0);
    core_settings(g);
    g->applied_bytes = 0;
    g->applied_offset = 0;
    g->match = 0;
    g->match_term = 0;
    struct journal_group state;
    journal_get(g->consensus->options.journal, g->id, &state);
    if (load_finds_nothing(g) || state.snapshot.size == 0)
        g->callbacks->restore(g->data, NULL, 0, 0);
    g->running = true;
    ticks_soon(&g->consensus->ticks, g);
    rv = raft_start(&g->raft);
    g->start_empty = false;
    if (rv == 0) {
        repair_note_started(g);
        entry_memory_note_started(g);
        return 0;
    }
    if (core_error(rv) == ERR_CORRUPT)
        snprintf(message, message_size,
                 "can't load the replica of %s: %s; to rebuild it from its leader, move %s away", g->name,
                 raft_errmsg(&g->raft), g->directory);
    else
        snprintf(message, message_size, "can't load the replica of %s: %s", g->name, raft_errmsg(&g->raft));
    group_stop_core(g);
    return core_error(rv);
}

static void on_core_closed(struct raft *raft)
{
    (void)raft;
}

void group_stop_core(struct group *g)
{
    if (!g->running)
        return;
    g->running = false; /* nothing re-enters while the core completes what is outstanding */
    transfer_cancel(g, ERR_CANCELED);
    proposals_fail(g);
    read_index_fail(g);
    entry_memory_set(g, 0);
    raft_close(&g->raft, on_core_closed); /* synchronous: io_close completes everything at once */
    if (g->lead_term != 0 && g->ready)
        leaders_announce(g->consensus, g->id, 0, g->lead_term);
    g->lead_term = 0;
    g->barrier_index = 0;
    g->ready = false;
    outbox_clear(g);
}

/* ---- failing ---- */

static void on_fail(struct env_task *task)
{
    struct group *g = container_of(task, struct group, fail_task);
    if (g->failed_told)
        return;
    g->failed_told = true;
    catchup_abort(g, "replica failed");
    group_stop_core(g);
    if (g->callbacks->role_changed)
        g->callbacks->role_changed(g->data, GROUP_FAILED, g->told_term, false);
    if (g->callbacks->failed)
        g->callbacks->failed(g->data, g->failed_status, g->failed_message);
}

void group_fail(struct group *g, int status, const char *message)
{
    if (g->failed_status != 0)
        return;
    char quoted[300];
    g->failed_status = status != 0 ? status : ERR_UNKNOWN;
    snprintf(g->failed_message, sizeof g->failed_message, "%s", message);
    LOG(g->consensus->options.logger, LOG_ERROR, "replica stopped", "group=%s cause=%s reason=%s", g->name,
        error_name(status), logger_quote(quoted, sizeof quoted, message));
    env_defer(group_env(g), &g->fail_task, on_fail);
}

static void on_log_failed(void *data, int status)
{
    group_fail(data, status, "the disk failed: a write or sync of the replica's log returned an error");
}

/* ---- opening ---- */

static void group_free(struct group *g)
{
    struct consensus *c = g->consensus;
    group_map_remove(&c->groups_by_id, g->id);
    ticks_remove(&c->ticks, g);
    queue_remove(&g->node);
    queue_remove(&g->waiting);
    election_forget(g);
    env_task_cancel(c->options.env, &g->fail_task);
    env_task_cancel(c->options.env, &g->propose_task);
    env_task_cancel(c->options.env, &g->read_task);
    env_task_cancel(c->options.env, &g->transfer_task);
    env_timer_stop(c->options.env, &g->transfer_timer);
    free(g->sends);
    free(g->gets);
    free(g->heard_ms);
    free(g->strangers);
    free(g->name);
    free(g->directory);
    free(g);
}

static void finish_open(struct group *g, int status, const char *message)
{
    g->opening = false;
    if (status != 0) {
        env_task_cancel(group_env(g), &g->fail_task); /* the opener is told here */
        g->failed_status = status;
        snprintf(g->failed_message, sizeof g->failed_message, "%s", message);
    }
    bool close_waits = g->closing;
    g->opened(g->data, g, status, message);
    if (close_waits)
        group_close_now(g);
    else if (!g->closing)
        group_after(g);
}

static int open_log(struct group *g);

static void on_closed_for_reopen(void *data)
{
    struct group *g = data;
    g->log = NULL;
    int rv = g->closing ? ERR_CANCELED : open_log(g);
    if (rv != 0)
        finish_open(g, rv, "can't open the replica's log again");
}

/* Recovery believes sealed segments until they are read. Now one has been, and is damaged: the log has put
 * that into the journal, and distrusts everything when it is opened again. */
static void reopen_damaged(struct group *g)
{
    g->reopened = true;
    group_stop_core(g);
    env_task_cancel(group_env(g), &g->fail_task);
    g->failed_status = 0;
    log_close(g->log, false, on_closed_for_reopen, g);
}

static void start_replica(struct group *g)
{
    char message[256] = "";
    if (g->closing) {
        finish_open(g, ERR_CANCELED, "closed while opening");
        return;
    }
    int rv = group_start_core(g, message, sizeof message);
    if (rv == ERR_CORRUPT && !g->reopened) {
        reopen_damaged(g);
        return;
    }
    if (rv == 0 && g->campaign_at_once)
        election_campaign(g);
    finish_open(g, rv, message);
}

static void on_bootstrapped(struct log_append_req *req, int status)
{
    struct group *g = container_of(req, struct group, bootstrap_req);
    if (!g->opening)
        return;
    if (status != 0)
        group_stop_core(g);
    finish_open(g, status, "can't write the replica's first entry");
}

/* The election need not wait for the first entry: who loses that with the power makes it again, and what
 * follows it in the log, mostly in the same round, is not durable before it. */
static void start_new_replica(struct group *g)
{
    char message[256] = "";
    int rv = group_start_core(g, message, sizeof message);
    if (rv != 0)
        finish_open(g, rv, message);
    else if (g->campaign_at_once)
        election_campaign(g);
}

/* Entry 1 is the configuration, in term 1, the same bytes on every initial replica. Nobody votes in that
 * term, so that it may be on record as late as the first vote. */
static void bootstrap(struct group *g, uint64_t term)
{
    struct raft_configuration configuration;
    if (term == 0)
        journal_put_hard_state_lazy(g->consensus->options.journal, g->id, BOOTSTRAP_TERM, 0);
    configuration_of_voters(&configuration, g->replicas, g->replica_count);
    struct raft_buffer encoded = configuration_encode(&configuration);
    raft_configuration_close(&configuration);
    struct log_entry entry = {.index = 1,
                              .term = BOOTSTRAP_TERM,
                              .kind = LOG_CHANGE,
                              .bytes = slice_copy(encoded.base, encoded.len)};
    raft_free(encoded.base);
    /* A partition's goes with the entry that follows an election. The metadata group's is stored at once:
     * while only some have theirs, the founders need each other. */
    (g->abstains_when_new ? log_append : log_append_soon)(g->log, &g->bootstrap_req, &entry, 1,
                                                          on_bootstrapped);
    slice_unref(&entry.bytes);
    start_new_replica(g);
}

/* A term is in the journal before its first entry is in the log, but for the term that a group is created
 * with: somebody has cut the journal, or put an old one in its place, or the disk has lost a write. What this
 * node has voted since is not known. */
static void check_journal(struct group *g, const struct journal_group *state)
{
    uint64_t term = log_last_term(g->log);
    if (g->known_end_term > term)
        term = g->known_end_term;
    if ((g->damaged && g->known_end_index == 0) || term <= BOOTSTRAP_TERM || term <= state->term)
        return;
    LOG(g->consensus->options.logger, LOG_ERROR,
        "the journal is older than the replica's log: treated as damaged, because votes may be lost",
        "group=%s journal_term=%llu log_term=%llu", g->name, (unsigned long long)state->term,
        (unsigned long long)term);
    g->damaged = true;
    g->known_end_index = 0;
    journal_put_damaged(g->consensus->options.journal, g->id, true);
}

static void note_recovery(struct group *g, const struct log_recovery *recovery,
                          const struct journal_group *state)
{
    char quoted[300];
    g->damaged = state->damaged || recovery->damaged;
    g->emptied = state->emptied;
    g->known_end_term = state->known_end_term;
    g->known_end_index = state->damaged ? state->known_end_index : 0;
    if (!recovery->damaged)
        return;
    LOG(g->consensus->options.logger, LOG_ERROR, "the replica's log is damaged",
        "group=%s index=%llu reason=%s", g->name, (unsigned long long)recovery->damaged_index,
        logger_quote(quoted, sizeof quoted, recovery->message));
    if (!state->damaged)
        journal_put_damaged(g->consensus->options.journal, g->id, true);
}

/* With nobody to repair it from, refusing to vote would only make the loss total. */
static void accept_damage_of_single(struct group *g)
{
    if (!g->damaged || g->replica_count != 1)
        return;
    LOG(g->consensus->options.logger, LOG_ERROR,
        "single replica goes on with what is left of its damaged log", "group=%s", g->name);
    g->damaged = g->emptied = false;
    journal_put_damaged(g->consensus->options.journal, g->id, false);
}

static void on_log_open(struct log_open_req *req, int status, struct log *log,
                        const struct log_recovery *recovery)
{
    struct group *g = container_of(req, struct group, open_req);
    struct journal_group state;
    if (status != 0) {
        finish_open(g, status, recovery->message);
        return;
    }
    g->log = log;
    journal_get(g->consensus->options.journal, g->id, &state);
    g->fetched_from = state.fetched_from;
    g->fetched_after_term = state.fetched_after_term;
    note_recovery(g, recovery, &state);
    check_journal(g, &state);
    accept_damage_of_single(g);
    newcomer_note_opened(g, state.snapshot.size > 0);
    bool empty = log_last_index(log) < log_first_index(log);
    if (!g->closing && !g->damaged && empty && log_first_index(log) == 1 && state.snapshot.size == 0)
        bootstrap(g, state.term);
    else
        start_replica(g);
}

static int open_log(struct group *g)
{
    const struct consensus_options *o = &g->consensus->options;
    struct log_options options = {
        .env = o->env,
        .logger = o->logger,
        .flusher = o->flusher,
        .journal = o->journal,
        .group_id = g->id,
        .directory = g->directory,
        .is_blank = g->is_blank,
        .segment_bytes = g->segment_bytes,
        .segment_ms = g->segment_ms,
        .cache_bytes = g->cache_bytes,
        .max_batch_bytes = o->max_batch_bytes,
        .failed = on_log_failed,
        .data = g,
    };
    g->is_blank = false; /* should it be opened again */
    return log_open(&options, &g->open_req, on_log_open);
}

static struct group *group_create(struct consensus *c, const struct group_options *o)
{
    struct group *g = memory_zalloc(sizeof *g);
    g->consensus = c;
    g->id = o->group_id;
    g->name = memory_strdup(o->name);
    g->directory = memory_strdup(o->directory);
    memcpy(g->replicas, o->replicas, o->replica_count * sizeof *o->replicas);
    g->replica_count = o->replica_count;
    g->heard_ms = memory_zalloc(o->replica_count * sizeof *g->heard_ms);
    g->strangers = memory_zalloc(o->replica_count * sizeof *g->strangers);
    g->callbacks = o->callbacks;
    g->data = o->data;
    g->opening = true;
    struct queue *queues[] = {&g->waiting,      &g->appends,    &g->outbox,   &g->held,
                              &g->held_results, &g->nudge,      &g->gathered, &g->unstored,
                              &g->stored,       &g->reads_next, &g->reads};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        queue_init(queues[i]);
    queue_push(&c->groups, &g->node);
    group_map_add(&c->groups_by_id, g->id, g);
    ticks_add(&c->ticks, g);
    return g;
}

int group_open(struct consensus *c, const struct group_options *o, struct group **group,
               void (*cb)(void *data, struct group *group, int status, const char *message))
{
    if (consensus_group(c, o->group_id))
        return ERR_EXISTS;
    if (o->replica_count == 0 || o->replica_count > CONFIGURATION_MAX_SERVERS)
        return ERR_INVALID_ARGUMENT;
    struct group *g = group_create(c, o);
    g->opened = cb;
    g->campaign_at_once = o->campaign_at_once;
    g->is_blank = o->is_blank;
    g->abstains_when_new = o->abstains_when_new;
    g->segment_bytes = o->segment_bytes;
    g->segment_ms = o->segment_ms;
    g->cache_bytes = o->cache_bytes;
    int rv = open_log(g);
    if (rv != 0)
        group_free(g);
    else
        *group = g;
    return rv;
}

/* ---- closing ---- */

static void on_log_closed(void *data)
{
    struct group *g = data;
    void (*closed)(void *) = g->closed;
    void *closed_data = g->closed_data;
    group_free(g);
    closed(closed_data);
}

static void on_close(struct env_task *task)
{
    on_log_closed(container_of(task, struct group, close_task));
}

void group_close_now(struct group *g)
{
    g->close_asked = false;
    catchup_abort(g, "closing");
    group_stop_core(g);
    group_after(g);
    env_task_cancel(group_env(g), &g->propose_task);
    if (g->log)
        log_close(g->log, g->close_clean && g->failed_status == 0, on_log_closed, g);
    else
        env_defer(group_env(g), &g->close_task, on_close);
}

void group_close(struct group *g, bool clean, void (*closed)(void *data), void *data)
{
    ASSERT(!g->closing);
    g->closing = true;
    g->close_clean = clean;
    g->closed = closed;
    g->closed_data = data;
    env_task_cancel(group_env(g), &g->fail_task);
    if (g->busy)
        g->close_asked = true;
    else if (!g->opening)
        group_close_now(g); /* else once it is open */
}

/* ---- events ---- */

/* A peer's new process may have lost what its old one acknowledged (a damaged disk): forget what we knew of
 * it. */
void group_peer_restarted(struct group *g, uint32_t node_id)
{
    struct raft_progress *progress = group_progress(g, node_id);
    if (!progress)
        return;
    *progress = (struct raft_progress){.next_index = raft_last_index(&g->raft) + 1,
                                       .recent_recv = progress->recent_recv};
    ticks_soon(&g->consensus->ticks, g);
}

void group_peer_lost(struct group *g, uint32_t node_id)
{
    if (g->catchup)
        catchup_peer_lost(g, node_id);
}
