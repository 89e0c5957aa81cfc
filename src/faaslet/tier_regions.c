#include "faaslet/tier_regions.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "base/arith.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/vec.h"

/* --- The node's side --- */

struct tier_region {
    uint32_t id;
    uint32_t users;
    bool removed;
    uint64_t bytes;
    uint8_t *map;
};

struct tier_regions {
    pthread_mutex_t lock;
    uint32_t count_max, live; /* removed ones that are in use count, too */
    uint64_t bytes_max, bytes;
    WM_VEC(struct tier_region *) all; /* by id, those that are not removed */
};

int tier_regions_new(uint32_t count, uint64_t bytes, struct tier_regions **out)
{
    struct tier_regions *regions = wm_alloc_zero(1, sizeof *regions);
    if (!regions) {
        return -ENOMEM;
    }
    pthread_mutex_init(&regions->lock, NULL);
    regions->count_max = count;
    regions->bytes_max = bytes;
    *out = regions;
    return 0;
}

/* Where the region with this id is, or would be. */
static size_t place_of(const struct tier_regions *regions, uint32_t id)
{
    size_t low = 0, high = regions->all.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (regions->all.items[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct tier_region *find(const struct tier_regions *regions, uint32_t id)
{
    size_t place = place_of(regions, id);
    return place < regions->all.count && regions->all.items[place]->id == id
               ? regions->all.items[place]
               : NULL;
}

static void unmap(struct tier_regions *regions, struct tier_region *region)
{
    regions->live--;
    regions->bytes -= region->bytes;
    munmap(region->map, region->bytes);
    wm_free(region);
}

void tier_regions_free(struct tier_regions *regions)
{
    if (!regions) {
        return;
    }
    for (size_t i = 0; i < regions->all.count; i++) {
        WM_ASSERT(regions->all.items[i]->users == 0);
        unmap(regions, regions->all.items[i]);
    }
    WM_ASSERT(regions->live == 0);
    wm_vec_fini(&regions->all);
    pthread_mutex_destroy(&regions->lock);
    wm_free(regions);
}

static int check_memfd(int memfd, uint64_t bytes, struct wm_diag *diag)
{
    struct stat stat;
    struct statfs system;
    int seals = fcntl(memfd, F_GET_SEALS);
    /* Huge pages can run out, and touching one that is not there is a bus error. */
    if (fstatfs(memfd, &system) != 0 || system.f_type != TMPFS_MAGIC) {
        return wm_diag_set(diag, WM_E_DENIED, "shared region: not a memfd of ordinary pages");
    }
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) {
        return wm_diag_set(diag, WM_E_DENIED,
                           "shared region: not a memfd that is sealed against shrinking");
    }
    if (fstat(memfd, &stat) != 0 || stat.st_size < 0 || (uint64_t)stat.st_size < bytes) {
        return wm_diag_set(diag, WM_E_INVALID, "shared region: smaller than its %llu bytes",
                           (unsigned long long)bytes);
    }
    return 0;
}

int tier_regions_add(struct tier_regions *regions, uint32_t id, int memfd, uint64_t bytes,
                     struct wm_diag *diag)
{
    if (id == 0 || bytes == 0) {
        return wm_diag_set(diag, WM_E_INVALID, "shared region: it has no number or no bytes");
    }
    int err = check_memfd(memfd, bytes, diag);
    if (err) {
        return err;
    }
    pthread_mutex_lock(&regions->lock);
    struct tier_region *region = NULL;
    if (find(regions, id)) {
        err = wm_diag_set(diag, -EEXIST, "shared region: number %u is taken", id);
    } else if (regions->live >= regions->count_max || bytes > regions->bytes_max - regions->bytes) {
        err = wm_diag_set(diag, WM_E_LIMIT,
                          "shared region: %llu bytes more than this worker may share",
                          (unsigned long long)bytes);
    } else if (wm_vec_reserve_one(&regions->all) != 0 || !(region = wm_alloc(sizeof *region))) {
        err = wm_diag_default(diag, -ENOMEM, "shared region");
    } else {
        errno = ENOMEM;
        *region = (struct tier_region){.id = id, .bytes = bytes};
        region->map = wm_fault_here(WM_FAULT_IO)
                          ? MAP_FAILED
                          : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
        if (region->map == MAP_FAILED) {
            err = wm_diag_default(diag, -errno, "shared region: mapping it");
            wm_free(region);
        }
    }
    if (!err) {
        size_t place = place_of(regions, id);
        for (size_t i = regions->all.count++; i > place; i--) {
            regions->all.items[i] = regions->all.items[i - 1];
        }
        regions->all.items[place] = region;
        regions->live++;
        regions->bytes += bytes;
    }
    pthread_mutex_unlock(&regions->lock);
    return err;
}

int tier_regions_remove(struct tier_regions *regions, uint32_t id)
{
    pthread_mutex_lock(&regions->lock);
    struct tier_region *region = find(regions, id);
    if (region) {
        regions->all.count--;
        for (size_t i = place_of(regions, id); i < regions->all.count; i++) {
            regions->all.items[i] = regions->all.items[i + 1];
        }
        region->removed = true;
        if (region->users == 0) {
            unmap(regions, region);
        }
    }
    pthread_mutex_unlock(&regions->lock);
    return region ? 0 : WM_E_NOT_FOUND;
}

struct tier_region *tier_regions_get(struct tier_regions *regions, uint32_t id, uint64_t offset,
                                     uint64_t len, uint8_t **bytes)
{
    pthread_mutex_lock(&regions->lock);
    struct tier_region *region = find(regions, id);
    if (region && wm_range_fits(offset, len, region->bytes)) {
        region->users++;
        *bytes = region->map + offset;
    } else {
        region = NULL;
    }
    pthread_mutex_unlock(&regions->lock);
    return region;
}

void tier_regions_put(struct tier_regions *regions, struct tier_region *region)
{
    pthread_mutex_lock(&regions->lock);
    if (--region->users == 0 && region->removed) {
        unmap(regions, region);
    }
    pthread_mutex_unlock(&regions->lock);
}

/* --- The worker's side --- */

struct share {
    uintptr_t base;
    uint64_t bytes;
    uint32_t id;
};

struct tier_shares {
    pthread_rwlock_t lock;
    WM_VEC(struct share) all; /* by base */
};

int tier_shares_new(struct tier_shares **out)
{
    struct tier_shares *shares = wm_alloc_zero(1, sizeof *shares);
    if (!shares) {
        return -ENOMEM;
    }
    pthread_rwlock_init(&shares->lock, NULL);
    *out = shares;
    return 0;
}

void tier_shares_free(struct tier_shares *shares)
{
    if (shares) {
        wm_vec_fini(&shares->all);
        pthread_rwlock_destroy(&shares->lock);
        wm_free(shares);
    }
}

/* The first one whose base is above `address`. */
static size_t above(const struct tier_shares *shares, uintptr_t address)
{
    size_t low = 0, high = shares->all.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (shares->all.items[middle].base <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int tier_shares_add(struct tier_shares *shares, uint32_t id, const void *base, uint64_t bytes)
{
    struct share share = {(uintptr_t)base, bytes, id};
    int err = 0;
    pthread_rwlock_wrlock(&shares->lock);
    size_t place = above(shares, share.base);
    const struct share *before = place > 0 ? &shares->all.items[place - 1] : NULL;
    if ((before && share.base - before->base < before->bytes) ||
        (place < shares->all.count && shares->all.items[place].base - share.base < bytes)) {
        err = -EEXIST;
    } else {
        err = wm_vec_reserve_one(&shares->all);
    }
    if (!err) {
        for (size_t i = shares->all.count++; i > place; i--) {
            shares->all.items[i] = shares->all.items[i - 1];
        }
        shares->all.items[place] = share;
    }
    pthread_rwlock_unlock(&shares->lock);
    return err;
}

void tier_shares_remove(struct tier_shares *shares, uint32_t id)
{
    size_t kept = 0;
    pthread_rwlock_wrlock(&shares->lock);
    for (size_t i = 0; i < shares->all.count; i++) {
        if (shares->all.items[i].id != id) {
            shares->all.items[kept++] = shares->all.items[i];
        }
    }
    shares->all.count = kept;
    pthread_rwlock_unlock(&shares->lock);
}

bool tier_shares_find(struct tier_shares *shares, const void *bytes, uint64_t len, uint32_t *id,
                      uint64_t *offset)
{
    bool found = false;
    pthread_rwlock_rdlock(&shares->lock);
    size_t place = above(shares, (uintptr_t)bytes);
    if (place > 0) {
        const struct share *share = &shares->all.items[place - 1];
        *offset = (uintptr_t)bytes - share->base;
        *id = share->id;
        found = wm_range_fits(*offset, len, share->bytes);
    }
    pthread_rwlock_unlock(&shares->lock);
    return found;
}
