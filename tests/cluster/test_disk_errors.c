/* Disks that are full, that fail, and that a node may not use: clear errors, nothing acknowledged is lost,
 * and it goes on as soon as it can. */
#include "proto/error.h"
#include "tests/cluster/damage.h"
#include "tests/cluster/harness.h"
#include "tests/cluster/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void node_path(struct scene *s, unsigned node, const char *file, char *out)
{
    local_node_path(&s->cluster, node, file, out, DAMAGE_PATH);
}

/* ---- full disks ---- */

static bool may_mount(void)
{
    char directory[] = "/tmp/flotilla-mount-XXXXXX";
    bool ok = mkdtemp(directory) != NULL && mount("none", directory, "tmpfs", 0, "size=1m") == 0;
    if (ok) {
        umount(directory);
    }
    rmdir(directory);
    return ok;
}

/* Each node on a file system of its own. */
static void mount_small_disks(struct scene *s)
{
    for (unsigned node = 1; node <= 3; node++) {
        char data[DAMAGE_PATH];
        node_path(s, node, "data", data);
        assert_int_equal(mkdir(data, 0755), 0);
        assert_int_equal(mount("none", data, "tmpfs", 0, "size=48m"), 0);
    }
}

static void unmount_disks(struct scene *s)
{
    for (unsigned node = 1; node <= 3; node++) {
        char data[DAMAGE_PATH];
        node_path(s, node, "data", data);
        umount2(data, MNT_DETACH);
    }
}

static struct scene *mounted; /* for the teardown after a failure */

static int unmount_leftovers(void **state)
{
    (void)state;
    if (mounted != NULL) {
        unmount_disks(mounted);
    }
    mounted = NULL;
    return 0;
}

static void prepare_small_disks(struct scene *s)
{
    mounted = s;
    mount_small_disks(s);
}

