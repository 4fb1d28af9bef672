/* flotilla doctor: a node's host and settings, before it starts or while it runs. */
#include "client/cli/commands.h"
#include "client/cli/doctor/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 64 };

extern char **environ;

struct doctor_finding *doctor_add(struct doctor_report *r, enum doctor_state state, const char *check,
                                  const char *format, ...)
{
    va_list arguments;
    r->findings = realloc(r->findings, (r->count + 1) * sizeof(*r->findings));
    if (r->findings == NULL) {
        abort();
    }
    struct doctor_finding *f = &r->findings[r->count++];
    *f = (struct doctor_finding){.state = state};
    snprintf(f->check, sizeof(f->check), "%s", check);
    va_start(arguments, format);
    vsnprintf(f->found, sizeof(f->found), format, arguments);
    va_end(arguments);
    return f;
}

void doctor_advise(struct doctor_finding *f, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->advice, sizeof(f->advice), format, arguments);
    va_end(arguments);
}

static const char *const state_names[] = {"ok", "consider", "change"};
static const enum cli_colour state_colours[] = {CLI_GREEN, CLI_YELLOW, CLI_RED};

static void print_text(const struct doctor_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct doctor_finding *f = &r->findings[i];
        printf("%s%-8s%s  %-10s  %s\n", cli_colour(stdout, state_colours[f->state]), state_names[f->state],
               cli_colour(stdout, CLI_PLAIN), f->check, f->found);
        if (f->advice[0] != 0) {
            printf("%-8s  %-10s  -> %s\n", "", "", f->advice);
        }
    }
}

static void print_json(const struct doctor_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct doctor_finding *f = &r->findings[i];
        json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "check", f->check, "state", state_names[f->state],
                                 "found", f->found, "advice", f->advice);
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    }
}

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
    (json ? print_json : print_text)(&report);
    status = CLI_OK;
    for (size_t i = 0; i < report.count; i++) {
        status = report.findings[i].state == DOCTOR_CHANGE ? CLI_FAILED : status;
    }
    free(report.findings);
    free(config);
    return status;
}

const struct cli_command cmd_doctor = {
    "doctor", "[-- NODE OPTIONS]", "Look at this host and a node's settings: what to change, and why",
    "  flotilla doctor --config /etc/flotilla/flotilla.yaml\n"
    "  flotilla doctor -- --node-id 1 --peers 1@ten:9292,2@eleven:9292,3@twelve:9292",
    run};
