/* Everything that can happen to three real nodes, at random from a seed and under load; then the ledger
 * judges what was acknowledged, committed offsets must not have gone back, and the files must be sound.
 *
 *     torture MINUTES [SEED]
 *
 * Where it may, it runs in a network and a mount namespace of its own: for slow links, and for a small disk
 * that fills up. What the seed decides is what is done and for how long; when the kernel runs what is not
 * repeated. */
#include "tests/cluster/harms.h"
#include "tests/cluster/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { NODES = 3, PARTITIONS = 6, RATE = 2000, SMALL_DISK_NODE = 3, FLEETING_MAX = 8, QUIET_MS = 800 };

struct torture {
    struct scene *scene;
    uint64_t began_ns, end_ns;
    bool may_slow, may_fill; /* a network, a file system of our own */
    unsigned rounds;
    unsigned fleeting_next, fleeting_oldest; /* topics that come and go: "fleeting-N" */
    int64_t committed[2][PARTITIONS];        /* per reader: highest seen */
};

static unsigned minutes = 1;
static bool own_network, own_mounts;

/* ---- a place of our own ---- */

static bool set_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    close(fd);
    return ok;
}

static bool netem(const char *how)
{
    char command[160];
    snprintf(command, sizeof(command), "tc qdisc %s >/dev/null 2>&1", how);
    return system(command) == 0;
}

