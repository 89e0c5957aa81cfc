/* The scheduler of one node. Functions lie in a table, found by hash; three lists run through it:
 *
 *     ready   functions whose first waiting call may start as soon as a place is free, in turn
 *     idle    functions with an idle Faaslet, the one unused for longest first
 *     free    entries not in use
 *
 * Waiting calls are entries of one pool, chained for each function. Between events this holds:
 * while a place is free, nobody is ready (dispatch saw to it). */
#include "faaslet/schedule.h"

#include <string.h>

#include "base/assert.h"
#include "faaslet/call.h"

#define NONE UINT32_MAX
#define LOAD_MS 500u
#define COUNT_MAX (UINT32_C(1) << 24)

struct waiting {
    uint64_t call;
    uint32_t next;
};

struct link {
    uint32_t prev, next;
    bool in;
};

struct list {
    uint32_t first, last;
};

struct membership {
    bool said;          /* we are in the set, as far as we know */
    uint64_t said_ms;   /* last added */
    uint64_t change_ms; /* last added or removed, not counting renewals */
};

struct function {
    uint64_t id;
    bool used;
    bool no;        /* the opinion; kept, for it falls later than it rises */
    uint32_t chain; /* hash; or the next free entry */
    uint32_t faaslets, running, queued;
    uint32_t head, tail; /* of the queue */
    uint32_t idle_low;   /* fewest idle Faaslets since window_ms */
    uint64_t window_ms;
    uint64_t service_us; /* mean; 0: none ended yet */
    struct membership warm;
    struct link ready, idle;
};

struct schedule {
    struct schedule_config config;
    struct function *functions;
    uint32_t *buckets;
    struct waiting *pool;
    uint32_t bucket_mask;
    uint32_t free_function, free_waiting;
    struct list ready, idle;
    uint32_t running, queued, faaslets, used;
    uint32_t burst; /* starts before their turn, in a row */
    uint32_t tick_at;
    uint64_t service_us;
    uint64_t load, load_ms; /* mean of the last second or so, times 256; when it was taken */
    struct membership available;
    bool full; /* not available; falls later than it rises */
    bool draining;
    uint64_t by_why[SCHEDULE_WHYS];
};

const char *schedule_why_text(enum schedule_why why)
{
#define SCHEDULE_WHY_TEXT(name, text) [SCHEDULE_WHY_##name] = text,
    static const char *const texts[SCHEDULE_WHYS] = {SCHEDULE_WHY_TABLE(SCHEDULE_WHY_TEXT)};
#undef SCHEDULE_WHY_TEXT
    return (unsigned)why < SCHEDULE_WHYS ? texts[why] : "unknown";
}

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static struct schedule_config complete(const struct schedule_config *given)
{
    struct schedule_config c = *given;
    c.capacity = or_default(c.capacity, 64);
    c.faaslets_max =
        or_default(c.faaslets_max, c.capacity <= COUNT_MAX / 16 ? 16 * c.capacity : c.capacity);
    c.functions_max = or_default(c.functions_max, 1024);
    c.queue_max = or_default(c.queue_max, 1024);
    c.faaslets_each = or_default(c.faaslets_each, c.capacity);
    c.queued_max = or_default(c.queued_max, c.queue_max);
    c.in_flight_each = or_default(c.in_flight_each, 1);
    c.hops_max = or_default(c.hops_max, CALL_HOPS_MAX);
    c.hops_max = c.hops_max < CALL_HOPS_MAX ? c.hops_max : CALL_HOPS_MAX;
    c.wait_ms_max = or_default(c.wait_ms_max, 10000);
    c.soon_ms = or_default(c.soon_ms, 5);
    c.idle_ms = or_default(c.idle_ms, 30000);
    c.ttl_ms = or_default(c.ttl_ms, 10000);
    c.settle_ms = or_default(c.settle_ms, 100);
    c.view_ms_max = or_default(c.view_ms_max, 15000);
    c.burst_max = or_default(c.burst_max, 8);
    c.service_us_guess = or_default(c.service_us_guess, 10000);
    return c;
}

