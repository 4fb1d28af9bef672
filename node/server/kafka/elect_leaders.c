/* ElectLeaders: back to the preferred leaders. The cluster's own policy moves leaderships there as soon as a
 * replica is in sync, so all that is to be done is to wait for it. An unclean election, which loses records,
 * does not exist. */
#include "node/base/memory.h"
#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/lookup.h"
#include "proto/error.h"

enum {
    ELECT_PREFERRED = 0,
    LOOK_AGAIN_MS = 100,
    DEFAULT_TIMEOUT_MS = 30000,
    MAX_TIMEOUT_MS = 10 * 60 * 1000,
};

struct election {
    struct kafka_request *request;
    struct kafka_elect_leaders_response response;
    struct env_timer timer;
    uint64_t deadline_ns;
    bool all; /* the request names no partitions */
};

static void set(struct kafka_elect_leaders_response_partition *p, int16_t error, const char *message)
{
    p->error_code = error;
    p->error_message = kafka_string_of(message);
}

/* ---- one partition ---- */

static void judge_unclean(const struct server *s, const struct partition_meta *meta,
                          struct kafka_elect_leaders_response_partition *p)
{
    if (cluster_leader(s->cluster, meta->group_id, NULL) != 0)
        set(p, KAFKA_ERR_ELECTION_NOT_NEEDED, "the partition has a leader");
    else
        set(p, KAFKA_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE,
            "a majority of the replicas is needed; no election may lose what they have acknowledged");
}

static bool is_preferred(const struct server *s, const struct partition_meta *meta)
{
    return cluster_leader(s->cluster, meta->group_id, NULL) == meta->replicas[0];
}

static const struct partition_meta *find(const struct server *s, struct kafka_string topic, int32_t index)
{
    const struct topic_meta *t = kafka_topic_by_name(s, topic);
    bool known = t != NULL && index >= 0 && (uint32_t)index < t->partition_count;
    return known ? &t->partitions[index] : NULL;
}

/* Those that are not there yet keep PREFERRED_LEADER_NOT_AVAILABLE. */
static void begin_partition(struct election *e, struct kafka_string topic,
                            struct kafka_elect_leaders_response_partition *p)
{
    const struct server *s = e->request->server;
    const struct kafka_elect_leaders_request *m = e->request->message;
    const struct partition_meta *meta = find(s, topic, p->partition_id);
    if (meta == NULL)
        set(p, kafka_unknown_topic(s), "there is no such partition");
    else if (m->election_type != ELECT_PREFERRED)
        judge_unclean(s, meta, p);
    else if (is_preferred(s, meta))
        set(p, KAFKA_ERR_ELECTION_NOT_NEEDED, "the preferred replica leads already");
    else
        set(p, KAFKA_ERR_PREFERRED_LEADER_NOT_AVAILABLE, "the preferred replica is not in sync yet");
}

