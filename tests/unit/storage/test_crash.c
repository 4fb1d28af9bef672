/* Power loss at random moments, in the simulator: what was not synced survives, vanishes or is torn, as it
 * likes. Whatever was acknowledged is there afterwards, nothing that had been cut off comes back behind
 * something newer, and no crash is ever taken for damage. */
#include "node/base/memory.h"
#include "node/base/prng.h"
#include "node/storage/log.h"
#include "proto/batch.h"
#include "tests/sim/env_sim.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

enum { MAX_ENTRIES = 4000, MAX_STATES = 400, GROUP = 7, LIVES = 12, SEEDS = 12 };

/* The log as it was after some number of submitted operations. Entries are known by ids that are never used
 * twice. */
struct snapshot_of_log {
    uint64_t first_index;
    uint64_t first_term; /* before the first entry */
    int64_t first_offset;
    size_t n;
    struct {
        uint64_t id;
        uint64_t term;
        int64_t next_offset;
    } entries[MAX_ENTRIES];
};

struct life {
    struct env *env;
    struct journal *journal;
    struct flusher *flusher;
    struct log *log;
};

struct crash_test {
    struct sim *sim;
    struct sim_host *host;
    struct prng prng;
    struct life life;
    struct log_recovery recovery;
    int open_status;
    bool opened;
    int failures;
    uint64_t next_id;
    uint64_t term; /* the newest ever used */
    /* states[0] is what is known to be durable, or older; states[count - 1] is what has been submitted. */
    struct snapshot_of_log *states[MAX_STATES];
    size_t count;
    size_t acknowledged; /* states up to this one were acknowledged */
};

struct crash_append {
    struct log_append_req req;
    struct crash_test *test;
    size_t state;
    struct env *env;
};

/* What a crash leaves in memory is never freed, as by a kernel; this keeps it in sight of the leak checker.
 */
struct grave {
    struct grave *next;
    struct life life;
};
static struct grave *graves;

static struct snapshot_of_log *submitted(struct crash_test *t)
{
    return t->states[t->count - 1];
}

static struct snapshot_of_log *next_state(struct crash_test *t)
{
    assert_true(t->count < MAX_STATES);
    struct snapshot_of_log *s = memory_dup(submitted(t), sizeof(*s));
    t->states[t->count++] = s;
    return s;
}

static void forget_states(struct crash_test *t)
{
    while (t->count > 0)
        free(t->states[--t->count]);
    t->acknowledged = 0;
}

static uint64_t last_term(const struct snapshot_of_log *s)
{
    return s->n > 0 ? s->entries[s->n - 1].term : s->first_term;
}

static int64_t end_offset(const struct snapshot_of_log *s)
{
    return s->n > 0 ? s->entries[s->n - 1].next_offset : s->first_offset;
}

/* ---- one life ---- */

static void on_failed(void *data, int status)
{
    (void)status;
    ((struct crash_test *)data)->failures++;
}

static void on_open(struct log_open_req *req, int status, struct log *log,
                    const struct log_recovery *recovery)
{
    struct crash_test *t = req->data;

    t->open_status = status;
    t->life.log = log;
    t->recovery = *recovery;
    t->opened = true;
}

static bool is_open(void *data)
{
    return ((struct crash_test *)data)->opened;
}

static void begin_life(struct crash_test *t, struct env *env)
{
    struct journal_options journal_options = {.env = env, .path = "/journal"};
    static struct log_open_req req;
    char message[256];

    t->life.env = env;
    int status = journal_open(&journal_options, &t->life.journal, message, sizeof(message));
    if (status != 0)
        print_error("%s\n", message);
    assert_int_equal(status, 0);
    t->life.flusher = flusher_create(env, 4);
    struct log_options options = {.env = env,
                                  .flusher = t->life.flusher,
                                  .journal = t->life.journal,
                                  .group_id = GROUP,
                                  .directory = "/log",
                                  .segment_bytes = 4000,
                                  .cache_bytes = 2000,
                                  .max_batch_bytes = 1 << 20,
                                  .failed = on_failed,
                                  .data = t};
    t->opened = false;
    req.data = t;
    assert_int_equal(log_open(&options, &req, on_open), 0);
    assert_true(sim_run_until(t->sim, 10000 * MS, is_open, t));
    if (t->open_status != 0 || t->recovery.damaged)
        print_error("recovery: %s\n", t->recovery.message);
    assert_int_equal(t->open_status, 0);
    assert_false(t->recovery.damaged);
}

