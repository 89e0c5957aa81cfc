#include "sim/bft_plan.h"

const char *fault_text(enum fault_kind kind)
{
#define FAULT_TEXT(name, text) text,
    static const char *const texts[] = {FAULT_TABLE(FAULT_TEXT)};
#undef FAULT_TEXT
    return texts[kind];
}

const char *trick_text(enum trick_kind kind)
{
#define TRICK_TEXT(name, text) text,
    static const char *const texts[] = {TRICK_TABLE(TRICK_TEXT)};
#undef TRICK_TEXT
    return texts[kind];
}

void plan_calm(struct plan *plan, uint64_t seed, uint32_t replicas, uint32_t pipeline)
{
    *plan = (struct plan){
        .seed = seed,
        .replicas = replicas,
        .parameters = {.pipeline = pipeline, .checkpoint_interval = 16, .batch_max = 4},
        .timing = {.batch_ns = 5 * MS,
                   .request_ns = 200 * MS,
                   .view_ns = 300 * MS,
                   .fetch_ns = 50 * MS,
                   .status_ns = 150 * MS},
        .limits = {.requests = 256,
                   .request_bytes = 256 * 1024,
                   .requests_of_client = 64,
                   .early_bytes = 64 * 1024},
        .clients = 3,
        .requests_each = 6,
        .window = 3,
        .think_ns = 20 * MS,
        .delay_ns = MS,
        .spread_ns = MS,
        .sync_ns = 0,
        .ledger_sync_ns = 5 * MS,
        .fault_ns = 100 * MS,
        .away_ns = 400 * MS,
        .patience_ns = 60 * SECOND,
    };
}

/* One of the values. */
#define ONE_OF(draw, ...) \
    ((const uint64_t[]){__VA_ARGS__}[draw_below((draw), sizeof((uint64_t[]){__VA_ARGS__}) / 8)])

static void draw_liars(struct plan *plan, struct draw *draw, bool enough)
{
    uint32_t faulty = plan_faulty(plan);
    if (!enough) {
        plan->liars = (uint32_t)draw_between(draw, faulty + 1, plan->replicas);
        plan->twins = draw_chance(draw, 600);
        plan->apart = plan->twins && draw_chance(draw, 700);
    } else {
        plan->liars = draw_chance(draw, 650) ? (uint32_t)draw_between(draw, 1, faulty) : 0;
        plan->twins = plan->liars > 0 && draw_chance(draw, 250);
    }
    plan->trick_pm = (uint32_t)ONE_OF(draw, 30, 150, 500, 1000);
    if (plan->liars > 0 && !(plan->twins && draw_coin(draw))) {
        uint32_t count = (uint32_t)draw_between(draw, 1, 4);
        plan->tricks = draw_chance(draw, 150) ? (UINT64_C(1) << TRICK_COUNT) - 1 : 0;
        while (count-- > 0) {
            plan->tricks |= UINT64_C(1) << draw_below(draw, TRICK_COUNT);
        }
    }
}

static void draw_faults(struct plan *plan, struct draw *draw)
{
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        plan->weights[i] = draw_chance(draw, 350) ? (uint32_t)draw_between(draw, 1, 10) : 0;
    }
    /* Rare ones, for they end a run's variety: a replica that lost its disk seldom speaks again. */
    plan->weights[FAULT_WIPE] = plan->weights[FAULT_WIPE] > 5 ? 1 : 0;
    plan->weights[FAULT_RESTORE] = plan->weights[FAULT_RESTORE] > 5 ? 1 : 0;
    if (plan->weights[FAULT_PARTITION] || plan->weights[FAULT_ISOLATE] ||
        plan->weights[FAULT_ONE_WAY] || plan->weights[FAULT_LOSS] || plan->weights[FAULT_LAG]) {
        plan->weights[FAULT_HEAL] = 10;
    }
    plan->fault_ns = ONE_OF(draw, 10, 40, 100, 300) * MS;
    plan->chaos_ns = ONE_OF(draw, 0, 300, 800, 1500, 3000) * MS;
    plan->away_ns = ONE_OF(draw, 10, 200, 1000, 3000) * MS;
}

void plan_draw(struct plan *plan, uint64_t seed, bool enough)
{
    struct draw draw = {seed * UINT64_C(0x9e3779b97f4a7c15) + (enough ? 1 : 2)};
    uint32_t replicas = draw_chance(&draw, 750) ? 4 : 7;
    plan_calm(plan, seed, replicas, (uint32_t)ONE_OF(&draw, 1, 2, 4, 8));
    plan->parameters.batch_max = (uint32_t)ONE_OF(&draw, 1, 2, 4, 16);
    plan->clients = (uint32_t)draw_between(&draw, 1, 4);
    plan->requests_each = (uint32_t)draw_between(&draw, 2, 8);
    plan->window = (uint32_t)ONE_OF(&draw, 1, 2, 8);
    plan->think_ns = ONE_OF(&draw, 1, 30, 300) * MS;
    plan->subset_pm = (uint32_t)ONE_OF(&draw, 0, 0, 300);
    plan->naughty_pm = (uint32_t)ONE_OF(&draw, 0, 0, 200);
    plan->notes = draw_chance(&draw, 200) ? (uint32_t)draw_between(&draw, 1, 3) : 0;
    plan->reconfigurations = draw_chance(&draw, 300) ? (uint32_t)draw_between(&draw, 1, 3) : 0;
    plan->spares = plan->reconfigurations ? (uint32_t)draw_between(&draw, 1, 3) : 0;
    plan->timing.batch_ns = ONE_OF(&draw, 0, 2, 10) * MS;
    plan->timing.request_ns = ONE_OF(&draw, 60, 200, 500) * MS;
    plan->timing.view_ns = ONE_OF(&draw, 80, 300, 800) * MS;
    plan->timing.fetch_ns = ONE_OF(&draw, 10, 50, 150) * MS;
    plan->timing.status_ns = ONE_OF(&draw, 70, 150, 400) * MS;
    plan->delay_ns = ONE_OF(&draw, 50, 500, 3000, 10000) * (MS / 1000);
    plan->spread_ns = ONE_OF(&draw, 0, 500, 5000, 20000) * (MS / 1000);
    plan->loss_pm = (uint32_t)ONE_OF(&draw, 0, 0, 10, 100);
    plan->twice_pm = (uint32_t)ONE_OF(&draw, 0, 0, 20, 200);
    plan->sync_ns = ONE_OF(&draw, 0, 0, 1, 10) * MS;
    plan->ledger_sync_ns = ONE_OF(&draw, 0, 5, 100, 2000) * MS;
    plan->turn_ns = ONE_OF(&draw, 0, 0, 100, 2000) * (MS / 1000);
    plan->step_ns = ONE_OF(&draw, 0, 0, 100) * (MS / 1000);
    plan->skew_pm = (uint32_t)ONE_OF(&draw, 0, 0, 10, 300);
    draw_liars(plan, &draw, enough);
    if (plan->tricks >> TRICK_WRONG_INDEX & 1) { /* somebody has to ask too early */
        plan->naughty_pm = 400;
    }
    draw_faults(plan, &draw);
    if (!enough) {
        /* Nothing is promised then, but that nobody honest is blamed. */
        plan->patience_ns = 0;
        plan->chaos_ns = ONE_OF(&draw, 1000, 3000, 6000) * MS;
        plan->weights[FAULT_WIPE] = plan->weights[FAULT_RESTORE] = 0;
    }
}
