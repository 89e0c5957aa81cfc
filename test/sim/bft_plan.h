/* bft_plan.h: what one run of the simulator is: drawn from its seed, or made by a scenario.
 *
 * Swarm testing: each seed leaves out most kinds of trouble at random, so that those it has can go
 * far; a run that has everything dies young and learns little. */
#ifndef WM_TEST_SIM_BFT_PLAN_H
#define WM_TEST_SIM_BFT_PLAN_H

#include "bft/bft.h"
#include "sim/bft_base.h"

/* X(NAME, text): what happens to machines and links. */
#define FAULT_TABLE(X)                                     \
    X(CRASH, "machine stopped")                            \
    X(CRASH_AT, "machine stopped within a step or a sync") \
    X(CRASH_ALL, "all machines stopped")                   \
    X(PARTITION, "links cut between two halves")           \
    X(ONE_WAY, "links cut in one direction")               \
    X(ISOLATE, "machine cut off")                          \
    X(HEAL, "links healed")                                \
    X(LOSS, "links lose messages")                         \
    X(LAG, "links slow")                                   \
    X(SLOW, "machine slow")                                \
    X(CLOCK, "clock jumped")                               \
    X(TRIM, "journal replaced by its newest records")      \
    X(PRUNE, "old entries removed")                        \
    X(WIPE, "disk lost")                                   \
    X(RESTORE, "old disk restored")

#define FAULT_ENUM(name, text) FAULT_##name,
enum fault_kind { FAULT_TABLE(FAULT_ENUM) FAULT_COUNT };
#undef FAULT_ENUM

/* X(NAME, text): what a liar does to what its core wants to say, or says by itself. */
#define TRICK_TABLE(X)                                             \
    X(SILENT_PRIMARY, "sends no pre-prepares")                     \
    X(EQUIVOCATE, "sends two batches of one seqno")                \
    X(RECOMMIT, "sends one batch with two commitments")            \
    X(WRONG_ROOT, "states a wrong root of its transactions")       \
    X(WRONG_STATE, "states a wrong root of its state")             \
    X(WRONG_LEDGER, "states a wrong root of the ledger")           \
    X(WRONG_CLAIM, "states another number wrongly")                \
    X(WRONG_EVIDENCE, "makes up evidence")                         \
    X(WRONG_INDEX, "orders a request below its minimum index")     \
    X(WITHHOLD_NONCE, "keeps nonces to itself")                    \
    X(EARLY_NONCE, "opens nonces at once")                         \
    X(WRONG_NONCE, "opens nonces that fit nothing")                \
    X(BAD_SIGNATURE, "spoils signatures")                          \
    X(SAY_YES, "prepares whatever it hears")                       \
    X(SELECTIVE, "speaks to some only")                            \
    X(LOW_TOP, "names an older top")                               \
    X(EAGER_VIEW, "asks for views without reason")                 \
    X(BAD_NEW_VIEW, "begins views wrongly")                        \
    X(LOW_NEW_VIEW, "continues less than the largest top")         \
    X(FALSE_STATUS, "tells each another status")                   \
    X(FALSE_ENTRIES, "gives forged entries")                       \
    X(FALSE_NEWEST, "forgets what others said")                    \
    X(FLOOD, "sends heaps of rubbish")                             \
    X(REPLAY, "sends old messages again")                          \
    X(OTHER_SERVICE, "signs for another service or configuration") \
    X(NOISE, "flips bits")                                         \
    X(AMNESIA, "goes on with an old disk as if nothing were")

#define TRICK_ENUM(name, text) TRICK_##name,
enum trick_kind { TRICK_TABLE(TRICK_ENUM) TRICK_COUNT };
#undef TRICK_ENUM

const char *fault_text(enum fault_kind kind);
const char *trick_text(enum trick_kind kind);

struct plan {
    uint64_t seed;
    /* The service. */
    uint32_t replicas, spares;
    struct ledger_parameters parameters;
    struct bft_timing timing;
    struct bft_limits limits;
    /* Clients. */
    uint32_t clients, requests_each, window;
    uint32_t subset_pm, naughty_pm; /* of requests */
    uint32_t reconfigurations, notes;
    uint64_t think_ns; /* between two requests of one client, at most */
    /* Liars: how many, with what habits; twins: each is two machines with one key. */
    uint32_t liars;
    uint64_t liar_ids; /* which ones, as bits; 0: drawn */
    bool twins;
    bool apart; /* who hears one twin does not hear who hears the other, until the end */
    uint64_t tricks;
    uint32_t trick_pm;
    /* Links and machines. */
    uint64_t delay_ns, spread_ns;
    uint32_t loss_pm, twice_pm;
    uint64_t sync_ns, ledger_sync_ns, turn_ns, step_ns;
    uint32_t skew_pm; /* how much faster or slower clocks may run */
    /* Trouble: one fault each fault_ns on average until chaos_ns, of these kinds. */
    uint64_t fault_ns, chaos_ns;
    uint32_t weights[FAULT_COUNT];
    uint64_t away_ns; /* how long a machine is down, at most */
    /* Afterwards everything must end within this time; 0: not asked for. */
    uint64_t patience_ns;
};

/* No trouble at all: what scenarios begin with. */
void plan_calm(struct plan *plan, uint64_t seed, uint32_t replicas, uint32_t pipeline);
/* enough: at most f liars; else more, up to all. */
void plan_draw(struct plan *plan, uint64_t seed, bool enough);
static inline uint32_t plan_faulty(const struct plan *plan)
{
    return ledger_faulty(plan->replicas);
}
static inline bool plan_within(const struct plan *plan)
{
    return plan->liars <= plan_faulty(plan);
}

#endif
