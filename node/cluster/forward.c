/* The way of a request to the controller: served here when this node is it, else forwarded to the node that
 * is, and tried again while leadership moves. */
#include "node/cluster/internal.h"
#include "proto/error.h"
#include <stdlib.h>

enum {
    /* Of one attempt: a frozen controller must not eat the whole time of the request. */
    ATTEMPT_TIMEOUT_MS = 2000,
    RETRY_PAUSE_MS = 25,
};

struct request {
    struct queue node;
    struct cluster *cluster; /* NULL: given up, only the attempt under way keeps the struct */
    struct bytes packed;
    uint64_t deadline_ns;
    struct env_timer timer; /* the next attempt, or the deadline */
    struct forward_req forward;
    bool is_attempting;
    bool is_due; /* scratch of requests_step */
    bool uncertain;
    int last_error;
    uint32_t tried_node; /* of the last attempt */
    request_done_cb done;
    void *data;
};

static void request_free(struct request *r)
{
    bytes_close(&r->packed);
    free(r);
}

/* Tells the asker; the struct stays while an attempt is under way. */
static void complete(struct request *r, int status, const Flotilla__ControllerAnswer *answer)
{
    struct cluster *c = r->cluster;
    queue_remove(&r->node);
    env_timer_stop(c->env, &r->timer);
    r->cluster = NULL;
    r->done(r->data, status, answer, r->uncertain);
    if (!r->is_attempting) {
        request_free(r);
    }
}

static void give_up(struct request *r)
{
    int status = r->last_error != 0 ? r->last_error : ERR_TIMED_OUT;
    if (r->uncertain || r->is_attempting) {
        r->uncertain = true;
        status = ERR_TIMED_OUT;
    }
    complete(r, status, NULL);
}

static void on_timer(struct env_timer *timer)
{
    struct request *r = container_of(timer, struct request, timer);
    struct cluster *c = r->cluster;
    if (env_now_ns(c->env) >= r->deadline_ns) {
        give_up(r);
        return;
    }
    cluster_wake(c);
}

static void wait_ns(struct request *r, uint64_t pause_ns)
{
    uint64_t now = env_now_ns(r->cluster->env);
    uint64_t left = r->deadline_ns > now ? r->deadline_ns - now : 0;
    env_timer_start(r->cluster->env, &r->timer, pause_ns < left ? pause_ns : left, on_timer);
}

static bool is_worth_a_retry(int error)
{
    enum error_class class = error_class_of(error);
    return error == ERR_CANCELED || class == ERROR_RETRIABLE || class == ERROR_OUTCOME_UNKNOWN;
}

/* Errors after which the controller may or may not have done it. */
static bool leaves_doubt(int error)
{
    return error == ERR_TIMED_OUT || error == ERR_OUTCOME_UNKNOWN || error == ERR_CANCELED ||
           error == ERR_CLOSED || error == ERR_CONNECTION_LOST;
}

static void on_attempt_failed(struct request *r, int error)
{
    r->last_error = error;
    r->uncertain = r->uncertain || leaves_doubt(error);
    if (!is_worth_a_retry(error)) {
        complete(r, error, NULL);
        return;
    }
    wait_ns(r, (uint64_t)RETRY_PAUSE_MS * NS_PER_MS);
}

static void on_answer(void *data, int status, const Flotilla__ControllerAnswer *answer)
{
    struct request *r = data;
    r->is_attempting = false;
    if (r->cluster == NULL) {
        request_free(r);
        return;
    }
    if (status != 0) {
        on_attempt_failed(r, status);
        return;
    }
    complete(r, 0, answer);
}

static void on_forwarded(struct forward_req *forward, int status, const void *header, size_t size)
{
    struct request *r = forward->data;
    Flotilla__ControllerAnswer *answer = NULL;
    if (status == 0) {
        answer = flotilla__controller_answer__unpack(NULL, size, header);
        status = answer == NULL ? ERR_PROTOCOL : 0;
    }
    on_answer(r, status, answer);
    flotilla__controller_answer__free_unpacked(answer, NULL);
}

static void attempt(struct request *r, uint32_t controller)
{
    struct cluster *c = r->cluster;
    r->is_attempting = true;
    wait_ns(r, UINT64_MAX);
    if (controller == c->self.id) {
        controller_serve(c, r->packed.data, r->packed.size, on_answer, r);
        return;
    }
    r->forward.data = r;
    int rc = consensus_forward(c->options.consensus, controller, &r->forward, FORWARD_CONTROLLER_REQUEST,
                               r->packed.data, r->packed.size, ATTEMPT_TIMEOUT_MS, on_forwarded);
    if (rc != 0) {
        on_answer(r, rc, NULL);
    }
}

/* Attempts that pause go on at once when another node has become the controller. */
static void step(struct request *r, uint32_t controller)
{
    bool is_pausing = r->last_error != 0 && r->tried_node == controller && env_timer_running(&r->timer);
    if (r->is_attempting || is_pausing) {
        return;
    }
    r->tried_node = controller;
    if (controller == 0) {
        on_attempt_failed(r, ERR_LEADER_NOT_AVAILABLE);
    } else {
        attempt(r, controller);
    }
}

void requests_step(struct cluster *c)
{
    uint32_t controller = cluster_controller(c);
    QUEUE_FOREACH (node, &c->requests) {
        QUEUE_ENTRY(node, struct request, node)->is_due = true;
    }
    /* What is done goes to the back. A callback may add requests, which are not due, or complete any of them.
     */
    while (!queue_empty(&c->requests)) {
        struct request *r = QUEUE_ENTRY(queue_first(&c->requests), struct request, node);
        if (!r->is_due) {
            break;
        }
        r->is_due = false;
        queue_remove(&r->node);
        queue_push(&c->requests, &r->node);
        step(r, controller);
    }
}

void request_send(struct cluster *c, const Flotilla__ControllerRequest *request, uint64_t timeout_ms,
                  request_done_cb done, void *data)
{
    struct request *r = memory_zalloc(sizeof *r);
    bytes_init(&r->packed);
    size_t size = flotilla__controller_request__get_packed_size(request);
    flotilla__controller_request__pack(request, bytes_extend(&r->packed, size));
    r->cluster = c;
    r->deadline_ns = env_now_ns(c->env) + timeout_ms * NS_PER_MS;
    r->done = done;
    r->data = data;
    queue_push(&c->requests, &r->node);
    wait_ns(r, UINT64_MAX);
    cluster_wake(c);
}

void requests_close(struct cluster *c)
{
    while (!queue_empty(&c->requests)) {
        struct request *r = QUEUE_ENTRY(queue_first(&c->requests), struct request, node);
        r->uncertain = r->uncertain || r->is_attempting;
        complete(r, ERR_SHUTTING_DOWN, NULL);
    }
}
