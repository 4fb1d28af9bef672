#include "node/server/kafka/leader_wait.h"
#include "node/base/memory.h"

bool kafka_is_led(const struct server *s, uint64_t group_id)
{
    int32_t epoch;
    uint32_t leader = cluster_leader(s->cluster, group_id, &epoch);
    return leader != 0 && cluster_node_alive(s->cluster, leader);
}

static void finish(struct leader_wait *w)
{
    w->request->cancel = NULL;
    w->answer(w->request);
}

static void on_gone_while_parked(struct kafka_request *r)
{
    struct leader_wait *w = r->state;
    parking_remove(&w->parked);
    finish(w);
}

static void look(struct leader_wait *w)
{
    struct kafka_request *r = w->request;
    const struct server *s = r->server;
    uint64_t group_id = 0;
    bool in_time = env_clock_ns(s->env) - w->parked.since_ns < PARKING_MAX_MS * (uint64_t)1000000;
    if (s->draining || !in_time || w->settled(r, &group_id)) {
        finish(w);
        return;
    }
    r->cancel = on_gone_while_parked;
    parking_add(r->server, &w->parked, group_id);
}

static void on_again(struct parked *p)
{
    look(container_of(p, struct leader_wait, parked));
}

static void on_called(struct roll_call_req *req)
{
    look(container_of(req, struct leader_wait, roll_call));
}

static void on_gone_while_calling(struct kafka_request *r)
{
    struct leader_wait *w = r->state;
    consensus_roll_call_cancel(&w->roll_call);
    finish(w);
}

void kafka_await_leaders(struct kafka_request *r,
                         bool (*settled)(struct kafka_request *r, uint64_t *group_id),
                         void (*answer)(struct kafka_request *r))
{
    struct leader_wait *w = r->state;
    w->request = r;
    w->settled = settled;
    w->answer = answer;
    w->parked.out_of_turn = true;
    parking_arrive(r->server, &w->parked, on_again);
    r->cancel = on_gone_while_calling;
    cluster_roll_call(r->server->cluster, &w->roll_call, on_called);
}
