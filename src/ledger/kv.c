/* Values under keys. In the state:
 *
 *     "kv/p/" KEY           KEY without its "public/"
 *     "kv/o/" OWNER KEY     OWNER: a client's key, 32 bytes
 *
 * Two spaces that cannot meet, whatever a client's key or a key begins with. */
#include <string.h>

#include "ledger/builtin.h"
#include "wire/cbor.h"

#define PUBLIC "public/"
#define KEY_MAX 200u /* bytes of a client's key-value key */
#define STATE_KEY_MAX (5u + COSE_KEY_BYTES + KEY_MAX)

_Static_assert(STATE_KEY_MAX <= PROCEDURE_KEY_BYTES_MAX, "a key of the state");

struct state_key {
    uint8_t bytes[STATE_KEY_MAX];
    size_t len;
};

static void add(struct state_key *to, const void *bytes, size_t len)
{
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

/* False: no such key. */
static bool key_of(const uint8_t owner[COSE_KEY_BYTES], struct wm_view key, struct state_key *out)
{
    const size_t prefix = sizeof PUBLIC - 1;
    out->len = 0;
    if (key.len == 0 || key.len > KEY_MAX) {
        return false;
    }
    if (key.len > prefix && memcmp(key.ptr, PUBLIC, prefix) == 0) {
        add(out, "kv/p/", 5);
        add(out, key.ptr + prefix, key.len - prefix);
    } else {
        add(out, "kv/o/", 5);
        add(out, owner, COSE_KEY_BYTES);
        add(out, key.ptr, key.len);
    }
    return true;
}

static bool client_key(const struct procedure_call *call, struct wm_view key, struct state_key *out)
{
    return key_of(call->request->statement.key, key, out);
}

static struct wm_view view_of(const struct state_key *key)
{
    return wm_view_of(key->bytes, key->len);
}

/* bstr / null */
static bool bytes_or_null(struct cbor_reader *reader, bool *is_there, struct wm_view *out)
{
    *is_there = cbor_peek(reader) == CBOR_BYTES;
    return *is_there ? cbor_bytes(reader, out) : cbor_null(reader);
}

static bool give(struct procedure_call *call, bool is_there, struct wm_view value,
                 struct wm_view *result)
{
    size_t room = value.len + CBOR_HEAD_BYTES_MAX;
    uint8_t *bytes = procedure_memory(call, room);
    if (!bytes) {
        return false;
    }
    struct cbor_writer writer = cbor_writer_of(bytes, room);
    if (is_there) {
        cbor_put_bytes(&writer, value);
    } else {
        cbor_put_null(&writer);
    }
    *result = wm_view_of(bytes, writer.len);
    return true;
}

/* [key, value] */
static enum procedure_code run_put(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    (void)result;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct wm_view key, value;
    struct state_key at;
    if (!cbor_array_of(&reader, 2) || !cbor_bytes(&reader, &key) || !cbor_bytes(&reader, &value) ||
        !cbor_end(&reader) || !client_key(call, key, &at)) {
        return PROCEDURE_ARGUMENTS;
    }
    return procedure_put(call, view_of(&at), value) == 0 ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

/* [key, owner / null] -> value / null */
static enum procedure_code run_get(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct wm_view key, owner, value = {NULL, 0};
    struct state_key at;
    bool is_owned;
    if (!cbor_array_of(&reader, 2) || !cbor_bytes(&reader, &key) ||
        !bytes_or_null(&reader, &is_owned, &owner) || !cbor_end(&reader) ||
        (is_owned && owner.len != COSE_KEY_BYTES) ||
        !key_of(is_owned ? owner.ptr : call->request->statement.key, key, &at)) {
        return PROCEDURE_ARGUMENTS;
    }
    int found = procedure_get(call, view_of(&at), &value);
    return found >= 0 && give(call, found == 1, value, result) ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

/* [key] -> was it there? */
static enum procedure_code run_remove(void *self, struct procedure_call *call,
                                      struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct wm_view key, value;
    struct state_key at;
    if (!cbor_array_of(&reader, 1) || !cbor_bytes(&reader, &key) || !cbor_end(&reader) ||
        !client_key(call, key, &at)) {
        return PROCEDURE_ARGUMENTS;
    }
    int found = procedure_get(call, view_of(&at), &value);
    if (found < 0 || (found == 1 && procedure_remove(call, view_of(&at)) != 0)) {
        return PROCEDURE_LIMIT;
    }
    static const uint8_t answers[2] = {0xf4, 0xf5}; /* false, true */
    *result = wm_view_of(&answers[found], 1);
    return PROCEDURE_DONE;
}

/* [key, expected / null, value / null]: refused, with what is there, unless that is as expected;
 * null: nothing is there, or shall be. */
static enum procedure_code run_cas(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct wm_view key, expected = {NULL, 0}, value = {NULL, 0}, present = {NULL, 0};
    struct state_key at;
    bool expects, sets;
    if (!cbor_array_of(&reader, 3) || !cbor_bytes(&reader, &key) ||
        !bytes_or_null(&reader, &expects, &expected) || !bytes_or_null(&reader, &sets, &value) ||
        !cbor_end(&reader) || !client_key(call, key, &at)) {
        return PROCEDURE_ARGUMENTS;
    }
    int found = procedure_get(call, view_of(&at), &present);
    if (found < 0) {
        return PROCEDURE_LIMIT;
    }
    if (expects != (found == 1) || !wm_view_eq(expected, present)) {
        return give(call, found == 1, present, result) ? PROCEDURE_REFUSED : PROCEDURE_LIMIT;
    }
    int rc = 0;
    if (sets) {
        rc = procedure_put(call, view_of(&at), value);
    } else if (found == 1) {
        rc = procedure_remove(call, view_of(&at));
    }
    return rc == 0 ? PROCEDURE_DONE : PROCEDURE_LIMIT;
}

const struct builtin kv_builtins[] = {
    {"kv.put", 1, run_put},
    {"kv.get", 1, run_get},
    {"kv.remove", 1, run_remove},
    {"kv.cas", 1, run_cas},
    {0},
};
