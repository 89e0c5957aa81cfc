/* WASI preview 1: results, rights, and what hostile arguments get. */
#include "wasi/wasi.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "libos/fds.h"
#include "libos/memfs.h"
#include "libos/pipe.h"
#include "libos/sim.h"
#include "wasi/fake_guest.h"

#define MEMORY 65536u
/* Where things lie in the guest's memory. */
#define OUT 1024u   /* results */
#define IOV 2048u   /* the array of buffers */
#define BUF 4096u   /* a buffer of 4 KiB */
#define TEXT 12288u /* paths */
#define TEXT2 16384u
#define ARRAY 32768u /* subscriptions, events */

static struct fake_guest guest;
static struct libos os;
static struct libos_sim sim;
static struct libos_file *root, *input, *feed, *output;

static void *resize(void *self, void *old, size_t old_bytes, size_t new_bytes)
{
    (void)self;
    (void)old_bytes;
    if (new_bytes == 0) {
        wm_free(old);
        return NULL;
    }
    return wm_realloc(old, 1, new_bytes);
}

static const struct libos_backend memory_only = {.resize = resize};

static int start_with(uint32_t fd_limit, bool suspend)
{
    static const char *const args[] = {"program", "one", ""};
    static const char *const env[] = {"A=1", "LONG=value"};
    struct wasi_preopen preopens[] = {{"/", NULL}, {"data", NULL}};
    struct wm_diag diag = WM_DIAG_INIT;
    root = input = feed = output = NULL;
    libos_sim_init(&sim, &memory_only, 7, UINT64_C(1700000000000000000));
    libos_init(&os, &sim.backend);
    os.interrupted = libos_sim_stuck;
    os.interrupted_arg = &sim;
    if (!fake_guest_init(&guest, MEMORY)) {
        return -1;
    }
    int rc = libos_memfs_new(&os, NULL, &root);
    struct libos_file *data = NULL, *out_reader = NULL;
    rc = rc ? rc : libos_mkdir(root, "data");
    rc = rc ? rc : libos_open(root, "data", LIBOS_READ | LIBOS_DIRECTORY, &data);
    rc = rc ? rc : libos_pipe_new(&os, &input, &feed);
    rc = rc ? rc : libos_pipe_new(&os, &out_reader, &output);
    if (rc == 0) {
        preopens[0].dir = root;
        preopens[1].dir = data;
        struct wasi_config config = {
            .os = &os,
            .args = args,
            .arg_count = 3,
            .env = env,
            .env_count = 2,
            .stdio = {input, output, NULL},
            .preopens = preopens,
            .preopen_count = 2,
            .fd_limit = fd_limit,
            .suspend_on_input = suspend,
        };
        rc = wasi_new(&config, &guest.wasi, &diag);
    }
    libos_file_put(data);
    libos_file_put(output);
    output = out_reader; /* the end that the test reads */
    return rc;
}

static int start(void)
{
    return start_with(0, false);
}

static void stop(void)
{
    fake_guest_fini(&guest);
    libos_file_put(root);
    libos_file_put(input);
    libos_file_put(feed);
    libos_file_put(output);
}

static uint32_t get32(uint32_t at)
{
    uint32_t value;
    memcpy(&value, guest.memory.bytes + at, 4);
    return value;
}

static uint64_t get64(uint32_t at)
{
    uint64_t value;
    memcpy(&value, guest.memory.bytes + at, 8);
    return value;
}

static void set32(uint32_t at, uint32_t value)
{
    memcpy(guest.memory.bytes + at, &value, 4);
}

static void set64(uint32_t at, uint64_t value)
{
    memcpy(guest.memory.bytes + at, &value, 8);
}

/* Puts text into guest memory; its length. */
static uint32_t text_at(uint32_t at, const char *text)
{
    memcpy(guest.memory.bytes + at, text, strlen(text) + 1);
    return (uint32_t)strlen(text);
}

static void iov(uint32_t idx, uint32_t at, uint32_t len)
{
    set32(IOV + idx * 8, at);
    set32(IOV + idx * 8 + 4, len);
}

static uint32_t path_open(uint32_t dir, uint32_t lookup, const char *path, uint32_t oflags,
                          uint64_t base, uint64_t inheriting, uint32_t fdflags)
{
    uint32_t len = text_at(TEXT, path);
    return FAKE_CALL(&guest, "path_open", dir, lookup, TEXT, len, oflags, base, inheriting, fdflags,
                     OUT);
}

#define ALL WASI_RIGHTS_ALL
#define RW (WASI_RIGHT_FD_READ | WASI_RIGHT_FD_WRITE | WASI_RIGHT_FD_SEEK | WASI_RIGHT_FD_TELL)

static uint32_t write_text(uint32_t fd, const char *text)
{
    iov(0, BUF, text_at(BUF, text));
    return FAKE_CALL(&guest, "fd_write", fd, IOV, 1, OUT);
}

/* A file with content, at the next descriptor; 0 on failure. */
static uint32_t make(const char *path, const char *text)
{
    if (path_open(3, 0, path, WASI_OFLAG_CREAT | WASI_OFLAG_TRUNC, ALL, 0, 0) != 0) {
        return 0;
    }
    uint32_t fd = get32(OUT);
    return write_text(fd, text) == 0 ? fd : 0;
}

