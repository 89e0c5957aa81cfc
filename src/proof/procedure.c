/* Executing one request: the procedure works on a trace of its own, and only what it leaves there
 * at its end counts. Keys that were touched are found by an open hash table, which begins small,
 * since most calls touch a handful. */
#include "proof/procedure.h"

#include <errno.h>
#include <string.h>

#include "crypto/hash.h"
#include "wire/cbor.h"

#define TABLE_ROOM_MIN 32u
_Static_assert((TABLE_ROOM_MIN & (TABLE_ROOM_MIN - 1)) == 0, "a power of two");

struct touched {
    struct wm_view key;
    struct wm_view value; /* as it is now, for this call */
    bool present;         /* there is a value now */
    bool read;            /* before it was written: then what was read, for the hash: */
    bool was_present;
    struct wm_view was;
    bool written;
};

struct procedure_trace {
    const struct procedure_state *state;
    struct wm_arena *arena;
    struct touched *touched; /* in the order in which they were touched first */
    uint32_t count, room;
    uint32_t *table; /* places in `touched`, plus one; 0: free. twice `room` of them */
    uint32_t reads;
    uint64_t bytes; /* copied so far */
    int failed;     /* of the machine: the execution is given up */
    bool limit;     /* of the call */
};

static const char *const code_texts[] = {
#define PROCEDURE_CODE_TEXT(name, number, text) [number] = text,
    PROCEDURE_CODE_TABLE(PROCEDURE_CODE_TEXT)
#undef PROCEDURE_CODE_TEXT
};

const char *procedure_code_text(uint32_t code)
{
    return code < sizeof code_texts / sizeof *code_texts ? code_texts[code] : "an unknown code";
}

/* --- What was touched --- */

static uint32_t hash_of(struct wm_view key)
{
    uint64_t hash = key.len * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.ptr[i]) * UINT64_C(0x100000001b3);
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static uint32_t *place_of(const struct procedure_trace *trace, struct wm_view key)
{
    uint32_t mask = 2 * trace->room - 1;
    for (uint32_t at = hash_of(key) & mask;; at = (at + 1) & mask) {
        uint32_t which = trace->table[at];
        if (which == 0 || wm_view_eq(trace->touched[which - 1].key, key)) {
            return &trace->table[at];
        }
    }
}

static bool grow(struct procedure_trace *trace)
{
    uint32_t room = trace->room ? trace->room * 2 : TABLE_ROOM_MIN;
    struct touched *touched = WM_ARENA_ARRAY(trace->arena, struct touched, room);
    uint32_t *table = WM_ARENA_ARRAY(trace->arena, uint32_t, 2 * (size_t)room);
    if (!touched || !table) {
        return false;
    }
    if (trace->count > 0) {
        memcpy(touched, trace->touched, trace->count * sizeof *touched);
    }
    trace->touched = touched;
    trace->table = table;
    trace->room = room;
    for (uint32_t i = 0; i < trace->count; i++) {
        *place_of(trace, touched[i].key) = i + 1;
    }
    return true;
}

static bool copy(struct procedure_trace *trace, struct wm_view bytes, struct wm_view *out)
{
    trace->bytes += bytes.len;
    if (trace->bytes > PROCEDURE_TOUCHED_BYTES_MAX) {
        trace->limit = true;
        return false;
    }
    uint8_t *memory = wm_arena_take(trace->arena, bytes.len, 1);
    if (!memory) {
        trace->failed = -ENOMEM;
        return false;
    }
    if (bytes.len > 0) {
        memcpy(memory, bytes.ptr, bytes.len);
    }
    *out = wm_view_of(memory, bytes.len);
    return true;
}

