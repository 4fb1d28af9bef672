/* Failures that pass by themselves and have harmed nothing: a full disk, no free file descriptor. What they
 * stopped is repeated; any other failure of a write ends the log or the journal. */
#ifndef STORAGE_TRANSIENT_H
#define STORAGE_TRANSIENT_H

#include "proto/error.h"
#include <stdbool.h>

static inline bool error_is_transient(int status)
{
    return status == ERR_NO_SPACE || status == ERR_TOO_MANY_FILES;
}

#endif
