/* state.c: sessions: each operation takes its key, does its work on the replica or the global tier,
 * and counts what moved. */
#include "faaslet/state.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/vec.h"
#include "wasm/slot.h"

struct state_mapping {
    struct local_key *key;
    struct replica *replica;
    uint64_t offset, len;
    uint32_t at;
    bool read_only, adopted;
};

struct state_held {
    struct local_key *key;
    bool local, write; /* the local lock is held, and how */
    struct lease *lease;
};

struct state_session {
    struct local_tier *local;
    struct tier *tier; /* NULL: between calls */
    struct call_usage *usage;
    bool (*stop)(void *self);
    void *stop_self;
    uint8_t tenant_len;
    uint8_t tenant[TIER_TENANT_BYTES_MAX];
    int32_t map_error;
    uint32_t held_count;
    struct state_held held[STATE_LOCKS_MAX];
    WM_VEC(struct state_mapping) mappings;
    struct wm_diag diag;
};

/* One operation: a reference to its key, and the way to the global tier. */
struct operation {
    struct state_session *session;
    struct local_key *key;
    struct replica_io io;
};

int state_session_new(struct local_tier *local, struct state_session **out, struct wm_diag *diag)
{
    struct state_session *session = wm_alloc_zero(1, sizeof *session);
    if (!session) {
        return wm_diag_set(diag, -ENOMEM, "state: %s", wm_error_text(-ENOMEM));
    }
    session->local = local;
    *out = session;
    return 0;
}

void state_session_free(struct state_session *session)
{
    if (session) {
        WM_ASSERT(!session->tier);
        wm_vec_fini(&session->mappings);
        wm_free(session);
    }
}

void state_session_begin(struct state_session *session, struct tier *tier, struct wm_view tenant,
                         struct call_usage *usage, bool (*stop)(void *self), void *stop_self)
{
    WM_ASSERT(!session->tier && tier && tenant.len <= TIER_TENANT_BYTES_MAX);
    session->tier = tier;
    session->usage = usage;
    session->stop = stop;
    session->stop_self = stop_self;
    session->tenant_len = (uint8_t)tenant.len;
    if (tenant.len > 0) {
        memcpy(session->tenant, tenant.ptr, tenant.len);
    }
    session->map_error = 0;
    session->diag = (struct wm_diag)WM_DIAG_INIT;
}

void state_session_end(struct state_session *session)
{
    while (session->held_count > 0) {
        struct state_held *held = &session->held[--session->held_count];
        if (held->local) {
            key_lock_release(local_key_lock(held->key), held->write);
        }
        if (held->lease) {
            /* Where this fails the lock ends by itself: nobody is left to be told. */
            (void)lease_release(held->lease, session->tier, NULL);
        }
        local_tier_put(held->key);
    }
    for (size_t i = 0; i < session->mappings.count; i++) {
        struct state_mapping *mapping = &session->mappings.items[i];
        if (mapping->adopted) {
            replica_release(mapping->replica, mapping->offset, mapping->len);
        }
        replica_put(mapping->replica);
        local_tier_put(mapping->key);
    }
    session->mappings.count = 0;
    local_tier_tidy(session->local, session->tier);
    session->tier = NULL;
    session->usage = NULL;
}

const char *state_session_error(const struct state_session *session)
{
    return session->diag.code ? session->diag.text : "";
}

int32_t state_map_error(const struct state_session *session)
{
    return session->map_error;
}

void state_set_map_error(struct state_session *session, int32_t error)
{
    session->map_error = error;
}

static int begin(struct state_session *session, struct wm_view key, struct operation *op)
{
    session->diag.code = 0;
    struct tier_key name = {wm_view_of(session->tenant, session->tenant_len), key};
    *op = (struct operation){.session = session};
    int rc = local_tier_take(session->local, name, &op->key, &session->diag);
    if (rc == 0) {
        op->io = (struct replica_io){.tier = session->tier,
                                     .key = local_key_name(op->key),
                                     .stop = session->stop,
                                     .stop_self = session->stop_self};
    }
    return rc;
}

