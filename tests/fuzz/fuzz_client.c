/* A node that says anything at all to libflotilla's core: a consumer that is a member of a group, and its
 * calls. The input is a script: answers, good ones and such as the input brings, pushes, frames, bare bytes,
 * cuts, time, and what the application does meanwhile. Whatever is said, nothing crashes, nothing is leaked,
 * every call ends once, and what the application gets lies within what was sent. */
#include "client/core/consumer/inbox.h"
#include "client/core/core.h"
#include "node/base/assert.h"
#include "proto/batch.h"
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 4, PENDING_MAX = 64, OPEN_CALLS_MAX = 8, STEPS_MAX = 400, RECORDS = 5 };
enum { NODE_ID = 1, PORT = 9192, VIEW = 5 };
#define MS UINT64_C(1000000)

enum step {
    STEP_ANSWER,     /* the oldest request, well */
    STEP_BAD_ANSWER, /* the oldest request, with what follows as its header */
    STEP_ASSIGN,     /* partitions to the member */
    STEP_RECORDS,    /* to the last subscription */
    STEP_FRAME,
    STEP_BYTES,
    STEP_TIME,
    STEP_CUT,
    STEP_POLL,
    STEP_CALL,
    STEPS
};

struct input {
    const uint8_t *data;
    size_t size;
};

static uint8_t take(struct input *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static struct input take_some(struct input *in)
{
    size_t size = take(in);
    struct input some = {in->data, size < in->size ? size : in->size};
    in->data += some.size;
    in->size -= some.size;
    return some;
}

/* ---- the node: one connection at a time is enough ---- */

struct scene {
    struct core *core;
    struct inbox *inbox;
    struct core_consumer *consumer;
    struct client_settings settings;
    uint64_t now;
    enum { LINK_NONE, LINK_WANTED, LINK_UP, LINK_ENDING } links[CORE_MAX_CONNECTIONS];
    uint32_t up; /* the connection that speaks; CORE_MAX_CONNECTIONS: none */
    struct bytes sent;
    struct pending {
        uint16_t type;
        uint64_t correlation;
    } pending[PENDING_MAX];
    size_t pending_count;
    char member_id[CORE_MEMBER_ID_SIZE];
    char topics[8][CORE_TOPIC_SIZE]; /* that metadata was last asked for */
    size_t topic_count;
    uint64_t known_view;
    uint64_t subscription;
    struct bytes batch; /* a good one */
    int64_t next_offset;
    int open_calls;
    bool woken;
};

static void on_connect(void *data, uint32_t connection, const char *host, uint16_t port)
{
    struct scene *s = data;
    (void)host, (void)port;
    ASSERT(s->links[connection] == LINK_NONE);
    s->links[connection] = LINK_WANTED;
}

static void on_output(void *data, uint32_t connection)
{
    (void)data, (void)connection; /* everything is looked at after each step */
}

static void on_close(void *data, uint32_t connection)
{
    struct scene *s = data;
    ASSERT(s->links[connection] != LINK_NONE);
    s->links[connection] = LINK_ENDING;
}

static void wake(void *data)
{
    ((struct scene *)data)->woken = true;
}

/* ---- what the client says ---- */

static void note_request(struct scene *s, const struct frame_head *head, const uint8_t *header)
{
    size_t size = head->header_length;
    if (head->type == FRAME_JOIN_GROUP) {
        Flotilla__JoinGroupRequest *m = flotilla__join_group_request__unpack(NULL, size, header);
        ASSERT(m != NULL);
        snprintf(s->member_id, sizeof(s->member_id), "%s", m->member_id);
        flotilla__join_group_request__free_unpacked(m, NULL);
    } else if (head->type == FRAME_SUBSCRIBE) {
        Flotilla__SubscribeRequest *m = flotilla__subscribe_request__unpack(NULL, size, header);
        ASSERT(m != NULL);
        s->subscription = m->subscription;
        s->next_offset = m->offset;
        flotilla__subscribe_request__free_unpacked(m, NULL);
    } else if (head->type == FRAME_METADATA) {
        Flotilla__MetadataRequest *m = flotilla__metadata_request__unpack(NULL, size, header);
        ASSERT(m != NULL);
        for (s->topic_count = 0; s->topic_count < m->n_topics && s->topic_count < 8; s->topic_count++)
            snprintf(s->topics[s->topic_count], CORE_TOPIC_SIZE, "%s", m->topics[s->topic_count]);
        s->known_view = m->known_view;
        flotilla__metadata_request__free_unpacked(m, NULL);
    }
    if (head->type != FRAME_CREDIT && s->pending_count < PENDING_MAX)
        s->pending[s->pending_count++] = (struct pending){head->type, head->correlation};
}

/* The client's own frames are always good. */
static void read_requests(struct scene *s)
{
    struct frame_head head;
    size_t at = 0;
    while (s->sent.size - at >= FRAME_HEAD_SIZE) {
        int rc = frame_head_decode(s->sent.data + at, FRAME_MAX_SIZE, &head);
        ASSERT(rc == 0);
        if (s->sent.size - at < frame_size(&head))
            break;
        note_request(s, &head, s->sent.data + at + FRAME_HEAD_SIZE);
        at += frame_size(&head);
    }
    if (at > 0)
        memmove(s->sent.data, s->sent.data + at, s->sent.size - at);
    s->sent.size -= at;
}

static void collect(struct scene *s)
{
    struct core_slice slices[8];
    size_t count;
    while (s->up < CORE_MAX_CONNECTIONS && (count = core_output(s->core, s->up, slices, 8)) > 0) {
        size_t size = 0;
        for (size_t i = 0; i < count; i++) {
            bytes_append(&s->sent, slices[i].data, slices[i].size);
            size += slices[i].size;
        }
        core_sent(s->core, s->up, size);
    }
    read_requests(s);
}

/* ---- connections ---- */

static void disconnect(struct scene *s, uint32_t connection, int reason)
{
    s->links[connection] = LINK_NONE;
    if (connection == s->up) {
        s->up = CORE_MAX_CONNECTIONS;
        s->pending_count = s->sent.size = 0;
    }
    core_disconnected(s->core, connection, reason);
}

/* The first that is wanted comes up; others wait. */
static void serve_links(struct scene *s)
{
    for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++) {
        if (s->links[i] == LINK_ENDING)
            disconnect(s, i, ERR_CLOSED);
        if (s->links[i] != LINK_WANTED || s->up < CORE_MAX_CONNECTIONS)
            continue;
        s->links[i] = LINK_UP;
        s->up = i;
        core_connected(s->core, i);
    }
    if (s->woken) {
        s->woken = false;
        core_consumer_wake(s->consumer);
    }
    collect(s);
}

