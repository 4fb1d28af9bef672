/* The node's settings: from a YAML file (--config), the environment (FLOTILLA_*) and flags, in rising
 * precedence. One table (config.c) holds each setting's name, kind, default, range, unit and help; flags,
 * environment names, file keys, `--help`, the man page and docs/configuration.md all come from it. Unknown
 * names are refused with the nearest known one. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "node/base/logger.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONFIG_PEERS_MAX = 7 };

struct config_peer {
    uint32_t id;
    char host[256];
    uint16_t port;
};

struct node_config {
    uint32_t node_id;
    char data_dir[1024];
    char cluster_id[64]; /* config_load fills it: from the peer list when it is not set */
    struct config_peer
        peers[CONFIG_PEERS_MAX]; /* --peers 1@host:9292,2@host:9292,...; empty: a single node */
    unsigned peer_count;
    char listen_host[256]; /* config_load fills it, likewise advertise_host */
    uint16_t client_port;  /* 9192 */
    uint16_t peer_port;    /* 9292 */
    uint16_t http_port;    /* 9392 */
    uint16_t kafka_port;   /* 9092 */
    char advertise_host[256];
    char rack[64];
    enum log_level log_level;
    uint32_t default_partitions;
    uint32_t default_replicas;
    bool auto_create_topics; /* for Kafka clients that allow it */
    uint32_t offsets_partitions;
    uint64_t heartbeat_ms;
    uint64_t election_timeout_ms;
    uint64_t cache_bytes;
    uint64_t entry_memory_bytes;
    uint64_t entry_memory_total_bytes;
    uint64_t inflight_bytes;
    uint64_t produce_bytes;
    uint64_t connection_bytes; /* unanswered bytes per client connection before reading stops */
    uint64_t clients_bytes;    /* of all clients: requests half-way in and answers half-way out */
    uint32_t max_connections;
    uint64_t kafka_produce_bytes_per_s; /* of a client id on this node; 0: no quota */
    uint64_t kafka_fetch_bytes_per_s;
    uint64_t catchup_bytes_per_s;
    uint64_t producer_expiry_ms;
    uint64_t retention_check_ms;
    uint64_t scrub_interval_ms; /* 0: never */
    uint64_t scrub_bytes_per_s;
    uint64_t group_initial_delay_ms;
    uint64_t group_session_timeout_ms;
    uint64_t group_heartbeat_ms;
    uint64_t group_grace_ms;
    uint64_t group_revocation_timeout_ms;
    uint32_t group_max_members;
    uint32_t max_groups;
    uint64_t offsets_retention_ms;
    uint64_t shutdown_timeout_ms;
    uint32_t flush_threads;
    bool help, version, print_defaults, man; /* what the command line asked for instead of running */

    /* Not settings, but what the simulator needs: its network does not reach the HTTP library, and with a
     * guard of consensus switched off (a mask of enum consensus_guard) it must find what that prevents. */
    bool http_off;
    unsigned guards_off;
};

/* All settings at their defaults, those that depend on others left empty. */
void config_defaults(struct node_config *config);
/* Fills what depends on other settings and is still empty, and checks what must fit together. config_load
 * calls it. */
int config_complete(struct node_config *config, char *message, size_t message_size);
/* Parses everything; on error a message that names the setting, the value, the allowed range and, for an
 * unknown one, the nearest name. */
int config_load(struct node_config *config, int argc, char **argv, char **environment, char *message,
                size_t message_size);
void config_print_help(int fd);
/* The man page; docs/man/flotillad.8 is this output, which a test checks. */
void config_print_man(int fd);
/* name, default, range, unit and help of each setting: for docs/configuration.md (kept in step by a test). */
void config_print_table(int fd);
/* A commented configuration file that sets nothing but defaults. */
void config_print_defaults(int fd);

#endif
