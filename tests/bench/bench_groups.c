/* Commits of a group's members, durable on a quorum: three nodes and all members in this one process, on one
 * core, with real disks. bench_groups [SECONDS [MEMBERS]] Prints commits per second, their latency, and what
 * the offsets take on each node's disk. */
#include "node/base/metrics.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "tests/unit/server/helper_fleet.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { MEMBERS_MAX = 100, IN_FLIGHT = 8, WAIT_MS = 30000 };

#define GROUP "bench"

static struct fleet fleet;
static uint8_t topic_id[16];
static double seconds = 5;
static unsigned member_count = MEMBERS_MAX;
static unsigned partition_count = MEMBERS_MAX;

struct member {
    struct client client;
    char id[24];
    int64_t epoch;
    uint32_t partition;
    bool joined, owns;
    uint64_t sent_ns[IN_FLIGHT]; /* of the commits under way, a ring */
    unsigned first, under_way;
    int64_t offset;
};
static struct member members[MEMBERS_MAX];
static struct histogram latency;
static uint64_t commits;

/* ---- frames ---- */

static void send_join(struct member *m)
{
    char *topic = (char *)(uintptr_t) "orders";
    Flotilla__JoinGroupRequest request = FLOTILLA__JOIN_GROUP_REQUEST__INIT;
    request.group = (char *)(uintptr_t)GROUP;
    request.member_id = m->id;
    request.topics = &topic;
    request.n_topics = 1;
    client_send(&m->client, FRAME_JOIN_GROUP, &request.base, NULL, 0);
}

static void report(struct member *m, const Flotilla__GroupAssignment *push)
{
    Flotilla__GroupHeartbeatRequest request = FLOTILLA__GROUP_HEARTBEAT_REQUEST__INIT;
    request.group = (char *)(uintptr_t)GROUP;
    request.member_id = m->id;
    request.member_epoch = m->epoch;
    request.reports_owned = true;
    request.owned = push->assigned;
    request.n_owned = push->n_assigned;
    client_send(&m->client, FRAME_GROUP_HEARTBEAT, &request.base, NULL, 0);
}

static void send_commit(struct member *m)
{
    Flotilla__CommitOffset o = FLOTILLA__COMMIT_OFFSET__INIT, *list = &o;
    Flotilla__CommitOffsetsRequest request = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    o.topic_id = (ProtobufCBinaryData){16, topic_id};
    o.partition = m->partition;
    o.offset = ++m->offset;
    request.group = (char *)(uintptr_t)GROUP;
    request.member_id = m->id;
    request.member_epoch = m->epoch;
    request.offsets = &list;
    request.n_offsets = 1;
    m->sent_ns[(m->first + m->under_way++) % IN_FLIGHT] = env_clock_ns(fleet.env);
    client_send(&m->client, FRAME_COMMIT_OFFSETS, &request.base, NULL, 0);
}

static void take_push(struct member *m, const struct received *r)
{
    Flotilla__GroupAssignment *push = received_unpack(r, &flotilla__group_assignment__descriptor);
    assert_int_equal(push->status->error, 0);
    m->epoch = push->member_epoch;
    m->owns = push->stable && push->n_assigned > 0;
    if (m->owns)
        m->partition = push->assigned[0]->partitions[0];
    report(m, push);
    flotilla__group_assignment__free_unpacked(push, NULL);
}

static void take_commit(struct member *m, const struct received *r)
{
    Flotilla__CommitOffsetsResponse *response =
        received_unpack(r, &flotilla__commit_offsets_response__descriptor);
    assert_int_equal(response->status->error, 0);
    flotilla__commit_offsets_response__free_unpacked(response, NULL);
    histogram_record(&latency, env_clock_ns(fleet.env) - m->sent_ns[m->first]);
    m->first = (m->first + 1) % IN_FLIGHT;
    m->under_way--;
    commits++;
}

