/* Values of settings: text to field, and ranges to text. */
#include "node/base/assert.h"
#include "node/server/settings.h"
#include "proto/error.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {{"GiB", (uint64_t)1 << 30},
                                         {"MiB", (uint64_t)1 << 20},
                                         {"KiB", (uint64_t)1 << 10},
                                         {"B", 1},
                                         {"", 1},
                                         {NULL, 0}};
static const struct unit duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"min", 60000},
                                             {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(enum setting_kind kind)
{
    if (kind == SETTING_SIZE)
        return size_units;
    return kind == SETTING_DURATION ? duration_units : no_units;
}

/* Digits followed by one of the units. */
static bool parse_quantity(const char *text, const struct unit *units, uint64_t *value)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    while (*end == ' ')
        end++;
    for (; units->name != NULL; units++)
        if (strcmp(end, units->name) == 0)
            return !__builtin_mul_overflow((uint64_t)number, units->factor, value);
    return false;
}

/* In the largest unit that divides it. */
static void print_quantity(uint64_t value, const struct unit *units, char *out, size_t out_size)
{
    const struct unit *best = units;
    while (best[1].name != NULL && (value == 0 || value % best->factor != 0))
        best++;
    if (value == 0)
        snprintf(out, out_size, "0%s", units == duration_units ? "ms" : "");
    else
        snprintf(out, out_size, "%" PRIu64 "%s", value / best->factor, best->name);
}

void setting_range(const struct setting *s, char *out, size_t out_size)
{
    char low[32], high[32];
    switch (s->kind) {
    case SETTING_TEXT:
        snprintf(out, out_size, "text of %s%zu characters", s->min > 0 ? "1 to " : "at most ",
                 s->capacity - 1);
        return;
    case SETTING_PEERS:
        snprintf(out, out_size, "ID@HOST:PORT,... with 1 to %d nodes", CONFIG_PEERS_MAX);
        return;
    case SETTING_SWITCH:
        snprintf(out, out_size, "true, false");
        return;
    case SETTING_LEVEL:
        snprintf(out, out_size, "trace, debug, info, warn, error");
        return;
    default:
        print_quantity(s->min, units_of(s->kind), low, sizeof(low));
        print_quantity(s->max, units_of(s->kind), high, sizeof(high));
        snprintf(out, out_size, "%s to %s", low, high);
    }
}

/* ---- peers ---- */

static bool parse_port(const char *text, uint16_t *port)
{
    uint64_t value;
    if (!parse_quantity(text, no_units, &value) || value == 0 || value > 65535)
        return false;
    *port = (uint16_t)value;
    return true;
}

/* "2@host:9292", "2@[::1]:9292" */
static bool parse_peer(char *text, struct config_peer *peer)
{
    char *at = strchr(text, '@');
    char *colon = strrchr(text, ':');
    uint64_t id;
    if (at == NULL || colon == NULL || colon < at)
        return false;
    *at = *colon = '\0';
    char *host = at + 1;
    size_t host_size = strlen(host);
    if (host_size > 2 && host[0] == '[' && host[host_size - 1] == ']') {
        host[host_size - 1] = '\0';
        host++;
    }
    if (!parse_quantity(text, no_units, &id) || id == 0 || id > 65535 || !parse_port(colon + 1, &peer->port))
        return false;
    if (host[0] == '\0' || strlen(host) >= sizeof(peer->host) || strpbrk(host, " \t@") != NULL)
        return false;
    peer->id = (uint32_t)id;
    memcpy(peer->host, host, strlen(host) + 1);
    return true;
}

static int check_peer_unique(const struct node_config *config, const struct config_peer *peer, char *message,
                             size_t message_size)
{
    for (unsigned i = 0; i < config->peer_count; i++) {
        const struct config_peer *other = &config->peers[i];
        if (other->id == peer->id) {
            snprintf(message, message_size, "node %" PRIu32 " is listed twice", peer->id);
            return ERR_INVALID_CONFIG;
        }
        if (other->port == peer->port && strcmp(other->host, peer->host) == 0) {
            snprintf(message, message_size, "nodes %" PRIu32 " and %" PRIu32 " have the same address %s:%u",
                     other->id, peer->id, peer->host, peer->port);
            return ERR_INVALID_CONFIG;
        }
    }
    return 0;
}

