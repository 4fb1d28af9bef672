#include "client/api/client.h"
#include <stdarg.h>
#include <time.h>

enum { DEFAULT_PORT = 9192, ARENA_LIMIT = 256 * 1024 * 1024 };

int client_error(char *error, size_t error_size, int status, const char *format, ...)
{
    va_list arguments;

    if (error == NULL || error_size == 0)
        return status;
    va_start(arguments, format);
    vsnprintf(error, error_size, format, arguments);
    va_end(arguments);
    return status;
}

int client_check_topic(const char *topic, char *error, size_t error_size)
{
    if (topic == NULL || topic[0] == '\0' || strlen(topic) >= CORE_TOPIC_SIZE)
        return client_error(error, error_size, ERR_INVALID_TOPIC, "%s", error_text(ERR_INVALID_TOPIC));
    return 0;
}

int client_check_process(const struct flotilla_client *client, char *error, size_t error_size)
{
    if (!driver_is_forked(client->driver))
        return 0;
    return client_error(
        error, error_size, ERR_UNSUPPORTED,
        "this process was forked from the one that made the client: it needs a client of its own");
}

uint64_t client_timeout_ns(int timeout_ms)
{
    return (uint64_t)(timeout_ms >= 0 ? timeout_ms : INT32_MAX) * 1000000;
}

uint64_t client_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- the bootstrap list ---- */

/* "host", "host:port" or "[v6]:port". Cuts `entry` in place; returns false when it is none of them. */
static bool parse_address(char *entry, char **host, uint16_t *port)
{
    char *colon = strrchr(entry, ':');
    char *bracket = strchr(entry, ']');
    char *end;

    *host = entry;
    *port = DEFAULT_PORT;
    if (bracket != NULL && entry[0] == '[') {
        *host = entry + 1;
        *bracket = '\0';
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
    }
    if (colon != NULL) {
        *colon = '\0';
        long number = strtol(colon + 1, &end, 10);
        if (*end != '\0' || end == colon + 1 || number < 1 || number > UINT16_MAX)
            return false;
        *port = (uint16_t)number;
    }
    return (*host)[0] != '\0';
}

static int add_bootstrap_list(struct driver *driver, const char *list, char *error, size_t error_size)
{
    char *copy = strdup(list);
    char *state = NULL;
    int count = 0;
    int rc = 0;

    if (copy == NULL)
        return ERR_OUT_OF_MEMORY;
    for (char *entry = strtok_r(copy, ", ", &state); entry != NULL && rc == 0;
         entry = strtok_r(NULL, ", ", &state)) {
        char *host;
        uint16_t port;
        if (!parse_address(entry, &host, &port) || !driver_add_bootstrap(driver, host, port))
            rc = client_error(error, error_size, ERR_INVALID_ARGUMENT,
                              "bootstrap list '%.100s': not host:port", list);
        count++;
    }
    free(copy);
    if (rc == 0 && count == 0)
        rc = client_error(error, error_size, ERR_INVALID_ARGUMENT, "the bootstrap list is empty");
    return rc;
}

/* ---- the client ---- */

int flotilla_client_create(struct flotilla_client **out, const char *bootstrap,
                           const struct flotilla_options *options, char *error, size_t error_size)
{
    struct flotilla_client *client = calloc(1, sizeof(*client));

    *out = NULL;
    if (client == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    client_settings_from(&client->settings, options);
    int rc = driver_create(&client->driver, &client->settings);
    if (rc != 0) {
        free(client);
        return client_error(error, error_size, rc, "cannot start the client: %s", error_text(rc));
    }
    rc = add_bootstrap_list(client->driver, bootstrap != NULL ? bootstrap : "", error, error_size);
    if (rc != 0) {
        flotilla_client_destroy(client);
        return rc;
    }
    *out = client;
    return client_error(error, error_size, 0, "%s", "");
}

void flotilla_client_destroy(struct flotilla_client *client)
{
    if (client == NULL || client_check_process(client, NULL, 0) != 0)
        return;
    driver_destroy(client->driver);
    free(client);
}

struct statistics_run {
    struct flotilla_statistics *result;
};

static void fill_statistics(struct core *core, void *data)
{
    core_statistics(core, ((struct statistics_run *)data)->result);
}

int flotilla_client_statistics(struct flotilla_client *client, const struct flotilla_statistics **statistics)
{
    struct statistics_run run = {NULL};
    int forked = client_check_process(client, NULL, 0);

    *statistics = NULL;
    if (forked != 0)
        return forked;
    *statistics = run.result = client_result_create(sizeof(struct flotilla_statistics));
    if (run.result == NULL)
        return ERR_OUT_OF_MEMORY;
    driver_call(client->driver, fill_statistics, &run);
    return 0;
}

/* ---- waiting ---- */

void client_waiter_init(struct client_waiter *w)
{
    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
}

void client_waiter_close(struct client_waiter *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w->header);
}

