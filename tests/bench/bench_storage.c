/* What the storage room adds to the disk's own price, each measured in the same run and the same directory:
 *
 *     one record in flight:  append to durable callback, against pwrite + fdatasync of the same bytes into a
 * preallocated file sustained:             batches into 12 logs at once, against as many threads doing
 * nothing but pwrite + fdatasync
 *
 * The two sides take turns in short slices, because a disk's speed changes by the second.
 *
 *     bench_storage [seconds per line, default 2] [directory, default $TMPDIR or /tmp] */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/storage/log.h"
#include "proto/batch.h"
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOGS = 12, IN_FLIGHT = 4, SLICES = 8, PATH_SIZE = 512, RAW_BYTES = 64 << 20 };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- logs ---- */

struct bench {
    struct env *env;
    struct flusher *flusher;
    char directory[PATH_SIZE];
    size_t batch_size;
    bool stopping;
    unsigned open;
    unsigned busy;
    uint64_t bytes;
    struct histogram latency;
};

struct writer {
    struct bench *bench;
    struct log *log;
    struct log_open_req open;
    bool barrier_written;
};

struct append {
    struct log_append_req req;
    struct writer *writer;
    struct slice batch;
    uint64_t began_ns;
};

static struct slice make_batch(size_t size)
{
    struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    unsigned char *value = memory_zalloc(size);
    struct batch_builder builder;
    struct bytes out;

    memset(value, 'x', size);
    bytes_init(&out);
    batch_builder_init(&builder);
    batch_builder_add(&builder, 1, NULL, 0, value, size - 80, NULL, 0);
    ASSERT(batch_builder_finish(&builder, &options, &out) == 0);
    struct slice batch = slice_copy(out.data, out.size);
    batch_builder_close(&builder);
    bytes_close(&out);
    free(value);
    return batch;
}

static void append_next(struct append *a);

static void on_appended(struct log_append_req *req, int status)
{
    struct append *a = container_of(req, struct append, req);
    struct bench *b = a->writer->bench;

    ASSERT(status == 0);
    histogram_record(&b->latency, now_ns() - a->began_ns);
    b->bytes += a->batch.size;
    if (b->stopping)
        b->busy--;
    else
        append_next(a);
}

/* The log is done with the bytes, so that the same batch can be stamped anew: but not while the tail cache
 * shares it, for which the benchmark does not care. */
static void append_next(struct append *a)
{
    struct log *log = a->writer->log;
    struct log_entry entry = {log_last_index(log) + 1, 1, LOG_DATA, a->batch};

    batch_stamp(a->batch.data, log_end_offset(log), 1);
    a->began_ns = now_ns();
    log_append(log, &a->req, &entry, 1, on_appended);
}

static void on_open(struct log_open_req *req, int status, struct log *log,
                    const struct log_recovery *recovery)
{
    struct writer *w = req->data;

    if (status != 0)
        fprintf(stderr, "%s\n", recovery->message);
    ASSERT(status == 0);
    w->log = log;
    w->bench->open++;
}

static void on_closed(void *data)
{
    --*(unsigned *)data;
}

static void run_until_zero(struct bench *b, const unsigned *count)
{
    while (*count > 0)
        env_run_once(b->env, true);
}

static void on_failed(void *data, int status)
{
    (void)data;
    fprintf(stderr, "log failed: %s\n", error_text(status));
    exit(1);
}

static void writers_open(struct bench *b, struct writer *writers, unsigned n)
{
    b->open = 0;
    for (unsigned i = 0; i < n; i++) {
        char path[PATH_SIZE + 32];
        snprintf(path, sizeof(path), "%s/log%u", b->directory, i);
        struct log_options options = {.env = b->env,
                                      .flusher = b->flusher,
                                      .group_id = i,
                                      .directory = path,
                                      .segment_bytes = 1 << 30,
                                      .cache_bytes = 0,
                                      .max_batch_bytes = 1 << 20,
                                      .failed = on_failed};
        writers[i] = (struct writer){.bench = b};
        writers[i].open.data = &writers[i];
        ASSERT(log_open(&options, &writers[i].open, on_open) == 0);
    }
    while (b->open < n)
        env_run_once(b->env, true);
}

static void stop_turn(struct env_timer *timer)
{
    (void)timer;
}

/* Keeps `in_flight` appends per log going for the time; returns bytes per second. */
static double writers_run(struct bench *b, struct writer *writers, struct append *appends, unsigned n,
                          unsigned in_flight, uint64_t duration_ns)
{
    uint64_t start_ns = now_ns();
    struct env_timer timer = {0};

    b->bytes = 0;
    b->stopping = false;
    b->busy = n * in_flight;
    for (unsigned i = 0; i < n * in_flight; i++) {
        appends[i].writer = &writers[i / in_flight];
        append_next(&appends[i]);
    }
    env_timer_start(b->env, &timer, duration_ns, stop_turn);
    while (now_ns() - start_ns < duration_ns)
        env_run_once(b->env, true);
    env_timer_stop(b->env, &timer);
    b->stopping = true;
    run_until_zero(b, &b->busy);
    return (double)b->bytes * 1e9 / (double)(now_ns() - start_ns);
}

static void writers_close(struct bench *b, struct writer *writers, unsigned n)
{
    unsigned left = n;

    for (unsigned i = 0; i < n; i++)
        log_close(writers[i].log, false, on_closed, &left);
    run_until_zero(b, &left);
}

/* ---- the disk alone ---- */

