/* The embedded tier: values, lists and counters as entries of the store; locks and sets in memory,
 * with the locks' grants in the store.
 *
 * Every change is an update function of kv.h: it runs inside the store's write transaction, so that
 * what it reads is what it changes, and so that a fence that it finds valid is valid for this
 * write: a grant to somebody else is a change too, and comes before or after it as a whole.
 *
 * Order of locks: the store's writer is outside, tier->lock inside. So nobody commits while holding
 * tier->lock; a lock that is being granted is marked `busy` instead. */
#include "faaslet/tier_embedded.h"

#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "faaslet/tier_check.h"
#include "faaslet/tier_leases.h"
#include "faaslet/tier_sets.h"

#define TABLE_VALUE "state.value"
#define TABLE_CHUNK "state.chunk"
#define TABLE_LIST "state.list"
#define TABLE_ELEMENT "state.element"
#define TABLE_COUNTER "state.counter"
#define TABLE_LOCK "state.lock"
#define TABLE_USAGE "state.usage"

/* What an entry is charged beside its bytes, so that many small ones are not free. */
#define ENTRY_COST 256
#define ELEMENT_COST 64

struct waiter {
    struct waiter *next;
};

/* A lock that somebody holds, waits for or asks about. */
struct lock {
    struct wm_view name; /* first, for compare_locks; bytes of its own */
    struct leases leases;
    bool busy;       /* a grant is being written, or its record is */
    bool restored;   /* its record is an earlier process's: a release must be written */
    unsigned asking; /* threads that have a pointer to it */
    struct waiter *first, *last;
    struct lock *next, *previous; /* of all */
};

struct embedded {
    struct kv *kv;
    int64_t (*now_ms)(void *self);
    void *now_self;
    uint64_t (*quota)(void *self, struct wm_view tenant);
    void *quota_self;
    int64_t start_ms;
    uint64_t boot;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    void *locks; /* tree */
    struct lock *all_locks;
    uint32_t lock_count;
    struct sets *sets;

    atomic_uint_fast64_t reads, writes, bytes_read, bytes_written, locks_granted, errors;
};

static int64_t boot_time_ms(void *self)
{
    struct timespec now;
    (void)self;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t now_of(struct embedded *tier)
{
    return tier->now_ms(tier->now_self);
}

static int count_error(struct embedded *tier, int err)
{
    if (err && err != WM_E_NOT_FOUND) {
        atomic_fetch_add_explicit(&tier->errors, 1, memory_order_relaxed);
    }
    return err;
}

/* --- Names of entries --- */

struct name {
    size_t len;
    uint8_t bytes[TIER_NAME_BYTES_MAX + 2 + 8];
};

static struct wm_view view(const struct name *name)
{
    return wm_view_of(name->bytes, name->len);
}

static struct name name_of(struct tier_key key)
{
    struct name name;
    name.len = tier_name(name.bytes, key);
    return name;
}

static void put_big_endian(uint8_t *out, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
    }
}

/* Of the parts of a value or list: tenant, length of the key and key, then the part's number; the
 * length stands before the key so that no key's parts lie between those of another. */
static struct name part_name(struct tier_key key)
{
    struct name name;
    name.len = 1 + key.tenant.len;
    name.bytes[0] = (uint8_t)key.tenant.len;
    memcpy(name.bytes + 1, key.tenant.ptr, key.tenant.len);
    put_big_endian(name.bytes + name.len, key.key.len, 2);
    memcpy(name.bytes + name.len + 2, key.key.ptr, key.key.len);
    name.len += 2 + key.key.len;
    return name;
}

/* The name with the number of a part in `len` bytes after `stem_len`. */
static struct wm_view numbered(struct name *name, size_t stem_len, uint64_t number, size_t len)
{
    put_big_endian(name->bytes + stem_len, number, len);
    name->len = stem_len + len;
    return view(name);
}

#define CHUNK_NUMBER_BYTES 4
#define ELEMENT_NUMBER_BYTES 8

/* A number of eight bytes, little-endian. */
static int number_of(struct wm_view value, uint64_t *out)
{
    if (value.len != sizeof *out) {
        return WM_E_MALFORMED;
    }
    memcpy(out, value.ptr, sizeof *out);
    return 0;
}

static int get_number(struct kv_reader *reader, const char *table, struct wm_view name,
                      uint64_t *out)
{
    struct wm_view value;
    int err = kv_get(reader, table, name, &value);
    return err ? err : number_of(value, out);
}

static int update_number(struct kv_update *update, const char *table, struct wm_view name,
                         uint64_t *out)
{
    struct wm_view value;
    int err = kv_update_get(update, table, name, &value);
    return err ? err : number_of(value, out);
}

static uint64_t chunks_of(uint64_t bytes)
{
    return (bytes + TIER_CHUNK_BYTES - 1) / TIER_CHUNK_BYTES;
}

static size_t chunk_bytes(uint64_t value_bytes, uint64_t chunk)
{
    return (size_t)wm_min_u64(TIER_CHUNK_BYTES, value_bytes - chunk * TIER_CHUNK_BYTES);
}

/* --- Quotas --- */

static struct name usage_name(struct wm_view tenant)
{
    return name_of((struct tier_key){tenant, {0}});
}

/* Adds to what the tenant uses: -EDQUOT where it may not have more. */
static int charge(struct embedded *tier, struct kv_update *update, struct wm_view tenant,
                  int64_t bytes)
{
    struct name name = usage_name(tenant);
    uint64_t used = 0;
    int err = update_number(update, TABLE_USAGE, view(&name), &used);
    if (err && err != WM_E_NOT_FOUND) {
        return err;
    }
    if (bytes < 0) {
        used -= wm_min_u64(used, -(uint64_t)bytes);
    } else {
        used += (uint64_t)bytes;
        uint64_t quota = tier->quota ? tier->quota(tier->quota_self, tenant) : 0;
        if (quota > 0 && used > quota) {
            return -EDQUOT;
        }
    }
    return kv_update_put(update, TABLE_USAGE, view(&name), wm_view_of(&used, sizeof used));
}

