/* Single requests: who is to be asked, retries with pauses, and an end at the deadline. */
#include "client/core/internal.h"

enum { MAX_GROUP_SIZE = 249 };

struct core_call {
    struct core_work work;
    TAILQ_ENTRY(core_call) link;
    struct core_request request;
    struct core_timer timer; /* the next attempt or the deadline */
    struct core_call_options options;
    struct core_topic *topic; /* whose id the request needs */
    struct core_topic *led;   /* whose leader is asked */
    uint32_t led_partition;
    char group[MAX_GROUP_SIZE + 1];
    uint64_t started_ns;
    uint64_t deadline_ns;
    uint64_t retry_ns;
    unsigned turn;
    bool maybe_applied;
    int status; /* of the last attempt */
    char message[CORE_MESSAGE_SIZE];
};

static void call_end(struct core *core, struct core_call *call, int status, const char *message,
                     const struct core_frame *frame)
{
    core_work_cancel(core, &call->work);
    core_timer_clear(&core->timers, &call->timer);
    core_request_abandon(&call->request);
    TAILQ_REMOVE(&core->calls, call, link);
    call->options.cb(call->options.data, status, message, frame != NULL ? frame->header : NULL,
                     frame != NULL ? frame->head.header_length : 0, call->maybe_applied);
    free(call);
}

/* Why the last connection failed, for a call that no node has answered. */
static const char *call_silence(const struct core *core, char *out, size_t size)
{
    snprintf(out, size, "no node answered");
    for (uint32_t i = 0; i < core->endpoint_count; i++) {
        const struct core_endpoint *e = core->endpoints[i];
        if (e->state != ENDPOINT_READY && e->reason[0] != '\0')
            snprintf(out, size, "%s:%u: %s", e->host, e->port, e->reason);
    }
    return out;
}

static void call_expire(struct core *core, struct core_call *call)
{
    char message[4 * CORE_MESSAGE_SIZE], silence[3 * CORE_MESSAGE_SIZE];
    int status = call->status != 0 ? call->status : ERR_TIMED_OUT;
    const char *what =
        call->message[0] != '\0' ? call->message : call_silence(core, silence, sizeof(silence));

    if (call->request.endpoint != NULL) {
        call->maybe_applied = true;
        status = ERR_TIMED_OUT;
    } else if (call->options.target == CORE_NODE && core_node_endpoint(core, call->options.node_id) == NULL) {
        status = ERR_NOT_FOUND;
        snprintf(silence, sizeof(silence), "the cluster has no node %u", call->options.node_id);
        what = silence;
    } else if (call->status == 0) {
        status = ERR_UNREACHABLE;
    }
    snprintf(message, sizeof(message), "gave up after %llu ms: %s",
             (unsigned long long)((core->now - call->started_ns) / CORE_MS), what);
    call_end(core, call, status, message, NULL);
}

static void call_remember(struct core_call *call, int status, const char *where, const char *message)
{
    call->status = status;
    if (message != NULL && message[0] != '\0')
        snprintf(call->message, sizeof(call->message), "%s", message);
    else
        snprintf(call->message, sizeof(call->message), "%s: %s", where, error_text(status));
}

static void call_retry(struct core *core, struct core_call *call, bool at_once)
{
    call->turn++;
    call->retry_ns = at_once ? core->now : core->now + core_pause(core, call->started_ns);
    core_work_queue(core, &call->work);
}

/* A topic that was just created may not be known everywhere yet; a while later the answer counts. */
static bool call_may_retry(const struct core *core, const struct core_call *call, int status)
{
    if (status == ERR_UNKNOWN_TOPIC && call->led == NULL)
        return core->now - call->started_ns < CORE_TOPIC_GRACE_MS * CORE_MS / 2;
    return core_error_is_retriable(status);
}

static void call_on_answer(struct core *core, struct core_request *request, int status,
                           const struct core_frame *frame)
{
    struct core_call *call = (struct core_call *)((char *)request - offsetof(struct core_call, request));

    if (frame == NULL) {
        call->maybe_applied = true;
        call_remember(call, status, frame_type_name(call->options.type), NULL);
        call_retry(core, call, true);
        return;
    }
    const Flotilla__Status *s = core_status_unpack(core, frame->header, frame->head.header_length);
    if (s->error == 0) {
        call_end(core, call, 0, "", frame);
        return;
    }
    call_remember(call, s->error, frame_type_name(call->options.type), s->message);
    call->maybe_applied |= core_error_is_unknown(s->error);
    if (!call_may_retry(core, call, s->error)) {
        call_end(core, call, s->error, call->message, NULL);
        return;
    }
    bool moved = call->led != NULL && core_leader_learn(core, call->led, call->led_partition, 0, s);
    call_retry(core, call, moved);
}