static bool still_waits(struct election *e, struct kafka_string topic,
                        struct kafka_elect_leaders_response_partition *p)
{
    if (p->error_code != KAFKA_ERR_PREFERRED_LEADER_NOT_AVAILABLE)
        return false;
    const struct partition_meta *meta = find(e->request->server, topic, p->partition_id);
    if (meta == NULL)
        set(p, KAFKA_ERR_UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted meanwhile");
    else if (is_preferred(e->request->server, meta))
        set(p, KAFKA_ERR_NONE, NULL);
    return p->error_code == KAFKA_ERR_PREFERRED_LEADER_NOT_AVAILABLE;
}

/* ---- the whole request ---- */

/* Who asked for all partitions hears only of those for which there was something to do. */
static void drop_not_needed(struct kafka_elect_leaders_response *response)
{
    for (int32_t i = 0; i < response->replica_election_results.count; i++) {
        struct kafka_elect_leaders_response_topic *t = &response->replica_election_results.items[i];
        int32_t kept = 0;
        for (int32_t k = 0; k < t->partition_result.count; k++)
            if (t->partition_result.items[k].error_code != KAFKA_ERR_ELECTION_NOT_NEEDED)
                t->partition_result.items[kept++] = t->partition_result.items[k];
        t->partition_result.count = kept;
    }
}

static void answer(struct election *e)
{
    env_timer_stop(e->request->server->env, &e->timer);
    if (e->all)
        drop_not_needed(&e->response);
    kafka_respond(e->request, &e->response);
}

static void end_early(struct kafka_request *r)
{
    answer(r->state);
}

static void look(struct election *e);

static void on_timer(struct env_timer *timer)
{
    look(container_of(timer, struct election, timer));
}

static void look(struct election *e)
{
    struct env *env = e->request->server->env;
    bool waits = false;
    for (int32_t i = 0; i < e->response.replica_election_results.count; i++) {
        struct kafka_elect_leaders_response_topic *t = &e->response.replica_election_results.items[i];
        for (int32_t k = 0; k < t->partition_result.count; k++)
            waits |= still_waits(e, t->topic, &t->partition_result.items[k]);
    }
    if (waits && env_now_ns(env) < e->deadline_ns)
        env_timer_start(env, &e->timer, LOOK_AGAIN_MS * UINT64_C(1000000), on_timer);
    else
        answer(e);
}

static bool add_topic(struct election *e, struct kafka_string name, const int32_t *indexes, uint32_t count)
{
    struct kafka_elect_leaders_response *response = &e->response;
    struct kafka_elect_leaders_response_topic *t =
        &response->replica_election_results.items[response->replica_election_results.count++];
    t->topic = name;
    t->partition_result.items = KAFKA_NEW(&e->request->arena, elect_leaders_response_partition, count);
    if (t->partition_result.items == NULL)
        return false;
    t->partition_result.count = (int32_t)count;
    for (uint32_t i = 0; i < count; i++) {
        t->partition_result.items[i].partition_id = indexes != NULL ? indexes[i] : (int32_t)i;
        begin_partition(e, name, &t->partition_result.items[i]);
    }
    return true;
}

struct all_topics {
    struct election *election;
    bool fits;
};

static void add_any_topic(void *data, const struct topic_meta *topic)
{
    struct all_topics *all = data;
    const char *name = arena_strndup(&all->election->request->arena, topic->name, strlen(topic->name));
    all->fits = all->fits && name != NULL &&
                add_topic(all->election, kafka_string_of(name), NULL, topic->partition_count);
}

static bool add_topics(struct election *e, const struct kafka_elect_leaders_request *m)
{
    const struct metadata *tables = cluster_metadata(e->request->server->cluster);
    size_t count = e->all ? metadata_topic_count(tables) : (size_t)m->topic_partitions.count;
    struct all_topics all = {e, true};
    e->response = kafka_elect_leaders_response_default;
    e->response.replica_election_results.items =
        KAFKA_NEW(&e->request->arena, elect_leaders_response_topic, count);
    if (e->response.replica_election_results.items == NULL)
        return false;
    if (e->all)
        metadata_each_topic(tables, add_any_topic, &all);
    for (int32_t i = 0; i < m->topic_partitions.count && all.fits; i++) {
        const struct kafka_elect_leaders_request_topic *t = &m->topic_partitions.items[i];
        all.fits = add_topic(e, t->topic, t->partitions.items, (uint32_t)t->partitions.count);
    }
    return all.fits;
}

void kafka_elect_leaders(struct kafka_request *r)
{
    const struct kafka_elect_leaders_request *m = r->message;
    uint64_t timeout_ms = m->timeout_ms > 0 ? (uint64_t)m->timeout_ms : DEFAULT_TIMEOUT_MS;
    struct election *e = kafka_request_state(r, sizeof(*e));
    e->request = r;
    e->all = m->topic_partitions.count < 0;
    e->deadline_ns = env_now_ns(r->server->env) +
                     (timeout_ms < MAX_TIMEOUT_MS ? timeout_ms : MAX_TIMEOUT_MS) * UINT64_C(1000000);
    if (!add_topics(e, m)) {
        kafka_refuse_too_large(r);
        return;
    }
    r->cancel = end_early;
    r->end_wait = end_early;
    look(e);
}
