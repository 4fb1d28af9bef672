#include "proto/error.h"
#include "proto/kafka/tables.h"

enum { CORRELATION_END = 8 }; /* the part of a request header that every version of everything shares */

static void reader_skip_tagged_fields(struct reader *r)
{
    for (uint32_t left = kafka_reader_uvarint(r); left > 0 && !r->failed; left--) {
        kafka_reader_uvarint(r);
        reader_bytes(r, kafka_reader_uvarint(r));
    }
}

/* Even in flexible versions not a compact string. */
static struct kafka_string reader_client_id(struct reader *r)
{
    int16_t size = (int16_t)reader_u16(r);

    if (size < 0) {
        r->failed |= size != KAFKA_NULL;
        return kafka_string_null();
    }
    return (struct kafka_string){(const char *)reader_bytes(r, (size_t)size), size};
}

int kafka_request_header_decode(const void *data, size_t size, struct kafka_request_header *header,
                                size_t *header_size)
{
    struct reader r;

    *header_size = 0;
    if (size < CORRELATION_END)
        return ERR_PROTOCOL;
    reader_init(&r, data, size);
    header->api_key = (int16_t)reader_u16(&r);
    header->api_version = (int16_t)reader_u16(&r);
    header->correlation_id = (int32_t)reader_u32(&r);
    header->client_id = kafka_string_null();

    const struct kafka_api *api = kafka_api_find(header->api_key);
    if (api == NULL || !kafka_api_has_version(api, header->api_version))
        return 0;
    header->client_id = reader_client_id(&r);
    if (kafka_api_is_flexible(api, header->api_version))
        reader_skip_tagged_fields(&r);
    if (r.failed)
        return ERR_PROTOCOL;
    *header_size = size - reader_left(&r);
    return 0;
}

static bool is_flexible(int16_t key, int16_t version)
{
    const struct kafka_api *api = kafka_api_find(key);
    return api != NULL && kafka_api_is_flexible(api, version);
}

void kafka_request_header_encode(const struct kafka_request_header *header, struct bytes *out)
{
    bytes_put_u16(out, (uint16_t)header->api_key);
    bytes_put_u16(out, (uint16_t)header->api_version);
    bytes_put_u32(out, (uint32_t)header->correlation_id);
    bytes_put_u16(out, (uint16_t)header->client_id.size);
    if (header->client_id.size > 0)
        bytes_append(out, header->client_id.data, (size_t)header->client_id.size);
    if (is_flexible(header->api_key, header->api_version))
        bytes_put_u8(out, 0);
}

static bool response_header_is_flexible(int16_t key, int16_t version)
{
    return key != KAFKA_API_API_VERSIONS && is_flexible(key, version);
}

void kafka_response_header_encode(int16_t key, int16_t version, int32_t correlation_id, struct bytes *out)
{
    bytes_put_u32(out, (uint32_t)correlation_id);
    if (response_header_is_flexible(key, version))
        bytes_put_u8(out, 0);
}

int kafka_response_header_decode(int16_t key, int16_t version, const void *data, size_t size,
                                 int32_t *correlation_id, size_t *header_size)
{
    struct reader r;

    reader_init(&r, data, size);
    *correlation_id = (int32_t)reader_u32(&r);
    if (response_header_is_flexible(key, version))
        reader_skip_tagged_fields(&r);
    *header_size = size - reader_left(&r);
    return r.failed ? ERR_PROTOCOL : 0;
}
