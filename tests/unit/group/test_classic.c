/* The classic group protocol by its state table, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/base/memory.h"
#include "node/group/classic.h"
#include "proto/kafka/errors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DELAY_MS = 500,
    SESSION_MS = 10000,
    REBALANCE_MS = 30000,
    ID_SIZE = 64,
    CALLS_MAX = 32,
    STEPS_MAX = 16
};

/* A join or sync, and its answer. */
struct call {
    bool answered;
    int16_t error;
    int32_t generation;
    char member_id[ID_SIZE], leader[ID_SIZE], protocol[ID_SIZE], assignment[ID_SIZE];
    size_t members;
    bool skip_assignment;
};

struct world {
    struct classic *classic;
    struct classic_table table;
    uint64_t now_ms;
    unsigned ids;
    struct call calls[CALLS_MAX];
    unsigned call_count;
    struct classic_step *steps[STEPS_MAX];
    unsigned step_count;
};

/* ---- effects ---- */

static void replicate(void *data, struct classic_step *step)
{
    struct world *w = data;
    assert_true(w->step_count < STEPS_MAX);
    w->steps[w->step_count++] = step;
}

static void joined(void *data, void *request, const struct classic_joined *answer)
{
    (void)data;
    struct call *call = request;
    assert_false(call->answered);
    call->answered = true;
    call->error = answer->error;
    call->generation = answer->generation;
    call->members = answer->member_count;
    call->skip_assignment = answer->skip_assignment;
    snprintf(call->member_id, ID_SIZE, "%s", answer->member_id);
    snprintf(call->leader, ID_SIZE, "%s", answer->leader);
    snprintf(call->protocol, ID_SIZE, "%s", answer->protocol);
}

static void synced(void *data, void *request, const struct classic_synced *answer)
{
    (void)data;
    struct call *call = request;
    assert_false(call->answered);
    call->answered = true;
    call->error = answer->error;
    snprintf(call->assignment, ID_SIZE, "%.*s", (int)answer->assignment.size,
             answer->assignment.size > 0 ? (const char *)answer->assignment.data : "");
}

static void note(void *data, const char *group, const char *member_id, const char *what, int32_t generation,
                 size_t members)
{
    (void)data, (void)group, (void)member_id, (void)what, (void)generation, (void)members;
}

static void new_id(void *data, const char *prefix, char *out, size_t size)
{
    struct world *w = data;
    snprintf(out, size, "%s-%u", prefix, ++w->ids);
}

static const struct classic_effects effects = {replicate, joined, synced, note, new_id};
static const struct classic_settings settings = {DELAY_MS, 6000, 1800000, 5, 3};

/* ---- the world ---- */

static void open_world(struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->now_ms = 1000;
    w->classic = classic_create(&w->table, &settings, &effects, w, w->now_ms, 1600000000000);
}

static void close_world(struct world *w)
{
    classic_destroy(w->classic);
    for (unsigned i = 0; i < w->step_count; i++)
        classic_step_done(w->steps[i], KAFKA_ERR_NOT_COORDINATOR, w->now_ms);
    classic_table_clear(&w->table);
}

static void pass_time(struct world *w, uint64_t ms)
{
    w->now_ms += ms;
    classic_run(w->classic, w->now_ms);
}

/* The log takes what is on its way. */
static void commit_steps(struct world *w)
{
    unsigned n = w->step_count;
    w->step_count = 0;
    for (unsigned i = 0; i < n; i++) {
        const Flotilla__ClassicValue *value = classic_step_value(w->steps[i]);
        size_t size = flotilla__classic_value__get_packed_size(value);
        uint8_t *bytes = memory_alloc(size + 1);
        flotilla__classic_value__pack(value, bytes);
        assert_int_equal(classic_table_apply(&w->table, classic_step_group(w->steps[i]), bytes, size), 0);
        free(bytes);
        classic_step_done(w->steps[i], KAFKA_ERR_NONE, w->now_ms);
    }
}

/* Another node becomes the coordinator. */
static void fail_over(struct world *w)
{
    classic_destroy(w->classic);
    for (unsigned i = 0; i < w->step_count; i++)
        classic_step_done(w->steps[i], KAFKA_ERR_NOT_COORDINATOR, w->now_ms);
    w->step_count = 0;
    w->classic = classic_create(&w->table, &settings, &effects, w, w->now_ms, 1600000000000);
}

