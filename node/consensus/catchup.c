#include "node/consensus/catchup.h"
#include "node/env/bounds.h"
#include <stdlib.h>
#include <string.h>

/* A chunk is synced as a whole, and whoever shares the disk waits for it: small ones, one at a time. */
enum { CHUNK_BYTES = 1 << 20, SMALL_CHUNK_BYTES = 1 << 12, TURNS_MAX = 1, ANSWER_TIMEOUT_MS = 5000 };

/* Outlives an abort: the log calls back in any case. */
struct catchup_append {
    struct log_append_req req;
    struct catchup *catchup; /* NULL: aborted */
    size_t bytes;
};

/* ---- turns: one budget for all catch-ups of a node ---- */

static void request(struct catchup *u);

static size_t chunk_bytes(const struct consensus *c)
{
    return env_bound(c->options.env, BOUND_CATCHUP_CHUNK, CHUNK_BYTES, SMALL_CHUNK_BYTES);
}

static uint64_t cost_ns(const struct consensus *c, size_t bytes)
{
    return bytes * 1000000000u / c->options.catchup_bytes_per_s;
}

static void on_turn(struct env_timer *timer);

static void schedule_turns(struct consensus *c)
{
    uint64_t now = env_now_ns(c->options.env);
    if (c->catchup_turns < TURNS_MAX && !queue_empty(&c->catchups_waiting))
        env_timer_start(c->options.env, &c->catchup_timer,
                        c->catchup_next_ns > now ? c->catchup_next_ns - now : 0, on_turn);
}

static void on_way_free(struct governor_turn *bulk)
{
    struct catchup *u = container_of(bulk, struct catchup, bulk);
    u->gives_way = false;
    request(u);
}

static void on_turn(struct env_timer *timer)
{
    struct consensus *c = container_of(timer, struct consensus, catchup_timer);
    struct catchup *u = QUEUE_ENTRY(queue_first(&c->catchups_waiting), struct catchup, node);
    uint64_t now = env_now_ns(c->options.env);
    queue_remove(&u->node);
    u->has_turn = true;
    c->catchup_turns++;
    c->catchup_next_ns = (c->catchup_next_ns > now ? c->catchup_next_ns : now) + cost_ns(c, chunk_bytes(c));
    u->gives_way = !governor_take_first(&c->governor, &u->bulk, on_way_free);
    if (!u->gives_way)
        request(u);
    schedule_turns(c);
}

static void wait_for_turn(struct catchup *u)
{
    struct consensus *c = u->group->consensus;
    queue_push(&c->catchups_waiting, &u->node);
    schedule_turns(c);
}

/* What the chunk cost in fact. */
static void end_turn(struct catchup *u, size_t bytes)
{
    struct consensus *c = u->group->consensus;
    if (!u->has_turn)
        return;
    u->has_turn = false;
    if (u->gives_way)
        governor_withdraw(&c->governor, &u->bulk);
    else
        governor_spent(&c->governor, bytes);
    u->turn_took_ns = env_now_ns(c->options.env) - u->requested_ns;
    u->gives_way = false;
    c->catchup_turns--;
    c->catchup_next_ns = c->catchup_next_ns - cost_ns(c, chunk_bytes(c)) + cost_ns(c, bytes);
    schedule_turns(c);
}

static uint64_t target_index(const struct catchup *u)
{
    return u->install.m.install_snapshot.last_index;
}

static void catchup_free(struct catchup *u)
{
    struct group *g = u->group;
    queue_remove(&u->node);
    end_turn(u, 0);
    if (queue_empty(&g->consensus->catchups_waiting))
        env_timer_stop(group_env(g), &g->consensus->catchup_timer);
    env_timer_stop(group_env(g), &u->timer);
    if (u->append)
        u->append->catchup = NULL;
    message_clear(&u->install);
    g->catchup = NULL;
    free(u);
}

/* What has been fetched stays in the log behind the core's last entry, committed and never acknowledged: the
 * next catch-up goes on from there, and an ordinary append replaces it. */
void catchup_abort(struct group *g, const char *why)
{
    if (!g->catchup)
        return;
    LOG(g->consensus->options.logger, LOG_INFO, "catch-up aborted", "group=%s at=%llu cause=\"%s\"", g->name,
        (unsigned long long)g->catchup->next, why);
    catchup_free(g->catchup);
}

