#include "node/base/memory.h"
#include "tests/unit/env/helper_env.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { PARALLEL = 16 };

/* Jobs that all wait for each other: they end only if they run at the same time. */
struct meeting {
    pthread_barrier_t barrier;
    unsigned done;
};

struct member {
    struct env_work work;
    struct meeting *meeting;
    pthread_t thread;
};

static void meet(struct env_work *work)
{
    struct member *m = container_of(work, struct member, work);
    m->thread = pthread_self();
    pthread_barrier_wait(&m->meeting->barrier);
}

static void met(struct env_work *work)
{
    container_of(work, struct member, work)->meeting->done++;
}

static void sixteen_jobs_run_at_the_same_time(void **state)
{
    struct env *env = *state;
    struct member members[PARALLEL] = {0};
    struct meeting meeting = {.done = 0};
    pthread_barrier_init(&meeting.barrier, NULL, PARALLEL);
    for (int i = 0; i < PARALLEL; i++) {
        members[i].meeting = &meeting;
        env_work(env, &members[i].work, meet, met);
    }
    assert_int_equal(meeting.done, 0);
    RUN_UNTIL(env, meeting.done == PARALLEL);
    for (int i = 0; i < PARALLEL; i++)
        assert_false(pthread_equal(members[i].thread, pthread_self()));
    pthread_barrier_destroy(&meeting.barrier);
}

struct counter {
    struct env_work work;
    struct env *env;
    unsigned worked;
    unsigned again;
    unsigned *done;
};

static void count_worked(struct env_work *work)
{
    container_of(work, struct counter, work)->worked++;
}

static void count_done(struct env_work *work)
{
    struct counter *c = container_of(work, struct counter, work);
    if (c->again-- > 0) {
        env_work(c->env, work, count_worked, count_done);
        return;
    }
    (*c->done)++;
    assert_int_equal(c->worked, 4);
    free(c);
}

/* More jobs than threads, submitted again from `done`, and freed there. */
static void jobs_may_go_or_return_in_done(void **state)
{
    struct env *env = *state;
    enum { JOBS = 500 };
    unsigned done = 0;
    for (int i = 0; i < JOBS; i++) {
        struct counter *c = memory_zalloc(sizeof(*c));
        *c = (struct counter){.env = env, .again = 3, .done = &done};
        env_work(env, &c->work, count_worked, count_done);
    }
    env_run(env); /* outstanding work keeps it running */
    assert_int_equal(done, JOBS);
}

static void destroy_waits_for_jobs(void **state)
{
    (void)state;
    struct env *env = env_uv_create(1);
    unsigned done = 0;
    struct counter *c = memory_zalloc(sizeof(*c));
    *c = (struct counter){.env = env, .again = 3, .done = &done};
    env_work(env, &c->work, count_worked, count_done);
    env_destroy(env);
    assert_int_equal(done, 1);
}

/* ---- brief jobs ---- */

struct brief {
    struct env_work work;
    pthread_t thread;
    long sleep_ns;
    bool ended;
};

static void brief_work(struct env_work *work)
{
    struct brief *b = container_of(work, struct brief, work);
    struct timespec pause = {0, b->sleep_ns};
    b->thread = pthread_self();
    if (b->sleep_ns > 0)
        nanosleep(&pause, NULL);
}

static void brief_ended(struct env_work *work)
{
    container_of(work, struct brief, work)->ended = true;
}

/* Whether the loop itself ran it. */
static bool runs_here(struct env *env, long sleep_ns)
{
    struct brief b = {.sleep_ns = sleep_ns};
    env_work_brief(env, &b.work, brief_work, brief_ended);
    assert_false(b.ended); /* never inside the submitting call */
    RUN_UNTIL(env, b.ended);
    return pthread_equal(b.thread, pthread_self());
}

static void learn_that_they_are_fast(struct env *env)
{
    assert_false(runs_here(env, 0)); /* nothing is known yet */
    for (int i = 0; !runs_here(env, 0); i++)
        assert_true(i < 10000);
}

static void the_loop_runs_a_brief_job_that_is_alone(void **state)
{
    struct env *env = *state;
    learn_that_they_are_fast(env);

    struct member members[2] = {0};
    struct meeting meeting = {.done = 0};
    pthread_barrier_init(&meeting.barrier, NULL, 2);
    for (int i = 0; i < 2; i++) {
        members[i].meeting = &meeting;
        env_work_brief(env, &members[i].work, meet, met); /* side by side, or they would never end */
    }
    RUN_UNTIL(env, meeting.done == 2);
    pthread_barrier_destroy(&meeting.barrier);
}

static void a_slow_brief_job_sends_the_next_ones_to_workers(void **state)
{
    struct env *env = *state;
    learn_that_they_are_fast(env);
    (void)runs_here(env, 10 * 1000000);
    for (int i = 0; i < 10; i++)
        assert_false(runs_here(env, 0));
}

struct patience {
    struct env_timer timer;
    bool over;
};

static void patience_over(struct env_timer *timer)
{
    container_of(timer, struct patience, timer)->over = true;
}

/* Its owner runs the loop until the job has ended and waits for nothing else: a turn that ran it and then
 * blocked for an event would never come back. */
static void a_turn_that_has_run_a_brief_job_does_not_block(void **state)
{
    struct env *env = *state;
    struct brief b;
    learn_that_they_are_fast(env);
    do {
        struct patience patience = {0};
        b = (struct brief){0};
        env_timer_start(env, &patience.timer, 10000 * MS, patience_over);
        env_work_brief(env, &b.work, brief_work, brief_ended);
        while (!b.ended)
            env_run_once(env, true);
        env_timer_stop(env, &patience.timer);
        assert_false(patience.over);
    } while (!pthread_equal(b.thread, pthread_self())); /* a worker had it: try again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sixteen_jobs_run_at_the_same_time, helper_env_create,
                                        helper_env_destroy),
        cmocka_unit_test_setup_teardown(jobs_may_go_or_return_in_done, helper_env_create, helper_env_destroy),
        cmocka_unit_test(destroy_waits_for_jobs),
        cmocka_unit_test_setup_teardown(the_loop_runs_a_brief_job_that_is_alone, helper_env_create,
                                        helper_env_destroy),
        cmocka_unit_test_setup_teardown(a_turn_that_has_run_a_brief_job_does_not_block, helper_env_create,
                                        helper_env_destroy),
        cmocka_unit_test_setup_teardown(a_slow_brief_job_sends_the_next_ones_to_workers, helper_env_create,
                                        helper_env_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
