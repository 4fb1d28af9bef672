#include "tests/sim/counters.h"
#include "node/base/assert.h"
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static unsigned place_of(const struct counters *c, const char *name)
{
    unsigned low = 0, high = c->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (strcmp(c->all[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct counters *c, unsigned i, const char *name)
{
    return i < c->count && strcmp(c->all[i].name, name) == 0;
}

static struct counter *find_or_add(struct counters *c, const char *name)
{
    unsigned i = place_of(c, name);
    if (is_at(c, i, name))
        return &c->all[i];
    ASSERT(c->count < COUNTERS_MAX && strlen(name) < COUNTER_NAME_SIZE);
    memmove(&c->all[i + 1], &c->all[i], (c->count - i) * sizeof(c->all[0]));
    c->count++;
    c->all[i] = (struct counter){.value = 0};
    snprintf(c->all[i].name, sizeof(c->all[i].name), "%s", name);
    return &c->all[i];
}

void counters_add(struct counters *c, const char *name, uint64_t value)
{
    unsigned *recent = &c->recent[((uintptr_t)name >> 3) % COUNTERS_RECENT];
    struct counter *counter = is_at(c, *recent, name) ? &c->all[*recent] : find_or_add(c, name);
    counter->value += value;
    *recent = (unsigned)(counter - c->all);
}

uint64_t counters_get(const struct counters *c, const char *name)
{
    unsigned i = place_of(c, name);
    return is_at(c, i, name) ? c->all[i].value : 0;
}

void counters_merge(struct counters *into, const struct counters *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        struct counter *counter = find_or_add(into, run->all[i].name);
        counter->value += run->all[i].value;
        counter->runs += run->all[i].value > 0;
    }
}

void counters_add_all(struct counters *into, const struct counters *runs)
{
    for (unsigned i = 0; i < runs->count; i++) {
        struct counter *counter = find_or_add(into, runs->all[i].name);
        counter->value += runs->all[i].value;
        counter->runs += runs->all[i].runs;
    }
}

void counters_print(const struct counters *c, FILE *out)
{
    for (unsigned i = 0; i < c->count; i++)
        fprintf(out, "  %-46s %12" PRIu64 "  in %" PRIu64 " runs\n", c->all[i].name, c->all[i].value,
                c->all[i].runs);
}
