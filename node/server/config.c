#include "node/server/config.h"
#include "node/base/assert.h"
#include "node/server/cluster_id.h"
#include "node/server/settings.h"
#include "proto/error.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VARIABLE_PREFIX "FLOTILLA_"

void config_defaults(struct node_config *config)
{
    size_t count;
    const struct setting *table = settings_table(&count);
    memset(config, 0, sizeof(*config));
    for (size_t i = 0; i < count; i++) {
        char message[320];
        if (table[i].standard[0] != '\0')
            ASSERT(setting_set(&table[i], config, table[i].standard, message, sizeof(message)) == 0);
    }
}

/* ---- flags ---- */

struct arguments {
    int count;
    char **values;
    int at;
    char *message;
    size_t message_size;
};

/* Splits "--name=value", or takes the next argument as the value. */
static int take_flag(struct arguments *a, char *name, size_t name_size, const char **value)
{
    const char *text = a->values[a->at++];
    if (strncmp(text, "--", 2) != 0 || text[2] == '\0') {
        snprintf(a->message, a->message_size,
                 "the command line: unexpected argument \"%.80s\"; settings are given as --name value", text);
        return ERR_INVALID_CONFIG;
    }
    const char *equals = strchr(text, '=');
    size_t size = equals != NULL ? (size_t)(equals - text - 2) : strlen(text + 2);
    if (size >= name_size)
        size = name_size - 1;
    memcpy(name, text + 2, size);
    name[size] = '\0';
    *value = equals != NULL ? equals + 1 : NULL;
    return 0;
}

static bool take_switch(struct node_config *config, const char *name, const char *value)
{
    bool *field = strcmp(name, "help") == 0             ? &config->help
                  : strcmp(name, "version") == 0        ? &config->version
                  : strcmp(name, "print-defaults") == 0 ? &config->print_defaults
                  : strcmp(name, "man") == 0            ? &config->man
                                                        : NULL;
    if (field == NULL || value != NULL)
        return false;
    *field = true;
    return true;
}

static int take_value(struct arguments *a, const char *name, const char **value)
{
    if (*value != NULL)
        return 0;
    if (a->at == a->count || strncmp(a->values[a->at], "--", 2) == 0) {
        snprintf(a->message, a->message_size, "the command line: --%s needs a value", name);
        return ERR_INVALID_CONFIG;
    }
    *value = a->values[a->at++];
    return 0;
}

static int take_config(struct arguments *a, bool config_pass, const char *value, const char **path)
{
    if (config_pass && *path != NULL) {
        snprintf(a->message, a->message_size, "the command line: \"config\" is set twice");
        return ERR_INVALID_CONFIG;
    }
    *path = value;
    return 0;
}

/* One flag with its value. An unknown name is refused before its value is looked at. */
static int parse_flag(struct settings_state *state, struct arguments *a, bool config_pass, const char **path)
{
    static const char place[] = "the command line";
    char name[64];
    const char *value;
    int rv = take_flag(a, name, sizeof(name), &value);
    if (rv != 0 || take_switch(state->config, name, value))
        return rv;
    bool is_config = strcmp(name, "config") == 0;
    if (!is_config && settings_find(name) == NULL)
        return settings_assign(state, name, "", SOURCE_FLAG, place, a->message, a->message_size);
    if ((rv = take_value(a, name, &value)) != 0)
        return rv;
    if (is_config)
        return take_config(a, config_pass, value, path);
    return config_pass ? 0
                       : settings_assign(state, name, value, SOURCE_FLAG, place, a->message, a->message_size);
}

/* `config_pass`: only looks for --config, whose settings must be known before the flags overrule them. */
static int parse_flags(struct settings_state *state, struct arguments *a, bool config_pass, const char **path)
{
    for (a->at = 1; a->at < a->count;) {
        const char *text = a->values[a->at];
        if (strcmp(text, "-h") == 0 || strcmp(text, "-V") == 0) {
            take_switch(state->config, text[1] == 'h' ? "help" : "version", NULL);
            a->at++;
            continue;
        }
        int rv = parse_flag(state, a, config_pass, path);
        if (rv != 0)
            return rv;
    }
    return 0;
}

/* ---- environment ---- */