/* --- Committing --- */

/* Runs `run` in a commit of its own. */
static int commit(struct embedded *tier, kv_update_fn *run, void *self, struct tier_key key,
                  struct wm_diag *diag)
{
    struct kv_batch *batch;
    struct wm_diag store = WM_DIAG_INIT;
    int err = kv_batch_new(tier->kv, &batch);
    if (!err) {
        kv_batch_update(batch, run, self);
        err = kv_commit(batch, &store);
    }
    switch (err) {
    case 0: return 0;
    case WM_E_STALE:
        tier_fail(diag, err, key,
                  "the lock that this write relies on has expired or was granted anew");
        break;
    case WM_E_INVALID: tier_fail(diag, err, key, "it exists with another size"); break;
    case WM_E_NOT_FOUND: tier_fail(diag, err, key, "there is no such key"); break;
    case WM_E_MALFORMED:
        tier_fail(diag, err, key, "its entry in the store is damaged; restore a backup");
        break;
    case -EDQUOT:
        err = tier_fail(diag, WM_E_LIMIT, key, "the tenant has used up its quota of state");
        break;
    default: tier_fail(diag, err, key, store.code ? store.text : wm_error_text(err)); break;
    }
    return count_error(tier, err);
}

static int begin_read(struct embedded *tier, struct kv_reader **reader, struct wm_diag *diag)
{
    return count_error(tier, kv_read_begin(tier->kv, reader, diag));
}

static int end_read(struct embedded *tier, struct kv_reader *reader, int err, struct tier_key key,
                    struct wm_diag *diag)
{
    kv_read_end(reader);
    if (!err) {
        return 0;
    }
    const char *what = err == WM_E_NOT_FOUND   ? "there is no such key"
                       : err == WM_E_MALFORMED ? "its entry in the store is damaged"
                                               : wm_error_text(err);
    return count_error(tier, diag && diag->code == err ? err : tier_fail(diag, err, key, what));
}

/* --- Values --- */

static int op_size(void *self, struct tier_key key, uint64_t *bytes, struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct kv_reader *reader;
    int err = tier_check_key(key, diag);
    err = err ? err : begin_read(tier, &reader, diag);
    if (err) {
        return err;
    }
    struct name name = name_of(key);
    return end_read(tier, reader, get_number(reader, TABLE_VALUE, view(&name), bytes), key, diag);
}

/* Sees to it that the value exists with this size. */
static int make_value(struct embedded *tier, struct kv_update *update, struct tier_key key,
                      uint64_t bytes)
{
    struct name name = name_of(key);
    uint64_t present = 0;
    int err = update_number(update, TABLE_VALUE, view(&name), &present);
    if (err == WM_E_NOT_FOUND) {
        /* No chunks: they are zero. It is charged in full, since it may be written any time. */
        err = charge(tier, update, key.tenant, (int64_t)bytes + ENTRY_COST);
        return err ? err
                   : kv_update_put(update, TABLE_VALUE, view(&name),
                                   wm_view_of(&bytes, sizeof bytes));
    }
    return err ? err : present == bytes ? 0 : WM_E_INVALID;
}

struct create {
    struct embedded *tier;
    struct tier_key key;
    uint64_t bytes;
};

static int run_create(void *self, struct kv_update *update)
{
    struct create *create = self;
    return make_value(create->tier, update, create->key, create->bytes);
}

static int op_create(void *self, struct tier_key key, uint64_t bytes, struct wm_diag *diag)
{
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_size(key, bytes, diag);
    struct create create = {self, key, bytes};
    return err ? err : commit(self, run_create, &create, key, diag);
}

static int read_range(struct kv_reader *reader, struct tier_key key, uint64_t value_bytes,
                      const struct tier_range *range)
{
    struct name name = part_name(key);
    size_t stem = name.len;
    for (uint64_t done = 0; done < range->len;) {
        uint64_t offset = range->offset + done, chunk = offset / TIER_CHUNK_BYTES;
        size_t inside = (size_t)(offset % TIER_CHUNK_BYTES);
        size_t whole = chunk_bytes(value_bytes, chunk);
        size_t len = (size_t)wm_min_u64(whole - inside, range->len - done);
        struct wm_view stored;
        int err =
            kv_get(reader, TABLE_CHUNK, numbered(&name, stem, chunk, CHUNK_NUMBER_BYTES), &stored);
        if (err == WM_E_NOT_FOUND) {
            memset(range->bytes + done, 0, len);
        } else if (err) {
            return err;
        } else if (stored.len != whole) {
            return WM_E_MALFORMED;
        } else {
            memcpy(range->bytes + done, stored.ptr + inside, len);
        }
        done += len;
    }
    return 0;
}

static int op_read(void *self, struct tier_key key, const struct tier_range *ranges, uint32_t count,
                   struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct kv_reader *reader;
    uint64_t bytes = 0, total = 0;
    int err = tier_check_key(key, diag);
    err = err ? err : begin_read(tier, &reader, diag);
    if (err) {
        return err;
    }
    struct name name = name_of(key);
    err = get_number(reader, TABLE_VALUE, view(&name), &bytes);
    err = err ? err : tier_check_ranges(key, bytes, ranges, count, &total, diag);
    for (uint32_t i = 0; !err && i < count; i++) {
        err = read_range(reader, key, bytes, &ranges[i]);
    }
    if (!err) {
        atomic_fetch_add_explicit(&tier->reads, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&tier->bytes_read, total, memory_order_relaxed);
    }
    return end_read(tier, reader, err, key, diag);
}

