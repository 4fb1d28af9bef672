#include "tests/bench/kafka_shelf.h"
#include "proto/kafka/codec.h"
#include "proto/kafka/errors.h"
#include "tests/bench/ready_batch.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BATCH_BYTES = 256 * 1024,
    FRAME_MAX = 1024 * 1024,
    LENGTH_BYTES = 4,
    OFFSET_BYTES = 8, /* a batch begins with its base offset */
    ARENA_BYTES = 4 * 1024 * 1024,
    ANSWER_BATCHES_MAX = 64,
    CUTS_MAX = 64, /* partitions of a fetch */
    PIECES_MAX = 2 * (ANSWER_BATCHES_MAX + CUTS_MAX),
    END_WAIT_US = 20000,
    NEWEST_FETCH = 11, /* topics by name */
    NEWEST_METADATA = 8,
    NEWEST_FIND_COORDINATOR = 2,
};

/* What all connections share; nobody changes it. */
struct stock {
    int32_t partitions;
    int64_t records, batch_records;
    struct bytes batch;
    int listeners[SHELF_BROKERS];
    int32_t ports[SHELF_BROKERS];
};

struct visitor {
    const struct stock *stock;
    int fd;
    struct arena arena;
    struct bytes head; /* the answer without its records */
    struct kafka_request_header header;
    const unsigned char *body;
    size_t body_size;
    /* What is sent: the head, and between its parts the records of a fetch. */
    struct iovec pieces[PIECES_MAX];
    int piece_count;
    struct cut {
        int piece;
        size_t position; /* of the head's end there */
    } cuts[CUTS_MAX];
    unsigned cut_count;
    unsigned char offsets[ANSWER_BATCHES_MAX][OFFSET_BYTES];
    unsigned batches, placed; /* in the answer; among the pieces */
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- the stock ---- */

static void fill(struct stock *s)
{
    bytes_init(&s->batch);
    s->batch_records = ready_batch_build(&s->batch, BATCH_BYTES);
    s->records -= s->records % s->batch_records;
}

static void open_doors(struct stock *s)
{
    for (int i = 0; i < SHELF_BROKERS; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(at);
        s->listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->listeners[i] < 0 || bind(s->listeners[i], (struct sockaddr *)&at, size) != 0 ||
            listen(s->listeners[i], SOMAXCONN) != 0 ||
            getsockname(s->listeners[i], (struct sockaddr *)&at, &size) != 0)
            die("listen");
        s->ports[i] = ntohs(at.sin_port);
    }
}

/* ---- answers ---- */

static void *take(struct visitor *v, size_t count, size_t size)
{
    void *p = arena_alloc(&v->arena, (count + 1) * size);
    if (p == NULL)
        die("memory");
    return memset(p, 0, (count + 1) * size);
}

static void begin(struct visitor *v)
{
    const struct kafka_request_header *h = &v->header;
    bytes_clear(&v->head);
    bytes_put_u32(&v->head, 0);
    kafka_response_header_encode(h->api_key, h->api_version, h->correlation_id, &v->head);
}

static void encode(struct visitor *v, const void *response)
{
    begin(v);
    if (kafka_encode(KAFKA_RESPONSE, v->header.api_key, v->header.api_version, response, &v->head) != 0)
        die("encode");
}

static int16_t newest(const struct kafka_api *api)
{
    return api->key == KAFKA_API_FETCH              ? NEWEST_FETCH
           : api->key == KAFKA_API_METADATA         ? NEWEST_METADATA
           : api->key == KAFKA_API_FIND_COORDINATOR ? NEWEST_FIND_COORDINATOR
                                                    : api->newest_version;
}

static void answer_api_versions(struct visitor *v)
{
    struct kafka_api_versions_response response = kafka_api_versions_response_default;
    response.api_keys.items = take(v, kafka_api_count(), sizeof(response.api_keys.items[0]));
    response.api_keys.count = (int32_t)kafka_api_count();
    for (size_t i = 0; i < kafka_api_count(); i++) {
        const struct kafka_api *api = kafka_api_at(i);
        response.api_keys.items[i] =
            (struct kafka_api_versions_response_api_key){api->key, api->oldest_version, newest(api)};
    }
    encode(v, &response);
}