void client_waiter_done(struct client_waiter *w, int status, const char *message)
{
    pthread_mutex_lock(&w->lock);
    w->status = status;
    snprintf(w->message, sizeof(w->message), "%s", message);
    w->is_done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

bool client_waiter_is_done(struct client_waiter *w)
{
    pthread_mutex_lock(&w->lock);
    bool done = w->is_done;
    pthread_mutex_unlock(&w->lock);
    return done;
}

/* Every request ends by its own deadline, on the background thread. */
int client_waiter_wait(struct client_waiter *w, char *error, size_t error_size)
{
    pthread_mutex_lock(&w->lock);
    while (!w->is_done)
        pthread_cond_wait(&w->changed, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return client_error(error, error_size, w->status, "%s", w->message);
}

/* ---- results ---- */

void *client_result_create(size_t body_size)
{
    struct client_result *result = calloc(1, sizeof(*result) + body_size);

    if (result == NULL)
        return NULL;
    arena_init(&result->arena, ARENA_LIMIT);
    return result->body;
}

static struct client_result *result_of(const void *body)
{
    return (struct client_result *)((char *)(uintptr_t)body - offsetof(struct client_result, body));
}

struct arena *client_result_arena(void *body)
{
    return &result_of(body)->arena;
}

void *client_result_alloc(void *body, size_t size)
{
    void *p = arena_alloc(&result_of(body)->arena, size);

    if (p == NULL)
        abort();
    return memset(p, 0, size);
}

void flotilla_result_free(const void *result)
{
    if (result == NULL)
        return;
    arena_close(&result_of(result)->arena);
    free(result_of(result));
}

/* ---- requests ---- */

struct request_run {
    const struct client_request *request;
    struct core_call_options call;
    struct client_waiter waiter;
};

static void pack_request(void *data, const uint8_t *topic_id, struct bytes *out)
{
    const struct client_request *request = ((struct request_run *)data)->request;

    if (request->topic_id != NULL) {
        request->topic_id->data = (uint8_t *)topic_id;
        request->topic_id->len = CORE_TOPIC_ID_SIZE;
    }
    size_t size = protobuf_c_message_get_packed_size(request->message);
    protobuf_c_message_pack(request->message, bytes_extend(out, size));
}

static void on_request_end(void *data, int status, const char *message, const uint8_t *header, size_t size,
                           bool maybe_applied)
{
    struct client_waiter *w = &((struct request_run *)data)->waiter;

    if (status == 0 && size > 0) {
        w->header = malloc(size);
        if (w->header == NULL)
            abort();
        memcpy(w->header, header, size);
        w->header_size = size;
    }
    w->maybe_applied = maybe_applied;
    client_waiter_done(w, status, message);
}

static void start_request(struct core *core, void *data)
{
    core_call(core, &((struct request_run *)data)->call);
}

int client_request_run(struct flotilla_client *client, const struct client_request *request,
                       struct arena *arena, const ProtobufCMessageDescriptor *type, void *answer,
                       bool *maybe_applied, char *error, size_t error_size)
{
    struct request_run run = {.request = request, .call = request->call};
    int forked = client_check_process(client, error, error_size);

    if (forked != 0)
        return forked;
    if (driver_is_own_thread(client->driver))
        return client_error(error, error_size, ERR_INVALID_ARGUMENT,
                            "a callback must not wait for the cluster");
    client_waiter_init(&run.waiter);
    run.call.pack = pack_request;
    run.call.cb = on_request_end;
    run.call.data = &run;
    driver_call(client->driver, start_request, &run);
    int rc = client_waiter_wait(&run.waiter, error, error_size);
    if (maybe_applied != NULL)
        *maybe_applied = run.waiter.maybe_applied;
    if (rc == 0 && type != NULL) {
        ProtobufCMessage *message = protobuf_c_message_unpack(type, arena_allocator(arena),
                                                              run.waiter.header_size, run.waiter.header);
        if (message == NULL)
            rc = client_error(error, error_size, ERR_PROTOCOL, "malformed %s answer",
                              frame_type_name(request->call.type));
        *(ProtobufCMessage **)answer = message;
    }
    client_waiter_close(&run.waiter);
    return rc;
}
