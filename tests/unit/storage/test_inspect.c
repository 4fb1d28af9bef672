/* The offline reader sees what the log holds, and the damage in it. */
#include "node/storage/data_dir.h"
#include "node/storage/inspect.h"
#include "tests/unit/storage/helper_forge.h"
#include "tests/unit/storage/helper_log.h"
#include <stdio.h>
#include <string.h>

struct seen {
    struct fixture *fixture;
    uint64_t next_index;
    uint64_t segments;
    uint64_t records;
    uint64_t index_entries;
    uint64_t journal_records;
    uint64_t bad_batches;
    uint64_t node_id;
    char last_problem[256];
    uint64_t problem_position;
    uint64_t harmed_at;
};

static void on_identity(void *data, const struct inspect_identity *i)
{
    ((struct seen *)data)->node_id = i->node_id;
}

static void on_segment(void *data, const struct inspect_segment *s)
{
    assert_true(s->file_size > 0);
    ((struct seen *)data)->segments++;
}

static void on_batch(void *data, const struct inspect_batch *b)
{
    struct seen *s = data;
    const struct model *m = &s->fixture->model;

    if (!b->crc_ok) {
        s->bad_batches++;
        return;
    }
    assert_int_equal(b->index, s->next_index);
    s->next_index++;
    if (s->harmed_at - b->position < b->header.size)
        return; /* in a field that no checksum covers */
    const struct model_entry *e = &m->entries[b->index - m->first_index];
    assert_int_equal(b->term, e->entry.term);
    assert_int_equal(b->is_control, e->next_offset == e->base_offset);
    if (e->entry.kind != LOG_DATA) {
        assert_int_equal(b->control.payload_size, e->entry.bytes.size);
        assert_memory_equal(b->control.payload, e->entry.bytes.data, e->entry.bytes.size);
    } else {
        assert_int_equal(b->header.base_offset, e->base_offset);
        assert_memory_equal(b->bytes, e->entry.bytes.data, e->entry.bytes.size);
    }
}

static void on_record(void *data, const struct inspect_batch *batch, const struct record *record)
{
    struct seen *s = data;

    assert_true(record->offset >= batch->header.base_offset);
    s->records++;
}

static void on_index_entry(void *data, const struct inspect_index_entry *e)
{
    (void)e;
    ((struct seen *)data)->index_entries++;
}

static void on_journal_record(void *data, const struct inspect_journal_record *r)
{
    assert_string_not_equal(inspect_journal_type_name(r->type), "unknown");
    ((struct seen *)data)->journal_records++;
}

static void on_problem(void *data, const struct inspect_problem *p)
{
    struct seen *s = data;

    snprintf(s->last_problem, sizeof(s->last_problem), "%s", p->message);
    s->problem_position = p->position;
}

static const struct inspect_callbacks callbacks = {
    .identity = on_identity,
    .segment = on_segment,
    .batch = on_batch,
    .record = on_record,
    .index_entry = on_index_entry,
    .journal_record = on_journal_record,
    .problem = on_problem,
};

/* With what is at this position of a segment, nothing is compared. */
static struct inspect_summary inspect_harmed(struct fixture *f, const char *path, uint64_t harmed_at,
                                             struct seen *seen, int expected)
{
    struct inspect_summary summary;
    char message[256];

    *seen = (struct seen){.fixture = f, .next_index = f->model.first_index, .harmed_at = harmed_at};
    assert_int_equal(inspect_path(f->env, path, &callbacks, seen, &summary, message, sizeof(message)),
                     expected);
    assert_int_equal(message[0] != '\0', expected != 0);
    return summary;
}

static struct inspect_summary inspect(struct fixture *f, const char *path, struct seen *seen, int expected)
{
    return inspect_harmed(f, path, UINT64_MAX, seen, expected);
}

static void filled(struct fixture *f, bool clean)
{
    f->options.segment_bytes = 30000;
    fixture_open(f);
    fixture_random(f, 100);
    fixture_sync(f);
    if (clean)
        fixture_close(f, true);
    else
        fixture_crash(f);
}

static void shows_all_that_is_there(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct seen seen;

    enum { INDEX_GAP = 16 * 1024 };
    bool clean = prng_below(&f->prng, 2) == 0;

    filled(f, clean);
    struct inspect_summary s = inspect(f, f->log_directory, &seen, 0);
    assert_int_equal(s.batches, f->model.n);
    assert_int_equal(s.segments, fixture_count_files(f, ".log"));
    assert_int_equal(s.segments, seen.segments);
    assert_int_equal(s.records, model_end_offset(&f->model));
    assert_int_equal(seen.records, s.records);
    assert_int_equal(s.notes + s.damages, 0);
    fixture_segment_path(f, 1, ".idx", path);
    inspect(f, path, &seen, 0);
    uint64_t index_entries = seen.index_entries;
    fixture_segment_path(f, 1, ".log", path);
    s = inspect(f, path, &seen, 0);
    assert_int_equal(s.segments, 1);
    assert_true(s.batches > 0);
    /* A closed log has whole indexes, which are sparse. */
    assert_true(index_entries > 0 || !clean || s.bytes <= 2 * INDEX_GAP);
}

