#include "node/server/kafka/admin_call.h"
#include "proto/error.h"
#include <stdlib.h>
#include <string.h>

enum {
    /* Operations of one request that the cluster has at a time. */
    PARALLEL_MAX = 64,
    DEFAULT_TIMEOUT_MS = 30000,
    MAX_TIMEOUT_MS = 10 * 60 * 1000,
};

struct admin_call *admin_call_create(struct kafka_request *r, size_t count)
{
    struct admin_item *items =
        count <= KAFKA_MAX_COUNT ? arena_alloc(&r->arena, count * sizeof(*items)) : NULL;
    if (items == NULL) {
        kafka_refuse_too_large(r);
        return NULL;
    }
    struct admin_call *call = kafka_request_state(r, sizeof(*call));
    call->request = r;
    call->items = items;
    call->count = count;
    memset(items, 0, count * sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        items[i].call = call;
        items[i].op.data = &items[i];
    }
    return call;
}

void admin_refuse(struct admin_item *item, int16_t error, const char *message)
{
    item->error = error;
    item->message = message;
}

void admin_item_set_topic(struct admin_item *item, struct kafka_string name)
{
    const char *text = name.size <= TOPIC_NAME_MAX ? kafka_request_text(item->call->request, name) : NULL;
    if (text == NULL || topic_name_check(text) != 0)
        admin_refuse(item, KAFKA_ERR_INVALID_TOPIC_EXCEPTION, error_text(ERR_INVALID_TOPIC));
    else
        item->name = text;
}

/* ---- the same topic twice ---- */

static int by_name(const void *a, const void *b)
{
    const struct admin_item *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static size_t collect_named(struct admin_call *call, struct admin_item **out)
{
    size_t count = 0;
    for (size_t i = 0; i < call->count; i++)
        if (call->items[i].name != NULL)
            out[count++] = &call->items[i];
    return count;
}

void admin_refuse_duplicates(struct admin_call *call)
{
    static const char message[] = "the request names this topic more than once";
    struct admin_item **sorted =
        arena_alloc(&call->request->arena, call->count * sizeof(struct admin_item *));
    if (sorted == NULL)
        return; /* then the first one wins, and the others hear so from the cluster */
    size_t count = collect_named(call, sorted);
    qsort(sorted, count, sizeof(sorted[0]), by_name);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        admin_refuse(sorted[i - 1], KAFKA_ERR_INVALID_REQUEST, message);
        admin_refuse(sorted[i], KAFKA_ERR_INVALID_REQUEST, message);
    }
}

/* ---- running ---- */

/* Operations call back later, never from inside. */
static void begin_some(struct admin_call *call)
{
    while (call->next < call->count && call->pending < PARALLEL_MAX) {
        size_t index = call->next++;
        struct admin_item *item = &call->items[index];
        if (item->error != KAFKA_ERR_NONE)
            continue;
        call->pending++;
        call->begin(item, index);
        if (item->error != KAFKA_ERR_NONE)
            call->pending--; /* it has thought better of it */
    }
    if (call->pending == 0)
        call->answer(call);
}

void admin_call_run(struct admin_call *call, void (*begin)(struct admin_item *item, size_t index),
                    void (*answer)(struct admin_call *call))
{
    call->begin = begin;
    call->answer = answer;
    begin_some(call);
}

/* Without a controller a client asks again, after a look at who it is. */
static int16_t error_of(int status)
{
    return status == ERR_LEADER_NOT_AVAILABLE ? KAFKA_ERR_NOT_CONTROLLER : kafka_error_from(status);
}

void admin_item_done(struct cluster_op *op)
{
    struct admin_item *item = op->data;
    struct admin_call *call = item->call;
    if (op->status != 0)
        admin_refuse(item, error_of(op->status),
                     op->message[0] != '\0' ? op->message : error_text(op->status));
    call->pending--;
    begin_some(call);
}

uint64_t admin_timeout_ms(int32_t timeout_ms)
{
    if (timeout_ms <= 0)
        return DEFAULT_TIMEOUT_MS;
    return timeout_ms < MAX_TIMEOUT_MS ? (uint64_t)timeout_ms : MAX_TIMEOUT_MS;
}
