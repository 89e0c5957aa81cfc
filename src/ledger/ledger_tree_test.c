/* Paths, roots and consistency of the ledger's tree at every earlier size, against trees built
 * anew.
 */
#include "ledger/ledger_tree.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"

#define SIZES 70u

static merkle_hash leaves[SIZES];

static void make_leaves(void)
{
    for (uint32_t i = 0; i < SIZES; i++) {
        uint8_t entry[2] = {(uint8_t)i, 1};
        merkle_leaf(wm_view_of(entry, sizeof entry), leaves[i]);
    }
}

static void root_of(uint64_t size, merkle_hash out)
{
    struct merkle tree;
    merkle_init(&tree);
    for (uint64_t i = 0; i < size; i++) {
        CHECK(merkle_add(&tree, leaves[i]));
    }
    merkle_root(&tree, out);
}

/* A tree of SIZES leaves that begins with `start` of them. */
static void make_tree(struct ledger_tree *tree, struct ledger_tree_memory *memory, uint64_t start)
{
    struct merkle before;
    struct ledger_tree_store store = ledger_tree_in(memory);
    merkle_init(&before);
    for (uint64_t i = 0; i < start; i++) {
        CHECK(merkle_add(&before, leaves[i]));
    }
    ledger_tree_init(tree, start > 0 ? &before : NULL, &store);
    for (uint64_t i = start; i < SIZES; i++) {
        CHECK_INT(ledger_tree_add(tree, leaves[i]), ==, 0);
        CHECK_INT(ledger_tree_stored(tree), ==, memory->count);
    }
}

TEST(every_path_at_every_size)
{
    static const uint64_t starts[] = {0, 1, 2, 7, 8, 21, 32, 63};
    make_leaves();
    for (uint32_t k = 0; k < WM_COUNT_OF(starts); k++) {
        struct ledger_tree_memory memory = {0};
        struct ledger_tree tree;
        uint64_t start = starts[k];
        make_tree(&tree, &memory, start);
        for (uint64_t size = start; size <= SIZES; size++) {
            merkle_hash wanted, root, path[LEDGER_PATH_MAX];
            uint32_t len;
            root_of(size, wanted);
            CHECK_INT(ledger_tree_root(&tree, size, root), ==, 0);
            CHECK(memcmp(root, wanted, sizeof root) == 0);
            for (uint64_t leaf = start; leaf < size; leaf++) {
                REQUIRE(ledger_tree_path(&tree, leaf, size, path, &len) == 0);
                CHECK(merkle_path_root(leaves[leaf], leaf, size, (const merkle_hash *)path, len,
                                       root) &&
                      memcmp(root, wanted, sizeof root) == 0);
            }
            if (start > 0) {
                CHECK_INT(ledger_tree_path(&tree, start - 1, SIZES, path, &len), ==,
                          WM_E_NOT_FOUND);
                CHECK_INT(ledger_tree_root(&tree, start - 1, root), ==, WM_E_NOT_FOUND);
            }
            CHECK_INT(ledger_tree_path(&tree, size, size, path, &len), ==, WM_E_INVALID);
        }
        merkle_hash none[LEDGER_PATH_MAX];
        uint32_t len;
        CHECK_INT(ledger_tree_path(&tree, 1, SIZES + 1, none, &len), ==, WM_E_INVALID);
        ledger_tree_memory_fini(&memory);
    }
}

