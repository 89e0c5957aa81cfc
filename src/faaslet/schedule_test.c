/* The scheduler of one node: each rule by itself, then random sequences against a model that knows
 * only what the header promises. */
#include "faaslet/schedule.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/test.h"
#include "faaslet/call.h"

struct bench {
    struct schedule *schedule;
    struct schedule_effect items[64];
    struct schedule_effects effects;
    uint64_t now;
    uint64_t next_id;
};

static const struct schedule_view nothing = {.known = true};
static const struct schedule_view unseen = {.known = false};

static bool bench_init(struct bench *b, const struct schedule_config *config)
{
    *b = (struct bench){.now = 1000, .next_id = 1};
    size_t bytes = schedule_bytes(config);
    void *memory = bytes ? wm_alloc(bytes) : NULL;
    if (!memory) {
        return false;
    }
    b->schedule = schedule_init(memory, config, b->now);
    b->effects = (struct schedule_effects){.items = b->items, .room = 64};
    return true;
}

static void bench_fini(struct bench *b)
{
    wm_free(b->schedule);
}

static struct schedule_decision arrive(struct bench *b, uint64_t function, uint32_t hops,
                                       const struct schedule_view *view)
{
    struct schedule_call call = {
        .id = b->next_id++, .function = function, .hops = hops, .from = SCHEDULE_NOBODY};
    b->effects.count = 0;
    return schedule_arrive(b->schedule, &call, view, 7, b->now, &b->effects);
}

static void ended(struct bench *b, uint64_t function, uint64_t us)
{
    b->effects.count = 0;
    schedule_ended(b->schedule, function, us, false, b->now, &b->effects);
}

static void tick(struct bench *b, uint64_t ms)
{
    b->now += ms;
    b->effects.count = 0;
    CHECK(!schedule_tick(b->schedule, b->now, &b->effects));
}

static uint32_t count_of(const struct bench *b, enum schedule_effect_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->effects.count; i++) {
        count += b->items[i].kind == kind;
    }
    return count;
}

static uint64_t started(const struct bench *b)
{
    for (uint32_t i = 0; i < b->effects.count; i++) {
        if (b->items[i].kind == SCHEDULE_START) {
            return b->items[i].call;
        }
    }
    return 0;
}

TEST(configuration)
{
    CHECK_INT(schedule_bytes(&(struct schedule_config){.capacity = 4, .faaslets_max = 3}), ==, 0);
    CHECK_INT(schedule_bytes(&(struct schedule_config){.functions_max = 1}), ==, 0);
    CHECK_INT(schedule_bytes(&(struct schedule_config){.queue_max = UINT32_MAX}), ==, 0);
    CHECK_INT(schedule_bytes(&(struct schedule_config){.capacity = UINT32_MAX}), ==, 0);
    CHECK_INT(schedule_bytes(&(struct schedule_config){0}) % 16, ==, 0);
    CHECK_INT(schedule_bytes(&(struct schedule_config){0}), >, 0);
    for (int i = 0; i < SCHEDULE_WHYS; i++) {
        CHECK(strlen(schedule_why_text((enum schedule_why)i)) > 5);
    }
}

TEST(first_call_looks_then_starts_cold)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 4}));
    CHECK_INT(arrive(&b, 1, 0, &unseen).what, ==, SCHEDULE_LOOK);
    CHECK_INT(b.effects.count, ==, 0);
    struct schedule_decision d = arrive(&b, 1, 0, &nothing);
    CHECK_INT(d.what, ==, SCHEDULE_COLD);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_NOBODY_WARM);
    CHECK_INT(count_of(&b, SCHEDULE_WARM_ADD), ==, 1);
    CHECK_INT(count_of(&b, SCHEDULE_AVAILABLE_ADD), ==, 1);
    CHECK_INT(schedule_opinion(b.schedule, 1), ==, SCHEDULE_YES);
    CHECK_INT(schedule_opinion(b.schedule, 2), ==, SCHEDULE_MAYBE);
    ended(&b, 1, 500);
    /* Warm and with room: no look-up is needed. */
    d = arrive(&b, 1, 0, &unseen);
    CHECK_INT(d.what, ==, SCHEDULE_RUN);
    CHECK_INT(b.effects.count, ==, 0);
    /* Busy: one more of it. */
    d = arrive(&b, 1, 0, &unseen);
    CHECK_INT(d.what, ==, SCHEDULE_COLD);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_MORE);
    bench_fini(&b);
}

