/* validate_test.c: each rule of validation, kept and broken, in one small world that every function
 * body below is put into. The official suite (test/spec) has the breadth; here is the reason given.
 */
#include "wasm/module.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/test.h"
#include "wasm/constexpr.h"
#include "wasm/instr.h"
#include "wasm/sort.h"

#define HEADER "\0asm\1\0\0\0"

/* A module under construction: sections are appended as they are given. */
struct builder {
    uint8_t bytes[16384];
    size_t len;
};

static void put(struct builder *builder, const void *bytes, size_t len)
{
    if (len > sizeof builder->bytes - builder->len) {
        fprintf(stderr, "a test's module is too large\n");
        len = 0;
    }
    memcpy(builder->bytes + builder->len, bytes, len);
    builder->len += len;
}

static void put_u8(struct builder *builder, uint32_t byte)
{
    put(builder, &(uint8_t){(uint8_t)byte}, 1);
}

static void put_u32(struct builder *builder, uint32_t value)
{
    for (; value >= 0x80; value >>= 7) {
        put_u8(builder, (value & 0x7f) | 0x80);
    }
    put_u8(builder, value);
}

static void put_section(struct builder *builder, uint8_t id, const void *bytes, size_t len)
{
    put_u8(builder, id);
    put_u32(builder, (uint32_t)len);
    put(builder, bytes, len);
}

#define SECTION(builder, id, text) put_section((builder), (id), (text), sizeof(text) - 1)

/* Types of the functions that tests write. */
enum {
    T_NONE,    /* [] -> [] */
    T_I_I,     /* [i32] -> [i32] */
    T_II,      /* [] -> [i32 i32] */
    T_ALL,     /* [i32 i64 f32 f64 v128 funcref externref] -> [] */
    T_FUNCREF, /* [] -> [funcref] */
};

/* func 0: imported, T_I_I; func 1: the one under test; func 2: T_NONE, exported; func 3: T_II.
 * table 0 funcref, table 1 externref; a memory; global 0 i32 imported, 1 i64 mutable.
 * elem 0 passive funcref [func 0], elem 1 passive externref []; data 0 passive.
 * func 0 and func 2 may be referenced, func 1 and 3 not. */
static void build_world(struct builder *builder, uint8_t type, const void *body, size_t len)
{
    put(builder, HEADER, 8);
    SECTION(builder, 1,
            "\x05\x60\x00\x00\x60\x01\x7f\x01\x7f\x60\x00\x02\x7f\x7f"
            "\x60\x07\x7f\x7e\x7d\x7c\x7b\x70\x6f\x00\x60\x00\x01\x70");
    SECTION(builder, 2,
            "\x02\x01m\x01"
            "f\x00\x01\x01m\x01g\x03\x7f\x00");
    put_section(builder, 3, (uint8_t[]){3, type, T_NONE, T_II}, 4);
    SECTION(builder, 4, "\x02\x70\x00\x05\x6f\x00\x05");
    SECTION(builder, 5, "\x01\x00\x01");
    SECTION(builder, 6, "\x01\x7e\x01\x42\x05\x0b");
    SECTION(builder, 7, "\x01\x03two\x00\x02");
    SECTION(builder, 9, "\x02\x01\x00\x01\x00\x05\x6f\x00");
    SECTION(builder, 12, "\x01");
    struct builder code = {.len = 0};
    put_u32(&code, 3);
    put_u32(&code, (uint32_t)len);
    put(&code, body, len);
    put(&code, "\x02\x00\x0b\x06\x00\x41\x00\x41\x00\x0b", 10);
    put_section(builder, 10, code.bytes, code.len);
    SECTION(builder, 11, "\x01\x01\x02xy");
}

struct attempt {
    struct builder builder;
    struct wm_arena arena;
    struct wm_diag diag;
    struct wasm_module *module;
    int err;
};

static void validate(struct attempt *attempt)
{
    attempt->diag = (struct wm_diag)WM_DIAG_INIT;
    wm_arena_init(&attempt->arena, 0);
    attempt->err = wasm_module_decode(wm_view_of(attempt->builder.bytes, attempt->builder.len),
                                      &attempt->arena, &attempt->module, &attempt->diag);
    if (!attempt->err) {
        attempt->err = wasm_module_validate(attempt->module, &attempt->diag);
    }
}

static void validate_body(struct attempt *attempt, uint8_t type, const void *body, size_t len)
{
    attempt->builder.len = 0;
    build_world(&attempt->builder, type, body, len);
    validate(attempt);
}

static void drop(struct attempt *attempt)
{
    wm_arena_fini(&attempt->arena);
}

/* The text from the first letter after "offset 0xN: " on. */
static const char *after_offset(const char *text)
{
    const char *at = strstr(text, "offset 0x");
    at = at ? strstr(at, ": ") : NULL;
    return at ? at + 2 : text;
}

struct body_case {
    uint8_t type;
    const char *body; /* with its locals */
    size_t len;
    int code;
    const char *text; /* after the offset; NULL: it is valid */
};

#define VALID(type, body)                                       \
    {                                                           \
        (type), ("\x00" body), sizeof("\x00" body) - 1, 0, NULL \
    }
#define REFUSED(type, body, code, text)                                     \
    {                                                                       \
        (type), ("\x00" body), sizeof("\x00" body) - 1, WM_E_##code, (text) \
    }

static void check_bodies(const struct body_case *cases, size_t count)
{
    static struct attempt attempt;
    for (size_t i = 0; i < count; i++) {
        validate_body(&attempt, cases[i].type, cases[i].body, cases[i].len);
        CHECK_INT(attempt.err, ==, cases[i].code);
        CHECK_INT(attempt.diag.code, ==, attempt.err);
        CHECK_STR(attempt.err ? after_offset(attempt.diag.text) : "valid",
                  cases[i].text ? cases[i].text : "valid");
        drop(&attempt);
    }
}