static uint32_t bucket_count(uint32_t functions)
{
    uint32_t count = 2;
    while (count < functions) {
        count *= 2;
    }
    return count;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 15) & ~(size_t)15;
}

size_t schedule_bytes(const struct schedule_config *config)
{
    struct schedule_config c = complete(config);
    if (c.capacity > COUNT_MAX || c.faaslets_max > COUNT_MAX || c.functions_max > COUNT_MAX ||
        c.queue_max > COUNT_MAX || c.faaslets_max < c.capacity || c.functions_max < 2) {
        return 0;
    }
    return aligned(sizeof(struct schedule)) +
           aligned((size_t)c.functions_max * sizeof(struct function)) +
           aligned((size_t)bucket_count(c.functions_max) * sizeof(uint32_t)) +
           aligned((size_t)c.queue_max * sizeof(struct waiting));
}

struct schedule *schedule_init(void *memory, const struct schedule_config *config, uint64_t now_ms)
{
    size_t bytes = schedule_bytes(config);
    WM_ASSERT(bytes > 0);
    memset(memory, 0, bytes);
    struct schedule *s = memory;
    s->config = complete(config);
    uint32_t functions = s->config.functions_max;
    uint32_t buckets = bucket_count(functions);
    uint8_t *at = (uint8_t *)memory + aligned(sizeof *s);
    s->functions = (struct function *)(void *)at;
    at += aligned((size_t)functions * sizeof(struct function));
    s->buckets = (uint32_t *)(void *)at;
    at += aligned((size_t)buckets * sizeof(uint32_t));
    s->pool = (struct waiting *)(void *)at;
    s->bucket_mask = buckets - 1;
    for (uint32_t i = 0; i < buckets; i++) {
        s->buckets[i] = NONE;
    }
    for (uint32_t i = 0; i < functions; i++) {
        s->functions[i].chain = i + 1 < functions ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < s->config.queue_max; i++) {
        s->pool[i].next = i + 1 < s->config.queue_max ? i + 1 : NONE;
    }
    s->free_function = s->free_waiting = 0;
    s->load_ms = now_ms;
    s->ready = s->idle = (struct list){NONE, NONE};

    /* The first announcement need not settle. */
    s->available.change_ms = now_ms >= s->config.settle_ms ? now_ms - s->config.settle_ms : 0;
    return s;
}

/* Lists of functions; which link is told by its place in struct function. */
enum which { READY, IDLE };

static struct link *link_of(struct schedule *s, enum which which, uint32_t idx)
{
    return which == READY ? &s->functions[idx].ready : &s->functions[idx].idle;
}

static struct list *list_of(struct schedule *s, enum which which)
{
    return which == READY ? &s->ready : &s->idle;
}

static void list_remove(struct schedule *s, enum which which, uint32_t idx)
{
    struct link *link = link_of(s, which, idx);
    struct list *list = list_of(s, which);
    if (!link->in) {
        return;
    }
    if (link->prev != NONE) {
        link_of(s, which, link->prev)->next = link->next;
    } else {
        list->first = link->next;
    }
    if (link->next != NONE) {
        link_of(s, which, link->next)->prev = link->prev;
    } else {
        list->last = link->prev;
    }
    link->in = false;
}

static void list_append(struct schedule *s, enum which which, uint32_t idx)
{
    struct link *link = link_of(s, which, idx);
    struct list *list = list_of(s, which);
    if (link->in) {
        return;
    }
    *link = (struct link){.prev = list->last, .next = NONE, .in = true};
    if (list->last != NONE) {
        link_of(s, which, list->last)->next = idx;
    } else {
        list->first = idx;
    }
    list->last = idx;
}

