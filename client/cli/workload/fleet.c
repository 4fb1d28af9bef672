#include "client/cli/workload/fleet.h"

#include "client/cli/cli.h"
#include "flotilla.h"
#include <string.h>

enum { SCRATCH_SIZE = 1024, POLL_MS = 50 };

/* ---- producer ---- */

static void note_recovery(struct fleet *f, uint64_t number, int32_t partition)
{
    uint64_t fault = f->fault_ns;
    if (fault == 0 || number < f->fault_number || partition < 0 || partition >= LEDGER_PARTITIONS_MAX ||
        !f->affected[partition] || f->recovered_ns[partition] != 0) {
        return;
    }
    f->recovered_ns[partition] = cli_now_ns();
}

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct fleet *f = data;
    uint64_t number = (uint64_t)(uintptr_t)d->opaque;
    ledger_acknowledge(&f->ledger, number, d);
    if (d->status == 0) {
        note_recovery(f, number, d->partition);
    } else if (f->ledger.failed == 1) {
        snprintf(f->error, sizeof(f->error), "%s", d->message);
    }
}

static int send_one(struct fleet *f, struct flotilla_producer *producer, uint64_t number)
{
    char scratch[SCRATCH_SIZE];
    unsigned char bytes[LEDGER_HEADER_SIZE];
    struct flotilla_header header;
    const void *key, *value;
    size_t key_size, value_size;
    ledger_header(bytes, number, &header);
    f->source.message(f->source.data, number, &key, &key_size, &value, &value_size, scratch, sizeof(scratch));
    return flotilla_produce(producer, f->topic, FLOTILLA_PARTITION_ANY, FLOTILLA_TIMESTAMP_NOW, key, key_size,
                            value, value_size, &header, 1, (void *)(uintptr_t)number);
}

static void wait_until_due(const struct fleet *f, uint64_t started_ns, uint64_t number)
{
    if (f->rate == 0) {
        return;
    }
    uint64_t due = started_ns + (uint64_t)((double)number * 1e9 / (double)f->rate);
    uint64_t now = cli_now_ns();
    if (due > now + 1000000u) {
        cli_sleep_ms((int64_t)((due - now) / 1000000u));
    }
}

static void produce_all(struct fleet *f, struct flotilla_producer *producer)
{
    uint64_t started = cli_now_ns();
    for (uint64_t number = 0; number < f->count && !f->stop; number++) {
        wait_until_due(f, started, number);
        if (f->enough) {
            f->count = number;
            break;
        }
        int status = send_one(f, producer, number);
        if (status != 0) {
            flotilla_producer_last_error(producer, f->error, sizeof(f->error));
            f->stop = true;
            break;
        }
        f->sent = number + 1;
    }
    flotilla_producer_flush(producer, -1);
}

static void *producer_main(void *argument)
{
    struct fleet *f = argument;
    struct flotilla_client *client = NULL;
    struct flotilla_producer *producer = NULL;
    struct flotilla_options *options = flotilla_options_create();
    flotilla_options_set(options, "delivery.thread", "io", NULL, 0);
    flotilla_options_set(options, "client.id", "producer", NULL, 0);
    if (flotilla_client_create(&client, f->bootstrap, options, f->error, sizeof(f->error)) == 0 &&
        flotilla_producer_create(&producer, client, options, on_delivery, f, f->error, sizeof(f->error)) ==
            0) {
        produce_all(f, producer);
    } else {
        f->stop = true;
    }
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    f->producing = false;
    return NULL;
}

/* ---- readers ---- */

struct expectation {
    struct fleet *fleet;
    char scratch[SCRATCH_SIZE];
};

static const void *expected_value(void *data, uint64_t number, size_t *size)
{
    struct expectation *e = data;
    const void *key, *value;
    size_t key_size;
    e->fleet->source.message(e->fleet->source.data, number, &key, &key_size, &value, size, e->scratch,
                             sizeof(e->scratch));
    return value;
}

/* Everything acknowledged has been seen, or nothing has come for too long since the producer was done. */
static bool reader_done(struct fleet_reader *r, uint64_t last_progress_ns)
{
    struct fleet *f = r->fleet;
    if (f->producing) {
        return false;
    }
    return r->ledger.distinct >= f->ledger.acknowledged || f->stop ||
           cli_now_ns() - last_progress_ns > f->patience_ms * 1000000u;
}

