#include "node/env/env_posix.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int posix_dir_create(struct env *env, const char *path)
{
    (void)env;
    if (mkdir(path, 0750) == 0)
        return 0;
    int cause = errno;
    struct stat status;
    if (cause == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return 0;
    return error_from_errno(cause);
}

int posix_dir_sync(struct env *env, const char *path)
{
    (void)env;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_from_errno(errno);
    int rv = fsync(fd) == 0 ? 0 : error_from_errno(errno);
    close(fd);
    return rv;
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

int posix_dir_list(struct env *env, const char *path, void (*each)(void *data, const char *name), void *data)
{
    (void)env;
    struct dirent **entries;
    int n = scandir(path, &entries, not_dots, by_name);
    if (n < 0)
        return error_from_errno(errno);
    for (int i = 0; i < n; i++) {
        each(data, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

int posix_rename(struct env *env, const char *from, const char *to)
{
    (void)env;
    return rename(from, to) == 0 ? 0 : error_from_errno(errno);
}

int posix_remove(struct env *env, const char *path)
{
    (void)env;
    return unlink(path) == 0 ? 0 : error_from_errno(errno);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

int posix_dir_remove(struct env *env, const char *path)
{
    (void)env;
    enum { OPEN_DIRECTORIES = 16 };
    return nftw(path, remove_entry, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS) == 0 ? 0
                                                                                 : error_from_errno(errno);
}

int posix_free_space(struct env *env, const char *path, uint64_t *bytes)
{
    (void)env;
    struct statvfs status;
    if (statvfs(path, &status) != 0)
        return error_from_errno(errno);
    *bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return 0;
}
