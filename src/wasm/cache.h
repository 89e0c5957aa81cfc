/* cache.h: compiled objects on disk, by content, and the way from a .wasm file to a running object.
 *
 * The cache is a folder of the user's own (default $XDG_CACHE_HOME/wardmote, else
 * ~/.cache/wardmote), mode 0700, with a secret key made on first use. An object enters it only from
 * the compiler process (compile.h): it is checked in full (wasm_object_check), its content hashed,
 * and an authenticated stamp written that binds the object's key and hash to the file (device,
 * inode, size, times). Later opens compare the stamp and map: no hashing. A file that changed in
 * any way since, or that was swapped for another one, no longer fits its stamp; it is hashed again,
 * and refused and removed (WM_E_FORGED, then compiled anew) where its content differs.
 *
 * The same kind of stamp remembers the SHA-256 of module files, so that an unchanged module file is
 * not even read. Stamps younger than WASM_CACHE_RACY_NS against the file's own times are not
 * trusted (a file may change twice within one clock tick).
 *
 * Threads: one cache handle per thread. Processes: any number; files enter by rename. */
#ifndef WM_WASM_CACHE_H
#define WM_WASM_CACHE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/diag.h"
#include "wasm/object.h"
#include "wasm/options.h"

#define WASM_CACHE_RACY_NS INT64_C(2000000000)

struct wasm_cache;

/* Makes the folder where it is missing. path NULL: the default. Refuses (WM_E_DENIED) a folder that
 * belongs to somebody else or that others may write to. */
WM_MUST_CHECK int wasm_cache_open(const char *path, struct wasm_cache **out, struct wm_diag *diag);
/* The default: $XDG_CACHE_HOME/wardmote, else ~/.cache/wardmote. WM_E_MISSING: neither is set to a
 * full path. Makes nothing. */
WM_MUST_CHECK int wasm_cache_default_path(char out[PATH_MAX], struct wm_diag *diag);
void wasm_cache_close(struct wasm_cache *cache);
const char *wasm_cache_path(const struct wasm_cache *cache); /* borrowed */

/* SHA-256 of the file at `path`, from a stamp where that is sound. */
WM_MUST_CHECK int wasm_cache_module_hash(struct wasm_cache *cache, const char *path,
                                         uint8_t sha256[32], struct wm_diag *diag);

/* The object for this module hash and these options. 0; WM_E_NOT_FOUND; WM_E_FORGED when there was
 * one that does not authenticate (it has been removed; diag says what was wrong). */
WM_MUST_CHECK int wasm_cache_find(struct wasm_cache *cache, const uint8_t sha256[32],
                                  const struct wasm_options *options, struct wasm_object **out,
                                  struct wm_diag *diag);

/* The same, as an open file for another process to map: *fd is given, and was just proved to be
 * what this cache took in. */
WM_MUST_CHECK int wasm_cache_find_file(struct wasm_cache *cache, const uint8_t sha256[32],
                                       const struct wasm_options *options, int *fd,
                                       struct wm_diag *diag);

/* Checks the object in `fd` against the expected key and takes it in. */
WM_MUST_CHECK int wasm_cache_put(struct wasm_cache *cache, int fd, const uint8_t sha256[32],
                                 const struct wasm_options *options, struct wm_diag *diag);

/* Remembers that the compiler fails on this module with these options, so that nobody tries it
 * again unasked; until wasm_cache_put takes in such an object after all, but no longer than
 * WASM_CACHE_FAILURE_NS: the cause may have been the machine's. The key that names both holds the
 * compiler's version: another one starts anew. */
#define WASM_CACHE_FAILURE_NS (INT64_C(7) * 86400 * 1000000000)
WM_MUST_CHECK int wasm_cache_set_failed(struct wasm_cache *cache, const uint8_t sha256[32],
                                        const struct wasm_options *options);
bool wasm_cache_has_failed(const struct wasm_cache *cache, const uint8_t sha256[32],
                           const struct wasm_options *options);

/* Removes the objects that were not used for longest until the others take at most bytes_max, and
 * the stamps of module files and of failures that are older than WASM_CACHE_STAMP_NS.
 * wasm_cache_put does this with WASM_CACHE_BYTES_MAX. Programs that run from a removed object keep
 * it until they end. */
#define WASM_CACHE_BYTES_MAX (UINT64_C(4) << 30)
#define WASM_CACHE_STAMP_NS (INT64_C(90) * 86400 * 1000000000)
WM_MUST_CHECK int wasm_cache_trim(struct wasm_cache *cache, uint64_t bytes_max,
                                  struct wm_diag *diag);

void wasm_object_key_of(const uint8_t sha256[32], const struct wasm_options *options,
                        struct wasm_object_key *out);

#endif