static void take_frames(struct member *m)
{
    while (!queue_empty(&m->client.received)) {
        struct received *r = QUEUE_ENTRY(queue_first(&m->client.received), struct received, node);
        queue_remove(&r->node);
        if (r->head.type == FRAME_GROUP_ASSIGNMENT)
            take_push(m, r);
        else if (r->head.type == FRAME_COMMIT_OFFSETS)
            take_commit(m, r);
        else
            m->joined |= r->head.type == FRAME_JOIN_GROUP;
        received_free(r);
    }
}

/* ---- the run ---- */

static bool all_own(void *data)
{
    (void)data;
    bool all = true;
    for (unsigned i = 0; i < member_count; i++) {
        take_frames(&members[i]);
        all &= members[i].owns;
    }
    return all;
}

static void start_members(uint16_t port)
{
    for (unsigned i = 0; i < member_count; i++) {
        snprintf(members[i].id, sizeof(members[i].id), "member-%u", i);
        client_start(&members[i].client, fleet.env, port);
    }
    uint64_t from_ns = env_clock_ns(fleet.env);
    for (unsigned i = 0; i < member_count; i++)
        send_join(&members[i]);
    run_until(fleet.env, all_own, NULL, WAIT_MS);
    printf("%u members of %u partitions joined at once: stable after %.0f ms\n", member_count,
           partition_count, (double)(env_clock_ns(fleet.env) - from_ns) / 1e6);
}

static void commit_for_a_while(void)
{
    uint64_t from_ns = env_clock_ns(fleet.env), end_ns = from_ns + (uint64_t)(seconds * 1e9);
    bool busy = true;
    while (busy) {
        bool more = env_clock_ns(fleet.env) < end_ns;
        busy = more;
        for (unsigned i = 0; i < member_count; i++) {
            struct member *m = &members[i];
            take_frames(m);
            while (more && m->under_way < IN_FLIGHT)
                send_commit(m);
            busy |= m->under_way > 0;
        }
        env_run_once(fleet.env, busy);
    }
    double lasted = (double)(env_clock_ns(fleet.env) - from_ns) / 1e9;
    printf("%llu commits by %u members in %.1f s: %.0f/s, p50 %.1f ms, p99 %.1f ms\n",
           (unsigned long long)commits, member_count, lasted, (double)commits / lasted,
           (double)histogram_quantile(&latency, 0.5) / 1e6, (double)histogram_quantile(&latency, 0.99) / 1e6);
}

/* ---- disk ---- */

static uint64_t bytes_below(const char *path)
{
    uint64_t total = 0;
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char child[512];
        struct stat st;
        snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || lstat(child, &st) != 0)
            continue;
        total += S_ISDIR(st.st_mode) ? bytes_below(child) : (uint64_t)st.st_blocks * 512;
    }
    if (directory != NULL)
        closedir(directory);
    return total;
}

static void test_commits(void **state)
{
    (void)state;
    struct client c;
    fleet_open(&fleet, 3, NULL);
    client_start(&c, fleet.env, node_client_port(fleet.nodes[0]));
    create_topic(&c, "orders", partition_count, 3, topic_id);
    uint32_t partition = crc32c(0, GROUP, strlen(GROUP)) % fleet.configs[0].offsets_partitions;
    uint32_t leader = find_leader(&c, "__consumer_offsets", partition, 0);
    client_close(&c);
    start_members(node_client_port(fleet.nodes[leader - 1]));
    for (unsigned i = 0; i < 3; i++)
        printf("node %u: %.1f MiB on disk before\n", i + 1,
               (double)bytes_below(fleet.configs[i].data_dir) / (1 << 20));
    commit_for_a_while();
    for (unsigned i = 0; i < 3; i++)
        printf("node %u: %.1f MiB on disk\n", i + 1,
               (double)bytes_below(fleet.configs[i].data_dir) / (1 << 20));
    for (unsigned i = 0; i < member_count; i++)
        client_close(&members[i].client);
    fleet_close(&fleet);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = atof(argv[1]);
    if (argc > 2)
        member_count = (unsigned)atoi(argv[2]);
    if (argc > 3)
        partition_count = (unsigned)atoi(argv[3]);
    if (member_count < 1 || member_count > MEMBERS_MAX || partition_count < member_count)
        return 2;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
