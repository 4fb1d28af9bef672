/* Posts of other threads: a locked list, and what wakes the loop. */
#include "node/base/assert.h"
#include "node/base/memory.h"
#include "node/env/env_uv.h"
#include <pthread.h>
#include <stdlib.h>

struct post_box {
    struct loop_wake wake;
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

static void on_wake(struct loop_wake *wake)
{
    struct env_post *post = take_all(container_of(wake, struct post_box, wake));
    while (post != NULL) {
        struct env_post *next = post->next;
        post->cb(post); /* the post's memory may go here */
        post = next;
    }
}

struct post_box *post_box_create(uv_loop_t *loop)
{
    struct post_box *box = memory_zalloc(sizeof(*box));
    loop_wake_init(&box->wake, loop, on_wake);
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
    loop_wake_send(&box->wake);
}

static void on_closed(struct loop_wake *wake)
{
    struct post_box *box = container_of(wake, struct post_box, wake);
    pthread_mutex_destroy(&box->lock);
    free(box);
}

void post_box_destroy(struct post_box *box)
{
    ASSERT(box->first == NULL);
    loop_wake_close(&box->wake, on_closed);
}
