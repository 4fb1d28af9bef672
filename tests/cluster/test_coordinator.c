/* The coordinator of a group is killed, again and again: its members keep what they have under the same
 * epochs, what they committed is there, and they can go on committing soon. By hand on the wire, with real
 * nodes. */
#include "client/cli/local/local.h"
#include "flotilla.h"
#include "proto/crc32c.h"
#include "proto/error.h"
#include "tests/cluster/raw.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODES = 3, MEMBERS = 3, PARTITIONS = 9, KILLS = 4, TIMEOUT_MS = 20000, ANSWER_MS = 2000 };

#define GROUP "workers"
#define TOPIC "jobs"

struct member {
    const char *id;
    int fd; /* -1: none */
    int64_t epoch;
    bool owned[PARTITIONS];
    unsigned count;
    bool stable;
};

struct site {
    struct local_cluster cluster;
    struct flotilla_client *client;
    uint8_t topic_id[16];
    struct member members[MEMBERS];
};

/* ---- the cluster ---- */

static int open_site(void **state)
{
    static const char *const ids[MEMBERS] = {"anna", "ben", "carla"};
    struct site *s = calloc(1, sizeof(*s));
    char error[512] = "", bootstrap[256];
    *state = s;
    if (s == NULL || !local_scratch(&s->cluster, NODES))
        return -1;
    for (unsigned i = 0; i < MEMBERS; i++)
        s->members[i] = (struct member){.id = ids[i], .fd = -1};
    local_bootstrap(&s->cluster, bootstrap, sizeof(bootstrap));
    int status = flotilla_client_create(&s->client, bootstrap, NULL, error, sizeof(error));
    if (status == 0)
        status = flotilla_topic_create(s->client, TOPIC, PARTITIONS, NODES, NULL, 0, TIMEOUT_MS, error,
                                       sizeof(error));
    if (status != 0)
        print_error("%s\n", error);
    return status;
}

static int close_site(void **state)
{
    struct site *s = *state;
    for (unsigned i = 0; i < MEMBERS; i++)
        if (s->members[i].fd >= 0)
            close(s->members[i].fd);
    flotilla_client_destroy(s->client);
    local_destroy(&s->cluster);
    free(s);
    return 0;
}