static int end(struct operation *op, int rc)
{
    struct state_session *session = op->session;
    local_tier_count(session->local, op->io.pulled_bytes, op->io.pushed_bytes, 0);
    if (session->usage) {
        session->usage->state_bytes_pulled += op->io.pulled_bytes;
        session->usage->state_bytes_pushed += op->io.pushed_bytes;
    }
    local_tier_put(op->key);
    local_tier_tidy(session->local, session->tier);
    return rc == 0 ? 0 : wm_diag_default(&session->diag, rc, "state");
}

/* Operations of the global tier alone need no local key. */
static struct tier_key global_name(struct state_session *session, struct wm_view key)
{
    session->diag.code = 0;
    return (struct tier_key){wm_view_of(session->tenant, session->tenant_len), key};
}

static int global_end(struct state_session *session, int rc)
{
    return rc == 0 ? 0 : wm_diag_default(&session->diag, rc, "state");
}

/* [offset, offset + *len) of a replica; *len 0: to the end. */
static int fit(struct state_session *session, const struct replica *replica, uint64_t offset,
               uint64_t *len)
{
    uint64_t bytes = replica_bytes(replica);
    if (*len == 0 && offset <= bytes) {
        *len = bytes - offset;
    }
    if (!wm_range_fits(offset, *len, bytes)) {
        return wm_diag_set(
            &session->diag, WM_E_INVALID, "state: %llu bytes from %llu on: the value has %llu",
            (unsigned long long)*len, (unsigned long long)offset, (unsigned long long)bytes);
    }
    return 0;
}

/* The global copy is gone, or of another size: a replica with nothing of its own is given up, so
 * the next call sees what is there. */
static void forget_if_gone(struct operation *op, struct replica *replica, int rc)
{
    if ((rc == WM_E_NOT_FOUND || rc == WM_E_INVALID) && replica_is_clean(replica)) {
        local_key_forget(op->key, replica);
    }
}

int state_size(struct state_session *session, struct wm_view key, uint64_t *bytes)
{
    struct operation op;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    struct replica *replica = local_key_peek(op.key);
    if (replica) {
        *bytes = replica_bytes(replica);
        replica_put(replica);
    } else {
        rc = session->tier->ops->size(session->tier->self, op.io.key, bytes, &session->diag);
    }
    return end(&op, rc);
}

int state_create(struct state_session *session, struct wm_view key, uint64_t bytes)
{
    struct operation op;
    struct replica *replica;
    if (bytes == 0 || bytes > TIER_VALUE_BYTES_MAX) {
        return wm_diag_set(&session->diag, bytes == 0 ? WM_E_INVALID : -EFBIG,
                           "state: a value has 1 byte to 2 GiB, not %llu bytes",
                           (unsigned long long)bytes);
    }
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = local_key_open(op.key, &op.io, bytes, &replica, &session->diag);
    if (rc == 0) {
        if (replica_bytes(replica) != bytes) {
            rc = wm_diag_set(&session->diag, WM_E_INVALID,
                             "state: there is a value of %llu bytes already",
                             (unsigned long long)replica_bytes(replica));
        }
        replica_put(replica);
    }
    return end(&op, rc);
}

int state_delete(struct state_session *session, struct wm_view key)
{
    struct operation op;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = session->tier->ops->remove(session->tier->self, op.io.key, &session->diag);
    if (rc == 0) {
        local_key_forget(op.key, NULL);
    }
    return end(&op, rc);
}

/* --- Mappings --- */

static const struct state_mapping *find_mapping(const struct state_session *session,
                                                const struct replica *replica, uint64_t offset,
                                                uint64_t len, bool read_only)
{
    for (size_t i = 0; i < session->mappings.count; i++) {
        const struct state_mapping *mapping = &session->mappings.items[i];
        if (mapping->replica == replica && mapping->read_only == read_only &&
            offset >= mapping->offset &&
            wm_range_fits(offset - mapping->offset, len, mapping->len)) {
            return mapping;
        }
    }
    return NULL;
}

