/* replica.c: lazy pull, dirty push, and the order between them.
 *
 *     content   reader-writer lock of the bytes: replica_read and _write, for the copy only. Taken
 *               for a moment by transfers, so that no copy that began before them is under way
 *     meta      mutex of everything else; never held across I/O
 *     busy      a transfer runs: the gate. Its range, when it is a pull, is pulling_start.._end,
 *               which writers wait for
 *
 * Lock order: content, then meta. Who waits for the gate holds neither. */
#include "faaslet/replica.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/vec.h"
#include "faaslet/dirty.h"
#include "faaslet/pause.h"
#include "wasm/types.h"

#define MERGED_CHUNKS_MAX 32u /* of one read: 2 MiB of scratch */
_Static_assert(DIRTY_CHUNK_BYTES == TIER_CHUNK_BYTES, "one kind of chunk");

struct replica {
    atomic_uint refs;
    uint64_t bytes;
    struct wasm_region *region;
    uint8_t *map;
    replica_gone_fn *gone;
    void *gone_self;
    pthread_rwlock_t content;
    pthread_mutex_t meta;
    pthread_cond_t changed;
    bool busy;
    bool global; /* there is a global copy */
    uint64_t pulling_start, pulling_end;
    struct dirty_set dirty;
    uint32_t chunk_count;
    atomic_uint missing; /* chunks not pulled */
    _Atomic uint64_t *pulled;
    /* For each chunk, how many adopted it while it was not pulled; NULL: nobody ever did. */
    uint32_t *adopted;
};

typedef WM_VEC(struct tier_range) ranges_vec;

uint64_t replica_region_bytes(uint64_t bytes)
{
    uint64_t pages = (bytes + WASM_PAGE_BYTES - 1) / WASM_PAGE_BYTES;
    return (pages ? pages : 1) * WASM_PAGE_BYTES;
}

