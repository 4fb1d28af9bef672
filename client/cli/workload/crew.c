#include "client/cli/workload/crew.h"

#include "client/cli/cli.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "client/cli/workload/crew_member.h"

enum { STABLE_EVERY_MS = 2, ASK_TIMEOUT_MS = 1000, FLUSH_TIMEOUT_MS = 30000 };

/* ---- the book ---- */

static void grow(struct crew_partition *p, uint64_t offset)
{
    size_t capacity = p->capacity != 0 ? p->capacity : 4096;
    while (capacity <= offset) {
        capacity *= 2;
    }
    if (capacity == p->capacity) {
        return;
    }
    p->processed = realloc(p->processed, capacity);
    p->acknowledged = realloc(p->acknowledged, capacity);
    if (p->processed == NULL || p->acknowledged == NULL) {
        abort();
    }
    memset(p->processed + p->capacity, 0, capacity - p->capacity);
    memset(p->acknowledged + p->capacity, 0, capacity - p->capacity);
    p->capacity = capacity;
}

static void note_time(struct crew_partition *p, int member, uint64_t now)
{
    uint64_t since = p->last_ns > p->watched_ns ? p->last_ns : p->watched_ns;
    if (since != 0 && now - since > p->longest_ns) {
        p->longest_ns = now - since;
    }
    if (member != p->watched_reader && p->taken_over_ns == 0) {
        p->taken_over_ns = now;
    }
    p->last_ns = now;
    p->reader = member;
}

void crew_note(struct crew *c, int member, int32_t partition, int64_t offset)
{
    if (partition < 0 || partition >= (int32_t)c->partitions || offset < 0) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    struct crew_partition *p = &c->partition[partition];
    grow(p, (uint64_t)offset);
    if (p->processed[offset] == 0) {
        c->processed++;
    } else {
        c->duplicates++;
    }
    if (p->processed[offset] < UINT8_MAX) {
        p->processed[offset]++;
    }
    note_time(p, member, cli_now_ns());
    pthread_mutex_unlock(&c->lock);
}

/* ---- the producer ---- */

static void on_delivery(void *data, const struct flotilla_delivery *d)
{
    struct crew *c = data;
    if (d->status != 0) {
        snprintf(c->error, sizeof(c->error), "%s", d->message);
        return;
    }
    pthread_mutex_lock(&c->lock);
    struct crew_partition *p = &c->partition[d->partition];
    grow(p, (uint64_t)d->offset);
    p->acknowledged[d->offset] = 1;
    c->acknowledged++;
    pthread_mutex_unlock(&c->lock);
}

static void produce_steadily(struct crew *c, struct flotilla_producer *producer)
{
    uint64_t started = cli_now_ns();
    for (uint64_t number = 0; !c->stop; number++) {
        uint64_t due = started + (uint64_t)((double)number * 1e9 / (double)c->rate), now = cli_now_ns();
        if (due > now + 1000000u) {
            cli_sleep_ms((int64_t)((due - now) / 1000000u));
        }
        char value[32];
        int size = snprintf(value, sizeof(value), "%" PRIu64, number);
        flotilla_produce(producer, c->topic, (int32_t)(number % c->partitions), FLOTILLA_TIMESTAMP_NOW, NULL,
                         0, value, (size_t)size, NULL, 0, NULL);
    }
    flotilla_producer_flush(producer, FLUSH_TIMEOUT_MS);
}

static void *producer_main(void *argument)
{
    struct crew *c = argument;
    struct flotilla_client *client = NULL;
    struct flotilla_producer *producer = NULL;
    struct flotilla_options *options = flotilla_options_create();
    flotilla_options_set(options, "delivery.thread", "io", NULL, 0);
    if (flotilla_client_create(&client, c->bootstrap, options, c->error, sizeof(c->error)) == 0 &&
        flotilla_producer_create(&producer, client, options, on_delivery, c, c->error, sizeof(c->error)) ==
            0) {
        produce_steadily(c, producer);
    }
    flotilla_producer_destroy(producer);
    flotilla_client_destroy(client);
    flotilla_options_destroy(options);
    return NULL;
}

