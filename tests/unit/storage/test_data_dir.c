/* A data directory belongs to one node of one cluster, and to one process. */
#include "node/storage/data_dir.h"
#include "tests/unit/storage/helper_log.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct place_for {
    char path[HELPER_PATH_MAX];
    char message[256];
};

static struct place_for place_in(struct fixture *f)
{
    struct place_for p;

    snprintf(p.path, sizeof(p.path), "%.400s/data", f->directory);
    return p;
}

static void file_in(const struct place_for *p, const char *name, char out[HELPER_PATH_MAX + 32])
{
    snprintf(out, HELPER_PATH_MAX + 32, "%s/%s", p->path, name);
}

static int open_dir(struct fixture *f, struct place_for *p, uint32_t node, const char *cluster,
                    struct data_dir **dir)
{
    p->message[0] = '\0';
    int status = data_dir_open(f->env, p->path, node, cluster, dir, p->message, sizeof(p->message));
    if (status != 0)
        assert_true(strlen(p->message) > 20);
    return status;
}

static void is_bound_to_node_and_cluster(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    struct data_dir *dir;

    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_close(dir);
    assert_int_equal(open_dir(f, &p, 3, "blue", &dir), ERR_NODE_MISMATCH);
    assert_non_null(strstr(p.message, "node 2"));
    assert_int_equal(open_dir(f, &p, 2, "green", &dir), ERR_CLUSTER_MISMATCH);
    assert_non_null(strstr(p.message, "blue"));
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_close(dir);
}

static void is_locked(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    struct data_dir *dir, *second;

    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    assert_int_equal(open_dir(f, &p, 2, "blue", &second), ERR_LOCKED);
    data_dir_close(dir);
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_close(dir);
}

static void foreign_directories_are_refused(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    char path[HELPER_PATH_MAX + 32];
    struct data_dir *dir;

    mkdir(p.path, 0700);
    file_in(&p, "holiday.jpg", path);
    helper_fill(path, 0, "x", 1);
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), ERR_EXISTS);
    assert_non_null(strstr(p.message, "holiday.jpg"));
    remove(path);
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_close(dir);
}

static void a_damaged_identity_is_refused(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    char path[HELPER_PATH_MAX + 32];
    struct data_dir *dir;

    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_close(dir);
    file_in(&p, "identity", path);
    for (uint64_t at = 0; at + 1 < helper_file_size(path); at++) {
        helper_flip(path, at, 1);
        assert_int_equal(open_dir(f, &p, 2, "blue", &dir), ERR_CORRUPT);
        helper_flip(path, at, 1);
    }
    helper_truncate(path, 0);
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), ERR_CORRUPT);
}

static void note_group(void *data, uint64_t group_id)
{
    *(uint64_t *)data += group_id;
}

static void lists_its_groups(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    char path[HELPER_PATH_MAX + 32];
    struct data_dir *dir;
    uint64_t sum = 0;

    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_group_path(dir, 0x1234, path, sizeof(path));
    assert_non_null(strstr(path, "/groups/0000000000001234"));
    mkdir(path, 0700);
    data_dir_group_path(dir, 0x10000, path, sizeof(path));
    mkdir(path, 0700);
    file_in(&p, "groups/not a group", path);
    mkdir(path, 0700);
    assert_int_equal(data_dir_each_group(dir, note_group, &sum), 0);
    assert_int_equal(sum, 0x11234);
    data_dir_close(dir);
    /* Replicas without the journal that has their votes: never start with empty hard state. */
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), ERR_CORRUPT);
    assert_non_null(strstr(p.message, "journal"));
}

struct making {
    struct data_dir_make req;
    bool done;
};

static void on_made(struct data_dir_make *req)
{
    ((struct making *)req)->done = true;
}

static void makes_the_directories_of_new_groups(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    struct making m = {.req = {.ids = {7, 8}, .n = 2}};
    char path[HELPER_PATH_MAX + 32];
    struct data_dir *dir;

    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    data_dir_group_path(dir, 8, path, sizeof(path));
    mkdir(path, 0700);
    data_dir_make_groups(dir, &m.req, on_made);
    RUN_UNTIL(f->env, m.done);
    assert_true(m.req.is_blank[0]);
    assert_false(m.req.is_blank[1]); /* there may be files in it */
    uint64_t sum = 0;
    assert_int_equal(data_dir_each_group(dir, note_group, &sum), 0);
    assert_int_equal(sum, 15);
    data_dir_close(dir);
}

/* Nobody would sync them again. */
static void directories_that_are_not_synced_are_taken_back(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    struct making m = {.req = {.ids = {7, 8}, .n = 2}};
    struct data_dir *dir;

    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), 0);
    f->faults.dir_sync_error = ERR_IO;
    data_dir_make_groups(dir, &m.req, on_made);
    RUN_UNTIL(f->env, m.done);
    f->faults.dir_sync_error = 0;
    assert_false(m.req.is_blank[0] || m.req.is_blank[1]);
    uint64_t sum = 0;
    assert_int_equal(data_dir_each_group(dir, note_group, &sum), 0);
    assert_int_equal(sum, 0);
    data_dir_close(dir);
}

static void bad_arguments_are_refused(void **state)
{
    struct fixture *f = *state;
    struct place_for p = place_in(f);
    struct data_dir *dir;

    assert_int_equal(open_dir(f, &p, 2, "", &dir), ERR_INVALID_ARGUMENT);
    assert_int_equal(open_dir(f, &p, 2, "a\nb", &dir), ERR_INVALID_ARGUMENT);
    p.path[0] = '\0';
    assert_int_equal(open_dir(f, &p, 2, "blue", &dir), ERR_INVALID_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(is_bound_to_node_and_cluster),
        TEST(is_locked),
        TEST(foreign_directories_are_refused),
        TEST(a_damaged_identity_is_refused),
        TEST(lists_its_groups),
        TEST(makes_the_directories_of_new_groups),
        TEST(directories_that_are_not_synced_are_taken_back),
        TEST(bad_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
