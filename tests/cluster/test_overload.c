/* What strangers and greedy clients do to a node: its memory stays bounded, and its other clients hardly
 * notice. Figures are printed; the bounds are generous, since the machine may be busy with other things. */
#include "tests/cluster/crowd.h"
#include "tests/cluster/harness.h"
#include "tests/cluster/raw.h"

#include "client/cli/demo/source.h"
#include "proto/bytes.h"
#include "proto/kafka/codec.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__ /* its shadow, red zones and quarantine are not the node's */
enum { SANITIZERS_SHARE = 8 };
#else
enum { SANITIZERS_SHARE = 1 };
#endif
enum { MIB = 1024 * 1024, CLIENTS_BYTES = 128 * MIB, SAMPLES = 1000 };

/* Elections are not what this is about: a busy machine must not cause any. */
static const char *const node_options[] = {"--clients-bytes=128MiB", "--connection-bytes=8MiB",
                                           "--election-timeout=10s"};

/* A cluster with a topic of one partition, and its leader under attack. */
struct siege {
    struct local_cluster cluster;
    struct flotilla_client *client;
    char bootstrap[256];
    struct innocent innocent;
    unsigned leader;
    pid_t pid;
    uint64_t rss;
    double p99_ms; /* before */
};

static struct siege *current;

static void find_leader(struct siege *s)
{
    const struct flotilla_topic_info *info = NULL;
    assert_int_equal(flotilla_topic_describe(s->client, "siege", 10000, &info, NULL, 0), 0);
    s->leader = info->partitions[0]->leader_id;
    memcpy(s->innocent.topic_id, info->id, 16);
    flotilla_result_free(info);
    assert_int_not_equal(s->leader, 0);
    s->innocent.port = s->cluster.nodes[s->leader - 1].client_port;
    assert_int_equal(local_node_state(&s->cluster, s->leader, &s->pid), LOCAL_RUNNING);
}

static void start_cluster(struct siege *s)
{
    char directory[] = "/tmp/flotilla-XXXXXX";
    struct cli_list options = {(const char **)(uintptr_t)node_options, 3};
    assert_non_null(mkdtemp(directory));
    assert_true(local_create(&s->cluster, directory, 3, 0, &options));
    s->cluster.owned = true;
    for (unsigned node = 1; node <= 3; node++) {
        assert_true(local_start_node(&s->cluster, node));
    }
    assert_true(local_wait_ready(&s->cluster, 60000));
}

static int begin(void **state)
{
    struct rlimit files;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct siege *s = current = calloc(1, sizeof(*s));
    start_cluster(s);
    local_bootstrap(&s->cluster, s->bootstrap, sizeof(s->bootstrap));
    assert_int_equal(flotilla_client_create(&s->client, s->bootstrap, NULL, NULL, 0), 0);
    assert_int_equal(flotilla_topic_create(s->client, "siege", 1, 3, NULL, 0, 20000, NULL, 0), 0);
    find_leader(s);
    innocent_measure(&s->innocent, 100); /* warms up */
    return 0;
}

static int end(void **state)
{
    (void)state;
    flotilla_client_destroy(current->client);
    bool ok = local_destroy(&current->cluster);
    free(current);
    return ok ? 0 : -1;
}

static void before(struct siege *s)
{
    find_leader(s);
    innocent_measure(&s->innocent, SAMPLES);
    assert_int_equal(s->innocent.failed, 0);
    s->p99_ms = s->innocent.p99_ms;
    s->rss = process_rss(s->pid);
}

static uint64_t grown(const struct siege *s)
{
    uint64_t now = process_rss(s->pid);
    return now > s->rss ? now - s->rss : 0;
}

/* While it lasts: latency, memory, and that the node lives. */
static void during(struct siege *s, const char *what, uint64_t rss_limit)
{
    innocent_measure(&s->innocent, SAMPLES);
    uint64_t more = grown(s) / SANITIZERS_SHARE;
    print_message(
        "%s: p99 %.2f ms before, %.2f ms during (p50 %.2f, most %.2f); RSS %.1f MiB, grown by %.1f, "
        "limit %.1f\n",
        what, s->p99_ms, s->innocent.p99_ms, s->innocent.p50_ms, s->innocent.most_ms,
        (double)process_rss(s->pid) / MIB, (double)more / MIB, (double)rss_limit / MIB);
    assert_int_equal(s->innocent.failed, 0);
    assert_true(s->innocent.p99_ms <= 10 * s->p99_ms + 250);
    assert_true(more <= rss_limit);
    assert_int_equal(local_node_state(&s->cluster, s->leader, NULL), LOCAL_RUNNING);
}

/* ---- connections ---- */

