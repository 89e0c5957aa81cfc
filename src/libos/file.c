/* Open files: the checks that every driver would otherwise have to make, then the driver. */
#include "libos/file.h"

#include "base/arith.h"
#include "base/assert.h"

void libos_file_init(struct libos_file *file, struct libos *os, const struct libos_file_ops *ops,
                     enum libos_kind kind, uint32_t flags)
{
    WM_ASSERT(ops->close && ops->stat && (ops->dir != NULL) == (kind == LIBOS_KIND_DIR));
    *file = (struct libos_file){
        .ops = ops,
        .os = os,
        .refs = 1,
        .flags = flags & (LIBOS_READ | LIBOS_WRITE | LIBOS_STATUS_FLAGS),
        .kind = kind,
    };
}

struct libos_file *libos_file_get(struct libos_file *file)
{
    WM_ASSERT(file->refs > 0 && file->refs < UINT32_MAX);
    file->refs++;
    return file;
}

void libos_file_put(struct libos_file *file)
{
    if (!file) {
        return;
    }
    WM_ASSERT(file->refs > 0);
    if (--file->refs == 0) {
        file->ops->close(file);
    }
}

/* The total must be expressible as a result: on 32-bit machines too, so at most PTRDIFF_MAX. */
static int check_iov(const struct libos_iov *iov, size_t count)
{
    size_t total = 0;
    if (count > LIBOS_IOV_MAX) {
        return -LIBOS_EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        if (!wm_add_size(total, iov[i].len, &total) || total > PTRDIFF_MAX) {
            return -LIBOS_EINVAL;
        }
    }
    return 0;
}

static int check_io(const struct libos_file *file, uint32_t mode, const struct libos_iov *iov,
                    size_t count)
{
    if (!(file->flags & mode)) {
        return file->kind == LIBOS_KIND_DIR ? -LIBOS_EISDIR : -LIBOS_EBADF;
    }
    if (file->kind == LIBOS_KIND_DIR) {
        return -LIBOS_EISDIR;
    }
    return check_iov(iov, count);
}

int64_t libos_file_read(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    int rc = check_io(file, LIBOS_READ, iov, count);
    if (rc != 0) {
        return rc;
    }
    return file->ops->read ? file->ops->read(file, iov, count) : -LIBOS_EINVAL;
}

int64_t libos_file_write(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    int rc = check_io(file, LIBOS_WRITE, iov, count);
    if (rc != 0) {
        return rc;
    }
    return file->ops->write ? file->ops->write(file, iov, count) : -LIBOS_EINVAL;
}

int64_t libos_file_pread(struct libos_file *file, const struct libos_iov *iov, size_t count,
                         uint64_t offset)
{
    int rc = check_io(file, LIBOS_READ, iov, count);
    if (rc != 0) {
        return rc;
    }
    if (!file->ops->pread) {
        return -LIBOS_ESPIPE;
    }
    return offset > INT64_MAX ? -LIBOS_EINVAL : file->ops->pread(file, iov, count, offset);
}

int64_t libos_file_pwrite(struct libos_file *file, const struct libos_iov *iov, size_t count,
                          uint64_t offset)
{
    int rc = check_io(file, LIBOS_WRITE, iov, count);
    if (rc != 0) {
        return rc;
    }
    if (!file->ops->pwrite) {
        return -LIBOS_ESPIPE;
    }
    return offset > INT64_MAX ? -LIBOS_EINVAL : file->ops->pwrite(file, iov, count, offset);
}

int64_t libos_file_seek(struct libos_file *file, int64_t offset, unsigned whence)
{
    if (whence > LIBOS_SEEK_END) {
        return -LIBOS_EINVAL;
    }
    if (!file->ops->seek) {
        return file->kind == LIBOS_KIND_DIR ? -LIBOS_EISDIR : -LIBOS_ESPIPE;
    }
    return file->ops->seek(file, offset, (enum libos_whence)whence);
}

int libos_file_stat(struct libos_file *file, struct libos_stat *out)
{
    return file->ops->stat(file, out);
}

int libos_file_set_times(struct libos_file *file, const struct libos_times *times)
{
    return file->ops->set_times ? file->ops->set_times(file, times) : -LIBOS_EINVAL;
}