/* The part of a range that lies in one chunk. */
struct piece {
    uint32_t chunk, inside; /* number, and offset in it */
    uint32_t len, range;    /* which of them: the order among pieces of a chunk */
    const uint8_t *bytes;
};

struct write {
    struct embedded *tier;
    struct tier_key key;
    uint64_t bytes, token;
    struct piece *pieces; /* by chunk */
    size_t count;
    uint8_t *scratch; /* one chunk */
};

static int compare_pieces(const void *a, const void *b)
{
    const struct piece *one = a, *other = b;
    if (one->chunk != other->chunk) {
        return one->chunk < other->chunk ? -1 : 1;
    }
    return (one->range > other->range) - (one->range < other->range);
}

static int cut_into_pieces(struct write *write, const struct tier_range *ranges, uint32_t count)
{
    size_t room = 0;
    bool sorted = true;
    for (uint32_t i = 0; i < count; i++) {
        if (ranges[i].len > 0) {
            room += (ranges[i].offset + ranges[i].len - 1) / TIER_CHUNK_BYTES -
                    ranges[i].offset / TIER_CHUNK_BYTES + 1;
        }
    }
    write->pieces = wm_alloc_zero(room ? room : 1, sizeof *write->pieces);
    if (!write->pieces) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint64_t done = 0; done < ranges[i].len;) {
            uint64_t offset = ranges[i].offset + done;
            uint32_t inside = (uint32_t)(offset % TIER_CHUNK_BYTES);
            uint32_t len = (uint32_t)wm_min_u64(TIER_CHUNK_BYTES - inside, ranges[i].len - done);
            struct piece piece = {(uint32_t)(offset / TIER_CHUNK_BYTES), inside, len, i,
                                  ranges[i].bytes + done};
            if (write->count > 0 && write->pieces[write->count - 1].chunk > piece.chunk) {
                sorted = false;
            }
            write->pieces[write->count++] = piece;
            done += len;
        }
    }
    if (!sorted) {
        qsort(write->pieces, write->count, sizeof *write->pieces, compare_pieces);
    }
    return 0;
}

static int check_fence(struct embedded *tier, struct kv_update *update, struct tier_key key,
                       uint64_t token);

/* Writes the pieces [from, to), all of one chunk. */
static int write_chunk(struct write *write, struct kv_update *update, struct wm_view name,
                       size_t from, size_t to)
{
    const struct piece *first = &write->pieces[from];
    size_t whole = chunk_bytes(write->bytes, first->chunk);
    struct wm_view stored;
    if (first->len == whole && to == from + 1) {
        return kv_update_put(update, TABLE_CHUNK, name, wm_view_of(first->bytes, whole));
    }
    int err = kv_update_get(update, TABLE_CHUNK, name, &stored);
    if (err == WM_E_NOT_FOUND) {
        memset(write->scratch, 0, whole);
    } else if (err) {
        return err;
    } else if (stored.len != whole) {
        return WM_E_MALFORMED;
    } else {
        memcpy(write->scratch, stored.ptr, whole);
    }
    for (size_t i = from; i < to; i++) {
        memcpy(write->scratch + write->pieces[i].inside, write->pieces[i].bytes,
               write->pieces[i].len);
    }
    return kv_update_put(update, TABLE_CHUNK, name, wm_view_of(write->scratch, whole));
}

static int run_write(void *self, struct kv_update *update)
{
    struct write *write = self;
    int err = write->token ? check_fence(write->tier, update, write->key, write->token) : 0;
    err = err ? err : make_value(write->tier, update, write->key, write->bytes);
    struct name name = part_name(write->key);
    size_t stem = name.len;
    for (size_t from = 0, to; !err && from < write->count; from = to) {
        uint32_t chunk = write->pieces[from].chunk;
        for (to = from + 1; to < write->count && write->pieces[to].chunk == chunk; to++) {
        }
        err =
            write_chunk(write, update, numbered(&name, stem, chunk, CHUNK_NUMBER_BYTES), from, to);
    }
    return err;
}

static int op_write(void *self, struct tier_key key, uint64_t bytes,
                    const struct tier_range *ranges, uint32_t count, uint64_t token,
                    struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct write write = {.tier = tier, .key = key, .bytes = bytes, .token = token};
    uint64_t total = 0;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_size(key, bytes, diag);
    err = err ? err : tier_check_ranges(key, bytes, ranges, count, &total, diag);
    if (err) {
        return count_error(tier, err);
    }
    write.scratch = wm_alloc(TIER_CHUNK_BYTES);
    err = write.scratch ? cut_into_pieces(&write, ranges, count) : -ENOMEM;
    err = err ? tier_fail(diag, err, key, "no memory") : commit(tier, run_write, &write, key, diag);
    wm_free(write.scratch);
    wm_free(write.pieces);
    if (!err) {
        atomic_fetch_add_explicit(&tier->writes, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&tier->bytes_written, total, memory_order_relaxed);
    }
    return err;
}

/* What stands in a list's head: 16 bytes. */
struct head {
    uint64_t count;
    uint64_t charged; /* bytes, all its elements' and its own */
};

static int head_of(struct wm_view value, struct head *out)
{
    if (value.len != sizeof *out) {
        return WM_E_MALFORMED;
    }
    memcpy(out, value.ptr, sizeof *out);
    return 0;
}

/* Zeroes where there is no list. */
static int update_head(struct kv_update *update, struct wm_view name, struct head *out)
{
    struct wm_view value;
    *out = (struct head){0};
    int err = kv_update_get(update, TABLE_LIST, name, &value);
    return err == WM_E_NOT_FOUND ? 0 : err ? err : head_of(value, out);
}

