/* The Kafka path against the native one: the very same record batches through both doors of a cluster, as
 * many in flight for each partition over as many connections, without any client library, in turns.
 *
 *   door_meter BOOTSTRAP [--pids P,P,P] [--rounds N] [--seconds N] [--in-flight N]
 *
 * BOOTSTRAP is the native one of a cluster on this machine; `seconds` are those of one turn of one door. */
#include "client/include/flotilla.h"
#include "tests/bench/door.h"
#include "tests/bench/kafka_meter_host.h"
#include "tests/bench/ready_batch.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PARTITIONS = 12, REPLICAS = 3, NODES_MAX = 16, ADMIN_MS = 30000, POLL_MS = 30000, HOME_MAX_S = 30 };
static const double TARGET = 0.85;
static const size_t BATCH_SIZES[] = {256 * 1024, 16 * 1024};

struct meter {
    struct flotilla_client *client;
    struct host_processes processes;
    unsigned rounds, in_flight;
    double seconds; /* of one turn */
    struct bytes batch;
};

struct turn {
    struct door doors[NODES_MAX];
    struct pollfd ends[NODES_MAX];
    unsigned count;
    unsigned in_flight;
    double end_s;
    uint64_t acked; /* batches */
};

struct result {
    double bytes, seconds, cpu_s;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "door_meter: %s: %s\n", what, why);
    exit(1);
}

/* ---- a turn ---- */

static void on_acked(void *data, struct door *d, struct door_lane *lane)
{
    struct turn *t = data;
    t->in_flight--;
    t->acked++;
    if (now_s() >= t->end_s)
        return;
    door_produce(d, lane);
    t->in_flight++;
}

static void fill(struct turn *t, unsigned in_flight)
{
    for (unsigned k = 0; k < in_flight; k++)
        for (unsigned i = 0; i < t->count; i++)
            for (unsigned p = 0; p < t->doors[i].lane_count; p++) {
                door_produce(&t->doors[i], &t->doors[i].lanes[p]);
                t->in_flight++;
            }
}

/* Until everything has been acknowledged. */
static void run(struct turn *t)
{
    while (t->in_flight > 0) {
        for (unsigned i = 0; i < t->count; i++) {
            t->ends[i].fd = t->doors[i].fd;
            t->ends[i].events = (short)(POLLIN | (door_wants_to_send(&t->doors[i]) ? POLLOUT : 0));
        }
        if (poll(t->ends, t->count, POLL_MS) <= 0)
            die("produce", "no answer");
        for (unsigned i = 0; i < t->count; i++) {
            if (t->ends[i].revents & ~POLLOUT)
                door_receive(&t->doors[i], on_acked, t);
            door_send(&t->doors[i]);
        }
    }
}

/* One connection to each node that leads partitions, which are its lanes. */
static void connect_to_leaders(struct turn *t, struct meter *m, enum door_kind kind,
                               const struct flotilla_topic_info *topic,
                               const struct flotilla_cluster_info *cluster)
{
    for (size_t n = 0; n < cluster->node_count && t->count < NODES_MAX; n++) {
        const struct flotilla_node_info *node = cluster->nodes[n];
        struct door *d = &t->doors[t->count++];
        door_open(d, kind, kind == DOOR_KAFKA ? node->kafka_port : node->port, &m->batch);
        for (size_t p = 0; p < topic->partition_count; p++)
            if (topic->partitions[p]->leader_id == node->id)
                door_add_partition(d, topic->name, topic->id, topic->partitions[p]->index);
    }
}

static const struct flotilla_topic_info *describe(struct meter *m, const char *name)
{
    const struct flotilla_topic_info *topic;
    char error[512] = "";
    if (flotilla_topic_describe(m->client, name, ADMIN_MS, &topic, error, sizeof(error)) != 0)
        die("leaders", error);
    return topic;
}

/* A leader that is not the first replica would move there in the middle of a turn. */
static void await_home(struct meter *m, const char *name)
{
    bool home = false;
    for (double end = now_s() + HOME_MAX_S; !home && now_s() < end; usleep(100000)) {
        const struct flotilla_topic_info *topic = describe(m, name);
        home = true;
        for (size_t p = 0; p < topic->partition_count; p++)
            home = home && topic->partitions[p]->leader_id == topic->partitions[p]->replicas[0];
        flotilla_result_free(topic);
    }
    if (!home)
        die("leaders", "they are not where they belong");
}

