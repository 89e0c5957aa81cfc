/* file.h: whole files in, whole files out.
 *
 * Paths are relative to a directory descriptor (AT_FDCWD for the current one); the last component
 * is never followed when it is a symbolic link. All descriptors are close-on-exec. Functions return
 * 0 or a negative errno; WM_E_LIMIT where a file is larger than the caller allows. Any thread. */
#ifndef WM_HOST_FILE_H
#define WM_HOST_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/view.h"

/* What tells a file's content unchanged, as far as the kernel knows. Compare with ==-per-field
 * only. */
struct host_file_id {
    uint64_t dev, ino, bytes;
    int64_t mtime_ns, ctime_ns;
};

struct host_file_info {
    struct host_file_id id;
    uint32_t mode; /* st_mode */
    uint32_t uid;
    uint64_t links;
};

WM_MUST_CHECK int host_file_info(int fd, struct host_file_info *out);
bool host_file_id_equal(const struct host_file_id *a, const struct host_file_id *b);
/* The same file (device and inode), whatever its content. */
bool host_file_same(const struct host_file_id *a, const struct host_file_id *b);

/* A descriptor or a negative errno. Never follows a symbolic link in the last component, and does
 * not wait for the other end when the name turns out to be a pipe. */
WM_MUST_CHECK int host_file_open(int dir_fd, const char *path);
void host_file_close(int fd); /* negative: nothing */

/* Reads from the present position to the end. *bytes is from wm_alloc and the caller's to free;
 * untouched on failure. WM_E_LIMIT beyond `limit` bytes. */
WM_MUST_CHECK int host_file_read_all(int fd, uint64_t limit, uint8_t **bytes, size_t *len);
/* Reads exactly as many bytes as asked, from `offset`; -EIO when the file is shorter. */
WM_MUST_CHECK int host_file_read_at(int fd, uint64_t offset, void *out, size_t len);
WM_MUST_CHECK int host_file_write_all(int fd, struct wm_view bytes);

/* Puts `bytes` under `name`, all or nothing: readers see the old file or the new one. With `sync`
 * the content is on the disk before the name is. *fd, where not NULL, becomes a descriptor open
 * for reading of the very file that was written. */
WM_MUST_CHECK int host_file_replace(int dir_fd, const char *name, struct wm_view bytes, mode_t mode,
                                    bool sync, int *fd);
/* The same, but -EEXIST where `name` exists. */
WM_MUST_CHECK int host_file_create(int dir_fd, const char *name, struct wm_view bytes, mode_t mode,
                                   bool sync, int *fd);

/* Now, on the clock of file times. */
int64_t host_realtime_ns(void);
int64_t host_monotonic_ns(void);

#endif
