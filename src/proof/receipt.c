/* Receipts and signed roots: every part is recomputed from the part before, and the signature is
 * over the last. A bit that is not covered by the signature lies in an encoding that has one form
 * only, so there is no bit that could be flipped unseen. */
#include "proof/receipt.h"

#include <string.h>

#include "crypto/merkle.h"
#include "proof/statement.h"

_Static_assert(COSE_PATH_MAX <= MERKLE_LEVELS_MAX, "length of a path");
_Static_assert(COSE_HASH_BYTES == MERKLE_HASH_BYTES, "size of a hash");

int receipt_verify(struct wm_view bytes, const uint8_t key[SIGN_PUBLIC_BYTES], struct receipt *out,
                   struct wm_diag *diag)
{
    struct record_receipt parts;
    struct receipt receipt;
    int rc = record_receipt_get(bytes, &parts, diag);
    if (rc != 0) {
        return rc;
    }
    struct cbor_reader reader = cbor_reader_of(parts.record);
    if (!record_get(&reader, &receipt.record) || !cbor_end(&reader)) {
        rc = cbor_diag(&reader, "record", diag);
        wm_diag_prefix(diag, "receipt");
        return rc;
    }
    rc = record_root_get(parts.root.claims, &receipt.root, diag);
    if (rc != 0) {
        wm_diag_prefix(diag, "receipt");
        return rc;
    }
    const struct cose_inclusion *inclusion = &parts.root.inclusion;
    if (inclusion->tree_size != receipt.root.tree_size) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "receipt: the path is for a tree of %llu records, the root of one of "
                           "%llu",
                           (unsigned long long)inclusion->tree_size,
                           (unsigned long long)receipt.root.tree_size);
    }
    merkle_hash leaf, root;
    merkle_leaf(parts.record, leaf);
    if (!merkle_path_root(leaf, inclusion->index, inclusion->tree_size,
                          (const merkle_hash *)inclusion->path, inclusion->path_len, root)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "receipt: a path of %u hashes does not lead from record %llu to the "
                           "root of %llu records",
                           inclusion->path_len, (unsigned long long)inclusion->index,
                           (unsigned long long)inclusion->tree_size);
    }
    rc = statement_verify(&parts.root, root, key, "receipt", diag);
    if (rc != 0) {
        return rc;
    }
    if (!wm_view_eq(receipt.record.node, receipt.root.node)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "receipt: the record is of another node than the root that it is under");
    }
    receipt.index = inclusion->index;
    memcpy(receipt.key, parts.root.key, sizeof receipt.key);
    *out = receipt;
    return 0;
}

int signed_root_verify(struct wm_view bytes, const uint8_t key[SIGN_PUBLIC_BYTES],
                       struct signed_root *out, struct wm_diag *diag)
{
    struct cbor_reader reader = cbor_reader_of(bytes);
    struct cose_statement statement;
    struct signed_root root;
    bool ok = cose_sign1(&reader, &statement) &&
              ((statement.attached && statement.tree) ||
               cbor_fail(&reader, "a signed root has a payload, the hash of its tree"));
    if (!ok || !cbor_end(&reader)) {
        return cbor_diag(&reader, "root", diag);
    }
    int rc = record_root_get(statement.claims, &root.root, diag);
    if (rc == 0) {
        rc = statement_verify(&statement, statement.payload, key, "root", diag);
    }
    if (rc != 0) {
        return rc;
    }
    struct statement_signed covered;
    statement_signed_bytes(statement.protected_header, statement.payload, &covered);
    wm_sha256_once(wm_view_of(covered.bytes, covered.len), root.signed_sha256);
    memcpy(root.hash, statement.payload, sizeof root.hash);
    memcpy(root.key, statement.key, sizeof root.key);
    *out = root;
    return 0;
}

int signed_root_follows(const struct signed_root *root, const struct signed_root *next,
                        struct wm_diag *diag)
{
    if (next->root.sequence != root->root.sequence + 1) {
        return wm_diag_set(diag, WM_E_FORGED, "root %llu: %llu follows: roots are missing",
                           (unsigned long long)root->root.sequence,
                           (unsigned long long)next->root.sequence);
    }
    if (!wm_bytes_equal(next->root.previous, root->signed_sha256, RECORD_HASH_BYTES)) {
        return wm_diag_set(diag, WM_E_FORGED,
                           "root %llu: it names another root %llu than this one as its previous "
                           "one: the node signed two",
                           (unsigned long long)next->root.sequence,
                           (unsigned long long)root->root.sequence);
    }
    if (next->root.second <= root->root.second || next->root.run < root->root.run) {
        return wm_diag_set(diag, WM_E_FORGED, "root %llu: time goes backwards after it",
                           (unsigned long long)root->root.sequence);
    }
    return 0;
}
