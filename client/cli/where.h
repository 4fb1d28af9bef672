/* A place in a partition, as a user writes it. */
#ifndef CLI_WHERE_H
#define CLI_WHERE_H

#include "client/cli/cli.h"
#include "flotilla.h"

/* earliest (or beginning), latest (or end), an offset, a UTC time or a time ago; false after saying what
 * `option` takes. */
bool where_parse(const struct cli_command *command, const char *option, const char *text,
                 enum flotilla_start *start, int64_t *value);
/* The offset that it means in one partition now; 0, or the library's error. */
int where_resolve(struct flotilla_client *client, const char *topic, int32_t partition,
                  enum flotilla_start start, int64_t value, int timeout_ms, int64_t *offset, char *error,
                  size_t error_size);

#endif
