/* http_session.h: outbound HTTP as one call sees it: the answers that it has fetched.
 *
 * The request goes to the node (RPC_HTTP), which knows the tenant's allow-list and does it
 * (node/outbound.h); the worker has no way to the network for it. Answers stay until the call ends,
 * at most HTTP_ANSWERS_MAX.
 *
 * Request: tenant, method, URL, headers, body, each u32 length and bytes. Reply: i32 code, u32
 * status, headers and body likewise. Threads: an executor's. */
#ifndef WM_FAASLET_HTTP_SESSION_H
#define WM_FAASLET_HTTP_SESSION_H

#include "base/diag.h"
#include "base/view.h"
#include "faaslet/rpc.h"

#define HTTP_ANSWERS_MAX 32u

struct http_session;

WM_MUST_CHECK int http_session_new(struct http_session **out);
void http_session_free(struct http_session *session); /* NULL allowed */
/* After each call. */
void http_session_end(struct http_session *session);

struct http_request_parts {
    struct wm_view tenant, method, url, headers, body;
};
/* For the node: reads a request as hostile. */
WM_MUST_CHECK int http_request_decode(struct wm_view bytes, struct http_request_parts *out);
/* And writes the reply. */
WM_MUST_CHECK int http_request_answer(struct rpc_request *request, int code, uint32_t status,
                                      struct wm_view headers, struct wm_view body);

#endif
