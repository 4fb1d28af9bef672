/* The configuration file: a flat YAML mapping of settings, read event by event so that every complaint has
 * its line. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/server/settings.h"
#include "proto/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct file_reader {
    yaml_parser_t parser;
    struct settings_state *state;
    const char *path;
    char *message;
    size_t message_size;
    char key[64];
    unsigned long key_line;
};

static int fail(struct file_reader *r, unsigned long line, const char *what)
{
    snprintf(r->message, r->message_size, "%s line %lu: %s", r->path, line, what);
    return ERR_INVALID_CONFIG;
}

static int next_event(struct file_reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return 0;
    const char *problem = r->parser.problem != NULL ? r->parser.problem : "not valid YAML";
    return fail(r, r->parser.problem_mark.line + 1, problem);
}

static int assign(struct file_reader *r, const char *value)
{
    char place[300];
    snprintf(place, sizeof(place), "%.200s line %lu", r->path, r->key_line);
    return settings_assign(r->state, r->key, value, SOURCE_FILE, place, r->message, r->message_size);
}

/* A list is another way to write a comma-separated value. The SEQUENCE-START event is consumed already. */
static int read_list(struct file_reader *r)
{
    char joined[4096] = "";
    size_t used = 0;
    for (;;) {
        yaml_event_t event;
        int rv = next_event(r, &event);
        if (rv != 0)
            return rv;
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return assign(r, joined);
        }
        if (event.type != YAML_SCALAR_EVENT) {
            rv = fail(r, event.start_mark.line + 1, "a list may hold plain values only");
        } else {
            int n = snprintf(joined + used, sizeof(joined) - used, "%s%s", used > 0 ? "," : "",
                             (const char *)event.data.scalar.value);
            if (n < 0 || (size_t)n >= sizeof(joined) - used)
                rv = fail(r, event.start_mark.line + 1, "the list is too long");
            else
                used += (size_t)n;
        }
        yaml_event_delete(&event);
        if (rv != 0)
            return rv;
    }
}

static int read_value(struct file_reader *r)
{
    yaml_event_t event;
    int rv = next_event(r, &event);
    if (rv != 0)
        return rv;
    char what[160];
    switch (event.type) {
    case YAML_SCALAR_EVENT:
        rv = assign(r, (const char *)event.data.scalar.value);
        break;
    case YAML_SEQUENCE_START_EVENT:
        yaml_event_delete(&event);
        return read_list(r);
    default:
        snprintf(what, sizeof(what), "\"%s\" must be a single value or a list, not a nested block", r->key);
        rv = fail(r, event.start_mark.line + 1, what);
    }
    yaml_event_delete(&event);
    return rv;
}

static int take_key(struct file_reader *r, const yaml_event_t *event)
{
    unsigned long line = event->start_mark.line + 1;
    if (event->type != YAML_SCALAR_EVENT)
        return fail(r, line, "expected \"setting: value\"");
    const char *key = (const char *)event->data.scalar.value;
    if (strlen(key) >= sizeof(r->key))
        return fail(r, line, "the setting's name is too long");
    memcpy(r->key, key, strlen(key) + 1);
    r->key_line = line;
    return read_value(r);
}

static int read_mapping(struct file_reader *r)
{
    for (;;) {
        yaml_event_t event;
        int rv = next_event(r, &event);
        if (rv != 0)
            return rv;
        bool end = event.type == YAML_MAPPING_END_EVENT;
        if (!end)
            rv = take_key(r, &event);
        yaml_event_delete(&event);
        if (end || rv != 0)
            return rv;
    }
}

/* An empty document, or one that holds "~", sets nothing. */
static bool is_null(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.length == 0;
}

static int read_stream(struct file_reader *r)
{
    for (;;) {
        yaml_event_t event;
        int rv = next_event(r, &event);
        if (rv != 0)
            return rv;
        yaml_event_type_t type = event.type;
        bool null = is_null(&event);
        unsigned long line = event.start_mark.line + 1;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return 0;
        if (type == YAML_MAPPING_START_EVENT)
            rv = read_mapping(r);
        else if (!null && type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT)
            rv = fail(r, line, "expected lines of the form \"setting: value\"");
        if (rv != 0)
            return rv;
    }
}

int config_file_load(struct settings_state *state, const char *path, char *message, size_t message_size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(message, message_size, "can't read the configuration file %s: %s", path, strerror(errno));
        return ERR_INVALID_CONFIG;
    }
    struct file_reader r = {.state = state, .path = path, .message = message, .message_size = message_size};
    ASSERT(yaml_parser_initialize(&r.parser));
    yaml_parser_set_input_file(&r.parser, file);
    int rv = read_stream(&r);
    yaml_parser_delete(&r.parser);
    fclose(file);
    return rv;
}
