/* Posts from foreign threads reach the loop, each once, in their thread's order. */
#include "node/env/env.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { THREADS = 3, POSTS = 1000 };

struct poster;
struct letter {
    struct env_post post;
    struct poster *poster;
    unsigned number;
};
struct poster {
    struct env *env;
    pthread_t id;
    unsigned received; /* loop only */
    struct letter letters[POSTS];
};

static void on_post(struct env_post *post)
{
    struct letter *letter = (struct letter *)post;
    assert_int_equal(letter->number, letter->poster->received);
    letter->poster->received++;
}

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        p->letters[i].poster = p;
        p->letters[i].number = i;
        env_post(p->env, &p->letters[i].post, on_post);
    }
    return NULL;
}

static void keep_running(struct env_timer *timer)
{
    (void)timer;
}

static void test_posts_arrive_in_order(void **state)
{
    (void)state;
    static struct poster posters[THREADS];
    struct env *env = env_uv_create(1);
    struct env_timer timer = {0};
    env_timer_start(env, &timer, (uint64_t)60 * 1000000000, keep_running); /* something to wait for */
    for (unsigned i = 0; i < THREADS; i++) {
        posters[i].env = env;
        assert_int_equal(pthread_create(&posters[i].id, NULL, post_all, &posters[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        while (posters[i].received < POSTS)
            env_run_once(env, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(posters[i].id, NULL);
    env_timer_stop(env, &timer);
    env_destroy(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_posts_arrive_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
