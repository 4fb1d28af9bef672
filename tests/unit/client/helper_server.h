/* The model cluster on real sockets: three listeners on free ports of the loopback, served by one thread. */
#ifndef TESTS_CLIENT_HELPER_SERVER_H
#define TESTS_CLIENT_HELPER_SERVER_H

#include "tests/unit/client/helper_broker.h"
#include <pthread.h>
#include <stdatomic.h>

struct server;

struct server *server_start(uint32_t partitions);
void server_stop(struct server *s);
/* "127.0.0.1:port,..." */
const char *server_bootstrap(const struct server *s);
/* Closes all connections, once. */
void server_cut(struct server *s);

#endif