static void describe_topic(struct visitor *v, struct kafka_string name,
                           struct kafka_metadata_response_topic *topic)
{
    *topic = kafka_metadata_response_topic_default;
    topic->name = name;
    topic->partitions.count = v->stock->partitions;
    topic->partitions.items =
        take(v, (size_t)v->stock->partitions, sizeof(struct kafka_metadata_response_partition));
    for (int32_t p = 0; p < v->stock->partitions; p++) {
        struct kafka_metadata_response_partition *partition = &topic->partitions.items[p];
        *partition = kafka_metadata_response_partition_default;
        partition->partition_index = p;
        partition->leader_id = p % SHELF_BROKERS;
        partition->replica_nodes.items = partition->isr_nodes.items = &partition->leader_id;
        partition->replica_nodes.count = partition->isr_nodes.count = 1;
    }
}

static void answer_metadata(struct visitor *v, const struct kafka_metadata_request *m)
{
    struct kafka_metadata_response response = kafka_metadata_response_default;
    struct kafka_metadata_response_broker brokers[SHELF_BROKERS];
    for (int32_t i = 0; i < SHELF_BROKERS; i++) {
        brokers[i] = kafka_metadata_response_broker_default;
        brokers[i].node_id = i;
        brokers[i].host = kafka_string_of("127.0.0.1");
        brokers[i].port = v->stock->ports[i];
    }
    response.brokers.items = brokers;
    response.brokers.count = SHELF_BROKERS;
    response.controller_id = 0;
    response.topics.count = m->topics.count > 0 ? m->topics.count : 0;
    response.topics.items =
        take(v, (size_t)response.topics.count, sizeof(struct kafka_metadata_response_topic));
    for (int32_t i = 0; i < response.topics.count; i++)
        describe_topic(v, m->topics.items[i].name, &response.topics.items[i]);
    encode(v, &response);
}

static void answer_find_coordinator(struct visitor *v)
{
    struct kafka_find_coordinator_response response = kafka_find_coordinator_response_default;
    response.node_id = 0;
    response.host = kafka_string_of("127.0.0.1");
    response.port = v->stock->ports[0];
    encode(v, &response);
}

static void answer_list_offsets(struct visitor *v, const struct kafka_list_offsets_request *m)
{
    struct kafka_list_offsets_response response = kafka_list_offsets_response_default;
    response.topics.count = m->topics.count;
    response.topics.items = take(v, (size_t)m->topics.count, sizeof(response.topics.items[0]));
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_list_offsets_request_topic *asked = &m->topics.items[i];
        struct kafka_list_offsets_response_topic *topic = &response.topics.items[i];
        topic->name = asked->name;
        topic->partitions.count = asked->partitions.count;
        topic->partitions.items =
            take(v, (size_t)asked->partitions.count, sizeof(topic->partitions.items[0]));
        for (int32_t k = 0; k < asked->partitions.count; k++) {
            struct kafka_list_offsets_response_partition *partition = &topic->partitions.items[k];
            *partition = kafka_list_offsets_response_partition_default;
            partition->partition_index = asked->partitions.items[k].partition_index;
            partition->offset = asked->partitions.items[k].timestamp == -1 ? v->stock->records : 0;
        }
    }
    encode(v, &response);
}

/* ---- a fetch ---- */

static void add_piece(struct visitor *v, const void *data, size_t size)
{
    v->pieces[v->piece_count++] = (struct iovec){(void *)(uintptr_t)data, size};
}

/* How many batches there are from the offset on, within both bounds. */
static int64_t available(const struct visitor *v, const struct kafka_fetch_request_partition *asked,
                         int32_t max_bytes)
{
    const struct stock *s = v->stock;
    int64_t left = (s->records - asked->fetch_offset) / s->batch_records;
    int64_t of_partition = asked->partition_max_bytes / (int64_t)s->batch.size;
    int64_t of_answer = max_bytes / (int64_t)s->batch.size - v->batches;
    if (of_answer > ANSWER_BATCHES_MAX - v->batches)
        of_answer = ANSWER_BATCHES_MAX - v->batches;
    int64_t n = left < of_partition ? left : of_partition;
    return n < of_answer ? n : of_answer > 0 ? of_answer : 0;
}

