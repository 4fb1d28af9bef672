#include "node/base/memory.h"
#include "tests/unit/sim/helper_sim.h"
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct sim *sim;
    struct sim_host *host;
    struct env *env;
};

static void create(struct fixture *f, uint64_t seed)
{
    f->sim = sim_create(seed);
    f->host = sim_host_create(f->sim, "a");
    f->env = sim_host_env(f->host);
}

static int set_up(void **state)
{
    *state = memory_zalloc(sizeof(struct fixture));
    create(*state, 1);
    return 0;
}

static int tear_down(void **state)
{
    sim_destroy(((struct fixture *)*state)->sim);
    free(*state);
    return 0;
}

static struct env_file *open_file(struct fixture *f, const char *path, int flags)
{
    struct env_file *file = NULL;
    assert_int_equal(env_file_open(f->env, path, flags, &file), 0);
    return file;
}

static void write_at(struct env_file *file, const void *data, size_t size, uint64_t position)
{
    assert_int_equal(env_file_write(file, &(struct env_iovec){data, size}, 1, position), 0);
}

static void restart(struct fixture *f)
{
    f->env = sim_host_restart(f->host);
}

static void append_name(void *data, const char *name)
{
    strcat(strcat(data, name), " ");
}

static const char *list(struct fixture *f, const char *path, char *names)
{
    names[0] = '\0';
    assert_int_equal(env_dir_list(f->env, path, append_name, names), 0);
    return names;
}

/* ---- it behaves like a file system ---- */

static void files_and_directories(void **state)
{
    struct fixture *f = *state;
    struct env_file *file;
    char names[64];
    uint64_t size;
    assert_int_equal(env_file_open(f->env, "/d/x", ENV_WRITE | ENV_CREATE, &file), ERR_NOT_FOUND);
    assert_int_equal(env_dir_create(f->env, "/d"), 0);
    assert_int_equal(env_dir_create(f->env, "/d"), 0);
    assert_int_equal(env_dir_create(f->env, "/e/f"), ERR_NOT_FOUND);
    assert_int_equal(env_file_open(f->env, "/d/x", ENV_WRITE, &file), ERR_NOT_FOUND);
    file = open_file(f, "/d/x", ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE);
    write_at(file, "hello", 5, 5000);
    assert_int_equal(env_file_allocate(file, 5005, 100), 0);
    assert_int_equal(env_file_size(file, &size), 0);
    assert_int_equal(size, 5105);
    unsigned char back[12];
    assert_int_equal(env_file_read(file, back, 12, 4998), 12);
    assert_memory_equal(back, "\0\0hello\0\0\0\0\0", 12);
    assert_int_equal(env_file_truncate(file, 5002), 0);
    assert_int_equal(env_file_read(file, back, 12, 5000), 2);
    assert_int_equal(env_file_truncate(file, 5010), 0);
    assert_int_equal(env_file_read(file, back, 12, 5000), 10);
    assert_memory_equal(back, "he\0\0\0\0\0\0\0\0", 10);

    struct env_file *other = open_file(f, "/d/x", ENV_READ);
    assert_int_equal(env_file_lock(file), 0);
    assert_int_equal(env_file_lock(other), ERR_LOCKED);
    assert_int_equal(env_file_write(other, &(struct env_iovec){"x", 1}, 1, 0), ERR_PERMISSION);
    env_file_close(f->env, file);
    assert_int_equal(env_file_lock(other), 0);
    env_file_close(f->env, other);

    assert_int_equal(env_rename(f->env, "/d/x", "/d/y"), 0);
    assert_int_equal(env_rename(f->env, "/d/x", "/d/y"), ERR_NOT_FOUND);
    env_file_close(f->env, open_file(f, "/d/a", ENV_WRITE | ENV_CREATE));
    assert_string_equal(list(f, "/d", names), "a y ");
    assert_int_equal(env_remove(f->env, "/d/y"), 0);
    assert_int_equal(env_remove(f->env, "/d/y"), ERR_NOT_FOUND);
    assert_int_equal(env_dir_remove(f->env, "/d"), 0);
    assert_string_equal(list(f, "/", names), "");
}

static void a_full_disk(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes;
    struct env_file *file = open_file(f, "/x", ENV_WRITE | ENV_CREATE);
    char block[1000] = {0};
    sim_disk_capacity(f->host, 10000);
    assert_int_equal(env_file_allocate(file, 0, 9500), 0);
    assert_int_equal(env_file_write(file, &(struct env_iovec){block, 1000}, 1, 9500), ERR_NO_SPACE);
    assert_int_equal(env_file_allocate(file, 0, 10001), ERR_NO_SPACE);
    assert_int_equal(env_file_size(file, &bytes), 0);
    assert_int_equal(bytes, 9500);
    write_at(file, block, 1000, 8500); /* in space that it has */
    assert_int_equal(env_free_space(f->env, "/", &bytes), 0);
    assert_int_equal(bytes, 500);
    env_file_close(f->env, file);
    assert_int_equal(env_remove(f->env, "/x"), 0);
    assert_int_equal(env_dir_sync(f->env, "/"), 0);
    assert_int_equal(env_free_space(f->env, "/", &bytes), 0);
    assert_int_equal(bytes, 10000);
}

