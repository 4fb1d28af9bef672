#include "proto/kafka/apis.h"
#include "proto/kafka/tables.h"

static const struct kafka_api apis[] = {
#define X(ENUM, message, name, key, oldest, newest, flexible)                                                \
    {key, oldest, newest, flexible, name, kafka_##message##_request_type, kafka_##message##_response_type},
    KAFKA_API_TABLE(X)
#undef X
};

enum {
#define X(ENUM, ...) PLACE_##ENUM,
    KAFKA_API_TABLE(X)
#undef X
};

/* Place in `apis` plus one, by key. */
static const uint8_t places[] = {
#define X(ENUM, ...) [KAFKA_API_##ENUM] = PLACE_##ENUM + 1,
    KAFKA_API_TABLE(X)
#undef X
};

size_t kafka_api_count(void)
{
    return sizeof(apis) / sizeof(apis[0]);
}

const struct kafka_api *kafka_api_at(size_t index)
{
    return &apis[index];
}

const struct kafka_api *kafka_api_find(int16_t key)
{
    if (key < 0 || (size_t)key >= sizeof(places) || places[key] == 0)
        return NULL;
    return &apis[places[key] - 1];
}

const struct kafka_type *kafka_api_type(const struct kafka_api *api, enum kafka_direction direction)
{
    return direction == KAFKA_REQUEST ? api->request_type() : api->response_type();
}

size_t kafka_message_size(enum kafka_direction direction, int16_t key)
{
    const struct kafka_api *api = kafka_api_find(key);
    return api != NULL ? kafka_api_type(api, direction)->size : 0;
}
