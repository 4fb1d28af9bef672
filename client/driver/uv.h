/* Runs a core on one background thread with libuv: sockets, name look-ups, the clock. Application threads
 * reach the core only through here. */
#ifndef CLIENT_DRIVER_UV_H
#define CLIENT_DRIVER_UV_H

#include "client/core/core.h"
#include <sys/queue.h>

struct driver;

/* Something that is told again and again that it has work; embedded in its owner, so that waking allocates
 * nothing. */
struct driver_source {
    TAILQ_ENTRY(driver_source) link; /* private */
    bool is_woken;                   /* private */
    void (*run)(void *data);         /* on the background thread */
    void *data;
};

/* Starts the thread. Returns 0 or ERR_*. */
int driver_create(struct driver **driver, const struct client_settings *settings);
/* Ends all calls, closes the connections and joins the thread. Not from the thread itself. */
void driver_destroy(struct driver *driver);
bool driver_add_bootstrap(struct driver *driver, const char *host, uint16_t port); /* before anything else */

/* Runs `run` on the background thread and waits for it; on the thread itself (in a callback) runs it at once.
 */
void driver_call(struct driver *driver, void (*run)(struct core *core, void *data), void *data);
/* Runs `run` on the background thread some time soon. */
void driver_post(struct driver *driver, void (*run)(struct core *core, void *data), void *data);
/* Runs the source's `run` soon, once for any number of wakes. */
void driver_wake(struct driver *driver, struct driver_source *source);
/* Makes sure that it will not run any more; on the background thread. */
void driver_forget(struct driver *driver, struct driver_source *source);
bool driver_is_own_thread(const struct driver *driver);
/* This process was forked from the one that made the driver: there is no background thread here. Costs a
 * read. */
bool driver_is_forked(const struct driver *driver);

#endif