static void take_turn(struct meter *m, enum door_kind kind, const char *name, double seconds,
                      struct result *r)
{
    static struct turn t;
    const struct flotilla_topic_info *topic = describe(m, name);
    const struct flotilla_cluster_info *cluster;
    char error[512] = "";
    if (flotilla_cluster_status(m->client, ADMIN_MS, &cluster, error, sizeof(error)) != 0)
        die("nodes", error);
    memset(&t, 0, sizeof(t));
    connect_to_leaders(&t, m, kind, topic, cluster);
    double cpu_s = host_cpu_s(&m->processes), start_s = now_s();
    t.end_s = start_s + seconds;
    fill(&t, m->in_flight);
    run(&t);
    r->seconds += now_s() - start_s;
    r->bytes += (double)t.acked * (double)m->batch.size;
    r->cpu_s += host_cpu_s(&m->processes) - cpu_s;
    for (unsigned i = 0; i < t.count; i++)
        door_close(&t.doors[i]);
    flotilla_result_free(topic);
    flotilla_result_free(cluster);
}

/* ---- the report ---- */

static void print(size_t batch_size, const struct result r[DOOR_KINDS])
{
    double rate[DOOR_KINDS], cpu[DOOR_KINDS];
    char name[64];
    for (unsigned kind = 0; kind < DOOR_KINDS; kind++) {
        rate[kind] = r[kind].bytes / 1e6 / r[kind].seconds;
        cpu[kind] = r[kind].cpu_s / (r[kind].bytes / 1e9);
    }
    snprintf(name, sizeof(name), "the same batches of %zu KiB, Kafka's door", batch_size / 1024);
    printf("%-42s %12.2f MB/s, the native door %.2f: ratio %.2f (target >= %.2f: %s)\n", name,
           rate[DOOR_KAFKA], rate[DOOR_NATIVE], rate[DOOR_KAFKA] / rate[DOOR_NATIVE], TARGET,
           rate[DOOR_KAFKA] >= TARGET * rate[DOOR_NATIVE] ? "met" : "not met");
    if (cpu[DOOR_NATIVE] > 0)
        printf("%-42s %12.2f s/GB, the native door %.2f: ratio %.2f (less is better)\n",
               "  processor time of the nodes", cpu[DOOR_KAFKA], cpu[DOOR_NATIVE],
               cpu[DOOR_KAFKA] / cpu[DOOR_NATIVE]);
}

static void measure(struct meter *m, size_t batch_size)
{
    static const double WARM_UP_S = 0.3;
    struct result results[DOOR_KINDS] = {{0}}, warm_up;
    char topic[64], error[512] = "";
    ready_batch_build(&m->batch, batch_size);
    snprintf(topic, sizeof(topic), "doors-%d-%zu", getpid(), batch_size);
    if (flotilla_topic_create(m->client, topic, PARTITIONS, REPLICAS, NULL, 0, ADMIN_MS, error,
                              sizeof(error)) != 0)
        die("create topic", error);
    await_home(m, topic);
    for (unsigned kind = 0; kind < DOOR_KINDS; kind++)
        take_turn(m, kind, topic, WARM_UP_S, &warm_up);
    for (unsigned i = 0; i < m->rounds * DOOR_KINDS; i++) {
        enum door_kind kind = (i + i / DOOR_KINDS) % DOOR_KINDS; /* who goes first changes */
        take_turn(m, kind, topic, m->seconds, &results[kind]);
    }
    print(batch_size, results);
}

/* ---- arguments ---- */

static const char usage[] =
    "usage: door_meter BOOTSTRAP [--pids P,P,P] [--rounds N] [--seconds N] [--in-flight N]";

static bool set_option(struct meter *m, const char *name, const char *value)
{
    if (strcmp(name, "--pids") == 0)
        return host_processes_parse(&m->processes, value);
    if (strcmp(name, "--rounds") == 0)
        return (m->rounds = (unsigned)atoi(value)) > 0;
    if (strcmp(name, "--seconds") == 0)
        return (m->seconds = atof(value)) > 0;
    if (strcmp(name, "--in-flight") == 0)
        return (m->in_flight = (unsigned)atoi(value)) > 0 && m->in_flight <= DOOR_QUEUE / PARTITIONS;
    return false;
}

int main(int argc, char **argv)
{
    struct meter m = {.rounds = 8, .seconds = 0.5, .in_flight = 5};
    char error[512] = "";
    if (argc < 2 || argc % 2 != 0 || argv[1][0] == '-')
        die("arguments", usage);
    for (int i = 2; i + 1 < argc; i += 2)
        if (!set_option(&m, argv[i], argv[i + 1]))
            die(argv[i], usage);
    bytes_init(&m.batch);
    if (flotilla_client_create(&m.client, argv[1], NULL, error, sizeof(error)) != 0)
        die("client", error);
    for (size_t i = 0; i < sizeof(BATCH_SIZES) / sizeof(BATCH_SIZES[0]); i++)
        measure(&m, BATCH_SIZES[i]);
    flotilla_client_destroy(m.client);
    bytes_close(&m.batch);
    return 0;
}
