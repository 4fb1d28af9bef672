#include "node/storage/identity.h"
#include "node/storage/segment.h"
#include "proto/crc32c.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { IDENTITY_MAX = 1024 };

static size_t identity_encode(char out[IDENTITY_MAX], const struct identity *id)
{
    int n = snprintf(out, IDENTITY_MAX, "flotilla-data\nversion=%" PRIu32 "\nnode=%" PRIu32 "\ncluster=%s\n",
                     id->version, id->node_id, id->cluster_id);
    uint32_t crc = crc32c(0, out, (size_t)n);

    return (size_t)n + (size_t)snprintf(out + n, (size_t)(IDENTITY_MAX - n), "crc=%08" PRIx32 "\n", crc);
}

static int identity_decode(const char *text, size_t size, struct identity *id)
{
    const char *crc_line = memmem(text, size, "\ncrc=", 5);
    uint32_t crc;

    if (crc_line == NULL || sscanf(crc_line, "\ncrc=%8" SCNx32, &crc) != 1 ||
        crc != crc32c(0, text, (size_t)(crc_line + 1 - text)))
        return ERR_CORRUPT;
    if (sscanf(text, "flotilla-data\nversion=%" SCNu32 "\nnode=%" SCNu32 "\ncluster=%255[^\n]\n",
               &id->version, &id->node_id, id->cluster_id) < 2)
        return ERR_CORRUPT;
    return id->version == FORMAT_VERSION ? 0 : ERR_UNSUPPORTED_VERSION;
}

int identity_read(struct env *env, const char *path, struct identity *id)
{
    char text[IDENTITY_MAX + 1];
    struct env_file *file;
    int status = env_file_open(env, path, ENV_READ, &file);

    if (status != 0)
        return status;
    ssize_t n = env_file_read(file, text, IDENTITY_MAX, 0);
    env_file_close(env, file);
    if (n < 0)
        return (int)n;
    text[n] = '\0';
    *id = (struct identity){0};
    return identity_decode(text, (size_t)n, id);
}

int identity_write(struct env *env, const char *directory, const struct identity *id)
{
    char path[FORMAT_PATH_MAX];
    char new_path[FORMAT_PATH_MAX];
    char text[IDENTITY_MAX];
    struct bytes content = {(unsigned char *)text, identity_encode(text, id), sizeof(text)};

    format_path(path, directory, "identity");
    format_path(new_path, directory, "identity.new");
    int status = segment_write_file(env, new_path, &content);
    if (status == 0)
        status = env_rename(env, new_path, path);
    return status != 0 ? status : env_dir_sync(env, directory);
}
