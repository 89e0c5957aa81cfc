/* cache_test.c: what enters the cache comes out of it, and nothing else does.
 *
 * Each test works in a folder of its own. The attacker of these tests can change files in the cache
 * but has not read its key; one who has the key has the user's own rights. */
#include "wasm/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "host/file.h"
#include "wasm/object_sample.h"

struct place {
    char root[64];
    char cache_path[80];
    struct wasm_cache *cache;
    uint8_t sha256[32];
    struct wasm_options options;
    char object[256], stamp[256]; /* paths of the sample's files */
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void leave(struct place *place)
{
    wasm_cache_close(place->cache);
    (void)nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static bool enter(struct place *place)
{
    struct wasm_object_key key;
    uint8_t subject[32];
    char hex[65];
    *place = (struct place){.root = "/tmp/wm-cache-XXXXXX"};
    if (!mkdtemp(place->root)) {
        return false;
    }
    snprintf(place->cache_path, sizeof place->cache_path, "%s/cache", place->root);
    place->options = wasm_sample_options();
    wm_sha256_once(wasm_sample_module(), place->sha256);
    wasm_object_key_of(place->sha256, &place->options, &key);
    wm_sha256_once(wm_view_of(&key, sizeof key), subject);
    for (int i = 0; i < 32; i++) {
        snprintf(hex + 2 * i, 3, "%02x", subject[i]);
    }
    snprintf(place->object, sizeof place->object, "%s/objects/%s.o", place->cache_path, hex);
    snprintf(place->stamp, sizeof place->stamp, "%s/objects/%s.stamp", place->cache_path, hex);
    return wasm_cache_open(place->cache_path, &place->cache, NULL) == 0;
}

static int put(struct place *place, unsigned variant)
{
    int fd = memfd_create("object", MFD_CLOEXEC);
    int err = fd < 0 ? -errno : wasm_sample_object(fd, variant);
    err = err ? err : wasm_cache_put(place->cache, fd, place->sha256, &place->options, NULL);
    host_file_close(fd);
    return err;
}

static int find(struct place *place, struct wm_diag *diag)
{
    struct wasm_object *object;
    int err = wasm_cache_find(place->cache, place->sha256, &place->options, &object, diag);
    if (!err) {
        wasm_object_close(object);
    }
    return err;
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

TEST(an_object_comes_back_under_its_own_key_only)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(enter(&place));
    CHECK_INT(find(&place, &diag), ==, WM_E_NOT_FOUND);
    CHECK_INT(put(&place, 0), ==, 0);
    CHECK_INT(find(&place, &diag), ==, 0);
    CHECK_INT(mode_of(place.object), ==, 0600);
    CHECK_INT(mode_of(place.stamp), ==, 0600);

    struct place other = place;
    other.options.tier = WASM_TIER_OPTIMISED;
    CHECK_INT(find(&other, NULL), ==, WM_E_NOT_FOUND);
    other = place;
    other.options.fuel = true;
    CHECK_INT(find(&other, NULL), ==, WM_E_NOT_FOUND);
    other = place;
    other.sha256[31] ^= 1;
    CHECK_INT(find(&other, NULL), ==, WM_E_NOT_FOUND);
    /* Nor can it be put under another key. */
    CHECK_INT(put(&other, 0), ==, WM_E_FORGED);

    /* Another handle, as of another process, reads the same key. */
    struct wasm_cache *first = place.cache;
    REQUIRE(wasm_cache_open(place.cache_path, &place.cache, &diag) == 0);
    CHECK_INT(find(&place, &diag), ==, 0);
    wasm_cache_close(first);
    leave(&place);
}

TEST(the_folder_must_be_ours_alone)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_cache *cache;
    char key[128];
    REQUIRE(enter(&place));
    snprintf(key, sizeof key, "%s/key", place.cache_path);
    CHECK_INT(mode_of(place.cache_path), ==, 0700);
    CHECK_INT(mode_of(key), ==, 0600);

    REQUIRE(chmod(place.cache_path, 0770) == 0);
    CHECK_INT(wasm_cache_open(place.cache_path, &cache, &diag), ==, WM_E_DENIED);
    CHECK(strstr(diag.text, "others may write to"));
    REQUIRE(chmod(place.cache_path, 0700) == 0);

    REQUIRE(chmod(key, 0644) == 0);
    CHECK_INT(wasm_cache_open(place.cache_path, &cache, &diag), ==, WM_E_DENIED);
    REQUIRE(chmod(key, 0600) == 0 && truncate(key, 31) == 0);
    CHECK_INT(wasm_cache_open(place.cache_path, &cache, &diag), ==, WM_E_DENIED);
    REQUIRE(unlink(key) == 0 && symlink("/dev/zero", key) == 0);
    CHECK_INT(wasm_cache_open(place.cache_path, &cache, &diag), <, 0);

    /* A new key makes a new cache: what the old one vouched for is not believed. */
    REQUIRE(unlink(key) == 0);
    CHECK_INT(put(&place, 0), ==, 0);
    wasm_cache_close(place.cache);
    REQUIRE(wasm_cache_open(place.cache_path, &place.cache, &diag) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    CHECK_INT(find(&place, &diag), ==, WM_E_NOT_FOUND);
    if (geteuid() == 0) {
        REQUIRE(chown(place.cache_path, 12345, 12345) == 0);
        CHECK_INT(wasm_cache_open(place.cache_path, &cache, &diag), ==, WM_E_DENIED);
        CHECK(strstr(diag.text, "belongs to another user (12345)"));
    }
    leave(&place);
}

/* Changes one byte and puts size and times back, as far as that is possible. */
static bool change_byte(const char *path, off_t at)
{
    struct stat st;
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && fstat(fd, &st) == 0 && pread(fd, &byte, 1, at) == 1;
    byte ^= 0x10;
    ok = ok && pwrite(fd, &byte, 1, at) == 1;
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    ok = ok && futimens(fd, times) == 0;
    host_file_close(fd);
    return ok;
}

TEST(a_changed_object_is_found_out_and_removed)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(enter(&place));
    const off_t places[] = {0, 20, 300, 380, 1000, 4096 + 130}; /* header, tables, code */
    for (size_t i = 0; i < WM_COUNT_OF(places); i++) {
        REQUIRE(put(&place, 0) == 0);
        off_t at = places[i];
        struct stat st;
        REQUIRE(stat(place.object, &st) == 0);
        at = at < st.st_size ? at : st.st_size - 1;
        REQUIRE(change_byte(place.object, at));
        CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
        CHECK(!exists(place.object));
        CHECK_INT(find(&place, &diag), ==, WM_E_NOT_FOUND);
    }
    REQUIRE(put(&place, 0) == 0 && truncate(place.object, 5000) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    REQUIRE(put(&place, 0) == 0 && truncate(place.object, 0) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    leave(&place);
}

TEST(a_changed_stamp_is_found_out_in_every_field)
{
    struct place place;
    struct stat st;
    REQUIRE(enter(&place));
    REQUIRE(put(&place, 0) == 0 && stat(place.stamp, &st) == 0);
    for (off_t at = 0; at < st.st_size; at += 5) {
        REQUIRE(change_byte(place.stamp, at));
        CHECK_INT(find(&place, NULL), ==, WM_E_FORGED);
        REQUIRE(put(&place, 0) == 0);
    }
    CHECK_INT(find(&place, NULL), ==, 0);
    REQUIRE(truncate(place.stamp, st.st_size - 1) == 0);
    CHECK_INT(find(&place, NULL), ==, WM_E_FORGED);
    REQUIRE(put(&place, 0) == 0 && unlink(place.stamp) == 0);
    CHECK_INT(find(&place, NULL), ==, WM_E_FORGED);
    CHECK_INT(find(&place, NULL), ==, WM_E_NOT_FOUND);
    leave(&place);
}

TEST(objects_cannot_be_swapped)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    char old_object[300], old_stamp[300];
    REQUIRE(enter(&place));
    snprintf(old_object, sizeof old_object, "%s/old.o", place.root);
    snprintf(old_stamp, sizeof old_stamp, "%s/old.stamp", place.root);

    /* An older object for the same key, kept aside, in the place of the newer: its content is not
     * what the stamp names. */
    REQUIRE(put(&place, 0) == 0 && link(place.object, old_object) == 0);
    REQUIRE(put(&place, 1) == 0 && rename(old_object, place.object) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "another one than was taken in"));

    /* An object with its stamp under the name of another key: the stamp's subject is not that key.
     */
    struct place other = place;
    other.options.tier = WASM_TIER_OPTIMISED;
    struct wasm_object_key key;
    uint8_t subject[32];
    char path[512] = {0};
    wasm_object_key_of(other.sha256, &other.options, &key);
    wm_sha256_once(wm_view_of(&key, sizeof key), subject);
    size_t at = (size_t)snprintf(path, sizeof path, "%s/objects/", place.cache_path);
    for (int i = 0; i < 32; i++) {
        at += (size_t)snprintf(path + at, sizeof path - at, "%02x", subject[i]);
    }
    REQUIRE(put(&place, 0) == 0);
    snprintf(path + at, sizeof path - at, ".o");
    REQUIRE(rename(place.object, path) == 0);
    snprintf(path + at, sizeof path - at, ".stamp");
    REQUIRE(rename(place.stamp, path) == 0);
    CHECK_INT(find(&other, &diag), ==, WM_E_FORGED);
    CHECK_INT(find(&place, &diag), ==, WM_E_NOT_FOUND);
    leave(&place);
}

TEST(links_and_loose_permissions_are_refused)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    char aside[300];
    REQUIRE(enter(&place));
    snprintf(aside, sizeof aside, "%s/aside.o", place.root);

