#include "node/consensus/bulk_rate.h"
#include <string.h>

#define MS       ((uint64_t)1000000)
#define NS_PER_S (1000 * MS)

/* Nobody has been waiting for so long that the next one will hardly come within a piece of bulk work. */
static const uint64_t idle_ns = 50 * MS;
/* A mean of fewer appends, or of a shorter time, is one sync's luck. */
static const uint64_t interval_least_ns = 50 * MS;
enum { INTERVAL_LEAST_APPENDS = 8 };
/* The node's best is that of eight such windows: a disk that has become slower is known as such by then. */
static const uint64_t window_ns = 5 * NS_PER_S;
/* Nobody notices less, and a clock read twice is no better. */
static const uint64_t delay_least_ns = MS / 10;

static const uint64_t step_bytes_per_s = 2 * 1024 * 1024;
static const uint64_t most_bytes_per_s = (uint64_t)4 * 1024 * 1024 * 1024;

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

void bulk_rate_init(struct bulk_rate *r)
{
    memset(r, 0, sizeof *r);
    r->bytes_per_s = BULK_FLOOR_BYTES_PER_S;
}

/* ---- the base: how long an append takes at best ---- */

static void note_base(struct bulk_rate *r, uint64_t now_ns, uint64_t mean_ns)
{
    if (now_ns - r->window_began_ns >= window_ns) {
        r->window = (r->window + 1) % BULK_BASES;
        r->window_began_ns = now_ns;
        r->bases_ns[r->window] = 0;
    }
    uint64_t *base = &r->bases_ns[r->window];
    if (*base == 0 || mean_ns < *base)
        *base = mean_ns;
}

static uint64_t base(const struct bulk_rate *r)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < BULK_BASES; i++)
        if (r->bases_ns[i] != 0 && r->bases_ns[i] < least)
            least = r->bases_ns[i];
    return least;
}

static bool is_delayed(const struct bulk_rate *r, uint64_t mean_ns)
{
    uint64_t base_ns = base(r);
    return mean_ns > base_ns + (base_ns > delay_least_ns ? base_ns : delay_least_ns);
}

/* ---- intervals ---- */

/* Smoothed, because large batches come unevenly. */
static void note_appended(struct bulk_rate *r, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - r->interval.began_ns;
    uint64_t per_s = (uint64_t)((double)r->interval.bytes * (double)NS_PER_S / (double)(took_ns + 1));
    r->appended_per_s = (3 * r->appended_per_s + per_s) / 4;
}

static void end_interval(struct bulk_rate *r, uint64_t now_ns)
{
    uint64_t mean_ns = r->interval.sum_ns / r->interval.count + 1;
    note_base(r, now_ns, mean_ns);
    note_appended(r, now_ns);
    if (is_delayed(r, mean_ns)) {
        r->bytes_per_s /= 2;
        r->times_lowered++;
    } else {
        r->bytes_per_s += step_bytes_per_s;
    }
    uint64_t floor = clamp(BULK_FLOOR_APPENDED * r->appended_per_s, BULK_FLOOR_BYTES_PER_S, most_bytes_per_s);
    r->bytes_per_s = clamp(r->bytes_per_s, floor, most_bytes_per_s);
    r->interval.count = 0;
}

static bool is_idle(const struct bulk_rate *r, uint64_t now_ns)
{
    return !r->has_appended || now_ns - r->appended_ns > idle_ns;
}

void bulk_rate_note(struct bulk_rate *r, uint64_t now_ns, uint64_t took_ns, size_t bytes)
{
    if (r->interval.count == 0 || is_idle(r, now_ns)) {
        memset(&r->interval, 0, sizeof r->interval);
        r->interval.began_ns = now_ns;
    }
    r->has_appended = true;
    r->appended_ns = now_ns;
    r->interval.count++;
    r->interval.sum_ns += took_ns;
    r->interval.bytes += bytes;
    if (r->interval.count >= INTERVAL_LEAST_APPENDS && now_ns - r->interval.began_ns >= interval_least_ns)
        end_interval(r, now_ns);
}

uint64_t bulk_rate_now(const struct bulk_rate *r, uint64_t now_ns)
{
    return is_idle(r, now_ns) ? BULK_UNLIMITED : r->bytes_per_s;
}
