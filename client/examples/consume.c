/* Reads a topic as one of a group: prints each record, and goes on where the group left off at the next
 * start.
 *
 *     consume 127.0.0.1:9192 orders billing
 *
 * Stops with Ctrl-C. A record counts as done once the next one is asked for; if the program dies in between,
 * that one is read again (at least once). */
#include <flotilla.h>
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void print_batch(struct flotilla_batch *batch)
{
    const struct flotilla_record *r;

    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR)
        fprintf(stderr, "%s\n", flotilla_batch_message(batch));
    while ((r = flotilla_batch_next(batch)) != NULL)
        printf("%s/%d %lld %.*s=%.*s\n", r->topic, r->partition, (long long)r->offset, (int)r->key_size,
               r->key != NULL ? (const char *)r->key : "", (int)r->value_size,
               r->value != NULL ? (const char *)r->value : "");
}

int main(int argc, char **argv)
{
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_client *client;
    struct flotilla_consumer *consumer;
    char error[512];

    if (argc != 4) {
        fprintf(stderr, "usage: %s host:port,... topic group\n", argv[0]);
        return 2;
    }
    if (flotilla_options_set(options, "group", argv[3], error, sizeof(error)) != 0 ||
        flotilla_client_create(&client, argv[1], NULL, error, sizeof(error)) != 0 ||
        flotilla_consumer_create(&consumer, client, options, error, sizeof(error)) != 0 ||
        flotilla_consumer_subscribe(consumer, argv[2], FLOTILLA_PARTITION_ALL, FLOTILLA_START_COMMITTED, 0,
                                    error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    flotilla_options_destroy(options);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    while (!stopped) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 200);
        if (batch == NULL)
            continue;
        print_batch(batch);
        flotilla_batch_release(batch);
    }
    flotilla_consumer_destroy(consumer); /* commits what is done */
    flotilla_client_destroy(client);
    return 0;
}
