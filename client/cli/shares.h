/* The partitions that a reader has at the moment, and which of them it has read to the end. */
#ifndef CLI_SHARES_H
#define CLI_SHARES_H

#include "client/cli/cli.h"

struct share {
    char topic[256];
    int32_t partition;
    bool at_end;
};
struct shares {
    struct share *list; /* by topic and partition */
    size_t count;
};

void shares_add(struct shares *s, const char *topic, int32_t partition); /* not at its end */
void shares_remove(struct shares *s, const char *topic, int32_t partition);
void shares_set_at_end(struct shares *s, const char *topic, int32_t partition, bool at_end);
bool shares_all_at_end(const struct shares *s);
/* "group email reads orders 0-2,5" */
void shares_print(const struct shares *s, const char *group, FILE *out);
void shares_close(struct shares *s);

#endif
