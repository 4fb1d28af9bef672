#include "tests/bench/door.h"
#include "proto/error.h"
#include "proto/kafka/codec.h"
#include "proto/kafka/errors.h"
#include "tests/cluster/raw.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    TIMEOUT_MS = 30000,
    KAFKA_VERSION = 8, /* the newest in which nothing follows the records */
    KAFKA_LENGTH_SIZE = 4,
    RECEIVE_SIZE = 64 * 1024,
    SEND_AT_ONCE = 16, /* requests */
    ARENA_BYTES = 1024 * 1024,
};

static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "door_meter: %s: %s\n", what, why);
    exit(1);
}

void door_open(struct door *d, enum door_kind kind, uint16_t port, const struct bytes *batch)
{
    memset(d, 0, sizeof(*d));
    d->kind = kind;
    d->batch = *batch;
    bytes_init(&d->input);
    arena_init(&d->arena, ARENA_BYTES);
    d->fd = raw_connect(port);
    if (d->fd < 0)
        die("connect", strerror(errno));
    if (kind == DOOR_NATIVE && !raw_hello(d->fd))
        die("connect", "no answer to HELLO");
}

void door_close(struct door *d)
{
    close(d->fd);
    for (unsigned i = 0; i < d->lane_count; i++)
        bytes_close(&d->lanes[i].head);
    bytes_close(&d->input);
    arena_close(&d->arena);
}

/* ---- requests ---- */

static void encode_native(const struct door *d, struct door_lane *lane, const uint8_t topic_id[16])
{
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    request.topic_id = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)topic_id};
    request.partition = lane->partition;
    request.acks = -1;
    request.timeout_ms = TIMEOUT_MS;
    size_t size = protobuf_c_message_get_packed_size(&request.base);
    unsigned char *at = bytes_extend(&lane->head, FRAME_HEAD_SIZE + size);
    frame_head_encode(at, FRAME_PRODUCE, 0, lane->partition, size, d->batch.size);
    protobuf_c_message_pack(&request.base, at + FRAME_HEAD_SIZE);
}

static void ignore_gap(void *data, size_t position, struct kafka_bytes records)
{
    (void)data;
    (void)position;
    (void)records;
}

static void encode_kafka(const struct door *d, struct door_lane *lane, const char *topic)
{
    struct kafka_request_header header = {KAFKA_API_PRODUCE, KAFKA_VERSION, (int32_t)lane->partition,
                                          kafka_string_of("door-meter")};
    struct kafka_produce_request_partition partition = {.index = (int32_t)lane->partition,
                                                        .records = {d->batch.data, (int32_t)d->batch.size}};
    struct kafka_produce_request_topic wanted = {
        .name = kafka_string_of(topic), .partition_data.items = &partition, .partition_data.count = 1};
    struct kafka_produce_request request = kafka_produce_request_default;
    request.acks = -1;
    request.timeout_ms = TIMEOUT_MS;
    request.topic_data.items = &wanted;
    request.topic_data.count = 1;
    bytes_put_u32(&lane->head, 0);
    kafka_request_header_encode(&header, &lane->head);
    if (kafka_encode_with_gaps(KAFKA_REQUEST, KAFKA_API_PRODUCE, KAFKA_VERSION, &request, &lane->head,
                               ignore_gap, NULL) != 0)
        die("produce", "the request cannot be encoded");
    store_be32(lane->head.data, (uint32_t)(lane->head.size - KAFKA_LENGTH_SIZE + d->batch.size));
}

void door_add_partition(struct door *d, const char *topic, const uint8_t topic_id[16], uint32_t partition)
{
    if (d->lane_count == DOOR_PARTITIONS_MAX)
        die("produce", "too many partitions");
    struct door_lane *lane = &d->lanes[d->lane_count++];
    lane->partition = partition;
    bytes_init(&lane->head);
    if (d->kind == DOOR_KAFKA)
        encode_kafka(d, lane, topic);
    else
        encode_native(d, lane, topic_id);
}

/* ---- sending ---- */

void door_produce(struct door *d, struct door_lane *lane)
{
    if (d->queued == DOOR_QUEUE)
        die("produce", "too much in flight");
    d->queue[(d->first + d->queued++) % DOOR_QUEUE] = lane;
}

bool door_wants_to_send(const struct door *d)
{
    return d->queued > 0;
}

static size_t request_size(const struct door *d, const struct door_lane *lane)
{
    return lane->head.size + d->batch.size;
}

/* What is left of the first request, and whole ones behind it. */
static int gather(const struct door *d, struct iovec *pieces)
{
    size_t skip = d->sent;
    int n = 0;
    for (unsigned i = 0; i < d->queued && i < SEND_AT_ONCE; i++) {
        const struct bytes *parts[] = {&d->queue[(d->first + i) % DOOR_QUEUE]->head, &d->batch};
        for (unsigned k = 0; k < 2; k++) {
            size_t from = skip < parts[k]->size ? skip : parts[k]->size;
            skip -= from;
            if (from < parts[k]->size)
                pieces[n++] = (struct iovec){parts[k]->data + from, parts[k]->size - from};
        }
    }
    return n;
}

