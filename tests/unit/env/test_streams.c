#include "node/base/memory.h"
#include "node/base/prng.h"
#include "tests/unit/env/helper_env.h"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const uint64_t TIMEOUT_NS = 5000 * MS;

/* One end of a connection and what happened to it. */
struct end {
    struct env_stream *stream;
    bool connected;
    int connect_status;
    bool echo;           /* writes back what it reads */
    unsigned char *seen; /* what it read */
    size_t seen_size;
    size_t seen_capacity;
    struct buf *space;
    int read_status; /* 0 until reading has ended */
    bool closed;
    unsigned canceled;
    unsigned written;
};

struct fixture {
    struct env *env;
    struct env_listener *listener;
    struct end client;
    struct end server;
};

static void on_closed(void *data)
{
    struct end *e = data;
    e->stream = NULL;
    e->closed = true;
}

static void end_release(struct fixture *f, struct end *e)
{
    if (e->stream != NULL) {
        env_stream_close(e->stream, on_closed, e);
        RUN_UNTIL(f->env, e->closed);
    }
    buf_unref(e->space);
    free(e->seen);
}

static void on_accept(void *data, struct env_stream *stream)
{
    struct fixture *f = data;
    assert_null(f->server.stream);
    f->server.stream = stream;
    f->server.connected = true;
}