TEST(all_functions_are_there)
{
    unsigned found = 0, refused = 0;
    struct wasm_extern out;
    REQUIRE(start() == 0);
#define FIND(name, sig)                                                                   \
    found += wasi_resolve(guest.wasi, wm_view_str(WASI_MODULE), wm_view_str(#name),       \
                          WASM_EXTERN_FUNC, &out) == 0 &&                                 \
             strcmp(out.host->signature, sig) == 0 && out.host_env == guest.wasi;         \
    refused += wasi_resolve(guest.wasi, wm_view_str("wasi_unstable"), wm_view_str(#name), \
                            WASM_EXTERN_FUNC, &out) == WM_E_NOT_FOUND;
    WASI_FUNC_TABLE(FIND)
    CHECK_INT(found, ==, 46);
    CHECK_INT(refused, ==, 46);
    CHECK_INT(wasi_resolve(guest.wasi, wm_view_str(WASI_MODULE), wm_view_str("fd_read"),
                           WASM_EXTERN_GLOBAL, &out),
              ==, WM_E_NOT_FOUND);
    CHECK(strstr(wasi_hint(wm_view_str("wasi_unstable"), wm_view_str("fd_seek")), "first draft"));
    CHECK(strstr(wasi_hint(wm_view_str("wasi:cli/run@0.2.0"), wm_view_str("x")), "0.2"));
    CHECK(strstr(wasi_hint(wm_view_str(WASI_MODULE), wm_view_str("sock_open")), "--listen"));
    CHECK(!wasi_hint(wm_view_str("mine"), wm_view_str("x")));
    stop();
}

TEST(arguments_and_environment)
{
    REQUIRE(start() == 0);
    CHECK_INT(FAKE_CALL(&guest, "args_sizes_get", OUT, OUT + 4), ==, 0);
    CHECK_INT(get32(OUT), ==, 3);
    CHECK_INT(get32(OUT + 4), ==, 13);
    CHECK_INT(FAKE_CALL(&guest, "args_get", OUT, BUF), ==, 0);
    CHECK_STR((char *)guest.memory.bytes + get32(OUT), "program");
    CHECK_STR((char *)guest.memory.bytes + get32(OUT + 4), "one");
    CHECK_STR((char *)guest.memory.bytes + get32(OUT + 8), "");
    CHECK_INT(FAKE_CALL(&guest, "environ_sizes_get", OUT, OUT + 4), ==, 0);
    CHECK_INT(get32(OUT), ==, 2);
    CHECK_INT(get32(OUT + 4), ==, 15);
    /* To the last byte of memory, and one past it. */
    CHECK_INT(FAKE_CALL(&guest, "environ_get", OUT, MEMORY - 15), ==, 0);
    CHECK_STR((char *)guest.memory.bytes + get32(OUT + 4), "LONG=value");
    CHECK_INT(FAKE_CALL(&guest, "environ_get", OUT, MEMORY - 14), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "environ_get", MEMORY - 7, BUF), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "args_sizes_get", MEMORY - 3, BUF), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "args_sizes_get", OUT, UINT32_MAX), ==, WASI_FAULT);
    stop();
}

TEST(clocks_and_randomness)
{
    REQUIRE(start() == 0);
    CHECK_INT(FAKE_CALL(&guest, "clock_time_get", WASI_CLOCK_REALTIME, 1, OUT), ==, 0);
    CHECK_INT(get64(OUT), ==, 1700000000000000000);
    CHECK_INT(FAKE_CALL(&guest, "clock_time_get", WASI_CLOCK_THREAD_CPUTIME, 1, OUT), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "clock_time_get", 4, 1, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "clock_time_get", 0, 1, MEMORY - 7), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "clock_res_get", 1, OUT), ==, 0);
    CHECK_INT(get64(OUT), ==, 1);
    CHECK_INT(FAKE_CALL(&guest, "clock_res_get", 77, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "random_get", BUF, 100), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "random_get", BUF + 200, 100), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, guest.memory.bytes + BUF + 200, 100) != 0);
    CHECK_INT(guest.memory.bytes[BUF + 100], ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "random_get", 0, MEMORY + 1), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "random_get", UINT32_MAX, 2), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "random_get", MEMORY, 0), ==, 0);
    CHECK_INT(fake_call(&guest, "sched_yield", NULL, 0), ==, 0);
    stop();
}

TEST(exit_and_signals)
{
    REQUIRE(start() == 0);
    CHECK_INT(wasi_exit_status(guest.wasi), ==, 0);
    (void)FAKE_CALL(&guest, "proc_exit", 42);
    CHECK_INT(guest.trap, ==, WASM_TRAP_EXIT);
    CHECK_INT(wasi_exit_status(guest.wasi), ==, 42);
    (void)FAKE_CALL(&guest, "proc_raise", 6);
    CHECK_INT(guest.trap, ==, WASM_TRAP_EXIT);
    CHECK_INT(wasi_exit_status(guest.wasi), ==, 134); /* as a shell shows SIGABRT */
    CHECK_INT(FAKE_CALL(&guest, "proc_raise", 0), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "proc_raise", 16), ==, 0); /* CHLD: ignored */
    CHECK_INT(FAKE_CALL(&guest, "proc_raise", 18), ==, WASI_NOTSUP);
    CHECK_INT(FAKE_CALL(&guest, "proc_raise", 31), ==, WASI_INVAL);
    stop();
}