TEST(operands_have_their_types)
{
    static const struct body_case cases[] = {
        VALID(T_NONE, "\x0b"),
        VALID(T_I_I, "\x20\x00\x0b"),
        VALID(T_II, "\x41\x01\x41\x02\x0b"),
        VALID(T_NONE, "\x41\x01\x41\x02\x6a\x1a\x0b"),
        REFUSED(T_NONE, "\x41\x01\x0b", INVALID,
                "end: type mismatch: values remain on the stack at the end of the block"),
        REFUSED(T_I_I, "\x0b", INVALID,
                "end: type mismatch: expected i32, found nothing on the stack"),
        REFUSED(T_I_I, "\x42\x01\x0b", INVALID, "end: type mismatch: expected i32, found i64"),
        REFUSED(T_II, "\x41\x01\x0b", INVALID,
                "end: type mismatch: expected i32, found nothing on the stack"),
        REFUSED(T_NONE, "\x41\x01\x42\x02\x6a\x1a\x0b", INVALID,
                "i32.add: type mismatch: expected i32, found i64"),
        REFUSED(T_NONE, "\x42\x01\x41\x02\x6a\x1a\x0b", INVALID,
                "i32.add: type mismatch: expected i32, found i64"),
        REFUSED(T_NONE, "\x1a\x0b", INVALID,
                "drop: type mismatch: expected any type, found nothing on the stack"),
        REFUSED(T_NONE, "\x41\x00\x02\x40\x1a\x0b\x0b", INVALID, /* not below the block */
                "drop: type mismatch: expected any type, found nothing on the stack"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(blocks_and_branches)
{
    static const struct body_case cases[] = {
        VALID(T_NONE, "\x02\x7f\x41\x00\x0c\x00\x0b\x1a\x0b"),
        VALID(T_I_I, "\x20\x00\x03\x01\x0b\x0b"),                 /* loop of type 1 */
        VALID(T_I_I, "\x20\x00\x03\x01\x41\x00\x0d\x00\x0b\x0b"), /* its label takes i32 */
        VALID(T_I_I, "\x20\x00\x20\x00\x04\x01\x0b\x0b"),         /* if [i32] -> [i32], no else */
        VALID(T_NONE, "\x41\x00\x04\x7f\x41\x01\x05\x41\x02\x0b\x1a\x0b"),
        VALID(T_I_I, "\x41\x00\x0f\x0b"),
        VALID(T_I_I, "\x02\x40\x02\x40\x20\x00\x0e\x02\x00\x01\x00\x0b\x0b\x41\x00\x0b"),
        REFUSED(T_NONE, "\x41\x00\x04\x7f\x41\x01\x0b\x1a\x0b", INVALID,
                "end: type mismatch: an `if` without `else` leaves what it took"),
        REFUSED(T_NONE, "\x41\x00\x04\x7f\x41\x01\x05\x42\x02\x0b\x1a\x0b", INVALID,
                "end: type mismatch: expected i32, found i64"),
        REFUSED(T_NONE, "\x42\x00\x04\x40\x0b\x0b", INVALID,
                "if: type mismatch: expected i32, found i64"),
        REFUSED(T_NONE, "\x05\x0b", MALFORMED, "else: no `if` to go with it"),
        REFUSED(T_NONE, "\x41\x00\x04\x40\x05\x05\x0b\x0b", MALFORMED,
                "else: no `if` to go with it"),
        REFUSED(T_NONE, "\x02\x40\x0b", MALFORMED, "unexpected end: END opcode expected"),
        REFUSED(T_NONE, "", MALFORMED, "unexpected end: END opcode expected"),
        REFUSED(T_NONE, "\x0b\x01", MALFORMED,
                "end: section size mismatch: bytes after the end of the function"),
        REFUSED(T_NONE, "\x02\x09\x0b\x0b", INVALID, "block: unknown type 9"),
        REFUSED(T_NONE, "\x02\x41\x0b\x0b", MALFORMED, "malformed block type"),
        REFUSED(T_NONE, "\x0c\x01\x0b", INVALID, "br: unknown label 1"),
        REFUSED(T_I_I, "\x41\x00\x0d\x00\x41\x00\x0b", INVALID,
                "br_if: type mismatch: expected i32, found nothing on the stack"),
        REFUSED(T_I_I, "\x02\x40\x20\x00\x0e\x01\x00\x01\x0b\x41\x00\x0b", INVALID,
                "br_table: type mismatch: its labels differ in their number of values"),
        REFUSED(T_I_I, "\x02\x7e\x20\x00\x20\x00\x0e\x01\x01\x00\x0b\x1a\x41\x00\x0b", INVALID,
                "br_table: type mismatch: expected i64, found i32"),
        REFUSED(T_NONE, "\x41\x00\x0e\x01\x00\x01\x0b", INVALID, "br_table: unknown label 1"),
        REFUSED(T_NONE, "\x41\x00\x0e\xff\xff\xff\xff\x0f\x00\x0b", MALFORMED, "unexpected end"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(unreachable_code_is_typed_too)
{
    static const struct body_case cases[] = {
        VALID(T_I_I, "\x00\x0b"),
        VALID(T_II, "\x00\x6a\x1a\x0b"),
        VALID(T_I_I, "\x00\x1b\x0b"), /* select of two unknowns */
        VALID(T_I_I, "\x00\xd1\x0b"),
        VALID(T_I_I, "\x41\x00\x0f\x42\x00\x1a\x0b"),
        VALID(T_I_I, "\x02\x7f\x00\x0d\x00\x0b\x0b"),
        VALID(T_I_I, "\x00\x41\x00\x0e\x01\x00\x00\x0b"),
        REFUSED(T_I_I, "\x00\x42\x00\x0b", INVALID, "end: type mismatch: expected i32, found i64"),
        REFUSED(T_I_I, "\x00\x42\x00\x6a\x0b", INVALID,
                "i32.add: type mismatch: expected i32, found i64"),
        REFUSED(T_I_I, "\x00\x41\x00\x41\x00\x0b", INVALID,
                "end: type mismatch: values remain on the stack at the end of the block"),
        /* br_if leaves the label's types, not what was unknown. */
        REFUSED(T_I_I, "\x00\x0d\x00\xa7\x0b", INVALID,
                "i32.wrap_i64: type mismatch: expected i64, found i32"),
        REFUSED(T_NONE, "\x00\x41\x00\x42\x00\x41\x00\x1b\x1a\x0b", INVALID,
                "select: type mismatch: expected i32, found i64"),
        REFUSED(T_NONE, "\x00\x20\x00\x0b", INVALID, "local.get: unknown local 0"),
        REFUSED(T_NONE, "\x00\xfd\x15\x10\x1a\x0b", INVALID,
                "i8x16.extract_lane_s: invalid lane index"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(calls)
{
    static const struct body_case cases[] = {
        VALID(T_I_I, "\x20\x00\x10\x00\x0b"),
        VALID(T_I_I, "\x20\x00\x12\x00\x0b"),             /* return_call */
        VALID(T_I_I, "\x20\x00\x20\x00\x13\x01\x00\x0b"), /* return_call_indirect */
        VALID(T_I_I, "\x20\x00\x20\x00\x11\x01\x00\x0b"),
        VALID(T_II, "\x12\x03\x0b"),
        REFUSED(T_NONE, "\x10\x04\x0b", INVALID, "call: unknown function 4"),
        REFUSED(T_NONE, "\x10\x00\x1a\x0b", INVALID,
                "call: type mismatch: expected i32, found nothing on the stack"),
        REFUSED(T_NONE, "\x41\x00\x12\x00\x0b", INVALID,
                "return_call: type mismatch: results differ from those of the calling function"),
        REFUSED(T_I_I, "\x12\x03\x0b", INVALID,
                "return_call: type mismatch: results differ from those of the calling function"),
        REFUSED(T_NONE, "\x41\x00\x11\x00\x02\x0b", INVALID, "call_indirect: unknown table 2"),
        REFUSED(T_NONE, "\x41\x00\x11\x05\x00\x0b", INVALID, "call_indirect: unknown type 5"),
        REFUSED(T_NONE, "\x41\x00\x11\x00\x01\x0b", INVALID,
                "call_indirect: type mismatch: the table holds no functions"),
        REFUSED(T_NONE, "\x42\x00\x11\x00\x00\x0b", INVALID,
                "call_indirect: type mismatch: expected i32, found i64"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(locals_globals_and_select)
{
    static const struct body_case cases[] = {
        VALID(T_ALL, "\x20\x06\x21\x06\x0b"),
        VALID(T_I_I, "\x20\x00\x22\x00\x0b"),
        VALID(T_NONE, "\x23\x01\x24\x01\x23\x00\x1a\x0b"),
        VALID(T_ALL, "\x20\x04\x20\x04\x41\x00\x1b\x1a\x0b"), /* select of vectors */
        VALID(T_ALL, "\x20\x06\x20\x06\x41\x00\x1c\x01\x6f\x1a\x0b"),
        REFUSED(T_ALL, "\x20\x06\x20\x06\x41\x00\x1b\x1a\x0b", INVALID,
                "select: type mismatch: references need the form that names their type"),
        REFUSED(T_ALL, "\x20\x00\x20\x01\x41\x00\x1b\x1a\x0b", INVALID,
                "select: type mismatch: expected i32, found i64"),
        REFUSED(T_ALL, "\x20\x00\x20\x01\x41\x00\x1c\x01\x7f\x1a\x0b", INVALID,
                "select: type mismatch: expected i32, found i64"),
        REFUSED(T_ALL, "\x20\x00\x20\x00\x41\x00\x1c\x02\x7f\x7f\x1a\x0b", INVALID,
                "select: invalid result arity"),
        REFUSED(T_ALL, "\x20\x00\x20\x00\x41\x00\x1c\x01\x40\x1a\x0b", MALFORMED,
                "malformed value type"),
        REFUSED(T_ALL, "\x20\x07\x1a\x0b", INVALID, "local.get: unknown local 7"),
        REFUSED(T_ALL, "\x20\x00\x21\x01\x0b", INVALID,
                "local.set: type mismatch: expected i64, found i32"),
        REFUSED(T_NONE, "\x23\x02\x1a\x0b", INVALID, "global.get: unknown global 2"),
        REFUSED(T_NONE, "\x41\x00\x24\x00\x0b", INVALID, "global.set: global is immutable"),
        REFUSED(T_NONE, "\x41\x00\x24\x01\x0b", INVALID,
                "global.set: type mismatch: expected i64, found i32"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(locals_are_found_in_their_groups)
{
    /* (local i32) (local i64 i64) (local f32) after the parameter of T_I_I */
#define RUNS "\x03\x01\x7f\x02\x7e\x01\x7d"
    static const struct body_case cases[] = {
        {T_I_I, RUNS "\x20\x01\x0b", sizeof(RUNS "\x20\x01\x0b") - 1, 0, NULL},
        {T_I_I, RUNS "\x20\x02\xa7\x0b", sizeof(RUNS "\x20\x02\xa7\x0b") - 1, 0, NULL},
        {T_I_I, RUNS "\x20\x03\xa7\x0b", sizeof(RUNS "\x20\x03\xa7\x0b") - 1, 0, NULL},
        {T_I_I, RUNS "\x20\x04\xa8\x0b", sizeof(RUNS "\x20\x04\xa8\x0b") - 1, 0, NULL},
        {T_I_I, RUNS "\x20\x05\x1a\x0b", sizeof(RUNS "\x20\x05\x1a\x0b") - 1, WM_E_INVALID,
         "local.get: unknown local 5"},
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(memory_tables_segments_and_references)
{
    static const struct body_case cases[] = {
        VALID(T_NONE, "\x41\x00\x28\x02\x00\x1a\x0b"),
        VALID(T_NONE, "\x41\x00\x41\x00\x41\x00\xfc\x08\x00\x00\xfc\x09\x00\x0b"),
        VALID(T_NONE, "\x41\x00\x41\x00\x41\x00\xfc\x0c\x00\x00\xfc\x0d\x00\x0b"),
        VALID(T_NONE, "\x41\x00\x41\x00\x41\x00\xfc\x0c\x01\x01\x0b"),
        VALID(T_NONE, "\x41\x00\x25\x00\xd1\x1a\x41\x00\xd0\x70\x26\x00\x0b"),
        VALID(T_NONE, "\xd0\x6f\x41\x00\xfc\x0f\x01\x1a\xfc\x10\x00\x1a\x0b"),
        VALID(T_FUNCREF, "\xd2\x00\x0b"),
        VALID(T_FUNCREF, "\xd2\x02\x0b"),
        REFUSED(T_NONE, "\x41\x00\x28\x03\x00\x1a\x0b", INVALID,
                "i32.load: alignment must not be larger than natural"),
        REFUSED(T_NONE, "\x41\x00\x28\xff\xff\xff\xff\x0f\x00\x1a\x0b", INVALID,
                "i32.load: alignment must not be larger than natural"),
        REFUSED(T_NONE, "\x41\x00\xfd\x00\x05\x00\x1a\x0b", INVALID,
                "v128.load: alignment must not be larger than natural"),
        REFUSED(T_NONE, "\x3f\x01\x1a\x0b", MALFORMED, "zero byte expected"),
        REFUSED(T_NONE, "\x3f\x80\x00\x1a\x0b", MALFORMED, "zero byte expected"),
        REFUSED(T_NONE, "\xfc\x09\x01\x0b", INVALID, "data.drop: unknown data segment 1"),
        REFUSED(T_NONE, "\xfc\x0d\x02\x0b", INVALID, "elem.drop: unknown elem segment 2"),
        REFUSED(T_NONE, "\x41\x00\x41\x00\x41\x00\xfc\x0c\x00\x01\x0b", INVALID,
                "table.init: type mismatch: segment and table hold different references"),
        REFUSED(T_NONE, "\x41\x00\x41\x00\x41\x00\xfc\x0e\x00\x01\x0b", INVALID,
                "table.copy: type mismatch: the tables hold different references"),
        REFUSED(T_NONE, "\x41\x00\x41\x00\x41\x00\xfc\x0e\x00\x02\x0b", INVALID,
                "table.copy: unknown table 2"),
        REFUSED(T_NONE, "\xfc\x10\x02\x1a\x0b", INVALID, "table.size: unknown table 2"),
        REFUSED(T_NONE, "\x41\x00\xd0\x6f\x26\x00\x0b", INVALID,
                "table.set: type mismatch: expected funcref, found externref"),
        REFUSED(T_FUNCREF, "\xd2\x01\x0b", INVALID, "ref.func: undeclared function reference"),
        REFUSED(T_FUNCREF, "\xd2\x04\x0b", INVALID, "ref.func: unknown function 4"),
        REFUSED(T_FUNCREF, "\xd0\x7f\x0b", MALFORMED, "malformed reference type"),
        REFUSED(T_NONE, "\x41\x00\xd1\x1a\x0b", INVALID,
                "ref.is_null: type mismatch: expected a reference"),
        REFUSED(T_NONE, "\x06\x0b", MALFORMED, "illegal opcode"),
        REFUSED(T_NONE, "\xfd\x9a\x01\x0b", MALFORMED, "illegal opcode"),
        REFUSED(T_NONE, "\x41\x80", MALFORMED, "unexpected end"),
        REFUSED(T_NONE, "\x41\x80\x80\x80\x80\x70\x1a\x0b", MALFORMED, "integer too large"),
        REFUSED(T_NONE, "\x43\x00\x00", MALFORMED, "unexpected end"),
        /* Invalid first, malformed after that: malformed. */
        REFUSED(T_NONE, "\x6a\xff\x0b", MALFORMED, "illegal opcode"),
        REFUSED(T_NONE, "\x02\x0b\x0b", MALFORMED, "unexpected end: END opcode expected"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

TEST(vector_lanes)
{
#define ZERO16 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    static const struct body_case cases[] = {
        VALID(T_ALL, "\x20\x04\xfd\x15\x0f\x1a\x0b"),
        VALID(T_ALL, "\x20\x04\x20\x03\xfd\x22\x01\x1a\x0b"),
        VALID(T_ALL, "\x41\x00\x20\x04\xfd\x57\x03\x00\x01\x1a\x0b"),
        VALID(T_ALL, "\x20\x04\x20\x04\xfd\x0d\x1f" ZERO16 "\x1a\x0b"),
        REFUSED(T_ALL, "\x20\x04\xfd\x15\x10\x1a\x0b", INVALID,
                "i8x16.extract_lane_s: invalid lane index"),
        REFUSED(T_ALL, "\x20\x04\x20\x03\xfd\x22\x02\x1a\x0b", INVALID,
                "f64x2.replace_lane: invalid lane index"),
        REFUSED(T_ALL, "\x41\x00\x20\x04\xfd\x57\x03\x00\x02\x1a\x0b", INVALID,
                "v128.load64_lane: invalid lane index"),
        REFUSED(T_ALL, "\x41\x00\x20\x04\xfd\x57\x04\x00\x01\x1a\x0b", INVALID,
                "v128.load64_lane: alignment must not be larger than natural"),
        REFUSED(T_ALL, "\x20\x04\x20\x04\xfd\x0d\x20" ZERO16 "\x1a\x0b", INVALID,
                "i8x16.shuffle: invalid lane index"),
    };
    check_bodies(cases, WM_COUNT_OF(cases));
}

static uint32_t param_of_letter(char letter)
{
    return (uint32_t)(strchr("iIfFv", letter) -
                      "iIfFv"); /* parameters of T_ALL are in this order */
}

/* A function that does one instruction on parameters of the types the table names. `wrong`: which
 * operand gets another type; -1: none. */
static struct builder one_instr(uint32_t code, const struct wasm_opcode_info *info, int wrong)
{
    struct builder body = {.len = 0};
    put_u32(&body, 0);
    for (int i = 0; info->params[i]; i++) {
        uint32_t param = param_of_letter(info->params[i]);
        put_u8(&body, 0x20);
        put_u32(&body, i == wrong ? (param + 1) % 5 : param);
    }
    if (code >= 0x100) {
        put_u8(&body, code >= 0x200 ? 0xfd : 0xfc);
        put_u32(&body, code & 0xff);
    } else {
        put_u8(&body, code);
    }
    static const uint8_t zeroes[16];
    static const size_t bytes[] = {
        [WASM_IMM_TABLE] = 1,       [WASM_IMM_TABLE_INIT] = 2,  [WASM_IMM_TABLE_COPY] = 2,
        [WASM_IMM_ELEM] = 1,        [WASM_IMM_DATA] = 1,        [WASM_IMM_MEMORY] = 1,
        [WASM_IMM_MEMORY_INIT] = 2, [WASM_IMM_MEMORY_COPY] = 2, [WASM_IMM_MEM] = 2,
        [WASM_IMM_MEM_LANE] = 3,    [WASM_IMM_LANE] = 1,        [WASM_IMM_SHUFFLE] = 16,
        [WASM_IMM_V128] = 16,       [WASM_IMM_I32] = 1,         [WASM_IMM_I64] = 1,
        [WASM_IMM_F32] = 4,         [WASM_IMM_F64] = 8,         [WASM_IMM_REF_TYPE] = 0,
    };
    put(&body, zeroes, bytes[info->imm]);
    if (info->results[0]) {
        put_u8(&body, 0x21); /* back to a parameter of its type */
        put_u32(&body, param_of_letter(info->results[0]));
    }
    put_u8(&body, 0x0b);
    return body;
}

TEST(every_instruction_of_fixed_type)
{
    static struct attempt attempt;
    size_t instructions = 0, refusals = 0;
    for (uint32_t code = 0; code < WASM_OPCODE_END; code++) {
        const struct wasm_opcode_info *info = wasm_opcode_info((enum wasm_opcode)code);
        if (!info || info->params[0] == '*') {
            continue;
        }
        struct builder body = one_instr(code, info, -1);
        validate_body(&attempt, T_ALL, body.bytes, body.len);
        if (attempt.err) {
            wm_test_note("%s: %s", info->name, attempt.diag.text);
        }
        CHECK_INT(attempt.err, ==, 0);
        CHECK(attempt.err || attempt.module->uses_simd); /* T_ALL has a v128 */
        drop(&attempt);
        instructions++;
        for (int i = 0; info->params[i]; i++, refusals++) {
            body = one_instr(code, info, i);
            validate_body(&attempt, T_ALL, body.bytes, body.len);
            CHECK_INT(attempt.err, ==, WM_E_INVALID);
            CHECK(strstr(attempt.diag.text, info->name) != NULL);
            drop(&attempt);
        }
    }
    CHECK_INT(instructions, >, 400);
    CHECK_INT(refusals, >, instructions);
}

TEST(messages_name_function_and_offset)
{
    static struct attempt attempt;
    validate_body(&attempt, T_NONE, "\x00\x01\x6a\x0b", 4);
    CHECK_STR(attempt.diag.text, "func[1]: offset 0x6e: i32.add: type mismatch: expected i32, "
                                 "found nothing on the stack");
    drop(&attempt);
    CHECK_INT(attempt.builder.bytes[0x6e], ==, 0x6a);
}

/* Rules of the module outside its bodies. */
struct module_case {
    const char *bytes;
    size_t len;
    int code;
    const char *text;
};
#define MODULE(bytes, code, text)                                \
    {                                                            \
        (HEADER bytes), sizeof(HEADER bytes) - 1, (code), (text) \
    }
#define ONE_TYPE "\x01\x04\x01\x60\x00\x00"
#define ONE_TABLE "\x04\x04\x01\x70\x00\x01"

TEST(module_rules)
{
    static const struct module_case cases[] = {
        MODULE("\x05\x03\x01\x00\x00", 0, NULL),
        MODULE("\x05\x08\x01\x01\x80\x80\x04\x80\x80\x04", 0, NULL), /* 65536 pages */
        MODULE("\x05\x05\x01\x00\x81\x80\x04", WM_E_INVALID,
               "memory 0: memory size must be at most 65536 pages (4GiB)"),
        MODULE("\x05\x06\x01\x01\x00\x81\x80\x04", WM_E_INVALID,
               "memory 0: memory size must be at most 65536 pages (4GiB)"),
        MODULE("\x05\x04\x01\x01\x02\x01", WM_E_INVALID,
               "memory 0: size minimum must not be greater than maximum"),
        MODULE("\x05\x05\x02\x00\x00\x00\x00", WM_E_INVALID, "memory 1: multiple memories"),
        MODULE("\x02\x06\x01\x00\x00\x02\x00\x00\x05\x03\x01\x00\x00", WM_E_INVALID,
               "memory 1: multiple memories"),
        MODULE("\x04\x05\x01\x70\x01\x02\x01", WM_E_INVALID,
               "table 0: size minimum must not be greater than maximum"),
        MODULE("\x04\x07\x01\x70\x00\x81\xad\xe2\x04", WM_E_LIMIT,
               "table 0: more than 10000000 elements"),
        MODULE("\x02\x05\x01\x00\x00\x00\x00", WM_E_INVALID, "function 0: unknown type"),
        /* Exports */
        MODULE("\x07\x05\x01\x01"
               "a\x00\x00",
               WM_E_INVALID, "export 0: unknown function"),
        MODULE("\x07\x05\x01\x01"
               "a\x01\x00",
               WM_E_INVALID, "export 0: unknown table"),
        MODULE("\x07\x05\x01\x01"
               "a\x02\x00",
               WM_E_INVALID, "export 0: unknown memory"),
        MODULE("\x07\x05\x01\x01"
               "a\x03\x00",
               WM_E_INVALID, "export 0: unknown global"),
        MODULE(ONE_TABLE "\x07\x09\x02\x01"
                         "a\x01\x00\x01"
                         "b\x01\x00",
               0, NULL),
        MODULE(ONE_TABLE "\x07\x0d\x03\x01"
                         "a\x01\x00\x01\x1b\x01\x00\x01\x1b\x01\x00",
               WM_E_INVALID, "export 2: duplicate export name \"\\x1b\""),
        /* Start */
        MODULE("\x08\x01\x00", WM_E_INVALID, "start function: unknown function"),
        MODULE("\x01\x05\x01\x60\x01\x7f\x00\x02\x05\x01\x00\x00\x00\x00\x08\x01\x00", WM_E_INVALID,
               "start function: it takes parameters or has results"),
        MODULE(ONE_TYPE "\x02\x05\x01\x00\x00\x00\x00\x08\x01\x00", 0, NULL),
        /* Constant expressions */
        MODULE("\x06\x06\x01\x7f\x00\x42\x00\x0b", WM_E_INVALID,
               "global 0: offset 0xd: type mismatch in a constant expression"),
        MODULE("\x06\x04\x01\x7f\x00\x0b", WM_E_INVALID,
               "global 0: offset 0xd: type mismatch: a constant expression leaves one "
               "value"),
        MODULE("\x06\x08\x01\x7f\x00\x41\x00\x41\x00\x0b", WM_E_INVALID,
               "global 0: offset 0x11: type mismatch: a constant expression leaves "
               "one value"),
        MODULE("\x06\x07\x01\x7f\x00\x41\x00\x67\x0b", WM_E_INVALID,
               "global 0: offset 0xf: constant expression required: i32.clz is not "
               "constant"),
        MODULE("\x06\x09\x01\x7f\x00\x41\x00\x42\x00\x6a\x0b", WM_E_INVALID,
               "global 0: offset 0x11: type mismatch in a constant expression"),
        MODULE("\x06\x09\x01\x7f\x00\x41\x01\x41\x02\x6a\x0b", 0, NULL),
        MODULE("\x06\x06\x01\x7f\x00\x23\x00\x0b", WM_E_INVALID,
               "global 0: offset 0xd: unknown global 0: a constant expression sees imported ones "
               "only"),
        MODULE("\x06\x06\x01\x7f\x00\x23\x01\x0b", WM_E_INVALID,
               "global 0: offset 0xd: unknown global 1"),
        MODULE("\x02\x06\x01\x00\x00\x03\x7f\x01\x06\x06\x01\x7f\x00\x23\x00\x0b", WM_E_INVALID,
               "global 1: offset 0x15: constant expression required: global 0 is mutable"),
        MODULE("\x02\x06\x01\x00\x00\x03\x7f\x00\x06\x06\x01\x7f\x00\x23\x00\x0b", 0, NULL),
        MODULE("\x06\x06\x01\x70\x00\xd2\x00\x0b", WM_E_INVALID,
               "global 0: offset 0xd: unknown function 0"),
        MODULE("\x06\x06\x01\x70\x00\xd0\x6f\x0b", WM_E_INVALID,
               "global 0: offset 0xd: type mismatch in a constant expression"),
        /* Segments */
        MODULE("\x09\x06\x01\x00\x41\x00\x0b\x00", WM_E_INVALID,
               "element segment 0: unknown table"),
        MODULE(ONE_TABLE "\x09\x06\x01\x00\x41\x00\x0b\x00", 0, NULL),
        MODULE(ONE_TABLE "\x09\x06\x01\x00\x42\x00\x0b\x00", WM_E_INVALID,
               "element segment 0: offset 0x12: type mismatch in a constant expression"),
        MODULE(ONE_TABLE "\x09\x07\x01\x00\x41\x00\x0b\x01\x00", WM_E_INVALID,
               "element segment 0: unknown function 0"),
        MODULE(ONE_TABLE "\x09\x09\x01\x06\x00\x41\x00\x0b\x6f\x00\x00", WM_E_MALFORMED,
               "element section: offset 0x18: section size mismatch: bytes are left over"),
        MODULE(ONE_TABLE "\x09\x08\x01\x06\x00\x41\x00\x0b\x6f\x00", WM_E_INVALID,
               "element segment 0: type mismatch: the table holds other references"),
        MODULE("\x09\x07\x01\x05\x70\x01\xd0\x6f\x0b", WM_E_INVALID,
               "element segment 0: offset 0xe: type mismatch in a constant expression"),
        MODULE("\x0b\x06\x01\x00\x41\x00\x0b\x00", WM_E_INVALID, "data segment 0: unknown memory"),
        MODULE("\x05\x03\x01\x00\x00\x0b\x07\x01\x02\x01\x41\x00\x0b\x00", WM_E_INVALID,
               "data segment 0: unknown memory"),
        MODULE("\x05\x03\x01\x00\x00\x0b\x06\x01\x00\x42\x00\x0b\x00", WM_E_INVALID,
               "data segment 0: offset 0x11: type mismatch in a constant expression"),
        /* Needs the count before the code. */
        MODULE("\x05\x03\x01\x00\x00\x0b\x02\x00\x00", WM_E_MALFORMED,
               "data section: offset 0x10: section size mismatch: bytes are left over"),
        MODULE(ONE_TYPE "\x03\x02\x01\x00\x0a\x07\x01\x05\x00\xfc\x09\x00\x0b\x0b\x03\x01\x01\x00",
               WM_E_MALFORMED, "func[0]: offset 0x17: data.drop: data count section required"),
        MODULE(ONE_TYPE "\x03\x02\x01\x00\x0a\x08\x01\x06\x00\x3f\x00\x1a\x01\x0b", WM_E_INVALID,
               "func[0]: offset 0x17: memory.size: unknown memory 0"),
        /* fifty thousand locals and a parameter */
        MODULE("\x01\x05\x01\x60\x01\x7f\x00\x03\x02\x01\x00\x0a\x08\x01\x06\x01\xd0\x86\x03\x7f"
               "\x0b",
               WM_E_LIMIT, "func[0]: too many locals"),
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        static struct attempt attempt;
        attempt.builder.len = 0;
        put(&attempt.builder, cases[i].bytes, cases[i].len);
        validate(&attempt);
        CHECK_INT(attempt.err, ==, cases[i].code);
        CHECK_STR(attempt.err ? attempt.diag.text : "valid",
                  cases[i].text ? cases[i].text : "valid");
        CHECK(attempt.err || attempt.module->validated);
        drop(&attempt);
    }
}

TEST(sets_the_facts_of_a_body)
{
    static struct attempt attempt;
    /* block, loop, three constants, end, end: height 3, nesting 3 */
    static const char body[] =
        "\x00\x02\x40\x03\x40\x41\x01\x41\x02\x41\x03\x6a\x6a\x1a\x0b\x0b\x0b";
    validate_body(&attempt, T_NONE, body, sizeof body - 1);
    REQUIRE(attempt.err == 0);
    const struct wasm_module *module = attempt.module;
    CHECK_INT(module->bodies[0].max_height, ==, 3);
    CHECK_INT(module->bodies[0].max_nesting, ==, 3);
    CHECK_INT(module->bodies[0].instr_count, ==, 11);
    CHECK_INT(module->bodies[1].max_height, ==, 0);
    CHECK_INT(module->bodies[1].max_nesting, ==, 1);
    CHECK_INT(module->bodies[1].instr_count, ==, 1);
    CHECK(module->func_declared[0] && !module->func_declared[1]); /* elem 0 */
    CHECK(module->func_declared[2] && !module->func_declared[3]); /* export */
    CHECK(!module->uses_table_mutation && !module->uses_tail_calls);
    drop(&attempt);
    static const char all[] = "\x00\x41\x00\x40\x00\x1a\x41\x00\x25\x00\x1a"
                              "\x41\x00\xd0\x70\x26\x00\x12\x02\x0b";
    validate_body(&attempt, T_NONE, all, sizeof all - 1);
    REQUIRE(attempt.err == 0);
    module = attempt.module;
    CHECK(module->uses_table_mutation && module->uses_tail_calls);
    drop(&attempt);
}

TEST(equal_types_have_one_canonical_index)
{
    static struct attempt attempt;
    attempt.builder.len = 0;
    put(&attempt.builder, HEADER, 8);
    /* [i32] -> []; [] -> [i32]; [i32] -> []; [] -> []; [] -> [i32]; [i64] -> [] */
    SECTION(&attempt.builder, 1,
            "\x06\x60\x01\x7f\x00\x60\x00\x01\x7f\x60\x01\x7f\x00\x60\x00\x00\x60\x00\x01\x7f"
            "\x60\x01\x7e\x00");
    validate(&attempt);
    REQUIRE(attempt.err == 0);
    static const uint32_t canon[] = {0, 1, 0, 3, 1, 5};
    for (size_t i = 0; i < WM_COUNT_OF(canon); i++) {
        CHECK_INT(attempt.module->type_canon[i], ==, canon[i]);
    }
    drop(&attempt);
}

static int order_by_last_digit(const void *self, uint32_t a, uint32_t b)
{
    (void)self;
    return (int)(a % 10) - (int)(b % 10);
}

TEST(sorting_is_stable_and_survives_equal_hashes)
{
    struct wasm_keyed items[1000], spare[1000];
    for (size_t count = 0; count <= 1000; count += count < 20 ? 1 : 49) {
        for (uint32_t i = 0; i < count; i++) {
            items[i] = (struct wasm_keyed){i % 7 == 0, i}; /* two hashes for everything */
        }
        wasm_sort_keyed(items, spare, count, order_by_last_digit, NULL);
        for (size_t i = 1; i < count; i++) {
            const struct wasm_keyed *a = &items[i - 1], *b = &items[i];
            CHECK(a->hash < b->hash ||
                  (a->hash == b->hash &&
                   (a->idx % 10 < b->idx % 10 || (a->idx % 10 == b->idx % 10 && a->idx < b->idx))));
        }
    }
}

/* Bodies written to take more than they should: they end in a limit, and soon. */
TEST(hostile_bodies_meet_limits)
{
    static struct builder module;
    static uint8_t body[200000];
    struct wm_arena arena;
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_module *decoded;
    for (int kind = 0; kind < 2; kind++) {
        /* [] -> [i32 x 1000], called over and over; or blocks in blocks */
        size_t len = 0;
        static uint8_t bytes[300000];
        memcpy(bytes, HEADER, 8);
        memcpy(bytes + 8, "\x01\xee\x07\x01\x60\x00\xe8\x07", 8);
        bytes[9] = 0xed; /* 1 + 1 + 1 + 2 + 1000 = 1005 */
        memset(bytes + 16, 0x7f, 1000);
        len = 16 + 1000;
        memcpy(bytes + len, "\x03\x02\x01\x00", 4);
        len += 4;
        size_t at = 0;
        body[at++] = 0;
        for (uint32_t i = 0; i < 60000; i++) {
            body[at++] = kind == 0 ? 0x10 : 0x02;
            body[at++] = kind == 0 ? 0x00 : 0x40;
        }
        module.len = 0;
        put_u32(&module, 1);
        put_u32(&module, (uint32_t)at);
        bytes[len++] = 0x0a;
        struct builder size = {.len = 0};
        put_u32(&size, (uint32_t)(module.len + at));
        memcpy(bytes + len, size.bytes, size.len);
        len += size.len;
        memcpy(bytes + len, module.bytes, module.len);
        len += module.len;
        memcpy(bytes + len, body, at);
        len += at;
        wm_arena_init(&arena, 0);
        REQUIRE(wasm_module_decode(wm_view_of(bytes, len), &arena, &decoded, &diag) == 0);
        CHECK_INT(wasm_module_validate(decoded, &diag), ==, WM_E_LIMIT);
        CHECK_STR(after_offset(diag.text), kind == 0 ? "call: too many operands on the stack"
                                                     : "block: blocks are nested too deeply");
        wm_arena_fini(&arena);
    }
}

/* Constant expressions on bytes that nobody validated. */

static int a_global(void *self, uint32_t idx, uint8_t *valtype, union wasm_value *out,
                    struct wm_diag *diag)
{
    (void)self;
    if (idx != 3) {
        return wm_diag_set(diag, WM_E_INVALID, "no global %u", idx);
    }
    *valtype = WASM_I32;
    *out = (union wasm_value){.v128 = {1000, 0}};
    return 0;
}

static int a_func(void *self, uint32_t idx, union wasm_value *out, struct wm_diag *diag)
{
    (void)diag;
    *out = (union wasm_value){.funcref = (const struct wasm_func *)((char *)self + idx)};
    return 0;
}

static int eval(const void *code, size_t len, uint8_t *valtype, union wasm_value *out,
                struct wm_diag *diag)
{
    static char funcs[256];
    const struct wasm_constexpr_env env = {funcs, a_global, a_func};
    return wasm_constexpr_eval(wm_cursor_of(wm_view_of(code, len)), &env, valtype, out, diag);
}

TEST(constant_expressions_are_evaluated)
{
    static const struct {
        const char *code;
        size_t len;
        uint8_t valtype;
        uint64_t value;
    } cases[] = {
        {"\x41\x7f\x0b", 3, WASM_I32, 0xffffffff},
        {"\x42\x7f\x0b", 3, WASM_I64, UINT64_MAX},
        {"\x23\x03\x41\x05\x6a\x0b", 6, WASM_I32, 1005},
        {"\x23\x03\x41\x05\x6b\x0b", 6, WASM_I32, 995},
        {"\x41\x00\x41\x01\x6b\x0b", 6, WASM_I32, 0xffffffff}, /* wraps, upper half clear */
        {"\x41\x7f\x41\x7f\x6c\x0b", 6, WASM_I32, 1},
        {"\x42\x02\x42\x03\x7e\x42\x01\x7d\x0b", 9, WASM_I64, 5},
        {"\x42\x02\x42\x7f\x7c\x0b", 6, WASM_I64, 1},
        {"\x43\x00\x00\x80\x3f\x0b", 6, WASM_F32, 0x3f800000},
        {"\xd0\x6f\x0b", 3, WASM_EXTERNREF, 0},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        uint8_t valtype = 0;
        union wasm_value value = {.v128 = {~UINT64_C(0), ~UINT64_C(0)}};
        CHECK_INT(eval(cases[i].code, cases[i].len, &valtype, &value, NULL), ==, 0);
        CHECK_INT(valtype, ==, cases[i].valtype);
        CHECK_INT(value.i64, ==, cases[i].value);
        CHECK_INT(value.v128[1], ==, 0);
    }
}

TEST(constant_expressions_of_any_bytes_are_safe)
{
    static const struct module_case cases[] = {
        {"", 0, WM_E_MALFORMED, "offset 0x0: unexpected end"},
        {"\x41\x00", 2, WM_E_MALFORMED, "offset 0x2: unexpected end"},
        {"\x41\x00\x0b\x0b", 4, WM_E_MALFORMED,
         "offset 0x3: bytes after the end of a constant expression"},
        {"\x6a\x0b", 2, WM_E_INVALID, "offset 0x0: type mismatch in a constant expression"},
        {"\x41\x00\xd2\x00\x6a\x0b", 6, WM_E_INVALID,
         "offset 0x4: type mismatch in a constant expression"},
        {"\x23\x04\x0b", 3, WM_E_INVALID, "offset 0x0: no global 4"},
        {"\x10\x00\x0b", 3, WM_E_INVALID,
         "offset 0x0: constant expression required: call is not constant"},
        {"\x02\x40\x0b\x0b", 4, WM_E_INVALID,
         "offset 0x0: constant expression required: block is not constant"},
    };
    uint8_t valtype;
    union wasm_value value;
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        CHECK_INT(eval(cases[i].bytes, cases[i].len, &valtype, &value, &diag), ==, cases[i].code);
        CHECK_STR(wm_diag_text(&diag), cases[i].text);
    }
    char many[2 * (WASM_CONSTEXPR_HEIGHT_MAX + 1)];
    memset(many, 0, sizeof many);
    for (size_t i = 0; i < sizeof many; i += 2) {
        many[i] = 0x41;
    }
    struct wm_diag diag = WM_DIAG_INIT;
    CHECK_INT(eval(many, sizeof many, &valtype, &value, &diag), ==, WM_E_LIMIT);
}

TEST_MAIN(TEST_CASE(operands_have_their_types), TEST_CASE(blocks_and_branches),
          TEST_CASE(unreachable_code_is_typed_too), TEST_CASE(calls),
          TEST_CASE(locals_globals_and_select), TEST_CASE(locals_are_found_in_their_groups),
          TEST_CASE(memory_tables_segments_and_references), TEST_CASE(vector_lanes),
          TEST_CASE(every_instruction_of_fixed_type), TEST_CASE(messages_name_function_and_offset),
          TEST_CASE(module_rules), TEST_CASE(sets_the_facts_of_a_body),
          TEST_CASE(equal_types_have_one_canonical_index),
          TEST_CASE(sorting_is_stable_and_survives_equal_hashes),
          TEST_CASE(hostile_bodies_meet_limits), TEST_CASE(constant_expressions_are_evaluated),
          TEST_CASE(constant_expressions_of_any_bytes_are_safe))
