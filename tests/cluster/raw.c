#include "tests/cluster/raw.h"

#include "proto/batch.h"
#include "proto/error.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int raw_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int at_once = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool raw_send(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool raw_request(int fd, uint16_t type, const ProtobufCMessage *header, const void *payload,
                 size_t payload_size)
{
    size_t header_size = protobuf_c_message_get_packed_size(header);
    unsigned char head[FRAME_HEAD_SIZE];
    unsigned char *packed = malloc(header_size + 1);
    frame_head_encode(head, type, 0, 1, header_size, payload_size);
    protobuf_c_message_pack(header, packed);
    bool ok = raw_send(fd, head, sizeof(head)) && raw_send(fd, packed, header_size) &&
              raw_send(fd, payload, payload_size);
    free(packed);
    return ok;
}

static bool receive_bytes(int fd, void *data, size_t size, int timeout_ms)
{
    for (char *at = data; size > 0;) {
        struct pollfd waiting = {fd, POLLIN, 0};
        if (poll(&waiting, 1, timeout_ms) != 1) {
            return false;
        }
        ssize_t n = recv(fd, at, size, 0);
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool raw_receive(int fd, struct raw_frame *frame, int timeout_ms)
{
    unsigned char head[FRAME_HEAD_SIZE];
    memset(frame, 0, sizeof(*frame));
    if (!receive_bytes(fd, head, sizeof(head), timeout_ms) ||
        frame_head_decode(head, FRAME_MAX_SIZE, &frame->head) != 0) {
        return false;
    }
    frame->payload_size = frame_payload_size(&frame->head);
    frame->header = malloc(frame->head.header_length + 1);
    frame->payload = malloc(frame->payload_size + 1);
    bool ok = receive_bytes(fd, frame->header, frame->head.header_length, timeout_ms) &&
              receive_bytes(fd, frame->payload, frame->payload_size, timeout_ms);
    if (!ok) {
        raw_frame_free(frame);
    }
    return ok;
}

void raw_frame_free(struct raw_frame *frame)
{
    free(frame->header);
    free(frame->payload);
    frame->header = frame->payload = NULL;
}

bool raw_closed(int fd, int timeout_ms)
{
    char drop[4096];
    for (;;) {
        struct pollfd waiting = {fd, POLLIN, 0};
        if (poll(&waiting, 1, timeout_ms) != 1) {
            return false;
        }
        if (recv(fd, drop, sizeof(drop), 0) <= 0) {
            return true;
        }
    }
}

bool raw_hello(int fd)
{
    Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;
    struct raw_frame answer;
    hello.min_version = FRAME_PROTOCOL_MIN;
    hello.max_version = FRAME_PROTOCOL_MAX;
    hello.client_id = "raw";
    hello.software = "test";
    if (!raw_request(fd, FRAME_HELLO, &hello.base, NULL, 0) || !raw_receive(fd, &answer, 5000)) {
        return false;
    }
    raw_frame_free(&answer);
    return answer.head.type == FRAME_HELLO;
}

int raw_produce(int fd, const uint8_t topic_id[16], uint32_t partition, const char *value, int timeout_ms)
{
    Flotilla__ProduceRequest request = FLOTILLA__PRODUCE_REQUEST__INIT;
    struct batch_builder builder;
    struct bytes batch;
    struct batch_options options = {
        .codec = BATCH_NONE, .producer_id = -1, .producer_epoch = -1, .base_sequence = -1};
    batch_builder_init(&builder);
    bytes_init(&batch);
    batch_builder_add(&builder, 1, NULL, 0, value, strlen(value), NULL, 0);
    batch_builder_finish(&builder, &options, &batch);
    request.topic_id = (ProtobufCBinaryData){16, (uint8_t *)topic_id};
    request.partition = partition;
    request.acks = -1;
    request.timeout_ms = (uint32_t)timeout_ms;
    struct raw_frame answer = {.header = NULL};
    int status = ERR_TIMED_OUT;
    if (raw_request(fd, FRAME_PRODUCE, &request.base, batch.data, batch.size) &&
        raw_receive(fd, &answer, timeout_ms)) {
        Flotilla__ProduceResponse *response =
            flotilla__produce_response__unpack(NULL, answer.head.header_length, answer.header);
        status = response == NULL || response->status == NULL ? 0 : response->status->error;
        flotilla__produce_response__free_unpacked(response, NULL);
    }
    raw_frame_free(&answer);
    batch_builder_close(&builder);
    bytes_close(&batch);
    return status;
}

int raw_list_end(int fd, const uint8_t topic_id[16], uint32_t partition, int64_t *end, int timeout_ms)
{
    Flotilla__ListOffsetRequest request = FLOTILLA__LIST_OFFSET_REQUEST__INIT;
    struct raw_frame answer = {.header = NULL};
    int status = ERR_TIMED_OUT;
    request.topic_id = (ProtobufCBinaryData){16, (uint8_t *)topic_id};
    request.partition = partition;
    request.timestamp_ms = -1;
    if (raw_request(fd, FRAME_LIST_OFFSET, &request.base, NULL, 0) && raw_receive(fd, &answer, timeout_ms)) {
        Flotilla__ListOffsetResponse *response =
            flotilla__list_offset_response__unpack(NULL, answer.head.header_length, answer.header);
        status = response == NULL || response->status == NULL ? 0 : response->status->error;
        *end = response != NULL ? response->offset : -1;
        flotilla__list_offset_response__free_unpacked(response, NULL);
    }
    raw_frame_free(&answer);
    return status;
}
