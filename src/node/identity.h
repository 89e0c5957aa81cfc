/* identity.h: the node's own key: who signs its records and artefacts.
 *
 * One Ed25519 key in the node's folder, a PEM file of mode 0600 (crypto/sign.h), made at the first
 * start. Losing it costs the identity and nothing else: what was signed stays checkable. Whoever
 * reads it can sign as the node. Any thread. */
#ifndef WM_NODE_IDENTITY_H
#define WM_NODE_IDENTITY_H

#include <stdbool.h>

#include "base/diag.h"
#include "crypto/sign.h"

#define IDENTITY_FILE "node.key"

/* Reads `name` in dir_fd (a descriptor, not AT_FDCWD), or makes it (then *made, NULL allowed, is
 * true). WM_E_DENIED: others may read or write the file, it is somebody else's, or no plain file;
 * WM_E_MALFORMED: it is not a key. sign_key_fini when done. */
WM_MUST_CHECK int identity_open(int dir_fd, const char *name, struct sign_key *out, bool *made,
                                struct wm_diag *diag);

#endif