static void read_batch(struct fleet_reader *r, struct flotilla_batch *batch, struct expectation *e)
{
    const struct flotilla_record *record;
    if (flotilla_batch_kind(batch) == FLOTILLA_BATCH_ERROR) {
        snprintf(r->error, sizeof(r->error), "%s", flotilla_batch_message(batch));
        r->fleet->stop = true;
        return;
    }
    while ((record = flotilla_batch_next(batch)) != NULL) {
        ledger_read(&r->ledger, record, expected_value, e);
    }
}

static void read_all(struct fleet_reader *r, struct flotilla_consumer *consumer)
{
    struct expectation e = {.fleet = r->fleet};
    uint64_t progress = cli_now_ns();
    while (!reader_done(r, progress)) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, POLL_MS);
        if (r->fleet->producing) {
            progress = cli_now_ns();
        }
        if (batch != NULL) {
            progress = cli_now_ns();
            read_batch(r, batch, &e);
            flotilla_batch_release(batch);
        }
    }
}

static void *reader_main(void *argument)
{
    struct fleet_reader *r = argument;
    struct fleet *f = r->fleet;
    struct flotilla_client *client = NULL;
    struct flotilla_consumer *consumer = NULL;
    struct flotilla_options *options = flotilla_options_create();
    flotilla_options_set(options, "group", r->ledger.name, NULL, 0);
    flotilla_options_set(options, "client.id", r->ledger.name, NULL, 0);
    if (flotilla_client_create(&client, f->bootstrap, options, r->error, sizeof(r->error)) == 0 &&
        flotilla_consumer_create(&consumer, client, options, r->error, sizeof(r->error)) == 0 &&
        flotilla_consumer_subscribe(consumer, f->topic, FLOTILLA_PARTITION_ALL, FLOTILLA_START_COMMITTED, 0,
                                    r->error, sizeof(r->error)) == 0) {
        read_all(r, consumer);
    } else {
        f->stop = true;
    }
    flotilla_consumer_destroy(consumer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    r->done = true;
    return NULL;
}

/* ---- the whole ---- */

bool fleet_start(struct fleet *f)
{
    ledger_init(&f->ledger, f->count);
    f->producing = true;
    for (unsigned i = 0; i < f->reader_count; i++) {
        f->reader[i].fleet = f;
        ledger_reader_init(&f->reader[i].ledger, f->readers[i], f->count);
        if (pthread_create(&f->reader[i].thread, NULL, reader_main, &f->reader[i]) != 0) {
            return false;
        }
    }
    return pthread_create(&f->producer_thread, NULL, producer_main, f) == 0;
}

void fleet_mark_fault(struct fleet *f, const bool affected[LEDGER_PARTITIONS_MAX])
{
    memcpy(f->affected, affected, sizeof(f->affected));
    f->fault_number = f->sent + 1;
    f->fault_ns = cli_now_ns();
}

void fleet_enough(struct fleet *f)
{
    f->enough = true;
}

static double recovery_ms(const struct fleet *f, bool last)
{
    uint64_t result = 0;
    for (int i = 0; i < LEDGER_PARTITIONS_MAX; i++) {
        uint64_t at = f->recovered_ns[i];
        if (!f->affected[i]) {
            continue;
        }
        if (at == 0 && last) {
            return -1;
        }
        if (at != 0 && (result == 0 || (last ? at > result : at < result))) {
            result = at;
        }
    }
    return result == 0 ? -1 : (double)(result - f->fault_ns) / 1e6;
}

double fleet_first_recovery_ms(const struct fleet *f)
{
    return recovery_ms(f, false);
}

double fleet_last_recovery_ms(const struct fleet *f)
{
    return recovery_ms(f, true);
}

bool fleet_finished(const struct fleet *f)
{
    for (unsigned i = 0; i < f->reader_count; i++) {
        if (!f->reader[i].done) {
            return false;
        }
    }
    return !f->producing;
}

void fleet_join(struct fleet *f)
{
    pthread_join(f->producer_thread, NULL);
    for (unsigned i = 0; i < f->reader_count; i++) {
        pthread_join(f->reader[i].thread, NULL);
    }
}

void fleet_close(struct fleet *f)
{
    for (unsigned i = 0; i < f->reader_count; i++) {
        ledger_reader_close(&f->reader[i].ledger);
    }
    ledger_close(&f->ledger);
}