bool crew_start(struct crew *c)
{
    pthread_mutex_init(&c->lock, NULL);
    for (uint32_t i = 0; i < c->partitions; i++) {
        c->partition[i].reader = c->partition[i].watched_reader = CREW_NOBODY;
    }
    if (flotilla_client_create(&c->client, c->bootstrap, NULL, c->error, sizeof(c->error)) != 0) {
        return false;
    }
    return pthread_create(&c->producer, NULL, producer_main, c) == 0;
}

/* ---- the crew ---- */

int crew_join(struct crew *c, bool as_process)
{
    for (int i = 0; i < CREW_MEMBERS_MAX; i++) {
        struct crew_member *m = &c->member[i];
        if (m->is_used) {
            continue;
        }
        memset(m, 0, sizeof(*m));
        m->crew = c;
        m->is_used = as_process ? crew_member_spawn(m) : crew_member_run(m);
        if (!m->is_used) {
            snprintf(c->error, sizeof(c->error), "%s", m->error);
        }
        return m->is_used ? i : CREW_NOBODY;
    }
    snprintf(c->error, sizeof(c->error), "too many members");
    return CREW_NOBODY;
}

static bool end_member(struct crew_member *m)
{
    bool ok = true;
    m->stop = true;
    if (m->pid != 0) {
        int status = 0;
        kill(m->pid, SIGTERM);
        kill(m->pid, SIGCONT);
        pthread_join(m->thread, NULL);
        waitpid(m->pid, &status, 0);
        ok = WIFEXITED(status) && (WEXITSTATUS(status) == CLI_OK || WEXITSTATUS(status) == CLI_INTERRUPTED);
    } else {
        pthread_join(m->thread, NULL);
        ok = m->error[0] == 0;
    }
    m->is_used = false;
    return ok;
}

bool crew_leave(struct crew *c, int member)
{
    struct crew_member *m = &c->member[member];
    bool ok = end_member(m);
    if (!ok) {
        snprintf(c->error, sizeof(c->error), "member %d: %.480s", member, m->error);
    }
    return ok;
}

bool crew_signal(struct crew *c, int member, int signal)
{
    struct crew_member *m = &c->member[member];
    if (m->pid == 0 || kill(m->pid, signal) != 0) {
        return false;
    }
    if (signal == SIGKILL) {
        pthread_join(m->thread, NULL);
        waitpid(m->pid, NULL, 0);
        m->is_used = false;
    }
    return true;
}

unsigned crew_size(const struct crew *c)
{
    unsigned size = 0;
    for (int i = 0; i < CREW_MEMBERS_MAX; i++) {
        size += c->member[i].is_used;
    }
    return size;
}

unsigned crew_rebalances(const struct crew *c)
{
    unsigned total = 0;
    for (int i = 0; i < CREW_MEMBERS_MAX; i++) {
        total += c->member[i].rebalances;
    }
    return total;
}

static bool is_stable(struct crew *c, unsigned members)
{
    const struct flotilla_group_description *d = NULL;
    size_t assigned = 0;
    if (flotilla_group_describe(c->client, c->group, ASK_TIMEOUT_MS, &d, NULL, 0) != 0) {
        return false;
    }
    for (size_t i = 0; i < d->member_count; i++) {
        assigned += d->members[i]->assigned_count;
    }
    bool stable = d->member_count == members && strcmp(d->info->state, "stable") == 0 &&
                  assigned == (members > 0 ? c->partitions : 0);
    flotilla_result_free(d);
    return stable;
}

double crew_wait_stable(struct crew *c, unsigned members, uint64_t since_ns, int64_t timeout_ms)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    while (!is_stable(c, members)) {
        if (cli_now_ns() > deadline) {
            return -1;
        }
        cli_sleep_ms(STABLE_EVERY_MS);
    }
    return (double)(cli_now_ns() - since_ns) / 1e6;
}

