/* Members of groups over the wire, at three nodes in one process. */
#include "proto/crc32c.h"
#include "proto/error.h"
#include "tests/unit/server/helper_fleet.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 3, PARTITIONS = 6, WAIT_MS = 15000 };

static struct fleet fleet;
static uint8_t topic_id[16];

static void quick(struct node_config *config)
{
    config->group_grace_ms = 300;
    config->group_session_timeout_ms = 5000;
    config->election_timeout_ms = 1000; /* nobody dies of a busy machine */
    config->offsets_retention_ms = 2000;
    config->retention_check_ms = 200;
}

/* Every partition of __consumer_offsets is led by its preferred replica, where leadership stays. */
static bool coordinators_are_home(void *data)
{
    (void)data;
    struct client c;
    char *topic = (char *)(uintptr_t) "__consumer_offsets";
    Flotilla__MetadataRequest request = FLOTILLA__METADATA_REQUEST__INIT;
    request.topics = &topic;
    request.n_topics = 1;
    client_start(&c, fleet.env, node_client_port(fleet.nodes[0]));
    Flotilla__MetadataResponse *m =
        client_call(&c, FRAME_METADATA, &request.base, NULL, 0, &flotilla__metadata_response__descriptor);
    bool home = m->topics[0]->n_partitions == fleet.configs[0].offsets_partitions;
    for (size_t i = 0; home && i < m->topics[0]->n_partitions; i++)
        home = m->topics[0]->partitions[i]->leader_id == m->topics[0]->partitions[i]->replicas[0];
    flotilla__metadata_response__free_unpacked(m, NULL);
    client_close(&c);
    return home;
}

static int setup(void **state)
{
    *state = &fleet;
    fleet_open(&fleet, NODES, quick);
    struct client c;
    client_start(&c, fleet.env, node_client_port(fleet.nodes[0]));
    create_topic(&c, "orders", PARTITIONS, 3, topic_id);
    client_close(&c);
    run_until(fleet.env, coordinators_are_home, NULL, WAIT_MS);
    return 0;
}

/* ---- members ---- */

struct member {
    struct client client;
    bool connected;
    const char *group;
    const char *id;
    const char *instance_id;
    int64_t epoch;
    bool owned[PARTITIONS];
    unsigned count;
    bool stable;
    unsigned pushes;
    int status; /* of the last push */
};

static uint32_t coordinator_of_group(const char *group, uint32_t not_node)
{
    struct client c;
    unsigned alive = 0;
    while (fleet.nodes[alive] == NULL)
        alive++;
    client_start(&c, fleet.env, node_client_port(fleet.nodes[alive]));
    uint32_t partition = crc32c(0, group, strlen(group)) % fleet.configs[0].offsets_partitions;
    uint32_t leader = find_leader(&c, "__consumer_offsets", partition, not_node);
    client_close(&c);
    return leader;
}

static void take_push(struct member *m, const Flotilla__GroupAssignment *push)
{
    assert_string_equal(push->group, m->group);
    assert_string_equal(push->member_id, m->id);
    m->pushes++;
    m->status = push->status->error;
    if (m->status != 0)
        return;
    m->epoch = push->member_epoch;
    m->stable = push->stable;
    m->count = 0;
    memset(m->owned, 0, sizeof(m->owned));
    for (size_t i = 0; i < push->n_assigned; i++) {
        assert_memory_equal(push->assigned[i]->topic_id.data, topic_id, 16);
        for (size_t j = 0; j < push->assigned[i]->n_partitions; j++) {
            m->owned[push->assigned[i]->partitions[j]] = true;
            m->count++;
        }
    }
}

/* The member's partitions as a message that references `numbers`. */
static void fill_owned(const struct member *m, Flotilla__GroupPartitions *p, uint32_t *numbers)
{
    flotilla__group_partitions__init(p);
    p->topic_id = (ProtobufCBinaryData){16, topic_id};
    p->partitions = numbers;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (m->owned[i])
            numbers[p->n_partitions++] = i;
}

static int heartbeat(struct member *m, bool reports)
{
    uint32_t numbers[PARTITIONS];
    Flotilla__GroupPartitions owned, *list = &owned;
    fill_owned(m, &owned, numbers);
    Flotilla__GroupHeartbeatRequest request = FLOTILLA__GROUP_HEARTBEAT_REQUEST__INIT;
    request.group = (char *)(uintptr_t)m->group;
    request.member_id = (char *)(uintptr_t)m->id;
    request.member_epoch = m->epoch;
    request.reports_owned = reports;
    request.owned = &list;
    request.n_owned = reports ? 1 : 0;
    Flotilla__GroupHeartbeatResponse *response =
        client_call(&m->client, FRAME_GROUP_HEARTBEAT, &request.base, NULL, 0,
                    &flotilla__group_heartbeat_response__descriptor);
    int error = response->status->error;
    flotilla__group_heartbeat_response__free_unpacked(response, NULL);
    return error;
}

