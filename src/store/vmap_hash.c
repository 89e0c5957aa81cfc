/* Root hashes and proofs.
 *
 * What must be hashed is found from the top by the marks of what is stale, and hashed from below.
 * Both go level by level over many ways at once rather than one way after the other: of nodes that
 * do not depend on each other two are hashed in the time of one (crypto/hash_two.c), and while one
 * is looked at, the cache lines of the next are on their way. The nodes to do are listed on the
 * stack, so that making a root takes no memory and cannot fail; where the list is full, what lies
 * below its last ones is hashed first, a few of them at a time, in the same manner. */
#include <string.h>

#include "base/assert.h"
#include "store/vmap_tree.h"

#define NODES_MAX 512u
#define ROOTS_MAX 16u
#define LEAVES_MAX 16u

/* A node of which the hash is to be made. */
struct task {
    struct branch *branch;
    uint8_t *out;
    uint32_t place; /* 0: the topmost, it was not looked at yet */
    uint32_t above; /* index of the task that needs this one's hash */
};

/* Leaves, whose hashes depend on nothing. */
struct leaves {
    uint32_t count;
    const struct leaf *leaves[LEAVES_MAX];
    uint8_t *outs[LEAVES_MAX];
};

static void hash_leaves(struct leaves *leaves)
{
    struct trie_pair_parts a, b;
    uint32_t i = 0;
    for (; i + 1 < leaves->count; i += 2) {
        const struct leaf *leaf = leaves->leaves[i], *other = leaves->leaves[i + 1];
        vmap_key_hash_two(leaf_key(leaf), leaf_key(other), a.key_hash, b.key_hash);
        wm_sha256_two(leaf_value(leaf), leaf_value(other), a.value_hash, b.value_hash);
        trie_pair_two(&a, &b, leaves->outs[i], leaves->outs[i + 1]);
    }
    if (i < leaves->count) {
        vmap_key_hash(leaf_key(leaves->leaves[i]), a.key_hash);
        wm_sha256_once(leaf_value(leaves->leaves[i]), a.value_hash);
        trie_pair(a.key_hash, a.value_hash, leaves->outs[i]);
    }
    leaves->count = 0;
}

/* Lists what a ref stands for as to be hashed. */
static void add(const struct vmap *map, struct task *tasks, uint32_t *count, struct leaves *leaves,
                uint32_t ref, uint8_t *out, uint32_t above)
{
    if (!is_leaf(ref)) {
        tasks[*count] = (struct task){branch_at(map, ref), out, 0, above};
        __builtin_prefetch(tasks[(*count)++].branch, 1);
        return;
    }
    if (leaves->count == LEAVES_MAX) {
        hash_leaves(leaves);
    }
    leaves->leaves[leaves->count] = leaf_at(map, ref);
    leaves->outs[leaves->count] = out;
    __builtin_prefetch(leaves->leaves[leaves->count++]);
}

/* Lists what is stale just below a task's node. */
static void add_halves(const struct vmap *map, struct task *tasks, uint32_t *count,
                       struct leaves *leaves, uint32_t idx)
{
    struct task *task = &tasks[idx];
    struct branch *branch = task->branch;
    if (task->place == 0) {
        task->place = settle(branch, 1);
    }
    trie_hash *halves = halves_of(branch, task->place);
    __builtin_prefetch(halves, 1);
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t half = 2 * task->place + side;
        if (!(branch->stale >> half & 1)) {
            continue;
        }
        branch->stale ^= (uint16_t)(1u << half);
        uint32_t place = settle(branch, half);
        if (place < BRANCH_ARMS) {
            tasks[(*count)++] = (struct task){branch, halves[side], place, idx};
        } else {
            add(map, tasks, count, leaves, branch->arms[place - BRANCH_ARMS], halves[side], idx);
        }
    }
}

static struct trie_node_parts parts_of(const struct task *task)
{
    return (struct trie_node_parts){(uint8_t)(task->branch->base + depth_of(task->place)),
                                    (const trie_hash *)halves_of(task->branch, task->place)};
}

/* Hashes some nodes, of which none lies below another, after what is stale below them. It calls
 * itself as often as the way down is longer than log2(NODES_MAX / ROOTS_MAX) levels. */
