#include "client/cli/man.h"

#include <string.h>

/* A minus that can be copied into a shell, and no control lines by accident. */
static void put(const char *text)
{
    for (const char *at = text; *at != 0; at++) {
        bool begins_line = at == text || at[-1] == '\n';
        if (begins_line && (*at == '.' || *at == '\'')) {
            fputs("\\&", stdout);
        }
        fputs(*at == '-' ? "\\-" : *at == '\\' ? "\\e" : (char[]){*at, 0}, stdout);
    }
}

static void put_bold(const char *text)
{
    fputs("\\fB", stdout);
    put(text);
    fputs("\\fR", stdout);
}

static void put_italic(const char *text)
{
    fputs("\\fI", stdout);
    put(text);
    fputs("\\fR", stdout);
}

static bool has_option(const struct cli_option *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(options[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Those of CLI_TARGET_OPTIONS are described once for all commands. */
static bool is_common(const struct cli_option *o)
{
    return strcmp(o->name, "bootstrap") == 0 || strcmp(o->name, "timeout") == 0 ||
           strcmp(o->name, "json") == 0;
}

static void put_option(const struct cli_option *o)
{
    char standard[64], letter[3] = {'-', o->letter, 0}, name[64];
    fputs(".TP\n", stdout);
    if (o->letter != 0) {
        put_bold(letter);
        fputs(", ", stdout);
    }
    snprintf(name, sizeof(name), "--%s", o->name);
    put_bold(name);
    if (o->argument != NULL) {
        putchar(' ');
        put_italic(o->argument);
    }
    putchar('\n');
    put(o->help);
    if (cli_option_default(o, standard, sizeof(standard))[0] != 0) {
        printf(" [");
        put(standard);
        putchar(']');
    }
    putchar('\n');
}

void man_print_command(const struct cli_command *command, const struct cli_option *options, size_t count)
{
    bool common = has_option(options, count, "bootstrap");
    fputs(".SS \"flotilla ", stdout);
    put(command->name);
    if (count > 0) {
        fputs(" [OPTIONS]", stdout);
    }
    printf("%s%s\"\n", command->arguments[0] != 0 ? " " : "", command->arguments);
    put(command->summary);
    fputs(".\n", stdout);
    if (common) {
        fputs("Takes the common options.\n", stdout);
    }
    for (size_t i = 0; i < count; i++) {
        if (!common || !is_common(&options[i])) {
            put_option(&options[i]);
        }
    }
    fputs(".PP\n.nf\n", stdout);
    put(command->examples);
    fputs("\n.fi\n", stdout);
}

static const char head[] =
    ".TH FLOTILLA 1 \"\" \"Flotilla " FLOTILLA_VERSION "\" \"User Commands\"\n"
    ".SH NAME\n"
    "flotilla \\- use and look after a Flotilla cluster, a replicated log\n"
    ".SH SYNOPSIS\n"
    "\\fBflotilla\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
    ".SH DESCRIPTION\n"
    "Creates topics, sends and reads records, shows a cluster\\(aqs state, runs clusters on this machine, "
    "measures "
    "them, and reads a\n"
    "node\\(aqs files. An acknowledged record is on the disks of a majority of its partition\\(aqs "
    "replicas.\n"
    ".SH COMMON OPTIONS\n"
    "Of every command that talks to a cluster.\n"
    ".TP\n"
    "\\fB\\-b\\fR, \\fB\\-\\-bootstrap\\fR \\fIHOST:PORT,...\\fR\n"
    "Nodes to ask first; the others are learnt from them. Without it \\fBFLOTILLA_BOOTSTRAP\\fR counts, else "
    "127.0.0.1:9192.\n"
    ".TP\n"
    "\\fB\\-\\-timeout\\fR \\fITIME\\fR\n"
    "How long to wait for an answer: 250ms, 10s, 5m. [10 s]\n"
    ".TP\n"
    "\\fB\\-\\-json\\fR\n"
    "JSON for scripts instead of text.\n"
    ".TP\n"
    "\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n"
    "The command\\(aqs options with examples.\n"
    ".SH COMMANDS\n";

static const char tail[] =
    ".SH EXIT STATUS\n"
    ".TP\n0\nDone.\n"
    ".TP\n1\nRefused or failed; the message says why.\n"
    ".TP\n2\nThe command line is wrong.\n"
    ".TP\n3\nNo node answered in time.\n"
    ".TP\n4\nLost, duplicated, reordered or damaged data was found.\n"
    ".TP\n130\nInterrupted before the end.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBFLOTILLA_BOOTSTRAP\\fR\nNodes to ask first, as with \\fB\\-\\-bootstrap\\fR.\n"
    ".TP\n\\fBNO_COLOR\\fR\nNo colours on a terminal.\n"
    ".TP\n\\fBTMPDIR\\fR\nWhere \\fBdemo\\fR and \\fBbench\\fR put the files of their clusters. [/tmp]\n"
    ".SH FILES\n"
    ".TP\n\\fI.flotilla\\fR\nThe directory of \\fBlocal\\fR commands without \\fB\\-\\-dir\\fR: "
    "cluster.json, and "
    "data, log and pid of each\nnode.\n"
    ".SH SEE ALSO\n"
    "\\fBflotillad\\fR(8)\n";

void man_print(void)
{
    char program[] = "flotilla", flag[] = MAN_FLAG;
    char *arguments[] = {program, flag, NULL};
    fputs(head, stdout);
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        cli_commands[i]->run(cli_commands[i], 2, arguments);
    }
    fputs(tail, stdout);
}