static struct core_endpoint *call_endpoint(struct core *core, struct core_call *call)
{
    if (call->options.target == CORE_COORDINATOR)
        return core_coordinator_endpoint(core, call->group, call->turn, &call->led, &call->led_partition);
    if (call->led != NULL)
        return core_leader_endpoint(core, call->led, call->led_partition);
    if (call->options.target != CORE_NODE)
        return core_any_endpoint(core, call->turn);
    struct core_endpoint *e = core_node_endpoint(core, call->options.node_id);
    if (e == NULL)
        core_metadata_need(core);
    else if (e->state == ENDPOINT_READY)
        return e;
    else
        core_endpoint_want(e);
    return NULL;
}

static void call_send(struct core_call *call, struct core_endpoint *e)
{
    static const uint8_t no_id[CORE_TOPIC_ID_SIZE];
    struct bytes header;

    bytes_init(&header);
    call->options.pack(call->options.data, call->topic != NULL ? call->topic->id : no_id, &header);
    core_endpoint_request_packed(e, &call->request, call->options.type, header.data, header.size);
    bytes_close(&header);
}

/* An error that ends the call, 0, or ERR_INTERRUPTED while the topic's id is still being asked for. */
static int call_check_topic(struct core *core, struct core_call *call)
{
    const struct core_topic *topic = call->topic;

    if (topic == NULL)
        return 0;
    if (core_topic_missing(core, topic) != 0) {
        snprintf(call->message, sizeof(call->message), "unknown topic %s", topic->name);
        return ERR_UNKNOWN_TOPIC;
    }
    if (!topic->known) {
        core_metadata_need(core);
        return ERR_INTERRUPTED;
    }
    if (call->options.target != CORE_LEADER)
        return 0;
    int rc = core_partition_missing(core, topic, call->led_partition, call->started_ns);
    if (rc == ERR_UNKNOWN_PARTITION)
        snprintf(call->message, sizeof(call->message), "unknown partition %s/%u: the topic has %u",
                 topic->name, call->led_partition, topic->partition_count);
    return rc;
}

/* Returns an error that ends the call. */
static int call_try(struct core *core, struct core_call *call)
{
    int rc = call_check_topic(core, call);
    if (rc != 0)
        return rc != ERR_INTERRUPTED ? rc : 0;
    struct core_endpoint *e = call_endpoint(core, call);
    if (e != NULL)
        call_send(call, e);
    return 0;
}

static void call_run(struct core *core, struct core_work *work)
{
    struct core_call *call = (struct core_call *)((char *)work - offsetof(struct core_call, work));
    uint64_t next = call->deadline_ns;

    if (core->now >= call->deadline_ns) {
        call_expire(core, call);
        return;
    }
    if (call->request.endpoint == NULL) {
        int rc = core->now >= call->retry_ns ? call_try(core, call) : 0;
        if (rc != 0) {
            call_end(core, call, rc, call->message, NULL);
            return;
        }
        if (core->now < call->retry_ns && call->retry_ns < next)
            next = call->retry_ns;
    }
    core_timer_set(&core->timers, &call->timer, next);
}

static void call_on_timer(struct core *core, struct core_timer *timer)
{
    struct core_call *call = (struct core_call *)((char *)timer - offsetof(struct core_call, timer));

    core_work_queue(core, &call->work);
}

void core_call_start(struct core *core, const struct core_call_options *options)
{
    struct core_call *call = core_alloc(sizeof(*call));

    call->options = *options;
    call->work.run = call_run;
    call->request.done = call_on_answer;
    call->timer.cb = call_on_timer;
    call->started_ns = core->now;
    call->deadline_ns = core->now + options->timeout_ns;
    call->turn = core->turn++;
    TAILQ_INSERT_TAIL(&core->calls, call, link);
    if (options->topic != NULL)
        call->topic = core_topic_get(core, options->topic);
    if (options->target == CORE_LEADER) {
        call->led = call->topic;
        call->led_partition = options->partition;
    }
    if (options->group != NULL)
        snprintf(call->group, sizeof(call->group), "%s", options->group);
    call->options.topic = NULL; /* the caller's memory; copied above */
    call->options.group = NULL;
    if (core->stopping)
        call_end(core, call, ERR_CANCELED, "the client is being destroyed", NULL);
    else
        core_work_queue(core, &call->work);
}

void core_call(struct core *core, const struct core_call_options *options)
{
    core_call_start(core, options);
    core_run(core);
}

void core_calls_wake(struct core *core)
{
    for (struct core_call *call = TAILQ_FIRST(&core->calls); call != NULL; call = TAILQ_NEXT(call, link))
        if (call->request.endpoint == NULL)
            core_work_queue(core, &call->work);
}

void core_calls_cancel(struct core *core)
{
    struct core_call *call;

    while ((call = TAILQ_FIRST(&core->calls)) != NULL)
        call_end(core, call, ERR_CANCELED, "the client is being destroyed", NULL);
}