/* Takes what has been pushed; reports after each. */
static bool take_pushes(struct member *m)
{
    bool any = false;
    for (struct queue *node = m->client.received.next, *next; node != &m->client.received; node = next) {
        struct received *r = QUEUE_ENTRY(node, struct received, node);
        next = node->next;
        if (r->head.type != FRAME_GROUP_ASSIGNMENT)
            continue;
        queue_remove(&r->node);
        Flotilla__GroupAssignment *push = received_unpack(r, &flotilla__group_assignment__descriptor);
        take_push(m, push);
        flotilla__group_assignment__free_unpacked(push, NULL);
        received_free(r);
        any = true;
        break;
    }
    if (any && m->status == 0)
        assert_int_equal(heartbeat(m, true), 0);
    return any;
}

static int join(struct member *m)
{
    uint32_t numbers[PARTITIONS];
    char *topic = (char *)(uintptr_t) "orders";
    Flotilla__GroupPartitions owned, *list = &owned;
    fill_owned(m, &owned, numbers);
    Flotilla__JoinGroupRequest request = FLOTILLA__JOIN_GROUP_REQUEST__INIT;
    request.group = (char *)(uintptr_t)m->group;
    request.member_id = (char *)(uintptr_t)m->id;
    request.member_epoch = m->epoch;
    request.topics = &topic;
    request.n_topics = 1;
    request.owned = &list;
    request.n_owned = 1;
    if (m->instance_id != NULL)
        request.instance_id = (char *)(uintptr_t)m->instance_id;
    Flotilla__JoinGroupResponse *response = client_call(&m->client, FRAME_JOIN_GROUP, &request.base, NULL, 0,
                                                        &flotilla__join_group_response__descriptor);
    int error = response->status->error;
    if (error == 0)
        assert_true(response->heartbeat_interval_ms > 0 && response->heartbeat_interval_ms <= 5000 / 3);
    flotilla__join_group_response__free_unpacked(response, NULL);
    return error;
}

struct joining {
    struct member *member;
    uint32_t not_node;
};

static bool try_join(void *data)
{
    struct joining *j = data;
    uint32_t node = coordinator_of_group(j->member->group, j->not_node);
    client_start(&j->member->client, fleet.env, node_client_port(fleet.nodes[node - 1]));
    int error = join(j->member);
    if (error == 0)
        return true;
    assert_int_equal(error_class_of(error), ERROR_RETRIABLE);
    client_close(&j->member->client);
    return false;
}

static void start(struct member *m, const char *group, const char *id, uint32_t not_node)
{
    if (m->id == NULL)
        *m = (struct member){.group = group, .id = id, .instance_id = m->instance_id};
    struct joining j = {m, not_node};
    run_until(fleet.env, try_join, &j, WAIT_MS);
    m->connected = true;
}

static void stop(struct member *m)
{
    client_close(&m->client);
    m->connected = false;
}

struct crew {
    struct member *members;
    unsigned count;
    unsigned wanted; /* partitions of all together */
};

static bool is_settled(void *data)
{
    struct crew *crew = data;
    unsigned total = 0;
    bool stable = true;
    for (unsigned i = 0; i < crew->count; i++) {
        struct member *m = &crew->members[i];
        if (!m->connected)
            continue;
        while (take_pushes(m)) {
        }
        stable &= m->stable;
        total += m->count;
    }
    return stable && total == crew->wanted;
}

static void settle(struct member *members, unsigned count)
{
    struct crew crew = {members, count, PARTITIONS};
    run_until(fleet.env, is_settled, &crew, WAIT_MS);
}

static int commit_at(struct client *c, const char *group, const char *member_id, int64_t epoch,
                     uint32_t partition, int64_t offset)
{
    Flotilla__CommitOffset o = FLOTILLA__COMMIT_OFFSET__INIT, *list = &o;
    Flotilla__CommitOffsetsRequest request = FLOTILLA__COMMIT_OFFSETS_REQUEST__INIT;
    o.topic_id = (ProtobufCBinaryData){16, topic_id};
    o.partition = partition;
    o.offset = offset;
    request.group = (char *)(uintptr_t)group;
    request.member_id = (char *)(uintptr_t)member_id;
    request.member_epoch = epoch;
    request.offsets = &list;
    request.n_offsets = 1;
    Flotilla__CommitOffsetsResponse *response = client_call(c, FRAME_COMMIT_OFFSETS, &request.base, NULL, 0,
                                                            &flotilla__commit_offsets_response__descriptor);
    int error = response->status->error;
    flotilla__commit_offsets_response__free_unpacked(response, NULL);
    return error;
}

