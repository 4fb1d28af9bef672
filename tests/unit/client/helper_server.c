#include "tests/unit/client/helper_server.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_PEERS = 64, READ_SIZE = 256 * 1024 };

struct peer {
    int fd; /* -1: free */
    struct broker_session session;
    size_t sent;
};

struct server {
    struct broker broker;
    pthread_t thread;
    int listeners[BROKER_NODES];
    int wake[2];
    struct peer peers[MAX_PEERS];
    char bootstrap[200];
    unsigned char input[READ_SIZE];
    atomic_bool stopping;
    atomic_bool cutting;
};

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        abort();
    *port = ntohs(address.sin_port);
    return fd;
}

static void peer_close(struct peer *p)
{
    close(p->fd);
    p->fd = -1;
    broker_session_close(&p->session);
}

static void accept_peer(struct server *s, uint32_t node)
{
    int fd = accept4(s->listeners[node - 1], NULL, NULL, SOCK_NONBLOCK);
    int on = 1;

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (int i = 0; i < MAX_PEERS; i++) {
        if (s->peers[i].fd >= 0)
            continue;
        s->peers[i].fd = fd;
        s->peers[i].sent = 0;
        broker_session_init(&s->peers[i].session, &s->broker, node);
        return;
    }
    close(fd);
}

static void peer_read(struct server *s, struct peer *p)
{
    ssize_t size = read(p->fd, s->input, READ_SIZE);

    if (size > 0)
        broker_session_input(&p->session, s->input, (size_t)size);
    else if (size == 0 || errno != EAGAIN)
        peer_close(p);
}

static void peer_write(struct peer *p)
{
    struct bytes *out = &p->session.output;

    if (out->size > p->sent) {
        ssize_t size = send(p->fd, out->data + p->sent, out->size - p->sent, MSG_NOSIGNAL);
        if (size > 0)
            p->sent += (size_t)size;
    }
    if (p->sent == out->size) {
        bytes_clear(out);
        p->sent = 0;
    }
    if (p->session.cut)
        peer_close(p);
}

static void serve_peers(struct server *s, const struct pollfd *fds, const int *peer_of, int count)
{
    for (int i = 0; i < count; i++) {
        struct peer *p = &s->peers[peer_of[i]];
        if (p->fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            peer_read(s, p);
    }
    for (int i = 0; i < MAX_PEERS; i++) {
        struct peer *p = &s->peers[i];
        if (p->fd >= 0 && atomic_load(&s->cutting))
            peer_close(p);
        if (p->fd < 0)
            continue;
        broker_session_push(&p->session);
        peer_write(p);
    }
    atomic_store(&s->cutting, false);
}

static void *server_main(void *data)
{
    struct server *s = data;
    struct pollfd fds[BROKER_NODES + 1 + MAX_PEERS];
    int peer_of[MAX_PEERS];
    char byte;

    while (!atomic_load(&s->stopping)) {
        int count = 0;
        for (int i = 0; i < BROKER_NODES; i++)
            fds[count++] = (struct pollfd){.fd = s->listeners[i], .events = POLLIN};
        fds[count++] = (struct pollfd){.fd = s->wake[0], .events = POLLIN};
        int first = count;
        for (int i = 0; i < MAX_PEERS; i++) {
            if (s->peers[i].fd < 0)
                continue;
            short events = s->peers[i].session.output.size > 0 ? POLLIN | POLLOUT : POLLIN;
            peer_of[count - first] = i;
            fds[count++] = (struct pollfd){.fd = s->peers[i].fd, .events = events};
        }
        poll(fds, (nfds_t)count, -1);
        for (uint32_t i = 0; i < BROKER_NODES; i++)
            if ((fds[i].revents & POLLIN) != 0)
                accept_peer(s, i + 1);
        while (read(s->wake[0], &byte, 1) > 0)
            ;
        serve_peers(s, fds + first, peer_of, count - first);
    }
    return NULL;
}

static void server_wake(struct server *s)
{
    if (write(s->wake[1], "", 1) < 0 && errno != EAGAIN)
        abort();
}

struct server *server_start(uint32_t partitions)
{
    struct server *s = calloc(1, sizeof(*s));
    size_t at = 0;

    broker_init(&s->broker, partitions);
    for (int i = 0; i < MAX_PEERS; i++)
        s->peers[i].fd = -1;
    for (int i = 0; i < BROKER_NODES; i++) {
        s->listeners[i] = listen_somewhere(&s->broker.ports[i]);
        at += (size_t)snprintf(s->bootstrap + at, sizeof(s->bootstrap) - at, "%s127.0.0.1:%u",
                               i > 0 ? "," : "", s->broker.ports[i]);
    }
    if (pipe2(s->wake, O_NONBLOCK) != 0 || pthread_create(&s->thread, NULL, server_main, s) != 0)
        abort();
    return s;
}

void server_stop(struct server *s)
{
    atomic_store(&s->stopping, true);
    server_wake(s);
    pthread_join(s->thread, NULL);
    for (int i = 0; i < MAX_PEERS; i++)
        if (s->peers[i].fd >= 0)
            peer_close(&s->peers[i]);
    for (int i = 0; i < BROKER_NODES; i++)
        close(s->listeners[i]);
    close(s->wake[0]);
    close(s->wake[1]);
    broker_close(&s->broker);
    free(s);
}

const char *server_bootstrap(const struct server *s)
{
    return s->bootstrap;
}

void server_cut(struct server *s)
{
    atomic_store(&s->cutting, true);
    server_wake(s);
}
