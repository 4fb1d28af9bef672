/* The sticky assignor, in three steps: each member is cut down to its fair share of each topic; what is free
 * then is dealt to those below theirs; and as long as two members' totals differ by more than one, the larger
 * gives an extra partition to the smaller. Fair shares of a topic differ by at most one, and no step breaks
 * that again. */
#include "node/group/assignor.h"

#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

struct sticky {
    struct assign_problem *problem;
    uint32_t *held; /* member x topic */
    uint32_t *load; /* of each member, in all topics */
    /* The topic at hand. */
    uint32_t *subscribers;
    uint32_t subscriber_count;
    uint32_t *quota; /* by member */
    bool *tried;     /* by member: levelling */
    bool *settled;
};

static uint32_t *held(const struct sticky *s, uint32_t member, uint32_t topic)
{
    return &s->held[(size_t)member * s->problem->topic_count + topic];
}

static void take(struct sticky *s, uint32_t topic, uint32_t partition)
{
    int32_t *owner = &s->problem->owner[s->problem->topics[topic].first + partition];
    (*held(s, (uint32_t)*owner, topic))--;
    s->load[*owner]--;
    *owner = ASSIGN_NOBODY;
}

static void give(struct sticky *s, uint32_t topic, uint32_t partition, uint32_t member)
{
    s->problem->owner[s->problem->topics[topic].first + partition] = (int32_t)member;
    (*held(s, member, topic))++;
    s->load[member]++;
}

static bool is_near(const struct sticky *s, uint32_t topic, uint32_t partition, uint32_t member)
{
    const struct assign_problem *p = s->problem;
    const char *rack = p->members[member].rack;
    return rack[0] != '\0' && p->in_rack != NULL && p->in_rack(p->data, topic, partition, rack);
}

static bool has_racks(const struct assign_problem *p)
{
    for (size_t i = 0; i < p->member_count; i++)
        if (p->members[i].rack[0] != '\0')
            return p->in_rack != NULL;
    return false;
}

/* ---- where it starts from ---- */

static bool subscribes(const struct assign_member *m, uint32_t topic)
{
    size_t low = 0, high = m->topic_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (m->topics[middle] < topic)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->topic_count && m->topics[low] == topic;
}

static void count_held(struct sticky *s)
{
    struct assign_problem *p = s->problem;
    for (uint32_t t = 0; t < p->topic_count; t++) {
        for (uint32_t i = 0; i < p->topics[t].count; i++) {
            int32_t *owner = &p->owner[p->topics[t].first + i];
            if (*owner != ASSIGN_NOBODY && !subscribes(&p->members[*owner], t))
                *owner = ASSIGN_NOBODY;
            if (*owner != ASSIGN_NOBODY)
                give(s, t, i, (uint32_t)*owner);
        }
    }
}

static void find_subscribers(struct sticky *s, uint32_t topic)
{
    s->subscriber_count = 0;
    for (uint32_t m = 0; m < s->problem->member_count; m++)
        if (subscribes(&s->problem->members[m], topic))
            s->subscribers[s->subscriber_count++] = m;
}

/* ---- first step: nobody has too much of a topic ---- */

/* Of those who have one more than the fair share now, the least loaded keep it. */
static void set_quotas(struct sticky *s, uint32_t topic)
{
    uint32_t count = s->problem->topics[topic].count;
    uint32_t share = count / s->subscriber_count, extras = count % s->subscriber_count;
    for (uint32_t i = 0; i < s->subscriber_count; i++)
        s->quota[s->subscribers[i]] = share;
    for (; extras > 0; extras--) {
        uint32_t *best = NULL;
        for (uint32_t i = 0; i < s->subscriber_count; i++) {
            uint32_t *m = &s->subscribers[i];
            if (s->quota[*m] == share && *held(s, *m, topic) > share &&
                (best == NULL || s->load[*m] < s->load[*best]))
                best = m;
        }
        if (best == NULL)
            return;
        s->quota[*best]++;
    }
}

static void cut(struct sticky *s, uint32_t topic, bool far_only)
{
    const struct assign_problem *p = s->problem;
    for (uint32_t i = p->topics[topic].count; i-- > 0;) {
        int32_t owner = p->owner[p->topics[topic].first + i];
        if (owner == ASSIGN_NOBODY || *held(s, (uint32_t)owner, topic) <= s->quota[owner])
            continue;
        if (!far_only || !is_near(s, topic, i, (uint32_t)owner))
            take(s, topic, i);
    }
}

/* ---- second step: everything has an owner ---- */

/* The least loaded subscriber that has `below` or less; `near`: only one with a replica in its rack. */
static int32_t least_loaded(const struct sticky *s, uint32_t topic, uint32_t partition, uint32_t below,
                            bool near)
{
    int32_t best = ASSIGN_NOBODY;
    for (uint32_t i = 0; i < s->subscriber_count; i++) {
        uint32_t m = s->subscribers[i];
        if (*held(s, m, topic) >= below || (best != ASSIGN_NOBODY && s->load[m] >= s->load[best]))
            continue;
        if (!near || is_near(s, topic, partition, m))
            best = (int32_t)m;
    }
    return best;
}

