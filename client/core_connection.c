#include "client/core_internal.h"
#include <stdarg.h>

enum {
    INPUT_SIZE = 64 * 1024,
    FIRST_SLOTS = 16,
    SNIFF_SIZE = 8,
};

/* A frame on its way out: head and header behind the struct, the payload elsewhere. */
struct core_out {
    TAILQ_ENTRY(core_out) link;
    struct core_wire *payload;
    void (*sent)(void *data, int status);
    void *data;
    size_t size;
    unsigned char bytes[];
};

struct core_wire *core_wire_create(void)
{
    struct core_wire *wire = core_alloc(sizeof(*wire));

    wire->references = 1;
    return wire;
}

void core_wire_unref(struct core_wire *wire)
{
    if (wire == NULL || --wire->references > 0)
        return;
    bytes_close(&wire->bytes);
    free(wire);
}

/* ---- output ---- */

static size_t out_payload_size(const struct core_out *out)
{
    return out->payload != NULL ? out->payload->bytes.size : 0;
}

static struct core_out *out_create(uint16_t type, uint64_t correlation, size_t header_size,
                                   struct core_wire *payload)
{
    struct core_out *out = malloc(sizeof(*out) + FRAME_HEAD_SIZE + header_size);

    if (out == NULL)
        abort();
    out->payload = payload;
    out->sent = NULL;
    out->data = NULL;
    out->size = FRAME_HEAD_SIZE + header_size;
    if (payload != NULL)
        payload->references++;
    frame_head_encode(out->bytes, type, 0, correlation, header_size, out_payload_size(out));
    return out;
}

static void out_queue(struct core_endpoint *e, struct core_out *out)
{
    TAILQ_INSERT_TAIL(&e->out, out, link);
    e->has_output = true;
}

static void out_remove(struct core_endpoint *e, struct core_out *out, int status)
{
    TAILQ_REMOVE(&e->out, out, link);
    if (out->sent != NULL)
        out->sent(out->data, status);
    core_wire_unref(out->payload);
    free(out);
}

static void add_slice(struct core_slice *slices, size_t *count, const unsigned char *data, size_t size,
                      size_t *skip)
{
    if (*skip >= size) {
        *skip -= size;
        return;
    }
    slices[(*count)++] = (struct core_slice){data + *skip, size - *skip};
    *skip = 0;
}

size_t core_output(struct core *core, uint32_t connection, struct core_slice *slices, size_t max)
{
    struct core_endpoint *e = core->endpoints[connection];
    size_t count = 0;
    size_t skip = e->out_offset;

    if (e->state != ENDPOINT_GREETING && e->state != ENDPOINT_READY)
        return 0;
    for (struct core_out *out = TAILQ_FIRST(&e->out); out != NULL && count + 2 <= max;
         out = TAILQ_NEXT(out, link)) {
        add_slice(slices, &count, out->bytes, out->size, &skip);
        if (out->payload != NULL)
            add_slice(slices, &count, out->payload->bytes.data, out->payload->bytes.size, &skip);
    }
    return count;
}

void core_sent(struct core *core, uint32_t connection, size_t size)
{
    struct core_endpoint *e = core->endpoints[connection];
    struct core_out *out;

    e->out_offset += size;
    while ((out = TAILQ_FIRST(&e->out)) != NULL && e->out_offset >= out->size + out_payload_size(out)) {
        e->out_offset -= out->size + out_payload_size(out);
        out_remove(e, out, 0);
    }
    core_run(core);
}

void core_endpoint_forget(struct core_endpoint *e, const void *data)
{
    for (struct core_out *out = TAILQ_FIRST(&e->out); out != NULL; out = TAILQ_NEXT(out, link))
        if (out->data == data)
            out->sent = NULL;
}

/* ---- outstanding requests ---- */

static struct core_request **request_slot(struct core_endpoint *e, uint64_t correlation)
{
    return &e->slots[correlation & (e->slot_count - 1)];
}

/* Requests are numbered one by one, so a power of two of slots that covers all outstanding numbers needs no
 * hash. */
static void request_slots_grow(struct core_endpoint *e)
{
    size_t old_count = e->slot_count;
    struct core_request **old = e->slots;

    e->slot_count = old_count != 0 ? 2 * old_count : FIRST_SLOTS;
    e->slots = core_alloc(e->slot_count * sizeof(struct core_request *));
    for (size_t i = 0; i < old_count; i++)
        if (old[i] != NULL)
            *request_slot(e, old[i]->correlation) = old[i];
    free(old);
}

