#include "tests/unit/broker/helper_fake_env.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct fake_env *of(struct env *env)
{
    return (struct fake_env *)env;
}

static uint64_t now_ns(struct env *env)
{
    return of(env)->now_ns;
}

static int64_t wall_ms(struct env *env)
{
    return of(env)->wall_ms;
}

static void work(struct env *env, struct env_work *job)
{
    struct fake_env *e = of(env);
    assert(e->job_count < sizeof e->jobs / sizeof e->jobs[0]);
    e->jobs[e->job_count++] = job;
}

static int dir_remove(struct env *env, const char *path)
{
    snprintf(of(env)->removed, sizeof of(env)->removed, "%s", path);
    return of(env)->remove_status;
}

static const struct env_ops ops = {
    .now_ns = now_ns,
    .clock_ns = now_ns,
    .wall_ms = wall_ms,
    .work = work,
    .dir_remove = dir_remove,
};

void fake_env_init(struct fake_env *e)
{
    memset(e, 0, sizeof *e);
    env_init(&e->env, &ops);
    e->now_ns = 1000000;
    e->wall_ms = 1700000000000;
}

void fake_env_close(struct fake_env *e)
{
    env_close(&e->env);
}

void fake_env_turn(struct fake_env *e)
{
    while (e->job_count > 0 || env_has_deferred(&e->env)) {
        if (e->job_count > 0) {
            struct env_work *job = e->jobs[0];
            memmove(&e->jobs[0], &e->jobs[1], --e->job_count * sizeof e->jobs[0]);
            job->work(job);
            job->done(job);
        }
        env_run_deferred(&e->env);
    }
}

void fake_env_advance(struct fake_env *e, uint64_t ms)
{
    e->now_ns += ms * 1000000u;
    e->wall_ms += (int64_t)ms;
    timer_heap_run(&e->env.timers, e->now_ns);
    fake_env_turn(e);
}
