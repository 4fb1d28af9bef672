#include "client/cli/group_lag.h"

#include <stdlib.h>
#include <string.h>

enum { TIMES_AT_MOST = 64, TIMES_WITHIN_MS = 1000 };

static struct group_lag_row *row_get(struct group_lag *lag, const char *topic, uint32_t partition)
{
    for (size_t i = 0; i < lag->count; i++) {
        if (lag->rows[i].partition == partition && strcmp(lag->rows[i].topic, topic) == 0) {
            return &lag->rows[i];
        }
    }
    lag->rows = realloc(lag->rows, (lag->count + 1) * sizeof(*lag->rows));
    if (lag->rows == NULL) {
        abort();
    }
    lag->rows[lag->count] = (struct group_lag_row){.topic = topic,
                                                   .partition = partition,
                                                   .committed = -1,
                                                   .start = -1,
                                                   .end = -1,
                                                   .lag_ms = -1,
                                                   .metadata = ""};
    return &lag->rows[lag->count++];
}

static int compare_rows(const void *a, const void *b)
{
    const struct group_lag_row *x = a, *y = b;
    int order = strcmp(x->topic, y->topic);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static void collect(struct group_lag *lag, const struct flotilla_group_description *d)
{
    for (size_t i = 0; i < d->offset_count; i++) {
        const struct flotilla_group_offset *o = d->offsets[i];
        if (o->topic[0] == 0) {
            continue; /* the topic is deleted */
        }
        struct group_lag_row *row = row_get(lag, o->topic, o->partition);
        row->committed = o->offset;
        row->commit_time_ms = o->commit_time_ms;
        row->metadata = o->metadata;
    }
    for (size_t i = 0; i < d->member_count; i++) {
        const struct flotilla_group_member *m = d->members[i];
        for (size_t k = 0; k < m->assigned_count; k++) {
            row_get(lag, m->assigned[k]->topic, (uint32_t)m->assigned[k]->partition)->owner = m;
        }
    }
    if (lag->count > 0) {
        qsort(lag->rows, lag->count, sizeof(*lag->rows), compare_rows);
    }
}

/* Ends of the logs, topic by topic. */
static void learn_ends(struct group_lag *lag, struct flotilla_client *client, int timeout_ms)
{
    const struct flotilla_topic_info *info = NULL;
    for (size_t i = 0; i < lag->count; i++) {
        struct group_lag_row *row = &lag->rows[i];
        if (i == 0 || strcmp(row->topic, lag->rows[i - 1].topic) != 0) {
            flotilla_result_free(info);
            info = NULL;
            flotilla_topic_describe(client, row->topic, timeout_ms, &info, NULL, 0);
        }
        if (info != NULL && row->partition < info->partition_count) {
            row->start = info->partitions[row->partition]->log_start_offset;
            row->end = info->partitions[row->partition]->high_watermark;
        }
    }
    flotilla_result_free(info);
}

int64_t group_lag_records(const struct group_lag_row *row)
{
    int64_t from = row->committed > row->start ? row->committed : row->start;
    if (row->end < 0) {
        return -1;
    }
    return row->end > from ? row->end - from : 0;
}

int64_t group_lag_total(const struct group_lag *lag)
{
    int64_t total = 0;
    for (size_t i = 0; i < lag->count; i++) {
        int64_t records = group_lag_records(&lag->rows[i]);
        total += records > 0 ? records : 0;
    }
    return total;
}

static unsigned begin_reading(struct group_lag *lag, struct flotilla_consumer *consumer)
{
    unsigned asked = 0;
    for (size_t i = 0; i < lag->count; i++) {
        struct group_lag_row *row = &lag->rows[i];
        int64_t records = group_lag_records(row);
        row->lag_ms = records == 0 ? 0 : -1;
        if (records <= 0 || asked == TIMES_AT_MOST) {
            continue;
        }
        int64_t from = row->committed > row->start ? row->committed : row->start;
        asked += flotilla_consumer_subscribe(consumer, row->topic, (int32_t)row->partition,
                                             FLOTILLA_START_OFFSET, from, NULL, 0) == 0;
    }
    return asked;
}

/* The first record that is not finished tells how old the lag is. */
static void learn_times(struct group_lag *lag, struct flotilla_consumer *consumer)
{
    unsigned left = begin_reading(lag, consumer);
    uint64_t deadline = cli_now_ns() + TIMES_WITHIN_MS * 1000000ull;
    int64_t now_ms = cli_wall_ms();
    while (left > 0 && cli_now_ns() < deadline) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, TIMES_WITHIN_MS / 10);
        if (batch == NULL) {
            continue;
        }
        const struct flotilla_record *record = flotilla_batch_next(batch);
        if (record != NULL) {
            struct group_lag_row *row =
                row_get(lag, flotilla_batch_topic(batch), (uint32_t)record->partition);
            row->lag_ms = now_ms > record->timestamp_ms ? now_ms - record->timestamp_ms : 0;
            flotilla_consumer_unsubscribe(consumer, row->topic, record->partition);
        }
        left--;
        flotilla_batch_release(batch);
    }
}

void group_lag_measure(struct group_lag *lag, struct flotilla_client *client,
                       const struct flotilla_group_description *d, int timeout_ms)
{
    struct flotilla_consumer *consumer = NULL;
    struct flotilla_options *options = flotilla_options_create();
    *lag = (struct group_lag){NULL, 0};
    collect(lag, d);
    learn_ends(lag, client, timeout_ms);
    flotilla_options_set(options, "prefetch.bytes", "64k", NULL, 0);
    if (flotilla_consumer_create(&consumer, client, options, NULL, 0) == 0) {
        learn_times(lag, consumer);
    }
    flotilla_consumer_destroy(consumer);
    flotilla_options_destroy(options);
}

void group_lag_close(struct group_lag *lag)
{
    free(lag->rows);
    *lag = (struct group_lag){NULL, 0};
}
