/* Assertions of our own, on in release builds: a broken invariant stops the process before it can damage
 * data. Never used on bytes from the network or the disk; those give errors. */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

struct logger;

/* Prints the expression and place, dumps the ring of recent log lines of every registered logger, and aborts.
 */
_Noreturn void assert_failed(const char *expression, const char *file, int line, const char *function);

#define ASSERT(expression) ((expression) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__, __func__))

/* Called by the logger for itself: from now on its ring is part of the dump. Thread-safe. */
void assert_register_logger(const struct logger *l);
void assert_unregister_logger(const struct logger *l);

#endif
