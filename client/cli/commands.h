/* Every sub-command, for the table in main.c. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "client/cli/cli.h"

extern const struct cli_command cmd_topic_create, cmd_topic_list, cmd_topic_describe, cmd_topic_alter,
    cmd_topic_delete;
extern const struct cli_command cmd_produce, cmd_consume;
extern const struct cli_command cmd_group_list, cmd_group_describe, cmd_group_members, cmd_group_reset,
    cmd_group_delete;
extern const struct cli_command cmd_cluster_status, cmd_cluster_drain, cmd_cluster_log_level;
extern const struct cli_command cmd_local_start, cmd_local_status, cmd_local_env, cmd_local_kill,
    cmd_local_pause, cmd_local_resume, cmd_local_restart, cmd_local_stop, cmd_local_destroy, cmd_local_logs;
extern const struct cli_command cmd_bench_all, cmd_bench_produce, cmd_bench_consume, cmd_bench_e2e,
    cmd_bench_failover, cmd_bench_disturb, cmd_bench_sale, cmd_bench_start, cmd_bench_scale, cmd_bench_groups;
extern const struct cli_command cmd_log_dump, cmd_log_verify;
extern const struct cli_command cmd_demo;
extern const struct cli_command cmd_doctor;
extern const struct cli_command cmd_completion;

#endif
