/* artefact_test.c: what one node signs another takes; anything changed, missing or foreign is
 * refused. */
#include "faaslet/artefact.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/test.h"

#define NAME "acme-resize-2.proto"

static struct sign_key maker, stranger;
static struct artefact_trust trust;
static char folder[64];

static int enter(void)
{
    uint8_t seed[32] = {1};
    sign_key_init(&maker, seed);
    seed[0] = 2;
    sign_key_init(&stranger, seed);
    trust = (struct artefact_trust){(const uint8_t(*)[SIGN_PUBLIC_BYTES])maker.public_key, 1};
    snprintf(folder, sizeof folder, "/tmp/wm-artefact-XXXXXX");
    return mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* Removes all files; how many there were. */
static unsigned empty(int dir_fd)
{
    unsigned count = 0;
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fdopendir(copy);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] != '.' || entry->d_name[1] == 'p') {
            count++;
            unlinkat(dir_fd, entry->d_name, 0);
        }
    }
    closedir(dir);
    return count;
}

static void leave(int dir_fd)
{
    (void)empty(dir_fd);
    close(dir_fd);
    rmdir(folder);
}

static int file_of(size_t len, int fill)
{
    int fd = memfd_create("artefact", MFD_CLOEXEC);
    static uint8_t bytes[700000];
    memset(bytes, fill, sizeof bytes);
    return fd >= 0 && write(fd, bytes, len) == (ssize_t)len ? fd : -1;
}

static struct artefact sample(void)
{
    struct artefact artefact = {.use = {.kind = ARTEFACT_IMAGE, .format = 1, .abi = 3},
                                .made_s = 1700000000,
                                .node = "node-a"};
    memset(artefact.use.module_sha256, 0x11, 32);
    memset(artefact.use.function_sha256, 0x22, 32);
    return artefact;
}

static int open_it(int dir_fd, const struct artefact_use *use, struct artefact *out,
                   struct wm_diag *diag)
{
    int fd = artefact_open(dir_fd, NAME, use, &trust, out, NULL, NULL, diag);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    return fd;
}

TEST(what_one_node_signs_another_takes)
{
    static const size_t sizes[] = {0, 1, 4096, 256 << 10, 700000};
    int here = enter();
    REQUIRE(here >= 0);
    char other_folder[64] = "/tmp/wm-artefact-XXXXXX";
    REQUIRE(mkdtemp(other_folder) != NULL);
    int there = open(other_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < WM_COUNT_OF(sizes); i++) {
        struct artefact artefact = sample(), got;
        uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX];
        size_t len;
        int file = file_of(sizes[i], 'x');
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK_INT(artefact_put(here, NAME, file, &maker, &artefact, &diag), ==, 0);
        close(file);
        int fd = artefact_open(here, NAME, &artefact.use, &trust, &got, manifest, &len, &diag);
        CHECK(fd >= 0);
        CHECK_INT(artefact_take(there, NAME, fd, wm_view_of(manifest, len), &artefact.use, &trust,
                                &got, &diag),
                  ==, 0);
        close(fd);
        CHECK_INT(got.file_bytes, ==, sizes[i]);
        CHECK_STR(got.node, "node-a");
        CHECK_INT(got.made_s, ==, 1700000000);
        CHECK(memcmp(got.key, maker.public_key, 32) == 0);
        fd = artefact_open(there, NAME, &artefact.use, &trust, &got, NULL, NULL, &diag);
        CHECK(fd >= 0 && lseek(fd, 0, SEEK_END) == (off_t)sizes[i]);
        close(fd);
    }
    CHECK_INT(empty(there), ==, 1 + WM_COUNT_OF(sizes));
    close(there);
    rmdir(other_folder);
    leave(here);
}