/* Keeps the operation's references to key and replica on 0. */
static int map_replica(struct operation *op, struct replica *replica, struct wasm_memory *memory,
                       uint64_t offset, uint64_t len, uint32_t flags, uint32_t *at)
{
    struct state_session *session = op->session;
    bool read_only = flags & STATE_MAP_READ_ONLY;
    bool adopt = (flags & STATE_MAP_NO_PULL) && !read_only;
    int rc = fit(session, replica, offset, &len);
    if (rc == 0 && len == 0) {
        rc = wm_diag_set(&session->diag, WM_E_INVALID, "state: an empty range cannot be mapped");
    }
    if (rc == 0 && !(flags & STATE_MAP_NO_PULL)) {
        rc = replica_ensure(replica, &op->io, offset, len, &session->diag);
        forget_if_gone(op, replica, rc);
    }
    if (rc != 0) {
        return rc;
    }
    const struct state_mapping *found = find_mapping(session, replica, offset, len, read_only);
    if (found) {
        *at = found->at + (uint32_t)(offset - found->offset);
        return 0;
    }
    if (session->mappings.count == STATE_MAPPINGS_MAX) {
        return wm_diag_set(&session->diag, WM_E_LIMIT,
                           "state: %u ranges are mapped already: map larger ones",
                           STATE_MAPPINGS_MAX);
    }
    if (wm_vec_reserve_one(&session->mappings) != 0) {
        return wm_diag_set(&session->diag, -ENOMEM, "state: %s", wm_error_text(-ENOMEM));
    }
    struct local_key *key; /* a reference of the mapping's own: its replica is not evicted */
    rc = local_tier_take(session->local, op->io.key, &key, &session->diag);
    if (rc != 0) {
        return rc;
    }
    if (adopt) {
        rc = replica_adopt(replica, &op->io, offset, len, &session->diag);
        forget_if_gone(op, replica, rc);
    }
    if (rc == 0) {
        rc = wasm_region_map_range(replica_region(replica), offset, len, memory, read_only, at,
                                   &session->diag);
        if (rc != 0 && adopt) {
            replica_release(replica, offset, len);
        }
    }
    if (rc != 0) {
        local_tier_put(key);
        return rc;
    }
    session->mappings.items[session->mappings.count++] =
        (struct state_mapping){key, replica_ref(replica), offset, len, *at, read_only, adopt};
    local_tier_count(session->local, 0, 0, len);
    return 0;
}

int state_map(struct state_session *session, struct wm_view key, struct wasm_memory *memory,
              uint64_t offset, uint64_t len, uint32_t flags, uint32_t *at)
{
    struct operation op;
    struct replica *replica;
    if (flags & ~(STATE_MAP_READ_ONLY | STATE_MAP_NO_PULL)) {
        return wm_diag_set(&session->diag, WM_E_INVALID, "state: mapping flags %#x are unknown",
                           flags);
    }
    /* Address 0 says that it failed. A region can only get it where there is no memory yet. */
    if (!memory || wasm_memory_bytes(memory) == 0) {
        return wm_diag_set(&session->diag, WM_E_INVALID, "state: the function has no memory");
    }
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = local_key_open(op.key, &op.io, 0, &replica, &session->diag);
    if (rc == 0) {
        rc = map_replica(&op, replica, memory, offset, len, flags, at);
        replica_put(replica);
    }
    return end(&op, rc);
}

/* --- Copies and transfers --- */

int state_dirty(struct state_session *session, struct wm_view key, uint64_t offset, uint64_t len)
{
    struct operation op;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    struct replica *replica = local_key_peek(op.key);
    /* Nobody has it mapped where there is no replica: what would be pushed is not what was
     * written. */
    rc = replica ? fit(session, replica, offset, &len)
                 : wm_diag_set(&session->diag, WM_E_NOT_FOUND, "state: there is no replica here");
    if (rc == 0) {
        rc = replica_dirty(replica, &op.io, offset, len, &session->diag);
    }
    replica_put(replica);
    return end(&op, rc);
}

