#include "tests/unit/storage/helper_log.h"
#include "node/base/memory.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TURN_NS = 2000000, GROUP = 0xabc };

static void turn_over(struct env_timer *timer)
{
    (void)timer;
}

void helper_turn(struct env *env)
{
    struct env_timer timer = {0};

    env_timer_start(env, &timer, TURN_NS, turn_over);
    env_run_once(env, true);
    env_timer_stop(env, &timer);
}

/* ---- the fixture ---- */

static void on_failed(void *data, int status)
{
    struct fixture *f = data;

    f->failures++;
    f->failure = status;
}

static void fixture_path(char *out, const char *directory, const char *name)
{
    int n = snprintf(out, HELPER_PATH_MAX, "%s/%s", directory, name);
    assert_true(n > 0 && n < HELPER_PATH_MAX);
}

static void fixture_seed(struct fixture *f)
{
    const char *text = getenv("FLOTILLA_SEED");
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    f->seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec;
    prng_init(&f->prng, f->seed);
    printf("seed %" PRIu64 "\n", f->seed);
}

int fixture_create(void **state)
{
    struct fixture *f = memory_zalloc(sizeof(*f));
    const char *base = getenv("TMPDIR");

    fixture_seed(f);
    snprintf(f->directory, sizeof(f->directory), "%s/flotilla-storage-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(f->directory));
    fixture_path(f->log_directory, f->directory, "log");
    fixture_path(f->journal_path, f->directory, "journal");
    f->env = env_uv_create(f->seed | 1);
    faults_install(&f->faults, f->env);
    fixture_open_journal(f);
    f->flusher = flusher_create(f->env, 4);
    f->options = (struct log_options){.env = f->env,
                                      .flusher = f->flusher,
                                      .group_id = GROUP,
                                      .segment_bytes = 64 * 1024,
                                      .cache_bytes = 16 * 1024,
                                      .max_batch_bytes = 1024 * 1024,
                                      .failed = on_failed,
                                      .data = f};
    f->model = (struct model){.first_index = 1, .term = 1};
    *state = f;
    return 0;
}

static void journal_gone(void *data)
{
    *(bool *)data = true;
}

void fixture_open_journal(struct fixture *f)
{
    struct journal_options options = {.env = f->env, .path = f->journal_path};
    char message[256];

    assert_int_equal(journal_open(&options, &f->journal, message, sizeof(message)), 0);
}

void fixture_close_journal(struct fixture *f)
{
    bool gone = false;

    journal_close(f->journal, journal_gone, &gone);
    RUN_UNTIL(f->env, gone);
    f->journal = NULL;
}

static void model_clear(struct model *m)
{
    model_truncate(m, m->first_index);
    free(m->entries);
    m->entries = NULL;
}

int fixture_destroy(void **state)
{
    struct fixture *f = *state;

    f->faults.allocate_error = f->faults.write_error = f->faults.sync_error = f->faults.read_error = 0;
    f->faults.hold_syncs = false;
    if (f->log != NULL)
        fixture_close(f, false);
    if (f->journal != NULL)
        fixture_close_journal(f);
    flusher_destroy(f->flusher);
    env_dir_remove(f->env, f->directory);
    env_destroy(f->env);
    model_clear(&f->model);
    free(f);
    return 0;
}

struct open_wait {
    struct log_open_req req;
    struct fixture *fixture;
    bool done;
};

static void on_open(struct log_open_req *req, int status, struct log *log,
                    const struct log_recovery *recovery)
{
    struct open_wait *w = container_of(req, struct open_wait, req);

    w->done = true;
    w->fixture->open_status = status;
    w->fixture->log = log;
    w->fixture->recovery = *recovery;
}

void fixture_try_open(struct fixture *f)
{
    struct open_wait w = {.fixture = f};

    f->options.directory = f->log_directory;
    f->options.journal = f->journal;
    assert_int_equal(log_open(&f->options, &w.req, on_open), 0);
    RUN_UNTIL(f->env, w.done);
}

void fixture_open(struct fixture *f)
{
    fixture_try_open(f);
    if (f->open_status != 0)
        print_error("open: %s\n", f->recovery.message);
    assert_int_equal(f->open_status, 0);
    assert_non_null(f->log);
}

void fixture_close(struct fixture *f, bool clean)
{
    bool gone = false;

    log_close(f->log, clean, journal_gone, &gone);
    RUN_UNTIL(f->env, gone);
    f->log = NULL;
}

void fixture_reopen(struct fixture *f, bool clean)
{
    fixture_close(f, clean);
    fixture_open(f);
}

static void copy_file(const char *from, const char *to)
{
    static char chunk[1 << 16];
    int in = open(from, O_RDONLY);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, chunk, sizeof(chunk))) > 0)
        assert_int_equal(write(out, chunk, (size_t)n), n);
    close(in);
    close(out);
}