/* 0, or a positive number of what pthread says. */
static int init_locks(struct replica *replica)
{
    pthread_rwlockattr_t attr;
    int rc = pthread_rwlockattr_init(&attr);
    if (rc != 0) {
        return rc;
    }
    /* Readers of a busy value would keep its writers out for ever. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    rc = pthread_rwlock_init(&replica->content, &attr);
    pthread_rwlockattr_destroy(&attr);
    if (rc != 0) {
        return rc;
    }
    rc = pthread_mutex_init(&replica->meta, NULL);
    if (rc != 0) {
        pthread_rwlock_destroy(&replica->content);
        return rc;
    }
    rc = pause_cond_init(&replica->changed);
    if (rc != 0) {
        pthread_rwlock_destroy(&replica->content);
        pthread_mutex_destroy(&replica->meta);
    }
    return -rc;
}

int replica_new(uint64_t bytes, bool local, replica_gone_fn *gone, void *gone_self,
                struct replica **out, struct wm_diag *diag)
{
    if (bytes > TIER_VALUE_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT,
                           "replica: %llu bytes are more than the %llu of a value",
                           (unsigned long long)bytes, (unsigned long long)TIER_VALUE_BYTES_MAX);
    }
    struct replica *replica = wm_alloc_zero(1, sizeof *replica);
    int rc = -ENOMEM;
    if (replica) {
        uint32_t chunks = (uint32_t)((bytes + TIER_CHUNK_BYTES - 1) / TIER_CHUNK_BYTES);
        replica->bytes = bytes;
        replica->chunk_count = chunks;
        replica->global = !local;
        replica->pulled = wm_alloc_zero(chunks / 64 + 1, sizeof *replica->pulled);
        atomic_init(&replica->refs, 1);
        atomic_init(&replica->missing, local ? 0 : chunks);
        rc = replica->pulled ? dirty_init(&replica->dirty, bytes) : -ENOMEM;
        rc = rc ? rc : wasm_region_new(replica_region_bytes(bytes), &replica->region, diag);
        rc = rc ? rc : -init_locks(replica);
    }
    if (rc != 0) {
        if (replica) {
            wasm_region_put(replica->region);
            dirty_fini(&replica->dirty);
            wm_free(replica->pulled);
            wm_free(replica);
        }
        return wm_diag_default(diag, rc, "replica");
    }
    uint64_t region_bytes;
    replica->map = wasm_region_bytes(replica->region, &region_bytes);
    for (uint32_t i = 0; local && i < replica->chunk_count / 64 + 1; i++) {
        atomic_init(&replica->pulled[i], ~UINT64_C(0));
    }
    replica->gone = gone;
    replica->gone_self = gone_self;
    *out = replica;
    return 0;
}

struct replica *replica_ref(struct replica *replica)
{
    atomic_fetch_add_explicit(&replica->refs, 1, memory_order_relaxed);
    return replica;
}

void replica_free(struct replica *replica)
{
    wasm_region_put(replica->region);
    dirty_fini(&replica->dirty);
    pthread_rwlock_destroy(&replica->content);
    pthread_mutex_destroy(&replica->meta);
    pthread_cond_destroy(&replica->changed);
    wm_free(replica->pulled);
    wm_free(replica->adopted);
    wm_free(replica);
}

void replica_put(struct replica *replica)
{
    if (!replica || atomic_fetch_sub_explicit(&replica->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (replica->gone) {
        replica->gone(replica->gone_self, replica);
    } else {
        replica_free(replica);
    }
}

uint64_t replica_bytes(const struct replica *replica)
{
    return replica->bytes;
}

struct wasm_region *replica_region(struct replica *replica)
{
    return replica->region;
}

bool replica_is_clean(struct replica *replica)
{
    pthread_mutex_lock(&replica->meta);
    bool clean = replica->global && !replica->busy && replica->dirty.dirty_chunks == 0;
    pthread_mutex_unlock(&replica->meta);
    return clean;
}

static int check_range(const struct replica *replica, uint64_t offset, uint64_t len,
                       struct wm_diag *diag)
{
    if (wm_range_fits(offset, len, replica->bytes)) {
        return 0;
    }
    return wm_diag_set(diag, WM_E_INVALID, "state: %llu bytes from %llu on: the value has %llu",
                       (unsigned long long)len, (unsigned long long)offset,
                       (unsigned long long)replica->bytes);
}

static int waited(int rc, struct wm_diag *diag)
{
    return rc == 0 ? 0
                   : wm_diag_set(diag, rc, "state: waiting for another transfer: %s",
                                 wm_error_text(rc));
}

/* --- The gate --- */

/* On 0 the gate is ours and `meta` is held. */
static int enter(struct replica *replica, const struct replica_io *io, struct wm_diag *diag)
{
    pthread_mutex_lock(&replica->meta);
    while (replica->busy) {
        int rc =
            pause_wait(&replica->changed, &replica->meta, PAUSE_FOREVER, io->stop, io->stop_self);
        if (rc != 0) {
            pthread_mutex_unlock(&replica->meta);
            return waited(rc, diag);
        }
    }
    replica->busy = true;
    return 0;
}

/* With `meta` held, which is released. */
static void leave(struct replica *replica)
{
    replica->busy = false;
    replica->pulling_start = replica->pulling_end = 0;
    pthread_cond_broadcast(&replica->changed);
    pthread_mutex_unlock(&replica->meta);
}

/* The gate's owner: from here on no replica_write of before is under way. `meta` is released, and
 * held again afterwards. Writers that come later find what was set under `meta` before. */
static void settle(struct replica *replica)
{
    pthread_mutex_unlock(&replica->meta);
    pthread_rwlock_rdlock(&replica->content);
    pthread_mutex_lock(&replica->meta);
    pthread_rwlock_unlock(&replica->content);
}

/* --- Lazy pull --- */

static bool is_pulled(const struct replica *replica, uint32_t chunk)
{
    uint64_t word = atomic_load_explicit(&replica->pulled[chunk / 64], memory_order_acquire);
    return word >> chunk % 64 & 1;
}

static void set_pulled(struct replica *replica, uint32_t chunk)
{
    uint64_t bit = UINT64_C(1) << chunk % 64;
    if (!(atomic_fetch_or_explicit(&replica->pulled[chunk / 64], bit, memory_order_release) &
          bit)) {
        atomic_fetch_sub_explicit(&replica->missing, 1, memory_order_release);
    }
}

static bool all_pulled(const struct replica *replica, uint32_t first, uint32_t last)
{
    if (atomic_load_explicit(&replica->missing, memory_order_acquire) == 0) {
        return true;
    }
    for (uint32_t i = first; i <= last; i++) {
        if (!is_pulled(replica, i)) {
            return false;
        }
    }
    return true;
}

static uint32_t chunk_len(const struct replica *replica, uint32_t chunk)
{
    return (uint32_t)wm_min_u64(TIER_CHUNK_BYTES,
                                replica->bytes - (uint64_t)chunk * TIER_CHUNK_BYTES);
}

struct lazy_pull {
    ranges_vec ranges;
    uint8_t *scratch;
    uint32_t merged[MERGED_CHUNKS_MAX];
    uint32_t merged_count;
    uint32_t end; /* chunks before this one are in hand */
};

/* What to read for the missing chunks of [at, last], as far as the scratch reaches: straight into
 * the region where nothing is dirty, else into scratch. With `meta` held. */
static int gather(struct replica *replica, uint32_t at, uint32_t last, struct lazy_pull *pull)
{
    pull->ranges.count = 0;
    pull->merged_count = 0;
    uint32_t direct_end = UINT32_MAX; /* the chunk that would join the last direct range */
    for (; at <= last; at++) {
        uint64_t offset = (uint64_t)at * TIER_CHUNK_BYTES;
        uint32_t len = chunk_len(replica, at);
        if (is_pulled(replica, at)) {
            continue;
        }
        uint8_t *to = replica->map + offset;
        if (replica->dirty.chunks[at]) {
            if (pull->merged_count == MERGED_CHUNKS_MAX) {
                break;
            }
            if (!pull->scratch) {
                pull->scratch = wm_alloc((size_t)MERGED_CHUNKS_MAX * TIER_CHUNK_BYTES);
                if (!pull->scratch) {
                    return -ENOMEM;
                }
            }
            to = pull->scratch + (size_t)pull->merged_count * TIER_CHUNK_BYTES;
            pull->merged[pull->merged_count++] = at;
        } else if (direct_end == at && pull->ranges.count > 0) {
            pull->ranges.items[pull->ranges.count - 1].len += len;
            direct_end = at + 1;
            continue;
        } else {
            direct_end = at + 1;
        }
        if (wm_vec_push(&pull->ranges, (struct tier_range){offset, len, to}) != 0) {
            return -ENOMEM;
        }
    }
    pull->end = at;
    return 0;
}

static uint64_t bytes_of(const ranges_vec *ranges)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < ranges->count; i++) {
        bytes += ranges->items[i].len;
    }
    return bytes;
}

