/* perfmap.c: appending to /tmp/perf-PID.map.
 *
 * /tmp is everybody's, so the file is opened without following links, must be a regular file of
 * ours, and is written by appending whole blocks. */
#include "wasm/perfmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"

#define LINE_BYTES 200u

static int append(int fd, const char *text, size_t len, struct wm_diag *diag)
{
    while (len > 0) {
        errno = EIO;
        ssize_t done = wm_fault_here(WM_FAULT_IO) ? -1 : write(fd, text, len);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            int rc = done < 0 ? -errno : -EIO;
            return wm_diag_set(diag, rc, "perf map: writing: %s", strerror(-rc));
        }
        text += done;
        len -= (size_t)done;
    }
    return 0;
}

static size_t line_of(const struct wasm_object *object, uint64_t idx, char line[LINE_BYTES])
{
    const struct wasm_object_func *func = &object->at.FUNCS[idx];
    struct wm_view view = wasm_object_view(object, func->name);
    char name[128];
    if (view.len) {
        wm_diag_quote(name, sizeof name, view.ptr, view.len);
    } else {
        snprintf(name, sizeof name, "func[%llu]", (unsigned long long)idx);
    }
    int len = snprintf(line, LINE_BYTES, "%llx %x wasm:%s\n",
                       (unsigned long long)(uintptr_t)(object->text + func->code_offset),
                       func->code_len, name);
    return len < 0 ? 0 : (size_t)len;
}

int wasm_perfmap_add(const struct wasm_object *object, struct wm_diag *diag)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    errno = EIO;
    int fd = wm_fault_here(WM_FAULT_IO)
                 ? -1
                 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        int rc = -errno;
        return wm_diag_set(diag, rc, "perf map: %s: %s", path, strerror(-rc));
    }
    struct stat stat;
    int rc = 0;
    enum { BLOCK_BYTES = 65536 };
    char *block = wm_alloc(BLOCK_BYTES);
    if (!block) {
        rc = wm_diag_set(diag, -ENOMEM, "perf map: %s", wm_error_text(-ENOMEM));
    } else if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) || stat.st_uid != geteuid()) {
        rc = wm_diag_set(diag, WM_E_DENIED, "perf map: %s is not a file of ours; remove it", path);
    }
    size_t used = 0;
    for (uint64_t i = object->header->imported_funcs;
         rc == 0 && i < WASM_OBJECT_COUNT(object, FUNCS); i++) {
        if (used + LINE_BYTES > BLOCK_BYTES) {
            rc = append(fd, block, used, diag);
            used = 0;
        }
        if (rc == 0) {
            used += line_of(object, i, block + used);
        }
    }
    if (rc == 0 && used > 0) {
        rc = append(fd, block, used, diag);
    }
    wm_free(block);
    close(fd);
    return rc;
}
