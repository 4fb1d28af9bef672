#include "node/base/memory.h"
#include "node/env/env_ops.h"
#include "node/env/env_posix.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct posix_file {
    struct env_file base;
    int fd;
};

static int fd_of(const struct env_file *file)
{
    return ((const struct posix_file *)file)->fd;
}

static void file_close(struct env_file *file)
{
    close(fd_of(file));
    free(file);
}

static ssize_t file_read(struct env_file *file, void *data, size_t size, uint64_t position)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(fd_of(file), (char *)data + done, size - done, (off_t)(position + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_from_errno(errno);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* pwritev until all of `iov` (which is used up) is written. */
static int write_all(int fd, struct iovec *iov, int n, uint64_t position)
{
    while (n > 0) {
        ssize_t written = pwritev(fd, iov, n, (off_t)position);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_from_errno(errno);
        if (written == 0 && iov->iov_len > 0)
            return ERR_IO; /* no error and no progress: never seen, and must not spin */
        position += (uint64_t)written;
        size_t left = (size_t)written;
        for (; n > 0 && left >= iov->iov_len; iov++, n--)
            left -= iov->iov_len;
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + left;
            iov->iov_len -= left;
        }
    }
    return 0;
}

static int file_write(struct env_file *file, const struct env_iovec *iov, unsigned n, uint64_t position)
{
    enum { AT_ONCE = 64 };
    for (unsigned from = 0; from < n; from += AT_ONCE) {
        struct iovec part[AT_ONCE];
        unsigned count = n - from < AT_ONCE ? n - from : AT_ONCE;
        uint64_t size = 0;
        for (unsigned i = 0; i < count; i++) {
            part[i] = (struct iovec){(void *)(uintptr_t)iov[from + i].data, iov[from + i].size};
            size += part[i].iov_len;
        }
        int rv = write_all(fd_of(file), part, (int)count, position);
        if (rv != 0)
            return rv;
        position += size;
    }
    return 0;
}

static int file_sync(struct env_file *file)
{
    return fdatasync(fd_of(file)) == 0 ? 0 : error_from_errno(errno);
}

static int file_size(struct env_file *file, uint64_t *size)
{
    struct stat status;
    if (fstat(fd_of(file), &status) != 0)
        return error_from_errno(errno);
    *size = (uint64_t)status.st_size;
    return 0;
}

static int file_truncate(struct env_file *file, uint64_t size)
{
    int rv;
    do {
        rv = ftruncate(fd_of(file), (off_t)size);
    } while (rv != 0 && errno == EINTR);
    return rv == 0 ? 0 : error_from_errno(errno);
}

/* For file systems without fallocate: writes the zeros behind the present end. */
static int allocate_by_writing(struct env_file *file, uint64_t from, uint64_t end)
{
    static const char zeros[64 * 1024];
    while (from < end) {
        struct env_iovec iov = {zeros, end - from < sizeof(zeros) ? (size_t)(end - from) : sizeof(zeros)};
        int rv = file_write(file, &iov, 1, from);
        if (rv != 0)
            return rv;
        from += iov.size;
    }
    return 0;
}

static int file_allocate(struct env_file *file, uint64_t position, uint64_t size)
{
    uint64_t before;
    int rv = file_size(file, &before);
    if (rv != 0)
        return rv;
    do {
        rv = fallocate(fd_of(file), 0, (off_t)position, (off_t)size);
    } while (rv != 0 && errno == EINTR);
    if (rv == 0)
        return 0;
    if (errno == EOPNOTSUPP)
        rv = allocate_by_writing(file, before > position ? before : position, position + size);
    else
        rv = error_from_errno(errno);
    if (rv != 0) /* a full file system may have given a part */
        (void)file_truncate(file, before);
    return rv;
}

static int file_lock(struct env_file *file)
{
    if (flock(fd_of(file), LOCK_EX | LOCK_NB) == 0)
        return 0;
    return errno == EWOULDBLOCK ? ERR_LOCKED : error_from_errno(errno);
}

static const struct env_file_ops file_ops = {
    .close = file_close,
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .allocate = file_allocate,
    .truncate = file_truncate,
    .size = file_size,
    .lock = file_lock,
};

static int open_flags(int flags)
{
    int result = O_CLOEXEC | ((flags & ENV_WRITE) != 0 ? O_RDWR : O_RDONLY);
    if ((flags & ENV_CREATE) != 0)
        result |= O_CREAT;
    if ((flags & ENV_EXCLUSIVE) != 0)
        result |= O_EXCL;
    if ((flags & ENV_TRUNCATE) != 0)
        result |= O_TRUNC;
    return result;
}

int posix_file_open(struct env *env, const char *path, int flags, struct env_file **file)
{
    (void)env;
    int fd;
    do {
        fd = open(path, open_flags(flags), 0640);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_from_errno(errno);
    struct posix_file *f = memory_alloc(sizeof(*f));
    f->base.ops = &file_ops;
    f->fd = fd;
    *file = &f->base;
    return 0;
}
