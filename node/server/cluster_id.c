#include "node/server/cluster_id.h"
#include "node/base/assert.h"
#include "proto/bytes.h"
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Flotilla's own namespace, so that no other program's version 5 UUIDs collide with these. */
static const unsigned char name_space[16] = {0x8f, 0x1b, 0x5c, 0x2e, 0x6d, 0x03, 0x4a, 0x77,
                                             0x9e, 0x41, 0x0f, 0xd2, 0x6b, 0xa8, 0x35, 0xc4};

static int by_id(const void *a, const void *b)
{
    const struct config_peer *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void peer_list_name(const struct node_config *config, struct bytes *out)
{
    struct config_peer sorted[CONFIG_PEERS_MAX];
    char line[300];
    memcpy(sorted, config->peers, sizeof(sorted));
    qsort(sorted, config->peer_count, sizeof(sorted[0]), by_id);
    for (unsigned i = 0; i < config->peer_count; i++) {
        int n =
            snprintf(line, sizeof(line), "%" PRIu32 "@%s:%u,", sorted[i].id, sorted[i].host, sorted[i].port);
        bytes_append(out, line, (size_t)n);
    }
    if (config->peer_count == 0) {
        int n = snprintf(line, sizeof(line), "alone:%" PRIu32, config->node_id);
        bytes_append(out, line, (size_t)n);
    }
}

void cluster_id_derive(struct node_config *config)
{
    if (config->cluster_id[0] != '\0')
        return;
    struct bytes name;
    bytes_init(&name);
    bytes_append(&name, name_space, sizeof(name_space));
    peer_list_name(config, &name);
    unsigned char d[EVP_MAX_MD_SIZE];
    ASSERT(EVP_Digest(name.data, name.size, d, NULL, EVP_sha1(), NULL) == 1);
    bytes_close(&name);
    d[6] = (unsigned char)((d[6] & 0x0f) | 0x50); /* version 5 */
    d[8] = (unsigned char)((d[8] & 0x3f) | 0x80); /* the RFC's variant */
    snprintf(config->cluster_id, sizeof(config->cluster_id),
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", d[0], d[1], d[2], d[3],
             d[4], d[5], d[6], d[7], d[8], d[9], d[10], d[11], d[12], d[13], d[14], d[15]);
}