static void fill(struct scene *s, unsigned node)
{
    static const char zeros[4096];
    char path[DAMAGE_PATH];
    node_path(s, node, "data/ballast", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void make_room(struct scene *s, unsigned node)
{
    char path[DAMAGE_PATH];
    node_path(s, node, "data/ballast", path);
    assert_int_equal(unlink(path), 0);
}

static void assert_running(struct scene *s, unsigned node)
{
    if (local_node_state(&s->cluster, node, NULL) != LOCAL_RUNNING) {
        fail_msg("node %u stopped: see %s/node-%u/log", node, s->cluster.directory, node);
    }
}

/* What a client is told that wants to write more than fits into the space that a log has already. The topic
 * is one of its own: the ledger knows every record of the other. */
static int produce_probe(struct scene *s)
{
    static char value[512 * 1024];
    const struct flotilla_topic_info *info = NULL;
    char error[256];
    memset(value, 'x', sizeof(value) - 1);
    if (flotilla_topic_describe(s->client, "probe", 5000, &info, error, sizeof(error)) != 0) {
        fail_msg("%s", error);
    }
    unsigned leader = info->partitions[0]->leader_id;
    int status = ERR_LEADER_NOT_AVAILABLE;
    if (leader != 0) {
        int fd = raw_connect(s->cluster.nodes[leader - 1].client_port);
        assert_true(fd >= 0 && raw_hello(fd));
        status = raw_produce(fd, info->id, 0, value, 1000);
        close(fd);
    }
    flotilla_result_free(info);
    return status;
}

static bool is_read_only(void *data)
{
    return produce_probe(data) == ERR_READ_ONLY;
}

static bool is_writable(void *data)
{
    return produce_probe(data) == 0;
}

static void full_disk(void **state)
{
    (void)state;
    if (!may_mount()) {
        print_message("skipped: mounting a small tmpfs is not permitted here\n");
        skip();
    }
    static const char *const segments[] = {"segment.bytes", "65536"};
    struct scene_options options = {.topic = "full",
                                    .partitions = 1,
                                    .count = SCENE_ENDLESS,
                                    .rate = 4000,
                                    .config = segments,
                                    .config_count = 1,
                                    .prepare = prepare_small_disks};
    struct scene *s = scene_start_with(&options);
    char error[256] = "";
    assert_int_equal(flotilla_topic_create(s->client, "probe", 1, 3, NULL, 0, 10000, error, sizeof(error)),
                     0);
    scene_wait_acknowledged(s, 4000);
    unsigned leader = scene_leader(s, 0), follower = leader % 3 + 1;

    /* A full follower: the others go on without it. */
    long from = scene_log_size(s, follower);
    fill(s, follower);
    scene_wait_log(s, follower, from, "disk full");
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 4000);
    assert_running(s, follower);
    from = scene_log_size(s, follower);
    make_room(s, follower);
    scene_wait_log(s, follower, from, "disk has room again");
    scene_wait_settled(s);

    /* All full: nothing can be acknowledged, and nobody gives up. */
    for (unsigned node = 1; node <= 3; node++) {
        fill(s, node);
    }
    wait_until(is_read_only, s, 20000, "the leader refuses writes as read-only");
    uint64_t stuck = s->fleet.ledger.acknowledged;
    assert_int_equal(produce_probe(s), ERR_READ_ONLY);

    /* Started on a full disk: it says so, and is there once there is room. */
    scene_kill(s, follower);
    from = scene_log_size(s, follower);
    scene_start_node(s, follower);
    scene_wait_log(s, follower, from, "msg=\"started\"");
    cli_sleep_ms(1500); /* long enough for whatever a start on a full disk may stumble over */
    for (unsigned node = 1; node <= 3; node++) {
        assert_running(s, node);
        make_room(s, node);
    }
    wait_until(is_writable, s, 20000, "the leader takes writes again");
    scene_wait_acknowledged(s, stuck + 1000);
    scene_wait_settled(s);
    scene_end_load(s);
    scene_judge(s);
    assert_int_equal(s->fleet.ledger.failed, 0);
    local_stop(&s->cluster, false, 10000);
    unmount_disks(s);
    mounted = NULL;
    scene_end(s);
}

/* ---- a disk that fails ---- */

static char trigger[DAMAGE_PATH];

/* The node runs with the fault's library below it from here on. */
static void restart_on_failing_disk(struct scene *s, unsigned node)
{
    char self[4096], library[4200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = 0;
    *strrchr(self, '/') = 0;
    snprintf(library, sizeof(library), "%s/disk_fault.so", self);
    node_path(s, node, "fault", trigger);
    scene_stop_node(s, node);
    setenv("LD_PRELOAD", library, 1);
    setenv("DISK_FAULT_TRIGGER", trigger, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    scene_start_node(s, node);
    unsetenv("LD_PRELOAD");
    unsetenv("ASAN_OPTIONS");
    scene_wait_settled(s);
    scene_wait_leader(s, node);
}

static void break_disk(const char *call, const char *path_part)
{
    char next[DAMAGE_PATH + 8];
    snprintf(next, sizeof(next), "%s.new", trigger);
    FILE *f = fopen(next, "we");
    assert_non_null(f);
    fprintf(f, "%s %s", call, path_part);
    fclose(f);
    assert_int_equal(rename(next, trigger), 0);
}

struct other_leader {
    struct scene *scene;
    unsigned node;
};

static bool another_leads(void *data)
{
    const struct other_leader *o = data;
    return scene_leader(o->scene, 0) != o->node;
}

static void failing_disk(void **state)
{
    static const char *const calls[] = {"fdatasync", "pwritev"};
    (void)state;
    struct scene *s = scene_start("failing", 1, SCENE_ENDLESS, 5000);
    unsigned node = scene_leader(s, 0);
    scene_wait_acknowledged(s, 2000);
    for (size_t i = 0; i < 2; i++) {
        restart_on_failing_disk(s, node);
        long from = scene_log_size(s, node);
        break_disk(calls[i], "0011/"); /* the topic's own group */
        scene_wait_log(s, node, from, "log failed: this replica stops");
        assert_int_equal(unlink(trigger), 0); /* a sync that works again proves nothing */
        struct other_leader other = {s, node};
        wait_until(another_leads, &other, 10000, "another replica takes over");
        scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 4000);
        assert_running(s, node);
        assert_true(scene_leader(s, 0) != node);
        assert_true(scene_log_has(s, node, from, "repair its disk and restart the node"));
        scene_stop_node(s, node);
        scene_bring_back(s, node);
    }
    scene_end_load(s);
    scene_judge(s);
    scene_wait_leader(s, node);
    scene_audit(s);
    scene_end(s);
}

/* Votes cannot be kept any more: the whole node is out, with the reason, and comes back on a better disk. */
static void failing_journal(void **state)
{
    (void)state;
    struct scene *s = scene_start("failing-journal", 3, SCENE_ENDLESS, 5000);
    unsigned node = scene_leader(s, 0);
    scene_wait_acknowledged(s, 2000);
    restart_on_failing_disk(s, node);
    long from = scene_log_size(s, node);
    break_disk("fdatasync", "/journal");
    if (!local_wait_down(&s->cluster, node, 20000)) {
        fail_msg("%s", s->cluster.error);
    }
    assert_true(scene_log_has(s, node, from, "can't be written"));
    assert_true(scene_log_has(s, node, from, "check the disk, then start the node again"));
    assert_int_equal(unlink(trigger), 0);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 4000);
    scene_bring_back(s, node);
    scene_end_load(s);
    scene_judge(s);
    scene_audit(s);
    scene_end(s);
}

/* The same for this node's copy of the cluster's metadata. */
static void failing_metadata(void **state)
{
    (void)state;
    struct scene *s = scene_start("failing-metadata", 3, SCENE_ENDLESS, 5000);
    unsigned node = scene_leader(s, 0);
    char error[256] = "";
    scene_wait_acknowledged(s, 2000);
    restart_on_failing_disk(s, node);
    long from = scene_log_size(s, node);
    break_disk("fdatasync", "/groups/0000000000000000/");
    assert_int_equal(flotilla_topic_create(s->client, "another", 3, 3, NULL, 0, 20000, error, sizeof(error)),
                     0);
    scene_wait_log(s, node, from, "metadata/0");
    scene_wait_log(s, node, from, "log failed: this replica stops");
    assert_int_equal(unlink(trigger), 0);
    scene_wait_acknowledged(s, s->fleet.ledger.acknowledged + 4000);
    if (local_node_state(&s->cluster, node, NULL) != LOCAL_DOWN) {
        scene_stop_node(s, node);
    }
    scene_bring_back(s, node);
    scene_end_load(s);
    scene_judge(s);
    scene_audit(s);
    scene_end(s);
}

/* A read error on the leader: that replica is out, the reader gets its records from another. */
static void failing_reads(void **state)
{
    static const char *const config[] = {"segment.bytes", "262144"};
    static const char *const caches[] = {"--cache-bytes=64KiB", "--entry-memory-bytes=256KiB"};
    (void)state;
    struct scene_options options = {.topic = "failing-reads",
                                    .partitions = 1,
                                    .count = 12000,
                                    .rate = 12000,
                                    .config = config,
                                    .config_count = 1,
                                    .node_options = caches,
                                    .node_option_count = 2};
    struct scene *s = scene_start_with(&options);
    unsigned node = scene_leader(s, 0);
    scene_judge(s);
    restart_on_failing_disk(s, node);
    long from = scene_log_size(s, node);
    break_disk("pread", ".log");
    scene_audit(s);
    scene_wait_log(s, node, from, "log failed: this replica stops");
    assert_running(s, node);
    assert_int_equal(unlink(trigger), 0);
    scene_end(s);
}

/* ---- a node that may not use its disk ---- */

struct lone_node {
    char directory[64];
    char data[128];
    char said[4096];
    int status; /* exit status */
};

static void lone_node_create(struct lone_node *n)
{
    snprintf(n->directory, sizeof(n->directory), "/tmp/flotilla-XXXXXX");
    assert_non_null(mkdtemp(n->directory));
    snprintf(n->data, sizeof(n->data), "%s/data", n->directory);
}

static void lone_node_destroy(struct lone_node *n)
{
    char command[256];
    snprintf(command, sizeof(command), "rm -rf %s", n->directory);
    assert_int_equal(system(command), 0);
}

static _Noreturn void become_lone_node(struct lone_node *n, int out,
                                       void (*restrict_self)(struct lone_node *n))
{
    char self[4096], program[4200], data[256];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = 0;
    *strrchr(self, '/') = 0;
    snprintf(program, sizeof(program), "%s/flotillad", self);
    snprintf(data, sizeof(data), "--data-dir=%s", n->data);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close_range(3, ~0U, 0);
    restrict_self(n);
    execl(program, program, data, "--client-port=0", "--peer-port=0", "--http-port=0", "--kafka-port=0",
          "--listen-host=127.0.0.1", (char *)NULL);
    _exit(127);
}

/* Runs a node under restrictions and keeps what it says until it stops, or until `enough` is said. */
static void lone_node_run(struct lone_node *n, void (*restrict_self)(struct lone_node *n), const char *enough)
{
    int ends[2];
    size_t used = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        become_lone_node(n, ends[1], restrict_self);
    }
    close(ends[1]);
    n->said[0] = 0;
    for (ssize_t got; used + 1 < sizeof(n->said) &&
                      (got = read(ends[0], n->said + used, sizeof(n->said) - 1 - used)) > 0;) {
        used += (size_t)got;
        n->said[used] = 0;
        if (enough != NULL && strstr(n->said, enough) != NULL) {
            break;
        }
    }
    close(ends[0]);
    if (enough != NULL) {
        kill(pid, SIGTERM);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    n->status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void assert_refused(const struct lone_node *n, const char *path, const char *why)
{
    print_message("%s", n->said);
    assert_int_equal(n->status, 1);
    assert_non_null(strstr(n->said, path));
    assert_non_null(strstr(n->said, why));
}

static void become_nobody(struct lone_node *n)
{
    (void)n;
    if (setgid(65534) != 0 || setuid(65534) != 0) {
        _exit(126);
    }
}

static void few_files(struct lone_node *n)
{
    (void)n;
    struct rlimit limit = {20, 20};
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void unrestricted(struct lone_node *n)
{
    (void)n;
}

static void foreign_directory(void **state)
{
    (void)state;
    struct lone_node n;
    if (geteuid() != 0) {
        print_message("skipped: only root can play a user without rights\n");
        skip();
    }
    lone_node_create(&n);
    assert_int_equal(chmod(n.directory, 0755), 0);
    lone_node_run(&n, become_nobody, NULL); /* may not create it */
    assert_refused(&n, n.data, "ermission");
    lone_node_run(&n, unrestricted, "msg=\"cluster metadata open\"");
    assert_int_equal(n.status, 0);
    lone_node_run(&n, become_nobody, NULL); /* may not write in it */
    assert_refused(&n, n.data, "ermission");
    if (may_mount()) {
        char options[] = "size=16m";
        lone_node_destroy(&n);
        lone_node_create(&n);
        assert_int_equal(mkdir(n.data, 0755), 0);
        assert_int_equal(mount("none", n.data, "tmpfs", 0, options), 0);
        lone_node_run(&n, unrestricted, "msg=\"cluster metadata open\"");
        assert_int_equal(mount("none", n.data, "tmpfs", MS_REMOUNT | MS_RDONLY, options), 0);
        lone_node_run(&n, unrestricted, NULL);
        assert_int_equal(umount(n.data), 0);
        assert_refused(&n, n.data, "ead-only");
    }
    lone_node_destroy(&n);
}

static void too_few_files(void **state)
{
    (void)state;
    struct lone_node n;
    lone_node_create(&n);
    lone_node_run(&n, few_files, NULL);
    print_message("%s", n.said);
    assert_int_equal(n.status, 1);
    assert_non_null(strstr(n.said, "too few open files"));
    lone_node_destroy(&n);
}

int main(void)
{
    const char *only = getenv("ONLY_TEST");
    if (only != NULL) {
        cmocka_set_test_filter(only);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_directory),
        cmocka_unit_test(too_few_files),
        cmocka_unit_test_teardown(full_disk, unmount_leftovers),
        cmocka_unit_test(failing_disk),
        cmocka_unit_test(failing_journal),
        cmocka_unit_test(failing_metadata),
        cmocka_unit_test(failing_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