int replica_ensure(struct replica *replica, struct replica_io *io, uint64_t offset, uint64_t len,
                   struct wm_diag *diag)
{
    int rc = check_range(replica, offset, len, diag);
    if (rc != 0 || len == 0) {
        return rc;
    }
    uint32_t first = (uint32_t)(offset / TIER_CHUNK_BYTES);
    uint32_t last = (uint32_t)((offset + len - 1) / TIER_CHUNK_BYTES);
    if (all_pulled(replica, first, last)) {
        return 0;
    }
    rc = enter(replica, io, diag);
    if (rc != 0) {
        return rc;
    }
    struct lazy_pull *pull = wm_alloc_zero(1, sizeof *pull);
    rc = pull ? 0 : wm_diag_set(diag, -ENOMEM, "state: pull: %s", wm_error_text(-ENOMEM));
    replica->pulling_start = (uint64_t)first * TIER_CHUNK_BYTES;
    replica->pulling_end = (uint64_t)last * TIER_CHUNK_BYTES + TIER_CHUNK_BYTES;
    settle(replica);
    /* Asked once more now that nobody else pulls. */
    for (uint32_t at = first; rc == 0 && at <= last; at = pull->end) {
        rc = gather(replica, at, last, pull);
        if (rc != 0) {
            (void)wm_diag_set(diag, rc, "state: pull: %s", wm_error_text(rc));
            break;
        }
        if (pull->ranges.count > 0) {
            pthread_mutex_unlock(&replica->meta);
            rc = io->tier->ops->read(io->tier->self, io->key, pull->ranges.items,
                                     (uint32_t)pull->ranges.count, diag);
            pthread_mutex_lock(&replica->meta);
        }
        if (rc != 0) {
            (void)wm_diag_default(diag, rc, "state: pull");
            break;
        }
        io->pulled_bytes += bytes_of(&pull->ranges);
        for (uint32_t i = 0; i < pull->merged_count; i++) {
            uint32_t chunk = pull->merged[i];
            dirty_copy_clean(&replica->dirty, chunk, pull->scratch + (size_t)i * TIER_CHUNK_BYTES,
                             replica->map + (uint64_t)chunk * TIER_CHUNK_BYTES,
                             chunk_len(replica, chunk));
        }
        for (uint32_t chunk = at; chunk < pull->end; chunk++) {
            set_pulled(replica, chunk);
        }
    }
    leave(replica);
    if (pull) {
        wm_vec_fini(&pull->ranges);
        wm_free(pull->scratch);
        wm_free(pull);
    }
    return rc;
}

