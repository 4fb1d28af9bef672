/* Harm done to a node's files from outside, as a dying disk or a careless hand would. */
#ifndef TESTS_CLUSTER_DAMAGE_H
#define TESTS_CLUSTER_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DAMAGE_PATH = 4400, DAMAGE_FILES_MAX = 512 };

struct damage_files {
    char directory[DAMAGE_PATH]; /* of one replica */
    unsigned count;
    uint64_t base[DAMAGE_FILES_MAX]; /* of the segments, ascending */
};

/* The replica with the most bytes under "<data>/groups": the load's topic, when that has one partition. */
bool damage_find(const char *data, struct damage_files *files);
/* The one of this group. */
bool damage_find_group(const char *data, uint64_t group_id, struct damage_files *files);
/* "<directory>/<base><suffix>", e.g. ".log". */
void damage_path(const struct damage_files *files, unsigned number, const char *suffix, char *out);

uint64_t damage_size(const char *path); /* 0 when there is none */
/* The file's length without the zeros at its end (space that was given ahead of the writer). */
uint64_t damage_used(const char *path);
/* All that the replica still has: its segments without the zeros at their ends, and what was set aside. */
uint64_t damage_kept(const struct damage_files *files);
bool damage_flip(const char *path, uint64_t position); /* one bit */
bool damage_zero(const char *path, uint64_t position, uint64_t size);
bool damage_truncate(const char *path, uint64_t size);
bool damage_swap(const char *a, const char *b);
bool damage_copy(const char *from, const char *to);

#endif