void catchup_peer_lost(struct group *g, uint32_t node_id)
{
    if (g->catchup->from == node_id)
        catchup_abort(g, "link lost");
}

/* ---- finishing ---- */

/* Everything up to the snapshot is in the log and durable: for the core, the rest is metadata. */
static void deliver_install(struct catchup *u)
{
    struct group *g = u->group;
    struct message install = u->install;
    g->consensus->counts.catchups_done++;
    LOG(g->consensus->options.logger, LOG_INFO, "catch-up done", "group=%s index=%llu bytes=%llu", g->name,
        (unsigned long long)target_index(u), (unsigned long long)u->bytes);
    u->install.m.install_snapshot.data.base = NULL; /* moved */
    catchup_free(u);
    group_receive(g, &install);
}

static void on_step(struct env_timer *timer);

static void advance_after(struct catchup *u, uint64_t delay_ns)
{
    env_timer_start(group_env(u->group), &u->timer, delay_ns, on_step);
}

static bool fetching_is_on_record(const struct group *g)
{
    return journal_durable(g->consensus->options.journal) >= g->fetched_sequence;
}

static void advance(struct catchup *u)
{
    enum { DURABLE_POLL_NS = 1000000 };
    struct group *g = u->group;
    if (!fetching_is_on_record(g)) {
        advance_after(u, DURABLE_POLL_NS);
        return;
    }
    if (u->next <= target_index(u)) {
        wait_for_turn(u);
        return;
    }
    if (log_durable_index(g->log) < target_index(u)) {
        advance_after(u, DURABLE_POLL_NS); /* an earlier catch-up's last append is still on its way */
        return;
    }
    if (log_last_term(g->log) != u->install.m.install_snapshot.last_term)
        catchup_abort(g, "the fetched range ends in another term than the snapshot");
    else
        deliver_install(u);
}

static void on_step(struct env_timer *timer)
{
    advance(container_of(timer, struct catchup, timer));
}

/* ---- fetching ---- */

static void on_deadline(struct env_timer *timer)
{
    struct catchup *u = container_of(timer, struct catchup, timer);
    catchup_abort(u->group, "no answer");
}

static void request(struct catchup *u)
{
    struct group *g = u->group;
    struct consensus *c = g->consensus;
    struct peer *p = peer_find(c, u->from);
    Flotilla__CatchupRequest message = FLOTILLA__CATCHUP_REQUEST__INIT;
    message.group_id = g->id;
    message.from_index = u->next;
    message.to_index = target_index(u);
    message.max_bytes = (uint32_t)governor_piece(&c->governor, chunk_bytes(c), u->turn_took_ns);
    u->correlation = ++c->next_correlation;
    u->requested_ns = env_now_ns(c->options.env);
    if (!p || peer_send(p, FRAME_PEER_CATCHUP, 0, u->correlation, &message.base, NULL, 0) != 0) {
        catchup_abort(g, "leader not reachable");
        return;
    }
    queue_push(&c->catchups, &u->node);
    env_timer_start(group_env(g), &u->timer, ANSWER_TIMEOUT_MS * 1000000ull, on_deadline);
}

static void on_append_durable(struct log_append_req *req, int status)
{
    struct catchup_append *append = container_of(req, struct catchup_append, req);
    struct catchup *u = append->catchup;
    uint64_t bytes = append->bytes;
    free(append);
    if (!u)
        return;
    u->append = NULL;
    if (status != 0) {
        catchup_abort(u->group, "the log failed");
        return;
    }
    end_turn(u, bytes);
    advance_after(u, 0);
}

static void append_range(struct catchup *u, const struct log_entry *entries, unsigned n, size_t bytes)
{
    struct catchup_append *append = memory_zalloc(sizeof *append);
    append->catchup = u;
    append->bytes = bytes;
    u->append = append;
    u->next += n;
    u->bytes += bytes;
    if (u->next <= target_index(u))
        env_bound_passed(group_env(u->group), BOUND_CATCHUP_CHUNK);
    u->group->consensus->counts.catchup_bytes += bytes;
    append->req.journal_sequence = u->group->hard_sequence;
    log_append(u->group->log, &append->req, entries, n, on_append_durable);
}

