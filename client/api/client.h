/* Private to the public API's files: what a client owns, and how application threads wait for the background
 * thread. */
#ifndef CLIENT_API_CLIENT_H
#define CLIENT_API_CLIENT_H

#include "client/driver/uv.h"
#include "proto/arena.h"
#include "proto/client.pb-c.h"
#include "proto/error.h"
#include "proto/frame.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flotilla_client {
    struct driver *driver;
    struct client_settings settings;
};

/* Writes a message where the caller asked for one, and returns `status`. */
int client_error(char *error, size_t error_size, int status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
int client_check_topic(const char *topic, char *error, size_t error_size);
/* ERR_UNSUPPORTED in a forked process, where a client of its parent is of no use. */
int client_check_process(const struct flotilla_client *client, char *error, size_t error_size);
/* Negative: as good as forever. */
uint64_t client_timeout_ns(int timeout_ms);
uint64_t client_now_ns(void);

/* One answer to wait for. */
struct client_waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_done;
    bool maybe_applied;
    int status;
    char message[2 * CORE_MESSAGE_SIZE];
    uint8_t *header; /* of the answer; owned */
    size_t header_size;
};
void client_waiter_init(struct client_waiter *w);
void client_waiter_close(struct client_waiter *w);
bool client_waiter_is_done(struct client_waiter *w);
void client_waiter_done(struct client_waiter *w, int status, const char *message);
int client_waiter_wait(struct client_waiter *w, char *error, size_t error_size);

/* A request with its answer in a result that the application frees: everything about it lives in one arena.
 */
struct client_result {
    struct arena arena;
    max_align_t body[]; /* what the application sees begins here */
};
/* NULL without memory. The body is zeroed. */
void *client_result_create(size_t body_size);
struct arena *client_result_arena(void *body);
void *client_result_alloc(void *body, size_t size); /* zeroed; aborts when the arena is full */

struct client_request {
    struct core_call_options call; /* pack, cb and data are set by client_request_run */
    const ProtobufCMessage *message;
    ProtobufCBinaryData *topic_id; /* in `message`, to be filled with the id of call.topic; may be NULL */
};
/* Runs a request and waits. With a `type` the answer is unpacked into `arena` and stored. */
int client_request_run(struct flotilla_client *client, const struct client_request *request,
                       struct arena *arena, const ProtobufCMessageDescriptor *type, void *answer,
                       bool *maybe_applied, char *error, size_t error_size);

#endif
