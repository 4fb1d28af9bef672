#include "node/base/prng.h"
#include "node/consensus/frame_reader.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { FRAMES = 300 };

struct expected {
    size_t sizes[FRAMES];
    unsigned seen;
    struct slice kept[FRAMES];
};

static unsigned char pattern(unsigned frame, size_t i)
{
    return (unsigned char)(frame * 31 + i * 7);
}

static int on_frame(void *data, const struct frame *frame)
{
    struct expected *e = data;
    unsigned n = e->seen++;
    assert_int_equal(frame->head.correlation, n);
    assert_int_equal(frame->head.header_length, 5);
    assert_memory_equal(frame->header, "hello", 5);
    assert_int_equal(frame->payload.size, e->sizes[n]);
    e->kept[n] = slice_ref(frame->payload);
    return 0;
}

static void feed(struct frame_reader *r, struct bytes *stream, struct prng *random, struct expected *e)
{
    for (size_t at = 0; at < stream->size;) {
        unsigned char *into;
        size_t size;
        frame_reader_alloc(r, &into, &size);
        assert_true(size > 0);
        size_t n = 1 + prng_below(random, prng_below(random, 10) ? 200000 : 30);
        n = n < size ? n : size;
        n = n < stream->size - at ? n : stream->size - at;
        memcpy(into, stream->data + at, n);
        at += n;
        assert_int_equal(frame_reader_feed(r, n, on_frame, e), 0);
    }
}

/* Frames of all sizes, cut anywhere; kept payloads stay what they were while the reader goes on. */
static void test_frames_survive_any_cut(void **state)
{
    (void)state;
    static struct expected e;
    uint64_t seed = 11;
    struct prng random;
    struct bytes stream;
    prng_init(&random, seed);
    bytes_init(&stream);
    for (unsigned f = 0; f < FRAMES; f++) {
        e.sizes[f] = prng_below(&random, f % 10 == 0 ? 400000 : 3000);
        frame_head_encode(bytes_extend(&stream, FRAME_HEAD_SIZE), FRAME_PEER_RAFT, 0, f, 5, e.sizes[f]);
        bytes_append(&stream, "hello", 5);
        unsigned char *payload = bytes_extend(&stream, e.sizes[f]);
        for (size_t i = 0; i < e.sizes[f]; i++)
            payload[i] = pattern(f, i);
    }
    struct frame_reader r;
    frame_reader_init(&r, FRAME_MAX_SIZE);
    feed(&r, &stream, &random, &e);
    frame_reader_close(&r);
    assert_int_equal(e.seen, FRAMES);
    for (unsigned f = 0; f < FRAMES; f++) {
        for (size_t i = 0; i < e.sizes[f]; i++)
            if (e.kept[f].data[i] != pattern(f, i))
                fail_msg("seed %llu frame %u byte %zu", (unsigned long long)seed, f, i);
        slice_unref(&e.kept[f]);
    }
    bytes_close(&stream);
}

static void test_garbage_is_an_error(void **state)
{
    (void)state;
    struct frame_reader r;
    unsigned char *into;
    size_t size;
    frame_reader_init(&r, FRAME_MAX_SIZE);
    frame_reader_alloc(&r, &into, &size);
    memset(into, 0xff, 64);
    assert_true(frame_reader_feed(&r, 64, on_frame, NULL) < 0);
    frame_reader_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_survive_any_cut),
        cmocka_unit_test(test_garbage_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
