/* What the core gets to know at start: hard state and snapshot from the journal, entries from the log.
 *
 * Ordinarily the log begins at or before the snapshot's next entry and ends at or after the snapshot. Damage
 * can break that, and then the simplest safe thing is done (docs/decisions/0013):
 *
 *   the log ends before the snapshot   the core starts as of the log's end; entries up to the snapshot are
 * fetched from a leader again, but not applied twice (apply_floor) a gap, or nothing to start from    the log
 * is emptied and everything comes from a leader
 *
 * In both cases the replica is marked damaged first, so that it neither votes nor campaigns until it is whole
 * again. */
#include "node/consensus/configuration.h"
#include "node/consensus/entry_memory.h"
#include "node/consensus/group_internal.h"
#include "node/env/sabotage.h"
#include <stdlib.h>
#include <string.h>

/* ---- the snapshot record ---- */

static struct raft_snapshot *snapshot_create(const Flotilla__SnapshotRecord *record)
{
    struct raft_configuration configuration;
    if (record->index == 0 || record->term == 0 ||
        configuration_decode(record->configuration.data, record->configuration.len, &configuration) != 0)
        return NULL;
    Flotilla__SnapshotRecord state = FLOTILLA__SNAPSHOT_RECORD__INIT;
    state.next_offset = record->next_offset;
    state.log_start_offset = record->log_start_offset;
    state.state = record->state;
    struct raft_snapshot *snapshot = raft_calloc(1, sizeof *snapshot);
    snapshot->index = record->index;
    snapshot->term = record->term;
    snapshot->configuration = configuration;
    snapshot->configuration_index = record->configuration_index;
    snapshot->n_bufs = 1;
    snapshot->bufs = raft_malloc(sizeof *snapshot->bufs);
    snapshot->bufs->len = flotilla__snapshot_record__get_packed_size(&state);
    snapshot->bufs->base = raft_malloc(snapshot->bufs->len + 1);
    flotilla__snapshot_record__pack(&state, snapshot->bufs->base);
    return snapshot;
}

struct raft_snapshot *snapshot_from_journal(struct group *g)
{
    struct journal_group state;
    journal_get(g->consensus->options.journal, g->id, &state);
    if (state.snapshot.size == 0)
        return NULL;
    Flotilla__SnapshotRecord *record =
        flotilla__snapshot_record__unpack(NULL, state.snapshot.size, state.snapshot.data);
    struct raft_snapshot *snapshot = record ? snapshot_create(record) : NULL;
    if (record)
        flotilla__snapshot_record__free_unpacked(record, NULL);
    if (!snapshot)
        LOG(g->consensus->options.logger, LOG_ERROR, "the journal's snapshot record can't be read",
            "group=%s", g->name);
    return snapshot;
}

static void snapshot_destroy(struct raft_snapshot *snapshot)
{
    if (!snapshot)
        return;
    raft_configuration_close(&snapshot->configuration);
    raft_free(snapshot->bufs->base);
    raft_free(snapshot->bufs);
    raft_free(snapshot);
}

/* ---- entries ---- */

struct loader {
    struct raft_entry *entries;
    size_t n;
    size_t capacity;
};

static struct raft_buffer core_copy(struct slice bytes)
{
    struct raft_buffer buffer = {raft_malloc(bytes.size + 1), bytes.size};
    if (bytes.size > 0)
        memcpy(buffer.base, bytes.data, bytes.size);
    return buffer;
}

/* One allocation per entry and no batch: the core compacts a shared batch in quadratic time. */
static int load_entry(void *data, const struct log_entry *entry)
{
    struct loader *loader = data;
    struct slice bytes = entry->bytes;
    if (loader->n == loader->capacity) {
        loader->capacity = loader->capacity ? loader->capacity * 2 : 64;
        loader->entries = raft_realloc(loader->entries, loader->capacity * sizeof *loader->entries);
    }
    struct raft_entry *into = &loader->entries[loader->n++];
    memset(into, 0, sizeof *into);
    into->term = entry->term;
    into->type = (unsigned short)entry->kind;
    if (entry->kind == LOG_DATA) {
        into->buf = (struct raft_buffer){heap_entry_create(bytes), sizeof(struct entry_ref)};
    } else {
        into->buf = core_copy(bytes);
        slice_unref(&bytes);
    }
    return 0;
}

