/* The yardstick for sustained load: what this machine does at best for the same job, without any broker
 * logic.
 *
 * A client streams frames over loopback to a leader, which checks the CRC, forwards them to two followers and
 * writes them to one of 12 preallocated files; so does each follower. Every member syncs its dirty files in
 * parallel, and a frame is acknowledged when two of the three have it on disk. */
#include "client/cli/bench/bench.h"
#include "proto/crc32c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEMBERS = 3, FILES = 12, QUORUM = 2, SOCKETS = 2 * MEMBERS };

struct head {
    uint32_t file;
    uint32_t number;
};

struct limit;

/* member 0 leads */
struct member {
    struct limit *limit;
    int in; /* frames come, numbers of durable ones go */
    int files[FILES];
    pthread_t receiver;
    pthread_t syncer;
    pthread_t listener; /* a follower's: the leader's ear for it */
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool dirty[FILES]; /* guarded by the lock, as is all below */
    uint32_t *written;
    size_t written_count;
};

struct limit {
    size_t frame_size;
    uint32_t frames;
    uint32_t in_flight;
    struct member members[MEMBERS];
    int sockets[SOCKETS];   /* pairs: towards the member, and its end */
    _Atomic uint8_t *acks;  /* by number */
    _Atomic uint32_t acked; /* at the client */
    _Atomic bool failed;
};

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (p == NULL) {
        abort();
    }
    return p;
}

/* ---- sockets ---- */

/* Unblocks every thread. */
static bool give_up(struct limit *l)
{
    l->failed = true;
    for (unsigned i = 0; i < SOCKETS; i++) {
        shutdown(l->sockets[i], SHUT_RDWR);
    }
    for (unsigned i = 0; i < MEMBERS; i++) {
        pthread_mutex_lock(&l->members[i].lock);
        pthread_cond_signal(&l->members[i].more);
        pthread_mutex_unlock(&l->members[i].lock);
    }
    return false;
}

