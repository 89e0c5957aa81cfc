/* The cache folder (doc/format/cache.md).
 *
 *     DIR/key                         32 random bytes, mode 0600: authenticates the stamps
 *     DIR/lock                        held while an object and its stamp are changed
 *     DIR/objects/KEYHASH.o           an object; KEYHASH is the SHA-256 of its wasm_object_key
 *     DIR/objects/KEYHASH.stamp       what it was when it was last found whole
 *     DIR/objects/KEYHASH.failed      a stamp: the compiler failed to make it
 *     DIR/modules/DEV-INO.stamp       the SHA-256 of a module file
 *
 * A stamp says: the file that had this identity (device, inode, size, times) had this content.
 * While the identity still fits, the content is not looked at. The kernel changes ctime on every
 * write, truncation, chmod and rename, and no call sets it, so identity can be kept only by not
 * touching the file; except within one clock tick, hence the racy rule. Forging a stamp takes the
 * key, and reading the key takes the user's own rights, with which the attacker has won already.
 *
 * Two files cannot be changed in one step, so `lock` orders writers, and a reader who sees an
 * object and a stamp that do not belong together takes the lock and looks again before it believes
 * it. */
#include "wasm/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/vec.h"
#include "crypto/hash.h"
#include "host/file.h"

#define STAMP_MAGIC "WMSTAMP1"
#define OBJECT_BYTES_MAX (UINT64_C(8) << 30)
#define NAME_BYTES 80
#define FORBIDDEN_MODE (S_IWGRP | S_IWOTH)

enum stamp_kind { STAMP_OBJECT = 1, STAMP_MODULE = 2, STAMP_FAILED = 3 };

/* 160 bytes, no padding. */
struct stamp {
    uint8_t magic[8];
    uint64_t kind;
    struct host_file_id id;
    int64_t made_ns;                  /* when the content was read */
    uint8_t subject[WM_SHA256_BYTES]; /* object, failed: SHA-256 of its key; module: zeroes */
    uint8_t content[WM_SHA256_BYTES]; /* object: of its header; module: of all bytes; or zeroes */
    uint8_t mac[WM_MAC_BYTES];        /* over all before */
};
_Static_assert(sizeof(struct stamp) == 160, "format");

struct wasm_cache {
    char *path;
    int dir_fd, objects_fd, modules_fd;
    uint8_t key[WM_MAC_KEY_BYTES];
};

static void hex(char *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * len] = 0;
}

/* --- Opening --- */

int wasm_cache_default_path(char out[PATH_MAX], struct wm_diag *diag)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int wanted;
    /* The XDG base directory specification: relative paths are to be ignored. */
    if (base && base[0] == '/') {
        wanted = snprintf(out, PATH_MAX, "%s/wardmote", base);
    } else if (home && home[0] == '/') {
        wanted = snprintf(out, PATH_MAX, "%s/.cache/wardmote", home);
    } else {
        return wm_diag_set(diag, WM_E_MISSING,
                           "cache: no folder for it: neither XDG_CACHE_HOME nor HOME is set");
    }
    if (wanted >= PATH_MAX) {
        return wm_diag_set(diag, -ENAMETOOLONG, "cache: the path of its folder is too long");
    }
    return 0;
}

static void make_folders_above(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0700); /* what fails here fails again below, where it is reported */
        *slash = '/';
    }
}

/* Opens the folder `name`, made where it is missing; it must be ours alone to write to. The user
 * may have put a link in the cache's own place, but within it there are none. */
static int open_folder(int at_fd, const char *name, const char *shown, struct wm_diag *diag)
{
    int follow = at_fd == AT_FDCWD ? 0 : O_NOFOLLOW;
    if (wm_fault_here(WM_FAULT_IO)) {
        return wm_diag_default(diag, -EIO, "cache");
    }
    if (mkdirat(at_fd, name, 0700) != 0 && errno != EEXIST) {
        int err = -errno;
        return wm_diag_set(diag, err, "cache: making %s: %s", shown, wm_error_text(err));
    }
    int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow);
    if (fd < 0) {
        int err = -errno;
        return wm_diag_set(diag, err, "cache: opening %s: %s", shown, wm_error_text(err));
    }
    struct host_file_info info = {0};
    int err = host_file_info(fd, &info);
    if (err) {
        wm_diag_default(diag, err, "cache");
    } else if (info.uid != geteuid()) {
        err = wm_diag_set(diag, WM_E_DENIED, "cache: %s belongs to another user (%u)", shown,
                          info.uid);
    } else if (info.mode & FORBIDDEN_MODE) {
        err = wm_diag_set(diag, WM_E_DENIED,
                          "cache: others may write to %s; take that away (chmod go-w) or choose "
                          "another folder",
                          shown);
    } else if ((info.mode & 0777) != 0700 && fchmod(fd, 0700) != 0) {
        err = wm_diag_default(diag, -errno, "cache: chmod");
    }
    if (err) {
        host_file_close(fd);
        return err;
    }
    return fd;
}

