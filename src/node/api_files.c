/* Read-global files of a tenant: DATA/files/TENANT/. The kernel keeps paths inside (openat2). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "host/file.h"
#include "node/api.h"
#include "node/jsonx.h"

#define PATH_BYTES_MAX 1024u
#define ENTRIES_MAX 10000u

struct file {
    char tenant[CATALOGUE_NAME_BYTES_MAX + 1];
    char path[PATH_BYTES_MAX + 1];
    int fd; /* of what was asked for; -1: none */
    uint64_t bytes;
    json_t *list;
};

static void file_free(void *data)
{
    struct file *file = data;
    host_file_close(file->fd);
    json_decref(file->list);
    wm_free(file);
}

/* No empty segments, no dots alone, no control characters. */
static bool path_ok(const char *path)
{
    for (const char *at = path; *at;) {
        size_t len = strcspn(at, "/");
        if (len == 0 || len > 255 || (len <= 2 && strncmp(at, "..", len) == 0)) {
            return false;
        }
        for (size_t i = 0; i < len; i++) {
            if ((unsigned char)at[i] < 0x20 || at[i] == 0x7f) {
                return false;
            }
        }
        at += len;
        if (*at == '/' && !*++at) {
            return false;
        }
    }
    return strlen(path) <= PATH_BYTES_MAX;
}

static struct file *begin(struct http_request *request, bool may_be_root)
{
    const char *path = request->args[0];
    if (!api_need_tenant(request)) {
        return NULL;
    }
    if (!path_ok(path) || (!*path && !may_be_root)) {
        http_error(request, 400, NULL,
                   "a path has no empty segments, no dots alone, and at most %u bytes",
                   PATH_BYTES_MAX);
        return NULL;
    }
    struct file *file = wm_alloc_zero(1, sizeof *file);
    if (!file) {
        http_error(request, 503, NULL, "no memory");
        return NULL;
    }
    file->fd = -1;
    memcpy(file->tenant, request->tenant, strlen(request->tenant) + 1);
    memcpy(file->path, path, strlen(path) + 1);
    request->data = file;
    request->data_free = file_free;
    return file;
}

static int open_beneath(int dir_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NONBLOCK),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

/* The tenant's folder, made where `make`. */
static int open_root(const struct node *node, const struct file *file, bool make)
{
    char path[sizeof NODE_FILES + CATALOGUE_NAME_BYTES_MAX + 1];
    (void)snprintf(path, sizeof path, NODE_FILES "/%s", file->tenant);
    if (make && mkdirat(node->dir_fd, path, 0700) != 0 && errno != EEXIST) {
        return -errno;
    }
    return open_beneath(node->dir_fd, path, O_RDONLY | O_DIRECTORY);
}

/* The folder that holds the file, its own name cut off into *name. */
static int open_parent(const struct node *node, struct file *file, bool make, const char **name)
{
    int dir = open_root(node, file, make);
    char *at = file->path;
    for (char *slash; dir >= 0 && (slash = strchr(at, '/'));) {
        *slash = 0;
        if (make && mkdirat(dir, at, 0700) != 0 && errno != EEXIST) {
            int err = -errno;
            (void)close(dir);
            return err;
        }
        int next = open_beneath(dir, at, O_RDONLY | O_DIRECTORY);
        (void)close(dir);
        dir = next;
        *slash = '/';
        at = slash + 1;
    }
    *name = at;
    return dir;
}

static void set_error(struct http_request *request, int err)
{
    const struct file *file = request->data;
    char shown[128];
    wm_diag_quote(shown, sizeof shown, file->path, strlen(file->path));
    if (err == -ENOENT || err == -ENOTDIR || err == -ELOOP || err == -EXDEV) {
        request->err = wm_diag_set(&request->diag, WM_E_NOT_FOUND, "file %s: there is none", shown);
    } else if (err == -ENOTEMPTY || err == -EEXIST || err == -EISDIR) {
        request->err = wm_diag_set(&request->diag, WM_E_BUSY, "file %s: %s", shown,
                                   err == -EISDIR ? "is a folder" : "a folder that is not empty");
    } else {
        request->err = wm_diag_default(&request->diag, err, "file");
    }
}