static void hear(struct scene *s, const uint8_t *data, size_t size)
{
    while (size > 0 && s->up < CORE_MAX_CONNECTIONS && s->links[s->up] == LINK_UP) {
        unsigned char *into;
        size_t room;
        core_receive_buffer(s->core, s->up, &into, &room);
        ASSERT(room > 0);
        size_t part = room < size ? room : size;
        memcpy(into, data, part);
        core_received(s->core, s->up, part);
        data += part;
        size -= part;
    }
}

static void say(struct scene *s, uint16_t type, uint16_t flags, uint64_t correlation, struct input header,
                struct input payload)
{
    struct bytes frame;
    bytes_init(&frame);
    frame_head_encode(bytes_extend(&frame, FRAME_HEAD_SIZE), type, flags, correlation, header.size,
                      payload.size);
    bytes_append(&frame, header.data, header.size);
    bytes_append(&frame, payload.data, payload.size);
    hear(s, frame.data, frame.size);
    bytes_close(&frame);
}

static void say_message(struct scene *s, uint16_t type, uint16_t flags, uint64_t correlation,
                        const ProtobufCMessage *m, struct input payload)
{
    struct bytes header;
    bytes_init(&header);
    bytes_reserve(&header, 1);
    protobuf_c_message_pack(m, bytes_extend(&header, protobuf_c_message_get_packed_size(m)));
    say(s, type, flags, correlation, (struct input){header.data, header.size}, payload);
    bytes_close(&header);
}

/* ---- good answers ---- */

/* The member's topic has the first. */
static uint8_t topic_ids[][CORE_TOPIC_ID_SIZE] = {{7}, {8}};

static void answer(struct scene *s, const struct pending *p, const ProtobufCMessage *m)
{
    say_message(s, p->type, FRAME_RESPONSE, p->correlation, m, (struct input){NULL, 0});
}

static void answer_metadata(struct scene *s, const struct pending *p)
{
    Flotilla__MetadataResponse m = FLOTILLA__METADATA_RESPONSE__INIT;
    Flotilla__NodeInfo node = FLOTILLA__NODE_INFO__INIT, *nodes[] = {&node};
    Flotilla__PartitionInfo partitions[PARTITIONS], *partition_list[PARTITIONS];
    Flotilla__TopicInfo topics[8], *topic_list[8];
    char host[] = "node", cluster[] = "fuzz";
    node.id = NODE_ID;
    node.host = host;
    node.port = PORT;
    node.alive = true;
    for (uint32_t i = 0; i < PARTITIONS; i++) {
        flotilla__partition_info__init(&partitions[i]);
        partitions[i].index = i;
        partitions[i].leader_id = NODE_ID;
        partitions[i].leader_epoch = 1;
        partition_list[i] = &partitions[i];
    }
    for (size_t i = 0; i < s->topic_count; i++) {
        flotilla__topic_info__init(&topics[i]);
        topics[i].name = s->topics[i];
        topics[i].id.data = topic_ids[strcmp(s->topics[i], "orders") != 0];
        topics[i].id.len = CORE_TOPIC_ID_SIZE;
        topics[i].partitions = partition_list;
        topics[i].n_partitions = PARTITIONS;
        topic_list[i] = &topics[i];
    }
    m.view = VIEW;
    m.unchanged = s->known_view == VIEW;
    m.cluster_id = cluster;
    m.nodes = nodes;
    m.n_nodes = 1;
    m.topics = topic_list;
    m.n_topics = s->topic_count;
    answer(s, p, &m.base);
}

