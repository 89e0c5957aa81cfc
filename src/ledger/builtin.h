/* builtin.h: the procedures that every ledger has, compiled in.
 *
 * Arguments and results are deterministic CBOR (wire/cbor.h); doc/format/ledger.md, section
 * Built-in procedures, has them to the byte, and is what a client is written from. Here is what
 * each is for.
 *
 * kv.c: a value under a key.
 *     kv.put, kv.get, kv.remove, kv.cas
 *   A key belongs to the client who signs: two clients that use the same key have two values, and
 *   nobody writes another's. Keys that begin with "public/" are one space that all share: anybody
 *   writes there, so who shares one changes it by kv.cas. Everything can be read by everybody
 *   (kv.get with the owner's key): a ledger that all replicas execute hides nothing; encrypt what
 *   they must not see.
 *
 * register.c: who holds the one right copy of something that could be copied (an enclave's disk,
 *   the enclave itself).
 *     register.claim, register.advance, register.release, register.read
 *   A register has an epoch, a holder (a client's key) and a root (of what is held). Every change
 *   names the epoch and the root that it starts from, so an old disk or a second copy is refused;
 *   the refusal is a transaction as any other, with the client's signature on the attempt. A claim
 *   begins the next epoch: whoever held it in the one before can change nothing any more. The
 *   holder may claim again (it was restarted), and whom it named when it released (it moves there);
 *   while both may, the first one wins. An owner, where one was named at the first claim, may
 *   release in a lost holder's place.
 *
 * anchor.c: the newest signed root of a node's call records (wire/record.h).
 *     anchor.put, anchor.get
 *   One per key of a node. A root that does not come after the newest one is refused, and one that
 *   follows it directly must name it: so a node that rewrites its past is found out by comparing
 *   with the ledger.
 *
 * smallbank.c: the standard benchmark of that name (Alomari et al., ICDE 2008), a checking and a
 *   savings balance for each account. Clients are tellers: any may move anybody's money.
 *     smallbank.create_account, .load, .balance, .deposit_checking, .transact_savings,
 *     .amalgamate, .write_check, .send_payment
 *
 * echo.c: for measuring: "empty" does nothing, "echo" gives its arguments back.
 *
 * Codes: PROCEDURE_ARGUMENTS where the arguments are not as described, PROCEDURE_DENIED where the
 * client may not, PROCEDURE_REFUSED where the state does not allow it. Pure, as all procedures. */
#ifndef WM_LEDGER_BUILTIN_H
#define WM_LEDGER_BUILTIN_H

#include <stdint.h>

#include "proof/procedure.h"

struct builtin {
    const char *name;
    uint32_t version; /* of what it does: a change of behaviour is another digest */
    procedure_fn *run;
};

/* Each ends with a NULL name. */
extern const struct builtin kv_builtins[], register_builtins[], anchor_builtins[],
    smallbank_builtins[], echo_builtins[];

/* --- For the files of this family --- */

/* SHA-256 of "wardmote:NAME:VERSION". */
void builtin_digest(const struct builtin *builtin, ledger_hash out);
/* Copies an encoded result into the call's arena. False: no memory, and the call must return (which
 * code is then of no matter). */
WM_MUST_CHECK bool builtin_result(struct procedure_call *call, struct wm_view encoded,
                                  struct wm_view *result);

#endif
