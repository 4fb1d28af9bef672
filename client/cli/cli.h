/* The flotilla command: what its sub-commands share. Each sub-command is one file, cmd_*.c, that knows the
 * cluster through flotilla.h only (`log` reads files offline through node/storage/inspect.h). */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the exit status means, for scripts; `flotilla help` lists it. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* the operation was refused or failed */
    CLI_USAGE = 2,       /* the command line is wrong */
    CLI_UNREACHABLE = 3, /* no node of the cluster answered */
    CLI_DATA_LOSS = 4,   /* a check found lost, duplicated, reordered or damaged data */
    CLI_INTERRUPTED = 130,
};

/* ---- options ---- */

enum cli_option_kind {
    CLI_FLAG,     /* bool */
    CLI_TEXT,     /* const char * */
    CLI_NUMBER,   /* int64_t */
    CLI_SIZE,     /* int64_t bytes: 4096, 64KiB, 10MB */
    CLI_DURATION, /* int64_t milliseconds: 250ms, 10s, 5m, 7d */
    CLI_LIST,     /* struct cli_list: may be given more than once */
};

struct cli_list {
    const char **items;
    size_t count;
};

struct cli_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum cli_option_kind kind;
    void *value;          /* holds the default before parsing */
    const char *argument; /* in the help: "HOST:PORT,..." */
    const char *help;
    int64_t min, max; /* of numbers, sizes and durations; both 0: no bound */
};

struct cli_command {
    const char *name;      /* "topic create" */
    const char *arguments; /* "NAME"; positional ones, in the help */
    const char *summary;
    const char *examples; /* one a line */
    int (*run)(const struct cli_command *self, int argc, char **argv);
};

/* Parses argv[1..]; prints the help (exit 0) or what is wrong with the nearest known name (exit 2) and
 * returns that exit status, or -1 to go on. `rest` gets the positional arguments, of which there must be
 * `min_rest` to `max_rest`. */
int cli_parse(const struct cli_command *command, const struct cli_option *options, size_t count, int argc,
              char **argv, char ***rest, int min_rest, int *rest_count, int max_rest);

/* What the help shows as the default; "" for none. */
const char *cli_option_default(const struct cli_option *option, char *out, size_t size);

extern const struct cli_command *const cli_commands[]; /* NULL at the end */
void cli_list_free(struct cli_list *list);

/* "64KiB" -> 65536, "10s" -> 10000; false when the text is none. */
bool cli_parse_size(const char *text, int64_t *bytes);
bool cli_parse_duration(const char *text, int64_t *milliseconds);

/* ---- output ---- */

/* On stderr: "flotilla topic create: ..." */
void cli_error(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

bool cli_is_terminal(FILE *out);
/* One that does not know escape sequences. */
bool cli_is_dumb_terminal(void);
/* Escape sequences, or "" when `out` is no terminal, a dumb one, or NO_COLOR is set. */
enum cli_colour { CLI_PLAIN, CLI_BOLD, CLI_DIM, CLI_RED, CLI_GREEN, CLI_YELLOW, CLI_CYAN };
const char *cli_colour(FILE *out, enum cli_colour colour);

/* A table whose columns align; cells are copied. Numbers are aligned to the right when `right` says so. */
struct cli_table;
struct cli_table *cli_table_create(const char *const *headings, const bool *right, size_t columns);
void cli_table_cell(struct cli_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_table_print(const struct cli_table *t, FILE *out);
void cli_table_destroy(struct cli_table *t);

/* "1.5 GiB", "12,345" */
const char *cli_bytes(char *out, size_t size, uint64_t bytes);
const char *cli_count(char *out, size_t size, uint64_t count);

/* ---- time ---- */

uint64_t cli_now_ns(void);
int64_t cli_wall_ms(void);
void cli_sleep_ms(int64_t milliseconds);

#endif
