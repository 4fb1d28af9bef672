/* The cluster's state, and orders to single nodes. */
#include "client/api/client.h"

/* A node that does not answer at once is shown without its own figures. */
enum { NODE_TIMEOUT_MS = 1000 };

static int status_ask(struct flotilla_client *client, enum core_target target, uint32_t node_id,
                      uint64_t timeout_ns, void *result, Flotilla__ClusterStatusResponse **answer,
                      char *error, size_t error_size)
{
    Flotilla__ClusterStatusRequest m = FLOTILLA__CLUSTER_STATUS_REQUEST__INIT;
    struct client_request request = {
        .call = {.target = target,
                 .node_id = node_id,
                 .type = FRAME_CLUSTER_STATUS,
                 .timeout_ns = timeout_ns},
        .message = &m.base,
    };

    return client_request_run(client, &request, client_result_arena(result),
                              &flotilla__cluster_status_response__descriptor, answer, NULL, error,
                              error_size);
}

static void node_fill(struct flotilla_node_info *node, const Flotilla__NodeStatus *m)
{
    const Flotilla__NodeInfo *info = m->node;

    node->host = node->rack = node->software = "";
    if (info != NULL) {
        node->id = info->id;
        node->host = info->host;
        node->port = (uint16_t)info->port;
        node->http_port = (uint16_t)info->http_port;
        node->kafka_port = (uint16_t)info->kafka_port;
        node->rack = info->rack;
        node->alive = info->alive;
        node->draining = info->draining;
    }
    node->leads = m->leads;
    node->replicas = m->replicas;
    node->preferred = m->preferred;
    node->uptime_ms = m->uptime_ms;
    node->software = m->software;
}

static int compare_nodes(const void *a, const void *b)
{
    uint32_t left = (*(const struct flotilla_node_info *const *)a)->id;
    uint32_t right = (*(const struct flotilla_node_info *const *)b)->id;

    return (left > right) - (left < right);
}

static struct flotilla_node_info **status_fill(struct flotilla_cluster_info *info,
                                               const Flotilla__ClusterStatusResponse *m)
{
    struct flotilla_node_info **nodes = client_result_alloc(info, (m->n_nodes + 1) * sizeof(*nodes));

    for (size_t i = 0; i < m->n_nodes; i++) {
        nodes[i] = client_result_alloc(info, sizeof(**nodes));
        node_fill(nodes[i], m->nodes[i]);
    }
    qsort(nodes, m->n_nodes, sizeof(*nodes), compare_nodes);
    info->cluster_id = m->cluster_id;
    info->controller_id = m->controller_id;
    info->topics = m->topics;
    info->partitions = m->partitions;
    info->leaderless = m->leaderless;
    info->under_replicated = m->under_replicated;
    info->nodes = (const struct flotilla_node_info *const *)nodes;
    info->node_count = m->n_nodes;
    return nodes;
}

/* What only the node itself knows: its uptime, and how its own partitions are replicated. */
static void status_add_node(struct flotilla_client *client, struct flotilla_cluster_info *info,
                            struct flotilla_node_info *node, uint64_t deadline_ns)
{
    Flotilla__ClusterStatusResponse *m = NULL;
    uint64_t now = client_now_ns();
    uint64_t limit = client_timeout_ns(NODE_TIMEOUT_MS);

    if (!node->alive || now >= deadline_ns)
        return;
    if (deadline_ns - now < limit)
        limit = deadline_ns - now;
    if (status_ask(client, CORE_NODE, node->id, limit, info, &m, NULL, 0) != 0)
        return;
    info->under_replicated += m->under_replicated;
    for (size_t i = 0; i < m->n_nodes; i++)
        if (m->nodes[i]->node != NULL && m->nodes[i]->node->id == node->id)
            node->uptime_ms = m->nodes[i]->uptime_ms;
}

int flotilla_cluster_status(struct flotilla_client *client, int timeout_ms,
                            const struct flotilla_cluster_info **out, char *error, size_t error_size)
{
    uint64_t deadline_ns = client_now_ns() + client_timeout_ns(timeout_ms);
    struct flotilla_cluster_info *info = client_result_create(sizeof(*info));
    Flotilla__ClusterStatusResponse *m = NULL;

    *out = NULL;
    if (info == NULL)
        return client_error(error, error_size, ERR_OUT_OF_MEMORY, "out of memory");
    int rc = status_ask(client, CORE_ANY, 0, client_timeout_ns(timeout_ms), info, &m, error, error_size);
    if (rc != 0) {
        flotilla_result_free(info);
        return rc;
    }
    struct flotilla_node_info **nodes = status_fill(info, m);
    for (size_t i = 0; i < info->node_count; i++)
        if (nodes[i]->id != m->answered_by)
            status_add_node(client, info, nodes[i], deadline_ns);
    *out = info;
    return 0;
}

int flotilla_cluster_drain(struct flotilla_client *client, uint32_t node_id, int drain, int timeout_ms,
                           uint32_t *still_leads, char *error, size_t error_size)
{
    Flotilla__DrainNodeRequest m = FLOTILLA__DRAIN_NODE_REQUEST__INIT;
    Flotilla__DrainNodeResponse *answer = NULL;
    struct client_request request = {
        .call = {.type = FRAME_DRAIN_NODE, .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };
    struct arena arena;

    m.node_id = node_id;
    m.drain = drain != 0;
    m.timeout_ms = timeout_ms < 0 ? INT32_MAX : (uint32_t)(timeout_ms - timeout_ms / 10);
    arena_init(&arena, 1024 * 1024);
    int rc = client_request_run(client, &request, &arena, &flotilla__drain_node_response__descriptor, &answer,
                                NULL, error, error_size);
    if (rc == 0 && still_leads != NULL)
        *still_leads = answer->still_leads;
    arena_close(&arena);
    return rc;
}

int flotilla_node_control(struct flotilla_client *client, uint32_t node_id, const char *log_level,
                          const uint32_t *blocked, size_t blocked_count, int timeout_ms, char *error,
                          size_t error_size)
{
    Flotilla__NodeControlRequest m = FLOTILLA__NODE_CONTROL_REQUEST__INIT;
    struct client_request request = {
        .call = {.target = CORE_NODE,
                 .node_id = node_id,
                 .type = FRAME_NODE_CONTROL,
                 .timeout_ns = client_timeout_ns(timeout_ms)},
        .message = &m.base,
    };

    if (log_level != NULL)
        m.log_level = (char *)log_level;
    m.set_blocked_peers = blocked != NULL;
    m.blocked_peers = (uint32_t *)(uintptr_t)blocked;
    m.n_blocked_peers = blocked != NULL ? blocked_count : 0;
    return client_request_run(client, &request, NULL, NULL, NULL, NULL, error, error_size);
}
