#include "tests/unit/client/helper_broker.h"
#include "proto/crc32c.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char offsets_topic[] = "__consumer_offsets";

static void partition_init(struct broker_partition *p, uint32_t leader)
{
    memset(p, 0, sizeof(*p));
    p->leader = leader;
    p->epoch = 1;
    for (int i = 0; i < 4; i++)
        p->committed[i] = -1;
}

void broker_init(struct broker *b, uint32_t partitions)
{
    memset(b, 0, sizeof(*b));
    strcpy(b->topic, "orders");
    memset(b->topic_id, 7, sizeof(b->topic_id));
    memset(b->offsets_id, 8, sizeof(b->offsets_id));
    b->topic_exists = true;
    b->partition_count = partitions;
    b->next_producer_id = 100;
    b->gives_hints = true;
    for (uint32_t i = 0; i < partitions; i++)
        partition_init(&b->partitions[i], 1 + i % BROKER_NODES);
    partition_init(&b->offsets, 1);
    for (uint16_t i = 0; i < BROKER_NODES; i++)
        b->ports[i] = (uint16_t)(BROKER_BASE_PORT + i + 1);
}

void broker_close(struct broker *b)
{
    for (uint32_t i = 0; i < b->partition_count; i++) {
        for (size_t j = 0; j < b->partitions[i].batch_count; j++)
            bytes_close(&b->partitions[i].batches[j].bytes);
        free(b->partitions[i].batches);
    }
}

void broker_move_leader(struct broker *b, uint32_t partition, uint32_t node)
{
    b->partitions[partition].leader = node;
    b->partitions[partition].epoch++;
}

static struct broker_batch *log_append(struct broker_partition *p, const void *data, size_t size,
                                       const struct batch_header *header)
{
    p->batches = realloc(p->batches, (p->batch_count + 1) * sizeof(*p->batches));
    struct broker_batch *batch = &p->batches[p->batch_count++];
    bytes_init(&batch->bytes);
    bytes_append(&batch->bytes, data, size);
    batch_stamp(batch->bytes.data, p->next_offset, p->epoch);
    batch->base_offset = p->next_offset;
    batch->count = header->record_count;
    batch->producer_id = header->producer_id;
    batch->sequence = header->base_sequence;
    p->next_offset += header->record_count;
    return batch;
}

