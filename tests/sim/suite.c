#include "tests/sim/suite.h"
#include "node/base/memory.h"
#include "node/consensus/consensus.h"
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TAIL_BYTES = 6000, MAX_RUN_S = 240, VIOLATION_SIZE = 400 };

/* One run under way in a child. */
struct job {
    pid_t pid; /* 0: none */
    struct run_options options;
    struct run_result *result; /* shared with the child */
    FILE *log;                 /* what it writes to stderr */
    bool filled;               /* fresh memory is filled with a pattern */
    bool second;               /* with another one */
};

struct suite {
    const struct suite_options *options;
    struct job jobs[SUITE_JOBS_MAX];
    struct counters counters;
    uint64_t simulated_ms;
    unsigned done, failed;
    unsigned next; /* counts the runs begun */
    bool quiet;    /* failures are what is looked for */
    char first_violation[VIOLATION_SIZE];
    struct first_run {
        uint64_t hash;
        bool known;
    } * first; /* by seed, for the second time */
};

/* ---- the child ---- */

/* The second run of a seed has other addresses and other bytes in fresh memory, so that whatever depends on
 * them shows. */
static void fill_memory(bool second)
{
    mallopt(M_PERTURB, second ? 0x5a : 0xa5);
    for (int i = 0; second && i < 1000; i++)
        if (malloc((size_t)(16 + i * 37 % 4000)) == NULL)
            abort();
}

/* A run is short and its memory never shrinks: page faults would be a sixth of its time. */
static void take_large_pages(void)
{
    enum { HEAP_BYTES = 64 << 20, LARGE_PAGE = 2 << 20 };
    mallopt(M_TOP_PAD, HEAP_BYTES);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, HEAP_BYTES / 2);
    free(memory_alloc(HEAP_BYTES / 2 - 4096));
    uintptr_t end = (uintptr_t)sbrk(0) / LARGE_PAGE * LARGE_PAGE;
    (void)madvise((void *)(end - HEAP_BYTES), HEAP_BYTES, MADV_HUGEPAGE);
}

_Noreturn static void run_child(const struct job *job)
{
    if (!job->options.verbose)
        dup2(fileno(job->log), STDERR_FILENO);
    if (job->filled)
        fill_memory(job->second);
    else
        take_large_pages();
    alarm(MAX_RUN_S);
    run_seed(&job->options, job->result);
    fflush(NULL);
    _exit(0); /* without a look for leaks: killed nodes leave their memory behind */
}

static void job_start(struct suite *s, struct job *job)
{
    unsigned per_seed = s->options->twice ? 2 : 1;
    job->options = s->options->run;
    job->options.seed += s->next / per_seed;
    job->filled = s->options->twice;
    job->second = s->next % per_seed == 1;
    s->next++;
    memset(job->result, 0, sizeof(*job->result));
    job->log = tmpfile();
    if (job->log == NULL)
        abort();
    fflush(NULL);
    job->pid = fork();
    if (job->pid == 0)
        run_child(job);
    if (job->pid < 0)
        abort();
}

/* ---- the parent ---- */

static void print_log(FILE *log)
{
    static char tail[TAIL_BYTES + 1];
    fseek(log, 0, SEEK_END);
    long size = ftell(log);
    fseek(log, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET);
    tail[fread(tail, 1, TAIL_BYTES, log)] = '\0';
    printf("%s\n", tail);
}

/* Rare events leave no other trace than a log line: msg="catch-up done" becomes the counter "log catch-up
 * done". */
static void count_log_lines(FILE *log, struct counters *counters)
{
    char line[1024], name[COUNTER_NAME_SIZE];
    rewind(log);
    while (fgets(line, sizeof(line), log) != NULL) {
        const char *text = strstr(line, " msg=\"");
        if (text == NULL)
            continue;
        text += strlen(" msg=\"");
        snprintf(name, sizeof(name), "log %.*s", (int)strcspn(text, "\"\n"), text);
        counters_add(counters, name, 1);
    }
}

