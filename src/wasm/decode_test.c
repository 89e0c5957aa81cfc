/* decode_test.c: every rule of the binary format, broken once; and one module that has everything.
 */
#include "wasm/module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "wasm/leb.h"
#include "wasm/opcode.h"
#include "wasm/utf8.h"

#define HEADER "\0asm\1\0\0\0"

/* clang-format off */
static const char rich[] = HEADER
    /* custom "first", 2 bytes */
    "\x00\x08\x05\x66\x69\x72\x73\x74\xff\xfe"
    /* types: 0 [] -> []; 1 [i32] -> [i32 i64]; 2 [] -> []; 3 [] -> [funcref] */
    "\x01\x11\x04\x60\x00\x00\x60\x01\x7f\x02\x7f\x7e\x60\x00\x00\x60\x00\x01\x70"
    /* imports m.f: func type 1; m.t: table 1..2 funcref; m.g: global i32; m.h: global v128 mut */
    "\x02\x1e\x04\x01\x6d\x01\x66\x00\x01\x01\x6d\x01\x74\x01\x70\x01\x01\x02\x01\x6d\x01\x67"
    "\x03\x7f\x00\x01\x6d\x01\x68\x03\x7b\x01"
    /* functions 1, 2: types 2, 3 */
    "\x03\x03\x02\x02\x03"
    /* table 1: 3.. funcref */
    "\x04\x04\x01\x70\x00\x03"
    /* memory 1..65536 */
    "\x05\x06\x01\x01\x01\x80\x80\x04"
    /* globals 2 i32 = 7; 3 mut funcref = ref.func 2; 4 i32 = global 0; 5 i64 = 2 * 3 - 1 */
    "\x06\x1b\x04\x7f\x00\x41\x07\x0b\x70\x01\xd2\x02\x0b\x7f\x00\x23\x00\x0b\x7e\x00\x42\x02"
    "\x42\x03\x7e\x42\x01\x7d\x0b"
    /* exports "f" func 1, "g" global 2, "m" memory, "t" table 0 */
    "\x07\x11\x04\x01\x66\x00\x01\x01\x67\x03\x02\x01\x6d\x02\x00\x01\x74\x01\x00"
    /* start 1 */
    "\x08\x01\x01"
    /* elements, one of each form, flags 0 to 7 */
    "\x09\x33\x08\x00\x41\x00\x0b\x02\x01\x02\x01\x00\x01\x00\x02\x01\x41\x01\x0b\x00\x01\x02"
    "\x03\x00\x01\x01\x04\x41\x00\x0b\x01\xd2\x01\x0b\x05\x6f\x01\xd0\x6f\x0b\x06\x01\x41\x00"
    "\x0b\x70\x00\x07\x70\x01\xd2\x00\x0b"
    /* 3 data segments */
    "\x0c\x01\x03"
    /* code: 1 with 2 i32 and an i64, a loop; 2 ref.func 1 */
    "\x0a\x14\x02\x0d\x02\x02\x7f\x01\x7e\x03\x40\x41\x00\x0d\x00\x0b\x0b\x04\x00\xd2\x01\x0b"
    /* data "ab" at 8; passive "c"; "" at global 0 in memory 0 */
    "\x0b\x11\x03\x00\x41\x08\x0b\x02\x61\x62\x01\x01\x63\x02\x00\x23\x00\x0b\x00"
    /* custom "name": module "x"; functions 0 "zero", 2 "two" */
    "\x00\x17\x04\x6e\x61\x6d\x65\x00\x02\x01\x78\x01\x0c\x02\x00\x04\x7a\x65\x72\x6f\x02\x03"
    "\x74\x77\x6f";
/* clang-format on */

/* Where its sections begin: only a module cut there is well-formed, or would be. */
static const size_t rich_cuts[] = {8, 18, 37, 69, 74, 80, 88, 117, 136, 139, 192, 195, 217, 236};

