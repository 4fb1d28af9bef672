/* How long a partition's producer waits when its leader dies, freezes, or is stopped as planned. */
#include "client/cli/bench/bench.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum { SEND_EVERY_MS = 1, RECOVER_TIMEOUT_MS = 30000, SETTLE_ACKS = 200, PAUSE_MS = 5000 };

/* A producer that sends one small record a millisecond and watches the acknowledgements. */
struct probe {
    const char *topic;
    struct flotilla_producer *producer;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint64_t acknowledged;
    _Atomic uint64_t failed;
    _Atomic uint64_t fault_ns;     /* 0: none is being measured */
    _Atomic uint64_t recovered_ns; /* first acknowledgement of a record sent after the fault */
    _Atomic uint64_t last_ns;
    _Atomic uint64_t longest_gap_ns;
};

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct probe *p = data;
    uint64_t now = cli_now_ns(), sent = (uint64_t)(uintptr_t)d->opaque, fault = p->fault_ns;
    if (d->status != 0) {
        p->failed++;
        return;
    }
    if (p->last_ns != 0 && now - p->last_ns > p->longest_gap_ns) {
        p->longest_gap_ns = now - p->last_ns;
    }
    p->last_ns = now;
    p->acknowledged++;
    if (fault != 0 && sent > fault && p->recovered_ns == 0) {
        p->recovered_ns = now;
    }
}

static void *send_steadily(void *argument)
{
    struct probe *p = argument;
    while (!p->stop) {
        flotilla_produce(p->producer, p->topic, 0, FLOTILLA_TIMESTAMP_NOW, NULL, 0, "probe", 5, NULL, 0,
                         (void *)(uintptr_t)cli_now_ns());
        cli_sleep_ms(SEND_EVERY_MS);
    }
    return NULL;
}

static bool probe_start(struct probe *p, struct bench_cluster *b, const char *topic, char *error,
                        size_t error_size)
{
    struct flotilla_options *options = flotilla_options_create();
    memset(p, 0, sizeof(*p));
    p->topic = topic;
    flotilla_options_set(options, "delivery.thread", "io", NULL, 0);
    int status =
        flotilla_producer_create(&p->producer, b->client, options, on_delivery, p, error, error_size);
    flotilla_options_destroy(options);
    return status == 0 && pthread_create(&p->thread, NULL, send_steadily, p) == 0;
}

static void probe_stop(struct probe *p)
{
    p->stop = true;
    pthread_join(p->thread, NULL);
    flotilla_producer_flush(p->producer, RECOVER_TIMEOUT_MS);
    flotilla_producer_destroy(p->producer);
}

static bool wait_for_acks(struct probe *p, uint64_t more)
{
    uint64_t goal = p->acknowledged + more, deadline = cli_now_ns() + RECOVER_TIMEOUT_MS * 1000000ull;
    while (p->acknowledged < goal) {
        if (cli_now_ns() > deadline) {
            return false;
        }
        cli_sleep_ms(1);
    }
    return true;
}

/* Waits until the partition has a leader and all replicas are in sync with it; 0 when they never are. */
static unsigned settled_leader(struct bench_cluster *b, const char *topic)
{
    uint64_t deadline = cli_now_ns() + RECOVER_TIMEOUT_MS * 1000000ull;
    while (cli_now_ns() < deadline) {
        const struct flotilla_topic_info *info = NULL;
        if (flotilla_topic_describe(b->client, topic, 2000, &info, NULL, 0) == 0) {
            const struct flotilla_partition_info *p = info->partitions[0];
            unsigned leader = p->in_sync_count == p->replica_count ? p->leader_id : 0;
            flotilla_result_free(info);
            if (leader != 0) {
                return leader;
            }
        }
        cli_sleep_ms(20);
    }
    return 0;
}

static bool drain(struct bench_cluster *b, unsigned node, bool on)
{
    return flotilla_cluster_drain(b->client, node, on, RECOVER_TIMEOUT_MS, NULL, b->local.error,
                                  sizeof(b->local.error)) == 0;
}

static bool strike(struct bench_cluster *b, struct probe *p, enum bench_fault fault, unsigned leader)
{
    static const int signals[] = {[BENCH_KILL] = SIGKILL, [BENCH_PAUSE] = SIGSTOP, [BENCH_PLANNED] = SIGTERM};
    p->recovered_ns = 0;
    p->longest_gap_ns = 0;
    bool ok = fault == BENCH_DRAIN ? drain(b, leader, true) : local_signal(&b->local, leader, signals[fault]);
    p->fault_ns = cli_now_ns();
    return ok;
}

static bool wait_recovered(struct probe *p)
{
    uint64_t deadline = cli_now_ns() + RECOVER_TIMEOUT_MS * 1000000ull;
    while (p->recovered_ns == 0 && cli_now_ns() < deadline) {
        cli_sleep_ms(1);
    }
    return p->recovered_ns != 0;
}

/* Puts the struck node back. */
static bool repair(struct bench_cluster *b, enum bench_fault fault, unsigned node)
{
    if (fault == BENCH_PAUSE) {
        return local_signal(&b->local, node, SIGCONT);
    }
    if (fault == BENCH_DRAIN) {
        return drain(b, node, false);
    }
    return local_wait_down(&b->local, node, RECOVER_TIMEOUT_MS) && local_start_node(&b->local, node) &&
           local_wait_ready(&b->local, RECOVER_TIMEOUT_MS);
}

static bool one_fault(struct bench_cluster *b, struct probe *p, enum bench_fault fault, struct samples *s,
                      char *error, size_t error_size)
{
    unsigned leader = settled_leader(b, p->topic);
    if (leader == 0 || !wait_for_acks(p, SETTLE_ACKS)) {
        snprintf(error, error_size, "the partition did not settle");
        return false;
    }
    if (!strike(b, p, fault, leader)) {
        snprintf(error, error_size, "%s", b->local.error);
        return false;
    }
    if (!wait_recovered(p)) {
        snprintf(error, error_size, "no acknowledgement within %d s of the fault", RECOVER_TIMEOUT_MS / 1000);
        return false;
    }
    if (fault == BENCH_PLANNED || fault == BENCH_DRAIN) {
        /* The node goes on until its leaderships are handed over: only the longest gap says what a producer
         * felt. */
        if ((fault == BENCH_PLANNED && !local_wait_down(&b->local, leader, RECOVER_TIMEOUT_MS)) ||
            !wait_for_acks(p, SETTLE_ACKS)) {
            snprintf(error, error_size, "%s", b->local.error);
            return false;
        }
        samples_add(s, p->longest_gap_ns);
    } else {
        samples_add(s, p->recovered_ns - p->fault_ns);
    }
    p->fault_ns = 0;
    if (!repair(b, fault, leader)) {
        snprintf(error, error_size, "%s", b->local.error);
        return false;
    }
    return true;
}

bool bench_failover(struct bench_cluster *b, enum bench_fault fault, unsigned times, struct samples *s,
                    uint64_t *failed, char *error, size_t error_size)
{
    char topic[64];
    struct probe p;
    if (!b->scratch) {
        snprintf(error, error_size,
                 "this measurement kills nodes, so it runs on a scratch cluster only: leave out --bootstrap");
        return false;
    }
    if (!bench_topic(b, "failover", 1, topic, sizeof(topic)) ||
        !probe_start(&p, b, topic, error, error_size)) {
        return false;
    }
    bool ok = true;
    for (unsigned i = 0; ok && i < times; i++) {
        ok = one_fault(b, &p, fault, s, error, error_size);
    }
    probe_stop(&p);
    *failed = p.failed;
    return ok;
}