/* Removes parts 0 to count - 1 of a value or list, and its head. */
static int remove_parts(struct kv_update *update, const char *head_table, const char *part_table,
                        struct tier_key key, uint64_t count, size_t number_bytes)
{
    struct name head = name_of(key), name = part_name(key);
    size_t stem = name.len;
    int err = 0;
    for (uint64_t i = 0; !err && i < count; i++) {
        err = kv_update_remove(update, part_table, numbered(&name, stem, i, number_bytes));
    }
    return err ? err : kv_update_remove(update, head_table, view(&head));
}

static int remove_list(struct embedded *tier, struct kv_update *update, struct tier_key key)
{
    struct name name = name_of(key);
    struct head head;
    int err = update_head(update, view(&name), &head);
    if (err || head.charged == 0) {
        return err;
    }
    err = charge(tier, update, key.tenant, -(int64_t)head.charged);
    return err ? err
               : remove_parts(update, TABLE_LIST, TABLE_ELEMENT, key, head.count,
                              ELEMENT_NUMBER_BYTES);
}

static int remove_value(struct embedded *tier, struct kv_update *update, struct tier_key key)
{
    struct name name = name_of(key);
    uint64_t bytes = 0;
    int err = update_number(update, TABLE_VALUE, view(&name), &bytes);
    if (err) {
        return err == WM_E_NOT_FOUND ? 0 : err;
    }
    err = charge(tier, update, key.tenant, -(int64_t)(bytes + ENTRY_COST));
    return err ? err
               : remove_parts(update, TABLE_VALUE, TABLE_CHUNK, key, chunks_of(bytes),
                              CHUNK_NUMBER_BYTES);
}

static int remove_counter(struct embedded *tier, struct kv_update *update, struct tier_key key)
{
    struct name name = name_of(key);
    uint64_t value;
    int err = update_number(update, TABLE_COUNTER, view(&name), &value);
    if (err) {
        return err == WM_E_NOT_FOUND ? 0 : err;
    }
    err = charge(tier, update, key.tenant, -ENTRY_COST);
    return err ? err : kv_update_remove(update, TABLE_COUNTER, view(&name));
}

struct removal {
    struct embedded *tier;
    struct tier_key key;
};

static int run_remove(void *self, struct kv_update *update)
{
    struct removal *removal = self;
    int err = remove_value(removal->tier, update, removal->key);
    err = err ? err : remove_list(removal->tier, update, removal->key);
    return err ? err : remove_counter(removal->tier, update, removal->key);
}

static int op_remove(void *self, struct tier_key key, struct wm_diag *diag)
{
    struct removal removal = {self, key};
    int err = tier_check_key(key, diag);
    return err ? err : commit(self, run_remove, &removal, key, diag);
}

struct listing {
    size_t tenant_bytes;
    struct wm_view after;
    tier_emit_fn *emit;
    void *emit_self;
    int err;
};

static bool list_one(void *self, struct wm_view name, struct wm_view value)
{
    struct listing *listing = self;
    struct wm_view key;
    uint64_t bytes = 0;
    if (!wm_view_slice(name, listing->tenant_bytes, name.len - listing->tenant_bytes, &key) ||
        number_of(value, &bytes) != 0) {
        listing->err = WM_E_MALFORMED;
        return false;
    }
    return wm_view_eq(key, listing->after) || listing->emit(listing->emit_self, key, bytes);
}

static int op_list(void *self, struct wm_view tenant, struct wm_view prefix, struct wm_view after,
                   tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct kv_reader *reader;
    struct tier_key key = {tenant, prefix}, from = {tenant, after};
    if (tenant.len == 0 || tenant.len > TIER_TENANT_BYTES_MAX || prefix.len > TIER_KEY_BYTES_MAX ||
        after.len > TIER_KEY_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_INVALID, "state: listing: a name or prefix is too long");
    }
    int err = begin_read(tier, &reader, diag);
    if (err) {
        return err;
    }
    struct name prefix_name = name_of(key), from_name = name_of(from);
    struct listing listing = {1 + tenant.len, after, emit, emit_self, 0};
    err = kv_scan(reader, TABLE_VALUE, view(&prefix_name), view(&from_name), list_one, &listing);
    return end_read(tier, reader, err ? err : listing.err, key, diag);
}

/* --- Lists and counters --- */

struct append {
    struct embedded *tier;
    struct tier_key key;
    struct wm_view element;
    uint64_t index;
};

static int run_append(void *self, struct kv_update *update)
{
    struct append *append = self;
    struct name head_name = name_of(append->key), name = part_name(append->key);
    struct head head;
    int err = update_head(update, view(&head_name), &head);
    if (err) {
        return err;
    }
    uint64_t cost = append->element.len + ELEMENT_COST + (head.charged ? 0 : ENTRY_COST);
    append->index = head.count++;
    head.charged += cost;
    err = charge(append->tier, update, append->key.tenant, (int64_t)cost);
    err = err ? err
              : kv_update_put(update, TABLE_ELEMENT,
                              numbered(&name, name.len, append->index, ELEMENT_NUMBER_BYTES),
                              append->element);
    return err ? err
               : kv_update_put(update, TABLE_LIST, view(&head_name),
                               wm_view_of(&head, sizeof head));
}

static int op_append(void *self, struct tier_key key, struct wm_view element, uint64_t *index,
                     struct wm_diag *diag)
{
    struct append append = {self, key, element, 0};
    int err = tier_check_key(key, diag);
    if (!err && element.len > TIER_ELEMENT_BYTES_MAX) {
        err = tier_fail(diag, WM_E_LIMIT, key, "an element of a list has at most 1 MiB");
    }
    err = err ? err : commit(self, run_append, &append, key, diag);
    *index = append.index;
    return err;
}

