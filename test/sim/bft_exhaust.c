/* Depth first, each time from the beginning: a core cannot be copied, but a run can be repeated. */
#include "sim/bft_exhaust.h"

#include <stdio.h>

#include "base/assert.h"

#define CHOICES_MAX 256u

struct tree {
    struct world *world;
    struct counts *counts;
    struct plan plan;
    struct exhaust *all;
    uint64_t place; /* events before the first choice */
    bool stop_primary;
    uint32_t path[EXHAUST_DEPTH_MAX], width[EXHAUST_DEPTH_MAX]; /* what was chosen, of how many */
    uint64_t *seen; /* hashes of states, open addressing; 0: free */
    uint64_t seen_count, seen_room;
};

/* True: it is new. */
static bool note(struct tree *tree, uint64_t hash)
{
    if (2 * tree->seen_count >= tree->seen_room) {
        uint64_t *old = tree->seen, old_room = tree->seen_room;
        tree->seen_room = old_room ? 2 * old_room : 1024;
        tree->seen = sim_alloc(tree->seen_room, sizeof *tree->seen);
        tree->seen_count = 0;
        for (uint64_t i = 0; i < old_room; i++) {
            if (old[i]) {
                (void)note(tree, old[i]);
            }
        }
        free(old);
    }
    hash |= 1;
    uint64_t at = hash % tree->seen_room;
    while (tree->seen[at] && tree->seen[at] != hash) {
        at = (at + 1) % tree->seen_room;
    }
    bool fresh = tree->seen[at] == 0;
    tree->seen_count += fresh;
    tree->seen[at] = hash;
    return fresh;
}

/* What each machine has been through, and how many choices are left. */
static uint64_t state_hash(const struct world *world, uint32_t left)
{
    uint64_t hash = left;
    for (uint32_t i = 0; i < world->node_count; i++) {
        hash = (hash ^ world->nodes[i].history) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return hash;
}

/* Replays the path and goes on with the first choice of what is new below it, to the run's end. The
 * path is left as it was taken. */
static bool run_path(struct tree *tree, uint32_t *depth)
{
    struct world *world = tree->world;
    uint32_t given = *depth;
    world_init(world, &tree->plan, tree->counts);
    world->remembers = true;
    for (uint64_t i = 0; i < tree->place && world_step(world); i++) {
    }
    if (tree->stop_primary) {
        node_crash(&world->nodes[0]);
        world->nodes[0].state = NODE_DEAD;
    }
    *depth = 0;
    while (*depth < tree->all->depth && world->failure[0] == 0) {
        uint32_t choices[CHOICES_MAX];
        uint32_t count = world_choices(world, choices, CHOICES_MAX);
        if (count == 0) {
            break;
        }
        uint32_t at = *depth;
        if (at >= given) {
            tree->path[at] = 0;
        }
        WM_ASSERT(tree->path[at] < count);
        tree->width[at] = count;
        ++*depth;
        (void)world_take(world, choices[tree->path[at]]);
        if (at + 1 >= given && !note(tree, state_hash(world, tree->all->depth - *depth))) {
            tree->all->alike++;
            world_fini(world);
            return world->failure[0] == 0;
        }
    }
    (void)world_run(world);
    world_fini(world);
    return world->failure[0] == 0;
}

static bool all_from(struct tree *tree)
{
    uint32_t depth = 0;
    tree->all->places++;
    for (;;) {
        tree->all->runs++;
        if (!run_path(tree, &depth)) {
            printf("# after %llu events%s, choices:", (unsigned long long)tree->place,
                   tree->stop_primary ? " and the primary's end" : "");
            for (uint32_t i = 0; i < depth; i++) {
                printf(" %u", tree->path[i]);
            }
            printf("\n");
            return false;
        }
        /* The next path: the last choice that has another one after it. */
        while (depth > 0 && tree->path[depth - 1] + 1 >= tree->width[depth - 1]) {
            depth--;
        }
        if (depth == 0 || (tree->all->runs_max && tree->all->runs >= tree->all->runs_max)) {
            return true;
        }
        tree->path[depth - 1]++;
    }
}

bool exhaust(struct world *world, struct counts *counts, uint64_t seed, bool stop_primary,
             struct exhaust *all)
{
    struct tree tree = {.world = world, .counts = counts, .all = all, .stop_primary = stop_primary};
    WM_ASSERT(all->depth <= EXHAUST_DEPTH_MAX && all->stride > 0);
    plan_calm(&tree.plan, seed, 4, 1);
    tree.plan.clients = 1;
    tree.plan.requests_each = 2;
    tree.plan.parameters.batch_max = 1;
    tree.plan.spread_ns = 0;
    tree.plan.ledger_sync_ns = 0;
    tree.plan.timing.batch_ns = 0;
    tree.plan.timing.request_ns = 50 * MS;
    tree.plan.timing.view_ns = 50 * MS;
    /* How many events there are. */
    world_init(world, &tree.plan, counts);
    uint64_t events = 0;
    bool ok = true;
    while (!world->ended && world_step(world)) {
        events++;
    }
    world_fini(world);
    ok = world->failure[0] == 0;
    for (tree.place = 0; ok && tree.place < events; tree.place += all->stride) {
        if (tree.seen) {
            memset(tree.seen, 0, tree.seen_room * sizeof *tree.seen);
        }
        tree.seen_count = 0;
        ok = all_from(&tree);
        if (all->runs_max && all->runs >= all->runs_max) {
            break;
        }
    }
    free(tree.seen);
    return ok;
}
