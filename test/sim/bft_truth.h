/* bft_truth.h: the committed ledger once more, checked from its bytes by code of its own.
 *
 * doc/format/ledger.md read anew: each rule that a batch, its evidence and the view-change entries
 * before it must keep. Roots are computed as RFC 9162 defines them, by recursion; whole subtrees
 * are remembered. */
#ifndef WM_TEST_SIM_BFT_TRUTH_H
#define WM_TEST_SIM_BFT_TRUTH_H

#include "sim/bft_app.h"
#include "wire/quorum.h"

#define TRUTH_NUMBERS 4096u /* of a client, that are watched */

struct truth_batch {
    uint64_t seqno, cfg, view, first_index, count;
    ledger_hash name, root, state_root, digest; /* digest: of all its entries */
    struct bytes *header;                       /* of its pre-prepare */
};

struct truth {
    const struct app_service *service;
    struct truth_batch *batches; /* [0]: batch 1 */
    uint64_t count, room;
    struct app_state state;
    /* Leaves of M, and roots of whole subtrees: levels[k] of 2^k leaves. */
    struct {
        ledger_hash *items;
        uint64_t count, room;
    } levels[32];
    uint64_t vote_at;           /* batch of a final vote whose 3P batches are not over; 0: none */
    ledger_hash committed_root; /* M right after it */
    uint64_t cfg, governance;
    uint64_t transactions;
    struct {
        uint64_t room, count;
        struct {
            ledger_hash request;
            uint64_t index; /* 0: free */
        } * items;
    } requests;
    uint8_t executed[APP_CLIENTS][TRUTH_NUMBERS];
    char why[256]; /* of the first rule that was broken */
};

void truth_init(struct truth *truth, const struct app_service *service,
                const struct app_state *state);
void truth_fini(struct truth *truth);
/* The next batch. False: a rule is broken, `why`. */
bool truth_add(struct truth *truth, const struct bft_entries *entries);
/* Of a batch's entries as they are given to commit. */
void truth_digest(const struct bft_entries *entries, ledger_hash out);
const struct truth_batch *truth_batch(const struct truth *truth, uint64_t seqno); /* NULL */
uint64_t truth_index_of(const struct truth *truth, const ledger_hash request);    /* 0: not there */

/* --- Statements by themselves --- */

/* SHA-256 of what a signature covers. */
void truth_name(struct wm_view header, const ledger_hash payload, ledger_hash out);
bool truth_signed(struct wm_view header, const ledger_hash payload, const ledger_key key,
                  const ledger_signature signature);
/* The prepare of a backup at a position, from what follows from the pre-prepare. */
bool truth_prepared(const struct app_service *service, const struct configuration *configuration,
                    struct wm_view header, const ledger_hash root, uint32_t position,
                    const ledger_hash commitment, const ledger_signature signature);
bool truth_opens(const ledger_nonce nonce, const ledger_hash commitment);
bool truth_preprepare(struct wm_view header, struct preprepare_claims *claims, ledger_key key);
/* Q of a configuration stand behind it: NULL, or why not. */
const char *truth_quorum(const struct app_service *service,
                         const struct configuration *configuration, const struct quorum *quorum);

#endif
