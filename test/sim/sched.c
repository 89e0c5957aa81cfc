/* sched_sim: the scheduler of src/faaslet/schedule.c on many nodes, in simulated time.
 *
 *     sched_sim [--seed N] [--nodes N] [--functions N] [--calls N] [--load PERCENT] [--cold-us N]
 *               [--deaths N] [--drains N] [--place schedule|random] [--check]
 *
 * Discrete events from one seed: calls arrive (Poisson, functions by Zipf's law) at nodes in turn;
 * each node runs the very code of a real one, with its own stale view. What the nodes share is a
 * global tier of soft-state sets; reading and changing it takes messages, as handing a call on
 * does. Nodes die and are started again, and drain. `--place random` sends each call to a random
 * living node instead, whose queue and Faaslets follow the same rules: what the scheduler is worth
 * is the difference.
 *
 * A node knows others' loads from heartbeats where there are at most 64 nodes; in larger clusters
 * only from the results of calls that it had handed on.
 *
 * The checker knows nothing of the scheduler: each call ends exactly once, as done, refused, or
 * lost by a death (idempotent ones are tried again); no call takes more hops than may be; nothing
 * is sent to a dead or drained node once that has had time to be known; no node runs more than it
 * can. A violation is printed and makes the exit status 1. With --check the program also judges the
 * figures and prints TAP. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "faaslet/call.h"
#include "faaslet/schedule.h"
#include "faaslet/schedule_known.h"

#define NONE UINT32_MAX
#define CAPACITY 8u
#define FAASLETS_MAX 32u
#define FUNCTIONS_HERE 64u

#define SETS_KNOWN 32u
#define NODES_KNOWN 64u
#define HEARTBEAT_NODES 64u
#define VIEW_US 250000u
#define TICK_US 100000u
#define BEAT_US 500000u
#define NOTICE_US 1500000u
#define DELAY_US 150u /* shortest; the mean is twice that */
#define AWAY_US 5000000u

#define TTL_MS 3000u

struct options {
    uint64_t seed, calls, deaths, drains;
    uint32_t nodes, functions, load, cold_us;
    bool random, check;
};

struct call { /* in flight */
    uint64_t serial, arrived_us;
    uint32_t generation, function, next_free;
    uint32_t path[CALL_HOPS_MAX + 2], length; /* path[0]: where it came in */
    uint8_t tries;
    bool active, cut;
};

struct node {
    struct schedule *schedule;
    bool alive, draining;
    uint32_t epoch, running;
    uint64_t drained_us, died_us, booted_us;
    uint32_t available_at; /* in the available set */

    struct {
        uint32_t function, at;
    } warm[FUNCTIONS_HERE * 2]; /* where it is in which warm set */
    uint32_t warm_count;
    struct schedule_known *known;
};

struct member {
    uint32_t node;
    uint64_t until_us;
};

struct set {
    struct member *items;
    uint32_t count, room;
};

struct function {
    double mean_us;
    bool idempotent;
    uint32_t state_node; /* NONE: has no large state */
    struct set warm;
};

enum event_kind {
    ARRIVE,
    DELIVER,
    LOOKED,
    BOUNCE,
    END,
    SET,
    TICK,
    BEAT,
    DEATH,
    JOIN,
    LOST,
    DRAIN,
    UNDRAIN
};

struct event {
    uint64_t at_us, order, id;
    uint32_t node, epoch, other;
    uint8_t kind, what;
};

#define BUCKETS 512u
struct sim {
    struct options o;
    uint64_t random, now_us, order;
    struct node *nodes;
    struct function *functions;
    double *cumulative;
    struct set available;
    struct event *heap;
    uint32_t heap_count, heap_room;
    struct call *calls;
    uint32_t calls_room, free_call, active;
    uint8_t *ledger; /* of each call: how it ended */
    uint64_t arrived, measure_from;
    double rate_us;   /* mean time between arrivals */
    double arrive_us; /* of the next one: rounded to whole ones, many would be a larger load */
    uint32_t next_node;
    /* figures, of the second half */
    uint64_t started, warm_starts, messages, set_messages, hand_ons, looks;
    uint64_t hops[CALL_HOPS_MAX + 2], waits[BUCKETS];
    uint64_t with_state, at_state;
    uint64_t ended[4]; /* all */
    uint64_t measured_ended[4];
    uint64_t retried, violations;
};

enum ending { NOT_ENDED, DONE, REFUSED, DIED };

