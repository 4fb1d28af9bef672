#include "node/server/settings.h"
#include "node/base/assert.h"
#include "proto/error.h"
#include "proto/nearest.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define FIELD(member) offsetof(struct node_config, member), sizeof(((struct node_config *)0)->member)
#define KIB           ((uint64_t)1024)
#define MIB           (KIB * 1024)
#define GIB           (MIB * 1024)
#define SECOND        ((uint64_t)1000)
#define MINUTE        (SECOND * 60)
#define HOUR          (MINUTE * 60)
#define DAY           (HOUR * 24)

static const struct setting table[] = {
    {"node-id", SETTING_NUMBER, FIELD(node_id), 1, 65535, "1", NULL,
     "This node's number in the cluster; it must be in peers when that is set, and never changes for a data "
     "directory."},
    {"data-dir", SETTING_TEXT, FIELD(data_dir), 1, 0, "flotilla-data", NULL,
     "Directory of this node's data. It is created when missing, bound to the node and the cluster, and "
     "locked."},
    {"peers", SETTING_PEERS, FIELD(peers), 0, CONFIG_PEERS_MAX, "", "a cluster of this node alone",
     "Every node of the cluster, this one included: ID@HOST:PORT,... with the ports that the nodes use among "
     "each other. "
     "The same on every node."},
    {"cluster-id", SETTING_TEXT, FIELD(cluster_id), 0, 0, "", "a UUID made from the peer list",
     "Name of the cluster. Nodes, clients and data directories of another cluster are refused."},
    {"listen-host", SETTING_TEXT, FIELD(listen_host), 0, 0, "",
     "127.0.0.1 when all peers are on this machine, otherwise 0.0.0.0",
     "Address that all of the node's ports listen on."},
    {"client-port", SETTING_PORT, FIELD(client_port), 0, 65535, "9192", NULL,
     "Port of the native client protocol; 0: any free one."},
    {"peer-port", SETTING_PORT, FIELD(peer_port), 0, 65535, "",
     "the port of this node's entry in peers, otherwise 9292", "Port for the other nodes; 0: any free one."},
    {"http-port", SETTING_PORT, FIELD(http_port), 0, 65535, "9392", NULL,
     "Port of /livez, /readyz and /metrics; 0: any free one."},
    {"kafka-port", SETTING_PORT, FIELD(kafka_port), 0, 65535, "9092", NULL,
     "Port of the Kafka protocol; 0: any free one."},
    {"advertise-host", SETTING_TEXT, FIELD(advertise_host), 0, 0, "",
     "this node's host in peers; without peers the listen-host",
     "Host name that clients are told to connect to."},
    {"rack", SETTING_TEXT, FIELD(rack), 0, 0, "", "no rack",
     "Rack or zone of this node; replicas are spread over racks first."},
    {"log-level", SETTING_LEVEL, FIELD(log_level), 0, 0, "info", NULL,
     "Least important log lines to write; also settable at run time."},
    {"default-partitions", SETTING_NUMBER, FIELD(default_partitions), 1, 10000, "6", NULL,
     "Partitions of a topic that is created without a number."},
    {"default-replicas", SETTING_NUMBER, FIELD(default_replicas), 1, 7, "3", NULL,
     "Replicas of a topic that is created without a number; at most as many as there are nodes."},
    {"auto-create-topics", SETTING_SWITCH, FIELD(auto_create_topics), 0, 1, "true", NULL,
     "Whether a topic that a Kafka client asks for is created when it is missing and the client allows it."},
    {"offsets-partitions", SETTING_NUMBER, FIELD(offsets_partitions), 1, 1000, "16", NULL,
     "Partitions of the topic that holds committed offsets; it counts only when the cluster is first "
     "started."},
    {"heartbeat", SETTING_DURATION, FIELD(heartbeat_ms), 5, 10 * SECOND, "100ms", NULL,
     "How often an idle leader tells its followers that it lives; half as often in partitions that have "
     "been quiet for a second."},
    {"election-timeout", SETTING_DURATION, FIELD(election_timeout_ms), 20, MINUTE, "500ms", NULL,
     "Silence after which followers elect another leader (between once and twice this); at least twice the "
     "heartbeat."},
    {"cache-bytes", SETTING_SIZE, FIELD(cache_bytes), 64 * KIB, GIB, "2MiB", NULL,
     "Newest records of each partition that is written to, kept in memory for readers."},
    {"entry-memory-bytes", SETTING_SIZE, FIELD(entry_memory_bytes), 256 * KIB, GIB, "2MiB", NULL,
     "Newest entries of each partition kept in memory for followers; one that is further behind is sent "
     "files."},
    {"entry-memory-total-bytes", SETTING_SIZE, FIELD(entry_memory_total_bytes), MIB, 64 * GIB, "256MiB", NULL,
     "Such entries of all partitions together: once half of it is in use, every partition may only keep its "
     "share of the other half."},
    {"inflight-bytes", SETTING_SIZE, FIELD(inflight_bytes), 64 * KIB, GIB, "32MiB", NULL,
     "Records of one partition that may wait for their acknowledgement; more is refused as overload."},
    {"produce-bytes", SETTING_SIZE, FIELD(produce_bytes), MIB, 64 * GIB, "256MiB", NULL,
     "Records of the whole node that may wait for their acknowledgement; more is refused as overload."},
    {"connection-bytes", SETTING_SIZE, FIELD(connection_bytes), 64 * KIB, GIB, "8MiB", NULL,
     "Unanswered request bytes of one client connection; over it, reading from the client stops until "
     "answers are out."},
    {"clients-bytes", SETTING_SIZE, FIELD(clients_bytes), 128 * MIB, 64 * GIB, "512MiB", NULL,
     "Memory of the whole node for requests that are not all there and answers that clients have not taken; "
     "over it, the clients "
     "with the largest share wait or are closed."},
    {"max-connections", SETTING_NUMBER, FIELD(max_connections), 1, 1000000, "10000", NULL,
     "Client connections at a time; more are refused with an error."},
    {"kafka-produce-bytes-per-second", SETTING_SIZE, FIELD(kafka_produce_bytes_per_s), 0, 64 * GIB, "0", NULL,
     "Bytes that each client id of the Kafka protocol may produce at this node per second, a second's worth "
     "at "
     "once; over it, the client is told to wait and not read meanwhile. 0: no quota."},
    {"kafka-fetch-bytes-per-second", SETTING_SIZE, FIELD(kafka_fetch_bytes_per_s), 0, 64 * GIB, "0", NULL,
     "The same for what a client id fetches. 0: no quota."},
    {"catchup-bytes-per-second", SETTING_SIZE, FIELD(catchup_bytes_per_s), MIB, 64 * GIB, "100MiB", NULL,
     "How fast a node fetches the files of all its replicas that have fallen behind."},
    {"producer-expiry", SETTING_DURATION, FIELD(producer_expiry_ms), MINUTE, 30 * DAY, "24h", NULL,
     "How long an idle idempotent producer is remembered."},
    {"retention-check", SETTING_DURATION, FIELD(retention_check_ms), 100, DAY, "1min", NULL,
     "How often leaders look for old records, and replicas delete what their leaders have decided to."},
    {"scrub-interval", SETTING_DURATION, FIELD(scrub_interval_ms), 0, 365 * DAY, "168h", NULL,
     "How often a node reads and checks all that it stores, so that what rots where nobody reads is repaired "
     "from the other nodes in time; first a tenth of that after its start. 0: never."},
    {"scrub-bytes-per-second", SETTING_SIZE, FIELD(scrub_bytes_per_s), 64 * KIB, 64 * GIB, "8MiB", NULL,
     "How fast it does so."},
    {"group-initial-delay", SETTING_DURATION, FIELD(group_initial_delay_ms), 0, MINUTE, "500ms", NULL,
     "How long a group of Kafka clients waits for more members before its first assignment."},
    {"group-session-timeout", SETTING_DURATION, FIELD(group_session_timeout_ms), 100, HOUR, "10s", NULL,
     "Time without a heartbeat after which a member of a group is given up, unless the member names its own; "
     "also what "
     "members have to find a new coordinator."},
    {"group-heartbeat", SETTING_DURATION, FIELD(group_heartbeat_ms), 30, 10 * MINUTE, "3s", NULL,
     "How often members of groups are told to send heartbeats; at most a third of their session timeout."},
    {"group-grace", SETTING_DURATION, FIELD(group_grace_ms), 100, HOUR, "1s", NULL,
     "Time after a member's connection was lost in which it may come back before it is given up, unless the "
     "member "
     "names its own; members with an instance id have their session timeout."},
    {"group-revocation-timeout", SETTING_DURATION, FIELD(group_revocation_timeout_ms), 100, HOUR, "1min",
     NULL,
     "Time in which a member must let go of partitions that another one is to have, unless the member names "
     "its own."},
    {"group-max-members", SETTING_NUMBER, FIELD(group_max_members), 1, 10000, "1000", NULL,
     "Members that a group may have."},
    {"max-groups", SETTING_NUMBER, FIELD(max_groups), 1, 1000000, "10000", NULL,
     "Groups that a partition of __consumer_offsets may hold: with members, with committed offsets, and of "
     "Kafka's "
     "classic protocol, so many of each. One more is refused."},
    {"offsets-retention", SETTING_DURATION, FIELD(offsets_retention_ms), SECOND, 365 * DAY, "168h", NULL,
     "How long the committed offsets of a group without members are kept."},
    {"shutdown-timeout", SETTING_DURATION, FIELD(shutdown_timeout_ms), 0, 10 * MINUTE, "10s", NULL,
     "Longest time that a planned stop spends on handing leaderships over; 0: hand nothing over."},
    {"flush-threads", SETTING_NUMBER, FIELD(flush_threads), 1, 64, "4", NULL,
     "Partitions whose records are written and synced at the same time."},
};

