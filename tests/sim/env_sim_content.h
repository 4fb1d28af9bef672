/* The bytes of a simulated file, sparse: allocated but unwritten space costs no memory. Contents that are
 * alike share their pages until one of them changes. */
#ifndef SIM_ENV_SIM_CONTENT_H
#define SIM_ENV_SIM_CONTENT_H

#include <stddef.h>
#include <stdint.h>

struct content_page;

struct content {
    struct content_page **pages; /* NULL: zeros */
    size_t page_count;
    uint64_t size;
};

void content_init(struct content *c);
void content_close(struct content *c);
/* Extends the size where needed; the bytes between are zero. */
void content_write(struct content *c, const void *data, size_t size, uint64_t position);
/* Returns how many bytes there were. */
size_t content_read(const struct content *c, void *data, size_t size, uint64_t position);
/* Writes what stands there in `from`. */
void content_transfer(struct content *to, const struct content *from, size_t size, uint64_t position);
/* Like a write of what stands there in `from`, as far as that goes, and with it of all else in the pages
 * concerned. */
void content_share(struct content *to, const struct content *from, size_t size, uint64_t position);
/* Cuts, or extends with zeros. */
void content_resize(struct content *c, uint64_t size);
void content_copy(struct content *to, const struct content *from);

#endif