static void has_sent(struct door *d, size_t size)
{
    d->sent += size;
    while (d->queued > 0 && d->sent >= request_size(d, d->queue[d->first])) {
        d->sent -= request_size(d, d->queue[d->first]);
        d->first = (d->first + 1) % DOOR_QUEUE;
        d->queued--;
    }
}

void door_send(struct door *d)
{
    struct iovec pieces[2 * SEND_AT_ONCE];
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)gather(d, pieces)};
    if (message.msg_iovlen == 0)
        return;
    ssize_t n = sendmsg(d->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN)
        die("send", strerror(errno));
    if (n > 0)
        has_sent(d, (size_t)n);
}

/* ---- answers ---- */

static struct door_lane *find_lane(struct door *d, uint64_t correlation)
{
    for (unsigned i = 0; i < d->lane_count; i++)
        if (d->lanes[i].partition == correlation)
            return &d->lanes[i];
    die("receive", "an answer to nothing that was asked");
    return NULL;
}

/* Bytes of the first answer; 0: it is not whole. */
static size_t answer_size(const struct door *d, const unsigned char *data, size_t size)
{
    struct frame_head head;
    size_t whole = SIZE_MAX;
    if (d->kind == DOOR_KAFKA && size >= KAFKA_LENGTH_SIZE) {
        whole = KAFKA_LENGTH_SIZE + (size_t)load_be32(data);
    } else if (d->kind == DOOR_NATIVE && size >= FRAME_HEAD_SIZE) {
        if (frame_head_decode(data, FRAME_MAX_SIZE, &head) != 0)
            die("receive", "not a frame");
        whole = frame_size(&head);
    }
    return whole <= size ? whole : 0;
}

static struct door_lane *read_kafka(struct door *d, const unsigned char *data, size_t size)
{
    struct kafka_produce_response response;
    int32_t correlation;
    size_t header_size;
    data += KAFKA_LENGTH_SIZE;
    size -= KAFKA_LENGTH_SIZE;
    if (kafka_response_header_decode(KAFKA_API_PRODUCE, KAFKA_VERSION, data, size, &correlation,
                                     &header_size) != 0 ||
        kafka_decode(KAFKA_RESPONSE, KAFKA_API_PRODUCE, KAFKA_VERSION, data + header_size, size - header_size,
                     &d->arena, &response) != 0 ||
        response.responses.count != 1 || response.responses.items[0].partition_responses.count != 1)
        die("receive", "not an answer to a produce");
    int16_t error = response.responses.items[0].partition_responses.items[0].error_code;
    if (error != KAFKA_ERR_NONE)
        die("produce", error == KAFKA_ERR_NOT_LEADER_OR_FOLLOWER ? "the leader has moved" : "refused");
    return find_lane(d, (uint64_t)correlation);
}

static struct door_lane *read_native(struct door *d, const unsigned char *data)
{
    struct frame_head head;
    if (frame_head_decode(data, FRAME_MAX_SIZE, &head) != 0)
        die("receive", "not a frame");
    Flotilla__ProduceResponse *response = flotilla__produce_response__unpack(
        arena_allocator(&d->arena), head.header_length, data + FRAME_HEAD_SIZE);
    if (head.type != FRAME_PRODUCE || response == NULL)
        die("receive", "not an answer to a produce");
    if (response->status != NULL && response->status->error != 0)
        die("produce", error_name(response->status->error));
    return find_lane(d, head.correlation);
}

static size_t read_answers(struct door *d, door_acked_cb acked, void *data)
{
    size_t at = 0, size;
    while ((size = answer_size(d, d->input.data + at, d->input.size - at)) > 0) {
        const unsigned char *answer = d->input.data + at;
        acked(data, d, d->kind == DOOR_KAFKA ? read_kafka(d, answer, size) : read_native(d, answer));
        arena_reset(&d->arena);
        at += size;
    }
    return at;
}

void door_receive(struct door *d, door_acked_cb acked, void *data)
{
    unsigned char *room = bytes_extend(&d->input, RECEIVE_SIZE);
    ssize_t n = recv(d->fd, room, RECEIVE_SIZE, MSG_DONTWAIT);
    d->input.size -= RECEIVE_SIZE - (n > 0 ? (size_t)n : 0);
    if (n == 0 || (n < 0 && errno != EAGAIN))
        die("receive", n == 0 ? "the node has closed the connection" : strerror(errno));
    size_t used = read_answers(d, acked, data);
    memmove(d->input.data, d->input.data + used, d->input.size - used);
    d->input.size -= used;
}
