/* fuzz_seglog.c: folders that nobody's log has left. The input first makes a log with a few calls,
 * then overwrites bytes of its files, gives files other names, and mends checksums, so that what
 * lies behind them is reached. Opening it ends with a code or with a log: then all records it says
 * it has can be read (or are in sealed segments, and damaged), it can be appended to, and opened
 * again it is the same.
 *
 *   byte 0      bit 0: segments are sealed; bits 4 to 7: what is mended (MEND_*)
 *   commands    until 'x' or the end: 'a' KIND LENGTH(2): append; 's' sync; 'c' cut;
 *               't' BACK: truncate; 'r' N: remove before
 *   changes     to the end: 'w' FILE OFFSET(2) N BYTES: overwrite; 'n' FILE N NAME: a copy;
 *               'd' FILE: remove; OFFSET in units of one byte from the start, or, from 0x8000 on,
 *               before the end */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "common/seglog_sim.h"
#include "store/seglog.h"
#include "store/seglog_format.h"

#define SEGMENT_BYTES SEGLOG_SEGMENT_BYTES_LEAST
#define MEND_HEADERS 0x10u
#define MEND_MARKS 0x20u
#define MEND_TRUNCATIONS 0x40u
#define MEND_RECORDS 0x80u
#define COMMANDS_MAX 40u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static uint32_t u16_of(struct wm_cursor *input)
{
    uint8_t low = 0, high = 0;
    return wm_cursor_u8(input, &low) && wm_cursor_u8(input, &high) ? low | (uint32_t)high << 8 : 0;
}

static int open_log(const struct seglog_disk *disk, bool seal, struct seglog **log,
                    struct seglog_opened *opened)
{
    struct wm_diag diag = WM_DIAG_INIT;
    struct seglog_config config = {
        .path = "fuzz", .segment_bytes = SEGMENT_BYTES, .seal = seal, .disk = disk};
    int err = seglog_open(&config, log, opened, &diag);
    must(err == 0 || diag.text[0]);
    return err;
}

/* --- Making it --- */

static void command(struct seglog *log, struct wm_cursor *input, uint8_t op, uint64_t *next)
{
    static const uint8_t content[65536] = {1, 2, 3};
    uint8_t kind = 0;
    uint64_t number;
    switch (op) {
    case 'a':
        (void)!wm_cursor_u8(input, &kind);
        *next += seglog_append(log, kind, wm_view_of(content, u16_of(input)), &number, NULL) == 0;
        break;
    case 's': (void)!seglog_sync(log, NULL); break;
    case 'c': (void)!seglog_cut(log, NULL); break;
    case 't':
        (void)!wm_cursor_u8(input, &kind);
        if (seglog_truncate(log, *next - (kind < *next ? kind : *next), NULL) == 0) {
            *next -= kind < *next ? kind : *next;
        }
        break;
    case 'r':
        (void)!wm_cursor_u8(input, &kind);
        (void)!seglog_remove_before(log, kind, NULL);
        break;
    default: break;
    }
}

/* --- Changing it --- */

static const char *name_at(const struct sim *sim, struct wm_cursor *input)
{
    uint8_t n = 0;
    unsigned count = 0;
    (void)!wm_cursor_u8(input, &n);
    while (sim_name(sim, count)) {
        count++;
    }
    return count > 0 ? sim_name(sim, n % count) : NULL;
}

static void change(struct sim *sim, struct wm_cursor *input, uint8_t op)
{
    char name[128], other[128] = "";
    const char *there = name_at(sim, input);
    struct wm_view part;
    uint8_t n = 0;
    if (!there) {
        return;
    }
    strncpy(name, there, sizeof name - 1);
    name[sizeof name - 1] = 0;
    struct wm_view file = sim_file(sim, name);
    switch (op) {
    case 'w': {
        uint64_t offset = u16_of(input);
        offset = offset < 0x8000 ? offset : file.len - (0xffff - offset) % (file.len + 1);
        if (wm_cursor_u8(input, &n) && wm_cursor_bytes(input, n, &part)) {
            sim_put(sim, name, offset, part);
        }
        break;
    }
    case 'n':
        if (wm_cursor_u8(input, &n) && n < sizeof other && wm_cursor_bytes(input, n, &part)) {
            memcpy(other, part.ptr, n);
            if (other[0] && strcmp(other, name) != 0) {
                uint8_t *copy = malloc(file.len + 1);
                must(copy != NULL);
                memcpy(copy, file.ptr ? file.ptr : copy, file.len);
                sim_put(sim, other, 0, wm_view_of(copy, file.len));
                free(copy);
            }
        }
        break;
    case 'd': sim_remove(sim, name); break;
    default: break;
    }
}

static void mend_crc(uint8_t *bytes, size_t len, uint32_t before)
{
    uint32_t crc = wm_crc32c(before, wm_view_of(bytes, len - 4));
    memcpy(bytes + len - 4, &crc, 4);
}

