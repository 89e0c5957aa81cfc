/* COSE_Sign1 statements; cose.h has the form. */
#include "wire/cose.h"

#define TAG_SIGN1 18u
#define HEADER_ALGORITHM 1
#define HEADER_KEY_ID 4
#define HEADER_TREE 395      /* "vds", RFC 9942 */
#define HEADER_PROOFS 396    /* "vdp", likewise */
#define HEADER_CLAIMS -65537 /* the first label of private use */
#define ALGORITHM_EDDSA -8
#define TREE_RFC9162_SHA256 1
#define PROOF_INCLUSION -1

void cose_put_protected(struct cbor_writer *writer, const uint8_t key[COSE_KEY_BYTES], bool tree,
                        struct wm_view claims)
{
    cbor_put_map(writer, tree ? 4 : 3);
    cbor_put_int(writer, HEADER_ALGORITHM);
    cbor_put_int(writer, ALGORITHM_EDDSA);
    cbor_put_int(writer, HEADER_KEY_ID);
    cbor_put_bytes(writer, wm_view_of(key, COSE_KEY_BYTES));
    if (tree) {
        cbor_put_int(writer, HEADER_TREE);
        cbor_put_int(writer, TREE_RFC9162_SHA256);
    }
    cbor_put_int(writer, HEADER_CLAIMS);
    cbor_put_raw(writer, claims);
}

void cose_put_signed(struct cbor_writer *writer, struct wm_view protected_header,
                     const uint8_t payload[COSE_PAYLOAD_BYTES])
{
    cbor_put_array(writer, 4);
    cbor_put_text(writer, wm_view_str("Signature1"));
    cbor_put_bytes(writer, protected_header);
    cbor_put_bytes(writer, wm_view_of(NULL, 0));
    cbor_put_bytes(writer, wm_view_of(payload, COSE_PAYLOAD_BYTES));
}

static void put_inclusion(struct cbor_writer *writer, const struct cose_inclusion *inclusion)
{
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, inclusion->tree_size);
    cbor_put_uint(writer, inclusion->index);
    cbor_put_array(writer, inclusion->path_len);
    for (uint32_t i = 0; i < inclusion->path_len; i++) {
        cbor_put_bytes(writer, wm_view_of(inclusion->path[i], COSE_HASH_BYTES));
    }
}

void cose_put_sign1(struct cbor_writer *writer, const struct cose_statement *statement)
{
    cbor_put_tag(writer, TAG_SIGN1);
    cbor_put_array(writer, 4);
    cbor_put_bytes(writer, statement->protected_header);
    if (statement->included) {
        struct cbor_writer counter = cbor_writer_of(NULL, 0);
        put_inclusion(&counter, &statement->inclusion);
        cbor_put_map(writer, 1);
        cbor_put_int(writer, HEADER_PROOFS);
        cbor_put_map(writer, 1);
        cbor_put_int(writer, PROOF_INCLUSION);
        cbor_put_array(writer, 1);
        cbor_put_head(writer, CBOR_BYTES, counter.len);
        put_inclusion(writer, &statement->inclusion);
    } else {
        cbor_put_map(writer, 0);
    }
    if (statement->attached) {
        cbor_put_bytes(writer, wm_view_of(statement->payload, COSE_PAYLOAD_BYTES));
    } else {
        cbor_put_null(writer);
    }
    cbor_put_bytes(writer, wm_view_of(statement->signature, COSE_SIGNATURE_BYTES));
}

/* The next entry of a map must have this key. */
static bool key_is(struct cbor_reader *reader, struct cbor_map *map, int64_t wanted)
{
    int64_t key;
    if (!cbor_map_next(reader, map)) {
        return cbor_fail(reader, "a header lacks an entry");
    }
    return cbor_int(reader, &key) &&
           (key == wanted || cbor_fail(reader, "a header has another entry than it must have"));
}

static bool int_is(struct cbor_reader *reader, int64_t wanted, const char *why)
{
    int64_t value;
    return cbor_int(reader, &value) && (value == wanted || cbor_fail(reader, why));
}

static bool map_done(struct cbor_reader *reader, const struct cbor_map *map)
{
    return map->left == 0 || cbor_fail(reader, "a header has an entry too many");
}

