/* Functions on paths beneath a directory. */
#include "wasi/call.h"

/* A directory with a right, and a path for it. */
static int take_at(struct wasi_call *call, uint32_t number, uint64_t rights, uint32_t path_at,
                   uint32_t path_len, unsigned which, struct libos_fd **dir)
{
    int rc = wasi_fd(call, number, rights, dir);
    return rc == WASI_SUCCESS ? wasi_take_path(call, path_at, path_len, which) : rc;
}

int wasi_path_create_directory(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    int rc = take_at(call, args[0].i32, WASI_RIGHT_PATH_CREATE_DIRECTORY, args[1].i32, args[2].i32,
                     0, &dir);
    return rc != WASI_SUCCESS ? rc : libos_mkdir(dir->file, call->wasi->scratch->path[0]);
}

int wasi_path_remove_directory(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    int rc = take_at(call, args[0].i32, WASI_RIGHT_PATH_REMOVE_DIRECTORY, args[1].i32, args[2].i32,
                     0, &dir);
    return rc != WASI_SUCCESS ? rc : libos_remove(dir->file, call->wasi->scratch->path[0], true);
}

int wasi_path_unlink_file(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    int rc =
        take_at(call, args[0].i32, WASI_RIGHT_PATH_UNLINK_FILE, args[1].i32, args[2].i32, 0, &dir);
    return rc != WASI_SUCCESS ? rc : libos_remove(dir->file, call->wasi->scratch->path[0], false);
}

int wasi_path_filestat_get(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    struct libos_stat stat;
    uint8_t *out;
    int rc =
        take_at(call, args[0].i32, WASI_RIGHT_PATH_FILESTAT_GET, args[2].i32, args[3].i32, 0, &dir);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[4].i32, WASI_FILESTAT_BYTES, &out);
    }
    if (rc == WASI_SUCCESS) {
        rc = libos_stat(dir->file, call->wasi->scratch->path[0],
                        args[1].i32 & WASI_LOOKUP_SYMLINK_FOLLOW, &stat);
    }
    if (rc == WASI_SUCCESS) {
        wasi_put_filestat(out, &stat);
    }
    return rc;
}

int wasi_path_filestat_set_times(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    struct libos_times times;
    int rc = take_at(call, args[0].i32, WASI_RIGHT_PATH_FILESTAT_SET_TIMES, args[2].i32,
                     args[3].i32, 0, &dir);
    if (rc == WASI_SUCCESS) {
        rc = wasi_times(args[4].i64, args[5].i64, args[6].i32, &times);
    }
    return rc != WASI_SUCCESS ? rc
                              : libos_set_times(dir->file, call->wasi->scratch->path[0],
                                                args[1].i32 & WASI_LOOKUP_SYMLINK_FOLLOW, &times);
}

int wasi_path_link(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir, *new_dir;
    int rc =
        take_at(call, args[0].i32, WASI_RIGHT_PATH_LINK_SOURCE, args[2].i32, args[3].i32, 0, &dir);
    if (rc == WASI_SUCCESS) {
        rc = take_at(call, args[4].i32, WASI_RIGHT_PATH_LINK_TARGET, args[5].i32, args[6].i32, 1,
                     &new_dir);
    }
    if (rc == WASI_SUCCESS && (args[1].i32 & WASI_LOOKUP_SYMLINK_FOLLOW)) {
        rc = WASI_INVAL;
    }
    return rc != WASI_SUCCESS ? rc
                              : libos_link(dir->file, call->wasi->scratch->path[0], new_dir->file,
                                           call->wasi->scratch->path[1]);
}

int wasi_path_rename(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir, *new_dir;
    int rc = take_at(call, args[0].i32, WASI_RIGHT_PATH_RENAME_SOURCE, args[1].i32, args[2].i32, 0,
                     &dir);
    if (rc == WASI_SUCCESS) {
        rc = take_at(call, args[3].i32, WASI_RIGHT_PATH_RENAME_TARGET, args[4].i32, args[5].i32, 1,
                     &new_dir);
    }
    return rc != WASI_SUCCESS ? rc
                              : libos_rename(dir->file, call->wasi->scratch->path[0], new_dir->file,
                                             call->wasi->scratch->path[1]);
}

int wasi_path_symlink(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    int rc = wasi_take_path(call, args[0].i32, args[1].i32, 0);
    if (rc == WASI_SUCCESS) {
        rc = take_at(call, args[2].i32, WASI_RIGHT_PATH_SYMLINK, args[3].i32, args[4].i32, 1, &dir);
    }
    return rc != WASI_SUCCESS ? rc
                              : libos_symlink(dir->file, call->wasi->scratch->path[0],
                                              call->wasi->scratch->path[1]);
}

