/* bft_base.h: what all parts of the simulator of agreement stand on: memory that is there or ends
 * the program, random numbers from the seed, keys, counted bytes. */
#ifndef WM_TEST_SIM_BFT_BASE_H
#define WM_TEST_SIM_BFT_BASE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/view.h"
#include "crypto/sign.h"
#include "wire/batch.h"

#define MS UINT64_C(1000000) /* nanoseconds */
#define SECOND (1000 * MS)

/* The C library's, not base/alloc.h's: what goes through that gate is counted as the core's. */
void *sim_alloc(size_t count, size_t len); /* zeroed */
void *sim_grow(void *old, size_t count, size_t len);

/* --- Random numbers (splitmix64): all of a run's come from one --- */

struct draw {
    uint64_t state;
};
uint64_t draw_u64(struct draw *draw);
uint64_t draw_below(struct draw *draw, uint64_t bound);                /* bound > 0 */
uint64_t draw_between(struct draw *draw, uint64_t low, uint64_t high); /* both possible */
bool draw_chance(struct draw *draw, uint32_t per_mille);
bool draw_coin(struct draw *draw);
/* A number below 64 of a bit that is set in mask; mask not 0. */
uint32_t draw_bit(struct draw *draw, uint64_t mask);

/* --- Keys: always the same for one number, made once --- */

#define KEYS_MAX 32u
const struct sign_key *key_of_replica(uint32_t id);
const struct sign_key *key_of_client(uint32_t number);
const struct sign_key *key_of_member(uint32_t number);

/* --- Bytes that several hold --- */

struct bytes {
    uint32_t holders;
    size_t len;
    uint8_t at[];
};
struct bytes *bytes_new(struct wm_view view);
struct bytes *bytes_get(struct bytes *bytes);
void bytes_drop(struct bytes *bytes); /* NULL allowed */
static inline struct wm_view bytes_view(const struct bytes *bytes)
{
    return bytes ? wm_view_of(bytes->at, bytes->len) : wm_view_of(NULL, 0);
}

static inline bool hash_equal(const ledger_hash a, const ledger_hash b)
{
    return memcmp(a, b, sizeof(ledger_hash)) == 0;
}

#endif