TEST(read_write_seek)
{
    REQUIRE(start() == 0);
    uint32_t fd = make("f", "hello world");
    CHECK_INT(fd, ==, 5);
    CHECK_INT(get32(OUT), ==, 11);
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", fd, (uint64_t)-5, LIBOS_SEEK_END, OUT), ==, 0);
    CHECK_INT(get64(OUT), ==, 6);
    iov(0, BUF, 2);
    iov(1, BUF + 100, 0);
    iov(2, BUF + 2, 50);
    memset(guest.memory.bytes + BUF, 0, 100);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 3, OUT), ==, 0);
    CHECK_INT(get32(OUT), ==, 5);
    CHECK_STR((char *)guest.memory.bytes + BUF, "world");
    CHECK_INT(FAKE_CALL(&guest, "fd_tell", fd, OUT), ==, 0);
    CHECK_INT(get64(OUT), ==, 11);
    CHECK_INT(FAKE_CALL(&guest, "fd_pread", fd, IOV, 1, 0, OUT), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, "he", 2) == 0);
    text_at(BUF, "J");
    CHECK_INT(FAKE_CALL(&guest, "fd_pwrite", fd, IOV, 1, UINT64_MAX, OUT), ==, WASI_INVAL);
    iov(0, BUF, 1);
    CHECK_INT(FAKE_CALL(&guest, "fd_pwrite", fd, IOV, 1, 0, OUT), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", fd, 0, 7, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", fd, (uint64_t)INT64_MIN, 0, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "fd_filestat_set_size", fd, 4), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_filestat_get", fd, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT + 16], ==, WASI_FILETYPE_REGULAR_FILE);
    CHECK_INT(get64(OUT + 24), ==, 1);
    CHECK_INT(get64(OUT + 32), ==, 4);
    CHECK_INT(FAKE_CALL(&guest, "fd_allocate", fd, 0, 10), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_advise", fd, 0, 10, 3), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_advise", fd, 0, 10, 9), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "fd_sync", fd), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_datasync", fd), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_close", fd), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_close", fd), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 1, OUT), ==, WASI_BADF);
    stop();
}

TEST(buffers_are_proved_first)
{
    REQUIRE(start() == 0);
    uint32_t fd = make("f", "0123456789");
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", fd, 0, LIBOS_SEEK_SET, OUT), ==, 0);
    iov(0, BUF, 4);
    iov(1, MEMORY - 1, 2);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 2, OUT), ==, WASI_FAULT);
    iov(1, BUF, 4);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 2, MEMORY - 3), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, MEMORY - 15, 2, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, UINT32_MAX, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 0x20000001, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, 0, LIBOS_IOV_MAX + 1, OUT), ==, WASI_INVAL);
    iov(0, UINT32_MAX, UINT32_MAX);
    CHECK_INT(FAKE_CALL(&guest, "fd_write", fd, IOV, 1, OUT), ==, WASI_FAULT);
    iov(0, MEMORY, 0); /* nothing, at the very end */
    CHECK_INT(FAKE_CALL(&guest, "fd_write", fd, IOV, 1, OUT), ==, 0);
    /* None of the failures moved the position. */
    CHECK_INT(FAKE_CALL(&guest, "fd_tell", fd, OUT), ==, 0);
    CHECK_INT(get64(OUT), ==, 0);
    /* A buffer that covers its own description: what was copied counts. */
    iov(0, IOV, 8);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 1, OUT), ==, 0);
    CHECK(memcmp(guest.memory.bytes + IOV, "01234567", 8) == 0);
    /* No memory at all. */
    guest.instance.memory = NULL;
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 1, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, TEXT, 1), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "random_get", 0, 0), ==, WASI_FAULT);
    stop();
}

TEST(paths_are_checked)
{
    REQUIRE(start() == 0);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, TEXT, text_at(TEXT, "d")), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, TEXT, 0), ==, WASI_NOENT);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, MEMORY - 1, 2), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, 0, 4096), ==, WASI_NAMETOOLONG);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, 0, UINT32_MAX), ==, WASI_NAMETOOLONG);
    text_at(TEXT, "d");
    memcpy(guest.memory.bytes + TEXT, "a\0b", 3);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", 3, TEXT, 3), ==, WASI_INVAL);
    static const char *const outside[] = {"..", "/", "/etc/passwd", "d/../..", "../data"};
    for (size_t i = 0; i < WM_COUNT_OF(outside); i++) {
        CHECK_INT(path_open(3, 1, outside[i], 0, RW, 0, 0), ==, WASI_NOTCAPABLE);
        CHECK_INT(path_open(4, 1, outside[i], 0, RW, 0, 0), ==,
                  i == 3 ? WASI_NOENT : WASI_NOTCAPABLE);
    }
    CHECK_INT(path_open(0, 1, "x", 0, 0, 0, 0), ==, WASI_NOTCAPABLE); /* a pipe is no directory */
    CHECK_INT(path_open(99, 1, "x", 0, 0, 0, 0), ==, WASI_BADF);
    CHECK_INT(path_open(3, 1, "x", 16, 0, 0, 0), ==, WASI_INVAL);
    CHECK_INT(path_open(3, 1, "x", 0, 0, 0, 32), ==, WASI_INVAL);
    CHECK_INT(path_open(3, 1, "d", WASI_OFLAG_DIRECTORY | WASI_OFLAG_CREAT, 0, 0, 0), ==,
              WASI_INVAL);
    stop();
}

