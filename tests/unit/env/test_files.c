#include "node/base/memory.h"
#include "node/base/prng.h"
#include "tests/unit/env/helper_env.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct env *env;
    char directory[64];
    char path[128];
};

static int set_up(void **state)
{
    struct fixture *f = memory_zalloc(sizeof(*f));
    f->env = env_uv_create(0);
    helper_directory(f->directory);
    snprintf(f->path, sizeof(f->path), "%s/file", f->directory);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(env_dir_remove(f->env, f->directory), 0);
    assert_int_equal(env_dir_remove(f->env, f->directory), ERR_NOT_FOUND);
    env_destroy(f->env);
    free(f);
    return 0;
}

static struct env_file *open_file(struct fixture *f, int flags)
{
    struct env_file *file = NULL;
    assert_int_equal(env_file_open(f->env, f->path, flags, &file), 0);
    return file;
}

static void open_flags(void **state)
{
    struct fixture *f = *state;
    struct env_file *file;
    uint64_t size;
    assert_int_equal(env_file_open(f->env, f->path, ENV_READ, &file), ERR_NOT_FOUND);
    assert_int_equal(env_file_open(f->env, f->path, ENV_WRITE, &file), ERR_NOT_FOUND);
    file = open_file(f, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE);
    assert_int_equal(env_file_write(file, &(struct env_iovec){"abc", 3}, 1, 0), 0);
    env_file_close(f->env, file);
    assert_int_equal(env_file_open(f->env, f->path, ENV_WRITE | ENV_CREATE | ENV_EXCLUSIVE, &file),
                     ERR_EXISTS);
    file = open_file(f, ENV_WRITE | ENV_CREATE);
    assert_int_equal(env_file_size(file, &size), 0);
    assert_int_equal(size, 3);
    env_file_close(f->env, file);
    file = open_file(f, ENV_WRITE | ENV_TRUNCATE);
    assert_int_equal(env_file_size(file, &size), 0);
    assert_int_equal(size, 0);
    env_file_close(f->env, file);
}

/* More pieces than one pwritev takes, of all sizes, zero too. */
static void a_gathered_write_reads_back(void **state)
{
    enum { PIECES = 3000, TOTAL_MAX = PIECES * 400 };
    struct fixture *f = *state;
    struct env_file *file = open_file(f, ENV_WRITE | ENV_CREATE);
    struct env_iovec *iov = memory_alloc(PIECES * sizeof(*iov));
    unsigned char *bytes = memory_alloc(TOTAL_MAX);
    unsigned char *back = memory_alloc(TOTAL_MAX);
    size_t total = 0;
    struct prng p;
    prng_init(&p, 3);
    for (int i = 0; i < PIECES; i++) {
        iov[i] = (struct env_iovec){bytes + total, prng_below(&p, 4) == 0 ? 0 : prng_below(&p, 400)};
        total += iov[i].size;
    }
    for (size_t i = 0; i < total; i++)
        bytes[i] = (unsigned char)prng_next(&p);
    assert_int_equal(env_file_write(file, iov, PIECES, 77), 0);
    assert_int_equal(env_file_sync(file), 0);
    assert_int_equal(env_file_read(file, back, TOTAL_MAX, 77), total);
    assert_memory_equal(bytes, back, total);
    assert_int_equal(env_file_read(file, back, 77, 0), 77);
    assert_int_equal(back[76], 0);
    assert_int_equal(env_file_read(file, back, 10, total + 77), 0);
    free(iov);
    free(bytes);
    free(back);
    env_file_close(f->env, file);
}

