#include "node/storage/flusher.h"
#include "node/base/assert.h"
#include "node/base/memory.h"
#include <stdlib.h>

enum { OTHERS_PER_NEWCOMER = 4 };

struct flusher {
    struct env *env;
    unsigned max_parallel;
    unsigned running;
    struct queue waiting;
    struct queue newcomers; /* have had no turn yet */
    unsigned passed_over;   /* turns of others since the last one of a newcomer, while some wait */
    struct queue patient;   /* started one at a time */
    bool patient_runs;
    struct env_task task;
    struct flusher_stats stats;
};

struct flusher *flusher_create(struct env *env, unsigned max_parallel)
{
    struct flusher *f = memory_zalloc(sizeof(*f));

    f->env = env;
    f->max_parallel = max_parallel > 0 ? max_parallel : 1;
    queue_init(&f->waiting);
    queue_init(&f->newcomers);
    queue_init(&f->patient);
    return f;
}

void flusher_destroy(struct flusher *f)
{
    ASSERT(f->running == 0 && queue_empty(&f->waiting) && queue_empty(&f->newcomers));
    ASSERT(!f->patient_runs && queue_empty(&f->patient));
    env_task_cancel(f->env, &f->task);
    free(f);
}

const struct flusher_stats *flusher_stats(const struct flusher *f)
{
    return &f->stats;
}

static void flusher_start_first(struct queue *clients)
{
    struct flusher_client *client = QUEUE_ENTRY(queue_first(clients), struct flusher_client, node);

    queue_remove(&client->node);
    client->had_a_turn = true;
    client->start(client);
}

/* A topic of a thousand partitions that is being created must not make those wait that are written to: it
 * gets half of the turns while nobody else wants one, and one in five while they all do. */
static struct queue *flusher_next(struct flusher *f)
{
    bool overdue = f->passed_over >= OTHERS_PER_NEWCOMER;

    if (f->running >= f->max_parallel)
        return NULL;
    if (!queue_empty(&f->waiting) && (!overdue || queue_empty(&f->newcomers)))
        return &f->waiting;
    if (queue_empty(&f->newcomers))
        return NULL;
    return overdue || f->running < (f->max_parallel + 1) / 2 ? &f->newcomers : NULL;
}

static void flusher_count_turn(struct flusher *f, const struct queue *whose)
{
    f->passed_over = whose == &f->newcomers || queue_empty(&f->newcomers) ? 0 : f->passed_over + 1;
}

static void flusher_start_rounds(struct env_task *task)
{
    struct flusher *f = container_of(task, struct flusher, task);
    struct queue *next;

    while ((next = flusher_next(f)) != NULL) {
        f->running++;
        flusher_count_turn(f, next);
        flusher_start_first(next);
    }
    if (!f->patient_runs && !queue_empty(&f->patient)) {
        f->patient_runs = true;
        flusher_start_first(&f->patient);
    }
}

void flusher_client_init(struct flusher_client *client, void (*start)(struct flusher_client *client))
{
    queue_init(&client->node);
    client->had_a_turn = false;
    client->start = start;
}

void flusher_submit(struct flusher *f, struct flusher_client *client)
{
    if (!queue_empty(&client->node))
        return;
    queue_push(client->had_a_turn ? &f->waiting : &f->newcomers, &client->node);
    env_defer(f->env, &f->task, flusher_start_rounds);
}

void flusher_submit_patient(struct flusher *f, struct flusher_client *client)
{
    ASSERT(queue_empty(&client->node));
    queue_push(&f->patient, &client->node);
    env_defer(f->env, &f->task, flusher_start_rounds);
}

void flusher_patient_finished(struct flusher *f)
{
    ASSERT(f->patient_runs);
    f->patient_runs = false;
    if (!queue_empty(&f->patient))
        env_defer(f->env, &f->task, flusher_start_rounds);
}

void flusher_withdraw(struct flusher_client *client)
{
    queue_remove(&client->node);
}

static void flusher_count(struct flusher_stats *stats, const struct flusher_round *result)
{
    stats->rounds++;
    stats->bytes += result->bytes;
    histogram_record(&stats->write_ns, result->write_ns);
    histogram_record(&stats->sync_ns, result->sync_ns);
    if (result->sync_failed)
        stats->sync_failures++;
}

void flusher_finished(struct flusher *f, const struct flusher_round *result)
{
    ASSERT(f->running > 0);
    f->running--;
    if (result != NULL)
        flusher_count(&f->stats, result);
    if (flusher_next(f) != NULL)
        env_defer(f->env, &f->task, flusher_start_rounds);
}
