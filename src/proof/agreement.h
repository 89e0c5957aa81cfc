/* agreement.h: are these statements of replicas genuine, under this configuration?
 *
 * The checks that a replica makes before it acts on what others say, and an auditor before he
 * believes it: the same code, so that no replica can be blamed for what another took for right.
 * Only signatures, arithmetic of quorums and the form of statements; whether a batch's content is
 * right is the executor's.
 *
 * Statements are hostile. A refused one is WM_E_FORGED (a signature, a hash, a quorum does not
 * hold), WM_E_MALFORMED or WM_E_INVALID, with the sentence why. Pure; no memory of its own but the
 * stack. Any thread. */
#ifndef WM_PROOF_AGREEMENT_H
#define WM_PROOF_AGREEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "crypto/sign.h"
#include "wire/genesis.h"
#include "wire/quorum.h"
#include "wire/viewchange.h"

/* The primary's position in a view, among `replicas` > 0 of them. */
static inline uint32_t agreement_primary(uint64_t view, uint32_t replicas)
{
    return (uint32_t)(view % replicas);
}

/* A statement's name: the SHA-256 of what its signature covers. */
void agreement_name(struct wm_view header, const ledger_hash payload, ledger_hash out);

/* Signed statements with claims as given, in pieces. The header is written to `header`. */
void agreement_sign(const struct sign_key *key, bool tree, struct wm_view claims,
                    const ledger_hash payload, uint8_t header[COSE_PROTECTED_BYTES_MAX],
                    struct statement_parts *out);

/* A pre-prepare by the primary of its view in `configuration`, whose number it has. `name` is
 * set as soon as it can be read. signature NULL: do not check it (it is bound otherwise). */
WM_MUST_CHECK int agreement_preprepare(const ledger_hash service,
                                       const struct configuration *configuration,
                                       struct wm_view header, const ledger_hash root,
                                       const uint8_t *signature, struct preprepare_claims *claims,
                                       ledger_hash name, struct wm_diag *diag);

/* The bytes that backup `replica` signs to prepare this, and their check. The key, and so the
 * header, follow from the configuration. */
void agreement_prepare_header(const ledger_hash service, const struct preprepare_claims *preprepare,
                              const ledger_hash name, uint32_t replica, const ledger_key key,
                              const ledger_hash commitment,
                              uint8_t header[COSE_PROTECTED_BYTES_MAX], struct wm_view *out);
WM_MUST_CHECK bool agreement_prepared_by(const ledger_hash service,
                                         const struct configuration *configuration,
                                         const struct preprepare_claims *preprepare,
                                         const ledger_hash name, const ledger_hash root,
                                         uint32_t replica, const ledger_hash commitment,
                                         const ledger_signature signature);

/* The pre-prepare and Q-1 prepares of distinct backups. */
WM_MUST_CHECK int agreement_certificate(const ledger_hash service,
                                        const struct configuration *configuration,
                                        const struct certificate *certificate,
                                        struct preprepare_claims *claims, ledger_hash name,
                                        struct wm_diag *diag);

/* A quorum that opened its nonces for one batch. `root`: G, where the quorum does not hold it (then
 * it must be given). `who` becomes the bitmap of positions that opened; the primary, whose
 * signature is always checked, is in it only with its nonce. */
WM_MUST_CHECK int agreement_quorum(const ledger_hash service,
                                   const struct configuration *configuration,
                                   const struct quorum *quorum, const ledger_hash root,
                                   struct preprepare_claims *claims, ledger_hash name,
                                   uint64_t *who, struct wm_diag *diag);

/* Configurations by number, as far as who checks knows them; NULL: not known. */
struct agreement_configurations {
    void *self;
    const struct configuration *(*get)(void *self, uint64_t cfg);
};

/* A view-change with its certificate. `claims`, and `top` with the certificate's pre-prepare where
 * there is one, are set on 0 only. WM_E_NOT_FOUND: it is of a configuration that is not known here.
 */
struct agreement_top {
    bool is_there;
    struct preprepare_claims claims;
    ledger_hash name, root;
    struct wm_view header;
};
WM_MUST_CHECK int agreement_viewchange(const ledger_hash service,
                                       const struct agreement_configurations *configurations,
                                       const struct viewchange *viewchange,
                                       struct viewchange_claims *claims, struct agreement_top *top,
                                       struct wm_diag *diag);

/* Is (view, seqno) of `a` larger than b's? None is smaller than any. */
WM_MUST_CHECK bool agreement_top_above(const struct agreement_top *a,
                                       const struct agreement_top *b);

/* What a new primary states, except for the ledger that it continues: signed by the primary of its
 * view; the view-change entry is of this view, has exactly Q valid view-changes of distinct
 * replicas of `configuration`, those that `used` names; base_seqno is the seqno of the largest top.
 * `tops` (room for LEDGER_REPLICAS_MAX) gets the largest ones: more than one where they tie. */
WM_MUST_CHECK int agreement_newview(const ledger_hash service,
                                    const struct agreement_configurations *configurations,
                                    const struct configuration *configuration,
                                    const struct newview_entry *entry, struct wm_view viewchanges,
                                    struct newview_claims *claims, struct agreement_top *tops,
                                    uint32_t *top_count, struct wm_diag *diag);

#endif
