/* object_test.c: what is written can be read; what was changed is refused, or is at least harmless.
 */
#include "wasm/object.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "host/file.h"
#include "wasm/module.h"
#include "wasm/object_sample.h"

static int sample_fd(void)
{
    int fd = memfd_create("object", MFD_CLOEXEC);
    if (fd >= 0 && wasm_sample_object(fd, 0) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The sample in memory of its own; *len its size. */
static uint8_t *sample_bytes(size_t *len)
{
    uint8_t *bytes = NULL;
    int fd = sample_fd();
    if (fd < 0 || lseek(fd, 0, SEEK_SET) != 0 ||
        host_file_read_all(fd, UINT64_C(1) << 20, &bytes, len) != 0) {
        return NULL;
    }
    close(fd);
    return bytes;
}

static struct wm_view name_of(const struct wasm_object *object, const char *name)
{
    const struct wasm_object_export *export = wasm_object_export_find(object, wm_view_str(name));
    return export ? wasm_object_view(object, export->name) : (struct wm_view){0};
}

TEST(sample_is_whole_and_opens)
{
    struct wm_diag diag = WM_DIAG_INIT;
    size_t len = 0;
    uint8_t *bytes = sample_bytes(&len);
    REQUIRE(bytes);
    CHECK_INT(wasm_object_check(wm_view_of(bytes, len), true, &diag), ==, 0);
    CHECK_STR(diag.text, "");
    wm_free(bytes);

    int fd = sample_fd();
    struct wasm_object *object;
    REQUIRE(fd >= 0);
    REQUIRE(wasm_object_open(fd, &object, &diag) == 0);
    close(fd); /* the map does not need it */
    CHECK_INT(WASM_OBJECT_COUNT(object, FUNCS), ==, 3);
    CHECK_INT(WASM_OBJECT_COUNT(object, IMPORTS), ==, 4);
    CHECK_INT(object->header->imported_funcs, ==, 1);
    CHECK_INT(object->header->memory_flags, ==, 3);
    CHECK_INT(object->header->memory_min, ==, 1);
    CHECK_INT(object->header->memory_max, ==, 16);
    CHECK_INT(object->header->start_func, ==, 1);
    CHECK_INT(object->at.GLOBALS[3].init.kind, ==, WASM_CONST_EXTENDED);
    CHECK_INT(object->at.GLOBALS[1].init.value.i64, ==, -5);
    CHECK_INT(object->at.GLOBALS[5].init.value.v128[1], ==, 3 | INT64_C(4) << 32);
    CHECK_INT(object->at.ELEMS[0].count, ==, 2);
    CHECK_INT(object->at.ELEM_INITS[1].idx, ==, 2);
    CHECK_INT(object->at.TYPES[1].entry_offset, ==, 96);
    CHECK_INT(object->at.TYPES[0].adapter_offset, ==, 112);
    CHECK(memcmp(object->at.DATA, "hellopassive bytes", 18) == 0);
    CHECK(wm_view_eq_str(wasm_object_view(object, object->at.FUNCS[2].name), "second"));
    CHECK_INT(object->text[255], ==, 0xc3);
    wasm_object_close(object);
}

TEST(look_ups_find_their_record)
{
    int fd = sample_fd();
    struct wasm_object *object;
    struct wm_view file;
    uint32_t line;
    REQUIRE(fd >= 0 && wasm_object_open(fd, &object, NULL) == 0);
    CHECK_INT(wasm_object_func_at(object, 0), ==, 1);
    CHECK_INT(wasm_object_func_at(object, 39), ==, 1);
    CHECK_INT(wasm_object_func_at(object, 40), ==, UINT32_MAX); /* padding */
    CHECK_INT(wasm_object_func_at(object, 48), ==, 2);
    CHECK_INT(wasm_object_func_at(object, 79), ==, 2);
    CHECK_INT(wasm_object_func_at(object, 80), ==, UINT32_MAX); /* a thunk */
    CHECK_INT(wasm_object_func_at(object, UINT64_MAX), ==, UINT32_MAX);
    CHECK_INT(wasm_object_unwind_at(object, 3)->cfa, ==, 8);
    CHECK_INT(wasm_object_unwind_at(object, 4)->rbp_offset, ==, -16);
    CHECK_INT(wasm_object_unwind_at(object, 47)->cfa, ==, UINT32_MAX);
    CHECK_INT(wasm_object_unwind_at(object, UINT64_MAX)->cfa, ==, UINT32_MAX);
    CHECK_INT(wasm_object_offset_at(object, 9), ==, 204);
    CHECK_INT(wasm_object_offset_at(object, 50), ==, 210);
    CHECK_INT(wasm_object_offset_at(object, 100), ==, 0);
    CHECK(!wasm_object_source_at(object, 9, &file, &line)); /* the module has no DWARF */
    CHECK(wm_view_eq_str(name_of(object, "a"), "a"));
    CHECK(wm_view_eq_str(name_of(object, "table"), "table"));
    CHECK_INT(name_of(object, "tabl").len, ==, 0);
    CHECK_INT(name_of(object, "tablee").len, ==, 0);
    CHECK_INT(name_of(object, "").len, ==, 0);
    close(fd);
    wasm_object_close(object);
}

/* One rule of the format broken at a time. `at` finds the bytes in the sample. */
#define FIELD(section, record, field)                                                    \
    ((uint8_t *)&((union any *)(bytes + header->sections[WASM_OBJECT_##section].offset)) \
         ->section[record]                                                               \
         .field)
union any {
#define ANY(section, type) type section[1];
    WASM_OBJECT_SECTIONS(ANY)
#undef ANY
};

static const char *refusal(uint8_t *bytes, size_t len, void *field, uint64_t value, size_t width)
{
    static char text[WM_DIAG_TEXT_BYTES];
    struct wm_diag diag = WM_DIAG_INIT;
    uint64_t old = 0;
    memcpy(&old, field, width);
    memcpy(field, &value, width);
    int err = wasm_object_check(wm_view_of(bytes, len), false, &diag);
    memcpy(field, &old, width);
    memcpy(text, diag.text, sizeof text);
    return err == WM_E_MALFORMED ? text : "accepted";
}
#define CHECK_REFUSED(field, value, width, text) \
    CHECK_STR(refusal(bytes, len, field, value, width), "object: " text)

TEST(each_rule_of_the_format_is_checked)
{
    size_t len = 0;
    uint8_t *bytes = sample_bytes(&len);
    REQUIRE(bytes);
    struct wasm_object_header *header = (void *)bytes;
    CHECK_REFUSED(&header->magic, 0, 1, "no Wardmote object (wrong first bytes)");
    CHECK_REFUSED(&header->version, 2, 4, "format version 2, this program has 1");
    CHECK_REFUSED(&header->key.abi_version, 77, 4, "code for ABI 77, this program has 1");
    CHECK_REFUSED(&header->key.mode, 3, 1, "unknown options in its key");
    CHECK_REFUSED(&header->key.cpu, 1, 1, "unknown options in its key");
    CHECK_REFUSED(&header->key.reserved, 1, 1, "unknown options in its key");
    CHECK_REFUSED(&header->sections[WASM_OBJECT_TYPES].count, UINT64_MAX / 8, 8,
                  "section TYPES does not lie in its place");
    CHECK_REFUSED(&header->sections[WASM_OBJECT_TEXT].offset, 4096 * 2, 8,
                  "section TEXT does not lie in its place");
    CHECK_REFUSED(&header->sections[WASM_OBJECT_TEXT].count, 255, 8,
                  "bytes after the last section");
    CHECK_REFUSED(&header->imported_funcs, 2, 4, "the number of its imports is not the header's");
    CHECK_REFUSED(&header->memory_flags, 2, 4, "its memory");
    CHECK_REFUSED(&header->memory_min, 17, 4, "its memory");
    CHECK_REFUSED(&header->memory_max, 65537, 4, "its memory");
    CHECK_REFUSED(&header->start_func, 3, 4, "its start function");
    CHECK_REFUSED(&header->start_func, 2, 4, "its start function's type");
    CHECK_REFUSED(&header->text_code_bytes, 257, 8, "more code than text");
    CHECK_REFUSED(&header->text_code_bytes, 128, 8, "TYPES[1]: a thunk outside the code");
    CHECK_REFUSED(FIELD(TYPES, 1, params.offset), UINT32_MAX, 4, "TYPES[1]: its value types");
    CHECK_REFUSED(FIELD(TYPES, 1, params.len), 40, 4, "TYPES[1]: its value types");
    CHECK_REFUSED(FIELD(TYPES, 0, entry_offset), 144, 4, "TYPES[0]: a thunk outside the code");
    CHECK_REFUSED(FIELD(IMPORTS, 0, name.len), UINT32_MAX, 4, "IMPORTS[0]: its name");
    CHECK_REFUSED(FIELD(IMPORTS, 0, kind), 4, 4, "IMPORTS[0]: its kind or index");
    CHECK_REFUSED(FIELD(IMPORTS, 0, idx), 1, 4, "IMPORTS[0]: its kind or index");
    CHECK_REFUSED(FIELD(IMPORTS, 2, max), 0, 4, "IMPORTS[2]: its limits");
    CHECK_REFUSED(FIELD(TABLES, 0, elem_type), WASM_I32, 4, "TABLES[0]: its type");
    CHECK_REFUSED(FIELD(TABLES, 0, min), 9, 4, "TABLES[0]: its type");
    CHECK_REFUSED(FIELD(GLOBALS, 0, init.idx), 1, 4, "GLOBALS[0]: its initial value");
    CHECK_REFUSED(FIELD(GLOBALS, 1, valtype), 0x40, 4, "GLOBALS[1]: its type");
    CHECK_REFUSED(FIELD(GLOBALS, 2, init.idx), 2, 4, "GLOBALS[2]: its initial value");
    CHECK_REFUSED(FIELD(GLOBALS, 2, valtype), WASM_I64, 4, "GLOBALS[2]: its initial value");
    CHECK_REFUSED(FIELD(GLOBALS, 3, init.code.len), 3, 4, "GLOBALS[3]: its initial value");
    CHECK_REFUSED(FIELD(GLOBALS, 4, init.idx), 3, 4, "GLOBALS[4]: its initial value");
    CHECK_REFUSED(FIELD(GLOBALS, 6, init.value), 0x1234, 8, "GLOBALS[6]: its initial value");
    CHECK_REFUSED(FIELD(GLOBALS, 6, init.kind), 4, 4, "GLOBALS[6]: its initial value");
    CHECK_REFUSED(FIELD(EXPORTS, 0, idx), 3, 4, "EXPORTS[0]: its kind or index");
    CHECK_REFUSED(FIELD(EXPORTS, 1, name), 0, 8, "EXPORTS[1]: out of order");
    CHECK_REFUSED(FIELD(FUNCS, 0, code_offset), 0, 4, "FUNCS[0]: its code");
    CHECK_REFUSED(FIELD(FUNCS, 1, type_idx), 2, 4, "FUNCS[1]: its type");
    CHECK_REFUSED(FIELD(FUNCS, 1, code_offset), 144, 4, "FUNCS[1]: its code");
    CHECK_REFUSED(FIELD(FUNCS, 2, code_len), 0, 4, "FUNCS[2]: its code");
    CHECK_REFUSED(FIELD(FUNCS, 2, code_len), UINT32_MAX, 4, "FUNCS[2]: its code");
    CHECK_REFUSED(FIELD(ELEMS, 0, mode), 3, 4, "ELEMS[0]: its kind or type");
    CHECK_REFUSED(FIELD(ELEMS, 0, table_idx), 1, 4, "ELEMS[0]: its table");
    CHECK_REFUSED(FIELD(ELEMS, 0, table_idx), 2, 4, "ELEMS[0]: its table");
    CHECK_REFUSED(FIELD(ELEMS, 0, first), 1, 8, "ELEMS[0]: its elements");
    CHECK_REFUSED(FIELD(ELEMS, 2, count), 2, 4, "ELEMS[2]: its elements");
    CHECK_REFUSED(FIELD(ELEM_INITS, 0, idx), 3, 4, "ELEM_INITS[0]: no constant of its type");
    CHECK_REFUSED(FIELD(DATAS, 0, offset.kind), WASM_CONST_FUNC, 4, "DATAS[0]: its offset");
    CHECK_REFUSED(FIELD(DATAS, 1, len), 14, 8, "DATAS[1]: its bytes");
    CHECK_REFUSED(FIELD(DATAS, 1, len), 12, 8, "data that belongs to no segment");
    CHECK_REFUSED(FIELD(UNWIND, 1, code_offset), 0, 4,
                  "UNWIND[1]: out of order or outside the text");
    CHECK_REFUSED(FIELD(UNWIND, 4, code_offset), 257, 4,
                  "UNWIND[4]: out of order or outside the text");
    CHECK_REFUSED(FIELD(LINES, 2, code_offset), 10, 4,
                  "LINES[2]: out of order or outside the text");
    CHECK_REFUSED(FIELD(LINES, 2, wasm_offset), 100000, 4,
                  "LINES[2]: an offset outside the module");
    wm_free(bytes);
}

/* Reads everything that an object refers to, as a loader would. The sum keeps the reads alive. */
static uint64_t walk(const struct wasm_object *object)
{
    uint64_t sum = 0;
    struct wm_view file;
    uint32_t line;
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, FUNCS); i++) {
        const struct wasm_object_func *func = &object->at.FUNCS[i];
        struct wm_view name = wasm_object_view(object, func->name);
        sum += name.len ? name.ptr[name.len - 1] : 0;
        sum += object->at.TYPES[func->type_idx].params.len;
        sum += func->code_len ? object->text[func->code_offset + func->code_len - 1] : 0;
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, ELEMS); i++) {
        const struct wasm_object_elem *elem = &object->at.ELEMS[i];
        sum += elem->count ? object->at.ELEM_INITS[elem->first + elem->count - 1].idx : 0;
    }
    for (uint64_t i = 0; i < WASM_OBJECT_COUNT(object, DATAS); i++) {
        const struct wasm_object_data *data = &object->at.DATAS[i];
        sum += data->len ? object->at.DATA[data->first + data->len - 1] : 0;
    }
    for (uint64_t at = 0; at < WASM_OBJECT_COUNT(object, TEXT); at++) {
        const struct wasm_object_unwind *row = wasm_object_unwind_at(object, at);
        sum += wasm_object_func_at(object, at) + (row ? row->cfa : 0);
        sum += wasm_object_source_at(object, at, &file, &line) ? file.len : 0;
    }
    return sum;
}

TEST(any_changed_byte_is_seen_or_harmless)
{
    size_t len = 0;
    uint8_t *bytes = sample_bytes(&len);
    REQUIRE(bytes);
    unsigned opened = 0, unseen = 0;
    volatile uint64_t sum = 0;
    for (size_t at = 0; at < len; at++) {
        uint8_t old = bytes[at];
        bytes[at] ^= 0xff;
        int hashed = wasm_object_check(wm_view_of(bytes, len), true, NULL);
        /* Behind the header every byte is hashed; in it, those that say nothing about the content.
         */
        if (hashed == 0) {
            unseen++;
            CHECK(at < sizeof(struct wasm_object_header));
        }
        if (wasm_object_check(wm_view_of(bytes, len), false, NULL) == 0) {
            int fd = memfd_create("changed", MFD_CLOEXEC);
            struct wasm_object *object;
            REQUIRE(fd >= 0 && host_file_write_all(fd, wm_view_of(bytes, len)) == 0);
            REQUIRE(wasm_object_open(fd, &object, NULL) == 0);
            sum += walk(object);
            wasm_object_close(object);
            close(fd);
            opened++;
        }
        bytes[at] = old;
    }
    CHECK_INT(opened, >, 100);
    /* The module's hash (32), the compiler's version (4), frame_max (4), module_bytes (most of 8).
     */
    CHECK_INT(unseen, <, 52);
    wm_free(bytes);
}

TEST(a_shortened_object_is_refused_at_every_length)
{
    size_t len = 0;
    uint8_t *bytes = sample_bytes(&len);
    REQUIRE(bytes);
    unsigned accepted = 0;
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *copy = wm_alloc(cut);
        REQUIRE(copy);
        memcpy(copy, bytes, cut);
        accepted += wasm_object_check(wm_view_of(copy, cut), false, NULL) == 0;
        wm_free(copy);
    }
    CHECK_INT(accepted, ==, 0);

    int fd = sample_fd();
    struct wasm_object *object;
    struct wm_diag diag = WM_DIAG_INIT;
    REQUIRE(fd >= 0 && ftruncate(fd, (off_t)len - 1) == 0);
    CHECK_INT(wasm_object_open(fd, &object, &diag), ==, WM_E_MALFORMED);
    REQUIRE(ftruncate(fd, 0) == 0);
    CHECK_INT(wasm_object_open(fd, &object, &diag), ==, WM_E_MALFORMED);
    CHECK_STR(diag.text, "object: shorter than its header");
    close(fd);
    wm_free(bytes);
}

TEST(opening_and_writing_survive_every_failure)
{
    int fd = sample_fd();
    REQUIRE(fd >= 0);
    for (int kind = 0; kind < WM_FAULT_KINDS; kind++) {
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            struct wasm_object *object;
            int err = wasm_object_open(fd, &object, NULL);
            CHECK(err == 0 || wm_fault_fired((enum wm_fault_kind)kind));
            if (!err) {
                wasm_object_close(object);
            }
        }
        for (uint64_t n = 0; wm_fault_next((enum wm_fault_kind)kind, &n);) {
            int out = memfd_create("object", MFD_CLOEXEC);
            REQUIRE(out >= 0);
            int err = wasm_sample_object(out, 0);
            CHECK(err == 0 || wm_fault_fired((enum wm_fault_kind)kind));
            CHECK(err == 0 || err == -ENOMEM || err == -EIO);
            close(out);
        }
    }
    close(fd);
}

TEST_MAIN(TEST_CASE(sample_is_whole_and_opens), TEST_CASE(look_ups_find_their_record),
          TEST_CASE(each_rule_of_the_format_is_checked),
          TEST_CASE(any_changed_byte_is_seen_or_harmless),
          TEST_CASE(a_shortened_object_is_refused_at_every_length),
          TEST_CASE(opening_and_writing_survive_every_failure))
