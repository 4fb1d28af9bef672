#include "node/server/http/http.h"
#include "node/base/memory.h"
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONNECTION_LIMIT = 64, CONNECTION_TIMEOUT_S = 30, PATH_SIZE = 256, CONNECTION_MEMORY = 16 * 1024 };

struct http {
    struct http_options options;
    struct MHD_Daemon *daemon;
    uint16_t port;
    void (*stopped)(void *data);
    void *stopped_data;

    pthread_mutex_t lock; /* guards what follows */
    unsigned posted;      /* requests that the loop has not answered yet */
    bool stopping;
};

/* Belongs to libmicrohttpd's thread, except between env_post and MHD_resume_connection: then to the loop. */
struct http_call {
    struct env_post post;
    struct http *http;
    struct MHD_Connection *connection;
    bool answered;
    struct http_answer answer;
    char path[PATH_SIZE];
};

/* ---- on the loop ---- */

static bool count_answered(struct http *h)
{
    pthread_mutex_lock(&h->lock);
    h->posted--;
    bool last = h->stopping && h->posted == 0;
    pthread_mutex_unlock(&h->lock);
    return last;
}

static void finish_stop(struct http *h)
{
    void (*stopped)(void *data) = h->stopped;
    void *data = h->stopped_data;
    MHD_stop_daemon(h->daemon);
    pthread_mutex_destroy(&h->lock);
    free(h);
    stopped(data);
}

static void on_post(struct env_post *post)
{
    struct http_call *call = container_of(post, struct http_call, post);
    struct http *h = call->http;
    h->options.answer(h->options.data, call->path, &call->answer);
    call->answered = true;
    MHD_resume_connection(call->connection);
    if (count_answered(h))
        finish_stop(h);
}

void http_stop(struct http *h, void (*stopped)(void *data), void *data)
{
    h->stopped = stopped;
    h->stopped_data = data;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    bool last = h->posted == 0;
    pthread_mutex_unlock(&h->lock);
    if (last)
        finish_stop(h);
}

/* ---- on libmicrohttpd's thread ---- */

static enum MHD_Result queue_answer(struct MHD_Connection *connection, struct http_answer *answer)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body.size, answer->body.data, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    enum MHD_Result rv = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return rv;
}

static enum MHD_Result queue_text(struct MHD_Connection *connection, unsigned status, const char *text)
{
    struct http_answer answer = {.status = status, .content_type = "text/plain; charset=utf-8"};
    bytes_init(&answer.body);
    bytes_append(&answer.body, text, strlen(text));
    enum MHD_Result rv = queue_answer(connection, &answer);
    bytes_close(&answer.body);
    return rv;
}

static bool begin_post(struct http *h)
{
    pthread_mutex_lock(&h->lock);
    bool ok = !h->stopping;
    h->posted += ok;
    pthread_mutex_unlock(&h->lock);
    return ok;
}

static struct http_call *call_create(struct http *h, struct MHD_Connection *connection, const char *path)
{
    struct http_call *call = memory_zalloc(sizeof(*call));
    call->http = h;
    call->connection = connection;
    call->answer.status = MHD_HTTP_OK;
    call->answer.content_type = "text/plain; charset=utf-8";
    bytes_init(&call->answer.body);
    snprintf(call->path, sizeof(call->path), "%s", path);
    return call;
}

/* Called when the headers are in, again when the (empty) body is, and again after each resume. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct http *h = data;
    struct http_call *call = *state;
    (void)version;
    (void)upload;
    if (call == NULL) {
        *state = call_create(h, connection, path);
        return MHD_YES;
    }
    if (*upload_size > 0) {
        *upload_size = 0; /* no request here has a body; it is read and dropped */
        return MHD_YES;
    }
    if (call->answered)
        return queue_answer(connection, &call->answer);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return queue_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are served here\n");
    if (!begin_post(h))
        return queue_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the node is stopping\n");
    MHD_suspend_connection(connection);
    env_post(h->options.env, &call->post, on_post);
    return MHD_YES;
}

static void on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct http_call *call = *state;
    (void)data;
    (void)connection;
    (void)code;
    if (call == NULL)
        return;
    bytes_close(&call->answer.body);
    free(call);
    *state = NULL;
}

/* ---- start ---- */

static struct MHD_Daemon *start_daemon(struct http *h, const struct sockaddr *address)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;
    if (address->sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(flags, h->options.port, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, address,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTION_LIMIT,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, h, MHD_OPTION_END);
}

static int resolve(const struct http_options *options, struct addrinfo **addresses)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char port[8];
    snprintf(port, sizeof(port), "%u", options->port);
    return getaddrinfo(options->host, port, &hints, addresses) == 0 ? 0 : ERR_UNREACHABLE;
}

int http_start(const struct http_options *options, struct http **http)
{
    struct addrinfo *addresses;
    int rv = resolve(options, &addresses);
    if (rv != 0)
        return rv;
    struct http *h = memory_zalloc(sizeof(*h));
    h->options = *options;
    pthread_mutex_init(&h->lock, NULL);
    errno = 0;
    h->daemon = start_daemon(h, addresses->ai_addr);
    int saved = errno;
    freeaddrinfo(addresses);
    if (h->daemon == NULL) {
        pthread_mutex_destroy(&h->lock);
        free(h);
        return saved != 0 ? error_from_errno(saved) : ERR_UNKNOWN;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    h->port = info != NULL ? info->port : options->port;
    *http = h;
    return 0;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}
