/* A bump allocator for what lives as long as one request: the messages that protobuf-c unpacks, and what is
 * built while answering. Nothing is freed one by one; everything goes at once. Bounded, because a small
 * message can unpack to a large tree: an empty sub-message is two bytes on the wire and a hundred in memory.
 *
 *     struct arena arena;
 *     arena_init(&arena, 1024 * 1024);
 *     Flotilla__ProduceRequest *request = flotilla__produce_request__unpack(arena_allocator(&arena), size,
 * data);
 *     ...                              request is NULL when malformed or too large; never call free_unpacked
 * on it arena_reset(&arena);             ready for the next request, the first block stays
 *     arena_close(&arena);
 *
 * Not thread-safe. Must not be moved while an allocator pointer of it is in use. */
#ifndef PROTO_ARENA_H
#define PROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;   /* private, newest first */
    unsigned char *at;            /* private: free space of the newest block */
    unsigned char *end;           /* private */
    size_t allocated_bytes;       /* read-only: of all blocks */
    size_t limit_bytes;           /* read-only */
    ProtobufCAllocator allocator; /* private */
};

/* Allocates nothing yet. All blocks together stay below `limit_bytes`. */
void arena_init(struct arena *a, size_t limit_bytes);
/* Frees everything. */
void arena_close(struct arena *a);
/* Forgets all allocations; keeps one block, so that a steady flow of small requests never reaches malloc. */
void arena_reset(struct arena *a);
/* Uninitialised memory aligned for any type, valid until reset or close. NULL when the limit (or memory) is
 * reached; `size` may be 0. */
void *arena_alloc(struct arena *a, size_t size);
/* A zero-terminated copy; NULL as above. */
char *arena_strndup(struct arena *a, const char *text, size_t size);
/* For *__unpack; its free does nothing. Valid as long as the arena. */
ProtobufCAllocator *arena_allocator(struct arena *a);

#endif
