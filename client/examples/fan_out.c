/* 6. Fan-out: four services read the same topic, each under a group of its own, so each sees every record and
 * none waits for another.
 *
 *     fan_out 127.0.0.1:9192 orders 3000                     until each has seen so many */
#include <flotilla.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERVICES = 4 };

struct service {
    const char *name; /* of its group */
    const char *topic;
    struct flotilla_client *client;
    long goal;
    long seen;
    char error[512];
    pthread_t thread;
};

static void read_all(struct service *s, struct flotilla_consumer *consumer)
{
    while (s->seen < s->goal && s->error[0] == '\0') {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 1000);
        if (batch != NULL && flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR)
            snprintf(s->error, sizeof(s->error), "%s", flotilla_batch_message(batch));
        while (batch != NULL && flotilla_batch_next(batch) != NULL)
            s->seen++;
        flotilla_batch_release(batch);
    }
}

static void *run(void *argument)
{
    struct service *s = argument;
    struct flotilla_consumer *consumer = NULL;
    struct flotilla_options *options = flotilla_options_create();

    flotilla_options_set(options, "group", s->name, NULL, 0);
    if (flotilla_consumer_create(&consumer, s->client, options, s->error, sizeof(s->error)) == 0 &&
        flotilla_consumer_join(consumer, &s->topic, 1, NULL, NULL, NULL, s->error, sizeof(s->error)) == 0)
        read_all(s, consumer);
    flotilla_consumer_destroy(consumer);
    flotilla_options_destroy(options);
    return NULL;
}

int main(int argc, char **argv)
{
    static const char *const names[SERVICES] = {"billing", "inventory", "shipping", "email"};
    struct service services[SERVICES];
    struct flotilla_client *client; /* may be shared */
    char error[512];
    int rc = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: %s host:port,... topic count\n", argv[0]);
        return 2;
    }
    if (flotilla_client_create(&client, argv[1], NULL, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (int i = 0; i < SERVICES; i++) {
        services[i] =
            (struct service){.name = names[i], .topic = argv[2], .client = client, .goal = atol(argv[3])};
        pthread_create(&services[i].thread, NULL, run, &services[i]);
    }
    for (int i = 0; i < SERVICES; i++) {
        pthread_join(services[i].thread, NULL);
        printf("%s: %ld records%s%s\n", services[i].name, services[i].seen,
               services[i].error[0] != '\0' ? ", " : "", services[i].error);
        rc |= services[i].error[0] != '\0';
    }
    flotilla_client_destroy(client);
    return rc;
}
