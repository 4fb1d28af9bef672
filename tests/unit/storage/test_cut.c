/* Damage is cut off, and the power is lost meanwhile, once or several times, in the simulator: whatever the
 * cut has left of the log by then, it stays known where the log had ended. And only as long as nothing has
 * been appended since: what is lost later is not covered by it. */
#include "node/base/memory.h"
#include "node/storage/log.h"
#include "proto/error.h"
#include "tests/sim/env_sim.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

enum { SEEDS = 60, GROUP = 7, ENTRIES = 60, MORE_ENTRIES = 7, ENTRY_BYTES = 400, MAX_LOSSES = 4 };

/* A process. What it has in memory when it is killed is never freed, as by a kernel; the list keeps it in
 * sight of the leak checker. */
struct life {
    struct life *before;
    struct journal *journal;
    struct flusher *flusher;
    struct log *log; /* NULL until it is open */
    struct log_open_req open;
    struct log_recovery recovery;
    struct log_append_req append;
    struct log_range_req read;
};

static struct life *lives;

struct cut_test {
    struct sim *sim;
    struct sim_host *host;
    struct life *life;
};

static void on_open(struct log_open_req *req, int status, struct log *log,
                    const struct log_recovery *recovery)
{
    struct life *life = req->data;

    assert_int_equal(status, 0);
    life->recovery = *recovery;
    life->log = log;
}

static void begin_life(struct cut_test *t)
{
    struct env *env = sim_host_env(t->host);
    struct life *life = memory_zalloc(sizeof(*life));
    char message[256];

    if (env == NULL)
        env = sim_host_restart(t->host);
    life->before = lives;
    lives = t->life = life;
    struct journal_options journal_options = {.env = env, .path = "/journal"};
    assert_int_equal(journal_open(&journal_options, &life->journal, message, sizeof(message)), 0);
    life->flusher = flusher_create(env, 4);
    struct log_options options = {.env = env,
                                  .flusher = life->flusher,
                                  .journal = life->journal,
                                  .group_id = GROUP,
                                  .directory = "/log",
                                  .segment_bytes = 4000,
                                  .max_batch_bytes = 1 << 20};
    life->open.data = life;
    assert_int_equal(log_open(&options, &life->open, on_open), 0);
}

static bool is_open(void *data)
{
    return ((struct cut_test *)data)->life->log != NULL;
}

static void open_log(struct cut_test *t)
{
    begin_life(t);
    assert_true(sim_run_until(t->sim, 10000 * MS, is_open, t));
}

static struct journal_group on_record(const struct cut_test *t)
{
    struct journal_group state;

    journal_get(t->life->journal, GROUP, &state);
    return state;
}

static void on_appended(struct log_append_req *req, int status)
{
    assert_int_equal(status, 0);
    req->data = NULL;
}

static bool is_appended(void *data)
{
    return ((struct cut_test *)data)->life->append.data == NULL;
}

/* Until they are acknowledged, and the floor says so. */
static void append(struct cut_test *t, unsigned n, uint64_t term)
{
    static const unsigned char bytes[ENTRY_BYTES];
    struct life *life = t->life;

    for (unsigned i = 0; i < n; i++) {
        struct log_entry entry = {.index = log_last_index(life->log) + 1,
                                  .term = term,
                                  .kind = LOG_BARRIER,
                                  .bytes = slice_copy(bytes, sizeof(bytes))};
        life->append.data = t;
        log_append(life->log, &life->append, &entry, 1, on_appended);
        slice_unref(&entry.bytes);
        assert_true(sim_run_until(t->sim, 10000 * MS, is_appended, t));
    }
    sim_run_for(t->sim, 5000 * MS);
    assert_int_equal(on_record(t).floor_index, log_last_index(life->log));
}

/* ---- damage ---- */

struct damage {
    unsigned victim; /* which segment */
    unsigned seen;
    uint64_t base_index;
    char path[64];
};

static void count_segment(void *data, const char *name)
{
    struct damage *d = data;
    uint64_t base_index;
    char suffix[5];

    if (strlen(name) != sizeof("00000000000000000001.log") - 1 ||
        sscanf(name, "%20" SCNu64 "%4s", &base_index, suffix) != 2 || strcmp(suffix, ".log") != 0)
        return;
    if (d->seen++ != d->victim)
        return;
    d->base_index = base_index;
    snprintf(d->path, sizeof(d->path), "/log/%.24s", name);
}

