/* seglog_test.c: the log on a real folder: what its pages promise, byte by byte where that matters,
 * with every allocation and every call of the disk failing once. Crashes, and all that depends on
 * what a disk loses, are in test/sim/seglog.c; processes that are killed, in
 * test/e2e/seglog_crash.c. */
#include "store/seglog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "crypto/hash.h"
#include "store/seglog_format.h"

#define SEGMENT_BYTES ((uint64_t)65536)
#define PATH_BYTES 400
#define RECORDS_END (SEGMENT_BYTES - 3 * SEGLOG_PAGE_BYTES)

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

struct place {
    char root[64], path[80];
    struct seglog_config config;
    struct seglog *log;
    struct seglog_opened opened;
    struct wm_diag diag;
};

static int reopen(struct place *place)
{
    seglog_close(place->log);
    place->log = NULL;
    return seglog_open(&place->config, &place->log, &place->opened, &place->diag);
}

static bool enter(struct place *place, bool seal)
{
    *place = (struct place){.root = "/tmp/wm-seglog-XXXXXX"};
    if (!mkdtemp(place->root)) {
        return false;
    }
    snprintf(place->path, sizeof place->path, "%s/log", place->root);
    place->config = (struct seglog_config){.path = place->path,
                                           .segment_bytes = SEGMENT_BYTES,
                                           .label = {1, 2, 3},
                                           .seal = seal,
                                           .no_sync = true};
    return reopen(place) == 0;
}

