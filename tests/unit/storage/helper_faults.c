#include "tests/unit/storage/helper_faults.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <time.h>

struct fault_file {
    struct env_file base;
    struct env_file *real;
    struct faults *faults;
};

static struct fault_file *fault_file(const struct env_file *file)
{
    return (struct fault_file *)(uintptr_t)file;
}

static void fault_close(struct env_file *file)
{
    struct fault_file *f = fault_file(file);

    f->real->ops->close(f->real);
    free(f);
}

static ssize_t fault_read(struct env_file *file, void *data, size_t size, uint64_t position)
{
    struct fault_file *f = fault_file(file);

    if (f->faults->read_error != 0)
        return f->faults->read_error;
    f->faults->reads++;
    ssize_t n = f->real->ops->read(f->real, data, size, position);
    f->faults->bytes_read += n > 0 ? (uint64_t)n : 0;
    return n;
}

static int fault_write(struct env_file *file, const struct env_iovec *iov, unsigned n, uint64_t position)
{
    struct fault_file *f = fault_file(file);

    if (f->faults->write_error != 0)
        return f->faults->write_error;
    f->faults->writes++;
    return f->real->ops->write(f->real, iov, n, position);
}

static int fault_sync(struct env_file *file)
{
    struct fault_file *f = fault_file(file);
    struct timespec pause = {0, 100000};

    while (f->faults->hold_syncs)
        nanosleep(&pause, NULL);
    if (f->faults->sync_error != 0)
        return f->faults->sync_error;
    f->faults->syncs++;
    return f->real->ops->sync(f->real);
}

static int fault_allocate(struct env_file *file, uint64_t position, uint64_t size)
{
    struct fault_file *f = fault_file(file);

    return f->faults->allocate_error != 0 ? f->faults->allocate_error
                                          : f->real->ops->allocate(f->real, position, size);
}

static int fault_truncate(struct env_file *file, uint64_t size)
{
    struct fault_file *f = fault_file(file);

    return f->real->ops->truncate(f->real, size);
}

static int fault_size(struct env_file *file, uint64_t *size)
{
    struct fault_file *f = fault_file(file);

    return f->real->ops->size(f->real, size);
}

static int fault_lock(struct env_file *file)
{
    struct fault_file *f = fault_file(file);

    return f->real->ops->lock(f->real);
}

static const struct env_file_ops fault_ops = {
    .close = fault_close,
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .allocate = fault_allocate,
    .truncate = fault_truncate,
    .size = fault_size,
    .lock = fault_lock,
};

static int fault_open(struct env *env, const char *path, int flags, struct env_file **file)
{
    struct faults *faults = (struct faults *)(uintptr_t)env->ops;
    struct env_file *real;
    int status = faults->real->file_open(env, path, flags, &real);

    if (status != 0)
        return status;
    struct fault_file *f = memory_zalloc(sizeof(*f));
    f->base.ops = &fault_ops;
    f->real = real;
    f->faults = faults;
    *file = &f->base;
    return 0;
}

static int fault_dir_sync(struct env *env, const char *path)
{
    struct faults *faults = (struct faults *)(uintptr_t)env->ops;

    if (faults->dir_sync_error != 0)
        return faults->dir_sync_error;
    faults->dir_syncs++;
    return faults->real->dir_sync(env, path);
}

void faults_install(struct faults *f, struct env *env)
{
    f->real = env->ops;
    f->ops = *env->ops;
    f->ops.file_open = fault_open;
    f->ops.dir_sync = fault_dir_sync;
    env->ops = &f->ops;
}