TEST(work_is_shared_with_the_warm)
{
    struct bench b;
    REQUIRE(
        bench_init(&b, &(struct schedule_config){.node = 1, .capacity = 2, .view_ms_max = 1000}));
    struct schedule_peer warm[] = {{.node = 1},
                                   {.node = 2, .load = 100, .draining = true},
                                   {.node = 3, .load = 100, .suspect = true},
                                   {.node = 4, .load = 100, .age_ms = 1001},
                                   {.node = 5, .load = SCHEDULE_LOAD_FULL},
                                   {.node = 6, .load = 900, .age_ms = 1000}};
    struct schedule_view view = {.known = true, .warm = warm, .warm_count = WM_COUNT_OF(warm)};
    struct schedule_decision d = arrive(&b, 1, 0, &view);
    CHECK_INT(d.what, ==, SCHEDULE_HAND_ON);
    CHECK_INT(d.node, ==, 6);
    CHECK_INT(b.effects.count, ==, 0);
    /* Not back to where it comes from; not past the last hop. */
    struct schedule_call call = {.id = 99, .function = 1, .hops = 1, .from = 6};
    b.effects.count = 0;
    d = schedule_arrive(b.schedule, &call, &view, 3, b.now, &b.effects);
    CHECK_INT(d.what, ==, SCHEDULE_COLD);
    ended(&b, 1, 10);
    d = arrive(&b, 2, CALL_HOPS_MAX, &view);
    CHECK_INT(d.what, ==, SCHEDULE_COLD);
    d = arrive(&b, 3, CALL_HOPS_MAX + 5, &unseen);
    CHECK_INT(d.what, ==, SCHEDULE_COLD);
    /* Full here: only now the available ones, and among two the less loaded. */
    struct schedule_peer available[] = {{.node = 8, .load = 900}, {.node = 9, .load = 10}};
    view = (struct schedule_view){.known = true, .available = available, .available_count = 2};
    uint32_t nine = 0;
    for (uint64_t random = 0; random < 4; random++) {
        call = (struct schedule_call){.id = 100, .function = 4, .from = SCHEDULE_NOBODY};
        d = schedule_arrive(b.schedule, &call, &view, (random & 1) | (random >> 1) << 32, b.now,
                            &b.effects);
        CHECK_INT(d.what, ==, SCHEDULE_HAND_ON);
        CHECK_INT(d.why, ==, SCHEDULE_WHY_FULL_HERE);
        nine += d.node == 9;
    }
    CHECK_INT(nine, ==, 3);
    /* The same with nobody. */
    CHECK_INT(arrive(&b, 4, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    bench_fini(&b);
}

TEST(calls_go_to_their_state)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.node = 1, .capacity = 2}));
    struct schedule_peer there = {.node = 7, .load = 500}, here = {.node = 1};
    struct schedule_peer other = {.node = 3};
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_COLD);
    ended(&b, 1, 10);
    struct schedule_view view = {.known = true, .state = &there};
    /* Even though it is warm here. */
    struct schedule_decision d = arrive(&b, 1, 0, &view);
    CHECK_INT(d.what, ==, SCHEDULE_HAND_ON);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_STATE);
    CHECK_INT(d.node, ==, 7);
    there.load = SCHEDULE_LOAD_FULL;
    CHECK_INT(arrive(&b, 1, 0, &view).what, ==, SCHEDULE_RUN);
    there.load = 0;
    CHECK_INT(arrive(&b, 1, 1, &view).what, ==, SCHEDULE_COLD); /* had been handed on */
    ended(&b, 1, 10);
    ended(&b, 1, 10);
    /* The state is here: cold here rather than warm there. */
    view = (struct schedule_view){.known = true, .state = &here, .warm = &other, .warm_count = 1};
    CHECK_INT(arrive(&b, 2, 0, &view).what, ==, SCHEDULE_COLD);
    (void)arrive(&b, 2, 0, &view);
    CHECK_INT(arrive(&b, 3, 0, &view).what, ==, SCHEDULE_HAND_ON); /* no room */
    bench_fini(&b);
}

TEST(back_pressure)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 1,
                                                     .queue_max = 4,
                                                     .queued_max = 3,
                                                     .service_us_guess = 100000,
                                                     .wait_ms_max = 1000}));
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_COLD);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    }
    CHECK_INT(count_of(&b, SCHEDULE_AVAILABLE_ADD), ==, 0);
    struct schedule_decision d = arrive(&b, 1, 0, &nothing);
    CHECK_INT(d.what, ==, SCHEDULE_REFUSE);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_QUEUE_FULL);
    CHECK_INT(d.retry_after_ms, >=, 400); /* four calls of 100 ms */
    CHECK_INT(d.retry_after_ms, <=, 500);
    CHECK_INT(arrive(&b, 2, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    CHECK_INT(arrive(&b, 3, 0, &nothing).why, ==, SCHEDULE_WHY_QUEUE_FULL);
    CHECK_INT(schedule_opinion(b.schedule, 1), ==, SCHEDULE_NO);
    /* Room, but the calls turn out to be slow. */
    ended(&b, 1, 5000000);
    CHECK_INT(started(&b), ==, 2);
    d = arrive(&b, 1, 0, &nothing);
    CHECK_INT(d.what, ==, SCHEDULE_REFUSE);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_TOO_LONG);
    CHECK_INT(d.retry_after_ms, >=, 15000);
    bench_fini(&b);
}

