/* merkle_test.c: against RFC 9162's recursive definitions, for every size to 70 and every index;
 * its known vectors; paths that were changed. */
#include "crypto/merkle.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/test.h"

#define SIZES 70u

static merkle_hash leaves[SIZES];

static void make_leaves(void)
{
    for (unsigned i = 0; i < SIZES; i++) {
        uint8_t entry[2] = {(uint8_t)i, 7};
        merkle_leaf(wm_view_of(entry, i % 3), leaves[i]); /* some of them equal */
    }
}

static uint64_t split(uint64_t count) /* the largest power of two below count */
{
    uint64_t k = 1;
    while (k * 2 < count) {
        k *= 2;
    }
    return k;
}

/* RFC 9162 section 2.1.1, as written there. */
static void naive_root(const merkle_hash *from, uint64_t count, merkle_hash out)
{
    if (count == 1) {
        memcpy(out, from[0], sizeof(merkle_hash));
        return;
    }
    merkle_hash left, right;
    uint64_t k = split(count);
    naive_root(from, k, left);
    naive_root(from + k, count - k, right);
    uint8_t both[65] = {1};
    memcpy(both + 1, left, 32);
    memcpy(both + 33, right, 32);
    wm_sha256_once(wm_view_of(both, sizeof both), out);
}

/* Section 2.1.3.1. */
static uint32_t naive_path(const merkle_hash *from, uint64_t count, uint64_t index,
                           merkle_hash *path)
{
    if (count == 1) {
        return 0;
    }
    uint64_t k = split(count);
    uint32_t len;
    if (index < k) {
        len = naive_path(from, k, index, path);
        naive_root(from + k, count - k, path[len]);
    } else {
        len = naive_path(from + k, count - k, index - k, path);
        naive_root(from, k, path[len]);
    }
    return len + 1;
}

/* Section 2.1.3.2. */
static bool naive_verify(const merkle_hash leaf, uint64_t index, uint64_t size,
                         const merkle_hash *path, uint32_t len, const merkle_hash root)
{
    if (index >= size) {
        return false;
    }
    uint64_t fn = index, sn = size - 1;
    merkle_hash r;
    memcpy(r, leaf, sizeof r);
    for (uint32_t i = 0; i < len; i++) {
        if (sn == 0) {
            return false;
        }
        if ((fn & 1) || fn == sn) {
            merkle_node(path[i], r, r);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            merkle_node(r, path[i], r);
        }
        fn >>= 1;
        sn >>= 1;
    }
    return sn == 0 && memcmp(r, root, sizeof r) == 0;
}

static bool verify(const merkle_hash leaf, uint64_t index, uint64_t size, const merkle_hash *path,
                   uint32_t len, const merkle_hash root)
{
    merkle_hash got;
    bool ours =
        merkle_path_root(leaf, index, size, path, len, got) && memcmp(got, root, sizeof got) == 0;
    CHECK(ours == naive_verify(leaf, index, size, path, len, root));
    return ours;
}

TEST(roots_and_paths_are_the_rfc_s_for_every_size_and_index)
{
    make_leaves();
    struct merkle tree;
    merkle_init(&tree);
    for (uint64_t size = 1; size <= SIZES; size++) {
        merkle_hash hashes[2 * SIZES + MERKLE_LEVELS_MAX], root, other, path[MERKLE_LEVELS_MAX],
            naive[MERKLE_LEVELS_MAX];
        CHECK(merkle_add(&tree, leaves[size - 1]));
        merkle_root(&tree, root);
        naive_root((const merkle_hash *)leaves, size, other);
        CHECK(memcmp(root, other, sizeof root) == 0);

        uint64_t total = merkle_hashes(size);
        REQUIRE(total <= WM_COUNT_OF(hashes));
        memcpy(hashes, leaves, size * sizeof *hashes);
        merkle_build(hashes, size);
        CHECK(memcmp(root, hashes[total - 1], sizeof root) == 0);
        for (uint64_t i = 0; i < size; i++) {
            uint32_t len = merkle_path((const merkle_hash *)hashes, size, i, path);
            CHECK_INT(len, ==, naive_path((const merkle_hash *)leaves, size, i, naive));
            CHECK(memcmp(path, naive, len * sizeof *path) == 0);
            CHECK(verify(leaves[i], i, size, (const merkle_hash *)path, len, root));
        }
    }
}

