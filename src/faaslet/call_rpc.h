/* call_rpc.h: what a worker asks its node about calls (RPC_CALL of rpc.h).
 *
 * Request:  u8 operation, u32 depth, u32 timeout_ms, u64 id, u32 bytes of the tenant, tenant,
 *           u32 bytes of the name, name, input
 * Reply:    i32 code (0, or one of ours, or a negative errno), u32 handle or end, i32 return code,
 *           u64 id, output
 *
 * RESOLVE: the handle of what a name means now; the node has it loaded, or on its way to this
 * worker. CHAIN: starts a call on another node, if one is less busy than this worker, where `id`
 * calls wait or run; its id. -EAGAIN: none is, the worker keeps it. AWAIT: its end; the output
 * comes with it, once. -EAGAIN: not yet, after timeout_ms or CALL_RPC_WAIT_MS_MAX at most: so a
 * call that is interrupted does not leave its stream waiting. FORGET: nobody will await it. The
 * node reads requests as hostile. Encoding and decoding are pure. */
#ifndef WM_FAASLET_CALL_RPC_H
#define WM_FAASLET_CALL_RPC_H

#include <stdint.h>

#include "base/diag.h"
#include "base/view.h"
#include "faaslet/rpc.h"

enum call_rpc_operation {
    CALL_RPC_RESOLVE = 1,
    CALL_RPC_CHAIN,
    CALL_RPC_AWAIT,
    CALL_RPC_FORGET,
    CALL_RPC_OPERATIONS
};

#define CALL_RPC_NAME_BYTES_MAX 256u
#define CALL_RPC_WAIT_MS_MAX 200u

struct call_rpc_request {
    enum call_rpc_operation operation;
    uint32_t depth, timeout_ms;
    uint64_t id;
    struct wm_view tenant, name, input; /* tenant: for AWAIT and FORGET empty */
};

struct call_rpc_reply {
    int32_t code;
    uint32_t value; /* handle of RESOLVE, enum call_end of AWAIT */
    int32_t return_code;
    uint64_t id;
    struct wm_view output; /* in the client's buffer, until its next call */
};

WM_MUST_CHECK int call_rpc_decode(struct wm_view body, struct call_rpc_request *out,
                                  struct wm_diag *diag);
WM_MUST_CHECK int call_rpc_answer(struct rpc_request *request, const struct call_rpc_reply *reply);
/* Asks: 0 and *out whose code is to be looked at; or that of the connection. */
WM_MUST_CHECK int call_rpc_ask(struct rpc_client *client, const struct call_rpc_request *request,
                               struct call_rpc_reply *out, struct wm_diag *diag);

#endif
