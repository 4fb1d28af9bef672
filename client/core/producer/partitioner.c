/* Which partition a key belongs to: MurmurHash2 (Austin Appleby, public domain) with the seed, the 32-bit
 * arithmetic and the sign masking that Kafka's clients settled on, so that all of them agree. */
#include "client/include/flotilla.h"
#include "proto/bytes.h"
#include "proto/crc32c.h"
#include <string.h>

enum { MURMUR_SHIFT = 24 };
static const uint32_t murmur_seed = 0x9747b28c;
static const uint32_t murmur_multiplier = 0x5bd1e995;

static uint32_t murmur2(const unsigned char *data, size_t size)
{
    uint32_t hash = murmur_seed ^ (uint32_t)size;

    for (; size >= 4; data += 4, size -= 4) {
        uint32_t word = load_le32(data) * murmur_multiplier;
        word ^= word >> MURMUR_SHIFT;
        hash = (hash * murmur_multiplier) ^ (word * murmur_multiplier);
    }
    if (size > 0) {
        for (size_t i = size; i-- > 0;)
            hash ^= (uint32_t)data[i] << (8 * i);
        hash *= murmur_multiplier;
    }
    hash ^= hash >> 13;
    hash *= murmur_multiplier;
    return hash ^ (hash >> 15);
}

int32_t flotilla_partition_for_key(const void *key, size_t key_size, int32_t partition_count)
{
    if (partition_count <= 0)
        return FLOTILLA_ERR_INVALID_ARGUMENT;
    return (int32_t)(murmur2(key, key_size) & 0x7fffffff) % partition_count;
}

int32_t flotilla_group_partition(const char *group, int32_t partition_count)
{
    if (partition_count <= 0)
        return FLOTILLA_ERR_INVALID_ARGUMENT;
    return (int32_t)(crc32c(0, group, strlen(group)) % (uint32_t)partition_count);
}
