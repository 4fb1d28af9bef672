#include "tests/sim/heap.h"
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEAP_OF_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HEAP_OF_SANITIZER 1
#endif
#endif

enum { FILL = 0xa5, OTHER_FILL = 0x5a };

#ifdef HEAP_OF_SANITIZER

void heap_begin(enum heap_kind kind)
{
    mallopt(M_PERTURB, kind == HEAP_FILLED_OTHERWISE ? OTHER_FILL : FILL);
    for (size_t i = 0; kind == HEAP_FILLED_OTHERWISE && i < 1000; i++)
        if (malloc(16 + i * 37 % 4000) == NULL)
            abort();
}

bool heap_is_reusable(void)
{
    return false;
}

#else

enum {
    ALIGNMENT = 16,
    SIZES = 128, /* more than up to BLOCK_MAX */
    LARGE_PAGE = 2 << 20,
    REGION = 64 << 20,   /* with its head */
    NEVER_REUSED = SIZES /* as a size: what has an alignment of its own */
};

/* Before every block. */
struct head {
    size_t room; /* that the owner has */
    uint32_t size_class;
    uint32_t unused;
};

_Static_assert(sizeof(struct head) == ALIGNMENT, "blocks stay aligned");

static const size_t BLOCK_MAX = (size_t)1 << 36;

struct free_block {
    struct free_block *next;
};

/* Large pages in a row; at its own beginning. */
struct region {
    struct region *next;
    unsigned char *end;
    unsigned char *fresh; /* what was never used begins here, and is zero */
    uint64_t unused;
};

_Static_assert(sizeof(struct region) % ALIGNMENT == 0, "blocks are aligned");

/* malloc has no argument to keep its state in. One thread only. */
static struct {
    struct free_block *free[SIZES];
    struct region *regions; /* all of them; NULL: none yet */
    struct region *region;  /* that is cut from; NULL: none yet */
    unsigned char *at;      /* what this run has not used of it begins here */
    int fill;               /* 0: none */
    unsigned runs;          /* begun in this process: up to 2 */
} heap;

/* Four sizes to each power of two, from 16 on, so that at most a fifth is wasted. */
static unsigned class_of(size_t size)
{
    if (size <= 64)
        return size == 0 ? 0 : (unsigned)((size - 1) / 16);
    unsigned shift = 61 - (unsigned)__builtin_clzl(size - 1);
    return 4 + (shift - 4) * 4 + (unsigned)((size - 1) >> shift) - 4;
}

static size_t room_of(unsigned size_class)
{
    if (size_class < 4)
        return 16 * ((size_t)size_class + 1);
    return (size_t)((size_class - 4) % 4 + 5) << ((size_class - 4) / 4 + 4);
}

static struct head *head_of(void *block)
{
    return (struct head *)block - 1;
}

static struct region *region_create(size_t at_least)
{
    size_t size = sizeof(struct region) + at_least;
    size = size > REGION ? (size + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE : REGION;
    unsigned char *pages = mmap(NULL, size + LARGE_PAGE, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    pages += -(uintptr_t)pages % LARGE_PAGE;
    (void)madvise(pages, size, MADV_HUGEPAGE);
    struct region *r = (struct region *)(void *)pages;
    *r = (struct region){.end = pages + size, .fresh = pages + sizeof(*r)};
    return r;
}

static void region_leave(void)
{
    if (heap.region != NULL && heap.at > heap.region->fresh)
        heap.region->fresh = heap.at;
}

/* Goes on in the next one. */
static bool region_enter(size_t at_least)
{
    struct region **next = heap.region == NULL ? &heap.regions : &heap.region->next;
    if (*next == NULL)
        *next = region_create(at_least);
    if (*next == NULL)
        return false;
    region_leave();
    heap.region = *next;
    heap.at = (unsigned char *)(heap.region + 1);
    return true;
}

/* `size` bytes that this run has not used; NULL: there is no memory. */
static unsigned char *cut(size_t size)
{
    while (heap.region == NULL || (size_t)(heap.region->end - heap.at) < size)
        if (!region_enter(size))
            return NULL;
    unsigned char *at = heap.at;
    heap.at += size;
    return at;
}

/* `*fresh`: it is all zeros. */
static void *take(size_t size, bool *fresh)
{
    *fresh = false;
    if (size > BLOCK_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    unsigned size_class = class_of(size);
    struct free_block *block = heap.free[size_class];
    if (block != NULL) {
        heap.free[size_class] = block->next;
        return block;
    }
    struct head *head = (struct head *)(void *)cut(sizeof(*head) + room_of(size_class));
    if (head == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    *fresh = (unsigned char *)head >= heap.region->fresh;
    *head = (struct head){.room = room_of(size_class), .size_class = size_class};
    return head + 1;
}

void *malloc(size_t size)
{
    bool fresh;
    void *block = take(size, &fresh);
    if (heap.fill != 0 && block != NULL)
        memset(block, heap.fill, head_of(block)->room);
    return block;
}

void *calloc(size_t count, size_t size)
{
    size_t all;
    bool fresh;
    if (__builtin_mul_overflow(count, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = take(all, &fresh);
    if (block != NULL && !fresh)
        memset(block, 0, all);
    return block;
}

void free(void *block)
{
    if (block == NULL)
        return;
    const struct head *head = head_of(block);
    if (heap.fill != 0)
        memset(block, ~heap.fill, head->room);
    if (head->size_class == NEVER_REUSED)
        return;
    struct free_block *freed = block;
    freed->next = heap.free[head->size_class];
    heap.free[head->size_class] = freed;
}

void *realloc(void *block, size_t size)
{
    if (block == NULL)
        return malloc(size);
    size_t room = head_of(block)->room;
    if (size <= room && (size > room / 2 || room <= 64))
        return block;
    void *moved = malloc(size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, size < room ? size : room);
    free(block);
    return moved;
}

void *memalign(size_t alignment, size_t size)
{
    if (alignment <= ALIGNMENT)
        return malloc(size);
    unsigned char *at = cut(sizeof(struct head) + alignment + size + ALIGNMENT);
    if (at == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t first = (uintptr_t)at + sizeof(struct head);
    at += sizeof(struct head) + (alignment - first % alignment) % alignment;
    heap.at += -(uintptr_t)heap.at % ALIGNMENT;
    *head_of(at) = (struct head){.room = size, .size_class = NEVER_REUSED};
    return at;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    *block = memalign(alignment, size);
    return *block == NULL ? ENOMEM : 0;
}

size_t malloc_usable_size(void *block)
{
    return block == NULL ? 0 : head_of(block)->room;
}

bool heap_is_reusable(void)
{
    return true;
}

void heap_begin(enum heap_kind kind)
{
    region_leave();
    if (heap.runs < 2) { /* what was before is the parent's, or the first run's */
        heap.runs++;
        heap.regions = NULL;
    }
    heap.region = NULL;
    memset(heap.free, 0, sizeof(heap.free));
    heap.fill = kind == HEAP_FAST ? 0 : kind == HEAP_FILLED ? FILL : OTHER_FILL;
    if (kind == HEAP_FILLED_OTHERWISE && cut(12345 * (size_t)ALIGNMENT) == NULL)
        abort();
}

#endif
