/* Any sequence of WASI calls with any arguments, against files in memory and a machine that is not
 * there.
 *
 * Input: records. A byte chooses the function; for each parameter a byte says how the value is
 * made, so that a random input soon gets past the first check: a small number, a number near the
 * end of memory, an address of a fixed place, or 4 or 8 bytes as they are. A function byte past
 * the last writes bytes into guest memory instead. What is looked for is what AddressSanitizer and
 * our own assertions see, a call that never ends, and an errno that WASI does not have. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/view.h"
#include "libos/memfs.h"
#include "libos/pipe.h"
#include "libos/sim.h"
#include "wasi/fake_guest.h"

#define MEMORY 65536u
#define CALLS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *name;
    const char *signature;
} functions[] = {
#define ROW(name, signature) {#name, signature},
    WASI_FUNC_TABLE(ROW) WASI_NET_FUNC_TABLE(ROW)
#undef ROW
};

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

static uint64_t take_argument(struct wm_cursor *cursor)
{
    uint8_t kind = 0;
    uint32_t word = 0;
    uint64_t wide = 0;
    if (!wm_cursor_u8(cursor, &kind)) {
        return 0;
    }
    switch (kind >> 5) {
    case 0:
    case 1:
    case 2: return kind & 0x1f;                       /* a descriptor, a length, a flag */
    case 3: return MEMORY - (kind & 0x1f);            /* around the end */
    case 4: return 0x1000u + (kind & 0x1fu) * 0x400u; /* a place */
    case 5: return (uint64_t)0 - (kind & 0x1f);       /* -1 and its neighbours */
    case 6: return wm_cursor_u32(cursor, &word) ? word : 0;
    default: return wm_cursor_u64(cursor, &wide) ? wide : 0;
    }
}

/* A socket that is connected to nobody and hears nothing. */
static void socket_close(struct libos_file *file)
{
    libos_free(file->os, file, sizeof *file);
}

static int socket_stat(struct libos_file *file, struct libos_stat *out)
{
    *out = (struct libos_stat){.kind = file->kind};
    return 0;
}

static int64_t socket_recv(struct libos_file *file, const struct libos_iov *iov, size_t count,
                           uint32_t flags, bool *truncated)
{
    (void)file, (void)iov, (void)count, (void)flags, (void)truncated;
    return 0;
}

static int socket_connect(struct libos_file *file, const struct libos_address *to)
{
    (void)file;
    WM_ASSERT(to->port != 1); /* what the rule refuses does not get here */
    return 0;
}

static int socket_name(struct libos_file *file, bool peer, struct libos_address *out)
{
    (void)file, (void)peer;
    *out = (struct libos_address){.family = LIBOS_INET6, .ip = {1, 2, 3}, .port = 4};
    return 0;
}

static int socket_new(struct libos *os, enum libos_family family, bool datagram,
                      struct libos_file **out)
{
    static const struct libos_socket_ops calls = {
        .recv = socket_recv, .connect = socket_connect, .name = socket_name};
    static const struct libos_file_ops ops = {
        .close = socket_close, .stat = socket_stat, .socket = &calls};
    struct libos_file *file = libos_alloc(os, sizeof *file);
    (void)family;
    if (!file) {
        return -LIBOS_ENOMEM;
    }
    libos_file_init(file, os, &ops, datagram ? LIBOS_KIND_SOCKET_DGRAM : LIBOS_KIND_SOCKET_STREAM,
                    LIBOS_READ | LIBOS_WRITE);
    *out = file;
    return 0;
}

static bool allow(void *self, const struct libos_address *address, bool datagram)
{
    (void)self, (void)datagram;
    return address->port != 1;
}

static int64_t resolve_name(void *self, const char *name, struct libos_address *out, size_t most)
{
    (void)self;
    for (size_t i = 0; i < most; i++) {
        out[i] = (struct libos_address){.family = LIBOS_INET, .port = (uint16_t)strlen(name)};
    }
    return 1000; /* more than was asked for */
}

/* Names, an array of buffers and a subscription, so that few bytes of input make a sensible call.
 */
