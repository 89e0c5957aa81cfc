/* vmap_shape_test.c: trees of any shape. A key's hash is the key itself here, in place of its
 * SHA-256 (vmap_key.c), so that keys share as many bits as the test likes. */
#include <string.h>

#include "base/test.h"
#include "store/vmap_test_model.h"
#include "store/vmap_tree.h"

void vmap_key_hash(struct wm_view key, trie_hash out)
{
    memset(out, 0, TRIE_HASH_BYTES);
    memcpy(out, key.ptr, key.len < TRIE_HASH_BYTES ? key.len : TRIE_HASH_BYTES);
}

void vmap_key_hash_two(struct wm_view a, struct wm_view b, trie_hash out_a, trie_hash out_b)
{
    vmap_key_hash(a, out_a);
    vmap_key_hash(b, out_b);
}

static uint64_t seed;

static uint64_t draw(uint64_t below) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

typedef void shape_fn(uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES]);

static void flip(uint8_t key[TRIE_HASH_BYTES], uint64_t bit)
{
    key[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

/* Each parts from one before it at some bit. */
static void ways(uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES])
{
    for (uint32_t i = 1; i < VMAP_MODEL_KEYS; i++) {
        memcpy(keys[i], keys[draw(i)], TRIE_HASH_BYTES);
        flip(keys[i], draw(256));
    }
}

/* A comb: the longest way that there is. */
static void comb(uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES])
{
    for (uint32_t i = 1; i < VMAP_MODEL_KEYS; i++) {
        flip(keys[i], 256 - i);
    }
}

/* All combinations of a few bits that lie together: branches with all their arms. */
static void dense(uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES])
{
    uint64_t first = draw(250);
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        for (uint32_t bit = 0; bit < 6; bit++) {
            if (i >> bit & 1) {
                flip(keys[i], first + bit);
            }
        }
    }
}

/* The last bits of all. */
static void last(uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES])
{
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        keys[i][TRIE_HASH_BYTES - 1] = (uint8_t)(i * 5);
    }
}

static bool unique(uint8_t keys[VMAP_MODEL_KEYS][TRIE_HASH_BYTES])
{
    for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (memcmp(keys[i], keys[k], TRIE_HASH_BYTES) == 0) {
                return false;
            }
        }
    }
    return true;
}

static void run_shape(shape_fn *shape, unsigned rounds)
{
    static uint8_t bytes[VMAP_MODEL_KEYS][TRIE_HASH_BYTES];
    struct wm_view keys[VMAP_MODEL_KEYS];
    uint8_t input[4000];
    for (uint64_t round = 0; round < rounds; round++) {
        seed = round;
        do {
            memset(bytes, 0, sizeof bytes);
            shape(bytes);
        } while (!unique(bytes));
        for (uint32_t i = 0; i < VMAP_MODEL_KEYS; i++) {
            keys[i] = wm_view_of(bytes[i], TRIE_HASH_BYTES);
        }
        for (size_t i = 0; i < sizeof input; i++) {
            input[i] = (uint8_t)draw(256);
        }
        const char *what = vmap_model_run(keys, wm_view_of(input, 100 + draw(sizeof input - 100)));
        if (!wm_test_check(what == NULL, __FILE__, __LINE__, "as the model")) {
            wm_test_note("seed %llu: %s", (unsigned long long)round, what);
            break;
        }
    }
}

TEST(keys_that_part_anywhere)
{
    run_shape(ways, 400);
}

TEST(keys_that_make_the_longest_way)
{
    run_shape(comb, 100);
}

TEST(keys_that_fill_branches)
{
    run_shape(dense, 150);
}

TEST(keys_that_part_at_the_end)
{
    run_shape(last, 60);
}

/* All 257 keys of the longest way that is possible: 256 nodes, 86 branches. */
TEST(the_longest_way_of_all)
{
    static uint8_t keys[TRIE_PATH_MAX + 1][TRIE_HASH_BYTES];
    static struct trie_proof proof;
    struct vmap *map = vmap_new(0);
    trie_hash root;
    struct wm_view got;
    REQUIRE(map);
    for (uint32_t i = 0; i <= TRIE_PATH_MAX; i++) {
        if (i > 0) {
            flip(keys[i], i - 1);
        }
        CHECK(vmap_put(map, wm_view_of(keys[i], TRIE_HASH_BYTES), wm_view_of(&keys[i][1], 2)) == 0);
    }
    vmap_root(map, root);
    CHECK(vmap_mark(map, 1) == 0);
    vmap_prove(map, 1, wm_view_of(keys[0], TRIE_HASH_BYTES), &proof);
    CHECK_INT(proof.path_len, ==, TRIE_PATH_MAX);
    CHECK(trie_check(&proof, keys[0], root) == TRIE_PRESENT);
    vmap_prove(map, 1, wm_view_of(keys[256], TRIE_HASH_BYTES), &proof);
    CHECK_INT(proof.path_len, ==, TRIE_PATH_MAX);
    CHECK(trie_check(&proof, keys[256], root) == TRIE_PRESENT);
    for (uint32_t i = 0; i <= TRIE_PATH_MAX; i++) {
        CHECK(vmap_get(map, wm_view_of(keys[i], TRIE_HASH_BYTES), &got));
        CHECK(vmap_remove(map, wm_view_of(keys[i], TRIE_HASH_BYTES)) == 0);
        CHECK(!vmap_get(map, wm_view_of(keys[i], TRIE_HASH_BYTES), &got));
        CHECK(vmap_get_at(map, 1, wm_view_of(keys[i], TRIE_HASH_BYTES), &got));
    }
    CHECK_INT(vmap_count(map), ==, 0);
    vmap_undo_to(map, 1);
    trie_hash again;
    vmap_root(map, again);
    CHECK(memcmp(root, again, sizeof root) == 0);
    vmap_free(map);
}

TEST_MAIN(TEST_CASE(keys_that_part_anywhere), TEST_CASE(keys_that_make_the_longest_way),
          TEST_CASE(keys_that_fill_branches), TEST_CASE(keys_that_part_at_the_end),
          TEST_CASE(the_longest_way_of_all))
