/* Private to inspect*.c. */
#ifndef STORAGE_INSPECT_INTERNAL_H
#define STORAGE_INSPECT_INTERNAL_H

#include "node/storage/inspect.h"
#include "node/storage/segment.h"

enum { INSPECT_BATCH_MAX = 128 * 1024 * 1024, INSPECT_UNCOMPRESSED_MAX = 256 * 1024 * 1024 };

struct inspect_floor {
    uint64_t group_id;
    uint64_t index;
};

struct inspect {
    struct env *env;
    const struct inspect_callbacks *callbacks;
    void *data;
    struct inspect_summary *summary;
    char *message;
    size_t message_size;
    struct inspect_floor *floors; /* from the journal, when a whole data directory is read */
    size_t floor_count;
};

__attribute__((format(printf, 5, 6))) void inspect_problem(struct inspect *in, enum inspect_severity severity,
                                                           const char *path, uint64_t position,
                                                           const char *format, ...);
/* Leaves a message and returns `status`. */
int inspect_failed(struct inspect *in, int status, const char *path);

/* inspect_journal.c */
int inspect_journal(struct inspect *in, const char *path);
uint64_t inspect_floor_of(const struct inspect *in, uint64_t group_id);

/* inspect_segment.c */
struct inspect_chain {
    uint64_t group_id;
    bool known; /* `at` is the place behind the segment before */
    bool last;  /* no segment follows */
    uint64_t floor_index;
    struct place at; /* result: behind the last valid batch */
};
int inspect_segment(struct inspect *in, const char *directory, uint64_t base_index,
                    struct inspect_chain *chain);
int inspect_index(struct inspect *in, const char *path);

#endif
