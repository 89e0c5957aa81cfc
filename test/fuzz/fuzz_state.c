/* Any sequence of state operations on two nodes, against a model of what they mean.
 *
 * Input: records of a node, an operation, an offset and a length. The model keeps for each node one
 * byte per byte of what it holds, what is dirty and what was pulled, and does every operation the
 * slow way; each result, each byte read and each byte moved must agree, and at the end the global
 * copy. Bytes are also written through mappings, with and without being told. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/view.h"
#include "faaslet/state.h"
#include "faaslet/tier_fake.h"
#include "wasm/instance.h"
#include "wasm/memory.h"
#include "wasm/store.h"

#define CHUNK TIER_CHUNK_BYTES
#define BYTES (2 * CHUNK + 101u)
#define CHUNKS 3u
#define NODES 2u
#define OPS_MAX 100u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct model {
    bool replica, made_here; /* made_here: not global yet */
    bool pulled[CHUNKS];
    uint32_t adopted[CHUNKS];
    uint32_t range_count; /* mapped for writing by this call */
    uint64_t ranges[OPS_MAX][2];
    uint8_t bytes[BYTES], dirty[BYTES];
};

struct node {
    struct local_tier *local;
    struct state_session *session;
    struct wasm_store *store;
    struct wasm_memory *memory;
    struct call_usage usage;
    uint64_t pulled, pushed; /* by the model */
};

static struct model models[NODES];
static uint8_t global[BYTES];
static bool global_exists;
static struct node nodes[NODES];
static uint8_t buffer[BYTES], mask_of[NODES][BYTES];
static struct tier tier;

static struct wm_view key(void)
{
    return wm_view_str("k");
}

/* --- The model --- */

static void model_new(struct model *model, bool made_here)
{
    memset(model, 0, sizeof *model);
    model->replica = true;
    model->made_here = made_here;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        model->pulled[i] = made_here;
    }
}

static int model_open(struct model *model, bool create)
{
    if (!model->replica && !global_exists && !create) {
        return WM_E_NOT_FOUND;
    }
    if (!model->replica) {
        model_new(model, !global_exists);
    }
    return 0;
}

static bool model_clean(const struct model *model)
{
    return !model->made_here && !memchr(model->dirty, 1, BYTES);
}

static int model_gone(struct model *model)
{
    if (model_clean(model)) {
        model->replica = false;
    }
    return WM_E_NOT_FOUND;
}

static int model_ensure(struct node *node, struct model *model, uint64_t offset, uint64_t len)
{
    if (len == 0) {
        return 0;
    }
    for (uint64_t chunk = offset / CHUNK; chunk <= (offset + len - 1) / CHUNK; chunk++) {
        if (!model->pulled[chunk]) {
            if (!global_exists) {
                return model_gone(model);
            }
            for (uint64_t i = chunk * CHUNK; i < BYTES && i < (chunk + 1) * CHUNK; i++) {
                model->bytes[i] = model->dirty[i] ? model->bytes[i] : global[i];
                node->pulled++;
            }
            model->pulled[chunk] = true;
        }
    }
    return 0;
}

/* Whole chunks of the range: [*first, *end). */
static void model_whole(uint64_t offset, uint64_t len, uint64_t *first, uint64_t *end)
{
    *first = *end = 0;
    for (uint64_t chunk = 0; chunk < CHUNKS; chunk++) {
        if (chunk * CHUNK >= offset && wm_min_u64((chunk + 1) * CHUNK, BYTES) <= offset + len) {
            *first = *first < *end ? *first : chunk;
            *end = chunk + 1;
        }
    }
}

static void model_own(struct model *model, uint64_t offset, uint64_t len)
{
    uint64_t first, end;
    model_whole(offset, len, &first, &end);
    for (; first < end; first++) {
        model->pulled[first] = true;
        model->adopted[first] = 0;
    }
}