struct attempt {
    struct wm_arena arena;
    struct wm_diag diag;
    struct wasm_module *module;
    int err;
};

static void decode(struct attempt *attempt, const void *bytes, size_t len)
{
    *attempt = (struct attempt){.diag = WM_DIAG_INIT};
    wm_arena_init(&attempt->arena, 0);
    attempt->err = wasm_module_decode(wm_view_of(bytes, len), &attempt->arena, &attempt->module,
                                      &attempt->diag);
}

static void drop(struct attempt *attempt)
{
    wm_arena_fini(&attempt->arena);
}

/* One module that must be refused, how, and in what words. */
struct refusal {
    const char *bytes;
    size_t len;
    int code;
    const char *text;
};

#define BARE(bytes, code, text)                         \
    {                                                   \
        (bytes), sizeof(bytes) - 1, WM_E_##code, (text) \
    }
#define MODULE(bytes, code, text) BARE(HEADER bytes, code, text)

static void check_refusals(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct attempt attempt;
        decode(&attempt, refusals[i].bytes, refusals[i].len);
        CHECK_INT(attempt.err, ==, refusals[i].code);
        CHECK_INT(attempt.diag.code, ==, attempt.err);
        CHECK_STR(wm_diag_text(&attempt.diag), refusals[i].text);
        drop(&attempt);
    }
}

TEST(refuses_what_is_no_module)
{
    static const struct refusal refusals[] = {
        BARE("", MALFORMED, "module: offset 0x0: unexpected end: shorter than a module's header"),
        BARE("\0as", MALFORMED,
             "module: offset 0x0: unexpected end: shorter than a module's header"),
        BARE("\0asm\1\0\0", MALFORMED,
             "module: offset 0x0: unexpected end: shorter than a module's header"),
        BARE("\x7f"
             "ELF\2\1\1\0\0\0",
             MALFORMED,
             "module: offset 0x0: magic header not detected: this is no WebAssembly module"),
        BARE("(module )", MALFORMED,
             "module: offset 0x0: magic header not detected: this looks like the text format; "
             "convert it with wat2wasm first"),
        BARE("\0asm\2\0\0\0", MALFORMED,
             "module: offset 0x4: unknown binary version (only version 1 is known)"),
        BARE("\0asm\0\0\1\0", MALFORMED,
             "module: offset 0x4: unknown binary version (only version 1 is known)"),
        BARE("\0asm\1\0\0\1", MALFORMED,
             "module: offset 0x4: unknown binary version (only version 1 is known)"),
        BARE("\0asm\x0d\0\1\0", UNSUPPORTED,
             "module: offset 0x8: this is a component, not a module: build the program for "
             "wasm32-wasi (preview 1), or take the core module out of it with `wasm-tools "
             "component unbundle`"),
    };
    check_refusals(refusals, WM_COUNT_OF(refusals));
}

TEST(refuses_wrong_sections)
{
    static const struct refusal refusals[] = {
        MODULE("\x0d\x00", MALFORMED, "section header: offset 0x8: malformed section id"),
        MODULE("\x01", MALFORMED, "section header: offset 0x9: unexpected end"),
        MODULE("\x01\x02\x00", MALFORMED,
               "section header: offset 0xa: unexpected end: length out of bounds"),
        MODULE("\x01\x81\x80\x80\x80\x80\x00\x00", MALFORMED,
               "section header: offset 0x9: integer representation too long"),
        MODULE("\x01\x81\x80\x80\x80\x10\x00", MALFORMED,
               "section header: offset 0x9: integer too large"),
        MODULE("\x01\x02\x00\x00", MALFORMED,
               "type section: offset 0xb: section size mismatch: bytes are left over"),
        MODULE("\x01\x01\x00\x01\x01\x00", MALFORMED,
               "type section: offset 0xb: unexpected content after last section: a second one"),
        MODULE("\x03\x01\x00\x01\x01\x00", MALFORMED,
               "type section: offset 0xb: unexpected content after last section: out of order"),
        /* The data count stands before the code, in spite of its number. */
        MODULE("\x0a\x01\x00\x0c\x01\x00", MALFORMED,
               "data count section: offset 0xb: unexpected content after last section: out of "
               "order"),
        MODULE("\x00\x00", MALFORMED, "custom section: offset 0xa: unexpected end"),
        MODULE("\x00\x02\x02x", MALFORMED,
               "custom section: offset 0xb: unexpected end: length out of bounds"),
        MODULE("\x00\x03\x02\xc0\x80", MALFORMED,
               "custom section: offset 0xd: malformed UTF-8 encoding"),
    };
    check_refusals(refusals, WM_COUNT_OF(refusals));
}

