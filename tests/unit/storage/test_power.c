/* What a power loss must not take: found by seeds of the simulated cluster. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on
#include "node/storage/data_dir.h"
#include "node/storage/journal.h"
#include "proto/error.h"
#include "tests/sim/env_sim.h"

enum { SEEDS = 40 };
static const uint64_t wait_ns = UINT64_C(10000000000);

/* A data directory is bound to its node for good as soon as it was opened. */
static void a_new_data_directory_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim *sim = sim_create(seed);
        struct sim_host *host = sim_host_create(sim, "node");
        struct data_dir *dir;
        char message[512];
        int rv = data_dir_open(sim_host_env(host), "/data", 1, "cluster", &dir, message, sizeof(message));
        assert_int_equal(rv, 0);
        sim_host_crash(host);
        data_dir_close(dir);
        rv = data_dir_open(sim_host_restart(host), "/data", 2, "cluster", &dir, message, sizeof(message));
        assert_int_equal(rv, ERR_NODE_MISMATCH);
        sim_destroy(sim);
    }
}

/* ---- a sync that failed, and a process that starts again without a restart of the machine ---- */

struct life {
    struct journal *journal;
    uint64_t awaited;
    bool failed;
};

static void on_durable(void *data, uint64_t sequence)
{
    (void)data, (void)sequence;
}

static void on_failed(void *data, int status)
{
    (void)status;
    ((struct life *)data)->failed = true;
}

static bool is_failed(void *data)
{
    return ((struct life *)data)->failed;
}

static bool is_durable(void *data)
{
    const struct life *l = data;
    return journal_durable(l->journal) >= l->awaited;
}

static void begin(struct life *l, struct env *env, uint64_t seed)
{
    const struct journal_options options = {
        .env = env, .path = "/journal", .durable = on_durable, .failed = on_failed, .data = l};
    char message[512];
    *l = (struct life){.journal = NULL};
    if (journal_open(&options, &l->journal, message, sizeof(message)) != 0)
        fail_msg("seed %llu: %s", (unsigned long long)seed, message);
}

static uint64_t term_of(const struct life *l)
{
    struct journal_group group;
    journal_get(l->journal, 7, &group);
    return group.term;
}

static void a_failed_sync_leaves_no_hole(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim *sim = sim_create(seed);
        struct sim_host *host = sim_host_create(sim, "node");
        struct life l;
        begin(&l, sim_host_env(host), seed);
        l.awaited = journal_put_hard_state(l.journal, 7, 1, 1);
        assert_true(sim_run_until(sim, wait_ns, is_durable, &l));
        sim_disk_fail_syncs(host, 1000000);
        journal_put_hard_state(l.journal, 7, 2, 1);
        assert_true(sim_run_until(sim, wait_ns, is_failed, &l));
        sim_host_kill(host);
        sim_disk_fail_syncs(host, 0);
        begin(&l, sim_host_restart(host), seed);
        uint64_t term = term_of(&l);
        l.awaited = journal_put_hard_state(l.journal, 8, 1, 1);
        assert_true(sim_run_until(sim, wait_ns, is_durable, &l));
        sim_host_crash(host);
        begin(&l, sim_host_restart(host), seed);
        assert_int_equal(term_of(&l), term);
        sim_host_kill(host);
        sim_destroy(sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_data_directory_stays),
        cmocka_unit_test(a_failed_sync_leaves_no_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