struct who {
    const char *member_id, *instance_id, *metadata;
    bool named;        /* an id is asked for first */
    const char *group; /* NULL: "g" */
};

static struct call *join_as(struct world *w, struct who who)
{
    const char *metadata = who.metadata != NULL ? who.metadata : "topics";
    const struct classic_protocol protocols[] = {{"range", {metadata, strlen(metadata)}},
                                                 {"sticky", {metadata, strlen(metadata)}}};
    struct call *call = &w->calls[w->call_count++];
    assert_true(w->call_count < CALLS_MAX);
    const struct classic_join join = {.group = who.group != NULL ? who.group : "g",
                                      .member_id = who.member_id != NULL ? who.member_id : "",
                                      .instance_id = who.instance_id,
                                      .client_id = "c",
                                      .client_host = "/h",
                                      .protocol_type = "consumer",
                                      .protocols = protocols,
                                      .protocol_count = 2,
                                      .session_timeout_ms = SESSION_MS,
                                      .rebalance_timeout_ms = REBALANCE_MS,
                                      .needs_member_id = who.named,
                                      .may_skip_assignment = true,
                                      .request = call};
    classic_join(w->classic, &join, w->now_ms);
    return call;
}

static struct call *join(struct world *w, const char *member_id)
{
    return join_as(w, (struct who){.member_id = member_id});
}

static struct call *sync_with(struct world *w, const char *member_id, int32_t generation, const char *to,
                              const char *assignment)
{
    struct call *call = &w->calls[w->call_count++];
    const struct classic_assignment list[] = {{to, {assignment, strlen(assignment)}}};
    const struct classic_sync sync = {.group = "g",
                                      .member_id = member_id,
                                      .generation = generation,
                                      .assignments = list,
                                      .assignment_count = to[0] != '\0' ? 1 : 0,
                                      .request = call};
    classic_sync(w->classic, &sync, w->now_ms);
    return call;
}

static int16_t heartbeat(struct world *w, const char *member_id, int32_t generation)
{
    return classic_heartbeat(w->classic, "g", member_id, NULL, generation, w->now_ms);
}

static enum classic_state state(const struct world *w)
{
    struct classic_view view;
    if (!classic_look(w->classic, "g", &view))
        return CLASSIC_EMPTY;
    classic_view_close(&view);
    return view.state;
}

/* A stable group of c-1 (the leader) and c-2. */
static int32_t two_members(struct world *w)
{
    struct call *one = join(w, "");
    struct call *two = join(w, "");
    assert_false(one->answered);
    pass_time(w, DELAY_MS);
    assert_true(one->answered && two->answered);
    assert_string_equal(one->leader, one->member_id);
    assert_string_equal(two->leader, one->member_id);
    assert_int_equal(one->members, 2);
    assert_int_equal(two->members, 0);
    assert_string_equal(one->protocol, "range");
    struct call *waits = sync_with(w, two->member_id, two->generation, "", "");
    assert_false(waits->answered);
    struct call *leads = sync_with(w, one->member_id, one->generation, two->member_id, "all");
    assert_false(leads->answered); /* not before it is replicated */
    commit_steps(w);
    assert_true(leads->answered && waits->answered);
    assert_string_equal(waits->assignment, "all");
    assert_int_equal(state(w), CLASSIC_STABLE);
    return one->generation;
}

/* ---- tests ---- */

static void a_generation_comes_to_be(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    int32_t generation = two_members(&w);
    assert_int_equal(generation, 1);
    assert_int_equal(heartbeat(&w, "c-1", 1), KAFKA_ERR_NONE);
    assert_int_equal(heartbeat(&w, "c-1", 2), KAFKA_ERR_ILLEGAL_GENERATION);
    assert_int_equal(heartbeat(&w, "c-9", 1), KAFKA_ERR_UNKNOWN_MEMBER_ID);
    struct call *again = sync_with(&w, "c-2", 1, "", "");
    assert_true(again->answered);
    assert_string_equal(again->assignment, "all");
    close_world(&w);
}