static void copy_directory(const char *from, const char *to)
{
    DIR *d = opendir(from);
    struct dirent *e;

    assert_non_null(d);
    assert_int_equal(mkdir(to, 0700), 0);
    while ((e = readdir(d)) != NULL) {
        char a[HELPER_PATH_MAX];
        char b[HELPER_PATH_MAX];
        if (e->d_name[0] == '.')
            continue;
        fixture_path(a, from, e->d_name);
        fixture_path(b, to, e->d_name);
        copy_file(a, b);
    }
    closedir(d);
}

void fixture_crash(struct fixture *f)
{
    char copy[HELPER_PATH_MAX];

    fixture_path(copy, f->directory, "copy");
    copy_directory(f->log_directory, copy);
    fixture_close(f, false);
    assert_int_equal(env_dir_remove(f->env, f->log_directory), 0);
    assert_int_equal(rename(copy, f->log_directory), 0);
}

/* ---- entries ---- */

uint64_t model_last_index(const struct model *m)
{
    return m->first_index + m->n - 1;
}

int64_t model_end_offset(const struct model *m)
{
    return m->n > 0 ? m->entries[m->n - 1].next_offset : m->first_offset;
}

void model_truncate(struct model *m, uint64_t index)
{
    while (m->n > 0 && model_last_index(m) >= index)
        slice_unref(&m->entries[--m->n].entry.bytes);
}

static struct log_entry *model_add(struct model *m, enum log_entry_kind kind, struct slice bytes,
                                   unsigned records, int64_t timestamp_ms)
{
    int64_t base = model_end_offset(m);

    m->entries = memory_realloc(m->entries, (m->n + 1) * sizeof(*m->entries));
    m->entries[m->n] = (struct model_entry){.entry = {m->first_index + m->n, m->term, kind, bytes},
                                            .base_offset = base,
                                            .next_offset = base + records,
                                            .timestamp_ms = timestamp_ms};
    return &m->entries[m->n++].entry;
}

struct slice helper_batch(struct fixture *f, int64_t base_offset, uint64_t term, unsigned records,
                          size_t value_size, int64_t timestamp_ms)
{
    struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    unsigned char *value = memory_alloc(value_size + 1);
    struct batch_builder builder;
    struct bytes out;

    for (size_t i = 0; i < value_size; i++)
        value[i] = (unsigned char)prng_next(&f->prng);
    bytes_init(&out);
    batch_builder_init(&builder);
    for (unsigned i = 0; i < records; i++)
        batch_builder_add(&builder, timestamp_ms, NULL, 0, value, value_size, NULL, 0);
    assert_int_equal(batch_builder_finish(&builder, &options, &out), 0);
    batch_stamp(out.data, base_offset, (int32_t)term);
    struct slice batch = slice_copy(out.data, out.size);
    batch_builder_close(&builder);
    bytes_close(&out);
    free(value);
    return batch;
}

struct append {
    struct log_append_req req;
    struct fixture *fixture;
};

static void on_append(struct log_append_req *req, int status)
{
    struct append *a = container_of(req, struct append, req);
    struct fixture *f = a->fixture;

    f->appended++;
    f->append_status = status;
    f->append_index = req->last_index;
    free(a);
}

