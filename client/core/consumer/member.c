/* Membership of a group: joining, heartbeats, leaving, and coming back after a lost connection or with a new
 * coordinator, which the partitions that are owned do not notice. */
#include "client/core/consumer/member.h"

enum {
    STUCK_MS = 300, /* without an answer for so long, the nodes are asked who the coordinator is */
    LEAVE_TIMEOUT_MS = 5000,
};

static struct core *core_of(const struct core_member *m)
{
    return m->consumer->core;
}

static const struct client_settings *settings_of(const struct core_member *m)
{
    return &m->consumer->settings;
}

/* ---- beginnings and ends ---- */

/* A random UUID (RFC 4122, version 4). */
static void member_choose_id(struct core_member *m)
{
    uint64_t high = core_random(core_of(m)), low = core_random(core_of(m));

    snprintf(m->id, sizeof(m->id), "%08x-%04x-4%03x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff,
             ((unsigned)(low >> 48) & 0x3fff) | 0x8000, (unsigned long long)low & 0xffffffffffff);
}

void core_member_begin(struct core_member *m)
{
    member_choose_id(m);
    m->state = MEMBER_JOINING;
    m->epoch = 0;
    m->target_count = 0; /* what it was given before it left */
    m->has_news = m->is_stable = false;
    m->failing_since_ns = m->retry_ns = 0;
    m->polled_ns = core_of(m)->now;
}

void core_member_detach(struct core_member *m)
{
    core_request_abandon(&m->join);
    core_request_abandon(&m->heartbeat);
    m->endpoint = NULL;
    if (m->state == MEMBER_IN)
        m->state = MEMBER_JOINING;
}

static void member_lose(struct core_member *m, const char *why)
{
    core_log(core_of(m), FLOTILLA_LOG_WARNING,
             "msg=\"membership lost\" group=%s member=%s epoch=%lld reason=\"%s\"", settings_of(m)->group,
             m->id, (long long)m->epoch, why);
    core_member_detach(m);
    m->epoch = 0;
    m->is_stable = false;
    core_member_share_lost(m);
}

void core_member_leave_end(struct core_member *m, int status, const char *message)
{
    if (!m->is_leaving)
        return;
    m->is_leaving = false;
    if (m->leave.cb != NULL)
        m->leave.cb(m->leave.data, status, message);
}

/* Only the application can bring it back. */
static void member_fail(struct core_member *m, int status, const char *why)
{
    char message[2 * CORE_MESSAGE_SIZE];

    member_lose(m, why);
    m->state = MEMBER_OUT;
    core_timer_clear(&core_of(m)->timers, &m->timer);
    snprintf(message, sizeof(message), "group %s: %s", settings_of(m)->group, why);
    core_consumer_push_group_error(m->consumer, status, message);
    core_member_leave_end(m, status, message);
}

/* ---- leaving ---- */

/* Goes its way without the member. */
struct member_farewell {
    struct core_leave leave;
    char group[OPTION_TEXT_SIZE];
    char member_id[CORE_MEMBER_ID_SIZE];
};

static void pack_leave(void *data, const uint8_t *topic_id, struct bytes *out)
{
    const struct member_farewell *farewell = data;
    Flotilla__LeaveGroupRequest m = FLOTILLA__LEAVE_GROUP_REQUEST__INIT;

    (void)topic_id;
    m.group = (char *)farewell->group;
    m.member_id = (char *)farewell->member_id;
    protobuf_c_message_pack(&m.base, bytes_extend(out, protobuf_c_message_get_packed_size(&m.base)));
}

static void on_leave(void *data, int status, const char *message, const uint8_t *header, size_t size,
                     bool maybe_applied)
{
    struct member_farewell *farewell = data;
    bool is_gone = status == ERR_UNKNOWN_MEMBER || status == ERR_FENCED_MEMBER || status == ERR_UNKNOWN_GROUP;

    (void)header, (void)size, (void)maybe_applied;
    if (farewell->leave.cb != NULL)
        farewell->leave.cb(farewell->leave.data, is_gone ? 0 : status, is_gone ? "" : message);
    free(farewell);
}

static void member_say_farewell(struct core_member *m, const struct core_leave *leave)
{
    struct member_farewell *farewell = core_alloc(sizeof(*farewell));
    struct core_call_options call = {
        .target = CORE_COORDINATOR,
        .group = settings_of(m)->group,
        .type = FRAME_LEAVE_GROUP,
        .timeout_ns = leave->timeout_ns,
        .pack = pack_leave,
        .cb = on_leave,
        .data = farewell,
    };

    farewell->leave = *leave;
    memcpy(farewell->group, settings_of(m)->group, sizeof(farewell->group));
    memcpy(farewell->member_id, m->id, sizeof(farewell->member_id));
    core_call_start(core_of(m), &call);
}