static uint32_t bucket_of(const struct schedule *s, uint64_t id)
{
    id ^= id >> 33;
    id *= UINT64_C(0xff51afd7ed558ccd);
    id ^= id >> 33;
    return (uint32_t)id & s->bucket_mask;
}

static uint32_t find(const struct schedule *s, uint64_t id)
{
    uint32_t idx = s->buckets[bucket_of(s, id)];
    while (idx != NONE && s->functions[idx].id != id) {
        idx = s->functions[idx].chain;
    }
    return idx;
}

static uint32_t idle_count(const struct function *f)
{
    return f->faaslets - f->running;
}

static bool room_here(const struct schedule *s)
{
    return s->running < s->config.capacity;
}

static bool may_grow(const struct schedule *s, const struct function *f)
{
    return f->faaslets < s->config.faaslets_each;
}

/* Few enough calls are in flight that they wait for the Faaslets there are. */
static bool shared_out(const struct schedule *s, const struct function *f)
{
    return f->faaslets > 0 &&
           (uint64_t)f->running + f->queued <= (uint64_t)f->faaslets * s->config.in_flight_each;
}

static void emit(struct schedule_effects *effects, struct schedule_effect effect)
{
    WM_ASSERT(effects->count < effects->room);
    effects->items[effects->count++] = effect;
}

/* A function's or the node's place in a set follows from what is wanted. Room for one effect must
 * be there. What has to settle first is left for a later tick; `urgent` has not. */
static void announce(const struct schedule *s, struct membership *m, bool wanted, bool urgent,
                     uint64_t now_ms, enum schedule_effect_kind add, uint64_t id,
                     struct schedule_effects *effects)
{
    bool settled = urgent || s->draining || now_ms - m->change_ms >= s->config.settle_ms;
    enum schedule_effect_kind remove =
        add == SCHEDULE_WARM_ADD ? SCHEDULE_WARM_REMOVE : SCHEDULE_AVAILABLE_REMOVE;
    if (wanted == m->said) {
        if (wanted && now_ms - m->said_ms >= s->config.ttl_ms / 3) {
            m->said_ms = now_ms;
            emit(effects, (struct schedule_effect){.kind = add, .function = id});
        }
        return;
    }
    if (!settled) {
        return;
    }
    m->said = wanted;
    m->change_ms = now_ms;
    m->said_ms = now_ms;
    emit(effects, (struct schedule_effect){.kind = wanted ? add : remove, .function = id});
}

/* NO when every Faaslet that may be is there and has its share of calls, or the node is full and
 * calls of the function wait. It takes half of that to come back. */
static enum schedule_opinion opinion_of(const struct schedule *s, const struct function *f)
{
    if (f->faaslets == 0) {
        return SCHEDULE_MAYBE;
    }
    return f->no || s->draining ? SCHEDULE_NO : SCHEDULE_YES;
}

static void judge(const struct schedule *s, struct function *f)
{
    uint64_t in_flight = (uint64_t)f->running + f->queued;
    bool can_grow = may_grow(s, f) && room_here(s);
    uint64_t share = (uint64_t)f->faaslets * s->config.in_flight_each;
    if (!can_grow && in_flight >= share) {
        f->no = true;
    } else if (f->queued == 0 && (can_grow || in_flight * 4 <= share * 3)) {
        f->no = false;
    }
}

static void judge_node(struct schedule *s)
{
    if (!room_here(s)) {
        s->full = true;
    } else if (s->queued == 0 && (uint64_t)s->running * 8 <= (uint64_t)s->config.capacity * 7) {
        s->full = false;
    }
}

/* After every change of a function: its lists, its opinion, its membership; its entry goes when
 * nothing is left of it. Needs room for one effect. */