    REQUIRE(put(&place, 0) == 0 && rename(place.object, aside) == 0);
    REQUIRE(symlink(aside, place.object) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    CHECK(strstr(diag.text, "symbolic link"));
    CHECK(!exists(place.object));
    CHECK(exists(aside)); /* the link went, not what it pointed to */

    REQUIRE(put(&place, 0) == 0 && chmod(place.object, 0666) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    REQUIRE(mkfifo(place.object, 0600) == 0);
    CHECK_INT(find(&place, &diag), ==, WM_E_FORGED); /* and does not wait for a writer */
    if (geteuid() == 0) {
        REQUIRE(put(&place, 0) == 0 && chown(place.object, 12345, 12345) == 0);
        CHECK_INT(find(&place, &diag), ==, WM_E_FORGED);
    }
    leave(&place);
}

TEST(what_is_no_object_does_not_enter)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(enter(&place));
    int fd = memfd_create("object", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_INT(wasm_cache_put(place.cache, fd, place.sha256, &place.options, &diag), ==,
              WM_E_MALFORMED);
    REQUIRE(wasm_sample_object(fd, 0) == 0);
    uint8_t byte = 0x55;
    REQUIRE(pwrite(fd, &byte, 1, 4100) == 1);
    CHECK_INT(wasm_cache_put(place.cache, fd, place.sha256, &place.options, &diag), ==,
              WM_E_FORGED);
    CHECK_INT(find(&place, NULL), ==, WM_E_NOT_FOUND);
    host_file_close(fd);
    leave(&place);
}

/* How many of our I/O calls `find` and `hash` make tells whether the content was read. */
static uint64_t io_calls(struct place *place, const char *module_path)
{
    uint8_t sha256[32];
    for (uint64_t n = 1;; n++) {
        wm_fault_arm(WM_FAULT_IO, n);
        if (module_path) {
            (void)!wasm_cache_module_hash(place->cache, module_path, sha256, NULL);
        } else {
            (void)!find(place, NULL);
        }
        bool fired = wm_fault_fired(WM_FAULT_IO);
        wm_fault_arm(WM_FAULT_IO, 0);
        if (!fired) {
            return n - 1;
        }
    }
}

TEST(an_unchanged_file_is_not_read_again)
{
    struct place place;
    char path[128];
    uint8_t sha256[32];
    REQUIRE(enter(&place));
    snprintf(path, sizeof path, "%s/module.wasm", place.root);
    REQUIRE(put(&place, 0) == 0);
    REQUIRE(host_file_create(AT_FDCWD, path, wasm_sample_module(), 0600, false, NULL) == 0);

    uint64_t fresh_find = io_calls(&place, NULL), fresh_hash = io_calls(&place, path);
    const struct timespec pause = {.tv_sec = 2, .tv_nsec = 100000000};
    REQUIRE(nanosleep(&pause, NULL) == 0);
    /* The first look after the racy time reads once more and stamps. */
    CHECK_INT(find(&place, NULL), ==, 0);
    CHECK_INT(wasm_cache_module_hash(place.cache, path, sha256, NULL), ==, 0);
    CHECK_INT(io_calls(&place, NULL), <, fresh_find);
    CHECK_INT(io_calls(&place, path), <, fresh_hash);
    CHECK_INT(find(&place, NULL), ==, 0);
    CHECK_INT(wasm_cache_module_hash(place.cache, path, sha256, NULL), ==, 0);
    CHECK(wm_bytes_equal(sha256, place.sha256, sizeof sha256));

    /* Settled or not, a change is seen. */
    REQUIRE(change_byte(path, 10));
    CHECK_INT(wasm_cache_module_hash(place.cache, path, sha256, NULL), ==, 0);
    CHECK(!wm_bytes_equal(sha256, place.sha256, sizeof sha256));
    REQUIRE(change_byte(place.object, 4200));
    CHECK_INT(find(&place, NULL), ==, WM_E_FORGED);
    leave(&place);
}

TEST(module_hashes_name_what_failed)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    uint8_t sha256[32];
    REQUIRE(enter(&place));
    CHECK_INT(wasm_cache_module_hash(place.cache, "/nowhere/a.wasm", sha256, &diag), ==, -ENOENT);
    CHECK(strstr(diag.text, "/nowhere/a.wasm: "));
    CHECK_INT(wasm_cache_module_hash(place.cache, place.root, sha256, &diag), ==, -EISDIR);
    leave(&place);
}

TEST(writers_in_many_processes_do_not_disturb_readers)
{
    enum { PROCESSES = 4, ROUNDS = 15 };
    struct place place;
    REQUIRE(enter(&place));
    REQUIRE(put(&place, 0) == 0);
    pid_t pids[PROCESSES];
    for (unsigned i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct place own = place;
            int bad = wasm_cache_open(place.cache_path, &own.cache, NULL) != 0;
            for (unsigned round = 0; round < ROUNDS && !bad; round++) {
                bad = put(&own, (i + round) % 2) != 0 || find(&own, NULL) != 0 ||
                      find(&own, NULL) != 0;
            }
            _exit(bad);
        }
        REQUIRE(pids[i] > 0);
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status = -1;
        CHECK_INT(waitpid(pids[i], &status, 0), ==, pids[i]);
        CHECK_INT(status, ==, 0);
    }
    CHECK_INT(find(&place, NULL), ==, 0);
    leave(&place);
}