TEST(open_gives_the_rights_asked_for)
{
    REQUIRE(start() == 0);
    REQUIRE(make("f", "text") != 0);
    REQUIRE(path_open(3, 0, "f", 0, WASI_RIGHT_FD_READ, 0, 0) == 0);
    uint32_t fd = get32(OUT);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", fd, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT], ==, WASI_FILETYPE_REGULAR_FILE);
    CHECK_INT(get64(OUT + 8), ==, WASI_RIGHT_FD_READ);
    CHECK_INT(get64(OUT + 16), ==, 0);
    CHECK_INT(write_text(fd, "x"), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", fd, 0, 0, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_pread", fd, IOV, 1, 0, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_filestat_get", fd, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_filestat_set_size", fd, 0), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_rights", fd, RW, 0), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_rights", fd, 0, 0), ==, 0);
    iov(0, BUF, 4);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", fd, IOV, 1, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_rights", fd, 2, 0), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "fd_close", fd), ==, 0); /* closing takes no right */
    /* A directory with a right less passes less on. */
    const uint64_t kept = WASI_RIGHT_PATH_OPEN | WASI_RIGHT_FD_READDIR;
    REQUIRE(path_open(3, 0, "data", WASI_OFLAG_DIRECTORY, kept, WASI_RIGHT_FD_READ, 0) == 0);
    uint32_t dir = get32(OUT);
    CHECK_INT(path_open(dir, 0, "x", WASI_OFLAG_CREAT, WASI_RIGHT_FD_READ, 0, 0), ==,
              WASI_NOTCAPABLE);
    CHECK_INT(path_open(dir, 0, "x", 0, WASI_RIGHT_FD_WRITE, 0, 0), ==, WASI_NOTCAPABLE);
    CHECK_INT(path_open(dir, 0, "x", 0, WASI_RIGHT_FD_READ, 0, 0), ==, WASI_NOENT);
    CHECK_INT(path_open(dir, 0, "x", 0, WASI_RIGHT_FD_READ, 0, WASI_FDFLAG_SYNC), ==,
              WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "path_create_directory", dir, TEXT, 1), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "path_unlink_file", dir, TEXT, 1), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_get", dir, 0, TEXT, 1, OUT), ==, WASI_NOTCAPABLE);
    /* Bits that are no rights are no obstacle, and rights that do not apply are not given. */
    REQUIRE(path_open(3, 0, "f", 0, UINT64_MAX, UINT64_MAX, 0) == 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", get32(OUT), OUT), ==, 0);
    CHECK_INT(get64(OUT + 8) & (WASI_RIGHT_PATH_OPEN | ~ALL), ==, 0);
    CHECK(get64(OUT + 8) & WASI_RIGHT_FD_WRITE);
    stop();
}

TEST(flags_of_files)
{
    REQUIRE(start() == 0);
    REQUIRE(make("f", "ab") != 0);
    REQUIRE(path_open(3, 0, "f", 0, ALL, 0, WASI_FDFLAG_APPEND) == 0);
    uint32_t fd = get32(OUT);
    CHECK_INT(write_text(fd, "cd"), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", fd, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT + 2], ==, WASI_FDFLAG_APPEND);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_flags", fd, WASI_FDFLAG_NONBLOCK), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", fd, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT + 2], ==, WASI_FDFLAG_NONBLOCK);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_flags", fd, 32), ==, WASI_INVAL);
    CHECK_INT(path_open(3, 0, "f", WASI_OFLAG_CREAT | WASI_OFLAG_EXCL, ALL, 0, 0), ==, WASI_EXIST);
    CHECK_INT(path_open(3, 0, "f", WASI_OFLAG_DIRECTORY, ALL, ALL, 0), ==, WASI_NOTDIR);
    CHECK_INT(path_open(3, 0, "data", 0, RW, 0, 0), ==, WASI_ISDIR);
    CHECK_INT(path_open(3, 0, "data", WASI_OFLAG_DIRECTORY, ALL, ALL, 0), ==, 0);
    iov(0, BUF, 4);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 3, IOV, 1, OUT), ==, WASI_ISDIR);
    CHECK_INT(path_open(3, 0, "f", WASI_OFLAG_TRUNC, ALL, 0, 0), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_filestat_get", fd, OUT), ==, 0);
    CHECK_INT(get64(OUT + 32), ==, 0);
    stop();
}

TEST(standard_streams)
{
    char text[16] = "";
    struct libos_iov got = {text, 15}, give = {"line\n", 5};
    REQUIRE(start() == 0);
    CHECK_INT(write_text(1, "out"), ==, 0);
    CHECK_INT(libos_file_read(output, &got, 1), ==, 3);
    CHECK_STR(text, "out");
    CHECK_INT(write_text(2, "vanishes"), ==, 0);
    CHECK_INT(get32(OUT), ==, 8);
    CHECK_INT(write_text(0, "x"), ==, WASI_NOTCAPABLE); /* the reading end of a pipe */
    iov(0, BUF, 100);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 1, IOV, 1, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(libos_file_write(feed, &give, 1), ==, 5);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT), ==, 0);
    CHECK_INT(get32(OUT), ==, 5);
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", 0, 0, 0, OUT), ==, WASI_NOTCAPABLE);
    /* Nothing more comes: the wait ends as the store says. */
    guest.store.interrupted = WASM_TRAP_DEADLINE;
    (void)FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT);
    CHECK_INT(guest.trap, ==, WASM_TRAP_DEADLINE);
    guest.store.interrupted = WASM_TRAP_NONE;
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT), ==, WASI_INTR);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_flags", 0, WASI_FDFLAG_NONBLOCK), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT), ==, WASI_AGAIN);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 0, OUT), ==, WASI_BADF);
    /* The null device is no terminal for wasi-libc: it could seek. */
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", 2, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT], ==, WASI_FILETYPE_CHARACTER_DEVICE);
    CHECK(get64(OUT + 8) & WASI_RIGHT_FD_SEEK);
    stop();
}

TEST(the_store_interrupts_a_library_os_of_its_own)
{
    REQUIRE(start() == 0);
    os.interrupted = NULL; /* as on a real machine: nobody else asks */
    guest.store.interrupted = WASM_TRAP_KILLED;
    iov(0, BUF, 1);
    (void)FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT);
    CHECK_INT(guest.trap, ==, WASM_TRAP_KILLED);
    CHECK(os.interrupted != NULL);
    wasi_free(guest.wasi);
    guest.wasi = NULL;
    CHECK(os.interrupted == NULL); /* nothing points to what is gone */
    stop();
}

TEST(suspension_asks_on_input_only)
{
    REQUIRE(start_with(0, true) == 0);
    struct libos_iov give = {"x", 1};
    fake_suspend_asked = 0;
    fake_suspend_answer = WASM_TRAP_SUSPENDED;
    CHECK_INT(write_text(1, "out"), ==, 0);
    uint32_t fd = make("f", "data");
    CHECK_INT(FAKE_CALL(&guest, "fd_pread", fd, IOV, 1, 0, OUT), ==, 0);
    CHECK_INT(fake_suspend_asked, ==, 0);
    iov(0, BUF, 1);
    (void)FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT);
    CHECK_INT(guest.trap, ==, WASM_TRAP_SUSPENDED);
    CHECK_INT(fake_suspend_asked, ==, 1);
    fake_suspend_answer = WASM_TRAP_NONE;
    CHECK_INT(libos_file_write(feed, &give, 1), ==, 1);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[BUF], ==, 'x');
    stop();
}

