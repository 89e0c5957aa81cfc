/* M, kept whole. ledger_tree.h has the order of the hashes: before leaf n, 2n - popcount(n) of them
 * are written, one for each leaf and each full tree; the full tree of level k that ends with leaf n
 * is k places behind it. */
#include "ledger/ledger_tree.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/error.h"
#include "base/vec.h"

_Static_assert(LEDGER_PATH_MAX == MERKLE_LEVELS_MAX, "length of a path");

static uint64_t written_before(uint64_t leaf)
{
    return 2 * leaf - (uint64_t)__builtin_popcountll(leaf);
}

void ledger_tree_init(struct ledger_tree *tree, const struct merkle *start,
                      const struct ledger_tree_store *store)
{
    merkle_init(&tree->start);
    if (start) {
        tree->start = *start;
    }
    tree->now = tree->start;
    tree->store = *store;
}

void ledger_tree_resume(struct ledger_tree *tree, const struct merkle *start,
                        const struct merkle *now, const struct ledger_tree_store *store)
{
    ledger_tree_init(tree, start, store);
    WM_ASSERT(now->count >= tree->start.count);
    tree->now = *now;
}

uint64_t ledger_tree_stored(const struct ledger_tree *tree)
{
    return written_before(tree->now.count) - written_before(tree->start.count);
}

int ledger_tree_add(struct ledger_tree *tree, const merkle_hash leaf)
{
    merkle_hash hashes[MERKLE_LEVELS_MAX + 1];
    uint64_t before = tree->now.count;
    uint32_t level = 0;
    if (before == MERKLE_LEAVES_MAX) {
        return WM_E_LIMIT;
    }
    memcpy(hashes[0], leaf, sizeof hashes[0]);
    for (; before >> level & 1; level++) {
        merkle_node(tree->now.full[level], hashes[level], hashes[level + 1]);
    }
    int rc = tree->store.append(tree->store.self, (const merkle_hash *)hashes, level + 1);
    if (rc == 0) {
        memcpy(tree->now.full[level], hashes[level], sizeof hashes[level]);
        tree->now.count++;
    }
    return rc;
}

/* The full tree number `number` of a level; it ends within `now`. */
static int read_full(const struct ledger_tree *tree, uint32_t level, uint64_t number,
                     merkle_hash out)
{
    uint64_t end = (number + 1) << level, start = tree->start.count;
    WM_ASSERT(end <= tree->now.count);
    if (end > start) {
        uint64_t at = written_before(end - 1) + level - written_before(start);
        return tree->store.read(tree->store.self, at, out);
    }
    /* Of what lies before the start, the trees that its root is made of are here. */
    if ((start >> level & 1) == 0 || number != (start >> level) - 1) {
        return WM_E_NOT_FOUND;
    }
    memcpy(out, tree->start.full[level], sizeof(merkle_hash));
    return 0;
}

/* The root of what a tree of `size` leaves has on its right below this level: the full trees in the
 * lower bits of size, of which there is at least one. */
static int read_rest(const struct ledger_tree *tree, uint32_t level, uint64_t size, merkle_hash out)
{
    bool has_right = false;
    int rc = 0;
    for (uint32_t below = 0; below < level && rc == 0; below++) {
        merkle_hash full;
        if ((size >> below & 1) == 0) {
            continue;
        }
        rc = read_full(tree, below, (size >> below) - 1, full);
        if (rc == 0 && has_right) {
            merkle_node(full, out, out);
        } else if (rc == 0) {
            memcpy(out, full, sizeof full);
            has_right = true;
        }
    }
    WM_ASSERT(rc != 0 || has_right);
    return rc;
}

/* Node `number` of a level in the tree of `size` leaves, full or not. */
static int read_node(const struct ledger_tree *tree, uint32_t level, uint64_t number, uint64_t size,
                     merkle_hash out)
{
    return (number + 1) << level <= size ? read_full(tree, level, number, out)
                                         : read_rest(tree, level, size, out);
}

static int check_size(const struct ledger_tree *tree, uint64_t size)
{
    if (size > tree->now.count) {
        return WM_E_INVALID;
    }
    return size < tree->start.count ? WM_E_NOT_FOUND : 0;
}

int ledger_tree_root(const struct ledger_tree *tree, uint64_t size, merkle_hash out)
{
    int rc = check_size(tree, size);
    if (rc != 0) {
        return rc;
    }
    if (size == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), out);
        return 0;
    }
    return read_rest(tree, MERKLE_LEVELS_MAX + 1, size, out);
}

int ledger_tree_path(const struct ledger_tree *tree, uint64_t leaf, uint64_t size,
                     merkle_hash path[LEDGER_PATH_MAX], uint32_t *len)
{
    int rc = leaf < size ? check_size(tree, size) : WM_E_INVALID;
    if (rc == 0 && leaf < tree->start.count) {
        rc = WM_E_NOT_FOUND;
    }
    if (rc != 0) {
        return rc;
    }
    uint64_t number = leaf, last = size - 1;
    *len = 0;
    for (uint32_t level = 0; last > 0; level++, number >>= 1, last >>= 1) {
        if ((number ^ 1) > last) {
            continue; /* it goes up alone */
        }
        rc = read_node(tree, level, number ^ 1, size, path[*len]);
        if (rc != 0) {
            return rc;
        }
        ++*len;
    }
    return 0;
}

int ledger_tree_consistency(const struct ledger_tree *tree, uint64_t old_size, uint64_t new_size,
                            merkle_hash proof[LEDGER_PATH_MAX + 1], uint32_t *len)
{
    *len = 0;
    int rc = old_size <= new_size ? check_size(tree, new_size) : WM_E_INVALID;
    rc = rc == 0 ? check_size(tree, old_size) : rc;
    if (rc != 0 || old_size == 0 || old_size == new_size) {
        return rc;
    }
    /* The largest full tree that ends the old one, and from it up, what is beside it in the new
     * one: the reverse of merkle_consistent. */
    uint64_t number = old_size - 1, last = new_size - 1;
    uint32_t level = (uint32_t)__builtin_ctzll(old_size);
    number >>= level;
    last >>= level;
    rc = number != 0 ? read_full(tree, level, number, proof[(*len)++]) : 0;
    for (; last > 0 && rc == 0; level++, number >>= 1, last >>= 1) {
        if ((number ^ 1) <= last) {
            rc = read_node(tree, level, number ^ 1, new_size, proof[(*len)++]);
        }
    }
    return rc;
}

/* --- In memory --- */

static int memory_append(void *self, const merkle_hash *hashes, uint32_t count)
{
    struct ledger_tree_memory *memory = self;
    while (memory->room - memory->count < count) {
        int rc = wm_vec_grow((void **)&memory->hashes, &memory->room, sizeof *memory->hashes);
        if (rc != 0) {
            return rc;
        }
    }
    memcpy(memory->hashes + memory->count, hashes, count * sizeof *hashes);
    memory->count += count;
    return 0;
}

static int memory_read(void *self, uint64_t at, merkle_hash out)
{
    const struct ledger_tree_memory *memory = self;
    WM_ASSERT(at < memory->count);
    memcpy(out, memory->hashes[at], sizeof(merkle_hash));
    return 0;
}

struct ledger_tree_store ledger_tree_in(struct ledger_tree_memory *memory)
{
    return (struct ledger_tree_store){memory, memory_append, memory_read};
}

void ledger_tree_memory_fini(struct ledger_tree_memory *memory)
{
    wm_free(memory->hashes);
    *memory = (struct ledger_tree_memory){0};
}
