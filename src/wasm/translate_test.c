/* translate_test.c: what can be said of generated code without running it: that there is some for
 * every instruction, in every mode and tier and for every machine level; that it refers to nothing
 * outside itself (wasm_elf_link refuses what does); that frames stay below what det counts for
 * them. What the code does is asked by the official test suite and test/spec. */
#include "wasm/translate.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/test.h"
#include "wasm/abi.h"
#include "wasm/elf.h"
#include "wasm/opcode.h"

/* A module being written: sections are written into it one after the other. */
struct bytes {
    uint8_t at[65536];
    size_t count;
};

static void put(struct bytes *out, uint8_t byte)
{
    WM_ASSERT(out->count < sizeof out->at);
    out->at[out->count++] = byte;
}

static void put_u32(struct bytes *out, uint32_t value)
{
    do {
        uint8_t byte = value & 0x7f;
        value >>= 7;
        put(out, value ? byte | 0x80 : byte);
    } while (value);
}

static void put_bytes(struct bytes *out, const void *from, size_t count)
{
    const uint8_t *bytes = from;
    for (size_t i = 0; i < count; i++) {
        put(out, bytes[i]);
    }
}

static void put_name(struct bytes *out, const char *name)
{
    put_u32(out, (uint32_t)strlen(name));
    put_bytes(out, name, strlen(name));
}

static void put_section(struct bytes *out, uint8_t id, const struct bytes *content)
{
    put(out, id);
    put_u32(out, (uint32_t)content->count);
    put_bytes(out, content->at, content->count);
}

static void put_opcode(struct bytes *out, uint32_t code)
{
    if (code >= 0x100) {
        put(out, code >= 0x200 ? 0xfd : 0xfc);
        put_u32(out, code & 0xff);
    } else {
        put(out, (uint8_t)code);
    }
}

static uint8_t type_of(char letter)
{
    switch (letter) {
    case 'i': return WASM_I32;
    case 'I': return WASM_I64;
    case 'f': return WASM_F32;
    case 'F': return WASM_F64;
    case 'r': return WASM_FUNCREF;
    default: return WASM_V128;
    }
}

static void put_immediates(struct bytes *out, enum wasm_imm imm, uint32_t width)
{
    static const uint8_t zeroes[16];
    uint32_t align = width >= 16 ? 4 : width >= 8 ? 3 : width >= 4 ? 2 : width >= 2 ? 1 : 0;
    switch ((unsigned)imm) {
    case WASM_IMM_MEM:
        put_u32(out, align);
        put_u32(out, 0xfffffff0); /* the largest offsets must be encodable too */
        break;
    case WASM_IMM_MEM_LANE:
        put_u32(out, 0);
        put_u32(out, 8);
        put(out, 0);
        break;
    case WASM_IMM_MEMORY:
    case WASM_IMM_LANE:
    case WASM_IMM_DATA:
    case WASM_IMM_ELEM:
    case WASM_IMM_TABLE:
    case WASM_IMM_I32:
    case WASM_IMM_I64: put(out, 0); break;
    case WASM_IMM_MEMORY_INIT:
    case WASM_IMM_MEMORY_COPY:
    case WASM_IMM_TABLE_INIT:
    case WASM_IMM_TABLE_COPY: put_bytes(out, zeroes, 2); break;
    case WASM_IMM_SHUFFLE:
    case WASM_IMM_V128: put_bytes(out, zeroes, 16); break;
    case WASM_IMM_F32: put_bytes(out, zeroes, 4); break;
    case WASM_IMM_F64: put_bytes(out, zeroes, 8); break;
    default: break;
    }
}

