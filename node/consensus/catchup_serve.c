/* The other side of a catch-up: whole batches of the segment files, as they stand there. Only what is
 * committed, and that is the same on every replica, so that it does not matter who leads meanwhile. */
#include "node/consensus/catchup.h"
#include <stdlib.h>

enum { MAX_CHUNK_BYTES = 8 << 20 };

struct serving {
    struct log_range_req req;
    struct consensus *consensus;
    uint32_t to;
    uint64_t correlation;
};

static void answer(struct consensus *c, uint32_t to, uint64_t correlation,
                   Flotilla__CatchupResponse *response, struct slice *payload)
{
    struct peer *p = peer_find(c, to);
    unsigned n = payload && payload->size > 0 ? 1 : 0;
    if (p)
        peer_send(p, FRAME_PEER_CATCHUP, FRAME_RESPONSE, correlation, &response->base, payload, n);
    else if (n > 0)
        slice_unref(payload);
}

static void on_range(struct log_range_req *req, int status)
{
    struct serving *s = container_of(req, struct serving, req);
    Flotilla__CatchupResponse response = FLOTILLA__CATCHUP_RESPONSE__INIT;
    response.error = status;
    if (status == 0) {
        response.first_index = req->first_index;
        response.last_index = req->last_index;
        response.first_term = req->previous_term;
        response.first_offset = req->first_offset;
    }
    answer(s->consensus, s->to, s->correlation, &response, status == 0 ? &req->bytes : NULL);
    free(s);
}

/* Says where a replica has to begin when the asked range is gone: needs the entry before the first one kept,
 * so that one batch is read for its place. */
static void on_first_range(struct log_range_req *req, int status)
{
    struct serving *s = container_of(req, struct serving, req);
    Flotilla__CatchupResponse response = FLOTILLA__CATCHUP_RESPONSE__INIT;
    response.error = status == 0 ? ERR_NOT_FOUND : status;
    if (status == 0) {
        response.first_index = req->first_index;
        response.first_term = req->previous_term;
        response.first_offset = req->first_offset;
        slice_unref(&req->bytes);
    }
    answer(s->consensus, s->to, s->correlation, &response, NULL);
    free(s);
}

static int serve(struct group *g, uint32_t from, uint64_t correlation,
                 const Flotilla__CatchupRequest *request)
{
    uint64_t first = log_first_index(g->log);
    uint64_t to = request->to_index < g->raft.commit_index ? request->to_index : g->raft.commit_index;
    size_t max_bytes = request->max_bytes < MAX_CHUNK_BYTES ? request->max_bytes : MAX_CHUNK_BYTES;
    if (!g->running || group_replica_position(g, from) < 0)
        return ERR_NOT_REPLICA;
    if (request->from_index == 0 || request->from_index > to)
        return ERR_INVALID_ARGUMENT;
    struct serving *s = memory_zalloc(sizeof *s);
    s->consensus = g->consensus;
    s->to = from;
    s->correlation = correlation;
    bool gone = request->from_index < first;
    int rv = gone ? log_read_range(g->log, &s->req, first, first, 1, on_first_range)
                  : log_read_range(g->log, &s->req, request->from_index, to, max_bytes, on_range);
    if (rv != 0)
        free(s);
    return rv;
}

void catchup_receive_request(struct consensus *c, uint32_t from, const struct frame *frame)
{
    Flotilla__CatchupRequest *request = flotilla__catchup_request__unpack(
        arena_allocator(&c->arena), frame->head.header_length, frame->header);
    if (!request)
        return;
    struct group *g = consensus_group(c, request->group_id);
    int rv = g ? serve(g, from, frame->head.correlation, request) : ERR_NOT_REPLICA;
    if (rv == 0)
        return;
    Flotilla__CatchupResponse response = FLOTILLA__CATCHUP_RESPONSE__INIT;
    response.error = rv;
    answer(c, from, frame->head.correlation, &response, NULL);
}
