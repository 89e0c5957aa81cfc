/* Modules come in chunks, one transaction each, and count once all are there and have the hash that
 * was announced. A member uploads one at a time, in order; beginning another forgets the one
 * before, so that what members leave unfinished stays bounded. Two members may upload the same
 * module at once, since its chunks have the same keys: who writes wrong ones makes both begin
 * again, and is known by his signature. */
#include <string.h>

#include "crypto/hash.h"
#include "proof/governance_internal.h"

static struct wm_view bytes_of(const struct governance_module *module)
{
    return wm_view_of(module->sha256, sizeof module->sha256);
}

static void big_endian(uint32_t number, uint8_t out[4])
{
    number = __builtin_bswap32(number);
    memcpy(out, &number, 4);
}

void governance_module_key(const struct governance_module *module,
                           uint8_t out[GOVERNANCE_MODULE_KEY_BYTES])
{
    struct wm_view head = governance_key(out, GOVERNANCE_KEY_MODULE, bytes_of(module));
    big_endian(module->length, out + head.len);
}

void governance_chunk_key(const struct governance_module *module, uint32_t chunk,
                          uint8_t out[GOVERNANCE_CHUNK_KEY_BYTES])
{
    struct wm_view head = governance_key(out, GOVERNANCE_KEY_CHUNK, bytes_of(module));
    big_endian(module->length, out + head.len);
    big_endian(chunk, out + head.len + 4);
}

bool governance_is_module_key(struct wm_view key)
{
    return key.len == GOVERNANCE_MODULE_KEY_BYTES &&
           memcmp(key.ptr, GOVERNANCE_KEY_MODULE, sizeof GOVERNANCE_KEY_MODULE - 1) == 0;
}

int governance_module_is_whole(struct procedure_call *call, const struct governance_module *module)
{
    uint8_t key[GOVERNANCE_MODULE_KEY_BYTES];
    struct wm_view value;
    governance_module_key(module, key);
    return procedure_get(call, wm_view_of(key, sizeof key), &value);
}

static int remove_chunks(struct procedure_call *call, const struct governance_module *module,
                         uint32_t count)
{
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint8_t key[GOVERNANCE_CHUNK_KEY_BYTES];
        governance_chunk_key(module, i, key);
        rc = procedure_remove(call, wm_view_of(key, sizeof key));
    }
    return rc;
}

int governance_module_remove(struct procedure_call *call, const struct governance_module *module)
{
    uint8_t key[GOVERNANCE_MODULE_KEY_BYTES];
    governance_module_key(module, key);
    int rc = procedure_remove(call, wm_view_of(key, sizeof key));
    return rc == 0 ? remove_chunks(call, module, governance_chunks(module->length)) : rc;
}

/* --- What a member has on its way, and has uploaded --- */

struct upload {
    struct governance_module module;
    uint32_t chunks; /* that are there; 0: none is on its way */
};

struct uploaded {
    uint32_t count;
    struct governance_module modules[GOVERNANCE_MODULES_MAX];
};

static bool module_get(struct cbor_reader *reader, struct governance_module *out)
{
    return cbor_bytes_of(reader, out->sha256, sizeof out->sha256) &&
           cbor_uint32(reader, &out->length) && out->length > 0 &&
           out->length <= GOVERNANCE_MODULE_BYTES_MAX;
}

static void put_upload(struct cbor_writer *writer, const void *what)
{
    const struct upload *upload = what;
    cbor_put_array(writer, 3);
    cbor_put_bytes(writer, bytes_of(&upload->module));
    cbor_put_uint(writer, upload->module.length);
    cbor_put_uint(writer, upload->chunks);
}

static void put_uploaded(struct cbor_writer *writer, const void *what)
{
    const struct uploaded *uploaded = what;
    cbor_put_array(writer, uploaded->count);
    for (uint32_t i = 0; i < uploaded->count; i++) {
        cbor_put_array(writer, 2);
        cbor_put_bytes(writer, bytes_of(&uploaded->modules[i]));
        cbor_put_uint(writer, uploaded->modules[i].length);
    }
}

