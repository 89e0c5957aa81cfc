/* artefact.h: files that one node made and others may trust: Proto-Faaslets, compiled objects.
 *
 * An artefact is a file and a manifest (doc/format/proto.md): a statement, signed by the node that
 * made it, of what the file is, over the SHA-256 of its bytes. Whoever uses the file checks that a
 * key that it trusts signed it, that it is for the very module, function and version at hand, and
 * that the bytes are those that were signed. So a node takes in what another made, without
 * believing the way it came.
 *
 * In a folder, the file lies under the name of its hash and the manifest under a name of the
 * caller's: the manifest is put in place last and in one step, so a reader finds the old pair or
 * the new one. Files that no manifest names any more are the caller's to remove.
 *
 * Manifests and files are hostile until checked. The folder is the node's own: who may write to it
 * could also change a file after it was checked. Encoding and checking are pure; the functions
 * with a dir_fd do I/O. Any thread. */
#ifndef WM_FAASLET_ARTEFACT_H
#define WM_FAASLET_ARTEFACT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "wire/cose.h"

#define ARTEFACT_VERSION 1u
#define ARTEFACT_NODE_BYTES_MAX 64u
#define ARTEFACT_MANIFEST_BYTES_MAX COSE_SIGN1_BYTES_MAX
#define ARTEFACT_FILE_BYTES_MAX (UINT64_C(8) << 30)

enum artefact_kind {                      /* numbers of the format */
                     ARTEFACT_IMAGE = 1,  /* a Proto-Faaslet: doc/format/image.md */
                     ARTEFACT_OBJECT = 2, /* machine code: doc/format/object.md. Who signs it is
                                             trusted with more */
};

/* What a file must be to be used: all of it is compared. */
struct artefact_use {
    enum artefact_kind kind;
    uint8_t module_sha256[WM_SHA256_BYTES];
    /* Of whatever else went into it: for an image, how the function was initialised (arguments,
     * environment, files, kind); for an object, its key (compiler, ABI, mode, tier, processor). */
    uint8_t function_sha256[WM_SHA256_BYTES];
    uint32_t format; /* version of the file's own format */
    uint32_t abi;    /* of the engine: WASM_ABI_VERSION; other nodes may run another one */
};

struct artefact {
    struct artefact_use use;
    uint8_t sha256[WM_SHA256_BYTES]; /* of the file */
    uint64_t file_bytes;
    uint64_t made_s;                        /* since 1970, as the maker says */
    char node[ARTEFACT_NODE_BYTES_MAX + 1]; /* its name, as it says; the key is what counts */
    uint8_t key[SIGN_PUBLIC_BYTES];
};

struct artefact_trust {
    const uint8_t (*keys)[SIGN_PUBLIC_BYTES]; /* the node's own among them, where it should be */
    size_t count;
};

/* Signs. All but `key` of *artefact is given; the name must keep its limit. */
void artefact_manifest(const struct artefact *artefact, const struct sign_key *key,
                       uint8_t out[ARTEFACT_MANIFEST_BYTES_MAX], size_t *len);

/* Reads a manifest and checks its signature. WM_E_MALFORMED; WM_E_FORGED: not signed by the key
 * that it names; WM_E_DENIED: by a key that is not trusted (diag shows it, so that it can be
 * added). */
WM_MUST_CHECK int artefact_check(struct wm_view manifest, const struct artefact_trust *trust,
                                 struct artefact *out, struct wm_diag *diag);
/* Is it what is wanted? 0, or WM_E_STALE with the first difference in diag. */
WM_MUST_CHECK int artefact_fits(const struct artefact *artefact, const struct artefact_use *use,
                                struct wm_diag *diag);

/* Takes a copy of the file in file_fd, from its start, into the folder, and signs it as `name`.
 * use, made_s and node of *artefact are given; the rest is filled in. */
WM_MUST_CHECK int artefact_put(int dir_fd, const char *name, int file_fd,
                               const struct sign_key *key, struct artefact *artefact,
                               struct wm_diag *diag);
/* The same for a file and a manifest that another node made: all is checked first, and nothing is
 * left behind when it is refused. WM_E_FORGED: the file's bytes are not those that were signed. */
WM_MUST_CHECK int artefact_take(int dir_fd, const char *name, int file_fd, struct wm_view manifest,
                                const struct artefact_use *use, const struct artefact_trust *trust,
                                struct artefact *out, struct wm_diag *diag);
/* Opens the file that manifest `name` is about, after all checks, its bytes' hash among them: a
 * descriptor for reading, at offset 0, or an error as above; WM_E_NOT_FOUND: no such manifest, or
 * its file is gone. `manifest` (NULL allowed, with *manifest_len) becomes the manifest, to be sent
 * along to another node. */
WM_MUST_CHECK int artefact_open(int dir_fd, const char *name, const struct artefact_use *use,
                                const struct artefact_trust *trust, struct artefact *out,
                                uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX], size_t *manifest_len,
                                struct wm_diag *diag);
/* The name of an artefact's file in its folder: 64 digits and ".image" or ".object". */
#define ARTEFACT_FILE_NAME_BYTES (2 * WM_SHA256_BYTES + 8)
void artefact_file_name(const struct artefact *artefact, char out[ARTEFACT_FILE_NAME_BYTES]);

#endif
