#include "client/driver/uv.h"
#include "client/driver/connection.h"
#include "proto/thread.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CANARY_SIZE = 4096 }; /* at most a page */

/* An eventfd of our own: uv_async of libuv before 1.45 makes this thread spin, and then give up its
 * processor, until the application's thread has come back from the write that woke it. */
static void driver_wake_loop(struct driver *driver)
{
    static const uint64_t once = 1;

    while (write(driver->wake_fd, &once, sizeof(once)) < 0 && errno == EINTR)
        continue;
}

static void driver_on_woken(uv_poll_t *poll, int status, int events)
{
    struct driver *driver = poll->data;
    struct driver_source *source;
    struct driver_task *task;
    uint64_t times;

    (void)status;
    (void)events;
    if (read(driver->wake_fd, &times, sizeof(times)) != sizeof(times))
        return;
    core_advance(driver->core, uv_hrtime());
    pthread_mutex_lock(&driver->lock);
    while ((task = TAILQ_FIRST(&driver->tasks)) != NULL) {
        TAILQ_REMOVE(&driver->tasks, task, link);
        pthread_mutex_unlock(&driver->lock);
        task->run(driver->core, task->data);
        pthread_mutex_lock(&driver->lock);
        task->is_done = true;
        if (!task->is_waited_for)
            free(task);
        pthread_cond_broadcast(&driver->task_done);
    }
    while ((source = TAILQ_FIRST(&driver->sources)) != NULL) {
        TAILQ_REMOVE(&driver->sources, source, link);
        source->is_woken = false;
        pthread_mutex_unlock(&driver->lock);
        source->run(source->data);
        pthread_mutex_lock(&driver->lock);
    }
    pthread_mutex_unlock(&driver->lock);
}

static void driver_on_timer(uv_timer_t *timer)
{
    struct driver *driver = timer->data;

    core_advance(driver->core, uv_hrtime());
}

/* Before the loop sleeps: sends what this turn produced, all of a connection in one call, and sets the alarm.
 */
static void driver_on_prepare(uv_prepare_t *prepare)
{
    struct driver *driver = prepare->data;

    driver_connections_flush(driver);
    uint64_t deadline = core_deadline(driver->core);
    uint64_t now = uv_hrtime();
    if (deadline == UINT64_MAX) {
        uv_timer_stop(&driver->timer);
        return;
    }
    uv_update_time(&driver->loop);
    uv_timer_start(&driver->timer, driver_on_timer, deadline > now ? (deadline - now + 999999) / 1000000 : 0,
                   0);
}

static void *driver_main(void *data)
{
    struct driver *driver = data;

    thread_turns_short();
    uv_run(&driver->loop, UV_RUN_DEFAULT);
    return NULL;
}

static int driver_init_loop(struct driver *driver)
{
    int rc = uv_loop_init(&driver->loop);

    if (rc != 0)
        return error_from_errno(rc);
    driver->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rc = driver->wake_fd < 0 ? -errno : uv_poll_init(&driver->loop, &driver->wake, driver->wake_fd);
    if (rc != 0) {
        if (driver->wake_fd >= 0)
            close(driver->wake_fd);
        uv_loop_close(&driver->loop);
        return error_from_errno(rc);
    }
    uv_poll_start(&driver->wake, UV_READABLE, driver_on_woken);
    uv_timer_init(&driver->loop, &driver->timer);
    uv_prepare_init(&driver->loop, &driver->prepare);
    uv_prepare_start(&driver->prepare, driver_on_prepare);
    driver->wake.data = driver->timer.data = driver->prepare.data = driver;
    return 0;
}

static void driver_on_wake_closed(uv_handle_t *wake)
{
    struct driver *driver = wake->data;

    close(driver->wake_fd);
}

static void driver_close_loop(struct driver *driver)
{
    uv_close((uv_handle_t *)&driver->wake, driver_on_wake_closed);
    uv_close((uv_handle_t *)&driver->timer, NULL);
    uv_close((uv_handle_t *)&driver->prepare, NULL);
}

