/* wardmote/verify.h: is this proof genuine? Checked without a node, a network or a file.
 *
 *     struct wm_receipt_info info;
 *     struct wm_diag diag = WM_DIAG_INIT;
 *     if (wm_receipt_verify(bytes, len, node_key, &info, &diag) == 0) {
 *         printf("%s ran %s for %s\n", info.node, info.function, info.tenant);
 *     }
 *
 * A receipt of a call (doc/format/record.md) shows that the holder of the node's key stated the
 * call's record, among all those of one second, under one signature. It does not show that the call
 * really ran so.
 *
 * The bytes may be hostile. Nothing is allocated or kept. Any thread. */
#ifndef WARDMOTE_VERIFY_H
#define WARDMOTE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wardmote/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WM_PROOF_HASH_BYTES 32
#define WM_PROOF_KEY_BYTES 32
#define WM_PROOF_NAME_BYTES 65 /* 64 and a NUL */

struct wm_receipt_info {
    uint8_t key[WM_PROOF_KEY_BYTES]; /* Ed25519 public key of who signed */
    /* What is stated of the call. Names are as the node wrote them: text of any kind. */
    uint64_t call_id;
    char tenant[WM_PROOF_NAME_BYTES];
    char function[WM_PROOF_NAME_BYTES];
    uint32_t version;
    uint8_t module_sha256[WM_PROOF_HASH_BYTES];
    bool has_image; /* it started from a Proto-Faaslet, whose file has this hash */
    uint8_t image_sha256[WM_PROOF_HASH_BYTES];
    uint8_t input_sha256[WM_PROOF_HASH_BYTES];
    bool has_output;
    uint8_t output_sha256[WM_PROOF_HASH_BYTES];
    char end[WM_PROOF_NAME_BYTES]; /* "ok", "failed", "trap"... */
    int32_t return_code;
    bool cold;
    uint64_t start_ns; /* since 1970 */
    uint64_t wall_ns, cpu_ns, fuel;
    uint64_t memory_peak_bytes, input_bytes, output_bytes;
    uint64_t state_bytes_pulled, state_bytes_pushed, net_bytes_in, net_bytes_out;
    /* Where it stands. */
    char node[WM_PROOF_NAME_BYTES];
    uint64_t second;   /* since 1970 */
    uint64_t index;    /* of the record in its second */
    uint64_t records;  /* of that second */
    uint64_t lost;     /* calls of that second without a record, as the node admits */
    uint64_t sequence; /* of the second's root in the node's chain */
    uint64_t run;      /* of the node */
};

/* key NULL: any key; then it is for you to judge info.key. 0; WM_E_MALFORMED: no receipt;
 * WM_E_FORGED: its parts do not belong together: something was changed; WM_E_DENIED: whole, but
 * signed by another key. *out is set on 0 only. */
WM_EXPORT WM_MUST_CHECK int wm_receipt_verify(const void *bytes, size_t len,
                                              const uint8_t key[WM_PROOF_KEY_BYTES],
                                              struct wm_receipt_info *out, struct wm_diag *diag);

/* Keys as text: 64 hexadecimal digits. False: it is no such text. */
WM_EXPORT WM_MUST_CHECK bool wm_key_parse(const char *text, uint8_t key[WM_PROOF_KEY_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
