#include "node/base/memory.h"
#include "node/server/cluster_id.h"
#include "node/server/group_front.h"
#include "node/server/node_internal.h"
#include "proto/error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SOFTWARE "flotillad/" FLOTILLA_VERSION

enum {
    LINK_QUEUE_BYTES = 64 * 1024 * 1024,
    MAX_BATCH_BYTES = 64 * 1024 * 1024, /* the largest max.message.bytes */
};

struct start {
    struct node *node;
    char *message;
    size_t message_size;
};

/* ---- callbacks of the rooms below ---- */

/* Something that the node can't go on without has failed. */
static void node_fail(struct node *n, const char *message)
{
    char quoted[320];
    if (n->failed)
        return;
    n->failed = true;
    LOG(n->logger, LOG_ERROR, "the node can't go on", "reason=%s",
        logger_quote(quoted, sizeof(quoted), message));
    if (n->fatal != NULL)
        n->fatal(n->fatal_data, message);
}

static void on_journal_durable(void *data, uint64_t sequence)
{
    struct node *n = data;
    if (n->consensus != NULL)
        consensus_journal_durable(n->consensus, sequence);
}

static void on_journal_failed(void *data, int status)
{
    struct node *n = data;
    char message[1400];
    snprintf(message, sizeof(message),
             "the journal in %.1000s can't be written (%s), so votes can't be kept: check the disk, then "
             "start the node again",
             n->config.data_dir, error_text(status));
    node_fail(n, message);
}

static void on_leader_changed(void *data, uint64_t group_id, uint32_t node_id, uint64_t term)
{
    struct node *n = data;
    if (n->cluster != NULL)
        cluster_leader_changed(n->cluster, group_id, node_id, term);
    server_leader_changed(&n->server);
}

static void on_peer_changed(void *data, uint32_t node_id, bool up)
{
    struct node *n = data;
    if (n->cluster != NULL)
        cluster_peer_changed(n->cluster, node_id, up);
    server_peer_changed(&n->server);
}

static void on_forwarded(void *data, uint64_t ticket, uint16_t type, const void *header, size_t size)
{
    struct node *n = data;
    if (n->cluster != NULL)
        cluster_forwarded(n->cluster, ticket, type, header, size);
    else
        consensus_forward_answer(n->consensus, ticket, ERR_LEADER_NOT_AVAILABLE, NULL, 0);
}

static void on_cluster_started(void *data, int status, const char *message)
{
    struct node *n = data;
    if (status == 0)
        LOG(n->logger, LOG_INFO, "cluster metadata open", "cluster=%s", n->config.cluster_id);
    else if (!n->stopping)
        node_fail(n, message != NULL && message[0] != '\0' ? message : error_text(status));
}

/* The cluster has one `data` for all its callbacks: the node, which passes those about replicas on to the
 * broker. */
static void start_replica(void *data, const struct topic_meta *topic, const struct partition_meta *partition,
                          struct replica_start start)
{
    struct node *n = data;
    broker_replica_callbacks.start(n->broker, topic, partition, start);
}

static void configure_replica(void *data, const struct topic_meta *topic,
                              const struct partition_meta *partition)
{
    struct node *n = data;
    broker_replica_callbacks.configure(n->broker, topic, partition);
}

static void stop_replica(void *data, uint64_t group_id, bool erase)
{
    struct node *n = data;
    broker_replica_callbacks.stop(n->broker, group_id, erase);
}

static struct group *replica_group(void *data, uint64_t group_id)
{
    struct node *n = data;
    return broker_replica_callbacks.group(n->broker, group_id);
}

static uint64_t replicas_written_ns(void *data)
{
    struct node *n = data;
    return broker_replica_callbacks.written_ns(n->broker);
}

static const struct cluster_replica_callbacks replica_callbacks = {
    .start = start_replica,
    .configure = configure_replica,
    .stop = stop_replica,
    .group = replica_group,
    .written_ns = replicas_written_ns,
};

/* ---- the steps of a start, in order ---- */

static int open_data_dir(struct start *s)
{
    struct node *n = s->node;
    return data_dir_open(n->env, n->config.data_dir, n->config.node_id, n->config.cluster_id, &n->data_dir,
                         s->message, s->message_size);
}

static int report_listen(struct start *s, const char *setting, uint16_t port, int status)
{
    const struct node_config *c = &s->node->config;
    const char *hint = status == ERR_ADDRESS_IN_USE
                           ? "another program listens there; stop it or choose another port"
                       : status == ERR_PERMISSION ? "ports below 1024 need privileges; choose another"
                                                  : "listen-host must be an address of this machine";
    snprintf(s->message, s->message_size, "can't listen on %s:%u (%s): %s: %s", c->listen_host, port, setting,
             error_text(status), hint);
    return status;
}

