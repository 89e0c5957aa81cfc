/* tier_fake.h: a global tier in this process's memory, for tests alone.
 *
 * Does what tier.h says, with locks that expire by CLOCK_MONOTONIC; sets are not there
 * (WM_E_UNSUPPORTED). A test makes operations fail or last, and reads what moved. Any thread. */
#ifndef WM_FAASLET_TIER_FAKE_H
#define WM_FAASLET_TIER_FAKE_H

#include "faaslet/tier.h"

struct tier_fake;

/* NULL: out of memory. */
struct tier_fake *tier_fake_new(void);
void tier_fake_free(struct tier_fake *fake);
struct tier tier_fake_tier(struct tier_fake *fake);

/* The n-th operation from now on (n >= 1) fails with `code`; 0: none does. */
void tier_fake_fail(struct tier_fake *fake, uint64_t n, int code);
bool tier_fake_failed(struct tier_fake *fake); /* it did */
/* Each operation lasts so long. */
void tier_fake_delay(struct tier_fake *fake, uint32_t op_us);
/* Renewals of locks of this key (NULL: all; borrowed) are refused with this code from now on; 0:
 * not. */
void tier_fake_refuse_renewals(struct tier_fake *fake, const char *key, int code);
/* Forgets all locks, as if they had expired. */
void tier_fake_drop_locks(struct tier_fake *fake);
struct tier_stats tier_fake_stats(struct tier_fake *fake);
/* Ranges of all writes so far, and renewals. */
uint64_t tier_fake_ranges_written(struct tier_fake *fake);
uint64_t tier_fake_renewals(struct tier_fake *fake);

#endif
