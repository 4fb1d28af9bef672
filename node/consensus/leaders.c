/* Who leads what in the whole cluster: own groups' ready leaders are told to every peer, on connect (all) and
 * on change. A word about a term is never replaced by one about an older term. */
#include "node/consensus/consensus_internal.h"
#include <stdlib.h>

enum { LEADERS_PER_FRAME = 4096 };

static struct leadership *leadership_of(struct consensus *c, uint64_t group_id)
{
    struct leadership *l;
    HASH_FIND(hh, c->leaders, &group_id, sizeof group_id, l);
    if (l)
        return l;
    l = memory_zalloc(sizeof *l);
    l->group_id = group_id;
    queue_init(&l->changed);
    HASH_ADD(hh, c->leaders, group_id, sizeof l->group_id, l);
    return l;
}

void leaders_set(struct consensus *c, uint64_t group_id, uint32_t node_id, uint64_t term)
{
    struct leadership *l = leadership_of(c, group_id);
    if (term < l->term || (term == l->term && node_id == l->node_id))
        return;
    l->term = term;
    l->node_id = node_id;
    if (c->options.leader_changed && !c->closing)
        c->options.leader_changed(c->options.data, group_id, node_id, term);
}

uint32_t consensus_leader_of(const struct consensus *c, uint64_t group_id, uint64_t *term)
{
    struct leadership *l;
    HASH_FIND(hh, c->leaders, &group_id, sizeof group_id, l);
    if (term)
        *term = l ? l->term : 0;
    return l ? l->node_id : 0;
}

static void add_info(Flotilla__LeaderInfo *info, const struct leadership *l)
{
    flotilla__leader_info__init(info);
    info->group_id = l->group_id;
    info->term = l->term;
    info->node_id = l->node_id;
}

struct leaders_frame {
    Flotilla__PeerLeaders message;
    Flotilla__LeaderInfo infos[LEADERS_PER_FRAME];
    Flotilla__LeaderInfo *pointers[LEADERS_PER_FRAME];
};

static void frame_send(struct consensus *c, struct leaders_frame *f, struct peer *only)
{
    f->message.leaders = f->pointers;
    QUEUE_FOREACH (node, &c->peers) {
        struct peer *p = QUEUE_ENTRY(node, struct peer, node);
        if ((!only || only == p) && peer_is_up(p))
            peer_send(p, FRAME_PEER_LEADERS, 0, 0, &f->message.base, NULL, 0);
    }
    f->message.n_leaders = 0;
}

static void frame_add(struct consensus *c, struct leaders_frame *f, const struct leadership *l,
                      struct peer *only)
{
    size_t i = f->message.n_leaders++;
    add_info(&f->infos[i], l);
    f->pointers[i] = &f->infos[i];
    if (f->message.n_leaders == LEADERS_PER_FRAME)
        frame_send(c, f, only);
}

static void on_announce(struct env_task *task)
{
    struct consensus *c = container_of(task, struct consensus, announce);
    struct leaders_frame *f = memory_alloc(sizeof *f);
    flotilla__peer_leaders__init(&f->message);
    while (!queue_empty(&c->changed)) {
        struct leadership *l = QUEUE_ENTRY(queue_first(&c->changed), struct leadership, changed);
        queue_remove(&l->changed);
        frame_add(c, f, l, NULL);
    }
    if (f->message.n_leaders > 0)
        frame_send(c, f, NULL);
    free(f);
}

void leaders_announce(struct consensus *c, uint64_t group_id, uint32_t node_id, uint64_t term)
{
    leaders_set(c, group_id, node_id, term);
    struct leadership *l = leadership_of(c, group_id);
    if (l->term != term || l->node_id != node_id)
        return;
    queue_remove(&l->changed);
    queue_push(&c->changed, &l->changed);
    env_defer(c->options.env, &c->announce, on_announce);
}

void leaders_send_all(struct consensus *c, struct peer *p)
{
    struct leaders_frame *f = memory_alloc(sizeof *f);
    flotilla__peer_leaders__init(&f->message);
    struct leadership *l, *next;
    HASH_ITER (hh, c->leaders, l, next) {
        if (l->node_id == c->options.node_id)
            frame_add(c, f, l, p);
    }
    if (f->message.n_leaders > 0)
        frame_send(c, f, p);
    free(f);
}

void leaders_receive(struct consensus *c, uint32_t from, const Flotilla__PeerLeaders *leaders)
{
    for (size_t i = 0; i < leaders->n_leaders; i++) {
        const Flotilla__LeaderInfo *info = leaders->leaders[i];
        /* Only the leader itself speaks, of itself; a group of our own we know better about when it leads. */
        if (info->node_id == from || info->node_id == 0)
            leaders_set(c, info->group_id, info->node_id, info->term);
    }
}

void leaders_forget_node(struct consensus *c, uint32_t node_id)
{
    struct leadership *l, *next;
    HASH_ITER (hh, c->leaders, l, next) {
        if (l->node_id == node_id)
            leaders_set(c, l->group_id, 0, l->term);
    }
}

void leaders_close(struct consensus *c)
{
    struct leadership *l, *next;
    env_task_cancel(c->options.env, &c->announce);
    HASH_ITER (hh, c->leaders, l, next) {
        HASH_DEL(c->leaders, l);
        free(l);
    }
}