TEST(preopens_are_found_by_name)
{
    REQUIRE(start() == 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 3, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT], ==, 0);
    CHECK_INT(get32(OUT + 4), ==, 1);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 4, OUT), ==, 0);
    CHECK_INT(get32(OUT + 4), ==, 4);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_dir_name", 4, BUF, 4), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, "data\0", 5) == 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_dir_name", 4, BUF, 3), ==, WASI_NAMETOOLONG);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_dir_name", 4, MEMORY - 3, 4), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 5, OUT), ==, WASI_BADF);
    /* A closed number that is given again is no preopen. */
    CHECK_INT(FAKE_CALL(&guest, "fd_close", 4), ==, 0);
    CHECK_INT(make("f", "x"), ==, 4);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 4, OUT), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 4, 3), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 3, OUT), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 3, 9), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 9, 3), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 3, 3), ==, 0);
    stop();
}

static void fdstat(uint32_t fd, uint8_t out[24])
{
    memset(guest.memory.bytes + OUT, 0, 24);
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", fd, OUT), ==, 0);
    memcpy(out, guest.memory.bytes + OUT, 24);
}

/* As after wasi_new: every descriptor's kind, flags and rights, the preopens' names, nothing
 * else open, no exit status. */
static void is_as_new(uint8_t before[5][24])
{
    uint32_t number;
    CHECK_INT(wasi_exit_status(guest.wasi), ==, 0);
    CHECK_INT(wasi_extra_fds(guest.wasi, &number), ==, 0);
    for (uint32_t fd = 0; fd < 5; fd++) {
        uint8_t now[24];
        fdstat(fd, now);
        CHECK(memcmp(now, before[fd], sizeof now) == 0);
    }
    CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_get", 5, OUT), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_dir_name", 3, BUF, 1), ==, 0);
    CHECK_INT(guest.memory.bytes[BUF], ==, '/');
    CHECK_INT(FAKE_CALL(&guest, "fd_prestat_dir_name", 4, BUF, 4), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, "data", 4) == 0);
    CHECK_INT(make("after", "x"), ==, 5); /* the lowest free number */
    CHECK_INT(FAKE_CALL(&guest, "fd_close", 5), ==, 0);
}

/* Each change alone and all of them, more than once: what a reset overlooked would add up. */
TEST(a_reset_puts_descriptors_back)
{
    enum { CLOSE, RENUMBER, MOVE, OPEN, RIGHTS, FLAGS, EXIT, ALL_OF_IT, CHANGES };
    uint8_t before[5][24];
    REQUIRE(start() == 0);
    for (uint32_t fd = 0; fd < 5; fd++) {
        fdstat(fd, before[fd]);
    }
    for (int round = 0; round < 3 * CHANGES; round++) {
        int change = round % CHANGES;
        bool all = change == ALL_OF_IT;
        if (change == OPEN || all) {
            for (uint32_t fd = 5; fd < 25; fd++) { /* more than the table had room for */
                CHECK_INT(make("f", "x"), ==, fd);
            }
        }
        if (change == RIGHTS || all) {
            CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_rights", 3, WASI_RIGHT_PATH_OPEN, 0), ==, 0);
            CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_rights", 1, 0, 0), ==, 0);
        }
        if (change == FLAGS || all) {
            CHECK_INT(FAKE_CALL(&guest, "fd_fdstat_set_flags", 0, WASI_FDFLAG_NONBLOCK), ==, 0);
        }
        if (change == RENUMBER || all) {
            CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 3, 1), ==, 0);
            CHECK_INT(FAKE_CALL(&guest, "fd_prestat_get", 1, OUT), ==, 0);
        }
        if (change == MOVE) { /* each to the next number */
            REQUIRE(make("f", "x") == 5);
            CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 4, 5), ==, 0);
            REQUIRE(make("f", "x") == 4);
            CHECK_INT(FAKE_CALL(&guest, "fd_renumber", 3, 4), ==, 0);
            CHECK_INT(FAKE_CALL(&guest, "fd_prestat_dir_name", 4, BUF, 1), ==, 0);
        }
        if (change == CLOSE || all) {
            for (uint32_t fd = 0; fd < 5; fd++) {
                uint32_t rc = FAKE_CALL(&guest, "fd_close", fd);
                CHECK(rc == 0 || (all && rc == WASI_BADF)); /* 3 is at 1 by now */
            }
        }
        if (change == EXIT || all) {
            (void)FAKE_CALL(&guest, "proc_exit", 3);
            CHECK_INT(wasi_exit_status(guest.wasi), ==, 3);
        }
        wasi_reset(guest.wasi, NULL, NULL);
        is_as_new(before);
        wasi_reset(guest.wasi, NULL, NULL);
    }
    /* The streams are still the same files. */
    struct libos_iov in = {(void *)"still", 5};
    REQUIRE(libos_file_write(feed, &in, 1) == 5);
    iov(0, BUF, 5);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, "still", 5) == 0);
    stop();
}