static uint64_t draw(struct sim *sim)
{
    uint64_t z = (sim->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double uniform(struct sim *sim)
{
    return ((double)(draw(sim) >> 11) + 0.5) / 9007199254740992.0;
}

static double exponential(struct sim *sim, double mean)
{
    return -mean * log(uniform(sim));
}

static void violation(struct sim *sim, const char *format, ...) WM_PRINTF(2, 3);
static void violation(struct sim *sim, const char *format, ...)
{
    if (sim->violations++ < 10) {
        va_list arguments;
        va_start(arguments, format);
        printf("# violation at %llu us: ", (unsigned long long)sim->now_us);
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
}

static void *must(void *memory)
{
    if (!memory) {
        fprintf(stderr, "sched_sim: out of memory\n");
        exit(2);
    }
    return memory;
}

/* --- Events --- */

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct sim *sim, uint64_t at_us, struct event event)
{
    if (sim->heap_count == sim->heap_room) {
        sim->heap_room = sim->heap_room ? sim->heap_room * 2 : 1024;
        sim->heap = must(wm_realloc(sim->heap, sim->heap_room, sizeof *sim->heap));
    }
    event.at_us = at_us;
    event.order = sim->order++;
    uint32_t at = sim->heap_count++;
    while (at > 0 && before(&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
}

static struct event pop(struct sim *sim)
{
    struct event first = sim->heap[0], last = sim->heap[--sim->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= sim->heap_count) {
            break;
        }
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child])) {
            child++;
        }
        if (!before(&sim->heap[child], &last)) {
            break;
        }
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return first;
}

static uint64_t message(struct sim *sim)
{
    return sim->now_us + DELAY_US + (uint64_t)exponential(sim, DELAY_US);
}

static bool measuring(const struct sim *sim)
{
    return sim->arrived > sim->measure_from;
}

static void count_messages(struct sim *sim, uint64_t count)
{
    sim->messages += measuring(sim) ? count : 0;
}

/* --- Calls --- */

static uint64_t id_of(const struct sim *sim, uint32_t at)
{
    return (uint64_t)sim->calls[at].generation << 32 | at;
}

static struct call *call_of(struct sim *sim, uint64_t id)
{
    struct call *call = &sim->calls[(uint32_t)id];
    return call->active && call->generation == (uint32_t)(id >> 32) ? call : NULL;
}

static uint32_t new_call(struct sim *sim)
{
    if (sim->free_call == NONE) {
        uint32_t room = sim->calls_room ? sim->calls_room * 2 : 1024;
        sim->calls = must(wm_realloc(sim->calls, room, sizeof *sim->calls));
        memset(sim->calls + sim->calls_room, 0, (room - sim->calls_room) * sizeof *sim->calls);
        for (uint32_t i = sim->calls_room; i < room; i++) {
            sim->calls[i].next_free = i + 1 < room ? i + 1 : NONE;
        }
        sim->free_call = sim->calls_room;
        sim->calls_room = room;
    }
    uint32_t at = sim->free_call;
    struct call *call = &sim->calls[at];
    sim->free_call = call->next_free;
    *call = (struct call){.generation = call->generation + 1, .active = true};
    sim->active++;
    return at;
}

static void end_call(struct sim *sim, struct call *call, enum ending how)
{
    if (sim->ledger[call->serial] != NOT_ENDED) {
        violation(sim, "call %llu ended twice", (unsigned long long)call->serial);
    }
    sim->ledger[call->serial] = (uint8_t)how;
    sim->ended[how]++;
    if (call->serial >= sim->measure_from) {
        sim->measured_ended[how]++;
    }
    call->active = false;
    call->next_free = sim->free_call;
    sim->free_call = (uint32_t)(call - sim->calls);
    sim->active--;
}

static uint32_t bucket_of(uint64_t us)
{
    double at = us < 1 ? 0 : log2((double)us) * 16;
    return at < BUCKETS - 1 ? (uint32_t)at : BUCKETS - 1;
}

static uint64_t percentile(const uint64_t *counts, double part)
{
    uint64_t total = 0, seen = 0;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        total += counts[i];
    }
    for (uint32_t i = 0; i < BUCKETS; i++) {
        seen += counts[i];
        if ((double)seen >= part * (double)total) {
            return (uint64_t)exp2((i + 1) / 16.0);
        }
    }
    return 0;
}

/* --- The global tier: sets whose members expire --- */

static void set_remove_at(struct sim *sim, struct set *set, uint32_t function, uint32_t at)
{
    struct member last = set->items[--set->count];
    if (at == set->count) {
        return;
    }
    set->items[at] = last;
    struct node *moved = &sim->nodes[last.node];
    if (function == NONE) {
        moved->available_at = at;
        return;
    }
    for (uint32_t i = 0; i < moved->warm_count; i++) {
        if (moved->warm[i].function == function) {
            moved->warm[i].at = at;
        }
    }
}

static uint32_t set_put(struct set *set, uint32_t node, uint64_t until_us)
{
    if (set->count == set->room) {
        set->room = set->room ? set->room * 2 : 4;
        set->items = must(wm_realloc(set->items, set->room, sizeof *set->items));
    }
    set->items[set->count] = (struct member){node, until_us};
    return set->count++;
}

static void warm_remove(struct sim *sim, uint32_t number, uint32_t function)
{
    struct node *node = &sim->nodes[number];
    for (uint32_t i = 0; i < node->warm_count; i++) {
        if (node->warm[i].function == function) {
            uint32_t at = node->warm[i].at;
            node->warm[i] = node->warm[--node->warm_count];
            set_remove_at(sim, &sim->functions[function].warm, function, at);
            return;
        }
    }
}