static void read_partition(struct visitor *v, const struct kafka_fetch_request *m,
                           const struct kafka_fetch_request_partition *asked,
                           struct kafka_fetch_response_partition *partition)
{
    int64_t n = available(v, asked, m->max_bytes);
    *partition = kafka_fetch_response_partition_default;
    partition->partition_index = asked->partition;
    partition->high_watermark = partition->last_stable_offset = v->stock->records;
    partition->log_start_offset = 0;
    partition->records =
        (struct kafka_bytes){v->stock->batch.data, (int32_t)(n * (int64_t)v->stock->batch.size)};
    for (int64_t i = 0; i < n; i++)
        store_be64(v->offsets[v->batches++], (uint64_t)(asked->fetch_offset + i * v->stock->batch_records));
}

/* The head up to here, then batches that differ only in their base offset, which the checksum leaves out. */
static void on_records(void *data, size_t position, struct kafka_bytes records)
{
    struct visitor *v = data;
    const struct bytes *batch = &v->stock->batch;
    v->cuts[v->cut_count++] = (struct cut){v->piece_count, position};
    add_piece(v, NULL, 0); /* the head moves while it grows */
    for (int64_t size = records.size; size > 0; size -= (int64_t)batch->size) {
        add_piece(v, v->offsets[v->placed++], OFFSET_BYTES);
        add_piece(v, batch->data + OFFSET_BYTES, batch->size - OFFSET_BYTES);
    }
}

static void place_head(struct visitor *v)
{
    size_t at = 0;
    for (unsigned i = 0; i < v->cut_count; i++) {
        v->pieces[v->cuts[i].piece] = (struct iovec){v->head.data + at, v->cuts[i].position - at};
        at = v->cuts[i].position;
    }
    add_piece(v, v->head.data + at, v->head.size - at);
}

static void answer_fetch(struct visitor *v, const struct kafka_fetch_request *m)
{
    struct kafka_fetch_response response = kafka_fetch_response_default;
    response.responses.count = m->topics.count;
    response.responses.items = take(v, (size_t)m->topics.count, sizeof(response.responses.items[0]));
    for (int32_t i = 0; i < m->topics.count; i++) {
        const struct kafka_fetch_request_topic *asked = &m->topics.items[i];
        struct kafka_fetch_response_topic *topic = &response.responses.items[i];
        topic->topic = asked->topic;
        topic->partitions.count = asked->partitions.count;
        topic->partitions.items =
            take(v, (size_t)asked->partitions.count, sizeof(topic->partitions.items[0]));
        for (int32_t k = 0; k < asked->partitions.count && k < CUTS_MAX; k++)
            read_partition(v, m, &asked->partitions.items[k], &topic->partitions.items[k]);
    }
    if (v->batches == 0)
        usleep(END_WAIT_US);
    begin(v);
    if (kafka_encode_with_gaps(KAFKA_RESPONSE, KAFKA_API_FETCH, v->header.api_version, &response, &v->head,
                               on_records, v) != 0)
        die("encode");
}

/* ---- a connection ---- */

static bool answer(struct visitor *v)
{
    union {
        struct kafka_metadata_request metadata;
        struct kafka_list_offsets_request list_offsets;
        struct kafka_fetch_request fetch;
        struct kafka_find_coordinator_request find_coordinator;
        struct kafka_api_versions_request api_versions;
    } m;
    int16_t key = v->header.api_key;
    if (key != KAFKA_API_METADATA && key != KAFKA_API_LIST_OFFSETS && key != KAFKA_API_FETCH &&
        key != KAFKA_API_FIND_COORDINATOR && key != KAFKA_API_API_VERSIONS)
        return false;
    if (kafka_decode(KAFKA_REQUEST, key, v->header.api_version, v->body, v->body_size, &v->arena, &m) != 0)
        return false;
    if (key == KAFKA_API_METADATA)
        answer_metadata(v, &m.metadata);
    else if (key == KAFKA_API_LIST_OFFSETS)
        answer_list_offsets(v, &m.list_offsets);
    else if (key == KAFKA_API_FETCH)
        answer_fetch(v, &m.fetch);
    else if (key == KAFKA_API_FIND_COORDINATOR)
        answer_find_coordinator(v);
    else
        answer_api_versions(v);
    return true;
}

