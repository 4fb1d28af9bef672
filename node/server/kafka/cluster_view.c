#include "node/server/kafka/cluster_view.h"

static bool fill_replicas(struct kafka_request *r, const struct partition_meta *meta,
                          struct kafka_partition_view *view)
{
    int32_t *ids = arena_alloc(&r->arena, 3 * meta->replica_count * sizeof(*ids));
    if (ids == NULL)
        return false;
    view->replicas = ids;
    view->in_sync = ids + meta->replica_count;
    view->offline = ids + 2 * (size_t)meta->replica_count;
    for (unsigned i = 0; i < meta->replica_count; i++) {
        int32_t id = (int32_t)meta->replicas[i];
        view->replicas[view->replica_count++] = id;
        if (cluster_node_alive(r->server->cluster, meta->replicas[i]))
            view->in_sync[view->in_sync_count++] = id;
        else
            view->offline[view->offline_count++] = id;
    }
    return true;
}

/* Nobody has ever led this partition, as far as this node has heard: it is new, and its first replica begins
 * by leading it. Some clients give up on "nobody", none on a node that does not lead yet. */
static void expect_first(struct kafka_partition_view *view, const struct partition_meta *meta)
{
    view->leader_id = (int32_t)meta->replicas[0];
    view->leader_epoch = -1;
}

bool kafka_partition_view(struct kafka_request *r, const struct partition_meta *meta,
                          struct kafka_partition_view *view)
{
    const struct cluster *cluster = r->server->cluster;
    *view = (struct kafka_partition_view){0};
    uint32_t leader = cluster_leader(cluster, meta->group_id, &view->leader_epoch);
    view->leader_id = (int32_t)leader;
    if (leader == 0 && view->leader_epoch == 0 && cluster_node_alive(cluster, meta->replicas[0])) {
        expect_first(view, meta);
    } else if (leader == 0 || !cluster_node_alive(cluster, leader)) {
        view->leader_id = -1;
        view->error = KAFKA_ERR_LEADER_NOT_AVAILABLE;
    }
    return fill_replicas(r, meta, view);
}

int32_t kafka_controller_id(const struct server *s)
{
    uint32_t controller = cluster_controller(s->cluster);
    bool alive = controller != 0 && cluster_node_alive(s->cluster, controller);
    return (int32_t)(alive ? controller : cluster_self(s->cluster));
}
