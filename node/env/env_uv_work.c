/* Worker threads. Our own rather than libuv's, whose number is fixed per process by an environment variable
 * at 4: the fdatasyncs of many files have to wait for the disk side by side. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { MAX_THREADS = 16 };

/* A first-in-first-out list linked by env_work.private_. */
struct job_list {
    struct env_work *first;
    struct env_work *last;
};

struct work_pool {
    struct loop_wake wake; /* loop: some jobs are finished */
    size_t outstanding;    /* loop only */
    unsigned threads;      /* loop only */
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

static void *worker_main(void *arg)
{
    struct work_pool *pool = arg;
    struct env_work *job;
    pthread_mutex_lock(&pool->lock);
    while ((job = next_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->work(job);
        pthread_mutex_lock(&pool->lock);
        finish_job(pool, job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void on_finished(struct loop_wake *wake)
{
    struct work_pool *pool = container_of(wake, struct work_pool, wake);
    pthread_mutex_lock(&pool->lock);
    struct job_list finished = pool->finished;
    pool->finished = (struct job_list){NULL, NULL};
    pthread_mutex_unlock(&pool->lock);

    struct env_work *job;
    while ((job = list_pop(&finished)) != NULL) {
        pool->outstanding--;
        job->done(job); /* the job's memory may go here */
    }
}

struct work_pool *work_pool_create(uv_loop_t *loop)
{
    struct work_pool *pool = memory_zalloc(sizeof(*pool));
    loop_wake_init(&pool->wake, loop, on_finished);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work_or_end, NULL);
    return pool;
}

/* Signals are the loop's business; workers start with all of them blocked. */
static bool start_thread(struct work_pool *pool)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rv = pthread_create(&pool->ids[pool->threads], NULL, worker_main, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv != 0)
        return false;
    pthread_setname_np(pool->ids[pool->threads], "worker");
    pool->threads++;
    return true;
}

void work_pool_submit(struct work_pool *pool, struct env_work *job)
{
    pool->outstanding++;
    pthread_mutex_lock(&pool->lock);
    list_push(&pool->waiting, job);
    pool->waiting_count++;
    bool grow = pool->waiting_count > pool->idle && pool->threads < MAX_THREADS;
    if (grow)
        pool->idle++;
    pthread_mutex_unlock(&pool->lock);
    pthread_cond_signal(&pool->work_or_end); /* a worker that wakes finds the lock free */

    if (grow && !start_thread(pool)) {
        ASSERT(pool->threads > 0); /* with fewer threads it is slower, with none it would hang */
        pthread_mutex_lock(&pool->lock);
        pool->idle--;
        pthread_mutex_unlock(&pool->lock);
    }
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
