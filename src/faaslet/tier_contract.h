/* tier_contract.h: what every implementation of the global tier must do, as tests (base/test.h)
 * that the test program of each one runs. `tenant`: one that the tier has nothing of yet. The tests
 * use real time: a lock's or member's life is some 100 ms. */
#ifndef WM_FAASLET_TIER_CONTRACT_H
#define WM_FAASLET_TIER_CONTRACT_H

#include "faaslet/tier.h"

void tier_contract_values(const struct tier *tier, const char *tenant);
void tier_contract_random_ranges(const struct tier *tier, const char *tenant, uint32_t seed);
void tier_contract_listing(const struct tier *tier, const char *tenant);
void tier_contract_lists(const struct tier *tier, const char *tenant);
void tier_contract_counters(const struct tier *tier, const char *tenant);
void tier_contract_locks(const struct tier *tier, const char *tenant);
void tier_contract_fences(const struct tier *tier, const char *tenant);
void tier_contract_sets(const struct tier *tier, const char *tenant);
void tier_contract_refusals(const struct tier *tier, const char *tenant);
/* `tiers` (count of them) are ways to the same state, one for each thread. */
void tier_contract_threads(const struct tier *tiers, unsigned count, const char *tenant);

/* All of the above on one tier, each with a tenant of its own. */
#define TIER_CONTRACT(prefix, tier)                            \
    TEST(prefix##_values)                                      \
    {                                                          \
        tier_contract_values(tier, "values");                  \
    }                                                          \
    TEST(prefix##_random_ranges)                               \
    {                                                          \
        for (uint32_t seed = 1; seed <= 3; seed++) {           \
            tier_contract_random_ranges(tier, "random", seed); \
        }                                                      \
    }                                                          \
    TEST(prefix##_listing)                                     \
    {                                                          \
        tier_contract_listing(tier, "listing");                \
    }                                                          \
    TEST(prefix##_lists)                                       \
    {                                                          \
        tier_contract_lists(tier, "lists");                    \
    }                                                          \
    TEST(prefix##_counters)                                    \
    {                                                          \
        tier_contract_counters(tier, "counters");              \
    }                                                          \
    TEST(prefix##_locks)                                       \
    {                                                          \
        tier_contract_locks(tier, "locks");                    \
    }                                                          \
    TEST(prefix##_fences)                                      \
    {                                                          \
        tier_contract_fences(tier, "fences");                  \
    }                                                          \
    TEST(prefix##_sets)                                        \
    {                                                          \
        tier_contract_sets(tier, "sets");                      \
    }                                                          \
    TEST(prefix##_refusals)                                    \
    {                                                          \
        tier_contract_refusals(tier, "refusals");              \
    }
#define TIER_CONTRACT_CASES(prefix)                                                             \
    TEST_CASE(prefix##_values), TEST_CASE(prefix##_random_ranges), TEST_CASE(prefix##_listing), \
        TEST_CASE(prefix##_lists), TEST_CASE(prefix##_counters), TEST_CASE(prefix##_locks),     \
        TEST_CASE(prefix##_fences), TEST_CASE(prefix##_sets), TEST_CASE(prefix##_refusals)

#endif
