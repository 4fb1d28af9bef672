#include "node/server/kafka/config_change.h"
#include "node/server/kafka/config_harmless.h"

bool config_change_init(struct config_change *c, struct admin_item *item, size_t capacity)
{
    *c = (struct config_change){.item = item};
    c->entries = arena_alloc(&item->call->request->arena, capacity * sizeof(*c->entries));
    if (c->entries == NULL)
        admin_refuse(item, KAFKA_ERR_INVALID_REQUEST, "too many settings in one request");
    return c->entries != NULL;
}

static bool refuse(struct config_change *c, const char *why)
{
    admin_refuse(c->item, KAFKA_ERR_INVALID_CONFIG, why);
    return false;
}

static bool add(struct config_change *c, const char *name, const char *value)
{
    const char *why;
    enum config_fit fit = config_harmless(name, value, &why);
    if (fit == CONFIG_WRONG)
        return refuse(c, why);
    if (fit == CONFIG_UNKNOWN)
        c->entries[c->count++] = (struct cluster_config_entry){name, value};
    return true;
}

bool config_change_set(struct config_change *c, struct kafka_string name, struct kafka_string value)
{
    struct kafka_request *r = c->item->call->request;
    if (kafka_string_is_null(value))
        return refuse(c, "a setting is given no value");
    const char *name_text = kafka_request_text(r, name), *value_text = kafka_request_text(r, value);
    if (name_text == NULL || value_text == NULL)
        return refuse(c, "a setting cannot be read");
    return add(c, name_text, value_text);
}

bool config_change_reset(struct config_change *c, struct kafka_string name)
{
    const char *text = kafka_request_text(c->item->call->request, name);
    return text != NULL ? add(c, text, NULL) : refuse(c, "a setting cannot be read");
}