static void settle(struct schedule *s, uint32_t idx, uint64_t now_ms,
                   struct schedule_effects *effects)
{
    struct function *f = &s->functions[idx];
    uint32_t idle = idle_count(f);
    if (f->queued > 0 && (idle > 0 || (may_grow(s, f) && !shared_out(s, f)))) {
        list_append(s, READY, idx);
    } else {
        list_remove(s, READY, idx);
    }
    if (idle > 0) {
        list_append(s, IDLE, idx);
    } else {
        list_remove(s, IDLE, idx);
    }
    if (idle < f->idle_low) {
        f->idle_low = idle;
    }
    judge(s, f);
    /* Without a Faaslet it leaves at once: nothing would be found here. */
    announce(s, &f->warm, opinion_of(s, f) == SCHEDULE_YES, f->faaslets == 0, now_ms,
             SCHEDULE_WARM_ADD, f->id, effects);
    if (f->faaslets == 0 && f->queued == 0) {
        uint32_t *at = &s->buckets[bucket_of(s, f->id)];
        while (*at != idx) {
            at = &s->functions[*at].chain;
        }
        *at = f->chain;
        memset(f, 0, sizeof *f);
        f->chain = s->free_function;
        s->free_function = idx;
        s->used--;
    }
}

static void settle_node(struct schedule *s, uint64_t now_ms, struct schedule_effects *effects)
{
    judge_node(s);
    announce(s, &s->available, !s->full && !s->draining, false, now_ms, SCHEDULE_AVAILABLE_ADD, 0,
             effects);
}

/* Retires `count` idle Faaslets. Two effects at most. */
static void retire(struct schedule *s, uint32_t idx, uint32_t count, uint64_t now_ms,
                   struct schedule_effects *effects)
{
    struct function *f = &s->functions[idx];
    emit(effects,
         (struct schedule_effect){.kind = SCHEDULE_RETIRE, .function = f->id, .count = count});
    f->faaslets -= count;
    s->faaslets -= count;

    settle(s, idx, now_ms, effects);
}

/* The entry of a function, made where there is none. Two effects at most. NONE: the table is full
 * of functions that are not at rest. */
static uint32_t entry(struct schedule *s, uint64_t id, uint64_t now_ms,
                      struct schedule_effects *effects)
{
    uint32_t idx = find(s, id);
    if (idx != NONE) {
        return idx;
    }
    if (s->free_function == NONE) {
        for (idx = s->idle.first; idx != NONE; idx = s->functions[idx].idle.next) {
            if (s->functions[idx].running == 0 && s->functions[idx].queued == 0) {
                break;
            }
        }
        if (idx == NONE) {
            return NONE;
        }
        retire(s, idx, s->functions[idx].faaslets, now_ms, effects);
        WM_ASSERT(s->free_function != NONE);
    }
    idx = s->free_function;
    struct function *f = &s->functions[idx];
    s->free_function = f->chain;
    uint32_t *bucket = &s->buckets[bucket_of(s, id)];
    *f = (struct function){
        .id = id, .used = true, .chain = *bucket, .head = NONE, .tail = NONE, .window_ms = now_ms};
    f->warm.change_ms = now_ms >= s->config.settle_ms ? now_ms - s->config.settle_ms : 0;
    *bucket = idx;
    s->used++;
    return idx;
}

/* Takes a place for a call of the function, in an idle Faaslet or (true) in a new one, for which
 * another function's oldest idle one may have to go. Three effects at most. */
static bool take_place(struct schedule *s, uint32_t idx, uint64_t now_ms,
                       struct schedule_effects *effects)
{
    struct function *f = &s->functions[idx];
    bool cold = idle_count(f) == 0;
    WM_ASSERT(room_here(s) && (!cold || may_grow(s, f)));
    if (cold) {
        if (s->faaslets == s->config.faaslets_max) {
            /* Not all Faaslets are busy: there are at least as many as places, and one is free. */
            WM_ASSERT(s->idle.first != NONE && s->idle.first != idx);
            retire(s, s->idle.first, 1, now_ms, effects);
        }
        f->faaslets++;
        s->faaslets++;
    }
    f->running++;
    s->running++;
    list_remove(s, IDLE, idx); /* to its end, if idle ones are left: it was just used */
    settle(s, idx, now_ms, effects);
    return cold;
}