static void fixture_append(struct fixture *f, const struct log_entry *entries, unsigned n)
{
    struct append *a = memory_zalloc(sizeof(*a));
    unsigned before = f->appended;

    a->fixture = f;
    log_append(f->log, &a->req, entries, n, on_append);
    assert_int_equal(f->appended, before); /* never from inside */
}

void fixture_data_at(struct fixture *f, unsigned records, size_t value_size, int64_t timestamp_ms)
{
    struct model *m = &f->model;
    struct slice batch = helper_batch(f, model_end_offset(m), m->term, records, value_size, timestamp_ms);

    fixture_append(f, model_add(m, LOG_DATA, batch, records, timestamp_ms), 1);
}

void fixture_data(struct fixture *f, unsigned records, size_t value_size)
{
    fixture_data_at(f, records, value_size, 1000 + model_end_offset(&f->model));
}

void fixture_barrier(struct fixture *f, uint64_t term)
{
    f->model.term = term;
    fixture_append(f, model_add(&f->model, LOG_BARRIER, slice_copy("barrier", 7), 0, -1), 1);
}

static void model_add_start(struct model *m, int64_t start_offset)
{
    struct bytes start;

    bytes_init(&start);
    batch_start_encode(&start, model_last_index(m) + 1, m->term, model_end_offset(m), start_offset);
    model_add(m, LOG_DATA, slice_copy(start.data, start.size), 0, -1);
    bytes_close(&start);
}

void fixture_start(struct fixture *f, int64_t start_offset)
{
    struct model *m = &f->model;

    model_add_start(m, start_offset);
    fixture_append(f, &m->entries[m->n - 1].entry, 1);
}

static void model_add_random(struct fixture *f)
{
    struct model *m = &f->model;

    if (m->n > 0 && prng_below(&f->prng, 20) == 0) {
        model_add_start(m, (int64_t)prng_below(&f->prng, (uint64_t)model_end_offset(m) + 1));
        return;
    }
    if (m->n == 0 || prng_below(&f->prng, 10) == 0) {
        m->term += prng_below(&f->prng, 2);
        enum log_entry_kind kind = prng_below(&f->prng, 2) == 0 ? LOG_BARRIER : LOG_CHANGE;
        model_add(m, kind, slice_copy("control payload", (size_t)prng_below(&f->prng, 16)), 0, -1);
        return;
    }
    unsigned records = 1 + (unsigned)prng_below(&f->prng, 5);
    size_t size = (size_t)prng_below(&f->prng, prng_below(&f->prng, 8) == 0 ? 4000 : 200);
    int64_t timestamp_ms = 1000 + model_end_offset(m) + (int64_t)prng_below(&f->prng, 50);
    model_add(m, LOG_DATA, helper_batch(f, model_end_offset(m), m->term, records, size, timestamp_ms),
              records, timestamp_ms);
}

void fixture_random(struct fixture *f, unsigned calls)
{
    for (; calls > 0; calls--) {
        struct log_entry entries[8];
        unsigned n = 1 + (unsigned)prng_below(&f->prng, 8);
        for (unsigned i = 0; i < n; i++) {
            model_add_random(f);
            entries[i] = f->model.entries[f->model.n - 1].entry;
        }
        fixture_append(f, entries, n);
    }
}

void fixture_truncate(struct fixture *f, uint64_t index)
{
    log_truncate_suffix(f->log, index);
    model_truncate(&f->model, index);
    f->model.term++; /* whoever cuts is a newer leader, whose term begins with a control entry */
    fixture_barrier(f, f->model.term);
}

void fixture_reset(struct fixture *f, uint64_t next_index, uint64_t previous_term, int64_t next_offset)
{
    log_reset(f->log, next_index, previous_term, next_offset);
    model_clear(&f->model);
    f->model = (struct model){.first_index = next_index, .first_offset = next_offset, .term = previous_term};
}