static int commit(struct member *m, uint32_t partition, int64_t offset)
{
    return commit_at(&m->client, m->group, m->id, m->epoch, partition, offset);
}

static Flotilla__DescribeGroupResponse *describe(struct client *c, const char *group)
{
    Flotilla__DescribeGroupRequest request = FLOTILLA__DESCRIBE_GROUP_REQUEST__INIT;
    request.group = (char *)(uintptr_t)group;
    return client_call(c, FRAME_DESCRIBE_GROUP, &request.base, NULL, 0,
                       &flotilla__describe_group_response__descriptor);
}

static int leave(struct client *c, const char *group, const char *member_id, const char *instance_id)
{
    Flotilla__LeaveGroupRequest request = FLOTILLA__LEAVE_GROUP_REQUEST__INIT;
    request.group = (char *)(uintptr_t)group;
    request.member_id = (char *)(uintptr_t)member_id;
    request.instance_id = (char *)(uintptr_t)instance_id;
    Flotilla__LeaveGroupResponse *response = client_call(c, FRAME_LEAVE_GROUP, &request.base, NULL, 0,
                                                         &flotilla__leave_group_response__descriptor);
    int error = response->status->error;
    flotilla__leave_group_response__free_unpacked(response, NULL);
    return error;
}

static int delete_group(struct client *c, const char *group)
{
    Flotilla__DeleteGroupRequest request = FLOTILLA__DELETE_GROUP_REQUEST__INIT;
    request.group = (char *)(uintptr_t)group;
    Flotilla__DeleteGroupResponse *response = client_call(c, FRAME_DELETE_GROUP, &request.base, NULL, 0,
                                                          &flotilla__delete_group_response__descriptor);
    int error = response->status->error;
    flotilla__delete_group_response__free_unpacked(response, NULL);
    return error;
}

/* ---- tests ---- */

static void test_two_members_share_and_commit(void **state)
{
    (void)state;
    struct member members[2] = {0};
    start(&members[0], "share", "first", 0);
    settle(members, 1);
    assert_int_equal(members[0].count, PARTITIONS);
    start(&members[1], "share", "second", 0);
    settle(members, 2);
    assert_int_equal(members[0].count, 3);
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        unsigned owner = members[0].owned[i] ? 0 : 1;
        assert_true(members[owner].owned[i]);
        assert_int_equal(commit(&members[owner], i, 10 + i), 0);
        assert_int_equal(commit(&members[1 - owner], i, 5), ERR_FENCED_MEMBER);
    }
    assert_int_equal(commit_at(&members[0].client, "share", "", 0, 0, 3), ERR_GROUP_NOT_EMPTY);
    assert_int_equal(commit_at(&members[0].client, "share", "stranger", 1, 0, 3), ERR_UNKNOWN_MEMBER);
    stop(&members[0]);
    stop(&members[1]);
}

static void test_lost_connection_and_return(void **state)
{
    (void)state;
    struct member members[2] = {0};
    start(&members[0], "return", "first", 0);
    start(&members[1], "return", "second", 0);
    settle(members, 2);
    int64_t epoch = members[1].epoch;
    unsigned pushes = members[0].pushes;
    stop(&members[1]);
    start(&members[1], "return", "second", 0); /* in time */
    settle(members, 2);
    assert_int_equal(members[1].epoch, epoch);
    assert_int_equal(members[0].pushes, pushes);
    stop(&members[1]); /* for good */
    members[1].count = 0;
    settle(members, 2);
    assert_int_equal(members[0].count, PARTITIONS);
    stop(&members[0]);
}

