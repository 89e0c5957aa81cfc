/* The node's key file. */
#include "node/identity.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "crypto/hash.h"
#include "host/file.h"

#define FILE_BYTES_MAX 4096u

static int read_key(int fd, const char *name, uint8_t seed[SIGN_SEED_BYTES], struct wm_diag *diag)
{
    struct host_file_info info;
    uint8_t *bytes;
    size_t len;
    int rc = host_file_info(fd, &info);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "%s: %s", name, wm_error_text(rc));
    }
    if (!S_ISREG(info.mode)) {
        return wm_diag_set(diag, WM_E_DENIED, "%s: is no plain file", name);
    }
    if (info.uid != geteuid()) {
        return wm_diag_set(diag, WM_E_DENIED, "%s: belongs to user %u, not to this one (%u)", name,
                           info.uid, (unsigned)geteuid());
    }
    if (info.mode & (S_IRWXG | S_IRWXO)) {
        return wm_diag_set(diag, WM_E_DENIED,
                           "%s: has mode %04o: others may have read the key; make a new one, or "
                           "chmod 600 it when you know better",
                           name, info.mode & 07777u);
    }
    rc = host_file_read_all(fd, FILE_BYTES_MAX, &bytes, &len);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "%s: %s", name, wm_error_text(rc));
    }
    if (!sign_seed_of_pem(wm_view_of(bytes, len), seed)) {
        rc = wm_diag_set(diag, WM_E_MALFORMED,
                         "%s: is not an Ed25519 private key as openssl genpkey writes it", name);
    }
    sign_wipe(bytes, len);
    wm_free(bytes);
    return rc;
}

static int make_key(int dir_fd, const char *name, uint8_t seed[SIGN_SEED_BYTES],
                    struct wm_diag *diag)
{
    char pem[SIGN_PEM_BYTES];
    wm_random_bytes(seed, SIGN_SEED_BYTES);
    sign_seed_to_pem(seed, pem);
    int rc = host_file_create(dir_fd, name, wm_view_of(pem, sizeof pem), 0600, true, NULL);
    sign_wipe(pem, sizeof pem);
    if (rc == 0 && (wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : fsync(dir_fd)) != 0) {
        rc = -errno; /* the next start finds the key, or makes another: nothing was signed yet */
    }
    return rc == 0 || rc == -EEXIST
               ? rc
               : wm_diag_set(diag, rc, "%s: making it: %s", name, wm_error_text(rc));
}

int identity_open(int dir_fd, const char *name, struct sign_key *out, bool *made,
                  struct wm_diag *diag)
{
    uint8_t seed[SIGN_SEED_BYTES];
    bool is_new = false;
    int rc, fd = host_file_open(dir_fd, name);
    if (fd == -ENOENT) {
        rc = make_key(dir_fd, name, seed, diag);
        is_new = rc == 0;
        if (rc == -EEXIST) { /* another process was first */
            fd = host_file_open(dir_fd, name);
        }
    }
    if (!is_new && fd != -ENOENT) {
        rc = fd < 0 ? wm_diag_set(diag, fd, "%s: %s", name, wm_error_text(fd))
                    : read_key(fd, name, seed, diag);
        host_file_close(fd);
    }
    if (rc == 0) {
        sign_key_init(out, seed);
        if (made) {
            *made = is_new;
        }
    }
    sign_wipe(seed, sizeof seed);
    return rc;
}