static bool model_mapped(const struct model *model, uint64_t offset, uint64_t len)
{
    for (uint32_t i = 0; i < model->range_count; i++) {
        if (offset >= model->ranges[i][0] && offset + len <= model->ranges[i][1]) {
            return true;
        }
    }
    return false;
}

static int model_adopt(struct node *node, struct model *model, uint64_t offset, uint64_t len)
{
    uint64_t first, end;
    model_whole(offset, len, &first, &end);
    int rc = 0;
    if (offset % CHUNK != 0) {
        rc = model_ensure(node, model, offset, 1);
    }
    if (rc == 0 && offset + len != BYTES && (offset + len) % CHUNK != 0) {
        rc = model_ensure(node, model, offset + len - 1, 1);
    }
    for (; rc == 0 && first < end; first++) {
        if (model->adopted[first] > 0 || !model->pulled[first]) {
            model->adopted[first]++;
            model->pulled[first] = true;
        }
    }
    return rc;
}

static void model_send(struct node *node, struct model *model, const uint8_t *which,
                       uint64_t offset, uint64_t len, bool write)
{
    if ((write || model->made_here) && !global_exists) {
        memset(global, 0, sizeof global);
        global_exists = true;
    }
    for (uint64_t i = offset; i < offset + len; i++) {
        if (which[i]) {
            global[i] = model->bytes[i];
            node->pushed++;
        }
    }
    model->made_here = false;
}

/* --- Operations --- */

static void op_write(struct node *node, struct model *model, uint64_t offset, uint64_t len,
                     uint8_t value)
{
    memset(buffer, value, len);
    /* The first write makes the value, so it goes to the end. */
    if (!model->replica && !global_exists) {
        offset = BYTES - len;
    }
    int expected = offset + len == 0 ? model_open(model, false) : model_open(model, true);
    WM_ASSERT(state_write(node->session, key(), offset, buffer, len) == expected);
    if (expected == 0) {
        memset(model->bytes + offset, value, len);
        memset(model->dirty + offset, 1, len);
        model_own(model, offset, len);
    }
}

static void op_read(struct node *node, struct model *model, uint64_t offset, uint64_t len)
{
    uint64_t done = 0;
    int rc = state_read(node->session, key(), offset, buffer, len, &done);
    int expected = model_open(model, false);
    uint64_t clamped = wm_min_u64(len, BYTES - offset);
    expected = expected ? expected : model_ensure(node, model, offset, clamped);
    WM_ASSERT(rc == expected);
    WM_ASSERT(rc != 0 || (done == clamped && memcmp(buffer, model->bytes + offset, done) == 0));
}

/* Both take 0 as "to the end". */
static void op_push(struct node *node, struct model *model, uint64_t offset, uint64_t len)
{
    int rc = state_push(node->session, key(), offset, len);
    if (!model->replica) {
        WM_ASSERT(rc == (global_exists ? 0 : WM_E_NOT_FOUND));
        return;
    }
    WM_ASSERT(rc == 0);
    len = len ? len : BYTES - offset;
    bool any = len > 0 && memchr(model->dirty + offset, 1, len);
    model_send(node, model, model->dirty, offset, len, any);
    memset(model->dirty + offset, 0, len);
}

static void op_pull(struct node *node, struct model *model, uint64_t offset, uint64_t len)
{
    int rc = state_pull(node->session, key(), offset, len);
    int expected = model_open(model, false);
    len = len ? len : BYTES - offset;
    if (expected == 0 && len > 0) {
        expected = global_exists ? 0 : model_gone(model);
    }
    WM_ASSERT(rc == expected);
    if (rc != 0 || len == 0) {
        return;
    }
    memcpy(model->bytes + offset, global + offset, len);
    memset(model->dirty + offset, 0, len);
    node->pulled += len;
    model_own(model, offset, len);
}