TEST(every_failure_leaves_a_cache_that_works)
{
    struct place place;
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        REQUIRE(enter(&place));
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct wasm_cache *cache = NULL;
            int err = wasm_cache_open(place.cache_path, &cache, NULL);
            if (!err) {
                struct place own = place;
                own.cache = cache;
                err = put(&own, (unsigned)n % 2);
                err = err ? err : find(&own, NULL);
                wasm_cache_close(cache);
            }
            bool fired = wm_fault_fired((enum wm_fault_kind)kind);
            CHECK(err == 0 || fired);
            wm_fault_arm((enum wm_fault_kind)kind, 0);
            err = find(&place, NULL);
            CHECK(err == 0 || err == WM_E_NOT_FOUND || err == WM_E_FORGED);
            CHECK_INT(put(&place, 0), ==, 0);
            CHECK_INT(find(&place, NULL), ==, 0);
            if (!fired) {
                break;
            }
            /* wm_fault_next asks whether the round's fault fired: let one fire. */
            wm_fault_arm((enum wm_fault_kind)kind, 1);
            (void)wm_fault_here((enum wm_fault_kind)kind);
        }
        leave(&place);
    }
}

TEST(trimming_removes_what_was_not_used_for_longest)
{
    struct place place;
    struct stat st;
    char second[300], path[128];
    uint8_t sha256[32];
    REQUIRE(enter(&place));
    REQUIRE(put(&place, 0) == 0 && stat(place.object, &st) == 0);
    snprintf(second, sizeof second, "%s/objects/%064d.o", place.cache_path, 7);
    REQUIRE(host_file_create(AT_FDCWD, second, wm_view_str("other"), 0600, false, NULL) == 0);
    CHECK_INT(wasm_cache_trim(place.cache, (uint64_t)st.st_size + 5, NULL), ==, 0);
    CHECK(exists(second) && exists(place.object));

    struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    REQUIRE(utimensat(AT_FDCWD, second, long_ago, 0) == 0);
    CHECK_INT(wasm_cache_trim(place.cache, (uint64_t)st.st_size + 4, NULL), ==, 0);
    CHECK(!exists(second) && exists(place.object));
    CHECK_INT(find(&place, NULL), ==, 0);
    CHECK_INT(wasm_cache_trim(place.cache, 0, NULL), ==, 0);
    CHECK(!exists(place.object) && !exists(place.stamp));
    CHECK_INT(find(&place, NULL), ==, WM_E_NOT_FOUND);

    /* Stamps of modules go by age. */
    snprintf(path, sizeof path, "%s/modules/1-1.stamp", place.cache_path);
    REQUIRE(host_file_create(AT_FDCWD, path, wm_view_str("stamp"), 0600, false, NULL) == 0);
    CHECK_INT(wasm_cache_trim(place.cache, 0, NULL), ==, 0);
    CHECK(exists(path));
    REQUIRE(utimensat(AT_FDCWD, path, long_ago, 0) == 0);
    CHECK_INT(wasm_cache_trim(place.cache, 0, NULL), ==, 0);
    CHECK(!exists(path));
    CHECK_INT(wasm_cache_module_hash(place.cache, "/proc/self/exe", sha256, NULL), ==, 0);
    leave(&place);
}