/* ---- what survives ---- */

static void a_kill_loses_nothing(void **state)
{
    struct fixture *f = *state;
    char back[8];
    struct env_file *file = open_file(f, "/x", ENV_WRITE | ENV_CREATE);
    write_at(file, "unsynced", 8, 0);
    assert_int_equal(env_file_lock(file), 0);
    sim_host_kill(f->host);
    assert_int_equal(env_file_read(file, back, 8, 0), ERR_CLOSED);
    env_file_close(f->env, file);
    restart(f);
    file = open_file(f, "/x", ENV_WRITE);
    assert_int_equal(env_file_read(file, back, 8, 0), 8);
    assert_memory_equal(back, "unsynced", 8);
    assert_int_equal(env_file_lock(file), 0);
    env_file_close(f->env, file);
}

enum { SECTORS = 8, BYTES = SECTORS * 512 };

/* One power loss between a synced and an un-synced write; counts what became of the latter. */
static void crash_between(uint64_t seed, unsigned *gone, unsigned *whole, unsigned *torn)
{
    struct fixture f;
    unsigned char old[BYTES];
    unsigned char new[BYTES];
    unsigned char back[BYTES];
    create(&f, seed);
    memset(old, 'o', BYTES);
    memset(new, 'n', BYTES);
    struct env_file *file = open_file(&f, "/x", ENV_WRITE | ENV_CREATE);
    write_at(file, old, BYTES, 0);
    write_at(file, old, BYTES, BYTES);
    assert_int_equal(env_file_sync(file), 0);
    assert_int_equal(env_dir_sync(f.env, "/"), 0);
    write_at(file, new, BYTES, BYTES);
    sim_host_crash(f.host);
    restart(&f);
    file = open_file(&f, "/x", ENV_READ);
    assert_int_equal(env_file_read(file, back, BYTES, 0), BYTES);
    assert_memory_equal(back, old, BYTES); /* synced: always there */
    assert_int_equal(env_file_read(file, back, BYTES, BYTES), BYTES);
    unsigned survivors = 0;
    for (int i = 0; i < SECTORS; i++) {
        const unsigned char *sector = back + i * 512;
        bool is_new = sector[0] == 'n';
        assert_memory_equal(sector, is_new ? new : old, 512);
        survivors += is_new;
    }
    *gone += survivors == 0;
    *whole += survivors == SECTORS;
    *torn += survivors > 0 && survivors < SECTORS;
    env_file_close(f.env, file);
    sim_destroy(f.sim);
}

static void a_power_loss_keeps_synced_data_and_tears_the_rest(void **state)
{
    (void)state;
    unsigned gone = 0;
    unsigned whole = 0;
    unsigned torn = 0;
    for (uint64_t seed = 1; seed <= 60; seed++)
        crash_between(seed, &gone, &whole, &torn);
    assert_true(gone > 5 && whole > 5 && torn > 5);
}

/* Which entries are there after a power loss: of "synced", "created" and "renamed", the latter two not
 * synced. */
/* Neither synced: 300 times a, then a's end overwritten, or cut off. What is left of the first at a power
 * loss is a's alone. */
static bool first_write_survives_alone(uint64_t seed, bool overwrite)
{
    struct fixture f;
    struct env_file *file;
    unsigned char a[300], b[300], back[300] = {0};
    memset(a, 'a', sizeof(a));
    memset(b, 'b', sizeof(b));
    create(&f, seed);
    file = open_file(&f, "/x", ENV_READ | ENV_WRITE | ENV_CREATE);
    assert_int_equal(env_dir_sync(f.env, "/"), 0);
    write_at(file, a, sizeof(a), 0);
    if (overwrite)
        write_at(file, b, sizeof(b), 100);
    else
        assert_int_equal(env_file_truncate(file, 100), 0);
    sim_host_crash(f.host);
    restart(&f);
    file = open_file(&f, "/x", ENV_READ);
    bool alone = env_file_read(file, back, sizeof(back), 0) == 300 && memcmp(back, a, sizeof(a)) == 0;
    env_file_close(f.env, file);
    sim_destroy(f.sim);
    return alone;
}

static void an_unsynced_write_survives_without_what_has_replaced_it(void **state)
{
    unsigned without_overwrite = 0, without_cut = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        without_overwrite += first_write_survives_alone(seed, true);
        without_cut += first_write_survives_alone(seed, false);
    }
    assert_in_range(without_overwrite, 1, 59);
    assert_in_range(without_cut, 1, 59);
}

