/* cluster_key.h: the secret that the nodes of a cluster share, and what is derived from it.
 *
 * A file of at least 32 bytes. Its SHA-256 is the key by which nodes know each other (peers.h); the
 * key under which secrets are sealed at rest is derived from that, so that a sealed secret opens on
 * every node. Blocks; any thread. */
#ifndef WM_NODE_CLUSTER_KEY_H
#define WM_NODE_CLUSTER_KEY_H

#include <stdint.h>

#include "base/diag.h"

WM_MUST_CHECK int cluster_key_read(const char *path, uint8_t key[32], struct wm_diag *diag);
void cluster_key_seal(const uint8_t key[32], uint8_t seal[32]);

#endif
