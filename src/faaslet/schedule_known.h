/* schedule_known.h: what one node knows of the others, for the scheduler's view.
 *
 * Three sources, none of them exact:
 *
 *   - look-ups in the global tier: which nodes are warm for a function, which are available. Large
 *     sets are sampled (struct schedule_sample); what was read is used again for look_ms.
 *   - heartbeats (node/peers.h), and results of calls that were handed on, if they carry it: a
 *     node's load, and whether it drains. A load is believed for load_ms; then half full is
 * assumed.
 *   - what this node did itself: a call handed on is added to the load at once, or everybody's next
 *     choice would be the same node until it says otherwise; a node that died, or could not be
 *     reached, is suspect until suspect_ms have passed or something is heard of it.
 *
 * Fixed size: functions and nodes lie in slots by their numbers, and one that needs another's slot
 * takes it (the scheduler then looks again, or assumes). With as many node slots as there are nodes
 * nothing is lost.
 *
 * Pure, like schedule.h: no clock, no memory but what init is given. One thread at a time. */
#ifndef WM_FAASLET_SCHEDULE_KNOWN_H
#define WM_FAASLET_SCHEDULE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "faaslet/schedule.h"

#define SCHEDULE_SAMPLE_MAX 16u

struct schedule_known_config { /* 0: the default in [] */
    uint32_t functions;        /* slots [1024]; at most 2^20 */
    uint32_t nodes;            /* slots [256]; at most 2^20 */
    uint32_t look_ms;          /* [250] */
    uint32_t load_ms;          /* [1,500] */
    uint32_t suspect_ms;       /* [10,000] */
};

struct schedule_known;
size_t schedule_known_bytes(const struct schedule_known_config *config); /* 0: not possible */
struct schedule_known *schedule_known_init(void *memory,
                                           const struct schedule_known_config *config);

/* Members of a set, one by one; keeps SCHEDULE_SAMPLE_MAX, each with the same chance. Zero it
 * first. `random`: any number, fresh for each call. */
struct schedule_sample {
    uint32_t nodes[SCHEDULE_SAMPLE_MAX];
    uint32_t count, seen;
};
void schedule_sample_add(struct schedule_sample *sample, uint32_t node, uint64_t random);

/* A look-up ended (where it failed: with empty samples, so that calls do not wait for the tier). */
void schedule_known_sets(struct schedule_known *known, uint64_t function,
                         const struct schedule_sample *warm,
                         const struct schedule_sample *available, uint64_t now_ms);
/* Something was heard of a node, which so lives. */
void schedule_known_load(struct schedule_known *known, uint32_t node, uint32_t load, bool draining,
                         uint64_t now_ms);
/* A call was handed on to a node of `capacity` places (0: unknown, 64 is assumed). */
void schedule_known_handed_on(struct schedule_known *known, uint32_t node, uint32_t capacity,
                              uint64_t now_ms);
/* It died, or could not be reached. */
void schedule_known_suspect(struct schedule_known *known, uint32_t node, uint64_t now_ms);

/* The caller's, behind a view. */
struct schedule_view_room {
    struct schedule_peer warm[SCHEDULE_SAMPLE_MAX], available[SCHEDULE_SAMPLE_MAX], state;
};
/* view.known is false where the function has to be looked up first. state_node: SCHEDULE_NOBODY, or
 * where a large part of the call's state is. */
struct schedule_view schedule_known_view(const struct schedule_known *known, uint64_t function,
                                         uint32_t state_node, uint64_t now_ms,
                                         struct schedule_view_room *room);

#endif
