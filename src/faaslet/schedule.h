/* schedule.h: where a call runs: one node's part of the shared-state scheduler.
 *
 * Every node schedules for itself, in the manner of Omega (Faasm section 5.1). What nodes share is,
 * for each function, the set of nodes that are warm for it, and the set of nodes that are
 * available; both are soft state in the global tier (tier.h, set_add). Views of them are stale, and
 * nothing here depends on their being right: a call that comes to the wrong node is handed on, at
 * most hops_max times, and then runs, waits or is refused where it is.
 *
 * Pure: no I/O, no clock, no memory but what schedule_init is given. Events go in with the time;
 * what is to be done comes out as a decision, and as effects:
 *
 *     a call arrives     schedule_arrive -> LOOK      read the function's warm set and the
 * available nodes, and arrive again with that view RUN, COLD run it now, in an idle or in a new
 * Faaslet QUEUE     kept here; a START effect follows HAND_ON   send it to `node`, with hops + 1
 *                                           REFUSE    answer OVERLOADED with retry_after_ms
 *     a call ends        schedule_ended     -> START, set changes
 *     a caller gives up  schedule_cancel    -> (only of a queued call)
 *     time passes        schedule_tick      -> renewals, RETIRE, set changes that had to settle
 *
 * The decision, in this order (a call whose state lies elsewhere comes first: moving the call is
 * cheaper than moving the state; the caller names that node only where this is so):
 *
 *     1 not yet handed on, and the state's node has room            HAND_ON
 *     2 an idle Faaslet is here, and the node has room              RUN
 *     3 warm here with room, few calls in flight for each Faaslet;  QUEUE
 *       or warm here without room, and the wait is at most soon_ms
 *     4 warm here with room, and one more Faaslet may be started    COLD
 *     5 others are warm and have room; the state is not here        HAND_ON, to one of them
 *     6 the node has room                                           COLD
 *     7 others are available                                        HAND_ON, to one of them
 *     8 the wait is bearable and the queue has room                 QUEUE
 *     9                                                             REFUSE
 *
 * "To one of them": the less loaded of two taken at random, which spreads calls even where all
 * nodes have the same stale view. Steps 1, 5 and 7 need a hop left, and never choose this node, the
 * node that the call came from, one that drains or is suspected dead, or one whose knowledge is
 * older than view_ms_max. A draining node hands on or refuses; what it had taken runs.
 *
 * Refused is a call only when neither a step above applies nor it could wait: the node drains; or
 * the function has queued_max calls waiting, or the node all that it has room for; or the estimated
 * wait (calls before it, by the mean service time, by what serves them) is more than wait_ms_max;
 * or there are functions_max functions here and none of them is at rest.
 *
 * An opinion for each function, as in Faasm: YES (warm, and takes more), MAYBE (not warm here), NO
 * (takes no more). YES is in the warm set; MAYBE and NO are not. A node that takes no more of
 * anything is not in the available set. A change is announced settle_ms after the last one at the
 * earliest, so that a node at the edge of its capacity does not flood the tier.
 *
 * Queues: first in, first out for each function. Functions with waiting calls take turns; the
 * function that has just freed a Faaslet may go before its turn (it is warm), burst_max times in a
 * row. So a waiting call whose function has p calls before it starts after at most
 * (p + 1) * (functions waiting) * (burst_max + 1) starts of others, counted while it may start at
 * all: a function at faaslets_each, or with no more than in_flight_each calls for each Faaslet,
 * waits for its own calls to end.
 *
 * Threads: one at a time. Function and node numbers are the caller's; they are not trusted to
 * exist. Time never goes back. */
#ifndef WM_FAASLET_SCHEDULE_H
#define WM_FAASLET_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define SCHEDULE_NOBODY UINT32_MAX
#define SCHEDULE_LOAD_FULL 1000u  /* of a load: every place taken */
#define SCHEDULE_RETRY_MS_MIN 50u /* of retry_after_ms */
#define SCHEDULE_RETRY_MS_MAX 60000u