/* A value that cannot be read counts as none: nobody but this file writes it. */
static int get_upload(struct procedure_call *call, struct wm_view key, struct upload *out)
{
    struct wm_view value;
    int there = procedure_get(call, key, &value);
    struct cbor_reader reader = cbor_reader_of(there > 0 ? value : wm_view_of(NULL, 0));
    *out = (struct upload){0};
    if (there > 0 && !(cbor_array_of(&reader, 3) && module_get(&reader, &out->module) &&
                       cbor_uint32(&reader, &out->chunks) && cbor_end(&reader) &&
                       out->chunks <= governance_chunks(out->module.length))) {
        *out = (struct upload){0};
    }
    return there < 0 ? there : 0;
}

static int get_uploaded(struct procedure_call *call, struct wm_view key, struct uploaded *out)
{
    struct wm_view value;
    uint64_t count = 0;
    int there = procedure_get(call, key, &value);
    out->count = 0;
    if (there <= 0) {
        return there;
    }
    struct cbor_reader reader = cbor_reader_of(value);
    bool ok = cbor_array(&reader, &count) && count <= GOVERNANCE_MODULES_MAX;
    for (uint64_t i = 0; ok && i < count; i++) {
        ok = cbor_array_of(&reader, 2) && module_get(&reader, &out->modules[i]);
    }
    out->count = ok ? (uint32_t)count : 0;
    return 0;
}

/* Drops those that were removed since. */
static int keep_present(struct procedure_call *call, struct uploaded *uploaded)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < uploaded->count; i++) {
        int whole = governance_module_is_whole(call, &uploaded->modules[i]);
        if (whole < 0) {
            return whole;
        }
        if (whole > 0) {
            uploaded->modules[kept++] = uploaded->modules[i];
        }
    }
    uploaded->count = kept;
    return 0;
}

/* --- The call --- */

struct chunk {
    struct governance_module module;
    uint32_t number;
    struct wm_view bytes;
};

static bool chunk_get(struct wm_view arguments, struct chunk *out)
{
    struct cbor_reader reader = cbor_reader_of(arguments);
    if (!cbor_array_of(&reader, 4) || !module_get(&reader, &out->module) ||
        !cbor_uint32(&reader, &out->number) || !cbor_bytes(&reader, &out->bytes) ||
        !cbor_end(&reader)) {
        return false;
    }
    uint32_t chunks = governance_chunks(out->module.length);
    uint32_t wanted = out->number + 1 < chunks
                          ? GOVERNANCE_CHUNK_BYTES
                          : out->module.length - (chunks - 1) * GOVERNANCE_CHUNK_BYTES;
    return out->number < chunks && out->bytes.len == wanted;
}

static bool same_module(const struct governance_module *a, const struct governance_module *b)
{
    return a->length == b->length && memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0;
}

/* Makes room for a new one: what was on its way is forgotten, unless another member has completed
 * it. DONE, REFUSED: too many are there; LIMIT. */
static enum procedure_code begin(struct procedure_call *call, const struct upload *before,
                                 struct wm_view uploaded_key)
{
    struct uploaded uploaded;
    if (before->chunks > 0) {
        int whole = governance_module_is_whole(call, &before->module);
        if (whole < 0 ||
            (whole == 0 && remove_chunks(call, &before->module, before->chunks) != 0)) {
            return PROCEDURE_LIMIT;
        }
    }
    if (get_uploaded(call, uploaded_key, &uploaded) < 0) {
        return PROCEDURE_LIMIT;
    }
    if (uploaded.count < GOVERNANCE_MODULES_MAX) {
        return PROCEDURE_DONE;
    }
    struct wm_view value;
    if (keep_present(call, &uploaded) < 0 ||
        !governance_encode(call, put_uploaded, &uploaded, &value) ||
        procedure_put(call, uploaded_key, value) != 0) {
        return PROCEDURE_LIMIT;
    }
    return uploaded.count < GOVERNANCE_MODULES_MAX ? PROCEDURE_DONE : PROCEDURE_REFUSED;
}

/* 1: all chunks are there and have the hash; 0, negative. */
static int has_hash(struct procedure_call *call, const struct governance_module *module)
{
    struct wm_sha256 hash;
    ledger_hash found;
    wm_sha256_init(&hash);
    for (uint32_t i = 0; i < governance_chunks(module->length); i++) {
        uint8_t key[GOVERNANCE_CHUNK_KEY_BYTES];
        struct wm_view bytes;
        governance_chunk_key(module, i, key);
        int there = procedure_get(call, wm_view_of(key, sizeof key), &bytes);
        if (there <= 0) {
            return there; /* somebody else began again */
        }
        wm_sha256_add(&hash, bytes);
    }
    wm_sha256_end(&hash, found);
    return memcmp(found, module->sha256, sizeof found) == 0;
}

