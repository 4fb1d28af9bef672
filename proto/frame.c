#include "proto/frame.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include "proto/lower_name.h"

enum { HEADER_LENGTH_AT = 4, TYPE_AT = 8, FLAGS_AT = 10, RESERVED_AT = 12, CORRELATION_AT = 16 };
/* Bytes that `length` counts before the protobuf header. */
enum { FRAME_FIXED_LENGTH = FRAME_HEAD_SIZE - FRAME_LENGTH_SIZE };

void frame_head_encode(void *out, uint16_t type, uint16_t flags, uint64_t correlation, size_t header_size,
                       size_t payload_size)
{
    unsigned char *p = out;

    store_le32(p, (uint32_t)(FRAME_FIXED_LENGTH + header_size + payload_size));
    store_le32(p + HEADER_LENGTH_AT, (uint32_t)header_size);
    store_le16(p + TYPE_AT, type);
    store_le16(p + FLAGS_AT, flags);
    store_le32(p + RESERVED_AT, 0);
    store_le64(p + CORRELATION_AT, correlation);
}

static int frame_check_lengths(size_t length, size_t header_length, size_t max_size)
{
    if (max_size < FRAME_LENGTH_SIZE || length > max_size - FRAME_LENGTH_SIZE)
        return ERR_TOO_LARGE;
    if (header_length > FRAME_MAX_HEADER_SIZE)
        return ERR_TOO_LARGE;
    if (length < FRAME_FIXED_LENGTH || header_length > length - FRAME_FIXED_LENGTH)
        return ERR_PROTOCOL;
    return 0;
}

int frame_head_decode(const void *data, size_t max_size, struct frame_head *head)
{
    const unsigned char *p = data;

    head->length = load_le32(p);
    head->header_length = load_le32(p + HEADER_LENGTH_AT);
    head->type = load_le16(p + TYPE_AT);
    head->flags = load_le16(p + FLAGS_AT);
    head->correlation = load_le64(p + CORRELATION_AT);
    return frame_check_lengths(head->length, head->header_length, max_size);
}

static bool looks_like_http(const unsigned char *p)
{
    static const char verbs[][5] = {"GET ", "HEAD", "POST", "PUT ", "DELE",
                                    "OPTI", "PATC", "CONN", "TRAC", "PRI "};

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (memcmp(p, verbs[i], 4) == 0)
            return true;
    return false;
}

/* A handshake record of TLS 1.0 to 1.3 with a ClientHello. Read as a frame's length it would be over 64 KiB,
 * which no connection begins with. */
static bool looks_like_tls(const unsigned char *p)
{
    return p[0] == 0x16 && p[1] == 0x03 && p[2] >= 1 && p[2] <= 4 && p[5] == 0x01;
}

/* A request header: length, API key, API version, all big-endian. */
static bool looks_like_kafka(const unsigned char *p)
{
    enum { MIN_LENGTH = 8, MAX_LENGTH = 100 * 1024 * 1024, MAX_KEY = 100, MAX_VERSION = 24 };
    uint32_t length = load_be32(p);

    return length >= MIN_LENGTH && length <= MAX_LENGTH && load_be16(p + 4) <= MAX_KEY &&
           load_be16(p + 6) <= MAX_VERSION;
}

const char *frame_sniff_foreign(const void *data)
{
    const unsigned char *p = data;

    if (looks_like_http(p))
        return "HTTP";
    if (looks_like_tls(p))
        return "TLS";
    if (frame_check_lengths(load_le32(p), load_le32(p + HEADER_LENGTH_AT), FRAME_MAX_SIZE) == 0)
        return NULL;
    return looks_like_kafka(p) ? "Kafka" : NULL;
}

const char *frame_sniff_foreign_to_kafka(const void *data)
{
    const unsigned char *p = data;

    if (looks_like_http(p))
        return "HTTP";
    if (looks_like_tls(p))
        return "TLS";
    if (looks_like_kafka(p))
        return NULL;
    bool frame = frame_check_lengths(load_le32(p), load_le32(p + HEADER_LENGTH_AT), FRAME_MAX_SIZE) == 0;
    return frame ? "native" : NULL;
}

const char *frame_type_name(uint16_t type)
{
    switch (type) {
#define X(name, number)                                                                                      \
    case number: {                                                                                           \
        _Static_assert(LOWER_NAME_FITS(#name), #name " is too long");                                        \
        static const char text[LOWER_NAME_MAX] = LOWER_NAME(#name);                                          \
        return text;                                                                                         \
    }
        FRAME_TABLE(X)
#undef X
    default:
        return "unknown";
    }
}
