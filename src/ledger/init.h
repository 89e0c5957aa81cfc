/* init.h: makes a new ledger: its genesis, from names and unpredictable bytes.
 *
 * One member for each replica; each member's key endorses the key of its replica. Pure. The caller
 * wipes the seeds. */
#ifndef WM_LEDGER_INIT_H
#define WM_LEDGER_INIT_H

#include <stdint.h>

#include "base/diag.h"
#include "crypto/sign.h"
#include "wire/genesis.h"

struct ledger_init_seat {
    struct wm_view member;  /* name */
    struct wm_view address; /* of its replica, for peers */
    uint8_t member_seed[SIGN_SEED_BYTES], replica_seed[SIGN_SEED_BYTES]; /* unpredictable */
};

struct ledger_init {
    struct wm_view name;
    uint8_t salt[GENESIS_SALT_BYTES]; /* unpredictable */
    uint64_t time_s;
    struct ledger_parameters parameters;
    struct ledger_rules rules;
    uint32_t count; /* seats: member i and replica i, ids from 0 */
    const struct ledger_init_seat *seats;
};

/* Writes the genesis; `out` has room for GENESIS_BYTES_MAX. WM_E_INVALID: it would break a rule of
 * wire/genesis.h; WM_E_LIMIT: too large; -ENOMEM. */
WM_MUST_CHECK int ledger_init(const struct ledger_init *init, uint8_t out[GENESIS_BYTES_MAX],
                              size_t *len, struct wm_diag *diag);

#endif