static int read_key(struct wasm_cache *cache, struct wm_diag *diag)
{
    int fd = host_file_open(cache->dir_fd, "key");
    if (fd < 0) {
        return fd == -ENOENT ? fd : wm_diag_default(diag, fd, "cache: its key");
    }
    struct host_file_info info = {0};
    int err = host_file_info(fd, &info);
    if (!err && (!S_ISREG(info.mode) || info.uid != geteuid() || (info.mode & 0077) ||
                 info.id.bytes != sizeof cache->key)) {
        err = wm_diag_set(diag, WM_E_DENIED,
                          "cache: %s/key is not a key of ours that only we can read; remove it to "
                          "start the cache anew",
                          cache->path);
    }
    err = err ? err : host_file_read_at(fd, 0, cache->key, sizeof cache->key);
    host_file_close(fd);
    return err ? wm_diag_default(diag, err, "cache: its key") : 0;
}

/* Of several processes that start on an empty cache, one makes the key and all read it. */
static int find_key(struct wasm_cache *cache, struct wm_diag *diag)
{
    int err = read_key(cache, diag);
    if (err != -ENOENT) {
        return err;
    }
    uint8_t key[WM_MAC_KEY_BYTES];
    wm_random_bytes(key, sizeof key);
    err = host_file_create(cache->dir_fd, "key", wm_view_of(key, sizeof key), 0600, true, NULL);
    if (err && err != -EEXIST) {
        return wm_diag_default(diag, err, "cache: making its key");
    }
    return wm_diag_default(diag, read_key(cache, diag), "cache: its key");
}

int wasm_cache_open(const char *path, struct wasm_cache **out, struct wm_diag *diag)
{
    char text[PATH_MAX];
    int err;
    if (!path) {
        err = wasm_cache_default_path(text, diag);
        if (err) {
            return err;
        }
        make_folders_above(text);
        path = text;
    }
    struct wasm_cache *cache = wm_alloc_zero(1, sizeof *cache);
    if (!cache) {
        return wm_diag_default(diag, -ENOMEM, "cache");
    }
    cache->dir_fd = cache->objects_fd = cache->modules_fd = -1;
    cache->path = wm_strdup(path);
    if (!cache->path) {
        err = wm_diag_default(diag, -ENOMEM, "cache");
        goto out;
    }
    err = cache->dir_fd = open_folder(AT_FDCWD, path, path, diag);
    if (err < 0) {
        goto out;
    }
    err = cache->objects_fd = open_folder(cache->dir_fd, "objects", "its objects", diag);
    if (err < 0) {
        goto out;
    }
    err = cache->modules_fd = open_folder(cache->dir_fd, "modules", "its modules", diag);
    if (err < 0) {
        goto out;
    }
    err = find_key(cache, diag);
out:
    if (err < 0) {
        wasm_cache_close(cache);
        return err;
    }
    *out = cache;
    return 0;
}

void wasm_cache_close(struct wasm_cache *cache)
{
    if (!cache) {
        return;
    }
    host_file_close(cache->dir_fd);
    host_file_close(cache->objects_fd);
    host_file_close(cache->modules_fd);
    wm_free(cache->path);
    explicit_bzero(cache->key, sizeof cache->key);
    wm_free(cache);
}

const char *wasm_cache_path(const struct wasm_cache *cache)
{
    return cache->path;
}

/* The descriptor of the lock, held; closing it lets go. Or a negative errno. */
static int take_lock(struct wasm_cache *cache)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(cache->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            int err = -errno;
            host_file_close(fd);
            return err;
        }
    }
    return fd;
}

/* --- Stamps --- */

static void seal(const struct wasm_cache *cache, const struct stamp *stamp, uint8_t mac[32])
{
    wm_mac(cache->key, wm_view_of(stamp, offsetof(struct stamp, mac)), mac);
}

