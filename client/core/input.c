/* What came in on a connection: cut into frames and handed to whom they are for. */
#include "client/core/connection.h"

enum { INPUT_SIZE = 64 * 1024 };

static void dispatch_answer(struct core_endpoint *e, const struct core_frame *frame)
{
    struct core_request *request = core_request_find(e, frame->head.correlation);

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
    core_request_finish(e->core, request, 0, frame);
}

/* A node of an older build does not know every request; the connection goes on. The request ends with the
 * node's answer, in words that say more than it could. */
static void dispatch_unknown_request(struct core_endpoint *e, const struct core_frame *frame)
{
    struct core_request *request = core_request_find(e, frame->head.correlation);
    struct core_frame answer = *frame;
    Flotilla__Status status = FLOTILLA__STATUS__INIT;
    Flotilla__PingResponse m = FLOTILLA__PING_RESPONSE__INIT; /* as every failed answer: the status alone */
    char text[2 * CORE_MESSAGE_SIZE];
    uint8_t header[3 * CORE_MESSAGE_SIZE];

    if (request == NULL)
        return;
    snprintf(text, sizeof(text), "node %u (%s:%u) does not know %s requests: its version is older",
             e->node_id, e->host, e->port, frame_type_name(request->type));
    status.error = ERR_UNSUPPORTED;
    status.message = text;
    m.status = &status;
    answer.header = header;
    answer.head.header_length = (uint32_t)protobuf_c_message_pack(&m.base, header);
    core_request_finish(e->core, request, 0, &answer);
}

/* Of one request, or the node's last word before it hangs up. */
static void dispatch_error(struct core_endpoint *e, const struct core_frame *frame)
{
    const Flotilla__Status *status = core_status_unpack(e->core, frame->header, frame->head.header_length);

    if (frame->head.correlation != 0 && status->error == ERR_UNSUPPORTED) {
        dispatch_unknown_request(e, frame);
        return;
    }
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
    else if (head->type == FRAME_GROUP_ASSIGNMENT && e->state == ENDPOINT_READY)
        core_member_on_assignment(e, &frame);
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

void core_input_begin(struct core_endpoint *e)
{
    e->input = malloc(INPUT_SIZE);
    if (e->input == NULL)
        abort();
}

void core_input_reset(struct core_endpoint *e)
{
    free(e->input);
    e->input = NULL;
    e->input_used = 0;
    core_buffer_unref(e->large);
    e->large = NULL;
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
    core->totals.bytes_received += size;
    if (e->large != NULL) {
        e->large_used += size;
        input_parse_large(e);
    } else {
        e->input_used += size;
        input_parse_small(e);
    }
    core_run(core);
}
