/* Kafka requests from the network (and responses, which a tool of ours may read): the header, and the body
 * that it announces. What can be decoded must encode, and decode again to the same bytes. */
#include "node/base/assert.h"
#include "proto/error.h"
#include "proto/kafka/codec.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_LIMIT = 1024 * 1024 };

/* Encodes what was decoded of `key` and `version`. False if it cannot be. */
static bool encode(enum kafka_direction direction, int16_t key, int16_t version, const void *message,
                   struct bytes *out)
{
    int rc = kafka_encode(direction, key, version, message, out);
    ASSERT(rc == 0);
    return rc == 0;
}

static void check_body(enum kafka_direction direction, int16_t key, int16_t version, const uint8_t *data,
                       size_t size)
{
    struct arena arena;
    struct bytes first, second;

    arena_init(&arena, ARENA_LIMIT);
    bytes_init(&first);
    bytes_init(&second);
    bytes_reserve(&first, size + 1); /* an empty message has an address too */
    void *message = arena_alloc(&arena, kafka_message_size(direction, key));
    int rc = kafka_decode(direction, key, version, data, size, &arena, message);
    ASSERT(rc == 0 || rc == ERR_PROTOCOL || rc == ERR_TOO_LARGE);
    ASSERT(arena.allocated_bytes <= ARENA_LIMIT);
    if (rc == 0 && encode(direction, key, version, message, &first)) {
        ASSERT(first.size <= size); /* unknown tags and bytes after the end are dropped, nothing is added */
        arena_reset(&arena);
        message = arena_alloc(&arena, kafka_message_size(direction, key));
        ASSERT(kafka_decode(direction, key, version, first.data, first.size, &arena, message) == 0);
        encode(direction, key, version, message, &second);
        ASSERT(first.size == second.size);
        ASSERT(first.size == 0 || memcmp(first.data, second.data, first.size) == 0);
    }
    bytes_close(&second);
    bytes_close(&first);
    arena_close(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kafka_request_header header;
    size_t header_size;
    int rc = kafka_request_header_decode(data, size, &header, &header_size);

    ASSERT(rc == 0 || rc == ERR_PROTOCOL);
    if (rc != 0 || header_size == 0)
        return 0;
    ASSERT(header_size <= size);
    check_body(KAFKA_REQUEST, header.api_key, header.api_version, data + header_size, size - header_size);
    check_body(KAFKA_RESPONSE, header.api_key, header.api_version, data + header_size, size - header_size);
    return 0;
}