static int connect_to(const struct site *s, unsigned node)
{
    int fd = raw_connect(s->cluster.nodes[node - 1].client_port);
    if (fd >= 0 && !raw_hello(fd)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static Flotilla__MetadataResponse *ask_metadata(int fd)
{
    char *names[] = {(char *)(uintptr_t)TOPIC, (char *)(uintptr_t) "__consumer_offsets"};
    struct raw_frame frame;
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    request.topics = names;
    request.n_topics = 2;
    if (!raw_request(fd, FRAME_METADATA, &request.base, NULL, 0) || !raw_receive(fd, &frame, ANSWER_MS))
        return NULL;
    Flotilla__MetadataResponse *m =
        flotilla__metadata_response__unpack(NULL, frame.head.header_length, frame.header);
    raw_frame_free(&frame);
    return m;
}

/* The node that coordinates the group as `node` sees it, or 0. Also learns the topic's id. */
static unsigned ask_coordinator(struct site *s, unsigned node)
{
    unsigned leader = 0;
    int fd = connect_to(s, node);
    if (fd < 0)
        return 0;
    Flotilla__MetadataResponse *m = ask_metadata(fd);
    close(fd);
    if (m == NULL)
        return 0;
    assert_int_equal(m->n_topics, 2);
    if (m->topics[0]->id.len == 16 && m->topics[1]->n_partitions > 0) {
        memcpy(s->topic_id, m->topics[0]->id.data, 16);
        leader =
            m->topics[1]->partitions[crc32c(0, GROUP, strlen(GROUP)) % m->topics[1]->n_partitions]->leader_id;
    }
    flotilla__metadata_response__free_unpacked(m, NULL);
    return leader;
}

static unsigned find_coordinator(struct site *s, unsigned not_node)
{
    uint64_t deadline = cli_now_ns() + TIMEOUT_MS * 1000000ull;
    while (cli_now_ns() < deadline) {
        for (unsigned node = 1; node <= NODES; node++) {
            unsigned leader = node != not_node ? ask_coordinator(s, node) : 0;
            if (leader != 0 && leader != not_node)
                return leader;
        }
        cli_sleep_ms(5);
    }
    fail_msg("the group has no coordinator");
    return 0;
}

/* ---- members ---- */

static void take_push(struct member *m, const struct raw_frame *frame)
{
    Flotilla__GroupAssignment *push =
        flotilla__group_assignment__unpack(NULL, frame->head.header_length, frame->header);
    assert_non_null(push);
    if (push->status->error == 0) {
        m->epoch = push->member_epoch;
        m->stable = push->stable;
        m->count = 0;
        memset(m->owned, 0, sizeof(m->owned));
        for (size_t i = 0; i < push->n_assigned; i++)
            for (size_t j = 0; j < push->assigned[i]->n_partitions; j++, m->count++)
                m->owned[push->assigned[i]->partitions[j]] = true;
    } else {
        assert_int_equal(push->status->error, ERR_NOT_LEADER);
    }
    flotilla__group_assignment__free_unpacked(push, NULL);
}

/* `Status status = 1` is the first field of every answer. Pushes on the way to it are taken.
 * ERR_CONNECTION_LOST without one. */
static int wait_answer(struct member *m, uint16_t type)
{
    struct raw_frame frame;
    while (raw_receive(m->fd, &frame, ANSWER_MS)) {
        bool answer = frame.head.type == type;
        int error = 0;
        if (answer) {
            Flotilla__PingResponse *r =
                flotilla__ping_response__unpack(NULL, frame.head.header_length, frame.header);
            assert_non_null(r);
            error = r->status->error;
            flotilla__ping_response__free_unpacked(r, NULL);
        } else if (frame.head.type == FRAME_GROUP_ASSIGNMENT) {
            take_push(m, &frame);
        }
        raw_frame_free(&frame);
        if (answer)
            return error;
    }
    return ERR_CONNECTION_LOST;
}

static int call(struct member *m, uint16_t type, const ProtobufCMessage *request)
{
    return raw_request(m->fd, type, request, NULL, 0) ? wait_answer(m, type) : ERR_CONNECTION_LOST;
}

struct owned_list {
    Flotilla__GroupPartitions message, *pointer;
    uint32_t numbers[PARTITIONS];
};

static void list_owned(struct site *s, const struct member *m, struct owned_list *list)
{
    flotilla__group_partitions__init(&list->message);
    list->pointer = &list->message;
    list->message.topic_id = (ProtobufCBinaryData){16, s->topic_id};
    list->message.partitions = list->numbers;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (m->owned[i])
            list->numbers[list->message.n_partitions++] = i;
}

static int join(struct site *s, struct member *m)
{
    struct owned_list owned;
    char *topic = (char *)(uintptr_t)TOPIC;
    Flotilla__JoinGroupRequest request = FLOTILLA__JOIN_GROUP_REQUEST__INIT;
    list_owned(s, m, &owned);
    request.group = (char *)(uintptr_t)GROUP;
    request.member_id = (char *)(uintptr_t)m->id;
    request.member_epoch = m->epoch;
    request.topics = &topic;
    request.n_topics = 1;
    request.owned = &owned.pointer;
    request.n_owned = 1;
    return call(m, FRAME_JOIN_GROUP, &request.base);
}

static int heartbeat(struct site *s, struct member *m)
{
    struct owned_list owned;
    Flotilla__GroupHeartbeatRequest request = FLOTILLA__GROUP_HEARTBEAT_REQUEST__INIT;
    list_owned(s, m, &owned);
    request.group = (char *)(uintptr_t)GROUP;
    request.member_id = (char *)(uintptr_t)m->id;
    request.member_epoch = m->epoch;
    request.reports_owned = true;
    request.owned = &owned.pointer;
    request.n_owned = 1;
    return call(m, FRAME_GROUP_HEARTBEAT, &request.base);
}

static int commit(struct site *s, struct member *m, int64_t offset)
{
    Flotilla__CommitOffset offsets[PARTITIONS], *list[PARTITIONS];
    Flotilla__CommitOffsetsRequest request = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        if (!m->owned[i])
            continue;
        Flotilla__CommitOffset *o = &offsets[request.n_offsets];
        flotilla__commit_offset__init(o);
        o->topic_id = (ProtobufCBinaryData){16, s->topic_id};
        o->partition = i;
        o->offset = offset;
        list[request.n_offsets++] = o;
    }
    request.group = (char *)(uintptr_t)GROUP;
    request.member_id = (char *)(uintptr_t)m->id;
    request.member_epoch = m->epoch;
    request.offsets = list;
    return call(m, FRAME_COMMIT_OFFSETS, &request.base);
}

/* Joins the coordinator, wherever it is by now. */
static void find_and_join(struct site *s, struct member *m, unsigned not_node)
{
    uint64_t deadline = cli_now_ns() + TIMEOUT_MS * 1000000ull;
    int error = ERR_TIMED_OUT;
    while (cli_now_ns() < deadline) {
        m->fd = connect_to(s, find_coordinator(s, not_node));
        error = m->fd >= 0 ? join(s, m) : ERR_CONNECTION_LOST;
        if (error == 0)
            return;
        assert_true(error_class_of(error) == ERROR_RETRIABLE);
        if (m->fd >= 0)
            close(m->fd);
        m->fd = -1;
        cli_sleep_ms(2);
    }
    fail_msg("%s can't join: %s", m->id, error_name(error));
}

static void settle(struct site *s)
{
    uint64_t deadline = cli_now_ns() + TIMEOUT_MS * 1000000ull;
    for (;;) {
        unsigned total = 0;
        bool stable = true;
        for (unsigned i = 0; i < MEMBERS; i++) {
            assert_int_equal(heartbeat(s, &s->members[i]), 0);
            total += s->members[i].count;
            stable &= s->members[i].stable;
        }
        if (stable && total == PARTITIONS)
            return;
        if (cli_now_ns() > deadline)
            fail_msg("the group does not settle");
    }
}

/* ---- offsets ---- */

static void check_committed(struct site *s, int64_t offset)
{
    struct raw_frame frame;
    Flotilla__FetchOffsetsRequest request = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t)GROUP;
    int fd = connect_to(s, find_coordinator(s, 0));
    assert_true(fd >= 0);
    assert_true(raw_request(fd, FRAME_FETCH_OFFSETS, &request.base, NULL, 0));
    assert_true(raw_receive(fd, &frame, ANSWER_MS));
    Flotilla__FetchOffsetsResponse *r =
        flotilla__fetch_offsets_response__unpack(NULL, frame.head.header_length, frame.header);
    assert_int_equal(r->status->error, 0);
    assert_int_equal(r->n_offsets, PARTITIONS);
    for (size_t i = 0; i < r->n_offsets; i++)
        assert_int_equal(r->offsets[i]->offset, offset);
    flotilla__fetch_offsets_response__free_unpacked(r, NULL);
    raw_frame_free(&frame);
    close(fd);
}

