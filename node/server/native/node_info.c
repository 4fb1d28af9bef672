#include "node/server/native/node_info.h"
#include <stdlib.h>

struct node_list {
    struct request *request;
    Flotilla__NodeInfo **nodes;
    size_t count, capacity;
};

static Flotilla__NodeInfo *add_node(struct node_list *list, uint32_t id)
{
    Flotilla__NodeInfo *info =
        list->count < list->capacity ? request_array(list->request, 1, sizeof(*info)) : NULL;
    if (info == NULL)
        return NULL;
    flotilla__node_info__init(info);
    info->id = id;
    info->alive = cluster_node_alive(list->request->server->cluster, id);
    list->nodes[list->count++] = info;
    return info;
}

static void add_registered(void *data, const struct node_meta *node)
{
    Flotilla__NodeInfo *info = add_node(data, node->id);
    if (info == NULL)
        return;
    info->host = node->client_host;
    info->port = node->client_port;
    info->http_port = node->http_port;
    info->kafka_port = node->kafka_port;
    info->rack = node->rack;
    info->draining = node->draining;
}

/* Known by its peer address only: port 0 tells clients that they can't connect yet. */
static void add_unregistered(struct node_list *list, const struct config_peer *peer)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->nodes[i]->id == peer->id)
            return;
    Flotilla__NodeInfo *info = add_node(list, peer->id);
    if (info != NULL)
        info->host = (char *)(uintptr_t)peer->host;
}

static int by_id(const void *a, const void *b)
{
    const Flotilla__NodeInfo *x = *(Flotilla__NodeInfo *const *)a, *y = *(Flotilla__NodeInfo *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

Flotilla__NodeInfo **node_info_all(struct request *r, size_t *count)
{
    const struct metadata *tables = cluster_metadata(r->server->cluster);
    const struct node_config *config = r->server->config;
    struct node_list list = {.request = r, .capacity = metadata_node_count(tables) + config->peer_count};
    list.nodes = request_array(r, list.capacity, sizeof(list.nodes[0]));
    *count = 0;
    if (list.nodes == NULL)
        return NULL;
    metadata_each_node(tables, add_registered, &list);
    for (unsigned i = 0; i < config->peer_count; i++)
        add_unregistered(&list, &config->peers[i]);
    qsort(list.nodes, list.count, sizeof(list.nodes[0]), by_id);
    *count = list.count;
    return list.nodes;
}