static void crash_directory(uint64_t seed, unsigned *created, unsigned *renamed)
{
    struct fixture f;
    char names[64];
    create(&f, seed);
    env_file_close(f.env, open_file(&f, "/synced", ENV_WRITE | ENV_CREATE));
    env_file_close(f.env, open_file(&f, "/before", ENV_WRITE | ENV_CREATE));
    assert_int_equal(env_dir_sync(f.env, "/"), 0);
    struct env_file *file = open_file(&f, "/created", ENV_WRITE | ENV_CREATE);
    assert_int_equal(env_file_sync(file), 0); /* the file, not its entry */
    assert_int_equal(env_rename(f.env, "/before", "/renamed"), 0);
    sim_host_crash(f.host);
    restart(&f);
    list(&f, "/", names);
    assert_non_null(strstr(names, "synced"));
    assert_true((strstr(names, "before") != NULL) != (strstr(names, "renamed") != NULL));
    *created += strstr(names, "created") != NULL;
    *renamed += strstr(names, "renamed") != NULL;
    sim_destroy(f.sim);
}

static void unsynced_entries_may_vanish(void **state)
{
    (void)state;
    unsigned created = 0;
    unsigned renamed = 0;
    for (uint64_t seed = 1; seed <= 60; seed++)
        crash_directory(seed, &created, &renamed);
    assert_in_range(created, 15, 45);
    assert_in_range(renamed, 15, 45);
}

static void a_directory_that_was_never_synced_goes_with_its_files(void **state)
{
    (void)state;
    unsigned survived = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fixture f;
        char names[64];
        create(&f, seed);
        assert_int_equal(env_dir_create(f.env, "/d"), 0);
        struct env_file *file = open_file(&f, "/d/x", ENV_WRITE | ENV_CREATE);
        write_at(file, "data", 4, 0);
        assert_int_equal(env_file_sync(file), 0);
        assert_int_equal(env_dir_sync(f.env, "/d"), 0);
        sim_host_crash(f.host);
        restart(&f);
        survived += strcmp(list(&f, "/", names), "d ") == 0;
        sim_destroy(f.sim);
    }
    assert_in_range(survived, 8, 32);
}

/* As on Linux: the pages are clean after the error, so that the next sync has nothing to do, and says so. */
static void a_failed_sync_loses_data_for_good(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fixture f;
        char back[4] = "";
        create(&f, seed);
        struct env_file *file = open_file(&f, "/x", ENV_WRITE | ENV_CREATE);
        assert_int_equal(env_dir_sync(f.env, "/"), 0);
        write_at(file, "data", 4, 0);
        sim_disk_fail_syncs(f.host, 1000000);
        assert_int_equal(env_file_sync(file), ERR_IO);
        assert_int_equal(env_dir_sync(f.env, "/"), ERR_IO);
        sim_disk_fail_syncs(f.host, 0);
        assert_int_equal(env_file_sync(file), 0);
        assert_int_equal(env_file_read(file, back, 4, 0), 4); /* still in the cache */
        sim_host_crash(f.host);
        restart(&f);
        file = open_file(&f, "/x", ENV_READ);
        lost += env_file_read(file, back, 4, 0) != 4;
        sim_destroy(f.sim);
    }
    assert_in_range(lost, 8, 36);
}

static void failing_writes_and_reads(void **state)
{
    struct fixture *f = *state;
    char back[4];
    struct env_file *file = open_file(f, "/x", ENV_WRITE | ENV_CREATE);
    write_at(file, "data", 4, 0);
    sim_disk_fail_writes(f->host, 1000000);
    assert_int_equal(env_file_write(file, &(struct env_iovec){"lost", 4}, 1, 0), ERR_IO);
    sim_disk_fail_reads(f->host, 1000000);
    assert_int_equal(env_file_read(file, back, 4, 0), ERR_IO);
    sim_disk_fail_reads(f->host, 0);
    assert_int_equal(env_file_read(file, back, 4, 0), 4);
    assert_memory_equal(back, "data", 4);
}

static void a_flipped_bit_stays(void **state)
{
    struct fixture *f = *state;
    char back[4];
    struct env_file *file = open_file(f, "/x", ENV_WRITE | ENV_CREATE);
    write_at(file, "data", 4, 0);
    assert_int_equal(env_file_sync(file), 0);
    assert_int_equal(env_dir_sync(f->env, "/"), 0);
    assert_int_equal(sim_disk_flip(f->host, "/x", 2), 0);
    assert_int_equal(sim_disk_flip(f->host, "/x", 4), ERR_INVALID_ARGUMENT);
    assert_int_equal(sim_disk_flip(f->host, "/y", 0), ERR_NOT_FOUND);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(env_file_read(file, back, 4, 0), 4);
        assert_memory_equal(back, "da", 2);
        assert_int_equal(__builtin_popcount((unsigned)(back[2] ^ 't') & 0xff), 1);
        sim_host_crash(f->host);
        restart(f);
        file = open_file(f, "/x", ENV_READ);
    }
}

