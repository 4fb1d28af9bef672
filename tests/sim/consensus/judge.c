#include "tests/sim/consensus/judge.h"
#include "node/base/memory.h"
#include "node/storage/log.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void judge_init(struct judge *j)
{
    *j = (struct judge){.entries = memory_zalloc(ORACLE_SIZE * sizeof(*j->entries))};
    for (unsigned i = 0; i < MAX_NODES; i++)
        j->given[i] = memory_zalloc(ORACLE_SIZE);
}

void judge_close(struct judge *j)
{
    free(j->entries);
    for (unsigned i = 0; i < MAX_NODES; i++)
        free(j->given[i]);
}

void judge_forget(struct judge *j, unsigned node)
{
    j->seen[node].there = false;
}

__attribute__((format(printf, 2, 3))) static void violate(struct test_cluster *c, const char *format, ...)
{
    va_list arguments;
    if (c->violation[0] != '\0')
        return;
    va_start(arguments, format);
    vsnprintf(c->violation, sizeof(c->violation), format, arguments);
    va_end(arguments);
}

static const struct group *group_of(const struct test_cluster *c, unsigned i)
{
    const struct test_node *node = &c->nodes[i];
    return node->up && node->groups[0].open ? node->groups[0].group : NULL;
}

static bool look_at(const struct test_cluster *c, unsigned i, struct probed_core *core)
{
    const struct group *g = group_of(c, i);
    return g != NULL && probe_core(g, core);
}

/* ---- votes ---- */

/* Who has voted for somebody else has not, who was not seen in that term may have. */
static bool may_have_voted(const struct judge *j, const struct test_cluster *c, unsigned i, uint64_t term,
                           uint32_t leader)
{
    struct probed_core now;
    if (j->given[i][term] != 0)
        return j->given[i][term] == leader;
    return !look_at(c, i, &now) || now.term > term;
}

/* A leader has a majority's votes. Where only so many can have given theirs, each of them has. */
static void count_votes(struct judge *j, const struct test_cluster *c, uint64_t term, uint32_t leader)
{
    bool possible[MAX_NODES];
    unsigned count = 0;
    j->judged_term = term;
    for (unsigned i = 0; i < c->n; i++)
        count += possible[i] = may_have_voted(j, c, i, term, leader);
    for (unsigned i = 0; i < c->n && count == c->n / 2 + 1; i++) {
        if (!possible[i])
            continue;
        j->counted[i].term = term;
        j->counted[i].vote = leader;
    }
}

static void judge_vote(const struct judge *j, struct test_cluster *c, unsigned i,
                       const struct probed_core *now)
{
    if (now->damaged || now->term > j->counted[i].term ||
        (now->term == j->counted[i].term && now->vote == j->counted[i].vote))
        return;
    violate(c, "node %u has forgotten its vote for node %u in term %llu", i + 1, j->counted[i].vote,
            (unsigned long long)j->counted[i].term);
}

/* ---- claims ---- */

/* An index and a term name an entry, so that the same one is meant both times. */
static void judge_claim(struct test_cluster *c, unsigned i, const struct probed_core *before,
                        const struct probed_core *now)
{
    if (now->term <= before->term || before->unstored_index == 0)
        return;
    if (now->unstored_index == 0 || now->unstored_index > before->unstored_index ||
        probe_term(group_of(c, i), before->unstored_index) != before->unstored_term)
        return;
    violate(c, "node %u has gone on to term %llu while its entry %llu of term %llu was not on its disk",
            i + 1, (unsigned long long)now->term, (unsigned long long)before->unstored_index,
            (unsigned long long)before->unstored_term);
}

/* ---- commits ---- */

/* Who is down may have it, and who does not know the term any more has it below a snapshot. */
static bool may_have(const struct test_cluster *c, unsigned i, uint64_t index, uint64_t term)
{
    struct probed_core core;
    if (!look_at(c, i, &core))
        return true;
    uint64_t own = probe_term(group_of(c, i), index);
    return log_durable_index(group_log(group_of(c, i))) >= index && (own == term || own == 0);
}

static void judge_commit(struct test_cluster *c, unsigned i, const struct probed_core *before,
                         const struct probed_core *now)
{
    uint64_t term = probe_term(group_of(c, i), now->commit);
    unsigned have = 0;
    if (now->commit <= before->commit || term == 0)
        return;
    for (unsigned k = 0; k < c->n; k++)
        have += may_have(c, k, now->commit, term);
    if (have < c->n / 2 + 1)
        violate(c, "node %u calls entry %llu of term %llu committed, which is on %u of %u disks", i + 1,
                (unsigned long long)now->commit, (unsigned long long)term, have, c->n);
    if (before->leads && now->leads && before->term == now->term && term != now->term)
        violate(c, "node %u, leader of term %llu, commits entry %llu of term %llu by counting", i + 1,
                (unsigned long long)now->term, (unsigned long long)now->commit, (unsigned long long)term);
}

/* ---- entries ---- */

static void judge_entries(struct judge *j, struct test_cluster *c, unsigned i)
{
    const struct group *g = group_of(c, i);
    uint64_t last = log_last_index(group_log(g));
    for (uint64_t index = log_durable_index(group_log(g)); index <= last && index < ORACLE_SIZE; index++) {
        struct judged_entry now, *before = &j->entries[index];
        if (!probe_entry(g, index, &now.term, &now.crc))
            continue;
        if (before->term == now.term && before->crc != now.crc)
            violate(c, "node %u has another entry %llu of term %llu than was seen before", i + 1,
                    (unsigned long long)index, (unsigned long long)now.term);
        *before = now;
    }
}

/* A snapshot says what its log has told, but does not contain it. */
static void judge_start(const struct judge *j, struct test_cluster *c, unsigned i)
{
    int64_t start = log_start_offset(group_log(group_of(c, i)));
    if (start > j->dropped_before)
        violate(c, "the log of node %u begins at offset %lld, although only what is before %lld was to go",
                i + 1, (long long)start, (long long)j->dropped_before);
}

void judge_step(struct judge *j, struct test_cluster *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct probed_core now;
        if (!look_at(c, i, &now))
            continue;
        if (now.vote != 0 && now.term < ORACLE_SIZE)
            j->given[i][now.term] = (uint8_t)now.vote;
        judge_vote(j, c, i, &now);
        judge_entries(j, c, i);
        judge_start(j, c, i);
        if (j->seen[i].there) {
            judge_claim(c, i, &j->seen[i].core, &now);
            judge_commit(c, i, &j->seen[i].core, &now);
        }
        j->seen[i].there = true;
        j->seen[i].core = now;
    }
    for (unsigned i = 0; i < c->n; i++) {
        const struct probed_core *now = &j->seen[i].core;
        if (j->seen[i].there && now->leads && now->term > j->judged_term && now->term < ORACLE_SIZE)
            count_votes(j, c, now->term, i + 1);
    }
}