TEST(refuses_wrong_contents)
{
    static const struct refusal refusals[] = {
        MODULE("\x01\x04\x01\x61\x00\x00", MALFORMED,
               "type section: offset 0xc: malformed function type"),
        MODULE("\x01\x05\x01\x60\x01\x40\x00", MALFORMED,
               "type section: offset 0xe: malformed value type"),
        MODULE("\x01\x04\x02\x60\x00\x00", MALFORMED,
               "type section: offset 0xb: unexpected end: length out of bounds"),
        MODULE("\x02\x05\x01\x00\x00\x04\x00", MALFORMED,
               "import section: offset 0xe: malformed import kind"),
        MODULE("\x02\x06\x01\x00\x00\x03\x7f\x02", MALFORMED,
               "import section: offset 0x10: malformed mutability"),
        MODULE("\x02\x07\x01\x00\x00\x01\x7f\x00\x00", MALFORMED,
               "import section: offset 0xf: malformed reference type"),
        MODULE("\x02\x06\x01\x01\xff\x00\x00\x00", MALFORMED,
               "import section: offset 0xd: malformed UTF-8 encoding"),
        MODULE("\x05\x03\x01\x03\x00", MALFORMED,
               "memory section: offset 0xc: malformed limits flags (shared and 64-bit memories "
               "are not supported)"),
        MODULE("\x05\x03\x01\x08\x00", MALFORMED,
               "memory section: offset 0xc: malformed limits flags"),
        MODULE("\x05\x03\x01\x01\x00", MALFORMED, "memory section: offset 0xd: unexpected end"),
        MODULE("\x06\x04\x01\x7f\x00\x41", MALFORMED, "global section: offset 0xe: unexpected end"),
        MODULE("\x06\x05\x01\x7f\x00\x41\x00", MALFORMED,
               "global section: offset 0xf: unexpected end"),
        MODULE("\x06\x05\x01\x7f\x00\xff\x0b", MALFORMED,
               "global section: offset 0xd: illegal opcode"),
        MODULE("\x06\x06\x01\x7f\x00\xfc\x12\x0b", MALFORMED,
               "global section: offset 0xd: illegal opcode"),
        MODULE("\x06\x07\x01\x7f\x00\xfd\x80\x02\x0b", MALFORMED,
               "global section: offset 0xd: illegal opcode"),
        MODULE("\x07\x04\x01\x00\x04\x00", MALFORMED,
               "export section: offset 0xd: malformed export kind"),
        MODULE("\x08\x00", MALFORMED, "start section: offset 0xa: unexpected end"),
        MODULE("\x09\x04\x01\x08\x00\x00", MALFORMED,
               "element section: offset 0xc: malformed elements segment kind"),
        MODULE("\x09\x04\x01\x01\x01\x00", MALFORMED,
               "element section: offset 0xd: malformed element kind"),
        MODULE("\x09\x04\x01\x05\x7f\x00", MALFORMED,
               "element section: offset 0xd: malformed reference type"),
        MODULE("\x0b\x03\x01\x03\x00", MALFORMED,
               "data section: offset 0xc: malformed data segment kind"),
        MODULE("\x0b\x04\x01\x01\x02\x00", MALFORMED,
               "data section: offset 0xd: unexpected end: length out of bounds"),
        MODULE("\x0c\x01\x01", MALFORMED,
               "module: offset 0xb: data count and data section have inconsistent lengths"),
        MODULE("\x0c\x01\x02\x0b\x03\x01\x01\x00", MALFORMED,
               "module: offset 0x10: data count and data section have inconsistent lengths"),
        MODULE("\x03\x02\x01\x00", MALFORMED,
               "module: offset 0xc: function and code section have inconsistent lengths"),
        MODULE("\x03\x02\x01\x00\x0a\x01\x00", MALFORMED,
               "code section: offset 0xf: function and code section have inconsistent lengths"),
    };
    check_refusals(refusals, WM_COUNT_OF(refusals));
}

