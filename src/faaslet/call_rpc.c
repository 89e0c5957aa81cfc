/* call_rpc.c: forms of RPC_CALL. */
#include "faaslet/call_rpc.h"

#include <string.h>

#include "base/error.h"
#include "faaslet/call.h"

#define HEAD_BYTES 21u  /* of a request, to the tenant's length */
#define REPLY_BYTES 20u /* of a reply */

int call_rpc_decode(struct wm_view body, struct call_rpc_request *out, struct wm_diag *diag)
{
    struct wm_cursor cursor = wm_cursor_of(body);
    uint8_t operation;
    uint32_t tenant_len, name_len;
    if (!wm_cursor_u8(&cursor, &operation) || !wm_cursor_u32(&cursor, &out->depth) ||
        !wm_cursor_u32(&cursor, &out->timeout_ms) || !wm_cursor_u64(&cursor, &out->id) ||
        !wm_cursor_u32(&cursor, &tenant_len) || tenant_len > CALL_RPC_NAME_BYTES_MAX ||
        !wm_cursor_bytes(&cursor, tenant_len, &out->tenant) || !wm_cursor_u32(&cursor, &name_len) ||
        name_len > CALL_RPC_NAME_BYTES_MAX || !wm_cursor_bytes(&cursor, name_len, &out->name) ||
        operation == 0 || operation >= CALL_RPC_OPERATIONS ||
        wm_cursor_left(&cursor) > CALL_INPUT_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_MALFORMED, "call request: not of the form");
    }
    out->operation = (enum call_rpc_operation)operation;
    return wm_cursor_bytes(&cursor, wm_cursor_left(&cursor), &out->input) ? 0 : WM_E_MALFORMED;
}

int call_rpc_answer(struct rpc_request *request, const struct call_rpc_reply *reply)
{
    uint8_t head[REPLY_BYTES];
    memcpy(head, &reply->code, 4);
    memcpy(head + 4, &reply->value, 4);
    memcpy(head + 8, &reply->return_code, 4);
    memcpy(head + 12, &reply->id, 8);
    int rc = rpc_reply_add(request, wm_view_of(head, sizeof head));
    return rc ? rc : rpc_reply_add(request, reply->output);
}

int call_rpc_ask(struct rpc_client *client, const struct call_rpc_request *request,
                 struct call_rpc_reply *out, struct wm_diag *diag)
{
    uint8_t head[HEAD_BYTES];
    uint32_t tenant_len = (uint32_t)request->tenant.len, name_len = (uint32_t)request->name.len;
    struct rpc_reply reply;
    head[0] = (uint8_t)request->operation;
    memcpy(head + 1, &request->depth, 4);
    memcpy(head + 5, &request->timeout_ms, 4);
    memcpy(head + 9, &request->id, 8);
    memcpy(head + 17, &tenant_len, 4);
    struct iovec parts[5] = {{head, sizeof head},
                             {(void *)(uintptr_t)request->tenant.ptr, request->tenant.len},
                             {&name_len, sizeof name_len},
                             {(void *)(uintptr_t)request->name.ptr, request->name.len},
                             {(void *)(uintptr_t)request->input.ptr, request->input.len}};
    int rc = rpc_call(client, RPC_CALL, parts, 5, -1, &reply, diag);
    if (rc != 0) {
        return rc;
    }
    struct wm_cursor cursor = wm_cursor_of(reply.body);
    uint32_t code, return_code;
    if (!wm_cursor_u32(&cursor, &code) || !wm_cursor_u32(&cursor, &out->value) ||
        !wm_cursor_u32(&cursor, &return_code) || !wm_cursor_u64(&cursor, &out->id) ||
        !wm_cursor_bytes(&cursor, wm_cursor_left(&cursor), &out->output)) {
        return wm_diag_set(diag, WM_E_MALFORMED, "call reply: not of the form");
    }
    out->code = (int32_t)code;
    out->return_code = (int32_t)return_code;
    return 0;
}
