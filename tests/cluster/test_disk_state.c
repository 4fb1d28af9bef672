/* What a node knows of itself is damaged, old or swapped: identity, journal, metadata, whole directories; and
 * damage on a majority. Repaired from the others, or refused with the file's name and what to do. */
#include "tests/cluster/harms.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the cluster's own metadata ---- */

static void metadata_log(void **state)
{
    static bool (*const ways[])(struct damage_files *) = {
        harm_flip_active, harm_truncate_active, harm_zero_active, harm_delete_all, harm_delete_indexes};
    (void)state;
    struct scene *s = scene_start("metadata-harmed", 3, SCENE_ENDLESS, 4000);
    struct damage_files files;
    cli_sleep_ms(2500); /* the durability floor, as above */
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        char data[DAMAGE_PATH];
        unsigned node = (unsigned)i % 3 + 1;
        long from = scene_log_size(s, node);
        scene_stop_node(s, node);
        scene_data_path(s, node, "", data);
        assert_true(damage_find_group(data, 0, &files));
        assert_true(ways[i](&files));
        scene_bring_back(s, node);
        if (ways[i] != harm_delete_indexes) {
            scene_wait_log(s, node, from, "damaged");
            scene_wait_log(s, node, from, "group=metadata/0 ");
            scene_wait_log(s, node, from, "replica is repaired");
        }
    }
    scene_end_load(s);
    scene_judge(s);
    local_stop(&s->cluster, false, 10000);
    for (unsigned node = 1; node <= 3; node++) {
        scene_verify(s, node);
    }
    scene_end(s);
}

/* ---- a majority ---- */

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
    char command[4 * DAMAGE_PATH];
    va_list values;
    va_start(values, format);
    vsnprintf(command, sizeof(command), format, values);
    va_end(values);
    assert_int_equal(system(command), 0);
}

/* Two of three have lost what they had acknowledged: nobody may decide alone what was committed. Nothing is
 * served, and nothing is thrown away; with one of the two put right, all is back. */
static void majority(void **state)
{
    (void)state;
    struct scene *s = scene_start_files("majority", 12000, 12000, false);
    struct damage_files files;
    char data[DAMAGE_PATH];
    long from[4];
    uint64_t left = 0; /* on node 1, after the harm */
    scene_judge(s);
    scene_wait_settled(s);
    cli_sleep_ms(2500); /* the durability floor, as above */
    for (unsigned node = 1; node <= 3; node++) {
        from[node] = scene_log_size(s, node);
        scene_stop_node(s, node);
    }
    scene_data_path(s, 1, "", data);
    run("cp -a %s %s.saved", data, data);
    for (unsigned node = 2; node >= 1; node--) {
        scene_find_files(s, node, &files);
        assert_true(harm_truncate_active(&files));
        left = damage_kept(&files);
    }
    for (unsigned node = 1; node <= 3; node++) {
        scene_start_node(s, node);
    }
    for (unsigned node = 1; node <= 2; node++) {
        scene_wait_log(s, node, from[node], "the replica's log is damaged");
        scene_wait_log(s, node, from[node], "a damaged replica waits for a leader to repair it");
    }
    assert_false(local_wait_ready(&s->cluster, 1000));
    scene_stop_node(s, 1);
    assert_true(damage_kept(&files) + 8 >= left); /* a batch that now ends its file may end with zeros */
    run("rm -rf %s && mv %s.saved %s", data, data, data);
    scene_bring_back(s, 1);
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
    scene_data_path(s, node, "", data);
    scene_data_path(s, node, r->file, path);
    scene_data_path(s, node, "../saved", saved);
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
    scene_bring_back(s, node);
}

static void refused(void **state)
{
    (void)state;
    struct scene *s = scene_start("refused", 3, SCENE_ENDLESS, 5000);
    scene_wait_acknowledged(s, 2000);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        refuse(s, (unsigned)i % 3 + 1, &refusals[i]);
    }
    scene_end_load(s);
    scene_end(s);
}

/* An old copy of the journal, as from a backup: the node has voted since, and must not vote again as if it
 * had not. */
static void old_journal(void **state)
{
    (void)state;
    struct scene *s = scene_start("old-journal", 1, SCENE_ENDLESS, 5000);
    char path[DAMAGE_PATH], saved[DAMAGE_PATH];
    unsigned node = scene_leader(s, 0) % 3 + 1;
    scene_wait_acknowledged(s, 2000);
    scene_kill(s, node);
    scene_data_path(s, node, "journal", path);
    scene_data_path(s, node, "../saved", saved);
    assert_true(damage_copy(path, saved));
    scene_bring_back(s, node);
    unsigned leader = scene_leader(s, 0); /* the next one has a newer term */
    scene_kill(s, leader);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 3000);
    scene_bring_back(s, leader);
    scene_kill(s, node);
    long from = scene_log_size(s, node);
    assert_true(damage_copy(saved, path));
    scene_bring_back(s, node);
    scene_wait_log(s, node, from, "the journal is older than the replica's log");
    scene_wait_log(s, node, from, "replica is repaired");
    scene_end_load(s);
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
    scene_data_path(s, node, "groups/0000000000000011", a);
    scene_data_path(s, node, "groups/0000000000000012", b);
    assert_true(damage_swap(a, b));
    scene_bring_back(s, node);
    scene_wait_leader(s, node);
    scene_audit(s);
    scene_end(s);
}

/* The advice that a refusal gives: without its directory, the node comes back as a new, empty replica. */
static void lost_disk(void **state)
{
    (void)state;
    struct scene *s = scene_start_files("lost-disk", 20000, 8000, false);
    char data[DAMAGE_PATH], aside[DAMAGE_PATH];
    unsigned node = scene_leader(s, 0);
    scene_wait_acknowledged(s, 8000);
    scene_kill(s, node);
    scene_data_path(s, node, "", data);
    scene_data_path(s, node, "../lost", aside);
    assert_int_equal(rename(data, aside), 0);
    scene_start_node(s, node);
    scene_judge(s);
    scene_wait_settled(s);
    scene_wait_leader(s, node);
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
        cmocka_unit_test(metadata_log), cmocka_unit_test(majority),           cmocka_unit_test(refused),
        cmocka_unit_test(old_journal),  cmocka_unit_test(swapped_partitions), cmocka_unit_test(lost_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
