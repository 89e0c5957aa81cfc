/* Functions on descriptors. */
#include "wasi/call.h"
#include "wasm/suspend.h"

int wasi_fd_advise(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_ADVISE, &fd);
    return rc != WASI_SUCCESS ? rc
                              : libos_file_advise(fd->file, args[1].i64, args[2].i64, args[3].i32);
}

int wasi_fd_allocate(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_ALLOCATE, &fd);
    return rc != WASI_SUCCESS ? rc : libos_file_allocate(fd->file, args[1].i64, args[2].i64);
}

int wasi_fd_close(struct wasi_call *call, const union wasm_value *args)
{
    return libos_fds_close(&call->wasi->fds, args[0].i32);
}

int wasi_fd_datasync(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_DATASYNC, &fd);
    return rc != WASI_SUCCESS ? rc : libos_file_sync(fd->file, true);
}

int wasi_fd_sync(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_SYNC, &fd);
    return rc != WASI_SUCCESS ? rc : libos_file_sync(fd->file, false);
}

int wasi_fd_fdstat_get(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *out;
    int rc = wasi_fd(call, args[0].i32, 0, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[1].i32, WASI_FDSTAT_BYTES, &out);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    uint32_t flags = 0;
    flags |= fd->file->flags & LIBOS_APPEND ? WASI_FDFLAG_APPEND : 0;
    flags |= fd->file->flags & LIBOS_NONBLOCK ? WASI_FDFLAG_NONBLOCK : 0;
    flags |= fd->file->flags & LIBOS_DSYNC ? WASI_FDFLAG_DSYNC : 0;
    flags |= fd->file->flags & LIBOS_SYNC ? WASI_FDFLAG_SYNC | WASI_FDFLAG_RSYNC : 0;
    __builtin_memset(out, 0, WASI_FDSTAT_BYTES);
    out[0] = (uint8_t)wasi_filetype_of(fd->file->kind);
    wasi_put_u16(out + 2, (uint16_t)flags);
    wasi_put_u64(out + 8, fd->words[0]);
    wasi_put_u64(out + 16, fd->words[1]);
    return WASI_SUCCESS;
}

int wasi_fd_fdstat_set_flags(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_FDSTAT_SET_FLAGS, &fd);
    if (rc == WASI_SUCCESS && (args[1].i32 & ~WASI_FDFLAGS_ALL)) {
        rc = WASI_INVAL;
    }
    call->wasi->fds.changes++;
    return rc != WASI_SUCCESS ? rc : libos_file_set_flags(fd->file, wasi_status_flags(args[1].i32));
}

/* Rights only ever shrink. */
int wasi_fd_fdstat_set_rights(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, 0, &fd);
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    if ((args[1].i64 & ~fd->words[0]) || (args[2].i64 & ~fd->words[1])) {
        return WASI_NOTCAPABLE;
    }
    fd->words[0] = args[1].i64;
    fd->words[1] = args[2].i64;
    call->wasi->fds.changes++;
    return WASI_SUCCESS;
}

int wasi_fd_filestat_get(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    struct libos_stat stat;
    uint8_t *out;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_FILESTAT_GET, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[1].i32, WASI_FILESTAT_BYTES, &out);
    }
    if (rc == WASI_SUCCESS) {
        rc = libos_file_stat(fd->file, &stat);
    }
    if (rc == WASI_SUCCESS) {
        wasi_put_filestat(out, &stat);
    }
    return rc;
}

int wasi_fd_filestat_set_size(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_FILESTAT_SET_SIZE, &fd);
    return rc != WASI_SUCCESS ? rc : libos_file_truncate(fd->file, args[1].i64);
}

int wasi_fd_filestat_set_times(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    struct libos_times times;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_FILESTAT_SET_TIMES, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_times(args[1].i64, args[2].i64, args[3].i32, &times);
    }
    return rc != WASI_SUCCESS ? rc : libos_file_set_times(fd->file, &times);
}

/* Reading and writing: descriptor, buffers and the place for the count are all proved first. */
static int take_transfer(struct wasi_call *call, uint32_t number, uint64_t rights, uint32_t iov_at,
                         uint32_t iov_count, uint32_t done_at, struct libos_fd **fd, uint8_t **done)
{
    int rc = wasi_fd(call, number, rights, fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_take_iov(call, iov_at, iov_count,
                           rights & WASI_RIGHT_FD_READ ? WASI_INTO_GUEST : WASI_FROM_GUEST);
    }
    return rc == WASI_SUCCESS ? wasi_window(call, done_at, 4, done) : rc;
}

static int put_done(int64_t moved, uint8_t *done)
{
    if (moved < 0) {
        return (int)moved;
    }
    wasi_put_u32(done, (uint32_t)moved);
    return WASI_SUCCESS;
}

int wasi_fd_read(struct wasi_call *call, const union wasm_value *args)
{
    struct wasi *wasi = call->wasi;
    struct libos_fd *fd;
    uint8_t *done;
    int rc = take_transfer(call, args[0].i32, WASI_RIGHT_FD_READ, args[1].i32, args[2].i32,
                           args[3].i32, &fd, &done);
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    if (fd->file == wasi->suspend_at) {
        call->trap = wasm_suspend_here(call->caller);
        if (call->trap != WASM_TRAP_NONE) {
            return WASI_SUCCESS;
        }
    }
    return put_done(libos_file_read(fd->file, wasi->scratch->iov, args[2].i32), done);
}

