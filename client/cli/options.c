#include "client/cli/cli.h"
#include "client/cli/man.h"

#include "proto/nearest.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

static bool parse_with_units(const char *text, const struct unit *units, size_t count, int64_t *value)
{
    char *end;
    if (!isdigit((unsigned char)text[0])) {
        return false; /* strtod would take " 1", "nan" and "inf" */
    }
    errno = 0;
    double number = strtod(text, &end);
    if (errno != 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(end, units[i].name) == 0) {
            double result = number * (double)units[i].factor;
            if (result > 9.0e18) {
                return false;
            }
            *value = (int64_t)result;
            return true;
        }
    }
    return false;
}

bool cli_parse_size(const char *text, int64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},          {"B", 1},         {"KiB", 1 << 10},   {"K", 1 << 10},
        {"KB", 1000},     {"MiB", 1 << 20}, {"M", 1 << 20},     {"MB", 1000000},
        {"GiB", 1 << 30}, {"G", 1 << 30},   {"GB", 1000000000},
    };
    return parse_with_units(text, units, sizeof(units) / sizeof(units[0]), bytes);
}

bool cli_parse_duration(const char *text, int64_t *milliseconds)
{
    static const struct unit units[] = {
        {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    return parse_with_units(text, units, sizeof(units) / sizeof(units[0]), milliseconds);
}

static bool parse_number(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && *end == 0 && errno == 0;
}

void cli_list_free(struct cli_list *list)
{
    free(list->items);
    *list = (struct cli_list){NULL, 0};
}

static void list_add(struct cli_list *list, const char *item)
{
    const char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (items == NULL) {
        abort();
    }
    list->items = items;
    items[list->count++] = item;
}

static const char *kind_hint(enum cli_option_kind kind)
{
    switch (kind) {
    case CLI_NUMBER:
        return "a whole number";
    case CLI_SIZE:
        return "a size such as 4096, 64KiB or 10MB";
    case CLI_DURATION:
        return "a duration such as 250ms, 10s or 7d";
    default:
        return "a value";
    }
}

static bool parse_bounded(const struct cli_command *command, const struct cli_option *option,
                          const char *text)
{
    int64_t value = 0;
    bool ok = option->kind == CLI_NUMBER ? parse_number(text, &value)
              : option->kind == CLI_SIZE ? cli_parse_size(text, &value)
                                         : cli_parse_duration(text, &value);
    if (!ok) {
        cli_error(command, "--%s takes %s, not \"%s\"", option->name, kind_hint(option->kind), text);
        return false;
    }
    if ((option->min != 0 || option->max != 0) && (value < option->min || value > option->max)) {
        cli_error(command, "--%s %s is out of range: %" PRId64 " to %" PRId64, option->name, text,
                  option->min, option->max);
        return false;
    }
    *(int64_t *)option->value = value;
    return true;
}

static bool take(const struct cli_command *command, const struct cli_option *option, const char *text)
{
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->value = true;
        return true;
    case CLI_TEXT:
        *(const char **)option->value = text;
        return true;
    case CLI_LIST:
        list_add(option->value, text);
        return true;
    default:
        return parse_bounded(command, option, text);
    }
}

const char *cli_option_default(const struct cli_option *o, char *out, size_t size)
{
    int64_t number =
        o->kind == CLI_FLAG || o->kind == CLI_TEXT || o->kind == CLI_LIST ? 0 : *(int64_t *)o->value;
    out[0] = 0;
    if (o->kind == CLI_TEXT && *(const char **)o->value != NULL) {
        snprintf(out, size, "%s", *(const char **)o->value);
    } else if (o->kind == CLI_NUMBER && number > 0) {
        snprintf(out, size, "%" PRId64, number);
    } else if (o->kind == CLI_SIZE && number != 0) {
        cli_bytes(out, size, (uint64_t)number);
    } else if (o->kind == CLI_DURATION && number != 0) {
        snprintf(out, size, number % 1000 == 0 ? "%" PRId64 " s" : "%" PRId64 " ms",
                 number % 1000 == 0 ? number / 1000 : number);
    }
    return out;
}

enum { HELP_COLUMN = 39, HELP_WIDTH = 80 };

static size_t print_word(const char *word, size_t size, size_t column)
{
    if (column > HELP_COLUMN && column + 1 + size > HELP_WIDTH) {
        printf("\n%*s", HELP_COLUMN, "");
        column = HELP_COLUMN;
    }
    return column + (size_t)printf("%s%.*s", column > HELP_COLUMN ? " " : "", (int)size, word);
}

/* Behind the option's name, and in lines of its own below when it is long. */
static void print_explanation(const struct cli_option *o)
{
    size_t column = HELP_COLUMN;
    char standard[64], bracketed[72];
    for (const char *word = o->help; *word != 0; word += strspn(word, " ")) {
        size_t size = strcspn(word, " ");
        column = print_word(word, size, column);
        word += size;
    }
    if (cli_option_default(o, standard, sizeof(standard))[0] != 0) {
        int size = snprintf(bracketed, sizeof(bracketed), "[%s]", standard);
        print_word(bracketed, (size_t)size, column);
    }
    putchar('\n');
}

static void print_help(const struct cli_command *command, const struct cli_option *options, size_t count)
{
    printf("%s\n\nUsage: flotilla %s%s%s%s\n", command->summary, command->name, count > 0 ? " [OPTIONS]" : "",
           command->arguments[0] != 0 ? " " : "", command->arguments);
    if (count > 0) {
        printf("\nOptions:\n");
    }
    for (size_t i = 0; i < count; i++) {
        const struct cli_option *o = &options[i];
        char left[80];
        char letter[8] = "    ";
        if (o->letter != 0) {
            snprintf(letter, sizeof(letter), "-%c, ", o->letter);
        }
        snprintf(left, sizeof(left), "%s--%s %s", letter, o->name, o->argument != NULL ? o->argument : "");
        printf("  %-36s ", left);
        print_explanation(o);
    }
    printf("  %-36s %s\n", "-h, --help", "this text");
    if (command->examples[0] != 0) {
        printf("\nExamples:\n%s\n", command->examples);
    }
}

static void report_unknown(const struct cli_command *command, const struct cli_option *options, size_t count,
                           const char *given)
{
    const char *names[64];
    char name[64];
    size_t n = 0;
    for (size_t i = 0; i < count && n < 63; i++) {
        names[n++] = options[i].name;
    }
    names[n++] = "help";
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(given, "="), given);
    const char *bare = name + strspn(name, "-");
    const char *nearest = nearest_name(bare, names, n);
    if (nearest != NULL) {
        cli_error(command, "unknown option %s; did you mean --%s?", name, nearest);
    } else {
        cli_error(command, "unknown option %s; `flotilla %s --help` lists them", name, command->name);
    }
}