static void start_first(struct schedule *s, uint32_t idx, uint64_t now_ms,
                        struct schedule_effects *effects)
{
    struct function *f = &s->functions[idx];
    uint32_t at = f->head;
    uint64_t call = s->pool[at].call;
    uint64_t id = f->id;
    f->head = s->pool[at].next;
    f->tail = f->head == NONE ? NONE : f->tail;
    s->pool[at].next = s->free_waiting;
    s->free_waiting = at;
    f->queued--;
    s->queued--;
    list_remove(s, READY, idx); /* to the end of the turn */
    bool cold = take_place(s, idx, now_ms, effects);
    emit(effects, (struct schedule_effect){
                      .kind = SCHEDULE_START, .function = id, .call = call, .cold = cold});
}

/* One place has become free, or one function ready: at most one call starts. Four effects. */
static void dispatch(struct schedule *s, uint32_t freed, uint64_t now_ms,
                     struct schedule_effects *effects)
{
    if (!room_here(s) || s->ready.first == NONE) {
        return;
    }
    uint32_t idx = s->ready.first;
    if (freed != NONE && freed != idx && s->functions[freed].ready.in &&
        idle_count(&s->functions[freed]) > 0 && s->burst < s->config.burst_max) {
        s->burst++;
        idx = freed;
    } else {
        s->burst = 0;
    }
    start_first(s, idx, now_ms, effects);
}

/* Whether the node may be handed a call. */
static bool usable(const struct schedule_config *c, const struct schedule_peer *peer, uint32_t from)
{
    return peer->node != SCHEDULE_NOBODY && peer->node != c->node && peer->node != from &&
           !peer->draining && !peer->suspect && peer->load < SCHEDULE_LOAD_FULL &&
           peer->age_ms <= c->view_ms_max;
}

static uint32_t nth_usable(const struct schedule_config *c, const struct schedule_peer *peers,
                           uint32_t count, uint32_t from, uint32_t start)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (uint32_t)(((uint64_t)start + i) % count);
        if (usable(c, &peers[at], from)) {
            return at;
        }
    }
    return NONE;
}

uint32_t schedule_choose(const struct schedule_config *config, const struct schedule_peer *peers,
                         uint32_t count, uint32_t from, uint64_t random)
{
    struct schedule_config c = complete(config);
    if (count == 0) {
        return SCHEDULE_NOBODY;
    }
    uint32_t a = nth_usable(&c, peers, count, from, (uint32_t)random % count);
    if (a == NONE) {
        return SCHEDULE_NOBODY;
    }
    uint32_t b = nth_usable(&c, peers, count, from, (uint32_t)(random >> 32) % count);
    return peers[peers[b].load < peers[a].load ? b : a].node;
}

static uint32_t wait_of(const struct schedule *s, const struct function *f)
{
    uint64_t node_us = s->service_us ? s->service_us : s->config.service_us_guess;
    uint64_t ahead = (uint64_t)s->queued + (room_here(s) ? 0 : 1);
    uint64_t wait_us = ahead * node_us / s->config.capacity;
    if (f && (f->queued > 0 || (idle_count(f) == 0 && !may_grow(s, f)))) {
        uint64_t own_us = f->service_us ? f->service_us : node_us;
        uint64_t own = ((uint64_t)f->queued + 1) * own_us / (f->faaslets ? f->faaslets : 1);
        wait_us = own > wait_us ? own : wait_us;
    }
    wait_us /= 1000;
    return wait_us < UINT32_MAX ? (uint32_t)wait_us : UINT32_MAX;
}

