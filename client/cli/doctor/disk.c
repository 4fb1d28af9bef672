/* Where the data lies: whether it may be written, how much room there is, and how long a sync takes, for
 * which every acknowledgement waits. */
#include "client/cli/bench/bench.h"
#include "client/cli/doctor/doctor.h"

#include <errno.h>
#include <libgen.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { APPENDS = 200, APPEND_SIZE = 4096, XFS_MAGIC = 0x58465342 };

/* The directory itself, or the nearest one above it that exists. */
static void existing(const char *directory, char *out, size_t size)
{
    snprintf(out, size, "%s", directory);
    while (access(out, F_OK) != 0 && strcmp(out, "/") != 0 && strcmp(out, ".") != 0) {
        char copy[1100];
        snprintf(copy, sizeof(copy), "%s", out);
        snprintf(out, size, "%s", dirname(copy));
    }
}

static void check_system(struct doctor_report *r, const char *directory)
{
    static const struct {
        unsigned long magic;
        enum doctor_state state;
        const char *name, *advice;
    } known[] = {
        {EXT4_SUPER_MAGIC, DOCTOR_FINE, "ext4", ""},
        {XFS_MAGIC, DOCTOR_FINE, "xfs", ""},
        {BTRFS_SUPER_MAGIC, DOCTOR_CONSIDER, "btrfs",
         "ext4 or xfs: copy-on-write makes appends with sync slow"},
        {OVERLAYFS_SUPER_MAGIC, DOCTOR_CONSIDER, "overlay",
         "mount a volume: a container's own layer goes with it"},
        {TMPFS_MAGIC, DOCTOR_CHANGE, "tmpfs",
         "use a disk: memory is gone at the next power loss, on all nodes at once"},
        {NFS_SUPER_MAGIC, DOCTOR_CHANGE, "nfs",
         "use a local disk: syncs and locks over a network are slow or not honoured"},
    };
    struct statfs fs;
    if (statfs(directory, &fs) != 0) {
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if ((unsigned long)fs.f_type == known[i].magic) {
            doctor_advise(doctor_add(r, known[i].state, "disk", "%s is on %s", directory, known[i].name),
                          "%s", known[i].advice);
        }
    }
}

static void check_room(struct doctor_report *r, const char *directory)
{
    struct statvfs fs;
    char room[32], size[32];
    if (statvfs(directory, &fs) != 0) {
        return;
    }
    uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize, total = (uint64_t)fs.f_blocks * fs.f_frsize;
    cli_bytes(room, sizeof(room), available);
    cli_bytes(size, sizeof(size), total);
    enum doctor_state state = available < (1u << 30) || fs.f_favail == 0 ? DOCTOR_CHANGE
                              : available < total / 10                   ? DOCTOR_CONSIDER
                                                                         : DOCTOR_FINE;
    struct doctor_finding *f = doctor_add(r, state, "room", "%s of %s are free", room, size);
    if (state != DOCTOR_FINE) {
        doctor_advise(
            f,
            "make room, or shorten the topics' retention: partitions turn read-only when the disk is full");
    }
}

static void check_sync(struct doctor_report *r, const char *directory)
{
    struct samples s = {NULL};
    if (!bench_disk_latency(directory, APPEND_SIZE, APPENDS, &s)) {
        doctor_advise(
            doctor_add(r, DOCTOR_CHANGE, "sync", "a test file in %s failed: %s", directory, strerror(errno)),
            "the node could not write there either");
        samples_close(&s);
        return;
    }
    double p50 = samples_ms(&s, 0.5), p99 = samples_ms(&s, 0.99);
    samples_close(&s);
    bool slow = p50 > 10 || p99 > 100, fast = p50 < 0.015;
    struct doctor_finding *f = doctor_add(r, slow || fast ? DOCTOR_CONSIDER : DOCTOR_FINE, "sync",
                                          "4 KiB append and fdatasync: %.3f ms p50, %.3f ms p99", p50, p99);
    if (slow) {
        doctor_advise(f, "a faster disk, or one of its own: each acknowledgement waits for the second "
                         "fastest of three such syncs");
    } else if (fast) {
        doctor_advise(
            f, "faster than disks are: make sure that a power loss keeps what was synced (memory, or a "
               "write cache without battery, does not)");
    }
}

void doctor_disk(struct doctor_report *r, const struct node_config *config)
{
    char directory[1100];
    existing(config->data_dir, directory, sizeof(directory));
    if (access(directory, W_OK | X_OK) != 0) {
        doctor_advise(doctor_add(r, DOCTOR_CHANGE, "disk", "%s: %s", directory, strerror(errno)),
                      "let the user that the node runs as write there (this looks as user %u)", geteuid());
        return;
    }
    check_system(r, directory);
    check_room(r, directory);
    check_sync(r, directory);
}
