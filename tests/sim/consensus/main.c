/* Seeded fault runs of one Raft group on a few simulated nodes: faults at random (faults.h), or plots
 * (plots.h). Judged from outside of the nodes (judge.h, and the oracle of helper_cluster.h); after healing,
 * everything converges and goes on.
 *
 * Sabotage: with a guard off, some seed must be caught, or the simulator proves nothing.
 *
 *     sim_consensus [runs] [first seed] [guards] [kind] [broken promises]      VERBOSE=1 shows the nodes' log
 * lines sim_consensus sabotage | rates                         each guard off: until it is caught | in how
 * many of 50 seeds */
#include "node/env/sabotage.h"
#include "tests/sim/consensus/faults.h"
#include "tests/sim/consensus/plots.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Kinds of runs: the profiles of faults at random, then the plots. */
enum { KINDS = FAULT_PROFILES + PLOTS };

static void print_state(struct one_group *r)
{
    for (unsigned i = 0; i < r->cluster.n; i++) {
        struct test_node *node = &r->cluster.nodes[i];
        struct test_group *t = &node->groups[0];
        printf("   node %u up %d open %d failed %d role %d term %llu ready %d applied %llu", node->id,
               node->up, t->open, t->failed, t->role, (unsigned long long)t->term, t->ready,
               (unsigned long long)t->applied);
        if (node->up && t->open)
            printf(" commit %llu snapshot %llu last %llu leader %u caught up %d",
                   (unsigned long long)group_commit_index(t->group),
                   (unsigned long long)group_snapshot_index(t->group),
                   (unsigned long long)log_last_index(group_log(t->group)), group_leader(t->group),
                   group_caught_up(t->group));
        printf("\n");
    }
}

/* What is broken on purpose. */
struct broken {
    unsigned guards;   /* a mask of enum consensus_guard */
    unsigned promises; /* a mask of 1 << enum sabotage */
};

/* True: nothing wrong. */
static bool run_seed(uint64_t seed, unsigned kind, struct broken broken, bool expect_trouble)
{
    static struct one_group r;
    const unsigned guards = GUARD_ALL & ~broken.guards;
    bool random = kind < FAULT_PROFILES;
    enum consensus_plot plot = random ? PLOTS : (enum consensus_plot)(kind - FAULT_PROFILES);
    one_group_init(&r, seed, !random ? plot_nodes(plot) : seed % 8 >= 6 ? 5 : 3, guards);
    r.sabotage = broken.promises;
    if (random)
        faults_prepare(&r, kind);
    one_group_start_due(&r, true);
    const char *what = random ? faults_run(&r, kind) : plot_run(&r, plot);
    if (!what)
        what = one_group_converge(&r);
    if (what && !expect_trouble) {
        printf("seed %llu kind %u guards 0x%x at %llu ms: %s\n", (unsigned long long)seed, kind, guards,
               (unsigned long long)one_group_now_ms(&r), what);
        print_state(&r);
    } else if (!what && getenv("VERBOSE")) {
        printf("seed %llu ok: committed %llu acked %llu lost %llu refused %llu hash %016llx\n",
               (unsigned long long)seed, (unsigned long long)r.cluster.committed,
               (unsigned long long)r.cluster.acked, (unsigned long long)r.cluster.lost,
               (unsigned long long)r.cluster.refused, (unsigned long long)sim_hash(r.sim));
    }
    bool ok = !what;
    one_group_close(&r);
    return ok;
}

/* ---- sabotage ---- */

/* In a process of its own: without its guards the core may die of an assertion, which is a way to be noticed
 * too. */
static bool is_caught(uint64_t seed, unsigned kind, struct broken broken)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        if (freopen("/dev/null", "w", stderr) == NULL)
            abort();
        bool ok = run_seed(seed, kind, broken, getenv("VERBOSE") == NULL);
        fflush(stdout);
        _exit(!ok);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    if (WIFSIGNALED(status) && getenv("VERBOSE"))
        printf("seed %llu kind %u: the process died of signal %d\n", (unsigned long long)seed, kind,
               WTERMSIG(status));
    return status != 0;
}

#define PLOT(name) (FAULT_PROFILES + PLOT_##name)