static struct schedule_decision refuse(const struct schedule *s, const struct function *f,
                                       enum schedule_why why, uint64_t random)
{
    uint64_t after = wait_of(s, f);
    if (s->draining) {
        after = s->config.ttl_ms; /* by then nobody takes this node for one to call */
    }
    after = after > SCHEDULE_RETRY_MS_MIN ? after : SCHEDULE_RETRY_MS_MIN;
    after += random % (after / 4 + 1); /* not all at the same moment */
    after = after < SCHEDULE_RETRY_MS_MAX ? after : SCHEDULE_RETRY_MS_MAX;
    return (struct schedule_decision){.what = SCHEDULE_REFUSE,
                                      .why = why,
                                      .node = SCHEDULE_NOBODY,
                                      .retry_after_ms = (uint32_t)after};
}

static struct schedule_decision simply(enum schedule_what what, enum schedule_why why)
{
    return (struct schedule_decision){.what = what, .why = why, .node = SCHEDULE_NOBODY};
}

/* The nine steps; changes nothing. f NULL: nothing of the function is here. */
static struct schedule_decision decide(const struct schedule *s, const struct function *f,
                                       const struct schedule_call *call,
                                       const struct schedule_view *view, uint64_t random)
{
    const struct schedule_config *c = &s->config;
    bool may_hop = call->hops < c->hops_max;
    uint32_t node;

    if (call->hops == 0 && may_hop && view->state && usable(c, view->state, call->from)) {
        return (struct schedule_decision){
            .what = SCHEDULE_HAND_ON, .why = SCHEDULE_WHY_STATE, .node = view->state->node};
    }
    if (!s->draining && f && f->faaslets > 0) {
        uint64_t in_flight = (uint64_t)f->running + f->queued;
        bool may_wait = s->free_waiting != NONE && f->queued < c->queued_max;
        bool few = in_flight < (uint64_t)f->faaslets * c->in_flight_each;
        if (room_here(s) && idle_count(f) > 0 && f->queued == 0) {
            return simply(SCHEDULE_RUN, SCHEDULE_WHY_WARM);
        }
        if (may_wait && (room_here(s) ? few : wait_of(s, f) <= c->soon_ms)) {
            return simply(SCHEDULE_QUEUE, SCHEDULE_WHY_SOON);
        }
        if (room_here(s) && may_grow(s, f) && (f->queued == 0 || may_wait)) {
            /* The new Faaslet is for the call that waits longest. */
            return simply(f->queued == 0 ? SCHEDULE_COLD : SCHEDULE_QUEUE, SCHEDULE_WHY_MORE);
        }
    }
    if (may_hop) {
        if (!view->known) {
            return simply(SCHEDULE_LOOK, SCHEDULE_WHY_UNKNOWN);
        }
        bool state_is_here = view->state && view->state->node == c->node;
        node = schedule_choose(c, view->warm, view->warm_count, call->from, random);
        if (node != SCHEDULE_NOBODY && !(state_is_here && room_here(s) && !s->draining)) {
            return (struct schedule_decision){
                .what = SCHEDULE_HAND_ON, .why = SCHEDULE_WHY_WARM_ELSEWHERE, .node = node};
        }
    }
    if (!s->draining && room_here(s) && (!f || (may_grow(s, f) && f->queued == 0))) {
        return simply(SCHEDULE_COLD, SCHEDULE_WHY_NOBODY_WARM);
    }
    if (may_hop) {
        node = schedule_choose(c, view->available, view->available_count, call->from, random);
        if (node != SCHEDULE_NOBODY) {
            return (struct schedule_decision){.what = SCHEDULE_HAND_ON,
                                              .why = s->draining ? SCHEDULE_WHY_DRAINING
                                                                 : SCHEDULE_WHY_FULL_HERE,
                                              .node = node};
        }
    }
    if (s->draining) {
        return refuse(s, f, SCHEDULE_WHY_DRAINING, random);
    }
    if (s->free_waiting == NONE || (f && f->queued >= c->queued_max)) {
        return refuse(s, f, SCHEDULE_WHY_QUEUE_FULL, random);
    }
    if (wait_of(s, f) > c->wait_ms_max) {
        return refuse(s, f, SCHEDULE_WHY_TOO_LONG, random);
    }
    return simply(SCHEDULE_QUEUE, SCHEDULE_WHY_WAIT);
}