static void finds_damage_and_says_where(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct seen seen;

    filled(f, true);
    fixture_segment_path(f, 1, ".log", path);
    uint64_t at = prng_below(&f->prng, helper_file_size(path));
    helper_flip(path, at, 32);
    struct inspect_summary s = inspect_harmed(f, path, at, &seen, 0);
    assert_int_equal(s.damages, 1);
    assert_true(seen.problem_position <= at);
}

static void a_missing_segment_is_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct seen seen;
    uint64_t second = 2;

    filled(f, true);
    do
        fixture_segment_path(f, second++, ".log", path);
    while (!helper_file_exists(path));
    remove(path);
    f->model.first_index = 1;
    struct inspect_callbacks quiet = {.problem = on_problem};
    struct inspect_summary s;
    char message[256];
    assert_int_equal(inspect_path(f->env, f->log_directory, &quiet, &seen, &s, message, sizeof(message)), 0);
    assert_int_equal(s.damages, 1);
    assert_non_null(strstr(seen.last_problem, "missing"));
}

static void a_fitting_file_of_another_log_is_damage(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct seen seen;

    fixture_open(f);
    fixture_barrier(f, 1);
    for (int i = 0; i < 20; i++)
        fixture_data(f, 2, 100);
    fixture_sync(f);
    fixture_close(f, true);
    fixture_segment_path(f, 1, ".log", path);
    helper_forge(path, 5);
    struct inspect_callbacks quiet = {.problem = on_problem};
    struct inspect_summary s;
    char message[256];
    assert_int_equal(inspect_path(f->env, path, &quiet, &seen, &s, message, sizeof(message)), 0);
    assert_int_equal(s.damages, 1);
    assert_non_null(strstr(seen.last_problem, "older copy"));
}

static void a_torn_tail_is_a_note(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct seen seen;

    fixture_open(f);
    fixture_barrier(f, 1);
    fixture_data(f, 1, 100);
    fixture_sync(f);
    uint64_t end = log_size_bytes(f->log);
    fixture_crash(f);
    fixture_segment_path(f, 1, ".log", path);
    helper_fill(path, end, "torn", 4);
    struct inspect_summary s = inspect(f, f->log_directory, &seen, 0);
    assert_int_equal(s.damages, 0);
    assert_int_equal(s.notes, 1);
    assert_int_equal(seen.problem_position, end);
}

static void reads_a_whole_data_directory(void **state)
{
    struct fixture *f = *state;
    struct data_dir *dir;
    struct seen seen;
    char data[HELPER_PATH_MAX];
    char message[256];

    snprintf(data, sizeof(data), "%.400s/data", f->directory);
    assert_int_equal(data_dir_open(f->env, data, 3, "blue", &dir, message, sizeof(message)), 0);
    fixture_close_journal(f);
    snprintf(f->journal_path, sizeof(f->journal_path), "%s", data_dir_journal_path(dir));
    fixture_open_journal(f);
    data_dir_group_path(dir, f->options.group_id, f->log_directory, sizeof(f->log_directory));
    filled(f, true);
    fixture_close_journal(f);
    struct inspect_summary s = inspect(f, data, &seen, 0);
    assert_int_equal(seen.node_id, 3);
    assert_int_equal(s.batches, f->model.n);
    assert_int_equal(s.damages, 0);
    assert_true(s.journal_records > 0);
    /* The journal's floor tells that what is gone had been there. */
    assert_int_equal(env_dir_remove(f->env, f->log_directory), 0);
    assert_int_equal(env_dir_create(f->env, f->log_directory), 0);
    s = inspect(f, data, &seen, 0);
    assert_int_equal(s.damages, 1);
    helper_flip(f->journal_path, 40, 1);
    s = inspect(f, f->journal_path, &seen, 0);
    assert_true(s.damages + s.notes > 0);
    data_dir_close(dir);
}

static void other_paths_are_refused(void **state)
{
    struct fixture *f = *state;
    char path[HELPER_PATH_MAX];
    struct seen seen;

    inspect(f, f->directory, &seen, ERR_INVALID_ARGUMENT);
    inspect(f, "", &seen, ERR_INVALID_ARGUMENT);
    snprintf(path, sizeof(path), "%.400s/nowhere", f->directory);
    inspect(f, path, &seen, ERR_NOT_FOUND);
    helper_fill(path, 0, "x", 1);
    inspect(f, path, &seen, ERR_INVALID_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shows_all_that_is_there),     TEST(finds_damage_and_says_where),
        TEST(a_missing_segment_is_damage), TEST(a_fitting_file_of_another_log_is_damage),
        TEST(a_torn_tail_is_a_note),       TEST(reads_a_whole_data_directory),
        TEST(other_paths_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
