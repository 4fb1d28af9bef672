/* 1. One record, sent and read as a member of a group:  flotilla topic create hello; hello 127.0.0.1:9192 */
#include <flotilla.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const char *bootstrap = argc > 1 ? argv[1] : "127.0.0.1:9192", *topic = "hello";
    char error[256] = "nothing in time";
    struct flotilla_client *client = NULL;
    struct flotilla_producer *producer = NULL;
    struct flotilla_consumer *consumer = NULL;
    struct flotilla_batch *batch = NULL;
    struct flotilla_options *group = flotilla_options_create();
    if (flotilla_options_set(group, "group", "outside", error, sizeof(error)) == 0 &&
        flotilla_client_create(&client, bootstrap, NULL, error, sizeof(error)) == 0 &&
        flotilla_producer_create(&producer, client, NULL, NULL, NULL, error, sizeof(error)) == 0 &&
        flotilla_produce_sync(producer, topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, NULL, 0,
                              "hello", 5, NULL, 0, NULL, error, sizeof(error)) == 0 &&
        flotilla_consumer_create(&consumer, client, group, error, sizeof(error)) == 0 &&
        flotilla_consumer_join(consumer, &topic, 1, NULL, NULL, NULL, error, sizeof(error)) == 0)
        batch = flotilla_consumer_poll(consumer, 10000);
    const struct flotilla_record *record = batch != NULL ? flotilla_batch_next(batch) : NULL;
    printf("read: %.*s\n", record ? (int)record->value_size : 255, record ? (char *)record->value : error);
    flotilla_batch_release(batch);
    flotilla_consumer_destroy(consumer); /* commits and leaves */
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(group);
    return record == NULL;
}
