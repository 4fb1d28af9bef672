/* Kafka messages from and to bytes: one interpreter for all of them, driven by the table in messages.def. No
 * I/O; frames (the four bytes of length) are the caller's business.
 *
 * Nothing a peer sends is trusted: a length or count must fit into the bytes that remain before anything is
 * allocated for it, counts are capped, what is allocated comes from an arena with a limit, and nesting is as
 * deep as the table. */
#ifndef PROTO_KAFKA_CODEC_H
#define PROTO_KAFKA_CODEC_H

#include "proto/arena.h"
#include "proto/bytes.h"
#include "proto/kafka/apis.h"
#include "proto/kafka/messages.h"

/* Elements of one array or list. More than any client asks for, and little enough that a frame of nothing but
 * one-byte elements does not become gigabytes. */
enum { KAFKA_MAX_COUNT = 1 << 20 };

enum kafka_direction { KAFKA_REQUEST, KAFKA_RESPONSE };

/* Decodes the body of a message into `out`, a struct kafka_<api>_request or _response. Strings, bytes and
 * records point into `data`, arrays and optional structs into the arena: `out` is valid as long as both.
 * Bytes after the message are ignored, as Kafka does. 0, ERR_UNSUPPORTED_VERSION (unknown key or version),
 * ERR_PROTOCOL (malformed) or ERR_TOO_LARGE (a count over its cap, or the arena is full); `out` is then
 * undefined. */
int kafka_decode(enum kafka_direction direction, int16_t key, int16_t version, const void *data, size_t size,
                 struct arena *arena, void *out);
/* Appends the body. A null in a version that does not know it becomes empty. 0, ERR_UNSUPPORTED_VERSION, or
 * ERR_TOO_LARGE (a text of over 32767 bytes in a version that cannot carry it); `out` then holds a part. */
int kafka_encode(enum kafka_direction direction, int16_t key, int16_t version, const void *message,
                 struct bytes *out);
/* The same, but the content of RECORDS fields is left out, so that it need not be copied to be sent: `gap` is
 * told, in the order of the wire, where in `out` it belongs. Of those fields only `size` is looked at. */
typedef void (*kafka_gap_cb)(void *data, size_t position, struct kafka_bytes records);
int kafka_encode_with_gaps(enum kafka_direction direction, int16_t key, int16_t version, const void *message,
                           struct bytes *out, kafka_gap_cb gap, void *data);
/* Size of the struct that kafka_decode fills; 0 for an unknown key. */
size_t kafka_message_size(enum kafka_direction direction, int16_t key);

struct kafka_request_header {
    int16_t api_key;
    int16_t api_version;
    int32_t correlation_id;
    struct kafka_string client_id; /* may be null; points into the request */
};

/* `data` is a frame without its length. `*header_size`: where the body begins. If the key or the version is
 * unknown, `api_key`, `api_version` and `correlation_id` are right and the rest is not looked at:
 * `*header_size` is 0 and client_id null. 0 or ERR_PROTOCOL. */
int kafka_request_header_decode(const void *data, size_t size, struct kafka_request_header *header,
                                size_t *header_size);
void kafka_request_header_encode(const struct kafka_request_header *header, struct bytes *out);
/* ApiVersions never has a flexible response header: a client reads it before it knows what the broker speaks.
 */
void kafka_response_header_encode(int16_t key, int16_t version, int32_t correlation_id, struct bytes *out);
int kafka_response_header_decode(int16_t key, int16_t version, const void *data, size_t size,
                                 int32_t *correlation_id, size_t *header_size);

/* Unsigned varints, for those who write a message by hand. At most 5 bytes. */
size_t kafka_uvarint_size(uint32_t value);
void kafka_put_uvarint(struct bytes *out, uint32_t value);
/* Sets r->failed on more than 32 bits. */
uint32_t kafka_reader_uvarint(struct reader *r);

#endif
