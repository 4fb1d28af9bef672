#include "node/server/kafka/dispatch.h"
#include "node/server/kafka/groups.h"
#include "node/server/kafka/lookup.h"

enum { GROUPS_MAX = 10000 };

struct delete_item {
    struct delete_call *call;
    struct kafka_delete_groups_response_result *answer;
    struct group_forget_req forget;
};

struct delete_call {
    struct kafka_request *request;
    struct kafka_delete_groups_response response;
    unsigned pending;
    struct delete_item items[];
};

static void release(struct delete_call *call)
{
    if (--call->pending == 0)
        kafka_respond(call->request, &call->response);
}

static void on_forgotten(struct group_forget_req *req, int status)
{
    struct delete_item *item = req->data;
    item->answer->error_code = kafka_group_error(status);
    release(item->call);
}

static void begin(struct delete_item *item, struct kafka_string group_id)
{
    struct kafka_group group;
    item->answer->group_id = group_id;
    item->answer->error_code = kafka_find_group(item->call->request, group_id, &group);
    item->forget.data = item;
    if (item->answer->error_code == KAFKA_ERR_NONE)
        coordinator_forget(group.coordinator, group.name, NULL, &item->forget, on_forgotten);
    else
        release(item->call);
}

void kafka_delete_groups(struct kafka_request *r)
{
    const struct kafka_delete_groups_request *m = r->message;
    int32_t count = m->groups_names.count;
    if (count > GROUPS_MAX) {
        kafka_refuse(r, "too many groups in one request");
        return;
    }
    struct delete_call *call = kafka_request_state(r, sizeof(*call) + (size_t)count * sizeof(call->items[0]));
    call->request = r;
    call->pending = (unsigned)count + 1; /* one for this function */
    call->response = kafka_delete_groups_response_default;
    call->response.results.items = KAFKA_NEW(&r->arena, delete_groups_response_result, (size_t)count);
    if (call->response.results.items == NULL) {
        kafka_refuse_too_large(r);
        return;
    }
    call->response.results.count = count;
    for (int32_t i = 0; i < count; i++) {
        call->items[i].call = call;
        call->items[i].answer = &call->response.results.items[i];
        begin(&call->items[i], m->groups_names.items[i]);
    }
    release(call);
}
