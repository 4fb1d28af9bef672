#include "node/base/memory.h"
#include "node/base/assert.h"
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
    if (p == NULL)
        assert_failed("out of memory", __FILE__, __LINE__, __func__);
    return p;
}

/* malloc(0) may return NULL, which must not look like a failure. */
static size_t at_least_one(size_t size)
{
    return size == 0 ? 1 : size;
}

void *memory_alloc(size_t size)
{
    return checked(malloc(at_least_one(size)));
}

void *memory_zalloc(size_t size)
{
    return checked(calloc(1, at_least_one(size)));
}

void *memory_realloc(void *p, size_t size)
{
    return checked(realloc(p, at_least_one(size)));
}

char *memory_strdup(const char *text)
{
    return checked(strdup(text));
}

void *memory_dup(const void *data, size_t size)
{
    void *copy = memory_alloc(size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}
