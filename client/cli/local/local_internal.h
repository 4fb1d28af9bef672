/* What the files of this folder share. */
#ifndef CLI_LOCAL_INTERNAL_H
#define CLI_LOCAL_INTERNAL_H

#include "client/cli/local/local.h"

/* Says what failed in c->error; always false. */
bool local_fail(struct local_cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* NULL, with an error, when there is none. */
struct local_node *local_find_node(struct local_cluster *c, unsigned id);

#endif