static void enter_namespaces(void)
{
    own_network = unshare(CLONE_NEWNET) == 0 && set_loopback_up() &&
                  netem("add dev lo root netem delay 1ms") && netem("del dev lo root");
    own_mounts = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void mount_small_disk(struct scene *s)
{
    char data[DAMAGE_PATH], options[32];
    scene_data_path(s, SMALL_DISK_NODE, "", data);
    snprintf(options, sizeof(options), "size=%um", 192 + minutes * 96);
    own_mounts = own_mounts && mkdir(data, 0755) == 0 && mount("none", data, "tmpfs", 0, options) == 0;
}

/* ---- what is done ---- */

__attribute__((format(printf, 2, 3))) static void say(struct torture *t, const char *format, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    print_message("[%7.1f s] %" PRIu64 " acknowledged; %s\n", (double)(cli_now_ns() - t->began_ns) / 1e9,
                  (uint64_t)t->scene->fleet.ledger.acknowledged, text);
    fflush(stdout);
}

static unsigned chance(struct torture *t, unsigned below)
{
    return scene_random(t->scene, below);
}

/* How long something lasts is the point, not a wait for anything. */
static void last(struct torture *t, unsigned least_ms, unsigned most_ms)
{
    cli_sleep_ms((int64_t)(least_ms + chance(t, most_ms - least_ms)));
}

static bool picked(unsigned set, unsigned node)
{
    return (set & 1u << (node - 1)) != 0;
}

static unsigned pick_set(struct torture *t)
{
    return 1 + chance(t, (1u << NODES) - 1);
}

static void signal_set(struct torture *t, unsigned set, int number)
{
    for (unsigned node = 1; node <= NODES; node++) {
        if (picked(set, node)) {
            assert_true(local_signal(&t->scene->cluster, node, number));
        }
    }
}

static void start_set(struct torture *t, unsigned set)
{
    for (unsigned node = 1; node <= NODES; node++) {
        if (picked(set, node)) {
            assert_true(local_wait_down(&t->scene->cluster, node, 30000));
            scene_start_node(t->scene, node);
        }
    }
}

static void do_kill(struct torture *t)
{
    unsigned set = pick_set(t);
    say(t, "kill -9 of nodes 0x%x", set);
    signal_set(t, set, SIGKILL);
    last(t, 1, 1500);
    start_set(t, set);
}

static void do_freeze(struct torture *t)
{
    unsigned set = pick_set(t);
    say(t, "SIGSTOP of nodes 0x%x", set);
    signal_set(t, set, SIGSTOP);
    last(t, 100, 3000);
    signal_set(t, set, SIGCONT);
}

static bool control(struct torture *t, unsigned node, const uint32_t *peers, size_t count)
{
    char bootstrap[64];
    struct flotilla_client *client = NULL;
    snprintf(bootstrap, sizeof(bootstrap), "127.0.0.1:%u", t->scene->cluster.nodes[node - 1].client_port);
    bool ok = flotilla_client_create(&client, bootstrap, NULL, NULL, 0) == 0 &&
              flotilla_node_control(client, node, NULL, peers, count, 5000, NULL, 0) == 0;
    flotilla_client_destroy(client);
    return ok;
}

/* One node drops what comes from and goes to one or both others. */
static void do_partition(struct torture *t)
{
    unsigned node = 1 + chance(t, NODES);
    size_t count = 1 + chance(t, 2);
    uint32_t others[2] = {node % NODES + 1, (node + 1) % NODES + 1};
    if (!control(t, node, others, count)) {
        return; /* it is starting still */
    }
    say(t, "node %u is cut off from %zu nodes", node, count);
    last(t, 200, 4000);
    for (unsigned tries = 0; !control(t, node, others, 0); tries++) {
        assert_true(tries < 20);
    }
}

static void fill_disk(struct torture *t, char *path)
{
    static const char zeros[65536];
    scene_data_path(t->scene, SMALL_DISK_NODE, "ballast", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    while (fd >= 0 && write(fd, zeros, sizeof(zeros)) > 0) {
    }
    close(fd);
}

static void do_full_disk(struct torture *t)
{
    char path[DAMAGE_PATH];
    if (!t->may_fill) {
        return;
    }
    say(t, "the disk of node %d is full", SMALL_DISK_NODE);
    fill_disk(t, path);
    last(t, 500, 4000);
    if (chance(t, 3) == 0) {
        say(t, "and it is killed meanwhile");
        scene_kill(t->scene, SMALL_DISK_NODE);
        unlink(path);
        scene_start_node(t->scene, SMALL_DISK_NODE);
    }
    unlink(path);
}

static void do_slow_links(struct torture *t)
{
    char how[120];
    if (!t->may_slow) {
        return;
    }
    unsigned delay_ms = 1 + chance(t, 40), loss = chance(t, 4);
    say(t, "links are slow: %u ms, %u %% lost", delay_ms, loss);
    snprintf(how, sizeof(how), "add dev lo root netem delay %ums %ums loss %u%%", delay_ms, delay_ms / 2,
             loss);
    assert_true(netem(how));
    last(t, 500, 4000);
    assert_true(netem("del dev lo root"));
}

static void do_rolling_restart(struct torture *t)
{
    say(t, "rolling restart");
    for (unsigned node = 1; node <= NODES; node++) {
        assert_true(local_signal(&t->scene->cluster, node, SIGTERM));
        assert_true(local_wait_down(&t->scene->cluster, node, 60000));
        scene_start_node(t->scene, node);
        scene_wait_settled(t->scene);
    }
}

static void fleeting_name(char *out, size_t size, unsigned number)
{
    snprintf(out, size, "fleeting-%u", number);
}

/* Either may time out while too few nodes are up; what counts is that nobody comes to harm. */
static void do_topics(struct torture *t)
{
    char name[32];
    bool full = t->fleeting_next - t->fleeting_oldest == FLEETING_MAX;
    if (t->fleeting_next > t->fleeting_oldest && (full || chance(t, 2) == 0)) {
        fleeting_name(name, sizeof(name), t->fleeting_oldest++);
        int status = flotilla_topic_delete(t->scene->client, name, 3000, NULL, 0);
        say(t, "topic %s deleted: %d", name, status);
    } else {
        fleeting_name(name, sizeof(name), t->fleeting_next++);
        uint32_t partitions = 1 + chance(t, 12);
        int status = flotilla_topic_create(t->scene->client, name, partitions, 3, NULL, 0, 3000, NULL, 0);
        say(t, "topic %s created: %d", name, status);
    }
}

static void (*const deeds[])(struct torture *t) = {
    do_kill,   do_kill,  do_freeze, do_partition, do_full_disk, do_slow_links, do_rolling_restart,
    do_topics, do_topics};

/* ---- what must hold ---- */

static const char *const groups[] = {"email", "inventory"};

static void check_group(struct torture *t, unsigned reader)
{
    const struct flotilla_offsets *list = NULL;
    if (flotilla_group_offsets(t->scene->client, groups[reader], t->scene->topic, 2000, &list, NULL, 0) !=
        0) {
        return; /* nobody can say just now */
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct flotilla_group_offset *o = list->offsets[i];
        assert_true(o->partition < PARTITIONS);
        int64_t *seen = &t->committed[reader][o->partition];
        if (o->offset < *seen) {
            fail_msg("group %s, partition %u: committed offset went back from %" PRId64 " to %" PRId64
                     "; nodes' files are in %s",
                     groups[reader], o->partition, *seen, o->offset, t->scene->cluster.directory);
        }
        *seen = o->offset;
    }
    flotilla_result_free(list);
}

static void check_groups(struct torture *t)
{
    for (unsigned reader = 0; reader < 2; reader++) {
        check_group(t, reader);
    }
}

/* The readers have left after they had read all of it. */
static void check_groups_at_end(struct torture *t)
{
    int64_t sum[2] = {0, 0};
    check_groups(t);
    for (unsigned reader = 0; reader < 2; reader++) {
        for (unsigned partition = 0; partition < PARTITIONS; partition++) {
            sum[reader] += t->committed[reader][partition];
        }
        print_message("group %s has committed %" PRId64 " of %" PRIu64 "\n", groups[reader], sum[reader],
                      t->scene->fleet.count);
        assert_true((uint64_t)sum[reader] == t->scene->fleet.count);
    }
}

static void check_disks(struct torture *t)
{
    struct scene *s = t->scene;
    local_stop(&s->cluster, false, 30000);
    for (unsigned node = 1; node <= NODES; node++) {
        scene_verify(s, node);
    }
    print_message("flotilla log verify: the files of all nodes are sound\n");
    if (own_mounts) {
        char data[DAMAGE_PATH];
        scene_data_path(s, SMALL_DISK_NODE, "", data);
        umount2(data, MNT_DETACH);
    }
}

/* ---- the whole ---- */

static void begin(struct torture *t)
{
    static const char *const config[] = {"segment.bytes", "4194304"};
    static const char *const options[] = {"--entry-memory-bytes=1MiB"};
    struct scene_options o = {.topic = "torture",
                              .partitions = PARTITIONS,
                              .count = (uint64_t)minutes * 60 * RATE,
                              .rate = RATE,
                              .config = config,
                              .config_count = 1,
                              .node_options = options,
                              .node_option_count = 1,
                              .prepare = mount_small_disk};
    t->scene = scene_start_with(&o);
    t->began_ns = cli_now_ns();
    t->end_ns = t->began_ns + (uint64_t)minutes * 60 * 1000000000u;
    t->may_slow = own_network;
    t->may_fill = own_mounts;
    print_message("%u minutes; logs and files: %s; slow links: %s; a disk that fills up: %s\n", minutes,
                  t->scene->cluster.directory, own_network ? "yes" : "not permitted here",
                  own_mounts ? "yes" : "not permitted here");
}

static void everything_at_once(void **state)
{
    (void)state;
    struct torture t = {.scene = NULL};
    begin(&t);
    while (cli_now_ns() < t.end_ns) {
        deeds[chance(&t, sizeof(deeds) / sizeof(deeds[0]))](&t);
        check_groups(&t);
        t.rounds++;
        if (chance(&t, 3) == 0) {
            scene_wait_settled(t.scene);
        } else {
            last(&t, 1, QUIET_MS);
        }
    }
    say(&t, "%u deeds are done: everything is mended", t.rounds);
    scene_wait_settled(t.scene);
    scene_judge(t.scene);
    scene_audit(t.scene);
    check_groups_at_end(&t);
    check_disks(&t);
    scene_end(t.scene);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        minutes = (unsigned)strtoul(argv[1], NULL, 10);
    }
    if (argc > 2) {
        setenv("SCENE_SEED", argv[2], 1);
    }
    if (minutes == 0 || minutes > 10000) {
        fprintf(stderr, "usage: torture MINUTES [SEED]\n");
        return 2;
    }
    enter_namespaces();
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
