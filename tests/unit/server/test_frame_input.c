/* Bytes in any pieces become the same frames; memory follows what has arrived; garbage is refused, never
 * followed. */
#include "node/base/prng.h"
#include "node/server/frame_input.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { MAX_HEADER = 1024 * 1024, FRAMES = 60, MIB = 1024 * 1024 };

static uint64_t seed;

struct fixture {
    struct read_pool pool;
    struct frame_input input;
};

static void fixture_init(struct fixture *f)
{
    read_pool_init(&f->pool);
    frame_input_init(&f->input, &f->pool, FRAME_MAX_SIZE, MAX_HEADER);
}

static void fixture_close(struct fixture *f)
{
    frame_input_close(&f->input);
    read_pool_close(&f->pool);
}

static void append_frame(struct bytes *out, uint64_t correlation, size_t header_size, size_t payload_size)
{
    unsigned char *at = bytes_extend(out, FRAME_HEAD_SIZE + header_size + payload_size);
    frame_head_encode(at, FRAME_PRODUCE, 0, correlation, header_size, payload_size);
    at += FRAME_HEAD_SIZE;
    for (size_t i = 0; i < header_size + payload_size; i++)
        at[i] = (unsigned char)(correlation * 31 + i);
}

static void check_frame(const struct client_frame *frame, uint64_t correlation)
{
    size_t header_size = frame->head.header_length;
    assert_int_equal(frame->head.correlation, correlation);
    assert_int_equal(frame->payload.size, frame_payload_size(&frame->head));
    for (size_t i = 0; i < header_size; i++)
        assert_int_equal(frame->header[i], (unsigned char)(correlation * 31 + i));
    for (size_t i = 0; i < frame->payload.size; i++)
        if (frame->payload.data[i] != (unsigned char)(correlation * 31 + header_size + i))
            fail_msg("payload of frame %llu differs at %zu", (unsigned long long)correlation, i);
}

/* Gives up to `size` bytes to the input, as one read would; returns how many it took. */
static size_t feed(struct frame_input *in, const unsigned char *data, size_t size)
{
    unsigned char *into;
    size_t space;
    frame_input_space(in, &into, &space);
    assert_true(space > 0);
    if (size > space)
        size = space;
    memcpy(into, data, size);
    frame_input_filled(in, size);
    return size;
}

struct stream {
    struct bytes bytes;
    size_t sent;
    uint64_t next; /* correlation that must come next */
    struct slice kept[FRAMES];
    struct client_frame kept_frames[FRAMES];
};

static void stream_init(struct stream *s, struct prng *prng, size_t max_payload)
{
    memset(s, 0, sizeof(*s));
    bytes_init(&s->bytes);
    for (uint64_t i = 0; i < FRAMES; i++)
        append_frame(&s->bytes, i, prng_below(prng, 200), prng_below(prng, max_payload + 1));
}

/* Takes the whole frames there are, keeping each payload's reference until the end. */
static void drain(struct stream *s, struct frame_input *in, uint64_t limit)
{
    struct client_frame frame;
    int rv = 0;
    while (limit-- > 0 && (rv = frame_input_next(in, &frame)) == 1) {
        check_frame(&frame, s->next);
        s->kept[s->next] = frame.payload;
        s->kept_frames[s->next] = frame;
        s->next++;
    }
    assert_true(rv >= 0);
    frame_input_settle(in);
}

static void stream_finish(struct stream *s)
{
    assert_int_equal(s->next, FRAMES);
    for (uint64_t i = 0; i < FRAMES; i++) {
        struct client_frame *f = &s->kept_frames[i];
        size_t header_size = f->head.header_length;
        for (size_t k = 0; k < s->kept[i].size; k++)
            if (s->kept[i].data[k] != (unsigned char)(i * 31 + header_size + k))
                fail_msg("payload %llu changed after it was handed out", (unsigned long long)i);
        slice_unref(&s->kept[i]);
    }
    bytes_close(&s->bytes);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    struct fixture f;
    struct stream s;
    struct prng prng;
    prng_init(&prng, seed);
    fixture_init(&f);
    stream_init(&s, &prng, 300);
    while (s.sent < s.bytes.size) {
        s.sent += feed(&f.input, s.bytes.data + s.sent, 1);
        drain(&s, &f.input, UINT64_MAX);
    }
    stream_finish(&s);
    assert_int_equal(frame_input_held(&f.input), 0);
    fixture_close(&f);
}

