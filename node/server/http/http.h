/* The HTTP port, on libmicrohttpd. Its thread only parses and sends: each request is posted to the node's
 * loop, answered there by `answer`, and sent when the loop has resumed it. So a node whose loop is stuck does
 * not answer, which is what a liveness probe wants to know, and no data of the node is ever touched by
 * another thread. */
#ifndef SERVER_HTTP_HTTP_H
#define SERVER_HTTP_HTTP_H

#include "node/base/logger.h"
#include "node/env/env.h"
#include "proto/bytes.h"

struct http;

struct http_answer {
    unsigned status;          /* 200 */
    const char *content_type; /* static */
    struct bytes body;
};

struct http_options {
    struct env *env;
    const char *host;
    uint16_t port;                                                            /* 0: any free one */
    void (*answer)(void *data, const char *path, struct http_answer *answer); /* on the loop */
    void *data;
};

/* ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_UNREACHABLE (no such address here), ... */
int http_start(const struct http_options *options, struct http **http);
uint16_t http_port(const struct http *h);
/* Answers what is under way, then ends the thread. */
void http_stop(struct http *h, void (*stopped)(void *data), void *data);

#endif
