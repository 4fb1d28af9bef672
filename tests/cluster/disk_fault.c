/* A disk that fails on command, preloaded below a node: as long as the file $DISK_FAULT_TRIGGER exists, the
 * call that it names first ("fdatasync", "pwritev" or "pread") fails with EIO on every file whose path holds
 * the text that it names second; with "slow", fdatasync takes a fifth of a second there. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static bool path_holds(int fd, const char *text)
{
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = 0;
    return strstr(path, text) != NULL;
}

static bool fails(int fd, const char *call)
{
    const char *trigger = getenv("DISK_FAULT_TRIGGER");
    char wanted[32] = "", text[64] = "";
    FILE *f = trigger != NULL ? fopen(trigger, "re") : NULL;
    if (f == NULL) {
        return false;
    }
    bool hit = fscanf(f, "%31s %63s", wanted, text) == 2 && strcmp(wanted, call) == 0 && path_holds(fd, text);
    fclose(f);
    if (hit) {
        errno = EIO;
    }
    return hit;
}

int fdatasync(int fd);
int fdatasync(int fd)
{
    int saved = errno;
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fails(fd, "fdatasync")) {
        return -1;
    }
    if (fails(fd, "slow")) {
        usleep(200000);
    }
    errno = saved;
    return next(fd);
}

static ssize_t pass_pwritev(const char *name, int fd, const struct iovec *iov, int n, off_t position)
{
    ssize_t (*next)(int, const struct iovec *, int, off_t) =
        (ssize_t(*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, name);
    return fails(fd, "pwritev") ? -1 : next(fd, iov, n, position);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t position)
{
    return pass_pwritev("pwritev", fd, iov, n, position);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t position)
{
    return pass_pwritev("pwritev64", fd, iov, n, position);
}

static ssize_t pass_pread(const char *name, int fd, void *data, size_t size, off_t position)
{
    ssize_t (*next)(int, void *, size_t, off_t) =
        (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, name);
    return fails(fd, "pread") ? -1 : next(fd, data, size, position);
}

ssize_t pread(int fd, void *data, size_t size, off_t position)
{
    return pass_pread("pread", fd, data, size, position);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t position)
{
    return pass_pread("pread64", fd, data, size, position);
}
