/* Small internal allocations abort on out-of-memory. Sizes that a peer controls are bounded before they get here. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stddef.h>

void *memory_alloc(size_t size);              /* uninitialised */
void *memory_zalloc(size_t size);             /* zeroed */
void *memory_realloc(void *p, size_t size);
char *memory_strdup(const char *text);
void *memory_dup(const void *data, size_t size);

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