static bool receive(struct limit *l, int fd, void *into, size_t size)
{
    for (char *at = into; size > 0;) {
        ssize_t n = recv(fd, at, size, MSG_WAITALL);
        if (n <= 0) {
            return give_up(l);
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool transmit(struct limit *l, int fd, const void *from, size_t size)
{
    for (const char *at = from; size > 0;) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return give_up(l);
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- a member ---- */

static void durable(struct member *m, uint32_t number)
{
    struct limit *l = m->limit;
    bool leads = m == &l->members[0];
    if (!leads || ++l->acks[number] == QUORUM) {
        transmit(l, m->in, &number, sizeof(number));
    }
}

static void *sync_file(void *fd)
{
    return fdatasync((int)(intptr_t)fd) == 0 ? NULL : fd;
}

static bool sync_files(const struct member *m, const bool *dirty)
{
    pthread_t threads[FILES];
    bool ok = true, started[FILES] = {false};
    for (unsigned i = 0; i < FILES; i++) {
        started[i] =
            dirty[i] && pthread_create(&threads[i], NULL, sync_file, (void *)(intptr_t)m->files[i]) == 0;
        ok = ok && started[i] == dirty[i];
    }
    for (unsigned i = 0; i < FILES; i++) {
        void *failed = NULL;
        if (started[i]) {
            pthread_join(threads[i], &failed);
        }
        ok = ok && failed == NULL;
    }
    return ok;
}

static void *sync_rounds(void *argument)
{
    struct member *m = argument;
    struct limit *l = m->limit;
    uint32_t *round = allocate(l->frames, sizeof(*round));
    for (size_t done = 0; done < l->frames && !l->failed;) {
        bool dirty[FILES];
        pthread_mutex_lock(&m->lock);
        while (m->written_count == 0 && !l->failed) {
            pthread_cond_wait(&m->more, &m->lock);
        }
        size_t n = m->written_count;
        memcpy(round, m->written, n * sizeof(*round));
        memcpy(dirty, m->dirty, sizeof(dirty));
        memset(m->dirty, 0, sizeof(m->dirty));
        m->written_count = 0;
        pthread_mutex_unlock(&m->lock);
        if (!sync_files(m, dirty)) {
            give_up(l);
        }
        for (size_t i = 0; i < n && !l->failed; i++) {
            durable(m, round[i]);
        }
        done += n;
    }
    free(round);
    return NULL;
}

static bool store(struct member *m, const struct head *head, const unsigned char *frame)
{
    struct limit *l = m->limit;
    off_t at = (off_t)(head->number / FILES * l->frame_size);
    if (pwrite(m->files[head->file], frame, l->frame_size, at) != (ssize_t)l->frame_size) {
        return give_up(l);
    }
    pthread_mutex_lock(&m->lock);
    m->dirty[head->file] = true;
    m->written[m->written_count++] = head->number;
    pthread_cond_signal(&m->more);
    pthread_mutex_unlock(&m->lock);
    return true;
}

static bool forward(struct limit *l, const struct head *head, const unsigned char *frame)
{
    for (unsigned i = 1; i < MEMBERS; i++) {
        if (!transmit(l, l->sockets[2 * i], head, sizeof(*head)) ||
            !transmit(l, l->sockets[2 * i], frame, l->frame_size)) {
            return false;
        }
    }
    return true;
}

static void *receive_frames(void *argument)
{
    struct member *m = argument;
    struct limit *l = m->limit;
    unsigned char *frame = allocate(1, l->frame_size);
    volatile uint32_t crc = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < l->frames; i++) {
        struct head head;
        ok = receive(l, m->in, &head, sizeof(head)) && receive(l, m->in, frame, l->frame_size);
        if (ok) {
            crc = crc32c(crc, frame, l->frame_size);
            ok = (m != &l->members[0] || forward(l, &head, frame)) && store(m, &head, frame);
        }
    }
    free(frame);
    return NULL;
}

/* The leader's ear for a follower. */
static void *hear_follower(void *argument)
{
    struct member *m = argument;
    struct limit *l = m->limit;
    uint32_t number;
    for (uint32_t i = 0;
         i < l->frames && receive(l, l->sockets[2 * (m - l->members)], &number, sizeof(number)); i++) {
        durable(&l->members[0], number);
    }
    return NULL;
}

static bool open_files(struct member *m, const char *directory)
{
    bool ok = true;
    uint64_t size = (m->limit->frames / FILES + 1) * m->limit->frame_size;
    for (unsigned i = 0; i < FILES; i++) {
        m->files[i] = ok ? bench_scratch_file(directory, size) : -1;
        ok = ok && m->files[i] >= 0;
    }
    return ok;
}

static bool start_member(struct member *m)
{
    bool leads = m == &m->limit->members[0];
    return pthread_create(&m->receiver, NULL, receive_frames, m) == 0 &&
           pthread_create(&m->syncer, NULL, sync_rounds, m) == 0 &&
           (leads || pthread_create(&m->listener, NULL, hear_follower, m) == 0);
}

static void close_member(struct member *m)
{
    for (unsigned i = 0; i < FILES; i++) {
        if (m->files[i] >= 0) {
            close(m->files[i]);
        }
    }
    free(m->written);
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->more);
}

/* ---- the client ---- */

static void *hear_leader(void *argument)
{
    struct limit *l = argument;
    uint32_t number;
    for (uint32_t i = 0; i < l->frames && receive(l, l->sockets[0], &number, sizeof(number)); i++) {
        l->acked++;
    }
    return NULL;
}

static void send_frames(struct limit *l)
{
    unsigned char *frame = allocate(1, l->frame_size);
    memset(frame, 'x', l->frame_size);
    for (uint32_t i = 0; i < l->frames && !l->failed; i++) {
        struct head head = {i % FILES, i};
        while (i - l->acked >= l->in_flight && !l->failed) {
            usleep(100);
        }
        if (!transmit(l, l->sockets[0], &head, sizeof(head))) {
            break;
        }
        transmit(l, l->sockets[0], frame, l->frame_size);
    }
    free(frame);
}

static bool limit_open(struct limit *l, const char *directory)
{
    bool ok = true;
    l->acks = allocate(l->frames, sizeof(*l->acks));
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &l->members[i];
        m->limit = l;
        m->written = allocate(l->frames, sizeof(*m->written));
        pthread_mutex_init(&m->lock, NULL);
        pthread_cond_init(&m->more, NULL);
        ok = open_files(m, directory) && ok && bench_connect_pair(&l->sockets[2 * i]);
        m->in = l->sockets[2 * i + 1];
    }
    return ok;
}

static void limit_close(struct limit *l)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        close_member(&l->members[i]);
    }
    for (unsigned i = 0; i < SOCKETS; i++) {
        if (l->sockets[i] >= 0) {
            close(l->sockets[i]);
        }
    }
    free((void *)l->acks);
}

static bool limit_run(struct limit *l)
{
    pthread_t ear;
    for (unsigned i = 0; i < MEMBERS; i++) {
        if (!start_member(&l->members[i])) {
            abort(); /* a machine that cannot start ten threads */
        }
    }
    if (pthread_create(&ear, NULL, hear_leader, l) != 0) {
        abort();
    }
    send_frames(l);
    pthread_join(ear, NULL);
    for (unsigned i = 0; i < MEMBERS; i++) {
        pthread_join(l->members[i].receiver, NULL);
        pthread_join(l->members[i].syncer, NULL);
        if (i > 0) {
            pthread_join(l->members[i].listener, NULL);
        }
    }
    return !l->failed;
}

double bench_limit(const char *directory, size_t frame_size, uint64_t bytes)
{
    struct limit l = {.frame_size = frame_size, .frames = (uint32_t)(bytes / frame_size), .in_flight = 64};
    for (unsigned i = 0; i < SOCKETS; i++) {
        l.sockets[i] = -1;
    }
    bool ok = limit_open(&l, directory);
    uint64_t begin = cli_now_ns();
    ok = ok && limit_run(&l);
    double seconds = (double)(cli_now_ns() - begin) / 1e9;
    limit_close(&l);
    return ok ? (double)l.frames * (double)frame_size / seconds : -1;
}