static int set_up(void **state)
{
    struct fixture *f = memory_zalloc(sizeof(*f));
    f->env = env_uv_create(0);
    assert_int_equal(env_listen(f->env, "127.0.0.1", 0, &f->listener, on_accept, f), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    end_release(f, &f->client);
    end_release(f, &f->server);
    if (f->listener != NULL)
        env_listener_close(f->listener);
    env_destroy(f->env);
    free(f);
    return 0;
}

static void on_connect(void *data, struct env_stream *stream, int status)
{
    struct end *e = data;
    assert_ptr_equal(e->stream, stream);
    assert_false(e->connected);
    e->connected = true;
    e->connect_status = status;
}

static void start_connect(struct fixture *f, const char *host, uint16_t port)
{
    assert_int_equal(env_connect(f->env, host, port, TIMEOUT_NS, &f->client.stream, on_connect, &f->client),
                     0);
    assert_false(f->client.connected);
}

static void connect_both(struct fixture *f)
{
    start_connect(f, "127.0.0.1", env_listener_port(f->listener));
    RUN_UNTIL(f->env, f->client.connected && f->server.connected);
    assert_int_equal(f->client.connect_status, 0);
}

/* ---- reading and writing ---- */

struct job {
    struct env_write req;
    struct end *end;
};

static void on_written(struct env_write *req, int status)
{
    struct job *job = container_of(req, struct job, req);
    if (status == 0)
        job->end->written++;
    else if (status == ERR_CANCELED)
        job->end->canceled++;
    free(job);
}

static void write_slices(struct end *e, struct slice *slices, unsigned n)
{
    struct job *job = memory_zalloc(sizeof(*job));
    job->end = e;
    unsigned before = e->written + e->canceled;
    assert_int_equal(env_stream_write(e->stream, &job->req, slices, n, on_written), 0);
    assert_int_equal(e->written + e->canceled, before); /* never from inside the call */
}

static void write_bytes(struct end *e, const void *data, size_t size)
{
    struct slice s = slice_copy(data, size);
    write_slices(e, &s, 1);
}

static void on_alloc(void *data, unsigned char **into, size_t *size)
{
    struct end *e = data;
    buf_unref(e->space);
    e->space = buf_create(64 * 1024);
    *into = e->space->data;
    *size = e->space->capacity;
}

static void on_read(void *data, ssize_t n)
{
    struct end *e = data;
    if (n < 0) {
        assert_int_equal(e->read_status, 0);
        e->read_status = (int)n;
        return;
    }
    size_t size = (size_t)n;
    if (e->seen_size + size > e->seen_capacity) {
        e->seen_capacity = 2 * (e->seen_size + size);
        e->seen = memory_realloc(e->seen, e->seen_capacity);
    }
    memcpy(e->seen + e->seen_size, e->space->data, size);
    e->seen_size += size;
    if (e->echo) { /* the very memory that was read into */
        struct slice s = slice_of(e->space, e->space->data, size);
        write_slices(e, &s, 1);
    }
}

static const struct env_stream_callbacks callbacks = {on_alloc, on_read};

static unsigned char *random_bytes(size_t size)
{
    unsigned char *bytes = memory_alloc(size);
    struct prng p;
    prng_init(&p, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)prng_next(&p);
    return bytes;
}

static void a_small_message_echoes(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    f->server.echo = true;
    env_stream_read_start(f->server.stream, &callbacks, &f->server);
    env_stream_read_start(f->client.stream, &callbacks, &f->client);
    struct slice pieces[3] = {slice_copy("hel", 3), slice_copy("", 0), slice_copy("lo", 2)};
    write_slices(&f->client, pieces, 3);
    RUN_UNTIL(f->env, f->client.seen_size == 5);
    assert_memory_equal(f->client.seen, "hello", 5);
    assert_int_equal(f->client.written, 1);
    assert_true(env_stream_is_loopback(f->client.stream));
    assert_true(env_stream_is_loopback(f->server.stream));
    char expected[32];
    snprintf(expected, sizeof(expected), "127.0.0.1:%u", env_listener_port(f->listener));
    assert_string_equal(env_stream_peer(f->client.stream), expected);
}

static void an_empty_write_completes(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    struct slice none = slice_none();
    write_slices(&f->client, &none, 0);
    write_slices(&f->client, &none, 1);
    RUN_UNTIL(f->env, f->client.written == 2);
}

/* Many slices, far more than the socket takes at once, both ways at the same time. */
static void large_writes_arrive_whole(void **state)
{
    enum { PIECE = 50000, PIECES = 200, SIZE = PIECE * PIECES };
    struct fixture *f = *state;
    unsigned char *bytes = random_bytes(SIZE);
    struct slice slices[PIECES];
    connect_both(f);
    f->server.echo = true;
    for (int i = 0; i < PIECES; i++)
        slices[i] = slice_copy(bytes + i * PIECE, PIECE);
    struct slice kept = slice_ref(slices[PIECES - 1]);
    write_slices(&f->client, slices, PIECES);
    write_bytes(&f->client, "end", 3);
    assert_true(env_stream_pending(f->client.stream) > 0);
    assert_int_equal(kept.owner->references, 2);
    env_stream_read_start(f->server.stream, &callbacks, &f->server);
    env_stream_read_start(f->client.stream, &callbacks, &f->client);
    RUN_UNTIL(f->env, f->client.seen_size == SIZE + 3 && f->client.written == 2);
    assert_memory_equal(f->client.seen, bytes, SIZE);
    assert_memory_equal(f->client.seen + SIZE, "end", 3);
    assert_int_equal(env_stream_pending(f->client.stream), 0);
    assert_int_equal(kept.owner->references, 1); /* the request dropped its own */
    slice_unref(&kept);
    free(bytes);
}

/* Writes one block more while the kernel took all of the one before. */
static void fill_until_stuck(struct fixture *f, const unsigned char *block, size_t size, unsigned *blocks)
{
    do {
        write_bytes(&f->client, block, size);
        (*blocks)++;
        assert_true(*blocks < 10000);
        env_run_once(f->env, false);
    } while (env_stream_pending(f->client.stream) == 0);
}

static void stopping_to_read_is_back_pressure(void **state)
{
    enum { SIZE = 256 * 1024 };
    struct fixture *f = *state;
    unsigned char *block = random_bytes(SIZE);
    unsigned blocks = 0;
    connect_both(f);
    env_stream_read_start(f->server.stream, &callbacks, &f->server);
    write_bytes(&f->client, block, SIZE);
    blocks++;
    RUN_UNTIL(f->env, f->server.seen_size == SIZE);

    env_stream_read_stop(f->server.stream);
    fill_until_stuck(f, block, SIZE, &blocks);
    assert_int_equal(f->server.seen_size, SIZE);
    assert_true(f->client.written < blocks);

    env_stream_read_resume(f->server.stream);
    RUN_UNTIL(f->env, f->server.seen_size == (size_t)blocks * SIZE && f->client.written == blocks);
    assert_memory_equal(f->server.seen + (size_t)(blocks - 1) * SIZE, block, SIZE);
    free(block);
}

/* ---- the end of a connection ---- */

static void the_peer_hears_of_a_close(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    env_stream_read_start(f->server.stream, &callbacks, &f->server);
    write_bytes(&f->client, "bye", 3);
    RUN_UNTIL(f->env, f->client.written == 1);
    env_stream_close(f->client.stream, on_closed, &f->client);
    assert_false(f->client.closed);
    RUN_UNTIL(f->env, f->client.closed && f->server.read_status != 0);
    assert_int_equal(f->server.read_status, ERR_CLOSED);
    assert_memory_equal(f->server.seen, "bye", 3);
    env_stream_read_resume(f->server.stream); /* no second report */
    env_run_once(f->env, false);
}

static void closing_cancels_pending_writes(void **state)
{
    enum { SIZE = 256 * 1024 };
    struct fixture *f = *state;
    unsigned char *block = random_bytes(SIZE);
    unsigned blocks = 0;
    connect_both(f);
    fill_until_stuck(f, block, SIZE, &blocks);
    write_bytes(&f->client, block, SIZE);
    blocks++;
    unsigned written = f->client.written;
    struct job job = {.end = &f->client};
    struct slice kept = slice_copy("kept", 4);
    env_stream_close(f->client.stream, on_closed, &f->client);
    assert_int_equal(env_stream_write(f->client.stream, &job.req, &kept, 1, on_written), ERR_CLOSED);
    assert_int_equal(kept.owner->references, 1);
    slice_unref(&kept);
    assert_int_equal(f->client.canceled, 0);
    RUN_UNTIL(f->env, f->client.closed);
    assert_int_equal(f->client.canceled, blocks - written);
    assert_true(f->client.canceled >= 2);
    free(block);
}

static void closing_in_the_turn_of_a_write_reports_it_first(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    write_bytes(&f->client, "taken by the kernel", 19);
    env_stream_close(f->client.stream, on_closed, &f->client);
    RUN_UNTIL(f->env, f->client.closed);
    assert_int_equal(f->client.written, 1);
}

static void writing_to_a_peer_that_is_gone_fails(void **state)
{
    struct fixture *f = *state;
    connect_both(f);
    write_bytes(&f->client, "unread", 6);
    RUN_UNTIL(f->env, f->client.written == 1);
    env_stream_close(f->server.stream, on_closed, &f->server); /* unread bytes: a reset */
    RUN_UNTIL(f->env, f->server.closed);
    env_stream_read_start(f->client.stream, &callbacks, &f->client);
    RUN_UNTIL(f->env, f->client.read_status != 0);
    assert_true(f->client.read_status == ERR_CONNECTION_LOST || f->client.read_status == ERR_CLOSED);
    unsigned before = f->client.written;
    write_bytes(&f->client, "x", 1);
    write_bytes(&f->client, "y", 1);
    helper_turn(f->env);
    assert_in_range(f->client.written - before, 0, 1);
}

/* ---- connecting ---- */

static void nobody_listening_is_refused(void **state)
{
    struct fixture *f = *state;
    uint16_t port = env_listener_port(f->listener);
    env_listener_close(f->listener);
    f->listener = NULL;
    start_connect(f, "127.0.0.1", port);
    RUN_UNTIL(f->env, f->client.connected);
    assert_int_equal(f->client.connect_status, ERR_CONNECTION_REFUSED);
    struct job job = {.end = &f->client};
    struct slice s = slice_none();
    assert_int_equal(env_stream_write(f->client.stream, &job.req, &s, 1, on_written), ERR_CLOSED);
}

static void names_are_looked_up_and_all_addresses_tried(void **state)
{
    struct fixture *f = *state;
    start_connect(f, "localhost", env_listener_port(f->listener)); /* maybe ::1 first, where nobody listens */
    RUN_UNTIL(f->env, f->client.connected && f->server.connected);
    assert_int_equal(f->client.connect_status, 0);
}

static void an_unknown_name_fails(void **state)
{
    struct fixture *f = *state;
    start_connect(f, "no-such-host.invalid", 1);
    RUN_UNTIL(f->env, f->client.connected);
    assert_true(f->client.connect_status == ERR_UNREACHABLE || f->client.connect_status == ERR_TIMED_OUT);
}

static void closing_while_connecting_cancels(void **state)
{
    struct fixture *f = *state;
    const char *const hosts[] = {"127.0.0.1", "localhost"};
    for (int turns = 0; turns < 2; turns++) {
        for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
            struct end e = {0};
            uint16_t port = env_listener_port(f->listener);
            assert_int_equal(env_connect(f->env, hosts[i], port, TIMEOUT_NS, &e.stream, on_connect, &e), 0);
            for (int turn = 0; turn < turns && !e.connected; turn++)
                env_run_once(f->env, false);
            bool connected = e.connected;
            env_stream_close(e.stream, on_closed, &e);
            assert_int_equal(e.connected, connected);
            RUN_UNTIL(f->env, e.closed);
            assert_true(e.connected);
            assert_int_equal(e.connect_status, connected ? 0 : ERR_CANCELED);
            if (f->server.stream != NULL) {
                end_release(f, &f->server);
                f->server = (struct end){0};
            }
        }
    }
}

