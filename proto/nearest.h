/* "Did you mean ...?": the name in a list that is closest to what somebody typed. */
#ifndef PROTO_NEAREST_H
#define PROTO_NEAREST_H

#include <stddef.h>

/* The name among `names` with the smallest edit distance to `name` (Levenshtein; case and the separators `-`,
 * `_` and `.` are taken as equal), the first of equals. NULL when none is close enough to be a plausible
 * slip. */
const char *nearest_name(const char *name, const char *const *names, size_t count);

#endif