static int listen_clients(struct start *s)
{
    struct node *n = s->node;
    n->server = (struct server){
        .env = n->env, .logger = n->logger, .metrics = &n->metrics, .config = &n->config, .cluster = NULL};
    server_init(&n->server);
    n->server_open = true;
    int rv = server_listen(&n->server, n->config.listen_host, n->config.client_port);
    return rv == 0 ? 0 : report_listen(s, "client-port", n->config.client_port, rv);
}

static int listen_kafka(struct start *s)
{
    struct node *n = s->node;
    int rv = server_listen_kafka(&n->server, n->config.listen_host, n->config.kafka_port);
    return rv == 0 ? 0 : report_listen(s, "kafka-port", n->config.kafka_port, rv);
}

static int listen_http(struct start *s)
{
    struct node *n = s->node;
    if (n->config.http_off)
        return 0;
    n->endpoints.metrics = &n->metrics;
    const struct http_options options = {.env = n->env,
                                         .host = n->config.listen_host,
                                         .port = n->config.http_port,
                                         .answer = endpoints_answer,
                                         .data = &n->endpoints};
    int rv = http_start(&options, &n->http);
    return rv == 0 ? 0 : report_listen(s, "http-port", n->config.http_port, rv);
}

static int open_journal(struct start *s)
{
    struct node *n = s->node;
    const struct journal_options options = {.env = n->env,
                                            .logger = n->logger,
                                            .path = data_dir_journal_path(n->data_dir),
                                            .durable = on_journal_durable,
                                            .failed = on_journal_failed,
                                            .data = n};
    return journal_open(&options, &n->journal, s->message, s->message_size);
}

static int start_consensus(struct start *s)
{
    struct node *n = s->node;
    const struct node_config *c = &n->config;
    n->flusher = flusher_create(n->env, c->flush_threads);
    const struct consensus_options options = {.env = n->env,
                                              .logger = n->logger,
                                              .metrics = &n->metrics,
                                              .flusher = n->flusher,
                                              .journal = n->journal,
                                              .cluster_id = c->cluster_id,
                                              .node_id = c->node_id,
                                              .heartbeat_ms = c->heartbeat_ms,
                                              .election_timeout_ms = c->election_timeout_ms,
                                              .entry_memory_bytes = c->entry_memory_bytes,
                                              .entry_memory_total_bytes = c->entry_memory_total_bytes,
                                              .inflight_bytes = c->inflight_bytes,
                                              .link_queue_bytes = LINK_QUEUE_BYTES,
                                              .catchup_bytes_per_s = c->catchup_bytes_per_s,
                                              .max_batch_bytes = MAX_BATCH_BYTES,
                                              .guards = GUARD_ALL & ~c->guards_off,
                                              .leader_changed = on_leader_changed,
                                              .peer_changed = on_peer_changed,
                                              .forwarded = on_forwarded,
                                              .data = n};
    n->consensus = consensus_create(&options);
    n->server.consensus = n->consensus;
    int rv = consensus_listen(n->consensus, c->listen_host, c->peer_port);
    return rv == 0 ? 0 : report_listen(s, "peer-port", c->peer_port, rv);
}

static int create_broker(struct start *s)
{
    struct node *n = s->node;
    n->server.groups = group_front_create(&n->server);
    const struct broker_options options = {.env = n->env,
                                           .logger = n->logger,
                                           .metrics = &n->metrics,
                                           .consensus = n->consensus,
                                           .data_dir = n->data_dir,
                                           .journal = n->journal,
                                           .cache_bytes = n->config.cache_bytes,
                                           .produce_bytes = n->config.produce_bytes,
                                           .producer_expiry_ms = n->config.producer_expiry_ms,
                                           .retention_check_ms = n->config.retention_check_ms,
                                           .scrub_interval_ms = n->config.scrub_interval_ms,
                                           .scrub_bytes_per_s = n->config.scrub_bytes_per_s,
                                           .offsets =
                                               groups_state_machine(group_front_groups(n->server.groups))};
    n->broker = broker_create(&options);
    n->server.broker = n->broker;
    return 0;
}

/* What the others are told of this node; its ports are known by now, also where the setting was 0. */
static void describe_self(struct node *n)
{
    snprintf(n->peer_address, sizeof(n->peer_address), "%s:%u", n->config.advertise_host, node_peer_port(n));
    n->self = (struct node_meta){.id = n->config.node_id,
                                 .peer_address = n->peer_address,
                                 .client_host = n->config.advertise_host,
                                 .client_port = node_client_port(n),
                                 .kafka_port = node_kafka_port(n),
                                 .http_port = node_http_port(n),
                                 .rack = n->config.rack,
                                 .software = (char *)(uintptr_t)SOFTWARE};
}

