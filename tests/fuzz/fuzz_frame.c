/* Frames from the network: the head, and the protobuf header that it announces. */
#include "node/base/assert.h"
#include "proto/arena.h"
#include "proto/client.pb-c.h"
#include "proto/error.h"
#include "proto/frame.h"
#include "proto/peer.pb-c.h"
#include <stdbool.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SNIFF_SIZE = 8, ARENA_LIMIT = 4 * 1024 * 1024, HELLO_MAX = 64 * 1024 };

static const struct {
    uint16_t type;
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
} messages[] = {
    {FRAME_HELLO, &flotilla__hello_request__descriptor, &flotilla__hello_response__descriptor},
    {FRAME_METADATA, &flotilla__metadata_request__descriptor, &flotilla__metadata_response__descriptor},
    {FRAME_PRODUCE, &flotilla__produce_request__descriptor, &flotilla__produce_response__descriptor},
    {FRAME_FETCH, &flotilla__fetch_request__descriptor, &flotilla__fetch_response__descriptor},
    {FRAME_SUBSCRIBE, &flotilla__subscribe_request__descriptor, &flotilla__subscribe_response__descriptor},
    {FRAME_CREATE_TOPIC, &flotilla__create_topic_request__descriptor,
     &flotilla__create_topic_response__descriptor},
    {FRAME_COMMIT_OFFSETS, &flotilla__commit_offsets_request__descriptor,
     &flotilla__commit_offsets_response__descriptor},
    {FRAME_FETCH_OFFSETS, &flotilla__fetch_offsets_request__descriptor,
     &flotilla__fetch_offsets_response__descriptor},
    {FRAME_PEER_HELLO, &flotilla__peer_hello__descriptor, &flotilla__peer_hello_response__descriptor},
    {FRAME_PEER_RAFT, &flotilla__raft_message__descriptor, NULL},
    {FRAME_PEER_LEADERS, &flotilla__peer_leaders__descriptor, NULL},
};

static void check_message(const ProtobufCMessageDescriptor *descriptor, const uint8_t *data, size_t size)
{
    struct arena arena;

    arena_init(&arena, ARENA_LIMIT);
    ProtobufCMessage *message = protobuf_c_message_unpack(descriptor, arena_allocator(&arena), size, data);
    if (message != NULL) {
        size_t packed_size = protobuf_c_message_get_packed_size(message);
        void *packed = arena_alloc(&arena, packed_size);
        if (packed != NULL)
            ASSERT(protobuf_c_message_pack(message, packed) == packed_size);
    }
    ASSERT(arena.allocated_bytes <= ARENA_LIMIT);
    arena_close(&arena);
}

static void check_header(const struct frame_head *head, const uint8_t *data)
{
    bool response = (head->flags & FRAME_RESPONSE) != 0;

    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        const ProtobufCMessageDescriptor *descriptor = response ? messages[i].response : messages[i].request;
        if (messages[i].type == head->type && descriptor != NULL)
            check_message(descriptor, data, head->header_length);
    }
}

static void check_head(const struct frame_head *head, const uint8_t *data, size_t max_size)
{
    unsigned char again[FRAME_HEAD_SIZE];

    ASSERT(frame_size(head) >= FRAME_HEAD_SIZE && frame_size(head) <= max_size);
    ASSERT(head->header_length <= FRAME_MAX_HEADER_SIZE);
    ASSERT(FRAME_HEAD_SIZE + head->header_length + frame_payload_size(head) == frame_size(head));
    ASSERT(strlen(frame_type_name(head->type)) > 0);
    if (head->length < HELLO_MAX)
        ASSERT(frame_sniff_foreign(data) == NULL);
    frame_head_encode(again, head->type, head->flags, head->correlation, head->header_length,
                      frame_payload_size(head));
    ASSERT(memcmp(again, data, 12) == 0 &&
           memcmp(again + 16, data + 16, 8) == 0); /* but for the reserved field */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_head head;

    if (size >= SNIFF_SIZE)
        frame_sniff_foreign(data);
    if (size < FRAME_HEAD_SIZE)
        return 0;

    int rc = frame_head_decode(data, FRAME_MAX_SIZE, &head);
    ASSERT(rc == 0 || rc == ERR_TOO_LARGE || rc == ERR_PROTOCOL);
    if (rc == 0) {
        check_head(&head, data, FRAME_MAX_SIZE);
        if (head.header_length <= size - FRAME_HEAD_SIZE)
            check_header(&head, data + FRAME_HEAD_SIZE);
    }
    if (frame_head_decode(data, size, &head) == 0) /* a node with a small maximum */
        check_head(&head, data, size);
    return 0;
}
