/* What a connection has to send, and the requests that wait for their answers. */
#include "client/core/connection.h"

enum { FIRST_SLOTS = 16 };

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
    core->totals.bytes_sent += size;
    while ((out = TAILQ_FIRST(&e->out)) != NULL && e->out_offset >= out->size + out_payload_size(out)) {
        e->out_offset -= out->size + out_payload_size(out);
        out_remove(e, out, 0);
    }
    core_run(core);
}

void core_output_reset(struct core_endpoint *e, int status)
{
    struct core_out *out;

    while ((out = TAILQ_FIRST(&e->out)) != NULL)
        out_remove(e, out, status);
    e->out_offset = 0;
    e->has_output = false;
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
    e->core->totals.requests++;
    core_endpoint_listen(e);
    return request->correlation;
}

struct core_request *core_request_find(struct core_endpoint *e, uint64_t correlation)
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

void core_request_finish(struct core *core, struct core_request *request, int status,
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

void core_requests_reset(struct core_endpoint *e)
{
    free(e->slots);
    e->slots = NULL;
    e->slot_count = 0;
}

void core_requests_fail(struct core_endpoint *e, int status)
{
    for (uint64_t c = e->first_correlation; e->outstanding > 0 && c < e->next_correlation; c++) {
        struct core_request *request = core_request_find(e, c);
        if (request != NULL)
            core_request_finish(e->core, request, status, NULL);
    }
    e->first_correlation = e->next_correlation;
    core_requests_reset(e);
}

void core_request_ignore(struct core *core, struct core_request *request, int status,
                         const struct core_frame *frame)
{
    (void)core, (void)request, (void)status, (void)frame;
}
