#include "node/base/memory.h"
#include "tests/unit/sim/helper_sim.h"
#include <stdlib.h>

struct probe {
    struct env *env;
    struct env_timer timer;
    struct env_task task;
    unsigned fired;
    uint64_t fired_ns; /* of the simulation */
    struct sim *sim;
    unsigned order;
    unsigned *next;
};

static void note(struct probe *p)
{
    p->fired++;
    p->fired_ns = sim_now_ns(p->sim);
    if (p->next != NULL)
        p->order = (*p->next)++;
}

static void on_timer(struct env_timer *timer)
{
    note(container_of(timer, struct probe, timer));
}

static void on_task(struct env_task *task)
{
    note(container_of(task, struct probe, task));
}

static void on_restart_at_once(struct env_timer *timer)
{
    struct probe *p = container_of(timer, struct probe, timer);
    note(p);
    env_timer_start(p->env, &p->timer, 0, on_restart_at_once);
}

static bool has_fired(void *probe)
{
    return ((struct probe *)probe)->fired > 0;
}

static int set_up(void **state)
{
    *state = sim_create(1);
    return 0;
}

static int tear_down(void **state)
{
    sim_destroy(*state);
    return 0;
}

static void timers_of_all_hosts_fire_in_order(void **state)
{
    struct sim *sim = *state;
    unsigned next = 0;
    struct probe probes[4];
    const uint64_t delays[4] = {3 * MS, 1 * MS, 2 * MS, 1 * MS};
    for (int i = 0; i < 4; i++) {
        struct env *env = sim_host_env(sim_host_create(sim, i % 2 == 0 ? "even" : "odd"));
        probes[i] = (struct probe){.env = env, .sim = sim, .next = &next};
        env_timer_start(env, &probes[i].timer, delays[i], on_timer);
    }
    assert_true(sim_run_until(sim, SECOND, has_fired, &probes[0]));
    const unsigned expected[4] = {3, 0, 2, 1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(probes[i].order, expected[i]);
        assert_in_range(probes[i].fired_ns, delays[i], delays[i] + 10 * US);
    }
}

static void clocks_differ_and_advance_together(void **state)
{
    struct sim *sim = *state;
    struct sim_host *host = sim_host_create(sim, "a");
    struct env *a = sim_host_env(host);
    struct env *b = sim_host_env(sim_host_create(sim, "b"));
    uint64_t a_ns = env_now_ns(a);
    uint64_t b_ns = env_now_ns(b);
    int64_t wall_ms = env_wall_ms(a);
    assert_true(a_ns != b_ns);
    sim_run_for(sim, 5 * SECOND);
    assert_int_equal(env_now_ns(a) - a_ns, 5 * SECOND);
    assert_int_equal(env_now_ns(b) - b_ns, 5 * SECOND);
    assert_int_equal(env_wall_ms(a) - wall_ms, 5000);
    sim_host_step_wall_clock(host, -7000);
    assert_int_equal(env_wall_ms(a) - wall_ms, -2000);
    assert_int_equal(env_now_ns(a) - a_ns, 5 * SECOND);
}

static void time_goes_on_past_a_timer_without_delay(void **state)
{
    struct sim *sim = *state;
    struct env *env = sim_host_env(sim_host_create(sim, "a"));
    struct probe eager = {.env = env, .sim = sim};
    struct probe patient = {.env = env, .sim = sim};
    env_timer_start(env, &eager.timer, 0, on_restart_at_once);
    env_timer_start(env, &patient.timer, 50 * US, on_timer);
    assert_true(sim_run_until(sim, MS, has_fired, &patient));
    env_timer_stop(env, &eager.timer);
}

static void nothing_of_a_killed_process_runs(void **state)
{
    struct sim *sim = *state;
    struct sim_host *host = sim_host_create(sim, "a");
    struct probe old = {.env = sim_host_env(host), .sim = sim};
    struct probe new = {.sim = sim};
    env_timer_start(old.env, &old.timer, MS, on_timer);
    env_defer(old.env, &old.task, on_task);
    sim_host_kill(host);
    assert_false(env_timer_running(&old.timer));
    new.env = sim_host_restart(host);
    assert_ptr_not_equal(old.env, new.env);
    env_timer_start(new.env, &new.timer, 2 * MS, on_timer);
    assert_true(sim_run_until(sim, SECOND, has_fired, &new));
    assert_int_equal(old.fired, 0);
}

static void a_frozen_process_catches_up_when_thawed(void **state)
{
    struct sim *sim = *state;
    struct sim_host *host = sim_host_create(sim, "a");
    struct probe p = {.env = sim_host_env(host), .sim = sim};
    env_timer_start(p.env, &p.timer, MS, on_timer);
    sim_host_freeze(host);
    sim_run_for(sim, SECOND);
    assert_int_equal(p.fired, 0);
    sim_host_thaw(host);
    sim_run_for(sim, US);
    assert_int_equal(p.fired, 1);
}

static void on_signal(void *data, int signal)
{
    *(int *)data = signal;
}

static void signals_reach_who_waits_for_them(void **state)
{
    struct sim *sim = *state;
    struct sim_host *host = sim_host_create(sim, "a");
    int seen = 0;
    assert_int_equal(env_on_signal(sim_host_env(host), 15, on_signal, &seen), 0);
    sim_host_signal(host, 2);
    sim_run_for(sim, MS);
    assert_int_equal(seen, 0);
    sim_host_signal(host, 15);
    sim_run_for(sim, MS);
    assert_int_equal(seen, 15);
}

struct posted {
    struct env_post post;
    unsigned *count;
    unsigned number;
};

static void on_post(struct env_post *post)
{
    struct posted *p = container_of(post, struct posted, post);
    assert_int_equal(p->number, (*p->count)++);
}

static void posts_arrive_in_order(void **state)
{
    struct sim *sim = *state;
    struct sim_host *host = sim_host_create(sim, "a");
    struct posted posts[3];
    unsigned count = 0;
    for (unsigned i = 0; i < 3; i++) {
        posts[i] = (struct posted){.count = &count, .number = i};
        env_post(sim_host_env(host), &posts[i].post, on_post);
    }
    assert_int_equal(count, 0);
    sim_run_for(sim, US);
    assert_int_equal(count, 3);
    env_post(sim_host_env(host), &posts[0].post, on_post);
    sim_host_kill(host);
    sim_run_for(sim, US);
    assert_int_equal(count, 3);
}

static void randomness_comes_from_the_seed(void **state)
{
    (void)state;
    uint64_t values[3];
    for (int i = 0; i < 3; i++) {
        struct sim *sim = sim_create(i == 2 ? 8 : 7);
        env_random_bytes(sim_host_env(sim_host_create(sim, "a")), &values[i], sizeof(values[i]));
        sim_destroy(sim);
    }
    assert_true(values[0] == values[1]);
    assert_true(values[0] != values[2]);
}

#define WITH_SIM(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SIM(timers_of_all_hosts_fire_in_order),
        WITH_SIM(clocks_differ_and_advance_together),
        WITH_SIM(time_goes_on_past_a_timer_without_delay),
        WITH_SIM(nothing_of_a_killed_process_runs),
        WITH_SIM(a_frozen_process_catches_up_when_thawed),
        WITH_SIM(signals_reach_who_waits_for_them),
        WITH_SIM(posts_arrive_in_order),
        cmocka_unit_test(randomness_comes_from_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