void broker_append(struct broker *b, uint32_t partition, int first, int count, size_t value_size)
{
    struct batch_builder builder;
    struct batch_options options = {.producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    struct batch_header header;
    struct bytes out;
    char *value = calloc(1, value_size + 16);

    batch_builder_init(&builder);
    bytes_init(&out);
    for (int i = 0; i < count; i++) {
        int size = sprintf(value, "%d", first + i);
        batch_builder_add(&builder, 1000 + first + i, NULL, 0, value,
                          (size_t)size > value_size ? (size_t)size : value_size, NULL, 0);
    }
    batch_builder_finish(&builder, &options, &out);
    batch_header_decode(out.data, out.size, out.size, &header);
    log_append(&b->partitions[partition], out.data, out.size, &header);
    bytes_close(&out);
    batch_builder_close(&builder);
    free(value);
}

/* ---- sessions ---- */

void broker_session_init(struct broker_session *s, struct broker *b, uint32_t node)
{
    memset(s, 0, sizeof(*s));
    s->broker = b;
    s->node = node;
}

void broker_session_close(struct broker_session *s)
{
    for (unsigned i = 0; i < s->broker->member_count; i++)
        if (s->broker->members[i].session == s)
            s->broker->members[i].session = NULL;
    bytes_close(&s->input);
    bytes_close(&s->output);
}

/* Two fields of a later version, of different wire types. */
static const unsigned char later_fields[] = {0xf8, 0x7f, 0x2a, 0xfa, 0x7f, 0x03, 'n', 'e', 'w'};

void broker_session_send(struct broker_session *s, uint16_t type, uint16_t flags, uint64_t correlation,
                         const ProtobufCMessage *m, const void *payload, size_t payload_size)
{
    size_t packed_size = protobuf_c_message_get_packed_size(m);
    size_t later_size = s->broker->is_newer ? sizeof(later_fields) : 0;
    size_t header_size = packed_size + later_size;

    frame_head_encode(bytes_extend(&s->output, FRAME_HEAD_SIZE), type, flags, correlation, header_size,
                      payload_size);
    protobuf_c_message_pack(m, bytes_extend(&s->output, packed_size));
    bytes_append(&s->output, later_fields, later_size);
    bytes_append(&s->output, payload, payload_size);
}

static void answer(struct broker_session *s, const struct frame_head *head, const ProtobufCMessage *m)
{
    broker_session_send(s, head->type, FRAME_RESPONSE, head->correlation, m, NULL, 0);
}

static struct broker_partition *partition_of(struct broker *b, const ProtobufCBinaryData *id, uint32_t index)
{
    if (!b->topic_exists || id->len != 16 || memcmp(id->data, b->topic_id, 16) != 0 ||
        index >= b->partition_count)
        return NULL;
    return &b->partitions[index];
}

/* Fills the status for a request that only the leader serves. */
bool broker_check_leader(struct broker_session *s, const struct broker_partition *p, Flotilla__Status *status)
{
    if (p == NULL) {
        status->error = ERR_UNKNOWN_TOPIC;
    } else if (p->leader != s->node) {
        status->error = ERR_NOT_LEADER;
        status->leader_id = s->broker->gives_hints ? p->leader : 0;
        status->leader_epoch = s->broker->gives_hints ? p->epoch : 0;
    }
    return status->error == 0;
}

/* Its view is a sum over what it would tell. */
static void answer_metadata(struct broker_session *s, const struct frame_head *head, uint64_t known_view,
                            const Flotilla__MetadataResponse *m)
{
    Flotilla__MetadataResponse full = *m;
    Flotilla__MetadataResponse unchanged = FLOTILLA__METADATA_RESPONSE__INIT;
    size_t size = protobuf_c_message_get_packed_size(&m->base);
    uint8_t *packed = malloc(size);

    if (packed == NULL)
        abort();
    protobuf_c_message_pack(&m->base, packed);
    full.view = unchanged.view = 1 + (uint64_t)crc32c(0, packed, size);
    free(packed);
    unchanged.unchanged = known_view == full.view;
    s->broker->metadata_unchanged += known_view == full.view;
    answer(s, head, unchanged.unchanged ? &unchanged.base : &full.base);
}

static void on_metadata(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    struct broker *b = s->broker;
    Flotilla__MetadataRequest *request = flotilla__metadata_request__unpack(NULL, head->header_length, data);
    Flotilla__MetadataResponse m = FLOTILLA__METADATA_RESPONSE__INIT;
    Flotilla__NodeInfo nodes[BROKER_NODES];
    Flotilla__NodeInfo *node_list[BROKER_NODES];
    Flotilla__PartitionInfo partitions[BROKER_MAX_PARTITIONS];
    Flotilla__PartitionInfo *partition_list[BROKER_MAX_PARTITIONS];
    Flotilla__TopicInfo topics[8];
    Flotilla__TopicInfo *topic_list[8];
    Flotilla__Status unknown = FLOTILLA__STATUS__INIT;
    Flotilla__PartitionInfo offsets = FLOTILLA__PARTITION_INFO__INIT;
    Flotilla__PartitionInfo *offsets_list = &offsets;

    b->metadata_requests++;
    unknown.error = ERR_UNKNOWN_TOPIC;
    offsets.leader_id = b->offsets.leader;
    offsets.leader_epoch = b->offsets.epoch;
    for (uint32_t i = 0; i < BROKER_NODES; i++) {
        flotilla__node_info__init(&nodes[i]);
        nodes[i].id = i + 1;
        nodes[i].host = "127.0.0.1";
        nodes[i].port = b->ports[i];
        nodes[i].alive = true;
        node_list[i] = &nodes[i];
    }
    for (uint32_t i = 0; i < b->partition_count; i++) {
        flotilla__partition_info__init(&partitions[i]);
        partitions[i].index = i;
        partitions[i].leader_id = b->partitions[i].leader;
        partitions[i].leader_epoch = b->partitions[i].epoch;
        partition_list[i] = &partitions[i];
    }
    for (size_t i = 0; i < request->n_topics && i < 8; i++) {
        flotilla__topic_info__init(&topics[i]);
        topics[i].name = request->topics[i];
        topics[i].id.data = b->topic_id;
        topics[i].id.len = 16;
        topics[i].partitions = partition_list;
        topics[i].n_partitions = b->partition_count;
        if (strcmp(request->topics[i], offsets_topic) == 0) {
            topics[i].partitions = &offsets_list;
            topics[i].n_partitions = 1;
            topics[i].id.data = b->offsets_id;
        } else if (strcmp(request->topics[i], b->topic) != 0 || !b->topic_exists) {
            topics[i].status = &unknown;
        }
        topic_list[m.n_topics++] = &topics[i];
    }
    if (request->all_topics && m.n_topics < 8) {
        Flotilla__TopicInfo *topic = &topics[m.n_topics];
        flotilla__topic_info__init(topic);
        topic->name = b->topic;
        topic->id.data = b->topic_id;
        topic->id.len = 16;
        topic->partitions = partition_list;
        topic->n_partitions = b->partition_count;
        topic_list[m.n_topics++] = topic;
    }
    m.cluster_id = "model";
    m.nodes = node_list;
    m.n_nodes = BROKER_NODES;
    m.topics = topic_list;
    answer_metadata(s, head, request->known_view, &m);
    flotilla__metadata_request__free_unpacked(request, NULL);
}

/* What a leader does with an idempotent producer's sequence: 0 append, 1 a repeat, negative an error. */
static int check_sequence(const struct broker *b, const struct broker_partition *p,
                          const struct batch_header *h, int64_t *base_offset)
{
    int32_t expected = b->is_careless ? h->base_sequence : 0;

    if (h->producer_id < 0)
        return 0;
    for (size_t i = 0; i < p->batch_count; i++) {
        const struct broker_batch *batch = &p->batches[i];
        if (batch->producer_id != h->producer_id)
            continue;
        expected = batch->sequence + batch->count;
        if (batch->sequence == h->base_sequence) {
            *base_offset = batch->base_offset;
            return 1;
        }
    }
    return h->base_sequence == expected ? 0 : ERR_OUT_OF_ORDER_SEQUENCE;
}

static void on_produce(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    struct broker *b = s->broker;
    Flotilla__ProduceRequest *request = flotilla__produce_request__unpack(NULL, head->header_length, data);
    Flotilla__ProduceResponse m = FLOTILLA__PRODUCE_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    struct broker_partition *p = partition_of(b, &request->topic_id, request->partition);
    const uint8_t *payload = data + head->header_length;
    size_t size = frame_payload_size(head);
    struct batch_header h;
    char reason[100];
    int verdict = 0;

    b->produce_requests++;
    int rc = batch_validate(payload, size, &h, reason, sizeof(reason));
    if (rc == 0 && b->on_produce != NULL)
        verdict = b->on_produce(b, request->partition, &h);
    if (verdict == BROKER_LOSE_REQUEST) {
        s->cut = true;
    } else if (verdict == BROKER_SAY_NOTHING) {
        request->acks = 0;
    } else if (rc != 0 || verdict < 0) {
        status.error = rc != 0 ? rc : verdict;
    } else if (broker_check_leader(s, p, &status)) {
        rc = check_sequence(b, p, &h, &m.base_offset);
        if (rc == 0)
            m.base_offset = log_append(p, payload, size, &h)->base_offset;
        else if (rc < 0)
            status.error = rc;
        s->cut = verdict == BROKER_LOSE_ANSWER;
    }
    m.status = &status;
    m.durability = request->acks;
    m.log_append_time_ms = -1;
    if (!s->cut && request->acks != 0)
        answer(s, head, &m.base);
    flotilla__produce_request__free_unpacked(request, NULL);
}

static void on_list_offset(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__ListOffsetRequest *request =
        flotilla__list_offset_request__unpack(NULL, head->header_length, data);
    Flotilla__ListOffsetResponse m = FLOTILLA__LIST_OFFSET_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    const struct broker_partition *p = partition_of(s->broker, &request->topic_id, request->partition);

    s->broker->list_offset_requests++;
    m.status = &status;
    m.end_offset = p != NULL ? p->next_offset : -1;
    if (broker_check_leader(s, p, &status))
        m.offset = request->timestamp_ms == -2   ? p->start_offset
                   : request->timestamp_ms == -1 ? p->next_offset
                                                 : -1;
    answer(s, head, &m.base);
    flotilla__list_offset_request__free_unpacked(request, NULL);
}

static void on_subscribe(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__SubscribeRequest *request =
        flotilla__subscribe_request__unpack(NULL, head->header_length, data);
    Flotilla__SubscribeResponse m = FLOTILLA__SUBSCRIBE_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    const struct broker_partition *p = partition_of(s->broker, &request->topic_id, request->partition);

    s->broker->subscribe_requests++;
    m.status = &status;
    if (broker_check_leader(s, p, &status)) {
        m.log_start_offset = p->start_offset;
        if (request->offset < p->start_offset || request->offset > p->next_offset)
            status.error = ERR_OFFSET_OUT_OF_RANGE;
    }
    if (s->broker->is_careless && request->offset > 0)
        request->offset--;
    if (status.error == 0) {
        m.high_watermark = p->next_offset;
        for (int i = 0; i < BROKER_SUBSCRIPTIONS; i++) {
            if (s->subscriptions[i].active)
                continue;
            s->subscriptions[i] = (struct broker_subscription){true,
                                                               request->subscription,
                                                               request->partition,
                                                               request->offset,
                                                               (int64_t)request->credit_bytes,
                                                               p->next_offset};
            s->broker->credit_bytes += request->credit_bytes;
            break;
        }
    }
    answer(s, head, &m.base);
    flotilla__subscribe_request__free_unpacked(request, NULL);
}

static struct broker_subscription *subscription_find(struct broker_session *s, uint64_t id)
{
    for (int i = 0; i < BROKER_SUBSCRIPTIONS; i++)
        if (s->subscriptions[i].active && s->subscriptions[i].id == id)
            return &s->subscriptions[i];
    return NULL;
}

static void on_credit(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__Credit *m = flotilla__credit__unpack(NULL, head->header_length, data);
    struct broker_subscription *sub = subscription_find(s, m->subscription);

    if (sub != NULL)
        sub->credit += (int64_t)m->bytes;
    s->broker->credit_bytes += m->bytes;
    flotilla__credit__free_unpacked(m, NULL);
}

static void on_unsubscribe(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__UnsubscribeRequest *request =
        flotilla__unsubscribe_request__unpack(NULL, head->header_length, data);
    Flotilla__UnsubscribeResponse m = FLOTILLA__UNSUBSCRIBE_RESPONSE__INIT;
    struct broker_subscription *sub = subscription_find(s, request->subscription);

    if (sub != NULL)
        sub->active = false;
    answer(s, head, &m.base);
    flotilla__unsubscribe_request__free_unpacked(request, NULL);
}

/* Whether the one who commits may. */
static int check_member(struct broker *b, const Flotilla__CommitOffsetsRequest *request)
{
    const struct broker_member *member = broker_member_find(b, request->member_id);
    int error = 0;

    if (request->member_id[0] != '\0' && (member == NULL || !member->is_known))
        error = ERR_UNKNOWN_MEMBER;
    if (error == 0 && member != NULL && request->member_epoch < member->joined_epoch)
        error = ERR_FENCED_MEMBER;
    for (size_t i = 0; error == 0 && member != NULL && i < request->n_offsets; i++)
        if ((broker_member_holds(member) >> request->offsets[i]->partition & 1) == 0)
            error = ERR_FENCED_MEMBER;
    b->commits_refused += error != 0;
    return error;
}

static void on_commit(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__CommitOffsetsRequest *request =
        flotilla__commit_offsets_request__unpack(NULL, head->header_length, data);
    Flotilla__CommitOffsetsResponse m = FLOTILLA__COMMIT_OFFSETS_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;

    m.status = &status;
    if (broker_check_leader(s, &s->broker->offsets, &status))
        status.error = check_member(s->broker, request);
    for (size_t i = 0; status.error == 0 && i < request->n_offsets; i++) {
        s->broker->partitions[request->offsets[i]->partition].committed[request->group[1] - '0'] =
            request->offsets[i]->offset;
        snprintf(s->broker->metadata, sizeof(s->broker->metadata), "%s", request->offsets[i]->metadata);
        s->broker->metadata_size += strlen(request->offsets[i]->metadata);
    }
    answer(s, head, &m.base);
    flotilla__commit_offsets_request__free_unpacked(request, NULL);
}

static void on_fetch_offsets(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    struct broker *b = s->broker;
    Flotilla__FetchOffsetsRequest *request =
        flotilla__fetch_offsets_request__unpack(NULL, head->header_length, data);
    Flotilla__FetchOffsetsResponse m = FLOTILLA__FETCH_OFFSETS_RESPONSE__INIT;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    Flotilla__CommitOffset offsets[BROKER_MAX_PARTITIONS];
    Flotilla__CommitOffset *list[BROKER_MAX_PARTITIONS];

    b->fetch_offsets_requests++;
    m.status = &status;
    m.offsets = list;
    if (broker_check_leader(s, &b->offsets, &status)) {
        for (uint32_t i = 0; i < b->partition_count; i++) {
            if (b->partitions[i].committed[request->group[1] - '0'] < 0)
                continue;
            Flotilla__CommitOffset *o = &offsets[m.n_offsets];
            flotilla__commit_offset__init(o);
            o->topic_id.data = b->topic_id;
            o->topic_id.len = 16;
            o->partition = i;
            o->offset = b->partitions[i].committed[request->group[1] - '0'];
            list[m.n_offsets++] = o;
        }
    }
    answer(s, head, &m.base);
    flotilla__fetch_offsets_request__free_unpacked(request, NULL);
}

/* As a node does it: the connection goes on. */
static void refuse_unknown(struct broker_session *s, const struct frame_head *head)
{
    char message[] = "this node does not know requests of that type";
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    Flotilla__PingResponse m = FLOTILLA__PING_RESPONSE__INIT;

    status.error = ERR_UNSUPPORTED;
    status.message = message;
    m.status = &status;
    broker_session_send(s, FRAME_ERROR, FRAME_RESPONSE, head->correlation, &m.base, NULL, 0);
}

static void on_frame(struct broker_session *s, const struct frame_head *head, const uint8_t *data)
{
    Flotilla__HelloResponse hello = FLOTILLA__HELLO_RESPONSE__INIT;
    Flotilla__InitProducerResponse init = FLOTILLA__INIT_PRODUCER_RESPONSE__INIT;
    Flotilla__PingResponse ping = FLOTILLA__PING_RESPONSE__INIT;
    Flotilla__CreateTopicResponse create = FLOTILLA__CREATE_TOPIC_RESPONSE__INIT;

    if (head->type == s->broker->unknown_type) {
        refuse_unknown(s, head);
        return;
    }
    switch (head->type) {
    case FRAME_HELLO:
        hello.version = 1;
        hello.node_id = s->node;
        hello.cluster_id = "model";
        answer(s, head, &hello.base);
        break;
    case FRAME_METADATA:
        on_metadata(s, head, data);
        break;
    case FRAME_INIT_PRODUCER:
        init.producer_id = s->broker->next_producer_id++;
        answer(s, head, &init.base);
        break;
    case FRAME_PRODUCE:
        on_produce(s, head, data);
        break;
    case FRAME_LIST_OFFSET:
        on_list_offset(s, head, data);
        break;
    case FRAME_SUBSCRIBE:
        on_subscribe(s, head, data);
        break;
    case FRAME_CREDIT:
        on_credit(s, head, data);
        break;
    case FRAME_UNSUBSCRIBE:
        on_unsubscribe(s, head, data);
        break;
    case FRAME_COMMIT_OFFSETS:
        on_commit(s, head, data);
        break;
    case FRAME_FETCH_OFFSETS:
        on_fetch_offsets(s, head, data);
        break;
    case FRAME_CREATE_TOPIC:
        s->broker->topic_exists = true;
        answer(s, head, &create.base);
        break;
    case FRAME_PING:
        s->broker->pings++;
        answer(s, head, &ping.base);
        break;
    default:
        s->cut = !broker_group_frame(s, head, data);
    }
}

void broker_session_input(struct broker_session *s, const void *data, size_t size)
{
    struct frame_head head;
    size_t at = 0;

    bytes_append(&s->input, data, size);
    while (!s->cut && s->input.size - at >= FRAME_HEAD_SIZE &&
           frame_head_decode(s->input.data + at, FRAME_MAX_SIZE, &head) == 0 &&
           s->input.size - at >= frame_size(&head)) {
        on_frame(s, &head, s->input.data + at + FRAME_HEAD_SIZE);
        at += frame_size(&head);
    }
    if (at > 0)
        memmove(s->input.data, s->input.data + at, s->input.size - at);
    s->input.size -= at;
    broker_session_push(s);
}

static void push_batch(struct broker_session *s, struct broker_subscription *sub,
                       const struct broker_partition *p, const struct broker_batch *batch)
{
    Flotilla__Push m = FLOTILLA__PUSH__INIT;
    size_t size = batch != NULL ? batch->bytes.size : 0;

    if (batch != NULL)
        sub->offset = batch->base_offset + batch->count;
    m.subscription = sub->id;
    m.high_watermark = p->next_offset;
    m.next_offset = sub->offset;
    sub->credit -= (int64_t)size;
    sub->told_high_watermark = p->next_offset;
    s->broker->pushed_bytes += size;
    broker_session_send(s, FRAME_PUSH, 0, 0, &m.base, batch != NULL ? batch->bytes.data : NULL, size);
}

static void push_subscription(struct broker_session *s, struct broker_subscription *sub)
{
    const struct broker_partition *p = &s->broker->partitions[sub->partition];
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    Flotilla__Push m = FLOTILLA__PUSH__INIT;

    if (!broker_check_leader(s, p, &status)) {
        m.status = &status;
        m.subscription = sub->id;
        sub->active = false;
        broker_session_send(s, FRAME_PUSH, 0, 0, &m.base, NULL, 0);
        return;
    }
    for (size_t i = 0; i < p->batch_count && sub->credit > 0; i++)
        if (p->batches[i].base_offset + p->batches[i].count > sub->offset)
            push_batch(s, sub, p, &p->batches[i]);
    if (sub->told_high_watermark != p->next_offset)
        push_batch(s, sub, p, NULL);
}

void broker_session_push(struct broker_session *s)
{
    for (int i = 0; i < BROKER_SUBSCRIPTIONS && !s->cut; i++)
        if (s->subscriptions[i].active)
            push_subscription(s, &s->subscriptions[i]);
}
