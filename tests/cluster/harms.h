/* What can happen to the files of a stopped node, and scenes in which it matters: small segments, and so
 * little in memory that what is read comes from the files. */
#ifndef TESTS_CLUSTER_HARMS_H
#define TESTS_CLUSTER_HARMS_H

#include "tests/cluster/damage.h"
#include "tests/cluster/harness.h"

/* One partition. */
struct scene *scene_start_files(const char *topic, uint64_t count, uint64_t rate, bool scrubbed);
void scene_data_path(struct scene *s, unsigned node, const char *file, char *out); /* DAMAGE_PATH bytes */
void scene_find_files(struct scene *s, unsigned node, struct damage_files *files);
/* `flotilla log verify` of a stopped node finds nothing. */
void scene_verify(struct scene *s, unsigned node);

/* To one replica's files; each needs four segments. */
bool harm_flip_sealed(struct damage_files *f);
bool harm_flip_header_of_sealed(struct damage_files *f);
bool harm_flip_active(struct damage_files *f);
bool harm_truncate_active(struct damage_files *f);
bool harm_truncate_sealed(struct damage_files *f);
bool harm_zero_active(struct damage_files *f);
bool harm_zero_sealed(struct damage_files *f);
bool harm_swap_sealed(struct damage_files *f);
bool harm_copy_over_sealed(struct damage_files *f);
bool harm_delete_sealed(struct damage_files *f);
bool harm_delete_active(struct damage_files *f);
bool harm_delete_all(struct damage_files *f);
bool harm_delete_indexes(struct damage_files *f);
bool harm_flip_indexes(struct damage_files *f);
bool harm_swap_indexes(struct damage_files *f);

struct harm {
    const char *name;
    bool (*apply)(struct damage_files *files);
    bool planned; /* the node was stopped with SIGTERM; else kill -9 */
    bool found;   /* a loss: the node must say so */
};

enum { HARM_COUNT = 18 };
extern const struct harm harms[HARM_COUNT];

#endif
