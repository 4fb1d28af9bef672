/* The named options of libflotilla, parsed. */
#ifndef CLIENT_CORE_OPTIONS_H
#define CLIENT_CORE_OPTIONS_H

#include "client/include/flotilla.h"
#include <stdbool.h>

enum { OPTION_TEXT_SIZE = 256 };
enum { ACKS_OPTION_ALL, ACKS_OPTION_LEADER, ACKS_OPTION_NONE }; /* values of `acks` */
enum { RESET_EARLIEST, RESET_LATEST, RESET_ERROR };             /* values of `reset` */
enum { AT_LEAST_ONCE, AT_MOST_ONCE };                           /* values of `processing` */
enum { DELIVER_FROM_POLL, DELIVER_FROM_IO };                    /* values of `delivery_thread` */

struct client_settings {
    char client_id[OPTION_TEXT_SIZE];
    char cluster_id[OPTION_TEXT_SIZE];
    int64_t request_timeout_ms;
    int64_t connect_timeout_ms;
    int64_t metadata_refresh_ms;

    int64_t acks;
    int64_t idempotence;
    int64_t retry_unknown;
    int64_t linger_ms;
    int64_t batch_bytes;
    int64_t compression; /* enum batch_codec */
    int64_t in_flight;
    int64_t delivery_timeout_ms;
    int64_t buffer_bytes;
    int64_t block_ms;
    int64_t delivery_thread;

    char group[OPTION_TEXT_SIZE];
    int64_t reset;
    int64_t prefetch_bytes;
    int64_t prefetch_total_bytes;
    int64_t commit_interval_ms;
    int64_t processing;
    int64_t report_end;

    char instance_id[OPTION_TEXT_SIZE];
    char rack[OPTION_TEXT_SIZE];
    int64_t assignor;
    int64_t session_timeout_ms;
    int64_t grace_ms;
    int64_t revocation_timeout_ms;
    int64_t max_poll_interval_ms;

    flotilla_log_cb log_cb;
    void *log_data;
    flotilla_partitioner_cb partitioner_cb; /* NULL: by key, else sticky */
    void *partitioner_data;
    flotilla_statistics_cb statistics_cb;
    void *statistics_data;
    int64_t statistics_interval_ms;
};

/* With a group, whether finished offsets are committed without being asked to. */
bool client_settings_commit_by_themselves(const struct client_settings *settings);
const char *client_settings_assignor(const struct client_settings *settings);
/* Copies what is set, or the defaults when `options` is NULL. */
void client_settings_from(struct client_settings *settings, const struct flotilla_options *options);

#endif