static void deal(struct sticky *s, uint32_t topic, uint32_t below, bool near)
{
    const struct assign_problem *p = s->problem;
    for (uint32_t i = 0; i < p->topics[topic].count; i++) {
        if (p->owner[p->topics[topic].first + i] != ASSIGN_NOBODY)
            continue;
        int32_t m = least_loaded(s, topic, i, below, near);
        if (m != ASSIGN_NOBODY)
            give(s, topic, i, (uint32_t)m);
    }
}

static void spread_topic(struct sticky *s, uint32_t topic, bool racks)
{
    find_subscribers(s, topic);
    if (s->subscriber_count == 0)
        return;
    uint32_t share = s->problem->topics[topic].count / s->subscriber_count;
    set_quotas(s, topic);
    if (racks)
        cut(s, topic, true);
    cut(s, topic, false);
    if (racks)
        deal(s, topic, share, true);
    deal(s, topic, share, false);
    deal(s, topic, share + 1, false);
}

/* ---- third step: totals ---- */

/* Which of the topic's partitions `from` gives to `to`: one near to `to`, if there is. */
static uint32_t choose(const struct sticky *s, uint32_t topic, uint32_t from, uint32_t to)
{
    const struct assign_problem *p = s->problem;
    uint32_t chosen = 0;
    for (uint32_t i = 0; i < p->topics[topic].count; i++) {
        if (p->owner[p->topics[topic].first + i] != (int32_t)from)
            continue;
        chosen = i;
        if (is_near(s, topic, i, to))
            break;
    }
    return chosen;
}

static bool move_one(struct sticky *s, uint32_t from, uint32_t to)
{
    const struct assign_member *m = &s->problem->members[to];
    for (size_t i = 0; i < m->topic_count; i++) {
        uint32_t topic = m->topics[i];
        if (*held(s, from, topic) <= *held(s, to, topic))
            continue;
        uint32_t partition = choose(s, topic, from, to);
        take(s, topic, partition);
        give(s, topic, partition, to);
        return true;
    }
    return false;
}

/* The most loaded member that has not been tried and has two more than `to`. */
static int32_t most_loaded(const struct sticky *s, uint32_t to)
{
    int32_t best = ASSIGN_NOBODY;
    for (uint32_t m = 0; m < s->problem->member_count; m++)
        if (!s->tried[m] && s->load[m] >= s->load[to] + 2 &&
            (best == ASSIGN_NOBODY || s->load[m] > s->load[best]))
            best = (int32_t)m;
    return best;
}

static bool relieve(struct sticky *s, uint32_t to)
{
    int32_t from;
    memset(s->tried, 0, s->problem->member_count * sizeof(s->tried[0]));
    while ((from = most_loaded(s, to)) != ASSIGN_NOBODY) {
        if (move_one(s, (uint32_t)from, to))
            return true;
        s->tried[from] = true;
    }
    return false;
}

/* The least loaded member that could still be relieved of being so. */
static int32_t neediest(const struct sticky *s)
{
    int32_t best = ASSIGN_NOBODY;
    for (uint32_t m = 0; m < s->problem->member_count; m++)
        if (!s->settled[m] && (best == ASSIGN_NOBODY || s->load[m] < s->load[best]))
            best = (int32_t)m;
    return best;
}

static bool level_round(struct sticky *s)
{
    bool moved = false;
    int32_t to;
    memset(s->settled, 0, s->problem->member_count * sizeof(s->settled[0]));
    while ((to = neediest(s)) != ASSIGN_NOBODY) {
        if (relieve(s, (uint32_t)to))
            moved = true;
        else
            s->settled[to] = true;
    }
    return moved;
}

/* Each move makes the sum of the totals' squares smaller, so this ends. */
static void level(struct sticky *s)
{
    while (level_round(s)) {
    }
}

void assign_sticky(struct assign_problem *p)
{
    size_t members = p->member_count + 1;
    struct sticky s = {
        .problem = p,
        .held = memory_zalloc(members * (p->topic_count + 1) * sizeof(uint32_t)),
        .load = memory_zalloc(members * sizeof(uint32_t)),
        .subscribers = memory_alloc(members * sizeof(uint32_t)),
        .quota = memory_zalloc(members * sizeof(uint32_t)),
        .tried = memory_zalloc(members * sizeof(bool)),
        .settled = memory_zalloc(members * sizeof(bool)),
    };
    bool racks = has_racks(p);
    count_held(&s);
    for (uint32_t t = 0; t < p->topic_count; t++)
        spread_topic(&s, t, racks);
    level(&s);
    free(s.held);
    free(s.load);
    free(s.subscribers);
    free(s.quota);
    free(s.tried);
    free(s.settled);
}
