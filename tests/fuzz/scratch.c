#include "tests/fuzz/scratch.h"
#include "node/base/assert.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct scratch scratch;

static void scratch_remove(void)
{
    scratch_clear(&scratch);
    rmdir(scratch.directory);
    env_destroy(scratch.env);
}

struct scratch *scratch_get(void)
{
    if (scratch.env == NULL) {
        const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        snprintf(scratch.directory, sizeof(scratch.directory), "%s/flotilla-fuzz-XXXXXX", parent);
        ASSERT(mkdtemp(scratch.directory) != NULL);
        scratch.env = env_uv_create(1);
        atexit(scratch_remove);
    }
    return &scratch;
}

void scratch_path(const struct scratch *s, const char *name, char *out, size_t size)
{
    ASSERT((size_t)snprintf(out, size, "%s/%s", s->directory, name) < size);
}

void scratch_write(const struct scratch *s, const char *name, const void *data, size_t size)
{
    char path[512];
    scratch_path(s, name, path, sizeof(path));
    FILE *f = fopen(path, "we");
    ASSERT(f != NULL && (size == 0 || fwrite(data, 1, size, f) == size) && fclose(f) == 0);
}

void scratch_clear(const struct scratch *s)
{
    DIR *directory = opendir(s->directory);
    struct dirent *entry;
    ASSERT(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        scratch_path(s, entry->d_name, path, sizeof(path));
        unlink(path);
    }
    closedir(directory);
}
