#include "tests/cluster/harms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- scenes ---- */

static const char *const small_segments[] = {"segment.bytes", "262144"};
/* The last one is for who wants it. */
static const char *const small_caches[] = {"--cache-bytes=64KiB", "--entry-memory-bytes=256KiB",
                                           "--scrub-interval=500ms"};

struct scene *scene_start_files(const char *topic, uint64_t count, uint64_t rate, bool scrubbed)
{
    struct scene_options options = {.topic = topic,
                                    .partitions = 1,
                                    .count = count,
                                    .rate = rate,
                                    .config = small_segments,
                                    .config_count = 1,
                                    .node_options = small_caches,
                                    .node_option_count = scrubbed ? 3 : 2};
    return scene_start_with(&options);
}

void scene_data_path(struct scene *s, unsigned node, const char *file, char *out)
{
    char name[256];
    snprintf(name, sizeof(name), "data%s%s", file[0] != 0 ? "/" : "", file);
    local_node_path(&s->cluster, node, name, out, DAMAGE_PATH);
}

void scene_find_files(struct scene *s, unsigned node, struct damage_files *files)
{
    char data[DAMAGE_PATH];
    scene_data_path(s, node, "", data);
    assert_true(damage_find(data, files));
    assert_true(files->count >= 4);
}

/* `flotilla log verify`, as a user would. */
void scene_verify(struct scene *s, unsigned node)
{
    char self[4096], data[DAMAGE_PATH], command[3 * DAMAGE_PATH];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    *strrchr(self, '/') = 0;
    scene_data_path(s, node, "", data);
    snprintf(command, sizeof(command), "%s/flotilla log verify %s >%s.verify 2>&1", self, data, data);
    if (system(command) != 0) {
        fail_msg("node %u: see %s.verify", node, data);
    }
}

/* ---- harm ---- */

bool harm_flip_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 1, ".log", path);
    return damage_flip(path, damage_used(path) / 2);
}

bool harm_flip_header_of_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 2, ".log", path);
    return damage_flip(path, 3);
}

bool harm_flip_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return damage_flip(path, damage_used(path) / 2);
}

bool harm_truncate_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return damage_truncate(path, damage_used(path) / 2);
}

bool harm_truncate_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 1, ".log", path);
    return damage_truncate(path, damage_used(path) / 2);
}

bool harm_zero_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return damage_zero(path, damage_used(path) / 4, 512);
}

bool harm_zero_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 0, ".log", path);
    return damage_zero(path, damage_used(path) / 2, 4096);
}

bool harm_swap_sealed(struct damage_files *f)
{
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    damage_path(f, 0, ".log", a);
    damage_path(f, 1, ".log", b);
    return damage_swap(a, b);
}

bool harm_copy_over_sealed(struct damage_files *f)
{
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    damage_path(f, 2, ".log", a);
    damage_path(f, 1, ".log", b);
    return damage_copy(a, b);
}

bool harm_delete_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 1, ".log", path);
    return unlink(path) == 0;
}

bool harm_delete_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return unlink(path) == 0;
}

bool harm_delete_all(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    bool ok = true;
    for (unsigned i = 0; i < f->count; i++) {
        damage_path(f, i, ".log", path);
        ok = unlink(path) == 0 && ok;
        damage_path(f, i, ".idx", path);
        unlink(path);
    }
    return ok;
}

bool harm_delete_indexes(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    bool ok = true;
    for (unsigned i = 0; i < f->count; i++) {
        damage_path(f, i, ".idx", path);
        ok = unlink(path) == 0 && ok;
    }
    return ok;
}

bool harm_flip_indexes(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    bool ok = true;
    for (unsigned i = 0; i < f->count; i++) {
        damage_path(f, i, ".idx", path);
        ok = damage_flip(path, damage_size(path) * (i % 4) / 4) && ok;
    }
    return ok;
}

bool harm_swap_indexes(struct damage_files *f)
{
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    damage_path(f, 0, ".idx", a);
    damage_path(f, 1, ".idx", b);
    return damage_swap(a, b);
}

const struct harm harms[HARM_COUNT] = {
    {"flip in a sealed segment, after a crash", harm_flip_sealed, false, true},
    {"flip in a sealed segment", harm_flip_sealed, true, true},
    {"flip in a batch header", harm_flip_header_of_sealed, true, true},
    {"flip in the active segment, after a crash", harm_flip_active, false, true},
    {"flip in the active segment", harm_flip_active, true, true},
    {"active segment cut", harm_truncate_active, true, true},
    {"active segment cut, after a crash", harm_truncate_active, false, true},
    {"sealed segment cut", harm_truncate_sealed, true, true},
    {"active segment zeroed", harm_zero_active, true, true},
    {"sealed segment zeroed", harm_zero_sealed, false, true},
    {"segments swapped", harm_swap_sealed, true, true},
    {"segment in another's place", harm_copy_over_sealed, true, true},
    {"sealed segment gone", harm_delete_sealed, true, true},
    {"active segment gone", harm_delete_active, false, true},
    {"all segments gone", harm_delete_all, true, true},
    {"indexes gone", harm_delete_indexes, true, false},
    {"indexes damaged", harm_flip_indexes, true, false},
    {"indexes swapped", harm_swap_indexes, true, false},
};