TEST(every_size_is_consistent_with_every_later_one)
{
    static const uint64_t starts[] = {0, 1, 12, 33};
    make_leaves();
    for (uint32_t k = 0; k < WM_COUNT_OF(starts); k++) {
        struct ledger_tree_memory memory = {0};
        struct ledger_tree tree;
        make_tree(&tree, &memory, starts[k]);
        for (uint64_t from = starts[k]; from <= SIZES; from++) {
            merkle_hash before, after, proof[LEDGER_PATH_MAX + 1];
            uint32_t len;
            root_of(from, before);
            for (uint64_t to = from; to <= SIZES; to++) {
                root_of(to, after);
                REQUIRE(ledger_tree_consistency(&tree, from, to, proof, &len) == 0);
                const merkle_hash *steps = (const merkle_hash *)proof;
                CHECK(merkle_consistent(from, before, to, after, steps, len));
                if (from == 0 || from == to) {
                    CHECK_INT(len, ==, 0);
                    continue;
                }
                CHECK(!merkle_consistent(from, after, to, after, steps, len));
                CHECK(!merkle_consistent(from, before, to, before, steps, len));
                CHECK(!merkle_consistent(from, before, to, after, steps, len - 1));
                CHECK(!merkle_consistent(from - 1, before, to, after, steps, len));
                proof[len - 1][5] ^= 1;
                CHECK(!merkle_consistent(from, before, to, after, steps, len));
            }
            CHECK_INT(ledger_tree_consistency(&tree, from, SIZES + 1, proof, &len), ==,
                      WM_E_INVALID);
        }
        ledger_tree_memory_fini(&memory);
    }
}

TEST(a_tree_goes_on_where_its_store_ends)
{
    struct ledger_tree_memory memory = {0};
    struct ledger_tree tree, again;
    merkle_hash path[LEDGER_PATH_MAX], root, wanted;
    uint32_t len;
    make_leaves();
    make_tree(&tree, &memory, 5);
    struct ledger_tree_store store = ledger_tree_in(&memory);
    ledger_tree_resume(&again, &tree.start, &tree.now, &store);
    CHECK_INT(ledger_tree_stored(&again), ==, memory.count);
    CHECK_INT(ledger_tree_add(&again, leaves[0]), ==, 0);
    REQUIRE(ledger_tree_path(&again, 30, SIZES, path, &len) == 0);
    root_of(SIZES, wanted);
    CHECK(merkle_path_root(leaves[30], 30, SIZES, (const merkle_hash *)path, len, root) &&
          memcmp(root, wanted, sizeof root) == 0);
    ledger_tree_memory_fini(&memory);
}

static int refuse_append(void *self, const merkle_hash *hashes, uint32_t count)
{
    (void)self, (void)hashes, (void)count;
    return -EIO;
}

static int refuse_read(void *self, uint64_t at, merkle_hash out)
{
    (void)self, (void)at, (void)out;
    return -EIO;
}

TEST(what_the_store_says_comes_out)
{
    struct ledger_tree_memory memory = {0};
    struct ledger_tree tree;
    merkle_hash path[LEDGER_PATH_MAX + 1], root;
    uint32_t len;
    make_leaves();
    make_tree(&tree, &memory, 0);
    tree.store.read = refuse_read;
    tree.store.append = refuse_append;
    CHECK_INT(ledger_tree_path(&tree, 3, SIZES, path, &len), ==, -EIO);
    CHECK_INT(ledger_tree_root(&tree, SIZES, root), ==, -EIO);
    CHECK_INT(ledger_tree_consistency(&tree, 3, SIZES, path, &len), ==, -EIO);
    CHECK_INT(ledger_tree_add(&tree, leaves[0]), ==, -EIO);
    CHECK_INT(tree.now.count, ==, SIZES);
    ledger_tree_memory_fini(&memory);
}

TEST(a_failed_allocation_adds_nothing)
{
    make_leaves();
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct ledger_tree_memory memory = {0};
        struct ledger_tree tree;
        struct ledger_tree_store store = ledger_tree_in(&memory);
        merkle_hash root, wanted;
        ledger_tree_init(&tree, NULL, &store);
        for (uint64_t i = 0; i < SIZES;) {
            i += ledger_tree_add(&tree, leaves[i]) == 0;
            CHECK_INT(tree.now.count, ==, i);
        }
        CHECK_INT(ledger_tree_root(&tree, SIZES, root), ==, 0);
        root_of(SIZES, wanted);
        CHECK(memcmp(root, wanted, sizeof root) == 0);
        ledger_tree_memory_fini(&memory);
    }
}

TEST_MAIN(TEST_CASE(every_path_at_every_size),
          TEST_CASE(every_size_is_consistent_with_every_later_one),
          TEST_CASE(a_tree_goes_on_where_its_store_ends), TEST_CASE(what_the_store_says_comes_out),
          TEST_CASE(a_failed_allocation_adds_nothing))
