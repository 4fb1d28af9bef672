#include "node/base/metrics.h"

/* Bucket 0 holds all below 1024 ns; then each power of two up to 2^36 ns is cut into 8 equal parts; the last
 * bucket holds the rest. */
enum { FIRST_BITS = 10, PARTS_BITS = 3, PARTS = 1 << PARTS_BITS, LAST = HISTOGRAM_BUCKETS - 1 };

unsigned histogram_bucket_of(uint64_t ns)
{
    if (ns < (1u << FIRST_BITS))
        return 0;
    unsigned bits = 63 - (unsigned)__builtin_clzll(ns);
    unsigned part = (unsigned)(ns >> (bits - PARTS_BITS)) & (PARTS - 1);
    unsigned bucket = 1 + (bits - FIRST_BITS) * PARTS + part;
    return bucket < LAST ? bucket : LAST;
}

/* One past the largest value of a bucket that is not the last. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket == 0)
        return 1u << FIRST_BITS;
    unsigned bits = FIRST_BITS + (bucket - 1) / PARTS;
    uint64_t part = (bucket - 1) % PARTS;
    return (PARTS + part + 1) << (bits - PARTS_BITS);
}

void histogram_record(struct histogram *h, uint64_t ns)
{
    h->counts[histogram_bucket_of(ns)]++;
    h->count++;
    h->sum_ns += ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

/* The rank, counted from 1, of the quantile. */
static uint64_t rank_of(const struct histogram *h, double quantile)
{
    if (quantile <= 0)
        return 1;
    double exact = quantile * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact)
        rank++;
    if (rank == 0)
        return 1;
    return rank < h->count ? rank : h->count;
}

uint64_t histogram_quantile(const struct histogram *h, double quantile)
{
    if (h->count == 0)
        return 0;
    uint64_t rank = rank_of(h, quantile);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LAST; i++) {
        seen += h->counts[i];
        if (seen >= rank)
            return bucket_end(i) - 1 < h->max_ns ? bucket_end(i) - 1 : h->max_ns;
    }
    return h->max_ns;
}
