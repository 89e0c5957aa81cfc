/* dwarf_test.c: line tables of versions 4 and 5, written here byte by byte, and damaged ones. */
#include "wasm/dwarf.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fault.h"
#include "base/test.h"

#define CODE_SECTION 1000 /* where the code section's content lies in the module */

struct bytes {
    uint8_t data[4096];
    size_t len;
};

static void u8(struct bytes *out, uint8_t value)
{
    out->data[out->len++] = value;
}

static void u16(struct bytes *out, uint16_t value)
{
    memcpy(out->data + out->len, &value, 2);
    out->len += 2;
}

static void u32(struct bytes *out, uint32_t value)
{
    memcpy(out->data + out->len, &value, 4);
    out->len += 4;
}

static void str(struct bytes *out, const char *text)
{
    memcpy(out->data + out->len, text, strlen(text) + 1);
    out->len += strlen(text) + 1;
}

static void patch(struct bytes *out, size_t at)
{
    uint32_t len = (uint32_t)(out->len - at - 4);
    memcpy(out->data + at, &len, 4);
}

/* Header up to the tables; *length_at and *header_at are patched by end_unit and end_header. */
static void begin_unit(struct bytes *out, uint16_t version, size_t *length_at, size_t *header_at)
{
    static const uint8_t operands[] = {0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1};
    *length_at = out->len;
    u32(out, 0);
    u16(out, version);
    if (version >= 5) {
        u8(out, 4); /* address size */
        u8(out, 0);
    }
    *header_at = out->len;
    u32(out, 0);
    u8(out, 1); /* minimum instruction length */
    if (version >= 4) {
        u8(out, 1);
    }
    u8(out, 1);
    u8(out, (uint8_t)-5); /* line base */
    u8(out, 14);          /* line range */
    u8(out, 13);          /* opcode base */
    memcpy(out->data + out->len, operands, sizeof operands);
    out->len += sizeof operands;
}

static void set_address(struct bytes *out, uint32_t address)
{
    u8(out, 0);
    u8(out, 5);
    u8(out, 2);
    u32(out, address);
}

static void end_sequence(struct bytes *out)
{
    u8(out, 0);
    u8(out, 1);
    u8(out, 1);
}

/* Files: 1 a.c (own folder), 2 lib/b.c, 3 /abs/c.c. Rows: 100 a.c:10; 110 a.c:12; 130 lib/b.c:7;
 * end at 140; a sequence of a dropped function at 0; 200 /abs/c.c:1; end at 210. */
static void unit_v4(struct bytes *out)
{
    size_t length_at, header_at;
    begin_unit(out, 4, &length_at, &header_at);
    str(out, "lib");
    str(out, "");
    str(out, "a.c");
    u8(out, 0), u8(out, 0), u8(out, 0);
    str(out, "b.c");
    u8(out, 1), u8(out, 0), u8(out, 0);
    str(out, "/abs/c.c");
    u8(out, 1), u8(out, 0), u8(out, 0);
    str(out, "");
    patch(out, header_at);
    set_address(out, 100);
    u8(out, 3), u8(out, 9);        /* advance_line 9 */
    u8(out, 1);                    /* copy: 100, line 10 */
    u8(out, 13 + 5 + 2 + 10 * 14); /* special: line + 2, address + 10 */
    u8(out, 2), u8(out, 20);       /* advance_pc */
    u8(out, 4), u8(out, 2);        /* set_file */
    u8(out, 3), u8(out, 0x7b);     /* advance_line -5 */
    u8(out, 1);
    u8(out, 9), u16(out, 10); /* fixed_advance_pc */
    end_sequence(out);
    set_address(out, 0);
    u8(out, 1);
    u8(out, 2), u8(out, 120); /* would cover what is real */
    u8(out, 1);
    end_sequence(out);
    set_address(out, 200);
    u8(out, 4), u8(out, 3);
    u8(out, 1);
    u8(out, 2), u8(out, 10);
    end_sequence(out);
    patch(out, length_at);
}

/* Directories from .debug_line_str: 0 "/build", 1 "src". Files: 0 and 1 m.c, 2 src/n.c. Rows: 300
 * m.c:5; 310 src/n.c:6; end at 320. */
static void unit_v5(struct bytes *out, struct bytes *line_str)
{
    size_t length_at, header_at;
    uint32_t build = (uint32_t)line_str->len;
    str(line_str, "/build");
    uint32_t src = (uint32_t)line_str->len;
    str(line_str, "src");
    begin_unit(out, 5, &length_at, &header_at);
    u8(out, 1), u8(out, 1), u8(out, 0x1f); /* directories: path as line_strp */
    u8(out, 2);
    u32(out, build), u32(out, src);
    u8(out, 3);                                           /* files: */
    u8(out, 1), u8(out, 0x08), u8(out, 2), u8(out, 0x0b); /* path as string, directory as data1 */
    u8(out, 5), u8(out, 0x1e);                            /* MD5 as data16 */
    u8(out, 3);
    for (int i = 0; i < 3; i++) {
        str(out, i < 2 ? "m.c" : "n.c");
        u8(out, i == 2);
        memset(out->data + out->len, 0xee, 16);
        out->len += 16;
    }
    patch(out, header_at);
    set_address(out, 300);
    u8(out, 3), u8(out, 4);
    u8(out, 1);
    u8(out, 4), u8(out, 2);
    u8(out, 13 + 5 + 1 + 10 * 14);
    u8(out, 2), u8(out, 10);
    end_sequence(out);
    patch(out, length_at);
}

