#include "tests/sim/suite.h"
#include "node/base/memory.h"
#include "node/consensus/consensus.h"
#include "tests/sim/heap.h"
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TAIL_BYTES = 6000, MAX_RUN_S = 240, PROGRESS_S = 10, BATCH_MAX = 128 };

/* What is known of a run; shared with the child that has it. */
struct outcome {
    struct run_result result;
    long log_end; /* where what it has written to stderr ends */
};

/* Runs one after the other in a child, up to the first one that fails. */
struct job {
    pid_t pid;      /* 0: none */
    uint64_t first; /* the number of the first run that has no outcome yet */
    unsigned count; /* of those */
    struct outcome *outcomes;
    FILE *log; /* what the child writes to stderr */
};

struct suite {
    const struct suite_options *options;
    struct suite_result *result;
    struct job jobs[SUITE_JOBS_MAX];
    uint64_t next; /* counts the runs begun */
    unsigned running;
    double begin_s;
    double progress_s; /* when it was said last */
    struct first_run {
        uint64_t seed;
        uint64_t hash;
    } first[2 * SUITE_JOBS_MAX]; /* for the second time; by seed, which pass by in order */
};

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the child ---- */

static struct run_options options_of(const struct suite *s, uint64_t number)
{
    struct run_options options = s->options->run;
    options.seed += s->options->twice ? number / 2 : number;
    return options;
}

static enum heap_kind heap_of(const struct suite *s, uint64_t number)
{
    if (!s->options->twice)
        return HEAP_FAST;
    return number % 2 == 0 ? HEAP_FILLED : HEAP_FILLED_OTHERWISE;
}

_Noreturn static void run_child(const struct suite *s, const struct job *job)
{
    bool failed = false;
    if (!s->options->run.verbose)
        dup2(fileno(job->log), STDERR_FILENO);
    for (unsigned i = 0; i < job->count && !failed; i++) {
        const struct run_options options = options_of(s, job->first + i);
        struct outcome *outcome = &job->outcomes[i];
        heap_begin(heap_of(s, job->first + i));
        alarm(MAX_RUN_S);
        run_seed(&options, &outcome->result);
        outcome->log_end = lseek(fileno(job->log), 0, SEEK_CUR);
        failed = outcome->result.violation[0] != '\0';
    }
    _exit(0); /* without a look for leaks: killed nodes leave their memory behind */
}