/* What a stamp says of a time that is long past can only be had by one who has the key. */
static bool make_older(const struct place *place, const char *path, int64_t ns)
{
    uint8_t stamp[160], key[WM_MAC_KEY_BYTES];
    char key_path[128];
    int64_t made;
    snprintf(key_path, sizeof key_path, "%s/key", place->cache_path);
    int fd = open(path, O_RDWR | O_CLOEXEC), key_fd = open(key_path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && key_fd >= 0 && read(key_fd, key, sizeof key) == sizeof key &&
                read(fd, stamp, sizeof stamp) == sizeof stamp;
    memcpy(&made, stamp + 56, sizeof made);
    made -= ns;
    memcpy(stamp + 56, &made, sizeof made);
    wm_mac(key, wm_view_of(stamp, 128), stamp + 128);
    good = good && pwrite(fd, stamp, sizeof stamp, 0) == sizeof stamp;
    host_file_close(fd);
    host_file_close(key_fd);
    return good;
}

TEST(a_failure_is_remembered_until_it_is_none)
{
    struct place place;
    char path[264], other[600];
    uint8_t byte;
    REQUIRE(enter(&place));
    snprintf(path, sizeof path, "%.*s.failed", (int)strlen(place.object) - 2, place.object);
    struct wasm_options optimised = place.options;
    optimised.tier = WASM_TIER_OPTIMISED;
    CHECK(!wasm_cache_has_failed(place.cache, place.sha256, &place.options));
    REQUIRE(wasm_cache_set_failed(place.cache, place.sha256, &place.options) == 0);
    CHECK(exists(path));
    CHECK(wasm_cache_has_failed(place.cache, place.sha256, &place.options));
    CHECK(!wasm_cache_has_failed(place.cache, place.sha256, &optimised));
    /* The object is as it was: not there. */
    CHECK_INT(find(&place, NULL), ==, WM_E_NOT_FOUND);

    /* For a week, and not before it happened. */
    REQUIRE(make_older(&place, path, WASM_CACHE_FAILURE_NS - INT64_C(60000000000)));
    CHECK(wasm_cache_has_failed(place.cache, place.sha256, &place.options));
    REQUIRE(make_older(&place, path, INT64_C(60000000000)));
    CHECK(!wasm_cache_has_failed(place.cache, place.sha256, &place.options));
    REQUIRE(make_older(&place, path, -WASM_CACHE_FAILURE_NS - INT64_C(60000000000)));
    CHECK(!wasm_cache_has_failed(place.cache, place.sha256, &place.options));

    /* Under another's name, or changed, it says nothing. */
    REQUIRE(wasm_cache_set_failed(place.cache, place.sha256, &optimised) == 0);
    REQUIRE(wasm_cache_has_failed(place.cache, place.sha256, &optimised));
    snprintf(other, sizeof other, "mv %s/objects/*.failed %s; mv %s/[0-9a-f]*.failed %s",
             place.cache_path, place.root, place.root, path);
    REQUIRE(unlink(path) == 0 && system(other) == 0);
    CHECK(exists(path));
    CHECK(!wasm_cache_has_failed(place.cache, place.sha256, &place.options));
    REQUIRE(wasm_cache_set_failed(place.cache, place.sha256, &place.options) == 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0 && pread(fd, &byte, 1, 100) == 1);
    byte ^= 1;
    REQUIRE(pwrite(fd, &byte, 1, 100) == 1);
    host_file_close(fd);
    CHECK(!wasm_cache_has_failed(place.cache, place.sha256, &place.options));

    /* An object ends it; age removes what nobody asks for any more. */
    REQUIRE(wasm_cache_set_failed(place.cache, place.sha256, &place.options) == 0);
    CHECK_INT(put(&place, 0), ==, 0);
    CHECK(!exists(path));
    REQUIRE(wasm_cache_set_failed(place.cache, place.sha256, &place.options) == 0);
    CHECK_INT(wasm_cache_trim(place.cache, 0, NULL), ==, 0);
    CHECK(exists(path));
    struct timespec long_ago[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    REQUIRE(utimensat(AT_FDCWD, path, long_ago, 0) == 0);
    CHECK_INT(wasm_cache_trim(place.cache, 0, NULL), ==, 0);
    CHECK(!exists(path));
    leave(&place);
}

TEST(the_default_place_follows_the_environment)
{
    struct place place;
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_cache *cache;
    char path[128];
    REQUIRE(enter(&place));
    snprintf(path, sizeof path, "%s/deep/er", place.root);
    setenv("XDG_CACHE_HOME", path, 1);
    REQUIRE(wasm_cache_open(NULL, &cache, &diag) == 0);
    snprintf(path, sizeof path, "%s/deep/er/wardmote", place.root);
    CHECK_STR(wasm_cache_path(cache), path);
    wasm_cache_close(cache);
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored, says the specification */
    setenv("HOME", place.root, 1);
    REQUIRE(wasm_cache_open(NULL, &cache, &diag) == 0);
    snprintf(path, sizeof path, "%s/.cache/wardmote", place.root);
    CHECK_STR(wasm_cache_path(cache), path);
    wasm_cache_close(cache);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    CHECK_INT(wasm_cache_open(NULL, &cache, &diag), ==, WM_E_MISSING);
    char told[PATH_MAX];
    setenv("HOME", "relative", 1);
    CHECK_INT(wasm_cache_default_path(told, NULL), ==, WM_E_MISSING);
    setenv("HOME", "/no/such/home", 1);
    CHECK_INT(wasm_cache_default_path(told, NULL), ==, 0);
    CHECK_STR(told, "/no/such/home/.cache/wardmote");
    CHECK(!exists("/no"));
    leave(&place);
}

TEST_MAIN(TEST_CASE(a_failure_is_remembered_until_it_is_none),
          TEST_CASE(an_object_comes_back_under_its_own_key_only),
          TEST_CASE(the_folder_must_be_ours_alone),
          TEST_CASE(a_changed_object_is_found_out_and_removed),
          TEST_CASE(a_changed_stamp_is_found_out_in_every_field),
          TEST_CASE(objects_cannot_be_swapped), TEST_CASE(links_and_loose_permissions_are_refused),
          TEST_CASE(what_is_no_object_does_not_enter),
          TEST_CASE(an_unchanged_file_is_not_read_again), TEST_CASE(module_hashes_name_what_failed),
          TEST_CASE(writers_in_many_processes_do_not_disturb_readers),
          TEST_CASE(every_failure_leaves_a_cache_that_works),
          TEST_CASE(trimming_removes_what_was_not_used_for_longest),
          TEST_CASE(the_default_place_follows_the_environment))