/* Nothing is owned any more, or time is up. */
static void member_depart(struct core_member *m)
{
    bool was_known = m->epoch > 0 || m->endpoint != NULL;
    uint64_t now = core_of(m)->now;

    if (!core_member_owns_nothing(m))
        member_lose(m, "the application did not finish in time");
    core_member_detach(m);
    m->state = MEMBER_OUT;
    m->epoch = 0;
    core_timer_clear(&core_of(m)->timers, &m->timer);
    if (!was_known || m->leave.keeps_place) {
        core_member_leave_end(m, 0, "");
        return;
    }
    m->is_leaving = false;
    m->leave.timeout_ns = m->leave_deadline_ns > now + LEAVE_TIMEOUT_MS * CORE_MS / 10
                              ? m->leave_deadline_ns - now
                              : LEAVE_TIMEOUT_MS * CORE_MS / 10;
    member_say_farewell(m, &m->leave);
}

void core_consumer_leave(struct core_consumer *consumer, const struct core_leave *leave)
{
    struct core_member *m = consumer->member;
    struct core *core = consumer->core;

    if (m == NULL || m->state == MEMBER_OUT || m->state == MEMBER_AWAY) {
        if (m != NULL)
            m->state = MEMBER_OUT;
        leave->cb(leave->data, 0, "");
        return;
    }
    core_member_leave_end(m, ERR_CANCELED, "another call leaves the group as well");
    m->is_leaving = true;
    m->leave = *leave;
    m->leave_deadline_ns = core->now + leave->timeout_ns;
    m->has_news = true;
    core_work_queue(core, &m->work);
    core_run(core);
}

/* ---- the application must poll ---- */

static void member_go_away(struct core_member *m)
{
    const struct core_leave leave = {.timeout_ns = LEAVE_TIMEOUT_MS * CORE_MS};
    char why[CORE_MESSAGE_SIZE];
    bool was_known = m->epoch > 0 || m->endpoint != NULL;

    snprintf(why, sizeof(why), "the application did not poll for max.poll.interval.ms=%lld",
             (long long)settings_of(m)->max_poll_interval_ms);
    member_lose(m, why);
    m->state = MEMBER_AWAY;
    if (was_known)
        member_say_farewell(m, &leave);
    inbox_wake_on_poll(m->consumer->inbox);
}

static uint64_t member_poll_deadline(const struct core_member *m)
{
    return m->polled_ns + (uint64_t)settings_of(m)->max_poll_interval_ms * CORE_MS;
}

static void member_check_polls(struct core_member *m)
{
    struct core *core = core_of(m);

    if (inbox_was_polled(m->consumer->inbox) || m->is_leaving) {
        m->polled_ns = core->now;
        if (m->state == MEMBER_AWAY)
            core_member_begin(m);
    } else if (m->state != MEMBER_AWAY && core->now >= member_poll_deadline(m)) {
        member_go_away(m);
    }
}

/* ---- errors ---- */

static void member_back_off(struct core_member *m, bool at_once)
{
    struct core *core = core_of(m);

    if (m->failing_since_ns == 0)
        m->failing_since_ns = core->now;
    m->retry_ns = at_once ? core->now : core->now + core_pause(core, m->failing_since_ns);
    m->turn++;
    core_work_queue(core, &m->work);
}

static void member_on_error(struct core_member *m, const Flotilla__Status *status)
{
    const char *why = status->message[0] != '\0' ? status->message : error_text(status->error);
    uint32_t from = m->endpoint != NULL ? m->endpoint->node_id : 0;

    if (status->error == ERR_FENCED_MEMBER && settings_of(m)->instance_id[0] != '\0') {
        member_fail(m, status->error, why);
    } else if (status->error == ERR_FENCED_MEMBER || status->error == ERR_UNKNOWN_MEMBER) {
        bool was_new = m->epoch == 0;
        member_lose(m, why);
        member_back_off(m, !was_new);
    } else if (core_error_is_retriable(status->error)) {
        bool moved = m->coordinator != NULL &&
                     core_leader_learn(core_of(m), m->coordinator, m->coordinator_partition, from, status);
        core_member_detach(m);
        member_back_off(m, moved);
    } else {
        member_fail(m, status->error, why);
    }
}

/* NULL: the answer is good. */
static const Flotilla__Status *answer_error(struct core *core, const struct core_frame *frame)
{
    const Flotilla__Status *status = core_status_unpack(core, frame->header, frame->head.header_length);

    return status->error != 0 ? status : NULL;
}

/* ---- joining ---- */

/* On a grid, so that many members of one client are heard in one write instead of waking both sides for each.
 */
static uint64_t member_next_beat(const struct core_member *m)
{
    uint64_t grid = m->interval_ns / 8 + 1;

    return (core_of(m)->now + m->interval_ns) / grid * grid;
}

