#include "node/consensus/heap.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <raft.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum heap_kind { HEAP_PLAIN = 0x504c4149, HEAP_ENTRY = 0x454e5452, HEAP_BATCH = 0x42415443, HEAP_FREED = 0 };

/* 16 bytes, so that what follows keeps malloc's alignment. */
struct heap_prefix {
    uint32_t kind;
    uint32_t count; /* of entry_refs in a HEAP_BATCH */
    size_t size;
};

/* Process-wide because libraft's hooks are. Several loops may allocate at once, so the counter is atomic. */
static size_t live_blocks;

static struct heap_prefix *prefix_of(const void *block)
{
    struct heap_prefix *prefix = (struct heap_prefix *)block - 1;
    ASSERT(prefix->kind == HEAP_PLAIN || prefix->kind == HEAP_ENTRY || prefix->kind == HEAP_BATCH);
    return prefix;
}

static void *block_create(enum heap_kind kind, uint32_t count, size_t size)
{
    struct heap_prefix *prefix = memory_alloc(sizeof *prefix + size);
    prefix->kind = kind;
    prefix->count = count;
    prefix->size = size;
    __atomic_fetch_add(&live_blocks, 1, __ATOMIC_RELAXED);
    return prefix + 1;
}

/* The payload of the core's barrier entries is eight bytes that the core never writes: they go to disks and
 * peers, which must not see what was in our memory before. */
enum { BARRIER_BYTES = 8 };

static void *hook_malloc(void *data, size_t size)
{
    (void)data;
    void *block = block_create(HEAP_PLAIN, 0, size);
    return memset(block, 0, size < BARRIER_BYTES ? size : BARRIER_BYTES);
}

static void *hook_calloc(void *data, size_t n, size_t size)
{
    (void)data;
    size_t total;
    ASSERT(!__builtin_mul_overflow(n, size, &total));
    return memset(block_create(HEAP_PLAIN, 0, total), 0, total);
}

static void hook_free(void *data, void *block)
{
    (void)data;
    if (!block)
        return;
    struct heap_prefix *prefix = prefix_of(block);
    struct entry_ref *refs = block;
    uint32_t n = prefix->kind == HEAP_ENTRY ? 1 : prefix->kind == HEAP_BATCH ? prefix->count : 0;
    for (uint32_t i = 0; i < n; i++)
        slice_unref(&refs[i].bytes);
    prefix->kind = HEAP_FREED;
    __atomic_fetch_sub(&live_blocks, 1, __ATOMIC_RELAXED);
    free(prefix);
}

static void *hook_realloc(void *data, void *block, size_t size)
{
    if (!block)
        return hook_malloc(data, size);
    struct heap_prefix *prefix = prefix_of(block);
    ASSERT(prefix->kind == HEAP_PLAIN);
    prefix = memory_realloc(prefix, sizeof *prefix + size);
    prefix->size = size;
    return prefix + 1;
}

static void *hook_aligned_alloc(void *data, size_t alignment, size_t size)
{
    (void)data;
    void *block = aligned_alloc(alignment, size);
    ASSERT(block);
    return block;
}

static void hook_aligned_free(void *data, size_t alignment, void *block)
{
    (void)data;
    (void)alignment;
    free(block);
}

void heap_install(void)
{
    static struct raft_heap hooks = {
        .malloc = hook_malloc,
        .free = hook_free,
        .calloc = hook_calloc,
        .realloc = hook_realloc,
        .aligned_alloc = hook_aligned_alloc,
        .aligned_free = hook_aligned_free,
    };
    raft_heap_set(&hooks);
}

struct entry_ref *heap_entry_create(struct slice bytes)
{
    struct entry_ref *ref = block_create(HEAP_ENTRY, 1, sizeof *ref);
    ref->bytes = bytes;
    return ref;
}

struct entry_ref *heap_batch_create(unsigned n, size_t extra)
{
    struct entry_ref *refs = block_create(HEAP_BATCH, n, n * sizeof *refs + extra);
    for (unsigned i = 0; i < n; i++)
        refs[i].bytes = slice_none();
    return refs;
}

void heap_entry_adopt(struct entry_ref *copy)
{
    struct heap_prefix *prefix = prefix_of(copy);
    if (prefix->kind == HEAP_ENTRY)
        return;
    ASSERT(prefix->kind == HEAP_PLAIN && prefix->size == sizeof *copy);
    prefix->kind = HEAP_ENTRY;
    copy->bytes = slice_ref(copy->bytes);
}

size_t heap_live_blocks(void)
{
    return __atomic_load_n(&live_blocks, __ATOMIC_RELAXED);
}
