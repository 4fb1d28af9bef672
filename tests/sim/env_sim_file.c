/* Paths and open files on a simulated disk. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "tests/sim/env_sim_disk.h"
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 256 };

/* Where a path leads: an entry of a directory, which may not exist. */
struct place {
    struct sim_inode *directory; /* NULL: the path is "/" */
    char name[NAME_SIZE];
    struct sim_inode *inode; /* NULL: no such entry */
};

/* Copies the next component, leaving out "." and empty ones; NULL at the end. */
static const char *next_component(const char *path, char name[NAME_SIZE])
{
    for (;;) {
        path += strspn(path, "/");
        size_t size = strcspn(path, "/");
        ASSERT(size < NAME_SIZE);
        if (size == 0)
            return NULL;
        memcpy(name, path, size);
        name[size] = '\0';
        path += size;
        if (strcmp(name, ".") != 0)
            return path;
    }
}

static int locate(struct sim_disk *disk, const char *path, struct place *place)
{
    char name[NAME_SIZE];
    *place = (struct place){.inode = disk->root};
    while ((path = next_component(path, name)) != NULL) {
        if (place->inode == NULL)
            return ERR_NOT_FOUND;
        if (!place->inode->directory)
            return ERR_INVALID_ARGUMENT;
        place->directory = place->inode;
        memcpy(place->name, name, sizeof(name));
        place->inode = sim_entries_find(&place->directory->live_entries, name);
    }
    return 0;
}

static int locate_existing(struct env *env, const char *path, struct place *place)
{
    struct sim_process *p = sim_process_of(env);
    if (p->dead)
        return ERR_CLOSED;
    int rv = locate(p->host->disk, path, place);
    if (rv != 0)
        return rv;
    return place->inode == NULL ? ERR_NOT_FOUND : 0;
}

/* ---- open files ---- */

struct sim_file {
    struct env_file base;
    struct queue node; /* in process->files */
    struct sim_process *process;
    struct sim_inode *inode; /* NULL once the process is dead */
    bool writable;
    bool holds_lock;
};

static struct sim_file *file_of(struct env_file *file)
{
    return (struct sim_file *)file;
}

static struct sim_disk *disk_of(const struct sim_file *f)
{
    return f->process->host->disk;
}

static void file_release(struct sim_file *f)
{
    if (f->inode == NULL)
        return;
    if (f->holds_lock)
        f->inode->locked = false;
    sim_inode_unref(f->inode);
    f->inode = NULL;
}

static void file_close(struct env_file *file)
{
    struct sim_file *f = file_of(file);
    if (f->process->dead)
        return; /* freed with the process */
    file_release(f);
    queue_remove(&f->node);
    free(f);
}

static ssize_t file_read(struct env_file *file, void *data, size_t size, uint64_t position)
{
    struct sim_file *f = file_of(file);
    if (f->inode == NULL)
        return ERR_CLOSED;
    if (sim_disk_fails(disk_of(f), disk_of(f)->failing_reads))
        return ERR_IO;
    f->process->job_cost_ns += disk_of(f)->read_ns + size / 4;
    size_t n = content_read(&f->inode->live, data, size, position);
    if (n > 0 && sim_disk_fails(disk_of(f), disk_of(f)->rotting_reads)) {
        ((unsigned char *)data)[sim_random(disk_of(f)->sim, n)] ^= 1;
        disk_of(f)->rotten_reads++;
    }
    return (ssize_t)n;
}

static int may_write(const struct sim_file *f)
{
    if (f->inode == NULL)
        return ERR_CLOSED;
    if (!f->writable)
        return ERR_PERMISSION;
    return sim_disk_fails(disk_of(f), disk_of(f)->failing_writes) ? ERR_IO : 0;
}

static int file_write(struct env_file *file, const struct env_iovec *iov, unsigned n, uint64_t position)
{
    struct sim_file *f = file_of(file);
    int rv = may_write(f);
    for (unsigned i = 0; i < n && rv == 0; i++) {
        if (iov[i].size == 0)
            continue;
        rv = sim_inode_write(f->inode, iov[i].data, iov[i].size, position);
        position += iov[i].size;
        f->process->job_cost_ns += 1000 + iov[i].size / 4;
    }
    return rv;
}

/* What a sync of the process does: 0, or the error that it gives instead. */
static int sync_begin(struct sim_process *p)
{
    struct sim_disk *disk = p->host->disk;
    p->job_cost_ns += sim_random_between(disk->sim, disk->sync_min_ns, disk->sync_max_ns);
    return p->losing_power || sim_disk_fails(disk, disk->failing_syncs) ? ERR_IO : 0;
}

/* ---- syncs ---- */

void sim_syncs_init(struct sim_syncs *syncs, struct sim_disk *disk)
{
    *syncs = (struct sim_syncs){.disk = disk};
    queue_init(&syncs->node);
}

void sim_syncs_end(struct sim_syncs *syncs)
{
    syncs->last_change = syncs->disk->last_change;
}

static void sync_until(struct sim_inode *inode, uint64_t change)
{
    if (inode->directory)
        sim_dir_make_durable(inode, change);
    else
        sim_inode_sync(inode, change);
}

