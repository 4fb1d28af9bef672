/* What every command that talks to a cluster shares: where it is, how long to wait, and what a failure means.
 */
#ifndef CLI_CONNECT_H
#define CLI_CONNECT_H

#include "client/cli/cli.h"
#include "flotilla.h"
#include <jansson.h>

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
/* A command that makes its calls over one connection:
 *
 *     struct cli_session s = CLI_SESSION;
 *     struct cli_option options[] = {CLI_TARGET_OPTIONS(s.target)};
 *     int status = cli_begin(self, &s, options, 3, argc, argv, 1, 1);
 *     if (status < 0)
 *         status = cli_end(self, &s, call(s.client, s.rest[0], timeout, CLI_ERROR(s)));
 *     if (status < 0)
 *         the answer is there
 */
struct cli_session {
    struct cli_target target;
    struct flotilla_client *client;
    char **rest; /* the positional arguments */
    int rest_count;
    char error[512];
};
#define CLI_SESSION                                                                                          \
    {                                                                                                        \
        .target = CLI_TARGET_DEFAULT                                                                         \
    }
/* The arguments that every call of the library ends with. */
#define CLI_ERROR(s) (s).error, sizeof((s).error)
/* Parses, and connects. -1 to go on, else the exit status. */
int cli_begin(const struct cli_command *command, struct cli_session *s, const struct cli_option *options,
              size_t count, int argc, char **argv, int min_rest, int max_rest);
/* Hangs up. -1 when `status`, of the last call, is a success; else prints the failure and returns the exit
 * status. */
int cli_end(const struct cli_command *command, struct cli_session *s, int status);
/* One line on standard output; frees it. */
void cli_print_json(json_t *root);
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