static void available_remove(struct sim *sim, uint32_t number)
{
    uint32_t at = sim->nodes[number].available_at;
    if (at != NONE) {
        sim->nodes[number].available_at = NONE;
        set_remove_at(sim, &sim->available, NONE, at);
    }
}

static void set_changes(struct sim *sim, const struct event *event)
{
    struct node *node = &sim->nodes[event->node];
    uint64_t until_us = sim->now_us + TTL_MS * 1000;
    uint32_t function = event->other;
    switch ((enum schedule_effect_kind)event->what) {
    case SCHEDULE_WARM_ADD: {
        for (uint32_t i = 0; i < node->warm_count; i++) {
            if (node->warm[i].function == function) {
                sim->functions[function].warm.items[node->warm[i].at].until_us = until_us;
                return;
            }
        }
        if (node->warm_count < WM_COUNT_OF(node->warm)) {
            node->warm[node->warm_count].function = function;
            node->warm[node->warm_count++].at =
                set_put(&sim->functions[function].warm, event->node, until_us);
        }
        break;
    }
    case SCHEDULE_WARM_REMOVE: warm_remove(sim, event->node, function); break;
    case SCHEDULE_AVAILABLE_ADD:
        if (node->available_at != NONE) {
            sim->available.items[node->available_at].until_us = until_us;
        } else {
            node->available_at = set_put(&sim->available, event->node, until_us);
        }
        break;
    case SCHEDULE_AVAILABLE_REMOVE: available_remove(sim, event->node); break;
    case SCHEDULE_RETIRE:
    case SCHEDULE_START: break;
    }
}

/* A random sample; expired members found on the way leave. */
static struct schedule_sample set_sample(struct sim *sim, uint32_t function)
{
    struct set *set = function == NONE ? &sim->available : &sim->functions[function].warm;
    struct schedule_sample sample = {0};
    /* Of a large set only some are looked at; a node's tier would give it all of them. */
    uint32_t looked = set->count < 4 * SCHEDULE_SAMPLE_MAX ? set->count : 4 * SCHEDULE_SAMPLE_MAX;
    uint32_t from = set->count ? (uint32_t)(draw(sim) % set->count) : 0;
    for (uint32_t i = 0; i < looked && set->count > 0; i++) {
        uint32_t at = (from + i) % set->count;
        uint32_t number = set->items[at].node;
        if (set->items[at].until_us >= sim->now_us) {
            schedule_sample_add(&sample, number, draw(sim));
        } else if (function == NONE) {
            available_remove(sim, number);
        } else {
            warm_remove(sim, number, function);
        }
    }
    return sample;
}

/* --- Nodes --- */

static void apply(struct sim *sim, uint32_t number, const struct schedule_effects *effects);

/* A result comes back through `viewer`, with the load of the node that it is from. */
static void remember(struct sim *sim, uint32_t viewer, uint32_t other)
{
    struct schedule_stats stats;
    schedule_stats(sim->nodes[other].schedule, &stats);
    schedule_known_load(sim->nodes[viewer].known, other, stats.load, stats.draining,
                        sim->now_us / 1000);
}

static uint64_t service(struct sim *sim, uint32_t function)
{
    return 1 + (uint64_t)exponential(sim, sim->functions[function].mean_us);
}

static void start(struct sim *sim, uint32_t number, uint64_t id, uint32_t function, bool cold)
{
    struct node *node = &sim->nodes[number];
    if (++node->running > CAPACITY) {
        violation(sim, "node %u runs %u calls", number, node->running);
    }
    const struct call *call = call_of(sim, id);
    uint64_t begins_us = sim->now_us + (cold ? sim->o.cold_us : 0);
    if (call && call->serial >= sim->measure_from) {
        sim->started++;
        sim->warm_starts += !cold;
        sim->hops[call->length - 1]++;
        sim->waits[bucket_of(begins_us - call->arrived_us)]++;
        uint32_t state_node = sim->functions[function].state_node;
        if (state_node != NONE && sim->nodes[state_node].alive &&
            !sim->nodes[state_node].draining) {
            sim->with_state++;
            sim->at_state += state_node == number;
        }
    }
    /* The time is kept in `other`, so that the node learns what the call took. */
    uint64_t took_us = begins_us - sim->now_us + service(sim, function);
    push(sim, sim->now_us + took_us,
         (struct event){.kind = END,
                        .node = number,
                        .epoch = node->epoch,
                        .id = id,
                        .other = function,
                        .what = 0});
}

