/* Snapshots: a version's top, and a list for what would be freed while it is held. The other thread
 * reads refs, masks and leaves, none of which changes in what is older than the epoch in which the
 * snapshot was taken; lists of what is kept are linked through members that it does not read. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "store/vmap_tree.h"

struct vmap_snapshot *vmap_snapshot(struct vmap *map, uint64_t version)
{
    const struct mark *mark = &map->marks[vmap_mark_idx(map, version)];
    struct vmap_snapshot *snapshot = wm_alloc_zero(1, sizeof *snapshot);
    if (!snapshot) {
        return NULL;
    }
    snapshot->map = map;
    snapshot->epoch = mark->epoch;
    snapshot->count = mark->count;
    snapshot->top = mark->top;
    snapshot->hashed = mark->hashed;
    memcpy(snapshot->hash, mark->hash, sizeof snapshot->hash);
    snapshot->older = map->newest_snapshot;
    if (snapshot->older) {
        snapshot->older->newer = snapshot;
    }
    map->newest_snapshot = snapshot;
    return snapshot;
}

/* As deep as there are branches on a way: BRANCHES_MAX. */
static bool walk(const struct vmap *map, uint32_t ref, vmap_emit_fn *emit, void *self)
{
    if (is_leaf(ref)) {
        const struct leaf *leaf = leaf_at(map, ref);
        return emit(self, leaf_key(leaf), leaf_value(leaf));
    }
    const struct branch *branch = branch_at(map, ref);
    for (uint32_t arm = 0; arm < BRANCH_ARMS; arm++) {
        if (branch->arms[arm] != 0 && !walk(map, branch->arms[arm], emit, self)) {
            return false;
        }
    }
    return true;
}

void vmap_snapshot_walk(const struct vmap_snapshot *snapshot, vmap_emit_fn *emit, void *self)
{
    if (snapshot->top != 0) {
        (void)walk(snapshot->map, snapshot->top, emit, self);
    }
}

uint64_t vmap_snapshot_count(const struct vmap_snapshot *snapshot)
{
    return snapshot->count;
}

void vmap_snapshot_root(const struct vmap_snapshot *snapshot, trie_hash out)
{
    WM_ASSERT(snapshot->hashed);
    memcpy(out, snapshot->hash, TRIE_HASH_BYTES);
}

void vmap_snapshot_free(struct vmap *map, struct vmap_snapshot *snapshot)
{
    if (!snapshot) {
        return;
    }
    *(snapshot->newer ? &snapshot->newer->older : &map->newest_snapshot) = snapshot->older;
    if (snapshot->older) {
        snapshot->older->newer = snapshot->newer;
    }
    /* Of the others only those that were there before this one: in one that was taken later is
     * nothing that had been freed by then, or that this one did not keep. */
    for (uint32_t ref = snapshot->kept, next; ref != 0; ref = next) {
        const struct head *head = unit_at(&map->units, ref & ~REF_LEAF);
        next = head->next;
        vmap_release(map, ref, snapshot->older);
    }
    wm_free(snapshot);
}
