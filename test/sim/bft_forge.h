/* bft_forge.h: messages of agreement made by hand, with one's own key and without a conscience.
 *
 * Each function fills a buffer of the program's; what it returns is valid until the next call. */
#ifndef WM_TEST_SIM_BFT_FORGE_H
#define WM_TEST_SIM_BFT_FORGE_H

#include "sim/bft_base.h"
#include "wire/peer.h"

struct forged_preprepare {
    struct preprepare_claims claims;
    ledger_hash root;
    struct wm_view evidence;
    uint32_t count;
    struct wm_view requests; /* hashes */
};
struct wm_view forge_preprepare(const struct sign_key *key, const struct forged_preprepare *what);
struct wm_view forge_prepare(const struct sign_key *key, const struct prepare_claims *claims,
                             const ledger_hash root);
struct wm_view forge_commit(uint64_t cfg, uint64_t view, uint64_t seqno, uint32_t position,
                            const ledger_nonce nonce);
struct wm_view forge_view_change(const struct sign_key *key, const struct viewchange_claims *claims,
                                 struct wm_view certificate);
struct wm_view forge_new_view(const struct sign_key *key, const struct newview_claims *claims,
                              struct wm_view viewchanges);
struct wm_view forge_message(const struct peer_message *message);

/* A signed header and its signature over a payload; the header is in `header`. */
void forge_statement(const struct sign_key *key, bool tree, struct wm_view claims,
                     const ledger_hash payload, uint8_t header[COSE_PROTECTED_BYTES_MAX],
                     struct statement_parts *out);

/* Reads a pre-prepare's message whole. */
bool forge_read_preprepare(struct wm_view bytes, struct forged_preprepare *out,
                           struct statement_parts *statement);

#endif
