/* Private to client/core. Time is in nanoseconds throughout. */
#ifndef CLIENT_CORE_INTERNAL_H
#define CLIENT_CORE_INTERNAL_H

#include "client/core/buffer.h"
#include "client/core/core.h"
#include "client/core/timer.h"
#include "proto/arena.h"
#include "proto/client.pb-c.h"
#include "proto/error.h"
#include "proto/frame.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define CORE_MS 1000000ULL

enum {
    CORE_BACKOFF_MIN_MS = 5, /* pauses between attempts grow between these */
    CORE_BACKOFF_MAX_MS = 100,
    CORE_TOPIC_GRACE_MS = 1000, /* a topic or partition must be unknown for so long before anybody is told */
};

/* ---- connection.c, output.c, input.c: connections, requests, framing ---- */

struct core_endpoint;

struct core_frame {
    struct frame_head head;
    const uint8_t *header;
    const uint8_t *payload;
    size_t payload_size;
    struct core_buffer *owner; /* of the payload; NULL: valid only during the call */
};

/* A request that waits for its answer; embedded in what it is for. */
struct core_request {
    /* Once: 0 with the answer, or an error without one. May send again only through the work list. */
    void (*done)(struct core *core, struct core_request *request, int status, const struct core_frame *frame);
    struct core_endpoint *endpoint; /* NULL: not outstanding */
    uint64_t correlation;
    uint16_t type;
};

struct core_out;
TAILQ_HEAD(core_out_list, core_out);

enum core_endpoint_state {
    ENDPOINT_IDLE,       /* no connection; may be tried again from retry_ns on */
    ENDPOINT_CONNECTING, /* until the driver reports */
    ENDPOINT_GREETING,   /* HELLO is out */
    ENDPOINT_READY,
    ENDPOINT_CLOSING, /* until the driver reports the end */
};

/* One address of a node and the connection to it. Its place in core->endpoints is the connection's number. */
struct core_endpoint {
    struct core *core;
    uint32_t number;
    char host[256];
    uint16_t port;
    uint32_t node_id; /* 0: a bootstrap address */
    bool listed;      /* in the bootstrap list or the latest metadata */
    bool alive;       /* as the metadata says; bootstrap addresses always */
    enum core_endpoint_state state;
    uint64_t connection; /* the number of the present or last one, from 1 on; no other endpoint has it */
    bool wanted;         /* somebody waits for this connection */
    uint64_t failing_since_ns; /* 0: the last attempt to connect succeeded */
    uint64_t retry_ns;
    char reason[CORE_MESSAGE_SIZE]; /* of the last failure */
    struct core_timer timer;        /* of the state: retry, connect and greeting time-outs, liveness */

    uint64_t heard_ns; /* the last bytes from there, or the beginning of the present wait for some */
    unsigned subscriptions;
    struct core_request **slots; /* outstanding requests at correlation % slot_count */
    size_t slot_count;
    size_t outstanding;
    uint64_t first_correlation; /* none outstanding is older */
    uint64_t next_correlation;
    struct core_out_list out;
    size_t out_offset; /* sent of the first */
    bool has_output;
    unsigned char *input; /* small frames */
    size_t input_used;
    struct core_buffer *large; /* a frame that does not fit there */
    size_t large_used;

    struct core_request hello;
    struct core_request ping;
    struct core_request metadata;
    uint64_t view;     /* of its last answer about topics and leaders; 0: it must answer in full */
    uint64_t question; /* what it was asked: core_metadata.question */
};

/* A payload that is sent as it is; shared by the output queue and its owner. */
struct core_wire {
    unsigned references;
    struct bytes bytes;
};
struct core_wire *core_wire_create(void);
void core_wire_unref(struct core_wire *wire); /* NULL is fine */

void core_endpoint_init(struct core *core, struct core_endpoint *e, const char *host, uint16_t port,
                        uint32_t node_id);
