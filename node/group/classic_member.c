#include "node/base/memory.h"
#include "node/group/classic_internal.h"
#include <stdlib.h>
#include <string.h>

void owned_bytes_set(struct owned_bytes *b, struct classic_bytes from)
{
    unsigned char *data = from.size > 0 ? memory_alloc(from.size) : NULL;
    if (from.size > 0)
        memcpy(data, from.data, from.size);
    free(b->data);
    b->data = data;
    b->size = from.size;
}

struct classic_bytes owned_bytes_view(const struct owned_bytes *b)
{
    return (struct classic_bytes){b->data, b->size};
}

struct classic_member *classic_member_create(const char *id, const char *instance_id)
{
    struct classic_member *m = memory_zalloc(sizeof(*m));
    queue_init(&m->node);
    m->id = memory_strdup(id);
    m->instance_id = instance_id != NULL ? memory_strdup(instance_id) : NULL;
    m->client_id = memory_strdup("");
    m->client_host = memory_strdup("");
    return m;
}

static void drop_protocols(struct classic_member *m)
{
    for (size_t i = 0; i < m->protocol_count; i++) {
        free(m->protocols[i].name);
        free(m->protocols[i].metadata.data);
    }
    free(m->protocols);
    m->protocols = NULL;
    m->protocol_count = 0;
}

void classic_member_destroy(struct classic_member *m)
{
    drop_protocols(m);
    free(m->assignment.data);
    free(m->id);
    free(m->instance_id);
    free(m->client_id);
    free(m->client_host);
    free(m);
}

void classic_member_describe(struct classic_member *m, const struct classic_join *join)
{
    classic_text_set(&m->client_id, join->client_id);
    classic_text_set(&m->client_host, join->client_host);
    m->session_timeout_ms = (uint32_t)join->session_timeout_ms;
    m->rebalance_timeout_ms =
        (uint32_t)(join->rebalance_timeout_ms > 0 ? join->rebalance_timeout_ms : join->session_timeout_ms);
    drop_protocols(m);
    m->protocols = memory_zalloc((join->protocol_count + 1) * sizeof(m->protocols[0]));
    m->protocol_count = join->protocol_count;
    for (size_t i = 0; i < join->protocol_count; i++) {
        m->protocols[i].name = memory_strdup(join->protocols[i].name);
        owned_bytes_set(&m->protocols[i].metadata, join->protocols[i].metadata);
    }
}

static bool bytes_equal(const struct owned_bytes *a, struct classic_bytes b)
{
    return a->size == b.size && (b.size == 0 || memcmp(a->data, b.data, b.size) == 0);
}

bool classic_member_is_same(const struct classic_member *m, const struct classic_join *join)
{
    if (m->protocol_count != join->protocol_count)
        return false;
    for (size_t i = 0; i < join->protocol_count; i++)
        if (strcmp(m->protocols[i].name, join->protocols[i].name) != 0 ||
            !bytes_equal(&m->protocols[i].metadata, join->protocols[i].metadata))
            return false;
    return true;
}

const struct owned_bytes *classic_member_metadata(const struct classic_member *m, const char *protocol)
{
    for (size_t i = 0; i < m->protocol_count; i++)
        if (strcmp(m->protocols[i].name, protocol) == 0)
            return &m->protocols[i].metadata;
    return NULL;
}

void classic_member_touch(struct classic_member *m, uint64_t now_ms)
{
    m->expires_ms = now_ms + m->session_timeout_ms;
}
