#include "tests/unit/proto/helper_random.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void random_init(struct prng *p, const char *test)
{
    const char *given = getenv("SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 20);
    printf("%s: SEED=%llu\n", test, (unsigned long long)seed);
    prng_init(p, seed);
}

void random_fill(struct prng *p, void *data, size_t size)
{
    unsigned char *out = data;
    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)prng_next(p);
}
