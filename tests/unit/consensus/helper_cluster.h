/* Several consensus nodes in one process, each with a journal, a flusher and one or more groups, and an
 * oracle outside of them: whatever a node applies at an index must be what every other node applies there.
 * Works on any env. */
#ifndef HELPER_CLUSTER_H
#define HELPER_CLUSTER_H

#include "node/consensus/group.h"
#include "proto/batch.h"

enum { MAX_NODES = 5, MAX_GROUPS = 1024, ORACLE_SIZE = 1 << 18 };

/* Forwarded requests of these types are answered with their own header, or never. */
enum { FORWARD_ECHO = 1, FORWARD_SILENCE = 2 };

struct test_cluster;
struct test_node;

struct test_group {
    struct test_node *node;
    unsigned number;
    struct group *group;
    bool open;
    uint64_t applied; /* index */
    uint64_t hash;    /* chained over all that was applied */
    int64_t next_offset;
    int64_t start_offset;
    enum group_role role;
    uint64_t term;
    bool ready;
    bool failed;
    unsigned joins;     /* as a newcomer */
    uint64_t joined_at; /* what it had applied then */
};

struct test_node {
    struct test_cluster *cluster;
    uint32_t id;
    struct env *env;
    struct logger *logger;
    char dir[256];
    char host[32];
    uint16_t port; /* 0: any, at first */
    struct journal *journal;
    struct flusher *flusher;
    struct consensus *consensus;
    bool up;
    bool closing;
    unsigned open_groups;
    unsigned closing_groups;
    struct test_group *groups;
};

struct test_cluster {
    unsigned n;
    unsigned n_groups;
    struct test_node nodes[MAX_NODES];
    char dir[200];
    /* Settings; set before starting. */
    unsigned guards;
    uint64_t heartbeat_ms;
    uint64_t election_timeout_ms;
    uint64_t entry_memory_bytes;
    uint64_t entry_memory_total_bytes;
    uint64_t segment_bytes;
    bool abstains_when_new;
    /* Node id: its replicas are marked as damaged before they start, as those of a replaced disk are. */
    uint32_t distrusted;
    /* Node id: it keeps hardly any of its log in memory; 0: none. */
    uint32_t forgetful;
    /* Oracle, of group 0 only. */
    uint64_t *hashes;   /* by index: the hash chain after it */
    uint64_t *ids;      /* by index: the record's id */
    uint64_t committed; /* highest applied anywhere */
    uint32_t *leader_of_term;
    char violation[256]; /* the first one, or "" */
    uint64_t next_id;
    uint64_t acked;
    uint64_t lost;
    uint64_t refused;
};

/* On a shared real env, in a temporary directory. */
void cluster_init(struct test_cluster *c, unsigned n, unsigned n_groups, struct env *env);
/* Without: the caller sets env, host and port of each node. */
void cluster_init_bare(struct test_cluster *c, unsigned n, unsigned n_groups);
void cluster_close(struct test_cluster *c); /* all nodes must be down */

void node_start(struct test_node *node); /* returns at once; node_is_open says when its groups are */
bool node_is_open(const struct test_node *node);
void node_stop(struct test_node *node, bool clean); /* until node->up is false */
/* Closes one group and opens it again, while the node and its links stay. */
void node_reopen_group(struct test_node *node, unsigned number);
/* Everybody gets to know everybody who has a port. */
void node_connect(struct test_cluster *c);
/* The node's process was killed (simulation): its objects are left where they are. */
void node_forget(struct test_node *node);

struct test_node *cluster_leader(struct test_cluster *c, unsigned group); /* a ready one, or NULL */
/* A batch, not stamped, of one record with `payload` bytes of ballast. */
struct slice cluster_batch(const void *key, size_t key_size, size_t payload);
/* One record with an id of its own; `payload` bytes of ballast. False: refused. Its fate is counted in acked
 * and lost. */
bool cluster_propose(struct test_cluster *c, struct test_node *node, unsigned group, size_t payload);

/* Runs the (shared) loop until `condition` holds; false after `timeout_ms`. */
bool run_until(struct test_cluster *c, bool (*condition)(struct test_cluster *c, void *data), void *data,
               uint64_t timeout_ms);
void run_for(struct test_cluster *c, uint64_t ms);

/* ---- conditions ---- */

bool all_open(struct test_cluster *c, void *data);
bool has_leader(struct test_cluster *c, void *data);  /* of every group */
bool all_applied(struct test_cluster *c, void *data); /* every node that is up has applied all that any has */
bool nothing_in_flight(struct test_cluster *c, void *data);

#endif
