/* What the HTTP port serves: /livez, /readyz, /metrics. Loop only. */
#ifndef SERVER_HTTP_ENDPOINTS_H
#define SERVER_HTTP_ENDPOINTS_H

#include "node/base/metrics.h"
#include "node/cluster/cluster.h"
#include "node/server/http/http.h"

struct endpoints {
    struct cluster *cluster; /* NULL before it has started */
    struct metrics *metrics;
    bool stopping;
};

/* For http_options.answer; data is the struct endpoints. */
void endpoints_answer(void *data, const char *path, struct http_answer *answer);

#endif
