/* Signed roots of nodes' call records, the newest of each node.
 *
 *     "anchor/" KEY -> [run, sequence, second, tree size, root, name]
 *
 * name: SHA-256 of what was signed, which the next root names as its previous one. Roots need not
 * all be put here: of one that is further on, all that comes before it is bound by its chain. */
#include <string.h>

#include "ledger/builtin.h"
#include "proof/receipt.h"
#include "wire/cbor.h"

#define VALUE_MAX (1u + 4u * CBOR_HEAD_BYTES_MAX + 2u * 34u)

struct anchor_key {
    uint8_t bytes[7 + COSE_KEY_BYTES];
};

static struct wm_view key_of(struct anchor_key *out, const uint8_t node[COSE_KEY_BYTES])
{
    memcpy(out->bytes, "anchor/", 7);
    memcpy(out->bytes + 7, node, COSE_KEY_BYTES);
    return wm_view_of(out->bytes, sizeof out->bytes);
}

static struct wm_view encode(const struct signed_root *root, uint8_t out[VALUE_MAX])
{
    struct cbor_writer writer = cbor_writer_of(out, VALUE_MAX);
    cbor_put_array(&writer, 6);
    cbor_put_uint(&writer, root->root.run);
    cbor_put_uint(&writer, root->root.sequence);
    cbor_put_uint(&writer, root->root.second);
    cbor_put_uint(&writer, root->root.tree_size);
    cbor_put_bytes(&writer, wm_view_of(root->hash, sizeof root->hash));
    cbor_put_bytes(&writer, wm_view_of(root->signed_sha256, sizeof root->signed_sha256));
    return wm_view_of(out, writer.len);
}

static bool decode(struct wm_view value, struct signed_root *out)
{
    struct cbor_reader reader = cbor_reader_of(value);
    *out = (struct signed_root){0};
    return cbor_array_of(&reader, 6) && cbor_uint(&reader, &out->root.run) &&
           cbor_uint(&reader, &out->root.sequence) && cbor_uint(&reader, &out->root.second) &&
           cbor_uint(&reader, &out->root.tree_size) &&
           cbor_bytes_of(&reader, out->hash, sizeof out->hash) &&
           cbor_bytes_of(&reader, out->signed_sha256, sizeof out->signed_sha256) &&
           cbor_end(&reader);
}

static bool comes_after(const struct signed_root *newest, const struct signed_root *root)
{
    if (root->root.sequence <= newest->root.sequence) {
        return false;
    }
    return root->root.sequence - newest->root.sequence == 1
               ? signed_root_follows(newest, root, NULL) == 0
               : root->root.second > newest->root.second && root->root.run >= newest->root.run;
}

/* The arguments are the signed root itself. The result is the newest one: this one, or where it was
 * refused, the one that it does not follow. */
static enum procedure_code run_put(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    struct signed_root root, newest;
    struct anchor_key at;
    struct wm_view value;
    uint8_t bytes[VALUE_MAX];
    if (signed_root_verify(call->arguments, NULL, &root, NULL) != 0) {
        return PROCEDURE_ARGUMENTS;
    }
    struct wm_view key = key_of(&at, root.key);
    int found = procedure_get(call, key, &value);
    if (found < 0 || (found == 1 && !decode(value, &newest))) {
        return PROCEDURE_LIMIT;
    }
    if (found == 1 && !comes_after(&newest, &root)) {
        return builtin_result(call, value, result) ? PROCEDURE_REFUSED : PROCEDURE_LIMIT;
    }
    value = encode(&root, bytes);
    return procedure_put(call, key, value) == 0 && builtin_result(call, value, result)
               ? PROCEDURE_DONE
               : PROCEDURE_LIMIT;
}

/* [key of a node] -> the newest root of it, or null */
static enum procedure_code run_get(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    static const uint8_t null[1] = {0xf6};
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    uint8_t node[COSE_KEY_BYTES];
    struct anchor_key at;
    struct wm_view value = wm_view_of(null, sizeof null);
    if (!cbor_array_of(&reader, 1) || !cbor_bytes_of(&reader, node, sizeof node) ||
        !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    return procedure_get(call, key_of(&at, node), &value) >= 0 &&
                   builtin_result(call, value, result)
               ? PROCEDURE_DONE
               : PROCEDURE_LIMIT;
}

const struct builtin anchor_builtins[] = {
    {"anchor.put", 1, run_put},
    {"anchor.get", 1, run_get},
    {0},
};