/* --- Ranges that are written whole --- */

/* The chunks that lie in the range as a whole: [*first, *end). */
static void whole_chunks(const struct replica *replica, uint64_t offset, uint64_t len,
                         uint32_t *first, uint32_t *end)
{
    *first = (uint32_t)((offset + TIER_CHUNK_BYTES - 1) / TIER_CHUNK_BYTES);
    *end = offset + len == replica->bytes ? replica->chunk_count
                                          : (uint32_t)((offset + len) / TIER_CHUNK_BYTES);
}

/* Their content is here: written, or pulled. With `meta` held. */
static void own_chunks(struct replica *replica, uint64_t offset, uint64_t len)
{
    uint32_t first, end;
    whole_chunks(replica, offset, len, &first, &end);
    for (uint32_t chunk = first; chunk < end; chunk++) {
        set_pulled(replica, chunk);
        if (replica->adopted) {
            replica->adopted[chunk] = 0;
        }
    }
}

int replica_adopt(struct replica *replica, struct replica_io *io, uint64_t offset, uint64_t len,
                  struct wm_diag *diag)
{
    int rc = check_range(replica, offset, len, diag);
    if (rc != 0 || len == 0) {
        return rc;
    }
    uint32_t first, end;
    whole_chunks(replica, offset, len, &first, &end);
    uint64_t first_whole = (uint64_t)first * TIER_CHUNK_BYTES;
    uint64_t end_whole = (uint64_t)end * TIER_CHUNK_BYTES;
    if (offset < first_whole) {
        rc = replica_ensure(replica, io, offset, 1, diag);
    }
    if (rc == 0 && end_whole < offset + len) {
        rc = replica_ensure(replica, io, offset + len - 1, 1, diag);
    }
    if (rc != 0 || first >= end) {
        return rc;
    }
    rc = enter(replica, io, diag); /* no lazy pull of them is under way */
    if (rc != 0) {
        return rc;
    }
    if (!replica->adopted) {
        replica->adopted = wm_alloc_zero(replica->chunk_count, sizeof *replica->adopted);
        rc = replica->adopted ? 0 : wm_diag_set(diag, -ENOMEM, "state: %s", wm_error_text(-ENOMEM));
    }
    for (uint32_t chunk = first; rc == 0 && chunk < end; chunk++) {
        if (replica->adopted[chunk] > 0 || !is_pulled(replica, chunk)) {
            replica->adopted[chunk]++;
            set_pulled(replica, chunk);
        }
    }
    leave(replica);
    return rc;
}

void replica_release(struct replica *replica, uint64_t offset, uint64_t len)
{
    uint32_t first, end;
    whole_chunks(replica, offset, len, &first, &end);
    pthread_mutex_lock(&replica->meta);
    for (uint32_t chunk = first; replica->adopted && chunk < end; chunk++) {
        /* 0: it was pulled before, or written whole since. */
        if (replica->adopted[chunk] > 0 && --replica->adopted[chunk] == 0) {
            atomic_fetch_and_explicit(&replica->pulled[chunk / 64], ~(UINT64_C(1) << chunk % 64),
                                      memory_order_release);
            atomic_fetch_add_explicit(&replica->missing, 1, memory_order_release);
        }
    }
    pthread_mutex_unlock(&replica->meta);
}