/* Several connections take turns on one pool, in pieces of any size, and are paused with frames left over. */
static void test_random_pieces(void **state)
{
    (void)state;
    enum { STREAMS = 4 };
    static const size_t payloads[STREAMS] = {100, 20000, 200000, 3 * MIB};
    struct read_pool pool;
    struct frame_input inputs[STREAMS];
    static struct stream streams[STREAMS];
    struct prng prng;
    prng_init(&prng, seed);
    read_pool_init(&pool);
    for (int i = 0; i < STREAMS; i++) {
        frame_input_init(&inputs[i], &pool, FRAME_MAX_SIZE, MAX_HEADER);
        stream_init(&streams[i], &prng, payloads[i]);
    }
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < STREAMS; i++) {
            struct stream *s = &streams[i];
            size_t left = s->bytes.size - s->sent, piece = 1 + prng_below(&prng, 400000);
            if (left > 0)
                s->sent += feed(&inputs[i], s->bytes.data + s->sent, left < piece ? left : piece);
            drain(s, &inputs[i], prng_below(&prng, 4) == 0 ? 1 : UINT64_MAX);
            more = more || s->next < FRAMES;
        }
    }
    for (int i = 0; i < STREAMS; i++) {
        stream_finish(&streams[i]);
        frame_input_close(&inputs[i]);
    }
    read_pool_close(&pool);
}

static void test_large_frame_stays_one_piece(void **state)
{
    (void)state;
    struct fixture f;
    struct bytes bytes;
    struct client_frame frame;
    fixture_init(&f);
    bytes_init(&bytes);
    append_frame(&bytes, 7, 20, 40 * MIB);
    size_t sent = 0;
    int rv = 0;
    while (rv == 0) {
        sent += feed(&f.input, bytes.data + sent, bytes.size - sent);
        rv = frame_input_next(&f.input, &frame);
        if (rv == 0)
            frame_input_settle(&f.input);
    }
    assert_int_equal(rv, 1);
    check_frame(&frame, 7);
    frame_input_settle(&f.input);
    slice_unref(&frame.payload);
    bytes_close(&bytes);
    fixture_close(&f);
}

/* Who announces 70 MiB and sends a few bytes gets the first buffer, no more. */
/* A stream of large frames: the bytes that are moved from the shared chunk are few, and each frame's rest is
 * read right behind them. */
static void test_large_frames_are_hardly_moved(void **state)
{
    (void)state;
    enum { FRAME_BYTES = 256 * 1024, HARDLY = 8 * 1024 };
    struct fixture f;
    struct client_frame frame;
    struct bytes out;
    fixture_init(&f);
    bytes_init(&out);
    for (uint64_t n = 0; n < 5; n++) {
        append_frame(&out, n, 10, FRAME_BYTES);
        append_frame(&out, n + 1, 10, FRAME_BYTES); /* follows at once */
        size_t frame_bytes = out.size / 2;
        size_t first = feed(&f.input, out.data, out.size);
        if (n > 0)
            assert_true(first <= HARDLY);
        for (size_t sent = first; sent < frame_bytes;) {
            assert_int_equal(frame_input_next(&f.input, &frame), 0);
            frame_input_settle(&f.input);
            sent += feed(&f.input, out.data + sent, frame_bytes - sent);
        }
        assert_int_equal(frame_input_next(&f.input, &frame), 1);
        check_frame(&frame, n);
        slice_unref(&frame.payload);
        frame_input_settle(&f.input);
        bytes_clear(&out);
    }
    bytes_close(&out);
    fixture_close(&f);
}

static void test_memory_follows_what_arrived(void **state)
{
    (void)state;
    struct fixture f;
    struct client_frame frame;
    unsigned char head[FRAME_HEAD_SIZE + 1] = {0};
    fixture_init(&f);
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, 20, 70 * MIB);
    assert_int_equal(feed(&f.input, head, sizeof(head)), sizeof(head));
    assert_int_equal(frame_input_next(&f.input, &frame), 0);
    frame_input_settle(&f.input);
    assert_in_range(frame_input_held(&f.input), 1, READ_FIRST_GROWTH);
    fixture_close(&f);
}

