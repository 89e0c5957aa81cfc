/* ledger_receipt.h: is this receipt of a ledger's transaction genuine, and who stands behind it?
 *
 * IA-CCF section 4.2. A receipt (doc/format/ledger.md) shows that a quorum of the replicas of one
 * configuration committed, by signature and opened nonce, to a batch that holds this request at
 * this index with this output. Who the replicas were is known from the governance chain
 * (proof/chain.h); the members who endorsed them answer for them.
 *
 * It does not show that no other history was signed elsewhere: two receipts that contradict each
 * other are what an audit turns into blame (proof/blame.h).
 *
 * The bytes are hostile. Pure; no memory of its own but the stack. Any thread. */
#ifndef WM_PROOF_LEDGER_RECEIPT_H
#define WM_PROOF_LEDGER_RECEIPT_H

#include <stdint.h>

#include "base/diag.h"
#include "proof/agreement.h"

struct ledger_receipt_facts {
    struct ledger_receipt receipt; /* views into the bytes */
    struct request request;        /* of the client whose key is request.statement.key */
    ledger_hash request_hash;
    struct preprepare_claims batch; /* that holds the transaction */
    ledger_hash batch_name, batch_root;
    struct preprepare_claims
        quorum; /* the batch that the quorum is for: the same, or a later one */
    ledger_hash quorum_name;
    uint64_t who; /* positions in configuration quorum.cfg that committed */
};

/* 0; WM_E_MALFORMED: no receipt; WM_E_FORGED: something in it does not hold; WM_E_INVALID: it is of
 * another service, or breaks the index rule; WM_E_NOT_FOUND: it is of a configuration that the
 * chain at hand does not reach. *out is set on 0 only. */
WM_MUST_CHECK int ledger_receipt_verify(struct wm_view bytes, const ledger_hash service,
                                        const struct agreement_configurations *configurations,
                                        struct ledger_receipt_facts *out, struct wm_diag *diag);

/* What the replicas' part of a receipt shows, whatever the request in it is: that these committed
 * to a batch with it. facts->request is not set. The same codes, but for those of the request. */
WM_MUST_CHECK int ledger_receipt_committed(struct wm_view bytes, const ledger_hash service,
                                           const struct agreement_configurations *configurations,
                                           struct ledger_receipt_facts *out, struct wm_diag *diag);

#endif