/* --- Copies --- */

int replica_read(struct replica *replica, struct replica_io *io, uint64_t offset, uint8_t *out,
                 uint64_t len, struct wm_diag *diag)
{
    int rc = replica_ensure(replica, io, offset, len, diag);
    if (rc == 0 && len != 0) {
        pthread_rwlock_rdlock(&replica->content);
        memcpy(out, replica->map + offset, len);
        pthread_rwlock_unlock(&replica->content);
    }
    return rc;
}

/* With `meta` held: a pull is at the range, which must not be written now. */
static bool clashes(const struct replica *replica, uint64_t offset, uint64_t len)
{
    return offset < replica->pulling_end && replica->pulling_start < offset + len;
}

/* bytes NULL: only to be marked, as a mapping's holder has written already. */
int replica_write(struct replica *replica, struct replica_io *io, uint64_t offset,
                  const uint8_t *bytes, uint64_t len, struct wm_diag *diag)
{
    int rc = check_range(replica, offset, len, diag);
    if (rc != 0 || len == 0) {
        return rc;
    }
    for (;;) {
        /* Marking and copying are one step for whoever settles. */
        if (bytes) {
            pthread_rwlock_wrlock(&replica->content);
        }
        pthread_mutex_lock(&replica->meta);
        bool wait = clashes(replica, offset, len);
        rc = wait ? 0 : dirty_add(&replica->dirty, offset, len);
        if (!wait && rc == 0) {
            own_chunks(replica, offset, len); /* nothing of them is left to be pulled */
        }
        pthread_mutex_unlock(&replica->meta);
        if (bytes) {
            if (!wait && rc == 0) {
                memcpy(replica->map + offset, bytes, len);
            }
            pthread_rwlock_unlock(&replica->content);
        }
        if (!wait) {
            return rc == 0 ? 0 : wm_diag_set(diag, rc, "state: write: %s", wm_error_text(rc));
        }
        pthread_mutex_lock(&replica->meta);
        while (rc == 0 && clashes(replica, offset, len)) {
            rc = pause_wait(&replica->changed, &replica->meta, PAUSE_FOREVER, io->stop,
                            io->stop_self);
        }
        pthread_mutex_unlock(&replica->meta);
        if (rc != 0) {
            return waited(rc, diag);
        }
    }
}

int replica_dirty(struct replica *replica, struct replica_io *io, uint64_t offset, uint64_t len,
                  struct wm_diag *diag)
{
    return replica_write(replica, io, offset, NULL, len, diag);
}

/* --- Push --- */

static int write_ranges(struct replica *replica, struct replica_io *io, const ranges_vec *ranges,
                        struct wm_diag *diag)
{
    int rc = io->tier->ops->write(io->tier->self, io->key, replica->bytes, ranges->items,
                                  (uint32_t)ranges->count, io->token, diag);
    if (rc != 0) {
        return wm_diag_default(diag, rc, "state: push");
    }
    io->pushed_bytes += bytes_of(ranges);
    return 0;
}

/* All runs of the set, in as few writes as their number allows. At least one write: it makes the
 * global copy. */
static int push_runs(struct replica *replica, struct replica_io *io, const struct dirty_set *set,
                     struct wm_diag *diag)
{
    ranges_vec ranges = {0};
    uint64_t at = 0, len;
    int rc = 0;
    bool more = true;
    while (rc == 0 && more) {
        ranges.count = 0;
        while ((more = dirty_next(set, &at, &len)) && ranges.count < TIER_RANGES_MAX && rc == 0) {
            rc = wm_vec_push(&ranges, (struct tier_range){at, len, replica->map + at});
            at += len;
        }
        rc = rc ? wm_diag_set(diag, rc, "state: push: %s", wm_error_text(rc))
                : write_ranges(replica, io, &ranges, diag);
    }
    wm_vec_fini(&ranges);
    return rc;
}