struct schedule_decision schedule_arrive(struct schedule *s, const struct schedule_call *call,
                                         const struct schedule_view *view, uint64_t random,
                                         uint64_t now_ms, struct schedule_effects *effects)
{
    uint32_t idx = find(s, call->function);
    struct schedule_decision decision =
        decide(s, idx == NONE ? NULL : &s->functions[idx], call, view, random);
    bool stays = decision.what == SCHEDULE_RUN || decision.what == SCHEDULE_COLD ||
                 decision.what == SCHEDULE_QUEUE;
    if (stays) {
        idx = entry(s, call->function, now_ms, effects);
        if (idx == NONE) {
            decision = refuse(s, NULL, SCHEDULE_WHY_FUNCTIONS_FULL, random);
            stays = false;
        }
    }
    s->by_why[decision.why]++;
    if (!stays) {
        return decision;
    }
    struct function *f = &s->functions[idx];
    if (decision.what == SCHEDULE_QUEUE) {
        uint32_t at = s->free_waiting;
        s->free_waiting = s->pool[at].next;
        s->pool[at] = (struct waiting){.call = call->id, .next = NONE};
        if (f->tail == NONE) {
            f->head = at;
        } else {
            s->pool[f->tail].next = at;
        }
        f->tail = at;
        f->queued++;
        s->queued++;
        settle(s, idx, now_ms, effects);
        dispatch(s, NONE, now_ms, effects);
    } else {
        bool cold = take_place(s, idx, now_ms, effects);
        WM_ASSERT(cold == (decision.what == SCHEDULE_COLD));
    }
    settle_node(s, now_ms, effects);
    return decision;
}

static void learn(uint64_t *mean_us, uint64_t service_us)
{
    uint64_t sample = service_us < (UINT64_C(1) << 40) ? service_us : (UINT64_C(1) << 40);
    *mean_us = *mean_us ? (*mean_us * 7 + sample + 7) / 8 : sample + 1;
}

void schedule_ended(struct schedule *s, uint64_t function, uint64_t service_us, bool lost,
                    uint64_t now_ms, struct schedule_effects *effects)
{
    uint32_t idx = find(s, function);
    WM_ASSERT(idx != NONE && s->functions[idx].running > 0);
    struct function *f = &s->functions[idx];
    f->running--;
    s->running--;
    if (lost) {
        f->faaslets--;
        s->faaslets--;
    } else {
        learn(&f->service_us, service_us);
        learn(&s->service_us, service_us);
    }
    list_remove(s, IDLE, idx); /* to the end: it was used last */
    settle(s, idx, now_ms, effects);
    dispatch(s, s->functions[idx].used ? idx : NONE, now_ms, effects);
    settle_node(s, now_ms, effects);
}

void schedule_lost(struct schedule *s, uint64_t function, uint32_t count, uint64_t now_ms,
                   struct schedule_effects *effects)
{
    uint32_t idx = find(s, function);
    if (idx == NONE) {
        return;
    }
    struct function *f = &s->functions[idx];
    count = count < idle_count(f) ? count : idle_count(f);
    f->faaslets -= count;
    s->faaslets -= count;
    settle(s, idx, now_ms, effects);
    dispatch(s, NONE, now_ms, effects);
    settle_node(s, now_ms, effects);
}

