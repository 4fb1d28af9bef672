/* 5. Request and reply over two topics: a request carries a correlation id and the topic (and partition)
 * where its answer is expected; the service copies the id. Requests wait in the log while the service is
 * down.
 *
 *     flotilla topic create questions && flotilla topic create answers
 *     request_reply 127.0.0.1:9192 serve 3 &                 answers three questions
 *     request_reply 127.0.0.1:9192 ask 20 22                 prints 42 */
#include <flotilla.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int send_with_id(struct flotilla_producer *producer, const char *topic, const void *id, size_t id_size,
                        const char *value, char *error, size_t error_size)
{
    struct flotilla_header header = {"correlation-id", 14, id, id_size};

    return flotilla_produce_sync(producer, topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, NULL, 0,
                                 value, strlen(value), &header, 1, NULL, error, error_size);
}

static const struct flotilla_header *id_of(const struct flotilla_record *r)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (r->headers[i].key_size == 14 && memcmp(r->headers[i].key, "correlation-id", 14) == 0)
            return &r->headers[i];
    return NULL;
}

/* One answer each; the request counts as finished only after its answer is acknowledged. */
static int serve(struct flotilla_producer *producer, struct flotilla_consumer *consumer, long count)
{
    const char *topic = "questions";
    char value[64], error[512];

    if (flotilla_consumer_join(consumer, &topic, 1, NULL, NULL, NULL, error, sizeof(error)) != 0)
        return 1;
    while (count > 0) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 1000);
        const struct flotilla_record *r;
        while (batch != NULL && count > 0 && (r = flotilla_batch_next(batch)) != NULL) {
            const struct flotilla_header *id = id_of(r);
            long a = 0, b = 0;
            snprintf(value, sizeof(value), "%.*s", (int)r->value_size, (const char *)r->value);
            if (id == NULL || sscanf(value, "%ld %ld", &a, &b) != 2)
                continue;
            snprintf(value, sizeof(value), "%ld", a + b);
            if (send_with_id(producer, "answers", id->value, id->value_size, value, error, sizeof(error)) ==
                0)
                count--;
        }
        flotilla_batch_release(batch);
    }
    return 0;
}

/* Listens before it asks, so that no answer is missed; others' answers are passed over. */
static int ask(struct flotilla_producer *producer, struct flotilla_consumer *consumer, const char *question)
{
    char id[64], error[512];
    int id_size = snprintf(id, sizeof(id), "%ld-%ld", (long)getpid(), (long)time(NULL));
    int64_t end = 0;

    if (flotilla_consumer_subscribe(consumer, "answers", FLOTILLA_PARTITION_ALL, FLOTILLA_START_BEGINNING, 0,
                                    error, sizeof(error)) != 0 ||
        send_with_id(producer, "questions", id, (size_t)id_size, question, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (int attempts = 0; attempts < 30; attempts++) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 1000);
        const struct flotilla_record *r;
        while (batch != NULL && (r = flotilla_batch_next(batch)) != NULL) {
            const struct flotilla_header *header = id_of(r);
            if (header == NULL || header->value_size != (size_t)id_size ||
                memcmp(header->value, id, (size_t)id_size) != 0)
                continue;
            printf("%.*s\n", (int)r->value_size, (const char *)r->value);
            end = r->offset + 1;
        }
        flotilla_batch_release(batch);
        if (end > 0)
            return 0;
    }
    fprintf(stderr, "no answer\n");
    return 1;
}

int main(int argc, char **argv)
{
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_consumer *consumer;
    char error[512], question[64];
    int rc = 2;

    if (argc < 4)
        return rc;
    flotilla_options_set(options, "group", "adders", NULL, 0);
    if (flotilla_client_create(&client, argv[1], NULL, error, sizeof(error)) != 0 ||
        flotilla_producer_create(&producer, client, NULL, NULL, NULL, error, sizeof(error)) != 0 ||
        flotilla_consumer_create(&consumer, client, options, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    if (strcmp(argv[2], "serve") == 0) {
        rc = serve(producer, consumer, atol(argv[3]));
    } else if (argc == 5) {
        snprintf(question, sizeof(question), "%s %s", argv[3], argv[4]);
        rc = ask(producer, consumer, question);
    }
    flotilla_consumer_destroy(consumer);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    return rc;
}
