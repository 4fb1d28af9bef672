#include "node/base/logger.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_SIZE = 2048, /* longer lines are cut */
    MESSAGE_SIZE = 512,
    RING_SIZE = 128 * 1024,
};

/* The ring holds whole lines back to back; a new line overwrites the oldest bytes:
 *
 *   ring: |...newest line\n|est line, first half gone\n|second oldest line\n|... |
 *                           ^ at
 */
struct logger {
    int fd;
    uint32_t node_id;
    enum log_level level;
    int64_t (*wall_ms)(void *data);
    void *data;
    time_t date_of; /* the second that `date` says */
    char date[32];
    size_t at;    /* where the next byte goes */
    bool wrapped; /* the bytes from `at` on are old lines, the first of them cut */
    char ring[RING_SIZE];
};

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error"};
enum { LEVELS = sizeof(level_names) / sizeof(level_names[0]) };

struct logger *logger_create(int fd, uint32_t node_id, enum log_level level, int64_t (*wall_ms)(void *data),
                             void *data)
{
    struct logger *l = memory_zalloc(sizeof(*l));
    l->fd = fd;
    l->node_id = node_id;
    l->level = level;
    l->wall_ms = wall_ms;
    l->data = data;
    assert_register_logger(l);
    return l;
}

void logger_destroy(struct logger *l)
{
    if (l == NULL)
        return;
    assert_unregister_logger(l);
    free(l);
}

void logger_set_level(struct logger *l, enum log_level level)
{
    l->level = level;
}

enum log_level logger_level(const struct logger *l)
{
    return l->level;
}

int log_level_parse(const char *name)
{
    for (int i = 0; i < LEVELS; i++) {
        if (strcmp(name, level_names[i]) == 0)
            return i;
    }
    return -1;
}

/* The escaped form of one byte in `out`; returns its length. Bytes of UTF-8 sequences pass. */
static unsigned long escape(unsigned char c, char out[5])
{
    const char *short_form = NULL;
    switch (c) {
    case '"':
        short_form = "\\\"";
        break;
    case '\\':
        short_form = "\\\\";
        break;
    case '\n':
        short_form = "\\n";
        break;
    case '\r':
        short_form = "\\r";
        break;
    case '\t':
        short_form = "\\t";
        break;
    default:
        if (c < 0x20 || c == 0x7f)
            return (unsigned long)snprintf(out, 5, "\\x%02x", c);
        out[0] = (char)c;
        return 1;
    }
    memcpy(out, short_form, 2);
    return 2;
}

char *logger_quote(char *out, unsigned long out_size, const char *text)
{
    ASSERT(out_size >= 3); /* two quotes and the final zero */
    unsigned long at = 0;
    out[at++] = '"';
    for (; *text != '\0'; text++) {
        char piece[5];
        unsigned long size = escape((unsigned char)*text, piece);
        if (size > out_size - at - 2)
            break;
        memcpy(out + at, piece, size);
        at += size;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}

static void ring_append(struct logger *l, const char *line, size_t size)
{
    size_t first = size < RING_SIZE - l->at ? size : RING_SIZE - l->at;
    memcpy(l->ring + l->at, line, first);
    memcpy(l->ring, line + first, size - first);
    l->at += size;
    if (l->at >= RING_SIZE) {
        l->at -= RING_SIZE;
        l->wrapped = true;
    }
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* a log that cannot be written must not stop the node */
        data += n;
        size -= (size_t)n;
    }
}

/* Appends to `line`, cutting what does not fit; one byte stays free for the newline. */
static size_t __attribute__((format(printf, 3, 0)))
line_append(char line[LINE_SIZE], size_t at, const char *format, va_list args)
{
    size_t space = LINE_SIZE - 1 - at;
    int n = vsnprintf(line + at, space, format, args);
    if (n < 0)
        return at;
    return (size_t)n < space ? at + (size_t)n : LINE_SIZE - 2;
}

static size_t __attribute__((format(printf, 3, 4)))
line_print(char line[LINE_SIZE], size_t at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    at = line_append(line, at, format, args);
    va_end(args);
    return at;
}

/* Most lines come in the same second as the one before. */
static const char *date_of(struct logger *l, time_t second)
{
    struct tm utc;
    if (second != l->date_of || l->date[0] == '\0') {
        gmtime_r(&second, &utc);
        strftime(l->date, sizeof(l->date), "%Y-%m-%dT%H:%M:%S", &utc);
        l->date_of = second;
    }
    return l->date;
}

static size_t line_begin(struct logger *l, char line[LINE_SIZE], enum log_level level)
{
    int64_t now_ms = l->wall_ms(l->data);
    return line_print(line, 0, "time=%s.%03dZ level=%s node=%u", date_of(l, (time_t)(now_ms / 1000)),
                      (int)(now_ms % 1000), level_names[level], l->node_id);
}

/* A line must stay one line, whatever the values hold. */
static void line_flatten(char *from, const char *end)
{
    for (; from < end; from++) {
        if (*from == '\n' || *from == '\r')
            *from = ' ';
    }
}

void logger_write(struct logger *l, enum log_level level, const char *message, const char *fields, ...)
{
    if (l == NULL)
        return;
    char line[LINE_SIZE];
    char quoted[MESSAGE_SIZE];
    size_t at = line_begin(l, line, level);
    if (fields[0] != '\0') {
        va_list args;
        va_start(args, fields);
        if (at < LINE_SIZE - 2)
            line[at++] = ' ';
        at = line_append(line, at, fields, args);
        va_end(args);
    }
    at = line_print(line, at, " msg=%s", logger_quote(quoted, sizeof(quoted), message));
    line_flatten(line, line + at);
    line[at++] = '\n';
    ring_append(l, line, at);
    if (level >= l->level)
        write_all(l->fd, line, at);
}

void logger_dump_recent(const struct logger *l, int fd)
{
    dprintf(fd, "--- recent log of node %u ---\n", l->node_id);
    if (l->wrapped) {
        const char *old = l->ring + l->at;
        size_t size = RING_SIZE - l->at;
        const char *cut = memchr(old, '\n', size);
        if (cut != NULL) {
            write_all(fd, cut + 1, size - (size_t)(cut + 1 - old));
        } else { /* the cut line continues at the ring's start */
            cut = memchr(l->ring, '\n', l->at);
            const char *begin = cut == NULL ? l->ring : cut + 1;
            write_all(fd, begin, l->at - (size_t)(begin - l->ring));
            return;
        }
    }
    write_all(fd, l->ring, l->at);
}
