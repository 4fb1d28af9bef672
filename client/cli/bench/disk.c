/* The yardstick: what this machine's disk does without any broker. */
#include "client/cli/bench/bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THROUGHPUT_WRITE = 256 * 1024, FILES_MAX = 64 };

int bench_scratch_file(const char *directory, uint64_t size)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/bench-XXXXXX", directory);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0) {
        unlink(path);
    }
    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)size) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

bool bench_disk_latency(const char *directory, size_t size, unsigned count, struct samples *s)
{
    int fd = bench_scratch_file(directory, (uint64_t)size * (count + 1));
    char *data = malloc(size);
    bool ok = fd >= 0 && data != NULL;
    if (ok) {
        memset(data, 'x', size);
        ok = fsync(fd) == 0;
    }
    for (unsigned i = 0; ok && i < count; i++) {
        uint64_t started = cli_now_ns();
        ok = pwrite(fd, data, size, (off_t)(i * size)) == (ssize_t)size && fdatasync(fd) == 0;
        samples_add(s, cli_now_ns() - started);
    }
    free(data);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

struct stream {
    const char *directory;
    uint64_t bytes;
    bool ok;
};

static void *write_stream(void *argument)
{
    struct stream *w = argument;
    int fd = bench_scratch_file(w->directory, w->bytes);
    char *data = malloc(THROUGHPUT_WRITE);
    w->ok = fd >= 0 && data != NULL;
    if (w->ok) {
        memset(data, 'x', THROUGHPUT_WRITE);
    }
    for (uint64_t at = 0; w->ok && at + THROUGHPUT_WRITE <= w->bytes; at += THROUGHPUT_WRITE) {
        w->ok = pwrite(fd, data, THROUGHPUT_WRITE, (off_t)at) == THROUGHPUT_WRITE && fdatasync(fd) == 0;
    }
    free(data);
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

double bench_disk_throughput(const char *directory, unsigned files, uint64_t bytes)
{
    struct stream streams[FILES_MAX];
    pthread_t threads[FILES_MAX];
    bool ok = files > 0 && files <= FILES_MAX;
    unsigned started = 0;
    uint64_t begin = cli_now_ns();
    for (; ok && started < files; started++) {
        streams[started] = (struct stream){directory, bytes / files, false};
        ok = pthread_create(&threads[started], NULL, write_stream, &streams[started]) == 0;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        ok = ok && streams[i].ok;
    }
    return ok ? (double)bytes * 1e9 / (double)(cli_now_ns() - begin) : -1;
}
