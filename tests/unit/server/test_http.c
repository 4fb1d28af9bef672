/* The HTTP port by itself: answers come from the loop, errors are plain text, and it stops with requests
 * under way. */
#include "node/server/http/http.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct env *env;
    struct http *http;
    unsigned asked;
    bool stopped;
    char path[256];
};

static void answer(void *data, const char *path, struct http_answer *out)
{
    struct fixture *f = data;
    f->asked++;
    snprintf(f->path, sizeof(f->path), "%s", path);
    out->status = strcmp(path, "/missing") == 0 ? 404 : 200;
    bytes_append(&out->body, "hello\n", 6);
}

static void start(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->env = env_uv_create(1);
    const struct http_options options = {f->env, "127.0.0.1", 0, answer, f};
    assert_int_equal(http_start(&options, &f->http), 0);
    assert_int_not_equal(http_port(f->http), 0);
}

static void on_stopped(void *data)
{
    ((struct fixture *)data)->stopped = true;
}

static void stop(struct fixture *f)
{
    http_stop(f->http, on_stopped, f);
    while (!f->stopped)
        env_run_once(f->env, true);
    env_destroy(f->env);
}

/* ---- a client: sends a text, gathers what comes until the other side closes ---- */

struct client {
    struct env_stream *stream;
    struct env_write write;
    const char *text;
    char got[8192];
    size_t size;
    bool ended;
};

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct client *c = data;
    *into = (unsigned char *)c->got + c->size;
    *size = sizeof(c->got) - c->size - 1;
}

static void on_read(void *data, ssize_t n)
{
    struct client *c = data;
    if (n > 0)
        c->size += (size_t)n;
    else
        c->ended = true;
}

static void on_written(struct env_write *req, int status)
{
    (void)req;
    (void)status;
}

static const struct env_stream_callbacks callbacks = {on_alloc, on_read};

static void on_connected(void *data, struct env_stream *stream, int status)
{
    struct client *c = data;
    assert_int_equal(status, 0);
    struct slice slice = slice_copy(c->text, strlen(c->text));
    assert_int_equal(env_stream_write(stream, &c->write, &slice, 1, on_written), 0);
    env_stream_read_start(stream, &callbacks, c);
}

static void client_open(struct client *c, struct fixture *f, const char *text)
{
    memset(c, 0, sizeof(*c));
    c->text = text;
    assert_int_equal(env_connect(f->env, "127.0.0.1", http_port(f->http), (uint64_t)5000000000, &c->stream,
                                 on_connected, c),
                     0);
}

static void exchange(struct client *c, struct fixture *f, const char *text)
{
    client_open(c, f, text);
    while (!c->ended)
        env_run_once(f->env, true);
    env_stream_close(c->stream, NULL, NULL);
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

static void test_answers(void **state)
{
    (void)state;
    struct fixture f;
    struct client c;
    start(&f);
    exchange(&c, &f, "GET /metrics?x=1 HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(c.got, "HTTP/1.1 200"));
    assert_non_null(strstr(c.got, "\r\n\r\nhello\n"));
    assert_string_equal(f.path, "/metrics");
    exchange(&c, &f, "GET /missing HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(c.got, "HTTP/1.1 404"));
    exchange(&c, &f, "HEAD / HTTP/1.1\r\n" CLOSE);
    assert_non_null(strstr(c.got, "HTTP/1.1 200"));
    assert_null(strstr(c.got, "hello"));
    assert_int_equal(f.asked, 3);
    stop(&f);
}

static void test_wrong_requests(void **state)
{
    (void)state;
    struct fixture f;
    struct client c;
    start(&f);
    exchange(&c, &f, "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n" CLOSE "abc");
    assert_non_null(strstr(c.got, "HTTP/1.1 405"));
    exchange(&c, &f, "\x01\x02nonsense\r\n\r\n");
    assert_int_equal(f.asked, 0);
    stop(&f);
}

static void test_port_in_use(void **state)
{
    (void)state;
    struct fixture f;
    struct http *second;
    start(&f);
    const struct http_options options = {f.env, "127.0.0.1", http_port(f.http), answer, &f};
    assert_int_equal(http_start(&options, &second), ERR_ADDRESS_IN_USE);
    const struct http_options nowhere = {f.env, "no.such.host.invalid", 0, answer, &f};
    assert_int_equal(http_start(&nowhere, &second), ERR_UNREACHABLE);
    stop(&f);
}

/* Clients that never finish their request do not hold the end up. */
static void test_stops_with_open_clients(void **state)
{
    (void)state;
    struct fixture f;
    struct client half, idle;
    start(&f);
    client_open(&half, &f, "GET / HTTP/1.1\r\nHo");
    client_open(&idle, &f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    while (f.asked == 0)
        env_run_once(f.env, true);
    http_stop(f.http, on_stopped, &f);
    while (!f.stopped || !half.ended || !idle.ended)
        env_run_once(f.env, true);
    env_stream_close(half.stream, NULL, NULL);
    env_stream_close(idle.stream, NULL, NULL);
    env_destroy(f.env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_wrong_requests),
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_stops_with_open_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