/* False when there is none, or none of ours. */
static bool read_stamp(const struct wasm_cache *cache, int dir_fd, const char *name,
                       enum stamp_kind kind, struct stamp *out)
{
    uint8_t mac[WM_MAC_BYTES];
    int fd = host_file_open(dir_fd, name);
    if (fd < 0) {
        return false;
    }
    int err = host_file_read_at(fd, 0, out, sizeof *out);
    host_file_close(fd);
    if (err || memcmp(out->magic, STAMP_MAGIC, sizeof out->magic) != 0 ||
        out->kind != (uint64_t)kind) {
        return false;
    }
    seal(cache, out, mac);
    return wm_bytes_equal(mac, out->mac, sizeof mac);
}

static int write_stamp(const struct wasm_cache *cache, int dir_fd, const char *name,
                       struct stamp *stamp)
{
    memcpy(stamp->magic, STAMP_MAGIC, sizeof stamp->magic);
    seal(cache, stamp, stamp->mac);
    return host_file_replace(dir_fd, name, wm_view_of(stamp, sizeof *stamp), 0600, false, NULL);
}

/* Was the content read long enough after the file's last change that a later change must show? A
 * clock that was set back makes the difference negative: not trusted either. */
static bool settled(const struct stamp *stamp)
{
    int64_t last =
        stamp->id.ctime_ns > stamp->id.mtime_ns ? stamp->id.ctime_ns : stamp->id.mtime_ns;
    return stamp->made_ns - last >= WASM_CACHE_RACY_NS;
}

/* --- Modules --- */

static int hash_file(int fd, uint8_t sha256[32])
{
    uint8_t *buffer = wm_alloc(256 << 10);
    struct wm_sha256 hash;
    if (!buffer) {
        return -ENOMEM;
    }
    wm_sha256_init(&hash);
    int err = 0;
    for (;;) {
        ssize_t got = wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : read(fd, buffer, 256 << 10);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            err = got < 0 ? -errno : 0;
            break;
        }
        wm_sha256_add(&hash, wm_view_of(buffer, (size_t)got));
    }
    wm_sha256_end(&hash, sha256);
    wm_free(buffer);
    return err;
}

static int module_hash_of(struct wasm_cache *cache, int fd, uint8_t sha256[32])
{
    struct host_file_info before = {0}, after = {0};
    struct stamp stamp;
    char name[NAME_BYTES];
    int err = host_file_info(fd, &before);
    if (err) {
        return err;
    }
    snprintf(name, sizeof name, "%llx-%llx.stamp", (unsigned long long)before.id.dev,
             (unsigned long long)before.id.ino);
    /* Only regular files keep their content between two looks. */
    bool regular = S_ISREG(before.mode);
    if (regular && read_stamp(cache, cache->modules_fd, name, STAMP_MODULE, &stamp) &&
        host_file_id_equal(&stamp.id, &before.id) && settled(&stamp)) {
        memcpy(sha256, stamp.content, sizeof stamp.content);
        return 0;
    }
    if (S_ISDIR(before.mode)) {
        return -EISDIR;
    }
    int64_t now = host_realtime_ns();
    err = hash_file(fd, sha256);
    err = err ? err : host_file_info(fd, &after);
    if (err || !regular || !host_file_id_equal(&before.id, &after.id)) {
        return err; /* changed while it was read: what was read is the answer, but no stamp */
    }
    stamp = (struct stamp){.kind = STAMP_MODULE, .id = before.id, .made_ns = now};
    memcpy(stamp.content, sha256, sizeof stamp.content);
    if (settled(&stamp)) {
        /* Without a stamp the file is read again next time; that is no failure. */
        (void)!write_stamp(cache, cache->modules_fd, name, &stamp);
    }
    return 0;
}

int wasm_cache_module_hash(struct wasm_cache *cache, const char *path, uint8_t sha256[32],
                           struct wm_diag *diag)
{
    int fd = wm_fault_here(WM_FAULT_IO) ? (errno = EIO, -1) : open(path, O_RDONLY | O_CLOEXEC);
    int err = fd < 0 ? -errno : module_hash_of(cache, fd, sha256);
    host_file_close(fd);
    return err ? wm_diag_set(diag, err, "%s: %s", path, wm_error_text(err)) : 0;
}

/* --- Objects --- */

struct names {
    char object[NAME_BYTES], stamp[NAME_BYTES], failed[NAME_BYTES];
    struct wasm_object_key key;
    uint8_t subject[WM_SHA256_BYTES];
};

