/* handover.h: a call that one node hands on to another, and its result, as bytes (RPC_RUN).
 *
 * Both are sent over an authenticated connection, but are read as if a stranger had sent them:
 * every length is proved, the result is views into the input. Integers little-endian, strings as
 * u32 length and bytes. Pure. */
#ifndef WM_NODE_HANDOVER_H
#define WM_NODE_HANDOVER_H

#include "base/diag.h"
#include "base/view.h"
#include "node/calls.h"

#define HANDOVER_TEXT_BYTES_MAX 65536u /* of a request's or a response's headers, a message... */

struct handover_call {
    struct wm_view tenant, function; /* function: NAME@VERSION, so that both mean the same */
    uint8_t module_sha256[32];
    uint32_t timeout_ms, depth, hops;
    bool chained, by_route;
    struct wm_view method, path, query, headers;
    struct wm_view input;
};

struct handover_result {
    uint32_t end; /* < CALL_ENDS */
    int32_t return_code;
    uint32_t status, retry_after_ms;
    bool cold;
    struct call_usage usage;
    uint64_t record_second;
    uint32_t record_index;
    struct wm_view node, headers, message, backtrace, output;
};

/* Bytes needed; written where `out` is not NULL. */
size_t handover_call_encode(const struct handover_call *call, uint8_t *out);
WM_MUST_CHECK int handover_call_decode(struct wm_view bytes, struct handover_call *out,
                                       struct wm_diag *diag);
size_t handover_result_encode(const struct handover_result *result, uint8_t *out);
WM_MUST_CHECK int handover_result_decode(struct wm_view bytes, struct handover_result *out,
                                         struct wm_diag *diag);

#endif