static size_t affordable(size_t wanted)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    size_t node_takes = files.rlim_cur / 2 < 10000 ? files.rlim_cur / 2 : 10000; /* max-connections */
    return wanted < node_takes - 100 ? wanted : node_takes - 100;
}

static void idle_connections(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd crowd;
    before(s);
    crowd_open(&crowd, s->innocent.port, affordable(10000));
    print_message("%zu connections say HELLO and nothing more\n", crowd.count);
    assert_true(crowd.count >= affordable(10000));
    assert_true(crowd_hello(&crowd));
    during(s, "idle connections", crowd.count * 6144 + 8 * MIB);
    assert_int_equal(crowd_left(&crowd), crowd.count);
    crowd_close(&crowd);
}

static bool nobody_is_left(void *data)
{
    return crowd_left(data) == 0;
}

/* At both ports; who says no HELLO is sent away. */
static void silent_strangers(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd clients, peers;
    before(s);
    crowd_open(&clients, s->innocent.port, affordable(2000));
    crowd_open(&peers, s->cluster.nodes[s->leader - 1].peer_port, affordable(2000));
    during(s, "silent strangers", 32 * MIB);
    wait_until(nobody_is_left, &peers, 20000, "silent connections at the peer port are closed");
    wait_until(nobody_is_left, &clients, 20000, "silent connections at the client port are closed");
    crowd_close(&clients);
    crowd_close(&peers);
}

/* Whether the kernel's timer on the node's end of this connection is the one that asks after a silent peer.
 */
static bool node_asks(void *data)
{
    const char *wanted = data;
    char line[512], remote[32];
    bool asks = false;
    unsigned timer;
    FILE *f = fopen("/proc/net/tcp", "re");
    while (f != NULL && !asks && fgets(line, sizeof(line), f) != NULL) {
        asks = sscanf(line, "%*s %*s %31s %*s %*s %x:", remote, &timer) == 2 && strcmp(remote, wanted) == 0 &&
               timer == 2;
    }
    if (f != NULL) {
        fclose(f);
    }
    return asks;
}

/* A connection whose other end vanished is only found by asking. The timer is another one until the answer to
 * HELLO has been acknowledged. */
static void half_open(void **state)
{
    (void)state;
    char wanted[32];
    struct crowd one;
    crowd_open(&one, current->innocent.port, 1);
    assert_true(crowd_hello(&one));
    struct sockaddr_in self;
    socklen_t size = sizeof(self);
    assert_int_equal(getsockname(one.sockets[0], (struct sockaddr *)&self, &size), 0);
    snprintf(wanted, sizeof(wanted), "0100007F:%04X", ntohs(self.sin_port));
    wait_until(node_asks, wanted, 10000, "the node's end of the connection has its keep-alive timer");
    crowd_close(&one);
}

static void *trickle(void *data)
{
    struct crowd *c = data;
    unsigned char head[FRAME_HEAD_SIZE];
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, 40, 1000);
    for (size_t i = 0; c->port != 0; i++) {
        crowd_send(c, i < sizeof(head) ? &head[i] : (const void *)"x", 1);
    }
    return NULL;
}

static void one_byte_at_a_time(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd crowd;
    pthread_t thread;
    before(s);
    crowd_open(&crowd, s->innocent.port, 500);
    assert_true(crowd_hello(&crowd));
    assert_int_equal(pthread_create(&thread, NULL, trickle, &crowd), 0);
    during(s, "one byte at a time", 16 * MIB);
    crowd.port = 0;
    pthread_join(thread, NULL);
    crowd_close(&crowd);
}

/* ---- lengths ---- */

static void huge_lengths(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd clients, peers;
    unsigned char head[FRAME_HEAD_SIZE] = {0};
    store_le32(head, 1u << 30);
    store_le32(head + 4, 10);
    store_le16(head + 8, FRAME_PRODUCE);
    before(s);
    crowd_open(&clients, s->innocent.port, 500);
    crowd_open(&peers, s->cluster.nodes[s->leader - 1].peer_port, 500);
    assert_true(crowd_hello(&clients));
    crowd_send(&clients, head, sizeof(head));
    crowd_send(&peers, head, sizeof(head));
    during(s, "lengths of 1 GiB", 16 * MIB);
    wait_until(nobody_is_left, &clients, 20000, "they are closed");
    wait_until(nobody_is_left, &peers, 20000, "they are closed at the peer port");
    crowd_close(&clients);
    crowd_close(&peers);
}