static uint64_t request_register(struct core_endpoint *e, struct core_request *request, uint16_t type)
{
    while (e->first_correlation < e->next_correlation && e->slot_count > 0 &&
           *request_slot(e, e->first_correlation) == NULL)
        e->first_correlation++;
    if (e->next_correlation - e->first_correlation >= e->slot_count)
        request_slots_grow(e);
    request->endpoint = e;
    request->type = type;
    request->correlation = e->next_correlation++;
    *request_slot(e, request->correlation) = request;
    e->outstanding++;
    core_endpoint_listen(e);
    return request->correlation;
}

static struct core_request *request_find(struct core_endpoint *e, uint64_t correlation)
{
    struct core_request *request = e->slot_count > 0 ? *request_slot(e, correlation) : NULL;

    return request != NULL && request->correlation == correlation ? request : NULL;
}

void core_request_abandon(struct core_request *request)
{
    struct core_endpoint *e = request->endpoint;

    if (e == NULL)
        return;
    *request_slot(e, request->correlation) = NULL;
    e->outstanding--;
    request->endpoint = NULL;
}

static void request_finish(struct core *core, struct core_request *request, int status,
                           const struct core_frame *frame)
{
    core_request_abandon(request);
    request->done(core, request, status, frame);
}

void core_endpoint_request(struct core_endpoint *e, struct core_request *request, uint16_t type,
                           const ProtobufCMessage *message, struct core_wire *payload)
{
    uint64_t correlation = request_register(e, request, type);
    struct core_out *out =
        out_create(type, correlation, protobuf_c_message_get_packed_size(message), payload);

    protobuf_c_message_pack(message, out->bytes + FRAME_HEAD_SIZE);
    out_queue(e, out);
}

void core_endpoint_request_packed(struct core_endpoint *e, struct core_request *request, uint16_t type,
                                  const void *header, size_t header_size)
{
    uint64_t correlation = request_register(e, request, type);
    struct core_out *out = out_create(type, correlation, header_size, NULL);

    if (header_size > 0)
        memcpy(out->bytes + FRAME_HEAD_SIZE, header, header_size);
    out_queue(e, out);
}

void core_endpoint_post(struct core_endpoint *e, uint16_t type, const ProtobufCMessage *message,
                        struct core_wire *payload, void (*sent)(void *data, int status), void *data)
{
    struct core_out *out = out_create(type, 0, protobuf_c_message_get_packed_size(message), payload);

    protobuf_c_message_pack(message, out->bytes + FRAME_HEAD_SIZE);
    out->sent = sent;
    out->data = data;
    out_queue(e, out);
}

/* ---- the life of a connection ---- */

static void endpoint_on_timer(struct core *core, struct core_timer *timer);

static void ignore_answer(struct core *core, struct core_request *request, int status,
                          const struct core_frame *frame)
{
    (void)core, (void)request, (void)status, (void)frame;
}

static void on_hello(struct core *core, struct core_request *request, int status,
                     const struct core_frame *frame);

void core_endpoint_init(struct core *core, struct core_endpoint *e, const char *host, uint16_t port,
                        uint32_t node_id)
{
    e->core = core;
    e->number = core->endpoint_count;
    snprintf(e->host, sizeof(e->host), "%s", host);
    e->port = port;
    e->node_id = node_id;
    e->listed = true;
    e->alive = true;
    e->timer.cb = endpoint_on_timer;
    e->hello.done = on_hello;
    e->ping.done = ignore_answer;
    TAILQ_INIT(&e->out);
    core->endpoints[core->endpoint_count++] = e;
}

static void endpoint_reset(struct core_endpoint *e, int status)
{
    struct core_out *out;

    while ((out = TAILQ_FIRST(&e->out)) != NULL)
        out_remove(e, out, status);
    e->out_offset = 0;
    e->has_output = false;
    free(e->input);
    e->input = NULL;
    e->input_used = 0;
    core_buffer_unref(e->large);
    e->large = NULL;
}

static void request_slots_free(struct core_endpoint *e)
{
    free(e->slots);
    e->slots = NULL;
    e->slot_count = 0;
}

void core_endpoint_close(struct core_endpoint *e)
{
    core_timer_clear(&e->core->timers, &e->timer);
    endpoint_reset(e, ERR_CANCELED);
    request_slots_free(e);
}