static void hand_on(struct sim *sim, struct call *call, uint32_t from, uint32_t to)
{
    schedule_known_handed_on(sim->nodes[from].known, to, CAPACITY, sim->now_us / 1000);
    if (call->length > CALL_HOPS_MAX) {
        violation(sim, "call %llu takes more than %u hops", (unsigned long long)call->serial,
                  CALL_HOPS_MAX);
        return;
    }
    call->path[call->length++] = to;
    sim->hand_ons += measuring(sim);
    count_messages(sim, 2); /* there, and the result back */
    push(sim, message(sim),
         (struct event){
             .kind = DELIVER, .node = to, .id = id_of(sim, (uint32_t)(call - sim->calls))});
}

static void consider(struct sim *sim, uint32_t number, uint64_t id)
{
    struct node *node = &sim->nodes[number];
    struct call *call = call_of(sim, id);
    struct schedule_effect items[SCHEDULE_EFFECTS_MIN];
    struct schedule_effects effects = {.items = items, .room = SCHEDULE_EFFECTS_MIN};
    struct schedule_view_room room;
    struct schedule_view view = {.known = true};
    if (!sim->o.random) {
        view = schedule_known_view(node->known, call->function,
                                   sim->functions[call->function].state_node, sim->now_us / 1000,
                                   &room);
    }
    struct schedule_call arriving = {.id = id,
                                     .function = call->function,
                                     .hops = sim->o.random ? CALL_HOPS_MAX : call->length - 1,
                                     .from = call->length > 1 ? call->path[call->length - 2]
                                                              : SCHEDULE_NOBODY};
    uint32_t function = call->function;
    struct schedule_decision decision =
        schedule_arrive(node->schedule, &arriving, &view, draw(sim), sim->now_us / 1000, &effects);
    switch (decision.what) {
    case SCHEDULE_LOOK:
        sim->looks += measuring(sim);
        count_messages(sim, 2);
        sim->order++;
        push(sim, message(sim) + DELAY_US,
             (struct event){.kind = LOOKED, .node = number, .epoch = node->epoch, .id = id});
        break;
    case SCHEDULE_RUN:
    case SCHEDULE_COLD: start(sim, number, id, function, decision.what == SCHEDULE_COLD); break;
    case SCHEDULE_QUEUE: break;
    case SCHEDULE_HAND_ON: hand_on(sim, call, number, decision.node); break;
    case SCHEDULE_REFUSE:
        if (decision.retry_after_ms == 0) {
            violation(sim, "refused without saying when to try again");
        }
        end_call(sim, call, REFUSED);
        break;
    }
    apply(sim, number, &effects);
}

static void apply(struct sim *sim, uint32_t number, const struct schedule_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct schedule_effect *effect = &effects->items[i];
        if (effect->kind == SCHEDULE_START) {
            start(sim, number, effect->call, (uint32_t)effect->function, effect->cold);
        } else if (effect->kind != SCHEDULE_RETIRE && !sim->o.random) {
            count_messages(sim, 2);
            sim->set_messages += measuring(sim) ? 2 : 0;
            push(sim, message(sim),
                 (struct event){.kind = SET,
                                .node = number,
                                .other = (uint32_t)effect->function,
                                .what = (uint8_t)effect->kind});
        }
    }
}

static void boot(struct sim *sim, uint32_t number)
{
    struct node *node = &sim->nodes[number];
    struct schedule_config config = {.node = number,
                                     .capacity = CAPACITY,
                                     .faaslets_max = FAASLETS_MAX,
                                     .functions_max = FUNCTIONS_HERE,
                                     .queue_max = 64,
                                     .wait_ms_max = 2000,
                                     .ttl_ms = TTL_MS};
    if (!node->schedule) {
        node->schedule = must(wm_alloc(schedule_bytes(&config)));
    }
    (void)schedule_init(node->schedule, &config, sim->now_us / 1000);
    node->alive = true;
    node->draining = false;
    node->running = 0;
    node->booted_us = sim->now_us;
    node->epoch++;
    struct schedule_known_config known = {
        .functions = SETS_KNOWN, .nodes = NODES_KNOWN, .look_ms = VIEW_US / 1000};
    if (!node->known) {
        node->known = must(wm_alloc(schedule_known_bytes(&known)));
    }
    (void)schedule_known_init(node->known, &known);
    push(sim, sim->now_us + draw(sim) % TICK_US,
         (struct event){.kind = TICK, .node = number, .epoch = node->epoch});
}

static uint32_t living(struct sim *sim)
{
    for (;;) {
        uint32_t number = (uint32_t)(draw(sim) % sim->o.nodes);
        if (sim->nodes[number].alive && !sim->nodes[number].draining) {
            return number;
        }
    }
}