/* The follower's own suffix contradicts committed entries: it has to go, from the core's memory as well. */
static void roll_back(struct catchup *u, uint64_t index)
{
    struct group *g = u->group;
    catchup_abort(g, "own suffix conflicts with committed entries");
    g->reload_from = index;
    group_after(g);
}

static void refuse_batches(struct catchup *u)
{
    u->group->consensus->counts.messages_corrupt++;
    catchup_abort(u->group, "the answer's batches fail their checks");
}

/* Entries that the core has are compared, the others appended. */
static void take_entries(struct catchup *u, const struct log_entry *entries, unsigned n, size_t bytes)
{
    struct group *g = u->group;
    unsigned skip = 0;
    while (skip < n && entries[skip].index <= raft_last_index(&g->raft)) {
        if (group_term_of(g, entries[skip].index) != entries[skip].term) {
            roll_back(u, entries[skip].index);
            return;
        }
        skip++;
        u->next++;
    }
    if (skip == n) {
        end_turn(u, bytes);
        advance(u);
    } else if (log_continues(g->log, entries + skip, n - skip) == n - skip) {
        append_range(u, entries + skip, n - skip, bytes);
    } else {
        refuse_batches(u);
    }
}

static void take_payload(struct catchup *u, const struct slice *payload)
{
    struct group *g = u->group;
    struct log_entry *entries;
    bool appends = u->next == log_last_index(g->log) + 1;
    int n = catchup_parse(payload, u->next, appends ? log_end_offset(g->log) : -1,
                          g->consensus->options.max_batch_bytes, &entries);
    if (n <= 0 || u->next + (unsigned)n - 1 > target_index(u))
        refuse_batches(u);
    else
        take_entries(u, entries, (unsigned)n, payload->size);
    for (int i = 0; i < n; i++)
        slice_unref(&entries[i].bytes);
    if (n >= 0)
        free(entries);
}

/* The leader's retention has deleted what this replica would need first: it starts again from the leader's
 * first entry. What it gives up may have been acknowledged, so that it must not vote before it is whole
 * again. */
static void start_over(struct catchup *u, const Flotilla__CatchupResponse *response)
{
    struct group *g = u->group;
    if (raft_last_index(&g->raft) == 0) {
        log_reset(g->log, response->first_index, response->first_term, response->first_offset);
        u->next = response->first_index;
        end_turn(u, 0);
        wait_for_turn(u);
        return;
    }
    catchup_abort(g, "the leader does not keep the range any more");
    uint64_t last = raft_last_index(&g->raft);
    repair_note_end(g, group_term_of(g, last), last);
    g->start_empty = true;
    g->reload_from = 1;
    group_wait_journal(g);
    group_after(g);
}

