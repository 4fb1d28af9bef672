/* key=value log lines to a file descriptor, with a ring of the most recent ones (all levels) for
 * post-mortems:
 *
 *   time=2026-03-01T10:00:00.123Z level=info node=2 group=orders/3 term=7 msg="became leader"
 *
 * The logger is passed in; time comes from the owner's clock. Not thread-safe: loop only. */
#ifndef BASE_LOGGER_H
#define BASE_LOGGER_H

#include <stdint.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct logger;

/* `wall_ms(data)` gives milliseconds since the epoch. `fd` is not owned. */
struct logger *logger_create(int fd, uint32_t node_id, enum log_level level, int64_t (*wall_ms)(void *data),
                             void *data);
void logger_destroy(struct logger *l);
void logger_set_level(struct logger *l, enum log_level level);
enum log_level logger_level(const struct logger *l);
/* "info" -> LOG_INFO; -1 when unknown. */
int log_level_parse(const char *name);

/* Lines without fields are common: LOG(l, LOG_INFO, "stopped", ""). */
#pragma GCC diagnostic ignored "-Wformat-zero-length"

/* `fields` is a printf format of `key=value` pairs without the message, or "" - e.g.
 * LOG(l, LOG_INFO, "became leader", "group=%s term=%llu", name, term). Values with spaces must be quoted by
 * the caller with logger_quote. A NULL logger swallows the line. */
void logger_write(struct logger *l, enum log_level level, const char *message, const char *fields, ...)
    __attribute__((format(printf, 4, 5)));
#define LOG(logger, level, message, ...) logger_write((logger), (level), (message), __VA_ARGS__)

/* Writes text as a double-quoted, escaped value into `out` (truncated to fit) and returns `out`. */
char *logger_quote(char *out, unsigned long out_size, const char *text);

/* The most recent lines, oldest first. */
void logger_dump_recent(const struct logger *l, int fd);

#endif