static struct wasm_module module_of(struct wasm_custom customs[2], struct wm_view line,
                                    struct wm_view line_str)
{
    customs[0] = (struct wasm_custom){.name = wm_view_str(".debug_line"), .bytes = line};
    customs[1] = (struct wasm_custom){.name = wm_view_str(".debug_line_str"), .bytes = line_str};
    return (struct wasm_module){.bytes = {.ptr = line.ptr, .len = 2000},
                                .customs = customs,
                                .custom_count = 2,
                                .code_section_offset = CODE_SECTION};
}

static bool is(const struct wasm_dwarf_sources *sources, uint32_t address, const char *file,
               uint32_t line)
{
    const struct wasm_dwarf_source *found = NULL;
    for (uint32_t i = 0;
         i < sources->count && sources->rows[i].wasm_offset <= CODE_SECTION + address; i++) {
        found = &sources->rows[i];
    }
    if (!line) {
        return !found || found->line == 0;
    }
    return found && found->line == line && wm_view_eq_str(sources->files[found->file], file);
}

TEST(both_versions_give_files_and_lines)
{
    struct bytes line = {.len = 0}, line_str = {.len = 0};
    struct wasm_custom customs[2];
    struct wasm_dwarf_sources sources;
    struct wm_arena arena;
    unit_v4(&line);
    unit_v5(&line, &line_str);
    struct wasm_module module = module_of(customs, wm_view_of(line.data, line.len),
                                          wm_view_of(line_str.data, line_str.len));
    wm_arena_init(&arena, 0);
    REQUIRE(wasm_dwarf_sources(&module, &arena, &sources) == 0);
    CHECK(is(&sources, 99, "", 0));
    CHECK(is(&sources, 100, "a.c", 10));
    CHECK(is(&sources, 109, "a.c", 10));
    CHECK(is(&sources, 110, "a.c", 12));
    CHECK(is(&sources, 130, "lib/b.c", 7));
    CHECK(is(&sources, 139, "lib/b.c", 7));
    CHECK(is(&sources, 140, "", 0));
    CHECK(is(&sources, 0, "", 0)); /* the dropped function's rows are not there */
    CHECK(is(&sources, 200, "/abs/c.c", 1));
    CHECK(is(&sources, 210, "", 0));
    CHECK(is(&sources, 300, "m.c", 5));
    CHECK(is(&sources, 310, "src/n.c", 6));
    CHECK(is(&sources, 320, "", 0));
    for (uint32_t i = 1; i < sources.count; i++) {
        CHECK(sources.rows[i].wasm_offset > sources.rows[i - 1].wasm_offset);
    }
    wm_arena_fini(&arena);
}

TEST(a_module_without_line_tables_has_no_lines)
{
    struct wasm_module module = {.bytes = wm_view_str("x")};
    struct wasm_dwarf_sources sources;
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    CHECK_INT(wasm_dwarf_sources(&module, &arena, &sources), ==, 0);
    CHECK_INT(sources.count, ==, 0);
    wm_arena_fini(&arena);
}

TEST(bodies_with_lines_are_known)
{
    /* Before the first row; ending where it begins; all of it; within one row; between the units;
     * beginning in no row and ending in one; after the last. */
    static const uint32_t extents[][2] = {{50, 60},   {90, 100},  {100, 140}, {112, 114},
                                          {141, 150}, {295, 301}, {320, 330}};
    static const bool expected[] = {false, false, true, true, false, true, false};
    struct bytes line = {.len = 0}, line_str = {.len = 0};
    struct wasm_custom customs[2];
    struct wasm_body bodies[WM_COUNT_OF(expected)] = {0};
    struct wm_arena arena;
    unit_v4(&line);
    unit_v5(&line, &line_str);
    struct wasm_module module = module_of(customs, wm_view_of(line.data, line.len),
                                          wm_view_of(line_str.data, line_str.len));
    module.bodies = bodies;
    module.body_count = WM_COUNT_OF(expected);
    for (size_t i = 0; i < WM_COUNT_OF(expected); i++) {
        bodies[i].code_offset = CODE_SECTION + extents[i][0];
        bodies[i].code.len = extents[i][1] - extents[i][0];
    }
    wm_arena_init(&arena, 0);
    REQUIRE(wasm_dwarf_bodies(&module, &arena) == 0);
    for (size_t i = 0; i < WM_COUNT_OF(expected); i++) {
        if (module.bodies_with_lines[i] != expected[i]) {
            wm_test_note("body %zu", i);
        }
        CHECK(module.bodies_with_lines[i] == expected[i]);
    }
    wm_arena_fini(&arena);
}

