#include "node/server/kafka/leader_hints.h"

void leader_hints_init(struct leader_hints *h, struct kafka_request *r)
{
    *h = (struct leader_hints){.request = r};
}

/* Each node once. False: the arena is full. */
static bool name_node(struct leader_hints *h, const struct node_meta *node)
{
    for (size_t i = 0; i < h->count; i++)
        if (h->nodes[i] == node)
            return true;
    if (h->nodes == NULL) {
        h->capacity = metadata_node_count(cluster_metadata(h->request->server->cluster));
        h->nodes = arena_alloc(&h->request->arena, h->capacity * sizeof(h->nodes[0]));
    }
    if (h->nodes == NULL || h->count == h->capacity)
        return false;
    h->nodes[h->count++] = node;
    return true;
}

bool leader_hints_find(struct leader_hints *h, int16_t error, uint64_t group_id, struct leader_hint *hint)
{
    const struct cluster *cluster = h->request->server->cluster;
    bool led_elsewhere = error == KAFKA_ERR_NOT_LEADER_OR_FOLLOWER || error == KAFKA_ERR_FENCED_LEADER_EPOCH;
    if (!led_elsewhere || group_id == 0)
        return false;
    uint32_t leader = cluster_leader(cluster, group_id, &hint->leader_epoch);
    const struct node_meta *node = leader != 0 && cluster_node_alive(cluster, leader)
                                       ? metadata_node(cluster_metadata(cluster), leader)
                                       : NULL;
    bool stale_self = leader == cluster_self(cluster) && error == KAFKA_ERR_NOT_LEADER_OR_FOLLOWER;
    if (node == NULL || node->kafka_port == 0 || stale_self || !name_node(h, node))
        return false;
    hint->leader_id = (int32_t)leader;
    return true;
}