int state_read(struct state_session *session, struct wm_view key, uint64_t offset, uint8_t *out,
               uint64_t len, uint64_t *done)
{
    struct operation op;
    struct replica *replica;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = local_key_open(op.key, &op.io, 0, &replica, &session->diag);
    if (rc == 0) {
        uint64_t bytes = replica_bytes(replica);
        if (offset > bytes) {
            rc = wm_diag_set(&session->diag, WM_E_INVALID,
                             "state: reading from %llu on: the value has %llu bytes",
                             (unsigned long long)offset, (unsigned long long)bytes);
        } else {
            *done = wm_min_u64(len, bytes - offset);
            rc = replica_read(replica, &op.io, offset, out, *done, &session->diag);
            forget_if_gone(&op, replica, rc);
        }
        replica_put(replica);
    }
    return end(&op, rc);
}

int state_write(struct state_session *session, struct wm_view key, uint64_t offset,
                const uint8_t *bytes, uint64_t len)
{
    struct operation op;
    struct replica *replica;
    uint64_t value_bytes;
    if (!wm_add_u64(offset, len, &value_bytes) || value_bytes > TIER_VALUE_BYTES_MAX) {
        return wm_diag_set(&session->diag, -EFBIG, "state: a value has at most 2 GiB");
    }
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = local_key_open(op.key, &op.io, value_bytes, &replica, &session->diag);
    if (rc == 0) {
        rc = replica_write(replica, &op.io, offset, bytes, len, &session->diag);
        replica_put(replica);
    }
    return end(&op, rc);
}

static struct state_held *find_held(struct state_session *session, const struct local_key *key)
{
    for (uint32_t i = 0; i < session->held_count; i++) {
        if (session->held[i].key == key) {
            return &session->held[i];
        }
    }
    return NULL;
}

/* Under a global lock of this call writes carry its token. */
static int fence(struct operation *op, struct lease **lease)
{
    struct state_held *held = find_held(op->session, op->key);
    *lease = held ? held->lease : NULL;
    if (*lease && lease_is_lost(*lease)) {
        return wm_diag_set(&op->session->diag, WM_E_STALE,
                           "state: this call's global lock of the key was lost: nothing is pushed");
    }
    /* Readers may be granted the lock beside each other, each with a later token: theirs fence
     * nothing. */
    op->io.token = *lease && lease_mode(*lease) == TIER_LOCK_WRITE ? lease_token(*lease) : 0;
    return 0;
}

static void note_refused(struct lease *lease, int rc)
{
    if (lease && rc == WM_E_STALE) {
        lease_lose(lease);
    }
}

int state_push(struct state_session *session, struct wm_view key, uint64_t offset, uint64_t len)
{
    struct operation op;
    struct lease *lease;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    struct replica *replica = local_key_peek(op.key);
    rc = fence(&op, &lease);
    if (rc == 0 && replica) {
        rc = fit(session, replica, offset, &len);
        rc = rc ? rc : replica_push(replica, &op.io, offset, len, &session->diag);
        note_refused(lease, rc);
    } else if (rc == 0) {
        /* Nothing is here, so nothing is dirty; but a key that is nowhere is a mistake. */
        uint64_t bytes;
        rc = session->tier->ops->size(session->tier->self, op.io.key, &bytes, &session->diag);
        if (rc == 0 && !wm_range_fits(offset, len, bytes)) {
            rc = wm_diag_set(&session->diag, WM_E_INVALID, "state: the value has %llu bytes",
                             (unsigned long long)bytes);
        }
    }
    replica_put(replica);
    return end(&op, rc);
}