int libos_file_truncate(struct libos_file *file, uint64_t bytes)
{
    if (file->kind == LIBOS_KIND_DIR || !(file->flags & LIBOS_WRITE) || !file->ops->truncate ||
        bytes > INT64_MAX) {
        return -LIBOS_EINVAL;
    }
    return file->ops->truncate(file, bytes);
}

int libos_file_allocate(struct libos_file *file, uint64_t offset, uint64_t len)
{
    uint64_t end;
    if (!(file->flags & LIBOS_WRITE)) {
        return -LIBOS_EBADF;
    }
    if (len == 0) {
        return -LIBOS_EINVAL;
    }
    if (!wm_add_u64(offset, len, &end) || end > INT64_MAX) {
        return -LIBOS_EFBIG;
    }
    return file->ops->allocate ? file->ops->allocate(file, offset, len) : -LIBOS_EOPNOTSUPP;
}

int libos_file_advise(struct libos_file *file, uint64_t offset, uint64_t len, unsigned advice)
{
    if (advice > LIBOS_ADVICE_NOREUSE || offset > INT64_MAX || len > INT64_MAX) {
        return -LIBOS_EINVAL;
    }
    if (file->kind == LIBOS_KIND_PIPE || file->kind == LIBOS_KIND_SOCKET_STREAM) {
        return -LIBOS_ESPIPE;
    }
    return file->ops->advise ? file->ops->advise(file, offset, len, (enum libos_advice)advice) : 0;
}

int libos_file_sync(struct libos_file *file, bool data_only)
{
    return file->ops->sync ? file->ops->sync(file, data_only) : 0;
}

int libos_file_set_flags(struct libos_file *file, uint32_t status_flags)
{
    if (status_flags & ~LIBOS_STATUS_FLAGS) {
        return -LIBOS_EINVAL;
    }
    int rc = file->ops->set_flags ? file->ops->set_flags(file, status_flags) : 0;
    if (rc == 0) {
        file->flags = (file->flags & ~LIBOS_STATUS_FLAGS) | status_flags;
    }
    return rc;
}

uint64_t libos_file_readable_bytes(struct libos_file *file)
{
    return file->ops->readable_bytes ? file->ops->readable_bytes(file) : 0;
}

/* Below: the tree under a directory. */

static int check_path(const struct libos_file *dir, const char *path)
{
    if (!dir->ops->dir) {
        return -LIBOS_ENOTDIR;
    }
    if (path[0] == '\0') {
        return -LIBOS_ENOENT;
    }
    /* Said here once, though each driver holds it too: absolute is outside. */
    if (path[0] == '/') {
        return -LIBOS_EESCAPE;
    }
    return __builtin_strlen(path) < LIBOS_PATH_MAX ? 0 : -LIBOS_ENAMETOOLONG;
}

int libos_open(struct libos_file *dir, const char *path, uint32_t flags, struct libos_file **out)
{
    int rc = check_path(dir, path);
    if (rc != 0) {
        return rc;
    }
    if ((flags & (LIBOS_CREATE | LIBOS_DIRECTORY)) == (LIBOS_CREATE | LIBOS_DIRECTORY)) {
        return -LIBOS_EINVAL;
    }
    return dir->ops->dir->open(dir, path, flags, out);
}

int libos_stat(struct libos_file *dir, const char *path, bool follow, struct libos_stat *out)
{
    int rc = check_path(dir, path);
    return rc != 0 ? rc : dir->ops->dir->stat(dir, path, follow, out);
}

int libos_set_times(struct libos_file *dir, const char *path, bool follow,
                    const struct libos_times *times)
{
    int rc = check_path(dir, path);
    return rc != 0 ? rc : dir->ops->dir->set_times(dir, path, follow, times);
}

int libos_mkdir(struct libos_file *dir, const char *path)
{
    int rc = check_path(dir, path);
    return rc != 0 ? rc : dir->ops->dir->mkdir(dir, path);
}

int libos_remove(struct libos_file *dir, const char *path, bool is_dir)
{
    int rc = check_path(dir, path);
    return rc != 0 ? rc : dir->ops->dir->remove(dir, path, is_dir);
}

