/* bomb KIND N > FILE.wasm: modules that are small to write and large to compile or to run.
 *
 *   br_table N   one br_table with N targets               nesting N   N blocks in each other
 *   locals N     a function with N locals, all used        joins N     N loops that each join 200
 * locals giant N      one function of N instructions            depth N     N operands on the stack
 * at once funcs N      N functions, each calls the next          calls N     N calls in one
 * function types N      N function types                          globals N   N globals, all
 * changed frames N     recursion with N values live in the frame params N     recursion with N
 * parameters and N results
 *
 * Each has a _start without parameters that computes something and traps (unreachable) when the
 * answer is wrong; frames and params have `deep` instead, which recurses until the stack ends.
 * Every module is valid as long as N is below the limits of module.h. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    uint8_t *at;
    size_t len, room;
};

static void put(struct bytes *out, uint8_t byte)
{
    if (out->len == out->room) {
        out->room = out->room ? 2 * out->room : 4096;
        out->at = realloc(out->at, out->room);
        if (!out->at) {
            fputs("bomb: no memory\n", stderr);
            exit(2);
        }
    }
    out->at[out->len++] = byte;
}

static void uleb(struct bytes *out, uint64_t value)
{
    do {
        uint8_t byte = value & 0x7f;
        value >>= 7;
        put(out, value ? byte | 0x80 : byte);
    } while (value);
}

static void sleb(struct bytes *out, int64_t value)
{
    for (bool more = true; more;) {
        uint8_t byte = value & 0x7f;
        value >>= 7;
        more = !((value == 0 && !(byte & 0x40)) || (value == -1 && (byte & 0x40)));
        put(out, more ? byte | 0x80 : byte);
    }
}

static void append(struct bytes *out, const struct bytes *more)
{
    for (size_t i = 0; i < more->len; i++) {
        put(out, more->at[i]);
    }
}

enum { I32 = 0x7f, I64 = 0x7e, VOID = 0x40 };
enum {
    UNREACHABLE = 0x00,
    BLOCK = 0x02,
    LOOP = 0x03,
    IF = 0x04,
    ELSE = 0x05,
    END = 0x0b,
    BR = 0x0c,
    BR_IF = 0x0d,
    BR_TABLE = 0x0e,
    RETURN = 0x0f,
    CALL = 0x10,
    DROP = 0x1a,
    LOCAL_GET = 0x20,
    LOCAL_SET = 0x21,
    LOCAL_TEE = 0x22,
    GLOBAL_GET = 0x23,
    GLOBAL_SET = 0x24,
    I64_LOAD = 0x29,
    I32_CONST = 0x41,
    I64_CONST = 0x42,
    I32_NE = 0x47,
    I64_NE = 0x52,
    I32_ADD = 0x6a,
    I32_SUB = 0x6b,
    I64_ADD = 0x7c,
    I64_MUL = 0x7e,
    I64_XOR = 0x85,
};

static void op(struct bytes *out, uint8_t code, uint64_t immediate)
{
    put(out, code);
    uleb(out, immediate);
}

static void i32_const(struct bytes *out, int32_t value)
{
    put(out, I32_CONST);
    sleb(out, value);
}

static void i64_const(struct bytes *out, int64_t value)
{
    put(out, I64_CONST);
    sleb(out, value);
}

/* Leaves nothing: traps unless the i64 on the stack is `wanted`. */
static void expect(struct bytes *out, int64_t wanted)
{
    i64_const(out, wanted);
    put(out, I64_NE);
    op(out, IF, VOID);
    put(out, UNREACHABLE);
    put(out, END);
}

/* A module under construction. Type 0 is () -> (), the last function is exported. */
static struct {
    struct bytes types, funcs, globals, codes;
    uint32_t type_count, func_count, global_count;
} module;

static uint32_t add_type(uint32_t params, uint32_t results, uint8_t valtype)
{
    put(&module.types, 0x60);
    uleb(&module.types, params);
    for (uint32_t i = 0; i < params; i++) {
        put(&module.types, valtype);
    }
    uleb(&module.types, results);
    for (uint32_t i = 0; i < results; i++) {
        put(&module.types, I64);
    }
    return module.type_count++;
}

static void add_func(uint32_t type, uint32_t i64_locals, struct bytes *code)
{
    struct bytes body = {0};
    uleb(&module.funcs, type);
    module.func_count++;
    uleb(&body, i64_locals ? 1 : 0);
    if (i64_locals) {
        uleb(&body, i64_locals);
        put(&body, I64);
    }
    append(&body, code);
    put(&body, END);
    uleb(&module.codes, body.len);
    append(&module.codes, &body);
    free(body.at);
    free(code->at);
    memset(code, 0, sizeof *code);
}

static void section(struct bytes *out, uint8_t id, uint32_t count, const struct bytes *content)
{
    struct bytes number = {0};
    uleb(&number, count);
    put(out, id);
    uleb(out, number.len + content->len);
    append(out, &number);
    append(out, content);
    free(number.at);
}

