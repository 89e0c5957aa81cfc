/* Promise: a descriptor is only what the guest was given or opened itself: numbers that it makes
 * up, has closed or has renumbered away name nothing, and rights only ever shrink. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define DIR 3
static unsigned wrong;

#define WANT(error, call)                                                                      \
    do {                                                                                       \
        int got_ = (call);                                                                     \
        if (got_ != (error)) {                                                                 \
            printf("line %d: %s: errno %d, wanted %d\n", __LINE__, #call, got_, (int)(error)); \
            wrong++;                                                                           \
        }                                                                                      \
    } while (0)
#define REFUSED(call)                                          \
    do {                                                       \
        if ((call) == 0) {                                     \
            printf("line %d: %s: allowed\n", __LINE__, #call); \
            wrong++;                                           \
        }                                                      \
    } while (0)

static void every_call_on(__wasi_fd_t fd)
{
    uint8_t bytes[64];
    __wasi_iovec_t in = {bytes, sizeof bytes};
    __wasi_ciovec_t out = {bytes, sizeof bytes};
    __wasi_size_t n;
    __wasi_fdstat_t stat;
    __wasi_filestat_t file;
    __wasi_prestat_t pre;
    __wasi_filesize_t size;
    __wasi_fd_t opened;
    __wasi_roflags_t flags;
    WANT(__WASI_ERRNO_BADF, __wasi_fd_read(fd, &in, 1, &n));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_write(fd, &out, 1, &n));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_pread(fd, &in, 1, 0, &n));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_pwrite(fd, &out, 1, 0, &n));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_seek(fd, 0, 0, &size));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_tell(fd, &size));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_sync(fd));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_datasync(fd));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_advise(fd, 0, 1, 0));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_allocate(fd, 0, 1));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_fdstat_get(fd, &stat));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_fdstat_set_flags(fd, 0));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_fdstat_set_rights(fd, 0, 0));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_filestat_get(fd, &file));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_filestat_set_size(fd, 0));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_filestat_set_times(fd, 0, 0, 0));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_prestat_get(fd, &pre));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_prestat_dir_name(fd, bytes, sizeof bytes));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_readdir(fd, bytes, sizeof bytes, 0, &n));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_renumber(fd, DIR));
    WANT(__WASI_ERRNO_BADF, __wasi_path_open(fd, 0, "inside", 0, 0, 0, 0, &opened));
    WANT(__WASI_ERRNO_BADF, __wasi_path_create_directory(fd, "x"));
    WANT(__WASI_ERRNO_BADF, __wasi_path_unlink_file(fd, "x"));
    WANT(__WASI_ERRNO_BADF, __wasi_path_rename(fd, "inside", DIR, "x"));
    WANT(__WASI_ERRNO_BADF, __wasi_path_rename(DIR, "inside", fd, "x"));
    WANT(__WASI_ERRNO_BADF, __wasi_path_link(DIR, 0, "inside", fd, "x"));
    WANT(__WASI_ERRNO_BADF, __wasi_path_symlink("inside", fd, "x"));
    WANT(__WASI_ERRNO_BADF, __wasi_sock_recv(fd, &in, 1, 0, &n, &flags));
    WANT(__WASI_ERRNO_BADF, __wasi_sock_send(fd, &out, 1, 0, &n));
    WANT(__WASI_ERRNO_BADF, __wasi_sock_shutdown(fd, 1));
    WANT(__WASI_ERRNO_BADF, __wasi_sock_accept(fd, 0, &opened));
    WANT(__WASI_ERRNO_BADF, __wasi_fd_close(fd));
}

static __wasi_fd_t open_inside(uint64_t rights)
{
    __wasi_fd_t fd;
    if (__wasi_path_open(DIR, 0, "inside", 0, rights, rights, 0, &fd) != 0) {
        puts("inside cannot be opened");
        exit(4);
    }
    return fd;
}

int main(void)
{
    static const uint32_t made_up[] = {
        4, 5, 100, 1023, 1024, 65535, 1 << 20, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    for (unsigned i = 0; i < sizeof made_up / sizeof made_up[0]; i++) {
        every_call_on(made_up[i]);
    }
    uint32_t rng = 1;
    for (unsigned i = 0; i < 2000; i++) {
        rng = rng * 1664525 + 1013904223;
        uint32_t fd = rng >> (i % 24);
        if (fd > DIR) {
            every_call_on(fd);
        }
    }
    /* Closed, and closed twice. */
    __wasi_fd_t fd = open_inside(__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_SEEK);
    WANT(0, __wasi_fd_close(fd));
    every_call_on(fd);
    /* Renumbered away. */
    fd = open_inside(__WASI_RIGHTS_FD_READ);
    __wasi_fd_t other = open_inside(__WASI_RIGHTS_FD_READ);
    WANT(0, __wasi_fd_renumber(fd, other));
    every_call_on(fd);
    WANT(0, __wasi_fd_close(other));
    every_call_on(other);
    REFUSED(__wasi_fd_renumber(0, 0xfffffff0));
    /* Rights: what was not asked for is not there, and does not come back. */
    uint8_t bytes[8] = {0};
    __wasi_iovec_t in = {bytes, sizeof bytes};
    __wasi_ciovec_t out = {bytes, sizeof bytes};
    __wasi_size_t n;
    __wasi_filesize_t size;
    fd = open_inside(__WASI_RIGHTS_FD_READ);
    WANT(0, __wasi_fd_read(fd, &in, 1, &n));
    REFUSED(__wasi_fd_write(fd, &out, 1, &n));
    REFUSED(__wasi_fd_filestat_set_size(fd, 0));
    REFUSED(__wasi_fd_fdstat_set_rights(fd, UINT64_MAX, UINT64_MAX));
    REFUSED(__wasi_fd_fdstat_set_rights(fd, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE, 0));
    WANT(0, __wasi_fd_fdstat_set_rights(fd, 0, 0));
    REFUSED(__wasi_fd_read(fd, &in, 1, &n));
    REFUSED(__wasi_fd_seek(fd, 0, 0, &size));
    REFUSED(__wasi_fd_fdstat_set_rights(fd, __WASI_RIGHTS_FD_READ, 0));
    /* A file is no folder, a folder no file. */
    __wasi_fd_t opened;
    REFUSED(__wasi_path_open(fd, 0, "inside", 0, 0, 0, 0, &opened));
    REFUSED(__wasi_fd_read(DIR, &in, 1, &n));
    REFUSED(__wasi_sock_accept(DIR, 0, &opened));
    /* A folder that lost the right to open gives no files, nor do folders opened through it get it
     * back. */
    __wasi_fdstat_t stat;
    WANT(0, __wasi_fd_fdstat_get(DIR, &stat));
    WANT(0, __wasi_fd_fdstat_set_rights(DIR, stat.fs_rights_base & ~__WASI_RIGHTS_PATH_UNLINK_FILE,
                                        stat.fs_rights_inheriting & ~__WASI_RIGHTS_FD_WRITE));
    REFUSED(__wasi_path_unlink_file(DIR, "inside"));
    REFUSED(__wasi_path_open(DIR, 0, "inside", 0, __WASI_RIGHTS_FD_WRITE, 0, 0, &opened));
    puts(wrong ? "forged" : "refused all");
    return wrong != 0;
}