static void op_map(struct node *node, struct model *model, uint64_t offset, uint64_t len,
                   uint8_t value)
{
    uint32_t at = 0;
    bool read_only = value & 1, no_pull = value & 2, untold = value & 4;
    int rc =
        state_map(node->session, key(), node->memory, offset, len,
                  (read_only ? STATE_MAP_READ_ONLY : 0) | (no_pull ? STATE_MAP_NO_PULL : 0), &at);
    int expected = model_open(model, false);
    len = len ? len : BYTES - offset;
    if (expected == 0) {
        expected = len == 0 ? WM_E_INVALID : no_pull ? 0 : model_ensure(node, model, offset, len);
    }
    if (expected == 0 && !read_only && !model_mapped(model, offset, len)) {
        expected = no_pull ? model_adopt(node, model, offset, len) : 0;
        if (expected == 0) {
            model->ranges[model->range_count][0] = offset;
            model->ranges[model->range_count++][1] = offset + len;
        }
    }
    WM_ASSERT(rc == expected);
    if (rc != 0) {
        return;
    }
    const uint8_t *seen;
    uint8_t *window;
    WM_ASSERT(at != 0 && wasm_memory_view(node->memory, wasm_addr_of(at), (uint32_t)len, &seen) &&
              memcmp(seen, model->bytes + offset, len) == 0);
    bool writable = wasm_memory_window(node->memory, wasm_addr_of(at), (uint32_t)len, &window);
    WM_ASSERT(writable == !read_only);
    if (writable) {
        memset(window, value, len);
        memset(model->bytes + offset, value, len);
        if (!untold) { /* else it is lost when somebody pulls, and the model's is, too */
            memset(model->dirty + offset, 1, len);
            WM_ASSERT(state_dirty(node->session, key(), offset, len) == 0);
            model_own(model, offset, len);
        }
    }
}

/* Sets a part of the mask and pushes. */
static void op_masked(struct node *node, struct model *model, uint64_t offset, uint64_t len,
                      uint8_t value)
{
    uint32_t number = (uint32_t)(node - nodes), at, unit = value & 1 ? 1 : 4;
    struct wm_view name = wm_view_str("mask");
    uint8_t *mask, *which = mask_of[number];
    WM_ASSERT(state_create(node->session, name, BYTES) == 0);
    WM_ASSERT(state_map(node->session, name, node->memory, 0, 0, 0, &at) == 0 &&
              wasm_memory_window(node->memory, wasm_addr_of(at), BYTES, &mask));
    memset(mask + offset, 1 | value, len);
    memset(which + offset, 1, len);
    for (uint64_t i = 0; unit == 4 && i + 4 <= BYTES; i += 4) {
        memset(which + i, memchr(which + i, 1, 4) != NULL, 4);
    }
    int rc = state_push_masked(node->session, key(), name, unit == 1 ? STATE_MASK_BYTES : 0);
    WM_ASSERT(rc == (model->replica ? 0 : WM_E_NOT_FOUND));
    if (rc == 0) {
        model_send(node, model, which, 0, BYTES, memchr(which, 1, BYTES) != NULL);
        memset(which, 0, BYTES);
        WM_ASSERT(!memchr(mask, 1 | value, BYTES));
    } else {
        /* Kept; bytes as they were set, for a later push by bytes. */
        for (uint64_t i = 0; i < BYTES; i++) {
            which[i] = mask[i] != 0;
        }
    }
}

static void op_delete(struct node *node, struct model *model)
{
    WM_ASSERT(state_delete(node->session, key()) == 0);
    global_exists = false;
    model->replica = false;
}

static void op_next_call(struct node *node, struct model *model)
{
    struct wm_diag diag;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        model->pulled[i] = model->pulled[i] && model->adopted[i] == 0;
        model->adopted[i] = 0;
    }
    model->range_count = 0;
    state_session_end(node->session);
    wasm_store_free(node->store);
    node->usage = (struct call_usage){0};
    node->pulled = node->pushed = 0;
    WM_ASSERT(wasm_store_new(NULL, &node->store, &diag) == 0 &&
              wasm_memory_new(node->store, 1, 65536, &node->memory, &diag) == 0);
    state_session_begin(node->session, &tier, wm_view_str("t"), &node->usage, NULL, NULL);
}

