/* What goes wrong in a run, and when: drawn from the seed. */
#ifndef SIM_NEMESIS_H
#define SIM_NEMESIS_H

#include "tests/sim/cluster.h"
#include "tests/sim/plot.h"
#include "tests/sim/workload.h"

/* X(NAME, "name", weight): the weight among all faults in a run that has them. */
#define FAULT_TABLE(X)                                                                                       \
    X(CRASH, "crash", 4)                   /* power loss of one node */                                      \
    X(CRASH_ALL, "crash-all", 2)           /* of all at once */                                              \
    X(CRASH_SOME, "crash-some", 2)         /* of a majority */                                               \
    X(KILL, "kill", 3)                     /* kill -9 */                                                     \
    X(STOP, "stop", 1)                     /* planned stop and start */                                      \
    X(ROLL, "roll", 1)                     /* that of all nodes in turn */                                   \
    X(FREEZE, "freeze", 2)                 /* SIGSTOP */                                                     \
    X(ISOLATE, "isolate", 3)               /* all links of a node */                                         \
    X(CUT, "cut", 3)                       /* one direction of one link */                                   \
    X(SPLIT, "split", 2)                   /* two nodes don't see each other, all others see both */         \
    X(RESET, "reset", 2)                   /* connections of a node */                                       \
    X(HALF_OPEN, "half-open", 1)           /* connections of two machines go silent for ever */              \
    X(NETWORK, "network", 1)               /* slow */                                                        \
    X(DISK, "disk", 2)                     /* slow, to the point of standing still */                        \
    X(SPACE, "space", 1)                   /* disk full */                                                   \
    X(SYNC_ERROR, "sync-error", 1)         /* failing syncs on one node */                                   \
    X(READ_ERROR, "read-error", 1)         /* failing and lying reads on that node */                        \
    X(ROT, "rot", 2)                       /* a bit of a log or an index on it flips */                      \
    X(LOST_WRITE, "lost-write", 2)         /* sectors of it were never written */                            \
    X(MISDIRECTED, "misdirected-write", 2) /* ... or are somebody else's */                                  \
    X(SHORTEN, "shorten", 2)               /* a log on it loses its end while the node is down */            \
    X(WIPE, "wipe", 2)                     /* its disk is emptied, just as others die */                     \
    X(SWAP, "swap", 1)                     /* two nodes get each other's disks, for a while */               \
    X(CLOCK, "clock", 1)                   /* wall clock steps */                                            \
    X(DRIFT, "drift", 1)                   /* a clock runs too fast or too slow */                           \
    X(CLIENT, "client", 2)                 /* kill -9 of a client */                                         \
    X(STUCK, "stuck-client", 1)            /* SIGSTOP of a client: it reads nothing */                       \
    X(SLOW, "slow-client", 1)              /* it hardly reads */                                             \
    X(GROW, "grow", 1)                     /* partitions are added */                                        \
    X(CHURN, "churn", 2)                   /* topics created and deleted */                                  \
    X(DRAIN, "drain", 1)                   /* leaderships moved away from a node */

enum fault {
#define X(name, text, weight) FAULT_##name,
    FAULT_TABLE(X)
#undef X
        FAULTS
};

enum { NEMESIS_PROFILES = 3, OLD_LOGS_MAX = 32 };
static const unsigned FAULTS_ALL = (unsigned)((UINT64_C(1) << FAULTS) - 1);

struct nemesis_profile;

/* Bytes that a node has known to be on its disk for so long that the journal says so: where rot is told from
 * the torn tail of a power loss. */
struct old_bytes {
    struct sim_node *node; /* NULL: none chosen */
    uint64_t group_id;
    enum sim_damage damage;
    uint64_t index;
    uint64_t size; /* some of the beginning: a shorter log may have grown again */
    uint64_t since_ns;
    bool in_pair;  /* if that can be had: with another replica's, while the third has everything */
    unsigned life; /* of the node, in which its journal has said so */
    uint64_t journal_sequence; /* that must be durable for it; 0: it does not say so yet */
};

/* A log that stood at `index` and so many bytes, and is longer by now. */
struct old_log {
    uint64_t group_id, index, end;
    bool floored; /* the journal says that it is longer */
};

enum ambush_kind { AMBUSH_DAMAGES, AMBUSH_WIPES, AMBUSH_FAILS_SYNCS };

/* A disk that fails when it hurts most: a minority of the nodes is left behind, and at the moment at which it
 * is back, all others lose power, one of them its disk or a part of it, and that one is the first to come
 * back. Or its disk is replaced before, and the others die as soon as they have begun to fill it; or who was
 * left behind stood still, and has not heard of the leader that has taken its place. No other fault until it
 * is whole again: decision 15 says what is not promised until then. */
struct ambush {
    struct sim_node *node; /* NULL: none under way */
    enum ambush_kind kind; /* of damage: what `old` says; a log's end is lost together with those of others */
    bool failing;          /* syncs do, for a moment before it is sprung */
    bool wiped;            /* while the others are up */
    bool filled;           /* has been sent something since */
    bool sprung;
    uint64_t due_ns;  /* of the next step */
    unsigned lagging; /* a mask of 1 << (id - 1) */
};

struct nemesis {
    struct sim *sim;
    struct sim_cluster *cluster;
    struct workload *workload;
    struct counters *counters;
    unsigned faults; /* a mask of 1 << enum fault */
    const struct nemesis_profile *profile;
    unsigned gap_ms; /* between two events, on average */
    uint64_t next_ns;
    unsigned rolling;             /* nodes that a rolling restart has before it */
    struct sim_node *faulty_disk; /* at most one has failing syncs or rot; NULL: none yet */
    struct old_bytes old;
    bool pair_harmed;                      /* and, for all that is known, not whole again */
    struct old_log old_logs[OLD_LOGS_MAX]; /* of the same node, at the same moment */
    unsigned old_log_count;
    struct ambush ambush;
    struct plot plot;
    struct sim_node *swapped[2]; /* NULL: none */
    uint64_t swap_end_ns;
    uint32_t draining; /* node; 0: none */
    bool verbose;
};

const char *fault_name(enum fault f);
/* "crash,kill" or "all" or "none" to a mask; false when a name is unknown: then all are listed. */
bool faults_parse(const char *text, unsigned *mask);

/* Chooses what this run has of `allowed`. `profile`: see struct run_options. */
void nemesis_init(struct nemesis *n, struct sim_cluster *cluster, struct workload *workload, unsigned allowed,
                  unsigned profile, enum plot_kind plot);
/* Between events. */
void nemesis_step(struct nemesis *n);
/* Ends all faults, and starts all nodes. */
void nemesis_heal(struct nemesis *n);

/* ---- for plots ---- */

bool nemesis_all_work(const struct nemesis *n);
/* All that is wrong with links, disks, clocks and frozen processes ends; what is down stays down. */
void nemesis_mend(struct nemesis *n);

#endif
