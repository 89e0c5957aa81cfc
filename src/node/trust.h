/* trust.h: whose signatures count: the public keys of the nodes of this cluster.
 *
 * A node takes Proto-Faaslets that another one made when a key that it trusts has signed them
 * (faaslet/artefact.h). It learns the others' keys from them over connections that only holders of
 * the cluster's key can make, and keeps them (table `trusted`): what a node made stays usable when
 * that node is gone. Its own key is always among them.
 *
 * Threads: any. */
#ifndef WM_NODE_TRUST_H
#define WM_NODE_TRUST_H

#include <stddef.h>
#include <stdint.h>

#include "base/diag.h"
#include "crypto/sign.h"

#define TRUST_KEYS_MAX 1024u

struct kv;
struct trust;

WM_MUST_CHECK int trust_open(struct kv *kv, const uint8_t own[SIGN_PUBLIC_BYTES],
                             struct trust **out, struct wm_diag *diag);
void trust_close(struct trust *trust); /* NULL allowed */
/* Keeps those that are new, with the name of the node that told of them. Waits for the disk.
 * WM_E_LIMIT: there would be more than TRUST_KEYS_MAX. */
WM_MUST_CHECK int trust_add(struct trust *trust, const uint8_t (*keys)[SIGN_PUBLIC_BYTES],
                            size_t count, const char *from, struct wm_diag *diag);
/* A copy (wm_free), the node's own first; NULL: no memory. */
uint8_t (*trust_keys(struct trust *trust, size_t *count))[SIGN_PUBLIC_BYTES];

#endif
