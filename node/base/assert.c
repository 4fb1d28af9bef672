#include "node/base/assert.h"
#include "node/base/logger.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The one process-wide table: an assertion has no context that could lead it to the loggers. Slots are atomic
 * so that a failure on a worker thread needs no lock. A logger that finds no free slot is left out of the
 * dump. */
enum { MAX_LOGGERS = 64 };
static _Atomic(const struct logger *) loggers[MAX_LOGGERS];

void assert_register_logger(const struct logger *l)
{
    for (int i = 0; i < MAX_LOGGERS; i++) {
        const struct logger *expected = NULL;
        if (atomic_compare_exchange_strong(&loggers[i], &expected, l))
            return;
    }
}

void assert_unregister_logger(const struct logger *l)
{
    for (int i = 0; i < MAX_LOGGERS; i++) {
        const struct logger *expected = l;
        if (atomic_compare_exchange_strong(&loggers[i], &expected, NULL))
            return;
    }
}

void assert_failed(const char *expression, const char *file, int line, const char *function)
{
    dprintf(STDERR_FILENO, "%s:%d: %s: assertion failed: %s\n", file, line, function, expression);
    for (int i = 0; i < MAX_LOGGERS; i++) {
        const struct logger *l = atomic_exchange(&loggers[i], NULL);
        if (l != NULL)
            logger_dump_recent(l, STDERR_FILENO);
    }
    abort();
}
