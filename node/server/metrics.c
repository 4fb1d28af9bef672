/* The front door's metrics. */
#include "node/base/memory.h"
#include "node/server/server.h"
#include <stdio.h>
#include <stdlib.h>

enum { PLAIN_COUNTERS = 11, HISTOGRAMS = 2 };

struct server_metrics {
    struct metric requests[SERVER_REQUEST_TYPES];
    struct metric failed[SERVER_REQUEST_TYPES];
    struct metric plain[PLAIN_COUNTERS];
    struct metric latency[HISTOGRAMS];
    struct metric connections;
};

static double read_connections(void *data)
{
    const struct server *s = data;
    return (double)s->connection_count;
}

static bool is_request(unsigned type)
{
    return type >= FRAME_HELLO && type != FRAME_ERROR && type != FRAME_PUSH && type != FRAME_GROUP_ASSIGNMENT;
}

static void add_requests(struct server *s)
{
    struct server_counters *c = &s->counters;
    for (unsigned type = 0; type < SERVER_REQUEST_TYPES; type++) {
        char labels[64];
        if (!is_request(type))
            continue;
        snprintf(labels, sizeof(labels), "type=\"%s\"", frame_type_name((uint16_t)type));
        metrics_add_counter(s->metrics, &s->registered->requests[type], "flotilla_requests_total",
                            "Requests of native clients, by type.", labels, &c->requests[type]);
        metrics_add_counter(s->metrics, &s->registered->failed[type], "flotilla_requests_failed_total",
                            "Requests of native clients answered with an error, by type.", labels,
                            &c->failed[type]);
    }
}

static void add_plain(struct server *s)
{
    const struct server_counters *c = &s->counters;
    const struct {
        const char *name, *help, *labels;
        const uint64_t *value;
    } plain[PLAIN_COUNTERS] = {
        {"flotilla_connections_accepted_total", "Client connections accepted.", "", &c->accepted},
        {"flotilla_connections_refused_total", "Client connections refused because of max-connections.", "",
         &c->refused},
        {"flotilla_protocol_errors_total", "Malformed frames and messages from clients.", "",
         &c->protocol_errors},
        {"flotilla_connection_pauses_total", "Times that reading from a client stopped: too much unanswered.",
         "", &c->pauses},
        {"flotilla_requests_parked_total", "Times that a request waited for its partition to have a leader.",
         "", &c->parked},
        {"flotilla_client_received_bytes_total", "Bytes received from clients.", "", &c->received_bytes},
        {"flotilla_client_sent_bytes_total", "Bytes sent to clients.", "", &c->sent_bytes},
        {"flotilla_pushed_bytes_total", "Record bytes pushed to subscribers.", "", &c->pushed_bytes},
        {"flotilla_produced_batches_total",
         "Batches stored, by the durability that their acknowledgement stands for.", "durability=\"quorum\"",
         &c->produced_all},
        {"flotilla_produced_batches_total",
         "Batches stored, by the durability that their acknowledgement stands for.", "durability=\"leader\"",
         &c->produced_leader},
        {"flotilla_produced_batches_total",
         "Batches stored, by the durability that their acknowledgement stands for.", "durability=\"none\"",
         &c->produced_none},
    };
    for (unsigned i = 0; i < PLAIN_COUNTERS; i++)
        metrics_add_counter(s->metrics, &s->registered->plain[i], plain[i].name, plain[i].help,
                            plain[i].labels, plain[i].value);
}

void server_metrics_add(struct server *s)
{
    s->registered = memory_zalloc(sizeof(*s->registered));
    add_requests(s);
    add_plain(s);
    const char *help = "From the request being read to its answer being queued.";
    metrics_add_histogram(s->metrics, &s->registered->latency[0], "flotilla_request_seconds", help,
                          "type=\"produce\"", &s->counters.produce_ns);
    metrics_add_histogram(s->metrics, &s->registered->latency[1], "flotilla_request_seconds", help,
                          "type=\"fetch\"", &s->counters.fetch_ns);
    metrics_add_gauge(s->metrics, &s->registered->connections, "flotilla_connections",
                      "Client connections now.", "", read_connections, s);
}

void server_metrics_remove(struct server *s)
{
    struct server_metrics *m = s->registered;
    for (unsigned type = 0; type < SERVER_REQUEST_TYPES; type++) {
        if (!is_request(type))
            continue;
        metrics_remove(&m->requests[type]);
        metrics_remove(&m->failed[type]);
    }
    for (unsigned i = 0; i < PLAIN_COUNTERS; i++)
        metrics_remove(&m->plain[i]);
    for (unsigned i = 0; i < HISTOGRAMS; i++)
        metrics_remove(&m->latency[i]);
    metrics_remove(&m->connections);
    free(m);
    s->registered = NULL;
}