/* A small payload must not keep a whole chunk alive for as long as a log's cache keeps the batch. */
static void test_small_payload_pins_little(void **state)
{
    (void)state;
    struct fixture f;
    struct bytes bytes;
    struct client_frame frame;
    fixture_init(&f);
    bytes_init(&bytes);
    append_frame(&bytes, 1, 10, 500);
    feed(&f.input, bytes.data, bytes.size);
    assert_int_equal(frame_input_next(&f.input, &frame), 1);
    assert_true(frame.payload.owner->capacity <= 4 * frame.payload.size);
    frame_input_settle(&f.input);
    assert_int_equal(frame_input_held(&f.input), 0); /* idle: nothing */
    slice_unref(&frame.payload);
    bytes_close(&bytes);
    fixture_close(&f);
}

static int first_result(const void *data, size_t size)
{
    struct fixture f;
    struct client_frame frame;
    fixture_init(&f);
    feed(&f.input, data, size);
    int rv = frame_input_next(&f.input, &frame);
    if (rv == 1)
        slice_unref(&frame.payload);
    fixture_close(&f);
    return rv;
}

static void test_bad_lengths(void **state)
{
    (void)state;
    unsigned char head[FRAME_HEAD_SIZE];
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, 0, (size_t)1 << 30);
    assert_int_equal(first_result(head, sizeof(head)), ERR_TOO_LARGE);
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, MAX_HEADER + 1, 0);
    assert_int_equal(first_result(head, sizeof(head)), ERR_TOO_LARGE);
    frame_head_encode(head, FRAME_PRODUCE, 0, 1, 10, 0);
    store_le32(head + 4, 1000); /* a header longer than the frame */
    assert_int_equal(first_result(head, sizeof(head)), ERR_PROTOCOL);
    memset(head, 0, sizeof(head));
    assert_int_equal(first_result(head, sizeof(head)), ERR_PROTOCOL);
}

static void test_foreign_protocols(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    feed(&f.input, (const unsigned char *)"GET", 3);
    assert_null(frame_input_first(&f.input)); /* too early to tell */
    frame_input_settle(&f.input);
    feed(&f.input, (const unsigned char *)" / HTTP/1.1\r\n", 13);
    assert_string_equal(frame_sniff_foreign(frame_input_first(&f.input)), "HTTP");
    fixture_close(&f);
}

/* Random bytes, and good frames with some bytes changed: any result but a crash, and never an endless loop.
 */
static void test_garbage(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, seed);
    for (int round = 0; round < 2000; round++) {
        struct fixture f;
        struct bytes bytes;
        struct client_frame frame;
        fixture_init(&f);
        bytes_init(&bytes);
        for (int i = 0; i < 5; i++)
            append_frame(&bytes, prng_next(&prng), prng_below(&prng, 50), prng_below(&prng, 500));
        for (uint64_t i = prng_below(&prng, 40); i > 0; i--)
            bytes.data[prng_below(&prng, bytes.size)] = (unsigned char)prng_next(&prng);
        int rv = 0;
        for (size_t sent = 0; sent < bytes.size && rv >= 0;) {
            size_t left = bytes.size - sent, piece = 1 + prng_below(&prng, 300);
            sent += feed(&f.input, bytes.data + sent, left < piece ? left : piece);
            while ((rv = frame_input_next(&f.input, &frame)) == 1)
                slice_unref(&frame.payload);
            frame_input_settle(&f.input);
            assert_true(frame_input_held(&f.input) <= READ_FIRST_GROWTH);
        }
        bytes_close(&bytes);
        fixture_close(&f);
    }
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_random_pieces),
        cmocka_unit_test(test_large_frame_stays_one_piece),
        cmocka_unit_test(test_large_frames_are_hardly_moved),
        cmocka_unit_test(test_memory_follows_what_arrived),
        cmocka_unit_test(test_small_payload_pins_little),
        cmocka_unit_test(test_bad_lengths),
        cmocka_unit_test(test_foreign_protocols),
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