/* ---- silences ---- */

void crew_watch(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->partitions; i++) {
        struct crew_partition *p = &c->partition[i];
        p->watched_reader = p->reader;
        p->watched_ns = cli_now_ns();
        p->longest_ns = p->taken_over_ns = 0;
    }
    pthread_mutex_unlock(&c->lock);
}

void crew_silences(struct crew *c, struct crew_silence *s)
{
    memset(s, 0, sizeof(*s));
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->partitions; i++) {
        const struct crew_partition *p = &c->partition[i];
        double silence_ms = (double)p->longest_ns / 1e6;
        if (p->taken_over_ns != 0) {
            s->moved_ms[s->moved++] = silence_ms;
        } else {
            s->stayed_ms[s->stayed++] = silence_ms;
        }
    }
    pthread_mutex_unlock(&c->lock);
}

double crew_wait_taken_over(struct crew *c, int member, int64_t timeout_ms)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    for (;;) {
        bool complete = true;
        double last_ms = 0;
        pthread_mutex_lock(&c->lock);
        for (uint32_t i = 0; i < c->partitions; i++) {
            const struct crew_partition *p = &c->partition[i];
            double ms = p->taken_over_ns != 0 ? (double)(p->taken_over_ns - p->watched_ns) / 1e6 : 0;
            complete &= p->watched_reader != member || p->taken_over_ns != 0;
            last_ms = p->watched_reader == member && ms > last_ms ? ms : last_ms;
        }
        pthread_mutex_unlock(&c->lock);
        if (complete || cli_now_ns() > deadline) {
            return complete ? last_ms : -1;
        }
        cli_sleep_ms(STABLE_EVERY_MS);
    }
}

static bool has_committed(const struct crew *c, uint64_t since_ns)
{
    for (int i = 0; i < CREW_MEMBERS_MAX; i++) {
        if (c->member[i].is_used && c->member[i].commit_ns > since_ns) {
            return true;
        }
    }
    return false;
}

double crew_wait_commit(struct crew *c, uint64_t since_ns, int64_t timeout_ms)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    while (!has_committed(c, since_ns)) {
        if (cli_now_ns() > deadline) {
            return -1;
        }
        cli_sleep_ms(STABLE_EVERY_MS);
    }
    return (double)(cli_now_ns() - since_ns) / 1e6;
}

/* ---- the end ---- */

static uint64_t unprocessed(struct crew *c)
{
    uint64_t count = 0;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->partitions; i++) {
        const struct crew_partition *p = &c->partition[i];
        for (size_t k = 0; k < p->capacity; k++) {
            count += p->acknowledged[k] != 0 && p->processed[k] == 0;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return count;
}

static void stop_producer(struct crew *c)
{
    if (!c->stop) {
        c->stop = true;
        pthread_join(c->producer, NULL);
    }
}

uint64_t crew_finish(struct crew *c, int64_t timeout_ms)
{
    uint64_t deadline = cli_now_ns() + (uint64_t)timeout_ms * 1000000u;
    stop_producer(c);
    while (unprocessed(c) > 0 && cli_now_ns() < deadline) {
        cli_sleep_ms(10);
    }
    for (int i = 0; i < CREW_MEMBERS_MAX; i++) {
        if (c->member[i].is_used && !end_member(&c->member[i]) && c->error[0] == 0) {
            snprintf(c->error, sizeof(c->error), "member %d: %.480s", i, c->member[i].error);
        }
    }
    return unprocessed(c);
}

void crew_close(struct crew *c)
{
    stop_producer(c);
    for (int i = 0; i < CREW_MEMBERS_MAX; i++) {
        if (c->member[i].is_used) {
            end_member(&c->member[i]);
        }
    }
    flotilla_client_destroy(c->client);
    for (uint32_t i = 0; i < c->partitions; i++) {
        free(c->partition[i].processed);
        free(c->partition[i].acknowledged);
    }
    pthread_mutex_destroy(&c->lock);
}
