/* 3. A worker of a group: start several, and they share the partitions; stop or kill one, and the others take
 * over. What is finished is committed by itself, so each record is processed at least once.
 *
 *     worker 127.0.0.1:9192 billing orders 'refunds.*'       (Ctrl-C to stop) */
#include <flotilla.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* Called by flotilla_consumer_poll and _destroy, on this thread. */
static void on_rebalance(void *data, struct flotilla_consumer *consumer, enum flotilla_rebalance event,
                         const struct flotilla_partition *const *partitions, size_t count)
{
    static const char *const names[] = {"reading", "handing over", "lost"};

    (void)data, (void)consumer;
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s %s/%d\n", names[event], partitions[i]->topic, (int)partitions[i]->partition);
}

static long work(struct flotilla_consumer *consumer)
{
    long done = 0;

    while (!stopped) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 200);
        const struct flotilla_record *r;
        if (batch != NULL && flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
            fprintf(stderr, "%s\n", flotilla_batch_message(batch));
            stopped = 1;
        }
        /* Asking for the next record says that the one before is finished. */
        while (batch != NULL && (r = flotilla_batch_next(batch)) != NULL) {
            printf("%.*s\n", (int)r->value_size, r->value != NULL ? (const char *)r->value : "");
            done++;
        }
        fflush(stdout);
        flotilla_batch_release(batch);
    }
    return done;
}

int main(int argc, char **argv)
{
    struct flotilla_client *client;
    struct flotilla_consumer *consumer;
    struct flotilla_options *options = flotilla_options_create();
    const char *topics[16];
    const char *pattern = NULL;
    size_t count = 0;
    char error[512];

    if (argc < 4 || argc > 19) {
        fprintf(stderr, "usage: %s host:port,... group topic|pattern...\n", argv[0]);
        return 2;
    }
    for (int i = 3; i < argc; i++)
        if (strpbrk(argv[i], "*?") != NULL)
            pattern = argv[i];
        else
            topics[count++] = argv[i];
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    flotilla_options_set(options, "group", argv[2], NULL, 0);
    flotilla_options_set(options, "session.timeout.ms", "6000", NULL, 0);
    if (flotilla_client_create(&client, argv[1], options, error, sizeof(error)) != 0 ||
        flotilla_consumer_create(&consumer, client, options, error, sizeof(error)) != 0 ||
        flotilla_consumer_join(consumer, topics, count, pattern, on_rebalance, NULL, error, sizeof(error)) !=
            0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    long done = work(consumer);
    flotilla_consumer_destroy(consumer); /* commits what is finished, and leaves */
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    fprintf(stderr, "processed %ld\n", done);
    return 0;
}
