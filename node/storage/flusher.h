/* Private to storage: how a log gets its turns. */
#ifndef STORAGE_FLUSHER_H
#define STORAGE_FLUSHER_H

#include "node/storage/log.h"

struct flusher_client {
    struct queue node; /* private */
    bool had_a_turn;   /* private */
    void (*start)(struct flusher_client *client);
};

struct flusher_round {
    uint64_t bytes;
    uint64_t write_ns;
    uint64_t sync_ns;
    bool sync_failed;
};

void flusher_client_init(struct flusher_client *client, void (*start)(struct flusher_client *client));
/* `start` is called at the end of this loop turn, or later when enough rounds are running; the first time
 * mostly after those that have had a turn before. No effect when it waits already. */
void flusher_submit(struct flusher *f, struct flusher_client *client);
void flusher_withdraw(struct flusher_client *client);
/* Ends the round that `start` began; `result` NULL when it began none. */
void flusher_finished(struct flusher *f, const struct flusher_round *result);

/* For work that can wait and would hurt others if many did it at once, such as giving space back: `start` is
 * called when no other such work is running, which flusher_patient_finished ends. */
void flusher_submit_patient(struct flusher *f, struct flusher_client *client);
void flusher_patient_finished(struct flusher *f);

#endif