static struct names names_of(const uint8_t sha256[32], const struct wasm_options *options)
{
    struct names names;
    char text[2 * WM_SHA256_BYTES + 1];
    wasm_object_key_of(sha256, options, &names.key);
    wm_sha256_once(wm_view_of(&names.key, sizeof names.key), names.subject);
    hex(text, names.subject, sizeof names.subject);
    snprintf(names.object, sizeof names.object, "%s.o", text);
    snprintf(names.stamp, sizeof names.stamp, "%s.stamp", text);
    snprintf(names.failed, sizeof names.failed, "%s.failed", text);
    return names;
}

static int same_key(const struct wasm_object *object, const struct names *names,
                    struct wm_diag *diag)
{
    return memcmp(&object->header->key, &names->key, sizeof names->key) == 0
               ? 0
               : wm_diag_set(diag, WM_E_FORGED,
                             "object: made from another module or for other "
                             "options");
}

/* The header holds the hash of everything behind it: its own hash stands for the whole object. */
static void content_of(const uint8_t *bytes, uint8_t out[WM_SHA256_BYTES])
{
    wm_sha256_once(wm_view_of(bytes, sizeof(struct wasm_object_header)), out);
}

/* Reads everything: the object must be whole, and the very one that the stamp speaks of. */
static int check_content(int fd, const struct host_file_info *info, const struct stamp *stamp,
                         struct wm_diag *diag)
{
    uint8_t *bytes = wm_alloc(info->id.bytes);
    if (!bytes) {
        return wm_diag_default(diag, -ENOMEM, "object");
    }
    int err = host_file_read_at(fd, 0, bytes, info->id.bytes);
    err = err ? wm_diag_default(diag, err, "object: reading it")
              : wasm_object_check(wm_view_of(bytes, info->id.bytes), true, diag);
    if (!err) {
        uint8_t content[WM_SHA256_BYTES];
        content_of(bytes, content);
        if (!wm_bytes_equal(content, stamp->content, sizeof stamp->content)) {
            err = wm_diag_set(diag, WM_E_FORGED, "object: another one than was taken in");
        }
    }
    wm_free(bytes);
    /* Here a malformed object is not a bad input: it was whole when it was taken in. */
    return err == WM_E_MALFORMED ? WM_E_FORGED : err;
}

/* *stale: the content was read and is good, but the stamp should be written anew. */
/* keep_fd: where the open file goes; NULL: it is closed. */
static int open_checked(struct wasm_cache *cache, const struct names *names,
                        struct wasm_object **out, int *keep_fd, bool *stale, struct stamp *stamp,
                        struct wm_diag *diag)
{
    struct host_file_info info = {0};
    int fd = host_file_open(cache->objects_fd, names->object);
    *stale = false;
    if (fd == -ENOENT) {
        return WM_E_NOT_FOUND;
    }
    if (fd == -ELOOP) {
        return wm_diag_set(diag, WM_E_FORGED, "object: a symbolic link stands in its place");
    }
    if (fd < 0) {
        return wm_diag_default(diag, fd, "object");
    }
    int err = host_file_info(fd, &info);
    if (err) {
        wm_diag_default(diag, err, "object");
        goto out;
    }
    if (!S_ISREG(info.mode) || info.uid != geteuid() || (info.mode & FORBIDDEN_MODE) ||
        info.id.bytes < sizeof(struct wasm_object_header) || info.id.bytes > OBJECT_BYTES_MAX) {
        err = wm_diag_set(diag, WM_E_FORGED, "object: not a file as the cache makes them");
        goto out;
    }
    if (!read_stamp(cache, cache->objects_fd, names->stamp, STAMP_OBJECT, stamp) ||
        !wm_bytes_equal(stamp->subject, names->subject, sizeof names->subject)) {
        err = wm_diag_set(diag, WM_E_FORGED, "object: it has no stamp of this cache");
        goto out;
    }
    if (!host_file_id_equal(&stamp->id, &info.id) || !settled(stamp)) {
        stamp->made_ns = host_realtime_ns();
        err = check_content(fd, &info, stamp, diag);
        stamp->id = info.id;
        *stale = true;
    }
    err = err ? err : wasm_object_open(fd, out, diag);
    if (err == WM_E_MALFORMED) {
        err = WM_E_FORGED;
    }
    if (!err) {
        err = same_key(*out, names, diag);
        if (err) {
            wasm_object_close(*out);
        }
    }
out:
    if (!err && keep_fd) {
        *keep_fd = fd;
    } else {
        host_file_close(fd);
    }
    return err;
}

static void remove_entry(struct wasm_cache *cache, const struct names *names)
{
    (void)unlinkat(cache->objects_fd, names->object, 0);
    (void)unlinkat(cache->objects_fd, names->stamp, 0);
}

