/* The yardstick for one record in flight: the way it has to go, without any broker.
 *
 * A client sends 1 KiB over loopback to a leader, which sends it on to two followers; all three append it to
 * a file and sync that, and as soon as the leader and one of the others have, the client hears of it. One
 * thread each, which does nothing but wait in a system call for what comes next. */
#include "client/cli/bench/bench.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECORD = 1024, MEMBERS = 3, FOLLOWERS = MEMBERS - 1 };

struct member {
    int in;                   /* records come, an acknowledgement of one byte each goes; -1 ends both */
    int file;                 /* -1: none */
    int followers[FOLLOWERS]; /* the leader's ends */
    unsigned stored[FOLLOWERS];
    pthread_t thread;
    bool started;
};

static bool receive(int fd, char *record)
{
    return recv(fd, record, RECORD, MSG_WAITALL) == RECORD;
}

static bool transmit(int fd, const char *record)
{
    return send(fd, record, RECORD, MSG_NOSIGNAL) == RECORD;
}

static bool store(const struct member *m, const char *record, unsigned number)
{
    return pwrite(m->file, record, RECORD, (off_t)number * RECORD) == RECORD && fdatasync(m->file) == 0;
}

static bool acknowledge(const struct member *m)
{
    return send(m->in, "", 1, MSG_NOSIGNAL) == 1;
}

/* A record is acknowledged when the first of them has it; the other may lag. */
static bool wait_for_follower(struct member *m, unsigned number)
{
    struct pollfd ends[FOLLOWERS];
    char acknowledgements[64];
    while (m->stored[0] <= number && m->stored[1] <= number) {
        for (unsigned i = 0; i < FOLLOWERS; i++) {
            ends[i] = (struct pollfd){.fd = m->followers[i], .events = POLLIN};
        }
        if (poll(ends, FOLLOWERS, -1) < 0) {
            return false;
        }
        for (unsigned i = 0; i < FOLLOWERS; i++) {
            ssize_t n = ends[i].revents != 0
                            ? recv(ends[i].fd, acknowledgements, sizeof(acknowledgements), MSG_DONTWAIT)
                            : 0;
            if (ends[i].revents != 0 && n <= 0) {
                return false;
            }
            m->stored[i] += (unsigned)n;
        }
    }
    return true;
}

static void *lead(void *argument)
{
    struct member *m = argument;
    char record[RECORD];
    for (unsigned i = 0; receive(m->in, record); i++) {
        if (!transmit(m->followers[0], record) || !transmit(m->followers[1], record) ||
            !store(m, record, i) || !wait_for_follower(m, i) || !acknowledge(m)) {
            break;
        }
    }
    shutdown(m->in, SHUT_RDWR);
    shutdown(m->followers[0], SHUT_RDWR);
    shutdown(m->followers[1], SHUT_RDWR);
    return NULL;
}

static void *follow(void *argument)
{
    struct member *m = argument;
    char record[RECORD];
    for (unsigned i = 0; receive(m->in, record) && store(m, record, i) && acknowledge(m); i++) {
    }
    shutdown(m->in, SHUT_RDWR);
    return NULL;
}

static bool send_records(int fd, unsigned count, struct samples *s)
{
    char record[RECORD], acknowledgement;
    bool ok = true;
    memset(record, 'x', sizeof(record));
    for (unsigned i = 0; ok && i < count; i++) {
        uint64_t sent = cli_now_ns();
        ok = transmit(fd, record) && recv(fd, &acknowledgement, 1, 0) == 1;
        samples_add(s, cli_now_ns() - sent);
    }
    return ok;
}

static bool start_member(struct member *m, const char *directory, unsigned count, bool leads)
{
    m->file = bench_scratch_file(directory, (uint64_t)count * RECORD);
    m->started = m->file >= 0 && pthread_create(&m->thread, NULL, leads ? lead : follow, m) == 0;
    return m->started;
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

struct path {
    struct member members[MEMBERS];
    int ends[MEMBERS][2]; /* towards the member, and its own */
};

static bool path_open(struct path *p, const char *directory, unsigned count)
{
    bool ok = true;
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < MEMBERS; i++) {
        ok = bench_connect_pair(p->ends[i]) && ok;
        p->members[i].in = p->ends[i][1];
        p->members[i].file = -1;
    }
    p->members[0].followers[0] = p->ends[1][0];
    p->members[0].followers[1] = p->ends[2][0];
    for (unsigned i = 0; ok && i < MEMBERS; i++) {
        ok = start_member(&p->members[i], directory, count, i == 0);
    }
    return ok;
}

static void path_close(struct path *p)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (p->ends[i][0] >= 0) {
            shutdown(p->ends[i][0], SHUT_RDWR); /* ends the member's thread */
        }
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (p->members[i].started) {
            pthread_join(p->members[i].thread, NULL);
        }
        close_if_open(p->members[i].file);
        close_if_open(p->ends[i][0]);
        close_if_open(p->ends[i][1]);
    }
}

bool bench_path(const char *directory, unsigned count, struct samples *s)
{
    struct path p;
    bool ok = path_open(&p, directory, count) && send_records(p.ends[0][0], count, s);
    path_close(&p);
    return ok;
}
