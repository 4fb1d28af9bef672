#include "node/server/http/endpoints.h"
#include <stdio.h>
#include <string.h>

static void add_text(struct http_answer *answer, const char *text)
{
    bytes_append(&answer->body, text, strlen(text));
}

/* Alive: the loop runs, or this would not be called. */
static void answer_live(struct endpoints *e, struct http_answer *answer)
{
    (void)e;
    add_text(answer, "ok\n");
}

static void answer_ready(struct endpoints *e, struct http_answer *answer)
{
    char reason[256] = "the cluster's metadata is not open yet";
    bool ready = e->cluster != NULL && cluster_ready(e->cluster, reason, sizeof(reason));
    if (ready && e->stopping) {
        snprintf(reason, sizeof(reason), "the node is stopping");
        ready = false;
    }
    if (ready) {
        add_text(answer, "ready\n");
        return;
    }
    answer->status = 503;
    add_text(answer, "not ready: ");
    add_text(answer, reason);
    add_text(answer, "\n");
}

static void answer_metrics(struct endpoints *e, struct http_answer *answer)
{
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_print(e->metrics, &answer->body);
}

static const struct {
    const char *path;
    void (*answer)(struct endpoints *e, struct http_answer *answer);
} paths[] = {{"/livez", answer_live}, {"/readyz", answer_ready}, {"/metrics", answer_metrics}};

void endpoints_answer(void *data, const char *path, struct http_answer *answer)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strcmp(paths[i].path, path) == 0) {
            paths[i].answer(data, answer);
            return;
        }
    }
    answer->status = 404;
    add_text(answer, "not found; this port serves /livez, /readyz and /metrics\n");
}
