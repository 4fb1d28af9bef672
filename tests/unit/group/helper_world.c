#include "tests/unit/group/helper_world.h"

#include "node/base/memory.h"
#include "node/env/env.h"
#include "proto/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- effects ---- */

static void on_replicate(void *data, struct engine_step *step)
{
    struct world *w = data;
    assert_true(w->step_count < sizeof(w->steps) / sizeof(w->steps[0]));
    w->steps[w->step_count++] = step;
    w->steps_made++;
}

static void deliver(struct client *c, struct message *m)
{
    if (c->connected) {
        queue_push(&c->inbox, &m->node);
        return;
    }
    partition_set_close(&m->assigned);
    free(m);
}

/* On which of the client's connections it was sent. */
struct join_request {
    struct client *client;
    unsigned generation;
};

static void on_answer(void *data, void *request, int status, const char *message, int64_t epoch)
{
    struct world *w = data;
    (void)message;
    w->last_answer = status;
    struct join_request *join = request;
    if (join == NULL)
        return;
    if (join->generation == join->client->generation) {
        struct message *m = calloc(1, sizeof(*m));
        m->status = status;
        m->epoch = epoch;
        deliver(join->client, m);
    }
    free(join);
}

static bool on_push(void *data, struct engine_connection *connection, const struct engine_push *push)
{
    (void)data;
    struct client *c = container_of(connection, struct client, connection);
    assert_true(c->connected);
    assert_string_equal(push->group, c->group);
    assert_string_equal(push->member_id, c->id);
    struct message *m = calloc(1, sizeof(*m));
    m->is_push = true;
    m->status = push->status;
    m->epoch = push->epoch;
    m->stable = push->stable;
    if (push->assigned != NULL)
        partition_set_copy(&m->assigned, push->assigned);
    deliver(c, m);
    return true;
}

static void on_note(void *data, const struct engine_note *note)
{
    struct world *w = data;
    w->deaths += note->change == MEMBER_DIED;
}

static const struct engine_effects effects = {on_replicate, on_answer, on_push, on_note};

/* ---- the world ---- */

void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->time = (struct engine_time){.now_ms = 1000000, .wall_ms = 1700000000000};
    w->settings = (struct engine_settings){
        .session_timeout_ms = 10000, .grace_ms = 1000, .revocation_timeout_ms = 60000, .members_max = 1000};
    w->engine = engine_create(&w->table, &w->settings, &effects, w, w->time);
}

static void drop_inbox(struct client *c)
{
    while (!queue_empty(&c->inbox)) {
        struct message *m = QUEUE_ENTRY(queue_first(&c->inbox), struct message, node);
        queue_remove(&m->node);
        partition_set_close(&m->assigned);
        free(m);
    }
}

void world_close(struct world *w)
{
    engine_destroy(w->engine);
    for (size_t i = 0; i < w->step_count; i++)
        engine_step_done(w->steps[i], ERR_OUTCOME_UNKNOWN, w->time);
    for (unsigned i = 0; i < WORLD_CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->world == NULL)
            continue;
        drop_inbox(c);
        partition_set_close(&c->assigned);
        partition_set_close(&c->reading);
    }
    group_table_clear(&w->table);
}

void world_add_topic(struct world *w, const char *name, uint32_t partitions)
{
    size_t at = 0;
    while (at < w->topic_count && strcmp(w->topics[at].name, name) < 0)
        at++;
    memmove(&w->topics[at + 1], &w->topics[at], (w->topic_count - at) * sizeof(w->topics[0]));
    uint8_t *id = w->ids[w->topic_count];
    memset(id, 0, TOPIC_ID_SIZE);
    id[0] = (uint8_t)(97 * (w->topic_count + 3)); /* ids are in another order than names */
    id[15] = (uint8_t)w->topic_count;
    w->topics[at] = (struct engine_topic){name, id, partitions, name[0] == '_'};
    w->topic_count++;
    engine_topics_changed(w->engine);
}

void world_run(struct world *w)
{
    const struct engine_topics topics = {.items = w->topics, .count = w->topic_count, .in_rack = w->in_rack};
    engine_run(w->engine, &topics, w->time);
}

void world_pass(struct world *w, uint64_t ms)
{
    for (uint64_t end_ms = w->time.now_ms + ms; w->time.now_ms < end_ms;) {
        uint64_t step_ms = end_ms - w->time.now_ms < 50 ? end_ms - w->time.now_ms : 50;
        w->time.now_ms += step_ms;
        w->time.wall_ms += (int64_t)step_ms;
        world_run(w);
    }
}

