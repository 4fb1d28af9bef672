/* Where a cluster's files and ports are: its directory and cluster.json. */
#include "client/cli/local/local_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PORT_FIRST = 19000, PORT_LAST = 31000, PORTS_PER_NODE = 10 };

bool local_fail(struct local_cluster *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->error, sizeof(c->error), format, arguments);
    va_end(arguments);
    return false;
}

void local_node_path(const struct local_cluster *c, unsigned id, const char *file, char *out, size_t size)
{
    snprintf(out, size, "%s/node-%u%s%s", c->directory, id, file[0] != 0 ? "/" : "", file);
}

struct local_node *local_find_node(struct local_cluster *c, unsigned id)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (c->nodes[i].id == id) {
            return &c->nodes[i];
        }
    }
    local_fail(c, "there is no node %u; this cluster has nodes 1 to %u", id, c->count);
    return NULL;
}

/* ---- ports ---- */

static bool port_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool ok = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return ok;
}

static void assign_ports(struct local_cluster *c, int64_t base)
{
    for (unsigned i = 0; i < c->count; i++) {
        int64_t first = base + (int64_t)i * PORTS_PER_NODE;
        c->nodes[i] = (struct local_node){i + 1, (uint16_t)first, (uint16_t)(first + 1),
                                          (uint16_t)(first + 2), (uint16_t)(first + 3)};
    }
}

static bool ports_free(const struct local_cluster *c, uint16_t *taken)
{
    for (unsigned i = 0; i < c->count; i++) {
        const uint16_t ports[] = {c->nodes[i].client_port, c->nodes[i].peer_port, c->nodes[i].http_port,
                                  c->nodes[i].kafka_port};
        for (size_t k = 0; k < 4; k++) {
            if (!port_free(ports[k])) {
                *taken = ports[k];
                return false;
            }
        }
    }
    return true;
}

static bool choose_ports(struct local_cluster *c, int64_t base)
{
    uint16_t taken = 0;
    if (base != 0) {
        assign_ports(c, base);
        return ports_free(c, &taken) ||
               local_fail(c, "port %u is in use; choose another --port-base, or none for a free range",
                          taken);
    }
    /* Start at a place of this process's own, so that clusters started together rarely try the same range. */
    int64_t ranges = (PORT_LAST - PORT_FIRST) / 100;
    for (int64_t i = 0; i < ranges; i++) {
        assign_ports(c, PORT_FIRST + 100 * ((getpid() + i) % ranges));
        if (ports_free(c, &taken)) {
            return true;
        }
    }
    return local_fail(c, "no free range of ports between %d and %d", PORT_FIRST, PORT_LAST);
}

/* ---- cluster.json ---- */

static bool save(struct local_cluster *c)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/cluster.json", c->directory);
    json_t *root = json_pack("{s:s, s:s, s:o}", "cluster_id", c->cluster_id, "node_options", c->extra,
                             "nodes", json_array());
    for (unsigned i = 0; i < c->count; i++) {
        const struct local_node *n = &c->nodes[i];
        json_array_append_new(json_object_get(root, "nodes"),
                              json_pack("{s:i, s:i, s:i, s:i, s:i}", "id", n->id, "client_port",
                                        n->client_port, "peer_port", n->peer_port, "http_port", n->http_port,
                                        "kafka_port", n->kafka_port));
    }
    int rc = json_dump_file(root, path, JSON_INDENT(2));
    json_decref(root);
    return rc == 0 || local_fail(c, "cannot write %s: %s", path, strerror(errno));
}

static bool port_of(json_t *node, const char *key, uint16_t *port)
{
    json_int_t value = json_integer_value(json_object_get(node, key));
    *port = (uint16_t)value;
    return value > 0 && value <= 65535;
}

static bool load_node(json_t *json, struct local_node *n, unsigned expected_id)
{
    n->id = (unsigned)json_integer_value(json_object_get(json, "id"));
    return n->id == expected_id && port_of(json, "client_port", &n->client_port) &&
           port_of(json, "peer_port", &n->peer_port) && port_of(json, "http_port", &n->http_port) &&
           port_of(json, "kafka_port", &n->kafka_port);
}