enum { SETTING_COUNT = sizeof(table) / sizeof(table[0]) };
_Static_assert((int)SETTING_COUNT <= (int)SETTINGS_MAX, "settings_state has a place for each setting");

const struct setting *settings_table(size_t *count)
{
    *count = SETTING_COUNT;
    return table;
}

const struct setting *settings_find(const char *name)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

/* The nearest known name, or NULL. */
static const char *settings_nearest(const char *name)
{
    const char *names[SETTING_COUNT];
    for (size_t i = 0; i < SETTING_COUNT; i++)
        names[i] = table[i].name;
    return nearest_name(name, names, SETTING_COUNT);
}

static int unknown_setting(const char *name, const char *place, char *message, size_t message_size)
{
    const char *nearest = settings_nearest(name);
    if (nearest != NULL)
        snprintf(message, message_size, "%s: unknown setting \"%.80s\"; did you mean \"%s\"?", place, name,
                 nearest);
    else
        snprintf(message, message_size,
                 "%s: unknown setting \"%.80s\"; flotillad --help lists the known ones", place, name);
    return ERR_INVALID_CONFIG;
}

int settings_assign(struct settings_state *state, const char *name, const char *text,
                    enum setting_source source, const char *place, char *message, size_t message_size)
{
    const struct setting *s = settings_find(name);
    if (s == NULL)
        return unknown_setting(name, place, message, message_size);
    enum setting_source *seen = &state->source[s - table];
    if (*seen == source) {
        snprintf(message, message_size, "%s: \"%s\" is set twice", place, name);
        return ERR_INVALID_CONFIG;
    }
    char reason[320];
    if (setting_set(s, state->config, text, reason, sizeof(reason)) != 0) {
        snprintf(message, message_size, "%s: %s: %s", place, name, reason);
        return ERR_INVALID_CONFIG;
    }
    *seen = source;
    return 0;
}

enum setting_source settings_source(const struct settings_state *state, const char *name)
{
    const struct setting *s = settings_find(name);
    ASSERT(s != NULL);
    return state->source[s - table];
}
