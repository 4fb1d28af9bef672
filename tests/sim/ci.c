/* The fixed set of every build: known seeds twice each, and some that nobody has seen yet. */
#include "node/base/memory.h"
#include "tests/sim/suite.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    FIXED_FIRST_SEED = 1,
    FIXED_RUNS = 30,
    FRESH_RUNS = 40,
    MORE_RUNS = 20,
    MORE_ROUNDS = 10 /* until everything has happened: which seeds meet with what changes with the code */
};

/* What these runs must have met with, or they prove nothing. */
static const char *const must_occur[] = {"elections",
                                         "truncations",
                                         "group_resumed",
                                         "log catch-up done",
                                         "produce_duplicates_total",
                                         "records_unknown",
                                         "records_acked_leader",
                                         "records_acked_none",
                                         "topics_grown",
                                         "topics_created",
                                         "leadership_transfers_total",
                                         "guard ack_cap",
                                         "guard backoff_hint",
                                         "guard hold_until_durable",
                                         "guard term_hold",
                                         "guard prevote_term",
                                         "guard own_term_commit",
                                         "guard tick_gate",
                                         "guard release_step",
                                         "guard retry_at_once",
                                         "guard install",
                                         "commits_acked",
                                         "member_joins",
                                         "member_joins_by_pattern",
                                         "member_joins_static",
                                         "member_leaves",
                                         "member_pauses",
                                         "member_kills",
                                         "member_freezes",
                                         "member_hangs",
                                         "member_partitions_revoked",
                                         "member_partitions_lost",
                                         "member_resumed",
                                         "member_commits",
                                         "member_commits_fenced",
                                         "elections_of_coordinators",
                                         "ends_asked",
                                         "replica_entries_compared",
                                         "bits_flipped",
                                         "applied_entries_compared",
                                         "votes_counted",
                                         "reads_from_beginning",
                                         "reads_from_offset",
                                         "reads_from_time",
                                         "reads_from_end",
                                         "retained_partitions_checked",
                                         "ambushes",
                                         "disks_swapped",
                                         "writes_lost",
                                         "writes_misdirected",
                                         "logs_shortened",
                                         "log replica is repaired",
                                         "append_pieces",
                                         "catchup_chunks",
                                         "load_chunks",
                                         "journal_compactions",
                                         "log_compactions"};

/* Each has failed once; what that was, docs/testing.md says under "Figures". What a seed means changes with
 * the code, and each defect has a test of its own where it was, so that this costs little and proves little.
 */
static const uint64_t failed_before[] = {60,      7000209, 7000400, 7400653, 7400971, 7401334, 7401445,
                                         7401769, 7402773, 7787639, 7918523, 8400455, 8902589};

static unsigned count_missing(const struct counters *c, bool report)
{
    char name[COUNTER_NAME_SIZE];
    unsigned missing = 0;
    for (size_t i = 0; i < sizeof(must_occur) / sizeof(must_occur[0]) + FAULTS; i++) {
        size_t fault = i - sizeof(must_occur) / sizeof(must_occur[0]);
        if (i < sizeof(must_occur) / sizeof(must_occur[0]))
            snprintf(name, sizeof(name), "%s", must_occur[i]);
        else
            snprintf(name, sizeof(name), "fault %s", fault_name((enum fault)fault));
        if (counters_get(c, name) > 0)
            continue;
        if (report)
            printf("never happened in any run: %s\n", name);
        missing++;
    }
    return missing;
}

/* The second run of a seed has other addresses and other bytes in fresh memory. */
static bool run_fixed(const struct suite_options *o, struct counters *all)
{
    struct suite_result *r = memory_alloc(sizeof(*r));
    struct suite_options own = *o;
    own.run.seed = FIXED_FIRST_SEED;
    own.runs = FIXED_RUNS;
    own.twice = true;
    suite_run(&own, r);
    *all = r->counters;
    printf("fixed seeds %d to %d, twice each: %" PRIu64 " of %" PRIu64
           " runs failed, %.0f simulated seconds in %.1f s\n",
           FIXED_FIRST_SEED, FIXED_FIRST_SEED + FIXED_RUNS - 1, r->failed, r->done,
           (double)r->simulated_ms / 1000, r->took_s);
    bool ok = r->failed == 0;
    free(r);
    return ok;
}

static bool run_failed_before(const struct suite_options *o)
{
    enum { SEEDS = sizeof(failed_before) / sizeof(failed_before[0]) };
    unsigned failed = 0;
    for (unsigned i = 0; i < SEEDS; i++) {
        char violation[VIOLATION_SIZE];
        struct run_options run = o->run;
        run.seed = failed_before[i];
        if (!suite_seed_fails(&run, violation))
            continue;
        printf("seed %" PRIu64 " FAILED again: %s\n", run.seed, violation);
        suite_print_replay(&run);
        failed++;
    }
    printf("seeds that failed before: %u of %u failed\n", failed, SEEDS);
    return failed == 0;
}

static bool run_fresh(const struct suite_options *o, uint64_t first, uint64_t runs, struct counters *all)
{
    struct suite_result *r = memory_alloc(sizeof(*r));
    struct suite_options own = *o;
    own.run.seed = first;
    own.runs = runs;
    suite_run(&own, r);
    counters_add_all(all, &r->counters);
    own.run.seed = r->first_failed;
    if (r->failed > 0)
        suite_reduce(&own.run);
    printf("fresh seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " of %" PRIu64
           " runs failed, %.0f simulated seconds in %.1f s\n",
           first, first + runs - 1, r->failed, r->done, (double)r->simulated_ms / 1000, r->took_s);
    bool ok = r->failed == 0;
    free(r);
    return ok;
}

static uint64_t fresh_seed(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int suite_ci(const struct suite_options *o)
{
    struct counters *all = memory_zalloc(sizeof(*all));
    struct suite_options own = *o;
    own.run = (struct run_options){.faults = FAULTS_ALL};
    uint64_t seed = fresh_seed();
    bool ok = run_fixed(&own, all);
    ok = run_failed_before(&own) && ok;
    ok = run_fresh(&own, seed, FRESH_RUNS, all) && ok;
    seed += FRESH_RUNS;
    for (unsigned i = 0; i < MORE_ROUNDS && count_missing(all, false) > 0; i++, seed += MORE_RUNS)
        ok = run_fresh(&own, seed, MORE_RUNS, all) && ok;
    counters_print(all, stdout);
    ok = count_missing(all, true) == 0 && ok;
    free(all);
    return !ok;
}
