#include "client/cli/where.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool parse_time(const char *text, int64_t *milliseconds)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M",
                                          "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm parts = {0};
        const char *end = strptime(text, formats[i], &parts);
        if (end != NULL && (*end == 0 || strcmp(end, "Z") == 0)) {
            *milliseconds = (int64_t)timegm(&parts) * 1000;
            return true;
        }
    }
    int64_t ago = 0;
    if (text[0] == '-' && cli_parse_duration(text + 1, &ago)) {
        *milliseconds = cli_wall_ms() - ago;
        return true;
    }
    return false;
}

bool where_parse(const struct cli_command *command, const char *option, const char *text,
                 enum flotilla_start *start, int64_t *value)
{
    char *end;
    *value = 0;
    if (strcmp(text, "beginning") == 0 || strcmp(text, "earliest") == 0) {
        *start = FLOTILLA_START_BEGINNING;
        return true;
    }
    if (strcmp(text, "end") == 0 || strcmp(text, "latest") == 0) {
        *start = FLOTILLA_START_END;
        return true;
    }
    if (parse_time(text, value)) {
        *start = FLOTILLA_START_TIME;
        return true;
    }
    *start = FLOTILLA_START_OFFSET;
    *value = strtoll(text, &end, 10);
    if (end == text || *end != 0 || *value < 0) {
        cli_error(command,
                  "%s takes beginning, end, an offset, a UTC time (2026-03-01T10:00:00) or a time ago (-5m), "
                  "not \"%s\"",
                  option, text);
        return false;
    }
    return true;
}

int where_resolve(struct flotilla_client *client, const char *topic, int32_t partition,
                  enum flotilla_start start, int64_t value, int timeout_ms, int64_t *offset, char *error,
                  size_t error_size)
{
    int64_t time = start == FLOTILLA_START_BEGINNING ? FLOTILLA_OFFSET_BEGINNING
                   : start == FLOTILLA_START_TIME    ? value
                                                     : FLOTILLA_OFFSET_END;
    *offset = value;
    if (start == FLOTILLA_START_OFFSET) {
        return 0;
    }
    int rc = flotilla_offset_list(client, topic, partition, time, timeout_ms, offset, error, error_size);
    if (rc == 0 && *offset < 0) { /* nothing so late */
        rc = flotilla_offset_list(client, topic, partition, FLOTILLA_OFFSET_END, timeout_ms, offset, error,
                                  error_size);
    }
    return rc;
}