TEST(a_reset_gives_other_strings)
{
    static const char *const args[] = {"other"}, *const env[] = {"B=22"};
    struct wasi_strings *other_args, *other_env;
    REQUIRE(start() == 0);
    REQUIRE(wasi_strings_new(&os, args, 1, &other_args) == 0);
    REQUIRE(wasi_strings_new(&os, env, 1, &other_env) == 0);
    wasi_reset(guest.wasi, other_args, other_env);
    CHECK_INT(FAKE_CALL(&guest, "args_sizes_get", OUT, OUT + 4), ==, 0);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(get32(OUT + 4), ==, 6);
    CHECK_INT(FAKE_CALL(&guest, "environ_get", ARRAY, BUF), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, "B=22", 5) == 0);
    wasi_reset(guest.wasi, NULL, NULL); /* stay */
    CHECK_INT(FAKE_CALL(&guest, "args_get", ARRAY, BUF), ==, 0);
    CHECK(memcmp(guest.memory.bytes + BUF, "other", 6) == 0);
    stop();
    wasi_strings_free(&os, other_args);
    wasi_strings_free(&os, other_env);
}

TEST(readdir_pages_through)
{
    char name[32], seen[64][16];
    unsigned count = 0;
    uint64_t cookie = 0;
    REQUIRE(start() == 0);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "data/name%d", i);
        uint32_t fd = make(name, "");
        REQUIRE(fd != 0 && FAKE_CALL(&guest, "fd_close", fd) == 0);
    }
    /* Small buffers, cut entries, going on from the last whole one, as wasi-libc does. */
    for (int rounds = 0; rounds < 100; rounds++) {
        CHECK_INT(FAKE_CALL(&guest, "fd_readdir", 4, BUF, 70, cookie, OUT), ==, 0);
        uint32_t used = get32(OUT), at = 0;
        while (used - at >= WASI_DIRENT_BYTES) {
            uint32_t len = get32(BUF + at + 16);
            if (used - at < WASI_DIRENT_BYTES + len) {
                break;
            }
            if (count < 64) {
                memcpy(seen[count], guest.memory.bytes + BUF + at + WASI_DIRENT_BYTES, len);
                seen[count][len] = '\0';
            }
            count++;
            cookie = get64(BUF + at);
            at += WASI_DIRENT_BYTES + len;
        }
        if (used < 70) {
            break;
        }
    }
    CHECK_INT(count, ==, 22);
    CHECK_STR(seen[0], ".");
    CHECK_STR(seen[1], "..");
    CHECK_STR(seen[21], "name19");
    CHECK_INT(FAKE_CALL(&guest, "fd_readdir", 4, BUF, 0, 0, OUT), ==, 0);
    CHECK_INT(get32(OUT), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_readdir", 4, BUF, 10, 0, OUT), ==, 0);
    CHECK_INT(get32(OUT), ==, 10);
    CHECK_INT(FAKE_CALL(&guest, "fd_readdir", 4, BUF, 100, UINT64_MAX, OUT), ==, 0);
    CHECK_INT(get32(OUT), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "fd_readdir", 4, MEMORY - 10, 11, 0, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "fd_readdir", 0, BUF, 10, 0, OUT), ==, WASI_NOTCAPABLE);
    stop();
}

TEST(tree_functions)
{
    REQUIRE(start() == 0);
    REQUIRE(make("f", "text") != 0);
    uint32_t len2 = text_at(TEXT2, "data/g");
    CHECK_INT(FAKE_CALL(&guest, "path_link", 3, 0, TEXT, text_at(TEXT, "f"), 3, TEXT2, len2), ==,
              0);
    CHECK_INT(FAKE_CALL(&guest, "path_link", 3, 1, TEXT, 1, 3, TEXT2, len2), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "path_rename", 3, TEXT, 1, 4, TEXT2, text_at(TEXT2, "h")), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_get", 4, 0, TEXT, text_at(TEXT, "h"), OUT), ==, 0);
    CHECK_INT(get64(OUT + 24), ==, 2);
    CHECK_INT(FAKE_CALL(&guest, "path_symlink", TEXT, text_at(TEXT, "data/h"), 3, TEXT2,
                        text_at(TEXT2, "s")),
              ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_get", 3, 0, TEXT2, 1, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT + 16], ==, WASI_FILETYPE_SYMBOLIC_LINK);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_get", 3, 1, TEXT2, 1, OUT), ==, 0);
    CHECK_INT(guest.memory.bytes[OUT + 16], ==, WASI_FILETYPE_REGULAR_FILE);
    CHECK_INT(path_open(3, 0, "s", 0, RW, 0, 0), ==, WASI_LOOP);
    CHECK_INT(path_open(3, 1, "s", 0, RW, 0, 0), ==, 0);
    memset(guest.memory.bytes + BUF, 0, 16);
    CHECK_INT(FAKE_CALL(&guest, "path_readlink", 3, TEXT2, 1, BUF, 4, OUT), ==, 0);
    CHECK_INT(get32(OUT), ==, 4);
    CHECK_STR((char *)guest.memory.bytes + BUF, "data");
    CHECK_INT(FAKE_CALL(&guest, "path_readlink", 3, TEXT2, 1, BUF, 0, OUT), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_set_times", 3, 1, TEXT2, 1, 1000, 2000, 5), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_get", 3, 1, TEXT2, 1, OUT), ==, 0);
    CHECK_INT(get64(OUT + 40), ==, 1000);
    CHECK_INT(get64(OUT + 48), ==, 2000);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_set_times", 3, 1, TEXT2, 1, 0, 0, 3), ==,
              WASI_INVAL); /* a time and the present at once */
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_set_times", 3, 1, TEXT2, 1, 0, 0, 16), ==,
              WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_set_times", 3, 1, TEXT2, 1, UINT64_MAX, 0, 1), ==,
              WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "path_unlink_file", 3, TEXT2, 1), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_unlink_file", 3, TEXT, text_at(TEXT, "data")), ==,
              WASI_ISDIR);
    CHECK_INT(FAKE_CALL(&guest, "path_remove_directory", 3, TEXT, 4), ==, WASI_NOTEMPTY);
    CHECK_INT(FAKE_CALL(&guest, "path_unlink_file", 4, TEXT, text_at(TEXT, "g")), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_unlink_file", 4, TEXT, text_at(TEXT, "h")), ==, 0);
    CHECK_INT(FAKE_CALL(&guest, "path_remove_directory", 3, TEXT, text_at(TEXT, "data")), ==, 0);
    stop();
}