void fixture_sync(struct fixture *f)
{
    RUN_UNTIL(f->env, log_durable_index(f->log) == log_last_index(f->log));
}

/* ---- checks ---- */

void fixture_check_state(struct fixture *f)
{
    const struct model *m = &f->model;

    assert_int_equal(log_last_index(f->log), model_last_index(m));
    assert_int_equal(log_end_offset(f->log), model_end_offset(m));
    assert_true(log_first_index(f->log) >= m->first_index);
    if (m->n > 0)
        assert_int_equal(log_last_term(f->log), m->entries[m->n - 1].entry.term);
}

struct load_check {
    struct fixture *fixture;
    uint64_t next;
};

static int check_loaded(void *data, const struct log_entry *entry)
{
    struct load_check *c = data;
    const struct model *m = &c->fixture->model;
    const struct log_entry *expected = &m->entries[entry->index - m->first_index].entry;

    assert_int_equal(entry->index, c->next++);
    assert_int_equal(entry->term, expected->term);
    assert_int_equal(entry->kind, expected->kind);
    assert_int_equal(entry->bytes.size, expected->bytes.size);
    assert_memory_equal(entry->bytes.data, expected->bytes.data, expected->bytes.size);
    struct slice mine = entry->bytes;
    slice_unref(&mine);
    return 0;
}

void fixture_check_load(struct fixture *f)
{
    struct load_check c = {f, log_first_index(f->log)};
    uint64_t last = log_last_index(f->log);

    assert_int_equal(log_load(f->log, c.next, last, check_loaded, &c), 0);
    assert_int_equal(c.next, last + 1);
    if (last < log_first_index(f->log))
        return;
    uint64_t from = log_first_index(f->log) + prng_below(&f->prng, last - log_first_index(f->log) + 1);
    uint64_t to = from + prng_below(&f->prng, last - from + 1);
    c.next = from;
    assert_int_equal(log_load(f->log, from, to, check_loaded, &c), 0);
    assert_int_equal(c.next, to + 1);
}

struct read_wait {
    bool done;
    int status;
};

static void on_read(struct log_read_req *req, int status)
{
    struct read_wait *w = req->data;

    w->done = true;
    w->status = status;
}

int fixture_read(struct fixture *f, struct log_read_req *req, int64_t offset, int64_t limit, size_t max_bytes)
{
    struct read_wait w = {0};

    *req = (struct log_read_req){.data = &w};
    int rv = log_read(f->log, req, offset, limit, max_bytes, on_read);
    if (rv != 0)
        return rv == 1 ? 0 : rv;
    assert_false(w.done);
    RUN_UNTIL(f->env, w.done);
    return w.status;
}

void helper_read_close(struct log_read_req *req)
{
    for (unsigned i = 0; i < req->n; i++)
        slice_unref(&req->slices[i]);
    req->n = 0;
}

/* The batches of a read must be the model's data entries from `i` on; returns the entry behind the last one.
 */
static size_t check_read(struct fixture *f, const struct log_read_req *req, size_t i, size_t max_bytes)
{
    const struct model *m = &f->model;
    size_t total = 0;
    bool first = true;

    for (unsigned s = 0; s < req->n; s++) {
        for (size_t at = 0; at < req->slices[s].size;) {
            while (m->entries[i].next_offset == m->entries[i].base_offset)
                i++;
            const struct slice *expected = &m->entries[i].entry.bytes;
            assert_true(req->slices[s].size - at >= expected->size);
            assert_memory_equal(req->slices[s].data + at, expected->data, expected->size);
            at += expected->size;
            total += expected->size;
            assert_true(first || total <= max_bytes);
            first = false;
            i++;
        }
    }
    assert_int_equal(total, req->size);
    return i;
}

static size_t model_find_offset(const struct model *m, int64_t offset)
{
    size_t i = 0;

    while (i < m->n && m->entries[i].next_offset <= offset)
        i++;
    return i;
}

