#include "client/cli/connect.h"

#include <stdlib.h>

enum { ERROR_SIZE = 512 };

const char *cli_bootstrap(const struct cli_target *target)
{
    const char *environment = getenv("FLOTILLA_BOOTSTRAP");
    if (target->bootstrap != NULL) {
        return target->bootstrap;
    }
    return environment != NULL && environment[0] != 0 ? environment : "127.0.0.1:9192";
}

struct flotilla_client *cli_connect(const struct cli_command *command, const struct cli_target *target,
                                    const struct flotilla_options *options)
{
    struct flotilla_client *client = NULL;
    char error[ERROR_SIZE] = "";
    int status = flotilla_client_create(&client, cli_bootstrap(target), options, error, sizeof(error));
    if (status != 0) {
        cli_error(command, "%s", error[0] != 0 ? error : flotilla_error_text(status));
        return NULL;
    }
    return client;
}

int cli_failed(const struct cli_command *command, const struct cli_target *target, int status,
               const char *error)
{
    const char *text = error != NULL && error[0] != 0 ? error : flotilla_error_text(status);
    switch (status) {
    case FLOTILLA_ERR_CONNECTION_REFUSED:
    case FLOTILLA_ERR_CONNECTION_LOST:
    case FLOTILLA_ERR_UNREACHABLE:
        cli_error(
            command,
            "no node of %s answers: %s. Is the cluster running? --bootstrap or FLOTILLA_BOOTSTRAP names it",
            cli_bootstrap(target), text);
        return CLI_UNREACHABLE;
    case FLOTILLA_ERR_TIMED_OUT:
        cli_error(command, "%s", text);
        return CLI_UNREACHABLE;
    default:
        cli_error(command, "%s", text);
        return CLI_FAILED;
    }
}

bool cli_set(const struct cli_command *command, struct flotilla_options *options, const char *name,
             const char *value)
{
    char error[ERROR_SIZE] = "";
    int status = flotilla_options_set(options, name, value, error, sizeof(error));
    if (status != 0) {
        cli_error(command, "%s", error[0] != 0 ? error : flotilla_error_text(status));
    }
    return status == 0;
}

int cli_begin(const struct cli_command *command, struct cli_session *s, const struct cli_option *options,
              size_t count, int argc, char **argv, int min_rest, int max_rest)
{
    int status = cli_parse(command, options, count, argc, argv, &s->rest, min_rest, &s->rest_count, max_rest);
    if (status >= 0) {
        return status;
    }
    s->client = cli_connect(command, &s->target, NULL);
    return s->client != NULL ? -1 : CLI_USAGE;
}

int cli_end(const struct cli_command *command, struct cli_session *s, int status)
{
    flotilla_client_destroy(s->client);
    s->client = NULL;
    return status != 0 ? cli_failed(command, &s->target, status, s->error) : -1;
}

void cli_print_json(json_t *root)
{
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}
