/* Private to client/driver: the driver's state and its connections. */
#ifndef CLIENT_DRIVER_CONNECTION_H
#define CLIENT_DRIVER_CONNECTION_H

#include "client/core/core.h"
#include "client/driver/uv.h"
#include "proto/error.h"
#include <pthread.h>
#include <uv.h>

struct driver_task {
    TAILQ_ENTRY(driver_task) link;
    void (*run)(struct core *core, void *data);
    void *data;
    bool is_waited_for; /* lives on the waiter's stack */
    bool is_done;
};

struct driver_connection {
    struct driver *driver;
    uint32_t number;
    bool is_busy; /* from connect until its end was told to the core */
    bool is_resolving;
    bool is_open; /* the socket handle needs closing */
    bool is_connected;
    bool is_writing;
    bool is_closing; /* the core wants no more of it */
    bool has_output;
    int reason;
    uv_getaddrinfo_t resolve;
    struct addrinfo *addresses; /* to be freed */
    struct addrinfo *address;   /* the one to be tried next */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    size_t write_size;
};

struct driver {
    uv_loop_t loop;
    uv_poll_t wake;
    int wake_fd;
    uv_timer_t timer;
    uv_prepare_t prepare;
    pthread_t thread;
    unsigned char *canary; /* a page that the kernel empties in a forked process */
    struct core *core;
    struct driver_connection *connections[CORE_MAX_CONNECTIONS];
    bool has_output;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t task_done;
    TAILQ_HEAD(, driver_task) tasks;
    TAILQ_HEAD(, driver_source) sources;
};

void driver_connection_open(void *driver, uint32_t number, const char *host, uint16_t port);
void driver_connection_output(void *driver, uint32_t number);
void driver_connection_close(void *driver, uint32_t number);
void driver_connections_flush(struct driver *driver);
void driver_connections_close(struct driver *driver);
void driver_connections_free(struct driver *driver);

#endif
