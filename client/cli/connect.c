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