static void loader_drop(struct loader *loader)
{
    for (size_t i = 0; i < loader->n; i++)
        raft_free(loader->entries[i].buf.base);
    raft_free(loader->entries);
}

/* ---- the plan ---- */

struct load_plan {
    struct raft_snapshot *snapshot; /* or NULL */
    uint64_t start;                 /* first entry to load */
    uint64_t last;                  /* start - 1: none */
};

static void mark_damaged(struct group *g, const char *why)
{
    LOG(g->consensus->options.logger, LOG_ERROR, "replica is damaged and will be repaired from a leader",
        "group=%s cause=\"%s\"", g->name, why);
    g->damaged = true;
    journal_put_damaged(g->consensus->options.journal, g->id, true);
}

static void plan_empty(struct group *g, struct load_plan *plan)
{
    snapshot_destroy(plan->snapshot);
    *plan = (struct load_plan){.snapshot = NULL, .start = 1, .last = 0};
    g->apply_floor = 0;
    if (load_finds_nothing(g) && !g->start_empty)
        return; /* what has been fetched stays */
    if (log_first_index(g->log) == 1 && log_last_index(g->log) == 0)
        return;
    if (!g->start_empty && g->known_end_index != 0)
        repair_note_end(g, log_last_term(g->log), log_last_index(g->log));
    log_reset(g->log, 1, 0, 0);
}

/* ---- what a catch-up has fetched ----
 *
 * It may be gigabytes, and has never been acknowledged: it is left where it is, and the next catch-up goes on
 * behind it. */

static bool ends_with_fetched(const struct group *g)
{
    return g->fetched_from != 0 && g->fetched_from <= log_last_index(g->log);
}

static uint64_t own_last_index(const struct group *g)
{
    return ends_with_fetched(g) ? g->fetched_from - 1 : log_last_index(g->log);
}

static uint64_t own_last_term(const struct group *g)
{
    return ends_with_fetched(g) ? g->fetched_after_term : log_last_term(g->log);
}

bool load_finds_nothing(const struct group *g)
{
    return g->start_empty || (ends_with_fetched(g) && g->fetched_from <= log_first_index(g->log));
}

/* The core as of the log's end, with the state of the later snapshot. */
static void plan_before_snapshot(struct group *g, struct load_plan *plan)
{
    g->apply_floor = plan->snapshot->index;
    plan->snapshot->index = own_last_index(g);
    plan->snapshot->term = own_last_term(g);
    if (plan->snapshot->configuration_index > plan->snapshot->index)
        plan->snapshot->configuration_index = plan->snapshot->index;
}

/* A tail before the snapshot, so that followers which lag a little get entries: about a quarter of the
 * budget. */
static uint64_t tail_start(const struct group *g, uint64_t snapshot_index)
{
    uint64_t first = log_first_index(g->log);
    uint64_t count = log_last_index(g->log) - first + 1;
    uint64_t average = log_size_bytes(g->log) / count + 1;
    uint64_t tail = entry_memory_budget(g) / 4 / average;
    uint64_t available = snapshot_index >= first ? snapshot_index - first + 1 : 0;
    return snapshot_index + 1 - (tail < available ? tail : available);
}

static void plan_load(struct group *g, struct load_plan *plan)
{
    uint64_t first = log_first_index(g->log);
    uint64_t last = own_last_index(g);
    bool empty = last < first;
    bool nothing = load_finds_nothing(g);
    plan->snapshot = nothing ? NULL : snapshot_from_journal(g);
    g->apply_floor = 0;
    if (nothing || (!plan->snapshot && (empty || first != 1)) ||
        (plan->snapshot && (empty || first > plan->snapshot->index + 1))) {
        if (!g->damaged)
            mark_damaged(g, "the log does not reach back to the snapshot");
        plan_empty(g, plan);
        return;
    }
    if (plan->snapshot && last < plan->snapshot->index) {
        if (!g->damaged)
            mark_damaged(g, "the log ends before the snapshot");
        plan_before_snapshot(g, plan);
    }
    plan->start = plan->snapshot ? tail_start(g, plan->snapshot->index) : 1;
    plan->last = last;
}

/* ---- raft_io.load ---- */