/* ---- the test ---- */

static void kill_coordinator(struct site *s, int64_t round)
{
    struct member before[MEMBERS];
    memcpy(before, s->members, sizeof(before));
    unsigned victim = find_coordinator(s, 0);
    uint64_t killed_ns = cli_now_ns();
    assert_true(local_signal(&s->cluster, victim, SIGKILL));
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &s->members[i];
        close(m->fd);
        find_and_join(s, m, victim);
        assert_int_equal(commit(s, m, round), 0);
    }
    print_message("all commit again %.0f ms after the coordinator was killed\n",
                  (double)(cli_now_ns() - killed_ns) / 1e6);
    settle(s);
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_int_equal(s->members[i].epoch, before[i].epoch);
        assert_memory_equal(s->members[i].owned, before[i].owned, sizeof(before[i].owned));
    }
    check_committed(s, round);
    assert_true(local_wait_down(&s->cluster, victim, TIMEOUT_MS));
    assert_true(local_start_node(&s->cluster, victim));
    assert_true(local_wait_ready(&s->cluster, TIMEOUT_MS));
}

/* Leadership may go home to the node that has come back: whoever is sent away joins there. */
static void follow_coordinator(struct site *s)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &s->members[i];
        while (heartbeat(s, m) != 0) {
            close(m->fd);
            find_and_join(s, m, 0);
        }
    }
}

static void test_killed_coordinators(void **state)
{
    struct site *s = *state;
    (void)find_coordinator(s, 0);
    for (unsigned i = 0; i < MEMBERS; i++)
        find_and_join(s, &s->members[i], 0);
    settle(s);
    for (int64_t round = 1; round <= KILLS; round++) {
        follow_coordinator(s);
        kill_coordinator(s, round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_killed_coordinators, open_site, close_site),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
