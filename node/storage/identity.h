/* The identity file of a data directory: text that a person can read, with a CRC. */
#ifndef STORAGE_IDENTITY_H
#define STORAGE_IDENTITY_H

#include "node/env/env.h"
#include "node/storage/format.h"

enum { IDENTITY_CLUSTER_MAX = 255 };

struct identity {
    uint32_t version;
    uint32_t node_id;
    char cluster_id[IDENTITY_CLUSTER_MAX + 1];
};

/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_UNSUPPORTED_VERSION (`id` is filled then too), or the error of the read. */
int identity_read(struct env *env, const char *path, struct identity *id);
/* Writes "<directory>/identity", durably and at once or not at all. */
int identity_write(struct env *env, const char *directory, const struct identity *id);

#endif
