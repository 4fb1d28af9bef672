/* 2. Keyed orders: what belongs to one order has its number as the key, goes to one partition, and so keeps
 * its order, while different orders are spread over all partitions. Each record's fate is reported to a
 * callback.
 *
 *     flotilla topic create orders --partitions 6
 *     orders 127.0.0.1:9192 1000 */
#include <flotilla.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const steps[] = {"created", "paid", "shipped"};

struct totals {
    long acknowledged;
    long failed;
    long unknown;
};

/* Called by flotilla_producer_poll and _flush, on this thread. */
static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct totals *totals = data;

    if (d->status == 0)
        totals->acknowledged++; /* it is on the disks of a majority of the replicas */
    else if (flotilla_error_class_of(d->status) == FLOTILLA_CLASS_OUTCOME_UNKNOWN)
        totals->unknown++; /* it may have been written: look before sending it again */
    else
        totals->failed++; /* it was certainly not written */
    if (d->status != 0)
        fprintf(stderr, "order %ld: %s\n", (long)(size_t)d->opaque, d->message);
}

static int send_step(struct flotilla_producer *producer, long order, const char *step)
{
    char key[32];
    char value[64];
    struct flotilla_header header = {"type", 4, step, strlen(step)};
    int key_size = snprintf(key, sizeof(key), "order-%ld", order);
    int value_size = snprintf(value, sizeof(value), "{\"order\":%ld,\"step\":\"%s\"}", order, step);

    return flotilla_produce(producer, "orders", FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, key,
                            (size_t)key_size, value, (size_t)value_size, &header, 1, (void *)(size_t)order);
}

static int send_orders(struct flotilla_producer *producer, long count)
{
    char error[512];

    for (size_t step = 0; step < 3; step++) {
        for (long order = 0; order < count; order++) {
            if (send_step(producer, order, steps[step]) != 0) {
                flotilla_producer_last_error(producer, error, sizeof(error));
                fprintf(stderr, "not accepted: %s\n", error);
                return 1;
            }
            flotilla_producer_poll(producer, 0);
        }
    }
    return flotilla_producer_flush(producer, 30000);
}

int main(int argc, char **argv)
{
    struct flotilla_client *client;
    struct flotilla_producer *producer;
    struct flotilla_options *options = flotilla_options_create();
    struct totals totals = {0, 0, 0};
    char error[512];

    if (argc != 3) {
        fprintf(stderr, "usage: %s host:port,... count\n", argv[0]);
        return 2;
    }
    flotilla_options_set(options, "compression", "lz4", NULL, 0);
    if (flotilla_client_create(&client, argv[1], NULL, error, sizeof(error)) != 0 ||
        flotilla_producer_create(&producer, client, options, on_delivery, &totals, error, sizeof(error)) !=
            0) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    int rc = send_orders(producer, atol(argv[2]));
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    printf("%ld acknowledged, %ld failed, %ld unknown\n", totals.acknowledged, totals.failed, totals.unknown);
    return rc != 0 || totals.failed + totals.unknown > 0;
}