#define ONE_FUNC "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00"

TEST(counts_locals_without_overflow)
{
    static const struct refusal refusals[] = {
        /* 2^32 - 1 and one more. */
        MODULE(ONE_FUNC "\x0a\x0c\x01\x0a\x02\xff\xff\xff\xff\x0f\x7f\x01\x7f\x0b", MALFORMED,
               "code section: offset 0x1f: too many locals"),
        MODULE(ONE_FUNC "\x0a\x0a\x01\x08\x01\xff\xff\xff\xff\x0f\x7f\x0b", LIMIT,
               "code section: offset 0x1d: too many locals in a function"),
        MODULE(ONE_FUNC "\x0a\x08\x01\x06\x01\xd1\x86\x03\x7f\x0b", LIMIT,
               "code section: offset 0x1b: too many locals in a function"), /* 50001 */
        MODULE(ONE_FUNC "\x0a\x06\x01\x04\x01\x01\x40\x0b", MALFORMED,
               "code section: offset 0x19: malformed value type"),
        MODULE(ONE_FUNC "\x0a\x04\x01\x05\x00\x0b", MALFORMED,
               "code section: offset 0x16: unexpected end: length out of bounds"),
        /* The groups must lie in the body, not in what follows it. */
        MODULE(ONE_FUNC "\x0a\x06\x01\x02\x01\x01\x7f\x0b", MALFORMED,
               "code section: offset 0x17: unexpected end: length out of bounds"),
    };
    check_refusals(refusals, WM_COUNT_OF(refusals));
    static const char most[] = HEADER ONE_FUNC "\x0a\x08\x01\x06\x01\xd0\x86\x03\x7f\x0b";
    struct attempt attempt;
    decode(&attempt, most, sizeof most - 1);
    CHECK_INT(attempt.err, ==, 0);
    CHECK(attempt.err || attempt.module->bodies[0].local_count == WASM_LOCALS_MAX);
    drop(&attempt);
}

TEST(refuses_one_beyond_the_limits)
{
    static uint8_t bytes[5000];
    /* 101 tables */
    memcpy(bytes, HEADER "\x04\xb0\x02\x65", 12);
    for (size_t i = 0; i < 101; i++) {
        memcpy(bytes + 12 + 3 * i, "\x70\x00\x00", 3);
    }
    struct attempt attempt;
    decode(&attempt, bytes, 12 + 303);
    CHECK_INT(attempt.err, ==, WM_E_LIMIT);
    CHECK_STR(wm_diag_text(&attempt.diag), "table section: offset 0xc: too many tables");
    drop(&attempt);
    /* 1001 parameters: 1 count + 0x60 + 2 + 1001 + 1 = 1006 */
    memcpy(bytes, HEADER "\x01\xee\x07\x01\x60\xe9\x07", 15);
    memset(bytes + 15, 0x7f, 1001);
    bytes[15 + 1001] = 0;
    decode(&attempt, bytes, 15 + 1002);
    CHECK_INT(attempt.err, ==, WM_E_LIMIT);
    CHECK_STR(wm_diag_text(&attempt.diag), "type section: offset 0xf: too many parameters");
    drop(&attempt);
    /* Beyond what one module may be; the bytes are never looked at. */
    struct wasm_module *module;
    struct wm_diag diag = WM_DIAG_INIT;
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    CHECK_INT(
        wasm_module_decode(wm_view_of(bytes, WASM_MODULE_BYTES_MAX + 1), &arena, &module, &diag),
        ==, WM_E_LIMIT);
    CHECK_STR(wm_diag_text(&diag), "module: offset 0x0: larger than 1 GiB");
    wm_arena_fini(&arena);
}

