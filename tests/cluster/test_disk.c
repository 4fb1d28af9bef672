/* Damaged, cut, swapped and missing files on one node: found, named in its log and repaired from the others,
 * or refused with what to do. Never wrong data, and nothing acknowledged is lost. */
#include "tests/cluster/damage.h"
#include "tests/cluster/harness.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Small segments, and next to nothing in memory: what is read comes from the files. */
static const char *const small_segments[] = {"segment.bytes", "262144"};
static const char *const small_caches[] = {"--cache-bytes=64KiB", "--entry-memory-bytes=256KiB"};

static struct scene *scene_of_files(const char *topic, uint64_t count, uint64_t rate)
{
    struct scene_options options = {.topic = topic,
                                    .partitions = 1,
                                    .count = count,
                                    .rate = rate,
                                    .config = small_segments,
                                    .config_count = 1,
                                    .node_options = small_caches,
                                    .node_option_count = 2};
    return scene_start_with(&options);
}

static void data_path(struct scene *s, unsigned node, const char *file, char *out)
{
    char name[256];
    snprintf(name, sizeof(name), "data%s%s", file[0] != 0 ? "/" : "", file);
    local_node_path(&s->cluster, node, name, out, DAMAGE_PATH);
}

static void find_files(struct scene *s, unsigned node, struct damage_files *files)
{
    char data[DAMAGE_PATH];
    data_path(s, node, "", data);
    assert_true(damage_find(data, files));
    assert_true(files->count >= 4);
}

/* `flotilla log verify`, as a user would. */
static void verify_clean(struct scene *s, unsigned node)
{
    char self[4096], data[DAMAGE_PATH], command[3 * DAMAGE_PATH];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    *strrchr(self, '/') = 0;
    data_path(s, node, "", data);
    snprintf(command, sizeof(command), "%s/flotilla log verify %s >%s.verify 2>&1", self, data, data);
    if (system(command) != 0) {
        fail_msg("node %u: see %s.verify", node, data);
    }
}

/* ---- harm to a stopped node's log ---- */

static bool flip_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 1, ".log", path);
    return damage_flip(path, damage_used(path) / 2);
}

static bool flip_header_of_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 2, ".log", path);
    return damage_flip(path, 3);
}

static bool flip_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return damage_flip(path, damage_used(path) / 2);
}

static bool truncate_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return damage_truncate(path, damage_used(path) / 2);
}

static bool truncate_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 1, ".log", path);
    return damage_truncate(path, damage_used(path) / 2);
}

static bool zero_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return damage_zero(path, damage_used(path) / 4, 512);
}

static bool zero_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 0, ".log", path);
    return damage_zero(path, damage_used(path) / 2, 4096);
}

static bool swap_sealed(struct damage_files *f)
{
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    damage_path(f, 0, ".log", a);
    damage_path(f, 1, ".log", b);
    return damage_swap(a, b);
}

static bool copy_over_sealed(struct damage_files *f)
{
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    damage_path(f, 2, ".log", a);
    damage_path(f, 1, ".log", b);
    return damage_copy(a, b);
}

static bool delete_sealed(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, 1, ".log", path);
    return unlink(path) == 0;
}

static bool delete_active(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    damage_path(f, f->count - 1, ".log", path);
    return unlink(path) == 0;
}

static bool delete_all(struct damage_files *f)
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

static bool delete_indexes(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    bool ok = true;
    for (unsigned i = 0; i < f->count; i++) {
        damage_path(f, i, ".idx", path);
        ok = unlink(path) == 0 && ok;
    }
    return ok;
}

static bool flip_indexes(struct damage_files *f)
{
    char path[DAMAGE_PATH];
    bool ok = true;
    for (unsigned i = 0; i < f->count; i++) {
        damage_path(f, i, ".idx", path);
        ok = damage_flip(path, damage_size(path) * (i % 4) / 4) && ok;
    }
    return ok;
}

static bool swap_indexes(struct damage_files *f)
{
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    damage_path(f, 0, ".idx", a);
    damage_path(f, 1, ".idx", b);
    return damage_swap(a, b);
}

struct harm {
    const char *name;
    bool (*apply)(struct damage_files *files);
    bool planned; /* the node was stopped with SIGTERM; else kill -9 */
    bool found;   /* a loss: the node must say so */
};

