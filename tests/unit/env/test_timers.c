#include "node/base/memory.h"
#include "node/base/prng.h"
#include "node/env/timer_heap.h"
#include "tests/unit/env/helper_env.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct probe {
    struct env_timer timer;
    struct env_task task;
    struct env *env;
    int id;
    uint64_t deadline_ns;
    uint64_t fired_ns;
    unsigned fired;
};

static int order[4096];
static unsigned order_size;

static void note(struct probe *p)
{
    p->fired++;
    p->fired_ns = env_clock_ns(p->env);
    order[order_size++ % 4096] = p->id;
}

static void on_timer(struct env_timer *timer)
{
    note(container_of(timer, struct probe, timer));
}

static int by_deadline_then_start(const void *a, const void *b)
{
    const struct probe *p = *(struct probe *const *)a;
    const struct probe *q = *(struct probe *const *)b;
    if (p->timer.deadline_ns != q->timer.deadline_ns)
        return p->timer.deadline_ns < q->timer.deadline_ns ? -1 : 1;
    return p->id - q->id;
}

static void timers_fire_in_order_of_deadline_then_start(void **state)
{
    struct env *env = *state;
    const uint64_t delays_ms[] = {4, 2, 2, 0, 3};
    struct probe probes[5] = {0};
    order_size = 0;
    for (int i = 0; i < 5; i++) {
        probes[i] = (struct probe){.env = env, .id = i, .deadline_ns = env_now_ns(env) + delays_ms[i] * MS};
        env_timer_start(env, &probes[i].timer, delays_ms[i] * MS, on_timer);
        assert_true(env_timer_running(&probes[i].timer));
    }
    /* By what each got: between two starts, this thread may have had to wait for a processor. */
    const struct probe *expected[5];
    for (int i = 0; i < 5; i++)
        expected[i] = &probes[i];
    qsort(expected, 5, sizeof(*expected), by_deadline_then_start);
    RUN_UNTIL(env, order_size == 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(order[i], expected[i]->id);
        assert_false(env_timer_running(&probes[i].timer));
        assert_true(probes[i].fired_ns >= probes[i].deadline_ns);
    }
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct env *env = *state;
    struct probe stopped = {.env = env};
    struct probe later = {.env = env};
    env_timer_stop(env, &stopped.timer);
    env_timer_start(env, &stopped.timer, 1 * MS, on_timer);
    env_timer_start(env, &later.timer, 2 * MS, on_timer);
    env_timer_stop(env, &stopped.timer);
    RUN_UNTIL(env, later.fired == 1);
    assert_int_equal(stopped.fired, 0);
}

static void a_restart_moves_the_deadline(void **state)
{
    struct env *env = *state;
    struct probe moved = {.env = env, .id = 1};
    struct probe fixed = {.env = env, .id = 2};
    order_size = 0;
    env_timer_start(env, &moved.timer, 1 * MS, on_timer);
    env_timer_start(env, &fixed.timer, 2 * MS, on_timer);
    env_timer_start(env, &moved.timer, 4 * MS, on_timer);
    RUN_UNTIL(env, order_size == 2);
    assert_int_equal(order[0], 2);
    assert_int_equal(moved.fired, 1);
}

static void on_restart_at_once(struct env_timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);
    note(p);
    env_timer_start(p->env, &p->timer, 0, on_restart_at_once);
}

static void a_timer_without_delay_does_not_starve_others(void **state)
{
    struct env *env = *state;
    struct probe eager = {.env = env};
    struct probe patient = {.env = env};
    env_timer_start(env, &eager.timer, 0, on_restart_at_once);
    env_timer_start(env, &patient.timer, 1 * MS, on_timer);
    RUN_UNTIL(env, patient.fired == 1);
    env_timer_stop(env, &eager.timer);
    assert_true(eager.fired > 1);
}

static void deadlines_are_kept_below_the_millisecond(void **state)
{
    struct env *env = *state;
    enum { TRIES = 40 };
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        struct probe p = {.env = env};
        uint64_t start_ns = env_clock_ns(env);
        env_timer_start(env, &p.timer, 300000, on_timer);
        while (p.fired == 0)
            env_run_once(env, true);
        uint64_t took_ns = p.fired_ns - start_ns;
        assert_true(took_ns >= 300000);
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    assert_true(best_ns < 600000); /* epoll's own time-outs would make it a millisecond or more */
}

static void work_nothing(struct env_work *job)
{
    (void)job;
}

static void a_shorter_timer_wakes_the_loop_before_a_longer_one(void **state)
{
    struct env *env = *state;
    struct probe longer = {.env = env};
    struct probe shorter = {.env = env};
    struct env_work wake;
    env_timer_start(env, &longer.timer, 2000 * MS, on_timer);
    env_work(env, &wake, work_nothing, work_nothing);
    env_run_once(env, true); /* waits for the timer, and is woken by the job */
    env_timer_start(env, &shorter.timer, 1 * MS, on_timer);
    while (shorter.fired == 0 && longer.fired == 0)
        env_run_once(env, true);
    assert_int_equal(longer.fired, 0);
    env_timer_stop(env, &longer.timer);
}

static void on_heap_timer(struct env_timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);
    p->fired++;
    order[order_size++] = p->id;
}

static int compare_probes(const void *a, const void *b)
{
    const struct probe *x = *(struct probe *const *)a;
    const struct probe *y = *(struct probe *const *)b;
    if (x->timer.deadline_ns != y->timer.deadline_ns)
        return x->timer.deadline_ns < y->timer.deadline_ns ? -1 : 1;
    return x->timer.sequence < y->timer.sequence ? -1 : 1;
}

