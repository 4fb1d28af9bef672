#include "node/env/slack_timer.h"
#include "node/base/memory.h"

static void on_timer(struct env_timer *timer)
{
    struct slack_timer *t = container_of(timer, struct slack_timer, timer);
    if (slack_look(&t->slack, slack_bytes())) {
        slack_release();
        slack_note_left(&t->slack, slack_bytes());
    }
    env_timer_start(t->env, timer, t->interval_ns, on_timer);
}

void slack_timer_start(struct slack_timer *t, struct env *env, uint64_t interval_ns)
{
    *t = (struct slack_timer){.env = env, .interval_ns = interval_ns};
    env_timer_start(env, &t->timer, interval_ns, on_timer);
}

void slack_timer_stop(struct slack_timer *t)
{
    env_timer_stop(t->env, &t->timer);
}