TEST(a_count_takes_no_memory_of_its_own)
{
    /* A million functions announced in six bytes. */
    static const char bytes[] = HEADER "\x03\x03\xbf\x84\x3d";
    struct attempt attempt;
    decode(&attempt, bytes, sizeof bytes - 1);
    CHECK_INT(attempt.err, ==, WM_E_MALFORMED);
    CHECK_INT(attempt.arena.total_bytes, <, 4096);
    drop(&attempt);
}

TEST(the_empty_module_is_one)
{
    struct attempt attempt;
    decode(&attempt, HEADER, 8);
    REQUIRE(attempt.err == 0);
    CHECK_INT(attempt.module->func_count, ==, 0);
    CHECK_INT(attempt.module->memory_count, ==, 0);
    CHECK(attempt.module->func_types && attempt.module->tables && attempt.module->globals);
    CHECK(!attempt.module->validated);
    CHECK_INT(wasm_module_validate(attempt.module, &attempt.diag), ==, 0);
    CHECK(attempt.module->validated);
    drop(&attempt);
}

TEST(reads_types_imports_and_index_spaces)
{
    struct attempt attempt;
    decode(&attempt, rich, sizeof rich - 1);
    REQUIRE(attempt.err == 0);
    const struct wasm_module *module = attempt.module;
    CHECK_INT(module->type_count, ==, 4);
    CHECK_INT(module->types[1].param_count, ==, 1);
    CHECK_INT(module->types[1].params[0], ==, WASM_I32);
    CHECK_INT(module->types[1].result_count, ==, 2);
    CHECK_INT(module->types[1].results[1], ==, WASM_I64);
    CHECK_INT(module->import_count, ==, 4);
    CHECK_INT(module->imports[0].kind, ==, WASM_EXTERN_FUNC);
    CHECK_INT(module->imports[0].type_idx, ==, 1);
    CHECK(wm_view_eq_str(module->imports[0].module, "m"));
    CHECK(wm_view_eq_str(module->imports[3].name, "h"));
    CHECK_INT(module->imports[0].offset, ==, rich_cuts[2] + 3);
    CHECK(module->imports[3].global.is_mutable);
    CHECK_INT(module->imported_funcs, ==, 1);
    CHECK_INT(module->func_count, ==, 3);
    CHECK_INT(module->func_types[0], ==, 1);
    CHECK_INT(module->func_types[2], ==, 3);
    CHECK_INT(module->table_count, ==, 2);
    CHECK_INT(module->tables[0].limits.max, ==, 2);
    CHECK_INT(module->tables[1].limits.min, ==, 3);
    CHECK(!module->tables[1].limits.has_max);
    CHECK_INT(module->tables[1].limits.max, ==, UINT32_MAX);
    CHECK_INT(module->memory_count, ==, 1);
    CHECK_INT(module->imported_memories, ==, 0);
    CHECK_INT(module->memory.max, ==, 65536);
    CHECK_INT(module->export_count, ==, 4);
    CHECK_INT(module->exports[1].kind, ==, WASM_EXTERN_GLOBAL);
    CHECK_INT(module->exports[1].idx, ==, 2);
    CHECK(module->has_start);
    CHECK_INT(module->start_func, ==, 1);
    CHECK_INT(module->custom_count, ==, 2);
    CHECK(wm_view_eq_str(module->customs[0].bytes, "\xff\xfe"));
    CHECK_INT(module->customs[0].offset, ==, 16);
    CHECK(module->has_data_count);
    CHECK_INT(module->data_count, ==, 3);
    drop(&attempt);
}

