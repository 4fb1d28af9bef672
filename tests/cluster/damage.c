#include "tests/cluster/damage.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- finding ---- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool segment_name(const char *name, uint64_t *base)
{
    int used = 0;
    return sscanf(name, "%" SCNu64 ".log%n", base, &used) == 1 && used > 0 && name[used] == 0;
}

static uint64_t list_segments(struct damage_files *files)
{
    DIR *d = opendir(files->directory);
    uint64_t total = 0;
    files->count = 0;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        uint64_t base;
        if (segment_name(e->d_name, &base) && files->count < DAMAGE_FILES_MAX) {
            files->base[files->count++] = base;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    qsort(files->base, files->count, sizeof(files->base[0]), by_number);
    for (unsigned i = 0; i < files->count; i++) {
        char path[DAMAGE_PATH];
        damage_path(files, i, ".log", path);
        total += damage_used(path);
    }
    return total;
}

bool damage_find(const char *data, struct damage_files *files)
{
    char groups[DAMAGE_PATH];
    uint64_t largest = 0;
    snprintf(groups, sizeof(groups), "%s/groups", data);
    DIR *d = opendir(groups);
    struct damage_files *candidate = malloc(sizeof(*candidate));
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        snprintf(candidate->directory, sizeof(candidate->directory), "%.4300s/%.64s", groups, e->d_name);
        uint64_t size = list_segments(candidate);
        if (size > largest) {
            largest = size;
            *files = *candidate;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    free(candidate);
    return largest > 0;
}

bool damage_find_group(const char *data, uint64_t group_id, struct damage_files *files)
{
    snprintf(files->directory, sizeof(files->directory), "%.4300s/groups/%016" PRIx64, data, group_id);
    return list_segments(files) > 0;
}

void damage_path(const struct damage_files *files, unsigned number, const char *suffix, char *out)
{
    snprintf(out, DAMAGE_PATH, "%.4300s/%020" PRIu64 "%s", files->directory, files->base[number], suffix);
}

/* ---- looking ---- */

uint64_t damage_size(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (uint64_t)status.st_size : 0;
}

static unsigned char *read_whole(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *size = (size_t)damage_size(path);
    unsigned char *bytes = malloc(*size + 1);
    if (fd < 0 || read(fd, bytes, *size) != (ssize_t)*size) {
        *size = 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return bytes;
}

uint64_t damage_used(const char *path)
{
    size_t size;
    unsigned char *bytes = read_whole(path, &size);
    while (size > 0 && bytes[size - 1] == 0) {
        size--;
    }
    free(bytes);
    return size;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name);
    return length >= strlen(end) && strcmp(name + length - strlen(end), end) == 0;
}

uint64_t damage_kept(const struct damage_files *files)
{
    uint64_t total = 0;
    DIR *d = opendir(files->directory);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        char path[DAMAGE_PATH + 256];
        if (ends_with(e->d_name, ".log") || ends_with(e->d_name, ".damaged")) {
            snprintf(path, sizeof(path), "%s/%s", files->directory, e->d_name);
            total += damage_used(path);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return total;
}

/* ---- harming ---- */

static bool overwrite(const char *path, uint64_t position, const void *bytes, size_t size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && pwrite(fd, bytes, size, (off_t)position) == (ssize_t)size;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool damage_flip(const char *path, uint64_t position)
{
    size_t size;
    unsigned char *bytes = read_whole(path, &size);
    bool ok = position < size;
    if (ok) {
        bytes[position] ^= 0x10;
        ok = overwrite(path, position, bytes + position, 1);
    }
    free(bytes);
    return ok;
}

bool damage_zero(const char *path, uint64_t position, uint64_t size)
{
    void *zeros = calloc(1, size);
    bool ok = position + size <= damage_size(path) && overwrite(path, position, zeros, size);
    free(zeros);
    return ok;
}

bool damage_truncate(const char *path, uint64_t size)
{
    return truncate(path, (off_t)size) == 0;
}

bool damage_swap(const char *a, const char *b)
{
    char aside[DAMAGE_PATH + 8];
    snprintf(aside, sizeof(aside), "%s.aside", a);
    return rename(a, aside) == 0 && rename(b, a) == 0 && rename(aside, b) == 0;
}

bool damage_copy(const char *from, const char *to)
{
    size_t size;
    unsigned char *bytes = read_whole(from, &size);
    FILE *f = fopen(to, "we");
    bool ok = f != NULL && fwrite(bytes, 1, size, f) == size;
    if (f != NULL) {
        ok = fclose(f) == 0 && ok;
    }
    free(bytes);
    return ok;
}