int replica_push(struct replica *replica, struct replica_io *io, uint64_t offset, uint64_t len,
                 struct wm_diag *diag)
{
    struct dirty_set taken;
    int rc = check_range(replica, offset, len, diag);
    if (rc != 0) {
        return rc;
    }
    if (dirty_init(&taken, replica->bytes) != 0) {
        return wm_diag_set(diag, -ENOMEM, "state: push: %s", wm_error_text(-ENOMEM));
    }
    rc = enter(replica, io, diag);
    if (rc != 0) {
        dirty_fini(&taken);
        return rc;
    }
    /* Marked as clean, then no copy under way, then read: what is marked later goes later. */
    rc = dirty_take(&replica->dirty, offset, len, &taken);
    settle(replica);
    bool write = taken.dirty_chunks > 0 || !replica->global;
    pthread_mutex_unlock(&replica->meta);
    if (rc != 0) {
        (void)wm_diag_set(diag, rc, "state: push: %s", wm_error_text(rc));
    } else if (write) {
        rc = push_runs(replica, io, &taken, diag);
    }
    pthread_mutex_lock(&replica->meta);
    if (rc != 0) {
        dirty_merge(&replica->dirty, &taken); /* what did arrive is sent again: no harm */
    }
    replica->global = replica->global || (write && rc == 0);
    leave(replica);
    dirty_fini(&taken);
    return rc;
}

/* --- Masked push --- */

struct mask_scan {
    uint8_t *map;
    int fd;
    uint64_t bytes, at, data_end;
    uint32_t unit;
};

/* The next unit (or two of them) that was set, and now is not; false at the end. Parts of a mask
 * that nobody ever touched are holes of its file, and stay holes. */
static bool next_unit(struct mask_scan *scan, uint64_t *offset, uint32_t *len)
{
    while (scan->at < scan->bytes) {
        if (scan->at >= scan->data_end) {
            off_t data = lseek(scan->fd, (off_t)scan->at, SEEK_DATA);
            if (data < 0 && errno == ENXIO) {
                return false;
            }
            off_t hole = data < 0 ? data : lseek(scan->fd, data, SEEK_HOLE);
            scan->at = data < 0 ? scan->at : (uint64_t)data;
            scan->data_end = hole < 0 ? scan->bytes : (uint64_t)hole;
            continue;
        }
        uint64_t at = scan->at;
        if (at % 8 == 0 && at + 8 <= scan->bytes &&
            __atomic_load_n((uint64_t *)(void *)(scan->map + at), __ATOMIC_RELAXED) == 0) {
            scan->at += 8;
            continue;
        }
        if (scan->unit == 4 && at % 8 == 0 && at + 8 <= scan->bytes) {
            /* Two at once: who marks a 64-bit number by one store has it pushed whole. */
            uint64_t both =
                __atomic_exchange_n((uint64_t *)(void *)(scan->map + at), 0, __ATOMIC_SEQ_CST);
            scan->at += 8;
            if (both) {
                bool low = (uint32_t)both, high = both >> 32;
                *offset = low ? at : at + 4;
                *len = low && high ? 8 : 4;
                return true;
            }
            continue;
        }
        bool whole = scan->unit == 4 && at + 4 <= scan->bytes;
        uint32_t step = whole ? 4 : 1;
        /* A value's last bytes, fewer than a unit, are units of their own. */
        uint32_t was;
        if (whole) {
            was = __atomic_exchange_n((uint32_t *)(void *)(scan->map + at), 0, __ATOMIC_SEQ_CST);
        } else {
            was = __atomic_load_n(scan->map + at, __ATOMIC_RELAXED);
            was = was ? __atomic_exchange_n(scan->map + at, 0, __ATOMIC_SEQ_CST) : 0;
        }
        scan->at += step;
        if (was) {
            *offset = at;
            *len = step;
            return true;
        }
    }
    return false;
}