static bool is_client_variable(const char *name)
{
    static const char *const known[] = {"FLOTILLA_BOOTSTRAP", "FLOTILLA_HTTP", "FLOTILLA_CONFIG",
                                        "FLOTILLA_CLUSTER"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

/* Kubernetes describes a service called "flotilla" to every pod in variables that look like ours:
 * FLOTILLA_PORT=tcp://..., FLOTILLA_SERVICE_HOST, FLOTILLA_CLIENT_PORT_9192_TCP_ADDR. */
static bool is_service_link(const char *name, const char *value)
{
    if (strncmp(value, "tcp://", 6) == 0 || strncmp(value, "udp://", 6) == 0)
        return true;
    if (strstr(name, "_SERVICE_HOST") != NULL || strstr(name, "_SERVICE_PORT") != NULL)
        return true;
    const char *port = strstr(name, "_PORT_");
    return port != NULL && isdigit((unsigned char)port[6]);
}

static void setting_of_variable(const char *variable, char *name, size_t name_size)
{
    size_t i = 0;
    for (const char *c = variable + strlen(VARIABLE_PREFIX); *c != '\0' && i + 1 < name_size; c++)
        name[i++] = *c == '_' ? '-' : (char)tolower((unsigned char)*c);
    name[i] = '\0';
}

static int parse_variable(struct settings_state *state, const char *text, const char **path, char *message,
                          size_t message_size)
{
    char variable[128], name[128], place[160];
    const char *equals = strchr(text, '=');
    if (equals == NULL || (size_t)(equals - text) >= sizeof(variable))
        return 0;
    memcpy(variable, text, (size_t)(equals - text));
    variable[equals - text] = '\0';
    if (strcmp(variable, "FLOTILLA_CONFIG") == 0 && *path == NULL)
        *path = equals + 1;
    if (is_client_variable(variable) || is_service_link(variable, equals + 1))
        return 0;
    setting_of_variable(variable, name, sizeof(name));
    snprintf(place, sizeof(place), "the environment's %s", variable);
    return settings_assign(state, name, equals + 1, SOURCE_ENVIRONMENT, place, message, message_size);
}

/* With `state` NULL only FLOTILLA_CONFIG is looked for. */
static int parse_environment(struct settings_state *state, char **environment, const char **path,
                             char *message, size_t message_size)
{
    const char *config_variable = VARIABLE_PREFIX "CONFIG=";
    for (char **e = environment; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0)
            continue;
        if (state == NULL) {
            if (*path == NULL && strncmp(*e, config_variable, strlen(config_variable)) == 0)
                *path = *e + strlen(config_variable);
            continue;
        }
        int rv = parse_variable(state, *e, path, message, message_size);
        if (rv != 0)
            return rv;
    }
    return 0;
}

/* ---- what must fit together ---- */

static const struct config_peer *own_entry(const struct node_config *config)
{
    for (unsigned i = 0; i < config->peer_count; i++)
        if (config->peers[i].id == config->node_id)
            return &config->peers[i];
    return NULL;
}

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcasecmp(host, "localhost") == 0;
}

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void complete_hosts(struct node_config *config)
{
    const struct config_peer *own = own_entry(config);
    bool local = true;
    for (unsigned i = 0; i < config->peer_count; i++)
        local = local && is_loopback(config->peers[i].host);
    if (config->listen_host[0] == '\0')
        snprintf(config->listen_host, sizeof(config->listen_host), "%s", local ? "127.0.0.1" : "0.0.0.0");
    if (config->advertise_host[0] != '\0')
        return;
    const char *host = own != NULL                        ? own->host
                       : is_wildcard(config->listen_host) ? "127.0.0.1"
                                                          : config->listen_host;
    snprintf(config->advertise_host, sizeof(config->advertise_host), "%s", host);
}

static int check_ports(const struct node_config *config, char *message, size_t message_size)
{
    const struct {
        const char *name;
        uint16_t port;
    } ports[] = {{"client-port", config->client_port},
                 {"peer-port", config->peer_port},
                 {"http-port", config->http_port}};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < i; k++) {
            if (ports[i].port != 0 && ports[i].port == ports[k].port) {
                snprintf(message, message_size, "%s and %s are both %u; each needs a port of its own",
                         ports[k].name, ports[i].name, ports[i].port);
                return ERR_INVALID_CONFIG;
            }
        }
    }
    return 0;
}

int config_complete(struct node_config *config, char *message, size_t message_size)
{
    if (config->peer_count > 0 && own_entry(config) == NULL) {
        snprintf(message, message_size,
                 "node-id %" PRIu32 " is not in peers; every node, this one included, must be listed there",
                 config->node_id);
        return ERR_INVALID_CONFIG;
    }
    if (config->election_timeout_ms < 2 * config->heartbeat_ms) {
        snprintf(message, message_size,
                 "election-timeout (%" PRIu64 "ms) must be at least twice the heartbeat (%" PRIu64 "ms)",
                 config->election_timeout_ms, config->heartbeat_ms);
        return ERR_INVALID_CONFIG;
    }
    int rv = check_ports(config, message, message_size);
    if (rv != 0)
        return rv;
    complete_hosts(config);
    cluster_id_derive(config);
    return 0;
}

static void complete_peer_port(struct settings_state *state)
{
    const struct config_peer *own = own_entry(state->config);
    if (settings_source(state, "peer-port") == SOURCE_DEFAULT)
        state->config->peer_port = own != NULL ? own->port : 9292;
}

int config_load(struct node_config *config, int argc, char **argv, char **environment, char *message,
                size_t message_size)
{
    struct settings_state state = {.config = config};
    struct arguments arguments = {argc, argv, 1, message, message_size};
    const char *path = NULL, *ignored = "";
    config_defaults(config);
    int rv = parse_flags(&state, &arguments, true, &path);
    if (rv != 0 || config->help || config->version || config->print_defaults)
        return rv;
    if ((rv = parse_environment(NULL, environment, &path, message, message_size)) != 0)
        return rv;
    if (path != NULL && (rv = config_file_load(&state, path, message, message_size)) != 0)
        return rv;
    if ((rv = parse_environment(&state, environment, &ignored, message, message_size)) != 0)
        return rv;
    if ((rv = parse_flags(&state, &arguments, false, &ignored)) != 0)
        return rv;
    complete_peer_port(&state);
    return config_complete(config, message, message_size);
}
