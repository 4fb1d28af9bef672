/* How fast new replicas are created. Nobody waits for one as long as for an acknowledgement: while records
 * are stored on this node, a creation begins only after forty times as long as the last one took, so that
 * few records find one beside them: a p99 wants that of hardly more than one in a hundred. Few are soon over,
 * and are not held up for long: 12 for 15 ms. However many are wanted at once, their pauses take 25 s
 * together at most, so that whoever waits for a topic does not wait in vain. Without producers there is no
 * pause. */
#ifndef CLUSTER_PACE_H
#define CLUSTER_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t began_ns; /* the last creation */
    uint64_t took_ns;  /* a creation, of late: a moving average */
    uint64_t wanted;   /* since all that were wanted had begun */
};

/* When the next creation may begin; a record was last stored at `written_ns` (0: never). */
uint64_t pace_next_ns(const struct pace *p, uint64_t now_ns, uint64_t written_ns);
void pace_note_wanted(struct pace *p);
void pace_note_all_begun(struct pace *p);
void pace_note_begun(struct pace *p, uint64_t now_ns);
void pace_note_created(struct pace *p, uint64_t took_ns);

#endif
