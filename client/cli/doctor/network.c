/* Ports, and whether nodes and clients can find each other under the names they are told. */
#include "client/cli/doctor/doctor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 1000 };

static struct addrinfo *resolve(const char *host, uint16_t port, int *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    char text[8];
    snprintf(text, sizeof(text), "%u", port);
    *error = getaddrinfo(host, text, &hints, &list);
    return *error == 0 ? list : NULL;
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET6) {
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
    }
    return a->sa_family == AF_INET &&
           ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
}

static bool is_any(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET6) {
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
    }
    return a->sa_family == AF_INET && ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr == 0;
}

/* 0, or why a socket cannot be bound there. */
static int try_bind(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0) {
        return errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int error = bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 1) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static bool try_connect(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;
    socklen_t size = sizeof(error);
    if (fd < 0) {
        return false;
    }
    bool ok = connect(fd, a->ai_addr, a->ai_addrlen) == 0;
    if (!ok && errno == EINPROGRESS) {
        struct pollfd waiting = {fd, POLLOUT, 0};
        ok = poll(&waiting, 1, CONNECT_MS) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
             error == 0;
    }
    close(fd);
    return ok;
}

static void check_port(struct doctor_report *r, const char *host, uint16_t port, const char *setting)
{
    int error;
    if (port == 0) {
        return;
    }
    struct addrinfo *list = resolve(host, port, &error);
    if (list == NULL) {
        doctor_advise(doctor_add(r, DOCTOR_CHANGE, "ports", "listen-host %s: %s", host, gai_strerror(error)),
                      "an address of this machine, or 0.0.0.0");
        return;
    }
    error = try_bind(list);
    if (error == EADDRINUSE) {
        doctor_advise(doctor_add(r, DOCTOR_CONSIDER, "ports", "%s %u is in use", setting, port),
                      "fine if that is this node, running; otherwise stop the other program or set %s",
                      setting);
    } else if (error != 0) {
        doctor_advise(
            doctor_add(r, DOCTOR_CHANGE, "ports", "%s %u on %s: %s", setting, port, host, strerror(error)),
            "set listen-host to an address of this machine and %s to a port above 1023", setting);
    } else {
        doctor_add(r, DOCTOR_FINE, "ports", "%s %u is free", setting, port);
    }
    freeaddrinfo(list);
}

void doctor_ports(struct doctor_report *r, const struct node_config *config)
{
    check_port(r, config->listen_host, config->client_port, "client-port");
    check_port(r, config->listen_host, config->peer_port, "peer-port");
    check_port(r, config->listen_host, config->http_port, "http-port");
    check_port(r, config->listen_host, config->kafka_port, "kafka-port");
}

/* Whether other machines are part of the cluster. */
static bool spans_hosts(const struct node_config *config)
{
    for (unsigned i = 1; i < config->peer_count; i++) {
        if (strcmp(config->peers[i].host, config->peers[0].host) != 0) {
            return true;
        }
    }
    return false;
}

static void check_advertised(struct doctor_report *r, const struct node_config *config)
{
    int error;
    const char *host = config->advertise_host;
    struct addrinfo *list = resolve(host, config->client_port, &error);
    if (list == NULL) {
        doctor_advise(
            doctor_add(r, DOCTOR_CHANGE, "addresses", "advertise-host %s: %s", host, gai_strerror(error)),
            "a name or address that clients can resolve: they are told to connect to it");
        return;
    }
    if (is_any(list->ai_addr) || (is_loopback(list->ai_addr) && spans_hosts(config))) {
        doctor_advise(
            doctor_add(r, DOCTOR_CHANGE, "addresses", "clients are told to connect to %s", host),
            "set advertise-host to this host's name: from other machines that address leads elsewhere");
    } else {
        doctor_add(r, DOCTOR_FINE, "addresses", "clients are told to connect to %s:%u%s", host,
                   config->client_port,
                   is_loopback(list->ai_addr) ? ", which only works on this machine" : "");
    }
    freeaddrinfo(list);
}

static void check_own_peer(struct doctor_report *r, const struct config_peer *peer)
{
    int error;
    struct addrinfo *list = resolve(peer->host, 0, &error);
    if (list != NULL && try_bind(list) == EADDRNOTAVAIL) {
        doctor_advise(
            doctor_add(r, DOCTOR_CHANGE, "addresses",
                       "%s is this node in peers, and no address of this machine", peer->host),
            "the right node-id for this host, or the right host in peers (behind address translation: fine)");
    }
    if (list != NULL) {
        freeaddrinfo(list);
    }
}

static void check_other_peer(struct doctor_report *r, const struct config_peer *peer)
{
    int error;
    struct addrinfo *list = resolve(peer->host, peer->port, &error);
    if (list == NULL) {
        doctor_advise(doctor_add(r, DOCTOR_CHANGE, "addresses", "node %u, %s: %s", peer->id, peer->host,
                                 gai_strerror(error)),
                      "a name that this machine can resolve (DNS or /etc/hosts), or an address");
        return;
    }
    if (try_connect(list)) {
        doctor_add(r, DOCTOR_FINE, "addresses", "node %u answers at %s:%u", peer->id, peer->host, peer->port);
    } else {
        doctor_advise(doctor_add(r, DOCTOR_CONSIDER, "addresses", "node %u does not answer at %s:%u",
                                 peer->id, peer->host, peer->port),
                      "fine if it has not been started yet; otherwise open port %u between the hosts",
                      peer->port);
    }
    freeaddrinfo(list);
}

void doctor_addresses(struct doctor_report *r, const struct node_config *config)
{
    check_advertised(r, config);
    for (unsigned i = 0; i < config->peer_count; i++) {
        if (config->peers[i].id == config->node_id) {
            check_own_peer(r, &config->peers[i]);
        } else {
            check_other_peer(r, &config->peers[i]);
        }
    }
}