/* As long as a frame may be, all but the end sent: together more than the node gives to all clients. */
static void frames_without_end(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd clients, peers;
    size_t size = 6 * MIB;
    unsigned char *frame = calloc(1, size);
    frame_head_encode(frame, FRAME_PRODUCE, 0, 1, 40, 60 * MIB);
    before(s);
    crowd_open(&clients, s->innocent.port, 100);
    crowd_open(&peers, s->cluster.nodes[s->leader - 1].peer_port, 60);
    assert_true(crowd_hello(&clients));
    for (unsigned round = 0; round < 20; round++) { /* the socket buffers take a part at a time */
        crowd_send(&clients, frame, size / 4);
        crowd_send(&peers, frame, size / 4);
        cli_sleep_ms(20); /* lets the node read; not waited for */
    }
    during(s, "frames without end", CLIENTS_BYTES + 48 * MIB);
    crowd_close(&clients);
    crowd_close(&peers);
    free(frame);
}

/* ---- readers ---- */

static void ask_for_much(int fd, const uint8_t topic_id[16], uint64_t number)
{
    Flotilla__FetchRequest fetch = FLOTILLA__FETCH_REQUEST__INIT;
    Flotilla__SubscribeRequest subscribe = FLOTILLA__SUBSCRIBE_REQUEST__INIT;
    fetch.topic_id = subscribe.topic_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)topic_id};
    fetch.max_bytes = 4 * MIB;
    subscribe.subscription = number;
    subscribe.credit_bytes = UINT64_C(1) << 40;
    raw_request(fd, FRAME_SUBSCRIBE, &subscribe.base, NULL, 0);
    for (unsigned i = 0; i < 32; i++) {
        raw_request(fd, FRAME_FETCH, &fetch.base, NULL, 0);
    }
}

/* 24 MiB, so that every reader could be owed more than its share. */
static void fill_topic(struct siege *s)
{
    static char value[64 * 1024];
    int fd = raw_connect(s->innocent.port);
    assert_true(raw_hello(fd));
    for (size_t i = 0; i < sizeof(value) - 1; i++) {
        value[i] = (char)('a' + i % 26);
    }
    for (unsigned i = 0; i < 384; i++) {
        assert_int_equal(raw_produce(fd, s->innocent.topic_id, 0, value, 30000), 0);
    }
    close(fd);
}

/* They ask for the whole topic, 32 times, and read nothing. */
static void slow_readers(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd crowd;
    fill_topic(s);
    before(s);
    crowd_open(&crowd, s->innocent.port, 300);
    assert_true(crowd_hello(&crowd));
    for (size_t i = 0; i < crowd.count; i++) {
        ask_for_much(crowd.sockets[i], s->innocent.topic_id, i + 1);
    }
    /* Their shares come on top, and what the allocator can't fill. */
    during(s, "slow readers", (uint64_t)4 * CLIENTS_BYTES);
    crowd_close(&crowd);
}

/* ---- Kafka clients ---- */

/* A whole frame. It waits for a minute and a half while there is nothing. */
static void encode_kafka_fetch(struct bytes *out, const char *name, unsigned index, int32_t max_bytes)
{
    struct kafka_request_header header = {.api_key = KAFKA_API_FETCH, .api_version = 11};
    struct kafka_fetch_request_partition partition = kafka_fetch_request_partition_default;
    struct kafka_fetch_request_topic topic = kafka_fetch_request_topic_default;
    struct kafka_fetch_request request = kafka_fetch_request_default;
    partition.partition = (int32_t)index;
    partition.partition_max_bytes = request.max_bytes = max_bytes;
    topic.topic = kafka_string_of(name);
    topic.partitions.items = &partition;
    request.topics.items = &topic;
    topic.partitions.count = request.topics.count = 1;
    request.max_wait_ms = 90000;
    request.min_bytes = 1;
    bytes_init(out);
    bytes_append(out, "\0\0\0\0", 4);
    kafka_request_header_encode(&header, out);
    assert_int_equal(kafka_encode(KAFKA_REQUEST, KAFKA_API_FETCH, 11, &request, out), 0);
    store_be32(out->data, (uint32_t)(out->size - 4));
}