int state_push_masked(struct state_session *session, struct wm_view key, struct wm_view mask,
                      uint32_t flags)
{
    struct operation op, mask_op;
    struct lease *lease;
    if (flags & ~STATE_MASK_BYTES) {
        return wm_diag_set(&session->diag, WM_E_INVALID, "state: mask flags %#x are unknown",
                           flags);
    }
    int rc = begin(session, mask, &mask_op);
    if (rc != 0) {
        return rc;
    }
    rc = begin(session, key, &op);
    if (rc != 0) {
        return end(&mask_op, rc);
    }
    struct replica *to = local_key_peek(op.key), *from = local_key_peek(mask_op.key);
    rc = fence(&op, &lease);
    if (rc == 0 && (!to || !from)) {
        rc = wm_diag_set(&session->diag, WM_E_NOT_FOUND, "state: %s has no replica here",
                         to ? "the mask" : "the value");
    }
    if (rc == 0) {
        rc =
            replica_push_masked(to, from, &op.io, flags & STATE_MASK_BYTES ? 1 : 4, &session->diag);
        note_refused(lease, rc);
    }
    replica_put(to);
    replica_put(from);
    (void)end(&mask_op, 0);
    return end(&op, rc);
}

int state_pull(struct state_session *session, struct wm_view key, uint64_t offset, uint64_t len)
{
    struct operation op;
    struct replica *replica;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = local_key_open(op.key, &op.io, 0, &replica, &session->diag);
    if (rc == 0) {
        rc = fit(session, replica, offset, &len);
        if (rc == 0) {
            rc = replica_pull(replica, &op.io, offset, len, &session->diag);
            forget_if_gone(&op, replica, rc);
        }
        replica_put(replica);
    }
    return end(&op, rc);
}

/* --- Lists and counters: of the global tier alone --- */

int state_append(struct state_session *session, struct wm_view key, struct wm_view element,
                 uint64_t *index)
{
    struct tier_key name = global_name(session, key);
    if (element.len > TIER_ELEMENT_BYTES_MAX) {
        return wm_diag_set(&session->diag, -EFBIG, "state: an element has at most %u bytes",
                           TIER_ELEMENT_BYTES_MAX);
    }
    int rc = session->tier->ops->append(session->tier->self, name, element, index, &session->diag);
    if (rc == 0 && session->usage) {
        session->usage->state_bytes_pushed += element.len;
    }
    local_tier_count(session->local, 0, rc == 0 ? element.len : 0, 0);
    return global_end(session, rc);
}

struct element {
    uint8_t *out;
    uint64_t room, len;
    bool found;
};

static bool take_element(void *self, struct wm_view bytes, uint64_t index)
{
    struct element *element = self;
    (void)index;
    uint64_t len = wm_min_u64(element->room, bytes.len);
    if (len > 0) {
        memcpy(element->out, bytes.ptr, len);
    }
    element->len = bytes.len;
    element->found = true;
    return false;
}

int state_appended(struct state_session *session, struct wm_view key, uint64_t index, uint8_t *out,
                   uint64_t room, uint64_t *len)
{
    struct tier_key name = global_name(session, key);
    struct element element = {out, room, 0, false};
    int rc = session->tier->ops->appended(session->tier->self, name, index, 1, take_element,
                                          &element, &session->diag);
    if (rc == 0 && !element.found) {
        rc = wm_diag_set(&session->diag, WM_E_NOT_FOUND, "state: the list has no element %llu",
                         (unsigned long long)index);
    }
    if (rc == 0) {
        *len = element.len;
        local_tier_count(session->local, element.len, 0, 0);
        if (session->usage) {
            session->usage->state_bytes_pulled += element.len;
        }
    }
    return global_end(session, rc);
}

int state_appended_count(struct state_session *session, struct wm_view key, uint64_t *count)
{
    struct tier_key name = global_name(session, key);
    return global_end(session, session->tier->ops->appended_count(session->tier->self, name, count,
                                                                  &session->diag));
}

int state_clear_appended(struct state_session *session, struct wm_view key)
{
    struct tier_key name = global_name(session, key);
    return global_end(
        session, session->tier->ops->clear_appended(session->tier->self, name, &session->diag));
}

int state_add(struct state_session *session, struct wm_view key, int64_t delta, int64_t *now)
{
    struct tier_key name = global_name(session, key);
    return global_end(
        session, session->tier->ops->add(session->tier->self, name, delta, now, &session->diag));
}

