/* elf_test.c: links what elf_test_code.S assembles to, and runs it. The path of the folder with the
 * assembled variants is ELF_TEST_DIR. */
#include "wasm/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "host/file.h"

#define FUNCS 3 /* f0 is an import */
#define TYPES 1

static uint8_t *load(const char *variant, size_t *len)
{
    char path[512];
    uint8_t *bytes = NULL;
    snprintf(path, sizeof path, ELF_TEST_DIR "/elf_test_%s.elf", variant);
    int fd = host_file_open(AT_FDCWD, path);
    if (fd < 0 || host_file_read_all(fd, 1 << 20, &bytes, len) != 0) {
        wm_test_note("%s cannot be read", path);
    }
    host_file_close(fd);
    return bytes;
}

static const struct wasm_object_unwind *row_at(const struct wasm_elf_image *image, uint32_t offset)
{
    const struct wasm_object_unwind *found = NULL;
    for (uint32_t i = 0; i < image->unwind_count && image->unwind[i].code_offset <= offset; i++) {
        found = &image->unwind[i];
    }
    return found;
}

static uint32_t line_at(const struct wasm_elf_image *image, uint32_t offset)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < image->line_count && image->lines[i].code_offset <= offset; i++) {
        found = image->lines[i].wasm_offset;
    }
    return found;
}

static int link_one(const uint8_t *elf, size_t len, struct wm_arena *arena,
                    struct wasm_elf_image *image, struct wm_diag *diag)
{
    const struct wm_view input = wm_view_of(elf, len);
    return wasm_elf_link(&input, 1, FUNCS, TYPES, arena, image, diag);
}

TEST(the_image_runs_wherever_it_lies)
{
    size_t len = 0;
    uint8_t *elf = load("good", &len);
    struct wm_arena arena;
    struct wasm_elf_image image;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(elf);
    wm_arena_init(&arena, 0);
    CHECK_INT(link_one(elf, len, &arena, &image, &diag), ==, 0);
    CHECK_STR(diag.text, "");
    CHECK_INT(image.funcs[0].len, ==, 0);
    CHECK(image.funcs[1].len && image.funcs[2].len && image.entries[0].len);
    CHECK(image.adapters[0].len);
    CHECK_INT(image.code_bytes, <, image.text_bytes);
    for (int i = 0; i < 2; i++) {
        uint8_t *code =
            mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(code != MAP_FAILED && image.text_bytes <= 1 << 16);
        memcpy(code, image.text, image.text_bytes);
        REQUIRE(mprotect(code, 1 << 16, PROT_READ | PROT_EXEC) == 0);
        int (*run)(void) = (int (*)(void))(void *)(code + image.funcs[1].offset);
        CHECK_INT(run(), ==, 42);
        munmap(code, 1 << 16);
    }
    wm_arena_fini(&arena);
    wm_free(elf);
}

/* The halves of the same code, in either order, in files of their own. */
TEST(files_call_each_other)
{
    for (int order = 0; order < 2; order++) {
        size_t lens[2] = {0};
        uint8_t *elfs[2] = {load(order ? "second" : "first", &lens[0]),
                            load(order ? "first" : "second", &lens[1])};
        struct wm_arena arena;
        struct wasm_elf_image image;
        struct wm_diag diag = WM_DIAG_INIT;
        REQUIRE(elfs[0] && elfs[1]);
        const struct wm_view inputs[2] = {wm_view_of(elfs[0], lens[0]),
                                          wm_view_of(elfs[1], lens[1])};
        wm_arena_init(&arena, 0);
        REQUIRE(wasm_elf_link(inputs, 2, FUNCS, TYPES, &arena, &image, &diag) == 0);
        uint32_t f1 = image.funcs[1].offset, f2 = image.funcs[2].offset;
        CHECK(order ? f2 < f1 : f1 < f2); /* in the order of the files */
        CHECK(f1 < image.code_bytes && f2 < image.code_bytes);
        CHECK_INT(image.adapters[0].len, ==, 1);
        uint8_t *code =
            mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(code != MAP_FAILED && image.text_bytes <= 1 << 16);
        memcpy(code, image.text, image.text_bytes);
        REQUIRE(mprotect(code, 1 << 16, PROT_READ | PROT_EXEC) == 0);
        int (*run)(void) = (int (*)(void))(void *)(code + f1);
        CHECK_INT(run(), ==, 42);
        munmap(code, 1 << 16);
        /* The tables are those of both, in the order of the code. */
        CHECK_INT(row_at(&image, f1 + 5)->cfa, ==, 48);
        CHECK_INT(row_at(&image, f2 + 4)->cfa, ==, 0x80000000u | 16);
        CHECK_INT(image.frame_bytes[1], ==, 48);
        CHECK_INT(line_at(&image, f1 + 5), ==, 107);
        CHECK_INT(line_at(&image, f2 + image.funcs[2].len - 1), ==, 210);
        for (uint32_t i = 1; i < image.unwind_count; i++) {
            CHECK(image.unwind[i].code_offset > image.unwind[i - 1].code_offset);
        }
        for (uint32_t i = 1; i < image.line_count; i++) {
            CHECK(image.lines[i].code_offset > image.lines[i - 1].code_offset);
        }
        /* One half alone, and one half twice. */
        CHECK_INT(wasm_elf_link(&inputs[order], 1, FUNCS, TYPES, &arena, &image, &diag), ==,
                  WM_E_COMPILER);
        CHECK_STR(diag.text, "compiled code: it needs a function that is not part of it: f2");
        const struct wm_view twice[3] = {inputs[0], inputs[1], inputs[1 - order]};
        CHECK_INT(wasm_elf_link(twice, 3, FUNCS, TYPES, &arena, &image, &diag), ==, WM_E_COMPILER);
        CHECK_STR(diag.text, "compiled code: a function that is there twice: f2");
        wm_arena_fini(&arena);
        wm_free(elfs[0]);
        wm_free(elfs[1]);
    }
}