/* The number of elements; 0 where there is no list. */
static int list_count(struct kv_reader *reader, struct tier_key key, uint64_t *count)
{
    struct name name = name_of(key);
    struct wm_view value;
    struct head head = {0};
    int err = kv_get(reader, TABLE_LIST, view(&name), &value);
    err = err == WM_E_NOT_FOUND ? 0 : err ? err : head_of(value, &head);
    *count = head.count;
    return err;
}

static int op_appended(void *self, struct tier_key key, uint64_t first, uint64_t count,
                       tier_emit_fn *emit, void *emit_self, struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct kv_reader *reader;
    uint64_t present = 0;
    int err = tier_check_key(key, diag);
    err = err ? err : begin_read(tier, &reader, diag);
    if (err) {
        return err;
    }
    struct name name = part_name(key);
    size_t stem = name.len;
    err = list_count(reader, key, &present);
    for (uint64_t i = first; !err && i < present && i - first < count; i++) {
        struct wm_view element;
        err =
            kv_get(reader, TABLE_ELEMENT, numbered(&name, stem, i, ELEMENT_NUMBER_BYTES), &element);
        err = err == WM_E_NOT_FOUND ? WM_E_MALFORMED : err;
        if (!err && !emit(emit_self, element, i)) {
            break;
        }
    }
    return end_read(tier, reader, err, key, diag);
}

static int op_appended_count(void *self, struct tier_key key, uint64_t *count, struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct kv_reader *reader;
    int err = tier_check_key(key, diag);
    err = err ? err : begin_read(tier, &reader, diag);
    return err ? err : end_read(tier, reader, list_count(reader, key, count), key, diag);
}

static int run_clear(void *self, struct kv_update *update)
{
    struct removal *removal = self;
    return remove_list(removal->tier, update, removal->key);
}

static int op_clear_appended(void *self, struct tier_key key, struct wm_diag *diag)
{
    struct removal removal = {self, key};
    int err = tier_check_key(key, diag);
    return err ? err : commit(self, run_clear, &removal, key, diag);
}

struct add {
    struct embedded *tier;
    struct tier_key key;
    int64_t delta, now;
};

static int run_add(void *self, struct kv_update *update)
{
    struct add *add = self;
    struct name name = name_of(add->key);
    uint64_t before = 0;
    int err = update_number(update, TABLE_COUNTER, view(&name), &before);
    if (err && err != WM_E_NOT_FOUND) {
        return err;
    }
    if (__builtin_add_overflow((int64_t)before, add->delta, &add->now)) {
        return -ERANGE;
    }
    err = err ? charge(add->tier, update, add->key.tenant, ENTRY_COST) : 0;
    return err ? err : kv_update_put(update, TABLE_COUNTER, view(&name), wm_view_of(&add->now, 8));
}

static int read_counter(struct embedded *tier, struct add *add, struct wm_diag *diag)
{
    struct kv_reader *reader;
    struct name name = name_of(add->key);
    uint64_t value = 0;
    int err = begin_read(tier, &reader, diag);
    if (err) {
        return err;
    }
    err = get_number(reader, TABLE_COUNTER, view(&name), &value);
    add->now = (int64_t)value;
    return end_read(tier, reader, err == WM_E_NOT_FOUND ? 0 : err, add->key, diag);
}

static int op_add(void *self, struct tier_key key, int64_t delta, int64_t *now,
                  struct wm_diag *diag)
{
    struct add add = {self, key, delta, 0};
    int err = tier_check_key(key, diag);
    if (!err) {
        err = delta == 0 ? read_counter(self, &add, diag) : commit(self, run_add, &add, key, diag);
    }
    *now = add.now;
    return err;
}

/* --- Locks --- */

static int compare_locks(const void *a, const void *b)
{
    const struct wm_view *one = a, *other = b;
    size_t len = one->len < other->len ? one->len : other->len;
    int order = memcmp(one->ptr, other->ptr, len);
    return order ? order : (one->len > other->len) - (one->len < other->len);
}

static void free_lock(struct embedded *tier, struct lock *lock)
{
    tdelete(&lock->name, &tier->locks, compare_locks);
    if (lock->previous) {
        lock->previous->next = lock->next;
    } else {
        tier->all_locks = lock->next;
    }
    if (lock->next) {
        lock->next->previous = lock->previous;
    }
    tier->lock_count--;
    leases_fini(&lock->leases);
    wm_free((void *)(uintptr_t)lock->name.ptr);
    wm_free(lock);
}

/* Frees it where nobody holds or looks at it: its record says the rest. */
static void tidy_lock(struct embedded *tier, struct lock *lock, int64_t now_ms)
{
    if (!lock->busy && lock->asking == 0) {
        leases_drop_expired(&lock->leases, now_ms);
        if (lock->leases.held.count == 0) {
            free_lock(tier, lock);
        }
    }
}

static void put_lock(struct embedded *tier, struct lock *lock)
{
    lock->asking--;
    tidy_lock(tier, lock, now_of(tier));
    pthread_cond_broadcast(&tier->changed);
}

static struct lock *find_lock(struct embedded *tier, struct wm_view name)
{
    struct lock **found = tfind(&name, &tier->locks, compare_locks);
    return found ? *found : NULL;
}

/* What the record says, in the light of whose it is. */
static int read_record(struct embedded *tier, struct wm_view record, struct leases *leases,
                       bool *restored)
{
    uint64_t boot = 0;
    int err = leases_decode(record, tier->start_ms, leases, &boot);
    if (err) {
        return err;
    }
    if (boot == tier->boot) {
        leases->held.count = 0; /* released or expired since: else it would be in memory */
    }
    *restored = leases->held.count > 0;
    return 0;
}