int wasi_path_readlink(struct wasi_call *call, const union wasm_value *args)
{
    struct libos_fd *dir;
    uint8_t *out, *used;
    int rc =
        take_at(call, args[0].i32, WASI_RIGHT_PATH_READLINK, args[1].i32, args[2].i32, 0, &dir);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[3].i32, args[4].i32, &out);
    }
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[5].i32, 4, &used);
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    int64_t len = libos_readlink(dir->file, call->wasi->scratch->path[0], (char *)out, args[4].i32);
    if (len < 0) {
        return (int)len;
    }
    wasi_put_u32(used, len < args[4].i32 ? (uint32_t)len : args[4].i32);
    return WASI_SUCCESS;
}

#define READING (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_READDIR)
#define WRITING                                                              \
    (WASI_RIGHT_FD_DATASYNC | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_ALLOCATE | \
     WASI_RIGHT_FD_FILESTAT_SET_SIZE)

/* Rights decide how the file is opened: WASI has no O_RDONLY and O_WRONLY. */
static uint32_t open_flags(uint32_t lookup, uint32_t oflags, uint64_t base, uint32_t fdflags)
{
    uint32_t flags = wasi_status_flags(fdflags);
    flags |= lookup & WASI_LOOKUP_SYMLINK_FOLLOW ? 0 : LIBOS_NOFOLLOW;
    flags |= oflags & WASI_OFLAG_CREAT ? LIBOS_CREATE : 0;
    flags |= oflags & WASI_OFLAG_EXCL ? LIBOS_EXCLUSIVE : 0;
    flags |= oflags & WASI_OFLAG_TRUNC ? LIBOS_TRUNCATE : 0;
    if (oflags & WASI_OFLAG_DIRECTORY) {
        /* Programs ask for all rights here; a directory is never opened for writing. */
        return flags | LIBOS_DIRECTORY | LIBOS_READ;
    }
    flags |= base & READING ? LIBOS_READ : 0;
    flags |= base & WRITING ? LIBOS_WRITE : 0;
    return flags;
}

int wasi_path_open(struct wasi_call *call, const union wasm_value *args)
{
    struct wasi *wasi = call->wasi;
    struct libos_fd *dir;
    uint32_t oflags = args[4].i32, fdflags = args[7].i32;
    /* Bits without a meaning are no rights: some toolchains ask for all 64. */
    uint64_t base = args[5].i64 & WASI_RIGHTS_ALL;
    uint64_t inheriting = args[6].i64 & WASI_RIGHTS_ALL;
    uint64_t needed = WASI_RIGHT_PATH_OPEN;
    uint8_t *out;
    needed |= oflags & WASI_OFLAG_CREAT ? WASI_RIGHT_PATH_CREATE_FILE : 0;
    needed |= oflags & WASI_OFLAG_TRUNC ? WASI_RIGHT_PATH_FILESTAT_SET_SIZE : 0;
    int rc = take_at(call, args[0].i32, needed, args[2].i32, args[3].i32, 0, &dir);
    if (rc == WASI_SUCCESS) {
        rc = wasi_window(call, args[8].i32, 4, &out);
    }
    if (rc == WASI_SUCCESS && ((oflags & ~WASI_OFLAGS_ALL) || (fdflags & ~WASI_FDFLAGS_ALL))) {
        rc = WASI_INVAL;
    }
    if (rc != WASI_SUCCESS) {
        return rc;
    }
    uint64_t sync = fdflags & WASI_FDFLAG_DSYNC ? WASI_RIGHT_FD_DATASYNC : 0;
    sync |= fdflags & (WASI_FDFLAG_SYNC | WASI_FDFLAG_RSYNC) ? WASI_RIGHT_FD_SYNC : 0;
    if ((base | inheriting | sync) & ~dir->words[1]) {
        return WASI_NOTCAPABLE;
    }
    /* Before a file is created that there is no number for. */
    if (wasi->fds.open_count >= wasi->fds.limit) {
        return WASI_MFILE;
    }
    struct libos_fd fd = {0};
    rc = libos_open(dir->file, wasi->scratch->path[0],
                    open_flags(args[1].i32, oflags, base, fdflags), &fd.file);
    if (rc != 0) {
        return rc;
    }
    wasi_rights_of(fd.file, &fd.words[0], &fd.words[1]);
    fd.words[0] &= base;
    fd.words[1] &= inheriting;
    int64_t number = libos_fds_insert(&wasi->fds, &fd);
    if (number < 0) {
        libos_file_put(fd.file);
        return (int)number;
    }
    wasi_put_u32(out, (uint32_t)number);
    return WASI_SUCCESS;
}
