/* What the demo shows while it runs: on a terminal a picture that is redrawn in place under the lines that
 * tell what happened; elsewhere plain lines; with --json nothing. */
#ifndef CLI_DEMO_VIEW_H
#define CLI_DEMO_VIEW_H

#include "client/cli/workload/fleet.h"
#include <stdio.h>

struct demo_node_view {
    bool down;
    uint32_t leads; /* partitions of the demo's topic */
};

enum { DEMO_ROWS_MAX = FLEET_READERS_MAX + 1 };

struct demo_view {
    bool quiet;
    bool live;
    bool utf8;
    unsigned drawn_lines;
    unsigned ticks;
    uint64_t started_ns;
    uint64_t last_ns;
    uint64_t last_count[DEMO_ROWS_MAX]; /* acknowledged, then read by each group */
    double rate[DEMO_ROWS_MAX];
    char *events; /* told since the last picture */
    size_t events_size;
    FILE *events_stream;
};

void demo_view_init(struct demo_view *v, bool quiet);
/* One line, with the time since the start. */
void demo_view_say(struct demo_view *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Call often; on no terminal most calls print nothing, but a `last` one does. */
void demo_view_show(struct demo_view *v, const struct fleet *f, const struct demo_node_view *nodes,
                    unsigned node_count, bool last);
void demo_view_close(struct demo_view *v);
/* Gives the terminal back its cursor; for an interrupted demo. */
void demo_view_restore_terminal(void);

#endif
