/* A cluster as a whole: until it is ready, one for a while, and its end. */
#include "client/cli/local/local_internal.h"

#include "flotilla.h"
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 10 };

/* ---- readiness ---- */

static bool cluster_is_ready(struct flotilla_client *client, unsigned nodes)
{
    const struct flotilla_cluster_info *info = NULL;
    if (flotilla_cluster_status(client, 1000, &info, NULL, 0) != 0) {
        return false;
    }
    unsigned alive = 0;
    for (size_t i = 0; i < info->node_count; i++) {
        alive += info->nodes[i]->alive != 0;
    }
    bool ready = alive == nodes && info->controller_id != 0 && info->partitions > 0 && info->leaderless == 0;
    flotilla_result_free(info);
    return ready;
}

static void last_log_line(const struct local_cluster *c, unsigned id, char *out, size_t size)
{
    char path[4300], line[1024];
    local_node_path(c, id, "log", path, sizeof(path));
    FILE *f = fopen(path, "re");
    out[0] = 0;
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
    }
    if (f != NULL) {
        fclose(f);
    }
}

static bool all_running(struct local_cluster *c)
{
    for (unsigned id = 1; id <= c->count; id++) {
        if (local_node_state(c, id, NULL) == LOCAL_DOWN) {
            char line[300];
            last_log_line(c, id, line, sizeof(line));
            return local_fail(c, "node %u stopped: %s", id, line);
        }
    }
    return true;
}

bool local_wait_ready(struct local_cluster *c, int64_t timeout_ms)
{
    char bootstrap[256];
    local_bootstrap(c, bootstrap, sizeof(bootstrap));
    struct flotilla_client *client = NULL;
    if (flotilla_client_create(&client, bootstrap, NULL, c->error, sizeof(c->error)) != 0) {
        return false;
    }
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    bool ready = false, running = true;
    while (!ready && running && cli_now_ns() < deadline) {
        ready = cluster_is_ready(client, c->count);
        running = ready || all_running(c);
        if (!ready) {
            cli_sleep_ms(POLL_MS);
        }
    }
    flotilla_client_destroy(client);
    if (!ready && running) {
        local_fail(c, "the cluster is not ready after %" PRId64 " ms; see the nodes' logs in %s/node-*/log",
                   timeout_ms, c->directory);
    }
    return ready;
}

/* ---- scratch ---- */

const char *local_scratch_parent(void)
{
    const char *base = getenv("TMPDIR");
    return base != NULL && base[0] != 0 ? base : "/tmp";
}

static bool start_fresh(struct local_cluster *c, unsigned count, bool owned)
{
    char directory[1024];
    snprintf(directory, sizeof(directory), "%s/flotilla-XXXXXX", local_scratch_parent());
    if (mkdtemp(directory) == NULL) {
        memset(c, 0, sizeof(*c));
        return local_fail(c, "cannot create %s: %s", directory, strerror(errno));
    }
    bool ok = local_create(c, directory, count, 0, NULL);
    c->owned = owned;
    for (unsigned id = 1; ok && id <= count; id++) {
        ok = local_start_node(c, id);
    }
    return ok && local_wait_ready(c, 30000);
}

bool local_scratch(struct local_cluster *c, unsigned count)
{
    return start_fresh(c, count, true);
}

bool local_scratch_kept(struct local_cluster *c, unsigned count)
{
    return start_fresh(c, count, false);
}

/* ---- the end ---- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

bool local_destroy(struct local_cluster *c)
{
    c->going = true;
    local_stop(c, true, 10000);
    return nftw(c->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ||
           local_fail(c, "cannot remove %s: %s", c->directory, strerror(errno));
}
