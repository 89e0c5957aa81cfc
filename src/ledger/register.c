/* Registers: compare-and-swap of (epoch, holder, root), so that of what can be copied one copy is
 * the right one. builtin.h tells what for.
 *
 *     "reg/" ID -> [epoch, moves, holder, root, successor / null, owner / null]
 *
 *                    claim by the holder: epoch + 1
 *                        +-----+
 *                        v     |
 *     (none) --claim--> held by H --release to S--> offered to S --claim by S--> held by S
 *                        |   ^                          |        epoch + 1, moves + 1
 *                        +---+                          +--claim by H--> held by H
 *                       advance                                  epoch + 1
 *
 * While it is offered nothing advances: what the successor took with it stays the newest. */
#include <string.h>

#include "crypto/hash.h"
#include "ledger/builtin.h"
#include "wire/cbor.h"

#define ID_MIN 16u
#define ID_MAX 64u
#define VALUE_MAX (1u + 2u * CBOR_HEAD_BYTES_MAX + 4u * 34u)

struct reg {
    uint64_t epoch, moves; /* epoch 0: there is none */
    uint8_t holder[COSE_KEY_BYTES];
    ledger_hash root;
    bool has_successor, has_owner;
    uint8_t successor[COSE_KEY_BYTES], owner[COSE_KEY_BYTES];
};

struct reg_key {
    uint8_t bytes[4 + ID_MAX];
    size_t len;
};

static bool get_id(struct cbor_reader *reader, struct reg_key *key)
{
    struct wm_view id;
    if (!cbor_bytes(reader, &id) || id.len < ID_MIN || id.len > ID_MAX) {
        return false;
    }
    memcpy(key->bytes, "reg/", 4);
    memcpy(key->bytes + 4, id.ptr, id.len);
    key->len = 4 + id.len;
    return true;
}

static bool get_key(struct cbor_reader *reader, bool *is_there, uint8_t out[COSE_KEY_BYTES])
{
    *is_there = cbor_peek(reader) == CBOR_BYTES;
    return *is_there ? cbor_bytes_of(reader, out, COSE_KEY_BYTES) : cbor_null(reader);
}

static void put_key(struct cbor_writer *writer, bool is_there, const uint8_t key[COSE_KEY_BYTES])
{
    if (is_there) {
        cbor_put_bytes(writer, wm_view_of(key, COSE_KEY_BYTES));
    } else {
        cbor_put_null(writer);
    }
}

static struct wm_view encode(const struct reg *reg, uint8_t out[VALUE_MAX])
{
    struct cbor_writer writer = cbor_writer_of(out, VALUE_MAX);
    if (reg->epoch == 0) {
        cbor_put_null(&writer);
    } else {
        cbor_put_array(&writer, 6);
        cbor_put_uint(&writer, reg->epoch);
        cbor_put_uint(&writer, reg->moves);
        put_key(&writer, true, reg->holder);
        cbor_put_bytes(&writer, wm_view_of(reg->root, sizeof reg->root));
        put_key(&writer, reg->has_successor, reg->successor);
        put_key(&writer, reg->has_owner, reg->owner);
    }
    return wm_view_of(out, writer.len);
}

/* False: the state cannot tell. */
static bool load(struct procedure_call *call, const struct reg_key *key, struct reg *out)
{
    struct wm_view value;
    int found = procedure_get(call, wm_view_of(key->bytes, key->len), &value);
    *out = (struct reg){0};
    if (found != 1) {
        return found == 0;
    }
    struct cbor_reader reader = cbor_reader_of(value);
    bool is_held;
    return cbor_array_of(&reader, 6) && cbor_uint(&reader, &out->epoch) &&
           cbor_uint(&reader, &out->moves) && get_key(&reader, &is_held, out->holder) && is_held &&
           cbor_bytes_of(&reader, out->root, sizeof out->root) &&
           get_key(&reader, &out->has_successor, out->successor) &&
           get_key(&reader, &out->has_owner, out->owner) && cbor_end(&reader);
}

/* Ends with the register as it is: stored where the code says so. */
static enum procedure_code answer(struct procedure_call *call, const struct reg_key *key,
                                  const struct reg *reg, enum procedure_code code, bool store,
                                  struct wm_view *result)
{
    uint8_t bytes[VALUE_MAX];
    struct wm_view value = encode(reg, bytes);
    if (store && procedure_put(call, wm_view_of(key->bytes, key->len), value) != 0) {
        return PROCEDURE_LIMIT;
    }
    return builtin_result(call, value, result) ? code : PROCEDURE_LIMIT;
}

static bool is_client(const struct procedure_call *call, const uint8_t key[COSE_KEY_BYTES])
{
    return memcmp(call->request->statement.key, key, COSE_KEY_BYTES) == 0;
}

