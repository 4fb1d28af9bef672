#include "tests/cluster/crowd.h"

#include "client/cli/cli.h"
#include "tests/cluster/raw.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void crowd_open(struct crowd *c, uint16_t port, size_t wanted)
{
    *c = (struct crowd){.sockets = calloc(wanted, sizeof(int)), .port = port};
    while (c->count < wanted) {
        int fd = raw_connect(port);
        if (fd < 0) {
            return;
        }
        c->sockets[c->count++] = fd;
    }
}

void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->sockets[i] >= 0) {
            close(c->sockets[i]);
        }
    }
    free(c->sockets);
    *c = (struct crowd){.sockets = NULL};
}

size_t crowd_left(struct crowd *c)
{
    size_t left = 0;
    char drop[4096];
    for (size_t i = 0; i < c->count; i++) {
        ssize_t n = 1;
        while (c->sockets[i] >= 0 && n > 0) {
            n = recv(c->sockets[i], drop, sizeof(drop), MSG_DONTWAIT);
        }
        if (c->sockets[i] >= 0 && n < 0 && errno == EAGAIN) {
            left++;
        } else if (c->sockets[i] >= 0) {
            close(c->sockets[i]);
            c->sockets[i] = -1;
        }
    }
    return left;
}

void crowd_send(struct crowd *c, const void *data, size_t size)
{
    for (size_t i = 0; i < c->count; i++) {
        const char *at = data;
        size_t left = size;
        while (c->sockets[i] >= 0 && left > 0) {
            ssize_t n = send(c->sockets[i], at, left, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n <= 0) {
                break;
            }
            at += n;
            left -= (size_t)n;
        }
    }
}

bool crowd_hello(struct crowd *c)
{
    bool ok = true;
    for (size_t i = 0; i < c->count; i++) {
        ok = raw_hello(c->sockets[i]) && ok;
    }
    return ok;
}

/* ---- the others ---- */

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

void innocent_measure(struct innocent *i, unsigned count)
{
    char value[200];
    double *ms = calloc(count, sizeof(*ms));
    int fd = raw_connect(i->port);
    i->failed = fd < 0 || !raw_hello(fd) ? count : 0;
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    for (unsigned n = 0; n < count && i->failed == 0; n++) {
        uint64_t began = cli_now_ns();
        i->failed += raw_produce(fd, i->topic_id, i->partition, value, 20000) != 0;
        ms[n] = (double)(cli_now_ns() - began) / 1e6;
    }
    close(fd);
    qsort(ms, count, sizeof(*ms), compare);
    i->p50_ms = ms[count / 2];
    i->p99_ms = ms[(size_t)count * 99 / 100];
    i->most_ms = ms[count - 1];
    free(ms);
}

uint64_t process_rss(pid_t pid)
{
    char path[64], line[256];
    uint64_t kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1) {
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return kib * 1024;
}
