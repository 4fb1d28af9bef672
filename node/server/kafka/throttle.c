#include "node/server/kafka/throttle.h"
#include <inttypes.h>
#include <stdio.h>

static void log_throttled(const struct kafka_request *r, uint32_t wait_ms)
{
    struct server *s = r->server;
    const struct kafka_string *id = &r->header.client_id;
    const char *peer = env_stream_peer(r->connection->base.stream);
    char text[QUOTA_ID_MAX + 1], quoted[QUOTA_ID_MAX + 3];
    snprintf(text, sizeof(text), "%.*s", id->size > 0 ? id->size : 0, id->size > 0 ? id->data : "");
    LOG_LIMITED(&s->refusals, env_now_ms(s->env), peer, s->logger, LOG_INFO,
                "a Kafka client is over its quota", "peer=%s client_id=%s api=%s wait_ms=%" PRIu32, peer,
                logger_quote(quoted, sizeof(quoted), text), kafka_api_find(r->header.api_key)->name, wait_ms);
}

int32_t kafka_throttle(struct kafka_request *r, struct kafka_quota *quota, uint64_t bytes)
{
    struct server *s = r->server;
    const struct kafka_string *id = &r->header.client_id;
    size_t id_size = id->size > 0 ? (size_t)id->size : 0;
    uint32_t wait_ms = quota_charge(&quota->table, env_now_ns(s->env), id->data, id_size, bytes);
    if (wait_ms == 0 || r->connection == NULL || s->draining)
        return 0;
    histogram_record(&quota->waits_ns, (uint64_t)wait_ms * 1000000);
    log_throttled(r, wait_ms);
    kafka_connection_mute(r->connection, wait_ms);
    return (int32_t)wait_ms;
}