struct raw {
    char path[PATH_SIZE + 32];
    int fd;
    uint64_t position;
    uint64_t allocated;
    size_t size;
    unsigned char *data;
    uint64_t end_ns;
    uint64_t bytes;
    struct histogram latency;
};

static void raw_open(struct raw *r, const char *directory, unsigned i, size_t size)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->path, sizeof(r->path), "%s/raw%u", directory, i);
    r->fd = open(r->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT(r->fd >= 0);
    r->size = size;
    r->data = memory_zalloc(size);
    memset(r->data, 'x', size);
}

static void raw_close(struct raw *r)
{
    close(r->fd);
    unlink(r->path);
    free(r->data);
}

static void raw_write(struct raw *r)
{
    uint64_t start_ns = now_ns();

    if (r->position + r->size > r->allocated) {
        ASSERT(fallocate(r->fd, 0, (off_t)r->allocated, RAW_BYTES / 4) == 0);
        r->allocated += RAW_BYTES / 4;
    }
    ASSERT(pwrite(r->fd, r->data, r->size, (off_t)r->position) == (ssize_t)r->size);
    ASSERT(fdatasync(r->fd) == 0);
    r->position += r->size;
    r->bytes += r->size;
    histogram_record(&r->latency, now_ns() - start_ns);
}

static void *raw_thread(void *data)
{
    struct raw *r = data;

    while (now_ns() < r->end_ns)
        raw_write(r);
    return NULL;
}

static double raw_run(struct raw *raws, unsigned n, uint64_t duration_ns)
{
    pthread_t threads[LOGS];
    uint64_t start_ns = now_ns();
    uint64_t bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        raws[i].bytes = 0;
        raws[i].end_ns = start_ns + duration_ns;
        ASSERT(pthread_create(&threads[i], NULL, raw_thread, &raws[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        bytes += raws[i].bytes;
    }
    return (double)bytes * 1e9 / (double)(now_ns() - start_ns);
}

/* ---- lines ---- */

static void bench_latency(struct bench *b, double seconds)
{
    uint64_t slice_ns = (uint64_t)(seconds * 1e9 / SLICES / 2);
    struct writer writer;
    struct append append = {.batch = make_batch(1024)};
    struct raw raw;

    memset(&b->latency, 0, sizeof(b->latency));
    raw_open(&raw, b->directory, 0, append.batch.size);
    writers_open(b, &writer, 1);
    for (int i = 0; i < SLICES; i++) {
        writers_run(b, &writer, &append, 1, 1, slice_ns);
        raw_run(&raw, 1, slice_ns);
    }
    double ours = (double)histogram_quantile(&b->latency, 0.5) / 1e3;
    double disk = (double)histogram_quantile(&raw.latency, 0.5) / 1e3;
    printf("one 1 KiB batch in flight   p50 %7.0f us  p99 %7.0f us   disk alone p50 %7.0f us  p99 %7.0f us   "
           "ratio %.2f\n",
           ours, (double)histogram_quantile(&b->latency, 0.99) / 1e3, disk,
           (double)histogram_quantile(&raw.latency, 0.99) / 1e3, ours / disk);
    writers_close(b, &writer, 1);
    raw_close(&raw);
    slice_unref(&append.batch);
}

static void bench_throughput(struct bench *b, size_t size, double seconds)
{
    uint64_t slice_ns = (uint64_t)(seconds * 1e9 / SLICES / 2);
    struct append appends[LOGS * IN_FLIGHT];
    struct writer writers[LOGS];
    struct raw raws[LOGS];
    double ours = 0;
    double disk = 0;

    for (unsigned i = 0; i < LOGS * IN_FLIGHT; i++)
        appends[i] = (struct append){.batch = make_batch(size)};
    for (unsigned i = 0; i < LOGS; i++)
        raw_open(&raws[i], b->directory, i, size);
    writers_open(b, writers, LOGS);
    for (int i = 0; i < SLICES; i++) {
        ours += writers_run(b, writers, appends, LOGS, IN_FLIGHT, slice_ns) / SLICES;
        disk += raw_run(raws, LOGS, slice_ns) / SLICES;
    }
    printf("%3zu KiB batches, %d logs    %8.1f MB/s                   disk alone %8.1f MB/s                  "
           "  ratio %.2f\n",
           size / 1024, LOGS, ours / 1e6, disk / 1e6, ours / disk);
    writers_close(b, writers, LOGS);
    for (unsigned i = 0; i < LOGS; i++)
        raw_close(&raws[i]);
    for (unsigned i = 0; i < LOGS * IN_FLIGHT; i++)
        slice_unref(&appends[i].batch);
}

static void remove_logs(struct bench *b)
{
    for (unsigned i = 0; i < LOGS; i++) {
        char path[PATH_SIZE + 32];
        snprintf(path, sizeof(path), "%s/log%u", b->directory, i);
        env_dir_remove(b->env, path);
    }
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    const char *base = argc > 2 ? argv[2] : getenv("TMPDIR");
    struct bench b = {0};

    snprintf(b.directory, sizeof(b.directory), "%s/bench-storage-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(b.directory) == NULL) {
        perror(b.directory);
        return 1;
    }
    b.env = env_uv_create(1);
    b.flusher = flusher_create(b.env, LOGS);
    bench_latency(&b, seconds);
    remove_logs(&b);
    bench_throughput(&b, 64 * 1024, seconds);
    remove_logs(&b);
    bench_throughput(&b, 256 * 1024, seconds);
    flusher_destroy(b.flusher);
    env_dir_remove(b.env, b.directory);
    env_destroy(b.env);
    return 0;
}
