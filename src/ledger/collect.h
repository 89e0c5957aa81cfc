/* collect.h: from the replies of replicas to receipts: the deciding half of a client.
 *
 * IA-CCF section 4.2. Every replica answers a batch with its signature and its opened nonce, once
 * for all requests that a client has in it (wire/client.h, REPLY); one replica adds, for each
 * request, the batch's header and the way to its root (REPLYX). A client has a receipt when a
 * quorum of replies fits a REPLYX. Signatures are checked once a batch; after that each request
 * costs its path.
 *
 *     collect_expect(collect, request)             it was submitted
 *     collect_reply / collect_replyx               what comes, from anybody, in any order
 *     done(self, request hash, receipt, result)    called from these, once for each request
 *
 * Replies are hostile: a share that is not what it should be is dropped when the quorum is checked,
 * and another one may take its place. Bounded: requests that wait (WM_E_LIMIT beyond), and the
 * newest COLLECT_BATCHES batches; who falls out of them asks for his receipt by the request's hash.
 *
 * Memory: wm_alloc. No I/O, no clock. One thread. */
#ifndef WM_LEDGER_COLLECT_H
#define WM_LEDGER_COLLECT_H

#include "proof/agreement.h"
#include "wire/client.h"

#define COLLECT_BATCHES 256u

struct collect;

/* A request has its receipt, which was checked but for the client's own signature; views for the
 * call. `result`: only where it was sent. */
struct collect_done {
    const uint8_t *request; /* its hash */
    struct wm_view receipt;
    uint64_t index, seqno;
    const struct request_output *output;
    bool has_result;
    struct wm_view result;
};
typedef void collect_done_fn(void *self, const struct collect_done *done);

struct collect_config {
    ledger_hash service;
    struct agreement_configurations configurations; /* as far as they are known */
    uint32_t requests_max;
    collect_done_fn *done;
    void *self;
};

/* NULL: out of memory. */
struct collect *collect_new(const struct collect_config *config);
void collect_free(struct collect *collect); /* NULL allowed */

/* The whole COSE_Sign1 of a request; copied. WM_E_LIMIT, -ENOMEM. Known ones are no error. */
WM_MUST_CHECK int collect_expect(struct collect *collect, struct wm_view request);
/* Not waited for any more. */
void collect_forget(struct collect *collect, const ledger_hash request);
uint32_t collect_waiting(const struct collect *collect);

/* False: it is of a configuration that is not known here: fetch the rest of the governance chain.
 */
bool collect_reply(struct collect *collect, const struct client_reply *reply);
bool collect_replyx(struct collect *collect, const struct client_replyx *replyx);

#endif