bool local_load(struct local_cluster *c, const char *directory)
{
    memset(c, 0, sizeof(*c));
    if (realpath(directory, c->directory) == NULL) {
        return local_fail(c, "no local cluster in %s; start one with `flotilla local start --dir %s`",
                          directory, directory);
    }
    char path[4200];
    snprintf(path, sizeof(path), "%s/cluster.json", c->directory);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    if (root == NULL && access(path, F_OK) == 0) {
        return local_fail(c, "%s is damaged (%s); remove %s and start anew", path, error.text, c->directory);
    }
    if (root == NULL) {
        return local_fail(c, "no local cluster in %s (%s); start one with `flotilla local start --dir %s`",
                          directory, error.text, directory);
    }
    json_t *nodes = json_object_get(root, "nodes");
    const char *id = json_string_value(json_object_get(root, "cluster_id"));
    const char *extra = json_string_value(json_object_get(root, "node_options"));
    bool ok = id != NULL && json_array_size(nodes) >= 1 && json_array_size(nodes) <= LOCAL_NODES_MAX;
    snprintf(c->cluster_id, sizeof(c->cluster_id), "%s", id != NULL ? id : "");
    snprintf(c->extra, sizeof(c->extra), "%s", extra != NULL ? extra : "");
    for (size_t i = 0; ok && i < json_array_size(nodes); i++) {
        ok = load_node(json_array_get(nodes, i), &c->nodes[i], (unsigned)i + 1);
        c->count++;
    }
    json_decref(root);
    return ok || local_fail(c, "%s is damaged; remove %s and start anew", path, c->directory);
}

static bool make_directories(struct local_cluster *c)
{
    char path[4200];
    for (unsigned i = 0; i < c->count; i++) {
        local_node_path(c, c->nodes[i].id, "", path, sizeof(path));
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            return local_fail(c, "cannot create %s: %s", path, strerror(errno));
        }
    }
    return true;
}

static bool add_node_options(struct local_cluster *c, const struct cli_list *options)
{
    size_t used = 0;
    for (size_t i = 0; options != NULL && i < options->count; i++) {
        int n = snprintf(c->extra + used, sizeof(c->extra) - used, "%s\n", options->items[i]);
        if (n < 0 || (size_t)n >= sizeof(c->extra) - used) {
            return local_fail(c, "too many --node-option");
        }
        used += (size_t)n;
    }
    return true;
}

static void make_parents(const char *path)
{
    char part[4096];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(part, 0755);
        *slash = '/';
    }
}

bool local_create(struct local_cluster *c, const char *directory, unsigned count, int64_t port_base,
                  const struct cli_list *node_options)
{
    memset(c, 0, sizeof(*c));
    c->count = count;
    make_parents(directory);
    if (mkdir(directory, 0755) != 0 && errno != EEXIST) {
        return local_fail(c, "cannot create %s: %s", directory, strerror(errno));
    }
    if (realpath(directory, c->directory) == NULL) {
        return local_fail(c, "cannot use %s: %s", directory, strerror(errno));
    }
    char path[4200];
    snprintf(path, sizeof(path), "%s/cluster.json", c->directory);
    if (access(path, F_OK) == 0) {
        return local_load(c, directory) ? local_fail(c, "%s holds a cluster already", directory) : false;
    }
    snprintf(c->cluster_id, sizeof(c->cluster_id), "local-%" PRIx64,
             (uint64_t)cli_wall_ms() << 12 ^ (uint64_t)getpid());
    return add_node_options(c, node_options) && choose_ports(c, port_base) && make_directories(c) && save(c);
}

void local_bootstrap(const struct local_cluster *c, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < c->count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s127.0.0.1:%u", i > 0 ? "," : "",
                                 c->nodes[i].client_port);
    }
}