static void member_join(struct core_member *m)
{
    struct core *core = core_of(m);
    const struct client_settings *s = settings_of(m);
    Flotilla__JoinGroupRequest join = FLOTILLA__JOIN_GROUP_REQUEST__INIT;
    Flotilla__GroupPartitions **owned = NULL;

    if (m->join.endpoint != NULL || core->now < m->retry_ns)
        return;
    struct core_endpoint *e =
        core_coordinator_endpoint(core, s->group, m->turn, &m->coordinator, &m->coordinator_partition);
    if (e == NULL)
        return;
    join.group = (char *)s->group;
    join.member_id = m->id;
    join.member_epoch = m->epoch;
    join.instance_id = (char *)s->instance_id;
    join.rack = (char *)s->rack;
    join.topics = m->topics;
    join.n_topics = m->topic_count;
    join.pattern = m->pattern;
    join.assignor = (char *)client_settings_assignor(s);
    join.session_timeout_ms = (uint32_t)s->session_timeout_ms;
    join.grace_ms = (uint32_t)s->grace_ms;
    join.revocation_timeout_ms = (uint32_t)s->revocation_timeout_ms;
    if (m->epoch > 0)
        join.owned = owned = core_member_owned(m, &join.n_owned);
    m->endpoint = e;
    m->asked_ns = core->now;
    m->reports = false;
    core_endpoint_request(e, &m->join, FRAME_JOIN_GROUP, &join.base, NULL);
    free(owned);
}

static void on_join(struct core *core, struct core_request *request, int status,
                    const struct core_frame *frame)
{
    struct core_member *m = (struct core_member *)((char *)request - offsetof(struct core_member, join));

    core_work_queue(core, &m->work);
    if (status != 0)
        return; /* the connection went; member_check_coordinator sees it */
    Flotilla__JoinGroupResponse *answer = flotilla__join_group_response__unpack(
        arena_allocator(&core->arena), frame->head.header_length, frame->header);
    const Flotilla__Status *error = answer_error(core, frame);
    if (answer == NULL) {
        core_endpoint_fail(m->endpoint, ERR_PROTOCOL, "malformed answer to a join");
        return;
    }
    if (error != NULL) {
        member_on_error(m, error);
        return;
    }
    bool is_new = m->epoch == 0;
    if (is_new)
        m->epoch = answer->member_epoch;
    m->state = MEMBER_IN;
    m->failing_since_ns = 0;
    m->heard_ns = m->asked_ns;
    m->interval_ns = answer->heartbeat_interval_ms > 0
                         ? (uint64_t)answer->heartbeat_interval_ms * CORE_MS
                         : (uint64_t)settings_of(m)->session_timeout_ms * CORE_MS / 4;
    m->beat_ns = member_next_beat(m);
    core_log(core, FLOTILLA_LOG_INFO, "msg=\"%s\" group=%s member=%s epoch=%lld node=%u",
             is_new ? "joined" : "joined again", settings_of(m)->group, m->id, (long long)m->epoch,
             m->endpoint->node_id);
}

/* ---- heartbeats ---- */

static void member_beat(struct core_member *m)
{
    struct core *core = core_of(m);
    Flotilla__GroupHeartbeatRequest beat = FLOTILLA__GROUP_HEARTBEAT_REQUEST__INIT;
    Flotilla__GroupPartitions **owned = NULL;

    if (!m->reports && (core->now < m->beat_ns || m->heartbeat.endpoint != NULL))
        return;
    core_request_abandon(&m->heartbeat); /* what is owned must not wait for the answer to an older one */
    beat.group = (char *)settings_of(m)->group;
    beat.member_id = m->id;
    beat.member_epoch = m->epoch;
    beat.reports_owned = m->reports;
    if (m->reports)
        beat.owned = owned = core_member_owned(m, &beat.n_owned);
    m->reports = false;
    m->asked_ns = core->now;
    m->beat_ns = member_next_beat(m);
    core_endpoint_request(m->endpoint, &m->heartbeat, FRAME_GROUP_HEARTBEAT, &beat.base, NULL);
    free(owned);
}

static void on_heartbeat(struct core *core, struct core_request *request, int status,
                         const struct core_frame *frame)
{
    struct core_member *m = (struct core_member *)((char *)request - offsetof(struct core_member, heartbeat));

    core_work_queue(core, &m->work);
    if (status != 0)
        return;
    const Flotilla__Status *error = answer_error(core, frame);
    if (error != NULL)
        member_on_error(m, error);
    else
        m->heard_ns = m->asked_ns;
}

/* ---- assignments ---- */

static struct core_member *member_find(struct core *core, const char *group, const char *id)
{
    for (struct core_consumer *c = TAILQ_FIRST(&core->consumers); c != NULL; c = TAILQ_NEXT(c, link))
        if (c->member != NULL && strcmp(c->member->id, id) == 0 && strcmp(c->settings.group, group) == 0)
            return c->member;
    return NULL;
}