static void write_module(const char *export)
{
    struct bytes out = {0}, memory = {0}, exports = {0};
    static const uint8_t magic[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    for (size_t i = 0; i < sizeof magic; i++) {
        put(&out, magic[i]);
    }
    section(&out, 1, module.type_count, &module.types);
    section(&out, 3, module.func_count, &module.funcs);
    put(&memory, 0);
    uleb(&memory, 1);
    section(&out, 5, 1, &memory);
    section(&out, 6, module.global_count, &module.globals);
    uleb(&exports, strlen(export));
    for (const char *at = export; *at; at++) {
        put(&exports, (uint8_t)*at);
    }
    put(&exports, 0);
    uleb(&exports, module.func_count - 1);
    uleb(&exports, 6);
    for (const char *at = "memory"; *at; at++) {
        put(&exports, (uint8_t)*at);
    }
    put(&exports, 2);
    put(&exports, 0);
    section(&out, 7, 2, &exports);
    section(&out, 10, module.func_count, &module.codes);
    fwrite(out.at, 1, out.len, stdout);
}

static void br_table(uint32_t n)
{
    struct bytes code = {0};
    /* Sixteen blocks; target k leaves block k % 16, which adds its number to local 0. */
    uint32_t type = add_type(1, 1, I32);
    for (uint32_t i = 0; i < 17; i++) {
        op(&code, BLOCK, VOID);
    }
    op(&code, LOCAL_GET, 0);
    op(&code, BR_TABLE, n);
    for (uint32_t i = 0; i < n; i++) {
        uleb(&code, i * 7 % 16);
    }
    uleb(&code, 16);
    put(&code, END);
    for (uint32_t i = 0; i < 16; i++) {
        i64_const(&code, i + 100);
        put(&code, RETURN);
        put(&code, END);
    }
    i64_const(&code, -1);
    add_func(type, 0, &code);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t at = i < 20 ? i : i < 38 ? n - 40 + i : i == 38 ? n : UINT32_MAX;
        i32_const(&code, (int32_t)at);
        op(&code, CALL, 0);
        expect(&code, at < n ? (int64_t)(at * 7 % 16) + 100 : -1);
    }
    add_func(0, 0, &code);
}

static void nesting(uint32_t n)
{
    struct bytes code = {0};
    for (uint32_t i = 0; i < n; i++) {
        op(&code, i % 3 ? BLOCK : LOOP, VOID);
    }
    op(&code, LOCAL_GET, 0);
    i64_const(&code, 1);
    put(&code, I64_ADD);
    op(&code, LOCAL_SET, 0);
    for (uint32_t i = 0; i < n; i++) {
        put(&code, END);
    }
    op(&code, LOCAL_GET, 0);
    expect(&code, 1);
    add_func(0, 1, &code);
}

static void locals(uint32_t n)
{
    struct bytes code = {0};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        op(&code, LOCAL_GET, i ? i - 1 : 0);
        i64_const(&code, i);
        put(&code, I64_ADD);
        op(&code, LOCAL_SET, i);
        sum += i;
    }
    op(&code, LOCAL_GET, n - 1);
    expect(&code, (int64_t)sum);
    add_func(0, n, &code);
}

static void joins(uint32_t n)
{
    struct bytes code = {0};
    enum { LOCALS = 200 };
    uint64_t values[LOCALS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        op(&code, LOOP, VOID);
        op(&code, LOCAL_GET, i * 31 % LOCALS);
        i64_const(&code, i + 1);
        put(&code, I64_ADD);
        op(&code, LOCAL_SET, i * 17 % LOCALS);
        values[i * 17 % LOCALS] = values[i * 31 % LOCALS] + i + 1;
        i32_const(&code, 65528);
        put(&code, I64_LOAD);
        uleb(&code, 3);
        uleb(&code, 0);
        put(&code, 0xa7); /* i32.wrap_i64: zero, but the compiler cannot know */
        op(&code, BR_IF, 0);
        put(&code, END);
    }
    uint64_t folded = 0;
    i64_const(&code, 0);
    for (uint32_t i = 0; i < LOCALS; i++) {
        op(&code, LOCAL_GET, i);
        put(&code, I64_XOR);
        folded ^= values[i];
    }
    expect(&code, (int64_t)folded);
    add_func(0, LOCALS, &code);
}

static void giant(uint32_t n)
{
    struct bytes code = {0};
    uint64_t value = 1;
    op(&code, LOCAL_GET, 0);
    i64_const(&code, 1);
    put(&code, I64_ADD);
    for (uint32_t i = 0; i < n / 2; i++) {
        uint8_t codes[] = {I64_ADD, I64_MUL, I64_XOR};
        i64_const(&code, 2 * (i % 50) + 3);
        put(&code, codes[i % 3]);
        uint64_t operand = 2 * (i % 50) + 3;
        value = i % 3 == 0 ? value + operand : i % 3 == 1 ? value * operand : value ^ operand;
    }
    expect(&code, (int64_t)value);
    add_func(0, 1, &code);
}

static void depth(uint32_t n)
{
    struct bytes code = {0};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        i64_const(&code, i % 64);
        op(&code, LOCAL_GET, 0);
        put(&code, I64_ADD);
        sum += i % 64;
    }
    for (uint32_t i = 1; i < n; i++) {
        put(&code, I64_ADD);
    }
    expect(&code, (int64_t)sum);
    add_func(0, 1, &code);
}