static bool is_at(const struct reg *reg, uint64_t epoch, const ledger_hash root)
{
    return reg->epoch == epoch && memcmp(reg->root, root, sizeof reg->root) == 0;
}

/* [id, epoch, root, owner / null]: epoch 0 makes a register, with this root. */
static enum procedure_code run_claim(void *self, struct procedure_call *call,
                                     struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct reg_key key;
    struct reg reg;
    uint64_t epoch;
    ledger_hash root;
    uint8_t owner[COSE_KEY_BYTES];
    bool has_owner;
    if (!cbor_array_of(&reader, 4) || !get_id(&reader, &key) || !cbor_uint(&reader, &epoch) ||
        !cbor_bytes_of(&reader, root, sizeof root) || !get_key(&reader, &has_owner, owner) ||
        !cbor_end(&reader) || (has_owner && epoch != 0)) {
        return PROCEDURE_ARGUMENTS;
    }
    if (!load(call, &key, &reg)) {
        return PROCEDURE_LIMIT;
    }
    bool holds = reg.epoch == 0 || is_client(call, reg.holder);
    bool moves = reg.has_successor && is_client(call, reg.successor);
    bool starts = reg.epoch == 0 && epoch == 0;
    if (!starts && !(is_at(&reg, epoch, root) && (holds || moves))) {
        return answer(call, &key, &reg, PROCEDURE_REFUSED, false, result);
    }
    if (starts) {
        memcpy(reg.root, root, sizeof reg.root);
        reg.has_owner = has_owner;
        if (has_owner) {
            memcpy(reg.owner, owner, sizeof reg.owner);
        }
    }
    reg.epoch++;
    reg.moves += !holds;
    memcpy(reg.holder, call->request->statement.key, sizeof reg.holder);
    reg.has_successor = false;
    return answer(call, &key, &reg, PROCEDURE_DONE, true, result);
}

/* [id, epoch, root, new root] */
static enum procedure_code run_advance(void *self, struct procedure_call *call,
                                       struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct reg_key key;
    struct reg reg;
    uint64_t epoch;
    ledger_hash root, next;
    if (!cbor_array_of(&reader, 4) || !get_id(&reader, &key) || !cbor_uint(&reader, &epoch) ||
        !cbor_bytes_of(&reader, root, sizeof root) || !cbor_bytes_of(&reader, next, sizeof next) ||
        !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    if (!load(call, &key, &reg)) {
        return PROCEDURE_LIMIT;
    }
    if (reg.epoch == 0 || !is_at(&reg, epoch, root) || !is_client(call, reg.holder) ||
        reg.has_successor) {
        return answer(call, &key, &reg, PROCEDURE_REFUSED, false, result);
    }
    memcpy(reg.root, next, sizeof reg.root);
    return answer(call, &key, &reg, PROCEDURE_DONE, true, result);
}

/* [id, epoch, root, successor]: by the holder, or the owner. */
static enum procedure_code run_release(void *self, struct procedure_call *call,
                                       struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct reg_key key;
    struct reg reg;
    uint64_t epoch;
    ledger_hash root;
    uint8_t successor[COSE_KEY_BYTES];
    if (!cbor_array_of(&reader, 4) || !get_id(&reader, &key) || !cbor_uint(&reader, &epoch) ||
        !cbor_bytes_of(&reader, root, sizeof root) ||
        !cbor_bytes_of(&reader, successor, sizeof successor) || !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    if (!load(call, &key, &reg)) {
        return PROCEDURE_LIMIT;
    }
    bool may = is_client(call, reg.holder) || (reg.has_owner && is_client(call, reg.owner));
    if (reg.epoch == 0 || !is_at(&reg, epoch, root) || !may) {
        return answer(call, &key, &reg, PROCEDURE_REFUSED, false, result);
    }
    reg.has_successor = true;
    memcpy(reg.successor, successor, sizeof reg.successor);
    return answer(call, &key, &reg, PROCEDURE_DONE, true, result);
}

/* [id] */
static enum procedure_code run_read(void *self, struct procedure_call *call, struct wm_view *result)
{
    (void)self;
    struct cbor_reader reader = cbor_reader_of(call->arguments);
    struct reg_key key;
    struct reg reg;
    if (!cbor_array_of(&reader, 1) || !get_id(&reader, &key) || !cbor_end(&reader)) {
        return PROCEDURE_ARGUMENTS;
    }
    if (!load(call, &key, &reg)) {
        return PROCEDURE_LIMIT;
    }
    return answer(call, &key, &reg, PROCEDURE_DONE, false, result);
}

const struct builtin register_builtins[] = {
    {"register.claim", 1, run_claim},
    {"register.advance", 1, run_advance},
    {"register.release", 1, run_release},
    {"register.read", 1, run_read},
    {0},
};
