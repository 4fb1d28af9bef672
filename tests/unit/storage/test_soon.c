/* What nobody waits for is written together with what follows it, and by itself if nothing does. */
#include "node/storage/log.h"
#include "tests/sim/env_sim.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

static struct sim *sim;
static struct flusher *flusher;
static struct log *log_;
static struct log_append_req first, next;
static unsigned done;
static bool closed;

static void on_open(struct log_open_req *req, int status, struct log *opened,
                    const struct log_recovery *recovery)
{
    (void)req, (void)recovery;
    assert_int_equal(status, 0);
    log_ = opened;
}

static void on_appended(struct log_append_req *req, int status)
{
    assert_int_equal(status, 0);
    assert_ptr_equal(req, done == 0 ? &first : &next);
    done++;
}

static void on_closed(void *data)
{
    (void)data;
    log_ = NULL;
    closed = true;
}

static struct log_entry barrier(uint64_t index)
{
    return (struct log_entry){.index = index, .term = index, .kind = LOG_BARRIER};
}

static int set_up(void **state)
{
    static struct log_open_req req;
    (void)state;
    sim = sim_create(1);
    struct env *env = sim_host_env(sim_host_create(sim, "a"));
    flusher = flusher_create(env, 4);
    struct log_options options = {
        .env = env, .flusher = flusher, .directory = "/log", .segment_bytes = 1 << 20};
    done = 0;
    closed = false;
    assert_int_equal(log_open(&options, &req, on_open), 0);
    sim_run_for(sim, 100 * MS);
    assert_non_null(log_);
    struct log_entry entry = barrier(1);
    log_append_soon(log_, &first, &entry, 1, on_appended);
    sim_run_for(sim, 2 * MS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (log_ != NULL)
        log_close(log_, false, on_closed, NULL);
    sim_run_for(sim, 1000 * MS);
    assert_true(closed);
    flusher_destroy(flusher);
    sim_destroy(sim);
    return 0;
}

static void it_goes_with_what_follows(void **state)
{
    struct log_entry entry = barrier(2);
    (void)state;
    assert_int_equal(done, 0);
    log_append(log_, &next, &entry, 1, on_appended);
    sim_run_for(sim, 1000 * MS);
    assert_int_equal(done, 2);
    assert_int_equal(flusher_stats(flusher)->rounds, 1);
}

static void it_goes_by_itself_after_a_while(void **state)
{
    (void)state;
    assert_int_equal(done, 0);
    sim_run_for(sim, 1000 * MS);
    assert_int_equal(done, 1);
    assert_int_equal(log_durable_index(log_), 1);
}

static void a_log_that_closes_does_not_wait(void **state)
{
    (void)state;
    log_close(log_, true, on_closed, NULL);
    sim_run_for(sim, 1000 * MS);
    assert_int_equal(done, 1);
    assert_true(closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_goes_with_what_follows),
        TEST(it_goes_by_itself_after_a_while),
        TEST(a_log_that_closes_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
