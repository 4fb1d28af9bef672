#include "node/server/kafka/kafka_connection.h"
#include "node/base/memory.h"
#include "node/server/kafka/kafka_request.h"
#include "proto/error.h"
#include "proto/frame.h"

enum { LENGTH_SIZE = 4, HEADER_MIN_SIZE = 8 };

static struct kafka_connection *kafka_of(struct connection *c)
{
    return container_of(c, struct kafka_connection, base);
}

/* ---- frames ---- */

static int measure(const struct frame_input *in, const unsigned char *head, size_t *size)
{
    uint32_t length = load_be32(head);
    if (length > INT32_MAX || length < HEADER_MIN_SIZE)
        return ERR_PROTOCOL;
    if (length > in->max_frame_size)
        return ERR_TOO_LARGE;
    *size = LENGTH_SIZE + (size_t)length;
    return 0;
}

static const struct frame_format format = {LENGTH_SIZE, measure};

static void open(struct connection *base)
{
    struct kafka_connection *c = kafka_of(base);
    base->state = CONNECTION_OPEN;
    frame_input_init_format(&base->input, &base->server->pool, &format, KAFKA_FRAME_MAX_SIZE);
    queue_init(&c->waiting);
    queue_init(&c->running);
}

static int next_frame(struct connection *base)
{
    struct kafka_connection *c = kafka_of(base);
    unsigned char *frame;
    size_t size;
    int rv = frame_input_cut(&base->input, &frame, &size);
    if (rv != 1)
        return rv;
    struct slice bytes = frame_input_take(&base->input, frame + LENGTH_SIZE, size - LENGTH_SIZE);
    kafka_request_create(c, bytes);
    kafka_connection_advance(c);
    return 1;
}

/* ---- order ---- */

static struct kafka_request *first(const struct queue *q)
{
    return QUEUE_ENTRY(queue_first(q), struct kafka_request, node);
}

static bool may_begin(const struct kafka_connection *c)
{
    if (queue_empty(&c->waiting) || connection_output_full(&c->base) || env_timer_running(&c->muted))
        return false;
    if (queue_empty(&c->running))
        return true;
    return c->running_others == 0 && kafka_request_is_produce(first(&c->waiting));
}

static bool step(struct kafka_connection *c)
{
    if (!queue_empty(&c->running) && first(&c->running)->answered) {
        kafka_request_send(first(&c->running));
        return true;
    }
    if (!may_begin(c))
        return false;
    kafka_request_begin(first(&c->waiting));
    return true;
}

void kafka_connection_advance(struct kafka_connection *c)
{
    if (c->advancing)
        return;
    c->advancing = true;
    while (connection_is_open(&c->base) && step(c))
        ;
    c->advancing = false;
}

/* ---- quiet ---- */

static void unmute(struct kafka_connection *c)
{
    env_timer_stop(c->base.server->env, &c->muted);
    connection_release(&c->base);
    kafka_connection_advance(c);
}

static void on_unmute(struct env_timer *timer)
{
    unmute(container_of(timer, struct kafka_connection, muted));
}

void kafka_connection_mute(struct kafka_connection *c, uint32_t ms)
{
    struct env *env = c->base.server->env;
    uint64_t delay_ns = (uint64_t)ms * 1000000;
    if (c->muted_until_ns >= env_now_ns(env) + delay_ns)
        return;
    c->muted_until_ns = env_now_ns(env) + delay_ns;
    env_timer_start(env, &c->muted, delay_ns, on_unmute);
    connection_hold(&c->base);
}

/* ---- what every connection has ---- */

static void say_why(struct connection *base, int error, const char *message)
{
    /* The protocol has no place for it: the log has it, and the client sees the connection close. */
    (void)base;
    (void)error;
    (void)message;
}

static void output_ready(struct connection *base)
{
    kafka_connection_advance(kafka_of(base));
}

static void end_streams(struct connection *base, int error)
{
    struct kafka_connection *c = kafka_of(base);
    (void)error;
    kafka_request_end_waits(c);
    if (env_timer_running(&c->muted))
        unmute(c);
}

static void detach(struct connection *base)
{
    struct kafka_connection *c = kafka_of(base);
    env_timer_stop(base->server->env, &c->muted);
    kafka_request_detach_all(c);
}

const struct connection_protocol kafka_protocol = {
    .door = "kafka",
    .language = "Kafka",
    .size = sizeof(struct kafka_connection),
    .open = open,
    .next_frame = next_frame,
    .foreign = frame_sniff_foreign_to_kafka,
    .say_why = say_why,
    .output_ready = output_ready,
    .end_streams = end_streams,
    .detach = detach,
};