static void describe_death(char *out, size_t size, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        snprintf(out, size, "it took longer than %d s", MAX_RUN_S);
    else if (WIFSIGNALED(status))
        snprintf(out, size, "the process died of signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "the process ended with status %d", WEXITSTATUS(status));
}

static void compare_hash(struct suite *s, const struct job *job, char *violation, size_t size)
{
    struct first_run *first = &s->first[job->options.seed - s->options->run.seed];
    if (first->known && first->hash != job->result->hash && violation[0] == '\0')
        snprintf(violation, size,
                 "not deterministic: hash %016" PRIx64 " the one time, %016" PRIx64 " the other", first->hash,
                 job->result->hash);
    first->hash = job->result->hash;
    first->known = true;
}

static void print_replay(const struct run_options *o)
{
    printf("  replay: sim --seed %" PRIu64 " --verbose", o->seed);
    if (o->nodes != 0)
        printf(" --nodes %u", o->nodes);
    if (o->guards_off != 0)
        printf(" --guards-off 0x%x", o->guards_off);
    if (o->duration_ms != 0)
        printf(" --duration-ms %" PRIu64, o->duration_ms);
    const char *before = " --faults ";
    for (unsigned f = 0; f < FAULTS && o->faults != FAULTS_ALL && o->faults != 0; f++) {
        if ((o->faults >> f & 1) == 0)
            continue;
        printf("%s%s", before, fault_name((enum fault)f));
        before = ",";
    }
    if (o->faults == 0)
        printf(" --faults none");
    if (o->lying_disks)
        printf(" --lying-disks");
    if (o->old_journal)
        printf(" --old-journal");
    printf("\n");
}

static void report(const struct suite *s, const struct job *job, const char *violation, bool died)
{
    const struct run_result *r = job->result;
    const struct run_options *o = &job->options;
    if (violation[0] == '\0') {
        printf("seed %" PRIu64 " ok: %u nodes, %" PRIu64 " ms, %" PRIu64 " sent, %" PRIu64
               " read, hash %016" PRIx64 "\n",
               o->seed, r->nodes, r->simulated_ms, counters_get(&r->counters, "records_sent"),
               counters_get(&r->counters, "records_read"), r->hash);
        return;
    }
    printf("seed %" PRIu64 " FAILED: %s\n", o->seed, violation);
    print_replay(o);
    if (died && !s->options->run.verbose)
        print_log(job->log);
}

static void job_end(struct suite *s, struct job *job, int status)
{
    char violation[VIOLATION_SIZE];
    bool died = !job->result->complete;
    job->pid = 0;
    snprintf(violation, sizeof(violation), "%s", job->result->violation);
    if (died)
        describe_death(violation, sizeof(violation), status);
    else if (s->options->twice)
        compare_hash(s, job, violation, sizeof(violation));
    s->done++;
    if (violation[0] != '\0' && s->failed++ == 0)
        snprintf(s->first_violation, sizeof(s->first_violation), "%s", violation);
    s->simulated_ms += job->result->simulated_ms;
    count_log_lines(job->log, &job->result->counters);
    counters_merge(&s->counters, &job->result->counters);
    if (!s->quiet)
        report(s, job, violation, died);
    fclose(job->log);
    fflush(stdout);
}

static void wait_for_one(struct suite *s)
{
    int status;
    pid_t pid = wait(&status);
    for (unsigned i = 0; i < s->options->jobs; i++)
        if (s->jobs[i].pid == pid && pid > 0)
            job_end(s, &s->jobs[i], status);
}

static void run_all(struct suite *s)
{
    unsigned total = s->options->runs * (s->options->twice ? 2 : 1);
    for (unsigned i = 0; i < s->options->jobs; i++)
        s->jobs[i].result =
            mmap(NULL, sizeof(struct run_result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s->first = memory_zalloc(s->options->runs * sizeof(*s->first));
    while (s->done < total) {
        for (unsigned i = 0; i < s->options->jobs && s->next < total; i++)
            if (s->jobs[i].pid == 0)
                job_start(s, &s->jobs[i]);
        wait_for_one(s);
    }
    free(s->first);
    for (unsigned i = 0; i < s->options->jobs; i++)
        munmap(s->jobs[i].result, sizeof(struct run_result));
}

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_and_sum_up(struct suite *s)
{
    double begin_s = clock_s();
    run_all(s);
    double took_s = clock_s() - begin_s;
    if (s->quiet)
        return;
    if (s->options->counters)
        counters_print(&s->counters, stdout);
    printf("%u of %u runs failed; %.0f simulated seconds in %.1f s: %.1f per second, %.2f runs per second\n",
           s->failed, s->done, (double)s->simulated_ms / 1000, took_s,
           (double)s->simulated_ms / 1000 / took_s, s->done / took_s);
}

int suite_run(const struct suite_options *o)
{
    struct suite *s = memory_zalloc(sizeof(*s));
    s->options = o;
    run_and_sum_up(s);
    unsigned failed = s->failed;
    free(s);
    return failed != 0;
}

/* ---- one run, quietly ---- */

static bool run_fails(const struct suite_options *o, char violation[VIOLATION_SIZE])
{
    struct suite *s = memory_zalloc(sizeof(*s));
    s->options = o;
    s->quiet = true;
    run_all(s);
    bool failed = s->failed > 0;
    snprintf(violation, VIOLATION_SIZE, "%s", s->first_violation);
    free(s);
    return failed;
}

/* ---- a smaller run that fails as well ---- */

enum { SHORTEST_MS = 200, LONGEST_MS = 10000 };

/* Keeps a change of the run when it still fails. */
static bool try_smaller(struct suite_options *o, const struct run_options *smaller)
{
    char violation[VIOLATION_SIZE];
    struct suite_options own = *o;
    own.run = *smaller;
    if (!run_fails(&own, violation))
        return false;
    o->run = *smaller;
    print_replay(&o->run);
    printf("    %s\n", violation);
    fflush(stdout);
    return true;
}

static bool reduce_faults(struct suite_options *o)
{
    bool any = false;
    for (unsigned f = 0; f < FAULTS; f++) {
        struct run_options smaller = o->run;
        smaller.faults &= ~(1u << f);
        if (smaller.faults != o->run.faults)
            any = try_smaller(o, &smaller) || any;
    }
    return any;
}

static bool reduce_duration(struct suite_options *o)
{
    struct run_options smaller = o->run;
    smaller.duration_ms = (o->run.duration_ms != 0 ? o->run.duration_ms : LONGEST_MS) * 2 / 3;
    return smaller.duration_ms >= SHORTEST_MS && try_smaller(o, &smaller);
}

static bool reduce_nodes(struct suite_options *o)
{
    struct run_options smaller = o->run;
    smaller.nodes = 3;
    return o->run.nodes != 3 && try_smaller(o, &smaller);
}

int suite_reduce(const struct suite_options *o)
{
    char violation[VIOLATION_SIZE];
    struct suite_options own = *o;
    own.runs = 1;
    own.twice = false;
    own.run.verbose = false;
    if (!run_fails(&own, violation)) {
        printf("seed %" PRIu64 " does not fail\n", own.run.seed);
        return 2;
    }
    printf("  %s\n", violation);
    while (reduce_nodes(&own) || reduce_faults(&own) || reduce_duration(&own))
        ;
    return 1;
}

/* ---- the fixed set ---- */

enum { CI_FIRST_SEED = 1, CI_RUNS = 12 };

/* What the fixed set must have met with, or it proves nothing. */
static const char *const must_occur[] = {"fault crash",
                                         "fault crash-all",
                                         "fault crash-some",
                                         "fault kill",
                                         "fault stop",
                                         "fault roll",
                                         "fault freeze",
                                         "fault isolate",
                                         "fault cut",
                                         "fault reset",
                                         "fault network",
                                         "fault disk",
                                         "fault space",
                                         "fault sync-error",
                                         "fault clock",
                                         "fault client",
                                         "fault grow",
                                         "fault churn",
                                         "fault drain",
                                         "elections",
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
                                         "commits_acked",
                                         "ends_asked",
                                         "replica_entries_compared",
                                         "bits_flipped"};

static unsigned report_missing(const struct counters *c)
{
    unsigned missing = 0;
    for (size_t i = 0; i < sizeof(must_occur) / sizeof(must_occur[0]); i++) {
        if (counters_get(c, must_occur[i]) > 0)
            continue;
        printf("never happened in any run: %s\n", must_occur[i]);
        missing++;
    }
    return missing;
}

int suite_ci(const struct suite_options *o)
{
    struct suite_options own = *o;
    struct suite *s = memory_zalloc(sizeof(*s));
    own.run = (struct run_options){.seed = CI_FIRST_SEED, .faults = FAULTS_ALL};
    own.runs = CI_RUNS;
    own.twice = own.counters = true;
    s->options = &own;
    run_and_sum_up(s);
    unsigned bad = s->failed + report_missing(&s->counters);
    free(s);
    return bad != 0;
}

/* ---- sabotage ---- */

static const struct sabotage {
    const char *name;
    struct run_options run; /* what is sabotaged */
    /* Needs more elections than whole nodes have time for: test_consensus.c proves it, with one group alone.
     */
    bool is_rare;
} sabotages[] = {
    {"acknowledgements before the sync", {.lying_disks = true}, false},
    {"votes forgotten at a start", {.old_journal = true}, false},
    {"no guard: hold_until_durable", {.guards_off = GUARD_HOLD_UNTIL_DURABLE}, true},
    {"no guard: ack_cap", {.guards_off = GUARD_ACK_CAP}, true},
    {"no guard: own_term_commit", {.guards_off = GUARD_OWN_TERM_COMMIT}, true},
    {"no guard: term_hold", {.guards_off = GUARD_TERM_HOLD}, true},
    {"no guard: tick_gate", {.guards_off = GUARD_TICK_GATE}, true},
    {"no guard: release_step", {.guards_off = GUARD_RELEASE_STEP}, true},
    {"no guard: backoff_hint", {.guards_off = GUARD_BACKOFF_HINT}, true},
    {"no guard: one_vote", {.guards_off = GUARD_ONE_VOTE}, true},
    {"no guard: install", {.guards_off = GUARD_INSTALL}, true},
    {"no guard: configuration", {.guards_off = GUARD_CONFIGURATION}, true},
    {"no guard: prevote_term", {.guards_off = GUARD_PREVOTE_TERM}, true},
    {"no guard: single_voter", {.guards_off = GUARD_SINGLE_VOTER}, true},
    {"no guard: retry_at_once", {.guards_off = GUARD_RETRY_AT_ONCE}, true},
};

/* How many seeds until it is noticed; 0: it is not. */
static unsigned seeds_until_caught(const struct suite_options *o, const struct sabotage *sabotage)
{
    struct suite_options own = *o;
    own.run = sabotage->run;
    own.run.seed = o->run.seed;
    own.run.faults = o->run.faults;
    own.runs = 1;
    own.twice = false;
    for (unsigned i = 1; i <= o->runs; i++, own.run.seed++) {
        char violation[VIOLATION_SIZE];
        if (run_fails(&own, violation)) {
            printf("%-36s caught in %u seeds: %s\n", sabotage->name, i, violation);
            return i;
        }
    }
    printf("%-36s NOT caught in %u seeds\n", sabotage->name, o->runs);
    return 0;
}

int suite_sabotage(const struct suite_options *o)
{
    unsigned missed = 0;
    for (size_t i = 0; i < sizeof(sabotages) / sizeof(sabotages[0]); i++) {
        if (sabotages[i].is_rare && !o->rare)
            continue;
        bool caught = seeds_until_caught(o, &sabotages[i]) > 0;
        missed += !caught && !sabotages[i].is_rare;
        fflush(stdout);
    }
    return missed != 0;
}