TEST(queue_is_first_in_first_out_and_cancelled)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 1}));
    (void)arrive(&b, 1, 0, &nothing); /* 1 */
    for (int i = 2; i <= 5; i++) {
        CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    }
    b.effects.count = 0;
    CHECK(schedule_cancel(b.schedule, 1, 5, b.now, &b.effects));
    CHECK(schedule_cancel(b.schedule, 1, 3, b.now, &b.effects));
    CHECK(!schedule_cancel(b.schedule, 1, 3, b.now, &b.effects));
    CHECK(!schedule_cancel(b.schedule, 1, 1, b.now, &b.effects)); /* runs */
    CHECK(!schedule_cancel(b.schedule, 2, 2, b.now, &b.effects));
    (void)arrive(&b, 1, 0, &nothing); /* 6 */
    ended(&b, 1, 10);
    CHECK_INT(started(&b), ==, 2);
    ended(&b, 1, 10);
    CHECK_INT(started(&b), ==, 4);
    ended(&b, 1, 10);
    CHECK_INT(started(&b), ==, 6);
    ended(&b, 1, 10);
    CHECK_INT(started(&b), ==, 0);
    bench_fini(&b);
}

TEST(a_flood_of_one_function_does_not_starve_another)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 1, .burst_max = 3}));
    (void)arrive(&b, 1, 0, &nothing);
    for (int i = 0; i < 50; i++) {
        (void)arrive(&b, 1, 0, &nothing);
    }
    CHECK_INT(arrive(&b, 2, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    uint64_t mine = b.next_id - 1;
    int waited = 0;
    for (uint64_t runs = 1; waited < 100; waited++) {
        ended(&b, runs, 10);
        if (started(&b) == mine) {
            break;
        }
    }
    CHECK_INT(waited, <=, 8); /* two functions, each turn and three before it */
    bench_fini(&b);
}

TEST(memberships_follow_and_are_renewed)
{
    struct bench b;
    REQUIRE(
        bench_init(&b, &(struct schedule_config){.capacity = 2, .ttl_ms = 3000, .idle_ms = 10000}));
    (void)arrive(&b, 1, 0, &nothing);
    ended(&b, 1, 10);
    tick(&b, 500);
    CHECK_INT(b.effects.count, ==, 0);
    uint32_t warm = 0, available = 0, retired = 0, removed = 0;
    for (int i = 0; i < 400; i++) {
        tick(&b, 50);
        warm += count_of(&b, SCHEDULE_WARM_ADD);
        available += count_of(&b, SCHEDULE_AVAILABLE_ADD);
        retired += count_of(&b, SCHEDULE_RETIRE);
        removed += count_of(&b, SCHEDULE_WARM_REMOVE);
    }
    CHECK_INT(available, >=, 19); /* twenty seconds, a renewal each second */
    CHECK_INT(available, <=, 20);
    CHECK_INT(warm, >=, 9);
    CHECK_INT(retired, ==, 1);
    CHECK_INT(removed, ==, 1);
    struct schedule_stats stats;
    schedule_stats(b.schedule, &stats);
    CHECK_INT(stats.functions, ==, 0);
    CHECK_INT(stats.faaslets, ==, 0);
    bench_fini(&b);
}

TEST(changes_settle)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 1, .settle_ms = 100}));
    uint32_t changes = 0;
    for (int i = 0; i < 200; i++) { /* full, not full, full, each millisecond */
        (void)arrive(&b, 1, 0, &nothing);
        changes += b.effects.count;
        b.now++;
        ended(&b, 1, 10);
        changes += b.effects.count;
    }
    CHECK_INT(changes, <=, 2 * (200 / 100 + 2));
    CHECK_INT(changes, >=, 2);
    bench_fini(&b);
}

TEST(draining)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 1}));
    struct schedule_peer other = {.node = 3};
    struct schedule_view view = {.known = true, .available = &other, .available_count = 1};
    (void)arrive(&b, 1, 0, &nothing);
    (void)arrive(&b, 1, 0, &nothing); /* waits */
    b.effects.count = 0;
    schedule_drain(b.schedule, true, b.now, &b.effects);
    tick(&b, 1);
    CHECK_INT(schedule_opinion(b.schedule, 1), ==, SCHEDULE_NO);
    struct schedule_decision d = arrive(&b, 1, 0, &view);
    CHECK_INT(d.what, ==, SCHEDULE_HAND_ON);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_DRAINING);
    d = arrive(&b, 1, CALL_HOPS_MAX, &view);
    CHECK_INT(d.what, ==, SCHEDULE_REFUSE);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_DRAINING);
    /* What it had taken runs. */
    ended(&b, 1, 10);
    CHECK_INT(started(&b), ==, 2);
    ended(&b, 1, 10);
    for (int i = 0; i < 50; i++) {
        tick(&b, 300);
        CHECK_INT(count_of(&b, SCHEDULE_AVAILABLE_ADD), ==, 0);
        CHECK_INT(count_of(&b, SCHEDULE_WARM_ADD), ==, 0);
    }
    b.effects.count = 0;
    schedule_drain(b.schedule, false, b.now, &b.effects);
    CHECK_INT(count_of(&b, SCHEDULE_AVAILABLE_ADD), ==, 1);
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_RUN);
    bench_fini(&b);
}