/* The key's place, made where it is new; NULL: a limit, or no memory. */
static struct touched *touch(struct procedure_trace *trace, struct wm_view key)
{
    if (trace->failed || trace->limit) {
        return NULL;
    }
    if (key.len == 0 || key.len > PROCEDURE_KEY_BYTES_MAX) {
        trace->limit = true;
        return NULL;
    }
    uint32_t *place = trace->room ? place_of(trace, key) : NULL;
    if (place && *place != 0) {
        return &trace->touched[*place - 1];
    }
    if (trace->count == PROCEDURE_TOUCHES_MAX) {
        trace->limit = true;
        return NULL;
    }
    if (trace->count == trace->room && !grow(trace)) {
        trace->failed = -ENOMEM;
        return NULL;
    }
    struct touched *touched = &trace->touched[trace->count];
    *touched = (struct touched){0};
    if (!copy(trace, key, &touched->key)) {
        return NULL;
    }
    *place_of(trace, touched->key) = ++trace->count;
    return touched;
}

static int why(const struct procedure_trace *trace)
{
    return trace->failed ? trace->failed : WM_E_LIMIT;
}

int procedure_get(struct procedure_call *call, struct wm_view key, struct wm_view *value)
{
    struct procedure_trace *trace = call->trace;
    struct touched *touched = touch(trace, key);
    if (!touched) {
        return why(trace);
    }
    if (!touched->read && !touched->written) {
        struct wm_view found = {NULL, 0};
        int there = trace->state->get(trace->state->self, key, &found);
        if (there < 0) {
            trace->failed = there;
            return there;
        }
        if (there && !copy(trace, found, &touched->value)) {
            return why(trace);
        }
        touched->read = true;
        touched->present = touched->was_present = there != 0;
        touched->was = touched->value;
        trace->reads++;
    }
    if (touched->present) {
        *value = touched->value;
    }
    return touched->present;
}

int procedure_put(struct procedure_call *call, struct wm_view key, struct wm_view value)
{
    struct procedure_trace *trace = call->trace;
    struct touched *touched = touch(trace, key);
    if (touched && value.len > PROCEDURE_VALUE_BYTES_MAX) {
        trace->limit = true;
    }
    if (!touched || trace->limit || !copy(trace, value, &touched->value)) {
        return why(trace);
    }
    touched->written = touched->present = true;
    return 0;
}

int procedure_remove(struct procedure_call *call, struct wm_view key)
{
    struct touched *touched = touch(call->trace, key);
    if (!touched) {
        return why(call->trace);
    }
    touched->written = true;
    touched->present = false;
    touched->value = wm_view_of(NULL, 0);
    return 0;
}

void *procedure_memory(struct procedure_call *call, size_t len)
{
    void *memory = call->trace->failed ? NULL : wm_arena_take(call->arena, len, 1);
    if (!memory) {
        call->trace->failed = -ENOMEM;
    }
    return memory;
}

/* --- Hashes --- */

static void hash_pair(struct wm_sha256 *hash, struct wm_view key, bool present,
                      struct wm_view value)
{
    uint8_t head[1 + 2 * CBOR_HEAD_BYTES_MAX];
    struct cbor_writer writer = cbor_writer_of(head, sizeof head);
    cbor_put_array(&writer, 2);
    cbor_put_head(&writer, CBOR_BYTES, key.len);
    wm_sha256_add(hash, wm_view_of(head, writer.len));
    wm_sha256_add(hash, key);
    writer.len = 0;
    if (present) {
        cbor_put_head(&writer, CBOR_BYTES, value.len);
    } else {
        cbor_put_null(&writer);
    }
    wm_sha256_add(hash, wm_view_of(head, writer.len));
    if (present) {
        wm_sha256_add(hash, value);
    }
}

/* Bytewise, a shorter key before the longer one that it begins. */
static int compare(struct wm_view a, struct wm_view b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Sorts by key; by merging, since a procedure chooses the order in which it writes. */
static void sort_writes(struct procedure_write *writes, uint32_t count,
                        struct procedure_write *spare)
{
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t low = 0; low < count; low += 2 * width) {
            uint32_t middle = low + width < count ? low + width : count;
            uint32_t high = low + 2 * width < count ? low + 2 * width : count;
            uint32_t a = low, b = middle;
            for (uint32_t at = low; at < high; at++) {
                bool left = a < middle && (b >= high || compare(writes[a].key, writes[b].key) <= 0);
                spare[at] = left ? writes[a++] : writes[b++];
            }
        }
        memcpy(writes, spare, count * sizeof *writes);
    }
}

