/* Bounds the log lines that strangers can cause: of each message, one line per host and interval, with the
 * number of lines that were held back since the last one. Memory is bounded too: when more hosts take part
 * than there are slots, the rest share one. Loop only, as the logger. */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include "node/base/logger.h"

enum { LOG_LIMIT_HOSTS = 64, LOG_LIMIT_INTERVAL_MS = 10000 };

/* All zeros is a fresh one. */
struct log_limit {
    struct log_limit_slot {
        uint64_t key; /* of message and host; 0: free */
        uint64_t until_ms;
        uint64_t held_back;
    } slots[LOG_LIMIT_HOSTS + 1]; /* private; the last is shared */
};

/* Whether the line may be written: -1 no; else how many were held back since the last one. `peer` is
 * "host:port": the port does not count. */
int64_t log_limit_pass(struct log_limit *l, uint64_t now_ms, const char *message, const char *peer);

/* LOG with a limit; `fields` is a literal. */
#define LOG_LIMITED(limit, now_ms, peer, logger, level, message, fields, ...)                                \
    do {                                                                                                     \
        int64_t held_back_ = log_limit_pass((limit), (now_ms), (message), (peer));                           \
        if (held_back_ >= 0)                                                                                 \
            LOG((logger), (level), (message), fields " held_back=%lld", __VA_ARGS__, (long long)held_back_); \
    } while (0)

#endif
