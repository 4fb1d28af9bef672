#include "tests/sim/env_sim_disk.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { SECTOR_SIZE = 512 };

/* One change of a file that was not synced. */
struct dirty {
    struct queue node;
    uint64_t number; /* disk->last_change, then */
    enum { WRITE, EXTEND, RESIZE } kind;
    uint64_t position;
    uint64_t size;       /* of a write; else 0 */
    unsigned char *data; /* of a write; NULL: it stands in the file */
};

/* One change of a directory that was not synced. */
struct change {
    struct queue node;
    uint64_t number;
    struct sim_inode *directory;
    char *name;
    struct sim_inode *inode; /* NULL: the entry is gone */
    struct sim_inode *from;  /* of a move; else NULL */
    char *from_name;
};

/* ---- entries ---- */

static size_t entries_place(const struct sim_entries *entries, const char *name)
{
    size_t low = 0;
    size_t high = entries->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(entries->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool entries_have(const struct sim_entries *entries, size_t place, const char *name)
{
    return place < entries->count && strcmp(entries->items[place].name, name) == 0;
}

struct sim_inode *sim_entries_find(const struct sim_entries *entries, const char *name)
{
    size_t place = entries_place(entries, name);
    return entries_have(entries, place, name) ? entries->items[place].inode : NULL;
}

static void entries_remove(struct sim_entries *entries, const char *name)
{
    size_t place = entries_place(entries, name);
    if (!entries_have(entries, place, name))
        return;
    struct sim_entry gone = entries->items[place];
    entries->count--;
    memmove(&entries->items[place], &entries->items[place + 1],
            (entries->count - place) * sizeof(*entries->items));
    free(gone.name);
    sim_inode_unref(gone.inode);
}

static void entries_set(struct sim_entries *entries, const char *name, struct sim_inode *inode)
{
    sim_inode_ref(inode); /* first: it may be what is replaced */
    entries_remove(entries, name);
    size_t place = entries_place(entries, name);
    entries->items = memory_realloc(entries->items, (entries->count + 1) * sizeof(*entries->items));
    memmove(&entries->items[place + 1], &entries->items[place],
            (entries->count - place) * sizeof(*entries->items));
    entries->items[place] = (struct sim_entry){memory_strdup(name), inode};
    entries->count++;
}

static void entries_close(struct sim_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->items[i].name);
        sim_inode_unref(entries->items[i].inode);
    }
    free(entries->items);
    *entries = (struct sim_entries){0};
}

/* ---- inodes ---- */

struct sim_inode *sim_inode_create(struct sim_disk *disk, bool directory)
{
    struct sim_inode *inode = memory_zalloc(sizeof(*inode));
    inode->disk = disk;
    inode->references = 1;
    inode->directory = directory;
    queue_init(&inode->dirty);
    return inode;
}

struct sim_inode *sim_inode_ref(struct sim_inode *inode)
{
    inode->references++;
    return inode;
}

static void dirty_free(struct dirty *d)
{
    queue_remove(&d->node);
    free(d->data);
    free(d);
}

static void dirty_clear(struct sim_inode *inode)
{
    while (!queue_empty(&inode->dirty)) {
        struct dirty *d = QUEUE_ENTRY(queue_first(&inode->dirty), struct dirty, node);
        dirty_free(d);
    }
    inode->dirty_end = 0;
}

void sim_inode_unref(struct sim_inode *inode)
{
    if (inode == NULL || --inode->references > 0)
        return;
    inode->disk->used -= inode->live.size;
    dirty_clear(inode);
    content_close(&inode->live);
    content_close(&inode->durable);
    entries_close(&inode->live_entries);
    entries_close(&inode->durable_entries);
    free(inode);
}

/* ---- content ---- */

static void dirty_add(struct sim_inode *inode, int kind, uint64_t position, uint64_t size)
{
    struct dirty *d = memory_alloc(sizeof(*d));
    d->number = ++inode->disk->last_change;
    d->kind = kind;
    d->position = position;
    d->size = size;
    d->data = NULL;
    queue_push(&inode->dirty, &d->node);
    if (position + size > inode->dirty_end)
        inode->dirty_end = position + size;
}

