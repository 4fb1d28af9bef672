/* Looking up offsets by time, against the model. */
#include "tests/unit/storage/helper_log.h"

struct find_wait {
    bool done;
    int status;
};

static void on_find(struct log_find_req *req, int status)
{
    struct find_wait *w = req->data;

    w->done = true;
    w->status = status;
}

static int64_t find(struct fixture *f, int64_t target_ms, int64_t limit, int64_t *timestamp_ms)
{
    struct find_wait w = {0};
    struct log_find_req req = {.data = &w};

    assert_int_equal(log_find_timestamp(f->log, &req, target_ms, limit, on_find), 0);
    assert_false(w.done);
    RUN_UNTIL(f->env, w.done);
    assert_int_equal(w.status, 0);
    *timestamp_ms = req.timestamp_ms;
    return req.offset;
}

/* All records of a batch of the model have the batch's timestamp. */
static int64_t model_find(const struct fixture *f, int64_t target_ms, int64_t limit)
{
    for (size_t i = 0; i < f->model.n; i++) {
        const struct model_entry *e = &f->model.entries[i];
        if (e->entry.kind != LOG_DATA || e->timestamp_ms < target_ms ||
            e->next_offset <= log_start_offset(f->log))
            continue;
        int64_t first = e->base_offset < log_start_offset(f->log) ? log_start_offset(f->log) : e->base_offset;
        return first < limit ? first : -1;
    }
    return -1;
}

static int64_t model_greatest(const struct fixture *f, int64_t limit)
{
    int64_t greatest = -1;

    for (size_t i = 0; i < f->model.n; i++) {
        const struct model_entry *e = &f->model.entries[i];
        if (e->entry.kind == LOG_DATA && e->next_offset <= limit &&
            e->next_offset > log_start_offset(f->log) && e->timestamp_ms > greatest)
            greatest = e->timestamp_ms;
    }
    return greatest;
}

static void check_finds(struct fixture *f)
{
    int64_t end = log_end_offset(f->log);
    int64_t start = log_start_offset(f->log);

    for (int i = 0; i < 30; i++) {
        int64_t timestamp_ms;
        int64_t target_ms = 900 + (int64_t)prng_below(&f->prng, (uint64_t)end + 300);
        const struct model_entry *e = &f->model.entries[prng_below(&f->prng, f->model.n)];
        int64_t limit = e->next_offset > start ? e->next_offset : end;
        int64_t offset = find(f, target_ms, limit, &timestamp_ms);
        assert_int_equal(offset, model_find(f, target_ms, limit));
        assert_true(offset == -1 ? timestamp_ms == -1 : timestamp_ms >= target_ms);
        offset = find(f, -3, limit, &timestamp_ms);
        assert_int_equal(timestamp_ms, model_greatest(f, limit));
        assert_int_equal(offset, model_find(f, model_greatest(f, limit), limit));
    }
}

static void finds_what_the_model_finds(void **state)
{
    struct fixture *f = *state;

    f->options.segment_bytes = 30000;
    fixture_open(f);
    for (int i = 0; i < 6; i++) {
        fixture_random(f, 60);
        check_finds(f); /* appends are in flight */
        if (i % 2 == 0)
            fixture_reopen(f, i % 4 == 0);
        else
            log_truncate_prefix(f->log, log_start_offset(f->log) + (int64_t)prng_below(&f->prng, 100),
                                UINT64_MAX);
        check_finds(f);
    }
}

static void an_empty_log_has_no_times(void **state)
{
    struct fixture *f = *state;
    int64_t timestamp_ms;

    fixture_open(f);
    assert_int_equal(find(f, 0, 0, &timestamp_ms), -1);
    assert_int_equal(find(f, -3, 0, &timestamp_ms), -1);
    fixture_barrier(f, 1);
    fixture_sync(f);
    assert_int_equal(find(f, 0, 0, &timestamp_ms), -1);
}

/* 100 records, ten milliseconds apart. */
static struct slice spread_batch(enum batch_codec codec)
{
    struct batch_options options = {
        .codec = codec, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    struct batch_builder builder;
    struct bytes out;

    batch_builder_init(&builder);
    bytes_init(&out);
    for (int i = 0; i < 100; i++)
        batch_builder_add(&builder, 5000 + 10 * i, NULL, 0, "the same value again", 20, NULL, 0);
    assert_int_equal(batch_builder_finish(&builder, &options, &out), 0);
    batch_stamp(out.data, 0, 1);
    struct slice batch = slice_copy(out.data, out.size);
    batch_builder_close(&builder);
    bytes_close(&out);
    return batch;
}

static void on_append(struct log_append_req *req, int status)
{
    *(int *)req->data = status;
}

/* Record by record inside a batch, compressed or not. */
static void finds_the_record_inside_a_batch(void **state)
{
    struct fixture *f = *state;
    int64_t timestamp_ms;

    fixture_open(f);
    for (int codec = BATCH_NONE; codec <= BATCH_ZSTD; codec++) {
        int appended = 1;
        struct log_append_req req = {.data = &appended};
        struct slice batch = spread_batch((enum batch_codec)codec);
        struct log_entry entry = {.index = 1, .term = 1, .kind = LOG_DATA, .bytes = batch};
        log_reset(f->log, 1, 1, 0);
        log_append(f->log, &req, &entry, 1, on_append);
        slice_unref(&batch);
        RUN_UNTIL(f->env, appended == 0);
        assert_int_equal(find(f, 5495, 100, &timestamp_ms), 50);
        assert_int_equal(timestamp_ms, 5500);
        assert_int_equal(find(f, 5495, 50, &timestamp_ms), -1);
        assert_int_equal(find(f, -3, 100, &timestamp_ms), 99);
        assert_int_equal(timestamp_ms, 5990);
        log_truncate_prefix(f->log, 70, UINT64_MAX);
        assert_int_equal(find(f, 5000, 100, &timestamp_ms), 70);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_what_the_model_finds),
        TEST(an_empty_log_has_no_times),
        TEST(finds_the_record_inside_a_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
