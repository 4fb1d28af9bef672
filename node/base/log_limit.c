#include "node/base/log_limit.h"
#include <string.h>

/* FNV-1a. */
static uint64_t hash(uint64_t seed, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ (unsigned char)text[i]) * 1099511628211u;
    return seed;
}

static uint64_t key_of(const char *message, const char *peer)
{
    const char *port = strrchr(peer, ':');
    uint64_t key = hash(14695981039346656037u, message, strlen(message));
    key = hash(key, peer, port != NULL ? (size_t)(port - peer) : strlen(peer));
    return key != 0 ? key : 1;
}

/* The one of this key, else one that is free or over, else the shared one. */
static struct log_limit_slot *find(struct log_limit *l, uint64_t key, uint64_t now_ms)
{
    struct log_limit_slot *usable = NULL;
    for (unsigned i = 0; i < LOG_LIMIT_HOSTS; i++) {
        struct log_limit_slot *slot = &l->slots[i];
        if (slot->key == key)
            return slot;
        if (slot->key == 0 || now_ms >= slot->until_ms)
            usable = slot;
    }
    if (usable == NULL)
        return &l->slots[LOG_LIMIT_HOSTS];
    *usable = (struct log_limit_slot){.key = key};
    return usable;
}

int64_t log_limit_pass(struct log_limit *l, uint64_t now_ms, const char *message, const char *peer)
{
    struct log_limit_slot *slot = find(l, key_of(message, peer), now_ms);
    if (now_ms < slot->until_ms) {
        slot->held_back++;
        return -1;
    }
    int64_t held_back = (int64_t)slot->held_back;
    slot->held_back = 0;
    slot->until_ms = now_ms + LOG_LIMIT_INTERVAL_MS;
    return held_back;
}