static void furnish(struct fake_guest *guest)
{
    static const char *const names[] = {"f", "data", "data/g", "../x", "link", "a/../f", "/", "."};
    for (uint32_t i = 0; i < 8; i++) {
        memcpy(guest->memory.bytes + 0x1000 + i * 0x400, names[i], strlen(names[i]) + 1);
    }
    static const uint32_t pairs[] = {0x8000, 16, 0x8100, 4096, 0xfff0, 16, 0xfff8, 32};
    memcpy(guest->memory.bytes + 0x3000, pairs, sizeof pairs);
    guest->memory.bytes[0x3400 + 8] = 1;       /* FD_READ of descriptor 0 */
    guest->memory.bytes[0x3400 + 48 + 24] = 9; /* and a clock */
}

static bool set_up(struct libos *os, struct fake_guest *guest)
{
    static const char *const strings[] = {"name", "A=b"};
    static const struct libos_memfs_limits limits = {1 << 20, 64};
    static const struct wasi_net net = {
        .socket = socket_new, .allow = allow, .resolve = resolve_name, .limit = 8};
    struct libos_file *root = NULL, *in = NULL, *feed = NULL;
    struct libos_iov text = {"some input\n", 11};
    struct wm_diag diag = WM_DIAG_INIT;
    bool ready = fake_guest_init(guest, MEMORY) && libos_memfs_new(os, &limits, &root) == 0 &&
                 libos_pipe_new(os, &in, &feed) == 0 && libos_mkdir(root, "data") == 0 &&
                 libos_symlink(root, "data/g", "link") == 0 &&
                 libos_file_write(feed, &text, 1) == 11;
    if (ready) {
        struct wasi_preopen preopen = {"/", root};
        struct wasi_config config = {.os = os,
                                     .args = strings,
                                     .arg_count = 2,
                                     .env = strings,
                                     .env_count = 2,
                                     .stdio = {in, NULL, feed},
                                     .preopens = &preopen,
                                     .preopen_count = 1,
                                     .net = &net,
                                     .fd_limit = 32};
        ready = wasi_new(&config, &guest->wasi, &diag) == 0;
    }
    libos_file_put(root);
    libos_file_put(in);
    libos_file_put(feed);
    return ready;
}

static void one_step(struct fake_guest *guest, struct wm_cursor *cursor)
{
    uint8_t choice;
    if (!wm_cursor_u8(cursor, &choice)) {
        return;
    }
    if (choice >= WM_COUNT_OF(functions)) {
        struct wm_view bytes;
        uint32_t at = (uint32_t)take_argument(cursor) % MEMORY;
        size_t len = choice & 0x3f;
        if (len <= MEMORY - at && wm_cursor_bytes(cursor, len, &bytes)) {
            memcpy(guest->memory.bytes + at, bytes.ptr, len);
        }
        return;
    }
    uint64_t args[16];
    size_t count = strcspn(functions[choice].signature, ":");
    for (size_t i = 0; i < count; i++) {
        args[i] = take_argument(cursor);
    }
    uint32_t rc = fake_call(guest, functions[choice].name, args, count);
    WM_ASSERT(guest->trap == WASM_TRAP_NONE ? rc <= WASI_NOTCAPABLE
                                            : guest->trap == WASM_TRAP_EXIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct libos_backend memory = {.resize = resize};
    struct wm_cursor cursor = wm_cursor_of(wm_view_of(data, size));
    struct libos_sim sim;
    struct libos os;
    struct fake_guest guest;
    libos_sim_init(&sim, &memory, size, UINT64_C(1700000000000000000));
    libos_init(&os, &sim.backend);
    os.interrupted = libos_sim_stuck; /* nobody else ever fills a pipe: such a wait ends at once */
    os.interrupted_arg = &sim;
    if (set_up(&os, &guest)) {
        furnish(&guest);
        for (int i = 0; i < CALLS_MAX && !wm_cursor_done(&cursor); i++) {
            one_step(&guest, &cursor);
        }
    }
    fake_guest_fini(&guest);
    return 0;
}
