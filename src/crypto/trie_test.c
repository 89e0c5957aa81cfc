/* trie_test.c: the rules against the definition as it is written in doc/format/ledger.md
 * (trie_test_model.c); proofs that were changed. */
#include "crypto/trie.h"

#include <string.h>

#include "base/test.h"
#include "crypto/trie_test_model.h"

static uint64_t seed;

static uint64_t draw(uint64_t below) /* splitmix64 */
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

static void draw_hash(trie_hash out)
{
    for (unsigned i = 0; i < TRIE_HASH_BYTES; i++) {
        out[i] = (uint8_t)draw(256);
    }
}

/* Half of them share all bits with an older one up to some bit, so that ways are long. */
static void draw_key(const struct trie_model *model, trie_hash out)
{
    draw_hash(out);
    if (model->count > 0 && draw(2)) {
        unsigned bit = (unsigned)draw(256);
        trie_hash like;
        memcpy(like, model->pairs[draw(model->count)].key_hash, sizeof like);
        for (unsigned i = 0; i < bit; i++) {
            out[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
            out[i / 8] |= (uint8_t)(like[i / 8] & (0x80 >> i % 8));
        }
        out[bit / 8] ^= (uint8_t)((out[bit / 8] ^ ~like[bit / 8]) & (0x80 >> bit % 8));
    }
}

static void fill(struct trie_model *model, size_t count)
{
    model->count = 0;
    while (model->count < count) {
        trie_hash key, value;
        draw_key(model, key);
        draw_hash(value);
        trie_model_put(model, key, value);
    }
}

TEST(pairs_and_nodes_are_hashed_as_defined)
{
    struct trie_pair_parts a, b;
    trie_hash want, out[2], halves[2];
    uint8_t text[66] = {0};
    for (unsigned round = 0; round < 50; round++) {
        draw_hash(a.key_hash), draw_hash(a.value_hash), draw_hash(b.key_hash);
        draw_hash(b.value_hash);
        memcpy(text + 1, a.key_hash, 32), memcpy(text + 33, a.value_hash, 32);
        text[0] = 0;
        wm_sha256_once(wm_view_of(text, 65), want);
        trie_pair(a.key_hash, a.value_hash, out[0]);
        CHECK(memcmp(out[0], want, sizeof want) == 0);
        trie_pair_two(&b, &a, out[0], out[1]);
        CHECK(memcmp(out[1], want, sizeof want) == 0);
        trie_pair(b.key_hash, b.value_hash, want);
        CHECK(memcmp(out[0], want, sizeof want) == 0);

        text[0] = 1, text[1] = (uint8_t)(round * 5);
        memcpy(text + 2, a.key_hash, 32), memcpy(text + 34, a.value_hash, 32);
        wm_sha256_once(wm_view_of(text, 66), want);
        trie_node(text[1], a.key_hash, a.value_hash, out[0]);
        CHECK(memcmp(out[0], want, sizeof want) == 0);
        memcpy(halves, text + 2, sizeof halves);
        trie_node_two((struct trie_node_parts){text[1], (const trie_hash *)halves},
                      (struct trie_node_parts){7, (const trie_hash *)halves}, out[0], out[1]);
        CHECK(memcmp(out[0], want, sizeof want) == 0);
        trie_node(7, halves[0], halves[1], want);
        CHECK(memcmp(out[1], want, sizeof want) == 0);
    }
}

TEST(bits_count_from_the_highest_of_the_first_byte)
{
    trie_hash a = {0}, b = {0};
    CHECK_INT(trie_differs(a, b), ==, 256);
    for (unsigned bit = 256; bit-- > 0;) {
        b[bit / 8] |= (uint8_t)(0x80 >> bit % 8); /* later ones differ, too */
        CHECK_INT(trie_differs(a, b), ==, bit);
        CHECK_INT(trie_differs(b, a), ==, bit);
        CHECK(trie_bit(b, bit) && !trie_bit(a, bit));
    }
}

TEST(proofs_show_what_is_there_and_what_is_not)
{
    static struct trie_model model;
    static struct trie_proof proof;
    for (size_t size = 0; size < 80; size += 1 + size / 8) {
        trie_hash root, other;
        fill(&model, size);
        trie_model_root(&model, root);
        for (size_t i = 0; i < size; i++) {
            trie_model_prove(&model, model.pairs[i].key_hash, &proof);
            CHECK(trie_check(&proof, model.pairs[i].key_hash, root) == TRIE_PRESENT);
            CHECK(memcmp(proof.value_hash, model.pairs[i].value_hash, 32) == 0);
        }
        for (size_t i = 0; i < 40; i++) {
            trie_hash key;
            size_t idx;
            draw_key(&model, key);
            REQUIRE(!trie_model_find(&model, key, &idx));
            trie_model_prove(&model, key, &proof);
            CHECK(trie_check(&proof, key, root) == TRIE_ABSENT);
            draw_hash(other);
            CHECK(trie_check(&proof, key, other) == TRIE_WRONG);
            /* Nothing about a key elsewhere: a proof of one is of another only where its bits lead
             * to the same pair. */
            for (size_t k = 0; k < size; k++) {
                bool same = memcmp(model.pairs[k].key_hash, proof.key_hash, 32) == 0;
                CHECK(trie_check(&proof, model.pairs[k].key_hash, root) ==
                      (same ? TRIE_PRESENT : TRIE_WRONG));
            }
        }
    }
}

/* A byte more or less, a bit changed, two steps exchanged: nothing wrong is ever shown. */
TEST(changed_proofs_show_nothing_wrong)
{
    static struct trie_model model;
    static struct trie_proof proof, changed;
    static const size_t sizes[] = {1, 2, 3, 20};
    for (unsigned s = 0; s < WM_COUNT_OF(sizes); s++) {
        trie_hash root, key;
        fill(&model, sizes[s]);
        trie_model_root(&model, root);
        for (unsigned present = 0; present < 2; present++) {
            if (present) {
                memcpy(key, model.pairs[draw(sizes[s])].key_hash, sizeof key);
            } else {
                draw_key(&model, key);
            }
            trie_model_prove(&model, key, &proof);
            enum trie_finding right = trie_check(&proof, key, root);
            CHECK(right == (present ? TRIE_PRESENT : TRIE_ABSENT));
            for (unsigned bit = 0; bit < 256; bit++) {
                uint8_t mask = (uint8_t)(1u << bit % 8);
                changed = proof, changed.key_hash[bit / 8] ^= mask;
                CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
                changed = proof, changed.value_hash[bit / 8] ^= mask;
                CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
                for (unsigned i = 0; i < proof.path_len; i += 1 + i / 4) {
                    changed = proof, changed.path[i].sibling[bit / 8] ^= mask;
                    CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
                    changed = proof, changed.path[i].bit ^= mask;
                    CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
                }
            }
            changed = proof, changed.empty = true;
            CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
            changed = proof, changed.path_len++;
            CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
            changed = proof, changed.path_len = TRIE_PATH_MAX + 1;
            CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
            for (unsigned i = 0; i < proof.path_len; i++) {
                changed = proof, changed.path_len = i;
                CHECK(trie_check(&changed, key, root) == TRIE_WRONG);
                changed = proof, changed.path[i] = proof.path[0], changed.path[0] = proof.path[i];
                CHECK(i == 0 || trie_check(&changed, key, root) == TRIE_WRONG);
            }
        }
    }
    memset(&proof, 0, sizeof proof);
    proof.empty = true;
    static const trie_hash none, other = {[31] = 1};
    CHECK(trie_check(&proof, other, none) == TRIE_ABSENT);
    CHECK(trie_check(&proof, other, other) == TRIE_WRONG);
    proof.empty = false;
    CHECK(trie_check(&proof, other, none) == TRIE_WRONG);
}

/* A root made against the rule, as only a liar makes one: ways on which bits do not ascend. */
TEST(ways_that_break_the_rule_are_wrong_under_their_own_root)
{
    static struct trie_proof proof;
    static const uint8_t bits[][3] = {{5, 5, 4}, {3, 4, 5}, {9, 3, 3}, {0, 255, 254}};
    trie_hash hashes[TRIE_PATH_MAX + 1], root;
    for (unsigned i = 0; i < WM_COUNT_OF(bits); i++) {
        draw_hash(proof.key_hash), draw_hash(proof.value_hash);
        trie_pair(proof.key_hash, proof.value_hash, root);
        proof.path_len = 3;
        for (unsigned step = 0; step < 3; step++) {
            proof.path[step].bit = bits[i][step];
            draw_hash(proof.path[step].sibling);
            if (trie_bit(proof.key_hash, bits[i][step])) {
                trie_node(bits[i][step], proof.path[step].sibling, root, root);
            } else {
                trie_node(bits[i][step], root, proof.path[step].sibling, root);
            }
        }
        CHECK(trie_check(&proof, proof.key_hash, root) == TRIE_WRONG);
        CHECK(!trie_fold(&proof, hashes));
    }
}

TEST_MAIN(TEST_CASE(pairs_and_nodes_are_hashed_as_defined),
          TEST_CASE(bits_count_from_the_highest_of_the_first_byte),
          TEST_CASE(proofs_show_what_is_there_and_what_is_not),
          TEST_CASE(changed_proofs_show_nothing_wrong),
          TEST_CASE(ways_that_break_the_rule_are_wrong_under_their_own_root))
