/* Inside of the simulated environment, shared by the env_sim_*.c files. */
#ifndef SIM_ENV_SIM_INTERNAL_H
#define SIM_ENV_SIM_INTERNAL_H

#include "node/base/prng.h"
#include "node/env/env_ops.h"
#include "tests/sim/env_sim.h"

struct sim_disk;
struct sim_inode;
struct sim_process;

/* ---- events ---- */

/* Something that will happen at a virtual moment. Embedded in what it is about. */
struct sim_event {
    struct sim_process *process; /* private from here; whose loop it runs on; NULL: the network's own */
    void (*fire)(struct sim_event *event);
    void (*drop)(struct sim_event *event); /* instead of `fire`, when the process is dead */
    struct queue held;                     /* while the process is frozen */
};

void sim_event_schedule(struct sim *sim, struct sim_event *event, uint64_t at_ns, struct sim_process *process,
                        void (*fire)(struct sim_event *event), void (*drop)(struct sim_event *event));

/* An event and its place in time; whole in the heap, which then need not look at the event. */
struct sim_due {
    uint64_t at_ns;
    uint64_t sequence;
    struct sim_event *event;
};

struct sim {
    struct prng prng;
    uint64_t now_ns;
    uint64_t hash;
    struct sim_due *events; /* a binary heap by (at_ns, sequence) */
    size_t event_count;
    size_t event_capacity;
    struct { /* those that were scheduled for the very moment: in order as they came, so they need no heap */
        struct sim_due *ring;
        size_t first;
        size_t count;
        size_t capacity; /* a power of two */
    } at_once;
    uint64_t next_sequence;
    struct sim_host *hosts[SIM_MAX_HOSTS];
    unsigned host_count;
    struct { /* what the loops would do next, as it was when each of them ran last */
        uint64_t due_ns[SIM_MAX_HOSTS]; /* the moment of its soonest timer; UINT64_MAX: there is none, or no
                                           loop */
        unsigned soonest; /* the host whose is the soonest, the first of several; any one without a timer */
        bool deferred;    /* somebody has tasks */
        bool stale;       /* somebody was changed from outside */
    } next;
    bool cut[SIM_MAX_HOSTS][SIM_MAX_HOSTS]; /* [from][to] */
    uint64_t latency_min_ns;
    uint64_t latency_max_ns;
    struct queue connections; /* struct sim_connection */
};

/* Folds a value, or bytes, into the event hash. */
void sim_note(struct sim *sim, uint64_t value);
void sim_note_bytes(struct sim *sim, const void *data, size_t size);
/* Uniform in [min, max]. */
uint64_t sim_random_between(struct sim *sim, uint64_t min, uint64_t max);

/* ---- hosts and processes ---- */

enum { SIM_MAX_SIGNALS = 8 };

struct sim_signal {
    int signal;
    void (*cb)(void *data, int signal);
    void *data;
};

struct sim_host {
    struct sim *sim;
    char *name;
    unsigned index;
    struct sim_process *process; /* NULL: none runs */
    struct queue processes;      /* all that ever ran: the dead ones stay until the end */
    struct sim_disk *disk;
    int64_t wall_step_ms;
    int32_t drift_ppm;
    uint64_t turns;
    uint16_t next_port; /* for listeners without one, and the near ends of connections */
};

struct sim_process {
    struct env env;
    bool dead;
    bool frozen;
    bool stopping;
    struct queue node; /* in host->processes */
    struct sim_host *host;
    struct prng prng;
    struct { /* local time is `local_ns` + (now - `since_ns`) x `rate` / a million */
        uint64_t local_ns;
        uint64_t since_ns;
        uint64_t rate;
    } clock;
    struct queue held; /* events that came while frozen */

    struct queue works;          /* struct sim_work that has not run yet */
    unsigned works_pending;      /* whose `done` has not run yet */
    uint64_t job_cost_ns;        /* what the job that runs has spent on the disk */
    bool losing_power;           /* syncs have no effect any more */
    struct queue syncing;        /* struct sim_syncs: of jobs that have run and wait for the disk */
    struct sim_syncs *job_syncs; /* of the job that runs; NULL: none does */

    struct queue files;     /* struct sim_file */
    struct queue streams;   /* struct sim_stream */
    struct queue listeners; /* struct sim_listener */
    unsigned open_streams;  /* whose close callback has not run */

    struct sim_signal signals[SIM_MAX_SIGNALS];
    unsigned signal_count;
};

static inline struct sim_process *sim_process_of(struct env *env)
{
    return (struct sim_process *)env;
}

/* ---- disk (env_sim_disk.c, env_sim_file.c) ---- */

struct sim_disk *sim_disk_create(struct sim *sim);
void sim_disk_destroy(struct sim_disk *disk);
/* Power loss: what was not synced is lost at random. No file may be open. */
void sim_disk_lose_power(struct sim_disk *disk);
/* The syncs of one worker job, in order. They have their effect when the job is over, not when it begins:
 * until then a power loss finds what they should have written dirty. */
struct sim_syncs {
    struct queue node; /* in process->syncing */
    struct sim_disk *disk;
    struct sim_sync {
        struct sim_inode *inode;
        uint64_t change; /* the disk's newest when it began */
    } * all;
    unsigned count;
    uint64_t last_change; /* of the job */
};
void sim_syncs_init(struct sim_syncs *syncs, struct sim_disk *disk);
/* The job has run. */
void sim_syncs_end(struct sim_syncs *syncs);
/* The first `n` have their effect. What the job did after the next one began has never happened. */
void sim_syncs_close(struct sim_syncs *syncs, unsigned n);
/* Closes the files of a dead process. */
void sim_files_release(struct sim_process *process);
/* Frees what the dead process's handles have kept. */
void sim_files_free(struct sim_process *process);

int sim_file_open(struct env *env, const char *path, int flags, struct env_file **file);
int sim_dir_create(struct env *env, const char *path);
int sim_dir_sync(struct env *env, const char *path);
int sim_dir_list(struct env *env, const char *path, void (*each)(void *data, const char *name), void *data);
int sim_rename(struct env *env, const char *from, const char *to);
int sim_remove(struct env *env, const char *path);
int sim_dir_remove(struct env *env, const char *path);
int sim_free_space(struct env *env, const char *path, uint64_t *bytes);

/* ---- network (env_sim_net.c, env_sim_stream.c) ---- */

int sim_connect(struct env *env, const char *host, uint16_t port, uint64_t timeout_ns,
                struct env_stream **stream, void (*cb)(void *data, struct env_stream *stream, int status),
                void *data);
int sim_listen(struct env *env, const char *host, uint16_t port, struct env_listener **listener,
               void (*cb)(void *data, struct env_stream *stream), void *data);
/* The process has died; `silent`: with its machine, so that peers hear nothing of it. */
void sim_net_release(struct sim_process *process, bool silent);
/* Frees what the dead process's handles have kept. */
void sim_net_free(struct sim_process *process);

#endif
