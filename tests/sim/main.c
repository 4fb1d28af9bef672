/* The proving ground's command: runs seeds, each in a process of its own, and says what went wrong. */
#include "tests/sim/members.h"
#include "tests/sim/sabotages.h"
#include "tests/sim/suite.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char help[] =
    "usage: sim [--seed N | --seeds A..B | --minutes M] [options]\n"
    "  --seed N          one run; with --verbose a time line of faults and of all nodes' log lines\n"
    "  --seeds A..B      these seeds\n"
    "  --minutes M       fresh seeds for so long, from --seed on or from the clock's\n"
    "  --jobs J          runs at the same time (1)\n"
    "  --nodes 3|5|7     instead of what the seed says\n"
    "  --clients 1..4    client machines\n"
    "  --members 0..6    of groups; instead of what the seed says\n"
    "  --faults LIST     all, none, or names with commas (--faults help lists them)\n"
    "  --duration-ms N   of the time with faults\n"
    "  --counters        the table of what happened\n"
    "  --list            a line for each seed\n"
    "  --twice           each seed twice: the same hash over all events?\n"
    "  --reduce          with --seed: looks for a smaller run that fails as well\n"
    "  --break LIST      breaks promises on purpose (--break help lists them); --guards-off MASK the core's "
    "guards\n"
    "  --profile N       1: calm, 2: slow disks, 3: slow networks; instead of what the seed says\n"
    "  --plot NAME       a kind of plot instead of what the seed says (--plot help lists them)\n"
    "  --ci              fixed seeds twice each, fresh ones, and what they must have met with\n"
    "  --sabotage        each promise broken until that is noticed [--only NAME] [--tries N] [--runs N, at "
    "most]\n"
    "  --rates           with --sabotage: how many of --runs seeds notice each\n";

struct command {
    struct suite_options suite;
    bool seed_given, ci, reduce, sabotage;
    unsigned tries;
    const char *only;
};

static bool parse_seeds(struct suite_options *o, const char *value)
{
    uint64_t first, last;
    if (sscanf(value, "%" SCNu64 "..%" SCNu64, &first, &last) != 2 || last < first)
        return false;
    o->run.seed = first;
    o->runs = last - first + 1;
    return true;
}

static bool parse_number(struct command *c, const char *name, uint64_t number)
{
    struct suite_options *o = &c->suite;
    if (strcmp(name, "--seed") == 0) {
        o->run.seed = number;
        c->seed_given = true;
    } else if (strcmp(name, "--runs") == 0 && number > 0)
        o->runs = number;
    else if (strcmp(name, "--minutes") == 0)
        o->minutes = number;
    else if (strcmp(name, "--jobs") == 0 && number > 0 && number <= SUITE_JOBS_MAX)
        o->jobs = (unsigned)number;
    else if (strcmp(name, "--nodes") == 0 && number <= CLUSTER_MAX_NODES)
        o->run.nodes = (unsigned)number;
    else if (strcmp(name, "--clients") == 0 && number <= WORKLOAD_MACHINES)
        o->run.clients = (unsigned)number;
    else if (strcmp(name, "--members") == 0 && number <= MEMBERS_MAX)
        o->run.members = (unsigned)number + 1;
    else if (strcmp(name, "--profile") == 0 && number <= NEMESIS_PROFILES)
        o->run.profile = (unsigned)number;
    else if (strcmp(name, "--guards-off") == 0)
        o->run.guards_off = (unsigned)number;
    else if (strcmp(name, "--duration-ms") == 0)
        o->run.duration_ms = number;
    else if (strcmp(name, "--tries") == 0 && number > 0)
        c->tries = (unsigned)number;
    else
        return false;
    return true;
}

static bool parse_value(struct command *c, const char *name, const char *value)
{
    if (strcmp(name, "--faults") == 0)
        return faults_parse(value, &c->suite.run.faults);
    if (strcmp(name, "--plot") == 0)
        return plot_parse(value, &c->suite.run.plot);
    if (strcmp(name, "--break") == 0)
        return sabotages_parse(value, &c->suite.run.sabotage);
    if (strcmp(name, "--seeds") == 0)
        return parse_seeds(&c->suite, value);
    if (strcmp(name, "--only") == 0) {
        c->only = value;
        return true;
    }
    char *end;
    uint64_t number = strtoull(value, &end, 0);
    return *value != '\0' && *end == '\0' && parse_number(c, name, number);
}

static bool parse_switch(struct command *c, const char *name)
{
    struct suite_options *o = &c->suite;
    bool *field = strcmp(name, "--verbose") == 0    ? &o->run.verbose
                  : strcmp(name, "--twice") == 0    ? &o->twice
                  : strcmp(name, "--counters") == 0 ? &o->counters
                  : strcmp(name, "--list") == 0     ? &o->list
                  : strcmp(name, "--ci") == 0       ? &c->ci
                  : strcmp(name, "--sabotage") == 0 ? &c->sabotage
                  : strcmp(name, "--reduce") == 0   ? &c->reduce
                  : strcmp(name, "--rates") == 0    ? &o->rates
                                                    : NULL;
    if (field != NULL)
        *field = true;
    return field != NULL;
}

/* One seed by default; with a time limit as many as there is time for, from a seed that nobody has seen. */
static void choose_runs(struct command *c)
{
    struct suite_options *o = &c->suite;
    if (c->sabotage && o->runs == 0)
        o->runs = 100;
    if (o->runs == 0 && o->minutes == 0)
        o->runs = 1;
    if (o->minutes > 0 && !c->seed_given && o->runs == 0) {
        o->run.seed = (uint64_t)time(NULL) * 1000;
        printf("seeds from %" PRIu64 " on\n", o->run.seed);
    }
    if (o->runs == 1 && !c->ci && !c->sabotage)
        o->list = true;
}

int main(int argc, char **argv)
{
    struct command c = {.suite = {.jobs = 1, .run = {.seed = 1, .faults = FAULTS_ALL}}, .tries = 1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (parse_switch(&c, argv[i]))
            continue;
        if (i + 1 == argc || !parse_value(&c, argv[i], argv[i + 1])) {
            fprintf(stderr, "sim: %s\n%s", argv[i], help);
            return 2;
        }
        i++;
    }
    choose_runs(&c);
    if (c.ci)
        return suite_ci(&c.suite);
    if (c.sabotage)
        return suite_sabotage(&c.suite, c.tries, c.only);
    if (c.reduce)
        return suite_reduce(&c.suite.run);
    return suite_sweep(&c.suite);
}