static void a_newcomer_is_told_its_id_first(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    struct call *asks = join_as(&w, (struct who){.named = true});
    assert_true(asks->answered);
    assert_int_equal(asks->error, KAFKA_ERR_MEMBER_ID_REQUIRED);
    struct call *comes = join(&w, asks->member_id);
    pass_time(&w, DELAY_MS);
    assert_int_equal(comes->error, KAFKA_ERR_NONE);
    struct call *late = join_as(&w, (struct who){.named = true});
    pass_time(&w, SESSION_MS + 1);
    assert_int_equal(join(&w, late->member_id)->error, KAFKA_ERR_UNKNOWN_MEMBER_ID);
    close_world(&w);
}

static void a_third_member_makes_the_others_join_again(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    two_members(&w);
    struct call *three = join(&w, "");
    assert_int_equal(state(&w), CLASSIC_PREPARING);
    assert_int_equal(heartbeat(&w, "c-1", 1), KAFKA_ERR_REBALANCE_IN_PROGRESS);
    assert_int_equal(sync_with(&w, "c-1", 1, "", "")->error, KAFKA_ERR_REBALANCE_IN_PROGRESS);
    assert_int_equal(classic_check_commit(w.classic, "g", "c-1", NULL, 1, w.now_ms), KAFKA_ERR_NONE);
    struct call *one = join(&w, "c-1");
    assert_false(one->answered);
    struct call *two = join(&w, "c-2");
    assert_true(one->answered && two->answered && three->answered);
    assert_int_equal(one->generation, 2);
    assert_string_equal(three->leader, "c-1");
    assert_int_equal(state(&w), CLASSIC_COMPLETING);
    assert_int_equal(heartbeat(&w, "c-1", 2), KAFKA_ERR_NONE);
    assert_int_equal(classic_check_commit(w.classic, "g", "c-1", NULL, 2, w.now_ms),
                     KAFKA_ERR_REBALANCE_IN_PROGRESS);
    close_world(&w);
}

static void who_does_not_join_in_time_is_out(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    two_members(&w);
    struct call *three = join(&w, "");
    for (unsigned i = 0; i < REBALANCE_MS / 5000; i++) {
        heartbeat(&w, "c-1", 1);
        heartbeat(&w, "c-2", 1);
        pass_time(&w, 5000);
    }
    assert_true(three->answered);
    assert_int_equal(three->members, 1);
    assert_int_equal(heartbeat(&w, "c-1", 2), KAFKA_ERR_UNKNOWN_MEMBER_ID);
    close_world(&w);
}

