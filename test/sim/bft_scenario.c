/* Scenarios: each begins with no trouble at all, and makes its own. */
#include "sim/bft_scenario.h"

#include <stdio.h>

#include "sim/bft_check.h"

/* A condition that must hold at this point of a scenario. */
#define MUST(condition)                                                           \
    do {                                                                          \
        if (world->failure[0] == 0 && !(condition)) {                             \
            world_fail(world, "%s, line %d: %s", __func__, __LINE__, #condition); \
        }                                                                         \
    } while (0)

static bool over(struct world *world)
{
    world_fini(world);
    return world->failure[0] == 0;
}

static bool calm_run(struct world *world, struct plan *plan, struct counts *counts)
{
    world_init(world, plan, counts);
    (void)world_run(world);
    return over(world);
}

/* Runs in small steps until the condition holds; false: not within so many milliseconds. */
#define UNTIL(ms, condition)                                                           \
    __extension__({                                                                    \
        uint64_t until_ns = world->now_ns + (ms)*MS;                                   \
        while (!(condition) && world->now_ns < until_ns && world_run_for(world, MS)) { \
        }                                                                              \
        (condition);                                                                   \
    })

static void submit(struct world *world, uint32_t count)
{
    while (count-- > 0) {
        uint64_t arguments[2] = {count % APP_CELLS, count};
        client_submit(world, 0, "add", wm_view_of(arguments, sizeof arguments));
    }
    world_push(world, 500 * MS, EVENT_CLIENT, 0, 0, NULL);
}

/* --- The normal case --- */

static bool normal_case(struct world *world, struct counts *counts, uint64_t seed)
{
    for (uint32_t replicas = 4; replicas <= 7; replicas += 3) {
        for (uint32_t pipeline = 1; pipeline <= 8; pipeline *= 2) {
            struct plan plan;
            struct counts here = {0};
            plan_calm(&plan, seed, replicas, pipeline);
            plan.patience_ns = 10 * SECOND;
            world_init(world, &plan, &here);
            (void)world_run(world);
            MUST(check_state(world->check)->next_index == 1 + 3 * 6);
            bool ok = over(world);
            for (uint32_t i = 0; i < sizeof here / sizeof(uint64_t); i++) {
                ((uint64_t *)counts)[i] += ((uint64_t *)&here)[i];
            }
            /* Every request got a receipt from shares, nobody left a view, nobody was blamed. */
            if (ok && (here.receipts != 18 || here.views != 0 || here.halted != 0 ||
                       here.blamed[BLAME_EQUIVOCATION] != 0)) {
                world_fail(world, "normal case, N %u, P %u: %llu receipts, %llu views", replicas,
                           pipeline, (unsigned long long)here.receipts,
                           (unsigned long long)here.views);
                ok = false;
            }
            if (!ok) {
                return false;
            }
        }
    }
    return true;
}

/* --- Machines that stop --- */

/* Replica `id` stops within its k-th effect or sync, for every k that there is. */
static bool stop_everywhere(struct world *world, struct counts *counts, uint64_t seed, uint32_t id,
                            bool sync, bool lie)
{
    for (uint64_t k = 1; k < 2000; k++) {
        struct plan plan;
        plan_calm(&plan, seed, 4, 2);
        plan.clients = 2;
        plan.requests_each = 3;
        plan.sync_ns = sync ? MS : MS / 2;
        plan.away_ns = 50 * MS;
        plan.timing.request_ns = 60 * MS;
        plan.timing.view_ns = 100 * MS;
        plan.timing.status_ns = 60 * MS;
        if (lie) {
            /* A primary that says now this, now that: to whom it forgot, or did not. */
            plan.liars = 1;
            plan.liar_ids = UINT64_C(1) << 1;
            plan.tricks = UINT64_C(1) << TRICK_EQUIVOCATE;
            plan.trick_pm = 700;
        }
        world_init(world, &plan, counts);
        struct node *node = world_node_of(world, id);
        *(sync ? &node->crash_at_sync : &node->crash_at_effect) = k;
        world->plan.chaos_ns = 1; /* the count goes on when the trouble is over */
        world->calm = true;
        (void)world_run(world);
        bool reached = (sync ? node->crash_at_sync : node->crash_at_effect) == 0;
        if (!over(world)) {
            printf("# %s %llu of replica %u\n", sync ? "sync" : "effect", (unsigned long long)k,
                   id);
            return false;
        }
        if (!reached) {
            return true;
        }
    }
    return true;
}

static bool stops_at_each_effect_of_a_primary(struct world *world, struct counts *counts,
                                              uint64_t seed)
{
    return stop_everywhere(world, counts, seed, 1, false, false);
}

static bool stops_at_each_effect_of_a_backup(struct world *world, struct counts *counts,
                                             uint64_t seed)
{
    return stop_everywhere(world, counts, seed, 2, false, false);
}

static bool stops_at_each_sync(struct world *world, struct counts *counts, uint64_t seed)
{
    return stop_everywhere(world, counts, seed, 1, true, false) &&
           stop_everywhere(world, counts, seed, 3, true, false);
}

static bool stops_at_each_effect_under_a_liar(struct world *world, struct counts *counts,
                                              uint64_t seed)
{
    return stop_everywhere(world, counts, seed, 3, false, true);
}

static bool whole_cluster_stops(struct world *world, struct counts *counts, uint64_t seed)
{
    for (uint32_t round = 0; round < 20; round++) {
        struct plan plan;
        plan_calm(&plan, seed + round, round % 2 ? 4 : 7, 1u << round % 4);
        plan.sync_ns = round % 3 * MS;
        plan.ledger_sync_ns = round % 4 * 30 * MS;
        plan.away_ns = 30 * MS;
        plan.weights[FAULT_CRASH_ALL] = 1;
        plan.fault_ns = 60 * MS;
        plan.chaos_ns = 400 * MS;
        if (!calm_run(world, &plan, counts)) {
            return false;
        }
    }
    return true;
}

/* --- One that was away for long --- */

static bool away_for_long(struct world *world, struct counts *counts, uint64_t seed, bool prune)
{
    struct plan plan;
    plan_calm(&plan, seed, 4, 4);
    plan.parameters.batch_max = 2;
    plan.clients = 1;
    plan.requests_each = 200;
    plan.window = 4;
    plan.think_ns = MS;
    world_init(world, &plan, counts);
    struct node *away = world_node_of(world, 4);
    MUST(UNTIL(2000, away->status.committed_seqno >= 3));
    node_crash(away);
    world->calm = true; /* nobody is started by himself */
    uint64_t before = check_end(world->check);
    MUST(UNTIL(20000, clients_done(world) && check_end(world->check) > before + 80));
    for (uint32_t i = 0; prune && i < world->node_count; i++) {
        if (world->nodes[i].core) {
            node_prune(&world->nodes[i]);
        }
    }
    node_boot(away);
    MUST(UNTIL(10000, away->status.committed_seqno == check_end(world->check)));
    MUST(!prune || counts->checkpoints_installed > 0);
    submit(world, 3);
    MUST(world_run_calm(world, 10 * SECOND));
    return over(world);
}

static bool away_for_long_with_entries(struct world *world, struct counts *counts, uint64_t seed)
{
    return away_for_long(world, counts, seed, false);
}

static bool away_for_long_with_a_checkpoint(struct world *world, struct counts *counts,
                                            uint64_t seed)
{
    return away_for_long(world, counts, seed, true);
}

/* --- Disks that are not what they were --- */

static void wait_for_requests(struct world *world)
{
    MUST(UNTIL(5000, clients_done(world)));
    (void)world_run_for(world, 500 * MS);
}

static bool lost_disk_is_noticed(struct world *world, struct counts *counts, uint64_t seed)
{
    struct plan plan;
    plan_calm(&plan, seed, 4, 2);
    world_init(world, &plan, counts);
    struct node *node = world_node_of(world, 2);
    wait_for_requests(world);
    node_crash(node);
    disk_fini(&node->disk);
    disk_init(&node->disk, &world->genesis_head, &world->genesis_state);
    node->is_excused = true;
    node_boot(node);
    MUST(UNTIL(5000, node->state == NODE_HALTED));
    MUST(counts->excused_contradictions == 0);
    submit(world, 3); /* the others go on */
    MUST(world_run_calm(world, 10 * SECOND));
    MUST(counts->excused_contradictions == 0);
    return over(world);
}

static bool old_disk_is_noticed(struct world *world, struct counts *counts, uint64_t seed)
{
    struct plan plan;
    plan_calm(&plan, seed, 4, 2);
    world_init(world, &plan, counts);
    struct node *node = world_node_of(world, 3);
    wait_for_requests(world);
    disk_copy(&node->disk, &node->backup);
    /* Nothing was said since: it is as good as the newest. */
    node_crash(node);
    disk_fini(&node->disk);
    disk_copy(&node->backup, &node->disk);
    node_boot(node);
    MUST(UNTIL(5000, node->state == NODE_UP && node->status.mode == BFT_NORMAL));
    submit(world, 6);
    wait_for_requests(world);
    node_crash(node);
    disk_fini(&node->disk);
    node->disk = node->backup;
    node->is_excused = true;
    node_boot(node);
    MUST(UNTIL(5000, node->state == NODE_HALTED));
    MUST(counts->excused_contradictions == 0);
    submit(world, 3);
    MUST(world_run_calm(world, 10 * SECOND));
    return over(world);
}

/* A replica that joined, spoke, and lost its disk begins as one that nobody knows yet. */
static bool lost_disk_of_one_who_joined(struct world *world, struct counts *counts, uint64_t seed)
{
    static const uint8_t replicas[] = {1, 1, 2, 3, 5};
    struct plan plan;
    plan_calm(&plan, seed, 4, 1);
    plan.spares = 1;
    world_init(world, &plan, counts);
    struct node *node = world_node_of(world, 5);
    wait_for_requests(world);
    client_submit(world, 0, "replicas", wm_view_of(replicas, sizeof replicas));
    MUST(UNTIL(10000, node->status.mode == BFT_NORMAL));
    submit(world, 6);
    wait_for_requests(world);
    node_crash(node);
    disk_fini(&node->disk);
    disk_init(&node->disk, &world->genesis_head, &world->genesis_state);
    node->is_excused = true;
    node_boot(node);
    MUST(UNTIL(10000, node->state == NODE_HALTED));
    MUST(counts->excused_contradictions == 0);
    return over(world);
}

/* --- Views --- */

/* A script that decides on each message; see each scenario. */
struct script {
    struct world *world;
    int phase;
};

static bool is_node(uint32_t a, uint32_t b, uint32_t node)
{
    return a == node || b == node;
}

/* The schedule that chain continuation must get right: a certificate of a higher view and a lower
 * seqno beats one of a lower view and a higher seqno.
 *
 *   0  view 0: batch 1 commits everywhere; batches 2 and 3 are signed by all, but only node 0 hears
 *      the prepares: its top is (0, 3), the others' (0, 1)
 *   1  node 0 is cut off; view 1 continues batch 1; its batch 2 is prepared by nodes 1 to 3, and
 *      only node 2 hears the nonces: it commits (1, 2)
 *   2  node 2 is cut off, node 0 is back, view 1 is over: whoever begins the next view hears of
 *      (0, 3) and (1, 2), and must continue (1, 2)
 *   3  all hear all */
static bool higher_view_filter(void *self, const struct packet *packet, uint32_t to)
{
    const struct script *script = self;
    const struct glance *glance = &packet->glance;
    bool batch = glance->kind == PEER_PREPREPARE || glance->kind == PEER_PREPARE ||
                 glance->kind == PEER_COMMIT;
    switch (script->phase) {
    case 0:
        if (glance->kind == PEER_VIEW_CHANGE || (batch && glance->seqno > 3)) {
            return false;
        }
        return !(glance->kind == PEER_PREPARE && glance->seqno > 1 && to != 0) &&
               !(glance->kind == PEER_COMMIT && glance->seqno > 1);
    case 1:
        if (is_node(packet->from, to, 0) || (batch && glance->view == 0) ||
            (batch && glance->seqno > 2) ||
            (glance->kind == PEER_VIEW_CHANGE && glance->view > 1)) {
            return false;
        }
        return !(glance->kind == PEER_COMMIT && to != 2) && glance->kind != PEER_ENTRIES;
    case 2:
        return !is_node(packet->from, to, 2) && !(batch && glance->view < 2) &&
               !(glance->kind == PEER_NEW_VIEW && glance->view < 2);
    default: return true;
    }
}

static bool higher_view_lower_seqno(struct world *world, struct counts *counts, uint64_t seed)
{
    struct plan plan;
    struct script script = {world, 0};
    plan_calm(&plan, seed, 4, 4);
    plan.clients = 1;
    plan.requests_each = 0;
    plan.parameters.batch_max = 1;
    plan.timing.request_ns = 300 * MS;
    world_init(world, &plan, counts);
    world->let_pass = higher_view_filter;
    world->let_pass_self = &script;
    struct node *nodes = world->nodes;
    MUST(UNTIL(1000, nodes[0].status.mode == BFT_NORMAL && nodes[1].status.mode == BFT_NORMAL &&
                         nodes[2].status.mode == BFT_NORMAL && nodes[3].status.mode == BFT_NORMAL));
    submit(world, 3);
    MUST(UNTIL(280, nodes[0].status.prepared_seqno == 3 && nodes[1].status.head_seqno == 3 &&
                        nodes[2].status.head_seqno == 3 && nodes[3].status.head_seqno == 3));
    MUST(nodes[1].status.prepared_seqno == 1 && nodes[2].status.prepared_seqno == 1 &&
         nodes[3].status.prepared_seqno == 1);
    script.phase = 1;
    MUST(UNTIL(5000, nodes[2].status.committed_seqno == 2));
    MUST(nodes[2].status.view == 1 && nodes[1].status.committed_seqno == 1 &&
         nodes[3].status.committed_seqno == 1);
    script.phase = 2;
    MUST(UNTIL(20000, nodes[0].status.mode == BFT_NORMAL && nodes[0].status.view > 1));
    MUST(nodes[0].status.prepared_seqno == 3 && nodes[2].status.committed_seqno == 2);
    script.phase = 3;
    MUST(world_run_calm(world, 20 * SECOND));
    return over(world);
}

/* Two certificates of one (view, seqno): two liars of four replicas, each twice; node by node the
 * honest ones hear another pair. Either may be continued, and the pair convicts the liars. */
static bool no_nonces(void *self, const struct packet *packet, uint32_t to)
{
    (void)self;
    (void)to;
    return packet->glance.view > 0 || packet->glance.kind != PEER_COMMIT;
}

static bool rival_certificates(struct world *world, struct counts *counts, uint64_t seed)
{
    struct node *three = NULL, *four = NULL;
    struct plan plan;
    plan_calm(&plan, seed, 4, 2);
    plan.liars = 2;
    plan.liar_ids = UINT64_C(1) << 1 | UINT64_C(1) << 2;
    plan.twins = plan.apart = true;
    plan.chaos_ns = 2 * SECOND;
    do { /* whom they hear is drawn */
        if (three) {
            world_fini(world);
        }
        plan.seed++;
        world_init(world, &plan, counts);
        three = world_node_of(world, 3);
        four = world_node_of(world, 4);
    } while (three->side == four->side);
    world->let_pass = no_nonces;
    MUST(UNTIL(1500, three->status.prepared_seqno > 0 &&
                         three->status.prepared_seqno == four->status.prepared_seqno));
    MUST(three->status.committed_seqno == 0 && four->status.committed_seqno == 0);
    world_calm(world);
    (void)world_run_for(world, 5 * SECOND);
    MUST(three->status.view > 0 && four->status.view > 0);
    return over(world);
}

/* --- Configurations --- */

static bool primary_is_replaced(struct world *world, struct counts *counts, uint64_t seed)
{
    for (uint32_t pipeline = 1; pipeline <= 8; pipeline *= 2) {
        static const uint8_t replicas[] = {1, 2, 3, 4, 5};
        struct plan plan;
        plan_calm(&plan, seed, 4, pipeline);
        plan.spares = 1;
        world_init(world, &plan, counts);
        wait_for_requests(world);
        client_submit(world, 0, "replicas", wm_view_of(replicas, sizeof replicas));
        MUST(UNTIL(10000, world_node_of(world, 5)->status.mode == BFT_NORMAL));
        MUST(UNTIL(10000, world_node_of(world, 1)->status.mode == BFT_LEARNER));
        submit(world, 6);
        MUST(world_run_calm(world, 10 * SECOND));
        MUST(check_state(world->check)->configurations == 2);
        if (!over(world)) {
            return false;
        }
    }
    return true;
}

/* The primary of the moment stops when the change has come so far. */
static bool view_change_in_reconfiguration(struct world *world, struct counts *counts,
                                           uint64_t seed)
{
    for (uint32_t pipeline = 1; pipeline <= 4; pipeline *= 2) {
        for (uint32_t at = 0; at <= 3 * pipeline; at++) {
            static const uint8_t replicas[] = {1, 1, 2, 3, 4, 5};
            struct plan plan;
            plan_calm(&plan, seed + at, 4, pipeline);
            plan.spares = 1;
            world_init(world, &plan, counts);
            wait_for_requests(world);
            uint64_t vote = 1 + world_node_of(world, 2)->status.head_seqno;
            client_submit(world, 0, "replicas", wm_view_of(replicas, sizeof replicas));
            MUST(UNTIL(10000, world_node_of(world, 2)->status.head_seqno >= vote + at));
            struct node *primary = world_node_of(world, world_node_of(world, 2)->status.primary);
            node_crash(primary);
            world->calm = true;
            submit(world, 3);
            MUST(UNTIL(20000, clients_done(world)));
            node_boot(primary);
            MUST(world_run_calm(world, 20 * SECOND));
            if (!over(world)) {
                printf("# P %u, stopped at batch %u of the change\n", pipeline, at);
                return false;
            }
        }
    }
    return true;
}

/* --- Liars --- */

/* Each trick alone, by the first primary, until it was played. */
static bool each_trick(struct world *world, struct counts *counts, uint64_t seed)
{
    for (uint32_t trick = 0; trick < TRICK_COUNT; trick++) {
        uint64_t played = 0;
        for (uint32_t round = 0; round < 40 && (played == 0 || round < 4); round++) {
            struct plan plan;
            uint64_t before = counts->tricks[trick];
            plan_draw(&plan, seed + round, true);
            /* Somebody has to be behind, or to leave a view, for some of them. */
            plan.liars = 1;
            plan.liar_ids = UINT64_C(1) << (1 + round % plan.replicas);
            plan.twins = false;
            plan.tricks = UINT64_C(1) << trick;
            plan.trick_pm = 500;
            plan.naughty_pm = 300;
            plan.spares = plan.reconfigurations = 0;
            plan.weights[FAULT_WIPE] = plan.weights[FAULT_RESTORE] = 0;
            if (!calm_run(world, &plan, counts)) {
                printf("# trick \"%s\", seed %llu\n", trick_text((enum trick_kind)trick),
                       (unsigned long long)plan.seed);
                return false;
            }
            played += counts->tricks[trick] - before;
        }
        if (played == 0) {
            world_fail(world, "the trick \"%s\" was never played",
                       trick_text((enum trick_kind)trick));
            return false;
        }
    }
    return true;
}

static bool equivocation_is_blamed(struct world *world, struct counts *counts, uint64_t seed)
{
    struct plan plan;
    uint64_t before = counts->blamed[BLAME_EQUIVOCATION];
    for (uint32_t round = 0; round < 10; round++) {
        plan_calm(&plan, seed + round, 4, 1);
        plan.liars = 1;
        plan.liar_ids = UINT64_C(1) << 1;
        plan.tricks = UINT64_C(1) << TRICK_EQUIVOCATE;
        plan.trick_pm = 1000;
        if (!calm_run(world, &plan, counts)) {
            return false;
        }
    }
    if (counts->blamed[BLAME_EQUIVOCATION] == before) {
        world_fail(world, "nobody blamed a primary that sent two batches");
        return false;
    }
    return true;
}

const struct scenario scenarios[] = {
    {"normal-case", normal_case},
    {"stops-at-each-effect-of-a-primary", stops_at_each_effect_of_a_primary},
    {"stops-at-each-effect-of-a-backup", stops_at_each_effect_of_a_backup},
    {"stops-at-each-effect-under-a-liar", stops_at_each_effect_under_a_liar},
    {"stops-at-each-sync", stops_at_each_sync},
    {"whole-cluster-stops", whole_cluster_stops},
    {"away-for-long-with-entries", away_for_long_with_entries},
    {"away-for-long-with-a-checkpoint", away_for_long_with_a_checkpoint},
    {"lost-disk-is-noticed", lost_disk_is_noticed},
    {"old-disk-is-noticed", old_disk_is_noticed},
    {"lost-disk-of-one-who-joined", lost_disk_of_one_who_joined},
    {"higher-view-lower-seqno", higher_view_lower_seqno},
    {"rival-certificates", rival_certificates},
    {"primary-is-replaced", primary_is_replaced},
    {"view-change-in-reconfiguration", view_change_in_reconfiguration},
    {"each-trick", each_trick},
    {"equivocation-is-blamed", equivocation_is_blamed},
};
const uint32_t scenario_count = WM_COUNT_OF(scenarios);
