/* 1. Sends one record and reads it back as a member of a group.
 *
 *     flotilla topic create hello
 *     hello 127.0.0.1:9192 */
#include <flotilla.h>
#include <stdio.h>

static int failed(const char *error)
{
    fprintf(stderr, "%s\n", error);
    return 1;
}

int main(int argc, char **argv)
{
    const char *topic = "hello";
    char error[256] = "";
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    struct flotilla_batch *batch;
    struct flotilla_options *options = flotilla_options_create();

    flotilla_options_set(options, "group", "outside", NULL, 0);
    if (flotilla_client_create(&client, argc > 1 ? argv[1] : "127.0.0.1:9192", NULL, error, sizeof(error)) !=
            0 ||
        flotilla_producer_create(&producer, client, NULL, NULL, NULL, error, sizeof(error)) != 0 ||
        flotilla_produce(producer, topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, NULL, 0, "hello", 5,
                         NULL, 0, NULL) != 0 ||
        flotilla_producer_flush(producer, 10000) != 0)
        return failed("not sent");
    if (flotilla_consumer_create(&consumer, client, options, error, sizeof(error)) != 0 ||
        flotilla_consumer_join(consumer, &topic, 1, NULL, NULL, NULL, error, sizeof(error)) != 0)
        return failed(error);
    batch = flotilla_consumer_poll(consumer, 10000);
    const struct flotilla_record *record = batch != NULL ? flotilla_batch_next(batch) : NULL;
    printf("read: %.*s\n", record != NULL ? (int)record->value_size : 0,
           record != NULL ? (const char *)record->value : "");
    int found = record != NULL;
    flotilla_batch_release(batch);
    flotilla_consumer_destroy(consumer); /* commits and leaves */
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    return !found;
}
