#include "node/storage/data_dir.h"
#include "node/base/memory.h"
#include "node/env/sabotage.h"
#include "node/storage/identity.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct data_dir {
    struct env *env;
    char *path;
    char journal_path[FORMAT_PATH_MAX];
    char groups_path[FORMAT_PATH_MAX];
    struct env_file *lock;
};

/* Where open() says what went wrong. */
struct complaint {
    char *message;
    size_t size;
};

__attribute__((format(printf, 3, 4))) static int complain(const struct complaint *c, int status,
                                                          const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(c->message, c->size, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- opening ---- */

struct listing {
    unsigned foreign; /* entries that an empty directory would not have */
    char example[64];
};

static void listing_entry(void *data, const char *name)
{
    struct listing *l = data;

    if (strcmp(name, "lost+found") == 0 || strcmp(name, "lock") == 0 || strcmp(name, "identity.new") == 0 ||
        strcmp(name, "groups") == 0)
        return;
    l->foreign++;
    snprintf(l->example, sizeof(l->example), "%s", name);
}

static void count_entry(void *data, const char *name)
{
    (void)name;
    ++*(unsigned *)data;
}

/* The directory itself is an entry of its parent: lost with the power, votes and all, until that is synced. A
 * parent that we may not open is the operator's, and so was the making of the directory. */
static int data_dir_sync_parent(const struct data_dir *d)
{
    char parent[FORMAT_PATH_MAX];
    size_t size = strlen(d->path);

    while (size > 1 && d->path[size - 1] == '/')
        size--;
    while (size > 0 && d->path[size - 1] != '/')
        size--;
    snprintf(parent, sizeof(parent), "%.*s", (int)size, size > 0 ? d->path : "");
    int status = env_dir_sync(d->env, size > 0 ? parent : ".");
    return status == ERR_PERMISSION ? 0 : status;
}

/* What to do, where it is not plain from the reason. */
static const char *advice(int status)
{
    switch (status) {
    case ERR_PERMISSION:
        return ": the user that runs flotillad must be able to write there, and the file system must not be "
               "mounted read-only";
    case ERR_NO_SPACE:
        return ": make room there";
    case ERR_TOO_MANY_FILES:
        return ": raise the limit of open files (ulimit -n)";
    default:
        return "";
    }
}

static int data_dir_bind(struct data_dir *d, const struct identity *wanted, const struct complaint *c)
{
    struct listing listing = {0};
    int status = env_dir_list(d->env, d->path, listing_entry, &listing);

    if (status == 0 && listing.foreign > 0)
        return complain(
            c, ERR_EXISTS,
            "%s is not empty and is no Flotilla data directory (it has \"%s\" but no \"identity\"): "
            "choose an empty directory",
            d->path, listing.example);
    if (status == 0)
        status = data_dir_sync_parent(d);
    if (status == 0)
        status = identity_write(d->env, d->path, wanted);
    if (status != 0)
        return complain(c, status, "cannot write the identity of %s: %s%s", d->path, error_text(status),
                        advice(status));
    return 0;
}

/* Votes are in the journal: without it, a node that has replicas could vote twice in a term. */
static int data_dir_check_journal(struct data_dir *d, const struct complaint *c)
{
    struct env_file *file;
    unsigned groups = 0;
    int status = env_file_open(d->env, d->journal_path, ENV_READ, &file);

    if (status == 0)
        env_file_close(d->env, file);
    if (status != ERR_NOT_FOUND || env_dir_list(d->env, d->groups_path, count_entry, &groups) != 0 ||
        groups == 0)
        return 0;
    return complain(
        c, ERR_CORRUPT,
        "%s is missing although there are replicas in %s: restore it, or, while all other nodes are "
        "up and in sync, remove this node's data directory: it comes back empty and is filled by "
        "the others",
        d->journal_path, d->groups_path);
}

static int data_dir_check(struct data_dir *d, const struct identity *found, const struct identity *wanted,
                          const struct complaint *c)
{
    if (strcmp(found->cluster_id, wanted->cluster_id) != 0)
        return complain(
            c, ERR_CLUSTER_MISMATCH,
            "%s belongs to cluster \"%s\", not \"%s\": use its own cluster id, or another directory", d->path,
            found->cluster_id, wanted->cluster_id);
    if (found->node_id != wanted->node_id)
        return complain(c, ERR_NODE_MISMATCH,
                        "%s belongs to node %" PRIu32 ", not %" PRIu32
                        ": use its own node id, or another directory",
                        d->path, found->node_id, wanted->node_id);
    return data_dir_check_journal(d, c);
}

static int data_dir_identify(struct data_dir *d, const struct identity *wanted, const struct complaint *c)
{
    char path[FORMAT_PATH_MAX];
    struct identity found;

    format_path(path, d->path, "identity");
    int status = identity_read(d->env, path, &found);
    if (status == ERR_NOT_FOUND)
        return data_dir_bind(d, wanted, c);
    if (status == ERR_UNSUPPORTED_VERSION)
        return complain(c, status, "%s has format version %u; this flotillad reads version %d", d->path,
                        found.version, FORMAT_VERSION);
    if (status == ERR_CORRUPT)
        return complain(c, status, "%s is damaged (its checksum does not match): restore it from a backup",
                        path);
    if (status != 0)
        return complain(c, status, "cannot read %s: %s%s", path, error_text(status), advice(status));
    return env_sabotaged(d->env, SABOTAGE_IDENTITY_IGNORED) ? 0 : data_dir_check(d, &found, wanted, c);
}

static int data_dir_lock(struct data_dir *d, const struct complaint *c)
{
    char path[FORMAT_PATH_MAX];

    format_path(path, d->path, "lock");
    int status = env_file_open(d->env, path, ENV_WRITE | ENV_CREATE, &d->lock);
    if (status != 0) {
        d->lock = NULL;
        return complain(c, status, "cannot open %s: %s%s", path, error_text(status), advice(status));
    }
    status = env_file_lock(d->lock);
    if (status == ERR_LOCKED)
        return complain(c, status,
                        "%s is in use by another process: stop it first, or choose another directory",
                        d->path);
    if (status != 0)
        return complain(c, status, "cannot lock %s: %s", path, error_text(status));
    return 0;
}

static int data_dir_prepare(struct data_dir *d, const struct identity *wanted, const struct complaint *c)
{
    int status = env_dir_create(d->env, d->path);

    if (status != 0)
        return complain(c, status, "cannot create data directory %s: %s%s", d->path, error_text(status),
                        advice(status));
    status = data_dir_lock(d, c);
    if (status != 0)
        return status;
    status = data_dir_identify(d, wanted, c);
    if (status != 0)
        return status;
    status = env_dir_create(d->env, d->groups_path);
    if (status == 0)
        status = env_dir_sync(d->env, d->path);
    if (status == 0)
        status = env_dir_sync(d->env, d->groups_path); /* killed before it had synced what it made */
    if (status != 0)
        return complain(c, status, "cannot create %s: %s%s", d->groups_path, error_text(status),
                        advice(status));
    return 0;
}

int data_dir_open(struct env *env, const char *path, uint32_t node_id, const char *cluster_id,
                  struct data_dir **dir, char *message, size_t message_size)
{
    struct complaint c = {message, message_size};
    struct identity wanted = {.version = FORMAT_VERSION, .node_id = node_id};

    if (path[0] == '\0' || strlen(path) > FORMAT_DIRECTORY_MAX - 64)
        return complain(&c, ERR_INVALID_ARGUMENT,
                        "the data directory's path is empty or longer than %d bytes",
                        FORMAT_DIRECTORY_MAX - 64);
    if (cluster_id[0] == '\0' || strlen(cluster_id) > IDENTITY_CLUSTER_MAX ||
        strchr(cluster_id, '\n') != NULL)
        return complain(&c, ERR_INVALID_ARGUMENT, "the cluster id must be 1 to %d characters on one line",
                        IDENTITY_CLUSTER_MAX);
    snprintf(wanted.cluster_id, sizeof(wanted.cluster_id), "%s", cluster_id);

    struct data_dir *d = memory_zalloc(sizeof(*d));
    d->env = env;
    d->path = memory_strdup(path);
    format_path(d->journal_path, path, "journal");
    format_path(d->groups_path, path, "groups");
    int status = data_dir_prepare(d, &wanted, &c);
    if (status != 0)
        data_dir_close(d);
    else
        *dir = d;
    return status;
}

void data_dir_close(struct data_dir *dir)
{
    if (dir->lock != NULL)
        env_file_close(dir->env, dir->lock);
    free(dir->path);
    free(dir);
}

void data_dir_group_path(const struct data_dir *dir, uint64_t group_id, char *out, size_t out_size)
{
    snprintf(out, out_size, "%s/%016" PRIx64, dir->groups_path, group_id);
}

const char *data_dir_journal_path(const struct data_dir *dir)
{
    return dir->journal_path;
}

/* ---- groups ---- */

struct group_listing {
    uint64_t *ids;
    size_t n;
};

static void group_entry(void *data, const char *name)
{
    struct group_listing *l = data;
    uint64_t id;
    char tail;

    if (strlen(name) != 16 || strspn(name, "0123456789abcdef") != 16 ||
        sscanf(name, "%16" SCNx64 "%c", &id, &tail) != 1)
        return;
    l->ids = memory_realloc(l->ids, (l->n + 1) * sizeof(*l->ids));
    l->ids[l->n++] = id;
}

int data_dir_each_group(struct data_dir *dir, void (*each)(void *data, uint64_t group_id), void *data)
{
    struct group_listing l = {0};
    int status = env_dir_list(dir->env, dir->groups_path, group_entry, &l);

    /* Listed first, so that `each` may remove what it is shown. */
    for (size_t i = 0; i < l.n && status == 0; i++)
        each(data, l.ids[i]);
    free(l.ids);
    return status;
}

/* ---- new groups ---- */

static void no_entry(void *data, const char *name)
{
    (void)data;
    (void)name;
}

static bool make_group(struct data_dir *dir, uint64_t group_id)
{
    char path[FORMAT_PATH_MAX + 32];

    data_dir_group_path(dir, group_id, path, sizeof(path));
    return env_dir_list(dir->env, path, no_entry, NULL) == ERR_NOT_FOUND &&
           env_dir_create(dir->env, path) == 0;
}

/* A directory that is there counts as synced: these are not. */
static void unmake_group(struct data_dir *dir, uint64_t group_id)
{
    char path[FORMAT_PATH_MAX + 32];

    data_dir_group_path(dir, group_id, path, sizeof(path));
    (void)env_dir_remove(dir->env, path);
}

static void make_groups_work(struct env_work *job)
{
    struct data_dir_make *req = container_of(job, struct data_dir_make, job);

    for (unsigned i = 0; i < req->n; i++)
        req->is_blank[i] = make_group(req->dir, req->ids[i]);
    if (env_dir_sync(req->dir->env, req->dir->groups_path) == 0)
        return;
    for (unsigned i = 0; i < req->n; i++) {
        if (req->is_blank[i])
            unmake_group(req->dir, req->ids[i]);
        req->is_blank[i] = false;
    }
}

static void make_groups_done(struct env_work *job)
{
    struct data_dir_make *req = container_of(job, struct data_dir_make, job);

    req->cb(req);
}

void data_dir_make_groups(struct data_dir *dir, struct data_dir_make *req,
                          void (*cb)(struct data_dir_make *req))
{
    req->dir = dir;
    req->cb = cb;
    env_work(dir->env, &req->job, make_groups_work, make_groups_done);
}