static int load_lock(struct embedded *tier, struct lock *lock, struct wm_diag *diag)
{
    struct kv_reader *reader;
    struct wm_view record;
    int err = kv_read_begin(tier->kv, &reader, diag);
    if (err) {
        return err;
    }
    err = kv_get(reader, TABLE_LOCK, lock->name, &record);
    err = err ? err : read_record(tier, record, &lock->leases, &lock->restored);
    kv_read_end(reader);
    return err == WM_E_NOT_FOUND ? 0 : err;
}

/* The lock, made and loaded where it is not in memory; tier->lock is held. Give it back by
 * put_lock. */
static int get_lock(struct embedded *tier, struct tier_key key, struct lock **out,
                    struct wm_diag *diag)
{
    struct name name = name_of(key);
    struct lock *lock = find_lock(tier, view(&name));
    if (lock) {
        lock->asking++;
        *out = lock;
        return 0;
    }
    if (tier->lock_count >= TIER_LOCKS_MAX) {
        int64_t now_ms = now_of(tier);
        for (struct lock *each = tier->all_locks, *next; each; each = next) {
            next = each->next;
            tidy_lock(tier, each, now_ms);
        }
        if (tier->lock_count >= TIER_LOCKS_MAX) {
            return tier_fail(diag, WM_E_LIMIT, key, "too many locks are held on this node");
        }
    }
    lock = wm_alloc_zero(1, sizeof *lock);
    uint8_t *bytes = wm_alloc(name.len);
    if (!lock || !bytes) {
        wm_free(lock);
        wm_free(bytes);
        return tier_fail(diag, -ENOMEM, key, "no memory");
    }
    memcpy(bytes, name.bytes, name.len);
    lock->name = wm_view_of(bytes, name.len);
    int err = load_lock(tier, lock, diag);
    if (!err && !tsearch(lock, &tier->locks, compare_locks)) {
        err = -ENOMEM;
    }
    if (err) {
        leases_fini(&lock->leases);
        wm_free(bytes);
        wm_free(lock);
        return tier_fail(diag, err, key, wm_error_text(err));
    }
    lock->next = tier->all_locks;
    if (tier->all_locks) {
        tier->all_locks->previous = lock;
    }
    tier->all_locks = lock;
    tier->lock_count++;
    lock->asking = 1;
    *out = lock;
    return 0;
}

static int check_fence(struct embedded *tier, struct kv_update *update, struct tier_key key,
                       uint64_t token)
{
    struct name name = name_of(key);
    struct leases recorded = {0};
    struct wm_view record;
    bool restored = false;
    int err = kv_update_get(update, TABLE_LOCK, view(&name), &record);
    err = err ? err : read_record(tier, record, &recorded, &restored);
    if (err) {
        return err == WM_E_NOT_FOUND ? WM_E_STALE : err;
    }
    int64_t now_ms = now_of(tier);
    pthread_mutex_lock(&tier->lock);
    const struct lock *lock = find_lock(tier, view(&name));
    /* The record in this transaction knows the last grant, memory knows renewals and releases. */
    bool valid = recorded.token == token &&
                 leases_may_write(lock ? &lock->leases : &recorded, token, now_ms);
    pthread_mutex_unlock(&tier->lock);
    leases_fini(&recorded);
    return valid ? 0 : WM_E_STALE;
}

struct record {
    struct embedded *tier;
    const struct lock *lock;
    struct lease *granted; /* its token is filled in; NULL: only the present ones */
};

static int run_record(void *self, struct kv_update *update)
{
    struct record *record = self;
    struct wm_view stored;
    uint64_t token = 0;
    uint8_t *bytes;
    size_t len;
    int err = kv_update_get(update, TABLE_LOCK, record->lock->name, &stored);
    if (!err) {
        struct wm_cursor cursor = wm_cursor_of(stored);
        err = wm_cursor_u64(&cursor, &token) ? 0 : WM_E_MALFORMED;
    }
    if (err == WM_E_NOT_FOUND) { /* for good: a token must never be granted again */
        struct wm_view name = record->lock->name;
        err = charge(record->tier, update, wm_view_of(name.ptr + 1, name.ptr[0]), ENTRY_COST);
    }
    if (err) {
        return err;
    }
    if (record->granted) {
        record->granted->token = ++token;
    }
    err = leases_encode(&record->lock->leases, token, record->tier->boot, record->granted, &bytes,
                        &len);
    if (!err) {
        err = kv_update_put(update, TABLE_LOCK, record->lock->name, wm_view_of(bytes, len));
        wm_free(bytes);
    }
    return err;
}

/* Writes who holds the lock. tier->lock is held before and after, but not meanwhile: `busy` keeps
 * all others from changing the leases. */
static int write_record(struct embedded *tier, struct lock *lock, struct lease *granted,
                        struct tier_key key, struct wm_diag *diag)
{
    struct record record = {tier, lock, granted};
    lock->busy = true;
    pthread_mutex_unlock(&tier->lock);
    int err = commit(tier, run_record, &record, key, diag);
    pthread_mutex_lock(&tier->lock);
    lock->busy = false;
    if (!err) {
        lock->restored = false;
    }
    pthread_cond_broadcast(&tier->changed);
    return err;
}

static int extend(struct embedded *tier, struct lock *lock, struct lease *lease, uint32_t ttl_ms,
                  struct tier_key key, struct wm_diag *diag)
{
    if (ttl_ms > lease->ttl_ms) {
        uint32_t before = lease->ttl_ms;
        lease->ttl_ms = ttl_ms;
        int err = write_record(tier, lock, NULL, key, diag);
        if (err) {
            lease->ttl_ms = before;
            return err;
        }
    }
    lease->expires_ms = now_of(tier) + ttl_ms;
    return 0;
}

