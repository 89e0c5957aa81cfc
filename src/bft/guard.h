/* guard.h: the checks without which the protocol is not safe, each by its name.
 *
 * In a build for mutation tests (-DBFT_MUTANTS) one of them at a time can be switched off. A
 * simulator that does not notice is not worth much. Elsewhere BFT_GUARD is its condition and
 * nothing else. */
#ifndef WM_BFT_GUARD_H
#define WM_BFT_GUARD_H

#include <stdbool.h>

/* X(NAME): what is lost without it */
#define BFT_GUARD_TABLE(X)                                                         \
    X(AMNESIA_PERSIST)  /* a restart forgets what was signed */                    \
    X(AMNESIA_SILENCE)  /* a lost or old disk speaks again */                      \
    X(SIGN_ONCE)        /* two pre-prepares of one (view, seqno) are prepared */   \
    X(REVEAL_PREPARED)  /* a nonce is opened before the batch is prepared */       \
    X(REVEAL_IN_VIEW)   /* a nonce is opened after the view was left */            \
    X(TOP_TRUE)         /* a view-change names an older top than it could */       \
    X(CHOOSE_LARGEST)   /* a new primary continues another than the largest top */ \
    X(NEW_VIEW_CHECKED) /* backups enter a view without checking its choice */     \
    X(EVIDENCE_CHECKED) /* evidence is taken unread */                             \
    X(INDEX_RULE)       /* minimum_index is not kept */                            \
    X(ROOT_COMPARED)    /* results are prepared without comparing them */          \
    X(LEDGER_COMPARED)  /* a pre-prepare may name another ledger before it */      \
    X(NONCE_OPENS)      /* a nonce counts without opening its commitment */        \
    X(QUORUM_SIZE)      /* one prepare or nonce too few is enough */               \
    X(CATCH_UP_CHECKED) /* fetched entries are taken without their quorum */

#ifdef BFT_MUTANTS
#define BFT_GUARD_ENUM(name) BFT_GUARD_##name,
enum bft_guard { BFT_GUARD_TABLE(BFT_GUARD_ENUM) BFT_GUARD_COUNT };
#undef BFT_GUARD_ENUM
extern int bft_guard_off; /* one of enum bft_guard; -1: none */
#define BFT_GUARD_IS_OFF(name) (bft_guard_off == BFT_GUARD_##name)
#else
#define BFT_GUARD_IS_OFF(name) false
#endif
/* The condition, or true where the guard is off. */
#define BFT_GUARD(name, condition) (BFT_GUARD_IS_OFF(name) || (condition))

#endif