static void leave(struct place *place)
{
    seglog_close(place->log);
    (void)nftw(place->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Of record `number`, `len` bytes. */
static struct wm_view content(uint64_t number, size_t len)
{
    static uint8_t bytes[SEGMENT_BYTES];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(number * 31 + i * 7 + 1);
    }
    return wm_view_of(bytes, len);
}

static bool append(struct place *place, size_t len)
{
    uint64_t number;
    struct seglog_segment last;
    seglog_segment(place->log, seglog_segments(place->log) - 1, &last);
    uint64_t next = last.first + last.count;
    return seglog_append(place->log, (uint8_t)len, content(next, len), &number, &place->diag) ==
               0 &&
           number == next;
}

static bool holds(struct place *place, uint64_t number, size_t len)
{
    struct wm_view bytes;
    uint8_t kind;
    return seglog_read(place->log, number, &kind, &bytes, &place->diag) == 0 &&
           kind == (uint8_t)len && wm_view_eq(bytes, content(number, len));
}

/* The n-th file of the folder whose name ends so, by name. */
static bool file_named(const struct place *place, const char *end, unsigned n, char out[PATH_BYTES])
{
    struct dirent **list;
    bool found = false;
    int count = scandir(place->path, &list, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        size_t len = strlen(list[i]->d_name);
        if (!found && len >= strlen(end) && strcmp(list[i]->d_name + len - strlen(end), end) == 0 &&
            n-- == 0) {
            snprintf(out, PATH_BYTES, "%s/%s", place->path, list[i]->d_name);
            found = true;
        }
        free(list[i]);
    }
    free(list);
    return found;
}

static void patch(const char *path, uint64_t offset, const void *bytes, size_t len)
{
    chmod(path, 0600);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(pwrite(fd, bytes, len, (off_t)offset) == (ssize_t)len);
    close(fd);
}

static size_t file_bytes(const char *path, uint8_t *out, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = pread(fd, out, room, 0);
    close(fd);
    return got < 0 ? 0 : (size_t)got;
}

/* --- Formats --- */

TEST(what_is_not_whole_is_not_read)
{
    uint8_t page[SEGLOG_PAGE_BYTES], record[SEGLOG_FRAME_BYTES + 5], small[64], kind;
    struct seglog_header header = {{9}, SEGMENT_BYTES, 3, 77, true}, header_again;
    struct seglog_mark mark = {5000, 12}, mark_again;
    struct seglog_truncation truncation = {12, 3, 6000}, truncation_again;
    struct wm_view bytes;
    uint32_t version;
    seglog_header_put(&header, page);
    CHECK(seglog_header_get(wm_view_of(page, sizeof page), &header_again, &version));
    CHECK(header_again.segment == 3 && header_again.first == 77 && header_again.by_cut);
    for (unsigned i = 0; i < sizeof page; i++) {
        page[i] ^= 4;
        CHECK(!seglog_header_get(wm_view_of(page, sizeof page), &header_again, &version));
        page[i] ^= 4;
    }
    seglog_frame_put(41, 7, wm_view_str("abcde"), record);
    memcpy(record + SEGLOG_FRAME_BYTES, "abcde", 5);
    CHECK_INT(seglog_frame_len(record), ==, sizeof record);
    CHECK(seglog_frame_get(41, wm_view_of(record, sizeof record), &kind, &bytes));
    CHECK(kind == 7 && wm_view_eq_str(bytes, "abcde"));
    CHECK(!seglog_frame_get(42, wm_view_of(record, sizeof record), &kind, &bytes));
    for (unsigned i = 0; i < sizeof record; i++) {
        record[i] ^= 1;
        CHECK(!seglog_frame_get(41, wm_view_of(record, sizeof record), &kind, &bytes));
        record[i] ^= 1;
    }
    seglog_mark_put(&mark, 3, small);
    struct wm_view whole = wm_view_of(small, SEGLOG_MARK_BYTES);
    CHECK_INT(seglog_mark_get(whole, 3, &mark_again), ==, SEGLOG_MARK_GOOD);
    CHECK_INT(seglog_mark_get(whole, 4, &mark_again), ==, SEGLOG_MARK_DAMAGED);
    for (unsigned i = 0; i < SEGLOG_MARK_BYTES; i++) {
        small[i] ^= 0x80;
        CHECK_INT(seglog_mark_get(whole, 3, &mark_again), ==, SEGLOG_MARK_DAMAGED);
        small[i] ^= 0x80;
    }
    seglog_truncation_put(&truncation, 5, small);
    whole = wm_view_of(small, SEGLOG_TRUNCATION_BYTES);
    CHECK(seglog_truncation_get(whole, 5, &truncation_again));
    CHECK(truncation_again.next == 12 && truncation_again.segment == 3 &&
          truncation_again.zero_until == 6000);
    CHECK(!seglog_truncation_get(whole, 6, &truncation_again));
    for (unsigned i = 0; i < SEGLOG_TRUNCATION_BYTES; i++) {
        small[i] ^= 2;
        CHECK(!seglog_truncation_get(whole, 5, &truncation_again));
        small[i] ^= 2;
    }
    memset(small, 0, sizeof small);
    CHECK_INT(seglog_mark_get(wm_view_of(small, SEGLOG_MARK_BYTES), 0, &mark_again), ==,
              SEGLOG_MARK_BLANK);
    CHECK(!seglog_truncation_get(wm_view_of(small, SEGLOG_TRUNCATION_BYTES), 0, &truncation_again));
}

TEST(names_are_read_as_they_are_written_and_no_other)
{
    struct seglog_name name = {0x1a2b, true, 0x3c, {0xde, 0xad}}, again;
    char text[SEGLOG_NAME_BYTES];
    seglog_name_put(&name, text);
    CHECK(seglog_name_get(text, &again));
    CHECK(again.segment == 0x1a2b && again.first == 0x3c && again.sealed &&
          memcmp(again.sha256, name.sha256, 32) == 0);
    name.sealed = false;
    seglog_name_put(&name, text);
    CHECK_STR(text, "0000000000001a2b.log");
    CHECK(seglog_name_get(text, &again) && !again.sealed);
    static const char *const others[] = {
        "",
        "spare",
        "lock",
        "1a2b.log",
        "0000000000001A2B.log",
        "0000000000001a2b.lo",
        "0000000000001a2b.log~",
        "0000000000001a2b",
        "0000000000001a2b-",
        "f000000000001a2b.log",
        "0000000000001a2b-000000000000003c-.sealed",
        "0000000000001a2b-000000000000003c-dead.sealed",
    };
    for (unsigned i = 0; i < WM_COUNT_OF(others); i++) {
        CHECK(!seglog_name_get(others[i], &again));
    }
}

/* --- Appending, reading, opening again --- */

TEST(records_are_there_when_the_log_is_opened_again)
{
    struct place place;
    struct wm_view bytes;
    uint8_t kind;
    REQUIRE(enter(&place, false));
    CHECK(place.opened.first == 0 && place.opened.next == 0 && place.opened.cut_bytes == 0);
    static const size_t lens[] = {0, 1, 300, 40000, 9, 20000, 0, 20000, 12000};
    for (unsigned i = 0; i < WM_COUNT_OF(lens); i++) {
        CHECK(append(&place, lens[i]));
        CHECK(holds(&place, i, lens[i]));
    }
    CHECK_INT(seglog_sync(place.log, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 3);
    REQUIRE(reopen(&place) == 0);
    CHECK(place.opened.first == 0 && place.opened.next == WM_COUNT_OF(lens));
    CHECK_INT(place.opened.cut_bytes, ==, 0);
    for (unsigned i = WM_COUNT_OF(lens); i-- > 0;) {
        CHECK(holds(&place, i, lens[i]));
    }
    CHECK_INT(seglog_read(place.log, 9, &kind, &bytes, &place.diag), ==, WM_E_NOT_FOUND);
    CHECK(strstr(wm_diag_text(&place.diag), "record 9 is not there; the first is 0, the next will "
                                            "be 9") != NULL);
    CHECK(append(&place, 5)); /* and goes on */
    CHECK(holds(&place, 9, 5));
    /* What was not written by anybody is not there; closing does not sync. */
    REQUIRE(reopen(&place) == 0);
    CHECK(append(&place, 6));
    REQUIRE(reopen(&place) == 0);
    CHECK_INT(place.opened.next, ==, 10);
    leave(&place);
}

TEST(a_record_may_be_as_large_as_there_is_room)
{
    struct place place;
    uint64_t number;
    size_t most = RECORDS_END - SEGLOG_PAGE_BYTES - SEGLOG_FRAME_BYTES;
    REQUIRE(enter(&place, false));
    CHECK(append(&place, 1));
    CHECK(append(&place, most));
    CHECK(append(&place, most));
    CHECK_INT(seglog_append(place.log, 0, content(0, most + 1), &number, &place.diag), ==,
              WM_E_LIMIT);
    CHECK(append(&place, 1));
    CHECK(holds(&place, 0, 1) && holds(&place, 1, most) && holds(&place, 2, most));
    CHECK_INT(seglog_segments(place.log), ==, 4);
    leave(&place);

    /* Larger than the log's buffer. */
    place = (struct place){.root = "/tmp/wm-seglog-XXXXXX"};
    REQUIRE(mkdtemp(place.root) != NULL);
    snprintf(place.path, sizeof place.path, "%s/log", place.root);
    place.config = (struct seglog_config){
        .path = place.path, .segment_bytes = 20u << 20, .seal = true, .no_sync = true};
    REQUIRE(reopen(&place) == 0);
    uint8_t *large = calloc(1, SEGLOG_RECORD_BYTES_MAX + 1);
    REQUIRE(large != NULL);
    large[5] = 1;
    large[SEGLOG_RECORD_BYTES_MAX - 1] = 2;
    CHECK(append(&place, 3));
    CHECK_INT(seglog_append(place.log, 3, wm_view_of(large, SEGLOG_RECORD_BYTES_MAX + 1), &number,
                            &place.diag),
              ==, WM_E_LIMIT);
    CHECK_INT(seglog_append(place.log, 3, wm_view_of(large, SEGLOG_RECORD_BYTES_MAX), &number,
                            &place.diag),
              ==, 0);
    CHECK(append(&place, 4));
    CHECK_INT(seglog_cut(place.log, &place.diag), ==, 0);
    REQUIRE(reopen(&place) == 0);
    struct wm_view bytes;
    uint8_t kind;
    CHECK(holds(&place, 2, 4));
    CHECK_INT(seglog_read(place.log, 1, &kind, &bytes, &place.diag), ==, 0);
    CHECK(wm_view_eq(bytes, wm_view_of(large, SEGLOG_RECORD_BYTES_MAX)));
    CHECK_INT(seglog_check(place.log, 0, &place.diag), ==, 0);
    free(large);
    leave(&place);
}

TEST(the_wrong_folder_is_refused)
{
    struct place place;
    struct seglog *other = NULL;
    struct seglog_opened opened;
    char path[PATH_BYTES];
    REQUIRE(enter(&place, false));
    CHECK(append(&place, 10));
    CHECK_INT(seglog_sync(place.log, &place.diag), ==, 0);
    CHECK_INT(seglog_open(&place.config, &other, &opened, &place.diag), ==, -EBUSY);
    CHECK(strstr(wm_diag_text(&place.diag), "in use by process") != NULL);
    static const uint64_t sizes[] = {65535, 4096, 65536 + 1, (1u << 30) + 4096};
    struct seglog_config config = place.config;
    for (unsigned i = 0; i < WM_COUNT_OF(sizes); i++) {
        config.segment_bytes = sizes[i];
        CHECK_INT(seglog_open(&config, &other, &opened, &place.diag), ==, WM_E_INVALID);
    }
    place.config.label[31] = 1;
    CHECK_INT(reopen(&place), ==, WM_E_INVALID);
    CHECK(strstr(wm_diag_text(&place.diag), "segment 0 belongs to another log") != NULL);
    place.config.label[31] = 0;
    place.config.segment_bytes *= 2;
    CHECK_INT(reopen(&place), ==, WM_E_INVALID);
    CHECK(strstr(wm_diag_text(&place.diag), "have 65536 bytes, not 131072") != NULL);
    place.config.segment_bytes /= 2;
    CHECK_INT(chmod(place.path, 0770), ==, 0);
    CHECK_INT(reopen(&place), ==, WM_E_DENIED);
    CHECK_INT(chmod(place.path, 0700), ==, 0);

    uint8_t page[SEGLOG_PAGE_BYTES], version = 2;
    REQUIRE(file_named(&place, ".log", 0, path));
    REQUIRE(file_bytes(path, page, sizeof page) == sizeof page);
    page[8] = version;
    uint32_t crc = wm_crc32c(0, wm_view_of(page, sizeof page - 4));
    patch(path, 8, &version, 1);
    patch(path, sizeof page - 4, &crc, 4);
    CHECK_INT(reopen(&place), ==, WM_E_UNSUPPORTED);
    CHECK(strstr(wm_diag_text(&place.diag), "version 2 of the format; this program knows 1"));
    leave(&place);
}

TEST(damage_is_named_and_nothing_is_changed)
{
    struct place place;
    char path[PATH_BYTES];
    uint8_t before[SEGMENT_BYTES], after[SEGMENT_BYTES];
    REQUIRE(enter(&place, false));
    for (unsigned i = 0; i < 4; i++) {
        CHECK(append(&place, 100));
        CHECK_INT(seglog_sync(place.log, &place.diag), ==, 0);
    }
    REQUIRE(file_named(&place, ".log", 0, path));
    REQUIRE(reopen(&place) == 0);
    seglog_close(place.log);
    place.log = NULL;
    patch(path, SEGLOG_PAGE_BYTES + 109 + 50, "!", 1);
    REQUIRE(file_bytes(path, before, sizeof before) == sizeof before);
    CHECK_INT(reopen(&place), ==, WM_E_FORGED);
    CHECK(strstr(wm_diag_text(&place.diag), "segment 0 is damaged at byte 4205: ") != NULL);
    REQUIRE(file_bytes(path, after, sizeof after) == sizeof after);
    CHECK(memcmp(before, after, sizeof after) == 0);

    /* After the end, it is a torn tail. */
    memcpy(after + SEGLOG_PAGE_BYTES + 109 + 50, content(1, 100).ptr + 41, 1);
    patch(path, SEGLOG_PAGE_BYTES + 109 + 50, after + SEGLOG_PAGE_BYTES + 109 + 50, 1);
    patch(path, SEGLOG_PAGE_BYTES + 4 * 109 + 70, "torn", 4);
    CHECK_INT(reopen(&place), ==, 0);
    CHECK_INT(place.opened.next, ==, 4);
    CHECK_INT(place.opened.cut_bytes, ==, 74);
    CHECK_INT(reopen(&place), ==, 0);
    CHECK_INT(place.opened.cut_bytes, ==, 0);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(holds(&place, i, 100));
    }
    leave(&place);
}

TEST(segments_that_are_missing_are_missed)
{
    struct place place;
    char path[PATH_BYTES], other[PATH_BYTES];
    REQUIRE(enter(&place, false));
    for (unsigned i = 0; i < 4; i++) {
        CHECK(append(&place, 40000));
    }
    CHECK_INT(seglog_sync(place.log, &place.diag), ==, 0);
    REQUIRE(file_named(&place, ".log", 1, path));
    snprintf(other, sizeof other, "%s/elsewhere", place.root);
    CHECK_INT(rename(path, other), ==, 0);
    CHECK_INT(reopen(&place), ==, WM_E_FORGED);
    CHECK(strstr(wm_diag_text(&place.diag), "segment 1 is missing") != NULL);
    CHECK_INT(rename(other, path), ==, 0);
    CHECK_INT(reopen(&place), ==, 0);
    CHECK_INT(place.opened.next, ==, 4);
    leave(&place);
}

/* --- Sealed segments --- */

TEST(sealed_segments_are_named_by_their_hash)
{
    struct place place;
    struct seglog_segment segment;
    char path[PATH_BYTES], hex[2 * SEGLOG_HASH_BYTES + 1];
    static uint8_t file[SEGMENT_BYTES], again[SEGMENT_BYTES];
    uint8_t sha256[SEGLOG_HASH_BYTES];
    struct stat stat_of;
    REQUIRE(enter(&place, true));
    CHECK_INT(seglog_cut(place.log, &place.diag), ==, 0); /* of nothing: nothing */
    CHECK_INT(seglog_segments(place.log), ==, 1);
    CHECK(append(&place, 100) && append(&place, 0) && append(&place, 1000));
    CHECK_INT(seglog_cut(place.log, &place.diag), ==, 0);
    CHECK(append(&place, 5));
    REQUIRE(seglog_segments(place.log) == 2);
    seglog_segment(place.log, 0, &segment);
    CHECK(segment.sealed && segment.first == 0 && segment.count == 3);
    CHECK_INT(segment.bytes, ==, SEGLOG_PAGE_BYTES + 3 * 9 + 1100 + 64);
    REQUIRE(file_named(&place, ".sealed", 0, path));
    CHECK(stat(path, &stat_of) == 0 && (stat_of.st_mode & 0777) == 0400);
    size_t len = file_bytes(path, file, sizeof file);
    CHECK_INT(len, ==, segment.bytes);
    wm_sha256_once(wm_view_of(file, len - SEGLOG_HASH_BYTES), sha256);
    CHECK(memcmp(sha256, segment.sha256, sizeof sha256) == 0);
    for (unsigned i = 0; i < sizeof sha256; i++) {
        snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
    }
    CHECK(strstr(path, hex) != NULL);
    CHECK_INT(seglog_check(place.log, 0, &place.diag), ==, 0);
    CHECK_INT(seglog_check(place.log, 1, &place.diag), ==, WM_E_INVALID);
    CHECK_INT(seglog_repair(place.log, 1, wm_view_of(file, len), &place.diag), ==, WM_E_INVALID);
    CHECK_INT(seglog_segment_read(place.log, 0, 10, again, len - 10, &place.diag), ==, 0);
    CHECK(memcmp(again, file + 10, len - 10) == 0);
    CHECK_INT(seglog_segment_read(place.log, 0, 10, again, len - 9, &place.diag), ==, WM_E_INVALID);

    REQUIRE(reopen(&place) == 0);
    CHECK_INT(place.opened.next, ==, 3); /* record 3 was not synced */
    CHECK(holds(&place, 0, 100) && holds(&place, 1, 0) && holds(&place, 2, 1000));
    /* Damage stops neither opening nor the other segments; a good copy undoes it. */
    patch(path, SEGLOG_PAGE_BYTES + 50, "?", 1);
    REQUIRE(reopen(&place) == 0);
    CHECK(!holds(&place, 0, 100));
    CHECK_INT(place.diag.code, ==, WM_E_FORGED);
    CHECK(strstr(wm_diag_text(&place.diag), "segment 0 is damaged at byte 4096: repair it with "
                                            "another replica's copy") != NULL);
    CHECK_INT(seglog_check(place.log, 0, &place.diag), ==, WM_E_FORGED);
    CHECK(append(&place, 77) && holds(&place, 3, 77));
    CHECK_INT(seglog_repair(place.log, 0, wm_view_of(file, len - 1), &place.diag), ==, WM_E_FORGED);
    CHECK_INT(seglog_repair(place.log, 0, wm_view_of(NULL, 0), &place.diag), ==, WM_E_FORGED);
    CHECK_INT(seglog_repair(place.log, 0, wm_view_of(file, len), &place.diag), ==, 0);
    CHECK_INT(seglog_check(place.log, 0, &place.diag), ==, 0);
    CHECK(holds(&place, 0, 100) && holds(&place, 2, 1000) && holds(&place, 3, 77));
    CHECK(stat(path, &stat_of) == 0 && (stat_of.st_mode & 0777) == 0400);
    leave(&place);
}

TEST(removing_keeps_what_is_needed)
{
    struct place place;
    REQUIRE(enter(&place, true));
    for (unsigned i = 0; i < 9; i++) {
        CHECK(append(&place, 20000)); /* two in a segment */
    }
    CHECK_INT(seglog_segments(place.log), ==, 5);
    CHECK_INT(seglog_remove_before(place.log, 1, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 5);
    CHECK(holds(&place, 0, 20000));
    CHECK_INT(seglog_remove_before(place.log, 5, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 3);
    CHECK(!holds(&place, 3, 20000) && holds(&place, 4, 20000) && holds(&place, 8, 20000));
    CHECK_INT(seglog_truncate(place.log, 3, &place.diag), ==, WM_E_INVALID);
    CHECK_INT(seglog_remove_before(place.log, 100, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 1);
    CHECK_INT(seglog_sync(place.log, &place.diag), ==, 0);
    REQUIRE(reopen(&place) == 0);
    CHECK(place.opened.first == 8 && place.opened.next == 9);
    CHECK(append(&place, 1) && holds(&place, 9, 1));
    leave(&place);
}

TEST(truncating_reaches_into_sealed_segments)
{
    struct place place;
    char path[PATH_BYTES];
    REQUIRE(enter(&place, true));
    for (unsigned i = 0; i < 7; i++) {
        CHECK(append(&place, 20000)); /* 0 1 | 2 3 | 4 5 | 6 */
    }
    CHECK_INT(seglog_truncate(place.log, 8, &place.diag), ==, WM_E_INVALID);
    CHECK_INT(seglog_truncate(place.log, 7, &place.diag), ==, 0);
    CHECK(holds(&place, 6, 20000));
    /* Six begins a segment, because the one before was full. It is not full for a smaller one. */
    CHECK_INT(seglog_truncate(place.log, 6, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 3);
    CHECK(append(&place, 100) && holds(&place, 6, 100));
    CHECK_INT(seglog_segments(place.log), ==, 3);
    CHECK_INT(seglog_truncate(place.log, 3, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 2);
    CHECK(holds(&place, 2, 20000) && !holds(&place, 3, 20000));
    CHECK(append(&place, 30) && holds(&place, 3, 30));
    CHECK_INT(seglog_cut(place.log, &place.diag), ==, 0);
    CHECK(append(&place, 31));
    /* A cut stays. */
    CHECK_INT(seglog_truncate(place.log, 4, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 3);
    CHECK_INT(seglog_check(place.log, 1, &place.diag), ==, 0);
    REQUIRE(reopen(&place) == 0);
    CHECK_INT(place.opened.next, ==, 4);
    CHECK_INT(place.opened.cut_bytes, ==, 0);
    CHECK(holds(&place, 3, 30));
    CHECK_INT(seglog_truncate(place.log, 0, &place.diag), ==, 0);
    CHECK_INT(seglog_segments(place.log), ==, 1);
    CHECK(!file_named(&place, ".sealed", 0, path) && !file_named(&place, ".log", 1, path));
    CHECK(append(&place, 32) && holds(&place, 0, 32));
    leave(&place);
}

/* --- Syncing elsewhere --- */

static void *sync_elsewhere(void *fd)
{
    return fdatasync(*(int *)fd) == 0 ? NULL : fd;
}

TEST(another_thread_may_wait_for_the_disk)
{
    struct place place;
    pthread_t thread;
    void *failed;
    uint64_t number;
    int fd;
    REQUIRE(enter(&place, true));
    for (unsigned round = 0; round < 20; round++) {
        CHECK(append(&place, 1000));
        REQUIRE(seglog_sync_begin(place.log, &fd, &place.diag) == 0);
        REQUIRE(pthread_create(&thread, NULL, sync_elsewhere, &fd) == 0);
        CHECK(append(&place, 500) && holds(&place, 2 * round + 1, 500));
        pthread_join(thread, &failed);
        CHECK(!failed);
        CHECK_INT(seglog_synced(place.log, 0, &place.diag), ==, 0);
    }
    REQUIRE(seglog_sync_begin(place.log, &fd, &place.diag) == 0);
    CHECK(append(&place, 10000));
    CHECK_INT(seglog_append(place.log, 0, content(41, 40000), &number, &place.diag), ==, WM_E_BUSY);
    CHECK(append(&place, 1000)); /* that one fits */
    CHECK_INT(seglog_synced(place.log, 0, &place.diag), ==, 0);
    CHECK(append(&place, 40000));
    CHECK_INT(seglog_segments(place.log), ==, 2);
    REQUIRE(seglog_sync_begin(place.log, &fd, &place.diag) == 0);
    CHECK_INT(seglog_synced(place.log, -EIO, &place.diag), ==, -EIO);
    CHECK_INT(seglog_append(place.log, 0, content(0, 1), &number, &place.diag), ==, -EIO);
    CHECK(strstr(wm_diag_text(&place.diag), "close the log and open it anew") != NULL);
    CHECK(holds(&place, 0, 1000)); /* reading goes on */
    leave(&place);
}

/* --- Failures --- */

/* Some of everything; the first error, or 0. *synced: records that are durable. */
static int exercise(struct place *place, uint64_t *synced)
{
    uint64_t number;
    struct wm_view bytes;
    uint8_t kind;
    int err = 0;
    for (unsigned i = 0; !err && i < 5; i++) {
        err = seglog_append(place->log, 100, content(i, 20000 + 100), &number, &place->diag);
    }
    err = err ? err : seglog_sync(place->log, &place->diag);
    *synced = err ? *synced : 5;
    err = err ? err : seglog_read(place->log, 1, &kind, &bytes, &place->diag);
    err = err ? err : seglog_cut(place->log, &place->diag);
    err =
        err ? err : seglog_append(place->log, 100, content(5, 20000 + 100), &number, &place->diag);
    if (!err) {
        *synced = 3; /* a truncation that fails is done, or is not */
        err = seglog_truncate(place->log, 3, &place->diag);
    }
    return err ? err : seglog_remove_before(place->log, 2, &place->diag);
}

static void every_fault(enum wm_fault_kind kind)
{
    bool fired = true;
    uint64_t n;
    for (n = 1; fired; n++) {
        struct place place;
        uint64_t synced = 0;
        REQUIRE(enter(&place, true));
        seglog_close(place.log);
        place.log = NULL;
        wm_fault_arm(kind, n);
        int err = reopen(&place);
        err = err ? err : exercise(&place, &synced);
        fired = wm_fault_fired(kind);
        wm_fault_arm(kind, 0);
        CHECK(err == 0 || (fired && err == (kind == WM_FAULT_IO ? -EIO : -ENOMEM)));
        REQUIRE(reopen(&place) == 0);
        CHECK(place.opened.next >= synced && place.opened.next <= 6);
        for (uint64_t i = place.opened.first; i < place.opened.next; i++) {
            struct wm_view bytes;
            uint8_t kind_there;
            CHECK(seglog_read(place.log, i, &kind_there, &bytes, &place.diag) == 0 &&
                  wm_view_eq(bytes, content(i, 20100)));
        }
        leave(&place);
    }
    CHECK(n > 8);
}

TEST(every_allocation_fails_once)
{
    every_fault(WM_FAULT_ALLOC);
}

/* Else the next record, a smaller one, would lie elsewhere than where memory was not short. */
TEST(no_memory_makes_no_empty_segment)
{
    struct place place;
    bool fired = true;
    uint64_t n;
    for (n = 1; fired; n++) {
        uint64_t number;
        REQUIRE(enter(&place, true));
        CHECK(append(&place, 40000));
        wm_fault_arm(WM_FAULT_ALLOC, n);
        int err = seglog_append(place.log, 0, content(1, 20000), &number, &place.diag);
        fired = wm_fault_fired(WM_FAULT_ALLOC);
        wm_fault_arm(WM_FAULT_ALLOC, 0);
        CHECK_INT(err, ==, fired ? -ENOMEM : 0);
        CHECK_INT(seglog_segments(place.log), ==, fired ? 1 : 2);
        CHECK(append(&place, 100) && holds(&place, fired ? 1 : 2, 100)); /* it goes on */
        leave(&place);
    }
    CHECK(n > 2);
}

TEST(every_call_of_the_disk_fails_once)
{
    every_fault(WM_FAULT_IO);
}

TEST_MAIN(TEST_CASE(what_is_not_whole_is_not_read),
          TEST_CASE(names_are_read_as_they_are_written_and_no_other),
          TEST_CASE(records_are_there_when_the_log_is_opened_again),
          TEST_CASE(a_record_may_be_as_large_as_there_is_room),
          TEST_CASE(the_wrong_folder_is_refused), TEST_CASE(damage_is_named_and_nothing_is_changed),
          TEST_CASE(segments_that_are_missing_are_missed),
          TEST_CASE(sealed_segments_are_named_by_their_hash),
          TEST_CASE(removing_keeps_what_is_needed),
          TEST_CASE(truncating_reaches_into_sealed_segments),
          TEST_CASE(another_thread_may_wait_for_the_disk), TEST_CASE(every_allocation_fails_once),
          TEST_CASE(no_memory_makes_no_empty_segment), TEST_CASE(every_call_of_the_disk_fails_once))
