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
    size_t left; /* between blocks in use, so that it cannot be given back */
};

/* In pages that the process has, but nobody uses. 0: not known. */
size_t slack_bytes(void);
/* To be told at even intervals how much there is. True: so much has lain idle for SLACK_LOOKS of them that it
 * should be given back; it counts anew from then on. */
bool slack_look(struct slack *s, size_t bytes);
/* Gives it back to the system. Takes some milliseconds for a hundred megabytes, and more where it lies in
 * small pieces, which stay. */
void slack_release(void);
/* How much there was still right after that: none of it is worth another try. */
void slack_note_left(struct slack *s, size_t bytes);

#endif
