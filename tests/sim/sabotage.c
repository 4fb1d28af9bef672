/* Proof that the checkers notice: each promise broken in turn, in runs with the faults that this promise is
 * about. */
#include "node/base/memory.h"
#include "node/consensus/consensus.h"
#include "tests/sim/members.h"
#include "tests/sim/sabotages.h"
#include "tests/sim/suite.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
} table[] = {
#define X(name, text) {#name, text},
    SABOTAGE_TABLE(X)
#undef X
};

/* ---- names ---- */

static bool name_is(const char *upper, const char *text, size_t size)
{
    size_t i = 0;
    for (; i < size && upper[i] != '\0'; i++)
        if (tolower((unsigned char)upper[i]) != text[i])
            return false;
    return i == size && upper[i] == '\0';
}

static bool add_name(const char *text, size_t size, unsigned *mask)
{
    for (unsigned i = 0; i < SABOTAGES; i++) {
        if (!name_is(table[i].name, text, size))
            continue;
        *mask |= 1u << i;
        return true;
    }
    return false;
}

static void list_names(void)
{
    for (unsigned i = 0; i < SABOTAGES; i++) {
        char name[40];
        size_t n = 0;
        for (; table[i].name[n] != '\0'; n++)
            name[n] = (char)tolower((unsigned char)table[i].name[n]);
        printf("  %-22.*s %s\n", (int)n, name, table[i].text);
    }
}

bool sabotages_parse(const char *text, unsigned *mask)
{
    char *end;
    *mask = (unsigned)strtoul(text, &end, 0);
    if (*text != '\0' && *end == '\0')
        return true;
    *mask = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        if (!add_name(text, size, mask)) {
            list_names();
            return false;
        }
        text += size + (text[size] == ',');
    }
    return true;
}

/* ---- the proof ---- */

#define F(name) (1u << FAULT_##name)

enum { CALM = 1, SLOW_DISKS = 2, SLOW_NETWORK = 3, LONG_MS = 8000 };

static const unsigned power = F(CRASH) | F(CRASH_ALL) | F(CRASH_SOME);
static const unsigned cuts = F(ISOLATE) | F(CUT) | F(SPLIT);

struct proof {
    enum sabotage sabotage;
    unsigned faults;
    unsigned profile; /* 0: the seed decides */
    enum plot_kind plot;
    uint64_t duration_ms; /* 0: the seed decides; for what takes its time */
};

static unsigned seeds_until_caught(const struct suite_options *o, const struct run_options *run,
                                   char *violation)
{
    struct suite_result *r = memory_alloc(sizeof(*r));
    struct suite_options own = *o;
    own.run = *run;
    own.quiet = true;
    own.stop_at_first = !o->rates;
    own.twice = false;
    suite_run(&own, r);
    unsigned seeds = r->failed > 0 ? (unsigned)(r->first_failed - run->seed) + 1 : 0;
    if (o->rates)
        printf("%" PRIu64 " of %" PRIu64 " seeds: ", r->failed, r->done);
    snprintf(violation, VIOLATION_SIZE, "%s", r->violation);
    free(r);
    return seeds;
}

/* Only what is about members needs any. */
static unsigned members_for(enum sabotage sabotage)
{
    return sabotage == SABOTAGE_OWNER_IGNORED ? MEMBERS_MAX : 0;
}

/* On average; 0: once or more it was not. */
static double prove(const struct suite_options *o, const struct proof *p, unsigned tries, char *violation)
{
    unsigned sum = 0;
    for (unsigned t = 0; t < tries; t++) {
        struct run_options run = {.seed = o->run.seed + t * 100000,
                                  .faults = p->faults,
                                  .profile = p->profile,
                                  .plot = p->plot,
                                  .duration_ms = p->duration_ms,
                                  .members = 1 + members_for(p->sabotage),
                                  .sabotage = 1u << p->sabotage};
        unsigned seeds = seeds_until_caught(o, &run, violation);
        if (seeds == 0)
            return 0;
        sum += seeds;
    }
    return (double)sum / tries;
}

int suite_sabotage(const struct suite_options *o, unsigned tries, const char *only)
{
    const struct proof proofs[] = {
        {SABOTAGE_ACK_BEFORE_SYNC, power, 0, NO_PLOT, 0},
        {SABOTAGE_SYNC_ERROR_IGNORED, F(SYNC_ERROR) | F(CRASH), 0, NO_PLOT, LONG_MS},
        {SABOTAGE_DIRECTORY_NOT_SYNCED, power | F(CHURN) | F(GROW), 0, NO_PLOT, 0},
        {SABOTAGE_TORN_TAIL_ACCEPTED, F(CRASH_ALL) | F(CRASH_SOME), SLOW_DISKS, NO_PLOT, 0},
        {SABOTAGE_DAMAGE_CUT_AWAY, F(ROT) | F(LOST_WRITE) | F(MISDIRECTED), 0, NO_PLOT, 0},
        {SABOTAGE_SHORT_LOG_SERVED, F(SHORTEN), 0, NO_PLOT, LONG_MS},
        {SABOTAGE_ACK_BEFORE_QUORUM, power | cuts, 0, NO_PLOT, 0},
        {SABOTAGE_VOTE_FORGOTTEN, F(CRASH) | F(SPLIT), SLOW_DISKS, PLOT_BETRAYED, 0},
        {SABOTAGE_DAMAGED_VOTES, F(SHORTEN), 0, NO_PLOT, LONG_MS},
        {SABOTAGE_NEWCOMER_VOTES, F(WIPE), 0, NO_PLOT, 0},
        {SABOTAGE_NEWCOMER_FORGETS, F(WIPE), 0, NO_PLOT, 0},
        {SABOTAGE_STALE_LEADER_READS, F(ISOLATE), CALM, PLOT_DEPOSED, 0},
        {SABOTAGE_PRODUCERS_FORGOTTEN, F(CUT) | F(KILL), CALM, PLOT_AMNESIA, 0},
        {SABOTAGE_UNCOMMITTED_SERVED, cuts, 0, NO_PLOT, 0},
        {SABOTAGE_RETRY_ACCEPTED, F(RESET) | F(ISOLATE) | F(CUT), 0, NO_PLOT, 0},
        {SABOTAGE_COMMIT_IN_MEMORY, F(ISOLATE) | F(CLIENT), CALM, PLOT_DEPOSED, 0},
        {SABOTAGE_OWNER_IGNORED, F(KILL), 0, NO_PLOT, 0},
        {SABOTAGE_IDENTITY_IGNORED, F(SWAP), 0, NO_PLOT, 0},
        {SABOTAGE_NO_BACK_PRESSURE, F(DISK) | F(ISOLATE), SLOW_DISKS, NO_PLOT, 0},
        {SABOTAGE_RETENTION_TOO_EARLY, F(CLIENT), 0, NO_PLOT, 0},
    };
    unsigned missed = 0;
    for (size_t i = 0; i < sizeof(proofs) / sizeof(proofs[0]); i++) {
        char violation[VIOLATION_SIZE];
        const char *name = table[proofs[i].sabotage].name;
        if (only != NULL && !name_is(name, only, strlen(only)))
            continue;
        double seeds = prove(o, &proofs[i], tries, violation);
        if (seeds > 0)
            printf("%-22s caught in %.1f seeds: %s\n", name, seeds, violation);
        else
            printf("%-22s NOT caught in %" PRIu64 " seeds\n", name, o->runs);
        fflush(stdout);
        missed += seeds <= 0;
    }
    return missed != 0;
}
