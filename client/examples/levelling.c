/* 7. Load levelling: requests come in bursts, a slow service works at its own pace, and the topic holds the
 * difference. The sender never waits for the service.
 *
 *     flotilla topic create jobs --partitions 1
 *     levelling 127.0.0.1:9192 5 200                         five bursts of 200 */
#define _POSIX_C_SOURCE 200809L
#include <flotilla.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void pause_ms(long milliseconds)
{
    struct timespec pause = {milliseconds / 1000, (milliseconds % 1000) * 1000000};

    nanosleep(&pause, NULL);
}

static int burst(struct flotilla_producer *producer, long size)
{
    for (long i = 0; i < size; i++)
        if (flotilla_produce(producer, "jobs", 0, FLOTILLA_TIMESTAMP_NOW, NULL, 0, "job", 3, NULL, 0, NULL) !=
            0)
            return 1;
    return flotilla_producer_flush(producer, 10000);
}

/* At most `limit`, a millisecond each. */
static long work(struct flotilla_consumer *consumer, long limit)
{
    long done = 0;

    while (done < limit) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 100);
        if (batch == NULL)
            break;
        while (flotilla_batch_next(batch) != NULL) {
            pause_ms(1);
            done++;
        }
        flotilla_batch_release(batch);
    }
    return done;
}

int main(int argc, char **argv)
{
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    const char *topic = "jobs";
    char error[512];
    long sent = 0, done = 0;

    if (argc != 4)
        return 2;
    flotilla_options_set(options, "group", "press", NULL, 0);
    flotilla_options_set(options, "batch.bytes", "1k", NULL, 0);
    if (flotilla_client_create(&client, argv[1], options, error, sizeof(error)) != 0 ||
        flotilla_producer_create(&producer, client, options, NULL, NULL, error, sizeof(error)) != 0 ||
        flotilla_consumer_create(&consumer, client, options, error, sizeof(error)) != 0 ||
        flotilla_consumer_join(consumer, &topic, 1, NULL, NULL, NULL, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (long i = 0; i < atol(argv[2]); i++) {
        if (burst(producer, atol(argv[3])) != 0)
            return 1;
        sent += atol(argv[3]);
        done += work(consumer, atol(argv[3]) / 2);
        printf("sent %ld, done %ld, waiting %ld\n", sent, done, sent - done);
    }
    while (done < sent)
        done += work(consumer, sent - done);
    printf("sent %ld, done %ld\n", sent, done);
    flotilla_consumer_destroy(consumer);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    return 0;
}
