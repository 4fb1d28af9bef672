#include "node/consensus/configuration.h"
#include "node/base/assert.h"
#include "proto/bytes.h"
#include "proto/error.h"
#include <stdio.h>
#include <string.h>

enum { FORMAT = 1, ID_SIZE = 8 };

static uint64_t read_le64(struct reader *r)
{
    const unsigned char *at = reader_bytes(r, ID_SIZE);
    return at ? load_le64(at) : 0;
}

static const char *read_address(struct reader *r)
{
    const unsigned char *end = memchr(r->at, 0, reader_left(r));
    return end ? (const char *)reader_bytes(r, (size_t)(end - r->at) + 1) : NULL;
}

static int decode_server(struct reader *r, struct raft_configuration *configuration)
{
    uint64_t id = read_le64(r);
    const char *address = r->failed ? NULL : read_address(r);
    int role = reader_u8(r);
    if (r->failed || !address || id == 0)
        return ERR_CORRUPT;
    if (role != RAFT_VOTER && role != RAFT_STANDBY && role != RAFT_SPARE)
        return ERR_CORRUPT;
    return raft_configuration_add(configuration, id, address, role) == 0 ? 0 : ERR_CORRUPT;
}

int configuration_decode(const void *data, size_t size, struct raft_configuration *configuration)
{
    struct reader r;
    reader_init(&r, data, size);
    raft_configuration_init(configuration);
    if (size > CONFIGURATION_MAX_BYTES || reader_u8(&r) != FORMAT)
        return ERR_CORRUPT;
    uint64_t n = read_le64(&r);
    if (r.failed || n > CONFIGURATION_MAX_SERVERS)
        return ERR_CORRUPT;
    for (uint64_t i = 0; i < n; i++) {
        if (decode_server(&r, configuration) != 0) {
            raft_configuration_close(configuration);
            return ERR_CORRUPT;
        }
    }
    return 0;
}

struct raft_buffer configuration_encode(const struct raft_configuration *configuration)
{
    struct raft_buffer buffer;
    int rv = raft_configuration_encode(configuration, &buffer);
    ASSERT(rv == 0);
    size_t used = 1 + ID_SIZE;
    for (unsigned i = 0; i < configuration->n; i++)
        used += ID_SIZE + strlen(configuration->servers[i].address) + 1 + 1;
    ASSERT(used <= buffer.len);
    memset((unsigned char *)buffer.base + used, 0, buffer.len - used);
    return buffer;
}

void configuration_of_voters(struct raft_configuration *configuration, const uint32_t *node_ids, unsigned n)
{
    raft_configuration_init(configuration);
    for (unsigned i = 0; i < n; i++) {
        char address[16];
        snprintf(address, sizeof address, "%u", node_ids[i]);
        int rv = raft_configuration_add(configuration, node_ids[i], address, RAFT_VOTER);
        ASSERT(rv == 0);
    }
}