/* Subscriptions at ARRAY, events from ARRAY + 8192. */
#define EVENTS (ARRAY + 8192)

static void subscribe_clock(uint32_t idx, uint32_t clock, uint64_t timeout, uint32_t flags)
{
    uint32_t at = ARRAY + idx * WASI_SUBSCRIPTION_BYTES;
    memset(guest.memory.bytes + at, 0, WASI_SUBSCRIPTION_BYTES);
    set64(at, 100 + idx);
    guest.memory.bytes[at + 8] = WASI_EVENT_CLOCK;
    set32(at + 16, clock);
    set64(at + 24, timeout);
    guest.memory.bytes[at + 40] = (uint8_t)flags;
}

static void subscribe_fd(uint32_t idx, uint32_t type, uint32_t fd)
{
    uint32_t at = ARRAY + idx * WASI_SUBSCRIPTION_BYTES;
    memset(guest.memory.bytes + at, 0, WASI_SUBSCRIPTION_BYTES);
    set64(at, 100 + idx);
    guest.memory.bytes[at + 8] = (uint8_t)type;
    set32(at + 16, fd);
}

static uint32_t poll_oneoff(uint32_t count)
{
    memset(guest.memory.bytes + EVENTS, 0xee, 1024);
    set32(OUT, 777);
    return FAKE_CALL(&guest, "poll_oneoff", ARRAY, EVENTS, count, OUT);
}

TEST(poll_clocks)
{
    REQUIRE(start() == 0);
    uint64_t mono = sim.monotonic_ns, real = sim.realtime_ns;
    subscribe_clock(0, WASI_CLOCK_MONOTONIC, 5000, 0);
    subscribe_clock(1, WASI_CLOCK_REALTIME, 9000, 0);
    CHECK_INT(poll_oneoff(2), ==, 0);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(get64(EVENTS), ==, 100);
    CHECK_INT(get32(EVENTS + 8) & 0xffffff, ==, 0);
    CHECK_INT(sim.monotonic_ns - mono, ==, 5000);
    subscribe_clock(0, WASI_CLOCK_REALTIME, real + 7000, WASI_SUBCLOCK_ABSTIME);
    CHECK_INT(poll_oneoff(1), ==, 0);
    CHECK_INT(sim.realtime_ns - real, ==, 7000);
    subscribe_clock(0, WASI_CLOCK_REALTIME, 1, WASI_SUBCLOCK_ABSTIME); /* long past */
    CHECK_INT(poll_oneoff(1), ==, 0);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(sim.realtime_ns - real, ==, 7000);
    subscribe_clock(0, WASI_CLOCK_MONOTONIC, 0, 0);
    CHECK_INT(poll_oneoff(1), ==, 0);
    CHECK_INT(get32(OUT), ==, 1);
    /* A clock that cannot be waited for is an event with an error. */
    subscribe_clock(0, WASI_CLOCK_PROCESS_CPUTIME, 5, 0);
    subscribe_clock(1, 99, 5, 0);
    subscribe_clock(2, WASI_CLOCK_MONOTONIC, UINT64_MAX, 0);
    CHECK_INT(poll_oneoff(3), ==, 0);
    CHECK_INT(get32(OUT), ==, 2);
    CHECK_INT(guest.memory.bytes[EVENTS + 8], ==, WASI_NOTSUP);
    CHECK_INT(guest.memory.bytes[EVENTS + 32 + 8], ==, WASI_INVAL);
    /* For ever: until interrupted. */
    guest.store.interrupted = WASM_TRAP_DEADLINE;
    subscribe_clock(0, WASI_CLOCK_MONOTONIC, UINT64_MAX, 0);
    (void)poll_oneoff(1);
    CHECK_INT(guest.trap, ==, WASM_TRAP_DEADLINE);
    stop();
}

TEST(poll_descriptors)
{
    struct libos_iov give = {"abc", 3};
    REQUIRE(start() == 0);
    uint32_t fd = make("f", "12345");
    CHECK_INT(FAKE_CALL(&guest, "fd_seek", fd, 1, 0, OUT), ==, 0);
    subscribe_fd(0, WASI_EVENT_FD_READ, 0);
    subscribe_fd(1, WASI_EVENT_FD_WRITE, 1);
    subscribe_fd(2, WASI_EVENT_FD_READ, fd);
    CHECK_INT(poll_oneoff(3), ==, 0);
    CHECK_INT(get32(OUT), ==, 2);
    CHECK_INT(get64(EVENTS), ==, 101);
    CHECK_INT(guest.memory.bytes[EVENTS + 10], ==, WASI_EVENT_FD_WRITE);
    CHECK_INT(get64(EVENTS + 32), ==, 102);
    CHECK_INT(get64(EVENTS + 32 + 16), ==, 4);
    CHECK_INT(get64(EVENTS + 64), ==, 0xeeeeeeeeeeeeeeee); /* no more was written */
    subscribe_clock(1, WASI_CLOCK_MONOTONIC, 50, 0);
    CHECK_INT(poll_oneoff(2), ==, 0); /* nothing to read: the clock */
    CHECK_INT(get64(EVENTS), ==, 101);
    CHECK_INT(libos_file_write(feed, &give, 1), ==, 3);
    CHECK_INT(poll_oneoff(2), ==, 0);
    CHECK_INT(get32(OUT), ==, 1);
    CHECK_INT(get64(EVENTS), ==, 100);
    CHECK_INT(get64(EVENTS + 16), ==, 3);
    iov(0, BUF, 3);
    CHECK_INT(FAKE_CALL(&guest, "fd_read", 0, IOV, 1, OUT), ==, 0);
    libos_file_put(feed);
    feed = NULL;
    CHECK_INT(poll_oneoff(1), ==, 0);
    CHECK_INT(guest.memory.bytes[EVENTS + 24], ==, WASI_EVENT_HANGUP);
    /* Errors are events. */
    subscribe_fd(0, WASI_EVENT_FD_READ, 99);
    subscribe_fd(1, WASI_EVENT_FD_WRITE, 0);
    CHECK_INT(poll_oneoff(2), ==, 0);
    CHECK_INT(get32(OUT), ==, 2);
    CHECK_INT(guest.memory.bytes[EVENTS + 8], ==, WASI_BADF);
    CHECK_INT(guest.memory.bytes[EVENTS + 40], ==, WASI_NOTCAPABLE);
    stop();
}

