/* wardmote/verify.h: proof/receipt.h's answer, without views into the caller's bytes. */
#include <string.h>

#include <wardmote/verify.h>

#include "base/assert.h"
#include "proof/receipt.h"

_Static_assert(WM_PROOF_NAME_BYTES == RECORD_NAME_BYTES_MAX + 1, "room for a name");
_Static_assert(WM_PROOF_HASH_BYTES == RECORD_HASH_BYTES, "size of a hash");
_Static_assert(WM_PROOF_KEY_BYTES == SIGN_PUBLIC_BYTES, "size of a key");

/* A NUL inside would hide what follows it: shown as '?'. */
static void copy_name(char out[WM_PROOF_NAME_BYTES], struct wm_view name)
{
    WM_ASSERT(name.len < WM_PROOF_NAME_BYTES);
    for (size_t i = 0; i < name.len; i++) {
        out[i] = name.ptr[i] ? (char)name.ptr[i] : '?';
    }
    out[name.len] = 0;
}

int wm_receipt_verify(const void *bytes, size_t len, const uint8_t key[WM_PROOF_KEY_BYTES],
                      struct wm_receipt_info *out, struct wm_diag *diag)
{
    struct receipt receipt;
    int rc = receipt_verify(wm_view_of(bytes, len), key, &receipt, diag);
    if (rc != 0) {
        return rc;
    }
    const struct record *record = &receipt.record;
    *out = (struct wm_receipt_info){
        .call_id = record->call_id,
        .version = record->version,
        .has_image = record->has_image,
        .has_output = record->has_output,
        .return_code = record->return_code,
        .cold = record->cold,
        .start_ns = record->start_ns,
        .wall_ns = record->wall_ns,
        .cpu_ns = record->cpu_ns,
        .fuel = record->fuel,
        .memory_peak_bytes = record->memory_peak_bytes,
        .input_bytes = record->input_bytes,
        .output_bytes = record->output_bytes,
        .state_bytes_pulled = record->state_bytes_pulled,
        .state_bytes_pushed = record->state_bytes_pushed,
        .net_bytes_in = record->net_bytes_in,
        .net_bytes_out = record->net_bytes_out,
        .second = receipt.root.second,
        .index = receipt.index,
        .records = receipt.root.tree_size,
        .lost = receipt.root.lost,
        .sequence = receipt.root.sequence,
        .run = receipt.root.run,
    };
    memcpy(out->key, receipt.key, sizeof out->key);
    memcpy(out->module_sha256, record->module_sha256, sizeof out->module_sha256);
    memcpy(out->image_sha256, record->image_sha256, sizeof out->image_sha256);
    memcpy(out->input_sha256, record->input_sha256, sizeof out->input_sha256);
    memcpy(out->output_sha256, record->output_sha256, sizeof out->output_sha256);
    copy_name(out->tenant, record->tenant);
    copy_name(out->function, record->function);
    copy_name(out->end, record->end);
    copy_name(out->node, record->node);
    return 0;
}

bool wm_key_parse(const char *text, uint8_t key[WM_PROOF_KEY_BYTES])
{
    return sign_public_of_text(wm_view_str(text), key);
}
