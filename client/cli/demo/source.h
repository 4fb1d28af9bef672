/* What the demo sends: order events made up from their number, or the lines of a real file. */
#ifndef CLI_DEMO_SOURCE_H
#define CLI_DEMO_SOURCE_H

#include "client/cli/workload/fleet.h"

struct demo_file {
    char *text;
    size_t size;
    uint64_t lines;
    const char **starts; /* of each line, and one past the last */
};

extern const struct fleet_source demo_orders;
/* False with a reason when the file can't be read, is empty, or holds a line that no record can take. */
bool demo_file_load(struct demo_file *file, const char *path, char *reason, size_t reason_size);
void demo_file_close(struct demo_file *file);
struct fleet_source demo_file_source(struct demo_file *file);

#endif