void sim_syncs_close(struct sim_syncs *syncs, unsigned n)
{
    for (unsigned i = 0; i < syncs->count; i++) {
        if (i < n)
            sync_until(syncs->all[i].inode, syncs->all[i].change);
        sim_inode_unref(syncs->all[i].inode);
    }
    if (n < syncs->count)
        sim_disk_undo(syncs->disk, syncs->all[n].change, syncs->last_change);
    free(syncs->all);
    queue_remove(&syncs->node);
    sim_syncs_init(syncs, syncs->disk);
}

static void sync_inode(struct sim_process *p, struct sim_inode *inode)
{
    struct sim_syncs *syncs = p->job_syncs;
    if (syncs == NULL) {
        sync_until(inode, UINT64_MAX);
        return;
    }
    syncs->all = memory_realloc(syncs->all, (syncs->count + 1) * sizeof(*syncs->all));
    syncs->all[syncs->count++] = (struct sim_sync){sim_inode_ref(inode), inode->disk->last_change};
}

static int file_sync(struct env_file *file)
{
    struct sim_file *f = file_of(file);
    if (f->inode == NULL)
        return ERR_CLOSED;
    int rv = sync_begin(f->process);
    if (rv == 0)
        sync_inode(f->process, f->inode);
    else if (!f->process->losing_power) /* then all that is dirty is torn in a moment anyway */
        sim_inode_sync_torn(f->inode);
    return rv;
}

static int file_allocate(struct env_file *file, uint64_t position, uint64_t size)
{
    struct sim_file *f = file_of(file);
    int rv = may_write(f);
    return rv != 0 ? rv : sim_inode_allocate(f->inode, position + size);
}

static int file_truncate(struct env_file *file, uint64_t size)
{
    struct sim_file *f = file_of(file);
    int rv = may_write(f);
    return rv != 0 ? rv : sim_inode_truncate(f->inode, size);
}

static int file_size(struct env_file *file, uint64_t *size)
{
    struct sim_file *f = file_of(file);
    if (f->inode == NULL)
        return ERR_CLOSED;
    *size = f->inode->live.size;
    return 0;
}