static void test_leave_describe_list_delete(void **state)
{
    (void)state;
    struct member m = {.instance_id = "worker-1"};
    start(&m, "admin", "first", 0);
    settle(&m, 1);
    assert_int_equal(commit(&m, 2, 77), 0);
    Flotilla__DescribeGroupResponse *d = describe(&m.client, "admin");
    assert_int_equal(d->status->error, 0);
    assert_string_equal(d->info->state, "stable");
    assert_string_equal(d->info->protocol, "flotilla");
    assert_string_equal(d->info->assignor, "sticky");
    assert_int_equal(d->n_members, 1);
    assert_string_equal(d->members[0]->member_id, "first");
    assert_string_equal(d->members[0]->instance_id, "worker-1");
    assert_string_equal(d->members[0]->host, "127.0.0.1");
    assert_int_equal(d->members[0]->assigned[0]->n_partitions, PARTITIONS);
    assert_int_equal(d->members[0]->target[0]->n_partitions, PARTITIONS);
    assert_string_equal(d->members[0]->topics[0], "orders");
    assert_int_equal(d->n_offsets, 1);
    assert_int_equal(d->offsets[0]->offset, 77);
    assert_true(d->offsets[0]->commit_time_ms > 1600000000000);
    flotilla__describe_group_response__free_unpacked(d, NULL);

    Flotilla__ListGroupsRequest request = FLOTILLA__LIST_GROUPS_REQUEST__INIT;
    Flotilla__ListGroupsResponse *list = client_call(&m.client, FRAME_LIST_GROUPS, &request.base, NULL, 0,
                                                     &flotilla__list_groups_response__descriptor);
    bool found = false;
    for (size_t i = 0; i < list->n_groups; i++)
        found |= strcmp(list->groups[i]->group, "admin") == 0 && list->groups[i]->members == 1;
    assert_true(found);
    flotilla__list_groups_response__free_unpacked(list, NULL);

    assert_int_equal(delete_group(&m.client, "admin"), ERR_GROUP_NOT_EMPTY);
    assert_int_equal(leave(&m.client, "admin", "", "worker-1"),
                     0); /* by an operator: the member hears of it */
    received_free(client_wait_type(&m.client, FRAME_GROUP_ASSIGNMENT));
    assert_int_equal(leave(&m.client, "admin", "first", ""), ERR_UNKNOWN_MEMBER);
    assert_int_equal(commit(&m, 2, 78), ERR_UNKNOWN_MEMBER);
    assert_int_equal(commit_at(&m.client, "admin", "", 0, 2, 70), 0); /* it is empty now: a reset */
    assert_int_equal(delete_group(&m.client, "admin"), 0);
    assert_int_equal(delete_group(&m.client, "admin"), ERR_UNKNOWN_GROUP);
    d = describe(&m.client, "admin");
    assert_int_equal(d->status->error, ERR_UNKNOWN_GROUP);
    flotilla__describe_group_response__free_unpacked(d, NULL);
    stop(&m);
}

static size_t count_offsets(struct client *c, const char *group)
{
    Flotilla__FetchOffsetsRequest request = FLOTILLA__FETCH_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t)group;
    Flotilla__FetchOffsetsResponse *response = client_call(c, FRAME_FETCH_OFFSETS, &request.base, NULL, 0,
                                                           &flotilla__fetch_offsets_response__descriptor);
    assert_int_equal(response->status->error, 0);
    size_t count = response->n_offsets;
    flotilla__fetch_offsets_response__free_unpacked(response, NULL);
    return count;
}

static bool are_forgotten(void *data)
{
    return count_offsets(data, "expire") == 0;
}

/* Also of a topic that is not there (any more). */
static void commit_for_no_topic(const char *group)
{
    struct client c;
    uint8_t real[16];
    memcpy(real, topic_id, 16);
    client_start(&c, fleet.env, node_client_port(fleet.nodes[coordinator_of_group(group, 0) - 1]));
    memset(topic_id, 0xee, 16);
    assert_int_equal(commit_at(&c, group, "", 0, 0, 5), 0);
    memcpy(topic_id, real, 16);
    assert_int_equal(count_offsets(&c, group), 1);
    client_close(&c);
}

/* A group with a member keeps its offsets, however old, but not those of topics that are gone; without, they
 * go after a while, and the group too. */
static void test_offsets_expire(void **state)
{
    (void)state;
    struct member m = {0};
    commit_for_no_topic("expire");
    start(&m, "expire", "first", 0);
    settle(&m, 1);
    assert_int_equal(commit(&m, 1, 11), 0);
    uint64_t until_ns = env_clock_ns(fleet.env) + (uint64_t)2500 * 1000000;
    size_t count = 0;
    while (env_clock_ns(fleet.env) < until_ns || count != 1) {
        assert_true(env_clock_ns(fleet.env) < until_ns + (uint64_t)WAIT_MS * 1000000);
        assert_int_equal(heartbeat(&m, false), 0);
        count = count_offsets(&m.client, "expire");
        assert_true(count >= 1);
    }
    assert_int_equal(leave(&m.client, "expire", "first", ""), 0);
    assert_int_equal(count_offsets(&m.client, "expire"), 1);
    run_until(fleet.env, are_forgotten, &m.client, WAIT_MS);
    Flotilla__DescribeGroupResponse *d = describe(&m.client, "expire");
    assert_int_equal(d->status->error, ERR_UNKNOWN_GROUP);
    flotilla__describe_group_response__free_unpacked(d, NULL);
    stop(&m);
}