static void set_again(struct replica *mask, const struct tier_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (uint64_t k = 0; k < ranges[i].len; k++) {
            __atomic_store_n(mask->map + ranges[i].offset + k, 0xff, __ATOMIC_RELAXED);
        }
    }
}

static int push_units(struct replica *replica, struct replica *mask, struct replica_io *io,
                      uint32_t unit, struct wm_diag *diag)
{
    struct mask_scan scan = {
        .map = mask->map, .fd = wasm_region_fd(mask->region), .bytes = mask->bytes, .unit = unit};
    ranges_vec ranges = {0};
    int rc = 0;
    bool more = true;
    bool first = !replica->global; /* even when no unit is set */
    while (rc == 0 && more) {
        uint64_t offset;
        uint32_t len;
        ranges.count = 0;
        while (ranges.count < TIER_RANGES_MAX) {
            /* Room first: a unit that is cleared must be sent. */
            if (wm_vec_reserve_one(&ranges) != 0) {
                rc = wm_diag_set(diag, -ENOMEM, "state: push: %s", wm_error_text(-ENOMEM));
                break;
            }
            more = next_unit(&scan, &offset, &len);
            if (!more) {
                break;
            }
            struct tier_range *before = ranges.count ? &ranges.items[ranges.count - 1] : NULL;
            if (before && before->offset + before->len == offset) {
                before->len += len;
            } else {
                ranges.items[ranges.count++] =
                    (struct tier_range){offset, len, replica->map + offset};
            }
        }
        if (rc == 0 && (ranges.count > 0 || first)) {
            rc = write_ranges(replica, io, &ranges, diag);
        }
        first = false;
        if (rc != 0) {
            set_again(mask, ranges.items, ranges.count);
        }
    }
    wm_vec_fini(&ranges);
    return rc;
}

int replica_push_masked(struct replica *replica, struct replica *mask, struct replica_io *io,
                        uint32_t unit, struct wm_diag *diag)
{
    WM_ASSERT(unit == 1 || unit == 4);
    if (mask == replica || mask->bytes != replica->bytes) {
        return wm_diag_set(diag, WM_E_INVALID,
                           "state: a mask must be another value of the same size: %llu bytes for "
                           "a value of %llu",
                           (unsigned long long)mask->bytes, (unsigned long long)replica->bytes);
    }
    int rc = enter(replica, io, diag);
    if (rc != 0) {
        return rc;
    }
    settle(replica);
    pthread_mutex_unlock(&replica->meta);
    rc = push_units(replica, mask, io, unit, diag);
    pthread_mutex_lock(&replica->meta);
    replica->global = replica->global || rc == 0;
    leave(replica);
    return rc;
}

/* --- Pull --- */

int replica_pull(struct replica *replica, struct replica_io *io, uint64_t offset, uint64_t len,
                 struct wm_diag *diag)
{
    struct dirty_set taken;
    int rc = check_range(replica, offset, len, diag);
    if (rc != 0 || len == 0) {
        return rc;
    }
    if (dirty_init(&taken, replica->bytes) != 0) {
        return wm_diag_set(diag, -ENOMEM, "state: pull: %s", wm_error_text(-ENOMEM));
    }
    rc = enter(replica, io, diag);
    if (rc != 0) {
        dirty_fini(&taken);
        return rc;
    }
    replica->pulling_start = offset;
    replica->pulling_end = offset + len;
    settle(replica);
    rc = dirty_take(&replica->dirty, offset, len, &taken);
    pthread_mutex_unlock(&replica->meta);
    if (rc != 0) {
        (void)wm_diag_set(diag, rc, "state: pull: %s", wm_error_text(rc));
    } else {
        struct tier_range range = {offset, len, replica->map + offset};
        rc = io->tier->ops->read(io->tier->self, io->key, &range, 1, diag);
        if (rc != 0) {
            (void)wm_diag_default(diag, rc, "state: pull");
        }
    }
    pthread_mutex_lock(&replica->meta);
    if (rc != 0) {
        dirty_merge(&replica->dirty, &taken);
    } else {
        io->pulled_bytes += len;
        own_chunks(replica, offset, len);
    }
    leave(replica);
    dirty_fini(&taken);
    return rc;
}