static int list_folder(struct file *file)
{
    int copy = fcntl(file->fd, F_DUPFD_CLOEXEC, 3);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        int err = -errno;
        host_file_close(copy);
        return err;
    }
    file->list = json_array();
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) && count < ENTRIES_MAX;) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        count++;
        json_t *one = json_pack("{s:o, s:b, s:I}", "name", jsonx_bytes(wm_view_str(entry->d_name)),
                                "folder", S_ISDIR(st.st_mode), "bytes", (json_int_t)st.st_size);
        (void)json_array_append_new(file->list, one);
    }
    (void)closedir(dir);
    return 0;
}

static void run_get(struct http_request *request)
{
    struct file *file = request->data;
    struct stat st;
    int dir = open_root(request->node, file, false);
    int err = dir < 0 ? dir : 0;
    if (!err) {
        file->fd = open_beneath(dir, *file->path ? file->path : ".", O_RDONLY);
        err = file->fd < 0 ? file->fd : fstat(file->fd, &st) != 0 ? -errno : 0;
        (void)close(dir);
    } else if (err == -ENOENT && !*file->path) { /* nothing was written yet */
        file->list = json_array();
        return;
    }
    if (!err && S_ISDIR(st.st_mode)) {
        err = list_folder(file);
    } else if (!err && !S_ISREG(st.st_mode)) {
        err = -ENOENT;
    }
    if (err) {
        set_error(request, err);
        return;
    }
    file->bytes = (uint64_t)st.st_size;
}

static void after_get(struct http_request *request)
{
    struct file *file = request->data;
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else if (file->list) {
        http_answer_json(request, 200, json_pack("{s:O}", "entries", file->list));
    } else {
        struct MHD_Response *response = MHD_create_response_from_fd64(file->bytes, file->fd);
        if (response) {
            file->fd = -1; /* closed with the response */
            (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                          "application/octet-stream");
        }
        request->answer_bytes = file->bytes;
        http_answer(request, 200, response);
    }
}

void api_file_get(struct http_request *request)
{
    if (begin(request, true)) {
        http_work(request, run_get, after_get);
    }
}

/* The body lies in a nameless file of the same file system: it gets its name at once, whole. */
static void run_put(struct http_request *request)
{
    struct file *file = request->data;
    char from[40], temp[48];
    const char *name;
    int dir = open_parent(request->node, file, true, &name);
    int err = dir < 0 ? dir : fsync(request->body_fd) != 0 ? -errno : 0;
    if (!err) {
        uint8_t random[8];
        char hex[17];
        wm_random_bytes(random, sizeof random);
        jsonx_hex(hex, random, sizeof random);
        (void)snprintf(temp, sizeof temp, ".upload-%s", hex);
        (void)snprintf(from, sizeof from, "/proc/self/fd/%d", request->body_fd);
        if (linkat(AT_FDCWD, from, dir, temp, AT_SYMLINK_FOLLOW) != 0) {
            err = -errno;
        } else if (renameat(dir, temp, dir, name) != 0) {
            err = -errno;
            (void)unlinkat(dir, temp, 0);
        } else if (fsync(dir) != 0) {
            err = -errno;
        }
    }
    if (dir >= 0) {
        (void)close(dir);
    }
    if (err) {
        set_error(request, err);
    }
}

static void after_change(struct http_request *request)
{
    if (request->err) {
        http_error_diag(request, request->err, &request->diag);
    } else {
        http_answer_empty(request);
    }
}

void api_file_put(struct http_request *request)
{
    if (begin(request, false)) {
        http_work(request, run_put, after_change);
    }
}

static void run_delete(struct http_request *request)
{
    struct file *file = request->data;
    const char *name;
    int dir = open_parent(request->node, file, false, &name);
    int err = dir < 0 ? dir : 0;
    if (!err && unlinkat(dir, name, 0) != 0) {
        err = -errno;
        if (err == -EISDIR || err == -EPERM) {
            err = unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
        }
    }
    if (!err && fsync(dir) != 0) {
        err = -errno;
    }
    if (dir >= 0) {
        (void)close(dir);
    }
    if (err) {
        set_error(request, err);
    }
}

void api_file_delete(struct http_request *request)
{
    if (begin(request, false)) {
        http_work(request, run_delete, after_change);
    }
}
