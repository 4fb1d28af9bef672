/* Files for fuzz targets whose subject reads files: a directory in memory, and a real environment. */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include "node/env/env.h"

struct scratch {
    struct env *env;
    char directory[64];
};

/* The program's only one; it is removed when the program ends as it should. */
struct scratch *scratch_get(void);
/* "<directory>/<name>" */
void scratch_path(const struct scratch *s, const char *name, char *out, size_t size);
void scratch_write(const struct scratch *s, const char *name, const void *data, size_t size);
/* Removes all files. */
void scratch_clear(const struct scratch *s);

#endif