/* Instructions that the table leaves open, written out: bodies without their final `end`. */
#define CODE(text) text, sizeof(text) - 1
static const struct {
    const char *params, *results;
    const char *code;
    size_t length;
} by_hand[] = {
    {"", "", CODE("\x00")},                                               /* unreachable */
    {"i", "i", CODE("\x02\x40\x20\x00\x0d\x00\x0b\x20\x00")},             /* block, br_if */
    {"i", "i", CODE("\x03\x7f\x20\x00\x0b")},                             /* loop */
    {"i", "i", CODE("\x20\x00\x04\x7f\x20\x00\x05\x41\x01\x0b")},         /* if, else */
    {"i", "", CODE("\x20\x00\x04\x40\x0b")},                              /* if without else */
    {"i", "", CODE("\x0c\x00")},                                          /* br */
    {"i", "i", CODE("\x02\x7f\x41\x07\x20\x00\x0e\x02\x00\x01\x00\x0b")}, /* br_table */
    {"i", "i", CODE("\x20\x00\x0f")},                                     /* return */
    {"", "", CODE("\x10\x01")},                                           /* call */
    {"", "", CODE("\x10\x00")},                                           /* call of an import */
    {"i", "", CODE("\x20\x00\x11\x00\x00")},                              /* call_indirect */
    {"", "", CODE("\x12\x01")},                                           /* return_call */
    {"", "", CODE("\x12\x00")},                        /* return_call of an import */
    {"i", "", CODE("\x20\x00\x13\x00\x00")},           /* return_call_indirect */
    {"i", "i", CODE("\x20\x00\x41\x01\x1a")},          /* drop */
    {"iI", "I", CODE("\x20\x01\x42\x05\x20\x00\x1b")}, /* select */
    {"vi", "v", CODE("\x20\x00\x20\x00\x20\x01\x1b")},
    {"i", "r", CODE("\xd0\x70\xd2\x01\x20\x00\x1c\x01\x70")}, /* ref.null, ref.func, select */
    {"v", "v", CODE("\x20\x00\x22\x00")},                     /* local.get, local.tee */
    {"f", "", CODE("\x20\x00\x21\x00")},                      /* local.set */
    {"", "i", CODE("\x23\x00\x24\x00\x23\x00")},              /* global.get, global.set */
    {"", "i", CODE("\xd0\x70\xd1")},                          /* ref.is_null */
    {"i", "r", CODE("\x20\x00\x25\x00")},                     /* table.get */
    {"ir", "", CODE("\x20\x00\x20\x01\x26\x00")},             /* table.set */
    {"ir", "i", CODE("\x20\x01\x20\x00\xfc\x0f\x00")},        /* table.grow */
    {"ir", "", CODE("\x20\x00\x20\x01\x20\x00\xfc\x11\x00")}, /* table.fill */
    {"IIIIIIIIFFFFFFFFFFi", "I", CODE("\x20\x07")},           /* more_params */
    {"", "Ii", CODE("\x42\x01\x41\x02")},                     /* more_results */
};

struct all { /* the sections that grow with each function */
    struct bytes types, funcs, code;
    uint32_t count;
};

static struct all all;
static struct bytes body, module_bytes, section;

static void add_function(const char *params, const char *results)
{
    put(&all.types, 0x60);
    put_u32(&all.types, (uint32_t)strlen(params));
    for (const char *p = params; *p; p++) {
        put(&all.types, type_of(*p));
    }
    put_u32(&all.types, (uint32_t)strlen(results));
    for (const char *p = results; *p; p++) {
        put(&all.types, type_of(*p));
    }
    put_u32(&all.funcs, all.count + 1); /* type 0 is () -> () */
    put(&body, 0x0b);
    put_u32(&all.code, (uint32_t)body.count + 1);
    put(&all.code, 0); /* no locals */
    put_bytes(&all.code, body.at, body.count);
    body.count = 0;
    all.count++;
}

static void begin_section(uint32_t count)
{
    section.count = 0;
    put_u32(&section, count);
}

static void end_section(uint8_t id)
{
    put_section(&module_bytes, id, &section);
}

