/* A finished index vouches for a file that may have been swapped, replaced or damaged since it was written.
 * Its witness is what tells: offsets, terms and checksums of another partition's file may fit as well. */
#include "node/base/memory.h"
#include "node/storage/recovery.h"
#include <stdlib.h>

bool recovery_read_header(const struct recovery *r, struct env_file *file, uint64_t position,
                          struct batch_header *header)
{
    unsigned char bytes[BATCH_HEADER_SIZE];

    return env_file_read(file, bytes, sizeof(bytes), position) == (ssize_t)sizeof(bytes) &&
           batch_header_decode(bytes, sizeof(bytes), r->max_batch_bytes, header) == 0;
}

static bool is_intact(struct env_file *file, uint64_t position, const struct batch_header *header)
{
    unsigned char *bytes = memory_alloc(header->size);
    bool intact = env_file_read(file, bytes, header->size, position) == (ssize_t)header->size &&
                  batch_crc_ok(bytes, header);

    free(bytes);
    return intact;
}

static enum recovery_fit judge_batch(const struct recovery *r, struct env_file *file,
                                     const struct segment_witness *witness, uint64_t position)
{
    struct batch_header header;

    if (!recovery_read_header(r, file, position, &header))
        return RECOVERY_DAMAGED;
    if (!format_witness_contradicts(witness, position, header.crc))
        return RECOVERY_FITS;
    return is_intact(file, position, &header) ? RECOVERY_FOREIGN : RECOVERY_DAMAGED;
}

enum recovery_fit recovery_judge_file(const struct recovery *r, struct env_file *file,
                                      const struct segment_witness *witness)
{
    enum recovery_fit fit = RECOVERY_FITS;

    if (witness->knows_first)
        fit = judge_batch(r, file, witness, 0);
    if (fit == RECOVERY_FITS && witness->knows_last)
        fit = judge_batch(r, file, witness, witness->last_position);
    return fit;
}