int wasi_fd_write(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *done;
    int rc = take_transfer(call, args[0].i32, WASI_RIGHT_FD_WRITE, args[1].i32, args[2].i32,
                           args[3].i32, &fd, &done);
    return rc != WASI_SUCCESS
               ? rc
               : put_done(libos_file_write(fd->file, call->wasi->scratch->iov, args[2].i32), done);
}

int wasi_fd_pread(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *done;
    int rc = take_transfer(call, args[0].i32, WASI_RIGHT_FD_READ | WASI_RIGHT_FD_SEEK, args[1].i32,
                           args[2].i32, args[4].i32, &fd, &done);
    return rc != WASI_SUCCESS ? rc
                              : put_done(libos_file_pread(fd->file, call->wasi->scratch->iov,
                                                          args[2].i32, args[3].i64),
                                         done);
}

int wasi_fd_pwrite(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *done;
    int rc = take_transfer(call, args[0].i32, WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_SEEK, args[1].i32,
                           args[2].i32, args[4].i32, &fd, &done);
    return rc != WASI_SUCCESS ? rc
                              : put_done(libos_file_pwrite(fd->file, call->wasi->scratch->iov,
                                                           args[2].i32, args[3].i64),
                                         done);
}

static int seek(struct wasi_call *call, uint32_t number, uint64_t right, int64_t offset,
                uint32_t whence, uint32_t out_at)
{
    struct libos_fd *fd;
    uint8_t *out;
    int rc = wasi_fd(call, number, right, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, out_at, 8, &out);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    int64_t at = libos_file_seek(fd->file, offset, whence); /* both number SET, CUR, END alike */
    if (at < 0) {
        return (int)at;
    }
    wasi_put_u64(out, (uint64_t)at);
    return WASI_SUCCESS;
}

int wasi_fd_seek(struct wasi_call *call, const union wasm_value *args)
{
    bool only_tells = args[1].i64 == 0 && args[2].i32 == LIBOS_SEEK_CUR;
    return seek(call, args[0].i32, only_tells ? WASI_RIGHT_FD_TELL : WASI_RIGHT_FD_SEEK,
                (int64_t)args[1].i64, args[2].i32, args[3].i32);
}

int wasi_fd_tell(struct wasi_call *call, const union wasm_value *args)
{
    return seek(call, args[0].i32, WASI_RIGHT_FD_TELL, 0, LIBOS_SEEK_CUR, args[1].i32);
}

int wasi_fd_prestat_get(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *out;
    int rc = wasi_fd(call, args[0].i32, 0, &fd);
    if (rc == WASI_SUCCESS && !fd->label) {
        rc = WASI_BADF; /* what wasi-libc takes as the end of the pre-opened directories */
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[1].i32, WASI_PRESTAT_BYTES, &out);
    }
    if (rc == WASI_SUCCESS) {
        __builtin_memset(out, 0, WASI_PRESTAT_BYTES);
        wasi_put_u32(out + 4, (uint32_t)__builtin_strlen(fd->label));
    }
    return rc;
}

int wasi_fd_prestat_dir_name(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    uint8_t *out;
    int rc = wasi_fd(call, args[0].i32, 0, &fd);
    if (rc == WASI_SUCCESS && !fd->label) {
        rc = WASI_BADF;
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    uint32_t len = (uint32_t)__builtin_strlen(fd->label);
    if (args[2].i32 < len) {
        return WASI_NAMETOOLONG;
    }
    rc = wasi_window(call, args[1].i32, len, &out);
    if (rc == WASI_SUCCESS) {
        __builtin_memcpy(out, fd->label, len);
    }
    return rc;
}

/* Moves `from` to `to`. Both must be open: with descriptors given lowest first, a number that is
 * free could be given to somebody else meanwhile, says the specification. */
int wasi_fd_renumber(struct wasi_call *call, const union wasm_value *args)
{
    return libos_fds_renumber(&call->wasi->fds, args[0].i32, args[1].i32);
}

struct listing {
    uint8_t *out;
    uint32_t room;
    uint32_t used;
};

static void add_bytes(struct listing *listing, const void *bytes, uint32_t len)
{
    uint32_t left = listing->room - listing->used;
    uint32_t part = len < left ? len : left;
    __builtin_memcpy(listing->out + listing->used, bytes, part);
    listing->used += part;
}

/* The last entry is cut where the buffer ends: a full buffer tells the guest that there may be
 * more, and it asks again from the last whole one. */
static bool add_entry(void *arg, const struct libos_dirent *entry)
{
    struct listing *listing = arg;
    uint8_t head[WASI_DIRENT_BYTES] = {0};
    wasi_put_u64(head, entry->next);
    wasi_put_u64(head + 8, entry->ino);
    wasi_put_u32(head + 16, entry->name_len);
    head[20] = (uint8_t)wasi_filetype_of(entry->kind);
    add_bytes(listing, head, sizeof head);
    add_bytes(listing, entry->name, entry->name_len);
    return listing->used < listing->room;
}

int wasi_fd_readdir(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *fd;
    struct listing listing = {.room = args[2].i32};
    uint8_t *used;
    int rc = wasi_fd(call, args[0].i32, WASI_RIGHT_FD_READDIR, &fd);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[1].i32, listing.room, &listing.out);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[4].i32, 4, &used);
    }
    if (rc == WASI_SUCCESS && listing.room > 0) {
        rc = libos_readdir(fd->file, args[3].i64, add_entry, &listing);
    }
    if (rc == WASI_SUCCESS) {
        wasi_put_u32(used, listing.used);
    }
    return rc;
}