/* --- Locks --- */

/* The entry of a key that is to be locked; a new one owns the operation's reference, so the key's
 * entry stays. */
static int hold(struct operation *op, struct state_held **out)
{
    struct state_session *session = op->session;
    *out = find_held(session, op->key);
    if (*out) {
        return 0;
    }
    if (session->held_count == STATE_LOCKS_MAX) {
        return wm_diag_set(&session->diag, WM_E_LIMIT, "state: %u keys are locked already",
                           STATE_LOCKS_MAX);
    }
    struct local_key *key;
    int rc = local_tier_take(session->local, op->io.key, &key, &session->diag);
    if (rc == 0) {
        *out = &session->held[session->held_count++];
        **out = (struct state_held){.key = key};
    }
    return rc;
}

static void let_go(struct state_session *session, struct state_held *held)
{
    if (!held->local && !held->lease) {
        local_tier_put(held->key);
        *held = session->held[--session->held_count];
    }
}

static int check_mode(struct state_session *session, uint32_t mode)
{
    return mode <= STATE_LOCK_WRITE
               ? 0
               : wm_diag_set(&session->diag, WM_E_INVALID, "state: lock mode %u is unknown", mode);
}

int state_lock(struct state_session *session, struct wm_view key, uint32_t mode,
               uint32_t timeout_ms)
{
    struct operation op;
    struct state_held *held;
    int rc = check_mode(session, mode);
    rc = rc ? rc : begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = hold(&op, &held);
    if (rc == 0) {
        rc = held->local ? wm_diag_set(&session->diag, -EDEADLK,
                                       "state: this call holds the key's local lock already")
                         : key_lock_take(local_key_lock(op.key), mode == STATE_LOCK_WRITE,
                                         timeout_ms, session->stop, session->stop_self);
        if (rc == 0) {
            held->local = true;
            held->write = mode == STATE_LOCK_WRITE;
        }
        let_go(session, held);
    }
    return end(&op, rc);
}

int state_unlock(struct state_session *session, struct wm_view key)
{
    struct operation op;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    struct state_held *held = find_held(session, op.key);
    if (!held || !held->local) {
        rc = wm_diag_set(&session->diag, WM_E_USAGE,
                         "state: this call does not hold the key's local lock");
    } else {
        key_lock_release(local_key_lock(op.key), held->write);
        held->local = false;
        let_go(session, held);
    }
    return end(&op, rc);
}

int state_lock_global(struct state_session *session, struct wm_view key, uint32_t mode,
                      uint32_t timeout_ms, uint64_t *token)
{
    struct operation op;
    struct state_held *held;
    int rc = check_mode(session, mode);
    rc = rc ? rc : begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    rc = hold(&op, &held);
    if (rc == 0) {
        struct lease *lease = NULL;
        rc = held->lease ? wm_diag_set(&session->diag, -EDEADLK,
                                       "state: this call holds the key's global lock already")
                         : lease_take(local_tier_leases(session->local), session->tier, op.io.key,
                                      mode == STATE_LOCK_WRITE ? TIER_LOCK_WRITE : TIER_LOCK_READ,
                                      timeout_ms, session->stop, session->stop_self, &lease,
                                      &session->diag);
        if (rc == 0) {
            held->lease = lease;
            *token = lease_token(lease);
        }
        let_go(session, held);
    }
    return end(&op, rc);
}

int state_unlock_global(struct state_session *session, struct wm_view key)
{
    struct operation op;
    int rc = begin(session, key, &op);
    if (rc != 0) {
        return rc;
    }
    struct state_held *held = find_held(session, op.key);
    if (!held || !held->lease) {
        rc = wm_diag_set(&session->diag, WM_E_USAGE,
                         "state: this call does not hold the key's global lock");
    } else {
        rc = lease_release(held->lease, session->tier, &session->diag);
        held->lease = NULL;
        let_go(session, held);
    }
    return end(&op, rc);
}
