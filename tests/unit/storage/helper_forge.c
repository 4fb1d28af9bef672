#include "tests/unit/storage/helper_forge.h"

#include "proto/batch.h"
#include "proto/bytes.h"
#include "proto/crc32c.h"
#include "tests/unit/storage/helper_log.h"
#include <stdio.h>
#include <stdlib.h>

void helper_forge(const char *path, unsigned from)
{
    uint64_t size = helper_file_size(path);
    unsigned char *content = malloc(size);
    FILE *in = fopen(path, "rb");
    assert_int_equal(fread(content, 1, size, in), size);
    fclose(in);
    unsigned n = 0;
    for (uint64_t at = 0; at + BATCH_HEADER_SIZE < size && load_be32(content + at + 8) != 0; n++) {
        size_t batch = 12 + load_be32(content + at + 8);
        if (n >= from) {
            content[at + batch - 20] ^= 1;
            store_be32(content + at + 17, crc32c(0, content + at + 21, batch - 21));
        }
        at += batch;
    }
    assert_true(n > from);
    helper_fill(path, 0, content, size);
    free(content);
}
