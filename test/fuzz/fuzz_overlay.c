/* Any sequence of operations on a union of two directories, against the same on a plain file
 * system: the same results, and after a reset what was there at first.
 *
 * Input: pairs of bytes make the two read-only layers (the first 16), then operations. A byte
 * chooses what to do, each further byte a path of up to three short names. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/view.h"
#include "libos/overlay.h"
#include "libos/sim.h"

#define STEPS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

static const char *take_path(struct wm_cursor *cursor, char out[16])
{
    static const char *const names[] = {"a", "b", "c", ".."};
    uint8_t byte = 0;
    if (!wm_cursor_u8(cursor, &byte)) {
        byte = 0;
    }
    size_t len = 0;
    for (unsigned i = 0; i <= (byte >> 6) % 3; i++) {
        len +=
            (size_t)snprintf(out + len, 16 - len, "%s%s", i ? "/" : "", names[byte >> (2 * i) & 3]);
    }
    return out;
}

static int put(struct libos_file *dir, const char *path, uint32_t flags, const char *text)
{
    struct libos_file *file;
    int rc = libos_open(dir, path, LIBOS_WRITE | flags, &file);
    if (rc != 0) {
        return rc;
    }
    struct libos_iov iov = {(void *)text, strlen(text)};
    int64_t done = libos_file_write(file, &iov, 1);
    libos_file_put(file);
    return (int)done;
}

static int step(struct libos_file *dir, unsigned what, const char *path, const char *other)
{
    switch (what % 8) {
    case 0: return put(dir, path, LIBOS_CREATE | LIBOS_TRUNCATE, other);
    case 1: return put(dir, path, LIBOS_APPEND, other);
    case 2: return libos_mkdir(dir, path);
    case 3: return libos_remove(dir, path, false);
    case 4: return libos_remove(dir, path, true);
    case 5: return libos_rename(dir, path, dir, other);
    case 6: return libos_link(dir, path, dir, other);
    default: return libos_symlink(dir, other, path);
    }
}

struct sum {
    struct libos_file *dir;
    uint64_t value;
    unsigned depth;
};

static uint64_t mix(uint64_t sum, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ ((const uint8_t *)bytes)[i]) * UINT64_C(1099511628211);
    }
    return sum;
}

/* A number for a whole tree, whatever the order of its names. */
static bool add_entry(void *arg, const struct libos_dirent *entry)
{
    struct sum *all = arg;
    char name[16] = "", text[600] = "";
    struct libos_file *file;
    if (entry->name[0] == '.' || all->depth > 12) {
        return true;
    }
    memcpy(name, entry->name, entry->name_len);
    uint64_t value = mix(entry->kind, name, sizeof name);
    if (entry->kind == LIBOS_KIND_DIR &&
        libos_open(all->dir, name, LIBOS_READ | LIBOS_DIRECTORY, &file) == 0) {
        struct sum below = {file, 0, all->depth + 1};
        WM_ASSERT(libos_readdir(file, 0, add_entry, &below) == 0);
        value = mix(value, &below.value, 8);
        libos_file_put(file);
    } else if (entry->kind == LIBOS_KIND_SYMLINK) {
        int64_t len = libos_readlink(all->dir, name, text, sizeof text);
        value = mix(value, text, (size_t)len);
    } else if (libos_open(all->dir, name, LIBOS_READ, &file) == 0) {
        struct libos_iov iov = {text, sizeof text};
        int64_t len = libos_file_read(file, &iov, 1);
        value = mix(value, text, (size_t)len);
        libos_file_put(file);
    }
    all->value += value;
    return true;
}

static uint64_t sum_of(struct libos_file *root)
{
    struct sum all = {root, 0, 0};
    WM_ASSERT(libos_readdir(root, 0, add_entry, &all) == 0);
    return all.value;
}

static bool copy_entry(void *arg, const struct libos_dirent *entry);

struct copying {
    struct libos_file *from, *to;
};

static void copy_tree(struct libos_file *from, struct libos_file *to)
{
    struct copying both = {from, to};
    WM_ASSERT(libos_readdir(from, 0, copy_entry, &both) == 0);
}

static bool copy_entry(void *arg, const struct libos_dirent *entry)
{
    struct copying *both = arg;
    char name[16] = "", text[600] = "";
    struct libos_file *in, *out;
    if (entry->name[0] == '.') {
        return true;
    }
    memcpy(name, entry->name, entry->name_len);
    if (entry->kind == LIBOS_KIND_DIR) {
        WM_ASSERT(libos_mkdir(both->to, name) == 0 &&
                  libos_open(both->from, name, LIBOS_READ | LIBOS_DIRECTORY, &in) == 0 &&
                  libos_open(both->to, name, LIBOS_READ | LIBOS_DIRECTORY, &out) == 0);
        copy_tree(in, out);
        libos_file_put(in);
        libos_file_put(out);
    } else if (entry->kind == LIBOS_KIND_SYMLINK) {
        WM_ASSERT(libos_readlink(both->from, name, text, sizeof text - 1) > 0 &&
                  libos_symlink(both->to, text, name) == 0);
    } else {
        struct libos_iov iov = {text, sizeof text - 1};
        WM_ASSERT(libos_open(both->from, name, LIBOS_READ, &in) == 0 &&
                  libos_file_read(in, &iov, 1) >= 0 &&
                  put(both->to, name, LIBOS_CREATE, text) >= 0);
        libos_file_put(in);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct libos_backend memory = {.resize = resize};
    struct wm_cursor cursor = wm_cursor_of(wm_view_of(data, size));
    struct libos_sim sim;
    struct libos os;
    struct libos_file *lowers[2], *model, *root;
    char path[16], other[16];
    uint8_t what;
    libos_sim_init(&sim, &memory, 1, UINT64_C(1700000000000000000));
    libos_init(&os, &sim.backend);
    WM_ASSERT(libos_memfs_new(&os, NULL, &lowers[0]) == 0 &&
              libos_memfs_new(&os, NULL, &lowers[1]) == 0 &&
              libos_memfs_new(&os, NULL, &model) == 0);
    for (unsigned i = 0; i < 16 && wm_cursor_u8(&cursor, &what); i++) {
        take_path(&cursor, path);
        if (what % 8 != 6) { /* links below end at a copy: overlay.h */
            (void)step(lowers[what >> 7], what, path, take_path(&cursor, other));
        }
    }
    libos_memfs_seal(lowers[0]);
    libos_memfs_seal(lowers[1]);
    struct libos_overlay_config config = {.lowers = lowers, .lower_count = 2};
    WM_ASSERT(libos_overlay_new(&os, &config, &root) == 0);
    copy_tree(root, model);
    uint64_t first = sum_of(root);
    for (unsigned i = 0; i < STEPS_MAX && wm_cursor_u8(&cursor, &what); i++) {
        take_path(&cursor, path);
        take_path(&cursor, other);
        int rc = step(root, what, path, other);
        WM_ASSERT(rc == step(model, what, path, other));
        if (rc >= 0) {
            WM_ASSERT(sum_of(root) == sum_of(model));
        }
    }
    libos_overlay_reset(root);
    WM_ASSERT(sum_of(root) == first);
    libos_file_put(root);
    libos_file_put(model);
    libos_file_put(lowers[0]);
    libos_file_put(lowers[1]);
    return 0;
}