static void end_life(struct crash_test *t)
{
    struct grave *g = memory_zalloc(sizeof(*g));

    g->life = t->life;
    g->next = graves;
    graves = g;
    t->life = (struct life){0};
}

/* ---- operations ---- */

static void on_appended(struct log_append_req *req, int status)
{
    struct crash_append *a = container_of(req, struct crash_append, req);
    struct crash_test *t = a->test;

    assert_int_equal(status, 0);
    assert_ptr_equal(a->env, t->life.env);
    if (a->state > t->acknowledged)
        t->acknowledged = a->state;
    free(a);
}

static struct slice make_data(const struct snapshot_of_log *s, uint64_t id, uint64_t term, size_t padding)
{
    struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    unsigned char value[2048] = {0};
    struct batch_builder builder;
    struct bytes out;

    memcpy(value, &id, sizeof(id));
    bytes_init(&out);
    batch_builder_init(&builder);
    batch_builder_add(&builder, (int64_t)id, NULL, 0, value, sizeof(id) + padding, NULL, 0);
    assert_int_equal(batch_builder_finish(&builder, &options, &out), 0);
    batch_stamp(out.data, end_offset(s), (int32_t)term);
    struct slice batch = slice_copy(out.data, out.size);
    batch_builder_close(&builder);
    bytes_close(&out);
    return batch;
}

static struct log_entry make_entry(struct crash_test *t, struct snapshot_of_log *s, bool control,
                                   uint64_t term)
{
    struct log_entry entry = {
        .index = s->first_index + s->n, .term = term, .kind = control ? LOG_BARRIER : LOG_DATA};
    uint64_t id = ++t->next_id;

    entry.bytes = control ? slice_copy(&id, sizeof(id)) : make_data(s, id, term, prng_below(&t->prng, 500));
    assert_true(s->n < MAX_ENTRIES);
    int64_t next_offset = end_offset(s) + (control ? 0 : 1);
    s->entries[s->n].id = id;
    s->entries[s->n].term = term;
    s->entries[s->n++].next_offset = next_offset;
    return entry;
}

static void do_append(struct crash_test *t, bool new_term)
{
    struct snapshot_of_log *s = next_state(t);
    unsigned n = 1 + (unsigned)prng_below(&t->prng, 4);
    struct crash_append *a = memory_zalloc(sizeof(*a));
    struct log_entry entries[4];
    uint64_t term = new_term ? ++t->term : last_term(s);

    for (unsigned i = 0; i < n; i++)
        entries[i] = make_entry(t, s, (i == 0 && new_term) || prng_below(&t->prng, 10) == 0, term);
    a->test = t;
    a->env = t->life.env;
    a->state = t->count - 1;
    if (prng_below(&t->prng, 8) == 0)
        log_append_soon(t->life.log, &a->req, entries, n, on_appended);
    else
        log_append(t->life.log, &a->req, entries, n, on_appended);
    for (unsigned i = 0; i < n; i++)
        slice_unref(&entries[i].bytes);
}

static void do_truncate(struct crash_test *t)
{
    struct snapshot_of_log *s = submitted(t);

    if (s->n == 0)
        return;
    size_t back = 1 + (size_t)prng_below(&t->prng, prng_below(&t->prng, 3) == 0 ? s->n : 5);
    s = next_state(t);
    s->n -= back > s->n ? s->n : back;
    uint64_t index = s->first_index + s->n;
    if (index < log_first_index(t->life.log)) { /* retention has been there */
        index = log_first_index(t->life.log);
        s->n = (size_t)(index - s->first_index);
    }
    log_truncate_suffix(t->life.log, index);
    do_append(t, true);
}

static void do_reset(struct crash_test *t)
{
    struct snapshot_of_log *s = next_state(t);

    s->first_index = 1 + prng_below(&t->prng, 2 * (s->first_index + s->n));
    s->first_term = ++t->term;
    s->first_offset = (int64_t)prng_below(&t->prng, 1000);
    s->n = 0;
    log_reset(t->life.log, s->first_index, s->first_term, s->first_offset);
    do_append(t, true);
}