TEST(a_damaged_unit_does_not_hide_the_next)
{
    struct bytes line = {.len = 0}, line_str = {.len = 0};
    struct wasm_custom customs[2];
    struct wasm_dwarf_sources sources;
    struct wm_arena arena;
    unit_v4(&line);
    line.data[4] = 9; /* no such version */
    unit_v5(&line, &line_str);
    struct wasm_module module = module_of(customs, wm_view_of(line.data, line.len),
                                          wm_view_of(line_str.data, line_str.len));
    wm_arena_init(&arena, 0);
    REQUIRE(wasm_dwarf_sources(&module, &arena, &sources) == 0);
    CHECK(is(&sources, 100, "", 0));
    CHECK(is(&sources, 310, "src/n.c", 6));
    wm_arena_fini(&arena);
}

/* Every byte changed and every length cut, each in a block of the exact size. */
TEST(damaged_tables_are_never_an_error)
{
    struct bytes line = {.len = 0}, line_str = {.len = 0};
    unit_v4(&line);
    unit_v5(&line, &line_str);
    uint64_t rows = 0;
    for (size_t at = 0; at < 2 * line.len; at++) {
        size_t len = at < line.len ? line.len : at - line.len;
        uint8_t *copy = wm_alloc(len);
        struct wasm_custom customs[2];
        struct wasm_dwarf_sources sources;
        struct wm_arena arena;
        REQUIRE(copy);
        memcpy(copy, line.data, len);
        if (at < line.len) {
            copy[at] = (uint8_t)~copy[at];
        }
        struct wasm_module module =
            module_of(customs, wm_view_of(copy, len), wm_view_of(line_str.data, line_str.len));
        wm_arena_init(&arena, 1 << 20);
        CHECK_INT(wasm_dwarf_sources(&module, &arena, &sources), ==, 0);
        for (uint32_t i = 0; i < sources.count; i++) {
            CHECK(sources.rows[i].line == 0 || sources.rows[i].file < sources.file_count);
            CHECK(i == 0 || sources.rows[i].wasm_offset > sources.rows[i - 1].wasm_offset);
        }
        rows += sources.count;
        wm_arena_fini(&arena);
        wm_free(copy);
    }
    CHECK(rows > line.len);
}

/* A name of a megabyte, used by every one of many files: the product is bounded. */
TEST(long_names_are_not_multiplied)
{
    enum { NAME = 1 << 20 };
    static uint8_t names[NAME];
    static struct bytes line;
    struct wasm_custom customs[2];
    struct wasm_dwarf_sources sources;
    struct wm_arena arena;
    size_t length_at, header_at;
    memset(names, 'n', sizeof names - 1);
    line.len = 0;
    begin_unit(&line, 5, &length_at, &header_at);
    u8(&line, 1), u8(&line, 1), u8(&line, 0x1f), u8(&line, 1), u32(&line, 0);
    u8(&line, 1), u8(&line, 1), u8(&line, 0x1f), u8(&line, 0xe8), u8(&line, 0x07); /* 1,000 files */
    for (uint32_t i = 0; i < 1000; i++) {
        u32(&line, i % 2 ? NAME - 4000 : 0); /* within what one path may have, and far beyond */
        if (line.len > sizeof line.data - 64) {
            break;
        }
    }
    patch(&line, header_at);
    patch(&line, length_at);
    struct wasm_module module =
        module_of(customs, wm_view_of(line.data, line.len), wm_view_of(names, sizeof names));
    wm_arena_init(&arena, 0);
    CHECK_INT(wasm_dwarf_sources(&module, &arena, &sources), ==, 0);
    CHECK(sources.file_count > 500);
    CHECK_INT(arena.total_bytes, <, 48 << 20);
    wm_arena_fini(&arena);
}

TEST(reading_survives_every_failure)
{
    struct bytes line = {.len = 0}, line_str = {.len = 0};
    struct wasm_custom customs[2];
    unit_v4(&line);
    unit_v5(&line, &line_str);
    struct wasm_module module = module_of(customs, wm_view_of(line.data, line.len),
                                          wm_view_of(line_str.data, line_str.len));
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct wasm_dwarf_sources sources;
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        int err = wasm_dwarf_sources(&module, &arena, &sources);
        CHECK_INT(err, ==, wm_fault_fired(WM_FAULT_ALLOC) ? -ENOMEM : 0);
        wm_arena_fini(&arena);
    }
}

TEST_MAIN(TEST_CASE(both_versions_give_files_and_lines),
          TEST_CASE(a_module_without_line_tables_has_no_lines),
          TEST_CASE(bodies_with_lines_are_known), TEST_CASE(a_damaged_unit_does_not_hide_the_next),
          TEST_CASE(damaged_tables_are_never_an_error), TEST_CASE(long_names_are_not_multiplied),
          TEST_CASE(reading_survives_every_failure))
