/* The command line: sizes, durations, bounds, and what a mistyped one gets for an answer. */
#include "client/cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct cli_command command = {"topic create", "NAME", "Create a topic",
                                           "  flotilla topic create x", NULL};

/* What a call prints on a stream. */
struct capture {
    FILE *stream;
    FILE *file;
    int saved;
};

static struct capture capture_begin(FILE *stream)
{
    struct capture c = {.stream = stream, .file = tmpfile()};
    assert_non_null(c.file);
    fflush(stream);
    c.saved = dup(fileno(stream));
    assert_true(dup2(fileno(c.file), fileno(stream)) >= 0);
    return c;
}

static void capture_end(struct capture *c, char *out, size_t size)
{
    fflush(c->stream);
    dup2(c->saved, fileno(c->stream));
    close(c->saved);
    rewind(c->file);
    out[fread(out, 1, size - 1, c->file)] = 0;
    fclose(c->file);
}

struct parsed {
    int status;
    bool flag;
    const char *text;
    int64_t number, size, duration;
    struct cli_list list;
    char **rest;
    int rest_count;
    char output[4096]; /* stderr */
    char help[4096];   /* stdout */
};

static struct parsed parse(char **arguments)
{
    struct parsed p = {.text = "standard", .number = 5, .size = 65536, .duration = 1500};
    const struct cli_option options[] = {
        {"flag", 'f', CLI_FLAG, &p.flag, NULL, "a flag", 0, 0},
        {"text", 't', CLI_TEXT, &p.text, "TEXT", "a text", 0, 0},
        {"partitions", 'p', CLI_NUMBER, &p.number, "N", "a number", 1, 100},
        {"size", 0, CLI_SIZE, &p.size, "SIZE",
         "a size whose explanation takes more room than there is behind it", 1024, 1 << 20},
        {"wait", 0, CLI_DURATION, &p.duration, "TIME", "a duration", 0, 0},
        {"item", 'i', CLI_LIST, &p.list, "ITEM", "many", 0, 0},
    };
    char *argv[16] = {(char *)(uintptr_t) "create"};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++) {
        argv[argc] = arguments[argc - 1];
    }
    static char *kept[16]; /* the positional arguments outlive this call */
    memcpy(kept, argv, sizeof(kept));
    struct capture out = capture_begin(stdout), err = capture_begin(stderr);
    p.status = cli_parse(&command, options, sizeof(options) / sizeof(options[0]), argc, kept, &p.rest, 1,
                         &p.rest_count, 2);
    capture_end(&err, p.output, sizeof(p.output));
    capture_end(&out, p.help, sizeof(p.help));
    return p;
}

#define PARSE(...) parse((char *[]){__VA_ARGS__, NULL})

static void assert_refused(struct parsed p, const char *why)
{
    cli_list_free(&p.list);
    assert_int_equal(p.status, CLI_USAGE);
    assert_non_null(strstr(p.output, "flotilla topic create:"));
    if (strstr(p.output, why) == NULL) {
        fail_msg("no \"%s\" in: %s", why, p.output);
    }
}

static void sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0},           {"4096", 4096},        {"64KiB", 65536},    {"64k", 65536},
                {"10MB", 10000000}, {"1.5MiB", 1572864},   {"2GiB", 1ll << 31}, {"3GB", 3000000000},
                {"8B", 8},          {"7 GiB", -1},         {"1KiBs", -1},       {"-1", -1},
                {"", -1},           {"KiB", -1},           {"1e30GiB", -1},     {"nan", -1},
                {"inf", -1},        {"99999999999GiB", -1}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t bytes = -1;
        if (cli_parse_size(good[i].text, &bytes) != (good[i].bytes >= 0) || bytes != good[i].bytes) {
            fail_msg("\"%s\" gives %lld", good[i].text, (long long)bytes);
        }
    }
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"250ms", 250},  {"10s", 10000},    {"0.5s", 500},  {"5m", 300000}, {"5min", 300000},
                 {"2h", 7200000}, {"7d", 604800000}, {"1000", 1000}, {"5 s", -1},    {"5x", -1},
                 {"-5s", -1},     {"s", -1},         {"", -1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -1;
        if (cli_parse_duration(cases[i].text, &ms) != (cases[i].ms >= 0) || ms != cases[i].ms) {
            fail_msg("\"%s\" gives %lld", cases[i].text, (long long)ms);
        }
    }
}