static void do_prefix(struct crash_test *t)
{
    const struct snapshot_of_log *s = submitted(t);
    int64_t start = log_start_offset(t->life.log);
    int64_t offset = start + (int64_t)prng_below(&t->prng, (uint64_t)(end_offset(s) - start) + 1);

    log_truncate_prefix(t->life.log, offset, log_durable_index(t->life.log));
}

static void do_something(struct crash_test *t)
{
    uint64_t dice = prng_below(&t->prng, 100);

    if (submitted(t)->n > MAX_ENTRIES - 10 || t->count > MAX_STATES - 4)
        return;
    if (dice < 6)
        do_truncate(t);
    else if (dice < 7)
        do_reset(t);
    else if (dice < 10)
        do_prefix(t);
    else
        do_append(t, last_term(submitted(t)) == 0 || dice < 13);
}

/* ---- after a crash ---- */

struct found {
    struct snapshot_of_log *state;
};

static int on_loaded(void *data, const struct log_entry *entry)
{
    struct snapshot_of_log *s = ((struct found *)data)->state;
    struct slice bytes = entry->bytes;
    int64_t before = end_offset(s);
    uint64_t id = 0;

    assert_int_equal(entry->index, s->first_index + s->n);
    if (entry->kind == LOG_DATA) {
        struct batch_reader reader;
        struct record record;
        assert_int_equal(batch_reader_init(&reader, bytes.data, bytes.size, 1 << 20), 0);
        assert_int_equal(batch_reader_next(&reader, &record), 1);
        assert_int_equal(record.offset, before);
        memcpy(&id, record.value, sizeof(id));
        batch_reader_close(&reader);
    } else {
        assert_int_equal(bytes.size, sizeof(id));
        memcpy(&id, bytes.data, sizeof(id));
    }
    s->entries[s->n].id = id;
    s->entries[s->n].term = entry->term;
    s->entries[s->n++].next_offset = before + (entry->kind == LOG_DATA ? 1 : 0);
    slice_unref(&bytes);
    return 0;
}

static uint64_t id_at(const struct snapshot_of_log *s, uint64_t index)
{
    return index >= s->first_index && index - s->first_index < s->n ? s->entries[index - s->first_index].id
                                                                    : 0;
}

/* Whether all of `found` stands in `state`, and of `state` only a suffix (or what retention has deleted) is
 * missing. */
static bool is_prefix(const struct snapshot_of_log *found, const struct snapshot_of_log *state)
{
    if (found->first_index < state->first_index)
        return false;
    for (uint64_t i = found->first_index; i < found->first_index + found->n; i++)
        if (id_at(found, i) != id_at(state, i))
            return false;
    return true;
}

/* The last index of `acknowledged` that no later state up to `k` has taken away. */
static uint64_t must_have(const struct crash_test *t, size_t k)
{
    const struct snapshot_of_log *a = t->states[t->acknowledged];
    uint64_t last = a->first_index + a->n - 1;

    for (size_t j = t->acknowledged; j <= k; j++) {
        const struct snapshot_of_log *s = t->states[j];
        if (s->first_index != a->first_index || s->first_term != a->first_term)
            return 0; /* reset */
        if (s->first_index + s->n - 1 < last)
            last = s->first_index + s->n - 1;
        while (last >= a->first_index && id_at(s, last) != id_at(a, last))
            last--;
    }
    return last;
}

/* The operation behind state `k` may have been caught half-way: a cut has removed segments, but not shortened
 * the last one. */
static bool is_allowed(const struct crash_test *t, const struct snapshot_of_log *found)
{
    for (size_t k = t->acknowledged; k < t->count; k++) {
        uint64_t least = must_have(t, k + 1 < t->count ? k + 1 : k);
        if (is_prefix(found, t->states[k]) && (least == 0 || found->first_index + found->n - 1 >= least))
            return true;
    }
    return false;
}