static void funcs(uint32_t n)
{
    struct bytes code = {0};
    uint32_t type = add_type(1, 1, I64);
    op(&code, LOCAL_GET, 0);
    add_func(type, 0, &code);
    for (uint32_t i = 1; i < n; i++) {
        op(&code, LOCAL_GET, 0);
        i64_const(&code, 1);
        put(&code, I64_ADD);
        /* A thousand calls deep at most: each thousandth starts anew. */
        op(&code, CALL, i % 1000 ? i - 1 : 0);
        add_func(type, 0, &code);
    }
    i64_const(&code, 5);
    op(&code, CALL, n - 1);
    expect(&code, 5 + (n - 1 < 1000 ? n - 1 : (n - 1) % 1000 + 1));
    add_func(0, 0, &code);
}

static void calls(uint32_t n)
{
    struct bytes code = {0};
    uint32_t type = add_type(1, 1, I64);
    op(&code, LOCAL_GET, 0);
    i64_const(&code, 3);
    put(&code, I64_ADD);
    add_func(type, 0, &code);
    i64_const(&code, 0);
    for (uint32_t i = 0; i < n; i++) {
        op(&code, CALL, 0);
    }
    expect(&code, 3 * (int64_t)n);
    add_func(0, 0, &code);
}

static void types(uint32_t n)
{
    struct bytes code = {0};
    /* Different ones: n in binary, i32 and i64. */
    for (uint32_t i = 0; i < n; i++) {
        put(&module.types, 0x60);
        uleb(&module.types, 20);
        for (uint32_t bit = 0; bit < 20; bit++) {
            put(&module.types, i >> bit & 1 ? I32 : I64);
        }
        uleb(&module.types, 0);
        module.type_count++;
    }
    i64_const(&code, 1);
    expect(&code, 1);
    add_func(0, 0, &code);
}

static void globals(uint32_t n)
{
    struct bytes code = {0};
    for (uint32_t i = 0; i < n; i++) {
        put(&module.globals, I64);
        put(&module.globals, 1);
        i64_const(&module.globals, i);
        put(&module.globals, END);
        module.global_count++;
        op(&code, GLOBAL_GET, i ? i - 1 : 0);
        i64_const(&code, 1);
        put(&code, I64_ADD);
        op(&code, GLOBAL_SET, i);
    }
    op(&code, GLOBAL_GET, n - 1);
    expect(&code, n);
    add_func(0, 0, &code);
}

static void frames(uint32_t n)
{
    struct bytes code = {0};
    uint32_t type = add_type(1, 1, I32);
    for (uint32_t i = 0; i < n; i++) {
        i32_const(&code, 0);
        put(&code, I64_LOAD);
        uleb(&code, 3);
        uleb(&code, i * 8 % 65536);
        op(&code, LOCAL_SET, 1 + i);
    }
    op(&code, LOCAL_GET, 0);
    op(&code, CALL, 0);
    for (uint32_t i = 0; i < n; i++) {
        op(&code, LOCAL_GET, 1 + i);
        put(&code, I64_MUL);
    }
    add_func(type, n, &code);
}

static void params(uint32_t n)
{
    struct bytes code = {0};
    uint32_t type = add_type(n, n, I64);
    for (uint32_t i = 0; i < n; i++) {
        op(&code, LOCAL_GET, (i + 1) % n);
        i64_const(&code, i);
        put(&code, I64_ADD);
    }
    op(&code, CALL, 0);
    op(&code, LOCAL_SET, 0);
    op(&code, LOCAL_GET, 0);
    add_func(type, 0, &code);
    uint32_t deep = add_type(1, 1, I32);
    for (uint32_t i = 0; i < n; i++) {
        i64_const(&code, i);
    }
    op(&code, CALL, 0);
    for (uint32_t i = 1; i < n; i++) {
        put(&code, I64_ADD);
    }
    add_func(deep, 0, &code);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*make)(uint32_t n);
        uint32_t least;
        const char *export;
    } kinds[] = {{"br_table", br_table, 64, "_start"}, {"nesting", nesting, 1, "_start"},
                 {"locals", locals, 1, "_start"},      {"joins", joins, 1, "_start"},
                 {"giant", giant, 2, "_start"},        {"depth", depth, 1, "_start"},
                 {"funcs", funcs, 2, "_start"},        {"calls", calls, 1, "_start"},
                 {"types", types, 1, "_start"},        {"globals", globals, 1, "_start"},
                 {"frames", frames, 1, "deep"},        {"params", params, 1, "deep"}};
    uint32_t n = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    for (size_t i = 0; argc == 3 && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(argv[1], kinds[i].name) == 0 && n >= kinds[i].least) {
            add_type(0, 0, I64);
            kinds[i].make(n);
            write_module(kinds[i].export);
            return fflush(stdout) != 0;
        }
    }
    fputs("usage: bomb KIND N > FILE.wasm\n", stderr);
    return 2;
}