static int set_peers(struct node_config *config, const char *text, char *message, size_t message_size)
{
    char copy[CONFIG_PEERS_MAX * 300];
    if (strlen(text) >= sizeof(copy)) {
        snprintf(message, message_size, "the list is too long (%zu characters)", strlen(text));
        return ERR_INVALID_CONFIG;
    }
    memcpy(copy, text, strlen(text) + 1);
    config->peer_count = 0;
    char *rest = copy, *item;
    while ((item = strsep(&rest, ",")) != NULL) {
        item += strspn(item, " ");
        struct config_peer peer = {0};
        char shown[80];
        snprintf(shown, sizeof(shown), "%s", item);
        if (!parse_peer(item, &peer)) {
            snprintf(message, message_size,
                     "\"%s\" is not a peer; use ID@HOST:PORT, for example 2@10.0.0.2:9292", shown);
            return ERR_INVALID_CONFIG;
        }
        if (config->peer_count == CONFIG_PEERS_MAX) {
            snprintf(message, message_size, "more than %d peers", CONFIG_PEERS_MAX);
            return ERR_INVALID_CONFIG;
        }
        int rv = check_peer_unique(config, &peer, message, message_size);
        if (rv != 0)
            return rv;
        config->peers[config->peer_count++] = peer;
    }
    return 0;
}

/* ---- the others ---- */

static int set_text(const struct setting *s, void *field, const char *text, char *message,
                    size_t message_size)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            snprintf(message, message_size, "the value holds a control character");
            return ERR_INVALID_CONFIG;
        }
    }
    if (size < s->min || size >= s->capacity) {
        char range[64];
        setting_range(s, range, sizeof(range));
        snprintf(message, message_size, "the value has %zu characters; allowed: %s", size, range);
        return ERR_INVALID_CONFIG;
    }
    memcpy(field, text, size + 1);
    return 0;
}

static int set_level(struct node_config *config, const char *text, char *message, size_t message_size)
{
    int level = log_level_parse(text);
    if (level < 0) {
        snprintf(message, message_size,
                 "\"%.40s\" is not a log level; allowed: trace, debug, info, warn, error", text);
        return ERR_INVALID_CONFIG;
    }
    config->log_level = (enum log_level)level;
    return 0;
}

static int set_switch(bool *field, const char *text, char *message, size_t message_size)
{
    bool on = strcmp(text, "true") == 0;
    if (!on && strcmp(text, "false") != 0) {
        snprintf(message, message_size, "\"%.40s\" is neither true nor false", text);
        return ERR_INVALID_CONFIG;
    }
    *field = on;
    return 0;
}

static const char *expected_form(enum setting_kind kind)
{
    if (kind == SETTING_SIZE)
        return "a size such as 64KiB or 16MiB";
    return kind == SETTING_DURATION ? "a duration such as 100ms or 10s" : "a whole number";
}

static void store_number(const struct setting *s, void *field, uint64_t value)
{
    if (s->kind == SETTING_PORT)
        *(uint16_t *)field = (uint16_t)value;
    else if (s->kind == SETTING_NUMBER)
        *(uint32_t *)field = (uint32_t)value;
    else
        *(uint64_t *)field = value;
}

static int set_number(const struct setting *s, void *field, const char *text, char *message,
                      size_t message_size)
{
    char range[64];
    uint64_t value;
    setting_range(s, range, sizeof(range));
    if (!parse_quantity(text, units_of(s->kind), &value)) {
        snprintf(message, message_size, "\"%.40s\" is not %s; allowed: %s", text, expected_form(s->kind),
                 range);
        return ERR_INVALID_CONFIG;
    }
    if (value < s->min || value > s->max) {
        snprintf(message, message_size, "%.40s is out of range; allowed: %s", text, range);
        return ERR_INVALID_CONFIG;
    }
    store_number(s, field, value);
    return 0;
}

int setting_set(const struct setting *s, struct node_config *config, const char *text, char *message,
                size_t message_size)
{
    void *field = (char *)config + s->field;
    switch (s->kind) {
    case SETTING_TEXT:
        return set_text(s, field, text, message, message_size);
    case SETTING_PEERS:
        return set_peers(config, text, message, message_size);
    case SETTING_SWITCH:
        return set_switch(field, text, message, message_size);
    case SETTING_LEVEL:
        return set_level(config, text, message, message_size);
    default:
        return set_number(s, field, text, message, message_size);
    }
}
