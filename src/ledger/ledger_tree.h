/* ledger_tree.h: the ledger's tree M with all its inner hashes, so that anything in it can be
 * proved at any earlier size.
 *
 * crypto/merkle.h keeps one hash a level, which is enough to go on; a path to an old leaf takes the
 * hashes beside it. They are kept in the order in which they come into being: a leaf, then the
 * full trees that it ends, from below. So nothing that was written is ever changed, the place of
 * each hash follows from its level and number, and a file of 32-byte hashes is all it takes: some
 * two hashes a leaf, and a path reads at most LEDGER_PATH_MAX of them (RFC 9162, section 2.1).
 *
 *     leaf            0   1   2   3   4
 *     written    [0] [1] 01  [2] [3] 23 0123 [4]
 *
 * Where the hashes are is the caller's (struct ledger_tree_store): in memory below, or in a file.
 * Only what is committed belongs in here: there is no way back.
 *
 * A tree may begin in the middle, with the hashes that a checkpoint has (struct merkle): then what
 * lies before cannot be proved here, and what comes later can.
 *
 * No memory of its own. One thread. */
#ifndef WM_LEDGER_LEDGER_TREE_H
#define WM_LEDGER_LEDGER_TREE_H

#include <stdint.h>

#include "base/compiler.h"
#include "crypto/merkle.h"
#include "wire/quorum.h"

struct ledger_tree_store {
    void *self;
    /* Adds hashes at the end, all or none. 0, or why not. */
    int (*append)(void *self, const merkle_hash *hashes, uint32_t count);
    /* The hash at a place, counted from 0, that was appended. 0; WM_E_NOT_FOUND: removed; or why
     * it cannot be read. */
    int (*read)(void *self, uint64_t at, merkle_hash out);
};

struct ledger_tree {
    struct ledger_tree_store store;
    struct merkle start, now;
};

/* `start` NULL: empty. The store is empty too, or, with ledger_tree_resume, has what was appended
 * since `start` and led to `now`. */
void ledger_tree_init(struct ledger_tree *tree, const struct merkle *start,
                      const struct ledger_tree_store *store);
void ledger_tree_resume(struct ledger_tree *tree, const struct merkle *start,
                        const struct merkle *now, const struct ledger_tree_store *store);
/* How many hashes the store has then: what is beyond in a file was not finished. */
uint64_t ledger_tree_stored(const struct ledger_tree *tree);

/* 0; or the store's code, and nothing is changed; WM_E_LIMIT at MERKLE_LEAVES_MAX. */
WM_MUST_CHECK int ledger_tree_add(struct ledger_tree *tree, const merkle_hash leaf);

/* Of the tree as it was with `size` leaves, from start to now. 0; WM_E_INVALID: there is no such
 * size or leaf; WM_E_NOT_FOUND: it begins before `start`; or the store's code. */
WM_MUST_CHECK int ledger_tree_root(const struct ledger_tree *tree, uint64_t size, merkle_hash out);
WM_MUST_CHECK int ledger_tree_path(const struct ledger_tree *tree, uint64_t leaf, uint64_t size,
                                   merkle_hash path[LEDGER_PATH_MAX], uint32_t *len);
/* What merkle_consistent checks; at most LEDGER_PATH_MAX + 1 hashes. */
WM_MUST_CHECK int ledger_tree_consistency(const struct ledger_tree *tree, uint64_t old_size,
                                          uint64_t new_size, merkle_hash proof[LEDGER_PATH_MAX + 1],
                                          uint32_t *len);

/* Hashes in memory. */
struct ledger_tree_memory {
    merkle_hash *hashes;
    uint64_t count;
    size_t room;
};
/* The store of one that is zeroes; it must outlast the tree. */
struct ledger_tree_store ledger_tree_in(struct ledger_tree_memory *memory);
void ledger_tree_memory_fini(struct ledger_tree_memory *memory);

#endif
