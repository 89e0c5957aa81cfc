/* Promise: a host function given any numbers at all as pointers, lengths and descriptors answers
 * with an error or does what was asked, inside the guest's memory. 200,000 calls from one seed,
 * then exit 77. */
#include <stdint.h>
#include <stdlib.h>

#define IMPORT(name, ...)                                                                       \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) extern int32_t \
    name(__VA_ARGS__)
typedef int32_t i;
typedef int64_t I;
IMPORT(args_get, i, i);
IMPORT(args_sizes_get, i, i);
IMPORT(environ_get, i, i);
IMPORT(environ_sizes_get, i, i);
IMPORT(clock_res_get, i, i);
IMPORT(clock_time_get, i, I, i);
IMPORT(fd_advise, i, I, I, i);
IMPORT(fd_allocate, i, I, I);
IMPORT(fd_close, i);
IMPORT(fd_datasync, i);
IMPORT(fd_fdstat_get, i, i);
IMPORT(fd_fdstat_set_flags, i, i);
IMPORT(fd_fdstat_set_rights, i, I, I);
IMPORT(fd_filestat_get, i, i);
IMPORT(fd_filestat_set_size, i, I);
IMPORT(fd_filestat_set_times, i, I, I, i);
IMPORT(fd_pread, i, i, i, I, i);
IMPORT(fd_prestat_get, i, i);
IMPORT(fd_prestat_dir_name, i, i, i);
IMPORT(fd_pwrite, i, i, i, I, i);
IMPORT(fd_readdir, i, i, i, I, i);
IMPORT(fd_renumber, i, i);
IMPORT(fd_seek, i, I, i, i);
IMPORT(fd_sync, i);
IMPORT(fd_tell, i, i);
IMPORT(fd_write, i, i, i, i);
IMPORT(path_create_directory, i, i, i);
IMPORT(path_filestat_get, i, i, i, i, i);
IMPORT(path_filestat_set_times, i, i, i, i, I, I, i);
IMPORT(path_link, i, i, i, i, i, i, i);
IMPORT(path_open, i, i, i, i, i, I, I, i, i);
IMPORT(path_readlink, i, i, i, i, i, i);
IMPORT(path_remove_directory, i, i, i);
IMPORT(path_rename, i, i, i, i, i, i);
IMPORT(path_symlink, i, i, i, i, i);
IMPORT(path_unlink_file, i, i, i);
IMPORT(poll_oneoff, i, i, i, i);
IMPORT(random_get, i, i);
IMPORT(sched_yield, void);
IMPORT(sock_accept, i, i, i);
IMPORT(sock_recv, i, i, i, i, i, i);
IMPORT(sock_send, i, i, i, i, i);
IMPORT(sock_shutdown, i, i);

