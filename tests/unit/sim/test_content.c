/* Contents that share pages behave like two arrays of bytes that share none. */
#include "node/base/memory.h"
#include "node/base/prng.h"
#include "tests/sim/env_sim_content.h"
#include "tests/unit/sim/helper_sim.h"
#include <stdlib.h>
#include <string.h>

enum { SIZE = 20000, OPERATIONS = 40, ROUNDS = 300 };

/* A content, and what it must be. */
struct copy {
    struct content content;
    unsigned char bytes[SIZE];
    uint64_t size;
};

static void put(struct copy *c, struct prng *prng)
{
    unsigned char data[6000];
    size_t size = 1 + prng_below(prng, sizeof(data));
    uint64_t position = prng_below(prng, SIZE - size);
    memset(data, (int)prng_below(prng, 256), size);
    content_write(&c->content, data, size, position);
    memcpy(c->bytes + position, data, size);
    c->size = position + size > c->size ? position + size : c->size;
}

static void resize(struct copy *c, uint64_t size)
{
    content_resize(&c->content, size);
    memset(c->bytes + size, 0, SIZE - size);
    c->size = size;
}

static void assert_intact(const struct copy *c)
{
    unsigned char bytes[SIZE];
    assert_int_equal(c->content.size, c->size);
    assert_int_equal(content_read(&c->content, bytes, SIZE, 0), c->size);
    assert_memory_equal(bytes, c->bytes, c->size);
}

static void share(struct copy *to, const struct copy *from, uint64_t first, uint64_t end)
{
    content_share(&to->content, &from->content, (size_t)(end - first), first);
    content_resize(&to->content, from->size);
    memcpy(to->bytes, from->bytes, SIZE);
    to->size = from->size;
}

/* All that changed is shared, in one piece; then both go their own ways. */
static void round_of(struct copy *live, struct copy *durable, struct prng *prng)
{
    for (unsigned i = 0; i < OPERATIONS; i++) {
        if (prng_below(prng, 4) == 0)
            resize(live, prng_below(prng, SIZE));
        else
            put(live, prng);
        assert_intact(durable);
    }
    assert_intact(live);
    if (prng_below(prng, 2) == 0) {
        share(durable, live, 0, SIZE);
    } else {
        content_copy(&durable->content, &live->content);
        memcpy(durable->bytes, live->bytes, SIZE);
        durable->size = live->size;
    }
    assert_intact(durable);
    if (prng_below(prng, 2) == 0)
        put(durable, prng);
    if (prng_below(prng, 2) == 0)
        resize(durable, prng_below(prng, SIZE));
    assert_intact(durable);
    assert_intact(live);
}

static void shared_pages_change_for_one_only(void **state)
{
    (void)state;
    struct copy *live = memory_zalloc(sizeof(*live)), *durable = memory_zalloc(sizeof(*durable));
    struct prng prng;
    prng_init(&prng, 1);
    for (unsigned i = 0; i < ROUNDS; i++)
        round_of(live, durable, &prng);
    content_close(&live->content);
    content_close(&durable->content);
    free(live);
    free(durable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_pages_change_for_one_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