static void load_term(struct group *g, const struct load_plan *plan, raft_term *term, raft_id *voted_for)
{
    struct journal_group state;
    journal_get(g->consensus->options.journal, g->id, &state);
    uint64_t seen = log_last_term(g->log);
    if (plan->snapshot && plan->snapshot->term > seen)
        seen = plan->snapshot->term;
    *term = state.term;
    *voted_for = env_sabotaged(group_env(g), SABOTAGE_VOTE_FORGOTTEN) ? 0 : state.vote;
    if (seen > state.term) {
        /* Entries can be durable before the journal is; a vote of that term was never heard by anybody then.
         */
        *term = seen;
        *voted_for = 0;
    }
}

/* A new replica's need not be waited for: see bootstrap. */
static void put_hard_state(struct group *g, uint64_t term, uint64_t vote)
{
    struct journal *journal = g->consensus->options.journal;
    struct journal_group on_record;
    journal_get(journal, g->id, &on_record);
    g->hard_term = term;
    if (term != BOOTSTRAP_TERM || vote != 0 || on_record.term != BOOTSTRAP_TERM)
        g->hard_sequence = journal_put_hard_state(journal, g->id, term, vote);
}

static const struct raft_configuration *newest_configuration(const struct load_plan *plan,
                                                             const struct loader *loader,
                                                             struct raft_configuration *decoded)
{
    for (size_t i = loader->n; i > 0; i--) {
        const struct raft_entry *entry = &loader->entries[i - 1];
        if (entry->type == RAFT_CHANGE && configuration_decode(entry->buf.base, entry->buf.len, decoded) == 0)
            return decoded;
    }
    raft_configuration_init(decoded);
    return plan->snapshot ? &plan->snapshot->configuration : decoded;
}

static bool contents_fit(const struct load_plan *plan, const struct loader *loader)
{
    if (plan->last + 1 - plan->start != loader->n)
        return false;
    if (!plan->snapshot)
        return loader->n == 0 || loader->entries[0].type == RAFT_CHANGE;
    if (plan->snapshot->index < plan->start)
        return true;
    return loader->entries[plan->snapshot->index - plan->start].term == plan->snapshot->term;
}

/* What the core loads it takes for stored. The first entry may be on its way: see bootstrap. */
static int load_entries(struct group *g, const struct load_plan *plan, struct loader *loader)
{
    if (plan->last < plan->start)
        return 0;
    if (plan->last > 1 && plan->last > log_durable_index(g->log))
        return ERR_NOT_FOUND;
    return log_load(g->log, plan->start, plan->last, load_entry, loader);
}

int raft_io_load(struct raft_io *io, raft_term *term, raft_id *voted_for, struct raft_snapshot **snapshot,
                 raft_index *start_index, struct raft_entry *entries[], size_t *n_entries)
{
    struct group *g = io->impl;
    struct load_plan plan = {.snapshot = NULL};
    struct loader loader = {.entries = NULL};
    struct raft_configuration decoded;
    plan_load(g, &plan);
    int rv = load_entries(g, &plan, &loader);
    if (rv != 0 || !contents_fit(&plan, &loader)) {
        loader_drop(&loader);
        snapshot_destroy(plan.snapshot);
        if (rv == 0 || rv == ERR_CORRUPT)
            snprintf(io->errmsg, sizeof io->errmsg, "the log of %s does not fit its snapshot", g->name);
        else
            snprintf(io->errmsg, sizeof io->errmsg, "its log can't be read: %s", error_text(rv));
        return rv == ERR_CORRUPT || rv == 0 ? RAFT_CORRUPT : RAFT_IOERR;
    }
    load_term(g, &plan, term, voted_for);
    if (guard_single_voter(g, newest_configuration(&plan, &loader, &decoded))) {
        *term += 1;
        *voted_for = 0;
    }
    raft_configuration_close(&decoded);
    put_hard_state(g, *term, *voted_for);
    *snapshot = plan.snapshot;
    *start_index = plan.start;
    *entries = loader.entries;
    *n_entries = loader.n;
    g->next_index = plan.last + 1;
    g->stored_index = plan.last;
    g->snapshot_index = g->snapshot_durable_index = plan.snapshot ? plan.snapshot->index : 0;
    g->snapshot_sequence = 0;
    return 0;
}