TEST(nothing_gives_an_empty_image)
{
    struct wm_arena arena;
    struct wasm_elf_image image;
    wm_arena_init(&arena, 0);
    CHECK_INT(wasm_elf_link(NULL, 0, FUNCS, TYPES, &arena, &image, NULL), ==, 0);
    CHECK_INT(image.text_bytes + image.unwind_count + image.line_count, ==, 0);
    wm_arena_fini(&arena);
}

TEST(unwind_rows_follow_the_stack_pointer)
{
    size_t len = 0;
    uint8_t *elf = load("good", &len);
    struct wm_arena arena;
    struct wasm_elf_image image;
    REQUIRE(elf);
    wm_arena_init(&arena, 0);
    REQUIRE(link_one(elf, len, &arena, &image, NULL) == 0);
    uint32_t f1 = image.funcs[1].offset, f2 = image.funcs[2].offset;
    CHECK_INT(row_at(&image, f1)->cfa, ==, 8);
    CHECK_INT(row_at(&image, f1)->rbp_offset, ==, 0);
    CHECK_INT(row_at(&image, f1 + 1)->cfa, ==, 16); /* after push */
    CHECK_INT(row_at(&image, f1 + 1)->rbp_offset, ==, -16);
    CHECK_INT(row_at(&image, f1 + 5)->cfa, ==, 48); /* after sub */
    uint32_t end = f1 + image.funcs[1].len;
    CHECK_INT(row_at(&image, end - 3)->cfa, ==, 8); /* at ret */
    CHECK_INT(row_at(&image, end - 3)->rbp_offset, ==, 0);
    CHECK_INT(row_at(&image, end - 1)->cfa, ==, 48); /* after the restored state */
    CHECK_INT(row_at(&image, end - 1)->rbp_offset, ==, -16);
    CHECK_INT(row_at(&image, end)->cfa, ==, UINT32_MAX); /* padding */
    CHECK_INT(row_at(&image, f2 + 4)->cfa, ==, 0x80000000u | 16);
    CHECK_INT(row_at(&image, image.entries[0].offset)->cfa, ==, UINT32_MAX);
    CHECK_INT(row_at(&image, image.adapters[0].offset)->cfa, ==, 8);
    CHECK_INT(row_at(&image, (uint32_t)image.code_bytes)->cfa, ==, UINT32_MAX);
    for (uint32_t i = 1; i < image.unwind_count; i++) {
        CHECK(image.unwind[i].code_offset > image.unwind[i - 1].code_offset);
    }
    CHECK_INT(image.frame_bytes[0], ==, UINT32_MAX); /* an import has no frame to know */
    CHECK_INT(image.frame_bytes[1], ==, 48);
    CHECK_INT(image.frame_bytes[2], >=, 1024 + 32);
    CHECK_INT(image.frame_bytes[2], <, 1024 + 128);
    CHECK_INT(image.frame_max, ==, image.frame_bytes[2]);
    wm_arena_fini(&arena);
    wm_free(elf);
}