static const struct harm harms[] = {
    {"flip in a sealed segment, after a crash", flip_sealed, false, true},
    {"flip in a sealed segment", flip_sealed, true, true},
    {"flip in a batch header", flip_header_of_sealed, true, true},
    {"flip in the active segment, after a crash", flip_active, false, true},
    {"flip in the active segment", flip_active, true, true},
    {"active segment cut", truncate_active, true, true},
    {"active segment cut, after a crash", truncate_active, false, true},
    {"sealed segment cut", truncate_sealed, true, true},
    {"active segment zeroed", zero_active, true, true},
    {"sealed segment zeroed", zero_sealed, false, true},
    {"segments swapped", swap_sealed, true, true},
    {"segment in another's place", copy_over_sealed, true, true},
    {"sealed segment gone", delete_sealed, true, true},
    {"active segment gone", delete_active, false, true},
    {"all segments gone", delete_all, true, true},
    {"indexes gone", delete_indexes, true, false},
    {"indexes damaged", flip_indexes, true, false},
    {"indexes swapped", swap_indexes, true, false},
};

/* The preferred leader is harmed, so that afterwards everything is read from its repaired files. */
static void harm_node(struct scene *s, unsigned node, const struct harm *harm)
{
    struct damage_files files;
    long from = scene_log_size(s, node);
    uint64_t began = cli_now_ns();
    if (harm->planned) {
        scene_stop_node(s, node);
    } else {
        scene_kill(s, node);
    }
    find_files(s, node, &files);
    assert_true(harm->apply(&files));
    scene_start_node(s, node);
    scene_wait_settled(s);
    scene_wait_leader(s, 0, node);
    scene_audit(s);
    scene_wait_settled(s);
    print_message("%s: %.1f s\n", harm->name, (double)(cli_now_ns() - began) / 1e9);
    if (harm->found && !scene_log_has(s, node, from, "damaged")) {
        fail_msg("%s: node %u says nothing of it in %s", harm->name, node, s->cluster.directory);
    }
    if (harm->found) {
        scene_wait_log(s, node, from, "replica is repaired");
    }
    scene_stop_node(s, node);
    verify_clean(s, node);
    scene_start_node(s, node);
    scene_wait_settled(s);
}

static void stopped_node(void **state)
{
    (void)state;
    const char *only = getenv("ONLY_HARM");
    struct scene *s = scene_of_files("harmed", 12000, 12000);
    unsigned node = scene_leader(s, 0);
    scene_judge(s);
    scene_wait_settled(s);
    cli_sleep_ms(2500); /* the durability floor lags by a second or two; that lag is documented */
    for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
        if (only == NULL || strstr(harms[i].name, only) != NULL) {
            harm_node(s, node, &harms[i]);
        }
    }
    scene_end(s);
}

/* ---- the cluster's own metadata ---- */

static void metadata_log(void **state)
{
    static bool (*const ways[])(struct damage_files *) = {flip_active, truncate_active, zero_active,
                                                          delete_all, delete_indexes};
    (void)state;
    struct scene *s = scene_start("metadata-harmed", 3, 40000, 4000);
    struct damage_files files;
    cli_sleep_ms(2500); /* the durability floor, as above */
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char data[DAMAGE_PATH];
        unsigned node = (unsigned)i % 3 + 1;
        long from = scene_log_size(s, node);
        scene_stop_node(s, node);
        data_path(s, node, "", data);
        assert_true(damage_find_group(data, 0, &files));
        assert_true(ways[i](&files));
        scene_start_node(s, node);
        scene_wait_settled(s);
        if (ways[i] != delete_indexes) {
            scene_wait_log(s, node, from, "damaged");
            scene_wait_log(s, node, from, "group=metadata/0 ");
            scene_wait_log(s, node, from, "replica is repaired");
        }
    }
    scene_judge(s);
    local_stop(&s->cluster, false, 10000);
    for (unsigned node = 1; node <= 3; node++) {
        verify_clean(s, node);
    }
    scene_end(s);
}

/* ---- a majority ---- */

static void run(const char *format, const char *a, const char *b) __attribute__((format(printf, 1, 0)));
static void run(const char *format, const char *a, const char *b)
{
    char command[3 * DAMAGE_PATH];
    snprintf(command, sizeof(command), format, a, b);
    assert_int_equal(system(command), 0);
}

/* Two of three have lost what they had acknowledged: nobody may decide alone what was committed. Nothing is
 * served, and nothing is thrown away; with one of the two put right, all is back. */
