#include "node/server/kafka/quota.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#define MS     ((uint64_t)1000000)
#define SECOND (MS * 1000)

struct quota_client {
    UT_hash_handle hh;
    struct queue node;
    uint64_t even_ns; /* when all that it has moved is paid */
    size_t id_size;
    unsigned char id[];
};

void quota_init(struct quota *q, uint64_t bytes_per_s)
{
    *q = (struct quota){.bytes_per_s = bytes_per_s};
    queue_init(&q->by_use);
}

static struct quota_client *longest_unused(struct quota *q)
{
    return QUEUE_ENTRY(queue_first(&q->by_use), struct quota_client, node);
}

static void forget(struct quota *q, struct quota_client *c)
{
    HASH_DEL(q->clients, c);
    queue_remove(&c->node);
    q->count--;
    free(c);
}

void quota_close(struct quota *q)
{
    while (q->count > 0)
        forget(q, longest_unused(q));
}

/* From here on it counts: what was not used before is lost. */
static uint64_t burst_start(uint64_t now_ns)
{
    return now_ns > QUOTA_BURST_MS * MS ? now_ns - QUOTA_BURST_MS * MS : 0;
}

static void make_room(struct quota *q, uint64_t now_ns)
{
    while (q->count > 0 &&
           (q->count >= QUOTA_CLIENTS_MAX || longest_unused(q)->even_ns <= burst_start(now_ns)))
        forget(q, longest_unused(q));
}

static struct quota_client *find(struct quota *q, uint64_t now_ns, const void *id, size_t size)
{
    struct quota_client *c;
    HASH_FIND(hh, q->clients, id, size, c);
    if (c != NULL) {
        queue_remove(&c->node);
        queue_push(&q->by_use, &c->node);
        return c;
    }
    make_room(q, now_ns);
    c = memory_zalloc(sizeof(*c) + size);
    memcpy(c->id, id, size);
    c->id_size = size;
    HASH_ADD_KEYPTR(hh, q->clients, c->id, size, c);
    queue_push(&q->by_use, &c->node);
    q->count++;
    return c;
}

uint32_t quota_charge(struct quota *q, uint64_t now_ns, const void *id, size_t id_size, uint64_t bytes)
{
    if (q->bytes_per_s == 0)
        return 0;
    size_t size = id_size < QUOTA_ID_MAX ? id_size : QUOTA_ID_MAX;
    struct quota_client *c = find(q, now_ns, size > 0 ? id : "", size);
    if (c->even_ns < burst_start(now_ns))
        c->even_ns = burst_start(now_ns);
    c->even_ns += bytes * SECOND / q->bytes_per_s;
    uint64_t wait_ms = c->even_ns > now_ns ? (c->even_ns - now_ns + MS - 1) / MS : 0;
    return wait_ms < QUOTA_WAIT_MAX_MS ? (uint32_t)wait_ms : QUOTA_WAIT_MAX_MS;
}

size_t quota_portion(const struct quota *q)
{
    uint64_t bytes = q->bytes_per_s * QUOTA_BURST_MS / 1000;
    return q->bytes_per_s == 0 || bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes;
}