TEST(reads_constant_expressions)
{
    struct attempt attempt;
    decode(&attempt, rich, sizeof rich - 1);
    REQUIRE(attempt.err == 0);
    const struct wasm_global *globals = attempt.module->globals;
    CHECK_INT(attempt.module->global_count, ==, 6);
    CHECK_INT(globals[1].type.valtype, ==, WASM_V128);
    CHECK_INT(globals[2].init.kind, ==, WASM_CONST_VALUE);
    CHECK_INT(globals[2].init.value.i32, ==, 7);
    CHECK_INT(globals[3].init.kind, ==, WASM_CONST_FUNC);
    CHECK_INT(globals[3].init.idx, ==, 2);
    CHECK_INT(globals[4].init.kind, ==, WASM_CONST_GLOBAL);
    CHECK_INT(globals[4].init.idx, ==, 0);
    CHECK_INT(globals[5].init.kind, ==, WASM_CONST_EXTENDED);
    CHECK_INT(globals[5].init.code.len, ==, 9);
    CHECK_INT(globals[5].init.code.ptr[8], ==, WASM_OP_END);
    drop(&attempt);
}

TEST(reads_all_forms_of_element_segments)
{
    struct attempt attempt;
    decode(&attempt, rich, sizeof rich - 1);
    REQUIRE(attempt.err == 0 && attempt.module->elem_count == 8);
    const struct wasm_elem *elems = attempt.module->elems;
    static const enum wasm_segment_mode modes[] = {WASM_SEGMENT_ACTIVE, WASM_SEGMENT_PASSIVE,
                                                   WASM_SEGMENT_ACTIVE, WASM_SEGMENT_DECLARATIVE};
    for (size_t i = 0; i < 8; i++) {
        CHECK_INT(elems[i].mode, ==, modes[i % 4]);
        CHECK_INT(elems[i].valtype, ==, i == 5 ? WASM_EXTERNREF : WASM_FUNCREF);
        CHECK_INT(elems[i].table_idx, ==, i == 2 || i == 6 ? 1 : 0);
        CHECK_INT(elems[i].count, ==, i == 0 ? 2 : i == 6 ? 0 : 1);
        CHECK((elems[i].funcs != NULL) == (i < 4));
        CHECK((elems[i].exprs != NULL) == (i >= 4));
    }
    CHECK_INT(elems[0].funcs[1], ==, 2);
    CHECK_INT(elems[2].offset.value.i32, ==, 1);
    CHECK_INT(elems[5].exprs[0].kind, ==, WASM_CONST_VALUE);
    CHECK_INT(elems[7].exprs[0].kind, ==, WASM_CONST_FUNC);
    drop(&attempt);
}

TEST(reads_bodies_and_data)
{
    struct attempt attempt;
    decode(&attempt, rich, sizeof rich - 1);
    REQUIRE(attempt.err == 0 && attempt.module->body_count == 2);
    const struct wasm_module *module = attempt.module;
    const struct wasm_body *body = &module->bodies[0];
    CHECK_INT(body->type_idx, ==, 2);
    CHECK_INT(body->local_run_count, ==, 2);
    CHECK_INT(body->local_count, ==, 3);
    CHECK_INT(body->local_runs[0].count, ==, 2);
    CHECK_INT(body->local_runs[1].valtype, ==, WASM_I64);
    CHECK_INT(body->code.len, ==, 8);
    CHECK(body->code.ptr == module->bytes.ptr + body->code_offset);
    CHECK_INT(module->code_section_offset, ==, rich_cuts[11] + 2);
    const struct wasm_data *datas = module->datas;
    CHECK_INT(datas[0].mode, ==, WASM_SEGMENT_ACTIVE);
    CHECK(wm_view_eq_str(datas[0].bytes, "ab"));
    CHECK_INT(datas[0].offset.value.i32, ==, 8);
    CHECK_INT(datas[1].mode, ==, WASM_SEGMENT_PASSIVE);
    CHECK_INT(datas[2].offset.kind, ==, WASM_CONST_GLOBAL);
    drop(&attempt);
}