static void majority(void **state)
{
    (void)state;
    struct scene *s = scene_of_files("majority", 12000, 12000);
    struct damage_files files;
    char data[DAMAGE_PATH];
    long from[4];
    scene_judge(s);
    scene_wait_settled(s);
    cli_sleep_ms(2500); /* the durability floor, as above */
    for (unsigned node = 1; node <= 3; node++) {
        from[node] = scene_log_size(s, node);
        scene_stop_node(s, node);
    }
    data_path(s, 1, "", data);
    run("cp -a %s %s.saved", data, data);
    for (unsigned node = 1; node <= 2; node++) {
        find_files(s, node, &files);
        assert_true(truncate_active(&files));
    }
    for (unsigned node = 1; node <= 3; node++) {
        scene_start_node(s, node);
    }
    for (unsigned node = 1; node <= 2; node++) {
        scene_wait_log(s, node, from[node], "the replica's log is damaged");
        scene_wait_log(s, node, from[node], "cannot be repaired without a leader");
    }
    assert_false(local_wait_ready(&s->cluster, 1000));
    scene_stop_node(s, 1);
    run("ls %s/groups/*/*.damaged >/dev/null && rm -rf %s", data, data);
    run("mv %s.saved %s", data, data);
    scene_start_node(s, 1);
    scene_wait_settled(s);
    scene_audit(s);
    scene_end(s);
}

/* ---- journal, identity ---- */

struct refusal {
    const char *file;
    const char *name;
    void (*harm)(const char *path);
    const char *says;
};

static void flip_first(const char *path)
{
    assert_true(damage_flip(path, 2));
}

static void flip_middle(const char *path)
{
    assert_true(damage_flip(path, damage_used(path) / 2));
}

static void zero_middle(const char *path)
{
    assert_true(damage_zero(path, damage_used(path) / 2, 64));
}

static void remove_it(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void empty_it(const char *path)
{
    assert_true(damage_truncate(path, 0));
}

static const struct refusal refusals[] = {
    {"journal", "flip at the journal's beginning", flip_first, "emove this node's data directory"},
    {"journal", "flip in the journal", flip_middle, "emove this node's data directory"},
    {"journal", "journal zeroed in the middle", zero_middle, "emove this node's data directory"},
    {"journal", "journal gone", remove_it, "journal is missing"},
    {"journal", "journal empty", empty_it, "emove this node's data directory"},
    {"identity", "flip in the identity", flip_middle, "is damaged (its checksum"},
    {"identity", "identity empty", empty_it, "is damaged (its checksum"},
    {"identity", "identity gone", remove_it, "no \"identity\""},
};

static void refuse(struct scene *s, unsigned node, const struct refusal *r)
{
    char path[DAMAGE_PATH], saved[DAMAGE_PATH], data[DAMAGE_PATH];
    long from;
    scene_kill(s, node);
    from = scene_log_size(s, node);
    data_path(s, node, "", data);
    data_path(s, node, r->file, path);
    data_path(s, node, "../saved", saved);
    assert_true(damage_copy(path, saved));
    r->harm(path);
    scene_start_node(s, node);
    if (!local_wait_down(&s->cluster, node, 10000)) {
        fail_msg("%s: the node starts all the same", r->name);
    }
    if (!scene_log_has(s, node, from, r->says) || !scene_log_has(s, node, from, data)) {
        fail_msg("%s: no \"%s\" with the path in %s/node-%u/log", r->name, r->says, s->cluster.directory,
                 node);
    }
    assert_true(damage_copy(saved, path));
    scene_start_node(s, node);
    scene_wait_settled(s);
}

static void refused(void **state)
{
    (void)state;
    struct scene *s = scene_start("refused", 3, 60000, 5000);
    scene_wait_acknowledged(s, 2000);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        refuse(s, (unsigned)i % 3 + 1, &refusals[i]);
    }
    scene_end(s);
}

/* An old copy of the journal, as from a backup: the node has voted since, and must not vote again as if it
 * had not. */
