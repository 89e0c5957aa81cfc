/* cluster_key.c: see the header. */
#include "node/cluster_key.h"

#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "crypto/hash.h"
#include "host/file.h"

#define FILE_BYTES_MAX 4096u

int cluster_key_read(const char *path, uint8_t key[32], struct wm_diag *diag)
{
    int fd = host_file_open(AT_FDCWD, path);
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = fd < 0 ? fd : host_file_read_all(fd, FILE_BYTES_MAX, &bytes, &len);
    host_file_close(fd);
    if (rc != 0) {
        return wm_diag_set(diag, rc, "cluster key: %s: %s", path, wm_error_text(rc));
    }
    if (len < 32) {
        explicit_bzero(bytes, len);
        wm_free(bytes);
        return wm_diag_set(diag, WM_E_USAGE,
                           "cluster key: %s: shorter than 32 bytes; make one with `head -c 32 "
                           "/dev/urandom`",
                           path);
    }
    wm_sha256_once(wm_view_of(bytes, len), key);
    explicit_bzero(bytes, len);
    wm_free(bytes);
    return 0;
}

void cluster_key_seal(const uint8_t key[32], uint8_t seal[32])
{
    wm_mac(key, wm_view_str("wardmote: secrets at rest, 1"), seal);
}