static void job_start(struct suite *s, struct job *job)
{
    memset(job->outcomes, 0, job->count * sizeof(*job->outcomes));
    job->log = tmpfile();
    if (job->log == NULL)
        abort();
    fflush(NULL);
    s->running++;
    job->pid = fork();
    if (job->pid == 0)
        run_child(s, job);
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
static void count_log_lines(FILE *log, long from, long end, struct counters *counters)
{
    char line[1024], name[COUNTER_NAME_SIZE];
    fseek(log, from, SEEK_SET);
    for (; from < end && fgets(line, sizeof(line), log) != NULL; from += (long)strlen(line)) {
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

/* The two runs of a seed begin one after the other, so that not many are waiting for their second. */
static void compare_hash(struct suite *s, uint64_t seed, uint64_t hash, char *violation, size_t size)
{
    struct first_run *first = &s->first[seed % (2 * SUITE_JOBS_MAX)];
    bool known = first->seed == seed && first->hash != 0;
    if (known && first->hash != hash && violation[0] == '\0')
        snprintf(violation, size,
                 "not deterministic: hash %016" PRIx64 " the one time, %016" PRIx64 " the other", first->hash,
                 hash);
    *first = (struct first_run){seed, hash};
}

static void print_faults(unsigned faults)
{
    const char *before = " --faults ";
    if (faults == 0)
        printf(" --faults none");
    for (unsigned f = 0; f < FAULTS && faults != FAULTS_ALL; f++) {
        if ((faults >> f & 1) == 0)
            continue;
        printf("%s%s", before, fault_name((enum fault)f));
        before = ",";
    }
}

void suite_print_replay(const struct run_options *o)
{
    printf("  replay: ./run sim --seed %" PRIu64 " --verbose", o->seed);
    if (o->nodes != 0)
        printf(" --nodes %u", o->nodes);
    if (o->clients != 0)
        printf(" --clients %u", o->clients);
    if (o->members != 0)
        printf(" --members %u", o->members - 1);
    if (o->profile != 0)
        printf(" --profile %u", o->profile);
    if (o->plot != PLOT_OF_SEED)
        printf(" --plot %s", plot_name((enum plot_kind)o->plot));
    if (o->duration_ms != 0)
        printf(" --duration-ms %" PRIu64, o->duration_ms);
    if (o->guards_off != 0)
        printf(" --guards-off 0x%x", o->guards_off);
    if (o->sabotage != 0)
        printf(" --break 0x%x", o->sabotage);
    print_faults(o->faults);
    printf("\n");
}

/* `log`: of a run that died; else NULL. */
static void report(const struct suite *s, const struct run_options *o, const struct run_result *r,
                   const char *violation, FILE *log)
{
    if (violation[0] != '\0') {
        printf("seed %" PRIu64 " FAILED after %" PRIu64 " ms: %s\n", o->seed, r->simulated_ms, violation);
        suite_print_replay(o);
        if (log != NULL && !o->verbose)
            print_log(log);
    } else if (s->options->list) {
        printf("seed %" PRIu64 " ok: %u nodes, %" PRIu64 " ms, %" PRIu64 " sent, %" PRIu64
               " read, hash %016" PRIx64 "\n",
               o->seed, r->nodes, r->simulated_ms, counters_get(&r->counters, "records_sent"),
               counters_get(&r->counters, "records_read"), r->hash);
    }
    fflush(stdout);
}

static void note_failure(struct suite_result *r, uint64_t seed, const char *violation)
{
    if (r->failed++ > 0 && seed > r->first_failed)
        return;
    r->first_failed = seed;
    snprintf(r->violation, sizeof(r->violation), "%s", violation);
}

static void say_progress(struct suite *s)
{
    const struct suite_result *r = s->result;
    double now_s = clock_s(), took_s = now_s - s->begin_s;
    if (s->options->quiet || now_s < s->progress_s + PROGRESS_S)
        return;
    s->progress_s = now_s;
    fprintf(stderr,
            "%" PRIu64 " runs, %.1f per second; %.0f simulated seconds, %.0f per second; %" PRIu64
            " failed\n",
            r->done, (double)r->done / took_s, (double)r->simulated_ms / 1000,
            (double)r->simulated_ms / 1000 / took_s, r->failed);
}

/* `status`: of the child, if that died in this run. */
static void run_end(struct suite *s, const struct run_options *options, struct run_result *run, FILE *log,
                    int status)
{
    char violation[VIOLATION_SIZE];
    bool died = !run->complete;
    struct suite_result *r = s->result;
    snprintf(violation, sizeof(violation), "%s", run->violation);
    if (died)
        describe_death(violation, sizeof(violation), status);
    else if (s->options->twice)
        compare_hash(s, options->seed, run->hash, violation, sizeof(violation));
    r->done++;
    if (violation[0] != '\0')
        note_failure(r, options->seed, violation);
    r->simulated_ms += run->simulated_ms;
    counters_merge(&r->counters, &run->counters);
    if (!s->options->quiet)
        report(s, options, run, violation, died ? log : NULL);
}

/* What comes after a run that failed is for the next child. */
static void job_end(struct suite *s, struct job *job, int status)
{
    long log_at = 0;
    bool failed = false;
    unsigned i = 0;
    for (; i < job->count && !failed; i++) {
        struct outcome *outcome = &job->outcomes[i];
        const struct run_options options = options_of(s, job->first + i);
        failed = !outcome->result.complete || outcome->result.violation[0] != '\0';
        count_log_lines(job->log, log_at, outcome->result.complete ? outcome->log_end : LONG_MAX,
                        &outcome->result.counters);
        log_at = outcome->log_end;
        run_end(s, &options, &outcome->result, job->log, status);
    }
    job->first += i;
    job->count -= i;
    job->pid = 0;
    s->running--;
    fclose(job->log);
    say_progress(s);
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void wait_for_one(struct suite *s)
{
    int status;
    struct rusage used;
    pid_t pid = wait4(-1, &status, 0, &used);
    s->result->cpu_s += seconds(used.ru_utime) + seconds(used.ru_stime);
    for (unsigned i = 0; i < s->options->jobs; i++)
        if (s->jobs[i].pid == pid && pid > 0)
            job_end(s, &s->jobs[i], status);
}

static bool is_over(const struct suite *s)
{
    const struct suite_options *o = s->options;
    if (o->minutes > 0 && clock_s() > s->begin_s + 60.0 * (double)o->minutes)
        return true;
    return o->stop_at_first && s->result->failed > 0;
}

/* Gives the job its next runs, if there are any. Small shares: all children are to end at the same time. */
static bool job_fill(struct suite *s, struct job *job)
{
    const struct suite_options *o = s->options;
    uint64_t left = o->runs > 0 ? o->runs * (o->twice ? 2 : 1) - s->next : UINT64_MAX;
    if (is_over(s))
        return false;
    if (job->count > 0 || left == 0)
        return job->count > 0;
    uint64_t share = o->jobs == 1 ? BATCH_MAX : left / (4 * o->jobs) / 2 * 2 + 2;
    share = share < BATCH_MAX ? share : BATCH_MAX;
    if (!heap_is_reusable() || o->stop_at_first)
        share = 1;
    job->first = s->next;
    job->count = (unsigned)(share < left ? share : left);
    s->next += job->count;
    return true;
}

void suite_run(const struct suite_options *o, struct suite_result *result)
{
    struct suite *s = memory_zalloc(sizeof(*s));
    memset(result, 0, sizeof(*result));
    s->options = o;
    s->result = result;
    s->begin_s = s->progress_s = clock_s();
    for (unsigned i = 0; i < o->jobs; i++)
        s->jobs[i].outcomes = mmap(NULL, BATCH_MAX * sizeof(struct outcome), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (;;) {
        for (unsigned i = 0; i < o->jobs; i++)
            if (s->jobs[i].pid == 0 && job_fill(s, &s->jobs[i]))
                job_start(s, &s->jobs[i]);
        if (s->running == 0)
            break;
        wait_for_one(s);
    }
    for (unsigned i = 0; i < o->jobs; i++)
        munmap(s->jobs[i].outcomes, BATCH_MAX * sizeof(struct outcome));
    result->took_s = clock_s() - s->begin_s;
    free(s);
}

bool suite_seed_fails(const struct run_options *run, char violation[VIOLATION_SIZE])
{
    struct suite_result *r = memory_alloc(sizeof(*r));
    const struct suite_options o = {.run = *run, .runs = 1, .jobs = 1, .quiet = true};
    suite_run(&o, r);
    bool failed = r->failed > 0;
    snprintf(violation, VIOLATION_SIZE, "%s", r->violation);
    free(r);
    return failed;
}

int suite_sweep(const struct suite_options *o)
{
    struct suite_result *r = memory_alloc(sizeof(*r));
    suite_run(o, r);
    if (o->counters)
        counters_print(&r->counters, stdout);
    printf(
        "%" PRIu64 " of %" PRIu64
        " runs failed; %.0f simulated seconds in %.1f s: %.1f per second of a core, %.2f runs per second\n",
        r->failed, r->done, (double)r->simulated_ms / 1000, r->took_s,
        (double)r->simulated_ms / 1000 / r->cpu_s, (double)r->done / r->took_s);
    bool failed = r->failed > 0;
    struct run_options first = o->run;
    first.seed = r->first_failed;
    free(r);
    if (failed && !o->run.verbose)
        suite_reduce(&first);
    return failed;
}