static void test_refusals(void **state)
{
    (void)state;
    struct member m = {0};
    start(&m, "refuse", "first", 0);
    settle(&m, 1);
    const char *group = m.group;
    m.group = "";
    assert_int_equal(join(&m), ERR_INVALID_GROUP);
    m.group = group;
    m.id = "two words";
    assert_int_equal(join(&m), ERR_INVALID_ARGUMENT);
    m.id = "";
    assert_int_equal(join(&m), ERR_INVALID_ARGUMENT);
    m.id = "nobody";
    assert_int_equal(heartbeat(&m, false), ERR_UNKNOWN_MEMBER);
    m.epoch = 99;
    assert_int_equal(join(&m), ERR_UNKNOWN_MEMBER);
    struct client follower;
    uint32_t leader = coordinator_of_group("refuse", 0);
    client_start(&follower, fleet.env, node_client_port(fleet.nodes[leader % NODES]));
    assert_int_equal(leave(&follower, "refuse", "first", ""), ERR_NOT_LEADER);
    client_close(&follower);
    stop(&m);
}

/* The coordinator's node stops as planned: it tells its members, who go on elsewhere with what they have. */
static void test_members_are_told_of_a_hand_over(void **state)
{
    (void)state;
    struct member m = {0};
    start(&m, "hand-over", "first", 0);
    settle(&m, 1);
    int64_t epoch = m.epoch;
    uint32_t node = coordinator_of_group(m.group, 0);
    fleet_stop_node(&fleet, node - 1, true);
    struct received *r = client_wait_type(&m.client, FRAME_GROUP_ASSIGNMENT);
    Flotilla__GroupAssignment *push = received_unpack(r, &flotilla__group_assignment__descriptor);
    assert_int_equal(push->status->error, ERR_NOT_LEADER);
    flotilla__group_assignment__free_unpacked(push, NULL);
    received_free(r);
    stop(&m);
    start(&m, "hand-over", "first", node);
    settle(&m, 1);
    assert_int_equal(m.epoch, epoch);
    assert_int_equal(m.count, PARTITIONS);
    stop(&m);
    fleet_start_node(&fleet, node - 1); /* leaderships go home, before the next test relies on them */
    run_until(fleet.env, coordinators_are_home, NULL, WAIT_MS);
}

/* Last: it stops a node. Whoever coordinates next finds everything as it was. */
static void test_coordinator_goes_and_nobody_notices(void **state)
{
    (void)state;
    struct member members[3] = {0};
    const char *const ids[] = {"first", "second", "third"};
    for (unsigned i = 0; i < 3; i++)
        start(&members[i], "failover", ids[i], 0);
    settle(members, 3);
    int64_t epochs[3];
    bool owned[3][PARTITIONS];
    for (unsigned i = 0; i < 3; i++) {
        epochs[i] = members[i].epoch;
        memcpy(owned[i], members[i].owned, sizeof(owned[i]));
    }
    uint32_t coordinator = coordinator_of_group("failover", 0);
    fleet_stop_node(&fleet, coordinator - 1, false);
    for (unsigned i = 0; i < 3; i++)
        stop(&members[i]);
    for (unsigned i = 0; i < 3; i++)
        start(&members[i], "failover", ids[i], coordinator);
    settle(members, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(members[i].epoch, epochs[i]);
        assert_memory_equal(members[i].owned, owned[i], sizeof(owned[i]));
        for (uint32_t p = 0; p < PARTITIONS; p++)
            if (owned[i][p])
                assert_int_equal(commit(&members[i], p, 100), 0);
        stop(&members[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_members_share_and_commit),
        cmocka_unit_test(test_lost_connection_and_return),
        cmocka_unit_test(test_leave_describe_list_delete),
        cmocka_unit_test(test_offsets_expire),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_members_are_told_of_a_hand_over),
        cmocka_unit_test(test_coordinator_goes_and_nobody_notices),
    };
    return cmocka_run_group_tests(tests, setup, fleet_tear_down);
}
