/* What the benchmarks share: figures with what they are measured against, latency samples, and the cluster
 * under test. */
#ifndef CLI_BENCH_BENCH_H
#define CLI_BENCH_BENCH_H

#include "client/cli/connect.h"
#include "client/cli/local/guard.h"
#include "client/cli/local/local.h"

/* One line of the report. */
struct bench_figure {
    char name[112];
    double figure; /* NAN: this machine does not tell */
    const char *unit;
    double ratio; /* of the figure to what `against` names, when it names something */
    char against[64];
    char target[32]; /* "<= 2.5", or "" */
    int met;         /* 1 yes, 0 no, -1 no target */
};

struct bench_report {
    struct bench_figure figures[128];
    size_t count;
};

struct bench_figure *bench_add(struct bench_report *r, double figure, const char *unit, const char *name, ...)
    __attribute__((format(printf, 4, 5)));
void bench_against(struct bench_figure *f, double ratio, const char *against);
/* Marks a target of the figure's ratio; or of the figure itself when it has none, which is its ratio then. */
void bench_target_at_most(struct bench_figure *f, double bound);
void bench_target_at_least(struct bench_figure *f, double bound);
/* A table, or one line of JSON a figure. */
void bench_print(const struct bench_report *r, bool json);

/* Latency samples in nanoseconds. */
struct samples {
    uint64_t *values;
    size_t count;
    size_t capacity;
    bool sorted;
};
void samples_add(struct samples *s, uint64_t ns);
double samples_ms(struct samples *s, double quantile);
/* The median of the quantiles of every `window` samples in a row, as they came: what a few bad moments of the
 * machine do not change. Asked before samples_ms(), which sorts them; -1 after it, and of fewer samples than
 * a window. */
double samples_windows_ms(const struct samples *s, size_t window, double quantile);
void samples_close(struct samples *s);

/* This machine's own disk, in `directory`: appends of `size` bytes to a preallocated file with fdatasync
 * after each; and sequential writes of 256 KiB with fdatasync, over `files` files in parallel, in bytes per
 * second. */
bool bench_disk_latency(const char *directory, size_t size, unsigned count, struct samples *s);
double bench_disk_throughput(const char *directory, unsigned files, uint64_t bytes);

/* An open file of that size, preallocated, without a name: it goes with its descriptor. -1: not possible. */
int bench_scratch_file(const char *directory, uint64_t size);

/* A record of 1 KiB to another thread and back over TCP on 127.0.0.1. */
bool bench_loopback(unsigned count, struct samples *s);
/* Two ends of a TCP connection on 127.0.0.1; false: `ends[1]` is -1. */
bool bench_connect_pair(int ends[2]);

/* What this machine needs for one record in flight: 1 KiB from a client to a leader and two followers, which
 * all sync it, and the answer back once two have, over loopback and without any broker. */
bool bench_path(const char *directory, unsigned count, struct samples *s);

/* This machine's limit for replicated produce with frames of that size, 64 of them in flight, in bytes per
 * second; -1 when it cannot be measured. */
double bench_limit(const char *directory, size_t frame_size, uint64_t bytes);

/* The best that was seen: a machine that is busy with something else is a lenient yardstick. */
struct bench_yardstick {
    double p50_ms; /* 0: not measured */
    double p99_ms;
};

/* The cluster under test: the one that --bootstrap names, or a scratch cluster of its own. */
struct bench_cluster {
    const struct cli_command *command;
    struct cli_target target;
    struct local_cluster local;
    struct guard guard;
    bool scratch;
    double start_ms; /* of a scratch cluster, until all of it was ready */
    double idle_mib; /* resident memory of its largest node by then */
    char bootstrap[256];
    struct flotilla_client *client;
    struct bench_yardstick disk;
    struct bench_yardstick path;
};
bool bench_cluster_open(struct bench_cluster *b, const struct cli_command *command,
                        const struct cli_target *target);
void bench_cluster_close(struct bench_cluster *b);
/* Where the scratch cluster's files are, or would be. */
const char *bench_disk_directory(const struct bench_cluster *b);
/* Measures that disk once more; the best of what was seen stays in b->disk. */
bool bench_look_at_disk(struct bench_cluster *b);
/* The same for what one record in flight needs at least. */
bool bench_look_at_path(struct bench_cluster *b);
/* Creates a topic of its own for one measurement; the name goes into `name`. */
bool bench_topic(struct bench_cluster *b, const char *purpose, uint32_t partitions, char *name, size_t size);
/* Processor time that a scratch cluster's nodes have used; 0 for another cluster. */
double bench_server_cpu_seconds(const struct bench_cluster *b);
double bench_client_cpu_seconds(void);
/* What this virtual machine's host has kept from its processors so far; 0 where nobody counts it. */
double bench_stolen_seconds(void);