/* The file is about to change from `begin` on, up to `end`: what was written there gets a copy of its own.
 * Hardly anything is: files grow at their end. */
static void dirty_detach(struct sim_inode *inode, uint64_t begin, uint64_t end)
{
    if (begin >= inode->dirty_end)
        return;
    QUEUE_FOREACH (node, &inode->dirty) {
        struct dirty *d = QUEUE_ENTRY(node, struct dirty, node);
        if (d->kind != WRITE || d->data != NULL || d->position >= end || d->position + d->size <= begin)
            continue;
        d->data = memory_alloc((size_t)d->size);
        content_read(&inode->live, d->data, (size_t)d->size, d->position);
    }
}

/* Accounts for a new size of the file. */
static int take_space(struct sim_inode *inode, uint64_t new_size)
{
    struct sim_disk *disk = inode->disk;
    uint64_t used = disk->used - inode->live.size + new_size;
    if (new_size > inode->live.size && used > disk->capacity)
        return ERR_NO_SPACE;
    disk->used = used;
    return 0;
}

int sim_inode_write(struct sim_inode *inode, const void *data, size_t size, uint64_t position)
{
    uint64_t end = position + size;
    int rv = take_space(inode, end > inode->live.size ? end : inode->live.size);
    if (rv != 0)
        return rv;
    dirty_detach(inode, position, end);
    content_write(&inode->live, data, size, position);
    dirty_add(inode, WRITE, position, size);
    sim_note(inode->disk->sim, position);
    sim_note_bytes(inode->disk->sim, data, size);
    return 0;
}

int sim_inode_allocate(struct sim_inode *inode, uint64_t end)
{
    if (end <= inode->live.size)
        return 0;
    int rv = take_space(inode, end);
    if (rv != 0)
        return rv;
    content_resize(&inode->live, end);
    dirty_add(inode, EXTEND, end, 0);
    return 0;
}

int sim_inode_truncate(struct sim_inode *inode, uint64_t size)
{
    int rv = take_space(inode, size);
    if (rv != 0)
        return rv;
    dirty_detach(inode, size, UINT64_MAX);
    content_resize(&inode->live, size);
    dirty_add(inode, RESIZE, size, 0);
    return 0;
}

static void dirty_write(struct sim_inode *inode, const struct dirty *d, uint64_t from, uint64_t size)
{
    if (d->data != NULL)
        content_write(&inode->durable, d->data + from, (size_t)size, d->position + from);
    else
        content_transfer(&inode->durable, &inode->live, (size_t)size, d->position + from);
}

/* `shared`: all of the file is about to be durable as it stands. */
static void dirty_apply(struct sim_inode *inode, const struct dirty *d, bool shared)
{
    if (d->kind == RESIZE)
        content_resize(&inode->durable, d->position);
    else if (d->kind == WRITE && shared)
        content_share(&inode->durable, &inode->live, (size_t)d->size, d->position);
    else if (d->kind == WRITE)
        dirty_write(inode, d, 0, d->size);
    else if (d->position > inode->durable.size)
        content_resize(&inode->durable, d->position);
}

/* Some of the sectors that the write touches. */
static void dirty_apply_torn(struct sim_inode *inode, const struct dirty *d)
{
    for (uint64_t at = 0; at < d->size;) {
        uint64_t sector = SECTOR_SIZE - (d->position + at) % SECTOR_SIZE;
        uint64_t size = sector < d->size - at ? sector : d->size - at;
        if (sim_random(inode->disk->sim, 2) == 0)
            dirty_write(inode, d, at, size);
        at += size;
    }
}