/* A reset deletes before it creates: in between, an empty log, or the oldest segments of the old one. */
static bool was_resetting(const struct crash_test *t)
{
    for (size_t k = t->acknowledged + 1; k < t->count; k++)
        if (t->states[k]->first_term != t->states[k - 1]->first_term)
            return true;
    return false;
}

static void check_what_is_there(struct crash_test *t)
{
    struct snapshot_of_log *s = memory_zalloc(sizeof(*s));
    struct found found = {s};
    struct log *log = t->life.log;

    s->first_index = log_first_index(log);
    s->first_offset = log_start_offset(log);
    uint64_t before_first = s->first_index - t->states[t->acknowledged]->first_index;
    s->first_term = before_first == 0 ? t->states[t->acknowledged]->first_term : 0;
    assert_int_equal(log_load(log, s->first_index, log_last_index(log), on_loaded, &found), 0);
    assert_int_equal(end_offset(s), log_end_offset(log));
    if (s->n == 0)
        s->first_term = log_last_term(log);
    if (!is_allowed(t, s) && !was_resetting(t)) {
        const struct snapshot_of_log *a = t->states[t->acknowledged];
        print_error("found %" PRIu64 " to %" PRIu64 ", acknowledged %" PRIu64 " to %" PRIu64 ", %zu states\n",
                    s->first_index, s->first_index + s->n - 1, a->first_index, a->first_index + a->n - 1,
                    t->count - t->acknowledged);
        fail();
    }
    forget_states(t);
    t->states[t->count++] = s;
}

/* ---- the runs ---- */

/* The moments that chance would seldom find. */
static void live_dangerously(struct crash_test *t)
{
    sim_run_for(t->sim,
                2500 *
                    MS); /* until the floor stands at the log's end: a second, and another in the journal */
    do_truncate(t);
    sim_run_for(t->sim, prng_below(&t->prng, 2 * MS));
}

static void live_and_crash(struct crash_test *t)
{
    /* Often none at all: what the life before had left in the page cache only must be on disk by now. */
    unsigned operations = prng_below(&t->prng, 4) == 0 ? 0 : (unsigned)prng_below(&t->prng, 80);

    for (unsigned i = 0; i < operations; i++) {
        do_something(t);
        if (prng_below(&t->prng, 3) == 0)
            sim_run_for(t->sim, prng_below(&t->prng, prng_below(&t->prng, 10) == 0 ? 1500 * MS : 2 * MS));
    }
    if (operations > 0 && prng_below(&t->prng, 3) == 0)
        live_dangerously(t);
    else
        sim_run_for(t->sim, prng_below(&t->prng, 3 * MS));
    if (prng_below(&t->prng, 4) == 0) {
        /* A shutdown in good order, which the crash may still catch anywhere. */
        log_close(t->life.log, true, NULL, NULL);
        sim_run_for(t->sim, prng_below(&t->prng, 10 * MS));
    }
    if (prng_below(&t->prng, 4) == 0)
        sim_host_kill(t->host);
    else
        sim_host_crash(t->host);
    end_life(t);
    begin_life(t, sim_host_restart(t->host));
    assert_int_equal(t->failures, 0);
    check_what_is_there(t);
}

static void one_seed(uint64_t seed)
{
    struct crash_test t = {0};

    printf("seed %" PRIu64 "\n", seed);
    prng_init(&t.prng, seed);
    t.sim = sim_create(seed);
    t.host = sim_host_create(t.sim, "node");
    t.states[t.count++] = memory_zalloc(sizeof(struct snapshot_of_log));
    t.states[0]->first_index = 1;
    begin_life(&t, sim_host_env(t.host));
    for (int i = 0; i < LIVES; i++)
        live_and_crash(&t);
    sim_host_kill(t.host);
    end_life(&t);
    sim_destroy(t.sim);
    forget_states(&t);
}

static void what_was_acknowledged_survives_power_loss(void **state)
{
    const char *text = getenv("FLOTILLA_SEED");
    struct timespec now;

    (void)state;
    if (text != NULL) {
        one_seed(strtoull(text, NULL, 10));
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    for (uint64_t i = 0; i < SEEDS; i++)
        one_seed((uint64_t)now.tv_nsec * 1000 + i);
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0); /* the seed must be seen even when an assertion ends it all */
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_acknowledged_survives_power_loss)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
