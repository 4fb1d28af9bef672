#include "client/cli/workload/crew_member.h"

#include "client/cli/cli.h"
#include "client/cli/local/local.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 50, COMMIT_EVERY_MS = 20, ARGUMENTS_MAX = 64 };

static int number_of(const struct crew_member *m)
{
    return (int)(m - m->crew->member);
}

/* ---- as a thread ---- */

static void on_rebalance(void *data, struct flotilla_consumer *consumer, enum flotilla_rebalance event,
                         const struct flotilla_partition *const *partitions, size_t count)
{
    struct crew_member *m = data;
    (void)consumer, (void)event, (void)partitions, (void)count;
    m->rebalances++;
}

static void take(struct crew_member *m, struct flotilla_batch *batch)
{
    const struct flotilla_record *record;
    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
        snprintf(m->error, sizeof(m->error), "%s", flotilla_batch_message(batch));
    }
    while ((record = flotilla_batch_next(batch)) != NULL) {
        crew_note(m->crew, number_of(m), record->partition, record->offset);
    }
    flotilla_batch_release(batch);
}

/* Besides what is committed by itself: so that it shows when commits succeed again. */
struct probe {
    struct crew_member *member;
    _Atomic bool is_out;
    uint64_t began_ns;
};

static void on_commit(void *data, int status, const char *message)
{
    struct probe *p = data;
    (void)message;
    if (status == 0) {
        p->member->commit_ns = p->began_ns;
    }
    p->is_out = false;
}

static void commit_now_and_then(struct probe *p, struct flotilla_consumer *consumer)
{
    if (p->is_out || cli_now_ns() - p->began_ns < COMMIT_EVERY_MS * 1000000u) {
        return;
    }
    p->is_out = true;
    p->began_ns = cli_now_ns();
    if (flotilla_consumer_commit_async(consumer, on_commit, p) != 0) {
        p->is_out = false;
    }
}

static void work(struct crew_member *m, struct flotilla_client *client,
                 const struct flotilla_options *options)
{
    struct flotilla_consumer *consumer = NULL;
    struct probe probe = {.member = m};
    int rc = flotilla_consumer_create(&consumer, client, options, m->error, sizeof(m->error));
    if (rc == 0) {
        rc = flotilla_consumer_join(consumer, &m->crew->topic, 1, NULL, on_rebalance, m, m->error,
                                    sizeof(m->error));
    }
    while (rc == 0 && !m->stop && m->error[0] == 0) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, POLL_MS);
        if (batch != NULL) {
            take(m, batch);
            commit_now_and_then(&probe, consumer);
        }
    }
    flotilla_consumer_destroy(consumer);
}

static void *thread_main(void *argument)
{
    struct crew_member *m = argument;
    struct flotilla_client *client = NULL;
    struct flotilla_options *options = flotilla_options_create();
    flotilla_options_set(options, "group", m->crew->group, NULL, 0);
    for (const char *const *o = m->crew->options; o != NULL && *o != NULL; o += 2) {
        flotilla_options_set(options, o[0], o[1], m->error, sizeof(m->error));
    }
    if (flotilla_client_create(&client, m->crew->bootstrap, options, m->error, sizeof(m->error)) == 0) {
        work(m, client, options);
    }
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    return NULL;
}

bool crew_member_run(struct crew_member *m)
{
    if (pthread_create(&m->thread, NULL, thread_main, m) != 0) {
        snprintf(m->error, sizeof(m->error), "cannot start a thread");
        return false;
    }
    return true;
}

/* ---- as a process ---- */

static void *output_main(void *argument)
{
    struct crew_member *m = argument;
    FILE *lines = fdopen(m->output, "r");
    char line[128];
    while (lines != NULL && fgets(line, sizeof(line), lines) != NULL) {
        int32_t partition;
        int64_t offset;
        if (sscanf(line, "%" SCNd32 " %" SCNd64, &partition, &offset) == 2) {
            crew_note(m->crew, number_of(m), partition, offset);
        }
    }
    if (lines != NULL) {
        fclose(lines);
    }
    return NULL;
}

static size_t fill_arguments(const struct crew_member *m, char **arguments, char settings[][128])
{
    const struct crew *c = m->crew;
    const char *const fixed[] = {"flotilla",    "consume",    c->topic,   "--group", c->group,
                                 "--bootstrap", c->bootstrap, "--format", "%p %o\\n"};
    size_t count = 0, used = 0;
    for (; count < sizeof(fixed) / sizeof(fixed[0]); count++) {
        arguments[count] = (char *)(uintptr_t)fixed[count];
    }
    for (const char *const *o = c->options; o != NULL && *o != NULL && count + 3 < ARGUMENTS_MAX; o += 2) {
        snprintf(settings[used], sizeof(settings[used]), "%s=%s", o[0], o[1]);
        arguments[count++] = (char *)(uintptr_t) "--set";
        arguments[count++] = settings[used++];
    }
    arguments[count] = NULL;
    return count;
}

static bool spawn_with(struct crew_member *m, int write_end)
{
    char program[4096], settings[ARGUMENTS_MAX][128];
    char *arguments[ARGUMENTS_MAX];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    fill_arguments(m, arguments, settings);
    local_program("flotilla", program, sizeof(program));
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, write_end, STDOUT_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none); /* the parent may have blocked the one that ends it */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawnp(&m->pid, program, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        snprintf(m->error, sizeof(m->error), "cannot start %.400s: %s", program, strerror(rc));
    }
    return rc == 0;
}

bool crew_member_spawn(struct crew_member *m)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        snprintf(m->error, sizeof(m->error), "no pipe: %s", strerror(errno));
        return false;
    }
    bool ok = spawn_with(m, ends[1]);
    close(ends[1]);
    m->output = ends[0];
    if (!ok) {
        close(ends[0]);
        return false;
    }
    return pthread_create(&m->thread, NULL, output_main, m) == 0;
}
