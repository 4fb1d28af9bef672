#include "tests/sim/env_sim_content.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

/* With its count a page is as large as a block of the proving ground's heap. */
enum { PAGE_SIZE = 2048 - sizeof(unsigned) };

struct content_page {
    unsigned references;
    unsigned char bytes[PAGE_SIZE];
};

void content_init(struct content *c)
{
    *c = (struct content){0};
}

/* ---- pages ---- */

/* libc's own: where compilers know that a size is at most a page's they make loops of one instruction of it,
 * which are slower. */
static void copy(void *to, const void *from, size_t size)
{
    __asm__("" : "+r"(size));
    memcpy(to, from, size);
}

static void clear(void *from, size_t size)
{
    __asm__("" : "+r"(size));
    memset(from, 0, size);
}

static void page_unref(struct content_page *page)
{
    if (page != NULL && --page->references == 0)
        free(page);
}

static struct content_page *page_ref(struct content_page *page)
{
    if (page != NULL)
        page->references++;
    return page;
}

/* The page, there and nobody else's, for a change that leaves alone what is not in [from, to). */
static unsigned char *page_own(struct content_page **at, size_t from, size_t to)
{
    struct content_page *before = *at;
    if (before != NULL && before->references == 1)
        return before->bytes;
    struct content_page *page = memory_alloc(sizeof(*page));
    page->references = 1;
    if (before == NULL) {
        clear(page->bytes, from);
        clear(page->bytes + to, PAGE_SIZE - to);
    } else {
        copy(page->bytes, before->bytes, from);
        copy(page->bytes + to, before->bytes + to, PAGE_SIZE - to);
        page_unref(before);
    }
    *at = page;
    return page->bytes;
}

static size_t pages_of(uint64_t size)
{
    return (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
}

/* Room for the pages of `size` bytes; the size stays. */
static void reserve(struct content *c, uint64_t size)
{
    size_t count = pages_of(size);
    if (count <= c->page_count)
        return;
    c->pages = memory_realloc(c->pages, count * sizeof(*c->pages));
    memset(c->pages + c->page_count, 0, (count - c->page_count) * sizeof(*c->pages));
    c->page_count = count;
}

static size_t part_of_page(uint64_t position, size_t left)
{
    size_t in_page = PAGE_SIZE - (size_t)(position % PAGE_SIZE);
    return left < in_page ? left : in_page;
}

/* ---- the whole ---- */

void content_close(struct content *c)
{
    for (size_t i = 0; i < c->page_count; i++)
        page_unref(c->pages[i]);
    free(c->pages);
    content_init(c);
}

/* Within one page, whose room is reserved. */
static void put(struct content *c, const unsigned char *data, size_t size, uint64_t position)
{
    size_t in_page = (size_t)(position % PAGE_SIZE);
    unsigned char *into = page_own(&c->pages[position / PAGE_SIZE], in_page, in_page + size) + in_page;
    if (data != NULL)
        copy(into, data, size);
    else
        clear(into, size);
}

void content_write(struct content *c, const void *data, size_t size, uint64_t position)
{
    const unsigned char *from = data;
    uint64_t end = position + size;
    reserve(c, end);
    while (position < end) {
        size_t part = part_of_page(position, (size_t)(end - position));
        put(c, from, part, position);
        from += part;
        position += part;
    }
    if (end > c->size)
        c->size = end;
}

void content_transfer(struct content *to, const struct content *from, size_t size, uint64_t position)
{
    uint64_t end = position + size;
    reserve(to, end);
    while (position < end) {
        size_t part = part_of_page(position, (size_t)(end - position));
        const struct content_page *page = from->pages[position / PAGE_SIZE];
        put(to, page == NULL ? NULL : page->bytes + position % PAGE_SIZE, part, position);
        position += part;
    }
    if (end > to->size)
        to->size = end;
}

size_t content_read(const struct content *c, void *data, size_t size, uint64_t position)
{
    if (position >= c->size)
        return 0;
    if (size > c->size - position)
        size = (size_t)(c->size - position);
    unsigned char *into = data;
    for (size_t left = size; left > 0;) {
        size_t part = part_of_page(position, left);
        const struct content_page *page = c->pages[position / PAGE_SIZE];
        if (page == NULL)
            clear(into, part);
        else
            copy(into, page->bytes + position % PAGE_SIZE, part);
        into += part;
        position += part;
        left -= part;
    }
    return size;
}

void content_resize(struct content *c, uint64_t size)
{
    reserve(c, size);
    for (size_t i = pages_of(size); i < pages_of(c->size); i++) {
        page_unref(c->pages[i]);
        c->pages[i] = NULL;
    }
    size_t in_page = (size_t)(size % PAGE_SIZE);
    if (size < c->size && in_page > 0 && c->pages[size / PAGE_SIZE] != NULL) {
        unsigned char *bytes = page_own(&c->pages[size / PAGE_SIZE], in_page, PAGE_SIZE);
        memset(bytes + in_page, 0, PAGE_SIZE - in_page);
    }
    c->size = size;
}

static void share(struct content *to, const struct content *from, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        if (to->pages[i] == from->pages[i])
            continue;
        page_unref(to->pages[i]);
        to->pages[i] = page_ref(from->pages[i]);
    }
}

void content_share(struct content *to, const struct content *from, size_t size, uint64_t position)
{
    uint64_t end = position + size;
    reserve(to, end);
    share(to, from, (size_t)(position / PAGE_SIZE), pages_of(end < from->size ? end : from->size));
    if (end > to->size)
        to->size = end;
}

void content_copy(struct content *to, const struct content *from)
{
    content_close(to);
    reserve(to, from->size);
    to->size = from->size;
    share(to, from, 0, to->page_count);
}
