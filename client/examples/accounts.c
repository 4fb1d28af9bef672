/* 4. Effectively once: the effect of a record and its offset go into one transaction of a database, so a
 * record that comes again after a crash is recognised. Where the group stands is read from the database, not
 * from the cluster.
 *
 *     accounts 127.0.0.1:9192 orders accounts.db 3000        stops after so many records in all */
#include <flotilla.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static long number(sqlite3 *db, const char *sql, const char *topic, int partition)
{
    sqlite3_stmt *query;
    long result = -1;

    sqlite3_prepare_v2(db, sql, -1, &query, NULL);
    sqlite3_bind_text(query, 1, topic, -1, SQLITE_STATIC);
    sqlite3_bind_int(query, 2, partition);
    if (sqlite3_step(query) == SQLITE_ROW)
        result = (long)sqlite3_column_int64(query, 0);
    sqlite3_finalize(query);
    return result;
}

/* A partition that comes to us goes on where the database says. */
static void on_rebalance(void *data, struct flotilla_consumer *consumer, enum flotilla_rebalance event,
                         const struct flotilla_partition *const *partitions, size_t count)
{
    for (size_t i = 0; event == FLOTILLA_ASSIGNED && i < count; i++) {
        long next = number(data, "SELECT next FROM offsets WHERE topic = ? AND partition = ?",
                           partitions[i]->topic, (int)partitions[i]->partition);
        flotilla_consumer_seek(consumer, partitions[i]->topic, partitions[i]->partition,
                               FLOTILLA_START_OFFSET, next > 0 ? next : 0, NULL, 0);
    }
}

/* Both or neither. */
static int apply(sqlite3 *db, struct flotilla_batch *batch, const char *topic)
{
    const struct flotilla_record *r;
    char sql[256];
    int rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);

    while (rc == SQLITE_OK && (r = flotilla_batch_next(batch)) != NULL) {
        sqlite3_snprintf(
            sizeof(sql), sql,
            "INSERT INTO effects VALUES('%q', %d, %lld);"
            "INSERT INTO offsets VALUES('%q', %d, %lld) ON CONFLICT DO UPDATE SET next = excluded.next",
            topic, (int)r->partition, (long long)r->offset, topic, (int)r->partition,
            (long long)r->offset + 1);
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    }
    return rc == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : rc;
}

static int work(sqlite3 *db, struct flotilla_consumer *consumer, const char *topic, long goal)
{
    static const char count[] = "SELECT count(*) FROM effects WHERE topic = ? AND partition >= ?";

    while (number(db, count, topic, 0) < goal) {
        struct flotilla_batch *batch = flotilla_consumer_poll(consumer, 1000);
        int rc = batch != NULL && flotilla_batch_kind(batch) == FLOTILLA_BATCH_RECORDS
                     ? apply(db, batch, topic)
                     : SQLITE_OK;
        flotilla_batch_release(batch);
        if (rc != SQLITE_OK)
            return failed("database", sqlite3_errmsg(db));
    }
    printf("%ld records, each with one effect\n", number(db, count, topic, 0));
    return 0;
}

int main(int argc, char **argv)
{
    struct flotilla_options *options = flotilla_options_create();
    struct flotilla_client *client;
    struct flotilla_consumer *consumer;
    sqlite3 *db;
    char error[512];

    if (argc != 5)
        return failed("usage", "accounts host:port,... topic file.db count");
    if (sqlite3_open(argv[3], &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "CREATE TABLE IF NOT EXISTS effects(topic TEXT, partition INT, record INT,"
                     " PRIMARY KEY(topic, partition, record));"
                     "CREATE TABLE IF NOT EXISTS offsets(topic TEXT, partition INT, next INT,"
                     " PRIMARY KEY(topic, partition));",
                     NULL, NULL, NULL) != SQLITE_OK)
        return failed(argv[3], sqlite3_errmsg(db));
    flotilla_options_set(options, "group", "accounts", NULL, 0);
    flotilla_options_set(options, "commit.interval.ms", "0", NULL, 0); /* the database does that */
    const char *topic = argv[2];
    if (flotilla_client_create(&client, argv[1], NULL, error, sizeof(error)) != 0 ||
        flotilla_consumer_create(&consumer, client, options, error, sizeof(error)) != 0 ||
        flotilla_consumer_join(consumer, &topic, 1, NULL, on_rebalance, db, error, sizeof(error)) != 0)
        return failed("flotilla", error);
    int rc = work(db, consumer, topic, atol(argv[4]));
    flotilla_consumer_destroy(consumer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    sqlite3_close(db);
    return rc;
}