TEST(the_oldest_idle_faaslet_makes_room)
{
    struct bench b;
    REQUIRE(bench_init(
        &b, &(struct schedule_config){.capacity = 1, .faaslets_max = 2, .functions_max = 3}));
    for (uint64_t function = 1; function <= 2; function++) {
        CHECK_INT(arrive(&b, function, 0, &nothing).what, ==, SCHEDULE_COLD);
        ended(&b, function, 10);
    }
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_RUN); /* 2 is the oldest now */
    ended(&b, 1, 10);
    CHECK_INT(arrive(&b, 3, 0, &nothing).what, ==, SCHEDULE_COLD);
    REQUIRE(count_of(&b, SCHEDULE_RETIRE) == 1);
    for (uint32_t i = 0; i < b.effects.count; i++) {
        if (b.items[i].kind == SCHEDULE_RETIRE) {
            CHECK_INT(b.items[i].function, ==, 2);
        }
    }
    /* The table: two more wait, then nothing is at rest but 1, then nothing at all. */
    CHECK_INT(arrive(&b, 4, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    CHECK_INT(arrive(&b, 5, 0, &nothing).what, ==, SCHEDULE_QUEUE);
    struct schedule_decision d = arrive(&b, 6, 0, &nothing);
    CHECK_INT(d.what, ==, SCHEDULE_REFUSE);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_FUNCTIONS_FULL);
    bench_fini(&b);
}

TEST(what_was_used_last_is_kept)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 2, .faaslets_max = 3}));
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_COLD);
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_COLD);
    ended(&b, 1, 10);
    CHECK_INT(arrive(&b, 2, 0, &nothing).what, ==, SCHEDULE_COLD);
    ended(&b, 2, 10);
    ended(&b, 1, 10); /* after 2 */
    CHECK_INT(arrive(&b, 3, 0, &nothing).what, ==, SCHEDULE_COLD);
    REQUIRE(count_of(&b, SCHEDULE_RETIRE) == 1);
    for (uint32_t i = 0; i < b.effects.count; i++) {
        CHECK(b.items[i].kind != SCHEDULE_RETIRE || b.items[i].function == 2);
    }
    bench_fini(&b);
}

TEST(only_unused_faaslets_are_retired)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 4, .idle_ms = 1000}));
    (void)arrive(&b, 1, 0, &nothing);
    (void)arrive(&b, 1, 0, &nothing);
    ended(&b, 1, 10);
    ended(&b, 1, 10);
    uint32_t retired = 0;
    for (int i = 0; i < 100; i++) { /* one call at a time, for ten windows */
        CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_RUN);
        ended(&b, 1, 10);
        tick(&b, 100);
        retired += count_of(&b, SCHEDULE_RETIRE);
    }
    CHECK_INT(retired, ==, 1);
    bench_fini(&b);
}

TEST(a_short_wait_is_no_reason_to_move)
{
    struct bench b;
    REQUIRE(bench_init(
        &b, &(struct schedule_config){.capacity = 4, .service_us_guess = 10000, .soon_ms = 4}));
    struct schedule_peer other = {.node = 3};
    struct schedule_view view = {.known = true, .warm = &other, .warm_count = 1};
    for (int i = 0; i < 4; i++) {
        CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_COLD);
    }
    /* Of one function with four Faaslets: 2.5 ms; but a mean of the node's is all it knows. */
    struct schedule_decision d = arrive(&b, 1, 0, &view);
    CHECK_INT(d.what, ==, SCHEDULE_QUEUE);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_SOON);
    CHECK_INT(arrive(&b, 1, 0, &view).what, ==, SCHEDULE_HAND_ON); /* 5 ms */
    CHECK_INT(arrive(&b, 2, 0, &view).what, ==, SCHEDULE_HAND_ON); /* not warm here */
    bench_fini(&b);
}