struct schedule_config {       /* 0: the default in [] */
    uint32_t node;             /* this node's number; 0 is a number */
    uint32_t capacity;         /* calls that run at once [64] */
    uint32_t faaslets_max;     /* in this node, idle ones too; at least capacity [16 * capacity] */
    uint32_t functions_max;    /* known at once, at least 2 [1024] */
    uint32_t queue_max;        /* calls that wait in this node [1024] */
    uint32_t faaslets_each;    /* of one function [capacity] */
    uint32_t queued_max;       /* waiting calls of one function [queue_max] */
    uint32_t in_flight_each;   /* calls per Faaslet before another is started [1: a Proto-Faaslet
                                  starts in less time than most calls take; Faasm: 3] */
    uint32_t hops_max;         /* [CALL_HOPS_MAX]; more is taken as that */
    uint32_t wait_ms_max;      /* estimated wait that a call is accepted with [10,000] */
    uint32_t soon_ms;          /* a wait for a warm Faaslet that no call is moved for [5] */
    uint32_t idle_ms;          /* a Faaslet not needed for so long is retired [30,000],
                                  after twice that at the latest */
    uint32_t ttl_ms;           /* of a set's member [10,000]; renewed after a third of it */
    uint32_t settle_ms;        /* between two changes of one membership [100] */
    uint32_t view_ms_max;      /* knowledge of another node older than this is not used [15,000] */
    uint32_t burst_max;        /* starts of a warm function before its turn [8] */
    uint32_t service_us_guess; /* mean service time before any call ended [10,000] */
};

/* What this node last heard of another one. */
struct schedule_peer {
    uint32_t node;
    uint32_t load; /* its schedule_stats.load, or a guess; SCHEDULE_LOAD_FULL or more: no room */
    uint32_t age_ms;
    bool draining, suspect;
};

/* Borrowed. Of large sets a random sample (32 or so) does. */
struct schedule_view {
    bool known; /* false: not looked up; true with empty sets: looked up, or could not be */
    const struct schedule_peer *warm;
    const struct schedule_peer *available;
    uint32_t warm_count, available_count;
    const struct schedule_peer *state; /* what is known of the state's node; NULL: nothing */
};

struct schedule_call {
    uint64_t id;       /* unique among the calls that are here */
    uint64_t function; /* a version of a function */
    uint32_t hops;     /* nodes that handed it on */
    uint32_t from;     /* the last of them; SCHEDULE_NOBODY */
};

enum schedule_what {
    SCHEDULE_LOOK,
    SCHEDULE_RUN,
    SCHEDULE_COLD,
    SCHEDULE_QUEUE,
    SCHEDULE_HAND_ON,
    SCHEDULE_REFUSE,
};

/* Which rule decided; for metrics and for the refusal's sentence. X(NAME, text) */
#define SCHEDULE_WHY_TABLE(X)                                       \
    X(STATE, "the state is there")                                  \
    X(WARM, "an idle Faaslet is here")                              \
    X(SOON, "its Faaslets here are busy but few calls wait")        \
    X(MORE, "one more Faaslet of a warm function")                  \
    X(WARM_ELSEWHERE, "other nodes are warm for it")                \
    X(NOBODY_WARM, "no node is warm for it")                        \
    X(FULL_HERE, "this node is full, others are available")         \
    X(WAIT, "every place is taken")                                 \
    X(DRAINING, "the node is draining")                             \
    X(QUEUE_FULL, "as many calls wait already as may")              \
    X(TOO_LONG, "the wait would be too long")                       \
    X(FUNCTIONS_FULL, "too many functions are in use on this node") \
    X(UNKNOWN, "it has not been looked up which nodes are warm for it")

#define SCHEDULE_WHY_ENUM(name, text) SCHEDULE_WHY_##name,
enum schedule_why { SCHEDULE_WHY_TABLE(SCHEDULE_WHY_ENUM) SCHEDULE_WHYS };
#undef SCHEDULE_WHY_ENUM
const char *schedule_why_text(enum schedule_why why); /* static */

struct schedule_decision {
    enum schedule_what what;
    enum schedule_why why;
    uint32_t node;           /* of HAND_ON */
    uint32_t retry_after_ms; /* of REFUSE */
};

