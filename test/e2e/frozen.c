/* frozen.c: freezes a WASI program where it first reads its input, and continues it from the file.
 *
 *     frozen freeze   MODULE TIER IMAGE [ARG...]   runs the program up to its first read of input
 *     frozen continue MODULE TIER IMAGE < LINES    once per line: a fresh instance of the image
 * reads that line as its whole input
 *
 * Two processes, so that nothing but the image file joins them; each may use another tier. On
 * standard error it says what the start and each continuation took. Test code: what fails ends it,
 * status 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/engine.h"
#include "libos/libos.h"
#include "port/file.h"
#include "port/machine.h"
#include "wasi/wasi.h"
#include "wasm/suspend.h"

static struct wm_diag diag = WM_DIAG_INIT;

static void must(int rc, const char *what)
{
    if (rc != 0) {
        fprintf(stderr, "frozen: %s: %s\n", what, wm_diag_text(&diag));
        exit(1);
    }
}

struct guest { /* what one run of the program has of the machine */
    struct libos os;
    struct libos_file *stdio[3];
    struct wasi *wasi;
};

static void guest_begin(struct guest *guest, int input, const char *const *args, size_t arg_count,
                        bool suspend)
{
    static const char *const env[] = {"PYTHONHASHSEED=0"};
    const int fds[3] = {input, 1, 2};
    libos_init(&guest->os, port_machine());
    for (int i = 0; i < 3; i++) {
        must(port_file_share(&guest->os, fds[i], i == 0 ? LIBOS_READ : LIBOS_WRITE,
                             &guest->stdio[i]),
             "a standard stream");
    }
    struct wasi_config config = {.os = &guest->os,
                                 .args = args,
                                 .arg_count = arg_count,
                                 .env = env,
                                 .env_count = 1,
                                 .stdio = {guest->stdio[0], guest->stdio[1], guest->stdio[2]},
                                 .suspend_on_input = suspend};
    must(wasi_new(&config, &guest->wasi, &diag), "wasi");
}

static void guest_end(struct guest *guest)
{
    wasi_free(guest->wasi);
    for (int i = 0; i < 3; i++) {
        libos_file_put(guest->stdio[i]);
    }
}

static struct wasm_object *load(const char *path, const char *tier)
{
    struct wm_view bytes = test_file_read(path);
    struct wasm_options options = {.mode = WASM_MODE_GUARD,
                                   .tier = (enum wasm_tier)test_tier_of(tier),
                                   .cpu = wasm_cpu_of_this_machine()};
    struct wasm_object *object;
    must(test_object_compile(bytes, &options, &object, &diag), path);
    free((void *)bytes.ptr);
    return object;
}

static void freeze(const struct wasm_object *object, const char *path, const char *const *args,
                   size_t arg_count)
{
    struct wasm_store *store;
    struct wasm_instance *instance;
    struct wasm_image *image;
    struct guest guest;
    guest_begin(&guest, STDIN_FILENO, args, arg_count, true);
    must(wasm_store_new(NULL, &store, &diag), "store");
    must(wasm_instance_new(store, object, wasi_resolve, guest.wasi, &instance, &diag), "instance");
    int64_t begin = test_now_ns();
    must(wasm_suspend_run(instance, "_start", &image, &diag), "running to the first input");
    fprintf(stderr, "frozen after %lld us\n", (long long)(test_now_ns() - begin) / 1000);
    FILE *out = fopen(path, "wb");
    must(out ? wasm_image_write(image, fileno(out), &diag) : -1, path);
    must(fclose(out), path);
    wasm_image_put(image);
    wasm_store_free(store);
    guest_end(&guest);
}

/* The line as a file of its own, so that the program sees its end. */
static int input_of(const char *line)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    size_t len = strlen(line);
    must(fd < 0 || write(fd, line, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0, "input");
    return fd;
}

static void go_on(const struct wasm_object *object, const char *path)
{
    struct wasm_image *image;
    FILE *in = fopen(path, "rb");
    must(in ? wasm_image_read(fileno(in), object, &image, &diag) : -1, path);
    fclose(in);
    static const char *const no_args[] = {"frozen"};
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        struct wasm_pool_config config = {.slots = 1};
        struct wasm_pool *pool;
        struct wasm_slot *slot;
        struct guest guest;
        int input = input_of(line);
        guest_begin(&guest, input, no_args, 1, true);
        int64_t begin = test_now_ns();
        must(wasm_pool_new(&config, &pool, &diag), "pool");
        must(wasm_pool_take(pool, image, wasi_resolve, guest.wasi, &slot, &diag), "slot");
        enum wasm_trap trap = wasm_suspend_continue(wasm_slot_instance(slot), "_start");
        fprintf(stderr, "continued for %lld us\n", (long long)(test_now_ns() - begin) / 1000);
        if (trap != WASM_TRAP_NONE && (trap != WASM_TRAP_EXIT || wasi_exit_status(guest.wasi))) {
            fprintf(stderr, "frozen: continuing: %s\n", wasm_trap_text(trap));
            exit(1);
        }
        wasm_pool_put(pool, slot);
        wasm_pool_free(pool);
        guest_end(&guest);
        close(input);
    }
    wasm_image_put(image);
}

int main(int argc, char **argv)
{
    if (argc < 5 || test_tier_of(argv[3]) < 0) {
        fprintf(stderr, "usage: frozen freeze|continue MODULE O0|optimised IMAGE [ARG...]\n");
        return 2;
    }
    struct wasm_object *object = load(argv[2], argv[3]);
    if (strcmp(argv[1], "freeze") == 0) {
        char *image = argv[4];
        argv[4] = argv[2]; /* args[0] is the name of the program */
        freeze(object, image, (const char *const *)argv + 4, (size_t)argc - 4);
    } else {
        go_on(object, argv[4]);
    }
    wasm_object_close(object);
    return 0;
}
