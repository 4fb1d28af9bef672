/* When each group's core is to be ticked next. Most groups are idle most of the time, and a tick would only
 * find that it is too early: the times stand in one array, so that those groups are not even looked at. */
#ifndef CONSENSUS_TICKS_H
#define CONSENSUS_TICKS_H

#include <stddef.h>
#include <stdint.h>

struct group;

struct tick {
    uint64_t due_ms; /* 0: at the next turn */
    struct group *group;
};

struct ticks {
    struct tick *ticks; /* private */
    size_t count;
    size_t capacity;
};

void ticks_add(struct ticks *t, struct group *g);
void ticks_remove(struct ticks *t, struct group *g);
void ticks_close(struct ticks *t);
/* Something changed: the group is ticked at the next turn, and then says when again. */
void ticks_soon(struct ticks *t, const struct group *g);
/* Ticks what is due. A tick may remove its group. */
void ticks_run(struct ticks *t, uint64_t now_ms);

#endif
