/* Signatures of statements. */
#include "proof/statement.h"

#include "base/assert.h"
#include "crypto/hash.h"

#include <string.h>

_Static_assert(COSE_KEY_BYTES == SIGN_PUBLIC_BYTES, "size of a key");
_Static_assert(COSE_SIGNATURE_BYTES == SIGN_SIGNATURE_BYTES, "size of a signature");

void statement_signed_bytes(struct wm_view protected_header,
                            const uint8_t payload[COSE_PAYLOAD_BYTES], struct statement_signed *out)
{
    struct cbor_writer writer = cbor_writer_of(out->bytes, sizeof out->bytes);
    cose_put_signed(&writer, protected_header, payload);
    WM_ASSERT(cbor_fits(&writer)); /* the reader bounds the claims, and the writer's are ours */
    out->len = writer.len;
}

void statement_sign(const struct sign_key *key, bool tree, struct wm_view claims,
                    const uint8_t payload[COSE_PAYLOAD_BYTES],
                    uint8_t header[COSE_PROTECTED_BYTES_MAX], struct cose_statement *out)
{
    struct cbor_writer writer = cbor_writer_of(header, COSE_PROTECTED_BYTES_MAX);
    struct statement_signed bytes;
    WM_ASSERT(claims.len <= COSE_CLAIMS_BYTES_MAX);
    cose_put_protected(&writer, key->public_key, tree, claims);
    WM_ASSERT(cbor_fits(&writer));
    memset(out, 0, sizeof *out);
    out->protected_header = wm_view_of(header, writer.len);
    out->claims = claims;
    out->tree = tree;
    out->attached = true;
    memcpy(out->key, key->public_key, sizeof out->key);
    memcpy(out->payload, payload, sizeof out->payload);
    statement_signed_bytes(out->protected_header, payload, &bytes);
    sign_bytes(key, wm_view_of(bytes.bytes, bytes.len), out->signature);
}

int statement_verify(const struct cose_statement *statement,
                     const uint8_t payload[COSE_PAYLOAD_BYTES],
                     const uint8_t key[SIGN_PUBLIC_BYTES], const char *what, struct wm_diag *diag)
{
    struct statement_signed bytes;
    statement_signed_bytes(statement->protected_header, payload, &bytes);
    if (!sign_verify(statement->key, wm_view_of(bytes.bytes, bytes.len), statement->signature)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "%s: the signature is not one of the key that it names over this "
                           "content: something was changed, or it was never signed",
                           what);
    }
    if (key && !wm_bytes_equal(statement->key, key, SIGN_PUBLIC_BYTES)) {
        return wm_diag_set(diag, WM_E_DENIED,
                           "%s: it is signed, but by another key (%02x%02x%02x%02x...) than the "
                           "one expected (%02x%02x%02x%02x...)",
                           what, statement->key[0], statement->key[1], statement->key[2],
                           statement->key[3], key[0], key[1], key[2], key[3]);
    }
    return 0;
}
