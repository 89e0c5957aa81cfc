/* images.h: Proto-Faaslets of this node's functions: signed files in images/ (doc/format/proto.md).
 *
 * Whoever makes one signs it; whoever opens one checks signature, use and bytes, whether it was
 * made here or by another node. What is missing here is fetched from a peer that has it.
 *
 * Threads: any but the loop's; blocks. */
#ifndef WM_NODE_IMAGES_H
#define WM_NODE_IMAGES_H

#include "faaslet/artefact.h"
#include "node/catalogue.h"
#include "node/node.h"

/* Of the manifest of an image: the image's SHA-256, and 16 digits of the function's. */
#define IMAGES_NAME_BYTES (64 + 1 + 16 + 9 + 1)
void images_name(const uint8_t image_sha256[32], const uint8_t function_sha256[32],
                 char out[IMAGES_NAME_BYTES]);
/* What the image of this version has to be. */
void images_use(const struct function_version *version, struct artefact_use *out);

/* Signs and keeps the image in `fd`; fills in image_sha256 and image_bytes. */
WM_MUST_CHECK int images_keep(const struct node *node, int fd, struct function_version *version,
                              struct wm_diag *diag);
/* A descriptor for reading. WM_E_FORGED, WM_E_DENIED, WM_E_STALE, WM_E_NOT_FOUND. */
WM_MUST_CHECK int images_open(const struct node *node, const struct function_version *version,
                              int *fd, struct wm_diag *diag);

#endif