static int check_two(const struct libos_file *dir, const char *path,
                     const struct libos_file *new_dir, const char *new_path)
{
    int rc = check_path(dir, path);
    if (rc == 0) {
        rc = check_path(new_dir, new_path);
    }
    return rc == 0 && dir->ops->dir != new_dir->ops->dir ? -LIBOS_EXDEV : rc;
}

int libos_rename(struct libos_file *dir, const char *path, struct libos_file *new_dir,
                 const char *new_path)
{
    int rc = check_two(dir, path, new_dir, new_path);
    return rc != 0 ? rc : dir->ops->dir->rename(dir, path, new_dir, new_path);
}

int libos_link(struct libos_file *dir, const char *path, struct libos_file *new_dir,
               const char *new_path)
{
    int rc = check_two(dir, path, new_dir, new_path);
    return rc != 0 ? rc : dir->ops->dir->link(dir, path, new_dir, new_path);
}

int libos_symlink(struct libos_file *dir, const char *target, const char *path)
{
    int rc = check_path(dir, path);
    if (rc != 0) {
        return rc;
    }
    if (target[0] == '\0') {
        return -LIBOS_ENOENT;
    }
    if (__builtin_strlen(target) >= LIBOS_PATH_MAX) {
        return -LIBOS_ENAMETOOLONG;
    }
    return dir->ops->dir->symlink(dir, target, path);
}

int64_t libos_readlink(struct libos_file *dir, const char *path, char *out, size_t out_bytes)
{
    int rc = check_path(dir, path);
    return rc != 0 ? rc : dir->ops->dir->readlink(dir, path, out, out_bytes);
}

int libos_readdir(struct libos_file *dir, uint64_t cookie, libos_dirent_fn *emit, void *arg)
{
    return dir->ops->dir ? dir->ops->dir->readdir(dir, cookie, emit, arg) : -LIBOS_ENOTDIR;
}

/* Sockets. */

int libos_accept(struct libos_file *file, uint32_t flags, struct libos_file **out)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    return file->ops->socket->accept ? file->ops->socket->accept(file, flags, out) : -LIBOS_EINVAL;
}

int64_t libos_recv(struct libos_file *file, const struct libos_iov *iov, size_t count,
                   uint32_t flags, bool *truncated)
{
    *truncated = false;
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    if (!file->ops->socket->recv) {
        return -LIBOS_ENOTCONN;
    }
    int rc = check_iov(iov, count);
    return rc != 0 ? rc : file->ops->socket->recv(file, iov, count, flags, truncated);
}

int64_t libos_send(struct libos_file *file, const struct libos_iov *iov, size_t count)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    if (!file->ops->socket->send) {
        return -LIBOS_ENOTCONN;
    }
    int rc = check_iov(iov, count);
    return rc != 0 ? rc : file->ops->socket->send(file, iov, count);
}

int libos_shutdown(struct libos_file *file, bool reading, bool writing)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    if (!reading && !writing) {
        return -LIBOS_EINVAL;
    }
    if (!file->ops->socket->shutdown) {
        return -LIBOS_ENOTCONN;
    }
    return file->ops->socket->shutdown(file, reading, writing);
}

int libos_connect(struct libos_file *file, const struct libos_address *to)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    if (to->family != LIBOS_INET && to->family != LIBOS_INET6) {
        return -LIBOS_EAFNOSUPPORT;
    }
    return file->ops->socket->connect ? file->ops->socket->connect(file, to) : -LIBOS_EISCONN;
}

int libos_socket_name(struct libos_file *file, bool peer, struct libos_address *out)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    return file->ops->socket->name ? file->ops->socket->name(file, peer, out) : -LIBOS_EOPNOTSUPP;
}

int libos_get_option(struct libos_file *file, unsigned option, uint64_t *out)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    return option < LIBOS_SO_OPTIONS && file->ops->socket->get_option
               ? file->ops->socket->get_option(file, (enum libos_socket_option)option, out)
               : -LIBOS_ENOPROTOOPT;
}

int libos_set_option(struct libos_file *file, unsigned option, uint64_t value)
{
    if (!file->ops->socket) {
        return -LIBOS_ENOTSOCK;
    }
    return option < LIBOS_SO_OPTIONS && option != LIBOS_SO_ERROR && file->ops->socket->set_option
               ? file->ops->socket->set_option(file, (enum libos_socket_option)option, value)
               : -LIBOS_ENOPROTOOPT;
}