TEST(changed_paths_are_refused)
{
    for (unsigned i = 0; i < SIZES; i++) { /* all different here */
        uint8_t entry[2] = {(uint8_t)i, 9};
        merkle_leaf(wm_view_of(entry, 2), leaves[i]);
    }
    for (uint64_t size = 1; size <= 33; size++) {
        merkle_hash hashes[2 * SIZES + MERKLE_LEVELS_MAX], path[MERKLE_LEVELS_MAX + 1], root;
        memcpy(hashes, leaves, size * sizeof *hashes);
        merkle_build(hashes, size);
        memcpy(root, hashes[merkle_hashes(size) - 1], sizeof root);
        for (uint64_t i = 0; i < size; i++) {
            memset(path, 0, sizeof path);
            uint32_t len = merkle_path((const merkle_hash *)hashes, size, i, path);
            const merkle_hash *steps = (const merkle_hash *)path;
            for (uint64_t other = 0; other < size + 3; other++) {
                CHECK(verify(leaves[i], other, size, steps, len, root) == (other == i));
                CHECK(verify(leaves[other % SIZES], i, size, steps, len, root) == (other == i));
            }
            CHECK(!verify(leaves[i], i, size, steps, len + 1, root));
            CHECK(len == 0 || !verify(leaves[i], i, size, steps, len - 1, root));
            CHECK(len == 0 || !verify(leaves[i], i, size, steps + 1, len - 1, root));
            for (uint32_t bit = 0; bit < len * 256; bit += 37) {
                ((uint8_t *)path)[bit / 8] ^= (uint8_t)(1u << bit % 8);
                CHECK(!verify(leaves[i], i, size, steps, len, root));
                ((uint8_t *)path)[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
    }
    merkle_hash out;
    CHECK(!merkle_path_root(leaves[0], 0, 0, NULL, 0, out));
    CHECK(!merkle_path_root(leaves[0], UINT64_MAX, UINT64_MAX, NULL, 0, out));
    CHECK(!merkle_path_root(leaves[0], 0, MERKLE_LEAVES_MAX + 1, NULL, 0, out));
}

/* The tree of certificate transparency's own tests: eight entries, published roots and proofs. */
static const char *const published[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

TEST(published_roots)
{
    static const struct {
        const char *bytes;
        size_t len;
    } entries[8] = {{"", 0},
                    {"\x00", 1},
                    {"\x10", 1},
                    {"\x20\x21", 2},
                    {"\x30\x31", 2},
                    {"\x40\x41\x42\x43", 4},
                    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
                    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};
    struct merkle tree;
    merkle_init(&tree);
    for (unsigned i = 0; i <= 8; i++) {
        merkle_hash root, leaf;
        char text[65];
        merkle_root(&tree, root);
        for (unsigned byte = 0; byte < 32; byte++) {
            snprintf(text + 2 * byte, 3, "%02x", root[byte]);
        }
        CHECK_STR(text, published[i]);
        if (i < 8) {
            merkle_leaf(wm_view_of(entries[i].bytes, entries[i].len), leaf);
            CHECK(merkle_add(&tree, leaf));
        }
    }
}

static void from_text(const char *text, merkle_hash out)
{
    for (unsigned i = 0; i < sizeof(merkle_hash); i++) {
        unsigned byte = 0;
        CHECK_INT(sscanf(text + 2 * i, "%2x", &byte), ==, 1);
        out[i] = (uint8_t)byte;
    }
}

TEST(published_consistency_proofs)
{
    static const struct {
        unsigned from, to, len;
        const char *proof[3];
    } proofs[] = {{1, 1, 0, {0}},
                  {1,
                   8,
                   3,
                   {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"}},
                  {6,
                   8,
                   3,
                   {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"}},
                  {2,
                   5,
                   2,
                   {"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"}}};
    for (unsigned k = 0; k < WM_COUNT_OF(proofs); k++) {
        merkle_hash from, to, steps[4] = {{0}};
        unsigned len = proofs[k].len;
        from_text(published[proofs[k].from], from);
        from_text(published[proofs[k].to], to);
        for (unsigned i = 0; i < len; i++) {
            from_text(proofs[k].proof[i], steps[i]);
        }
        const merkle_hash *proof = (const merkle_hash *)steps;
        unsigned a = proofs[k].from, b = proofs[k].to;
        CHECK(merkle_consistent(a, from, b, to, proof, len));
        CHECK(!merkle_consistent(a, from, b, to, proof, len + 1));
        CHECK(len == 0 || !merkle_consistent(a, from, b, to, proof, len - 1));
        CHECK(a == b || !merkle_consistent(b, to, a, from, proof, len));
        CHECK(a == b || !merkle_consistent(a, to, b, to, proof, len));
        for (unsigned bit = 0; bit < len * 256; bit++) {
            ((uint8_t *)steps)[bit / 8] ^= (uint8_t)(1u << bit % 8);
            CHECK(!merkle_consistent(a, from, b, to, proof, len));
            ((uint8_t *)steps)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    merkle_hash empty, root;
    from_text(published[0], empty);
    from_text(published[8], root);
    CHECK(merkle_consistent(0, empty, 8, root, NULL, 0));
    CHECK(!merkle_consistent(0, root, 8, root, NULL, 0));
    CHECK(!merkle_consistent(3, root, MERKLE_LEAVES_MAX + 1, root, NULL, 0));
    CHECK(!merkle_consistent(3, root, UINT64_MAX, root, NULL, 0));
}

/* Says what it costs; fails only where something is wrong by an order of magnitude. */
TEST(hashing_a_record_takes_less_than_a_microsecond)
{
    enum { COUNT = 100000, RECORD_BYTES = 330 };
    static uint8_t record[RECORD_BYTES];
    struct timespec from, middle, to;
    merkle_hash *hashes = wm_alloc(merkle_hashes(COUNT) * sizeof *hashes);
    REQUIRE(hashes != NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(record, &i, sizeof i);
        merkle_leaf(wm_view_of(record, sizeof record), hashes[i]);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &middle);
    merkle_build(hashes, COUNT);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double leaf =
        ((double)(middle.tv_sec - from.tv_sec) * 1e9 + (double)(middle.tv_nsec - from.tv_nsec)) /
        COUNT;
    double node =
        ((double)(to.tv_sec - middle.tv_sec) * 1e9 + (double)(to.tv_nsec - middle.tv_nsec)) / COUNT;
    wm_test_note("a record of %d bytes: leaf %.0f ns, its share of the tree %.0f ns", RECORD_BYTES,
                 leaf, node);
    CHECK(leaf + node < 20000);
    wm_free(hashes);
}

TEST_MAIN(TEST_CASE(roots_and_paths_are_the_rfc_s_for_every_size_and_index),
          TEST_CASE(changed_paths_are_refused), TEST_CASE(published_roots),
          TEST_CASE(published_consistency_proofs),
          TEST_CASE(hashing_a_record_takes_less_than_a_microsecond))
