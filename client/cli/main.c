/* The flotilla command: finds the sub-command and runs it. */
#include "client/cli/commands.h"
#include "client/cli/man.h"

#include "proto/nearest.h"
#include <signal.h>
#include <string.h>

static void print_overview(FILE *out)
{
    fprintf(out, "Flotilla: a replicated log cluster.\n\nUsage: flotilla COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        fprintf(out, "  %-18s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    }
    fprintf(
        out,
        "\n`flotilla COMMAND --help` shows a command's options with examples. Commands that talk to a "
        "cluster take\n"
        "--bootstrap HOST:PORT,... or FLOTILLA_BOOTSTRAP from the environment (default 127.0.0.1:9192).\n\n"
        "Exit status: 0 done; 1 refused or failed; 2 wrong command line; 3 no node answered; 4 lost, "
        "duplicated,\n"
        "reordered or damaged data was found; 130 interrupted before the end.\n");
}

/* The words of `name` that argv begins with; 0 when it begins with another command. */
static int words_matched(const char *name, int argc, char **argv)
{
    int words = 0;
    for (const char *at = name; *at != 0; words++) {
        size_t length = strcspn(at, " ");
        if (words >= argc || strlen(argv[words]) != length || strncmp(argv[words], at, length) != 0) {
            return 0;
        }
        at += length + (at[length] == ' ' ? 1 : 0);
    }
    return words;
}

/* `flotilla topic`: what there is under it. */
static bool print_group(const char *prefix)
{
    bool any = false;
    size_t length = strlen(prefix);
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        if (strncmp(cli_commands[i]->name, prefix, length) == 0 && cli_commands[i]->name[length] == ' ') {
            if (!any) {
                printf("Usage: flotilla %s COMMAND\n\n", prefix);
            }
            printf("  %-18s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
            any = true;
        }
    }
    return any;
}

static int unknown_command(int argc, char **argv)
{
    const char *names[64];
    char given[128];
    size_t count = 0;
    for (size_t i = 0; cli_commands[i] != NULL && count < 64; i++) {
        names[count++] = cli_commands[i]->name;
    }
    snprintf(given, sizeof(given), "%s%s%s", argv[0], argc > 1 && argv[1][0] != '-' ? " " : "",
             argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    const char *nearest = nearest_name(given, names, count);
    if (nearest == NULL) {
        nearest = nearest_name(argv[0], names, count);
    }
    if (nearest != NULL) {
        cli_error(NULL, "unknown command \"%s\"; did you mean \"%s\"?", given, nearest);
    } else {
        cli_error(NULL, "unknown command \"%s\"; `flotilla help` lists them", given);
    }
    return CLI_USAGE;
}

static const struct cli_command *find_command(int argc, char **argv, int *words)
{
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        *words = words_matched(cli_commands[i]->name, argc, argv);
        if (*words > 0) {
            return cli_commands[i];
        }
    }
    return NULL;
}

/* `flotilla help topic create` is `flotilla topic create --help`. */
static int help_on(int argc, char **argv)
{
    char *arguments[] = {argv[0], (char[]){"--help"}, NULL};
    int words = 0;
    const struct cli_command *command = find_command(argc, argv, &words);
    if (command != NULL) {
        return command->run(command, 2, arguments);
    }
    return argc == 1 && print_group(argv[0]) ? CLI_OK : unknown_command(argc, argv);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc > 2 && strcmp(argv[1], "help") == 0) {
        return help_on(argc - 2, argv + 2);
    }
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0) {
        print_overview(stdout);
        return argc < 2 ? CLI_USAGE : CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("flotilla %s\n", FLOTILLA_VERSION);
        return CLI_OK;
    }
    if (argc == 2 && strcmp(argv[1], "man") == 0) {
        man_print();
        return CLI_OK;
    }
    int words = 0;
    const struct cli_command *command = find_command(argc - 1, argv + 1, &words);
    if (command != NULL) {
        return command->run(command, argc - words, argv + words);
    }
    if (argc == 2 || strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0) {
        if (print_group(argv[1])) {
            return argc == 2 ? CLI_USAGE : CLI_OK;
        }
    }
    return unknown_command(argc - 1, argv + 1);
}
