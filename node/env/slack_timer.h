/* Looks at even intervals how much freed memory lies idle, and gives back what has for some of them: see
 * node/base/slack.h. One for a process, since memory is the process's. */
#ifndef ENV_SLACK_TIMER_H
#define ENV_SLACK_TIMER_H

#include "node/base/slack.h"
#include "node/env/env.h"

struct slack_timer {
    struct env *env; /* private from here */
    uint64_t interval_ns;
    struct env_timer timer;
    struct slack slack;
};

/* Its memory must stay until it is stopped. */
void slack_timer_start(struct slack_timer *t, struct env *env, uint64_t interval_ns);
void slack_timer_stop(struct slack_timer *t);

#endif
