/* statement.h: making and checking the signatures of cose.h's statements.
 *
 * Statements to be checked may be hostile. Pure; no memory of its own. Any thread. */
#ifndef WM_PROOF_STATEMENT_H
#define WM_PROOF_STATEMENT_H

#include <stdint.h>

#include "base/diag.h"
#include "crypto/sign.h"
#include "wire/cose.h"

/* What a signature covers, and its hash: a statement's own name. */
struct statement_signed {
    size_t len;
    uint8_t bytes[COSE_SIGNED_BYTES_MAX];
};
void statement_signed_bytes(struct wm_view protected_header,
                            const uint8_t payload[COSE_PAYLOAD_BYTES],
                            struct statement_signed *out);

/* Signs: fills in key, tree, claims, payload, signature and protected_header, which is written to
 * `header`, borrowed by *out. Claims of at most COSE_CLAIMS_BYTES_MAX. Attached; not included. */
void statement_sign(const struct sign_key *key, bool tree, struct wm_view claims,
                    const uint8_t payload[COSE_PAYLOAD_BYTES],
                    uint8_t header[COSE_PROTECTED_BYTES_MAX], struct cose_statement *out);

/* Is it signed over this payload? WM_E_FORGED, and WM_E_DENIED where it is but `key` (NULL: any)
 * is not whose. `what` begins the sentence. */
WM_MUST_CHECK int statement_verify(const struct cose_statement *statement,
                                   const uint8_t payload[COSE_PAYLOAD_BYTES],
                                   const uint8_t key[SIGN_PUBLIC_BYTES], const char *what,
                                   struct wm_diag *diag);

#endif