/* The last chunk is there: the module is whole, or begins again. */
static int complete(struct procedure_call *call, const struct governance_module *module,
                    struct wm_view upload_key, struct wm_view uploaded_key, bool *whole)
{
    uint8_t key[GOVERNANCE_MODULE_KEY_BYTES];
    struct uploaded uploaded;
    struct wm_view value;
    int right = has_hash(call, module);
    if (right < 0 || procedure_remove(call, upload_key) != 0) {
        return WM_E_LIMIT;
    }
    *whole = right > 0;
    if (!*whole) {
        return remove_chunks(call, module, governance_chunks(module->length));
    }
    governance_module_key(module, key);
    if (procedure_put(call, wm_view_of(key, sizeof key), wm_view_of(NULL, 0)) != 0 ||
        get_uploaded(call, uploaded_key, &uploaded) < 0 ||
        uploaded.count == GOVERNANCE_MODULES_MAX) {
        return WM_E_LIMIT;
    }
    uploaded.modules[uploaded.count++] = *module;
    return governance_encode(call, put_uploaded, &uploaded, &value)
               ? procedure_put(call, uploaded_key, value)
               : WM_E_LIMIT;
}

static void put_complete(struct cbor_writer *writer, const void *what)
{
    cbor_put_array(writer, 1);
    cbor_put_bool(writer, *(const bool *)what);
}

static enum procedure_code add_chunk(struct governance_session *session, const struct chunk *chunk,
                                     bool *whole)
{
    struct procedure_call *call = session->call;
    uint8_t upload_room[GOVERNANCE_KEY_ROOM], uploaded_room[GOVERNANCE_KEY_ROOM];
    uint8_t chunk_key[GOVERNANCE_CHUNK_KEY_BYTES];
    struct wm_view upload_key =
        governance_key_number(upload_room, GOVERNANCE_KEY_UPLOAD, session->member->id);
    struct wm_view uploaded_key =
        governance_key_number(uploaded_room, GOVERNANCE_KEY_MODULES, session->member->id);
    struct wm_view value;
    struct upload upload;
    if (get_upload(call, upload_key, &upload) < 0) {
        return PROCEDURE_LIMIT;
    }
    if (chunk->number == 0) {
        enum procedure_code code = begin(call, &upload, uploaded_key);
        if (code != PROCEDURE_DONE) {
            return code;
        }
    } else if (upload.chunks != chunk->number || !same_module(&upload.module, &chunk->module)) {
        return PROCEDURE_REFUSED;
    }
    upload = (struct upload){.module = chunk->module, .chunks = chunk->number + 1};
    governance_chunk_key(&chunk->module, chunk->number, chunk_key);
    if (procedure_put(call, wm_view_of(chunk_key, sizeof chunk_key), chunk->bytes) != 0) {
        return PROCEDURE_LIMIT;
    }
    if (upload.chunks == governance_chunks(chunk->module.length)) {
        return complete(call, &chunk->module, upload_key, uploaded_key, whole) == 0
                   ? PROCEDURE_DONE
                   : PROCEDURE_LIMIT;
    }
    return governance_encode(call, put_upload, &upload, &value) &&
                   procedure_put(call, upload_key, value) == 0
               ? PROCEDURE_DONE
               : PROCEDURE_LIMIT;
}

enum procedure_code governance_upload(void *self, struct procedure_call *call,
                                      struct wm_view *result)
{
    struct governance_session *session;
    struct chunk chunk;
    (void)self;
    if (!chunk_get(call->arguments, &chunk)) {
        return PROCEDURE_ARGUMENTS;
    }
    enum procedure_code code = governance_session(call, &session);
    if (code != PROCEDURE_DONE) {
        return code;
    }
    int there = governance_module_is_whole(call, &chunk.module);
    bool whole = there > 0;
    if (there == 0) {
        code = add_chunk(session, &chunk, &whole);
    }
    if (there < 0 ||
        (code == PROCEDURE_DONE && !governance_encode(call, put_complete, &whole, result))) {
        return PROCEDURE_LIMIT;
    }
    return code;
}
