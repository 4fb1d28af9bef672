#include "node/base/slack.h"
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

enum { WORTH_BYTES = 12 * 1024 * 1024, KEEP_BYTES = 4 * 1024 * 1024 };

/* What the process has of memory that belongs to no file. */
static size_t anonymous_bytes(void)
{
    unsigned long total, resident, shared;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    int n = fscanf(f, "%lu %lu %lu", &total, &resident, &shared);
    fclose(f);
    return n == 3 && resident > shared ? (resident - shared) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

size_t slack_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    size_t used = info.uordblks + info.hblkhd, held = anonymous_bytes();
    return held > used ? held - used : 0;
}

bool slack_look(struct slack *s, size_t bytes)
{
    if (bytes < s->left)
        s->left = bytes;
    s->bytes[s->looks++ % SLACK_LOOKS] = bytes;
    if (s->looks < SLACK_LOOKS)
        return false;
    for (unsigned i = 0; i < SLACK_LOOKS; i++)
        if (s->bytes[i] < s->left + WORTH_BYTES)
            return false;
    s->looks = 0;
    return true;
}

void slack_release(void)
{
    malloc_trim(KEEP_BYTES);
}

void slack_note_left(struct slack *s, size_t bytes)
{
    s->left = bytes;
}