static unsigned list_peers(const struct node *n, struct cluster_peer *peers)
{
    for (unsigned i = 0; i < n->config.peer_count; i++) {
        const struct config_peer *p = &n->config.peers[i];
        peers[i] = (struct cluster_peer){p->id, p->host, p->port};
    }
    if (n->config.peer_count > 0)
        return n->config.peer_count;
    peers[0] = (struct cluster_peer){n->config.node_id, n->config.advertise_host, node_peer_port(n)};
    return 1;
}

static int start_cluster(struct start *s)
{
    struct node *n = s->node;
    struct cluster_peer peers[CONFIG_PEERS_MAX];
    describe_self(n);
    const struct cluster_options options = {.env = n->env,
                                            .logger = n->logger,
                                            .metrics = &n->metrics,
                                            .consensus = n->consensus,
                                            .data_dir = n->data_dir,
                                            .journal = n->journal,
                                            .cluster_id = n->config.cluster_id,
                                            .self = &n->self,
                                            .peers = peers,
                                            .peer_count = list_peers(n, peers),
                                            .default_partitions = n->config.default_partitions,
                                            .default_replicas = n->config.default_replicas,
                                            .offsets_partitions = n->config.offsets_partitions,
                                            .replicas = &replica_callbacks,
                                            .data = n};
    int rv = cluster_start(&options, &n->cluster, on_cluster_started);
    if (rv != 0) {
        snprintf(s->message, s->message_size, "can't open the cluster's metadata: %s", error_text(rv));
        return rv;
    }
    n->server.cluster = n->cluster;
    n->endpoints.cluster = n->cluster;
    broker_set_cluster(n->broker, n->cluster);
    return 0;
}

/* ---- start ---- */

static int64_t wall_ms(void *data)
{
    return env_wall_ms(data);
}

static struct node *create(struct env *env, const struct node_config *config)
{
    struct node *n = memory_zalloc(sizeof(*n));
    n->env = env;
    n->config = *config;
    n->logger = logger_create(STDERR_FILENO, config->node_id, config->log_level, wall_ms, env);
    metrics_init(&n->metrics);
    return n;
}

static void on_undone(void *data)
{
    *(bool *)data = true;
}

static void undo(struct node *n)
{
    struct env *env = n->env;
    bool done = false;
    node_stop(n, false, on_undone, &done);
    while (!done)
        env_run_once(env, true);
}

static void log_started(struct node *n)
{
    char directory[1100];
    LOG(n->logger, LOG_INFO, "started",
        "version=%s cluster=%s data_dir=%s listen=%s client_port=%u kafka_port=%u peer_port=%u http_port=%u "
        "advertise=%s "
        "nodes=%u",
        FLOTILLA_VERSION, n->config.cluster_id,
        logger_quote(directory, sizeof(directory), n->config.data_dir), n->config.listen_host,
        node_client_port(n), node_kafka_port(n), node_peer_port(n), node_http_port(n),
        n->config.advertise_host, n->config.peer_count > 0 ? n->config.peer_count : 1);
}

/* Reachable from elsewhere, but telling everybody to connect to themselves. */
static void warn_of_loopback(struct node *n)
{
    const struct node_config *c = &n->config;
    bool wildcard = strcmp(c->listen_host, "0.0.0.0") == 0 || strcmp(c->listen_host, "::") == 0;
    bool loopback = strncmp(c->advertise_host, "127.", 4) == 0 || strcmp(c->advertise_host, "localhost") == 0;
    if (wildcard && loopback)
        LOG(n->logger, LOG_WARN, "clients on other machines can't use this address: set advertise-host",
            "advertise=%s", c->advertise_host);
}

int node_start(struct env *env, const struct node_config *config, struct node **node, char *message,
               size_t message_size)
{
    static int (*const steps[])(struct start * s) = {open_data_dir, listen_clients, listen_kafka,
                                                     listen_http,   open_journal,   start_consensus,
                                                     create_broker, start_cluster};
    struct start s = {create(env, config), message, message_size};
    int rv = config_complete(&s.node->config, message, message_size);
    for (size_t i = 0; rv == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        rv = steps[i](&s);
    if (rv != 0) {
        undo(s.node);
        return rv;
    }
    node_metrics_add(s.node);
    s.node->started = true;
    log_started(s.node);
    warn_of_loopback(s.node);
    *node = s.node;
    return 0;
}

/* ---- questions ---- */

void node_on_fatal(struct node *n, void (*fatal)(void *data, const char *message), void *data)
{
    n->fatal = fatal;
    n->fatal_data = data;
}

uint16_t node_client_port(const struct node *n)
{
    return server_port(&n->server);
}

uint16_t node_kafka_port(const struct node *n)
{
    return server_kafka_port(&n->server);
}

uint16_t node_peer_port(const struct node *n)
{
    return consensus_port(n->consensus);
}

uint16_t node_http_port(const struct node *n)
{
    return n->http != NULL ? http_port(n->http) : 0;
}

struct logger *node_logger(struct node *n)
{
    return n->logger;
}