enum schedule_effect_kind {
    SCHEDULE_WARM_ADD,         /* this node into the function's warm set, for ttl_ms */
    SCHEDULE_WARM_REMOVE,      /* and out of it */
    SCHEDULE_AVAILABLE_ADD,    /* this node into the available set, for ttl_ms */
    SCHEDULE_AVAILABLE_REMOVE, /* and out of it */
    SCHEDULE_RETIRE,           /* end `count` idle Faaslets of the function */
    SCHEDULE_START,            /* run the queued call now */
};

struct schedule_effect {
    enum schedule_effect_kind kind;
    uint64_t function; /* of WARM_*, RETIRE and START */
    uint64_t call;     /* of START */
    uint32_t count;    /* of RETIRE */
    bool cold;         /* of START: in a new Faaslet */
};

/* The caller's; emptied by it before each event. One event other than a tick makes at most
 * SCHEDULE_EFFECTS_MIN; effects that do not fit a tick come with the next one. */
#define SCHEDULE_EFFECTS_MIN 8u
struct schedule_effects {
    struct schedule_effect *items;
    uint32_t room; /* at least SCHEDULE_EFFECTS_MIN */
    uint32_t count;
};

enum schedule_opinion { SCHEDULE_YES, SCHEDULE_MAYBE, SCHEDULE_NO };

struct schedule_stats {
    uint32_t running, queued; /* calls */
    uint32_t faaslets, idle;
    uint32_t functions;
    uint32_t load; /* for other nodes: calls running and waiting for each 1,000 places, a mean over
                      the last half second of ticks */
    bool draining;
    uint64_t by_why[SCHEDULE_WHYS]; /* decisions, LOOK too */
};

struct schedule;

/* Bytes that a scheduler of this configuration needs, 16-aligned; 0: the configuration is not
 * possible (faaslets_max < capacity, functions_max < 2, or more than 2^24 of anything). */
size_t schedule_bytes(const struct schedule_config *config);
/* In the caller's memory of that size; nothing is to be released later. */
struct schedule *schedule_init(void *memory, const struct schedule_config *config, uint64_t now_ms);

/* `random`: any number, fresh for each call. With view->known false the decision may be LOOK. RUN,
 * COLD and QUEUE count the call as here; each of them (QUEUE: after its START) is answered by one
 * schedule_ended. */
struct schedule_decision schedule_arrive(struct schedule *schedule,
                                         const struct schedule_call *call,
                                         const struct schedule_view *view, uint64_t random,
                                         uint64_t now_ms, struct schedule_effects *effects);
/* A call of the function ended after `service_us` in its Faaslet. lost: the Faaslet went with it
 * (trap in the host, worker died, a cold start that failed). */
void schedule_ended(struct schedule *schedule, uint64_t function, uint64_t service_us, bool lost,
                    uint64_t now_ms, struct schedule_effects *effects);
/* Idle Faaslets of the function ended without being told to (their worker died); calls that ran in
 * that worker end by schedule_ended(lost). More than there are is taken as all. */
void schedule_lost(struct schedule *schedule, uint64_t function, uint32_t idle_count,
                   uint64_t now_ms, struct schedule_effects *effects);
/* Takes a waiting call out of its queue. False: it is not waiting here. */
bool schedule_cancel(struct schedule *schedule, uint64_t function, uint64_t call, uint64_t now_ms,
                     struct schedule_effects *effects);
/* Draining starts or ends; memberships follow with this call and the next ticks. */
void schedule_drain(struct schedule *schedule, bool draining, uint64_t now_ms,
                    struct schedule_effects *effects);
/* Every 50 ms or so. True: more would be done, tick again at once. */
bool schedule_tick(struct schedule *schedule, uint64_t now_ms, struct schedule_effects *effects);

enum schedule_opinion schedule_opinion(const struct schedule *schedule, uint64_t function);
/* What a call that came now would wait, estimated. */
uint32_t schedule_wait_ms(const struct schedule *schedule, uint64_t function);
void schedule_stats(const struct schedule *schedule, struct schedule_stats *out);

/* Steps 1, 5 and 7: one of the usable nodes, the less loaded of two taken at random;
 * SCHEDULE_NOBODY where there is none. For tests and for whoever places by the same rule. */
uint32_t schedule_choose(const struct schedule_config *config, const struct schedule_peer *peers,
                         uint32_t count, uint32_t from, uint64_t random);

#endif
