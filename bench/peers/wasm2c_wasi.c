/* wasm2c_wasi.c: the host side of a program translated by wasm2c (module name "guest"): just enough
 * of WASI preview 1 for programs that compute and print. What files would need answers ENOSYS.
 *
 * It trusts the guest's addresses: this is a peer in a benchmark, never a sandbox. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

struct Z_wasi_snapshot_preview1_instance_t {
    Z_guest_instance_t *guest;
    int argc;
    char **argv;
};
typedef struct Z_wasi_snapshot_preview1_instance_t wasi;

#define WASI(name) Z_wasi_snapshot_preview1Z_##name
enum { WASI_BADF = 8, WASI_INVAL = 28, WASI_IO = 29, WASI_NOSYS = 52, WASI_SPIPE = 70 };

static uint8_t *at(wasi *self, u32 address)
{
    return Z_guestZ_memory(self->guest)->data + address;
}

static u32 load32(wasi *self, u32 address)
{
    u32 value;
    memcpy(&value, at(self, address), sizeof value);
    return value;
}

static void store(wasi *self, u32 address, uint64_t value, size_t bytes)
{
    memcpy(at(self, address), &value, bytes);
}

u32 WASI(args_sizes_get)(wasi *self, u32 count, u32 bytes)
{
    size_t total = 0;
    for (int i = 0; i < self->argc; i++) {
        total += strlen(self->argv[i]) + 1;
    }
    store(self, count, (uint64_t)self->argc, 4);
    store(self, bytes, total, 4);
    return 0;
}

u32 WASI(args_get)(wasi *self, u32 list, u32 text)
{
    for (int i = 0; i < self->argc; i++) {
        size_t len = strlen(self->argv[i]) + 1;
        store(self, list + 4 * (u32)i, text, 4);
        memcpy(at(self, text), self->argv[i], len);
        text += (u32)len;
    }
    return 0;
}

u32 WASI(environ_sizes_get)(wasi *self, u32 count, u32 bytes)
{
    store(self, count, 0, 4);
    store(self, bytes, 0, 4);
    return 0;
}

u32 WASI(environ_get)(wasi *self, u32 list, u32 text)
{
    (void)self, (void)list, (void)text;
    return 0;
}

u32 WASI(clock_time_get)(wasi *self, u32 id, u64 precision, u32 out)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                       CLOCK_THREAD_CPUTIME_ID};
    struct timespec now;
    (void)precision;
    if (id >= sizeof clocks / sizeof clocks[0] || clock_gettime(clocks[id], &now) != 0) {
        return WASI_INVAL;
    }
    store(self, out, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, 8);
    return 0;
}

u32 WASI(fd_write)(wasi *self, u32 fd, u32 list, u32 count, u32 out)
{
    u32 total = 0;
    for (u32 i = 0; i < count; i++) {
        u32 len = load32(self, list + 8 * i + 4);
        if (write((int)fd, at(self, load32(self, list + 8 * i)), len) != (ssize_t)len) {
            return WASI_IO;
        }
        total += len;
    }
    store(self, out, total, 4);
    return 0;
}

u32 WASI(fd_fdstat_get)(wasi *self, u32 fd, u32 out)
{
    if (fd > 2) {
        return WASI_BADF;
    }
    memset(at(self, out), 0, 24);
    store(self, out, 2, 1);              /* a character device */
    store(self, out + 8, 0x1fffffff, 8); /* rights */
    return 0;
}

u32 WASI(fd_seek)(wasi *self, u32 fd, u64 offset, u32 whence, u32 out)
{
    (void)self, (void)fd, (void)offset, (void)whence, (void)out;
    return WASI_SPIPE;
}

u32 WASI(fd_close)(wasi *self, u32 fd)
{
    (void)self, (void)fd;
    return 0;
}

u32 WASI(fd_prestat_get)(wasi *self, u32 fd, u32 out)
{
    (void)self, (void)fd, (void)out;
    return WASI_BADF;
}

void WASI(proc_exit)(wasi *self, u32 status)
{
    (void)self;
    fflush(stdout);
    _exit((int)status);
}

#define NOSYS(name, ...)                      \
    u32 WASI(name)(wasi * self, __VA_ARGS__); \
    u32 WASI(name)(wasi * self, __VA_ARGS__)  \
    {                                         \
        (void)self;                           \
        return WASI_NOSYS;                    \
    }
NOSYS(fd_fdstat_set_flags, u32 a, u32 b)
NOSYS(fd_filestat_get, u32 a, u32 b)
NOSYS(fd_filestat_set_size, u32 a, u64 b)
NOSYS(fd_prestat_dir_name, u32 a, u32 b, u32 c)
NOSYS(fd_read, u32 a, u32 b, u32 c, u32 d)
NOSYS(fd_sync, u32 a)
NOSYS(path_create_directory, u32 a, u32 b, u32 c)
NOSYS(path_filestat_get, u32 a, u32 b, u32 c, u32 d, u32 e)
NOSYS(path_filestat_set_times, u32 a, u32 b, u32 c, u32 d, u64 e, u64 f, u32 g)
NOSYS(path_open, u32 a, u32 b, u32 c, u32 d, u32 e, u64 f, u64 g, u32 h, u32 i)
NOSYS(path_readlink, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f)
NOSYS(path_remove_directory, u32 a, u32 b, u32 c)
NOSYS(path_unlink_file, u32 a, u32 b, u32 c)
NOSYS(poll_oneoff, u32 a, u32 b, u32 c, u32 d)

int main(int argc, char **argv)
{
    static Z_guest_instance_t guest;
    wasi self = {&guest, argc, argv};
    wasm_rt_init();
    Z_guest_init_module();
    Z_guest_instantiate(&guest, &self);
    Z_guestZ__start(&guest);
    fflush(stdout);
    return 0;
}
