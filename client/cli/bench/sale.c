/* A flash sale: for some seconds records come ten times as fast as a worker takes them. Nobody may be refused
 * or made to wait, memory must stay where it is, and in the end everything has been worked off. */
#include "client/cli/bench/bench.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    RATE = 100000,
    WORKER_RATE = 10000,
    RECORD_SIZE = 1024,
    POLL_MS = 20,
    DRAIN_TIMEOUT_S = 120,
    MEMORY_MIB = 256
};

struct worker {
    struct flotilla_consumer *consumer;
    pthread_t thread;
    _Atomic bool hurry; /* the sale is over: takes what is left as fast as it comes */
    _Atomic bool stop;
    _Atomic uint64_t done;
    uint64_t began_ns;
    char error[512];
};

/* Waits for the time at which a worker of that rate would take its next record. */
static void keep_pace(const struct worker *w)
{
    uint64_t due_ns = w->began_ns + w->done * (1000000000ull / WORKER_RATE);
    while (!w->hurry && !w->stop && cli_now_ns() < due_ns) {
        cli_sleep_ms(1);
    }
}

static void work_off(struct worker *w, struct flotilla_batch *batch)
{
    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
        snprintf(w->error, sizeof(w->error), "%s", flotilla_batch_message(batch));
        return;
    }
    while (flotilla_batch_kind(batch) == FLOTILLA_BATCH_RECORDS && flotilla_batch_next(batch) != NULL) {
        w->done++;
        keep_pace(w);
    }
}

static void *work(void *argument)
{
    struct worker *w = argument;
    while (!w->stop) {
        struct flotilla_batch *batch = flotilla_consumer_poll(w->consumer, POLL_MS);
        if (batch != NULL) {
            work_off(w, batch);
            flotilla_batch_release(batch);
        }
    }
    return NULL;
}

static bool worker_start(struct worker *w, struct bench_cluster *b, const char *topic)
{
    memset(w, 0, sizeof(*w));
    w->began_ns = cli_now_ns();
    w->consumer = bench_consumer(b, topic, w->error, sizeof(w->error));
    if (w->consumer == NULL) {
        return false;
    }
    if (pthread_create(&w->thread, NULL, work, w) == 0) {
        return true;
    }
    flotilla_consumer_destroy(w->consumer);
    return false;
}

static void worker_stop(struct worker *w)
{
    w->stop = true;
    pthread_join(w->thread, NULL);
    flotilla_consumer_destroy(w->consumer);
}

/* Until nothing of the sale is left, or for too long. */
static double drain(struct worker *w, uint64_t records)
{
    uint64_t began = cli_now_ns(), deadline = began + DRAIN_TIMEOUT_S * 1000000000ull;
    w->hurry = true;
    while (w->done < records && w->error[0] == 0 && cli_now_ns() < deadline) {
        cli_sleep_ms(POLL_MS);
    }
    return (double)(cli_now_ns() - began) / 1e9;
}

static void report_sale(struct bench_cluster *b, struct bench_report *r,
                        const struct bench_load_result *result, uint64_t backlog)
{
    struct bench_figure *f =
        bench_add(r, result->records_per_s, "records/s", "flash sale: accepted, %d/s of 1 KiB for %.0f s",
                  RATE, (double)result->records / RATE);
    bench_target_at_least(f, 0.98 * RATE);
    f = bench_add(r, (double)result->failed, "records", "flash sale: errors, or a producer that would wait");
    bench_target_at_most(f, 0);
    bench_add(r, (double)backlog, "records", "flash sale: left to do at its end, for a worker of %d/s",
              WORKER_RATE);
    if (b->scratch) {
        bench_target_at_most(
            bench_add(r, bench_peak_resident_mib(b), "MiB", "flash sale: peak of resident memory per node"),
            MEMORY_MIB);
    }
}

static void report_drain(struct bench_report *r, uint64_t left, uint64_t backlog, double seconds)
{
    bench_target_at_most(
        bench_add(r, (double)left, "records", "flash sale: left when the worker has hurried"), 0);
    bench_add(r, seconds > 0 ? (double)backlog / seconds : 0, "records/s",
              "flash sale: worked off after it, as fast as they come");
}

bool bench_flash_sale(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                      double seconds)
{
    struct bench_load sale = *load;
    struct bench_load_result result = {.records = 0};
    struct worker w;
    char topic[64];
    sale.record_size = RECORD_SIZE;
    sale.rate = RATE;
    sale.seconds = seconds;
    sale.never_wait = true;
    if (!bench_topic(b, "sale", sale.partitions, topic, sizeof(topic)) || !worker_start(&w, b, topic)) {
        cli_error(b->command, "flash sale: %s", w.error);
        return false;
    }
    (void)bench_produce(b, topic, &sale, &result);
    uint64_t backlog = result.records - (w.done < result.records ? w.done : result.records);
    report_sale(b, r, &result, backlog);
    double drained_s = drain(&w, result.records);
    report_drain(r, result.records - (w.done < result.records ? w.done : result.records), backlog, drained_s);
    worker_stop(&w);
    const char *why = result.error[0] != 0 ? result.error : w.error;
    if (why[0] != 0) {
        fprintf(stderr, "flash sale: %s\n", why);
    }
    bench_load_close(&result);
    return true;
}