static void endpoint_connect(struct core_endpoint *e)
{
    struct core *core = e->core;

    e->state = ENDPOINT_CONNECTING;
    e->wanted = false;
    e->first_correlation = e->next_correlation = 1;
    core_timer_set(&core->timers, &e->timer,
                   core->now + (uint64_t)core->settings.connect_timeout_ms * CORE_MS);
    core->io.connect(core->io.data, e->number, e->host, e->port);
}

void core_endpoint_want(struct core_endpoint *e)
{
    if (e->state != ENDPOINT_IDLE || e->core->stopping)
        return;
    if (e->retry_ns <= e->core->now) {
        endpoint_connect(e);
        return;
    }
    e->wanted = true;
    core_timer_set(&e->core->timers, &e->timer, e->retry_ns);
}

bool core_endpoint_is_hopeful(const struct core_endpoint *e)
{
    return e->state == ENDPOINT_READY || (e->failing_since_ns == 0 && e->state != ENDPOINT_CLOSING);
}

void core_connected(struct core *core, uint32_t connection)
{
    struct core_endpoint *e = core->endpoints[connection];
    const struct client_settings *s = &core->settings;
    Flotilla__HelloRequest hello = FLOTILLA__HELLO_REQUEST__INIT;

    if (e->state != ENDPOINT_CONNECTING)
        return;
    e->state = ENDPOINT_GREETING;
    e->heard_ns = core->now;
    e->input = malloc(INPUT_SIZE);
    if (e->input == NULL)
        abort();
    core_timer_set(&core->timers, &e->timer, core->now + (uint64_t)s->request_timeout_ms * CORE_MS);
    hello.min_version = FRAME_PROTOCOL_MIN;
    hello.max_version = FRAME_PROTOCOL_MAX;
    hello.client_id = (char *)s->client_id;
    hello.software = "libflotilla " FLOTILLA_VERSION;
    hello.cluster_id = (char *)s->cluster_id;
    core_endpoint_request(e, &e->hello, FRAME_HELLO, &hello.base, NULL);
    core_run(core);
}

static void on_hello(struct core *core, struct core_request *request, int status,
                     const struct core_frame *frame)
{
    struct core_endpoint *e =
        (struct core_endpoint *)((char *)request - offsetof(struct core_endpoint, hello));

    if (status != 0)
        return;
    Flotilla__HelloResponse *hello = flotilla__hello_response__unpack(
        arena_allocator(&core->arena), frame->head.header_length, frame->header);
    if (hello == NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "malformed answer to the greeting");
        return;
    }
    if (hello->status != NULL && hello->status->error != 0) {
        core_endpoint_fail(e, hello->status->error, "refused: %s", hello->status->message);
        return;
    }
    if (e->node_id != 0 && hello->node_id != e->node_id) {
        core_endpoint_fail(e, ERR_NODE_MISMATCH, "is node %u, not node %u", hello->node_id, e->node_id);
        return;
    }
    e->state = ENDPOINT_READY;
    e->failing_since_ns = 0;
    core_timer_clear(&core->timers, &e->timer);
    core_endpoint_listen(e);
    core_log(core, FLOTILLA_LOG_DEBUG, "msg=connected node=%u address=%s:%u", hello->node_id, e->host,
             e->port);
    core_metadata_on_ready(core, e);
    core_wake_all(core);
}

/* Every request that was outstanding learns it, the oldest first. */
static void requests_fail(struct core_endpoint *e, int status)
{
    for (uint64_t c = e->first_correlation; e->outstanding > 0 && c < e->next_correlation; c++) {
        struct core_request *request = request_find(e, c);
        if (request != NULL)
            request_finish(e->core, request, status, NULL);
    }
    e->first_correlation = e->next_correlation;
    request_slots_free(e);
}

static void endpoint_lost(struct core_endpoint *e, int status)
{
    struct core *core = e->core;

    bool is_first = e->failing_since_ns == 0;
    if (is_first)
        e->failing_since_ns = core->now;
    e->retry_ns = core->now + core_pause(core, e->failing_since_ns);
    e->subscriptions = 0;
    core_log(core, is_first ? FLOTILLA_LOG_WARNING : FLOTILLA_LOG_DEBUG,
             "msg=\"connection lost\" node=%u address=%s:%u error=%s reason=\"%s\"", e->node_id, e->host,
             e->port, error_name(status), e->reason);
    requests_fail(e, status);
    core_wake_all(core);
}