/* ---- worker jobs ---- */

struct job {
    struct env_work work;
    struct env *env;
    struct env_file *file;
    int status;
    bool done;
    uint64_t done_ns;
};

static void write_and_sync(struct env_work *work)
{
    struct job *job = container_of(work, struct job, work);
    job->status = env_file_write(job->file, &(struct env_iovec){"data", 4}, 1, 0);
    if (job->status == 0)
        job->status = env_file_sync(job->file);
}

static void on_done(struct env_work *work)
{
    struct job *job = container_of(work, struct job, work);
    job->done = true;
    job->done_ns = env_now_ns(job->env);
}

static bool job_done(void *job)
{
    return ((struct job *)job)->done;
}

static void jobs_take_the_time_of_the_disk(void **state)
{
    struct fixture *f = *state;
    struct job job = {.env = f->env, .file = open_file(f, "/x", ENV_WRITE | ENV_CREATE)};
    sim_disk_latency(f->host, 3 * MS, 3 * MS);
    uint64_t start_ns = env_now_ns(f->env);
    env_work(f->env, &job.work, write_and_sync, on_done);
    assert_true(sim_run_until(f->sim, SECOND, job_done, &job));
    assert_int_equal(job.status, 0);
    assert_in_range(job.done_ns - start_ns, 3 * MS, 4 * MS);
}

static void a_slow_disk_does_not_hold_up_others(void **state)
{
    struct fixture *f = *state;
    struct fixture g = {.sim = f->sim, .host = sim_host_create(f->sim, "b")};
    g.env = sim_host_env(g.host);
    struct job slow = {.env = f->env, .file = open_file(f, "/x", ENV_WRITE | ENV_CREATE)};
    struct job fast = {.env = g.env, .file = open_file(&g, "/x", ENV_WRITE | ENV_CREATE)};
    sim_disk_latency(f->host, 50 * MS, 50 * MS);
    sim_disk_latency(g.host, 1 * MS, 1 * MS);
    uint64_t start_ns = sim_now_ns(f->sim);
    env_work(f->env, &slow.work, write_and_sync, on_done);
    sim_run_for(f->sim, 100 * US);
    env_work(g.env, &fast.work, write_and_sync, on_done);
    assert_true(sim_run_until(f->sim, SECOND, job_done, &fast));
    assert_in_range(sim_now_ns(f->sim) - start_ns, 1 * MS, 2 * MS);
    assert_false(slow.done);
    assert_true(sim_run_until(f->sim, SECOND, job_done, &slow));
    assert_in_range(sim_now_ns(f->sim) - start_ns, 50 * MS, 51 * MS);
}

/* If the loop has heard that the job is done, its bytes are there; and both orders of crash and sync do
 * happen. */
static void acknowledged_jobs_survive_a_power_loss(void **state)
{
    (void)state;
    unsigned survived_unheard = 0;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct fixture f;
        char back[4];
        create(&f, seed);
        struct job job = {.env = f.env, .file = open_file(&f, "/x", ENV_WRITE | ENV_CREATE)};
        assert_int_equal(env_dir_sync(f.env, "/"), 0);
        env_work(f.env, &job.work, write_and_sync, on_done);
        sim_run_for(f.sim, sim_random(f.sim, seed % 2 == 0 ? 25 * US : 700 * US));
        sim_host_crash(f.host);
        restart(&f);
        bool there = env_file_read(open_file(&f, "/x", ENV_READ), back, 4, 0) == 4;
        assert_true(there || !job.done);
        survived_unheard += there && !job.done;
        lost += !there;
        sim_destroy(f.sim);
    }
    assert_true(survived_unheard > 10);
    assert_true(lost > 10);
}

#define WITH_DISK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DISK(files_and_directories),
        WITH_DISK(a_full_disk),
        WITH_DISK(a_kill_loses_nothing),
        cmocka_unit_test(a_power_loss_keeps_synced_data_and_tears_the_rest),
        cmocka_unit_test(an_unsynced_write_survives_without_what_has_replaced_it),
        cmocka_unit_test(unsynced_entries_may_vanish),
        cmocka_unit_test(a_directory_that_was_never_synced_goes_with_its_files),
        cmocka_unit_test(a_failed_sync_loses_data_for_good),
        WITH_DISK(failing_writes_and_reads),
        WITH_DISK(a_flipped_bit_stays),
        WITH_DISK(jobs_take_the_time_of_the_disk),
        WITH_DISK(a_slow_disk_does_not_hold_up_others),
        cmocka_unit_test(acknowledged_jobs_survive_a_power_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