static int plain_socket(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd;
}

/* A listener that accepts nothing and whose backlog is full leaves connects unanswered. */
static void connecting_times_out(void **state)
{
    enum { FILLERS = 4 };
    struct fixture *f = *state;
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int fillers[FILLERS];
    int full = plain_socket(&address);
    assert_int_equal(bind(full, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(full, 0), 0);
    assert_int_equal(getsockname(full, (struct sockaddr *)&address, &size), 0);
    for (int i = 0; i < FILLERS; i++) {
        struct sockaddr_in unused;
        fillers[i] = plain_socket(&unused);
        (void)connect(fillers[i], (struct sockaddr *)&address, size);
    }
    uint16_t port = ntohs(address.sin_port);
    uint64_t start_ns = env_clock_ns(f->env);
    assert_int_equal(
        env_connect(f->env, "127.0.0.1", port, 20 * MS, &f->client.stream, on_connect, &f->client), 0);
    RUN_UNTIL(f->env, f->client.connected);
    assert_int_equal(f->client.connect_status, ERR_TIMED_OUT);
    assert_true(env_clock_ns(f->env) - start_ns >= 20 * MS);
    close(full);
    for (int i = 0; i < FILLERS; i++)
        close(fillers[i]);
}

/* ---- listening ---- */

static void a_port_in_use_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct env_listener *second;
    uint16_t port = env_listener_port(f->listener);
    assert_true(port > 0);
    assert_int_equal(env_listen(f->env, "127.0.0.1", port, &second, on_accept, f), ERR_ADDRESS_IN_USE);
    env_listener_close(f->listener);
    assert_int_equal(env_listen(f->env, "127.0.0.1", port, &f->listener, on_accept, f), 0);
    connect_both(f);
}