static void old_journal(void **state)
{
    (void)state;
    struct scene *s = scene_start("old-journal", 1, 40000, 5000);
    char path[DAMAGE_PATH], saved[DAMAGE_PATH];
    unsigned node = scene_leader(s, 0) % 3 + 1;
    scene_wait_acknowledged(s, 2000);
    scene_kill(s, node);
    data_path(s, node, "journal", path);
    data_path(s, node, "../saved", saved);
    assert_true(damage_copy(path, saved));
    scene_start_node(s, node);
    scene_wait_settled(s);
    unsigned leader = scene_leader(s, 0); /* the next one has a newer term */
    scene_kill(s, leader);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 3000);
    scene_start_node(s, leader);
    scene_wait_settled(s);
    scene_kill(s, node);
    long from = scene_log_size(s, node);
    assert_true(damage_copy(saved, path));
    scene_start_node(s, node);
    scene_wait_settled(s);
    scene_wait_log(s, node, from, "the journal is older than the replica's log");
    scene_wait_log(s, node, from, "replica is repaired");
    scene_judge(s);
    scene_audit(s);
    scene_end(s);
}

/* Two partitions' directories change places: every batch in them is valid, and in the wrong partition. */
static void swapped_partitions(void **state)
{
    (void)state;
    struct scene *s = scene_start("swapped", 2, 20000, 10000);
    char a[DAMAGE_PATH], b[DAMAGE_PATH];
    unsigned node = scene_leader(s, 0);
    scene_judge(s);
    scene_wait_settled(s);
    cli_sleep_ms(2500); /* the durability floor, as above */
    scene_stop_node(s, node);
    data_path(s, node, "groups/0000000000000011", a);
    data_path(s, node, "groups/0000000000000012", b);
    assert_true(damage_swap(a, b));
    scene_start_node(s, node);
    scene_wait_settled(s);
    scene_wait_leader(s, 0, node);
    scene_audit(s);
    scene_end(s);
}

/* The advice that a refusal gives: without its directory, the node comes back as a new, empty replica. */
static void lost_disk(void **state)
{
    (void)state;
    struct scene *s = scene_of_files("lost-disk", 20000, 8000);
    char data[DAMAGE_PATH], aside[DAMAGE_PATH];
    unsigned node = scene_leader(s, 0);
    scene_wait_acknowledged(s, 8000);
    scene_kill(s, node);
    data_path(s, node, "", data);
    data_path(s, node, "../lost", aside);
    assert_int_equal(rename(data, aside), 0);
    scene_start_node(s, node);
    scene_judge(s);
    scene_wait_settled(s);
    scene_wait_leader(s, 0, node);
    scene_audit(s);
    scene_end(s);
}

/* ---- while it runs ---- */

/* The leader's own files rot under it: the read that finds it is answered from a healthy replica, and the
 * leader repairs itself. */
static void running_leader(void **state)
{
    (void)state;
    struct scene *s = scene_of_files("rotting", 12000, 12000);
    struct damage_files files;
    scene_judge(s);
    for (unsigned round = 0; round < 3; round++) {
        scene_wait_settled(s);
        unsigned node = scene_leader(s, 0);
        long from = scene_log_size(s, node);
        find_files(s, node, &files);
        assert_true((round == 0 ? flip_sealed : round == 1 ? zero_sealed : truncate_sealed)(&files));
        scene_audit(s);
        scene_wait_log(s, node, from, "damaged segment");
        scene_wait_log(s, node, from, "replica is repaired");
        scene_wait_settled(s);
        scene_wait_leader(s, 0, node);
        scene_audit(s);
    }
    scene_end(s);
}

/* A node that lost a part of its log, again and again, under load. */
static void harm_under_load(void **state)
{
    (void)state;
    struct scene *s = scene_of_files("harmed-under-load", 40000, 4000);
    struct damage_files files;
    scene_wait_acknowledged(s, 8000);
    for (unsigned round = 0; round < 5; round++) {
        unsigned node = scene_random(s, 3) + 1;
        const struct harm *harm = &harms[scene_random(s, sizeof(harms) / sizeof(harms[0]))];
        print_message("node %u: %s\n", node, harm->name);
        scene_kill(s, node);
        find_files(s, node, &files);
        assert_true(harm->apply(&files));
        scene_start_node(s, node);
        scene_wait_settled(s);
    }
    scene_judge(s);
    scene_audit(s);
    scene_end(s);
}

int main(void)
{
    const char *only = getenv("ONLY_TEST");
    if (only != NULL) {
        cmocka_set_test_filter(only);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_node),    cmocka_unit_test(metadata_log),
        cmocka_unit_test(majority),        cmocka_unit_test(refused),
        cmocka_unit_test(old_journal),     cmocka_unit_test(swapped_partitions),
        cmocka_unit_test(lost_disk),       cmocka_unit_test(running_leader),
        cmocka_unit_test(harm_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