TEST(the_load_that_others_hear_of_is_a_mean)
{
    struct bench b;
    struct schedule_stats stats;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 2}));
    (void)arrive(&b, 1, 0, &nothing);
    (void)arrive(&b, 1, 0, &nothing);
    tick(&b, 50);
    schedule_stats(b.schedule, &stats);
    CHECK_INT(stats.running, ==, 2);
    CHECK_INT(stats.load, <, SCHEDULE_LOAD_FULL);
    CHECK_INT(stats.load, >, 0);
    for (int i = 0; i < 60; i++) {
        tick(&b, 50);
    }
    schedule_stats(b.schedule, &stats);
    CHECK_INT(stats.load, >=, SCHEDULE_LOAD_FULL - 2);
    (void)arrive(&b, 1, CALL_HOPS_MAX, &nothing);
    tick(&b, 2000);
    schedule_stats(b.schedule, &stats);
    CHECK_INT(stats.load, ==, 1500);
    bench_fini(&b);
}

TEST(lost_faaslets)
{
    struct bench b;
    REQUIRE(bench_init(&b, &(struct schedule_config){.capacity = 2, .in_flight_each = 3}));
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_COLD);
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_QUEUE); /* 2: soon */
    CHECK_INT(arrive(&b, 1, 0, &nothing).what, ==, SCHEDULE_QUEUE); /* 3 */
    struct schedule_decision d = arrive(&b, 1, 0, &nothing);        /* 4: more than three each */
    CHECK_INT(d.what, ==, SCHEDULE_QUEUE);
    CHECK_INT(d.why, ==, SCHEDULE_WHY_MORE);
    CHECK_INT(started(&b), ==, 2);
    b.effects.count = 0;
    schedule_ended(b.schedule, 1, 0, true, b.now, &b.effects);
    CHECK_INT(started(&b), ==, 0); /* three in flight for one Faaslet */
    b.effects.count = 0;
    schedule_ended(b.schedule, 1, 0, true, b.now, &b.effects);
    CHECK_INT(started(&b), ==, 3);
    ended(&b, 1, 10);
    CHECK_INT(started(&b), ==, 4);
    ended(&b, 1, 10);
    b.effects.count = 0;
    schedule_lost(b.schedule, 1, 100, b.now, &b.effects);
    schedule_lost(b.schedule, 77, 1, b.now, &b.effects);
    struct schedule_stats stats;
    schedule_stats(b.schedule, &stats);
    CHECK_INT(stats.faaslets, ==, 0);
    CHECK_INT(stats.functions, ==, 0);
    bench_fini(&b);
}

/* The model: a call is waiting or running here, or it is not; memberships are what the effects say.
 * It keeps its own counts and checks every answer against the header's words. */
#define MODEL_FUNCTIONS 12u
#define MODEL_CALLS 64u

enum model_state { MODEL_NOT_HERE, MODEL_WAITS, MODEL_RUNS };

struct model {
    struct bench b;
    struct schedule_config config;
    uint64_t random;
    struct {
        uint64_t id, function, order;
        uint64_t starts_seen; /* of other calls, since it could have started */
        uint64_t bound;
        enum model_state state;
    } calls[MODEL_CALLS];
    uint32_t faaslets[MODEL_FUNCTIONS], running[MODEL_FUNCTIONS], waiting[MODEL_FUNCTIONS];
    bool warm[MODEL_FUNCTIONS], available, draining;
    uint64_t orders;
    uint64_t decisions[6];
    bool failed;
};

