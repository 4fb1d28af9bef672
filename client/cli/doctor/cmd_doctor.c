/* flotilla doctor: a node's host and settings, before it starts or while it runs. */
#include "client/cli/commands.h"
#include "client/cli/doctor/doctor.h"

#include <stdlib.h>

enum { ARGUMENTS_MAX = 64 };

extern char **environ;

static bool load(const struct cli_command *self, struct node_config *config, const char *file, int count,
                 char **rest)
{
    char message[1024], program[] = "flotillad", flag[] = "--config", *arguments[ARGUMENTS_MAX];
    int n = 0;
    arguments[n++] = program;
    if (file != NULL) {
        arguments[n++] = flag;
        arguments[n++] = (char *)(uintptr_t)file;
    }
    for (int i = 0; i < count; i++) {
        arguments[n++] = rest[i];
    }
    arguments[n] = NULL;
    if (config_load(config, n, arguments, environ, message, sizeof(message)) != 0) {
        cli_error(self, "the node would not start: %s", message);
        return false;
    }
    return true;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
    const char *file = NULL;
    bool json = false;
    const struct cli_option options[] = {
        {.name = "config",
         .kind = CLI_TEXT,
         .value = &file,
         .argument = "FILE",
         .help = "the node's settings"},
        {.name = "json", .kind = CLI_FLAG, .value = &json, .help = "a line of JSON for each finding"},
    };
    char **rest = NULL;
    int count = 0;
    int status = cli_parse(self, options, 2, argc, argv, &rest, 0, &count, ARGUMENTS_MAX - 4);
    if (status >= 0) {
        return status;
    }
    struct node_config *config = calloc(1, sizeof(*config));
    struct doctor_report report = {NULL, 0};
    if (config == NULL || !load(self, config, file, count, rest)) {
        free(config);
        return CLI_USAGE;
    }
    doctor_files(&report, config);
    doctor_memory(&report, config);
    doctor_clock(&report);
    doctor_disk(&report, config);
    doctor_ports(&report, config);
    doctor_addresses(&report, config);
    doctor_print(&report, json);
    status = doctor_worst(&report) == DOCTOR_CHANGE ? CLI_FAILED : CLI_OK;
    doctor_close(&report);
    free(config);
    return status;
}

const struct cli_command cmd_doctor = {
    "doctor", "[-- NODE OPTIONS]", "Look at this host and a node's settings: what to change, and why",
    "  flotilla doctor --config /etc/flotilla/flotilla.yaml\n"
    "  flotilla doctor -- --node-id 1 --peers 1@ten:9292,2@eleven:9292,3@twelve:9292",
    run};