static uint64_t rng = 88172645463325252u;
static uint64_t next(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

/* A scratch area that the calls may ruin: pointers inside lie here, so that our own data stays
 * whole. */
static uint8_t scratch[1 << 16];

static i any(void)
{
    static const uint32_t edges[] = {0,          1,          0x7fffffff, 0x80000000, 0xffffffff,
                                     0xfffffffc, 0xfffffff0, 0x10000,    0x20000,    0xffff0000};
    switch (next() % 4) {
    case 0: return (i)edges[next() % 10];
    case 1: return (i)next();
    case 2: return (i)(next() % 16);
    default: return (i)(0xffffffffu << (next() % 32));
    }
}

/* A pointer: most are out of bounds or at the edge, some good. None points at our own variables. */
static i ptr(void)
{
    uint32_t end = (uint32_t)__builtin_wasm_memory_size(0) * 65536;
    switch (next() % 3) {
    case 0: return (i)(end - next() % 64);
    case 1: return (i)(end + next() % (0xffffffffu - end));
    default: return (i)((uintptr_t)scratch + next() % (sizeof scratch / 2));
    }
}

/* A length: small when the pointer may be good, so that nothing beyond scratch is written. */
static i len(void)
{
    return next() % 3 ? (i)(next() % 1024) : (i)(0x80000000u | (uint32_t)next());
}

static i fd(void)
{
    return next() % 4 ? (i)(3 + next() % 6) : any();
}

static I wide(void)
{
    return next() % 2 ? (I)next() : (I)(next() % 5000);
}

static void fill(void)
{
    for (unsigned n = 0; n < 64; n++) {
        uint32_t at = (uint32_t)(next() % (sizeof scratch / 4));
        /* Words that look like pointers and lengths, for the vectors that are read from here. */
        ((uint32_t *)scratch)[at] = (uint32_t)(next() % 2 ? ptr() : len());
    }
    for (unsigned n = 0; n < 16; n++) {
        scratch[next() % sizeof scratch] = "./a.b/../c"[next() % 10];
    }
}

int main(void)
{
    for (unsigned round = 0; round < 200000; round++) {
        if (round % 16 == 0) {
            fill();
        }
        switch (next() % 43) {
        case 0: args_get(ptr(), ptr()); break;
        case 1: args_sizes_get(ptr(), ptr()); break;
        case 2: environ_get(ptr(), ptr()); break;
        case 3: environ_sizes_get(ptr(), ptr()); break;
        case 4: clock_res_get(any(), ptr()); break;
        case 5: clock_time_get(any(), wide(), ptr()); break;
        case 6: fd_advise(fd(), wide(), wide(), any()); break;
        case 7: fd_allocate(fd(), (I)(next() % 5000), (I)(next() % 5000)); break;
        case 8: fd_close(4 + (i)(next() % 8)); break;
        case 9: fd_datasync(any()); break;
        case 10: fd_fdstat_get(fd(), ptr()); break;
        case 11: fd_fdstat_set_flags(fd(), any()); break;
        case 12: fd_fdstat_set_rights(4 + any() % 8, wide(), wide()); break;
        case 13: fd_filestat_get(fd(), ptr()); break;
        case 14: fd_filestat_set_size(fd(), wide()); break;
        case 15: fd_filestat_set_times(fd(), wide(), wide(), any()); break;
        case 16: fd_pread(fd(), ptr(), len(), wide(), ptr()); break;
        case 17: fd_prestat_get(fd(), ptr()); break;
        case 18: fd_prestat_dir_name(fd(), ptr(), len()); break;
        case 19: fd_pwrite(fd(), ptr(), len(), (I)(next() % 100000), ptr()); break;
        case 20: fd_readdir(fd(), ptr(), len(), wide(), ptr()); break;
        case 21: fd_renumber(4 + (i)(next() % 8), 4 + (i)(next() % 8)); break;
        case 22: fd_seek(fd(), wide(), any(), ptr()); break;
        case 23: fd_sync(any()); break;
        case 24: fd_tell(fd(), ptr()); break;
        case 25: fd_write(4 + (i)(next() % 8), ptr(), (i)(next() % 8), ptr()); break;
        case 26: path_create_directory(fd(), ptr(), len()); break;
        case 27: path_filestat_get(fd(), any(), ptr(), len(), ptr()); break;
        case 28: path_filestat_set_times(fd(), any(), ptr(), len(), wide(), wide(), any()); break;
        case 29: path_link(fd(), any(), ptr(), len(), fd(), ptr(), len()); break;
        case 30:
            path_open(3, any() & 1, ptr(), (i)(next() % 8), any() & 15, wide(), wide(), any() & 31,
                      ptr());
            break;
        case 31: path_readlink(fd(), ptr(), len(), ptr(), len(), ptr()); break;
        case 32: path_remove_directory(fd(), ptr(), len()); break;
        case 33: path_rename(fd(), ptr(), len(), fd(), ptr(), len()); break;
        case 34: path_symlink(ptr(), len(), fd(), ptr(), len()); break;
        case 35: path_unlink_file(fd(), ptr(), len()); break;
        case 36: poll_oneoff((i)0xfffffff0u, ptr(), len(), ptr()); break;
        case 37: random_get(ptr(), len()); break;
        case 38: sched_yield(); break;
        case 39: sock_accept(fd(), any(), ptr()); break;
        case 40: sock_recv(fd(), ptr(), len(), any(), ptr(), ptr()); break;
        case 41: sock_send(fd(), ptr(), len(), any(), ptr()); break;
        case 42: sock_shutdown(fd(), any()); break;
        }
    }
    exit(77);
}