static rlim_t limit_files(rlim_t limit)
{
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    rlim_t before = files.rlim_cur;
    files.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    return before;
}

/* The connection waits until there are descriptors again, and the loop does not spin meanwhile. */
static void out_of_descriptors_pauses_accepting(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in address;
    int peer = plain_socket(&address);
    address.sin_port = htons(env_listener_port(f->listener));
    (void)connect(peer, (struct sockaddr *)&address,
                  sizeof(address)); /* the kernel takes it into the backlog */
    rlim_t before = limit_files(3);
    uint64_t end_ns = env_clock_ns(f->env) + 30 * MS;
    unsigned turns = 0;
    for (; env_clock_ns(f->env) < end_ns; turns++)
        helper_turn(f->env);
    limit_files(before);
    assert_false(f->server.connected);
    assert_true(turns < 30);
    RUN_UNTIL(f->env, f->server.connected);
    close(peer);
}

/* ---- order ---- */

struct ordered {
    struct env_write req;
    unsigned number;
    unsigned *next;
};

static void on_ordered(struct env_write *req, int status)
{
    struct ordered *o = container_of(req, struct ordered, req);
    assert_int_equal(status, 0);
    assert_int_equal(o->number, *o->next);
    (*o->next)++;
}

static void writes_end_in_the_order_in_which_they_began(void **state)
{
    enum { WRITES = 400 };
    struct fixture *f = *state;
    struct ordered *writes = memory_zalloc(WRITES * sizeof(*writes));
    unsigned next = 0;
    size_t total = 0;
    struct prng p;
    prng_init(&p, 11);
    connect_both(f);
    env_stream_read_start(f->server.stream, &callbacks, &f->server);
    for (unsigned i = 0; i < WRITES; i++) {
        size_t size = prng_below(&p, 8) == 0 ? 300000 : prng_below(&p, 100);
        struct slice s = {.owner = buf_create(size)};
        s.data = s.owner->data;
        s.size = size;
        memset(s.data, (int)i, size);
        writes[i].number = i;
        writes[i].next = &next;
        total += size;
        assert_int_equal(env_stream_write(f->client.stream, &writes[i].req, &s, 1, on_ordered), 0);
        if (prng_below(&p, 4) == 0)
            env_run_once(f->env, false);
    }
    RUN_UNTIL(f->env, next == WRITES && f->server.seen_size == total);
    free(writes);
}

#define WITH_LISTENER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LISTENER(a_small_message_echoes),
        WITH_LISTENER(an_empty_write_completes),
        WITH_LISTENER(large_writes_arrive_whole),
        WITH_LISTENER(stopping_to_read_is_back_pressure),
        WITH_LISTENER(writes_end_in_the_order_in_which_they_began),
        WITH_LISTENER(the_peer_hears_of_a_close),
        WITH_LISTENER(closing_cancels_pending_writes),
        WITH_LISTENER(closing_in_the_turn_of_a_write_reports_it_first),
        WITH_LISTENER(writing_to_a_peer_that_is_gone_fails),
        WITH_LISTENER(nobody_listening_is_refused),
        WITH_LISTENER(names_are_looked_up_and_all_addresses_tried),
        WITH_LISTENER(an_unknown_name_fails),
        WITH_LISTENER(closing_while_connecting_cancels),
        WITH_LISTENER(connecting_times_out),
        WITH_LISTENER(a_port_in_use_is_an_error),
        WITH_LISTENER(out_of_descriptors_pauses_accepting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