static void who_does_not_sync_in_time_is_out(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    struct call *one = join(&w, "");
    struct call *two = join(&w, "");
    pass_time(&w, DELAY_MS);
    struct call *leads = sync_with(&w, one->member_id, 1, one->member_id, "all");
    commit_steps(&w);
    assert_true(leads->answered);
    for (unsigned i = 0; i < REBALANCE_MS / 5000; i++) {
        heartbeat(&w, one->member_id, 1);
        heartbeat(&w, two->member_id, 1);
        pass_time(&w, 5000);
    }
    assert_int_equal(heartbeat(&w, two->member_id, 1), KAFKA_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(heartbeat(&w, one->member_id, 1), KAFKA_ERR_REBALANCE_IN_PROGRESS);
    close_world(&w);
}

static void the_silent_and_the_leaving_are_replaced(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    two_members(&w);
    pass_time(&w, SESSION_MS / 2);
    assert_int_equal(heartbeat(&w, "c-1", 1), KAFKA_ERR_NONE);
    pass_time(&w, SESSION_MS / 2 + 1);
    assert_int_equal(heartbeat(&w, "c-2", 1), KAFKA_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(heartbeat(&w, "c-1", 1), KAFKA_ERR_REBALANCE_IN_PROGRESS);
    struct call *alone = join(&w, "c-1");
    assert_true(alone->answered);
    assert_int_equal(alone->members, 1);
    assert_int_equal(classic_leave(w.classic, "g", "c-1", NULL, w.now_ms), KAFKA_ERR_NONE);
    assert_int_equal(classic_leave(w.classic, "g", "c-1", NULL, w.now_ms), KAFKA_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(state(&w), CLASSIC_EMPTY);
    commit_steps(&w);
    assert_int_equal(classic_table_find(&w.table, "g")->generation, 3);
    close_world(&w);
}

static void a_new_coordinator_is_no_rebalance(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    two_members(&w);
    fail_over(&w);
    assert_int_equal(state(&w), CLASSIC_STABLE);
    assert_int_equal(heartbeat(&w, "c-1", 1), KAFKA_ERR_NONE);
    assert_int_equal(heartbeat(&w, "c-2", 1), KAFKA_ERR_NONE);
    assert_int_equal(classic_check_commit(w.classic, "g", "c-2", NULL, 1, w.now_ms), KAFKA_ERR_NONE);
    struct call *again = sync_with(&w, "c-2", 1, "", "");
    assert_string_equal(again->assignment, "all");
    close_world(&w);
}

static void an_assignment_that_is_not_replicated_is_none(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    struct call *one = join(&w, "");
    pass_time(&w, DELAY_MS);
    struct call *leads = sync_with(&w, one->member_id, 1, one->member_id, "all");
    fail_over(&w);
    assert_int_equal(leads->error, KAFKA_ERR_NOT_COORDINATOR);
    assert_int_equal(heartbeat(&w, one->member_id, 1), KAFKA_ERR_UNKNOWN_MEMBER_ID);
    close_world(&w);
}

static void a_static_member_comes_back_unnoticed(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    struct call *first = join_as(&w, (struct who){.instance_id = "i"});
    pass_time(&w, DELAY_MS);
    sync_with(&w, first->member_id, 1, first->member_id, "mine");
    commit_steps(&w);
    struct call *back = join_as(&w, (struct who){.instance_id = "i"});
    assert_false(back->answered);
    commit_steps(&w);
    assert_int_equal(back->error, KAFKA_ERR_NONE);
    assert_int_equal(back->generation, 1);
    assert_true(back->skip_assignment);
    assert_string_not_equal(back->member_id, first->member_id);
    assert_string_equal(sync_with(&w, back->member_id, 1, "", "")->assignment, "mine");
    assert_int_equal(classic_heartbeat(w.classic, "g", first->member_id, "i", 1, w.now_ms),
                     KAFKA_ERR_FENCED_INSTANCE_ID);
    struct call *changed = join_as(&w, (struct who){.instance_id = "i", .metadata = "other topics"});
    assert_int_equal(changed->generation, 2);
    close_world(&w);
}

static void a_lost_connection_is_no_leave(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    two_members(&w);
    struct call *three = join(&w, "");
    struct call *one = join(&w, "c-1");
    classic_forget_request(w.classic, "g", one);
    struct call *two = join(&w, "c-2");
    assert_true(two->answered && three->answered);
    assert_false(one->answered);
    assert_int_equal(heartbeat(&w, "c-1", 2), KAFKA_ERR_NONE);
    struct call *again = join(&w, "c-1"); /* the same as before: it gets what it has missed */
    assert_true(again->answered);
    assert_int_equal(again->generation, 2);
    assert_int_equal(again->members, 3);
    close_world(&w);
}

static void what_does_not_fit_is_refused(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    two_members(&w);
    const struct classic_protocol other = {"other", {"x", 1}};
    struct call call = {0};
    struct classic_join join = {.group = "g",
                                .member_id = "",
                                .client_id = "c",
                                .client_host = "/h",
                                .protocol_type = "consumer",
                                .protocols = &other,
                                .protocol_count = 1,
                                .session_timeout_ms = SESSION_MS,
                                .request = &call};
    classic_join(w.classic, &join, w.now_ms);
    assert_int_equal(call.error, KAFKA_ERR_INCONSISTENT_GROUP_PROTOCOL);
    call = (struct call){0};
    join.session_timeout_ms = 5999;
    classic_join(w.classic, &join, w.now_ms);
    assert_int_equal(call.error, KAFKA_ERR_INVALID_SESSION_TIMEOUT);
    assert_int_equal(classic_check_commit(w.classic, "g", "", NULL, -1, w.now_ms),
                     KAFKA_ERR_UNKNOWN_MEMBER_ID);
    assert_int_equal(classic_check_commit(w.classic, "new", "", NULL, -1, w.now_ms), KAFKA_ERR_NONE);
    assert_int_equal(classic_check_commit(w.classic, "new", "m", NULL, 1, w.now_ms),
                     KAFKA_ERR_ILLEGAL_GENERATION);
    close_world(&w);
}

static void a_group_has_a_bound(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    for (unsigned i = 0; i < settings.members_max; i++)
        assert_false(join(&w, "")->answered);
    assert_int_equal(join(&w, "")->error, KAFKA_ERR_GROUP_MAX_SIZE_REACHED);
    close_world(&w);
}

/* ---- as many groups as a coordinator holds ---- */

static const char *const group_names[] = {"g-1", "g-2", "g-3", "g-4"};

static void fill_with_groups(struct world *w)
{
    for (unsigned i = 0; i < settings.groups_max; i++)
        assert_false(join_as(w, (struct who){.group = group_names[i]})->answered);
}

static int16_t one_more_group(struct world *w)
{
    struct call *call = join_as(w, (struct who){.group = group_names[settings.groups_max], .named = true});
    assert_true(call->answered);
    return call->error;
}

static void a_coordinator_has_room_for_so_many_groups(void **unused)
{
    (void)unused;
    struct world w;
    struct classic_view view;
    open_world(&w);
    fill_with_groups(&w);
    assert_int_equal(one_more_group(&w), KAFKA_ERR_POLICY_VIOLATION);
    assert_int_equal(one_more_group(&w), KAFKA_ERR_POLICY_VIOLATION);
    assert_false(
        classic_look(w.classic, group_names[settings.groups_max], &view));      /* nothing is left of it */
    assert_false(join_as(&w, (struct who){.group = group_names[0]})->answered); /* who is there may grow */
    close_world(&w);
}

static void groups_that_are_gone_make_room(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    fill_with_groups(&w);
    classic_forget_group(w.classic, group_names[0]); /* has a member: stays */
    assert_int_equal(one_more_group(&w), KAFKA_ERR_POLICY_VIOLATION);
    assert_int_equal(classic_leave(w.classic, group_names[0], w.calls[0].member_id, NULL, w.now_ms),
                     KAFKA_ERR_UNKNOWN_MEMBER_ID); /* it has not been told its id */
    pass_time(&w, DELAY_MS);
    assert_int_equal(classic_leave(w.classic, group_names[0], w.calls[0].member_id, NULL, w.now_ms),
                     KAFKA_ERR_NONE);
    commit_steps(&w);
    classic_forget_group(w.classic, group_names[0]);
    assert_int_equal(one_more_group(&w), KAFKA_ERR_MEMBER_ID_REQUIRED);
    close_world(&w);
}

/* Who only asks for an id holds a place as long as the id is good for. */
static void groups_that_never_came_to_be_make_room(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    for (unsigned i = 0; i < settings.groups_max; i++)
        assert_int_equal(join_as(&w, (struct who){.group = group_names[i], .named = true})->error,
                         KAFKA_ERR_MEMBER_ID_REQUIRED);
    assert_int_equal(one_more_group(&w), KAFKA_ERR_POLICY_VIOLATION);
    pass_time(&w, SESSION_MS);
    assert_int_equal(one_more_group(&w), KAFKA_ERR_MEMBER_ID_REQUIRED);
    close_world(&w);
}

static void a_new_coordinator_keeps_to_the_bound(void **unused)
{
    (void)unused;
    struct world w;
    open_world(&w);
    int32_t generation = two_members(&w);
    fail_over(&w);
    for (unsigned i = 1; i < settings.groups_max; i++)
        assert_false(join_as(&w, (struct who){.group = group_names[i]})->answered);
    assert_int_equal(one_more_group(&w), KAFKA_ERR_POLICY_VIOLATION);
    assert_int_equal(heartbeat(&w, "c-1", generation), KAFKA_ERR_NONE);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generation_comes_to_be),
        cmocka_unit_test(a_newcomer_is_told_its_id_first),
        cmocka_unit_test(a_third_member_makes_the_others_join_again),
        cmocka_unit_test(who_does_not_join_in_time_is_out),
        cmocka_unit_test(who_does_not_sync_in_time_is_out),
        cmocka_unit_test(the_silent_and_the_leaving_are_replaced),
        cmocka_unit_test(a_new_coordinator_is_no_rebalance),
        cmocka_unit_test(an_assignment_that_is_not_replicated_is_none),
        cmocka_unit_test(a_static_member_comes_back_unnoticed),
        cmocka_unit_test(a_lost_connection_is_no_leave),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_group_has_a_bound),
        cmocka_unit_test(a_coordinator_has_room_for_so_many_groups),
        cmocka_unit_test(groups_that_are_gone_make_room),
        cmocka_unit_test(groups_that_never_came_to_be_make_room),
        cmocka_unit_test(a_new_coordinator_keeps_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