static int grant(struct embedded *tier, struct lock *lock, struct tier_lock *wanted,
                 uint32_t ttl_ms, struct tier_key key, struct wm_diag *diag)
{
    struct lease lease = {.ttl_ms = ttl_ms, .mode = (uint8_t)wanted->mode};
    memcpy(lease.owner, wanted->owner, sizeof lease.owner);
    if (wm_vec_reserve_one(&lock->leases.held) != 0) {
        return tier_fail(diag, -ENOMEM, key, "no memory");
    }
    int err = write_record(tier, lock, &lease, key, diag);
    if (err) {
        return err;
    }
    lease.expires_ms = now_of(tier) + ttl_ms;
    lock->leases.held.items[lock->leases.held.count++] = lease;
    lock->leases.token = wanted->token = lease.token;
    atomic_fetch_add_explicit(&tier->locks_granted, 1, memory_order_relaxed);
    return 0;
}

static void enqueue(struct lock *lock, struct waiter *waiter)
{
    waiter->next = NULL;
    if (lock->last) {
        lock->last->next = waiter;
    } else {
        lock->first = waiter;
    }
    lock->last = waiter;
}

static void dequeue(struct lock *lock, struct waiter *waiter)
{
    struct waiter *before = NULL;
    for (struct waiter *at = lock->first; at != waiter; at = at->next) {
        before = at;
    }
    *(before ? &before->next : &lock->first) = waiter->next;
    if (lock->last == waiter) {
        lock->last = before;
    }
}

/* Until something changes, or `wait_ms` have passed on the real clock. */
static void wait_for_change(struct embedded *tier, int64_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    wait_ms = wait_ms < 1 ? 1 : wait_ms > 60000 ? 60000 : wait_ms;
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&tier->changed, &tier->lock, &until);
}

static int wait_and_grant(struct embedded *tier, struct lock *lock, struct tier_lock *wanted,
                          uint32_t ttl_ms, uint32_t wait_ms, struct tier_key key,
                          struct wm_diag *diag)
{
    struct waiter self = {0};
    int64_t deadline_ms = now_of(tier) + wait_ms;
    int err;
    enqueue(lock, &self);
    for (;;) {
        int64_t now_ms = now_of(tier);
        if (!lock->busy) {
            leases_drop_expired(&lock->leases, now_ms);
            struct lease *held = leases_find(&lock->leases, wanted->owner, 0, now_ms);
            if (held && held->mode == (uint8_t)wanted->mode) {
                wanted->token = held->token;
                err = extend(tier, lock, held, ttl_ms, key, diag);
                break;
            }
            if (lock->first == &self && leases_allow(&lock->leases, wanted->mode)) {
                err = grant(tier, lock, wanted, ttl_ms, key, diag);
                break;
            }
            if (now_ms >= deadline_ms) {
                err = tier_fail(diag, WM_E_BUSY, key, "its lock was not free in time");
                break;
            }
        }
        int64_t until_ms = leases_first_expiry_ms(&lock->leases);
        wait_for_change(tier, (until_ms < deadline_ms ? until_ms : deadline_ms) - now_ms);
    }
    dequeue(lock, &self);
    return err;
}

static int op_lock(void *self, struct tier_key key, struct tier_lock *lock, uint32_t ttl_ms,
                   uint32_t wait_ms, struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct lock *entry;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_ttl(key, ttl_ms, diag);
    if (!err && lock->mode != TIER_LOCK_READ && lock->mode != TIER_LOCK_WRITE) {
        err = tier_fail(diag, WM_E_INVALID, key, "a lock is for reading or for writing");
    }
    if (err) {
        return err;
    }
    pthread_mutex_lock(&tier->lock);
    err = get_lock(tier, key, &entry, diag);
    if (!err) {
        err = wait_and_grant(tier, entry, lock, ttl_ms, wait_ms, key, diag);
        put_lock(tier, entry);
    }
    pthread_mutex_unlock(&tier->lock);
    return count_error(tier, err);
}

/* The running lease that `lock` names, when nobody changes the entry; NULL: lost. */
static struct lease *lease_of(struct embedded *tier, struct lock *entry,
                              const struct tier_lock *lock)
{
    while (entry->busy) {
        pthread_cond_wait(&tier->changed, &tier->lock);
    }
    return lock->token ? leases_find(&entry->leases, lock->owner, lock->token, now_of(tier)) : NULL;
}

static int lost(struct tier_key key, struct wm_diag *diag)
{
    return tier_fail(diag, WM_E_STALE, key, "the lock has expired: somebody else may hold it");
}

static int op_renew(void *self, struct tier_key key, const struct tier_lock *lock, uint32_t ttl_ms,
                    struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct lock *entry;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_ttl(key, ttl_ms, diag);
    if (err) {
        return err;
    }
    pthread_mutex_lock(&tier->lock);
    err = get_lock(tier, key, &entry, diag);
    if (!err) {
        struct lease *lease = lease_of(tier, entry, lock);
        err = lease ? extend(tier, entry, lease, ttl_ms, key, diag) : lost(key, diag);
        put_lock(tier, entry);
    }
    pthread_mutex_unlock(&tier->lock);
    return count_error(tier, err);
}

static int op_unlock(void *self, struct tier_key key, const struct tier_lock *lock,
                     struct wm_diag *diag)
{
    struct embedded *tier = self;
    struct lock *entry;
    int err = tier_check_key(key, diag);
    if (err) {
        return err;
    }
    pthread_mutex_lock(&tier->lock);
    err = get_lock(tier, key, &entry, diag);
    if (!err) {
        if (!lease_of(tier, entry, lock)) {
            err = lost(key, diag);
        } else {
            (void)leases_release(&entry->leases, lock->owner, lock->token);
            err = entry->restored ? write_record(tier, entry, NULL, key, diag) : 0;
        }
        put_lock(tier, entry);
    }
    pthread_mutex_unlock(&tier->lock);
    return count_error(tier, err);
}

