/* Posts of other threads: a locked list, and an async handle that wakes the loop. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include <pthread.h>
#include <stdlib.h>

struct post_box {
    uv_async_t wake;
    pthread_mutex_t lock; /* guards what follows */
    struct env_post *first;
    struct env_post **end;
};

static struct env_post *take_all(struct post_box *box)
{
    pthread_mutex_lock(&box->lock);
    struct env_post *first = box->first;
    box->first = NULL;
    box->end = &box->first;
    pthread_mutex_unlock(&box->lock);
    return first;
}

static void on_wake(uv_async_t *wake)
{
    struct env_post *post = take_all(wake->data);
    while (post != NULL) {
        struct env_post *next = post->next;
        post->cb(post); /* the post's memory may go here */
        post = next;
    }
}

struct post_box *post_box_create(uv_loop_t *loop)
{
    struct post_box *box = memory_zalloc(sizeof(*box));
    int rv = uv_async_init(loop, &box->wake, on_wake);
    ASSERT(rv == 0);
    box->wake.data = box;
    uv_unref((uv_handle_t *)&box->wake);
    pthread_mutex_init(&box->lock, NULL);
    box->end = &box->first;
    return box;
}

void post_box_put(struct post_box *box, struct env_post *post)
{
    post->next = NULL;
    pthread_mutex_lock(&box->lock);
    *box->end = post;
    box->end = &post->next;
    pthread_mutex_unlock(&box->lock);
    uv_async_send(&box->wake);
}

static void on_closed(uv_handle_t *wake)
{
    struct post_box *box = wake->data;
    pthread_mutex_destroy(&box->lock);
    free(box);
}

void post_box_destroy(struct post_box *box)
{
    ASSERT(box->first == NULL);
    uv_close((uv_handle_t *)&box->wake, on_closed);
}
