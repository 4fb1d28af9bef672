/* Worker threads. Our own rather than libuv's, whose number is fixed per process by an environment variable
 * at 4: the fdatasyncs of many files have to wait for the disk side by side. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include "proto/thread.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_THREADS = 16 };

/* A job whose kind takes longer than this is not for the loop. Handing one to a worker and hearing of its end
 * costs two wake-ups, 20 to 50 microseconds each. */
static const uint64_t brief_typical_ns = 200 * 1000u;
/* After one that took so long, the loop leaves them to the workers for a while. */
static const uint64_t brief_slow_ns = 4 * 1000000u;
static const uint64_t brief_pause_ns = 1000 * 1000000u;

/* A first-in-first-out list linked by env_work.private_. */
struct job_list {
    struct env_work *first;
    struct env_work *last;
};

struct work_pool {
    struct loop_wake wake;  /* loop: some jobs are finished */
    size_t outstanding;     /* loop only, and what follows */
    struct env_work *brief; /* waits for the end of the turn; or NULL */
    uint64_t brief_ns;      /* what such a job takes: a moving average */
    uint64_t brief_from_ns; /* when the loop may run one again */
    unsigned threads;
    pthread_t ids[MAX_THREADS];

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work_or_end;
    struct job_list waiting;
    unsigned waiting_count;
    unsigned idle; /* threads that wait, or will before they take a job */
    struct job_list finished;
    bool ending;
};

static void list_push(struct job_list *list, struct env_work *job)
{
    job->private_ = NULL;
    if (list->first == NULL)
        list->first = job;
    else
        list->last->private_ = job;
    list->last = job;
}

static struct env_work *list_pop(struct job_list *list)
{
    struct env_work *job = list->first;
    if (job != NULL)
        list->first = job->private_;
    return job;
}

/* With the lock held: the next job, or NULL when the pool ends. */
static struct env_work *next_job(struct work_pool *pool)
{
    while (pool->waiting.first == NULL && !pool->ending)
        pthread_cond_wait(&pool->work_or_end, &pool->lock);
    if (pool->waiting.first == NULL)
        return NULL;
    pool->idle--;
    pool->waiting_count--;
    return list_pop(&pool->waiting);
}

/* With the lock held. The loop is woken without it, or it would run right into the lock. */
static void finish_job(struct work_pool *pool, struct env_work *job)
{
    bool wake = pool->finished.first == NULL; /* otherwise the loop has been woken and has not come yet */
    list_push(&pool->finished, job);
    pool->idle++;
    if (!wake)
        return;
    pthread_mutex_unlock(&pool->lock);
    loop_wake_send(&pool->wake);
    pthread_mutex_lock(&pool->lock);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void run_job(struct env_work *job)
{
    uint64_t start_ns = job->brief ? clock_ns() : 0;
    job->work(job);
    if (job->brief)
        job->took_ns = clock_ns() - start_ns;
}

static void *worker_main(void *arg)
{
    struct work_pool *pool = arg;
    struct env_work *job;
    pthread_mutex_lock(&pool->lock);
    while ((job = next_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        run_job(job);
        pthread_mutex_lock(&pool->lock);
        finish_job(pool, job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* The job's memory may go here. */
static void end_job(struct work_pool *pool, struct env_work *job)
{
    enum { WEIGHT = 8 };
    if (job->brief)
        pool->brief_ns = (pool->brief_ns * (WEIGHT - 1) + job->took_ns) / WEIGHT;
    if (job->brief && job->took_ns > brief_slow_ns)
        pool->brief_from_ns = clock_ns() + brief_pause_ns;
    pool->outstanding--;
    job->done(job);
}

static void on_finished(struct loop_wake *wake)
{
    struct work_pool *pool = container_of(wake, struct work_pool, wake);
    pthread_mutex_lock(&pool->lock);
    struct job_list finished = pool->finished;
    pool->finished = (struct job_list){NULL, NULL};
    pthread_mutex_unlock(&pool->lock);

    struct env_work *job;
    while ((job = list_pop(&finished)) != NULL)
        end_job(pool, job);
}

struct work_pool *work_pool_create(uv_loop_t *loop)
{
    struct work_pool *pool = memory_zalloc(sizeof(*pool));
    loop_wake_init(&pool->wake, loop, on_finished);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_or_end, NULL);
    pool->brief_ns = brief_slow_ns; /* until workers have shown better */
    return pool;
}

static bool start_worker(struct work_pool *pool)
{
    if (thread_start(&pool->ids[pool->threads], worker_main, pool) != 0)
        return false;
    pthread_setname_np(pool->ids[pool->threads], "worker");
    pool->threads++;
    return true;
}

static void give_to_worker(struct work_pool *pool, struct env_work *job)
{
    pthread_mutex_lock(&pool->lock);
    list_push(&pool->waiting, job);
    pool->waiting_count++;
    bool grow = pool->waiting_count > pool->idle && pool->threads < MAX_THREADS;
    if (grow)
        pool->idle++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->work_or_end); /* a worker that wakes finds the lock free */

    if (grow && !start_worker(pool)) {
        ASSERT(pool->threads > 0); /* with fewer threads it is slower, with none it would hang */
        pthread_mutex_lock(&pool->lock);
        pool->idle--;
        pthread_mutex_unlock(&pool->lock);
    }
}

/* ---- brief jobs ---- */

/* Only one that is alone: several are done side by side by workers, and while workers are busy so is the
 * disk. */
static bool is_for_the_loop(const struct work_pool *pool, const struct env_work *job)
{
    return job->brief && pool->outstanding == 0 && pool->brief_ns < brief_typical_ns &&
           clock_ns() >= pool->brief_from_ns;
}

void work_pool_submit(struct work_pool *pool, struct env_work *job)
{
    struct env_work *alone = pool->brief;
    bool here = is_for_the_loop(pool, job);
    pool->outstanding++;
    pool->brief = here ? job : NULL;
    if (alone != NULL)
        give_to_worker(pool, alone);
    if (!here)
        give_to_worker(pool, job);
}

bool work_pool_brief_waits(const struct work_pool *pool)
{
    return pool->brief != NULL;
}

bool work_pool_run_brief(struct work_pool *pool)
{
    struct env_work *job = pool->brief;
    if (job == NULL)
        return false;
    pool->brief = NULL;
    run_job(job);
    end_job(pool, job);
    return true;
}

size_t work_pool_outstanding(const struct work_pool *pool)
{
    return pool->outstanding;
}

static void on_closed(struct loop_wake *wake)
{
    struct work_pool *pool = container_of(wake, struct work_pool, wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work_or_end);
    free(pool);
}

void work_pool_destroy(struct work_pool *pool)
{
    ASSERT(pool->outstanding == 0);
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work_or_end);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++)
        pthread_join(pool->ids[i], NULL);
    loop_wake_close(&pool->wake, on_closed);
}