/* What the nodes of a scratch cluster do, as the kernel counts it. */
enum bench_event { BENCH_INSTRUCTIONS, BENCH_SYSTEM_CALLS, BENCH_SWITCHES, BENCH_EVENTS };
enum { BENCH_WORK_FILES = 512 };
struct bench_work {
    double count[BENCH_EVENTS]; /* after bench_work_end; NAN: the kernel does not tell */
    unsigned files;             /* private */
    int file[BENCH_WORK_FILES];
    enum bench_event event[BENCH_WORK_FILES];
};
void bench_work_begin(struct bench_work *w, const struct bench_cluster *b);
void bench_work_end(struct bench_work *w);
void bench_report_work(struct bench_report *r, const double count[BENCH_EVENTS], uint64_t records,
                       const char *what);

/* ---- the measurements ---- */

struct bench_load {
    uint32_t partitions;
    size_t record_size;
    double seconds;
    uint64_t bytes; /* sustained: at most so many of values; 0: no bound */
    const char *acks;
    uint64_t rate;             /* open loop, records per second; 0: as fast as they are taken */
    const _Atomic bool *until; /* open loop: ends early when this is true; or NULL */
    bool one_in_flight;
    bool never_wait; /* open loop: a record for which there is no room at once has failed */
};
struct bench_load_result {
    uint64_t records; /* acknowledged */
    uint64_t failed;
    double seconds;
    double records_per_s;
    double bytes_per_s;
    double server_cpu_seconds; /* of a scratch cluster; 0 otherwise */
    double client_cpu_seconds;
    double work[BENCH_EVENTS];   /* of a scratch cluster's nodes; NAN: not known */
    struct samples acknowledged; /* from the intended send time, with a rate or one in flight */
    struct samples received;     /* the same to a consumer, with e2e */
    char error[512];
};
bool bench_produce(struct bench_cluster *b, const char *topic, const struct bench_load *load,
                   struct bench_load_result *result);
/* Open loop with a consumer beside it. */
bool bench_e2e(struct bench_cluster *b, const char *topic, const struct bench_load *load,
               struct bench_load_result *result);
/* Reads the whole topic from the beginning. */
bool bench_consume(struct bench_cluster *b, const char *topic, struct bench_load_result *result);
void bench_load_close(struct bench_load_result *result);

/* Reads a topic from its beginning. */
struct flotilla_consumer *bench_consumer(struct bench_cluster *b, const char *topic, char *error,
                                         size_t error_size);

/* The p99 of an open loop beside what disturbs it, against the same loop just before: a node that was away
 * catches up with `bytes`, all of that is read, a topic of many partitions is created. */
bool bench_disturbances(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                        uint64_t bytes, uint32_t partitions);
/* 100,000 records/s for so many seconds, and a worker that takes 10,000. */
bool bench_flash_sale(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                      double seconds);
/* A node with so many bytes of data is started after kill -9 and after a clean stop. */
bool bench_start(struct bench_cluster *b, struct bench_report *r, const struct bench_load *load,
                 uint64_t bytes);
/* Sends the signal (0: it has been) and starts the node when it is gone: how long until all is ready and in
 * sync. */
bool bench_stop_and_start(struct bench_cluster *b, unsigned node, int signal, double *ms);

/* Processor time of this process when it sends 100,000 small records/s. */
bool bench_client_cost(struct bench_cluster *b, struct bench_report *r);

/* The largest resident set of a scratch cluster's nodes. */
double bench_resident_mib(const struct bench_cluster *b);
/* The largest that any of them ever had. */
double bench_peak_resident_mib(const struct bench_cluster *b);
/* Start-up, memory, and a topic with so many partitions. */
bool bench_scale(struct bench_cluster *b, struct bench_report *r, uint32_t partitions);

enum bench_fault { BENCH_KILL, BENCH_PAUSE, BENCH_PLANNED, BENCH_DRAIN };
/* `times` faults on the leader of a one-partition topic of a scratch cluster; the time until the next
 * acknowledged record. */
bool bench_failover(struct bench_cluster *b, enum bench_fault fault, unsigned times, struct samples *s,
                    uint64_t *failed, char *error, size_t error_size);

#endif
