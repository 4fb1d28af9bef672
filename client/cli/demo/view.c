#include "client/cli/demo/view.h"

#include "client/cli/cli.h"
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PLAIN_EVERY_TICKS = 5, COLUMNS_DEFAULT = 80, BAR_MIN = 10, BAR_MAX = 60, ROW_WITHOUT_BAR = 40 };

static const char cursor_hide[] = "\033[?25l", cursor_show[] = "\033[?25h";
static const char wrap_off[] = "\033[?7l", wrap_on[] = "\033[?7h";
static const char clear_line[] = "\033[K";

static void open_events(struct demo_view *v)
{
    v->events_stream = open_memstream(&v->events, &v->events_size);
    if (v->events_stream == NULL) {
        abort();
    }
}

void demo_view_init(struct demo_view *v, bool quiet)
{
    memset(v, 0, sizeof(*v));
    setlocale(LC_CTYPE, "");
    v->quiet = quiet;
    v->live = !quiet && cli_is_terminal(stdout) && !cli_is_dumb_terminal();
    v->utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    v->started_ns = v->last_ns = cli_now_ns();
    open_events(v);
}

static double seconds(const struct demo_view *v)
{
    return (double)(cli_now_ns() - v->started_ns) / 1e9;
}

void demo_view_say(struct demo_view *v, const char *format, ...)
{
    va_list arguments;
    if (v->quiet) {
        return;
    }
    /* Under a picture it waits for the next one: both appear in one write. */
    FILE *out = v->drawn_lines > 0 ? v->events_stream : stdout;
    fprintf(out, "%5.1f s  ", seconds(v));
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    fprintf(out, "%s\n", v->drawn_lines > 0 ? clear_line : "");
    fflush(stdout);
}

static void put_events(struct demo_view *v, FILE *out)
{
    fclose(v->events_stream);
    fwrite(v->events, 1, v->events_size, out);
    free(v->events);
    open_events(v);
}

static void measure(struct demo_view *v, const struct fleet *f)
{
    uint64_t now = cli_now_ns();
    double elapsed = (double)(now - v->last_ns) / 1e9;
    for (unsigned i = 0; i <= f->reader_count; i++) {
        uint64_t count = i == 0 ? f->ledger.acknowledged : f->reader[i - 1].ledger.distinct;
        v->rate[i] = elapsed > 0 ? (double)(count - v->last_count[i]) / elapsed : 0;
        v->last_count[i] = count;
    }
    v->last_ns = now;
}

/* Padded before it is coloured: escape sequences have no width. */
static void put_node(FILE *out, unsigned id, const struct demo_node_view *n)
{
    char text[32];
    snprintf(text, sizeof(text), n->down ? "killed" : "up, leads %" PRIu32, n->leads);
    fprintf(out, " %s%u%s %s%-13s%s", cli_colour(stdout, CLI_BOLD), id, cli_colour(stdout, CLI_PLAIN),
            cli_colour(stdout, n->down ? CLI_RED : CLI_GREEN), text, cli_colour(stdout, CLI_PLAIN));
}

/* ---- plain lines ---- */

static void print_plain(const struct demo_view *v, const struct fleet *f, const struct demo_node_view *nodes,
                        unsigned node_count)
{
    char count[32];
    printf("%5.1f s  acknowledged %s (%.0f/s), read", seconds(v),
           cli_count(count, sizeof(count), v->last_count[0]), v->rate[0]);
    for (unsigned i = 0; i < f->reader_count; i++) {
        printf("%s %s %s", i > 0 ? "," : "", f->readers[i],
               cli_count(count, sizeof(count), v->last_count[i + 1]));
    }
    fputs("; node leads", stdout);
    for (unsigned i = 0; i < node_count; i++) {
        printf(nodes[i].down ? " %u: killed" : " %u: %" PRIu32, i + 1, nodes[i].leads);
    }
    putchar('\n');
    fflush(stdout);
}

/* ---- the picture ---- */

static unsigned bar_width(void)
{
    struct winsize size = {0};
    int columns = COLUMNS_DEFAULT;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        columns = size.ws_col;
    }
    int width = columns - ROW_WITHOUT_BAR;
    return (unsigned)(width < BAR_MIN ? BAR_MIN : width > BAR_MAX ? BAR_MAX : width);
}

static void put_bar(const struct demo_view *v, FILE *out, uint64_t done, uint64_t all)
{
    unsigned width = bar_width();
    unsigned filled = all > 0 ? (unsigned)(done * width / all) : 0;
    fputs(cli_colour(stdout, CLI_CYAN), out);
    for (unsigned i = 0; i < width; i++) {
        if (i == filled) {
            fputs(cli_colour(stdout, CLI_DIM), out);
        }
        fputs(i < filled ? (v->utf8 ? "━" : "=") : v->utf8 ? "·" : ".", out);
    }
    fputs(cli_colour(stdout, CLI_PLAIN), out);
}

static void put_row(struct demo_view *v, FILE *out, const struct fleet *f, unsigned row)
{
    char count[32];
    fprintf(out, "  %-14s ", row == 0 ? "acknowledged" : f->readers[row - 1]);
    put_bar(v, out, v->last_count[row], f->count);
    fprintf(out, " %9s %7.0f/s%s\n", cli_count(count, sizeof(count), v->last_count[row]), v->rate[row],
            clear_line);
    v->drawn_lines++;
}

static void draw(struct demo_view *v, const struct fleet *f, const struct demo_node_view *nodes,
                 unsigned node_count)
{
    char *picture = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&picture, &size);
    if (out == NULL) {
        abort();
    }
    fprintf(out, "%s%s", cursor_hide, wrap_off);
    if (v->drawn_lines > 0) {
        fprintf(out, "\033[%uA", v->drawn_lines);
    }
    v->drawn_lines = 0;
    put_events(v, out);
    fprintf(out, "%s\n  nodes         ", clear_line);
    for (unsigned i = 0; i < node_count; i++) {
        put_node(out, i + 1, &nodes[i]);
    }
    fprintf(out, "%s\n", clear_line);
    v->drawn_lines += 2;
    for (unsigned row = 0; row <= f->reader_count; row++) {
        put_row(v, out, f, row);
    }
    fputs(wrap_on, out);
    fclose(out);
    fwrite(picture, 1, size, stdout); /* at once: a picture in pieces flickers */
    fflush(stdout);
    free(picture);
}

void demo_view_show(struct demo_view *v, const struct fleet *f, const struct demo_node_view *nodes,
                    unsigned node_count, bool last)
{
    if (v->quiet) {
        return;
    }
    if (v->live) {
        measure(v, f);
        draw(v, f, nodes, node_count);
    } else if (last || v->ticks % PLAIN_EVERY_TICKS == 0) {
        measure(v, f);
        print_plain(v, f, nodes, node_count);
    }
    v->ticks++;
}

void demo_view_close(struct demo_view *v)
{
    put_events(v, stdout);
    if (v->drawn_lines > 0) {
        fputs(cursor_show, stdout);
        fflush(stdout);
    }
    fclose(v->events_stream);
    free(v->events);
}

void demo_view_restore_terminal(void)
{
    if (isatty(STDOUT_FILENO) == 1) {
        dprintf(STDOUT_FILENO, "%s%s\n", cursor_show, wrap_on);
    }
}
