/* The table of settings and how one of them is parsed and printed: what config.c, config_file.c and
 * config_help.c share. Not for use outside these files. */
#ifndef SERVER_SETTINGS_H
#define SERVER_SETTINGS_H

#include "node/server/config.h"

enum setting_kind {
    SETTING_TEXT,
    SETTING_PORT,     /* uint16_t */
    SETTING_NUMBER,   /* uint32_t */
    SETTING_SIZE,     /* uint64_t bytes; KiB, MiB, GiB */
    SETTING_DURATION, /* uint64_t milliseconds; ms, s, min, h */
    SETTING_SWITCH,   /* bool; true, false */
    SETTING_LEVEL,    /* enum log_level */
    SETTING_PEERS,
};

struct setting {
    const char *name; /* kebab-case: the flag is --name, the variable FLOTILLA_NAME, the file's key name */
    enum setting_kind kind;
    size_t field;    /* offset in struct node_config */
    size_t capacity; /* of a text, its terminator included */
    uint64_t min, max;
    const char *standard; /* the default, as text; "" for none */
    const char *derived;  /* for an empty default: what is used instead */
    const char *help;
};

const struct setting *settings_table(size_t *count);
/* NULL when unknown. */
const struct setting *settings_find(const char *name);

/* Parses `text` into its field. On error a message that names the value and the allowed range (not the
 * setting). */
int setting_set(const struct setting *s, struct node_config *config, const char *text, char *message,
                size_t message_size);
/* "64KiB to 1GiB", "0 to 65535", "trace, debug, info, warn, error". */
void setting_range(const struct setting *s, char *out, size_t out_size);

/* Remembers where each setting got its value, so that the same source can't name it twice and a later source
 * can overrule an earlier one. */
enum setting_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };
enum { SETTINGS_MAX = 64 };
struct settings_state {
    struct node_config *config;
    enum setting_source source[SETTINGS_MAX];
};
/* Sets one by name. `place` begins the message: "flotilla.yaml line 3", "the environment", "the command
 * line". */
int settings_assign(struct settings_state *state, const char *name, const char *text,
                    enum setting_source source, const char *place, char *message, size_t message_size);
enum setting_source settings_source(const struct settings_state *state, const char *name);

/* config_file.c: a flat YAML mapping. */
int config_file_load(struct settings_state *state, const char *path, char *message, size_t message_size);

#endif