static void protected_map(struct cbor_reader *reader, struct cose_statement *out)
{
    struct cbor_map map;
    if (!cbor_map(reader, &map) || !key_is(reader, &map, HEADER_ALGORITHM) ||
        !int_is(reader, ALGORITHM_EDDSA, "the algorithm is not Ed25519 (-8)") ||
        !key_is(reader, &map, HEADER_KEY_ID) || !cbor_bytes_of(reader, out->key, sizeof out->key)) {
        return;
    }
    out->tree = map.left > 1;
    if (out->tree &&
        !(key_is(reader, &map, HEADER_TREE) &&
          int_is(reader, TREE_RFC9162_SHA256, "the tree is not RFC 9162's with SHA-256 (1)"))) {
        return;
    }
    if (!key_is(reader, &map, HEADER_CLAIMS)) {
        return;
    }
    if (cbor_peek(reader) != CBOR_ARRAY) {
        cbor_fail(reader, "the claims are not an array");
        return;
    }
    if (!cbor_skip(reader, &out->claims) || !map_done(reader, &map)) {
        return;
    }
    if (out->claims.len > COSE_CLAIMS_BYTES_MAX) {
        cbor_fail(reader, "the claims are too long");
    }
}

bool cose_header(struct wm_view header, struct cose_statement *out)
{
    struct cbor_reader reader = cbor_reader_of(header);
    *out = (struct cose_statement){.protected_header = header};
    protected_map(&reader, out);
    return cbor_end(&reader) && header.len <= COSE_PROTECTED_BYTES_MAX;
}

static void inclusion_proof(struct cbor_reader *reader, struct cose_inclusion *out)
{
    uint64_t len;
    if (!cbor_array_of(reader, 3) || !cbor_uint(reader, &out->tree_size) ||
        !cbor_uint(reader, &out->index) || !cbor_array(reader, &len)) {
        return;
    }
    if (len > COSE_PATH_MAX) {
        cbor_fail(reader, "the inclusion path is too long");
        return;
    }
    for (uint64_t i = 0; i < len; i++) {
        if (!cbor_bytes_of(reader, out->path[i], COSE_HASH_BYTES)) {
            return;
        }
    }
    out->path_len = (uint32_t)len;
}

static bool unprotected_map(struct cbor_reader *reader, struct cose_statement *out)
{
    struct cbor_map map, proofs;
    struct wm_view proof;
    if (!cbor_map(reader, &map)) {
        return false;
    }
    out->included = map.left != 0;
    if (!out->included) {
        return true;
    }
    if (!key_is(reader, &map, HEADER_PROOFS) || !cbor_map(reader, &proofs) ||
        !key_is(reader, &proofs, PROOF_INCLUSION) || !cbor_array_of(reader, 1) ||
        !cbor_bytes(reader, &proof) || !map_done(reader, &proofs) || !map_done(reader, &map)) {
        return false;
    }
    struct cbor_reader inner = cbor_inner(reader, proof);
    inclusion_proof(&inner, &out->inclusion);
    return cbor_inner_end(reader, &inner);
}

bool cose_sign1(struct cbor_reader *reader, struct cose_statement *out)
{
    uint64_t tag;
    *out = (struct cose_statement){0};
    if (!cbor_tag(reader, &tag) ||
        (tag != TAG_SIGN1 && !cbor_fail(reader, "this is not a COSE_Sign1 (tag 18)")) ||
        !cbor_array_of(reader, 4) || !cbor_bytes(reader, &out->protected_header)) {
        return false;
    }
    struct cbor_reader inner = cbor_inner(reader, out->protected_header);
    protected_map(&inner, out);
    if (!cbor_inner_end(reader, &inner) || !unprotected_map(reader, out)) {
        return false;
    }
    if (out->included && !out->tree) {
        return cbor_fail(reader, "an inclusion proof without a tree");
    }
    out->attached = cbor_peek(reader) == CBOR_BYTES;
    if (out->attached && out->included) {
        return cbor_fail(reader, "an inclusion proof beside a payload: the root is to be computed");
    }
    return (out->attached ? cbor_bytes_of(reader, out->payload, sizeof out->payload)
                          : cbor_null(reader)) &&
           cbor_bytes_of(reader, out->signature, sizeof out->signature);
}