void core_endpoint_fail(struct core_endpoint *e, int status, const char *format, ...)
{
    va_list arguments;

    if (e->state == ENDPOINT_IDLE || e->state == ENDPOINT_CLOSING)
        return;
    va_start(arguments, format);
    vsnprintf(e->reason, sizeof(e->reason), format, arguments);
    va_end(arguments);
    e->state = ENDPOINT_CLOSING;
    core_timer_clear(&e->core->timers, &e->timer);
    e->core->io.close(e->core->io.data, e->number);
    endpoint_lost(e, status);
}

void core_disconnected(struct core *core, uint32_t connection, int reason)
{
    struct core_endpoint *e = core->endpoints[connection];
    bool was_closing = e->state == ENDPOINT_CLOSING;

    if (reason == 0)
        reason = ERR_CLOSED;
    e->state = ENDPOINT_IDLE;
    core_timer_clear(&core->timers, &e->timer);
    endpoint_reset(e, ERR_CONNECTION_LOST);
    if (!was_closing) {
        snprintf(e->reason, sizeof(e->reason), "%s", error_text(reason));
        endpoint_lost(e, reason);
    } else {
        core_wake_all(core);
    }
    core_run(core);
}

/* ---- liveness ---- */

static uint64_t silence_limit(const struct core *core)
{
    return (uint64_t)core->settings.request_timeout_ms * CORE_MS;
}

static bool endpoint_is_waiting(const struct core_endpoint *e)
{
    return e->outstanding > 0 || e->subscriptions > 0;
}

void core_endpoint_listen(struct core_endpoint *e)
{
    struct core *core = e->core;

    if (e->state != ENDPOINT_READY || e->timer.place != 0 || !endpoint_is_waiting(e))
        return;
    e->heard_ns = core->now;
    core_timer_set(&core->timers, &e->timer, core->now + silence_limit(core) / 2);
}

/* A node that owes an answer and is silent for half the limit is asked for a sign of life, and is given up at
 * the limit. A frozen process keeps its connections open: only silence tells. */
static void endpoint_check_silence(struct core_endpoint *e, uint64_t due_ns)
{
    struct core *core = e->core;
    uint64_t limit = silence_limit(core);

    if (!endpoint_is_waiting(e))
        return;
    /* If this process itself slept, the silence proves nothing. */
    if (core->now - due_ns > limit / 2)
        e->heard_ns = core->now - limit / 2;
    uint64_t silence = core->now - e->heard_ns;
    if (silence >= limit) {
        core_endpoint_fail(e, ERR_CONNECTION_LOST, "silent for %llu ms",
                           (unsigned long long)(silence / CORE_MS));
        return;
    }
    /* Armed before the ping is sent, which would else begin a new wait. */
    core_timer_set(&core->timers, &e->timer, e->heard_ns + (silence >= limit / 2 ? limit : limit / 2));
    if (silence >= limit / 2 && e->ping.endpoint == NULL) {
        Flotilla__PingRequest ping = FLOTILLA__PING_REQUEST__INIT;
        core_endpoint_request(e, &e->ping, FRAME_PING, &ping.base, NULL);
    }
}

static void endpoint_on_timer(struct core *core, struct core_timer *timer)
{
    struct core_endpoint *e = (struct core_endpoint *)((char *)timer - offsetof(struct core_endpoint, timer));

    switch (e->state) {
    case ENDPOINT_IDLE:
        if (e->wanted && !core->stopping)
            endpoint_connect(e);
        break;
    case ENDPOINT_CONNECTING:
        core_endpoint_fail(e, ERR_UNREACHABLE, "no connection within %lld ms",
                           (long long)core->settings.connect_timeout_ms);
        break;
    case ENDPOINT_GREETING:
        core_endpoint_fail(e, ERR_CONNECTION_LOST, "no answer to the greeting within %lld ms",
                           (long long)core->settings.request_timeout_ms);
        break;
    case ENDPOINT_READY:
        endpoint_check_silence(e, timer->at_ns);
        break;
    case ENDPOINT_CLOSING:
        break;
    }
}

/* ---- input ---- */

static void dispatch_answer(struct core_endpoint *e, const struct core_frame *frame)
{
    struct core_request *request = request_find(e, frame->head.correlation);

    /* Answers to abandoned requests, and to none: a number that was given out is fine. */
    if (request == NULL) {
        if (frame->head.correlation == 0 || frame->head.correlation >= e->next_correlation)
            core_endpoint_fail(e, ERR_PROTOCOL, "answer to a request that was never made");
        return;
    }
    if (request->type != frame->head.type) {
        core_endpoint_fail(e, ERR_PROTOCOL, "a %s answers a %s request", frame_type_name(frame->head.type),
                           frame_type_name(request->type));
        return;
    }
    request_finish(e->core, request, 0, frame);
}