static void apply(struct world *w, const struct engine_step *step)
{
    const struct group_records *records = engine_step_records(step);
    for (size_t i = 0; i < records->count; i++) {
        const struct group_record *r = &records->items[i];
        const unsigned char *key_data = records->bytes.data + r->at;
        Flotilla__GroupKey *key = flotilla__group_key__unpack(NULL, r->key_size, key_data);
        assert_non_null(key);
        const void *value = r->removes ? NULL : key_data + r->key_size;
        assert_int_equal(group_table_apply(&w->table, key, value, r->value_size), 0);
        flotilla__group_key__free_unpacked(key, NULL);
        w->record_count++;
    }
}

void world_commit(struct world *w, int status)
{
    if (w->step_count == 0)
        return;
    struct engine_step *step = w->steps[0];
    w->step_count--;
    memmove(&w->steps[0], &w->steps[1], w->step_count * sizeof(w->steps[0]));
    if (status == 0)
        apply(w, step);
    world_check_owners(w);
    engine_step_done(step, status, w->time);
}

void world_fail_over(struct world *w, size_t committed)
{
    engine_destroy(w->engine);
    for (size_t i = 0; i < w->step_count; i++) {
        if (i < committed)
            apply(w, w->steps[i]);
        engine_step_done(w->steps[i], i < committed ? 0 : ERR_OUTCOME_UNKNOWN, w->time);
    }
    w->step_count = 0;
    w->engine = engine_create(&w->table, &w->settings, &effects, w, w->time);
}

bool client_must_return(const struct client *c)
{
    return c->connected && !c->joined && !c->joining && c->lost > 0 && !c->replaced;
}

static bool settle_once(struct world *w)
{
    bool busy = w->step_count > 0;
    world_run(w);
    while (w->step_count > 0)
        world_commit(w, 0);
    for (unsigned i = 0; i < WORLD_CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (c->world == NULL)
            continue;
        while (!queue_empty(&c->inbox)) {
            client_read(c, true);
            busy = true;
        }
        if (client_must_return(c)) {
            client_join(c);
            busy = true;
        }
    }
    return busy;
}

void world_settle(struct world *w, uint64_t ms)
{
    uint64_t end_ms = w->time.now_ms + ms;
    for (;;) {
        while (settle_once(w)) {
        }
        if (w->time.now_ms >= end_ms)
            break;
        w->time.now_ms += 5;
        w->time.wall_ms += 5;
        for (unsigned i = 0; i < WORLD_CLIENTS && w->time.now_ms % 1000 < 5; i++)
            if (w->clients[i].world != NULL && w->clients[i].joined)
                client_heartbeat(&w->clients[i]);
    }
}

/* ---- clients ---- */

struct client *world_client(struct world *w, unsigned number, const char *group)
{
    struct client *c = &w->clients[number];
    *c = (struct client){.world = w, .number = number, .group = group};
    snprintf(c->id, sizeof(c->id), "member-%02u", number);
    c->instance_id = c->rack = c->pattern = c->assignor = "";
    queue_init(&c->inbox);
    engine_connection_init(&c->connection);
    return c;
}

void client_subscribe(struct client *c, const char *topic)
{
    c->topics[c->topic_count++] = topic;
}

static Flotilla__MemberValue *describe(const struct client *c)
{
    Flotilla__MemberValue value = FLOTILLA__MEMBER_VALUE__INIT;
    value.instance_id = (char *)(uintptr_t)c->instance_id;
    value.rack = (char *)(uintptr_t)c->rack;
    value.pattern = (char *)(uintptr_t)c->pattern;
    value.assignor = (char *)(uintptr_t)c->assignor;
    value.topics = (char **)(uintptr_t)c->topics;
    value.n_topics = c->topic_count;
    size_t size = flotilla__member_value__get_packed_size(&value);
    unsigned char *bytes = malloc(size + 1);
    flotilla__member_value__pack(&value, bytes);
    Flotilla__MemberValue *copy = flotilla__member_value__unpack(NULL, size, bytes);
    free(bytes);
    return copy;
}

void client_join(struct client *c)
{
    c->connected = true;
    c->joining = true;
    c->joined = false;
    struct join_request *request = malloc(sizeof(*request));
    *request = (struct join_request){c, c->generation};
    struct engine_join join = {
        .group = c->group,
        .member_id = c->id,
        .epoch = c->epoch,
        .value = describe(c),
        .connection = &c->connection,
        .request = request,
    };
    partition_set_copy(&join.owned, &c->reading);
    engine_join(c->world->engine, &join, c->world->time);
}

