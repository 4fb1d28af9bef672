#include "tests/sim/env_sim_content.h"
#include "node/base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { PAGE_SIZE = 4096 };

void content_init(struct content *c)
{
    *c = (struct content){0};
}

void content_close(struct content *c)
{
    for (size_t i = 0; i < c->page_count; i++)
        free(c->pages[i]);
    free(c->pages);
    content_init(c);
}

/* Room for the pages of `size` bytes; the size stays. */
static void reserve(struct content *c, uint64_t size)
{
    size_t count = (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
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

void content_write(struct content *c, const void *data, size_t size, uint64_t position)
{
    const unsigned char *from = data;
    uint64_t end = position + size;
    reserve(c, end);
    while (position < end) {
        size_t part = part_of_page(position, (size_t)(end - position));
        unsigned char **page = &c->pages[position / PAGE_SIZE];
        if (*page == NULL)
            *page = memory_zalloc(PAGE_SIZE);
        memcpy(*page + position % PAGE_SIZE, from, part);
        from += part;
        position += part;
    }
    if (end > c->size)
        c->size = end;
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
        const unsigned char *page = c->pages[position / PAGE_SIZE];
        if (page == NULL)
            memset(into, 0, part);
        else
            memcpy(into, page + position % PAGE_SIZE, part);
        into += part;
        position += part;
        left -= part;
    }
    return size;
}

void content_resize(struct content *c, uint64_t size)
{
    reserve(c, size);
    for (size_t i = (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE); i < c->page_count; i++) {
        free(c->pages[i]);
        c->pages[i] = NULL;
    }
    size_t in_page = (size_t)(size % PAGE_SIZE);
    if (size < c->size && in_page > 0 && c->pages[size / PAGE_SIZE] != NULL)
        memset(c->pages[size / PAGE_SIZE] + in_page, 0, PAGE_SIZE - in_page);
    c->size = size;
}

void content_copy(struct content *to, const struct content *from)
{
    content_close(to);
    reserve(to, from->size);
    to->size = from->size;
    for (size_t i = 0; i < to->page_count; i++) {
        if (from->pages[i] != NULL)
            to->pages[i] = memory_dup(from->pages[i], PAGE_SIZE);
    }
}
