/* A group of consumers whose members come and go while one producer writes: who processed what, how often,
 * and how long each partition stood still. The benchmark of groups shows it, and the tests of groups judge by
 * it. */
#ifndef CLI_WORKLOAD_CREW_H
#define CLI_WORKLOAD_CREW_H

#include "flotilla.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CREW_MEMBERS_MAX = 32, CREW_PARTITIONS_MAX = 64, CREW_ERROR_SIZE = 512, CREW_NOBODY = -1 };

struct crew;

/* A member is a thread with a client of its own, or a `flotilla consume` process that can be killed. */
struct crew_member {
    struct crew *crew;
    bool is_used;
    pthread_t thread; /* reads; of a process, its standard output */
    pid_t pid;        /* 0: a thread of this process */
    int output;       /* of the process */
    _Atomic bool stop;
    _Atomic unsigned rebalances; /* times that its share changed; of a thread only, as the next */
    _Atomic uint64_t commit_ns;  /* when the last commit that succeeded began */
    char error[CREW_ERROR_SIZE];
};

struct crew_partition { /* under the crew's lock */
    uint8_t *processed; /* times, by offset, up to 255 */
    uint8_t *acknowledged;
    size_t capacity;
    int reader;         /* the member that processed the last record; or CREW_NOBODY */
    int watched_reader; /* when the watch began */
    uint64_t watched_ns;
    uint64_t last_ns;       /* when that was */
    uint64_t longest_ns;    /* silence since the watch began */
    uint64_t taken_over_ns; /* the first record by another than `watched_reader`; 0: none */
};

struct crew {
    const char *bootstrap; /* set before crew_start */
    const char *topic;     /* exists; only this crew writes it */
    const char *group;
    uint32_t partitions;
    uint64_t rate;              /* records a second over all partitions */
    const char *const *options; /* of members: name, value, ..., NULL; or NULL */

    pthread_mutex_t lock;
    struct crew_partition partition[CREW_PARTITIONS_MAX];
    struct crew_member member[CREW_MEMBERS_MAX];
    pthread_t producer;
    struct flotilla_client *client; /* for questions about the group */
    _Atomic bool stop;
    _Atomic uint64_t acknowledged;
    _Atomic uint64_t processed;  /* distinct */
    _Atomic uint64_t duplicates; /* processed again */
    char error[CREW_ERROR_SIZE];
};

bool crew_start(struct crew *c); /* the producer begins; no members yet */
/* The number of the new member; CREW_NOBODY after setting the crew's error. Does not wait. */
int crew_join(struct crew *c, bool as_process);
/* Leaves in order, and waits until it has. False when it said that something went wrong. */
bool crew_leave(struct crew *c, int member);
/* SIGKILL, SIGSTOP or SIGCONT to a process; a killed one is a member no more. */
bool crew_signal(struct crew *c, int member, int signal);
unsigned crew_size(const struct crew *c);
/* Waits until the group has `members` members and each has what it should have. Milliseconds since
 * `since_ns`, -1 after the time-out. */
double crew_wait_stable(struct crew *c, unsigned members, uint64_t since_ns, int64_t timeout_ms);

/* Silences are measured from here on. */
void crew_watch(struct crew *c);
struct crew_silence {
    double moved_ms[CREW_PARTITIONS_MAX]; /* of the partitions that changed hands */
    unsigned moved;
    double stayed_ms[CREW_PARTITIONS_MAX];
    unsigned stayed;
};
void crew_silences(struct crew *c, struct crew_silence *s);
/* Waits until every partition that this member read when the watch began is read by somebody else;
 * milliseconds since then, -1 after the time-out. */
double crew_wait_taken_over(struct crew *c, int member, int64_t timeout_ms);
/* Waits until a member's commit succeeds that began after `since_ns`; milliseconds since then, -1 after the
 * time-out. */
double crew_wait_commit(struct crew *c, uint64_t since_ns, int64_t timeout_ms);
/* Rebalances that the members have seen so far, together. */
unsigned crew_rebalances(const struct crew *c);

/* Stops the producer, waits until everything acknowledged is processed, and ends all members. How many
 * records never were. */
uint64_t crew_finish(struct crew *c, int64_t timeout_ms);
void crew_close(struct crew *c); /* also what has not been finished */

#endif