enum { LONG_BASE = 1000, OPTIONS_MAX = 62 };

static size_t fill_getopt(const struct cli_option *options, size_t count, struct option *table, char *letters)
{
    size_t used = 0;
    letters[used++] = ':';
    letters[used++] = 'h';
    for (size_t i = 0; i < count; i++) {
        bool argument = options[i].kind != CLI_FLAG;
        table[i] = (struct option){options[i].name, argument ? required_argument : no_argument, NULL,
                                   LONG_BASE + (int)i};
        if (options[i].letter != 0) {
            letters[used++] = options[i].letter;
            if (argument) {
                letters[used++] = ':';
            }
        }
    }
    table[count] = (struct option){"help", no_argument, NULL, 'h'};
    table[count + 1] = (struct option){NULL, 0, NULL, 0};
    letters[used] = 0;
    return used;
}

static const struct cli_option *find_option(const struct cli_option *options, size_t count, int code)
{
    if (code >= LONG_BASE) {
        return &options[code - LONG_BASE];
    }
    for (size_t i = 0; i < count; i++) {
        if (options[i].letter != 0 && options[i].letter == code) {
            return &options[i];
        }
    }
    return NULL;
}

static int check_rest(const struct cli_command *command, int given, int min_rest, int max_rest)
{
    if (given < min_rest) {
        cli_error(command, "missing argument. Usage: flotilla %s %s", command->name, command->arguments);
        return CLI_USAGE;
    }
    if (given > max_rest) {
        cli_error(command, "too many arguments. Usage: flotilla %s %s", command->name, command->arguments);
        return CLI_USAGE;
    }
    return -1;
}

int cli_parse(const struct cli_command *command, const struct cli_option *options, size_t count, int argc,
              char **argv, char ***rest, int min_rest, int *rest_count, int max_rest)
{
    struct option table[OPTIONS_MAX + 2];
    char letters[2 * OPTIONS_MAX + 4];
    if (count > OPTIONS_MAX) {
        abort();
    }
    fill_getopt(options, count, table, letters);
    if (argc == 2 && strcmp(argv[1], MAN_FLAG) == 0) {
        man_print_command(command, options, count);
        return CLI_OK;
    }
    opterr = 0;
    optind = 0;
    int code;
    while ((code = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        if (code == 'h') {
            print_help(command, options, count);
            return CLI_OK;
        }
        if (code == ':') {
            cli_error(command, "%s needs a value", argv[optind - 1]);
            return CLI_USAGE;
        }
        if (code == '?' && optopt >= LONG_BASE) {
            cli_error(command, "--%s takes no value", options[optopt - LONG_BASE].name);
            return CLI_USAGE;
        }
        if (code == '?') {
            report_unknown(command, options, count, argv[optind - 1]);
            return CLI_USAGE;
        }
        const struct cli_option *option = find_option(options, count, code);
        if (option == NULL || !take(command, option, optarg)) {
            return CLI_USAGE;
        }
    }
    *rest = argv + optind;
    *rest_count = argc - optind;
    return check_rest(command, *rest_count, min_rest, max_rest);
}