static void hash_nodes(const struct vmap *map, const struct task *roots, uint32_t root_count)
{
    struct task tasks[NODES_MAX] __attribute__((uninitialized));
    struct leaves leaves __attribute__((uninitialized));
    uint32_t count = root_count, looked_at = 0;
    for (uint32_t i = 0; i < root_count; i++) {
        tasks[i] = roots[i];
        tasks[i].above = UINT32_MAX; /* none of these */
    }
    leaves.count = 0;
    for (; looked_at < count && count + 2 <= NODES_MAX; looked_at++) {
        add_halves(map, tasks, &count, &leaves, looked_at);
    }
    hash_leaves(&leaves);
    for (uint32_t i = looked_at; i < count; i += ROOTS_MAX) {
        hash_nodes(map, tasks + i, count - i < ROOTS_MAX ? count - i : ROOTS_MAX);
    }
    /* Those below a node come after it in the list; so two neighbours depend on each other only
     * where the first is right above the second. */
    for (uint32_t i = looked_at; i > 0;) {
        const struct task *a = &tasks[--i];
        struct trie_node_parts parts = parts_of(a);
        if (i > 0 && a->above != i - 1) {
            const struct task *b = &tasks[--i];
            trie_node_two(parts, parts_of(b), a->out, b->out);
        } else {
            trie_node(parts.bit, parts.halves[0], parts.halves[1], a->out);
        }
    }
}

static void hash_top(struct vmap *map)
{
    struct task top;
    struct leaves leaves;
    uint32_t count = 0;
    leaves.count = 0;
    add(map, &top, &count, &leaves, map->top, map->hash, UINT32_MAX);
    hash_leaves(&leaves);
    if (count > 0) {
        hash_nodes(map, &top, 1);
    }
}

void vmap_root(struct vmap *map, trie_hash out)
{
    if (map->stale) {
        memset(map->hash, 0, sizeof map->hash);
        if (map->top != 0) {
            hash_top(map);
        }
        map->stale = false;
        struct mark *mark = map->mark_count > 0 ? &map->marks[map->mark_count - 1] : NULL;
        if (mark && mark->top == map->top) { /* unchanged since it was marked */
            memcpy(mark->hash, map->hash, sizeof mark->hash);
            mark->hashed = true;
        }
    }
    memcpy(out, map->hash, sizeof map->hash);
}

static const struct mark *hashed_mark(const struct vmap *map, uint64_t version)
{
    const struct mark *mark = &map->marks[vmap_mark_idx(map, version)];
    WM_ASSERT(mark->hashed);
    return mark;
}

void vmap_root_of(const struct vmap *map, uint64_t version, trie_hash out)
{
    memcpy(out, hashed_mark(map, version)->hash, TRIE_HASH_BYTES);
}

void vmap_prove(const struct vmap *map, uint64_t version, struct wm_view key,
                struct trie_proof *out)
{
    uint32_t at = hashed_mark(map, version)->top;
    trie_hash key_hash;
    vmap_key_hash(key, key_hash);
    out->empty = at == 0;
    out->path_len = 0;
    if (out->empty) {
        return;
    }
    while (!is_leaf(at)) {
        struct branch *branch = branch_at(map, at);
        uint32_t place = settle(branch, 1);
        while (place < BRANCH_ARMS) {
            struct trie_step *step = &out->path[out->path_len++];
            uint32_t bit = branch->base + depth_of(place);
            uint32_t side = trie_bit(key_hash, bit);
            step->bit = (uint8_t)bit;
            memcpy(step->sibling, halves_of(branch, place)[!side], sizeof step->sibling);
            place = settle(branch, 2 * place + side);
        }
        at = branch->arms[place - BRANCH_ARMS];
    }
    for (uint32_t i = 0; i < out->path_len / 2; i++) { /* found downwards, told upwards */
        struct trie_step step = out->path[i];
        out->path[i] = out->path[out->path_len - 1 - i];
        out->path[out->path_len - 1 - i] = step;
    }
    const struct leaf *leaf = leaf_at(map, at);
    vmap_key_hash(leaf_key(leaf), out->key_hash);
    wm_sha256_once(leaf_value(leaf), out->value_hash);
}