static size_t answered(const struct crowd *c)
{
    size_t count = 0;
    char byte;
    for (size_t i = 0; i < c->count; i++)
        count += recv(c->sockets[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    return count;
}

static bool all_answered(void *data)
{
    const struct crowd *crowd = data;
    return answered(crowd) == crowd->count;
}

/* Partition of the topic that this node leads. */
static unsigned find_led(struct siege *s, const char *topic, uint8_t topic_id[16])
{
    const struct flotilla_topic_info *info = NULL;
    unsigned index = 0;
    assert_int_equal(flotilla_topic_describe(s->client, topic, 10000, &info, NULL, 0), 0);
    while (index < info->partition_count && info->partitions[index]->leader_id != s->leader)
        index++;
    assert_true(index < info->partition_count);
    memcpy(topic_id, info->id, 16);
    flotilla_result_free(info);
    return index;
}

/* As many consumers as a fleet of services has, all of them waiting; then there is a record. */
static void kafka_consumers(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd crowd;
    struct bytes fetch;
    uint8_t topic_id[16];
    assert_int_equal(flotilla_topic_create(s->client, "quiet", 12, 3, NULL, 0, 20000, NULL, 0), 0);
    before(s);
    unsigned index = find_led(s, "quiet", topic_id);
    encode_kafka_fetch(&fetch, "quiet", index, MIB);
    crowd_open(&crowd, s->cluster.nodes[s->leader - 1].kafka_port, affordable(5000));
    assert_int_equal(crowd.count, affordable(5000));
    crowd_send(&crowd, fetch.data, fetch.size);
    during(s, "Kafka consumers that wait", crowd.count * 12288 + 8 * MIB);
    assert_int_equal(answered(&crowd), 0);
    int fd = raw_connect(s->innocent.port);
    assert_true(raw_hello(fd));
    assert_int_equal(raw_produce(fd, topic_id, index, "news", 30000), 0);
    close(fd);
    wait_until(all_answered, &crowd, 30000, "every consumer has the record");
    crowd_close(&crowd);
    bytes_close(&fetch);
}

static void kafka_slow_readers(void **state)
{
    (void)state;
    struct siege *s = current;
    struct crowd crowd;
    struct bytes fetch;
    before(s);
    encode_kafka_fetch(&fetch, "siege", 0, 4 * MIB);
    crowd_open(&crowd, s->cluster.nodes[s->leader - 1].kafka_port, 300);
    for (unsigned i = 0; i < 32; i++)
        crowd_send(&crowd, fetch.data, fetch.size);
    during(s, "slow Kafka readers", (uint64_t)2 * CLIENTS_BYTES);
    crowd_close(&crowd);
    bytes_close(&fetch);
}

/* ---- producers ---- */

enum { PRODUCERS = 3, FLOOD = 150000 };

static const char *const no_readers[] = {"unused"};

static void flood_start(struct siege *s, struct fleet *f, uint64_t count)
{
    *f = (struct fleet){.bootstrap = s->bootstrap,
                        .topic = "flood",
                        .count = count,
                        .source = demo_orders,
                        .readers = no_readers,
                        .patience_ms = 20000};
    assert_true(fleet_start(f));
}

static double flood_rate(struct fleet *f, unsigned n, uint64_t began_ns)
{
    uint64_t acknowledged = 0;
    for (unsigned i = 0; i < n; i++) {
        fleet_join(&f[i]);
        acknowledged += f[i].ledger.acknowledged;
    }
    return (double)acknowledged / ((double)(cli_now_ns() - began_ns) / 1e9);
}

/* Each producer alone would take all that the cluster can give. */
static void producers_beyond_capacity(void **state)
{
    (void)state;
    struct siege *s = current;
    struct fleet alone, together[PRODUCERS];
    assert_int_equal(flotilla_topic_create(s->client, "flood", 6, 3, NULL, 0, 20000, NULL, 0), 0);
    uint64_t began = cli_now_ns();
    flood_start(s, &alone, FLOOD);
    double capacity = flood_rate(&alone, 1, began);
    before(s);
    began = cli_now_ns();
    for (unsigned i = 0; i < PRODUCERS; i++) {
        flood_start(s, &together[i], FLOOD);
    }
    uint64_t most = 0;
    while (!fleet_finished(&together[0]) || !fleet_finished(&together[1]) || !fleet_finished(&together[2])) {
        uint64_t now = grown(s);
        most = now > most ? now : most;
        cli_sleep_ms(5);
    }
    double rate = flood_rate(together, PRODUCERS, began);
    print_message(
        "one producer as fast as it can: %.0f records/s; %d of them: %.0f; RSS grew by at most %.1f MiB\n",
        capacity, PRODUCERS, rate, (double)most / MIB);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        assert_int_equal(together[i].ledger.failed, 0);
        assert_int_equal(together[i].ledger.acknowledged, FLOOD);
        fleet_close(&together[i]);
    }
    fleet_close(&alone);
    assert_true(most < 256 * (uint64_t)MIB);
}

int main(void)
{
    const char *only = getenv("ONLY_TEST");
    if (only != NULL) {
        cmocka_set_test_filter(only);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections), cmocka_unit_test(silent_strangers),
        cmocka_unit_test(half_open),        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(huge_lengths),     cmocka_unit_test(frames_without_end),
        cmocka_unit_test(slow_readers),     cmocka_unit_test(kafka_slow_readers),
        cmocka_unit_test(kafka_consumers),  cmocka_unit_test(producers_beyond_capacity),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