static int find(struct wasm_cache *cache, const uint8_t sha256[32],
                const struct wasm_options *options, struct wasm_object **out, int *keep_fd,
                struct wm_diag *diag)
{
    const struct names names = names_of(sha256, options);
    struct stamp stamp;
    bool stale;
    int err = open_checked(cache, &names, out, keep_fd, &stale, &stamp, diag);
    if (err == WM_E_FORGED) {
        /* A writer may be between its two files: wait for it and look again. */
        int lock = take_lock(cache);
        if (lock < 0) {
            return wm_diag_default(diag, lock, "cache: its lock");
        }
        err = open_checked(cache, &names, out, keep_fd, &stale, &stamp, diag);
        if (err == WM_E_FORGED) {
            remove_entry(cache, &names);
        }
        host_file_close(lock);
    }
    if (!err && stale && settled(&stamp)) {
        (void)!write_stamp(cache, cache->objects_fd, names.stamp, &stamp);
    }
    if (err == WM_E_NOT_FOUND) {
        wm_diag_set(diag, err, "object: not in the cache");
    }
    return err;
}

int wasm_cache_find(struct wasm_cache *cache, const uint8_t sha256[32],
                    const struct wasm_options *options, struct wasm_object **out,
                    struct wm_diag *diag)
{
    return find(cache, sha256, options, out, NULL, diag);
}

int wasm_cache_find_file(struct wasm_cache *cache, const uint8_t sha256[32],
                         const struct wasm_options *options, int *fd, struct wm_diag *diag)
{
    struct wasm_object *object;
    int err = find(cache, sha256, options, &object, fd, diag);
    if (!err) {
        wasm_object_close(object);
    }
    return err;
}

/* Writes the object, then its stamp, with the lock held. */
static int enter(struct wasm_cache *cache, const struct names *names, struct wm_view bytes)
{
    struct stamp stamp = {.kind = STAMP_OBJECT};
    struct host_file_info info = {0};
    int fd = -1;
    /* On the disk before it has a name: after a power cut a file of the right size and times, but
     * of zeroes, would fit its stamp. */
    int err = host_file_replace(cache->objects_fd, names->object, bytes, 0600, true, &fd);
    err = err ? err : host_file_info(fd, &info);
    if (!err) {
        stamp.id = info.id;
        stamp.made_ns = host_realtime_ns();
        memcpy(stamp.subject, names->subject, sizeof stamp.subject);
        content_of(bytes.ptr, stamp.content);
        err = write_stamp(cache, cache->objects_fd, names->stamp, &stamp);
    }
    if (!err) {
        (void)unlinkat(cache->objects_fd, names->failed, 0);
    }
    host_file_close(fd);
    return err;
}

/* --- Failures --- */

int wasm_cache_set_failed(struct wasm_cache *cache, const uint8_t sha256[32],
                          const struct wasm_options *options)
{
    const struct names names = names_of(sha256, options);
    struct stamp stamp = {.kind = STAMP_FAILED, .made_ns = host_realtime_ns()};
    memcpy(stamp.subject, names.subject, sizeof stamp.subject);
    return write_stamp(cache, cache->objects_fd, names.failed, &stamp);
}

bool wasm_cache_has_failed(const struct wasm_cache *cache, const uint8_t sha256[32],
                           const struct wasm_options *options)
{
    const struct names names = names_of(sha256, options);
    struct stamp stamp;
    if (!read_stamp(cache, cache->objects_fd, names.failed, STAMP_FAILED, &stamp) ||
        !wm_bytes_equal(stamp.subject, names.subject, sizeof names.subject)) {
        return false;
    }
    int64_t age = host_realtime_ns() - stamp.made_ns;
    return age >= 0 && age < WASM_CACHE_FAILURE_NS;
}

/* --- Trimming --- */

struct entry {
    char name[NAME_BYTES];
    uint64_t bytes;
    int64_t used_ns;
};
typedef WM_VEC(struct entry) entry_list;