void sim_inode_sync(struct sim_inode *inode, uint64_t change)
{
    if (queue_empty(&inode->dirty))
        return;
    const struct dirty *newest = QUEUE_ENTRY(queue_last(&inode->dirty), struct dirty, node);
    bool shared = newest->number <= change && !inode->diverged;
    while (!queue_empty(&inode->dirty)) {
        struct dirty *d = QUEUE_ENTRY(queue_first(&inode->dirty), struct dirty, node);
        if (d->number > change)
            return;
        dirty_apply(inode, d, shared);
        dirty_free(d);
    }
    inode->dirty_end = 0;
}

void sim_disk_undo(struct sim_disk *disk, uint64_t from, uint64_t to)
{
    disk->undone = memory_realloc(disk->undone, (disk->undone_count + 1) * sizeof(*disk->undone));
    disk->undone[disk->undone_count++] = (struct sim_range){from, to};
}

static bool is_undone(const struct sim_disk *disk, uint64_t number)
{
    for (unsigned i = 0; i < disk->undone_count; i++)
        if (number > disk->undone[i].from && number <= disk->undone[i].to)
            return true;
    return false;
}

void sim_inode_sync_torn(struct sim_inode *inode)
{
    enum { WHOLE, NOTHING, TORN, FATES };
    QUEUE_FOREACH (node, &inode->dirty) {
        const struct dirty *d = QUEUE_ENTRY(node, struct dirty, node);
        uint64_t fate = is_undone(inode->disk, d->number) ? NOTHING : sim_random(inode->disk->sim, FATES);
        if (fate == WHOLE)
            dirty_apply(inode, d, false);
        else if (fate == TORN && d->kind == WRITE)
            dirty_apply_torn(inode, d);
    }
    inode->diverged = true;
    dirty_clear(inode);
}

void sim_inode_damage(struct sim_inode *inode, const void *data, size_t size, uint64_t position)
{
    dirty_detach(inode, position, position + size);
    content_write(&inode->live, data, size, position);
    if (position + size <= inode->durable.size)
        content_write(&inode->durable, data, size, position);
}

/* ---- directories ---- */

static struct change *change_add(struct sim_inode *directory, const char *name, struct sim_inode *inode)
{
    struct change *c = memory_zalloc(sizeof(*c));
    c->number = ++directory->disk->last_change;
    c->directory = sim_inode_ref(directory);
    c->name = memory_strdup(name);
    c->inode = inode == NULL ? NULL : sim_inode_ref(inode);
    queue_push(&directory->disk->changes, &c->node);
    return c;
}

static void change_apply(const struct change *c)
{
    if (c->from != NULL)
        entries_remove(&c->from->durable_entries, c->from_name);
    if (c->inode != NULL)
        entries_set(&c->directory->durable_entries, c->name, c->inode);
    else
        entries_remove(&c->directory->durable_entries, c->name);
}

static void change_free(struct change *c)
{
    queue_remove(&c->node);
    sim_inode_unref(c->directory);
    sim_inode_unref(c->inode);
    sim_inode_unref(c->from);
    free(c->name);
    free(c->from_name);
    free(c);
}

void sim_dir_set(struct sim_inode *directory, const char *name, struct sim_inode *inode)
{
    change_add(directory, name, inode);
    if (inode != NULL)
        entries_set(&directory->live_entries, name, inode);
    else
        entries_remove(&directory->live_entries, name);
}

void sim_dir_move(struct sim_inode *from, const char *from_name, struct sim_inode *to, const char *to_name)
{
    struct sim_inode *inode = sim_inode_ref(sim_entries_find(&from->live_entries, from_name));
    struct change *c = change_add(to, to_name, inode);
    c->from = sim_inode_ref(from);
    c->from_name = memory_strdup(from_name);
    entries_remove(&from->live_entries, from_name);
    entries_set(&to->live_entries, to_name, inode);
    sim_inode_unref(inode);
}

void sim_dir_make_durable(struct sim_inode *directory, uint64_t change)
{
    struct queue *changes = &directory->disk->changes;
    for (struct queue *node = queue_first(changes), *next; node != changes; node = next) {
        struct change *c = QUEUE_ENTRY(node, struct change, node);
        next = node->next;
        if (c->number <= change && (c->directory == directory || c->from == directory)) {
            change_apply(c);
            change_free(c);
        }
    }
}

