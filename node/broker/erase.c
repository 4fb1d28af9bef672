/* Removing the files of a replica that no longer belongs here. */
#include "node/broker/internal.h"

#include "node/base/memory.h"
#include <stdlib.h>

struct erasure {
    struct env_work job;
    struct broker *broker;
    uint64_t group_id;
    void (*done)(struct broker *b, uint64_t group_id);
    int status;
    char directory[4096];
};

static void remove_files(struct env_work *job)
{
    struct erasure *e = container_of(job, struct erasure, job);
    e->status = env_dir_remove(e->broker->env, e->directory);
}

static void on_removed(struct env_work *job)
{
    struct erasure *e = container_of(job, struct erasure, job);
    struct broker *b = e->broker;
    /* The journal's record goes last: files without one would look like a replica that lost its vote. */
    if (e->status == 0 || e->status == ERR_NOT_FOUND)
        journal_forget(b->options.journal, e->group_id);
    else
        LOG(b->options.logger, LOG_WARN, "cannot remove a replica's files", "directory=%s error=%s",
            e->directory, error_name(e->status));
    e->done(b, e->group_id);
    free(e);
}

void erase_replica(struct broker *b, uint64_t group_id, void (*done)(struct broker *b, uint64_t group_id))
{
    struct erasure *e = memory_zalloc(sizeof *e);
    e->broker = b;
    e->group_id = group_id;
    e->done = done;
    data_dir_group_path(b->options.data_dir, group_id, e->directory, sizeof e->directory);
    env_work(b->env, &e->job, remove_files, on_removed);
}