static uint64_t take_place(struct wm_cursor *cursor)
{
    uint8_t kind = 0;
    uint32_t word = 0;
    if (!wm_cursor_u8(cursor, &kind)) {
        return 0;
    }
    switch (kind >> 6) {
    case 0: return kind & 0x3f;
    case 1: return (kind & 0x20 ? CHUNK : 2 * CHUNK) - 16 + (kind & 0x1f);
    case 2: return BYTES - (kind & 0x3f);
    default: return wm_cursor_u32(cursor, &word) ? word % (BYTES + 1) : 0;
    }
}

static void one_step(struct wm_cursor *cursor)
{
    uint8_t op = 0;
    if (!wm_cursor_u8(cursor, &op)) {
        return;
    }
    uint32_t number = op & 1;
    struct node *node = &nodes[number];
    struct model *model = &models[number];
    uint64_t offset = take_place(cursor), len = take_place(cursor);
    uint64_t inside = wm_min_u64(len, BYTES - offset);
    switch (op >> 1 & 7) {
    case 0: op_write(node, model, offset, inside, op); break;
    case 1: op_read(node, model, offset, len); break;
    case 2: op_push(node, model, offset, inside); break;
    case 3: op_pull(node, model, offset, inside); break;
    case 4: op_map(node, model, offset, inside, op >> 4); break;
    case 5: op_masked(node, model, offset, inside, op >> 4); break;
    case 6:
        if (op >> 4 == 0) {
            op_delete(node, model);
        } else {
            WM_ASSERT(state_create(node->session, key(), BYTES) == 0);
            (void)model_open(model, true);
        }
        break;
    default: op_next_call(node, model); break;
    }
    WM_ASSERT(node->usage.state_bytes_pulled == node->pulled);
    WM_ASSERT(node->usage.state_bytes_pushed == node->pushed);
}

static void begin(void)
{
    struct wm_diag diag;
    struct local_tier_config config = {.bytes_max = UINT64_C(1) << 30};
    memset(models, 0, sizeof models);
    memset(mask_of, 0, sizeof mask_of);
    memset(nodes, 0, sizeof nodes);
    global_exists = false;
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *node = &nodes[i];
        WM_ASSERT(local_tier_new(&config, &node->local, &diag) == 0 &&
                  state_session_new(node->local, &node->session, &diag) == 0 &&
                  wasm_store_new(NULL, &node->store, &diag) == 0 &&
                  wasm_memory_new(node->store, 1, 65536, &node->memory, &diag) == 0);
        state_session_begin(node->session, &tier, wm_view_str("t"), &node->usage, NULL, NULL);
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < NODES; i++) {
        state_session_end(nodes[i].session);
        state_session_free(nodes[i].session);
        wasm_store_free(nodes[i].store);
        local_tier_free(nodes[i].local);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wm_cursor cursor = wm_cursor_of(wm_view_of(data, size));
    struct tier_fake *fake = tier_fake_new();
    WM_ASSERT(fake);
    tier = tier_fake_tier(fake);
    begin();
    for (uint32_t i = 0; i < OPS_MAX && !wm_cursor_done(&cursor); i++) {
        one_step(&cursor);
    }
    struct tier_key name = {wm_view_str("t"), key()};
    struct tier_range range = {0, BYTES, buffer};
    int rc = tier.ops->read(tier.self, name, &range, 1, NULL);
    WM_ASSERT(rc == (global_exists ? 0 : WM_E_NOT_FOUND));
    WM_ASSERT(rc != 0 || memcmp(buffer, global, BYTES) == 0);
    end();
    tier_fake_free(fake);
    return 0;
}