/* ---- the whole ---- */

struct sim_disk *sim_disk_create(struct sim *sim)
{
    struct sim_disk *disk = memory_zalloc(sizeof(*disk));
    disk->sim = sim;
    disk->root = sim_inode_create(disk, true);
    queue_init(&disk->changes);
    disk->capacity = UINT64_C(1) << 40;
    disk->read_ns = 2000;
    disk->sync_min_ns = 200000;
    disk->sync_max_ns = 600000;
    return disk;
}

static void changes_drop(struct sim_disk *disk, bool some_survive)
{
    while (!queue_empty(&disk->changes)) {
        struct change *c = QUEUE_ENTRY(queue_first(&disk->changes), struct change, node);
        if (some_survive && !is_undone(disk, c->number) && sim_random(disk->sim, 2) == 0)
            change_apply(c);
        change_free(c);
    }
}

void sim_disk_destroy(struct sim_disk *disk)
{
    changes_drop(disk, false);
    sim_inode_unref(disk->root);
    free(disk->undone);
    free(disk);
}

/* From the root down, everything that durable entries still lead to: live becomes what is durable. */
static void restore(struct sim_inode *inode)
{
    if (!inode->directory) {
        struct sim_disk *disk = inode->disk;
        if (queue_empty(&inode->dirty) && !inode->diverged)
            return;
        sim_inode_sync_torn(inode);
        inode->diverged = false;
        disk->used -= inode->live.size;
        content_copy(&inode->live, &inode->durable);
        disk->used += inode->live.size;
        return;
    }
    struct sim_entries before = inode->live_entries;
    inode->live_entries = (struct sim_entries){0};
    for (size_t i = 0; i < inode->durable_entries.count; i++) {
        const struct sim_entry *entry = &inode->durable_entries.items[i];
        entries_set(&inode->live_entries, entry->name, entry->inode);
        restore(entry->inode);
    }
    entries_close(&before);
}

void sim_disk_lose_power(struct sim_disk *disk)
{
    changes_drop(disk, true);
    restore(disk->root);
    free(disk->undone);
    disk->undone = NULL;
    disk->undone_count = 0;
}

bool sim_disk_fails(struct sim_disk *disk, unsigned per_million)
{
    return per_million > 0 && sim_random(disk->sim, 1000000) < per_million;
}

void sim_disk_latency(struct sim_host *host, uint64_t min_ns, uint64_t max_ns)
{
    ASSERT(min_ns <= max_ns);
    host->disk->sync_min_ns = min_ns;
    host->disk->sync_max_ns = max_ns;
}

void sim_disk_read_latency(struct sim_host *host, uint64_t ns)
{
    host->disk->read_ns = ns;
}

void sim_disk_fail_syncs(struct sim_host *host, unsigned per_million)
{
    host->disk->failing_syncs = per_million;
}

void sim_disk_fail_writes(struct sim_host *host, unsigned per_million)
{
    host->disk->failing_writes = per_million;
}

void sim_disk_fail_reads(struct sim_host *host, unsigned per_million)
{
    host->disk->failing_reads = per_million;
}

void sim_disk_rot_reads(struct sim_host *host, unsigned per_million)
{
    host->disk->rotting_reads = per_million;
}

uint64_t sim_disk_rotten_reads(const struct sim_host *host)
{
    return host->disk->rotten_reads;
}

void sim_disk_wipe(struct sim_host *host)
{
    ASSERT(host->process == NULL);
    sim_disk_destroy(host->disk);
    host->disk = sim_disk_create(host->sim);
}

void sim_disk_swap(struct sim_host *a, struct sim_host *b)
{
    ASSERT(a->process == NULL && b->process == NULL);
    struct sim_disk *disk = a->disk;
    a->disk = b->disk;
    b->disk = disk;
}

void sim_disk_capacity(struct sim_host *host, uint64_t bytes)
{
    host->disk->capacity = bytes;
}
