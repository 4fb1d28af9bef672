#include "node/server/kafka/dispatch.h"

#include <ctype.h>

/* A client that is newer than we are: nothing of its request can be read, and only a version 0 body is sure
 * to be understood. It tries again with a version from our list. */
static int16_t check(struct kafka_request *r)
{
    const struct kafka_api *api = kafka_api_find(KAFKA_API_API_VERSIONS);
    if (kafka_api_has_version(api, r->header.api_version))
        return KAFKA_ERR_NONE;
    r->header.api_version = 0;
    return KAFKA_ERR_UNSUPPORTED_VERSION;
}

/* Letters, digits, - and ., and no - or . at either end. */
static bool name_ok(struct kafka_string name)
{
    if (name.size <= 0)
        return false;
    for (int32_t i = 0; i < name.size; i++) {
        bool edge = i == 0 || i == name.size - 1;
        if (!isalnum((unsigned char)name.data[i]) && (edge || (name.data[i] != '-' && name.data[i] != '.')))
            return false;
    }
    return true;
}

static int16_t check_software(const struct kafka_request *r)
{
    const struct kafka_api_versions_request *m = r->message;
    if (r->header.api_version < 3 ||
        (name_ok(m->client_software_name) && name_ok(m->client_software_version)))
        return KAFKA_ERR_NONE;
    return KAFKA_ERR_INVALID_REQUEST;
}

void kafka_api_versions(struct kafka_request *r)
{
    struct kafka_api_versions_response response = kafka_api_versions_response_default;
    response.error_code = check(r);
    if (response.error_code == KAFKA_ERR_NONE)
        response.error_code = check_software(r);
    response.api_keys.items = KAFKA_NEW(&r->arena, api_versions_response_api_key, kafka_api_count());
    if (response.api_keys.items == NULL) {
        kafka_refuse_too_large(r);
        return;
    }
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        if (!kafka_is_served(api->key))
            continue;
        response.api_keys.items[response.api_keys.count++] =
            (struct kafka_api_versions_response_api_key){api->key, api->oldest_version, api->newest_version};
    }
    kafka_respond(r, &response);
}