static void answer_well(struct scene *s, const struct pending *p)
{
    Flotilla__HelloResponse hello = FLOTILLA__HELLO_RESPONSE__INIT;
    Flotilla__JoinGroupResponse join = FLOTILLA__JOIN_GROUP_RESPONSE__INIT;
    Flotilla__SubscribeResponse subscribe = FLOTILLA__SUBSCRIBE_RESPONSE__INIT;
    Flotilla__PingResponse other = FLOTILLA__PING_RESPONSE__INIT;
    if (p->type == FRAME_METADATA) {
        answer_metadata(s, p);
    } else if (p->type == FRAME_HELLO) {
        hello.version = FRAME_PROTOCOL_MAX;
        hello.node_id = NODE_ID;
        answer(s, p, &hello.base);
    } else if (p->type == FRAME_JOIN_GROUP) {
        join.member_epoch = 1;
        join.heartbeat_interval_ms = 100;
        answer(s, p, &join.base);
    } else if (p->type == FRAME_SUBSCRIBE) {
        subscribe.high_watermark = s->next_offset + RECORDS;
        answer(s, p, &subscribe.base);
    } else {
        answer(s, p, &other.base);
    }
}

static bool take_pending(struct scene *s, struct pending *out)
{
    if (s->pending_count == 0)
        return false;
    *out = s->pending[0];
    s->pending_count--;
    memmove(s->pending, s->pending + 1, s->pending_count * sizeof(*s->pending));
    return true;
}

/* ---- pushes ---- */

static void assign(struct scene *s, uint8_t bits)
{
    Flotilla__GroupAssignment m = FLOTILLA__GROUP_ASSIGNMENT__INIT;
    Flotilla__GroupPartitions list = FLOTILLA__GROUP_PARTITIONS__INIT, *lists[] = {&list};
    uint32_t numbers[PARTITIONS];
    char group[] = "g1";
    list.topic_id.data = topic_ids[0];
    list.topic_id.len = CORE_TOPIC_ID_SIZE;
    list.partitions = numbers;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if ((bits >> i & 1) != 0)
            numbers[list.n_partitions++] = i;
    m.group = group;
    m.member_id = s->member_id;
    m.member_epoch = 2 + bits / 16;
    m.assigned = lists;
    m.n_assigned = 1;
    m.stable = true;
    say_message(s, FRAME_GROUP_ASSIGNMENT, 0, 0, &m.base, (struct input){NULL, 0});
}

/* A bit of every fourth batch flips. */
static void push_records(struct scene *s, uint8_t how)
{
    Flotilla__Push m = FLOTILLA__PUSH__INIT;
    struct bytes batch;
    bytes_init(&batch);
    bytes_append(&batch, s->batch.data, s->batch.size);
    batch_stamp(batch.data, s->next_offset, 1);
    if (how % 4 == 3)
        batch.data[how * 131u % batch.size] ^= (uint8_t)(1u << how % 8);
    s->next_offset += RECORDS;
    m.subscription = s->subscription;
    m.high_watermark = m.next_offset = s->next_offset;
    say_message(s, FRAME_PUSH, 0, 0, &m.base, (struct input){batch.data, batch.size});
    bytes_close(&batch);
}

static void say_frame(struct scene *s, struct input *in)
{
    uint16_t type = take(in) % 40;
    uint16_t flags = take(in) % 4;
    uint64_t correlation = take(in);
    struct input header = take_some(in), payload = take_some(in);
    say(s, type, flags, correlation, header, payload);
}

/* ---- the application ---- */

static void poll_all(struct scene *s)
{
    struct flotilla_batch *batch;
    struct inbox_rebalance *r;
    while ((r = inbox_take_rebalance(s->inbox, 0)) != NULL)
        inbox_end_rebalance(s->inbox, r);
    while ((batch = inbox_poll(s->inbox, 0)) != NULL) {
        const struct flotilla_record *record;
        volatile unsigned char touched = 0;
        while ((record = flotilla_batch_next(batch)) != NULL)
            for (size_t i = 0; i < record->value_size; i++)
                touched ^= ((const unsigned char *)record->value)[i];
        (void)touched;
        flotilla_batch_release(batch);
    }
}