static int file_lock(struct env_file *file)
{
    struct sim_file *f = file_of(file);
    if (f->inode == NULL)
        return ERR_CLOSED;
    if (f->inode->locked && !f->holds_lock)
        return ERR_LOCKED;
    f->inode->locked = true;
    f->holds_lock = true;
    return 0;
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

/* Checks the flags against what is at `place`, and creates the file where that is asked for. */
static int file_prepare(struct sim_disk *disk, struct place *place, int flags)
{
    if (place->inode == NULL) {
        if ((flags & ENV_CREATE) == 0)
            return ERR_NOT_FOUND;
        place->inode = sim_inode_create(disk, false);
        sim_dir_set(place->directory, place->name, place->inode);
        sim_inode_unref(place->inode); /* the entry has it now */
        return 0;
    }
    if ((flags & ENV_EXCLUSIVE) != 0)
        return ERR_EXISTS;
    if (place->inode->directory)
        return ERR_INVALID_ARGUMENT;
    return (flags & ENV_TRUNCATE) != 0 ? sim_inode_truncate(place->inode, 0) : 0;
}

int sim_file_open(struct env *env, const char *path, int flags, struct env_file **file)
{
    struct sim_process *p = sim_process_of(env);
    struct place place;
    int rv = p->dead ? ERR_CLOSED : locate(p->host->disk, path, &place);
    if (rv == 0)
        rv = file_prepare(p->host->disk, &place, flags);
    if (rv != 0)
        return rv;
    struct sim_file *f = memory_zalloc(sizeof(*f));
    f->base.ops = &file_ops;
    f->process = p;
    f->inode = sim_inode_ref(place.inode);
    f->writable = (flags & ENV_WRITE) != 0;
    queue_push(&p->files, &f->node);
    *file = &f->base;
    return 0;
}

void sim_files_release(struct sim_process *process)
{
    QUEUE_FOREACH (node, &process->files)
        file_release(QUEUE_ENTRY(node, struct sim_file, node));
}

void sim_files_free(struct sim_process *process)
{
    while (!queue_empty(&process->files)) {
        struct sim_file *f = QUEUE_ENTRY(queue_first(&process->files), struct sim_file, node);
        queue_remove(&f->node);
        free(f);
    }
}

/* ---- directories ---- */

int sim_dir_create(struct env *env, const char *path)
{
    struct place place;
    int rv = locate_existing(env, path, &place);
    if (rv == 0)
        return place.inode->directory ? 0 : ERR_EXISTS;
    if (rv != ERR_NOT_FOUND)
        return rv;
    rv = locate(sim_process_of(env)->host->disk, path, &place);
    if (rv != 0)
        return rv; /* the parent is missing */
    struct sim_inode *directory = sim_inode_create(place.directory->disk, true);
    sim_dir_set(place.directory, place.name, directory);
    sim_inode_unref(directory);
    return 0;
}

int sim_dir_sync(struct env *env, const char *path)
{
    struct place place;
    int rv = locate_existing(env, path, &place);
    if (rv == 0 && !place.inode->directory)
        rv = ERR_INVALID_ARGUMENT;
    if (rv == 0)
        rv = sync_begin(sim_process_of(env));
    if (rv == 0)
        sync_inode(sim_process_of(env), place.inode);
    return rv;
}

int sim_dir_list(struct env *env, const char *path, void (*each)(void *data, const char *name), void *data)
{
    struct place place;
    int rv = locate_existing(env, path, &place);
    if (rv == 0 && !place.inode->directory)
        rv = ERR_INVALID_ARGUMENT;
    if (rv != 0)
        return rv;
    size_t n = place.inode->live_entries.count;
    char **names = memory_alloc(n * sizeof(*names)); /* `each` may change the directory */
    for (size_t i = 0; i < n; i++)
        names[i] = memory_strdup(place.inode->live_entries.items[i].name);
    for (size_t i = 0; i < n; i++) {
        each(data, names[i]);
        free(names[i]);
    }
    free(names);
    return 0;
}

int sim_rename(struct env *env, const char *from, const char *to)
{
    struct place source;
    struct place target;
    int rv = locate_existing(env, from, &source);
    if (rv == 0)
        rv = locate(sim_process_of(env)->host->disk, to, &target);
    if (rv != 0)
        return rv;
    if (source.directory == NULL || target.directory == NULL)
        return ERR_INVALID_ARGUMENT;
    if (source.inode == target.inode)
        return 0;
    if (target.inode != NULL && target.inode->directory)
        return ERR_EXISTS;
    sim_dir_move(source.directory, source.name, target.directory, target.name);
    return 0;
}

int sim_remove(struct env *env, const char *path)
{
    struct place place;
    int rv = locate_existing(env, path, &place);
    if (rv != 0)
        return rv;
    if (place.inode->directory)
        return ERR_INVALID_ARGUMENT;
    sim_dir_set(place.directory, place.name, NULL);
    return 0;
}

static void remove_below(struct sim_inode *directory)
{
    while (directory->live_entries.count > 0) {
        const struct sim_entry *last = &directory->live_entries.items[directory->live_entries.count - 1];
        if (last->inode->directory)
            remove_below(last->inode);
        char name[NAME_SIZE];
        strcpy(name, last->name);
        sim_dir_set(directory, name, NULL);
    }
}

int sim_dir_remove(struct env *env, const char *path)
{
    struct place place;
    int rv = locate_existing(env, path, &place);
    if (rv != 0)
        return rv;
    if (place.directory == NULL)
        return ERR_INVALID_ARGUMENT;
    if (place.inode->directory)
        remove_below(place.inode);
    sim_dir_set(place.directory, place.name, NULL);
    return 0;
}

int sim_free_space(struct env *env, const char *path, uint64_t *bytes)
{
    struct place place;
    int rv = locate_existing(env, path, &place);
    if (rv != 0)
        return rv;
    const struct sim_disk *disk = sim_process_of(env)->host->disk;
    *bytes = disk->used < disk->capacity ? disk->capacity - disk->used : 0;
    return 0;
}

/* ---- damage ---- */

enum { SECTOR = 512, SECTORS_MAX = 8 };

static void flip_bit(struct sim_inode *inode, uint64_t position)
{
    unsigned char byte;
    content_read(&inode->live, &byte, 1, position);
    byte = (unsigned char)(byte ^ (1u << sim_random(inode->disk->sim, 8)));
    sim_inode_damage(inode, &byte, 1, position);
}

/* Whole sectors from `position` on become zeros, or what stands elsewhere in the file. */
static void replace_sectors(struct sim_inode *inode, uint64_t position, bool by_others)
{
    unsigned char sectors[SECTOR * SECTORS_MAX] = {0};
    size_t size = SECTOR * (1 + sim_random(inode->disk->sim, SECTORS_MAX));
    position -= position % SECTOR;
    if (size > inode->live.size - position)
        size = (size_t)(inode->live.size - position);
    if (by_others)
        content_read(&inode->live, sectors, size,
                     sim_random(inode->disk->sim, inode->live.size - size + 1) / SECTOR * SECTOR);
    sim_inode_damage(inode, sectors, size, position);
}

int sim_disk_damage(struct sim_host *host, const char *path, uint64_t position, enum sim_damage damage)
{
    struct place place;
    int rv = locate(host->disk, path, &place);
    if (rv != 0 || place.inode == NULL)
        return ERR_NOT_FOUND;
    if (position >= place.inode->live.size)
        return ERR_INVALID_ARGUMENT;
    if (damage == SIM_FLIPPED_BIT) {
        flip_bit(place.inode, position);
    } else if (damage == SIM_CUT_FILE) {
        rv = sim_inode_truncate(place.inode, position);
        sim_inode_sync(place.inode, UINT64_MAX);
    } else {
        replace_sectors(place.inode, position, damage == SIM_MISDIRECTED_WRITE);
    }
    return rv;
}