bool schedule_cancel(struct schedule *s, uint64_t function, uint64_t call, uint64_t now_ms,
                     struct schedule_effects *effects)
{
    uint32_t idx = find(s, function);
    if (idx == NONE) {
        return false;
    }
    struct function *f = &s->functions[idx];
    uint32_t before = NONE;
    uint32_t at = f->head;
    while (at != NONE && s->pool[at].call != call) {
        before = at;
        at = s->pool[at].next;
    }
    if (at == NONE) {
        return false;
    }
    if (before == NONE) {
        f->head = s->pool[at].next;
    } else {
        s->pool[before].next = s->pool[at].next;
    }
    if (f->tail == at) {
        f->tail = before;
    }
    s->pool[at].next = s->free_waiting;
    s->free_waiting = at;
    f->queued--;
    s->queued--;
    settle(s, idx, now_ms, effects);
    settle_node(s, now_ms, effects);
    return true;
}

/* Others see the load half a second late. What it is at one moment (all eight places of a node are
 * taken for a fifth of the time at 60 percent) would tell them nothing; its mean does. */
static void measure(struct schedule *s, uint64_t now_ms)
{
    uint64_t now =
        ((uint64_t)s->running + s->queued) * SCHEDULE_LOAD_FULL * 256 / s->config.capacity;
    uint64_t passed = now_ms - s->load_ms;
    if (passed >= LOAD_MS) {
        s->load = now;
    } else {
        s->load = (s->load * (LOAD_MS - passed) + now * passed) / LOAD_MS;
    }
    s->load_ms = now_ms;
}

void schedule_drain(struct schedule *s, bool draining, uint64_t now_ms,
                    struct schedule_effects *effects)
{
    s->draining = draining;
    settle_node(s, now_ms, effects);
    s->tick_at = 0;
}

/* A Faaslet that all of a window went unused is one too many. */
static void age(struct schedule *s, uint32_t idx, uint64_t now_ms, struct schedule_effects *effects)
{
    struct function *f = &s->functions[idx];
    if (now_ms - f->window_ms < s->config.idle_ms) {
        return;
    }
    uint32_t unused = f->idle_low < idle_count(f) ? f->idle_low : idle_count(f);
    f->window_ms = now_ms;
    f->idle_low = idle_count(f) - unused;
    if (unused > 0) {
        retire(s, idx, unused, now_ms, effects);
    }
}

bool schedule_tick(struct schedule *s, uint64_t now_ms, struct schedule_effects *effects)
{
    if (s->tick_at == 0) {
        measure(s, now_ms);
        settle_node(s, now_ms, effects);
    }
    while (s->tick_at < s->config.functions_max) {
        if (effects->room - effects->count < SCHEDULE_EFFECTS_MIN) {
            return true;
        }
        /* More than one call becomes ready where a lost Faaslet had several waiting for it. */
        if (room_here(s) && s->ready.first != NONE) {
            dispatch(s, NONE, now_ms, effects);
            continue;
        }
        uint32_t idx = s->tick_at++;
        if (s->functions[idx].used) {
            age(s, idx, now_ms, effects);
        }
        if (s->functions[idx].used) {
            settle(s, idx, now_ms, effects);
        }
    }
    s->tick_at = 0;
    return false;
}

enum schedule_opinion schedule_opinion(const struct schedule *s, uint64_t function)
{
    uint32_t idx = find(s, function);
    return idx == NONE ? SCHEDULE_MAYBE : opinion_of(s, &s->functions[idx]);
}

uint32_t schedule_wait_ms(const struct schedule *s, uint64_t function)
{
    uint32_t idx = find(s, function);
    return wait_of(s, idx == NONE ? NULL : &s->functions[idx]);
}

void schedule_stats(const struct schedule *s, struct schedule_stats *out)
{
    uint64_t load = s->load / 256;
    *out = (struct schedule_stats){.running = s->running,
                                   .queued = s->queued,
                                   .faaslets = s->faaslets,
                                   .idle = s->faaslets - s->running,
                                   .functions = s->used,
                                   .load = load < UINT32_MAX ? (uint32_t)load : UINT32_MAX,
                                   .draining = s->draining};
    memcpy(out->by_why, s->by_why, sizeof out->by_why);
}
