/* A deterministic simulated environment: many hosts in one process, on one virtual clock, one simulated
 * network and a simulated disk each, all from one seed. The same seed and the same calls give the same
 * events, and so the same sim_hash().
 *
 * A `struct sim_host` is a machine: a name that others connect to, and a disk. What runs on it is a process,
 * seen by the code under test as a `struct env`; a restart gives a new one.
 *
 * When a process is killed, nothing of it is called any more: no callback, no timer. Its memory stays behind
 * as the kernel would throw it away; the env itself stays valid (calls on it do nothing, or give errors)
 * until sim_destroy, so the test may drop its own structs whenever it likes, but only after the kill.
 *
 * All functions are called from the test, outside of callbacks, if nothing else is said. */
#ifndef SIM_ENV_SIM_H
#define SIM_ENV_SIM_H

#include "node/env/env.h"

enum { SIM_MAX_HOSTS = 32 };

struct sim;
struct sim_host;

struct sim *sim_create(uint64_t seed);
/* Kills all processes and frees everything. */
void sim_destroy(struct sim *sim);

/* ---- the clock ---- */

/* Since sim_create. What env_now_ns shows differs per process by a constant. From anywhere. */
uint64_t sim_now_ns(const struct sim *sim);
/* Runs the events of the next `duration_ns`. */
void sim_run_for(struct sim *sim, uint64_t duration_ns);
/* Runs until `done` holds (asked before every event): true. False when `duration_ns` has passed without it.
 */
bool sim_run_until(struct sim *sim, uint64_t duration_ns, bool (*done)(void *data), void *data);
/* Of all events so far, the bytes on disk and network included. From anywhere. */
uint64_t sim_hash(const struct sim *sim);
/* For decisions of the test itself. From anywhere. */
uint64_t sim_random(struct sim *sim, uint64_t bound);

/* ---- hosts and processes ---- */

/* A machine with an empty disk (only "/") and a running process. `name` is copied. */
struct sim_host *sim_host_create(struct sim *sim, const char *name);
const char *sim_host_name(const struct sim_host *host);
/* Counts the turns of its loops and their starts: while it stays the same, the code under test did not run.
 */
uint64_t sim_host_turns(const struct sim_host *host);
/* The running process; NULL when there is none. env_destroy ends one in good order. */
struct env *sim_host_env(struct sim_host *host);
/* kill -9: the connections are closed by the kernel, so that peers hear of it at once; what was written to
 * files, synced or not, survives. Connects to the host are refused. */
void sim_host_kill(struct sim_host *host);
/* Power loss: as above, but peers hear nothing until they send; and of what was not synced each write and
 * each directory entry survives, vanishes, or (writes) is torn at 512 bytes, at random. Worker jobs under way
 * may be cut anywhere. */
void sim_host_crash(struct sim_host *host);
/* All of them at the same moment. */
void sim_crash_all(struct sim *sim);
/* Starts a new process on a host that has none. */
struct env *sim_host_restart(struct sim_host *host);
/* SIGSTOP and SIGCONT: connections stay, time goes on, nothing runs. */
void sim_host_freeze(struct sim_host *host);
void sim_host_thaw(struct sim_host *host);
/* Moves the wall clock, by a negative step too. */
void sim_host_step_wall_clock(struct sim_host *host, int64_t by_ms);
/* From now on the monotonic clock of what runs there, and will, goes so much too fast. */
void sim_host_drift(struct sim_host *host, int32_t ppm);
/* What env_on_signal waits for. */
void sim_host_signal(struct sim_host *host, int signal);

/* ---- the network ---- */

/* One way, drawn per message; bytes of one connection stay in order. Default 30 us to 150 us. */
void sim_network_latency(struct sim *sim, uint64_t min_ns, uint64_t max_ns);
/* Nothing gets from `from` to `to` any more: connections stall, connects go unanswered. What was sent
 * meanwhile arrives after the link is healed, as TCP would repeat it. */
void sim_link_cut(struct sim_host *from, struct sim_host *to);
void sim_link_heal(struct sim_host *from, struct sim_host *to);
/* Cuts or heals all links of a host, both ways. */
void sim_host_isolate(struct sim_host *host);
void sim_host_rejoin(struct sim_host *host);
void sim_heal_all(struct sim *sim);
/* Resets every connection between the two: both ends get ERR_CONNECTION_LOST, bytes under way are lost. */
void sim_link_reset(struct sim_host *a, struct sim_host *b);
/* The connections of today between the two are half-open from now on: nothing gets through, and neither end
 * ever hears that the other one has closed. */
void sim_link_mute(struct sim_host *a, struct sim_host *b);

/* ---- the disk ---- */

/* How long one sync takes, drawn per call. Default 200 us to 600 us. */
void sim_disk_latency(struct sim_host *host, uint64_t min_ns, uint64_t max_ns);
/* How long each read of a file takes besides what it brings. Default 2 us. */
void sim_disk_read_latency(struct sim_host *host, uint64_t ns);
/* Of a million syncs of files or directories, so many fail with ERR_IO. What a failed sync should have
 * written is, as on Linux, gone from the dirty state: a later sync reports success without it. */
void sim_disk_fail_syncs(struct sim_host *host, unsigned per_million);
/* Writes and reads fail likewise; a failed write leaves the file as it was. */
void sim_disk_fail_writes(struct sim_host *host, unsigned per_million);
void sim_disk_fail_reads(struct sim_host *host, unsigned per_million);
/* Of a million reads, so many give one wrong bit. */
void sim_disk_rot_reads(struct sim_host *host, unsigned per_million);
uint64_t sim_disk_rotten_reads(const struct sim_host *host); /* that this disk has given so far */
/* Size of the disk; beyond it ERR_NO_SPACE. Default 1 TiB. */
void sim_disk_capacity(struct sim_host *host, uint64_t bytes);
enum sim_damage {
    SIM_FLIPPED_BIT,
    SIM_LOST_WRITE,        /* some sectors are what they were before: zeros */
    SIM_MISDIRECTED_WRITE, /* some sectors hold what belongs to others */
    SIM_CUT_FILE,
};
/* Damages a file at `position`, on disk and in the cache. ERR_NOT_FOUND; ERR_INVALID_ARGUMENT behind the end.
 */
int sim_disk_damage(struct sim_host *host, const char *path, uint64_t position, enum sim_damage damage);
static inline int sim_disk_flip(struct sim_host *host, const char *path, uint64_t position)
{
    return sim_disk_damage(host, path, position, SIM_FLIPPED_BIT);
}
/* An empty disk in its place; and the disks of two hosts in each other's. Nothing may run there. */
void sim_disk_wipe(struct sim_host *host);
void sim_disk_swap(struct sim_host *a, struct sim_host *b);

#endif
