/* Group id -> group, for every message that comes in: one array with open addressing, so that looking one up
 * touches no group but the one that is found. */
#ifndef CONSENSUS_GROUP_MAP_H
#define CONSENSUS_GROUP_MAP_H

#include <stddef.h>
#include <stdint.h>

struct group;

struct group_map_slot {
    uint64_t id;
    struct group *group; /* NULL: free */
};

struct group_map {
    struct group_map_slot *slots; /* private */
    size_t capacity;              /* 0, or a power of two */
    size_t count;
};

void group_map_close(struct group_map *t);
/* The id must not be there. */
void group_map_add(struct group_map *t, uint64_t id, struct group *group);
/* The id must be there. */
void group_map_remove(struct group_map *t, uint64_t id);
struct group *group_map_find(const struct group_map *t, uint64_t id); /* or NULL */

#endif