TEST(it_is_for_one_use_only)
{
    int here = enter();
    struct artefact artefact = sample(), got;
    struct wm_diag diag = WM_DIAG_INIT;
    int file = file_of(100, 'x');
    REQUIRE(here >= 0 && artefact_put(here, NAME, file, &maker, &artefact, NULL) == 0);
    close(file);
    struct artefact_use uses[6];
    for (size_t i = 0; i < 6; i++) {
        uses[i] = artefact.use;
    }
    uses[1].kind = ARTEFACT_OBJECT;
    uses[2].module_sha256[31] ^= 1;
    uses[3].function_sha256[0] ^= 0x80;
    uses[4].format++;
    uses[5].abi++;
    for (size_t i = 0; i < 6; i++) {
        diag = (struct wm_diag)WM_DIAG_INIT;
        CHECK_INT(open_it(here, &uses[i], &got, &diag), ==, i == 0 ? 0 : WM_E_STALE);
        CHECK(i == 0 || strlen(diag.text) > 30);
    }
    leave(here);
}

TEST(only_trusted_keys_count)
{
    int here = enter();
    struct artefact artefact = sample(), got;
    struct wm_diag diag = WM_DIAG_INIT;
    int file = file_of(100, 'x');
    REQUIRE(here >= 0 && artefact_put(here, NAME, file, &stranger, &artefact, NULL) == 0);
    close(file);
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_DENIED);
    char text[SIGN_PUBLIC_TEXT_BYTES];
    sign_public_to_text(stranger.public_key, text);
    CHECK(strstr(wm_diag_text(&diag), text) != NULL);
    trust.count = 0;
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_DENIED);
    uint8_t keys[2][SIGN_PUBLIC_BYTES];
    memcpy(keys[0], maker.public_key, 32);
    memcpy(keys[1], stranger.public_key, 32);
    trust = (struct artefact_trust){(const uint8_t(*)[SIGN_PUBLIC_BYTES])keys, 2};
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, 0);
    leave(here);
}

TEST(every_flipped_bit_of_the_manifest_is_refused)
{
    struct artefact artefact = sample(), got;
    uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX];
    size_t len;
    int here = enter();
    REQUIRE(here >= 0);
    memset(artefact.sha256, 0x33, 32);
    artefact.file_bytes = 12345;
    artefact_manifest(&artefact, &maker, manifest, &len);
    REQUIRE(artefact_check(wm_view_of(manifest, len), &trust, &got, NULL) == 0);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        struct wm_diag diag = WM_DIAG_INIT;
        manifest[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int rc = artefact_check(wm_view_of(manifest, len), &trust, &got, &diag);
        manifest[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(rc == WM_E_MALFORMED || rc == WM_E_FORGED);
        CHECK(strncmp(diag.text, "manifest: ", 10) == 0);
    }
    for (size_t cut = 0; cut < len; cut++) {
        CHECK_INT(artefact_check(wm_view_of(manifest, cut), &trust, &got, NULL), ==,
                  WM_E_MALFORMED);
    }
    leave(here);
}

/* Signed by the right key, and still no manifest. */
TEST(wrong_claims_are_refused_whoever_signs_them)
{
    int here = enter();
    struct artefact artefact = sample(), got;
    uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX];
    size_t len;
    REQUIRE(here >= 0);
    artefact.file_bytes = ARTEFACT_FILE_BYTES_MAX + 1;
    artefact_manifest(&artefact, &maker, manifest, &len);
    CHECK_INT(artefact_check(wm_view_of(manifest, len), &trust, &got, NULL), ==, WM_E_MALFORMED);
    artefact = sample();
    artefact.use.kind = (enum artefact_kind)3;
    artefact_manifest(&artefact, &maker, manifest, &len);
    CHECK_INT(artefact_check(wm_view_of(manifest, len), &trust, &got, NULL), ==, WM_E_MALFORMED);
    artefact = sample();
    artefact.node[0] = 0;
    artefact_manifest(&artefact, &maker, manifest, &len);
    CHECK_INT(artefact_check(wm_view_of(manifest, len), &trust, &got, NULL), ==, WM_E_MALFORMED);
    leave(here);
}