/* Each guard, each promise to the core, and the kind of run that meets with what it prevents. */
static const struct omission {
    struct broken broken;
    const char *name;
    unsigned kind;
} omissions[] = {
    {{GUARD_ACK_CAP, 0}, "ack_cap (G1)", 3},
    {{GUARD_OWN_TERM_COMMIT, 0}, "own_term_commit (G2)", 0},
    {{GUARD_TERM_HOLD, 0}, "term_hold (G3)", 4},
    {{GUARD_TICK_GATE, 0}, "tick_gate (G4)", 2},
    {{GUARD_RELEASE_STEP, 0}, "release_step (G5)", PLOT(STEADY_LOAD)},
    {{GUARD_BACKOFF_HINT, 0}, "backoff_hint (G6)", PLOT(LONG_SUFFIX)},
    {{GUARD_ONE_VOTE, 0}, "one_vote (G7)", PLOT(CROSSED_TRANSFERS)},
    {{GUARD_INSTALL, 0}, "install (G8)", 0},
    {{GUARD_CONFIGURATION, 0}, "configuration (G9)", PLOT(ROLLED_BACK)},
    {{GUARD_PREVOTE_TERM, 0}, "prevote_term (G11)", PLOT(OLD_TERM)},
    {{GUARD_SINGLE_VOTER, 0}, "single_voter (G11)", PLOT(ONE_REPLICA)},
    {{GUARD_RETRY_AT_ONCE, 0}, "retry_at_once (G12)", PLOT(FIRST_COMMIT)},
    {{GUARD_HOLD_UNTIL_DURABLE, 0}, "hold_until_durable", 1},
    {{GUARD_LOG_START, 0}, "log_start (G13)", PLOT(LOST_ANSWER)},
    {{0, 1u << SABOTAGE_COMPLETED_AT_ONCE}, "completion later (G10)", 0},
    {{0, 1u << SABOTAGE_COMPLETED_OUT_OF_ORDER}, "completion in order (G10)", 0},
    {{0, 1u << SABOTAGE_APPEND_FAILS}, "appends that succeed (G10)", 0},
    {{0, 1u << SABOTAGE_TERM_FAILS}, "terms that succeed (G10)", 0},
    {{0, 1u << SABOTAGE_INSTALL_FAILS}, "installs that succeed (G10)", 0},
    {{0, 1u << SABOTAGE_SEND_FAILS}, "sends that return 0 (G10)", 0},
};
enum { OMISSIONS = sizeof omissions / sizeof omissions[0] };

/* In how many of the seeds. `until_first`: at which one instead, 0 if at none. */
static unsigned count_caught(const struct omission *o, unsigned runs, bool until_first)
{
    unsigned caught = 0;
    for (unsigned i = 0; i < runs; i++) {
        bool noticed = is_caught(1 + i, o->kind, o->broken);
        caught += noticed;
        if (noticed && until_first)
            return i + 1;
    }
    return caught;
}

static int sabotage_all(bool rates)
{
    enum { RUNS = 50 };
    unsigned missed = 0;
    for (unsigned i = 0; i < OMISSIONS; i++) {
        const struct omission *o = &omissions[i];
        unsigned n = count_caught(o, RUNS, !rates);
        if (n == 0)
            printf("without %-28s NOT caught in %d seeds\n", o->name, RUNS);
        else if (rates)
            printf("without %-28s caught in %u of %d seeds\n", o->name, n, RUNS);
        else
            printf("without %-28s caught in %u seeds\n", o->name, n);
        missed += n == 0;
        fflush(stdout);
    }
    return missed != 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "sabotage") == 0 || strcmp(argv[1], "rates") == 0))
        return sabotage_all(strcmp(argv[1], "rates") == 0);
    unsigned runs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 20;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    unsigned guards = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 0) : GUARD_ALL;
    struct broken broken = {GUARD_ALL & ~guards, argc > 5 ? (unsigned)strtoul(argv[5], NULL, 0) : 0};
    bool whole = broken.guards == 0 && broken.promises == 0;
    unsigned bad = 0;
    printf("seeds %llu to %llu, guards 0x%x\n", (unsigned long long)first,
           (unsigned long long)(first + runs - 1), guards);
    for (unsigned i = 0; i < runs; i++) {
        unsigned kind = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 0) : (unsigned)((first + i) % KINDS);
        bad += whole ? !run_seed(first + i, kind, broken, false) : is_caught(first + i, kind, broken);
    }
    printf("%u of %u runs failed\n", bad, runs);
    return bad != 0;
}
