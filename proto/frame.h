/* Native framing, for clients and peers alike. Little-endian:
 *
 *   offset size field
 *        0    4 length        bytes after this field: 20 + header_length + payload length
 *        4    4 header_length bytes of the protobuf header
 *        8    2 type          enum frame_type
 *       10    2 flags         FRAME_*; unknown bits are ignored
 *       12    4 reserved      0
 *       16    8 correlation   chosen by the requester and echoed in the answer; 0 where nothing is answered
 *       24      header        protobuf message, by type
 *               payload       raw record batches, by type
 *
 * The first frame in either direction is HELLO / HELLO_RESPONSE, which settles the version: each side names
 * the range it speaks and the highest common one is used. */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEAD_SIZE = 24,
    FRAME_LENGTH_SIZE = 4,
    /* A frame holds at most one batch of the largest max.message.bytes and its header, or one fetch chunk. */
    FRAME_MAX_SIZE = 72 * 1024 * 1024,
    FRAME_MAX_HEADER_SIZE = 8 * 1024 * 1024,
    FRAME_PROTOCOL_MIN = 1,
    FRAME_PROTOCOL_MAX = 1,
};

enum frame_flag { FRAME_RESPONSE = 1 };

/* X(NAME, number). A response has its request's type and FRAME_RESPONSE set. */
#define FRAME_TABLE(X)                                                                                       \
    X(HELLO, 1)                                                                                              \
    X(ERROR, 2)                                                                                              \
    X(METADATA, 3)                                                                                           \
    X(PRODUCE, 4)                                                                                            \
    X(FETCH, 5)                                                                                              \
    X(LIST_OFFSET, 6)                                                                                        \
    X(SUBSCRIBE, 7)                                                                                          \
    X(CREDIT, 8)                                                                                             \
    X(UNSUBSCRIBE, 9)                                                                                        \
    X(PUSH, 10)                                                                                              \
    X(INIT_PRODUCER, 11)                                                                                     \
    X(CREATE_TOPIC, 12)                                                                                      \
    X(DELETE_TOPIC, 13)                                                                                      \
    X(ALTER_TOPIC, 14)                                                                                       \
    X(DESCRIBE_TOPIC, 15)                                                                                    \
    X(COMMIT_OFFSETS, 16)                                                                                    \
    X(FETCH_OFFSETS, 17)                                                                                     \
    X(CLUSTER_STATUS, 18)                                                                                    \
    X(DRAIN_NODE, 19)                                                                                        \
    X(PING, 20)                                                                                              \
    X(NODE_CONTROL, 21)                                                                                      \
    X(JOIN_GROUP, 22)                                                                                        \
    X(GROUP_HEARTBEAT, 23)                                                                                   \
    X(LEAVE_GROUP, 24)                                                                                       \
    X(GROUP_ASSIGNMENT, 25)                                                                                  \
    X(LIST_GROUPS, 26)                                                                                       \
    X(DESCRIBE_GROUP, 27)                                                                                    \
    X(DELETE_GROUP, 28)                                                                                      \
    X(PEER_HELLO, 64)                                                                                        \
    X(PEER_RAFT, 65)                                                                                         \
    X(PEER_LEADERS, 66)                                                                                      \
    X(PEER_FORWARD, 67)                                                                                      \
    X(PEER_CATCHUP, 68)                                                                                      \
    X(PEER_PING, 69)                                                                                         \
    X(PEER_BEATS, 70)

enum frame_type {
#define X(name, number) FRAME_##name = number,
    FRAME_TABLE(X)
#undef X
};

struct frame_head {
    uint32_t length;
    uint32_t header_length;
    uint16_t type;
    uint16_t flags;
    uint64_t correlation;
};

/* Total bytes of the frame on the wire, and of its payload. */
static inline size_t frame_size(const struct frame_head *h)
{
    return (size_t)FRAME_LENGTH_SIZE + h->length;
}
static inline size_t frame_payload_size(const struct frame_head *h)
{
    return frame_size(h) - FRAME_HEAD_SIZE - h->header_length;
}

/* Fills `length` from the two sizes and writes FRAME_HEAD_SIZE bytes. */
void frame_head_encode(void *out, uint16_t type, uint16_t flags, uint64_t correlation, size_t header_size,
                       size_t payload_size);
/* Reads FRAME_HEAD_SIZE bytes. Returns 0; ERR_TOO_LARGE when length or header length is over the maximum
 * (`max_size` bounds the whole frame); ERR_PROTOCOL when the lengths contradict each other. */
int frame_head_decode(const void *data, size_t max_size, struct frame_head *head);
/* What plain HTTP, TLS or Kafka bytes on the wrong port look like: a name for the log line ("HTTP", "TLS",
 * "Kafka"), or NULL when it may be a frame. For the first bytes of a connection only (a later frame could
 * look like TLS); `data` holds at least 8. */
const char *frame_sniff_foreign(const void *data);
/* The same for a port that speaks Kafka: "HTTP", "TLS", or "native" for a HELLO. */
const char *frame_sniff_foreign_to_kafka(const void *data);
const char *frame_type_name(uint16_t type); /* "produce"; "unknown" */

#endif