/* Random starts, restarts and stops against a sorted list. */
static void the_heap_agrees_with_a_sorted_list(void **state)
{
    (void)state;
    enum { TIMERS = 300, STEPS = 3000 };
    static struct probe probes[TIMERS];
    static struct probe *running[TIMERS];
    struct timer_heap heap;
    struct prng p;
    prng_init(&p, 99);
    timer_heap_init(&heap);
    for (int i = 0; i < TIMERS; i++)
        probes[i] = (struct probe){.id = i, .timer = {.cb = on_heap_timer}};
    for (int step = 0; step < STEPS; step++) {
        struct env_timer *timer = &probes[prng_below(&p, TIMERS)].timer;
        if (prng_below(&p, 3) == 0)
            timer_heap_stop(&heap, timer);
        else
            timer_heap_start(&heap, timer, prng_below(&p, 50));
    }
    size_t n = 0;
    for (int i = 0; i < TIMERS; i++) {
        if (env_timer_running(&probes[i].timer))
            running[n++] = &probes[i];
    }
    qsort(running, n, sizeof(running[0]), compare_probes);
    order_size = 0;
    assert_int_equal(timer_heap_run(&heap, 100), n);
    assert_int_equal(timer_heap_next(&heap), UINT64_MAX);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(order[i], running[i]->id);
    timer_heap_close(&heap);
}

static void on_task(struct env_task *task)
{
    note(container_of(task, struct probe, task));
}

static void a_deferred_task_runs_once(void **state)
{
    struct env *env = *state;
    struct probe p = {.env = env};
    struct probe canceled = {.env = env};
    env_task_cancel(env, &canceled.task);
    env_defer(env, &p.task, on_task);
    env_defer(env, &p.task, on_task);
    env_defer(env, &canceled.task, on_task);
    env_task_cancel(env, &canceled.task);
    assert_int_equal(p.fired, 0);
    env_run_once(env, false);
    assert_int_equal(p.fired, 1);
    env_run_once(env, false);
    assert_int_equal(p.fired, 1);
    assert_int_equal(canceled.fired, 0);
}

static void on_defer_again(struct env_task *task)
{
    struct probe *p = container_of(task, struct probe, task);
    note(p);
    env_defer(p->env, &p->task, on_defer_again);
}

static void a_task_that_defers_itself_keeps_the_loop_awake_but_not_busy(void **state)
{
    struct env *env = *state;
    struct probe p = {.env = env};
    struct probe timer = {.env = env};
    env_defer(env, &p.task, on_defer_again);
    env_timer_start(env, &timer.timer, 1 * MS, on_timer);
    RUN_UNTIL(env, timer.fired == 1);
    env_task_cancel(env, &p.task);
    assert_true(p.fired > 1);
}

static void on_defer_from_timer(struct env_timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);
    env_defer(p->env, &p->task, on_task);
}

static void run_returns_when_nothing_is_left(void **state)
{
    struct env *env = *state;
    struct probe p = {.env = env};
    env_timer_start(env, &p.timer, 1 * MS, on_defer_from_timer);
    env_run(env);
    assert_int_equal(p.fired, 1);
}

static void on_stop(struct env_timer *timer)
{
    env_stop(container_of(timer, struct probe, timer)->env);
}

static void stop_ends_run(void **state)
{
    struct env *env = *state;
    struct probe stopper = {.env = env};
    struct probe never = {.env = env};
    env_timer_start(env, &stopper.timer, 1 * MS, on_stop);
    env_timer_start(env, &never.timer, UINT64_MAX, on_timer);
    env_run(env);
    assert_true(env_timer_running(&never.timer));
    env_timer_stop(env, &never.timer);
}

static void on_signal(void *data, int signal)
{
    *(int *)data = signal;
}

static void signals_arrive_on_the_loop(void **state)
{
    struct env *env = *state;
    int seen = 0;
    assert_int_equal(env_on_signal(env, SIGUSR1, on_signal, &seen), 0);
    raise(SIGUSR1);
    RUN_UNTIL(env, seen == SIGUSR1);
}

static void random_numbers_follow_the_seed(void **state)
{
    (void)state;
    struct env *a = env_uv_create(5);
    struct env *b = env_uv_create(5);
    assert_true(env_random(a) == env_random(b));
    unsigned char x[16];
    unsigned char y[16];
    env_random_bytes(a, x, sizeof(x));
    env_random_bytes(b, y, sizeof(y));
    assert_memory_not_equal(x, y, sizeof(x));
    env_destroy(a);
    env_destroy(b);
}

#define WITH_ENV(test) cmocka_unit_test_setup_teardown(test, helper_env_create, helper_env_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ENV(timers_fire_in_order_of_deadline_then_start),
        WITH_ENV(a_stopped_timer_does_not_fire),
        WITH_ENV(a_restart_moves_the_deadline),
        WITH_ENV(a_timer_without_delay_does_not_starve_others),
        WITH_ENV(deadlines_are_kept_below_the_millisecond),
        WITH_ENV(a_shorter_timer_wakes_the_loop_before_a_longer_one),
        cmocka_unit_test(the_heap_agrees_with_a_sorted_list),
        WITH_ENV(a_deferred_task_runs_once),
        WITH_ENV(a_task_that_defers_itself_keeps_the_loop_awake_but_not_busy),
        WITH_ENV(run_returns_when_nothing_is_left),
        WITH_ENV(stop_ends_run),
        WITH_ENV(signals_arrive_on_the_loop),
        cmocka_unit_test(random_numbers_follow_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
