/* Whether this node carries its share: for /readyz.
 *
 * What has caught up once stays so while leaders move or entries are under way: only a replica that must be
 * sent files, or that stopped, is behind again. What is created while the node runs counts from then on. So a
 * load balancer or a rolling restart sees a node come and go, not an election or a new topic. */
#include "node/cluster/internal.h"
#include <stdarg.h>
#include <stdio.h>

/* Elections take less; a node that is cut off from the majority is told apart from them by lasting. */
static const uint64_t election_grace_ns = UINT64_C(3000) * NS_PER_MS;

__attribute__((format(printf, 3, 4))) static bool not_ready(char *reason, size_t reason_size,
                                                            const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, reason_size, format, arguments);
    va_end(arguments);
    return false;
}

struct tally {
    unsigned total;
    unsigned not_running;
    unsigned failed;
    unsigned behind;
};

static bool keeps_up(const struct group *group, bool *has_caught_up)
{
    *has_caught_up = !group_catching_up(group) && (*has_caught_up || group_caught_up(group));
    return *has_caught_up;
}

static bool replica_failed(const struct replica *r, const struct group *group)
{
    return r->state == REPLICA_FAILED || (group != NULL && group_role(group) == GROUP_FAILED);
}

static struct group *running_group(const struct cluster *c, const struct replica *r)
{
    return r->state == REPLICA_RUNNING ? c->options.replicas->group(c->options.data, r->group_id) : NULL;
}

unsigned readiness_failed(const struct cluster *c)
{
    unsigned failed = c->group0.has_failed ? 1 : 0;
    for (const struct replica *r = c->reconciler.replicas; r != NULL; r = r->hh.next) {
        failed += replica_failed(r, running_group(c, r)) ? 1 : 0;
    }
    return failed;
}

static void count(const struct cluster *c, struct replica *r, struct tally *tally)
{
    if (r->state == REPLICA_LEAVING || r->state == REPLICA_STOPPING) {
        return;
    }
    tally->total++;
    const struct group *group = running_group(c, r);
    if (replica_failed(r, group)) {
        tally->failed++;
    } else if (group == NULL) {
        tally->not_running += r->was_there ? 1 : 0;
    } else if (!keeps_up(group, &r->has_caught_up)) {
        tally->behind += r->was_there ? 1 : 0;
    } else {
        r->was_there = true;
    }
}

static bool replicas_ready(struct cluster *c, char *reason, size_t reason_size)
{
    struct tally tally = {0};
    for (struct replica *r = c->reconciler.replicas; r != NULL; r = r->hh.next) {
        count(c, r, &tally);
    }
    if (tally.failed > 0) {
        return not_ready(reason, reason_size, "%u of %u replicas failed", tally.failed, tally.total);
    }
    if (tally.not_running > 0) {
        return not_ready(reason, reason_size, "%u of %u replicas are starting", tally.not_running,
                         tally.total);
    }
    if (tally.behind > 0) {
        return not_ready(reason, reason_size, "%u of %u replicas are catching up", tally.behind, tally.total);
    }
    return true;
}

bool cluster_tables_current(const struct cluster *c)
{
    return c->phase == CLUSTER_RUNNING && cluster_controller(c) != 0 && group0_caught_up(&c->group0);
}

/* Without a majority nobody knows what it has missed. */
static void forget_caught_up(struct cluster *c)
{
    c->readiness = (struct readiness){.lost_ns = c->readiness.lost_ns};
    for (struct replica *r = c->reconciler.replicas; r != NULL; r = r->hh.next) {
        r->has_caught_up = false;
    }
}

static bool has_controller(struct cluster *c)
{
    struct readiness *readiness = &c->readiness;
    uint64_t now = env_now_ns(c->env);
    readiness_step(c);
    if (readiness->lost_ns == 0) {
        readiness->had_controller = true;
    } else if (now - readiness->lost_ns >= election_grace_ns) {
        forget_caught_up(c);
    }
    return readiness->had_controller;
}

void readiness_step(struct cluster *c)
{
    struct readiness *readiness = &c->readiness;
    if (cluster_controller(c) != 0) {
        readiness->lost_ns = 0;
    } else if (readiness->lost_ns == 0) {
        readiness->lost_ns = env_now_ns(c->env);
    }
}

bool cluster_ready(struct cluster *c, char *reason, size_t reason_size)
{
    const struct metadata *m = c->group0.metadata;
    if (c->phase != CLUSTER_RUNNING) {
        return not_ready(reason, reason_size, "the node is starting or shutting down");
    }
    if (c->group0.has_failed) {
        return not_ready(reason, reason_size, "the metadata replica failed, see the log");
    }
    if (!has_controller(c)) {
        return not_ready(reason, reason_size, "no controller: a majority of the nodes is not in reach");
    }
    if (!keeps_up(c->group0.group, &c->readiness.tables_caught_up)) {
        return not_ready(reason, reason_size, "the metadata is catching up");
    }
    if (metadata_node(m, c->self.id) == NULL ||
        metadata_node(m, c->self.id)->client_port != c->self.client_port) {
        return not_ready(reason, reason_size, "this node is not registered yet");
    }
    if (metadata_topic(m, OFFSETS_TOPIC) == NULL) {
        return not_ready(reason, reason_size, OFFSETS_TOPIC " is not created yet");
    }
    if (!c->readiness.was_ready && c->reconciler.version != metadata_version(m)) {
        return not_ready(reason, reason_size, "replicas are being started");
    }
    c->readiness.was_ready = replicas_ready(c, reason, reason_size);
    return c->readiness.was_ready;
}
