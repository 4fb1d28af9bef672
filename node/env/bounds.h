/* Bounds so large that a run of some seconds never meets with what happens beyond them. The simulator makes
 * one or the other small in some of its runs, so that this happens often there, and together with every
 * fault. Outside of it each is as large as the place says that asks for it. */
#ifndef ENV_BOUNDS_H
#define ENV_BOUNDS_H

#include "node/env/env.h"

/* X(NAME, "what passes it") */
#define BOUND_TABLE(X)                                                                                       \
    X(APPEND_PIECE, "append_pieces")                                                                         \
    X(CATCHUP_CHUNK, "catchup_chunks")                                                                       \
    X(LOAD_CHUNK, "load_chunks")                                                                             \
    X(JOURNAL, "journal_compactions")                                                                        \
    X(COMPACTED_LOG, "log_compactions")

enum bound {
#define X(name, text) BOUND_##name,
    BOUND_TABLE(X)
#undef X
        BOUNDS
};

size_t env_bound(const struct env *env, enum bound bound, size_t usual, size_t small);
/* Something has passed it: counted, to know that it happens. [loop] */
void env_bound_passed(struct env *env, enum bound bound);

#endif