static void allocated_space_is_zero_and_in_the_size(void **state)
{
    struct fixture *f = *state;
    struct env_file *file = open_file(f, ENV_WRITE | ENV_CREATE);
    uint64_t size;
    unsigned char tail[10];
    assert_int_equal(env_file_write(file, &(struct env_iovec){"head", 4}, 1, 0), 0);
    assert_int_equal(env_file_allocate(file, 4, 100000), 0);
    assert_int_equal(env_file_size(file, &size), 0);
    assert_int_equal(size, 100004);
    assert_int_equal(env_file_read(file, tail, 10, 99994), 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(tail[i], 0);
    assert_int_equal(env_file_truncate(file, 2), 0);
    assert_int_equal(env_file_read(file, tail, 10, 0), 2);
    assert_memory_equal(tail, "he", 2);
    env_file_close(f->env, file);
}

static void impossible_allocation_leaves_the_file_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct env_file *file = open_file(f, ENV_WRITE | ENV_CREATE);
    uint64_t size;
    assert_int_equal(env_file_write(file, &(struct env_iovec){"head", 4}, 1, 0), 0);
    int rv = env_file_allocate(file, 4, UINT64_C(1) << 60);
    assert_true(rv == ERR_NO_SPACE || rv == ERR_TOO_LARGE);
    assert_int_equal(env_file_size(file, &size), 0);
    assert_int_equal(size, 4);
    env_file_close(f->env, file);
}

static void a_lock_excludes_others_until_closed(void **state)
{
    struct fixture *f = *state;
    struct env_file *first = open_file(f, ENV_WRITE | ENV_CREATE);
    struct env_file *second = open_file(f, ENV_WRITE);
    assert_int_equal(env_file_lock(first), 0);
    assert_int_equal(env_file_lock(second), ERR_LOCKED);
    env_file_close(f->env, first);
    assert_int_equal(env_file_lock(second), 0);
    env_file_close(f->env, second);
}

static void append_name(void *data, const char *name)
{
    strcat(strcat(data, name), " ");
}

static void create_in(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof(f->path), "%s/%s", f->directory, name);
    env_file_close(f->env, open_file(f, ENV_WRITE | ENV_CREATE));
}

static void directories_list_in_name_order(void **state)
{
    struct fixture *f = *state;
    char names[128] = "";
    char sub[128];
    create_in(f, "b");
    create_in(f, "a");
    snprintf(sub, sizeof(sub), "%s/sub", f->directory);
    assert_int_equal(env_dir_create(f->env, sub), 0);
    assert_int_equal(env_dir_create(f->env, sub), 0);
    assert_int_equal(env_dir_create(f->env, f->path), ERR_EXISTS); /* a file is there */
    create_in(f, "sub/inner");
    assert_int_equal(env_dir_sync(f->env, f->directory), 0);
    assert_int_equal(env_dir_list(f->env, f->directory, append_name, names), 0);
    assert_string_equal(names, "a b sub ");
    assert_int_equal(env_dir_remove(f->env, sub), 0);
    assert_int_equal(env_dir_list(f->env, sub, append_name, names), ERR_NOT_FOUND);
    assert_int_equal(env_dir_sync(f->env, sub), ERR_NOT_FOUND);
}

static void rename_and_remove(void **state)
{
    struct fixture *f = *state;
    char other[128];
    uint64_t bytes = 0;
    snprintf(other, sizeof(other), "%s/other", f->directory);
    assert_int_equal(env_rename(f->env, f->path, other), ERR_NOT_FOUND);
    create_in(f, "file");
    assert_int_equal(env_rename(f->env, f->path, other), 0);
    assert_int_equal(env_remove(f->env, f->path), ERR_NOT_FOUND);
    assert_int_equal(env_remove(f->env, other), 0);
    assert_int_equal(env_free_space(f->env, f->directory, &bytes), 0);
    assert_true(bytes > 0);
    assert_int_equal(env_free_space(f->env, other, &bytes), ERR_NOT_FOUND);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(open_flags),
        WITH_FILES(a_gathered_write_reads_back),
        WITH_FILES(allocated_space_is_zero_and_in_the_size),
        WITH_FILES(impossible_allocation_leaves_the_file_as_it_was),
        WITH_FILES(a_lock_excludes_others_until_closed),
        WITH_FILES(directories_list_in_name_order),
        WITH_FILES(rename_and_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
