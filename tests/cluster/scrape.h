/* A node's HTTP port, as Prometheus and probes see it. */
#ifndef TESTS_CLUSTER_SCRAPE_H
#define TESTS_CLUSTER_SCRAPE_H

#include <stdint.h>

/* The body of GET `path`, malloc'ed and NUL-terminated; NULL when there is no whole answer. `status` (may be
 * NULL) gets the HTTP status. */
char *scrape(uint16_t http_port, const char *path, int *status);
/* The sum over all series that begin with `series`, which may have labels: "flotilla_raft_elections_total",
 * "flotilla_produce_seconds_count{stage=\"replicate\"". -1: there is none, or no answer. */
double scrape_metric(uint16_t http_port, const char *series);

#endif