TEST(poll_bad_arguments)
{
    REQUIRE(start() == 0);
    subscribe_clock(0, WASI_CLOCK_MONOTONIC, 0, 0);
    CHECK_INT(poll_oneoff(0), ==, WASI_INVAL);
    CHECK_INT(poll_oneoff(UINT32_MAX), ==, WASI_INVAL);
    CHECK_INT(poll_oneoff(0x05555556), ==, WASI_INVAL); /* times 48: over 2^32 */
    CHECK_INT(poll_oneoff(WASI_SUBSCRIPTIONS_MAX), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "poll_oneoff", MEMORY - 47, EVENTS, 1, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "poll_oneoff", ARRAY, MEMORY - 31, 1, OUT), ==, WASI_FAULT);
    CHECK_INT(FAKE_CALL(&guest, "poll_oneoff", ARRAY, EVENTS, 1, MEMORY - 3), ==, WASI_FAULT);
    guest.memory.bytes[ARRAY + 8] = 3;
    CHECK_INT(poll_oneoff(1), ==, WASI_INVAL);
    stop();
}

TEST(sockets_without_one)
{
    REQUIRE(start() == 0);
    uint32_t fd = make("f", "x");
    iov(0, BUF, 4);
    CHECK_INT(FAKE_CALL(&guest, "sock_accept", fd, 0, OUT), ==, WASI_NOTCAPABLE);
    CHECK_INT(FAKE_CALL(&guest, "sock_accept", 77, 0, OUT), ==, WASI_BADF);
    CHECK_INT(FAKE_CALL(&guest, "sock_recv", fd, IOV, 1, 0, OUT, OUT + 4), ==, WASI_NOTSOCK);
    CHECK_INT(FAKE_CALL(&guest, "sock_recv", fd, IOV, 1, 4, OUT, OUT + 4), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "sock_send", fd, IOV, 1, 0, OUT), ==, WASI_NOTSOCK);
    CHECK_INT(FAKE_CALL(&guest, "sock_send", fd, IOV, 1, 1, OUT), ==, WASI_INVAL);
    CHECK_INT(FAKE_CALL(&guest, "sock_shutdown", fd, 1), ==, WASI_NOTCAPABLE);
    stop();
}

TEST(descriptors_run_out)
{
    REQUIRE(start_with(8, false) == 0);
    CHECK_INT(make("a", ""), ==, 5);
    CHECK_INT(make("b", ""), ==, 6);
    CHECK_INT(make("c", ""), ==, 7);
    CHECK_INT(path_open(3, 0, "d", WASI_OFLAG_CREAT, ALL, 0, 0), ==, WASI_MFILE);
    /* And no file was made that nobody can hold. */
    CHECK_INT(FAKE_CALL(&guest, "path_filestat_get", 3, 0, TEXT, 1, OUT), ==, WASI_NOENT);
    stop();
    CHECK_INT(start_with(4, false), ==, WM_E_LIMIT); /* 3 streams and 2 directories do not fit */
    stop();
}

TEST(every_allocation_may_fail)
{
    unsigned rounds = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n); rounds++) {
        int rc = start();
        if (rc == 0) {
            uint32_t fd = make("f", "text");
            subscribe_fd(0, WASI_EVENT_FD_READ, fd);
            uint32_t polled = poll_oneoff(1);
            bool fired = wm_fault_fired(WM_FAULT_ALLOC);
            CHECK(fired || (fd == 5 && polled == 0));
            /* Without the file it is standard input that is polled, to which nothing comes. */
            CHECK(polled == 0 || polled == WASI_NOMEM || (fd == 0 && polled == WASI_INTR));
        } else {
            CHECK(rc == -LIBOS_ENOMEM);
        }
        stop();
    }
    CHECK_INT(rounds, >, 20);
}

TEST_MAIN(TEST_CASE(all_functions_are_there), TEST_CASE(arguments_and_environment),
          TEST_CASE(clocks_and_randomness), TEST_CASE(exit_and_signals), TEST_CASE(read_write_seek),
          TEST_CASE(buffers_are_proved_first), TEST_CASE(paths_are_checked),
          TEST_CASE(open_gives_the_rights_asked_for), TEST_CASE(flags_of_files),
          TEST_CASE(standard_streams), TEST_CASE(the_store_interrupts_a_library_os_of_its_own),
          TEST_CASE(suspension_asks_on_input_only), TEST_CASE(preopens_are_found_by_name),
          TEST_CASE(a_reset_puts_descriptors_back), TEST_CASE(a_reset_gives_other_strings),
          TEST_CASE(readdir_pages_through), TEST_CASE(tree_functions), TEST_CASE(poll_clocks),
          TEST_CASE(poll_descriptors), TEST_CASE(poll_bad_arguments),
          TEST_CASE(sockets_without_one), TEST_CASE(descriptors_run_out),
          TEST_CASE(every_allocation_may_fail))
