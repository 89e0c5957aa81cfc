/* client_window.h: each number of a client once.
 *
 * The state has one pair for each client who ever submitted: key "client/" and his public key (32
 * bytes); value 16 bytes: his highest number and a window, both big-endian; bit k of the window
 * (bit 0: the lowest) says that highest - k was used. What lies 64 or more below the highest counts
 * as used. The ledger keeps these pairs itself, around the procedure, for every request that it
 * executes: they are not among a transaction's reads and writes, but are in the state root.
 *
 * Pure. Any thread. */
#ifndef WM_PROOF_CLIENT_WINDOW_H
#define WM_PROOF_CLIENT_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"
#include "wire/batch.h"

#define CLIENT_WINDOW_KEY_BYTES (7u + LEDGER_KEY_BYTES)
#define CLIENT_WINDOW_BYTES 16u

void client_window_key(const ledger_key client, uint8_t out[CLIENT_WINDOW_KEY_BYTES]);
/* `value`: as the state has it, empty where there is none. True: the number is new, and `out` is
 * the value with it; false: used before, nothing changes. A value of another length counts as none.
 */
WM_MUST_CHECK bool client_window_use(struct wm_view value, uint64_t number,
                                     uint8_t out[CLIENT_WINDOW_BYTES]);

#endif