void fixture_check_reads(struct fixture *f)
{
    static const size_t sizes[] = {1, 300, 5000, 100000};
    int64_t end = model_end_offset(&f->model);

    for (unsigned s = 0; s < 4; s++) {
        int64_t offset = log_start_offset(f->log);
        if (s == 0 && end - offset > 50)
            offset = end - 50;
        while (offset < end) {
            struct log_read_req req;
            assert_int_equal(fixture_read(f, &req, offset, end, sizes[s]), 0);
            assert_true(req.n > 0 && req.next_offset > offset);
            size_t after = check_read(f, &req, model_find_offset(&f->model, offset), sizes[s]);
            assert_int_equal(f->model.entries[after - 1].next_offset, req.next_offset);
            offset = req.next_offset;
            helper_read_close(&req);
        }
        assert_int_equal(offset, end);
    }
}

static void on_range(struct log_range_req *req, int status)
{
    struct read_wait *w = req->data;

    w->done = true;
    w->status = status;
}

static void check_range(struct fixture *f, const struct log_range_req *req)
{
    const struct model *m = &f->model;
    size_t at = 0;

    for (uint64_t index = req->first_index; index <= req->last_index; index++) {
        const struct model_entry *e = &m->entries[index - m->first_index];
        struct batch_header header;
        assert_int_equal(batch_header_decode(req->bytes.data + at, req->bytes.size - at, 1 << 20, &header),
                         0);
        assert_int_equal(header.base_offset, e->base_offset);
        if (e->entry.kind == LOG_DATA)
            assert_memory_equal(req->bytes.data + at, e->entry.bytes.data, e->entry.bytes.size);
        else
            assert_true(batch_is_control(&header));
        at += header.size;
    }
    assert_int_equal(at, req->bytes.size);
    const struct model_entry *first = &m->entries[req->first_index - m->first_index];
    assert_int_equal(req->first_offset, first->base_offset);
    if (req->first_index > m->first_index)
        assert_int_equal(req->previous_term, (first - 1)->entry.term);
}

void fixture_check_ranges(struct fixture *f)
{
    uint64_t index = log_first_index(f->log);

    while (index <= log_last_index(f->log)) {
        struct read_wait w = {0};
        struct log_range_req req = {.data = &w};
        uint64_t to = index + prng_below(&f->prng, 100);
        size_t max_bytes = (size_t)prng_below(&f->prng, 10000);
        assert_int_equal(log_read_range(f->log, &req, index, to, max_bytes, on_range), 0);
        RUN_UNTIL(f->env, w.done);
        assert_int_equal(w.status, 0);
        assert_int_equal(req.first_index, index);
        assert_true(req.last_index >= index && req.last_index <= to);
        check_range(f, &req);
        index = req.last_index + 1;
        slice_unref(&req.bytes);
    }
}

void fixture_check(struct fixture *f)
{
    fixture_check_state(f);
    fixture_check_reads(f);
    fixture_check_ranges(f);
    fixture_check_load(f);
}

/* ---- files ---- */

void fixture_segment_path(const struct fixture *f, uint64_t base_index, const char *suffix, char *out)
{
    char name[64];

    snprintf(name, sizeof(name), "%020" PRIu64 "%s", base_index, suffix);
    fixture_path(out, f->log_directory, name);
}

uint64_t helper_file_size(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_size;
}

bool helper_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void helper_flip(const char *path, uint64_t position, unsigned char mask)
{
    int fd = open(path, O_RDWR);
    unsigned char byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)position), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)position), 1);
    close(fd);
}

void helper_fill(const char *path, uint64_t position, const void *data, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, (off_t)position), (ssize_t)size);
    close(fd);
}

void helper_truncate(const char *path, uint64_t size)
{
    assert_int_equal(truncate(path, (off_t)size), 0);
}

unsigned fixture_count_files(const struct fixture *f, const char *suffix)
{
    DIR *d = opendir(f->log_directory);
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        size_t size = strlen(e->d_name);
        n += size >= strlen(suffix) && strcmp(e->d_name + size - strlen(suffix), suffix) == 0;
    }
    closedir(d);
    return n;
}