void core_endpoint_close(struct core_endpoint *e);
/* Connects now or as soon as the pause after a failure is over. */
void core_endpoint_want(struct core_endpoint *e);
/* True while nothing is known against it: ready, connecting for the first time, or not tried yet. */
bool core_endpoint_is_hopeful(const struct core_endpoint *e);
/* Ends the connection: outstanding requests get `status`. */
void core_endpoint_fail(struct core_endpoint *e, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sends a request on a READY (or greeting) connection. `payload` may be NULL; it is referenced. */
void core_endpoint_request(struct core_endpoint *e, struct core_request *request, uint16_t type,
                           const ProtobufCMessage *message, struct core_wire *payload);
void core_endpoint_request_packed(struct core_endpoint *e, struct core_request *request, uint16_t type,
                                  const void *header, size_t header_size);
/* Sends what is not answered; `sent`, when not NULL, is called once the last byte is with the driver (or with
 * an error when the connection ends before). */
void core_endpoint_post(struct core_endpoint *e, uint16_t type, const ProtobufCMessage *message,
                        struct core_wire *payload, void (*sent)(void *data, int status), void *data);
/* `sent` will not be called with this data. */
void core_endpoint_forget(struct core_endpoint *e, const void *data);
/* Forgets a request: its answer will be ignored. */
void core_request_abandon(struct core_request *request);
/* A `done` for requests whose answer does not matter. */
void core_request_ignore(struct core *core, struct core_request *request, int status,
                         const struct core_frame *frame);
void core_endpoint_listen(struct core_endpoint *e); /* (re)arms the liveness check */

/* ---- metadata.c: nodes, topics, leaders ---- */

struct core_leader {
    uint32_t node_id; /* 0: none known */
    int32_t epoch;
    bool doubted; /* it denied; only fresh metadata or a newer epoch restores it */
};

struct core_topic {
    TAILQ_ENTRY(core_topic) link;
    char name[CORE_TOPIC_SIZE];
    uint8_t id[CORE_TOPIC_ID_SIZE];
    bool known;
    uint64_t missing_since_ns; /* 0: not missing */
    uint64_t told_ns;          /* when a node that is not behind the others told of it last */
    uint32_t partition_count;
    struct core_leader *leaders;
};
TAILQ_HEAD(core_topic_list, core_topic);

struct core_metadata {
    struct core_topic_list topics;
    size_t topic_count;
    struct core_timer timer;
    bool needed;        /* somebody has been stuck since nodes were asked last */
    bool all_needed;    /* the next question is for all topics */
    uint64_t asked_ns;  /* when nodes were asked last; 0: never */
    uint64_t needed_ns; /* when somebody was stuck last; 0: never */
    uint64_t since_ns;  /* since when; what is new begins it again */
    uint64_t version;   /* the newest seen */
    uint64_t question;  /* grows with what is asked for, and when an answer that was applied is doubted */
    char cluster_id[OPTION_TEXT_SIZE];
};

void core_metadata_init(struct core *core);
void core_metadata_close(struct core *core);
/* Asks all reachable nodes, at once if they have not been for long, and again and again, with pauses that
 * grow as core_pause says, as long as somebody calls this after each answer. */
void core_metadata_need(struct core *core);
/* What is asked for, or doubted, is new: the pauses are short again, and every node must answer in full. */
void core_metadata_renew(struct core *core);
void core_metadata_on_ready(struct core *core, struct core_endpoint *e);
/* Finds or adds. Never NULL. */
struct core_topic *core_topic_get(struct core *core, const char *name);
struct core_topic *core_topic_by_id(struct core *core, const uint8_t *id); /* NULL: not known */
/* Also of topics that nobody named here: a group's member is given ids. */
void core_metadata_need_all(struct core *core);
/* ERR_UNKNOWN_TOPIC once nobody has known it for the grace time, else 0. */
int core_topic_missing(const struct core *core, const struct core_topic *topic);
/* Of a known topic, asked for since then. ERR_UNKNOWN_PARTITION once nobody has known it for the grace time;
 * until then ERR_INTERRUPTED, and nodes are being asked. */
int core_partition_missing(struct core *core, const struct core_topic *topic, uint32_t index,
                           uint64_t since_ns);
/* A READY connection to the leader, or NULL: then whatever helps has been started, and work is woken by it.
 */
struct core_endpoint *core_leader_endpoint(struct core *core, struct core_topic *topic, uint32_t partition);
/* What an error answer says about the leader. Returns true when that names a leader not known before. */
bool core_leader_learn(struct core *core, struct core_topic *topic, uint32_t partition, uint32_t from_node,
                       const Flotilla__Status *status);
/* A group's coordinator leads partition crc32c(group) % partitions of the offsets topic, which is stored
 * here; as core_leader_endpoint. Before that topic exists (then NULL is stored), any node may be asked: it
 * makes it. */
struct core_endpoint *core_coordinator_endpoint(struct core *core, const char *group, unsigned turn,
                                                struct core_topic **topic, uint32_t *partition);
struct core_endpoint *core_node_endpoint(struct core *core, uint32_t node_id);
/* Some READY connection, a different one for each `turn`; NULL: connections are being made. */
struct core_endpoint *core_any_endpoint(struct core *core, unsigned turn);
/* "orders/3 at node 2 (host:port)" */
const char *core_describe_partition(struct core *core, const struct core_topic *topic, uint32_t partition,
                                    char *out, size_t size);

/* ---- core.c ---- */

/* A thing that may be able to go on. Running it when it cannot must be harmless. */
struct core_work {
    TAILQ_ENTRY(core_work) link;
    bool queued;
    void (*run)(struct core *core, struct core_work *work);
};
TAILQ_HEAD(core_work_list, core_work);
TAILQ_HEAD(core_call_list, core_call);
TAILQ_HEAD(core_producer_list, core_producer);
TAILQ_HEAD(core_consumer_list, core_consumer);

struct core {
    struct client_settings settings;
    struct core_io io;
    uint64_t now;
    uint64_t random;
    bool stopping;
    struct arena arena; /* of the frame that is being handled */
    struct core_timers timers;
    struct core_work_list work;
    struct core_endpoint *endpoints[CORE_MAX_CONNECTIONS];
    uint32_t endpoint_count;
    struct core_metadata metadata;
    struct core_call_list calls;
    struct core_producer_list producers;
    struct core_consumer_list consumers;
    uint64_t next_subscription;
    uint64_t connections_made;
    unsigned turn;
    struct flotilla_statistics totals; /* what changes with time alone is filled in by core_statistics */
    struct core_timer statistics_timer;
};

void core_work_queue(struct core *core, struct core_work *work);
void core_work_cancel(struct core *core, struct core_work *work);
/* Something changed that may unblock anybody: a connection came or went, or metadata arrived. */
void core_wake_all(struct core *core);
void core_run(struct core *core);
uint64_t core_random(struct core *core);
void core_log(struct core *core, enum flotilla_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The pause before the next attempt of what has been failing since then: a quarter of the time that went by,
 * within the bounds above. So a leader that takes 30 ms to be elected is found within a quarter more. */
uint64_t core_pause(struct core *core, uint64_t failing_since_ns);
/* Unpacks the Status that every answer begins with; `status` of the result is never NULL. Lives in
 * core->arena. */
const Flotilla__Status *core_status_unpack(struct core *core, const void *header, size_t size);
/* Whether an error may be gone at the next attempt, and whether the request may have taken effect. */
bool core_error_is_retriable(int error);
bool core_error_is_unknown(int error);

/* core_call from inside the core: what it starts is done by the core_run that is under way. */
void core_call_start(struct core *core, const struct core_call_options *options);
void core_calls_wake(struct core *core);
void core_calls_cancel(struct core *core);
void core_producers_wake(struct core *core);
void core_producer_on_topic(struct core *core, struct core_topic *topic);
void core_consumers_wake(struct core *core);
/* A PUSH frame came. */
void core_consumer_on_push(struct core_endpoint *e, const struct core_frame *frame);
/* A GROUP_ASSIGNMENT frame came. */
void core_member_on_assignment(struct core_endpoint *e, const struct core_frame *frame);
/* Whether a member was assigned partitions of this topic and does not know its name. */
bool core_members_want_topic(struct core *core, const ProtobufCBinaryData *id);

#endif