static uint32_t pick_function(struct sim *sim)
{
    double x = uniform(sim);
    uint32_t low = 0, high = sim->o.functions - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sim->cumulative[middle] < x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void enter(struct sim *sim, uint32_t at)
{
    struct call *call = &sim->calls[at];
    do { /* in turn, as a balancer before the nodes does, which skips the dead and the draining */
        sim->next_node = (sim->next_node + 1) % sim->o.nodes;
    } while (!sim->nodes[sim->next_node].alive || sim->nodes[sim->next_node].draining);
    call->path[0] = sim->next_node;
    call->length = 1;
    uint32_t to = sim->o.random ? living(sim) : sim->next_node;
    if (to != sim->next_node) {
        hand_on(sim, call, sim->next_node, to);
    } else {
        consider(sim, to, id_of(sim, at));
    }
}

static void on_arrive(struct sim *sim)
{
    uint32_t at = new_call(sim);
    struct call *call = &sim->calls[at];
    call->serial = sim->arrived++;
    call->arrived_us = sim->now_us;
    call->function = pick_function(sim);
    if (sim->arrived < sim->o.calls) {
        sim->arrive_us += exponential(sim, sim->rate_us);
        push(sim, (uint64_t)sim->arrive_us, (struct event){.kind = ARRIVE});
    }
    enter(sim, at);
}

static void on_deliver(struct sim *sim, const struct event *event)
{
    struct call *call = call_of(sim, event->id);
    struct node *node = &sim->nodes[event->node];
    if (!call || call->cut) {
        return;
    }
    /* Heartbeats tell everybody; without them the sets do, but nothing says so of the state's node.
     */
    bool told = sim->o.nodes <= HEARTBEAT_NODES;
    bool for_state = sim->functions[call->function].state_node == event->node;
    uint64_t known_us = 2 * VIEW_US + 1000 * DELAY_US;
    uint32_t sender = call->path[call->length - 2];
    if (sim->now_us - sim->nodes[sender].booted_us < known_us) {
        told = false; /* it has just been started, and has heard nothing yet */
    }
    if (!node->alive) {
        uint64_t dead_us = sim->now_us - node->died_us;
        if (dead_us > (told ? NOTICE_US + BEAT_US : TTL_MS * 1000) + known_us &&
            (told || !for_state)) {
            violation(sim, "a call is sent to node %u, long dead", event->node);
        }
        push(sim, message(sim),
             (struct event){.kind = BOUNCE, .node = event->node, .id = event->id});
        return;
    }
    if (node->draining && sim->now_us - node->drained_us > known_us && (told || !for_state)) {
        violation(sim, "a call is sent to node %u, which drains since %llu us", event->node,
                  (unsigned long long)(sim->now_us - node->drained_us));
    }
    consider(sim, event->node, event->id);
}

static void on_bounce(struct sim *sim, const struct event *event)
{
    struct call *call = call_of(sim, event->id);
    if (!call || call->cut) {
        return;
    }
    call->length--;
    uint32_t sender = call->path[call->length - 1];
    if (!sim->nodes[sender].alive) {
        return; /* its death is on its way to the one before it */
    }
    schedule_known_suspect(sim->nodes[sender].known, event->node, sim->now_us / 1000);
    consider(sim, sender, event->id);
}

static void on_looked(struct sim *sim, const struct event *event)
{
    struct call *call = call_of(sim, event->id);
    struct node *node = &sim->nodes[event->node];
    if (!call || call->cut || !node->alive || node->epoch != event->epoch) {
        return;
    }
    struct schedule_sample warm = set_sample(sim, call->function);
    struct schedule_sample available = set_sample(sim, NONE);
    schedule_known_sets(node->known, call->function, &warm, &available, sim->now_us / 1000);
    consider(sim, event->node, event->id);
}

static void on_end(struct sim *sim, const struct event *event)
{
    struct node *node = &sim->nodes[event->node];
    struct schedule_effect items[SCHEDULE_EFFECTS_MIN];
    struct schedule_effects effects = {.items = items, .room = SCHEDULE_EFFECTS_MIN};
    if (!node->alive || node->epoch != event->epoch) {
        return;
    }
    node->running--;
    schedule_ended(node->schedule, event->other, (uint64_t)sim->functions[event->other].mean_us,
                   false, sim->now_us / 1000, &effects);
    apply(sim, event->node, &effects);
    struct call *call = call_of(sim, event->id);
    if (call && !call->cut) {
        for (uint32_t i = 1; i < call->length; i++) {
            remember(sim, call->path[i - 1], call->path[i]);
        }
        end_call(sim, call, DONE);
    }
}

static void on_tick(struct sim *sim, const struct event *event)
{
    struct node *node = &sim->nodes[event->node];
    struct schedule_effect items[32];
    struct schedule_effects effects = {.items = items, .room = 32};
    if (!node->alive || node->epoch != event->epoch) {
        return;
    }
    for (bool more = true; more;) {
        effects.count = 0;
        more = schedule_tick(node->schedule, sim->now_us / 1000, &effects);
        apply(sim, event->node, &effects);
    }
    if (sim->arrived < sim->o.calls || sim->active > 0) {
        push(sim, sim->now_us + TICK_US, *event);
    }
}

/* Everybody hears of everybody: one look, for all messages of the round. */
static void on_beat(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->o.nodes; i++) {
        for (uint32_t k = 0; k < sim->o.nodes; k++) {
            if (i == k || !sim->nodes[i].alive) {
                continue;
            }
            if (sim->nodes[k].alive) {
                remember(sim, i, k);
            } else if (sim->now_us - sim->nodes[k].died_us > NOTICE_US) {
                schedule_known_suspect(sim->nodes[i].known, k, sim->now_us / 1000);
            }
        }
    }
    if (sim->arrived < sim->o.calls || sim->active > 0) {
        push(sim, sim->now_us + BEAT_US, (struct event){.kind = BEAT});
    }
}