void core_member_on_assignment(struct core_endpoint *e, const struct core_frame *frame)
{
    struct core *core = e->core;
    Flotilla__GroupAssignment *push = flotilla__group_assignment__unpack(
        arena_allocator(&core->arena), frame->head.header_length, frame->header);

    if (push == NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "malformed assignment");
        return;
    }
    struct core_member *m = member_find(core, push->group, push->member_id);
    if (m == NULL || m->endpoint != e)
        return;
    core_work_queue(core, &m->work);
    if (push->status != NULL && push->status->error != 0) {
        member_on_error(m, push->status);
        return;
    }
    m->epoch = push->member_epoch;
    m->is_stable = push->stable;
    core_member_set_targets(m, push->assigned, push->n_assigned);
}

/* ---- a member's turn ---- */

/* The lease ends by itself on both sides: whoever was not heard of for the session's time owns nothing. */
static void member_check_lease(struct core_member *m)
{
    char why[CORE_MESSAGE_SIZE];
    uint64_t silence = core_of(m)->now - m->heard_ns;

    if (m->epoch == 0 || silence < (uint64_t)settings_of(m)->session_timeout_ms * CORE_MS)
        return;
    snprintf(why, sizeof(why), "no contact with the coordinator for %llu ms (session.timeout.ms=%lld)",
             (unsigned long long)(silence / CORE_MS), (long long)settings_of(m)->session_timeout_ms);
    member_lose(m, why);
}

/* The connection went, or somebody else coordinates now: the same member joins there. */
static void member_check_coordinator(struct core_member *m)
{
    struct core_endpoint *e = m->endpoint;
    const struct core_topic *t = m->coordinator;

    if (e == NULL)
        return;
    if (e->state == ENDPOINT_READY) {
        const struct core_leader *leader = t != NULL && m->coordinator_partition < t->partition_count
                                               ? &t->leaders[m->coordinator_partition]
                                               : NULL;
        if (leader == NULL || leader->node_id == 0 || leader->doubted || leader->node_id == e->node_id)
            return;
    }
    core_member_detach(m);
}

static bool member_is_asking(const struct core_member *m)
{
    return m->join.endpoint != NULL || m->heartbeat.endpoint != NULL;
}

static void member_check_silence(struct core_member *m)
{
    if (member_is_asking(m) && core_of(m)->now >= m->asked_ns + STUCK_MS * CORE_MS)
        core_metadata_need(core_of(m));
}

static void earlier(uint64_t *next, uint64_t at)
{
    if (at < *next)
        *next = at;
}

static uint64_t member_next(const struct core_member *m)
{
    uint64_t now = core_of(m)->now;
    uint64_t next = member_poll_deadline(m);

    if (m->state == MEMBER_AWAY)
        return UINT64_MAX;
    if (m->epoch > 0)
        earlier(&next, m->heard_ns + (uint64_t)settings_of(m)->session_timeout_ms * CORE_MS);
    if (m->is_leaving)
        earlier(&next, m->leave_deadline_ns);
    if (m->retry_ns > now)
        earlier(&next, m->retry_ns);
    if (member_is_asking(m))
        earlier(&next, now + STUCK_MS * CORE_MS);
    else if (m->state == MEMBER_IN)
        earlier(&next, m->beat_ns);
    return next;
}

static void member_run(struct core *core, struct core_work *work)
{
    struct core_member *m = (struct core_member *)((char *)work - offsetof(struct core_member, work));

    if (m->state == MEMBER_OUT)
        return;
    member_check_polls(m);
    member_check_lease(m);
    core_member_share(m);
    if (m->is_leaving && (core_member_owns_nothing(m) || core->now >= m->leave_deadline_ns)) {
        member_depart(m);
        return;
    }
    member_check_coordinator(m);
    if (m->state == MEMBER_JOINING)
        member_join(m);
    if (m->state == MEMBER_IN)
        member_beat(m);
    member_check_silence(m);
    uint64_t next = member_next(m);
    if (next == UINT64_MAX)
        core_timer_clear(&core->timers, &m->timer);
    else
        core_timer_set(&core->timers, &m->timer, next);
}

static void member_on_timer(struct core *core, struct core_timer *timer)
{
    struct core_member *m = (struct core_member *)((char *)timer - offsetof(struct core_member, timer));

    core_work_queue(core, &m->work);
}

void core_member_init(struct core_member *m, struct core_consumer *consumer)
{
    m->consumer = consumer;
    m->work.run = member_run;
    m->timer.cb = member_on_timer;
    m->join.done = on_join;
    m->heartbeat.done = on_heartbeat;
    m->state = MEMBER_OUT;
}