/* The node's last word before it hangs up. */
static void dispatch_error(struct core_endpoint *e, const struct core_frame *frame)
{
    const Flotilla__Status *status = core_status_unpack(e->core, frame->header, frame->head.header_length);

    core_endpoint_fail(e, ERR_CONNECTION_LOST, "the node gave up the connection: %s: %s",
                       error_name(status->error), status->message);
}

static void dispatch(struct core_endpoint *e, const unsigned char *data, const struct frame_head *head,
                     struct core_buffer *owner)
{
    struct core_frame frame = {
        .head = *head,
        .header = data + FRAME_HEAD_SIZE,
        .payload = data + FRAME_HEAD_SIZE + head->header_length,
        .payload_size = frame_payload_size(head),
        .owner = owner,
    };

    arena_reset(&e->core->arena);
    if (head->type == FRAME_ERROR)
        dispatch_error(e, &frame);
    else if (head->type == FRAME_PUSH && e->state == ENDPOINT_READY)
        core_consumer_on_push(e, &frame);
    else if ((head->flags & FRAME_RESPONSE) != 0)
        dispatch_answer(e, &frame);
    else
        core_endpoint_fail(e, ERR_PROTOCOL, "unexpected %s frame", frame_type_name(head->type));
}

static bool endpoint_is_open(const struct core_endpoint *e)
{
    return e->state == ENDPOINT_GREETING || e->state == ENDPOINT_READY;
}

static bool input_decode_head(struct core_endpoint *e, const unsigned char *at, struct frame_head *head)
{
    const char *foreign = e->state == ENDPOINT_GREETING ? frame_sniff_foreign(at) : NULL;

    if (foreign != NULL) {
        core_endpoint_fail(e, ERR_PROTOCOL, "speaks %s: wrong port?", foreign);
        return false;
    }
    int rc = frame_head_decode(at, FRAME_MAX_SIZE, head);
    if (rc != 0)
        core_endpoint_fail(e, ERR_PROTOCOL, "bad frame: %s", error_text(rc));
    return rc == 0;
}

/* The rest of a frame that is larger than the input buffer is read right into its final place. */
static void input_begin_large(struct core_endpoint *e, const unsigned char *at, size_t used, size_t size)
{
    e->large = core_buffer_create(size);
    if (e->large == NULL) {
        core_endpoint_fail(e, ERR_OUT_OF_MEMORY, "no memory for a frame of %zu bytes", size);
        return;
    }
    memcpy(e->large->data, at, used);
    e->large_used = used;
}

static void input_parse_small(struct core_endpoint *e)
{
    size_t at = 0;
    struct frame_head head;

    while (endpoint_is_open(e) && e->input_used - at >= FRAME_HEAD_SIZE) {
        const unsigned char *frame = e->input + at;
        size_t available = e->input_used - at;
        if (!input_decode_head(e, frame, &head))
            return;
        if (frame_size(&head) > available) {
            if (frame_size(&head) <= INPUT_SIZE)
                break;
            input_begin_large(e, frame, available, frame_size(&head));
            e->input_used = 0;
            return;
        }
        dispatch(e, frame, &head, NULL);
        at += frame_size(&head);
    }
    if (!endpoint_is_open(e))
        return;
    memmove(e->input, e->input + at, e->input_used - at);
    e->input_used -= at;
}

static void input_parse_large(struct core_endpoint *e)
{
    struct frame_head head;

    if (e->large_used < e->large->size)
        return;
    struct core_buffer *frame = e->large;
    e->large = NULL;
    if (input_decode_head(e, frame->data, &head))
        dispatch(e, frame->data, &head, frame);
    core_buffer_unref(frame);
}

void core_receive_buffer(struct core *core, uint32_t connection, unsigned char **data, size_t *size)
{
    struct core_endpoint *e = core->endpoints[connection];

    if (e->large != NULL) {
        *data = e->large->data + e->large_used;
        *size = e->large->size - e->large_used;
    } else {
        *data = e->input + e->input_used;
        *size = INPUT_SIZE - e->input_used;
    }
}

void core_received(struct core *core, uint32_t connection, size_t size)
{
    struct core_endpoint *e = core->endpoints[connection];

    if (!endpoint_is_open(e) || size == 0)
        return;
    e->heard_ns = core->now;
    if (e->large != NULL) {
        e->large_used += size;
        input_parse_large(e);
    } else {
        e->input_used += size;
        input_parse_small(e);
    }
    core_run(core);
}