static void on_end(void *data, int status, const char *message)
{
    struct scene *s = data;
    (void)status;
    ASSERT(s->open_calls > 0 && message != NULL);
    s->open_calls--;
}

static void join(struct scene *s, const char *pattern)
{
    static const char *const topics[] = {"orders"};
    const struct core_join how = {.topics = topics, .topic_count = 1, .pattern = pattern, .tells = true};
    core_consumer_join(s->consumer, &how);
}

static void call(struct scene *s, uint8_t which)
{
    const struct core_commit all = {.timeout_ns = 1000 * MS, .cb = on_end, .data = s};
    struct core_commit one = {.topic = "orders", .partition = which % 8, .offset = which};
    const struct core_leave leave = {.timeout_ns = 500 * MS, .cb = on_end, .data = s};
    if (s->open_calls == OPEN_CALLS_MAX)
        return;
    one.timeout_ns = 1000 * MS;
    one.metadata = "by hand";
    one.cb = on_end;
    one.data = s;
    switch (which % 6) {
    case 0:
    case 1:
        s->open_calls++;
        core_consumer_commit(s->consumer, which % 6 == 0 ? &all : &one);
        break;
    case 2:
        s->open_calls++;
        core_consumer_leave(s->consumer, &leave);
        break;
    case 3:
        core_consumer_subscribe(s->consumer, "orders", which % PARTITIONS, FLOTILLA_START_COMMITTED, 0);
        break;
    default:
        join(s, which % 6 == 4 ? "order*" : NULL);
    }
}

/* ---- a run ---- */

static void make_batch(struct bytes *out)
{
    struct batch_builder builder;
    const struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    batch_builder_init(&builder);
    bytes_init(out);
    for (int i = 0; i < RECORDS; i++)
        batch_builder_add(&builder, 1000 + i, "key", 3, "value", 5, NULL, 0);
    batch_builder_finish(&builder, &options, out);
    batch_builder_close(&builder);
}

static void scene_open(struct scene *s)
{
    const struct core_io io = {.data = s, .connect = on_connect, .output = on_output, .close = on_close};
    const struct inbox_hooks hooks = {.data = s, .wake = wake};
    memset(s, 0, sizeof(*s));
    s->now = 1000 * MS;
    s->up = CORE_MAX_CONNECTIONS;
    bytes_init(&s->sent);
    make_batch(&s->batch);
    client_settings_from(&s->settings, NULL);
    snprintf(s->settings.group, sizeof(s->settings.group), "g1");
    s->core = core_create(&s->settings, &io, 1, s->now);
    core_add_bootstrap(s->core, "node", PORT);
    s->inbox = inbox_create(&hooks);
    s->consumer = core_consumer_create(s->core, &s->settings, s->inbox);
    join(s, NULL);
}

static void scene_close(struct scene *s)
{
    core_consumer_destroy(s->consumer);
    core_stop(s->core);
    for (uint32_t i = 0; i < CORE_MAX_CONNECTIONS; i++)
        if (s->links[i] != LINK_NONE)
            disconnect(s, i, ERR_CLOSED);
    ASSERT(s->open_calls == 0);
    poll_all(s);
    inbox_destroy(s->inbox);
    core_destroy(s->core);
    bytes_close(&s->sent);
    bytes_close(&s->batch);
}

static void step(struct scene *s, struct input *in)
{
    enum step what = take(in) % STEPS;
    struct pending p;
    struct input some;
    uint64_t ms;
    switch (what) {
    case STEP_ANSWER:
        if (take_pending(s, &p))
            answer_well(s, &p);
        break;
    case STEP_BAD_ANSWER:
        some = take_some(in);
        if (take_pending(s, &p))
            say(s, p.type, FRAME_RESPONSE, p.correlation, some, (struct input){NULL, 0});
        break;
    case STEP_ASSIGN:
        assign(s, take(in));
        break;
    case STEP_RECORDS:
        push_records(s, take(in));
        break;
    case STEP_FRAME:
        say_frame(s, in);
        break;
    case STEP_BYTES:
        some = take_some(in);
        hear(s, some.data, some.size);
        break;
    case STEP_TIME:
        ms = take(in);
        s->now += ms * ms * MS;
        core_advance(s->core, s->now);
        break;
    case STEP_CUT:
        if (s->up < CORE_MAX_CONNECTIONS)
            disconnect(s, s->up, ERR_CONNECTION_LOST);
        break;
    case STEP_POLL:
        poll_all(s);
        break;
    default:
        call(s, take(in));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene *s = malloc(sizeof(*s));
    struct input in = {data, size};
    ASSERT(s != NULL);
    scene_open(s);
    for (int i = 0; i < STEPS_MAX && in.size > 0; i++) {
        step(s, &in);
        serve_links(s);
    }
    scene_close(s);
    free(s);
    return 0;
}