/* Of the segment with this number, or of the last one. */
static void find_segment(struct cut_test *t, unsigned victim, struct damage *d)
{
    *d = (struct damage){.victim = victim};
    assert_int_equal(env_dir_list(sim_host_env(t->host), "/log", count_segment, d), 0);
    if (d->path[0] == '\0')
        find_segment(t, d->seen - 1, d);
}

static void on_read(struct log_range_req *req, int status)
{
    assert_int_equal(status, ERR_CORRUPT);
    slice_unref(&req->bytes);
    req->data = NULL;
}

/* An index vouches for the bytes until they are read. */
static void read_damage(struct cut_test *t, const struct damage *d)
{
    struct life *life = t->life;

    life->read.data = t;
    assert_int_equal(
        log_read_range(life->log, &life->read, d->base_index, log_last_index(life->log), 1 << 20, on_read),
        0);
    sim_run_for(t->sim, 100 * MS);
    assert_true(life->read.data == NULL && on_record(t).at_rest);
}

/* Not the last one: the end is intact. */
static void damage_segment(struct cut_test *t, unsigned victim)
{
    struct damage d;

    find_segment(t, victim, &d);
    assert_true(d.seen > victim + 1);
    uint64_t position = sim_random(t->sim, 3) == 0 ? 0 : sim_random(t->sim, 3000);
    if (sim_random(t->sim, 2) == 0) {
        sim_host_kill(t->host);
        assert_int_equal(sim_disk_damage(t->host, d.path, position, SIM_CUT_FILE), 0);
    } else {
        assert_int_equal(sim_disk_flip(t->host, d.path, position), 0);
        read_damage(t, &d);
        sim_host_crash(t->host);
    }
}

/* ---- tests ---- */

static void make_log(struct cut_test *t, uint64_t seed)
{
    t->sim = sim_create(seed);
    t->host = sim_host_create(t->sim, "node");
    sim_disk_latency(t->host, MS / 5, 2 * MS);
    open_log(t);
    append(t, ENTRIES, 1);
}

/* Counts the starts that found a cut under way. */
static unsigned lose_power_while_opening(struct cut_test *t)
{
    unsigned interrupted = 0;

    for (uint64_t losses = 1 + sim_random(t->sim, MAX_LOSSES); losses > 0; losses--) {
        begin_life(t);
        interrupted += on_record(t).at_rest;
        sim_run_for(t->sim, sim_random(t->sim, 40 * MS));
        sim_host_crash(t->host);
    }
    return interrupted;
}

static void expect_end(const struct cut_test *t, uint64_t term, uint64_t index)
{
    struct journal_group state = on_record(t);

    assert_true(state.damaged);
    assert_false(state.at_rest);
    assert_int_equal(state.known_end_term, term);
    assert_int_equal(state.known_end_index, index);
}

static void power_losses_leave_the_end_known(void **state)
{
    unsigned interrupted = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct cut_test t;
        make_log(&t, seed);
        damage_segment(&t, (unsigned)sim_random(t.sim, 3));
        interrupted += lose_power_while_opening(&t);
        open_log(&t);
        expect_end(&t, 1, ENTRIES);
        assert_true(on_record(&t).floor_index <= log_last_index(t.life->log));
        /* The repair may begin, and be interrupted: nothing is damaged any more. */
        append(&t, MORE_ENTRIES, 2);
        uint64_t last = log_last_index(t.life->log);
        sim_host_crash(t.host);
        open_log(&t);
        if (t.life->recovery.damaged)
            fail_msg("seed %" PRIu64 ": %s", seed, t.life->recovery.message);
        assert_int_equal(log_last_index(t.life->log), last);
        expect_end(&t, 1, ENTRIES);
        sim_host_kill(t.host);
        sim_destroy(t.sim);
    }
    assert_true(interrupted > SEEDS / 4);
}

/* What was acknowledged after the cut is not at or before the end that was noted before it. */
static void an_end_does_not_cover_what_was_appended_since(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS / 4; seed++) {
        struct cut_test t;
        struct damage last;
        make_log(&t, seed);
        damage_segment(&t, 0);
        (void)lose_power_while_opening(&t);
        open_log(&t);
        append(&t, ENTRIES, 2);
        find_segment(&t, UINT32_MAX, &last);
        sim_host_kill(t.host);
        assert_int_equal(sim_disk_damage(t.host, last.path, 0, SIM_CUT_FILE), 0);
        (void)lose_power_while_opening(&t);
        open_log(&t);
        expect_end(&t, 0, 0);
        sim_host_kill(t.host);
        sim_destroy(t.sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_losses_leave_the_end_known),
        cmocka_unit_test(an_end_does_not_cover_what_was_appended_since),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