TEST(a_module_cut_short_is_refused)
{
    size_t cut = 0;
    for (size_t len = 0; len < sizeof rich - 1; len++) {
        struct attempt attempt;
        decode(&attempt, rich, len);
        while (cut < WM_COUNT_OF(rich_cuts) && rich_cuts[cut] < len) {
            cut++;
        }
        bool at_section = cut < WM_COUNT_OF(rich_cuts) && rich_cuts[cut] == len;
        if (!at_section) {
            CHECK_INT(attempt.err, ==, WM_E_MALFORMED);
        } else if (attempt.err) { /* functions without code, data count without data */
            CHECK(strstr(wm_diag_text(&attempt.diag), "inconsistent lengths") != NULL);
        }
        drop(&attempt);
    }
}

/* Whatever is done to one byte, the answer is an answer: a code of the contract with its sentence.
 */
TEST(any_byte_may_be_anything)
{
    size_t accepted = 0, refused = 0;
    for (size_t at = 0; at < sizeof rich - 1; at++) {
        for (unsigned value = 0; value < 256; value++) {
            char changed[sizeof rich];
            memcpy(changed, rich, sizeof rich);
            changed[at] = (char)value;
            struct attempt attempt;
            decode(&attempt, changed, sizeof rich - 1);
            if (!attempt.err) {
                attempt.err = wasm_module_validate(attempt.module, &attempt.diag);
            }
            bool known = attempt.err == 0 || attempt.err == WM_E_MALFORMED ||
                         attempt.err == WM_E_INVALID || attempt.err == WM_E_LIMIT ||
                         attempt.err == WM_E_UNSUPPORTED;
            if (!known || (attempt.err && !strstr(attempt.diag.text, ": "))) {
                wm_test_note("byte %zu = 0x%02x: %d %s", at, value, attempt.err, attempt.diag.text);
                CHECK(false);
            }
            accepted += attempt.err == 0;
            refused += attempt.err != 0;
            drop(&attempt);
        }
    }
    CHECK_INT(accepted, >, sizeof rich); /* names and numbers may change */
    CHECK_INT(refused, >, accepted);
}

TEST(every_failed_allocation_is_reported)
{
    size_t failures = 0;
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct attempt attempt;
        decode(&attempt, rich, sizeof rich - 1);
        if (!attempt.err) {
            attempt.err = wasm_module_validate(attempt.module, &attempt.diag);
        }
        if (wm_fault_fired(WM_FAULT_ALLOC)) {
            CHECK_INT(attempt.err, ==, -ENOMEM);
            CHECK(attempt.diag.text[0]);
            failures++;
        } else {
            CHECK_INT(attempt.err, ==, 0);
        }
        drop(&attempt);
    }
    CHECK_INT(failures, >=, 3);
    /* The arena's own limit walks the rest: each taking of memory by itself. */
    for (size_t limit = 16; limit < 8192; limit += 16) {
        struct attempt attempt = {.diag = WM_DIAG_INIT};
        wm_arena_init(&attempt.arena, limit);
        struct wm_view bytes = wm_view_of(rich, sizeof rich - 1);
        attempt.err = wasm_module_decode(bytes, &attempt.arena, &attempt.module, &attempt.diag);
        if (!attempt.err) {
            attempt.err = wasm_module_validate(attempt.module, &attempt.diag);
        }
        CHECK(attempt.err == 0 || attempt.err == -ENOMEM);
        CHECK((attempt.err == 0) == (attempt.diag.code == 0));
        drop(&attempt);
    }
}