static int compare_entries(const void *a, const void *b)
{
    int64_t x = ((const struct entry *)a)->used_ns, y = ((const struct entry *)b)->used_ns;
    return (x > y) - (x < y);
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

static int64_t later_of(const struct stat *st)
{
    int64_t atime = st->st_atim.tv_sec * INT64_C(1000000000) + st->st_atim.tv_nsec;
    int64_t mtime = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
    return atime > mtime ? atime : mtime;
}

/* The files of a folder whose names end in `end`. */
static int list_entries(int folder_fd, const char *end, entry_list *out)
{
    if (wm_fault_here(WM_FAULT_IO)) {
        return -EIO;
    }
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int err = -errno;
        host_file_close(fd);
        return err;
    }
    int err = 0;
    for (struct dirent *item; !err && (item = readdir(dir));) {
        struct stat st;
        struct entry entry;
        size_t len = strlen(item->d_name);
        if (len >= sizeof entry.name || !ends_with(item->d_name, end) ||
            fstatat(fd, item->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        memcpy(entry.name, item->d_name, len + 1);
        entry.bytes = (uint64_t)st.st_size;
        entry.used_ns = later_of(&st);
        err = wm_vec_push(out, entry);
    }
    closedir(dir);
    return err;
}

static int trim_objects(struct wasm_cache *cache, uint64_t bytes_max)
{
    entry_list list = {0};
    int err = list_entries(cache->objects_fd, ".o", &list);
    uint64_t total = 0;
    for (size_t i = 0; i < list.count; i++) {
        total += list.items[i].bytes;
    }
    if (!err && total > bytes_max) {
        qsort(list.items, list.count, sizeof *list.items, compare_entries);
        for (size_t i = 0; i < list.count && total > bytes_max; i++) {
            char stamp[NAME_BYTES + 8];
            size_t stem = strlen(list.items[i].name) - 2;
            snprintf(stamp, sizeof stamp, "%.*s.stamp", (int)stem, list.items[i].name);
            (void)unlinkat(cache->objects_fd, list.items[i].name, 0);
            (void)unlinkat(cache->objects_fd, stamp, 0);
            total -= list.items[i].bytes;
        }
    }
    wm_vec_fini(&list);
    return err;
}

static int trim_stamps(int folder_fd, const char *end)
{
    entry_list list = {0};
    int err = list_entries(folder_fd, end, &list);
    int64_t oldest = host_realtime_ns() - WASM_CACHE_STAMP_NS;
    for (size_t i = 0; i < list.count && !err; i++) {
        if (list.items[i].used_ns < oldest) {
            (void)unlinkat(folder_fd, list.items[i].name, 0);
        }
    }
    wm_vec_fini(&list);
    return err;
}

int wasm_cache_trim(struct wasm_cache *cache, uint64_t bytes_max, struct wm_diag *diag)
{
    int lock = take_lock(cache);
    int err = lock < 0 ? lock : trim_objects(cache, bytes_max);
    err = err ? err : trim_stamps(cache->modules_fd, ".stamp");
    err = err ? err : trim_stamps(cache->objects_fd, ".failed");
    host_file_close(lock);
    return err ? wm_diag_default(diag, err, "cache: trimming it") : 0;
}

int wasm_cache_put(struct wasm_cache *cache, int fd, const uint8_t sha256[32],
                   const struct wasm_options *options, struct wm_diag *diag)
{
    const struct names names = names_of(sha256, options);
    struct host_file_info info = {0};
    int err = host_file_info(fd, &info);
    if (err) {
        return wm_diag_default(diag, err, "object");
    }
    if (info.id.bytes > OBJECT_BYTES_MAX) {
        return wm_diag_set(diag, WM_E_LIMIT, "object: larger than 8 GiB");
    }
    /* A copy of our own: what is checked is what is written, whoever else holds the file. */
    uint8_t *bytes = wm_alloc(info.id.bytes);
    if (!bytes) {
        return wm_diag_default(diag, -ENOMEM, "object");
    }
    err = host_file_read_at(fd, 0, bytes, info.id.bytes);
    if (err) {
        wm_diag_default(diag, err, "object: reading it");
        goto out;
    }
    err = wasm_object_check(wm_view_of(bytes, info.id.bytes), true, diag);
    if (err) {
        goto out;
    }
    err = same_key(&(struct wasm_object){.header = (const void *)bytes}, &names, diag);
    if (err) {
        goto out;
    }
    int lock = take_lock(cache);
    err = lock < 0 ? lock : enter(cache, &names, wm_view_of(bytes, info.id.bytes));
    host_file_close(lock);
    if (err) {
        wm_diag_set(diag, err, "cache: writing to %s: %s", cache->path, wm_error_text(err));
    } else {
        /* A cache that stays too large for now is no failure of this object. */
        (void)!wasm_cache_trim(cache, WASM_CACHE_BYTES_MAX, NULL);
    }
out:
    wm_free(bytes);
    return err;
}