/* --- Sets --- */

static int op_set_add(void *self, struct tier_key key, struct wm_view member, uint32_t ttl_ms,
                      struct wm_diag *diag)
{
    struct embedded *tier = self;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_member(key, member, diag);
    err = err ? err : tier_check_ttl(key, ttl_ms, diag);
    if (err) {
        return err;
    }
    struct name name = name_of(key);
    int64_t now_ms = now_of(tier);
    pthread_mutex_lock(&tier->lock);
    err = sets_add(tier->sets, view(&name), member, now_ms + ttl_ms, now_ms);
    pthread_mutex_unlock(&tier->lock);
    return err ? count_error(tier, tier_fail(diag, err, key, "adding to a set")) : 0;
}

static int op_set_remove(void *self, struct tier_key key, struct wm_view member,
                         struct wm_diag *diag)
{
    struct embedded *tier = self;
    int err = tier_check_key(key, diag);
    err = err ? err : tier_check_member(key, member, diag);
    if (err) {
        return err;
    }
    struct name name = name_of(key);
    pthread_mutex_lock(&tier->lock);
    sets_remove(tier->sets, view(&name), member);
    pthread_mutex_unlock(&tier->lock);
    return 0;
}

static int op_set_members(void *self, struct tier_key key, tier_emit_fn *emit, void *emit_self,
                          struct wm_diag *diag)
{
    struct embedded *tier = self;
    uint8_t *bytes;
    size_t len;
    int err = tier_check_key(key, diag);
    if (err) {
        return err;
    }
    struct name name = name_of(key);
    pthread_mutex_lock(&tier->lock);
    err = sets_members(tier->sets, view(&name), now_of(tier), &bytes, &len);
    pthread_mutex_unlock(&tier->lock);
    if (err) {
        return tier_fail(diag, err, key, "no memory");
    }
    for (size_t at = 0; at < len;) {
        uint16_t member_bytes;
        memcpy(&member_bytes, bytes + at, 2);
        if (!emit(emit_self, wm_view_of(bytes + at + 2, member_bytes), 0)) {
            break;
        }
        at += 2u + member_bytes;
    }
    wm_free(bytes);
    return 0;
}

/* --- The object --- */

static void op_close(void *self)
{
    struct embedded *tier = self;
    while (tier->all_locks) {
        WM_ASSERT(tier->all_locks->asking == 0);
        free_lock(tier, tier->all_locks);
    }
    sets_free(tier->sets);
    pthread_cond_destroy(&tier->changed);
    pthread_mutex_destroy(&tier->lock);
    wm_free(tier);
}

static const struct tier_ops ops = {
    .size = op_size,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .remove = op_remove,
    .list = op_list,
    .append = op_append,
    .appended = op_appended,
    .appended_count = op_appended_count,
    .clear_appended = op_clear_appended,
    .add = op_add,
    .lock = op_lock,
    .renew = op_renew,
    .unlock = op_unlock,
    .set_add = op_set_add,
    .set_remove = op_set_remove,
    .set_members = op_set_members,
    .close = op_close,
};

int tier_embedded_new(const struct tier_embedded_config *config, struct tier *out,
                      struct wm_diag *diag)
{
    struct embedded *tier = wm_alloc_zero(1, sizeof *tier);
    int err = tier ? sets_new(&tier->sets) : -ENOMEM;
    if (err) {
        wm_free(tier);
        return wm_diag_default(diag, err, "state");
    }
    tier->kv = config->kv;
    tier->now_ms = config->now_ms ? config->now_ms : boot_time_ms;
    tier->now_self = config->now_self;
    tier->quota = config->quota;
    tier->quota_self = config->quota_self;
    tier->start_ms = now_of(tier);
    wm_random_bytes((uint8_t *)&tier->boot, sizeof tier->boot);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&tier->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&tier->lock, NULL);
    *out = (struct tier){&ops, tier};
    return 0;
}

void tier_embedded_stats(const struct tier *tier, struct tier_stats *out)
{
    struct embedded *embedded = tier->self;
    WM_ASSERT(tier->ops == &ops);
    *out = (struct tier_stats){
        .reads = atomic_load(&embedded->reads),
        .writes = atomic_load(&embedded->writes),
        .bytes_read = atomic_load(&embedded->bytes_read),
        .bytes_written = atomic_load(&embedded->bytes_written),
        .locks = atomic_load(&embedded->locks_granted),
        .errors = atomic_load(&embedded->errors),
    };
}

int tier_embedded_usage(const struct tier *tier, struct wm_view tenant, uint64_t *bytes,
                        struct wm_diag *diag)
{
    struct embedded *embedded = tier->self;
    struct kv_reader *reader;
    WM_ASSERT(tier->ops == &ops);
    *bytes = 0;
    if (tenant.len == 0 || tenant.len > TIER_TENANT_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_INVALID, "state: a tenant's name has 1 to %u bytes",
                           TIER_TENANT_BYTES_MAX);
    }
    int err = kv_read_begin(embedded->kv, &reader, diag);
    if (err) {
        return err;
    }
    struct name name = usage_name(tenant);
    err = get_number(reader, TABLE_USAGE, view(&name), bytes);
    kv_read_end(reader);
    return err == WM_E_NOT_FOUND ? 0 : wm_diag_default(diag, err, "state: usage");
}

void tier_embedded_wake(const struct tier *tier)
{
    struct embedded *embedded = tier->self;
    WM_ASSERT(tier->ops == &ops);
    pthread_mutex_lock(&embedded->lock);
    pthread_cond_broadcast(&embedded->changed);
    pthread_mutex_unlock(&embedded->lock);
}
