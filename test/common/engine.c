#include "common/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "wasm/compile.h"
#include "wasm/module.h"

static WM_NORETURN void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}

struct wm_view test_file_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        die(path, strerror(errno));
    }
    size_t len = (size_t)st.st_size;
    uint8_t *bytes = malloc(len + 1);
    if (!bytes) {
        die(path, "no memory");
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = read(fd, bytes + done, len - done);
        if (n <= 0) {
            die(path, n < 0 ? strerror(errno) : "shorter than it was");
        }
        done += (size_t)n;
    }
    close(fd);
    return wm_view_of(bytes, len);
}

static int memfd_of(const char *name, struct wm_view bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) {
        die("memfd_create", strerror(errno));
    }
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);
        if (n < 0) {
            die("write to a memfd", strerror(errno));
        }
        done += (size_t)n;
    }
    if (lseek(fd, 0, SEEK_SET) != 0) {
        die("lseek", strerror(errno));
    }
    return fd;
}

/* The tables of a fresh object must prove themselves as they do on their way into the cache. */
static int check_object(int fd, struct wm_diag *diag)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return wm_diag_set(diag, -errno, "object: fstat: %s", strerror(errno));
    }
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED) {
        return wm_diag_set(diag, -errno, "object: mmap: %s", strerror(errno));
    }
    int rc = wasm_object_check(wm_view_of(map, (size_t)st.st_size), true, diag);
    munmap(map, (size_t)st.st_size);
    return rc;
}

int test_object_compile(struct wm_view module, const struct wasm_options *options,
                        struct wasm_object **out, struct wm_diag *diag)
{
    int module_fd = memfd_of("module", module);
    int object_fd = memfd_of("object", wm_view_of(NULL, 0));
    struct wasm_compile_job job = {
        .module_fd = module_fd, .object_fd = object_fd, .options = *options};
    int rc = wasm_compile(&job, diag);
    if (rc == 0) {
        rc = check_object(object_fd, diag);
    }
    if (rc == 0) {
        rc = wasm_object_open(object_fd, out, diag);
    }
    close(module_fd);
    close(object_fd);
    return rc;
}

int test_module_check(struct wm_view bytes, struct wm_diag *diag)
{
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    struct wasm_module *module = NULL;
    int rc = wasm_module_decode(bytes, &arena, &module, diag);
    if (rc == 0) {
        rc = wasm_module_validate(module, diag);
    }
    wm_arena_fini(&arena);
    return rc;
}

int test_mode_of(const char *name)
{
    for (int mode = WASM_MODE_GUARD; mode <= WASM_MODE_DET; mode++) {
        if (strcmp(name, wasm_mode_name((enum wasm_mode)mode)) == 0) {
            return mode;
        }
    }
    return -1;
}

int test_tier_of(const char *name)
{
    for (int tier = WASM_TIER_O0; tier <= WASM_TIER_OPTIMISED; tier++) {
        if (strcmp(name, wasm_tier_name((enum wasm_tier)tier)) == 0) {
            return tier;
        }
    }
    return -1;
}

int64_t test_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
