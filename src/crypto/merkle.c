/* RFC 9162 trees. merkle.h has the construction. */
#include "crypto/merkle.h"

#include <string.h>

#include "base/assert.h"

void merkle_leaf(struct wm_view entry, merkle_hash out)
{
    wm_sha256_prefixed(0, entry, out);
}

void merkle_node(const merkle_hash left, const merkle_hash right, merkle_hash out)
{
    uint8_t both[1 + 2 * MERKLE_HASH_BYTES] = {1};
    memcpy(both + 1, left, MERKLE_HASH_BYTES);
    memcpy(both + 1 + MERKLE_HASH_BYTES, right, MERKLE_HASH_BYTES);
    wm_sha256_once(wm_view_of(both, sizeof both), out);
}

void merkle_init(struct merkle *tree)
{
    tree->count = 0;
}

bool merkle_add(struct merkle *tree, const merkle_hash leaf)
{
    merkle_hash hash;
    unsigned level = 0;
    if (tree->count == MERKLE_LEAVES_MAX) {
        return false;
    }
    memcpy(hash, leaf, sizeof hash);
    /* As in adding one to a binary number: full trees merge while the bit is set. */
    for (; tree->count >> level & 1; level++) {
        merkle_node(tree->full[level], hash, hash);
    }
    memcpy(tree->full[level], hash, sizeof hash);
    tree->count++;
    return true;
}

void merkle_root(const struct merkle *tree, merkle_hash out)
{
    bool has_right = false;
    if (tree->count == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), out);
        return;
    }
    for (unsigned level = 0; level <= MERKLE_LEVELS_MAX; level++) {
        if (tree->count >> level & 1) {
            if (has_right) {
                merkle_node(tree->full[level], out, out);
            } else {
                memcpy(out, tree->full[level], MERKLE_HASH_BYTES);
                has_right = true;
            }
        }
    }
}

uint64_t merkle_hashes(uint64_t leaf_count)
{
    uint64_t total = leaf_count;
    for (uint64_t count = leaf_count; count > 1;) {
        count = (count + 1) / 2;
        total += count;
    }
    return total;
}

void merkle_build(merkle_hash *hashes, uint64_t leaf_count)
{
    merkle_hash *level = hashes;
    WM_ASSERT(leaf_count >= 1 && leaf_count <= MERKLE_LEAVES_MAX);
    for (uint64_t count = leaf_count; count > 1;) {
        merkle_hash *above = level + count;
        for (uint64_t i = 0; i + 1 < count; i += 2) {
            merkle_node(level[i], level[i + 1], above[i / 2]);
        }
        if (count % 2) {
            memcpy(above[count / 2], level[count - 1], MERKLE_HASH_BYTES);
        }
        level = above;
        count = (count + 1) / 2;
    }
}

uint32_t merkle_path(const merkle_hash *hashes, uint64_t leaf_count, uint64_t index,
                     merkle_hash *path)
{
    const merkle_hash *level = hashes;
    uint32_t len = 0;
    WM_ASSERT(leaf_count <= MERKLE_LEAVES_MAX && index < leaf_count);
    for (uint64_t count = leaf_count; count > 1;) {
        uint64_t sibling = index ^ 1;
        if (sibling < count) { /* else it goes up alone */
            memcpy(path[len++], level[sibling], MERKLE_HASH_BYTES);
        }
        level += count;
        index /= 2;
        count = (count + 1) / 2;
    }
    return len;
}

bool merkle_path_root(const merkle_hash leaf, uint64_t index, uint64_t leaf_count,
                      const merkle_hash *path, uint32_t path_len, merkle_hash out)
{
    merkle_hash hash;
    uint32_t used = 0;
    if (index >= leaf_count || leaf_count > MERKLE_LEAVES_MAX) {
        return false;
    }
    memcpy(hash, leaf, sizeof hash);
    for (uint64_t count = leaf_count; count > 1; count = (count + 1) / 2, index /= 2) {
        if ((index ^ 1) >= count) {
            continue;
        }
        if (used == path_len) {
            return false;
        }
        if (index % 2) {
            merkle_node(path[used++], hash, hash);
        } else {
            merkle_node(hash, path[used++], hash);
        }
    }
    if (used != path_len) {
        return false;
    }
    memcpy(out, hash, sizeof hash);
    return true;
}

/* RFC 9162 section 2.1.4.2. Both roots are rebuilt from one list: what the old tree has on its
 * right border is in both, what came later in the new one only. */
bool merkle_consistent(uint64_t old_count, const merkle_hash old_root, uint64_t new_count,
                       const merkle_hash new_root, const merkle_hash *proof, uint32_t proof_len)
{
    merkle_hash empty, old_hash, new_hash;
    if (old_count > new_count || new_count > MERKLE_LEAVES_MAX) {
        return false;
    }
    if (old_count == 0) {
        wm_sha256_once(wm_view_of(NULL, 0), empty);
        return proof_len == 0 && memcmp(old_root, empty, sizeof empty) == 0;
    }
    if (old_count == new_count) {
        return proof_len == 0 && memcmp(old_root, new_root, sizeof empty) == 0;
    }
    uint64_t at = old_count - 1, last = new_count - 1;
    uint32_t used = 0;
    while (at & 1) {
        at >>= 1;
        last >>= 1;
    }
    if (at == 0) { /* the old tree is full: its root is where the proof begins */
        memcpy(old_hash, old_root, sizeof old_hash);
    } else if (used < proof_len) {
        memcpy(old_hash, proof[used++], sizeof old_hash);
    } else {
        return false;
    }
    memcpy(new_hash, old_hash, sizeof new_hash);
    for (; last > 0; at >>= 1, last >>= 1) {
        if (!(at & 1) && at == last) {
            continue; /* the right border goes up alone */
        }
        if (used == proof_len) {
            return false;
        }
        if (at & 1) {
            merkle_node(proof[used], old_hash, old_hash);
            merkle_node(proof[used++], new_hash, new_hash);
        } else {
            merkle_node(new_hash, proof[used++], new_hash);
        }
    }
    return used == proof_len && memcmp(old_hash, old_root, sizeof old_hash) == 0 &&
           memcmp(new_hash, new_root, sizeof new_hash) == 0;
}