void catchup_receive_answer(struct consensus *c, uint32_t from, const struct frame *frame)
{
    struct catchup *u = NULL;
    QUEUE_FOREACH (node, &c->catchups) {
        struct catchup *candidate = QUEUE_ENTRY(node, struct catchup, node);
        if (candidate->correlation == frame->head.correlation && candidate->from == from)
            u = candidate;
    }
    Flotilla__CatchupResponse *response = flotilla__catchup_response__unpack(
        arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (!u || !response)
        return; /* aborted meanwhile, or the deadline will */
    queue_remove(&u->node);
    env_timer_stop(c->options.env, &u->timer);
    if (response->error == ERR_NOT_FOUND && response->first_index > u->next && response->first_offset >= 0)
        start_over(u, response);
    else if (response->error != 0 || response->first_index != u->next)
        catchup_abort(u->group, response->error ? error_name(response->error) : "answer to another question");
    else
        take_payload(u, &frame->payload);
}

/* ---- starting ---- */

static bool needs_data(struct group *g, const struct raft_install_snapshot *s)
{
    uint64_t term = group_term_of(g, s->last_index);
    if (g->raft.log.snapshot.last_index >= s->last_index || (term != 0 && term >= s->last_term))
        return false; /* the core has it all and says so */
    return !(log_last_index(g->log) == s->last_index && log_last_term(g->log) == s->last_term &&
             log_durable_index(g->log) >= s->last_index && raft_last_index(&g->raft) < s->last_index);
}

static bool snapshot_is_valid(const struct raft_install_snapshot *s)
{
    Flotilla__SnapshotRecord *record = flotilla__snapshot_record__unpack(NULL, s->data.len, s->data.base);
    bool valid = record && record->next_offset >= 0;
    if (record)
        flotilla__snapshot_record__free_unpacked(record, NULL);
    return valid;
}

/* Without G8: the log becomes what a core that takes the snapshot for everything believes it to be. */
static void go_without_data(struct group *g, const struct raft_install_snapshot *s)
{
    Flotilla__SnapshotRecord *record = flotilla__snapshot_record__unpack(NULL, s->data.len, s->data.base);
    log_reset(g->log, s->last_index + 1, s->last_term, record->next_offset);
    flotilla__snapshot_record__free_unpacked(record, NULL);
}

/* Where to go on: behind what an earlier catch-up fetched, else behind what is committed here for sure. */
static uint64_t start_index(struct group *g, uint64_t target)
{
    uint64_t core_last = raft_last_index(&g->raft);
    if (core_last == 0 && log_first_index(g->log) > target + 1)
        log_reset(g->log, 1, 0, 0); /* fetched from a leader that had deleted more than this one */
    else if (log_last_index(g->log) > target && target > core_last)
        log_truncate_suffix(g->log, target + 1);
    if (log_last_index(g->log) > core_last)
        return log_last_index(g->log) + 1;
    return g->raft.commit_index + 1;
}

/* Durable before anything is fetched: after a crash, no more than the core's own entries may be loaded. */
static void mark_fetched(struct group *g)
{
    uint64_t last = raft_last_index(&g->raft);
    if (g->fetched_from == last + 1)
        return;
    g->fetched_from = last + 1;
    g->fetched_after_term = group_term_of(g, last);
    g->fetched_sequence =
        journal_put_fetched(g->consensus->options.journal, g->id, g->fetched_from, g->fetched_after_term);
}

/* What the core appends is its own. Nothing may be said on its ground before that is on record, or a crash
 * would make it a fetched one again. */
void catchup_forget_fetched(struct group *g)
{
    if (g->fetched_from == 0)
        return;
    g->fetched_from = g->fetched_after_term = 0;
    g->hard_sequence = journal_put_fetched(g->consensus->options.journal, g->id, 0, 0);
    group_wait_journal(g);
}

static void start(struct group *g, struct message *message)
{
    struct catchup *u = memory_zalloc(sizeof *u);
    queue_init(&u->node);
    governor_turn_init(&u->bulk);
    u->group = g;
    u->from = (uint32_t)message->m.server_id;
    u->install = *message;
    u->next = start_index(g, message->m.install_snapshot.last_index);
    g->catchup = u;
    mark_fetched(g);
    LOG(g->consensus->options.logger, LOG_INFO, "catch-up from files", "group=%s leader=%u from=%llu to=%llu",
        g->name, u->from, (unsigned long long)u->next, (unsigned long long)target_index(u));
    advance_after(u, 0);
}

/* The newest snapshot counts; the fetch goes on towards it. */
static void retarget(struct catchup *u, struct message *message)
{
    if (message->m.install_snapshot.last_index < target_index(u)) {
        message_clear(message);
        return;
    }
    message_clear(&u->install);
    u->install = *message;
}

static void moved(struct message *message)
{
    message->m.install_snapshot.data.base = NULL;
}

bool catchup_intercept(struct group *g, struct message *message)
{
    const struct raft_install_snapshot *s = &message->m.install_snapshot;
    if (g->catchup && message_term(message) > g->catchup->install.m.install_snapshot.term)
        catchup_abort(g, "newer term");
    if (g->catchup && message->m.type == RAFT_IO_APPEND_ENTRIES && message->m.append_entries.n_entries > 0)
        return true; /* the core's log and the files part ways until the install */
    if (message->m.type != RAFT_IO_INSTALL_SNAPSHOT || s->term < g->raft.current_term)
        return false;
    if (!snapshot_is_valid(s))
        return true;
    if (!needs_data(g, s))
        return false;
    if (g->inflight > 0 || g->raft.snapshot.put.data || g->raft.state == RAFT_LEADER || g->reload_from != 0)
        return true; /* the leader repeats it */
    if (!g->catchup && !guard_install(g)) {
        go_without_data(g, s);
        return false;
    }
    if (g->catchup && g->catchup->from == message->m.server_id)
        retarget(g->catchup, message);
    else if (!g->catchup)
        start(g, message);
    else
        return true;
    moved(message);
    return true;
}
