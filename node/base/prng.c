#include "node/base/prng.h"
#include "node/base/assert.h"

/* splitmix64 (Steele, Lea, Flood): spreads a seed of any quality, also 0, over the whole state. */
static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

void prng_init(struct prng *p, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        p->state[i] = splitmix64(&seed);
}

uint64_t prng_next(struct prng *p)
{
    uint64_t *s = p->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* Multiply-shift with rejection (Lemire 2019), so that no value is favoured. */
uint64_t prng_below(struct prng *p, uint64_t bound)
{
    ASSERT(bound > 0);
    unsigned __int128 product = (unsigned __int128)prng_next(p) * bound;
    if ((uint64_t)product < bound) { /* else it is not rejected, and the division is saved */
        uint64_t rejected = -bound % bound;
        while ((uint64_t)product < rejected)
            product = (unsigned __int128)prng_next(p) * bound;
    }
    return (uint64_t)(product >> 64);
}
