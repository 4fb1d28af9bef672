/* The proving ground's command: runs seeds, each in a process of its own, and says what went wrong.
 *
 *     sim [--seed N] [--runs N] [--nodes N] [--faults LIST] [--guards-off MASK] [--duration-ms N] [--jobs N]
 *         [--verbose] [--counters] [--twice] [--reduce] [--ci] [--sabotage [--rare]] */
#include "tests/sim/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(const char *wrong)
{
    fprintf(stderr,
            "sim: %s\n"
            "usage: sim [--seed N] [--runs N] [--jobs N] [--nodes N] [--faults all|none|NAME,...]\n"
            "           [--duration-ms N] [--guards-off MASK] [--twice] [--counters] [--verbose]\n"
            "       sim --ci          a fixed set of seeds, each twice, and what they must exercise\n"
            "       sim --sabotage    proves that missing guards are noticed\n",
            wrong);
    return 2;
}

static bool parse_value(struct suite_options *o, const char *name, const char *value)
{
    uint64_t number = strtoull(value, NULL, 0);
    if (strcmp(name, "--faults") == 0)
        return faults_parse(value, &o->run.faults);
    if (strcmp(name, "--seed") == 0)
        o->run.seed = number;
    else if (strcmp(name, "--runs") == 0)
        o->runs = (unsigned)number;
    else if (strcmp(name, "--jobs") == 0 && number > 0 && number <= SUITE_JOBS_MAX)
        o->jobs = (unsigned)number;
    else if (strcmp(name, "--nodes") == 0 && number <= 7)
        o->run.nodes = (unsigned)number;
    else if (strcmp(name, "--guards-off") == 0)
        o->run.guards_off = (unsigned)number;
    else if (strcmp(name, "--duration-ms") == 0)
        o->run.duration_ms = number;
    else
        return false;
    return true;
}

static bool parse_switch(struct suite_options *o, const char *name)
{
    bool *field = strcmp(name, "--verbose") == 0       ? &o->run.verbose
                  : strcmp(name, "--twice") == 0       ? &o->twice
                  : strcmp(name, "--counters") == 0    ? &o->counters
                  : strcmp(name, "--ci") == 0          ? &o->ci
                  : strcmp(name, "--sabotage") == 0    ? &o->sabotage
                  : strcmp(name, "--rare") == 0        ? &o->rare
                  : strcmp(name, "--reduce") == 0      ? &o->reduce
                  : strcmp(name, "--lying-disks") == 0 ? &o->run.lying_disks
                  : strcmp(name, "--old-journal") == 0 ? &o->run.old_journal
                                                       : NULL;
    if (field != NULL)
        *field = true;
    return field != NULL;
}

int main(int argc, char **argv)
{
    struct suite_options o = {.runs = 1, .jobs = 1, .run = {.seed = 1, .faults = FAULTS_ALL}};
    for (int i = 1; i < argc; i++) {
        if (parse_switch(&o, argv[i]))
            continue;
        if (i + 1 == argc || !parse_value(&o, argv[i], argv[i + 1]))
            return usage(argv[i]);
        i++;
    }
    if (o.ci)
        return suite_ci(&o);
    if (o.reduce)
        return suite_reduce(&o);
    if (o.sabotage)
        return suite_sabotage(&o);
    return suite_run(&o);
}