static int finish_reads(struct procedure_trace *trace, struct procedure_done *done)
{
    struct wm_view *keys = WM_ARENA_ARRAY(trace->arena, struct wm_view, trace->reads);
    struct wm_sha256 hash;
    if (!keys) {
        return -ENOMEM;
    }
    wm_sha256_init(&hash);
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct touched *touched = &trace->touched[i];
        if (touched->read) {
            hash_pair(&hash, touched->key, touched->was_present, touched->was);
            keys[done->read_count++] = touched->key;
        }
    }
    wm_sha256_end(&hash, done->output.reads);
    done->reads = keys;
    return 0;
}

static int finish_writes(struct procedure_trace *trace, bool kept, struct procedure_done *done)
{
    struct procedure_write *writes = NULL, *spare = NULL;
    uint32_t count = 0;
    struct wm_sha256 hash;
    for (uint32_t i = 0; kept && i < trace->count; i++) {
        count += trace->touched[i].written;
    }
    writes = WM_ARENA_ARRAY(trace->arena, struct procedure_write, count);
    spare = WM_ARENA_ARRAY(trace->arena, struct procedure_write, count);
    if (!writes || !spare) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; kept && i < trace->count; i++) {
        const struct touched *touched = &trace->touched[i];
        if (touched->written) {
            writes[done->write_count++] = (struct procedure_write){
                .key = touched->key, .value = touched->value, .removed = !touched->present};
        }
    }
    sort_writes(writes, count, spare);
    wm_sha256_init(&hash);
    for (uint32_t i = 0; i < count; i++) {
        hash_pair(&hash, writes[i].key, !writes[i].removed, writes[i].value);
    }
    wm_sha256_end(&hash, done->output.writes);
    done->writes = writes;
    return 0;
}

int procedure_execute(const struct procedure_table *table, const struct procedure_state *state,
                      const struct request *request, const ledger_hash request_hash,
                      struct wm_view arguments, uint64_t index, bool duplicate,
                      struct wm_arena *arena, struct procedure_done *done)
{
    struct procedure_trace trace = {.state = state, .arena = arena};
    struct procedure_call call = {.request = request,
                                  .arguments = arguments,
                                  .index = index,
                                  .arena = arena,
                                  .trace = &trace};
    struct procedure procedure = {0};
    enum procedure_code code = PROCEDURE_DUPLICATE;
    memset(done, 0, sizeof *done);
    memcpy(call.request_hash, request_hash, sizeof call.request_hash);
    if (!duplicate) {
        int found = table->find(table->self, &call, request->claims.procedure, &procedure);
        if (found < 0) {
            return trace.failed ? trace.failed : found;
        }
        code = found ? procedure.run(procedure.self, &call, &done->result) : PROCEDURE_UNKNOWN;
        if (!found) {
            procedure = (struct procedure){0};
        }
    }
    if (trace.failed) {
        return trace.failed;
    }
    if (trace.limit || done->result.len > REQUEST_RESULT_BYTES_MAX) {
        code = PROCEDURE_LIMIT;
        done->result = wm_view_of(NULL, 0);
    }
    done->output.code = code;
    done->output.result_len = (uint32_t)done->result.len;
    done->output.fuel_version = procedure.fuel_version;
    memcpy(done->output.procedure, procedure.digest, sizeof procedure.digest);
    wm_sha256_once(done->result, done->output.result);
    int rc = finish_reads(&trace, done);
    return rc != 0 ? rc : finish_writes(&trace, code == PROCEDURE_DONE, done);
}