static size_t pieces_size(const struct visitor *v)
{
    size_t size = 0;
    for (int i = 0; i < v->piece_count; i++)
        size += v->pieces[i].iov_len;
    return size;
}

static bool send_answer(struct visitor *v)
{
    place_head(v);
    size_t left = pieces_size(v);
    store_be32(v->head.data, (uint32_t)(left - LENGTH_BYTES));
    struct msghdr message = {.msg_iov = v->pieces, .msg_iovlen = (size_t)v->piece_count};
    while (left > 0) {
        ssize_t n = sendmsg(v->fd, &message, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        left -= (size_t)n;
        for (size_t gone = (size_t)n; gone > 0;) {
            size_t step = gone < message.msg_iov->iov_len ? gone : message.msg_iov->iov_len;
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + step;
            message.msg_iov->iov_len -= step;
            gone -= step;
            if (message.msg_iov->iov_len == 0) {
                message.msg_iov++;
                message.msg_iovlen--;
            }
        }
    }
    return true;
}

static bool serve_one(struct visitor *v, unsigned char *frame)
{
    size_t header_size;
    if (recv(v->fd, frame, LENGTH_BYTES, MSG_WAITALL) != LENGTH_BYTES)
        return false;
    size_t size = load_be32(frame);
    if (size > FRAME_MAX || recv(v->fd, frame, size, MSG_WAITALL) != (ssize_t)size ||
        kafka_request_header_decode(frame, size, &v->header, &header_size) != 0 || header_size == 0)
        return false;
    v->body = frame + header_size;
    v->body_size = size - header_size;
    v->piece_count = 0;
    v->cut_count = v->batches = v->placed = 0;
    bool served = answer(v) && send_answer(v);
    arena_reset(&v->arena);
    return served;
}

static void *serve(void *data)
{
    struct visitor *v = data;
    unsigned char *frame = malloc(FRAME_MAX);
    if (frame == NULL)
        die("memory");
    arena_init(&v->arena, ARENA_BYTES);
    bytes_init(&v->head);
    while (serve_one(v, frame))
        ;
    free(frame);
    arena_close(&v->arena);
    bytes_close(&v->head);
    close(v->fd);
    free(v);
    return NULL;
}

struct door {
    const struct stock *stock;
    int listener;
};

static void *welcome(void *data)
{
    const struct door *d = data;
    for (;;) {
        struct visitor *v = calloc(1, sizeof(*v));
        pthread_t thread;
        int one = 1;
        if (v == NULL)
            die("memory");
        v->stock = d->stock;
        v->fd = accept(d->listener, NULL, NULL);
        if (v->fd < 0)
            die("accept");
        (void)setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (pthread_create(&thread, NULL, serve, v) != 0)
            die("thread");
        pthread_detach(thread);
    }
    return NULL;
}

static __attribute__((noreturn)) void run(const struct stock *s)
{
    struct door doors[SHELF_BROKERS];
    pthread_t threads[SHELF_BROKERS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < SHELF_BROKERS; i++) {
        doors[i] = (struct door){s, s->listeners[i]};
        if (pthread_create(&threads[i], NULL, welcome, &doors[i]) != 0)
            die("thread");
    }
    pthread_join(threads[0], NULL);
    _exit(1);
}

void shelf_start(struct shelf *shelf, int32_t partitions, int64_t records)
{
    struct stock stock = {.partitions = partitions, .records = records};
    fill(&stock);
    open_doors(&stock);
    shelf->pid = fork();
    if (shelf->pid < 0)
        die("fork");
    if (shelf->pid == 0)
        run(&stock);
    int n = 0;
    for (int i = 0; i < SHELF_BROKERS; i++) {
        n += snprintf(shelf->bootstrap + n, sizeof(shelf->bootstrap) - (size_t)n, "%s127.0.0.1:%d",
                      i > 0 ? "," : "", stock.ports[i]);
        close(stock.listeners[i]);
    }
    bytes_close(&stock.batch);
}

void shelf_stop(struct shelf *shelf)
{
    kill(shelf->pid, SIGKILL);
    waitpid(shelf->pid, NULL, 0);
}