TEST(function_names)
{
    struct attempt attempt;
    decode(&attempt, rich, sizeof rich - 1);
    REQUIRE(attempt.err == 0);
    struct wm_view *names = wasm_module_func_names(attempt.module, &attempt.arena);
    REQUIRE(names != NULL);
    CHECK(wm_view_eq_str(names[0], "zero"));
    CHECK_INT(names[1].len, ==, 0);
    CHECK(wm_view_eq_str(names[2], "two"));
    char name[64];
    CHECK_STR(wasm_module_func_name(attempt.module, 0, name, sizeof name), "zero");
    CHECK_STR(wasm_module_func_name(attempt.module, 1, name, sizeof name), "f"); /* its export */
    CHECK_STR(wasm_module_func_name(attempt.module, 3, name, sizeof name), "func[3]");
    drop(&attempt);
}

TEST(a_malformed_name_section_gives_no_names)
{
    char changed[sizeof rich];
    memcpy(changed, rich, sizeof rich);
    changed[sizeof rich - 2] = (char)0xff; /* "two": no UTF-8 any more */
    struct attempt attempt;
    decode(&attempt, changed, sizeof rich - 1);
    REQUIRE(attempt.err == 0);
    struct wm_view *names = wasm_module_func_names(attempt.module, &attempt.arena);
    REQUIRE(names != NULL);
    CHECK_INT(names[0].len, ==, 0);
    CHECK_INT(names[2].len, ==, 0);
    char name[64];
    CHECK_STR(wasm_module_func_name(attempt.module, 0, name, sizeof name), "m.f"); /* its import */
    CHECK_STR(wasm_module_func_name(attempt.module, 2, name, sizeof name), "func[2]");
    drop(&attempt);
}

TEST(utf8)
{
    static const char *const good[] = {"",
                                       "a",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xc2\x41",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe1\x80",
                                      "\xe1\x80\x41",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "a\xbf"};
    for (size_t i = 0; i < WM_COUNT_OF(good); i++) {
        CHECK(wasm_utf8_ok(wm_view_str(good[i])));
    }
    for (size_t i = 0; i < WM_COUNT_OF(bad); i++) {
        CHECK(!wasm_utf8_ok(wm_view_str(bad[i])));
    }
}

TEST(the_instruction_table_is_whole)
{
    size_t all = 0, vectors = 0;
    for (uint32_t code = 0; code < WASM_OPCODE_END; code++) {
        const struct wasm_opcode_info *info = wasm_opcode_info((enum wasm_opcode)code);
        all += info != NULL;
        vectors += info != NULL && code >= 0x200;
    }
    CHECK_INT(vectors, ==, 236);
    CHECK_INT(all, ==, 439);
    CHECK(wasm_opcode_info((enum wasm_opcode)WASM_OPCODE_END) == NULL);
    CHECK(wasm_opcode_info((enum wasm_opcode)0x06) == NULL);
    CHECK_STR(wasm_opcode_info(WASM_OP_I64X2_EXTMUL_HIGH_I32X4_U)->name,
              "i64x2.extmul_high_i32x4_u");
}

TEST_MAIN(TEST_CASE(refuses_what_is_no_module), TEST_CASE(refuses_wrong_sections),
          TEST_CASE(refuses_wrong_contents), TEST_CASE(counts_locals_without_overflow),
          TEST_CASE(refuses_one_beyond_the_limits), TEST_CASE(a_count_takes_no_memory_of_its_own),
          TEST_CASE(the_empty_module_is_one), TEST_CASE(reads_types_imports_and_index_spaces),
          TEST_CASE(reads_constant_expressions), TEST_CASE(reads_all_forms_of_element_segments),
          TEST_CASE(reads_bodies_and_data), TEST_CASE(a_module_cut_short_is_refused),
          TEST_CASE(any_byte_may_be_anything), TEST_CASE(every_failed_allocation_is_reported),
          TEST_CASE(function_names), TEST_CASE(a_malformed_name_section_gives_no_names),
          TEST_CASE(utf8), TEST_CASE(the_instruction_table_is_whole))