TEST(lines_are_wasm_offsets)
{
    size_t len = 0;
    uint8_t *elf = load("good", &len);
    struct wm_arena arena;
    struct wasm_elf_image image;
    REQUIRE(elf);
    wm_arena_init(&arena, 0);
    REQUIRE(link_one(elf, len, &arena, &image, NULL) == 0);
    uint32_t f1 = image.funcs[1].offset, f2 = image.funcs[2].offset;
    CHECK_INT(line_at(&image, f1), ==, 100);
    CHECK_INT(line_at(&image, f1 + 4), ==, 100);
    CHECK_INT(line_at(&image, f1 + 5), ==, 107);
    CHECK_INT(line_at(&image, f1 + 10), ==, 109);
    CHECK_INT(line_at(&image, f2), ==, 200);
    CHECK_INT(line_at(&image, f2 + image.funcs[2].len - 1), ==, 210);
    CHECK_INT(line_at(&image, (uint32_t)image.code_bytes), ==, 0);
    wm_arena_fini(&arena);
    wm_free(elf);
}

TEST(what_needs_more_than_its_own_place_is_refused_by_name)
{
    static const struct {
        const char *variant, *text;
    } cases[] = {
        {"undefined", "compiled code: it needs a function that is not part of it: memcpy"},
        {"data", "compiled code: it keeps data of its own, in section: .data"},
        {"zeroes", "compiled code: it keeps data of its own, in section: .bss"},
        {"absolute", "compiled code: relocation type 1 depends on an address"},
        {"number", "compiled code: a function of no index: f9"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        size_t len = 0;
        uint8_t *elf = load(cases[i].variant, &len);
        struct wm_arena arena;
        struct wasm_elf_image image;
        struct wm_diag diag = WM_DIAG_INIT;
        REQUIRE(elf);
        wm_arena_init(&arena, 0);
        CHECK_INT(link_one(elf, len, &arena, &image, &diag), ==, WM_E_COMPILER);
        CHECK_STR(diag.text, cases[i].text);
        wm_arena_fini(&arena);
        wm_free(elf);
    }
}

/* Every byte changed, every length cut: an error or an image, never a read outside the file. */
TEST(damaged_files_are_errors)
{
    size_t len = 0;
    uint8_t *elf = load("good", &len);
    REQUIRE(elf);
    unsigned linked = 0, refused = 0;
    for (size_t at = 0; at < 2 * len; at++) {
        size_t size = at < len ? len : at - len;
        uint8_t *copy = wm_alloc(size); /* of the exact size, for AddressSanitizer to watch */
        struct wm_arena arena;
        struct wasm_elf_image image;
        REQUIRE(copy);
        memcpy(copy, elf, size);
        if (at < len) {
            copy[at] ^= (uint8_t)(at % 2 ? 0xff : 0x81);
        }
        wm_arena_init(&arena, 64 << 20);
        int err = link_one(copy, size, &arena, &image, NULL);
        CHECK(err == 0 || err == WM_E_COMPILER || err == WM_E_LIMIT || err == -ENOMEM);
        linked += err == 0;
        refused += err != 0;
        wm_arena_fini(&arena);
        wm_free(copy);
    }
    CHECK(linked > 0);
    CHECK_INT(refused, >, len);
    wm_free(elf);
}

TEST(linking_survives_every_failure)
{
    size_t len = 0;
    uint8_t *elf = load("good", &len);
    REQUIRE(elf);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct wm_arena arena;
        struct wasm_elf_image image;
        wm_arena_init(&arena, 0);
        int err = link_one(elf, len, &arena, &image, NULL);
        CHECK_INT(err, ==, wm_fault_fired(WM_FAULT_ALLOC) ? -ENOMEM : 0);
        wm_arena_fini(&arena);
    }
    wm_free(elf);
}

TEST_MAIN(TEST_CASE(the_image_runs_wherever_it_lies), TEST_CASE(files_call_each_other),
          TEST_CASE(nothing_gives_an_empty_image), TEST_CASE(unwind_rows_follow_the_stack_pointer),
          TEST_CASE(lines_are_wasm_offsets),
          TEST_CASE(what_needs_more_than_its_own_place_is_refused_by_name),
          TEST_CASE(damaged_files_are_errors), TEST_CASE(linking_survives_every_failure))
