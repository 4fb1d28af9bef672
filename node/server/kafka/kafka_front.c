#include "node/server/kafka/kafka_front.h"
#include "node/base/memory.h"
#include "node/server/kafka/dispatch.h"
#include "proto/kafka/apis.h"
#include <stdio.h>
#include <stdlib.h>

struct kafka_front_metrics {
    struct metric requests[KAFKA_KEYS];
    struct metric malformed;
    struct metric produce, fetch;
    struct metric produce_waits, fetch_waits;
};

static void add_metrics(struct server *s)
{
    struct kafka_front *k = s->kafka;
    struct kafka_front_metrics *m = k->registered = memory_zalloc(sizeof(*m));
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        char labels[80];
        if (!kafka_is_served(api->key))
            continue;
        snprintf(labels, sizeof(labels), "api=\"%s\"", api->name);
        metrics_add_counter(s->metrics, &m->requests[api->key], "flotilla_kafka_requests_total",
                            "Requests of Kafka clients, by API.", labels, &k->requests[api->key]);
    }
    metrics_add_counter(s->metrics, &m->malformed, "flotilla_kafka_malformed_total",
                        "Kafka connections closed because of a request that could not be read.", "",
                        &k->malformed);
    const char *help = "From the Kafka request being read to its answer being queued.";
    metrics_add_histogram(s->metrics, &m->produce, "flotilla_kafka_request_seconds", help, "api=\"Produce\"",
                          &k->produce_ns);
    metrics_add_histogram(s->metrics, &m->fetch, "flotilla_kafka_request_seconds", help, "api=\"Fetch\"",
                          &k->fetch_ns);
    help = "How long clients over their quota were told to wait.";
    metrics_add_histogram(s->metrics, &m->produce_waits, "flotilla_kafka_throttle_seconds", help,
                          "api=\"Produce\"", &k->produce_quota.waits_ns);
    metrics_add_histogram(s->metrics, &m->fetch_waits, "flotilla_kafka_throttle_seconds", help,
                          "api=\"Fetch\"", &k->fetch_quota.waits_ns);
}

static void remove_metrics(struct kafka_front_metrics *m)
{
    for (int16_t key = 0; key < KAFKA_KEYS; key++)
        if (kafka_is_served(key))
            metrics_remove(&m->requests[key]);
    metrics_remove(&m->malformed);
    metrics_remove(&m->produce);
    metrics_remove(&m->fetch);
    metrics_remove(&m->produce_waits);
    metrics_remove(&m->fetch_waits);
    free(m);
}

void kafka_front_create(struct server *s)
{
    s->kafka = memory_zalloc(sizeof(*s->kafka));
    queue_init(&s->kafka->spare_requests);
    bytes_init(&s->kafka->scratch);
    quota_init(&s->kafka->produce_quota.table, s->config->kafka_produce_bytes_per_s);
    quota_init(&s->kafka->fetch_quota.table, s->config->kafka_fetch_bytes_per_s);
    add_metrics(s);
}

void kafka_front_destroy(struct server *s)
{
    remove_metrics(s->kafka->registered);
    kafka_request_free_spare(s->kafka);
    bytes_close(&s->kafka->scratch);
    quota_close(&s->kafka->produce_quota.table);
    quota_close(&s->kafka->fetch_quota.table);
    free(s->kafka);
    s->kafka = NULL;
}
