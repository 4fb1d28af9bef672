#include "node/base/memory.h"
#include "tests/unit/sim/helper_sim.h"
#include <stdlib.h>
#include <string.h>

struct pair {
    struct sim *sim;
    struct sim_host *host_a;
    struct sim_host *host_b;
    struct talker a;
    struct talker b;
};

static void pair_create(struct pair *p, uint64_t seed)
{
    p->sim = sim_create(seed);
    p->host_a = sim_host_create(p->sim, "a");
    p->host_b = sim_host_create(p->sim, "b");
    talker_start(&p->a, sim_host_env(p->host_a));
    talker_start(&p->b, sim_host_env(p->host_b));
}

static int set_up(void **state)
{
    *state = memory_zalloc(sizeof(struct pair));
    pair_create(*state, 1);
    return 0;
}

static int tear_down(void **state)
{
    sim_destroy(((struct pair *)*state)->sim);
    free(*state);
    return 0;
}

static void connect_pair(struct pair *p)
{
    talker_connect(&p->a, "b");
    assert_true(sim_run_until(p->sim, SECOND, talker_connect_ended, &p->a));
    assert_int_equal(p->a.connect_status, 0);
    sim_run_for(p->sim, MS);
    assert_non_null(p->b.in);
}

static void bytes_echo_with_latency(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    p->b.echo = true;
    uint64_t start_ns = sim_now_ns(p->sim);
    talker_send(&p->a, p->a.out, 7, 300);
    assert_int_equal(p->a.written, 0);
    sim_run_for(p->sim, 30 * US);
    assert_int_equal(p->b.received, 0);
    sim_run_for(p->sim, 5 * MS);
    assert_int_equal(p->b.received, 300);
    assert_int_equal(p->a.received, 300);
    assert_int_equal(p->a.written, 1);
    assert_int_equal(sim_now_ns(p->sim), start_ns + 5 * MS + 30 * US);
    assert_string_equal(env_stream_peer(p->a.out), "b:9000");
    assert_false(env_stream_is_loopback(p->a.out));
}

static void a_reader_that_stops_holds_the_writer(void **state)
{
    enum { SIZE = 2 * 1024 * 1024 };
    struct pair *p = *state;
    connect_pair(p);
    env_stream_read_stop(p->b.in);
    talker_send(&p->a, p->a.out, 0, SIZE);
    sim_run_for(p->sim, 100 * MS);
    assert_int_equal(p->a.written, 0);
    assert_true(env_stream_pending(p->a.out) > SIZE / 2);
    env_stream_read_resume(p->b.in);
    sim_run_for(p->sim, 100 * MS);
    assert_int_equal(p->a.written, 1);
    assert_int_equal(p->b.received, SIZE);
    assert_int_equal(env_stream_pending(p->a.out), 0);
    uint64_t checksum = 0;
    for (int i = 0; i < SIZE; i++)
        checksum = checksum * 31 + (unsigned char)i;
    assert_true(p->b.checksum == checksum);
}

static void nobody_there_is_refused(void **state)
{
    struct pair *p = *state;
    sim_host_kill(p->host_b);
    talker_connect(&p->a, "b");
    assert_true(sim_run_until(p->sim, MS, talker_connect_ended, &p->a));
    assert_int_equal(p->a.connect_status, ERR_CONNECTION_REFUSED);
    env_stream_close(p->a.out, NULL, NULL);
    talker_connect(&p->a, "nowhere");
    assert_true(sim_run_until(p->sim, MS, talker_connect_ended, &p->a));
    assert_int_equal(p->a.connect_status, ERR_UNREACHABLE);
    env_stream_close(p->a.out, NULL, NULL);

    talker_start(&p->b, sim_host_restart(p->host_b));
    connect_pair(p);
}

static void cut_links_let_connects_time_out(void **state)
{
    struct pair *p = *state;
    for (int way = 0; way < 2; way++) {
        if (way == 0)
            sim_link_cut(p->host_a, p->host_b);
        else
            sim_link_cut(p->host_b, p->host_a);
        talker_connect(&p->a, "b");
        assert_false(sim_run_until(p->sim, 1900 * MS, talker_connect_ended, &p->a));
        assert_true(sim_run_until(p->sim, 200 * MS, talker_connect_ended, &p->a));
        assert_int_equal(p->a.connect_status, ERR_TIMED_OUT);
        env_stream_close(p->a.out, NULL, NULL);
        sim_heal_all(p->sim);
    }
}

static void a_one_way_cut_stalls_one_way(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    sim_link_cut(p->host_a, p->host_b);
    talker_send(&p->a, p->a.out, 1, 100);
    talker_send(&p->b, p->b.in, 1, 50);
    sim_run_for(p->sim, 10 * SECOND);
    assert_int_equal(p->b.received, 0);
    assert_int_equal(p->a.received, 50);
    sim_link_heal(p->host_a, p->host_b);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->b.received, 100);
}

static void a_killed_process_closes_its_connections(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    sim_host_kill(p->host_b);
    assert_null(sim_host_env(p->host_b));
    sim_run_for(p->sim, MS);
    assert_int_equal(p->a.out_status, ERR_CLOSED);
    /* calls on the dead process are harmless */
    env_stream_close(p->b.in, NULL, NULL);
    env_listener_close(p->b.listener);
}

