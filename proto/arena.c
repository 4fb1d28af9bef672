#include "proto/arena.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = alignof(max_align_t), BLOCK_SIZE = 8 * 1024 };

struct arena_block {
    alignas(max_align_t) struct arena_block *next;
    size_t size; /* of the block, this header included */
};

static unsigned char *block_data(struct arena_block *block)
{
    return (unsigned char *)(block + 1);
}

static unsigned char *block_end(struct arena_block *block)
{
    return (unsigned char *)block + block->size;
}

void arena_init(struct arena *a, size_t limit_bytes)
{
    *a = (struct arena){.limit_bytes = limit_bytes};
}

static void blocks_free(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_close(struct arena *a)
{
    blocks_free(a->blocks);
    arena_init(a, a->limit_bytes);
}

void arena_reset(struct arena *a)
{
    struct arena_block *kept = a->blocks;

    /* A block that one large request needed must not stay for the connection's life. */
    if (kept == NULL || kept->size > BLOCK_SIZE) {
        arena_close(a);
        return;
    }
    blocks_free(kept->next);
    kept->next = NULL;
    a->allocated_bytes = kept->size;
    a->at = block_data(kept);
    a->end = block_end(kept);
}

/* Makes a block with room for `size` bytes the newest. */
static bool arena_add_block(struct arena *a, size_t size)
{
    size_t left = a->limit_bytes - a->allocated_bytes;
    if (left < sizeof(struct arena_block) || size > left - sizeof(struct arena_block))
        return false;

    size_t needed = sizeof(struct arena_block) + size;
    size_t block_size = needed > BLOCK_SIZE || left < BLOCK_SIZE ? needed : BLOCK_SIZE;
    struct arena_block *block = malloc(block_size);
    if (block == NULL)
        return false;

    block->next = a->blocks;
    block->size = block_size;
    a->blocks = block;
    a->allocated_bytes += block_size;
    a->at = block_data(block);
    a->end = block_end(block);
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (a->at == NULL || size > (size_t)(a->end - a->at))
        if (!arena_add_block(a, size))
            return NULL;
    void *p = a->at;
    a->at += size;
    return p;
}

char *arena_strndup(struct arena *a, const char *text, size_t size)
{
    char *copy = size < SIZE_MAX ? arena_alloc(a, size + 1) : NULL;
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static void *allocator_alloc(void *data, size_t size)
{
    return arena_alloc(data, size);
}

static void allocator_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

ProtobufCAllocator *arena_allocator(struct arena *a)
{
    a->allocator = (ProtobufCAllocator){allocator_alloc, allocator_free, a};
    return &a->allocator;
}