static void begin_module(void)
{
    static const uint8_t magic[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    module_bytes.count = 0;
    put_bytes(&module_bytes, magic, sizeof magic);
}

/* Every instruction in a function of its own; function 1, of type 0, is empty. */
static void write_all(void)
{
    memset(&all, 0, sizeof all);
    add_function("", "");
    for (uint32_t code = 0; code < WASM_OPCODE_END; code++) {
        const struct wasm_opcode_info *info = wasm_opcode_info((enum wasm_opcode)code);
        if (!info || info->params[0] == '*') {
            continue;
        }
        char params[5] = {0}, results[3] = {0};
        memcpy(params, info->params, sizeof info->params);
        memcpy(results, info->results, sizeof info->results);
        for (uint32_t i = 0; params[i]; i++) {
            put(&body, 0x20);
            put_u32(&body, i);
        }
        put_opcode(&body, code);
        put_immediates(&body, (enum wasm_imm)info->imm, info->bytes);
        add_function(params, results);
    }
    for (size_t i = 0; i < WM_COUNT_OF(by_hand); i++) {
        put_bytes(&body, by_hand[i].code, by_hand[i].length);
        add_function(by_hand[i].params, by_hand[i].results);
    }

    begin_module();
    begin_section(all.count + 1);
    static const uint8_t empty_type[3] = {0x60, 0, 0};
    put_bytes(&section, empty_type, 3);
    put_bytes(&section, all.types.at, all.types.count);
    end_section(1);
    begin_section(1);
    put_name(&section, "host");
    put_name(&section, "call");
    put(&section, 0);
    put(&section, 0);
    end_section(2);
    begin_section(all.count);
    put(&section, 0); /* function 1 again: of type 0, so that it can be called indirectly */
    put_bytes(&section, all.funcs.at + 1, all.funcs.count - 1);
    end_section(3);
    static const uint8_t tables[] = {1, 0x70, 0, 4};
    section.count = 0;
    put_bytes(&section, tables, sizeof tables);
    end_section(4);
    static const uint8_t memories[] = {1, 0, 1};
    section.count = 0;
    put_bytes(&section, memories, sizeof memories);
    end_section(5);
    static const uint8_t globals[] = {1, WASM_I32, 1, 0x41, 5, 0x0b};
    section.count = 0;
    put_bytes(&section, globals, sizeof globals);
    end_section(6);
    static const uint8_t elems[] = {1, 1, 0, 1, 1}; /* passive, funcref, function 1 */
    section.count = 0;
    put_bytes(&section, elems, sizeof elems);
    end_section(9);
    static const uint8_t data_count[] = {1};
    section.count = 0;
    put_bytes(&section, data_count, sizeof data_count);
    end_section(12);
    begin_section(all.count);
    put_bytes(&section, all.code.at, all.code.count);
    end_section(10);
    static const uint8_t datas[] = {1, 1, 1, 'x'};
    section.count = 0;
    put_bytes(&section, datas, sizeof datas);
    end_section(11);
}

static struct wasm_module *parse(struct wm_arena *arena)
{
    struct wasm_module *module = NULL;
    struct wm_diag diag = WM_DIAG_INIT;
    int err =
        wasm_module_decode(wm_view_of(module_bytes.at, module_bytes.count), arena, &module, &diag);
    err = err ? err : wasm_module_validate(module, &diag);
    if (err) {
        wm_test_note("%s", wm_diag_text(&diag));
        return NULL;
    }
    return module;
}

static int translate_whole(const struct wasm_module *module, const struct wasm_options *options,
                           struct wasm_translation *out, struct wm_diag *diag)
{
    const struct wasm_translate_part part = {.end = module->body_count, .thunks = true};
    return wasm_translate(module, options, &part, NULL, out, diag);
}

static void check_all(const struct wasm_options *options)
{
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    struct wm_diag diag = WM_DIAG_INIT;
    struct wasm_translation translation = {0};
    struct wasm_elf_image image = {0};
    struct wasm_module *module = parse(&arena);
    CHECK(module != NULL);
    int err = module ? translate_whole(module, options, &translation, &diag) : -1;
    CHECK_INT(err, ==, 0);
    err = err ? err
              : wasm_elf_link(&translation.elf, 1, module->func_count, module->type_count, &arena,
                              &image, &diag);
    if (err) {
        wm_test_note("%s %s cpu %d: %s", wasm_mode_name(options->mode),
                     wasm_tier_name(options->tier), options->cpu, wm_diag_text(&diag));
    }
    CHECK_INT(err, ==, 0);
    for (uint32_t i = 0; !err && i < module->body_count; i++) {
        uint32_t idx = module->imported_funcs + i;
        const struct wasm_body *body_of = &module->bodies[i];
        CHECK(image.funcs[idx].len > 0);
        if (options->mode == WASM_MODE_DET) {
            CHECK_INT(image.frame_bytes[idx], <=,
                      wasm_frame_cost(&module->types[body_of->type_idx], body_of));
        }
    }
    for (uint32_t i = 0; !err && i < module->type_count; i++) {
        CHECK((image.entries[i].len > 0) == (module->type_canon[i] == i));
        CHECK((image.adapters[i].len > 0) == (module->type_canon[i] == i));
    }
    CHECK(err || (image.line_count > 0) == options->lines);
    wasm_translate_release(&translation);
    wm_arena_fini(&arena);
}

static void check_modes(enum wasm_tier tier, enum wasm_cpu cpu, bool fuel, bool lines)
{
    static const enum wasm_mode modes[] = {WASM_MODE_GUARD, WASM_MODE_CHECK, WASM_MODE_DET};
    write_all();
    for (size_t i = 0; i < WM_COUNT_OF(modes); i++) {
        check_all(&(struct wasm_options){modes[i], tier, cpu, fuel, lines});
    }
}

TEST(every_instruction_at_O0)
{
    check_modes(WASM_TIER_O0, WASM_CPU_V2, false, false);
    check_modes(WASM_TIER_O0, WASM_CPU_V3, true, true);
}

TEST(every_instruction_optimised)
{
    check_modes(WASM_TIER_OPTIMISED, WASM_CPU_V2, false, true);
    check_modes(WASM_TIER_OPTIMISED, WASM_CPU_V3, true, false);
    check_modes(WASM_TIER_OPTIMISED, WASM_CPU_V4, false, false);
}

/* A module with one import of `module.name`, type () -> result, and one function that returns it.
 */
static void write_import(const char *module, const char *name, uint8_t result)
{
    begin_module();
    begin_section(1);
    const uint8_t type[] = {0x60, 0, 1, result};
    put_bytes(&section, type, sizeof type);
    end_section(1);
    begin_section(1);
    put_name(&section, module);
    put_name(&section, name);
    put(&section, 0);
    put(&section, 0);
    end_section(2);
    begin_section(1);
    put(&section, 0);
    end_section(3);
    begin_section(1);
    static const uint8_t code[] = {4, 0, 0x10, 0, 0x0b};
    put_bytes(&section, code, sizeof code);
    end_section(10);
}

static int translate_here(const struct wasm_options *options, struct wm_view *elf,
                          struct wasm_translation *translation, struct wm_diag *diag)
{
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    struct wasm_module *module = parse(&arena);
    int err = module ? translate_whole(module, options, translation, diag) : -1;
    *elf = translation->elf;
    wm_arena_fini(&arena);
    return err;
}

TEST(inline_imports)
{
    const struct wasm_options options = {WASM_MODE_GUARD, WASM_TIER_OPTIMISED, WASM_CPU_V2, false,
                                         false};
    static const struct {
        const char *name;
        uint8_t result;
        int err;
        const char *text;
    } cases[] = {
        {"abi_version", WASM_I32, 0, ""},
        {"fuel", WASM_I64, 0, ""},
        {"memory_bytes", WASM_I64, 0, ""},
        {"fuel", WASM_I32, WM_E_INVALID, "import cp.fuel: its type must be :I"},
        {"open\n", WASM_I32, WM_E_INVALID,
         "import cp.open\\x0a: the reserved module cp has no such"},
    };
    for (size_t i = 0; i < WM_COUNT_OF(cases); i++) {
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_translation translation = {0};
        struct wm_view elf;
        write_import("cp", cases[i].name, cases[i].result);
        CHECK_INT(translate_here(&options, &elf, &translation, &diag), ==, cases[i].err);
        CHECK(strncmp(diag.text, cases[i].text, strlen(cases[i].text)) == 0);
        if (strcmp(cases[i].name, "abi_version") == 0) {
            /* mov $WASM_ABI_VERSION, %eax; ret: no call, no context looked at. */
            static const uint8_t wanted[] = {0xb8, WASM_ABI_VERSION, 0, 0, 0, 0xc3};
            CHECK(memmem(elf.ptr, elf.len, wanted, sizeof wanted) != NULL);
        }
        wasm_translate_release(&translation);
    }
}

TEST(memory_runs_out)
{
    const struct wasm_options options = {WASM_MODE_DET, WASM_TIER_O0, WASM_CPU_V2, true, false};
    write_import("host", "call", WASM_I64);
    struct wm_arena arena;
    wm_arena_init(&arena, 0);
    struct wasm_module *module = parse(&arena);
    REQUIRE(module != NULL);
    for (uint64_t n = 0; wm_fault_next(WM_FAULT_ALLOC, &n);) {
        struct wasm_translation translation = {0};
        struct wm_diag diag = WM_DIAG_INIT;
        int err = translate_whole(module, &options, &translation, &diag);
        CHECK_INT(err, ==, wm_fault_fired(WM_FAULT_ALLOC) ? -ENOMEM : 0);
        wasm_translate_release(&translation);
    }
    wm_arena_fini(&arena);
}

/* A block for each of `depth` levels and a br_table over all of them: what is linear stays linear.
 */
TEST(many_blocks_and_labels)
{
    enum { DEPTH = 4000, LABELS = 15000 };
    static struct bytes code;
    code.count = 0;
    for (int i = 0; i < DEPTH; i++) {
        put(&code, 0x02);
        put(&code, 0x40);
    }
    put(&code, 0x41);
    put(&code, 3);
    put(&code, 0x0e);
    put_u32(&code, LABELS);
    for (uint32_t i = 0; i <= LABELS; i++) {
        put_u32(&code, i % DEPTH);
    }
    for (int i = 0; i < DEPTH; i++) {
        put(&code, 0x0b);
    }
    put(&code, 0x0b);
    begin_module();
    begin_section(1);
    static const uint8_t type[] = {0x60, 0, 0};
    put_bytes(&section, type, sizeof type);
    end_section(1);
    begin_section(1);
    put(&section, 0);
    end_section(3);
    begin_section(1);
    static const uint8_t locals[] = {1, 0xd0, 0x86, 3, WASM_F64}; /* 50,000, none of them used */
    put_u32(&section, (uint32_t)(code.count + sizeof locals));
    put_bytes(&section, locals, sizeof locals);
    put_bytes(&section, code.at, code.count);
    end_section(10);
    for (int tier = WASM_TIER_O0; tier <= WASM_TIER_OPTIMISED; tier++) {
        const struct wasm_options options = {WASM_MODE_DET, (enum wasm_tier)tier, WASM_CPU_V3, true,
                                             false};
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_translation translation = {0};
        struct wm_view elf;
        CHECK_INT(translate_here(&options, &elf, &translation, &diag), ==, 0);
        CHECK(elf.len > 0);
        wasm_translate_release(&translation);
    }
}

struct marks {
    uint32_t next;
    clock_t half;
};

static void note_step(void *self, uint32_t done, uint32_t total)
{
    struct marks *marks = self;
    CHECK_INT(done, ==, ++marks->next); /* one for each function */
    if (done == total / 2) {
        marks->half = clock();
    }
}

/* Of functions that are all alike, half are done in half of the time; in more of it, as what comes
 * before code generation is not counted. */
TEST(progress_goes_with_time)
{
    enum { COUNT = 1000 };
    static const uint8_t type[] = {0x60, 1, 0x7f, 1, 0x7f};
    static const uint8_t work[] = {29,   0, 0x03, 0x7f, 0x20, 0,    0x20, 0,    0x6c, 0x41,
                                   0xcd, 0, 0x70, 0x20, 0,    0x41, 1,    0x6b, 0x22, 0,
                                   0x0d, 0, 0x20, 0,    0x6a, 0x41, 3,    0x6c, 0x0b, 0x0b};
    begin_module();
    begin_section(1);
    put_bytes(&section, type, sizeof type);
    end_section(1);
    begin_section(COUNT);
    for (int i = 0; i < COUNT; i++) {
        put(&section, 0);
    }
    end_section(3);
    begin_section(COUNT);
    for (int i = 0; i < COUNT; i++) {
        put_bytes(&section, work, sizeof work);
    }
    end_section(10);
    for (int tier = WASM_TIER_O0; tier <= WASM_TIER_OPTIMISED; tier++) {
        const struct wasm_options options = {WASM_MODE_GUARD, (enum wasm_tier)tier, WASM_CPU_V2,
                                             false, false};
        struct marks marks = {0};
        const struct wasm_translate_part part = {.end = COUNT, .thunks = true};
        const struct wasm_translate_progress progress = {note_step, &marks};
        struct wm_diag diag = WM_DIAG_INIT;
        struct wasm_translation translation = {0};
        struct wm_arena arena;
        wm_arena_init(&arena, 0);
        struct wasm_module *module = parse(&arena);
        REQUIRE(module);
        clock_t begun = clock();
        CHECK_INT(wasm_translate(module, &options, &part, &progress, &translation, &diag), ==, 0);
        clock_t ended = clock();
        CHECK_INT(marks.next, ==, COUNT);
        wm_test_note("%s: half of them after %.2f of the time", wasm_tier_name(options.tier),
                     (double)(marks.half - begun) / (double)(ended - begun));
        CHECK(marks.half - begun > (ended - begun) / 3);
        wasm_translate_release(&translation);
        wm_arena_fini(&arena);
    }
}

TEST_MAIN(TEST_CASE(every_instruction_at_O0), TEST_CASE(every_instruction_optimised),
          TEST_CASE(inline_imports), TEST_CASE(memory_runs_out), TEST_CASE(many_blocks_and_labels),
          TEST_CASE(progress_goes_with_time))
