/* flotillad: flags, signals, and one node on a real environment. */
#include "node/env/env.h"
#include "node/env/slack_timer.h"
#include "node/server/config.h"
#include "node/server/node.h"
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

enum exit_status {
    EXIT_STOPPED = 0,
    EXIT_NOT_STARTED = 1,
    EXIT_CONFIGURATION = 2,
    EXIT_FAILED = 3,
};

struct daemon {
    struct env *env;
    struct node *node;
    struct slack_timer slack_timer;
    bool stopping;
    int status;
};

static void on_stopped(void *data)
{
    struct daemon *d = data;
    d->node = NULL;
    env_stop(d->env);
}

static void stop(struct daemon *d, bool planned)
{
    if (d->stopping)
        return;
    d->stopping = true;
    node_stop(d->node, planned, on_stopped, d);
}

/* The second signal means it: nothing that was acknowledged depends on an orderly end. */
static void on_signal(void *data, int number)
{
    struct daemon *d = data;
    if (d->stopping)
        _exit(EXIT_STOPPED);
    LOG(node_logger(d->node), LOG_INFO, "signal received", "signal=%d", number);
    stop(d, true);
}

static void on_fatal(void *data, const char *message)
{
    struct daemon *d = data;
    fprintf(stderr, "flotillad: %s\n", message);
    d->status = EXIT_FAILED;
    stop(d, false);
}

/* Each partition keeps a few files open, each client a socket. */
static uint64_t raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return UINT64_MAX;
    if (limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_max;
}

/* Clients get at most half of the files that may be open: a partition that can't open its next segment stops
 * for good. */
static bool share_files(struct node_config *config, uint64_t limit)
{
    enum { FILES_LEAST = 128 };
    if (limit < FILES_LEAST) {
        fprintf(
            stderr,
            "flotillad: too few open files are allowed: %llu, a node needs at least %d, and more with every "
            "partition and client; raise the limit (ulimit -n, or LimitNOFILE= in a systemd unit)\n",
            (unsigned long long)limit, FILES_LEAST);
        return false;
    }
    if (config->max_connections > limit / 2) {
        fprintf(
            stderr,
            "flotillad: max-connections is lowered from %u to %u: %llu open files are allowed, and half of "
            "them are kept for partitions; raise the limit (ulimit -n, or LimitNOFILE= in a systemd unit)\n",
            config->max_connections, (unsigned)(limit / 2), (unsigned long long)limit);
        config->max_connections = (uint32_t)(limit / 2);
    }
    return true;
}

/* Batches come and go in buffers of some 100 KiB. Given back to the kernel and taken again each time, every
 * page of them would cost a fault and be cleared anew. What lies idle for seconds is given back all the same.
 */
static void keep_freed_memory(void)
{
    enum { KEEP_BYTES = 32 * 1024 * 1024 };
    mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
}

static int run(struct node_config *config)
{
    if (!share_files(config, raise_file_limit()))
        return EXIT_NOT_STARTED;
    struct daemon d = {.env = env_uv_create(0), .status = EXIT_STOPPED};
    char message[1024];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN); /* survives the terminal that it was started from */
    keep_freed_memory();
    if (node_start(d.env, config, &d.node, message, sizeof(message)) != 0) {
        fprintf(stderr, "flotillad: %s\n", message);
        env_destroy(d.env);
        return EXIT_NOT_STARTED;
    }
    slack_timer_start(&d.slack_timer, d.env, UINT64_C(1000000000));
    node_on_fatal(d.node, on_fatal, &d);
    env_on_signal(d.env, SIGTERM, on_signal, &d);
    env_on_signal(d.env, SIGINT, on_signal, &d);
    while (d.node != NULL)
        env_run(d.env);
    slack_timer_stop(&d.slack_timer);
    env_destroy(d.env);
    return d.status;
}

int main(int argc, char **argv)
{
    struct node_config config;
    char message[1024];
    if (config_load(&config, argc, argv, environ, message, sizeof(message)) != 0) {
        fprintf(stderr, "flotillad: %s\n", message);
        return EXIT_CONFIGURATION;
    }
    if (config.help)
        config_print_help(STDOUT_FILENO);
    else if (config.version)
        printf("flotillad %s\n", FLOTILLA_VERSION);
    else if (config.man)
        config_print_man(STDOUT_FILENO);
    else if (config.print_defaults)
        config_print_defaults(STDOUT_FILENO);
    else
        return run(&config);
    return EXIT_STOPPED;
}
