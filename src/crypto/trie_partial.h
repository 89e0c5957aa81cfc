/* trie_partial.h: as much of a trie as proofs under one root show, and what becomes of that root
 * when keys change: for somebody who executes a batch again without having the state.
 *
 *     trie_partial_init     knows the root's hash and nothing else
 *     trie_partial_add      what one proof shows; all of them before the first change
 *     trie_partial_get      present (with the value's hash), absent, or unknown
 *     trie_partial_put / _remove   change it
 *     trie_partial_root     the root of the changed trie
 *
 * What must be proved, under the root before: each key that is touched, once, and nothing else,
 * whether it is only read, or put, or removed, and however often and in whichever order.
 *
 *   read, there          its pair
 *   read, not there      the pair that its bits lead to
 *   put, there           its pair: only hashes on the way up change
 *   put, not there       the pair that its bits lead to: the new node parts the two at the first
 * bit in which they differ, somewhere on that pair's way up; what hangs below it on the other side
 * is on the way, so that its hash is known removed, there       its pair: the sibling takes the
 * place of the node above. That needs its hash, which is the first on the way up, and not what it
 * consists of removed, not there   as read
 *
 * It stays enough when the keys of one batch change each other's surroundings. A subtree of which
 * only the hash is known is known to hold no key of the batch, and from its place the bits that all
 * keys in it share: up to the one at which its parent parted, even after this parent is gone. So
 * where a touched key comes to lie beside it, both its absence there and the bit at which the two
 * part are known.
 *
 * Proofs are hostile. One that does not lead to the root is refused; so is one that contradicts
 * another or the rule by which pairs lie (the root is then of no trie, or SHA-256 is broken). A
 * refused proof adds nothing that is wrong: who goes on without it gets "unknown".
 *
 * Pure. Memory from the caller's arena: for each proof at most 256 bytes for each step of its
 * path, for a put as much as for one step. One thread. */
#ifndef WM_CRYPTO_TRIE_PARTIAL_H
#define WM_CRYPTO_TRIE_PARTIAL_H

#include "base/arena.h"
#include "base/diag.h"
#include "crypto/trie.h"

struct trie_part;

struct trie_partial {
    struct wm_arena *arena;
    struct trie_part *top; /* NULL: there is no pair */
    bool changed;
};

/* The arena stays the caller's and must outlive it. 0 or -ENOMEM. A root of 32 zero bytes is known
 * to have no pairs without any proof. */
WM_MUST_CHECK int trie_partial_init(struct trie_partial *partial, struct wm_arena *arena,
                                    const trie_hash root);
/* 0; WM_E_FORGED: refused; -ENOMEM: the arena or its limit is exhausted. Asserts that nothing was
 * changed yet. The proof is not needed afterwards. */
WM_MUST_CHECK int trie_partial_add(struct trie_partial *partial, const struct trie_proof *proof,
                                   struct wm_diag *diag);

enum trie_known { TRIE_KNOWN_PRESENT, TRIE_KNOWN_ABSENT, TRIE_UNKNOWN };
/* The value's hash only where it is present. */
enum trie_known trie_partial_get(const struct trie_partial *partial, const trie_hash key_hash,
                                 trie_hash value_hash);
/* 0; WM_E_NOT_FOUND: unknown whether this key is there, so nothing is changed; -ENOMEM, the same.
 */
WM_MUST_CHECK int trie_partial_put(struct trie_partial *partial, const trie_hash key_hash,
                                   const trie_hash value_hash);
/* 0 also where it is known not to be there; WM_E_NOT_FOUND. */
WM_MUST_CHECK int trie_partial_remove(struct trie_partial *partial, const trie_hash key_hash);
void trie_partial_root(struct trie_partial *partial, trie_hash out);

#endif