static void forget(struct client *c)
{
    c->replaced = c->instance_id[0] != '\0';
    partition_set_close(&c->reading);
    partition_set_close(&c->assigned);
    c->epoch = 0;
    c->joined = false;
}

void client_leave(struct client *c)
{
    forget(c);
    engine_leave(c->world->engine, c->group, c->id, "", NULL, c->world->time);
    client_disconnect(c);
}

void client_disconnect(struct client *c)
{
    c->connected = c->joined = c->joining = false;
    c->generation++;
    drop_inbox(c);
    engine_connection_lost(&c->connection, c->world->time);
}

static void report(struct client *c)
{
    struct partition_set owned;
    partition_set_copy(&owned, &c->reading);
    engine_heartbeat(c->world->engine, c->group, c->id, c->epoch, &owned, c->world->time);
    c->unreported = false;
}

void client_heartbeat(struct client *c)
{
    if (c->unreported) {
        report(c);
        return;
    }
    int status = engine_heartbeat(c->world->engine, c->group, c->id, c->epoch, NULL, c->world->time);
    if (status != ERR_UNKNOWN_MEMBER || c->joining)
        return;
    struct message *m = calloc(1, sizeof(*m)); /* the answer comes after the pushes before it */
    m->is_push = true;
    m->status = status;
    deliver(c, m);
}

static void take_answer(struct client *c, const struct message *m)
{
    c->joining = false;
    c->status = m->status;
    c->joined = m->status == 0;
    if (m->status == 0 && m->epoch > c->epoch)
        c->epoch = m->epoch;
    if (m->status == ERR_UNKNOWN_MEMBER) {
        c->lost++;
        forget(c);
    } else if (m->status != 0) {
        c->lost++; /* joins again */
    }
}

static void take_push(struct client *c, const struct message *m, bool tell)
{
    if (m->status == ERR_NOT_LEADER) {
        c->joined = false;
        c->lost++; /* joins again, with what it has */
        return;
    }
    if (m->status != 0) {
        c->lost++;
        forget(c);
        return;
    }
    struct partition_set gone = {0};
    partition_set_minus(&c->reading, &m->assigned, &gone);
    c->moved_out += (unsigned)gone.count;
    c->moved_in += (unsigned)(m->assigned.count + gone.count - c->reading.count);
    c->unreported = true;
    partition_set_close(&gone);
    partition_set_close(&c->assigned);
    partition_set_copy(&c->assigned, &m->assigned);
    partition_set_close(&c->reading);
    partition_set_copy(&c->reading, &m->assigned);
    c->epoch = m->epoch;
    c->stable = m->stable;
    if (tell && c->unreported)
        report(c);
}

void client_read(struct client *c, bool tell)
{
    if (queue_empty(&c->inbox))
        return;
    struct message *m = QUEUE_ENTRY(queue_first(&c->inbox), struct message, node);
    queue_remove(&m->node);
    if (m->is_push)
        take_push(c, m, tell);
    else
        take_answer(c, m);
    partition_set_close(&m->assigned);
    free(m);
}

/* ---- checks ---- */

const struct consumer_member *world_member(const struct world *w, const struct client *c)
{
    const struct consumer_group *g = group_table_find(&w->table, c->group);
    return g != NULL ? consumer_group_member(g, c->id) : NULL;
}

static void check_group_owners(const struct consumer_group *g)
{
    struct partition_set all = {0};
    size_t count = 0;
    for (const struct consumer_member *m = g->members; m != NULL; m = m->hh.next) {
        count += m->share.assigned.count + m->share.revoking.count;
        partition_set_add(&all, &m->share.assigned);
        partition_set_add(&all, &m->share.revoking);
    }
    assert_int_equal(all.count, count);
    partition_set_close(&all);
}

void world_check_owners(const struct world *w)
{
    for (const struct consumer_group *g = w->table.groups; g != NULL; g = g->hh.next)
        check_group_owners(g);
    for (unsigned i = 0; i < WORLD_CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        const struct consumer_member *m = c->world != NULL ? world_member(w, c) : NULL;
        if (m == NULL || c->epoch == 0)
            continue;
        for (size_t j = 0; j < c->reading.count; j++)
            if (!partition_set_has(&m->share.assigned, &c->reading.items[j]) &&
                !partition_set_has(&m->share.revoking, &c->reading.items[j]))
                fail_msg("%s reads partition %u, which is not its own", c->id, c->reading.items[j].partition);
    }
}