static uint64_t draw(struct model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static void expect(struct model *m, bool ok, const char *what)
{
    if (!ok && !m->failed) {
        m->failed = true;
        wm_test_note("the model says: %s", what);
    }
}

static uint32_t total(const uint32_t counts[MODEL_FUNCTIONS])
{
    uint32_t sum = 0;
    for (uint32_t f = 0; f < MODEL_FUNCTIONS; f++) {
        sum += counts[f];
    }
    return sum;
}

static void place(struct model *m, uint64_t function, bool cold)
{
    if (cold) {
        expect(m, m->running[function] == m->faaslets[function], "cold though one was idle");
        m->faaslets[function]++;
    } else {
        expect(m, m->running[function] < m->faaslets[function], "warm though none was idle");
    }
    m->running[function]++;
}

static void apply(struct model *m)
{
    for (uint32_t i = 0; i < m->b.effects.count; i++) {
        const struct schedule_effect *e = &m->b.items[i];
        switch (e->kind) {
        case SCHEDULE_WARM_ADD:
            expect(m, !m->draining, "joins a warm set while draining");
            m->warm[e->function] = true;
            break;
        case SCHEDULE_WARM_REMOVE:
            expect(m, m->warm[e->function], "leaves a set it is not in");
            m->warm[e->function] = false;
            break;
        case SCHEDULE_AVAILABLE_ADD:
            expect(m, !m->draining, "is available while draining");
            m->available = true;
            break;
        case SCHEDULE_AVAILABLE_REMOVE: m->available = false; break;
        case SCHEDULE_RETIRE:
            expect(m,
                   e->count > 0 && m->faaslets[e->function] - m->running[e->function] >= e->count,
                   "retires Faaslets that are not idle");
            m->faaslets[e->function] -= e->count;
            break;
        case SCHEDULE_START: {
            uint32_t slot = MODEL_CALLS, oldest = MODEL_CALLS;
            for (uint32_t c = 0; c < MODEL_CALLS; c++) {
                if (m->calls[c].state != MODEL_WAITS) {
                    continue;
                }
                if (m->calls[c].id == e->call) {
                    slot = c;
                }
                if (m->calls[c].function == e->function &&
                    (oldest == MODEL_CALLS || m->calls[c].order < m->calls[oldest].order)) {
                    oldest = c;
                }
            }
            expect(m, slot < MODEL_CALLS && m->calls[slot].function == e->function,
                   "starts a call that does not wait");
            expect(m, slot == oldest, "starts a call before an older one of its function");
            if (slot == MODEL_CALLS) {
                break;
            }
            m->calls[slot].state = MODEL_RUNS;
            for (uint32_t c = 0; c < MODEL_CALLS; c++) {
                uint64_t of = m->calls[c].function;
                if (m->calls[c].state == MODEL_WAITS && m->running[of] < m->config.faaslets_each) {
                    m->calls[c].starts_seen++;
                    expect(m, m->calls[c].starts_seen <= m->calls[c].bound, "a call starves");
                }
            }
            m->waiting[e->function]--;
            place(m, e->function, e->cold);
            break;
        }
        default: expect(m, false, "an unknown effect"); break;
        }
    }
    m->b.effects.count = 0;
    expect(m, total(m->running) <= m->config.capacity, "more calls run than there are places");
    expect(m, total(m->faaslets) <= m->config.faaslets_max, "too many Faaslets");
    expect(m, total(m->waiting) <= m->config.queue_max, "too many calls wait");
    for (uint32_t f = 0; f < MODEL_FUNCTIONS; f++) {
        expect(m, m->faaslets[f] <= m->config.faaslets_each, "too many Faaslets of a function");
        expect(m, m->faaslets[f] > 0 || !m->warm[f], "in the warm set without a Faaslet");
        /* Work is never left while a place is free and the function may use it. */
        if (total(m->running) < m->config.capacity && m->waiting[f] > 0) {
            expect(m, m->running[f] == m->faaslets[f] && m->faaslets[f] == m->config.faaslets_each,
                   "a call waits beside a free place");
        }
    }
    struct schedule_stats stats;
    schedule_stats(m->b.schedule, &stats);
    expect(m,
           stats.running == total(m->running) && stats.queued == total(m->waiting) &&
               stats.faaslets == total(m->faaslets),
           "the counts differ");
}

static void model_arrive(struct model *m)
{
    uint32_t slot = 0;
    while (slot < MODEL_CALLS && m->calls[slot].state != MODEL_NOT_HERE) {
        slot++;
    }
    if (slot == MODEL_CALLS) {
        return;
    }
    struct schedule_peer warm[4], available[4], state;
    for (int i = 0; i < 4; i++) {
        uint64_t r = draw(m), q = draw(m);
        warm[i] = (struct schedule_peer){.node = (uint32_t)(r % 6),
                                         .load = (uint32_t)(r >> 8) % 1500,
                                         .age_ms = (uint32_t)(r >> 24) % 20000,
                                         .draining = r >> 60 == 0,
                                         .suspect = r >> 60 == 1};
        available[i] = (struct schedule_peer){.node = (uint32_t)(q % 6),
                                              .load = (uint32_t)(q >> 8) % 1500,
                                              .age_ms = (uint32_t)(q >> 24) % 20000,
                                              .draining = q >> 60 == 0,
                                              .suspect = q >> 60 == 1};
    }
    uint64_t r = draw(m);
    state = warm[r % 4];
    struct schedule_view view = {.known = r >> 8 & 3,
                                 .warm = warm,
                                 .warm_count = (uint32_t)(r >> 16) % 5,
                                 .available = available,
                                 .available_count = (uint32_t)(r >> 24) % 5,
                                 .state = (r >> 32) % 8 == 0 ? &state : NULL};
    if ((r >> 40) % 3 == 0) {
        view.warm_count = view.available_count = 0;
    }
    struct schedule_call call = {.id = m->b.next_id++,
                                 .function = draw(m) % 3 ? draw(m) % 3 : draw(m) % MODEL_FUNCTIONS,
                                 .hops = (uint32_t)(draw(m) % (CALL_HOPS_MAX + 2)),
                                 .from = (uint32_t)(draw(m) % 6)};
    uint64_t random = draw(m);
    uint32_t function = (uint32_t)call.function;
    uint32_t queued_before = m->waiting[function], queued_total = total(m->waiting);
    uint32_t wait_before = schedule_wait_ms(m->b.schedule, function);
    uint32_t in_use = 0;
    for (uint32_t f = 0; f < MODEL_FUNCTIONS; f++) {
        in_use += m->running[f] > 0 || m->waiting[f] > 0;
    }
    struct schedule_decision d =
        schedule_arrive(m->b.schedule, &call, &view, random, m->b.now, &m->b.effects);
    m->decisions[d.what]++;
    switch (d.what) {
    case SCHEDULE_LOOK: expect(m, !view.known && m->b.effects.count == 0, "looks again"); break;
    case SCHEDULE_RUN:
    case SCHEDULE_COLD:
        expect(m, !m->draining, "starts a new call while draining");
        m->calls[slot].id = call.id;
        m->calls[slot].function = call.function;
        m->calls[slot].state = MODEL_RUNS;
        /* Effects that make room for it come first. */
        for (uint32_t i = 0; i < m->b.effects.count; i++) {
            if (m->b.items[i].kind == SCHEDULE_RETIRE) {
                m->faaslets[m->b.items[i].function] -= m->b.items[i].count;
                m->b.items[i].kind = SCHEDULE_AVAILABLE_REMOVE;
            }
        }
        place(m, call.function, d.what == SCHEDULE_COLD);
        break;
    case SCHEDULE_QUEUE:
        expect(m, !m->draining, "keeps a new call while draining");
        m->calls[slot].id = call.id;
        m->calls[slot].function = call.function;
        m->calls[slot].state = MODEL_WAITS;
        m->calls[slot].order = m->orders++;
        m->calls[slot].starts_seen = 0;
        m->calls[slot].bound =
            (uint64_t)(queued_before + 1) * MODEL_FUNCTIONS * (m->config.burst_max + 1);
        m->waiting[function]++;
        break;
    case SCHEDULE_HAND_ON: {
        expect(m, call.hops < m->config.hops_max, "a hop too many");
        bool found = false;
        for (uint32_t i = 0; i < 9; i++) {
            const struct schedule_peer *p = i < 4 ? &warm[i] : i < 8 ? &available[i - 4] : &state;
            bool shown = i < 4   ? i < view.warm_count
                         : i < 8 ? i - 4 < view.available_count
                                 : view.state != NULL;
            found = found || (shown && p->node == d.node && !p->draining && !p->suspect &&
                              p->load < SCHEDULE_LOAD_FULL && p->age_ms <= m->config.view_ms_max);
        }
        expect(m, found, "handed to a node that must receive nothing");
        expect(m, d.node != m->config.node && d.node != call.from, "handed to itself, or back");
        expect(m, m->b.effects.count == 0, "handed on, with effects");
        break;
    }
    case SCHEDULE_REFUSE:
        expect(m,
               d.retry_after_ms >= SCHEDULE_RETRY_MS_MIN &&
                   d.retry_after_ms <= SCHEDULE_RETRY_MS_MAX,
               "retry-after out of its range");
        expect(m,
               m->draining || queued_total == m->config.queue_max ||
                   queued_before >= m->config.queued_max || wait_before > m->config.wait_ms_max ||
                   in_use >= m->config.functions_max,
               "refused without a reason");
        break;
    default: expect(m, false, "an unknown decision"); break;
    }
    apply(m);
}

static void model_step(struct model *m)
{
    uint64_t kind = draw(m) % 100;
    m->b.now += draw(m) % 8;
    m->b.effects.count = 0;
    uint32_t slot = (uint32_t)(draw(m) % MODEL_CALLS);
    uint64_t function = m->calls[slot].function;
    if (kind < 50) {
        model_arrive(m);
    } else if (kind < 88) {
        for (uint32_t i = 0; i < MODEL_CALLS && m->calls[slot].state != MODEL_RUNS; i++) {
            slot = (slot + 1) % MODEL_CALLS;
        }
        if (m->calls[slot].state != MODEL_RUNS) {
            return;
        }
        function = m->calls[slot].function;
        bool lost = draw(m) % 10 == 0;
        m->calls[slot].state = MODEL_NOT_HERE;
        m->running[function]--;
        m->faaslets[function] -= lost;
        schedule_ended(m->b.schedule, function, draw(m) % 40000, lost, m->b.now, &m->b.effects);
        apply(m);
    } else if (kind < 92) {
        bool waits = m->calls[slot].state == MODEL_WAITS;
        bool found =
            schedule_cancel(m->b.schedule, function, m->calls[slot].id, m->b.now, &m->b.effects);
        expect(m, found == waits, "cancel is wrong about who waits");
        if (found) {
            m->calls[slot].state = MODEL_NOT_HERE;
            m->waiting[function]--;
        }
        apply(m);
    } else if (kind < 94) {
        function = draw(m) % MODEL_FUNCTIONS;
        uint32_t count = (uint32_t)(draw(m) % 3);
        uint32_t idle = m->faaslets[function] - m->running[function];
        m->faaslets[function] -= count < idle ? count : idle;
        schedule_lost(m->b.schedule, function, count, m->b.now, &m->b.effects);
        apply(m);
    } else if (kind < 95) {
        m->draining = draw(m) % 4 == 0;
        schedule_drain(m->b.schedule, m->draining, m->b.now, &m->b.effects);
        apply(m);
    } else {
        m->b.now += draw(m) % 200;
        m->b.effects.room = SCHEDULE_EFFECTS_MIN + (uint32_t)(draw(m) % 8);
        for (bool more = true; more;) {
            more = schedule_tick(m->b.schedule, m->b.now, &m->b.effects);
            apply(m);
        }
        m->b.effects.room = SCHEDULE_EFFECTS_MIN;
    }
}

TEST(random_sequences_against_the_model)
{
    const char *seed_text = getenv("SCHEDULE_SEED");
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : 1;
    wm_test_note("SCHEDULE_SEED=%llu", (unsigned long long)seed);
    uint64_t seen[6] = {0};
    for (uint64_t round = 0; round < 300; round++) {
        static struct model m;
        memset(&m, 0, sizeof m);
        m.random = seed * 1000003 + round + 1;
        uint32_t capacity = 1 + (uint32_t)(draw(&m) % 6);
        m.config = (struct schedule_config){.node = 0,
                                            .capacity = capacity,
                                            .faaslets_max = capacity + (uint32_t)(draw(&m) % 8),
                                            .functions_max = 2 + (uint32_t)(draw(&m) % 14),
                                            .queue_max = 1 + (uint32_t)(draw(&m) % 32),
                                            .faaslets_each = 1 + (uint32_t)(draw(&m) % 6),
                                            .queued_max = 1 + (uint32_t)(draw(&m) % 16),
                                            .in_flight_each = 1,
                                            .hops_max = CALL_HOPS_MAX,
                                            .wait_ms_max = 20 + (uint32_t)(draw(&m) % 200),
                                            .idle_ms = 200,
                                            .ttl_ms = 300,
                                            .settle_ms = 1 + (uint32_t)(draw(&m) % 100),
                                            .view_ms_max = 10000,
                                            .burst_max = 1 + (uint32_t)(draw(&m) % 5)};
        REQUIRE(bench_init(&m.b, &m.config));
        m.b.effects.room = SCHEDULE_EFFECTS_MIN;
        for (int step = 0; step < 2000 && !m.failed; step++) {
            model_step(&m);
        }
        /* Nothing more comes: all that waits runs, and then nothing is left. */
        for (int step = 0; step < 1000 && !m.failed; step++) {
            for (uint32_t c = 0; c < MODEL_CALLS; c++) {
                if (m.calls[c].state == MODEL_RUNS) {
                    m.calls[c].state = MODEL_NOT_HERE;
                    m.running[m.calls[c].function]--;
                    schedule_ended(m.b.schedule, m.calls[c].function, 1000, false, m.b.now,
                                   &m.b.effects);
                    apply(&m);
                    break;
                }
            }
        }
        expect(&m, total(m.running) + total(m.waiting) == 0, "a call never ran");
        for (int i = 0; i < 4; i++) {
            m.b.now += 250;
            while (schedule_tick(m.b.schedule, m.b.now, &m.b.effects)) {
                apply(&m);
            }
            apply(&m);
        }
        expect(&m, total(m.faaslets) == 0, "a Faaslet is left");
        CHECK(!m.failed);
        for (int i = 0; i < 6; i++) {
            seen[i] += m.decisions[i];
        }
        bench_fini(&m.b);
        if (m.failed) {
            wm_test_note("in round %llu", (unsigned long long)round);
            return;
        }
    }
    for (int i = 0; i < 6; i++) {
        CHECK_INT(seen[i], >, 1000); /* or the sequences are not worth much */
    }
}

TEST_MAIN(TEST_CASE(configuration), TEST_CASE(first_call_looks_then_starts_cold),
          TEST_CASE(work_is_shared_with_the_warm), TEST_CASE(calls_go_to_their_state),
          TEST_CASE(back_pressure), TEST_CASE(queue_is_first_in_first_out_and_cancelled),
          TEST_CASE(a_flood_of_one_function_does_not_starve_another),
          TEST_CASE(memberships_follow_and_are_renewed), TEST_CASE(changes_settle),
          TEST_CASE(draining), TEST_CASE(the_oldest_idle_faaslet_makes_room),
          TEST_CASE(what_was_used_last_is_kept), TEST_CASE(only_unused_faaslets_are_retired),
          TEST_CASE(a_short_wait_is_no_reason_to_move),
          TEST_CASE(the_load_that_others_hear_of_is_a_mean), TEST_CASE(lost_faaslets),
          TEST_CASE(random_sequences_against_the_model))