static void on_death(struct sim *sim)
{
    uint32_t number = living(sim);
    struct node *node = &sim->nodes[number];
    node->alive = false;
    node->died_us = sim->now_us;
    push(sim, sim->now_us + AWAY_US, (struct event){.kind = JOIN, .node = number});
    for (uint32_t i = 0; i < sim->calls_room; i++) {
        struct call *call = &sim->calls[i];
        if (!call->active || call->cut) {
            continue;
        }
        if (call->path[0] == number) { /* its client's connection breaks */
            end_call(sim, call, DIED);
            continue;
        }
        for (uint32_t k = 1; k < call->length; k++) {
            if (call->path[k] == number) {
                call->cut = true; /* no result comes back this way */
                push(sim, sim->now_us + NOTICE_US,
                     (struct event){.kind = LOST, .id = id_of(sim, i), .other = call->path[k - 1]});
                break;
            }
        }
    }
}

static void on_lost(struct sim *sim, const struct event *event)
{
    struct call *call = call_of(sim, event->id);
    if (!call) {
        return;
    }
    if (!sim->functions[call->function].idempotent || call->tries == 3) {
        end_call(sim, call, DIED);
        return;
    }
    sim->retried++;
    call->tries++;
    call->cut = false;
    call->generation++; /* what still runs of it belongs to nobody */
    if (!sim->nodes[call->path[0]].alive) {
        end_call(sim, call, DIED);
        return;
    }
    call->length = 1;
    consider(sim, call->path[0], id_of(sim, (uint32_t)(call - sim->calls)));
}

static void on_drain(struct sim *sim, const struct event *event)
{
    struct schedule_effect items[SCHEDULE_EFFECTS_MIN];
    struct schedule_effects effects = {.items = items, .room = SCHEDULE_EFFECTS_MIN};
    bool draining = event->kind == DRAIN;
    uint32_t number = draining ? living(sim) : event->node;
    struct node *node = &sim->nodes[number];
    if (!draining && (!node->alive || node->epoch != event->epoch)) {
        return;
    }
    node->draining = draining;
    node->drained_us = sim->now_us;
    schedule_drain(node->schedule, draining, sim->now_us / 1000, &effects);
    apply(sim, number, &effects);
    if (draining) {
        push(sim, sim->now_us + AWAY_US,
             (struct event){.kind = UNDRAIN, .node = number, .epoch = node->epoch});
    }
}

static void step(struct sim *sim, const struct event *event)
{
    switch ((enum event_kind)event->kind) {
    case ARRIVE: on_arrive(sim); break;
    case DELIVER: on_deliver(sim, event); break;
    case LOOKED: on_looked(sim, event); break;
    case BOUNCE: on_bounce(sim, event); break;
    case END: on_end(sim, event); break;
    case SET: set_changes(sim, event); break;
    case TICK: on_tick(sim, event); break;
    case BEAT: on_beat(sim); break;
    case DEATH: on_death(sim); break;
    case JOIN: boot(sim, event->node); break;
    case LOST: on_lost(sim, event); break;
    case DRAIN:
    case UNDRAIN: on_drain(sim, event); break;
    }
}

/* --- Runs --- */

struct figures {
    double warm, messages, refused, lost, hops, at_state, throughput;
    uint64_t p50_us, p99_us, violations;
};

static void make_functions(struct sim *sim)
{
    uint32_t count = sim->o.functions;
    sim->functions = must(wm_alloc_zero(count, sizeof *sim->functions));
    sim->cumulative = must(wm_alloc_zero(count, sizeof *sim->cumulative));
    double sum = 0, mean = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct function *function = &sim->functions[i];
        function->mean_us = 2000 * pow(50, uniform(sim)); /* 2 to 100 ms */
        function->idempotent = draw(sim) & 1;
        function->state_node = draw(sim) % 5 == 0 ? (uint32_t)(draw(sim) % sim->o.nodes) : NONE;
        sum += 1.0 / (i + 1);
        sim->cumulative[i] = sum;
        mean += function->mean_us / (i + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        sim->cumulative[i] /= sum;
        /* Large state is only where one node can serve its function: else it would be split. */
        if (sim->o.nodes * sim->functions[i].mean_us / (i + 1) > mean / 4) {
            sim->functions[i].state_node = NONE;
        }
    }
    sim->rate_us = mean / sum / (sim->o.load / 100.0) / ((double)sim->o.nodes * CAPACITY);
}