static void mend(struct sim *sim, const char *name, uint8_t what)
{
    static uint8_t file[SEGMENT_BYTES];
    struct seglog_header header;
    struct seglog_name parsed;
    uint32_t version;
    struct wm_view there = sim_file(sim, name);
    if (!seglog_name_get(name, &parsed) || there.len < SEGLOG_PAGE_BYTES ||
        there.len > sizeof file) {
        return;
    }
    memcpy(file, there.ptr, there.len);
    if (what & MEND_HEADERS) {
        mend_crc(file, SEGLOG_PAGE_BYTES, 0);
    }
    if (there.len == SEGMENT_BYTES) {
        for (unsigned i = 0; (what & MEND_MARKS) && i < SEGLOG_MARKS; i++) {
            mend_crc(file + seglog_mark_offset(SEGMENT_BYTES, i), SEGLOG_MARK_BYTES, 0);
        }
        if (what & MEND_TRUNCATIONS) {
            uint32_t before = wm_crc32c(0, wm_view_of(&parsed.segment, 8));
            mend_crc(file + seglog_truncation_offset(SEGMENT_BYTES), SEGLOG_TRUNCATION_BYTES,
                     before);
        }
    }
    if ((what & MEND_RECORDS) &&
        seglog_header_get(wm_view_of(file, SEGLOG_PAGE_BYTES), &header, &version)) {
        uint64_t at = SEGLOG_PAGE_BYTES, number = header.first;
        while (there.len - at > SEGLOG_FRAME_BYTES && seglog_frame_len(file + at) > 0 &&
               seglog_frame_len(file + at) <= there.len - at) {
            uint64_t len = seglog_frame_len(file + at);
            seglog_frame_put(
                number++, file[at + 8],
                wm_view_of(file + at + SEGLOG_FRAME_BYTES, (size_t)len - SEGLOG_FRAME_BYTES),
                file + at);
            at += len;
        }
    }
    sim_put(sim, name, 0, wm_view_of(file, there.len));
}

/* --- Opening it --- */

static void use(struct sim *sim, const struct seglog_disk *disk, bool seal)
{
    struct seglog *log;
    struct seglog_opened opened, again;
    struct wm_view bytes;
    uint8_t kind;
    uint64_t number;
    if (open_log(disk, seal, &log, &opened) != 0) {
        return;
    }
    must(opened.first <= opened.next);
    must(seglog_read(log, opened.next, &kind, &bytes, NULL) == WM_E_NOT_FOUND);
    uint64_t first = opened.first;
    for (uint64_t i = 0; i < seglog_segments(log); i++) {
        struct seglog_segment segment;
        seglog_segment(log, i, &segment);
        must(segment.first == first);
        first += segment.count;
        if (segment.sealed) {
            (void)!seglog_check(log, i, NULL);
        }
        /* A name may promise more records than anybody can read one by one. */
        for (uint64_t k = 0; k < segment.count && k < 300; k++) {
            int err = seglog_read(log, segment.first + k, &kind, &bytes, NULL);
            must(err == 0 || (segment.sealed && err == WM_E_FORGED));
        }
    }
    must(first == opened.next);
    must(seglog_append(log, 3, wm_view_str("one more"), &number, NULL) == 0);
    must(number == opened.next && seglog_sync(log, NULL) == 0);
    seglog_close(log);
    sim_crash(sim);
    must(open_log(disk, seal, &log, &again) == 0);
    must(again.first == opened.first && again.next == opened.next + 1 && again.cut_bytes == 0);
    must(seglog_read(log, number, &kind, &bytes, NULL) == 0 && kind == 3 &&
         wm_view_eq_str(bytes, "one more"));
    /* A sealed segment that it goes back to may be damaged: then it is not done. */
    bool done = seglog_truncate(log, opened.first, NULL) == 0;
    seglog_close(log);
    must(open_log(disk, seal, &log, &again) == 0);
    must(again.first == opened.first && again.next == (done ? opened.first : number + 1));
    seglog_close(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct wm_cursor input = wm_cursor_of(wm_view_of(bytes, len));
    struct seglog_disk disk;
    struct seglog *log;
    struct seglog_opened opened;
    uint8_t flags, op;
    uint64_t next = 0;
    if (!wm_cursor_u8(&input, &flags)) {
        return 0;
    }
    struct sim *sim = sim_new(flags, &disk);
    must(open_log(&disk, flags & 1, &log, &opened) == 0);
    for (unsigned i = 0; i < COMMANDS_MAX && wm_cursor_u8(&input, &op) && op != 'x'; i++) {
        command(log, &input, op, &next);
    }
    seglog_close(log);
    for (unsigned i = 0; i < COMMANDS_MAX && wm_cursor_u8(&input, &op); i++) {
        change(sim, &input, op);
    }
    for (unsigned i = 0; sim_name(sim, i); i++) {
        mend(sim, sim_name(sim, i), flags);
    }
    use(sim, &disk, flags & 1);
    sim_free(sim);
    return 0;
}
