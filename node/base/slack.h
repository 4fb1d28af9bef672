/* Memory that malloc keeps although it has been freed. Taken again soon, it saves a page fault for every
 * page; what nobody has taken again for some seconds only makes the process large. */
#ifndef BASE_SLACK_H
#define BASE_SLACK_H

#include <stdbool.h>
#include <stddef.h>

enum { SLACK_LOOKS = 4 };

/* The last looks at it. Zeroed to begin with. */
struct slack {
    size_t bytes[SLACK_LOOKS];
    unsigned looks;
};

/* In pages that the process has, but nobody uses. 0: not known. */
size_t slack_bytes(void);
/* To be told at even intervals how much there is. True: so much has lain idle for SLACK_LOOKS of them that it
 * should be given back; it counts anew from then on. */
bool slack_look(struct slack *s, size_t bytes);
/* Gives it back to the system. Takes some milliseconds for a hundred megabytes. */
void slack_release(void);

#endif