static void check_end(struct sim *sim)
{
    if (sim->active > 0) {
        violation(sim, "%u calls never ended", sim->active);
    }
    uint64_t counts[4] = {0};
    for (uint64_t i = 0; i < sim->o.calls; i++) {
        counts[sim->ledger[i]]++;
    }
    if (counts[NOT_ENDED] > 0) {
        violation(sim, "%llu calls have no end", (unsigned long long)counts[NOT_ENDED]);
    }
    for (int i = DONE; i <= DIED; i++) {
        if (counts[i] != sim->ended[i]) {
            violation(sim, "the ledger and the counts differ");
        }
    }
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static struct figures run(const struct options *options)
{
    static struct sim sim; /* large for a stack */
    memset(&sim, 0, sizeof sim);
    sim.o = *options;
    sim.random = options->seed;
    sim.free_call = NONE;
    sim.measure_from = options->calls / 2;
    sim.ledger = must(wm_alloc_zero(options->calls, 1));
    make_functions(&sim);
    sim.nodes = must(wm_alloc_zero(options->nodes, sizeof *sim.nodes));
    for (uint32_t i = 0; i < options->nodes; i++) {
        sim.nodes[i].available_at = NONE;
        boot(&sim, i);
    }
    double length_us = sim.rate_us * (double)options->calls;
    sim.arrive_us = 1;
    push(&sim, 1, (struct event){.kind = ARRIVE});
    if (options->nodes <= HEARTBEAT_NODES) {
        push(&sim, 0, (struct event){.kind = BEAT});
    }
    for (uint64_t i = 0; i < options->deaths; i++) {
        push(&sim, (uint64_t)(uniform(&sim) * length_us), (struct event){.kind = DEATH});
    }
    for (uint64_t i = 0; i < options->drains; i++) {
        push(&sim, (uint64_t)(uniform(&sim) * length_us), (struct event){.kind = DRAIN});
    }
    uint64_t half_us = 0, half_done = 0, last_us = 0, last_done = 0;
    while (sim.heap_count > 0) {
        struct event event = pop(&sim);
        sim.now_us = event.at_us;
        step(&sim, &event);
        if (half_us == 0 && measuring(&sim)) {
            half_us = sim.now_us;
            half_done = sim.ended[DONE];
        }
        if (event.kind == ARRIVE) {
            last_us = sim.now_us;
            last_done = sim.ended[DONE];
        }
    }
    check_end(&sim);
    double calls = (double)(options->calls - sim.measure_from);
    struct figures f = {
        .warm = ratio((double)sim.warm_starts, (double)sim.started),
        .messages = (double)sim.messages / calls,
        .refused = (double)sim.measured_ended[REFUSED] / calls,
        .lost = (double)sim.measured_ended[DIED] / calls,
        .at_state = ratio((double)sim.at_state, (double)sim.with_state),
        .throughput = ratio((double)(last_done - half_done), (double)(last_us - half_us)) *
                      sim.rate_us * (options->load / 100.0),
        .p50_us = percentile(sim.waits, 0.5),
        .p99_us = percentile(sim.waits, 0.99),
        .violations = sim.violations,
    };
    printf("# %-8s %5u nodes %6u functions %8llu calls, %u %% load, %.1f s, seed %llu\n",
           options->random ? "random" : "schedule", options->nodes, options->functions,
           (unsigned long long)options->calls, options->load, (double)sim.now_us / 1e6,
           (unsigned long long)options->seed);
    printf(
        "#          warm %.2f %%; messages per call %.2f (look %.2f, hand on %.2f, sets %.2f); at "
        "the state %.1f %%\n",
        100 * f.warm, f.messages, 2 * (double)sim.looks / calls, 2 * (double)sim.hand_ons / calls,
        (double)sim.set_messages / calls, 100 * f.at_state);
    printf("#          hops");
    for (uint32_t i = 0; i <= CALL_HOPS_MAX; i++) {
        f.hops += ratio((double)sim.hops[i] * i, (double)sim.started);
        printf(" %u: %.2f %%%s", i, 100 * ratio((double)sim.hops[i], (double)sim.started),
               i < CALL_HOPS_MAX ? "," : "");
    }
    printf("; wait p50 %.2f ms, p99 %.2f ms\n", (double)f.p50_us / 1e3, (double)f.p99_us / 1e3);
    printf(
        "#          refused %.3f %%, lost by a death %.4f %%, tried again %llu, violations %llu\n",
        100 * f.refused, 100 * f.lost, (unsigned long long)sim.retried,
        (unsigned long long)f.violations);
    fflush(stdout);
    for (uint32_t i = 0; i < options->nodes; i++) {
        wm_free(sim.nodes[i].known);
        wm_free(sim.nodes[i].schedule);
    }
    for (uint32_t i = 0; i < options->functions; i++) {
        wm_free(sim.functions[i].warm.items);
    }
    wm_free(sim.available.items);
    wm_free(sim.nodes);
    wm_free(sim.functions);
    wm_free(sim.cumulative);
    wm_free(sim.heap);
    wm_free(sim.calls);
    wm_free(sim.ledger);
    return f;
}

static int judge(int number, bool ok, const char *what)
{
    printf("%s %d - %s\n", ok ? "ok" : "not ok", number, what);
    return !ok;
}

/* What `make test` wants to hold; the bounds are far from what is measured. */
static int check(uint64_t seed)
{
    static const struct {
        uint32_t nodes;
        uint64_t calls;
    } sizes[] = {{10, 40000}, {100, 120000}, {1000, 150000}};
    int failed = 0, number = 0;
    printf("# seed %llu; sched_sim --check --seed N replays\n", (unsigned long long)seed);
    for (size_t i = 0; i < WM_COUNT_OF(sizes); i++) {
        struct options options = {.seed = seed,
                                  .calls = sizes[i].calls,
                                  .nodes = sizes[i].nodes,
                                  .functions = sizes[i].nodes * 5,
                                  .load = 60,
                                  .cold_us = 5000,
                                  .deaths = 1 + sizes[i].nodes / 50,
                                  .drains = 1 + sizes[i].nodes / 50};
        struct figures ours = run(&options);
        options.random = true;
        struct figures random = run(&options);
        char text[80];
        snprintf(text, sizeof text, "%u nodes: every call ends once, nothing is violated",
                 sizes[i].nodes);
        failed += judge(++number, ours.violations == 0 && random.violations == 0, text);
        snprintf(text, sizeof text, "%u nodes: more warm starts than by chance", sizes[i].nodes);
        failed += judge(++number, (1 - ours.warm) * 2 < 1 - random.warm, text);
        snprintf(text, sizeof text, "%u nodes: little is refused at 60 %% load", sizes[i].nodes);
        failed += judge(++number, ours.refused < 0.005, text);
        snprintf(text, sizeof text, "%u nodes: few messages, few hops", sizes[i].nodes);
        failed += judge(++number, ours.messages < 8 && ours.hops < 1.5, text);
        snprintf(text, sizeof text, "%u nodes: calls run where their state is", sizes[i].nodes);
        failed += judge(++number, ours.at_state > 0.6, text);
    }
    struct options over = {
        .seed = seed, .calls = 60000, .nodes = 20, .functions = 100, .load = 180, .cold_us = 5000};
    struct figures f = run(&over);
    failed += judge(++number, f.violations == 0 && f.refused > 0.2 && f.refused < 0.6,
                    "at 180 % load the excess is refused");
    failed += judge(++number, f.throughput > 0.85, "and the nodes go on working");
    printf("1..%d\n", number);
    return failed ? 1 : 0;
}

static bool number_option(const char *name, const char *wanted, const char *value, uint64_t *out)
{
    char *end;
    if (strcmp(name, wanted) != 0 || !value) {
        return false;
    }
    *out = strtoull(value, &end, 10);
    if (*end || end == value) {
        fprintf(stderr, "sched_sim: %s: \"%s\" is not a number\n", name, value);
        exit(2);
    }
    return true;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, nodes = 100, functions = 0, calls = 0, load = 60, cold_us = 5000;
    uint64_t deaths = UINT64_MAX, drains = UINT64_MAX;
    bool random = false, checking = false;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--check") == 0) {
            checking = true;
        } else if (strcmp(argv[i], "--place") == 0 && value) {
            random = strcmp(value, "random") == 0;
            i++;
        } else if (number_option(argv[i], "--seed", value, &seed) ||
                   number_option(argv[i], "--nodes", value, &nodes) ||
                   number_option(argv[i], "--functions", value, &functions) ||
                   number_option(argv[i], "--calls", value, &calls) ||
                   number_option(argv[i], "--load", value, &load) ||
                   number_option(argv[i], "--cold-us", value, &cold_us) ||
                   number_option(argv[i], "--deaths", value, &deaths) ||
                   number_option(argv[i], "--drains", value, &drains)) {
            i++;
        } else {
            fprintf(stderr, "sched_sim: %s: see test/sim/sched.c for the options\n", argv[i]);
            return 2;
        }
    }
    if (checking) {
        return check(seed);
    }
    if (nodes < 2 || nodes > 100000 || load < 1 || functions > 10000000) {
        fprintf(stderr, "sched_sim: 2 to 100000 nodes, a load of at least 1 %%\n");
        return 2;
    }
    struct options options = {.seed = seed,
                              .nodes = (uint32_t)nodes,
                              .functions = (uint32_t)(functions ? functions : nodes * 5),
                              .calls = calls ? calls : 20000 + nodes * 400,
                              .load = (uint32_t)load,
                              .cold_us = (uint32_t)cold_us,
                              .deaths = deaths != UINT64_MAX ? deaths : 1 + nodes / 100,
                              .drains = drains != UINT64_MAX ? drains : 1 + nodes / 100,
                              .random = random};
    printf("# seed %llu\n", (unsigned long long)seed);
    return run(&options).violations ? 1 : 0;
}