TEST(a_changed_file_is_refused)
{
    int here = enter();
    struct artefact artefact = sample(), got;
    struct wm_diag diag = WM_DIAG_INIT;
    char file_name[ARTEFACT_FILE_NAME_BYTES];
    int file = file_of(5000, 'x');
    REQUIRE(here >= 0 && artefact_put(here, NAME, file, &maker, &artefact, NULL) == 0);
    artefact_file_name(&artefact, file_name);
    int fd = openat(here, file_name, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    for (off_t at = 0; at < 5000; at += 499) {
        CHECK(pwrite(fd, "y", 1, at) == 1);
        CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_FORGED);
        CHECK(pwrite(fd, "x", 1, at) == 1);
    }
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, 0);
    CHECK(ftruncate(fd, 4999) == 0);
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_FORGED);
    CHECK(ftruncate(fd, 5001) == 0);
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_FORGED);
    close(fd);
    CHECK(unlinkat(here, file_name, 0) == 0);
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_NOT_FOUND);
    CHECK(symlinkat("/etc/passwd", here, file_name) == 0);
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), <, 0);
    CHECK(unlinkat(here, NAME, 0) == 0);
    CHECK_INT(open_it(here, &artefact.use, &got, &diag), ==, WM_E_NOT_FOUND);
    (void)empty(here);

    /* On the way in: nothing stays behind. */
    uint8_t manifest[ARTEFACT_MANIFEST_BYTES_MAX];
    size_t len;
    artefact_manifest(&artefact, &maker, manifest, &len);
    int other = file_of(5000, 'z');
    CHECK_INT(artefact_take(here, NAME, other, wm_view_of(manifest, len), &artefact.use, &trust,
                            &got, &diag),
              ==, WM_E_FORGED);
    close(other);
    CHECK_INT(empty(here), ==, 0);
    /* A length that is not the file's, though signed. */
    struct artefact longer = artefact;
    longer.file_bytes++;
    artefact_manifest(&longer, &maker, manifest, &len);
    CHECK_INT(artefact_take(here, NAME, file, wm_view_of(manifest, len), &artefact.use, &trust,
                            &got, &diag),
              ==, WM_E_FORGED);
    CHECK_INT(empty(here), ==, 0);
    artefact_manifest(&artefact, &maker, manifest, &len);
    struct artefact_use use = artefact.use;
    use.abi++;
    CHECK_INT(artefact_take(here, NAME, file, wm_view_of(manifest, len), &use, &trust, &got, &diag),
              ==, WM_E_STALE);
    CHECK_INT(empty(here), ==, 0);
    CHECK_INT(artefact_take(here, NAME, file, wm_view_of(manifest, len), &artefact.use, &trust,
                            &got, &diag),
              ==, 0);
    close(file);
    leave(here);
}

TEST(failing_memory_and_files_leave_the_old_pair)
{
    int here = enter();
    struct artefact artefact = sample(), got;
    int file = file_of(5000, 'x'), other = file_of(6000, 'y');
    REQUIRE(here >= 0 && artefact_put(here, NAME, file, &maker, &artefact, NULL) == 0);
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct artefact next = sample();
            int rc = artefact_put(here, NAME, other, &maker, &next, NULL);
            if (rc == 0) {
                rc = open_it(here, &artefact.use, &got, NULL);
                CHECK(rc != 0 || got.file_bytes == 6000);
                CHECK(rc == 0 || wm_fault_fired((enum wm_fault_kind)kind));
            }
        }
        CHECK_INT(open_it(here, &artefact.use, &got, NULL), ==, 0);
        CHECK_INT(got.file_bytes, ==, 6000);
        CHECK_INT(artefact_put(here, NAME, file, &maker, &artefact, NULL), ==, 0);
    }
    CHECK_INT(empty(here), ==, 3); /* two files, one manifest, no half ones */
    close(file);
    close(other);
    leave(here);
}

TEST_MAIN(TEST_CASE(what_one_node_signs_another_takes), TEST_CASE(it_is_for_one_use_only),
          TEST_CASE(only_trusted_keys_count),
          TEST_CASE(every_flipped_bit_of_the_manifest_is_refused),
          TEST_CASE(wrong_claims_are_refused_whoever_signs_them),
          TEST_CASE(a_changed_file_is_refused),
          TEST_CASE(failing_memory_and_files_leave_the_old_pair))