static bool is_subscribed(const struct world *w, const struct client *c, const struct engine_topic *topic)
{
    (void)w;
    for (size_t i = 0; i < c->topic_count; i++)
        if (strcmp(c->topics[i], topic->name) == 0)
            return true;
    return c->pattern[0] != '\0' && !topic->internal; /* the pattern of these tests is * */
}

static void check_topic(const struct world *w, const char *group, const struct engine_topic *topic)
{
    uint32_t subscribers = 0, read = 0, least = UINT32_MAX, most = 0;
    for (unsigned i = 0; i < WORLD_CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        if (c->world == NULL || !c->joined || strcmp(c->group, group) != 0 || !is_subscribed(w, c, topic))
            continue;
        uint32_t mine = 0;
        for (size_t j = 0; j < c->reading.count; j++)
            mine += memcmp(c->reading.items[j].topic_id, topic->id, TOPIC_ID_SIZE) == 0;
        subscribers++;
        read += mine;
        least = mine < least ? mine : least;
        most = mine > most ? mine : most;
    }
    if (subscribers == 0)
        return;
    assert_int_equal(read, topic->partition_count);
    assert_true(most - least <= 1);
}

void world_check_stable(const struct world *w, const char *group)
{
    world_check_owners(w);
    const struct consumer_group *g = group_table_find(&w->table, group);
    assert_non_null(g);
    assert_true(consumer_group_is_stable(g));
    for (size_t i = 0; i < w->topic_count; i++)
        check_topic(w, group, &w->topics[i]);
    for (unsigned i = 0; i < WORLD_CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        if (c->world == NULL || !c->joined || strcmp(c->group, group) != 0)
            continue;
        const struct consumer_member *m = world_member(w, c);
        assert_non_null(m);
        assert_true(partition_set_equal(&c->reading, &m->share.assigned));
        assert_int_equal(c->epoch, m->share.epoch);
        assert_true(c->stable);
    }
}

/* ---- the table as bytes ---- */

static void print_set(struct bytes *out, const char *what, const struct partition_set *s)
{
    bytes_append(out, what, strlen(what));
    for (size_t i = 0; i < s->count; i++) {
        bytes_append(out, s->items[i].topic_id, TOPIC_ID_SIZE);
        bytes_put_u32(out, s->items[i].partition);
    }
}

static void print_member(struct bytes *out, const struct consumer_member *m)
{
    bytes_append(out, m->id, strlen(m->id));
    size_t size = flotilla__member_value__get_packed_size(m->value);
    flotilla__member_value__pack(m->value, bytes_extend(out, size));
    bytes_put_u64(out, (uint64_t)m->share.epoch);
    bytes_put_u64(out, (uint64_t)m->share.revoked_epoch);
    print_set(out, "assigned", &m->share.assigned);
    print_set(out, "revoking", &m->share.revoking);
    print_set(out, "target", &m->share.target);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct consumer_group *const *)a)->name,
                  (*(const struct consumer_group *const *)b)->name);
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const struct consumer_member *const *)a)->id,
                  (*(const struct consumer_member *const *)b)->id);
}

static void print_group(struct bytes *out, const struct consumer_group *g)
{
    const struct consumer_member *members[WORLD_CLIENTS * 2];
    size_t count = 0;
    bytes_append(out, g->name, strlen(g->name));
    bytes_append(out, g->assignor, strlen(g->assignor));
    bytes_append(out, g->protocol, strlen(g->protocol));
    bytes_put_u64(out, (uint64_t)g->epoch);
    bytes_put_u64(out, (uint64_t)g->empty_since_ms);
    for (const struct consumer_member *m = g->members; m != NULL; m = m->hh.next)
        members[count++] = m;
    if (count > 0)
        qsort(members, count, sizeof(members[0]), by_id);
    for (size_t i = 0; i < count; i++)
        print_member(out, members[i]);
}

void world_print_table(const struct group_table *t, struct bytes *out)
{
    const struct consumer_group *groups[WORLD_GROUPS * 4];
    size_t count = 0;
    for (const struct consumer_group *g = t->groups; g != NULL; g = g->hh.next)
        groups[count++] = g;
    if (count > 0)
        qsort(groups, count, sizeof(groups[0]), by_name);
    for (size_t i = 0; i < count; i++)
        print_group(out, groups[i]);
}
