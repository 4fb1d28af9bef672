/* What every command that talks to a cluster shares: where it is, how long to wait, and what a failure means.
 */
#ifndef CLI_CONNECT_H
#define CLI_CONNECT_H

#include "client/cli/cli.h"
#include "flotilla.h"

struct cli_target {
    const char *bootstrap; /* NULL: FLOTILLA_BOOTSTRAP, or 127.0.0.1:9192 */
    int64_t timeout_ms;
    bool json;
};

#define CLI_TARGET_DEFAULT                                                                                   \
    {                                                                                                        \
        NULL, 10000, false                                                                                   \
    }
/* The rows of an option table for a struct cli_target. */
#define CLI_TARGET_OPTIONS(target)                                                                           \
    {"bootstrap", 'b', CLI_TEXT, &(target).bootstrap, "HOST:PORT,...", "nodes to ask first", 0, 0},          \
        {"timeout", 0,       CLI_DURATION, &(target).timeout_ms, "TIME", "how long to wait for an answer",   \
         1,         86400000},                                                                               \
    {                                                                                                        \
        "json", 0, CLI_FLAG, &(target).json, NULL, "JSON for scripts instead of text", 0, 0                  \
    }

const char *cli_bootstrap(const struct cli_target *target);
/* NULL after printing why; `options` may be NULL. */
struct flotilla_client *cli_connect(const struct cli_command *command, const struct cli_target *target,
                                    const struct flotilla_options *options);
/* Prints the failure; returns the exit status that it stands for. */
int cli_failed(const struct cli_command *command, const struct cli_target *target, int status,
               const char *error);
/* Sets an option of the library; prints what is wrong with the value and returns false. */
bool cli_set(const struct cli_command *command, struct flotilla_options *options, const char *name,
             const char *value);

#endif
