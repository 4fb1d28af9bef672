/* Sends the lines of standard input to a topic and reports what became of them.
 *
 *     produce 127.0.0.1:9192 orders < orders.txt
 *
 * A line "key=value" goes to the partition of its key, so that lines with the same key keep their order. */
#include <flotilla.h>
#include <stdio.h>
#include <string.h>

struct totals {
    long acknowledged;
    long failed;
};

/* Called by flotilla_producer_poll and _flush, on this thread. */
static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct totals *totals = data;

    if (d->status == 0) {
        totals->acknowledged++;
        return;
    }
    totals->failed++;
    fprintf(stderr, "line %ld: %s%s\n", (long)(size_t)d->opaque, d->message,
            flotilla_error_class_of(d->status) == FLOTILLA_CLASS_OUTCOME_UNKNOWN ? " (check before repeating)"
                                                                                 : "");
}

static int send_lines(struct flotilla_producer *producer, const char *topic)
{
    char line[65536];
    char error[512];

    for (size_t number = 1; fgets(line, sizeof(line), stdin) != NULL; number++) {
        size_t size = strcspn(line, "\n");
        const char *equals = memchr(line, '=', size);
        size_t key_size = equals != NULL ? (size_t)(equals - line) : 0;
        const char *value = equals != NULL ? equals + 1 : line;
        int rc = flotilla_produce(producer, topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW,
                                  equals != NULL ? line : NULL, key_size, value,
                                  size - (size_t)(value - line), NULL, 0, (void *)number);
        if (rc != 0) {
            flotilla_producer_last_error(producer, error, sizeof(error));
            fprintf(stderr, "line %zu: %s: %s\n", number, flotilla_error_text(rc), error);
            return rc;
        }
        flotilla_producer_poll(producer, 0);
    }
    return flotilla_producer_flush(producer, 30000);
}

int main(int argc, char **argv)
{
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct totals totals = {0, 0};
    char error[512];

    if (argc != 3) {
        fprintf(stderr, "usage: %s host:port,... topic < lines\n", argv[0]);
        return 2;
    }
    if (flotilla_client_create(&client, argv[1], NULL, error, sizeof(error)) != 0 ||
        flotilla_producer_create(&producer, client, NULL, on_delivery, &totals, error, sizeof(error)) != 0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    int rc = send_lines(producer, argv[2]);
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    printf("%ld acknowledged, %ld failed\n", totals.acknowledged, totals.failed);
    return rc != 0 || totals.failed > 0;
}
