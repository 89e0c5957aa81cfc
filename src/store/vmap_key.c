/* By which hash a key lies. A file of its own: a test that must choose where keys lie, because
 * SHA-256 lets no two be found that share 100 bits, is linked with others in their place. */
#include "store/vmap_tree.h"

void vmap_key_hash(struct wm_view key, trie_hash out)
{
    wm_sha256_once(key, out);
}

void vmap_key_hash_two(struct wm_view a, struct wm_view b, trie_hash out_a, trie_hash out_b)
{
    wm_sha256_two(a, b, out_a, out_b);
}
