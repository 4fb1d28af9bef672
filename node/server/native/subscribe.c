#include "node/server/native/dispatch.h"
#include "node/server/native/lookup.h"
#include "node/server/native/subscription.h"
#include "proto/error.h"

void native_subscribe(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__SubscribeRequest *m = (const Flotilla__SubscribeRequest *)message;
    struct native_connection *c = r->connection;
    struct partition *partition = lookup_leader(r, &m->topic_id, m->partition);
    if (partition == NULL)
        return;
    Flotilla__SubscribeResponse response = FLOTILLA__SUBSCRIBE_RESPONSE__INIT;
    response.high_watermark = partition_high_watermark(partition);
    response.log_start_offset = partition_start_offset(partition);
    int rv = m->offset < response.log_start_offset ? ERR_OFFSET_OUT_OF_RANGE : 0;
    if (rv == 0)
        rv = subscription_start(c, m->subscription, partition, m->offset, m->credit_bytes);
    if (rv != 0)
        r->server->counters.failed[FRAME_SUBSCRIBE]++;
    Flotilla__Status status =
        lookup_status(r->server, rv, rv == ERR_EXISTS ? "this subscription number is in use already" : NULL,
                      partition_group_id(partition));
    response.status = &status;
    request_respond(r, &response.base);
}

/* For a subscription that has just ended credit may still be under way: not an error. */
void native_credit(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__Credit *m = (const Flotilla__Credit *)message;
    struct subscription *s = subscription_find(r->connection, m->subscription);
    if (s != NULL)
        subscription_add_credit(s, m->bytes);
    request_finish(r);
}

void native_unsubscribe(struct request *r, const ProtobufCMessage *message)
{
    const Flotilla__UnsubscribeRequest *m = (const Flotilla__UnsubscribeRequest *)message;
    struct subscription *s = subscription_find(r->connection, m->subscription);
    if (s != NULL)
        subscription_close(s);
    request_fail(r, s != NULL ? 0 : ERR_NOT_FOUND,
                 s != NULL ? NULL : "no such subscription on this connection");
}