/* Without the page (an old kernel) nothing is noticed. */
static void canary_create(struct driver *driver)
{
    void *page = mmap(NULL, CANARY_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return;
    driver->canary = page;
    *driver->canary = 1;
    if (madvise(page, CANARY_SIZE, MADV_WIPEONFORK) != 0) {
        munmap(page, CANARY_SIZE);
        driver->canary = NULL;
    }
}

static void canary_destroy(struct driver *driver)
{
    if (driver->canary != NULL)
        munmap(driver->canary, CANARY_SIZE);
}

bool driver_is_forked(const struct driver *driver)
{
    return driver->canary != NULL && *driver->canary == 0;
}

int driver_create(struct driver **out, const struct client_settings *settings)
{
    struct driver *driver = calloc(1, sizeof(*driver));
    struct core_io io = {
        .data = driver,
        .connect = driver_connection_open,
        .output = driver_connection_output,
        .close = driver_connection_close,
    };

    if (driver == NULL)
        return ERR_OUT_OF_MEMORY;
    pthread_mutex_init(&driver->lock, NULL);
    pthread_cond_init(&driver->task_done, NULL);
    TAILQ_INIT(&driver->tasks);
    TAILQ_INIT(&driver->sources);
    canary_create(driver);
    int rc = driver_init_loop(driver);
    if (rc != 0)
        goto free_driver;
    uint64_t seed;
    if (uv_random(NULL, NULL, &seed, sizeof(seed), 0, NULL) != 0)
        seed = uv_hrtime() ^ (uint64_t)uv_os_getpid() << 32;
    driver->core = core_create(settings, &io, seed, uv_hrtime());
    rc = error_from_errno(thread_start(&driver->thread, driver_main, driver));
    if (rc != 0)
        goto close_loop;
    *out = driver;
    return 0;

close_loop:
    driver_close_loop(driver);
    uv_run(&driver->loop, UV_RUN_DEFAULT);
    uv_loop_close(&driver->loop);
    core_destroy(driver->core);
free_driver:
    canary_destroy(driver);
    pthread_cond_destroy(&driver->task_done);
    pthread_mutex_destroy(&driver->lock);
    free(driver);
    return rc;
}

static void stop(struct core *core, void *data)
{
    struct driver *driver = data;

    core_stop(core);
    driver_connections_close(driver);
    driver_close_loop(driver);
}

void driver_destroy(struct driver *driver)
{
    driver_post(driver, stop, driver);
    pthread_join(driver->thread, NULL);
    uv_loop_close(&driver->loop);
    core_destroy(driver->core);
    driver_connections_free(driver);
    canary_destroy(driver);
    pthread_cond_destroy(&driver->task_done);
    pthread_mutex_destroy(&driver->lock);
    free(driver);
}

bool driver_is_own_thread(const struct driver *driver)
{
    return pthread_equal(driver->thread, pthread_self()) != 0;
}

/* ---- reaching the core ---- */

static void task_submit(struct driver *driver, struct driver_task *task)
{
    pthread_mutex_lock(&driver->lock);
    TAILQ_INSERT_TAIL(&driver->tasks, task, link);
    pthread_mutex_unlock(&driver->lock);
    driver_wake_loop(driver);
}

void driver_post(struct driver *driver, void (*run)(struct core *core, void *data), void *data)
{
    struct driver_task *task = calloc(1, sizeof(*task));

    if (task == NULL)
        abort();
    task->run = run;
    task->data = data;
    task_submit(driver, task);
}

void driver_call(struct driver *driver, void (*run)(struct core *core, void *data), void *data)
{
    struct driver_task task = {.run = run, .data = data, .is_waited_for = true};

    if (driver_is_own_thread(driver)) {
        run(driver->core, data);
        return;
    }
    task_submit(driver, &task);
    pthread_mutex_lock(&driver->lock);
    while (!task.is_done)
        pthread_cond_wait(&driver->task_done, &driver->lock);
    pthread_mutex_unlock(&driver->lock);
}

void driver_wake(struct driver *driver, struct driver_source *source)
{
    pthread_mutex_lock(&driver->lock);
    bool is_new = !source->is_woken;
    if (is_new) {
        source->is_woken = true;
        TAILQ_INSERT_TAIL(&driver->sources, source, link);
    }
    pthread_mutex_unlock(&driver->lock);
    if (is_new)
        driver_wake_loop(driver);
}

void driver_forget(struct driver *driver, struct driver_source *source)
{
    pthread_mutex_lock(&driver->lock);
    if (source->is_woken)
        TAILQ_REMOVE(&driver->sources, source, link);
    source->is_woken = false;
    pthread_mutex_unlock(&driver->lock);
}

struct bootstrap {
    const char *host;
    uint16_t port;
    bool added;
};

static void add_bootstrap(struct core *core, void *data)
{
    struct bootstrap *b = data;

    b->added = core_add_bootstrap(core, b->host, b->port);
}

bool driver_add_bootstrap(struct driver *driver, const char *host, uint16_t port)
{
    struct bootstrap b = {host, port, false};

    driver_call(driver, add_bootstrap, &b);
    return b.added;
}
