#include "faaslet/schedule_known.h"

#include <string.h>

#include "base/assert.h"

#define SLOTS_MAX (UINT32_C(1) << 20)
#define LOAD_GUESS (SCHEDULE_LOAD_FULL / 2)
#define CAPACITY_GUESS 64u

struct sets {
    uint64_t function, looked_ms;
    bool used;
    uint8_t warm_count, available_count;
    uint32_t warm[SCHEDULE_SAMPLE_MAX], available[SCHEDULE_SAMPLE_MAX];
};

struct other {
    uint32_t node, load;
    uint64_t load_ms, suspect_ms; /* when it was heard; when it was suspected */
    bool used, draining, suspect;
};

struct schedule_known {
    struct schedule_known_config config;
    struct sets *sets;
    struct other *others;
};

static struct schedule_known_config complete(const struct schedule_known_config *given)
{
    struct schedule_known_config c = *given;
    c.functions = c.functions ? c.functions : 1024;
    c.nodes = c.nodes ? c.nodes : 256;
    c.look_ms = c.look_ms ? c.look_ms : 250;
    c.load_ms = c.load_ms ? c.load_ms : 1500;
    c.suspect_ms = c.suspect_ms ? c.suspect_ms : 10000;
    return c;
}

size_t schedule_known_bytes(const struct schedule_known_config *config)
{
    struct schedule_known_config c = complete(config);
    if (c.functions > SLOTS_MAX || c.nodes > SLOTS_MAX) {
        return 0;
    }
    return sizeof(struct schedule_known) + c.functions * sizeof(struct sets) +
           c.nodes * sizeof(struct other);
}

_Static_assert(sizeof(struct schedule_known) % 8 == 0 && sizeof(struct sets) % 8 == 0,
               "the tables follow each other");

struct schedule_known *schedule_known_init(void *memory, const struct schedule_known_config *config)
{
    size_t bytes = schedule_known_bytes(config);
    WM_ASSERT(bytes > 0);
    memset(memory, 0, bytes);
    struct schedule_known *known = memory;
    known->config = complete(config);
    known->sets = (struct sets *)(void *)(known + 1);
    known->others = (struct other *)(void *)(known->sets + known->config.functions);
    return known;
}

void schedule_sample_add(struct schedule_sample *sample, uint32_t node, uint64_t random)
{
    sample->seen++;
    if (sample->count < SCHEDULE_SAMPLE_MAX) {
        sample->nodes[sample->count++] = node;
        return;
    }
    /* The n-th stays with a chance of SCHEDULE_SAMPLE_MAX / n (reservoir sampling). */
    uint32_t at = (uint32_t)(random % sample->seen);
    if (at < SCHEDULE_SAMPLE_MAX) {
        sample->nodes[at] = node;
    }
}

static uint32_t slot_of(uint64_t function, uint32_t slots)
{
    function ^= function >> 32;
    function *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((function >> 32) % slots);
}

void schedule_known_sets(struct schedule_known *known, uint64_t function,
                         const struct schedule_sample *warm,
                         const struct schedule_sample *available, uint64_t now_ms)
{
    struct sets *sets = &known->sets[slot_of(function, known->config.functions)];
    *sets = (struct sets){.function = function,
                          .looked_ms = now_ms,
                          .used = true,
                          .warm_count = (uint8_t)warm->count,
                          .available_count = (uint8_t)available->count};
    memcpy(sets->warm, warm->nodes, warm->count * sizeof *warm->nodes);
    memcpy(sets->available, available->nodes, available->count * sizeof *available->nodes);
}

static struct other *other_of(struct schedule_known *known, uint32_t node)
{
    struct other *other = &known->others[node % known->config.nodes];
    if (!other->used || other->node != node) {
        *other = (struct other){.node = node, .used = true, .load = UINT32_MAX};
    }
    return other;
}

/* UINT32_MAX: nothing that is still believed. */
static uint32_t believed(const struct schedule_known *known, const struct other *other,
                         uint64_t now_ms)
{
    return now_ms - other->load_ms <= known->config.load_ms ? other->load : UINT32_MAX;
}

void schedule_known_load(struct schedule_known *known, uint32_t node, uint32_t load, bool draining,
                         uint64_t now_ms)
{
    struct other *other = other_of(known, node);
    other->load = load < UINT32_MAX ? load : UINT32_MAX - 1;
    other->load_ms = now_ms;
    other->draining = draining;
    other->suspect = false;
}

void schedule_known_handed_on(struct schedule_known *known, uint32_t node, uint32_t capacity,
                              uint64_t now_ms)
{
    struct other *other = other_of(known, node);
    uint32_t load = believed(known, other, now_ms);
    if (load == UINT32_MAX) {
        load = LOAD_GUESS;
        other->load_ms = now_ms; /* so that it wears off */
    }
    uint32_t share = SCHEDULE_LOAD_FULL / (capacity ? capacity : CAPACITY_GUESS);
    other->load = load < UINT32_MAX - 1 - share ? load + share : UINT32_MAX - 1;
}

void schedule_known_suspect(struct schedule_known *known, uint32_t node, uint64_t now_ms)
{
    struct other *other = other_of(known, node);
    other->suspect = true;
    other->suspect_ms = now_ms;
}

static struct schedule_peer peer_of(const struct schedule_known *known, uint32_t node,
                                    uint64_t age_ms, uint64_t now_ms)
{
    const struct other *other = &known->others[node % known->config.nodes];
    struct schedule_peer peer = {.node = node,
                                 .load = LOAD_GUESS,
                                 .age_ms = age_ms < UINT32_MAX ? (uint32_t)age_ms : UINT32_MAX};
    if (other->used && other->node == node) {
        uint32_t load = believed(known, other, now_ms);
        peer.load = load == UINT32_MAX ? LOAD_GUESS : load;
        peer.draining = other->draining;
        peer.suspect = other->suspect && now_ms - other->suspect_ms <= known->config.suspect_ms;
    }
    return peer;
}

struct schedule_view schedule_known_view(const struct schedule_known *known, uint64_t function,
                                         uint32_t state_node, uint64_t now_ms,
                                         struct schedule_view_room *room)
{
    const struct sets *sets = &known->sets[slot_of(function, known->config.functions)];
    struct schedule_view view = {.warm = room->warm, .available = room->available};
    if (state_node != SCHEDULE_NOBODY) {
        room->state = peer_of(known, state_node, 0, now_ms);
        view.state = &room->state;
    }
    uint64_t age_ms = now_ms - sets->looked_ms;
    view.known = sets->used && sets->function == function && age_ms <= known->config.look_ms;
    if (view.known) {
        view.warm_count = sets->warm_count;
        view.available_count = sets->available_count;
    }
    for (uint32_t i = 0; i < view.warm_count; i++) {
        room->warm[i] = peer_of(known, sets->warm[i], age_ms, now_ms);
    }
    for (uint32_t i = 0; i < view.available_count; i++) {
        room->available[i] = peer_of(known, sets->available[i], age_ms, now_ms);
    }
    return view;
}