static void a_power_loss_is_noticed_only_when_sending(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    sim_host_crash(p->host_b);
    sim_run_for(p->sim, 10 * SECOND);
    assert_int_equal(p->a.out_status, 0);
    talker_send(&p->a, p->a.out, 1, 10);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->a.out_status, ERR_CONNECTION_LOST);
    talker_send(&p->a, p->a.out, 1, 10);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->a.write_status, ERR_CONNECTION_LOST);
}

static void a_reset_breaks_both_ends(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    env_stream_read_stop(p->b.in);
    talker_send(&p->a, p->a.out, 1, 1000000);
    sim_run_for(p->sim, MS);
    sim_link_reset(p->host_b, p->host_a);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->a.out_status, ERR_CONNECTION_LOST);
    assert_int_equal(p->a.failed, 1);
    env_stream_read_resume(p->b.in);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->b.in_status, ERR_CONNECTION_LOST);
}

static void a_frozen_process_does_nothing_and_goes_on(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    sim_host_freeze(p->host_b);
    talker_send(&p->a, p->a.out, 1, 100);
    sim_run_for(p->sim, SECOND);
    assert_int_equal(p->b.received, 0);
    assert_int_equal(p->a.out_status, 0);
    sim_host_thaw(p->host_b);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->b.received, 100);
}

static void an_env_ends_in_good_order(void **state)
{
    struct pair *p = *state;
    connect_pair(p);
    talker_close(&p->b);
    env_destroy(sim_host_env(p->host_b));
    assert_null(sim_host_env(p->host_b));
    assert_true(p->b.closed);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->a.out_status, ERR_CLOSED);
}

static void closing_cancels_writes_and_connects(void **state)
{
    struct pair *p = *state;
    talker_connect(&p->a, "b");
    env_stream_close(p->a.out, NULL, NULL);
    assert_false(p->a.connected);
    sim_run_for(p->sim, MS);
    assert_int_equal(p->a.connect_status, ERR_CANCELED);

    connect_pair(p);
    env_stream_read_stop(p->b.in);
    talker_send(&p->a, p->a.out, 1, 1000000);
    sim_run_for(p->sim, MS);
    talker_close(&p->a);
    sim_run_for(p->sim, MS);
    assert_true(p->a.closed);
    assert_int_equal(p->a.failed, 1);
    assert_int_equal(p->a.write_status, ERR_CANCELED);
}

/* ---- the same seed gives the same run ---- */

/* Traffic, faults and restarts, all decided by the seed. */
static uint64_t eventful_run(uint64_t seed, size_t *received)
{
    struct pair p;
    pair_create(&p, seed);
    *received = 0;
    for (int i = 0; i < 60; i++) {
        switch (sim_random(p.sim, 6)) {
        case 0:
            sim_link_cut(p.host_a, p.host_b);
            break;
        case 1:
            sim_link_reset(p.host_a, p.host_b);
            break;
        case 2:
            *received += p.b.received;
            sim_host_kill(p.host_b);
            talker_start(&p.b, sim_host_restart(p.host_b));
            break;
        case 3:
            sim_host_freeze(p.host_b);
            break;
        default:
            sim_heal_all(p.sim);
            sim_host_thaw(p.host_b);
        }
        if (p.a.out == NULL || p.a.out_status != 0 || p.a.connect_status != 0) {
            if (p.a.out != NULL)
                env_stream_close(p.a.out, NULL, NULL);
            talker_connect(&p.a, "b");
            sim_run_until(p.sim, 3 * SECOND, talker_connect_ended, &p.a);
        }
        if (p.a.connect_status == 0)
            talker_send(&p.a, p.a.out, (unsigned char)i, 1 + sim_random(p.sim, 5000));
        sim_run_for(p.sim, sim_random(p.sim, 2 * MS));
    }
    *received += p.b.received;
    uint64_t hash = sim_hash(p.sim);
    sim_destroy(p.sim);
    return hash;
}

static void the_same_seed_gives_the_same_hash(void **state)
{
    (void)state;
    uint64_t previous = 0;
    size_t total = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        size_t first;
        size_t second;
        uint64_t hash = eventful_run(seed, &first);
        assert_true(hash == eventful_run(seed, &second));
        assert_int_equal(first, second);
        assert_true(hash != previous);
        previous = hash;
        total += first;
    }
    assert_true(total > 100000); /* something did happen */
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(bytes_echo_with_latency),
        WITH_PAIR(a_reader_that_stops_holds_the_writer),
        WITH_PAIR(nobody_there_is_refused),
        WITH_PAIR(cut_links_let_connects_time_out),
        WITH_PAIR(a_one_way_cut_stalls_one_way),
        WITH_PAIR(a_killed_process_closes_its_connections),
        WITH_PAIR(a_power_loss_is_noticed_only_when_sending),
        WITH_PAIR(a_reset_breaks_both_ends),
        WITH_PAIR(a_frozen_process_does_nothing_and_goes_on),
        WITH_PAIR(an_env_ends_in_good_order),
        WITH_PAIR(closing_cancels_writes_and_connects),
        cmocka_unit_test(the_same_seed_gives_the_same_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