static void all_kinds(void **state)
{
    (void)state;
    struct parsed p = PARSE("--flag", "name", "--text=a=b", "-p", "7", "--size", "2KiB", "--wait", "2s", "-i",
                            "one", "--item", "two");
    assert_int_equal(p.status, -1);
    assert_true(p.flag);
    assert_string_equal(p.text, "a=b");
    assert_int_equal(p.number, 7);
    assert_int_equal(p.size, 2048);
    assert_int_equal(p.duration, 2000);
    assert_int_equal(p.list.count, 2);
    assert_string_equal(p.list.items[1], "two");
    assert_int_equal(p.rest_count, 1);
    assert_string_equal(p.rest[0], "name");
    assert_string_equal(p.output, "");
    cli_list_free(&p.list);
}

static void defaults_stay(void **state)
{
    (void)state;
    struct parsed p = PARSE("name", "--", "--flag");
    assert_int_equal(p.status, -1);
    assert_false(p.flag);
    assert_string_equal(p.text, "standard");
    assert_int_equal(p.number, 5);
    assert_int_equal(p.rest_count, 2);
    assert_string_equal(p.rest[1], "--flag");
}

static void refusals(void **state)
{
    (void)state;
    assert_refused(PARSE("x", "--partitoins", "3"),
                   "unknown option --partitoins; did you mean --partitions?");
    assert_refused(PARSE("x", "--partitoins=3"), "did you mean --partitions?");
    assert_refused(PARSE("x", "--zzzzzzzz"), "`flotilla topic create --help` lists them");
    assert_refused(PARSE("x", "-q"), "unknown option -q");
    assert_refused(PARSE("x", "--partitions", "0"), "--partitions 0 is out of range: 1 to 100");
    assert_refused(PARSE("x", "--partitions", "101"), "out of range");
    assert_refused(PARSE("x", "--partitions", "3x"), "takes a whole number, not \"3x\"");
    assert_refused(PARSE("x", "--partitions", "99999999999999999999"), "takes a whole number");
    assert_refused(PARSE("x", "--size", "1MB/s"), "takes a size such as");
    assert_refused(PARSE("x", "--size", "2GiB"), "out of range");
    assert_refused(PARSE("x", "--wait", "soon"), "takes a duration such as");
    assert_refused(PARSE("x", "--partitions"), "--partitions needs a value");
    assert_refused(PARSE("x", "--flag=yes"), "--flag takes no value");
    assert_refused(PARSE("--flag"), "missing argument. Usage: flotilla topic create NAME");
    assert_refused(PARSE("a", "b", "c"), "too many arguments");
}

static void help_shows_everything(void **state)
{
    (void)state;
    static const char *const shown[] = {"Create a topic",     "Usage: flotilla topic create [OPTIONS] NAME",
                                        "-p, --partitions N", "[5]",
                                        "[64 KiB]",           "[1500 ms]",
                                        "[standard]",         "Examples:\n  flotilla topic create x"};
    struct parsed p = PARSE("--help");
    assert_int_equal(p.status, CLI_OK);
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        if (strstr(p.help, shown[i]) == NULL) {
            fail_msg("no \"%s\" in: %s", shown[i], p.help);
        }
    }
    for (const char *line = p.help; *line != 0; line += strspn(line, "\n")) {
        size_t length = strcspn(line, "\n");
        if (length > 80) {
            fail_msg("wider than a terminal: %.*s", (int)length, line);
        }
        line += length;
    }
}

static void numbers_for_people(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(cli_count(text, sizeof(text), 0), "0");
    assert_string_equal(cli_count(text, sizeof(text), 999), "999");
    assert_string_equal(cli_count(text, sizeof(text), 1000), "1,000");
    assert_string_equal(cli_count(text, sizeof(text), 1234567), "1,234,567");
    assert_string_equal(cli_count(text, sizeof(text), UINT64_MAX), "18,446,744,073,709,551,615");
    assert_string_equal(cli_bytes(text, sizeof(text), 1023), "1023 B");
    assert_string_equal(cli_bytes(text, sizeof(text), 1536), "1.5 KiB");
    assert_string_equal(cli_bytes(text, sizeof(text), 1ull << 30), "1 GiB");
}

static void table_is_aligned(void **state)
{
    (void)state;
    static const char *const headings[] = {"NAME", "N", "LAST"};
    static const bool right[] = {false, true, false};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct cli_table *t = cli_table_create(headings, right, 3);
    for (int i = 0; i < 2; i++) {
        cli_table_cell(t, i == 0 ? "a" : "longer");
        cli_table_cell(t, "%d", i == 0 ? 7 : 1234);
        cli_table_cell(t, i == 0 ? "x" : "");
    }
    cli_table_print(t, out);
    cli_table_destroy(t);
    fclose(out);
    assert_string_equal(text, "NAME       N  LAST\n"
                              "a          7  x\n"
                              "longer  1234\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(all_kinds),
        cmocka_unit_test(defaults_stay),
        cmocka_unit_test(refusals),
        cmocka_unit_test(help_shows_everything),
        cmocka_unit_test(numbers_for_people),
        cmocka_unit_test(table_is_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
