#include "node/cluster/pace.h"

/* Who has stored a record within this time may store another one. */
static const uint64_t lately_ns = 200 * 1000000u;
static const uint64_t pause_least_ns = 2 * 1000000u;
static const uint64_t pause_most_ns = 25 * 1000000u;
/* For each one that is wanted: few are soon over, and disturb nobody for long. */
static const uint64_t pause_share_ns = 100 * 1000u;
/* Of all that are wanted at once: less than any client waits for a topic. */
static const uint64_t pauses_most_ns = 25000 * (uint64_t)1000000;

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(const struct pace *p)
{
    uint64_t wanted = p->wanted > 0 ? p->wanted : 1;
    uint64_t share_ns = least_of(wanted * pause_share_ns, pauses_most_ns / wanted);
    return least_of(share_ns, pause_most_ns);
}

uint64_t pace_next_ns(const struct pace *p, uint64_t now_ns, uint64_t written_ns)
{
    enum { PAUSES = 40 };
    uint64_t pause_ns = PAUSES * p->took_ns;

    if (written_ns == 0 || now_ns - written_ns > lately_ns || p->began_ns == 0)
        return now_ns;
    pause_ns = pause_ns > pause_least_ns ? pause_ns : pause_least_ns;
    return p->began_ns + least_of(pause_ns, most(p));
}

void pace_note_wanted(struct pace *p)
{
    p->wanted++;
}

void pace_note_all_begun(struct pace *p)
{
    p->wanted = 0;
}

void pace_note_begun(struct pace *p, uint64_t now_ns)
{
    p->began_ns = now_ns;
}

void pace_note_created(struct pace *p, uint64_t took_ns)
{
    enum { WEIGHT = 4 };

    p->took_ns = (p->took_ns * (WEIGHT - 1) + took_ns) / WEIGHT;
}
